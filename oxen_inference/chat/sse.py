"""Server-sent events out of bytes cut anywhere (https://html.spec.whatwg.org/#server-sent-events).

Lenient where real servers are: a byte order mark, any line ending, data lines without a blank
line at the end, a bare JSON line in the middle, or a body that is no event stream at all.
"""

from __future__ import annotations

from oxen_inference.chat.characters import is_json

_FIELDS = (b"data", b"event", b"id", b"retry")
_BOM = b"\xef\xbb\xbf"

Event = tuple[str | None, bytes]
"""The event's name, if it has one, and its data."""


def _is_another(before: bytes, value: bytes) -> bool:
    """Whether a data line begins an event of its own, though no blank line came before it.

    In one JSON text, no line that begins with a brace follows one that ends with a brace.
    """
    return before.endswith(b"}") and value.startswith((b"{", b"[DONE]"))


class SSEDecoder:
    """Feed it bytes; it returns the events that are complete. `finish` returns the rest."""

    __slots__ = ("_begun", "_body", "_data", "_is_bare", "_name", "_open_cr", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of a line that is not complete yet
        self._data: list[bytes] = []  # lines of an event that is not complete yet
        self._name: str | None = None
        self._open_cr = False
        self._begun = False
        self._is_bare = False
        self._body: list[bytes] | None = None

    @property
    def body(self) -> bytes | None:
        """The whole text, where it turned out to be no event stream."""
        return None if self._body is None else b"\n".join(self._body)

    @property
    def holds_data(self) -> bool:
        """Whether part of an event, and not just of a comment, is waiting for its end."""
        return (
            bool(self._data)
            or self._body is not None
            or (bool(self._pieces) and not self._pieces[0].startswith(b":"))
        )

    def feed(self, chunk: bytes) -> list[Event]:
        if self._open_cr or b"\r" in chunk:
            chunk = self._unix_lines(chunk)
        lines, newline, rest = chunk.rpartition(b"\n")
        if not newline:
            if rest:
                self._pieces.append(rest)
            return []
        if self._pieces:
            self._pieces.append(lines)
            lines = b"".join(self._pieces)
        self._pieces = [rest] if rest else []
        return self._read(lines)

    def finish(self) -> list[Event]:
        """Return the events that were not closed by a blank line; their data may be cut short."""
        events = self._read(b"".join(self._pieces)) if self._pieces else []
        self._pieces = []
        return events + self._dispatch()

    def _read(self, lines: bytes) -> list[Event]:
        events: list[Event] = []
        for line in lines.split(b"\n"):
            if self._body is not None:
                self._body.append(line)
            elif not line:
                if self._data:
                    events += self._dispatch()
                self._name = None
            elif line.startswith(b"data:"):
                self._begun = True
                value = line[6:] if line[5:6] == b" " else line[5:]
                if self._data and _is_another(self._data[-1], value):
                    events += self._dispatch()
                self._data.append(value)
            elif not line.startswith(b":"):
                self._other(line, events)
        return events

    def _other(self, line: bytes, events: list[Event]) -> None:
        if not self._begun and line.startswith(_BOM):
            events += self._read(line[3:])
            return
        name, _, value = line.partition(b":")
        if name == b"event":
            self._begun = True
            self._name = value.strip().decode("utf-8", "replace")
        elif name in _FIELDS:
            self._begun = True
        elif not self._data and not self._begun:
            self._body = [line]
        elif self._is_bare:
            self._data.append(line)
        elif line.startswith(b"{"):
            # Gateways that fail in the middle of a stream write their error without `data:`.
            events += self._dispatch()
            self._data = [line]
            if is_json(line):
                events += self._dispatch()
            else:
                self._is_bare = True  # the rest of it is on further lines

    def _dispatch(self) -> list[Event]:
        if not self._data:
            return []
        name, data = self._name, b"\n".join(self._data) if len(self._data) > 1 else self._data[0]
        self._data = []
        self._name = None
        self._is_bare = False
        # The standard has no event without data, and gateways send such ones to keep alive.
        return [(name, data)] if data and not data.isspace() else []

    def _unix_lines(self, chunk: bytes) -> bytes:
        if self._open_cr and chunk:
            # The previous chunk ended in a CR, which was held back: CRLF or a line end of its own?
            self._open_cr = False
            chunk = chunk if chunk.startswith(b"\n") else b"\n" + chunk
        if chunk.endswith(b"\r"):
            self._open_cr = True
            chunk = chunk[:-1]
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
