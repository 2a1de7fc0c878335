"""Tool calls put together from fragments, whatever the upstream does to index, id and name."""

from __future__ import annotations

import json
from collections.abc import Container
from operator import attrgetter
from typing import Any
from uuid import uuid4

from oxen_inference.chat.answer import ToolCall, ToolDelta
from oxen_inference.chat.tool_arguments import is_object

_BEGUN = "{"
_EMPTY = "{}"


class _Call:
    __slots__ = ("arguments", "extra", "id", "id_told", "name", "position", "wire_id", "wire_index")

    def __init__(self, wire_index: int | None, extra: dict[str, Any] | None) -> None:
        self.position: int | None = None
        """Its place in the answer, from when there is a name or an argument to tell of."""
        self.wire_index = wire_index
        self.id: str | None = None
        self.id_told = False
        self.wire_id: str | None = None
        """The id as the upstream gave it; `id` is another one where two calls share theirs."""
        self.name: str | None = None
        self.arguments: list[str] = []
        self.extra = extra

    def hear(self, piece: str) -> str:
        """Add a piece of the arguments, and return what can be told of it at once."""
        if not self.arguments or self.arguments == [_EMPTY]:
            if not piece.strip():
                return ""
            if piece.strip() in ("null", _EMPTY):
                piece = _EMPTY
            # Gateways copy Anthropic's `"input": {}`, which is there before the real ones
            # (https://github.com/BerriAI/litellm/issues/4537).
            self.arguments = []
        elif _is_repeat(self, piece):
            return ""
        self.arguments.append(piece)
        return "" if self.is_held_back() else piece

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

    def is_held_back(self) -> bool:
        """Whether what the arguments are is seen only when they are whole."""
        return self.is_quoted() or self.arguments == [_EMPTY]

    def is_whole(self) -> bool:
        return is_object(self.text())


