"""Text that an upstream has cut inside a character, or that is none."""

from __future__ import annotations

import json
from typing import Any


class Halves:
    """Puts characters together that were cut between the two halves of a surrogate pair.

    Servers that count as JavaScript does cut there, between two chunks or at the end of an answer. A
    half of its own can neither be printed nor sent, so one that stays alone is dropped at the end of
    a text and replaced inside it.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[Any, ...], str] = {}

    def mend(self, value: Any, where: tuple[Any, ...] = ()) -> Any:
        """Return decoded JSON with whole characters; a text goes on at its place in the next chunk."""
        if isinstance(value, str):
            return (
                value if value.isascii() and where not in self._open else self._join(value, where)
            )
        if isinstance(value, dict):
            return {key: self.mend(each, (*where, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self.mend(each, (*where, place)) for place, each in enumerate(value)]
        return value

    def _join(self, text: str, where: tuple[Any, ...]) -> str:
        text = self._open.pop(where, "") + text
        if "\ud800" <= text[-1:] <= "\udbff":
            self._open[where] = text[-1]
            text = text[:-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def decoded(data: bytes) -> str:
    """Return bytes as text; a byte that is no text costs itself only."""
    try:
        # The halves of characters may be there as bytes, too.
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def is_json(data: bytes) -> bool:
    """Whether bytes are a JSON text."""
    try:
        json.loads(decoded(data))
    except ValueError:
        return False
    return True
