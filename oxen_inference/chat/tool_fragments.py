"""Tool calls put together from fragments, whatever the upstream does to index, id and name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from oxen_inference.chat.answer import ToolCall, ToolDelta


class _Call:
    __slots__ = ("arguments", "extra", "id", "name", "position", "wire_index")

    def __init__(self, position: int, wire_index: int | None) -> None:
        self.position = position
        self.wire_index = wire_index
        self.id: str | None = None
        self.name: str | None = None
        self.arguments: list[str] = []
        self.extra: dict[str, Any] | None = None

    def is_whole(self) -> bool:
        return is_object("".join(self.arguments))


class ToolCallAssembler:
    """Gives every fragment to the call it belongs to and numbers the calls from 0.

    A fragment belongs to the call of its index; where the index is missing or shared, to the call
    of its id; where that is missing too, to the call at its place in the chunk, or the last one.
    """

    __slots__ = ("_by_id", "_calls")

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}

    def add(self, fragments: list[Any]) -> list[ToolDelta]:
        """Return what the fragments of one chunk add, at most one delta for each call."""
        deltas: dict[int, ToolDelta] = {}
        for place, fragment in enumerate(fragments):
            if isinstance(fragment, dict):
                delta = self._add(fragment, place, deltas, alone=len(fragments) == 1)
                if delta is None:
                    continue
                before = deltas.setdefault(delta.index, delta)
                if before is not delta:
                    before.id = before.id or delta.id
                    before.name = (before.name or "") + (delta.name or "") or None
                    before.arguments += delta.arguments
        return list(deltas.values())

    def finish(self) -> list[ToolDelta]:
        """Return an id of our own for each call that never got one: results must refer to it."""
        deltas = []
        for call in self._calls:
            if call.id is None:
                call.id = f"call_{uuid4().hex[:24]}"
                deltas.append(ToolDelta(call.position, id=call.id))
        return deltas

    def calls(self) -> list[ToolCall]:
        """Return the calls as they stand."""
        return [
            ToolCall(c.id or "", c.name or "", "".join(c.arguments), c.extra) for c in self._calls
        ]

    def _add(
        self, fragment: dict[str, Any], place: int, met: Mapping[int, ToolDelta], *, alone: bool
    ) -> ToolDelta | None:
        function = fragment.get("function")
        fields = function if isinstance(function, dict) else fragment
        call_id = _string(fragment.get("id"))
        name = _string(fields.get("name"))
        arguments = _text(fields.get("arguments"))

        index = _index(fragment.get("index"))
        call = self._find(index, call_id, name, arguments, place, alone=alone)
        twice = call is not None and call.position in met
        if call is None or (twice and name is not None and call_id is None and call.name):
            call = _Call(len(self._calls), index)
            self._calls.append(call)

        if isinstance(extra := fragment.get("extra_content"), dict):
            call.extra = {**(call.extra or {}), **extra}
        delta = ToolDelta(call.position)
        if call.id is None and call_id is not None:
            call.id = delta.id = call_id
            self._by_id.setdefault(call_id, call)
        if name is not None:
            delta.name = _name_news(call, name)
            if delta.name:
                call.name = (call.name or "") + delta.name
        if arguments and not (call.arguments and _is_repeat(call, arguments)):
            if arguments == "null" and not call.arguments:
                arguments = "{}"
            call.arguments.append(arguments)
            delta.arguments = arguments
        return delta if delta.id or delta.name or delta.arguments else None

    def _find(
        self,
        index: int | None,
        call_id: str | None,
        name: str | None,
        arguments: str,
        place: int,
        *,
        alone: bool,
    ) -> _Call | None:
        if call_id is not None and call_id in self._by_id:
            return self._by_id[call_id]
        if index is not None:
            # The latest of that index: upstreams that give every call index 0 send them in turn.
            same = next((c for c in reversed(self._calls) if c.wire_index == index), None)
        elif name is not None or (alone or place >= len(self._calls)):
            same = self._calls[-1] if self._calls else None
        else:
            same = self._calls[place]
        if same is None:
            return None
        return None if _starts_another(same, call_id, name, arguments, index) else same


def _starts_another(
    call: _Call, call_id: str | None, name: str | None, arguments: str, index: int | None
) -> bool:
    """Whether a fragment that points at `call` is in truth the first one of another call."""
    if call_id is not None and call.id is not None:
        # Some upstreams make up a new id for every fragment; only a first fragment has a name.
        return name is not None or index is None
    if name is None or call.name is None:
        return False
    # No ids to go by: a call whose arguments are whole cannot be what a name is sent for again.
    return call.is_whole() and (bool(arguments) or name != call.name)


def _name_news(call: _Call, name: str) -> str | None:
    """Return the part of a name that is new: it may be repeated, or come in pieces."""
    if call.name is None:
        return name
    if name == call.name or call.arguments:
        return None
    return name.removeprefix(call.name)


def _is_repeat(call: _Call, arguments: str) -> bool:
    # A whole object again at the end of the stream; a fragment may well equal an earlier one.
    return len(arguments) > 2 and arguments == "".join(call.arguments) and is_object(arguments)


def is_object(text: str) -> bool:
    """Whether `text` is one whole JSON object."""
    if not text.rstrip().endswith("}"):
        return False
    try:
        return isinstance(json.loads(text, strict=False), dict)
    except ValueError:
        return False


def _string(value: object) -> str | None:
    return str(value) if value and isinstance(value, str | int) else None


def _text(arguments: object) -> str:
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _index(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isdigit() else None
