"""Names and ids in the characters that every provider takes, and the way back.

Providers take ``[a-zA-Z0-9_-]`` in the names of tools, schemas and speakers and in the ids of
calls, 64 of them in a name and 40 in an id. Any other name becomes a readable beginning and a hash
of the whole, so that it is the same in every request and every process.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from hashlib import sha256
from typing import Any, Literal

CallIds = Literal["common", "mistral", "kimi"]
"""The form of call ids: up to 40 of the common characters; Mistral's nine letters and digits; or
Kimi's ``functions.<tool>:<number of the call in the conversation>``."""

MAX_NAME, MAX_ID = 64, 40
_NAME = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_NAME}}}")
_ID = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_ID}}}")
_MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")
_KIMI_ID = re.compile(r"functions\.[a-zA-Z0-9_-]+:\d+")
_OTHERS = re.compile(r"[^a-zA-Z0-9-]+")
_DIGITS = string.digits + string.ascii_letters
_HASH_LENGTH = 8


def safe_name(name: str) -> str:
    """Return the name as providers take it; one that they take stays as it is."""
    return name if _NAME.fullmatch(name) else _with_hash(name, name, MAX_NAME)


class NameMap:
    """The names of one request's tools: `to_wire` as they are sent, `originals` the way back."""

    __slots__ = ("_sent", "originals")

    def __init__(self, names: Iterable[str]) -> None:
        names = list(dict.fromkeys(names))
        self._sent = {name: name for name in names if _NAME.fullmatch(name)}
        taken = set(self._sent)
        for name in names:
            if name not in self._sent:
                make = partial(_with_hash, shown=name, limit=MAX_NAME)
                self._sent[name] = _unique(name, taken, make)
                taken.add(self._sent[name])
        self.originals = {sent: name for name, sent in self._sent.items() if sent != name}
        """Sent name → original, for the names that had to change."""

    def to_wire(self, name: str) -> str:
        """Return the name as it is sent; also of a tool that the request no longer has."""
        return self._sent.get(name) or safe_name(name)


def rename_calls(messages: Iterable[dict[str, Any]], names: NameMap, form: CallIds) -> None:
    """Give the calls in `messages`, and their results, the names and ids that the model takes.

    The messages are changed; the calls in them are replaced. Each call gets an id of its own, also
    where a provider repeats its ids from turn to turn or gives none. What an earlier call is called
    does not depend on later messages, so a cached prompt stays valid.
    """
    ids = _CallIdMap(form)
    for message in messages:
        if isinstance(calls := message.get("tool_calls"), list):
            message["tool_calls"] = ids.rename_turn(calls, names)
        elif message.get("role") == "tool":
            message["tool_call_id"] = ids.of_result(message.get("tool_call_id"))


class _CallIdMap:
    def __init__(self, form: CallIds) -> None:
        self._form = form
        self._taken: set[str] = set()
        self._count = 0
        # By original id: the calls of the latest turn that used it. Results come in their order.
        self._waiting: dict[str, deque[str]] = {}

    def rename_turn(self, calls: list[Any], names: NameMap) -> list[Any]:
        renamed: list[Any] = []
        turn: dict[str, deque[str]] = {}
        for call in calls:
            function = call.get("function") if isinstance(call, Mapping) else None
            if not isinstance(function, Mapping):
                renamed.append(call)
                continue
            name = names.to_wire(str(function.get("name") or ""))
            original = str(call.get("id") or "")
            new_id = self._new_id(original, name)
            turn.setdefault(original, deque()).append(new_id)
            renamed.append({**call, "id": new_id, "function": {**function, "name": name}})
        self._waiting |= turn
        return renamed

    def of_result(self, call_id: object) -> str:
        original = str(call_id or "")
        waiting = self._waiting.get(original)
        if not waiting:
            return self._form_of(original, "", original)  # a result without its call
        return waiting.popleft() if len(waiting) > 1 else waiting[0]

    def _new_id(self, original: str, tool: str) -> str:
        new_id = _unique(original, self._taken, lambda seed: self._form_of(seed, tool, original))
        self._taken.add(new_id)
        self._count += 1
        return new_id

    def _form_of(self, seed: str, tool: str, original: str) -> str:
        """Return the id made of `seed`, which is `original` unless that id is taken."""
        is_first = seed == original
        if self._form == "mistral":
            return seed if is_first and _MISTRAL_ID.fullmatch(seed) else _letters_and_digits(seed)
        if self._form == "kimi" and (tool or _KIMI_ID.fullmatch(original)):
            if is_first and _KIMI_ID.fullmatch(original):
                return original
            while (made := f"functions.{tool}:{self._count}") in self._taken:
                self._count += 1
            return made
        return (
            seed
            if is_first and _ID.fullmatch(seed)
            else _with_hash(seed, original or "call", MAX_ID)
        )


def _unique(name: str, taken: Container[str], make: Callable[[str], str]) -> str:
    """Return what `make` makes of the name, or of the name and a number if that is taken."""
    made, repeat = make(name), 1
    while made in taken:
        made = make(f"{name}\n{repeat}")
        repeat += 1
    return made


def _with_hash(seed: str, shown: str, limit: int) -> str:
    """Return as much of `shown` as fits beside the hash of `seed`."""
    letters = unicodedata.normalize("NFKD", shown).encode("ascii", "ignore").decode()
    stem = _OTHERS.sub("_", letters).strip("_-")[: limit - _HASH_LENGTH - 1].rstrip("_-")
    digest = sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{stem or 'name'}_{digest[:_HASH_LENGTH]}"


def _letters_and_digits(seed: str) -> str:
    number = int.from_bytes(sha256(seed.encode("utf-8", "surrogatepass")).digest(), "big")
    return "".join(_DIGITS[number // 62**place % 62] for place in range(9))