class ToolCallAssembler:
    """Gives every fragment to the call it belongs to and numbers the calls from 0.

    A fragment belongs to the call of its id, unless its index says otherwise; else to that of its
    index; where both are missing, to the call at its place in the chunk, or the last one. What never
    gets a name or arguments is no call: some gateways write out empty ones.
    """

    __slots__ = ("_by_id", "_calls", "_extra_ahead", "_told")

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._told: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._extra_ahead: dict[str, Any] | None = None

    def add(self, fragments: list[Any]) -> list[ToolDelta]:
        """Return what the fragments of one chunk add, at most one delta for each call."""
        heard: dict[_Call, ToolDelta] = {}
        for place, fragment in enumerate(fragments):
            if isinstance(fragment, dict):
                self._add(fragment, place, heard, alone=len(fragments) == 1)
        return _news(heard)

    @property
    def begun(self) -> bool:
        """Whether there is a call."""
        return bool(self._told)

    def add_whole(self, calls: list[Any]) -> list[ToolDelta]:
        """Return what the calls of a whole answer add: each entry is one, whatever ids they share.

        Behind fragments they are the same calls again, as far as their names agree.
        """
        heard: dict[_Call, ToolDelta] = {}
        known = list(self._told)
        for place, entry in enumerate(each for each in calls if isinstance(each, dict)):
            if place >= len(known):
                self._add(entry, place, heard, alone=False, whole=True)
                continue
            call, (name, arguments) = known[place], _said(entry)
            if name != call.name:
                break
            if news := call.hear(_beyond(call.text(), arguments)):
                self._tell(call, heard).arguments += news
        return _news(heard)

    def finish(self, unsaid: Container[str] = ()) -> list[ToolDelta]:
        """Return what was held back, and an id of our own for each call that never got one.

        Results must refer to it. For `unsaid` see `calls`.
        """
        heard: dict[_Call, ToolDelta] = {}
        for call in self._calls:
            if call.name or call.arguments not in ([], [_EMPTY]):
                delta = self._tell(call, heard)
                if self._lacks_arguments(call, unsaid):
                    delta.arguments = _BEGUN
                elif call.is_held_back():
                    delta.arguments = call.text()
                if call.id is None:
                    call.id = delta.id = _new_id()
        return _news(heard)

    def calls(self, unsaid: Container[str] = ()) -> list[ToolCall]:
        """Return the calls as they stand.

        In an answer that was cut off, arguments that are one of `unsaid` are no arguments of the
        last call, but what stands there before they come. They are the beginning of an object
        then: as none at all they would make a call that was never asked for.
        """
        return [
            ToolCall(
                call.id or "",
                call.name or "",
                _BEGUN if self._lacks_arguments(call, unsaid) else call.text(),
                call.extra,
            )
            for call in self._told
        ]

    def _lacks_arguments(self, call: _Call, unsaid: Container[str]) -> bool:
        # The arguments of a call before the last had their turn.
        return call is self._told[-1] and call.text() in unsaid

    def _add(
        self,
        fragment: dict[str, Any],
        place: int,
        heard: dict[_Call, ToolDelta],
        *,
        alone: bool,
        whole: bool = False,
    ) -> None:
        name, arguments = _said(fragment)
        call_id = _string(fragment.get("id"))
        extra = fragment.get("extra_content")
        extra = extra if isinstance(extra, dict) else None

        index = _index(fragment.get("index"))
        call = None
        if not whole:
            call = self._find(index, call_id, name, arguments, place, alone=alone)
        if call is None and call_id is None and name is None and not arguments:
            self._extra_ahead = _both(self._extra_ahead, extra)
            return
        if call is None or (call in heard and _is_second(call, call_id, name)):
            call = _Call(index, self._extra_ahead)
            self._extra_ahead = None
            self._calls.append(call)

        call.extra = _both(call.extra, extra)
        if call.id is None and call_id is not None:
            # Some upstreams use the function's name as id; a result must tell two calls apart.
            is_new = self._by_id.setdefault(call_id, call) is call
            call.wire_id = call_id
            call.id = call_id if is_new else _new_id()
        name_news = None if name is None else _name_news(call, name)
        news = call.hear(arguments)
        if name_news:
            call.name = (call.name or "") + name_news
        if call.name or news or call.position is not None:
            delta = self._tell(call, heard)
            delta.arguments += news
            if name_news:
                delta.name = (delta.name or "") + name_news

    def _tell(self, call: _Call, heard: dict[_Call, ToolDelta]) -> ToolDelta:
        """Return the delta of a call for this chunk, with its id if that has not been told."""
        if call.position is None:
            call.position = len(self._told)
            self._told.append(call)
        if call not in heard:
            heard[call] = ToolDelta(call.position)
        if call.id is not None and not call.id_told:
            heard[call].id, call.id_told = call.id, True
        return heard[call]

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
    """Whether these are the whole arguments again, be it in other spaces.

    A fragment may well equal an earlier one.
    """
    if arguments == _EMPTY or not arguments.lstrip().startswith("{") or not is_object(arguments):
        return False
    before = call.text()
    if before == arguments:
        return True
    return is_object(before) and _loaded(before) == _loaded(arguments)


def _loaded(arguments: str) -> Any:
    return json.loads(arguments, strict=False)


def _is_second(call: _Call, call_id: str | None, name: str | None) -> bool:
    """Whether a fragment is another call than an earlier one of the same chunk that it points at."""
    if name is None or call.name is None:
        return False
    return call_id is None or call_id != call.wire_id


def _said(fragment: dict[str, Any]) -> tuple[str | None, str]:
    """Return the name and the arguments in a fragment."""
    function = fragment.get("function")
    fields = function if isinstance(function, dict) else fragment
    return _string(fields.get("name")), _text(fields.get("arguments"))


def _beyond(known: str, arguments: str) -> str:
    """Return what arguments that are told again add to those that are known."""
    if known in ("", _EMPTY):
        return arguments
    return arguments[len(known) :] if arguments.startswith(known) else ""


def _both(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    return {**(one or {}), **other} if other else one


def _news(heard: dict[_Call, ToolDelta]) -> list[ToolDelta]:
    told = [delta for delta in heard.values() if delta.id or delta.name or delta.arguments]
    return sorted(told, key=attrgetter("index")) if len(told) > 1 else told


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
