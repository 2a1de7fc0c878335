"""Tool calls put together from fragments, whatever the upstream does to index, id and name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from oxen_inference.chat.answer import ToolCall, ToolDelta
from oxen_inference.chat.tool_arguments import is_object

_BEGUN = "{"


class _Call:
    __slots__ = ("arguments", "extra", "id", "name", "position", "wire_id", "wire_index")

    def __init__(self, position: int, wire_index: int | None) -> None:
        self.position = position
        self.wire_index = wire_index
        self.id: str | None = None
        self.wire_id: str | None = None
        """The id as the upstream gave it; `id` is another one where two calls share theirs."""
        self.name: str | None = None
        self.arguments: list[str] = []
        self.extra: dict[str, Any] | None = None

    def text(self) -> str:
        """Return the arguments as JSON text, freed of a string that they may be written in."""
        text = "".join(self.arguments)
        if not self.is_quoted():
            return text
        try:
            inner = json.loads(text, strict=False)
        except ValueError:
            return text
        return inner if isinstance(inner, str) and is_object(inner) else text

    def is_quoted(self) -> bool:
        """Whether the arguments are a JSON string, which is to hold the object."""
        return bool(self.arguments) and self.arguments[0].lstrip().startswith('"')

    def is_whole(self) -> bool:
        return is_object(self.text())


class ToolCallAssembler:
    """Gives every fragment to the call it belongs to and numbers the calls from 0.

    A fragment belongs to the call of its id, unless its index says otherwise; else to that of its
    index; where both are missing, to the call at its place in the chunk, or the last one.
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

    def add_whole(self, calls: list[Any]) -> list[ToolDelta]:
        """Return the calls of a whole answer: each entry is one, whatever ids they share."""
        if self._calls:
            return self.add(calls)  # the answer again, at the end of its stream
        fresh = (
            self._add(call, i, {}, alone=False, whole=True)
            for i, call in enumerate(calls)
            if isinstance(call, dict)
        )
        return [delta for delta in fresh if delta is not None]

    def finish(self, *, cut_off: bool) -> list[ToolDelta]:
        """Return what was held back, and an id of our own for each call that never got one.

        Results must refer to it. For `cut_off` see `calls`.
        """
        deltas = []
        for call in self._calls:
            delta = ToolDelta(call.position)
            if call.is_quoted():
                delta.arguments = call.text()
            elif cut_off and self._lacks_arguments(call):
                delta.arguments = _BEGUN
            if call.id is None:
                call.id = delta.id = _new_id()
            if delta.id or delta.arguments:
                deltas.append(delta)
        return deltas

    def calls(self, *, cut_off: bool) -> list[ToolCall]:
        """Return the calls as they stand.

        Of an answer that was `cut_off`, the last one may have lost its arguments. They are the
        beginning of an object then: none at all would be a call without arguments, which would
        be made.
        """
        return [
            ToolCall(
                call.id or "",
                call.name or "",
                _BEGUN if cut_off and self._lacks_arguments(call) else call.text(),
                call.extra,
            )
            for call in self._calls
        ]

    def _lacks_arguments(self, call: _Call) -> bool:
        # Providers send the name first, so the arguments of a call before the last had their turn.
        return call is self._calls[-1] and not any(part.strip() for part in call.arguments)

    def _add(
        self,
        fragment: dict[str, Any],
        place: int,
        met: Mapping[int, ToolDelta],
        *,
        alone: bool,
        whole: bool = False,
    ) -> ToolDelta | None:
        function = fragment.get("function")
        fields = function if isinstance(function, dict) else fragment
        call_id = _string(fragment.get("id"))
        name = _string(fields.get("name"))
        arguments = _text(fields.get("arguments"))

        index = _index(fragment.get("index"))
        call = None
        if not whole:
            call = self._find(index, call_id, name, arguments, place, alone=alone)
        twice = call is not None and call.position in met
        if call is None or (twice and name is not None and call_id is None and call.name):
            call = _Call(len(self._calls), index)
            self._calls.append(call)

        if isinstance(extra := fragment.get("extra_content"), dict):
            call.extra = {**(call.extra or {}), **extra}
        delta = ToolDelta(call.position)
        if call.id is None and call_id is not None:
            # Some upstreams use the function's name as id; a result must tell two calls apart.
            is_new = self._by_id.setdefault(call_id, call) is call
            call.wire_id = call_id
            call.id = delta.id = call_id if is_new else _new_id()
        if name is not None:
            delta.name = _name_news(call, name)
            if delta.name:
                call.name = (call.name or "") + delta.name
        if arguments and not (call.arguments and _is_repeat(call, arguments)):
            if arguments == "null" and not call.arguments:
                arguments = "{}"
            call.arguments.append(arguments)
            if not call.is_quoted():
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
        known = self._by_id.get(call_id) if call_id is not None else None
        if known is not None and (index is None or known.wire_index in (None, index)):
            return known
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
    if call_id is not None and call.wire_id is not None:
        if call_id == call.wire_id:
            return False
        if index is None:
            return True
        # Some upstreams make up a new id for every fragment, and may repeat the name in each.
        if name is None:
            return False
        return name != call.name or call.is_whole() or not (call.arguments or arguments)
    if name is None or call.name is None:
        return False
    if index is None and call_id is None and name != call.name:
        return True  # nothing ties the two: it is no further piece of a name
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


def _new_id() -> str:
    return f"call_{uuid4().hex[:24]}"


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
