"""When to read an object that is still streaming in."""

from __future__ import annotations

_SHARE = 128


class Growth:
    """Says when a text has grown by a 128th since it was last read.

    Reading it at each chunk takes the square of its length in time. Like this it takes a constant
    number of readings of the whole, and a short text is read at each chunk.
    """

    __slots__ = ("_length",)

    def __init__(self) -> None:
        self._length = 0

    def is_due(self, length: int) -> bool:
        """Whether to read the text, which has `length` characters now."""
        if length <= self._length + self._length // _SHARE:
            return False
        self._length = length
        return True
