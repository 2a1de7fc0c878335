"""Tool calls from the fragments of a stream, and the JSON text of their arguments.

Upstreams leave out, repeat or renumber the index, the id and the name of a call.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from operator import attrgetter
from typing import Any
from uuid import uuid4

from oxen_inference.chat.answer import ToolCall, ToolDelta
from oxen_inference.chat.call_fields import read_call

_OPEN_OBJECT = "{"
_EMPTY_OBJECT = "{}"


class ToolCallAssembler:
    """Assigns each fragment to its call and numbers the calls from 0.

    A fragment belongs to the call with its id, unless its index contradicts that; else to the call
    with its index; without both, to the call at its position in the chunk, or to the last one.
    A call that gets neither a name nor arguments is ignored: some gateways write empty ones.

    `originals`: sent name → original, for names of tools that had to be changed. A name that may
    still become one of them is emitted only with the arguments.
    """

    __slots__ = ("_by_id", "_calls", "_emitted", "_originals", "_pending_extra")

    def __init__(self, originals: Mapping[str, str]) -> None:
        self._originals = originals
        self._calls: list[_PartialCall] = []
        self._emitted: list[_PartialCall] = []
        self._by_id: dict[str, _PartialCall] = {}
        self._pending_extra: dict[str, Any] | None = None

    @property
    def started(self) -> bool:
        """Whether there is a call."""
        return bool(self._emitted)

    def add(self, fragments: list[Any]) -> list[ToolDelta]:
        """Return what the fragments of one chunk add, at most one delta for each call."""
        deltas: dict[_PartialCall, ToolDelta] = {}
        for position, fragment in enumerate(fragments):
            if isinstance(fragment, dict):
                self._add(fragment, position, deltas, alone=len(fragments) == 1)
        return _non_empty(deltas)

    def add_complete(self, calls: list[Any]) -> list[ToolDelta]:
        """Return what the calls of a complete message add.

        Each entry is a call of its own, even where two share an id. After fragments they repeat
        the same calls, as long as their names agree.
        """
        deltas: dict[_PartialCall, ToolDelta] = {}
        known = list(self._emitted)
        for position, entry in enumerate(item for item in calls if isinstance(item, dict)):
            if position >= len(known):
                self._add(entry, position, deltas, alone=False, complete=True)
                continue
            call, fields = known[position], read_call(entry)
            if fields.name != call.name:
                break
            if added := call.feed(_continuation(call.text(), fields.arguments)):
                self._delta_of(call, deltas).arguments += added
        return _non_empty(deltas)

    def finish(self, missing_arguments: Container[str] = ()) -> list[ToolDelta]:
        """Return what was buffered, and a new id for each call that has none.

        The result of a call must name its id. For `missing_arguments` see `calls`.
        """
        deltas: dict[_PartialCall, ToolDelta] = {}
        for call in self._calls:
            if call.name or call.arguments not in ([], [_EMPTY_OBJECT]):
                delta = self._delta_of(call, deltas)
                self._emit_name(call, delta)
                if self._lacks_arguments(call, missing_arguments):
                    delta.arguments = _OPEN_OBJECT
                elif call.is_buffered():
                    delta.arguments = call.text()
                if call.id is None:
                    call.id = delta.id = _new_id()
        return _non_empty(deltas)

    def calls(self, missing_arguments: Container[str] = ()) -> list[ToolCall]:
        """Return the calls as far as they arrived.

        `missing_arguments`: texts that mean, in an answer that was cut off, that the arguments of
        the last call did not arrive. They are returned as an unfinished object: empty arguments
        would be a complete call, which the model did not make.
        """
        return [
            ToolCall(
                call.id or "",
                self._originals.get(call.name or "", call.name or ""),
                _OPEN_OBJECT if self._lacks_arguments(call, missing_arguments) else call.text(),
                call.extra,
            )
            for call in self._emitted
        ]

    def _lacks_arguments(self, call: _PartialCall, missing_arguments: Container[str]) -> bool:
        text = call.text()
        if call.has_unread_object and not text:
            return True
        # The arguments of the calls before the last one are complete.
        return call is self._emitted[-1] and text in missing_arguments

    def _add(
        self,
        fragment: dict[str, Any],
        position: int,
        deltas: dict[_PartialCall, ToolDelta],
        *,
        alone: bool,
        complete: bool = False,
    ) -> None:
        index, call_id, name, arguments, extra, has_unread_object = read_call(fragment)
        call = None
        if not complete:
            call = self._find(index, call_id, name, arguments, position, alone=alone)
        if call is None and call_id is None and name is None and not arguments:
            self._pending_extra = _merged(self._pending_extra, extra)
            return
        if call is None or (call in deltas and _is_second_call(call, call_id, name)):
            call = _PartialCall(index, self._pending_extra)
            self._pending_extra = None
            self._calls.append(call)

        call.extra = _merged(call.extra, extra)
        call.has_unread_object = call.has_unread_object or has_unread_object
        if call.id is None and call_id is not None:
            # Some upstreams use the function's name as id, but each result must name one call.
            is_new = self._by_id.setdefault(call_id, call) is call
            call.wire_id = call_id
            call.id = call_id if is_new else _new_id()
        new_name = None if name is None else _new_part_of_name(call, name)
        added = call.feed(arguments)
        if new_name:
            call.name = (call.name or "") + new_name
        if call.name or added or call.position is not None:
            delta = self._delta_of(call, deltas)
            delta.arguments += added
            if new_name and not self._originals:
                delta.name = (delta.name or "") + new_name
            elif new_name:
                call.name_pending = True
            if call.name_pending and (call.arguments or not self._may_continue(call.name)):
                self._emit_name(call, delta)

    def _may_continue(self, name: str | None) -> bool:
        return any(sent != name and sent.startswith(name or "") for sent in self._originals)

    def _emit_name(self, call: _PartialCall, delta: ToolDelta) -> None:
        if call.name_pending and call.name:
            delta.name = self._originals.get(call.name, call.name)
        call.name_pending = False

    def _delta_of(self, call: _PartialCall, deltas: dict[_PartialCall, ToolDelta]) -> ToolDelta:
        """Return the delta of a call for this chunk, with the id if that was not emitted yet."""
        if call.position is None:
            call.position = len(self._emitted)
            self._emitted.append(call)
        if call not in deltas:
            deltas[call] = ToolDelta(call.position)
        if call.id is not None and not call.id_emitted:
            deltas[call].id, call.id_emitted = call.id, True
        return deltas[call]

    def _find(
        self,
        index: int | None,
        call_id: str | None,
        name: str | None,
        arguments: str,
        position: int,
        *,
        alone: bool,
    ) -> _PartialCall | None:
        known = self._by_id.get(call_id) if call_id is not None else None
        if known is not None and (index is None or known.wire_index in (None, index)):
            return known
        if index is not None:
            # The latest with that index: upstreams that number all calls 0 send them in turn.
            found = next((c for c in reversed(self._calls) if c.wire_index == index), None)
        elif name is not None or (alone or position >= len(self._calls)):
            found = self._calls[-1] if self._calls else None
        else:
            found = self._calls[position]
        if found is None:
            return None
        return None if _starts_new_call(found, call_id, name, arguments, index) else found


class _PartialCall:
    __slots__ = (
        "arguments",
        "extra",
        "has_unread_object",
        "id",
        "id_emitted",
        "name",
        "name_pending",
        "position",
        "wire_id",
        "wire_index",
    )

    def __init__(self, wire_index: int | None, extra: dict[str, Any] | None) -> None:
        self.position: int | None = None
        """Its position in the answer, set with the first name or argument."""
        self.wire_index = wire_index
        self.id: str | None = None
        self.id_emitted = False
        self.wire_id: str | None = None
        """The id that the upstream gave it; `id` differs where two calls share one."""
        self.name: str | None = None
        self.name_pending = False
        """Whether its name has arrived and was not emitted."""
        self.arguments: list[str] = []
        self.extra = extra
        self.has_unread_object = False
        """Whether its arguments may have come under a name that is not known."""

    def feed(self, piece: str) -> str:
        """Add a piece of the arguments, and return the part that can be emitted at once."""
        if not self.arguments or self.arguments == [_EMPTY_OBJECT]:
            if not piece.strip():
                return ""
            if piece.strip() in ("null", _EMPTY_OBJECT):
                piece = _EMPTY_OBJECT
            # Gateways copy Anthropic's `"input": {}`, which comes before the real arguments
            # (https://github.com/BerriAI/litellm/issues/4537).
            self.arguments = []
        elif _is_repeat(self, piece):
            return ""
        self.arguments.append(piece)
        return "" if self.is_buffered() else piece

    def text(self) -> str:
        """Return the arguments as JSON text, decoded if they are an object inside a string."""
        text = "".join(self.arguments)
        if not self.is_quoted():
            return text
        try:
            inner = json.loads(text, strict=False)
        except ValueError:
            return text
        return inner if isinstance(inner, str) and is_object(inner) else text

    def is_quoted(self) -> bool:
        """Whether the arguments are a JSON string, which should contain the object."""
        return bool(self.arguments) and self.arguments[0].lstrip().startswith('"')

    def is_buffered(self) -> bool:
        """Whether the arguments can be emitted only when they are complete."""
        return self.is_quoted() or self.arguments == [_EMPTY_OBJECT]

    def is_complete(self) -> bool:
        return is_object(self.text())


def _starts_new_call(
    call: _PartialCall, call_id: str | None, name: str | None, arguments: str, index: int | None
) -> bool:
    """Whether a fragment that points at `call` is the first one of another call."""
    if call_id is not None and call.wire_id is not None:
        if call_id == call.wire_id:
            return False
        if index is None:
            return True
        # Some upstreams make a new id for every fragment, and may repeat the name in each.
        if name is None:
            return False
        return name != call.name or call.is_complete() or not (call.arguments or arguments)
    if name is None or call.name is None:
        return False
    if index is None and call_id is None and name != call.name:
        return True  # nothing connects the two, so it is not a further piece of the name
    # Without ids: where the arguments are complete, a name starts another call.
    return call.is_complete() and (bool(arguments) or name != call.name)


def _is_second_call(call: _PartialCall, call_id: str | None, name: str | None) -> bool:
    """Whether a fragment is another call than `call`, which an earlier one of its chunk is."""
    if name is None or call.name is None:
        return False
    return call_id is None or call_id != call.wire_id


def _new_part_of_name(call: _PartialCall, name: str) -> str | None:
    """Return the part of a name that is new: it may be repeated, or come in pieces."""
    if call.name is None:
        return name
    if name == call.name or call.arguments:
        return None
    return name.removeprefix(call.name)


def _is_repeat(call: _PartialCall, arguments: str) -> bool:
    """Whether these are the complete arguments again, perhaps with other spaces.

    A fragment that equals an earlier fragment is not a repeat.
    """
    if arguments == _EMPTY_OBJECT or not arguments.lstrip().startswith("{"):
        return False
    if not is_object(arguments):
        return False
    known = call.text()
    if known == arguments:
        return True
    return is_object(known) and _parsed(known) == _parsed(arguments)


def _parsed(arguments: str) -> Any:
    return json.loads(arguments, strict=False)


def _continuation(known: str, arguments: str) -> str:
    """Return what repeated arguments add to the known ones."""
    if known in ("", _EMPTY_OBJECT):
        return arguments
    return arguments[len(known) :] if arguments.startswith(known) else ""


def _merged(first: dict[str, Any] | None, second: dict[str, Any] | None) -> dict[str, Any] | None:
    return {**(first or {}), **second} if second else first


def _non_empty(deltas: dict[_PartialCall, ToolDelta]) -> list[ToolDelta]:
    found = [delta for delta in deltas.values() if delta.id or delta.name or delta.arguments]
    return sorted(found, key=attrgetter("index")) if len(found) > 1 else found


def _new_id() -> str:
    return f"call_{uuid4().hex[:24]}"


# The arguments of a complete call.


def read_arguments(text: str) -> dict[str, Any]:
    """Return the object in the arguments of a call; empty arguments are an empty object.

    A line break inside a string, which some models write, is accepted. Raises ValueError where
    they are no JSON object, also for NaN, which Python's parser would accept.
    """
    if not text.strip():
        return {}
    try:
        arguments = json.loads(text, strict=False, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("The arguments are nested too deeply.") from error
    except ValueError as error:
        raise ValueError(f"The arguments are not valid JSON: {error}.") from error
    if not isinstance(arguments, dict):
        raise ValueError("The arguments are not a JSON object.")  # noqa: TRY004 - about the text, not a type
    return arguments


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a value in JSON")


def is_object(text: str) -> bool:
    """Whether `text` is one complete JSON object."""
    if not text.rstrip().endswith("}"):
        return False
    try:
        return isinstance(json.loads(text, strict=False), dict)
    except (ValueError, RecursionError):
        return False


def sendable_arguments(arguments: str | None) -> str:
    """Return arguments as a JSON object in any case: some providers fail on half of one.

    Malformed ones become the value of ``malformed_arguments``.
    """
    try:
        given = json.loads(arguments or "{}", parse_constant=_refuse_constant)
        is_valid = isinstance(given, dict)
    except (ValueError, RecursionError):
        is_valid = False
    if is_valid:
        return arguments or "{}"
    return json.dumps({"malformed_arguments": arguments}, ensure_ascii=False)


def wire_tool_call(call_id: Any, name: Any, arguments: str, extra: Any = None) -> dict[str, Any]:
    """Return a complete call as a message has it; `extra` is its ``extra_content``."""
    function = {"name": name, "arguments": arguments}
    call = {"id": call_id, "type": "function", "function": function}
    return {**call, "extra_content": extra} if extra else call
