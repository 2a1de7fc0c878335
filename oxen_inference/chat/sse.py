"""Server-sent events from bytes that are cut anywhere, and text from bytes that are damaged.

The format is https://html.spec.whatwg.org/#server-sent-events. The decoder also accepts what real
servers send: a byte order mark, any line ending, data lines without a blank line after them, a
bare JSON line between events, and a body that is no event stream.
"""

from __future__ import annotations

import json
from typing import Any

from oxen_inference.errors import StreamError

_FIELDS = (b"data", b"event", b"id", b"retry")
_LEAST_GROWTH = 256  # bytes; a server that drips fewer is not sending an answer
_MAX_EVENT_BYTES = 64_000_000
_BOM = b"\xef\xbb\xbf"

Event = tuple[str | None, bytes]
"""The name of an event, or None, and its data."""


class SSEDecoder:
    """`feed` takes bytes and returns the events that are complete; `finish` returns the rest."""

    __slots__ = (
        "_body",
        "_data",
        "_is_bare",
        "_line_parts",
        "_name",
        "_pending_bytes",
        "_pending_cr",
        "_started",
    )

    def __init__(self) -> None:
        self._line_parts: list[bytes] = []  # of a line that is not complete yet
        self._data: list[bytes] = []  # data lines of an event that is not complete yet
        self._name: str | None = None
        self._pending_bytes = 0
        self._pending_cr = False
        self._started = False
        self._is_bare = False
        self._body: list[bytes] | None = None

    @property
    def body(self) -> bytes | None:
        """All lines, if the response turned out to be no event stream."""
        return None if self._body is None else b"\n".join(self._body)

    def grows_by(self, chunk: bytes) -> bool:
        """Whether a chunk made an incomplete event noticeably longer; comments do not count."""
        holds_data = (
            bool(self._data)
            or self._body is not None
            or (bool(self._line_parts) and not self._line_parts[0].startswith(b":"))
        )
        return holds_data and len(chunk) >= _LEAST_GROWTH

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that are complete now. Raises `StreamError` for one without an end."""
        if self._pending_cr or b"\r" in chunk:
            chunk = self._with_unix_lines(chunk)
        lines, newline, rest = chunk.rpartition(b"\n")
        if newline:
            if self._line_parts:
                self._line_parts.append(lines)
                lines = b"".join(self._line_parts)
            self._line_parts = [rest] if rest else []
            if events := self._read(lines):
                self._pending_bytes = 0
                return events
        elif rest:
            self._line_parts.append(rest)
        self._pending_bytes += len(chunk)
        if self._pending_bytes > _MAX_EVENT_BYTES and self.grows_by(chunk):
            raise StreamError(f"A part of the answer is larger than {_MAX_EVENT_BYTES:,} bytes.")
        return []

    def finish(self) -> list[Event]:
        """Return the events that no blank line ended; their data may be incomplete."""
        events = self._read(b"".join(self._line_parts)) if self._line_parts else []
        self._line_parts = []
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
                self._started = True
                value = line[6:] if line[5:6] == b" " else line[5:]
                if self._data and _starts_new_event(self._data[-1], value):
                    events += self._dispatch()
                self._data.append(value)
            elif not line.startswith(b":"):
                self._read_other_line(line, events)
        return events

    def _read_other_line(self, line: bytes, events: list[Event]) -> None:
        if not self._started and line.startswith(_BOM):
            events += self._read(line[3:])
            return
        name, _, value = line.partition(b":")
        if name == b"event":
            self._started = True
            self._name = value.strip().decode("utf-8", "replace")
        elif name in _FIELDS:
            self._started = True
        elif not self._data and not self._started:
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
                self._is_bare = True  # the next lines continue it

    def _dispatch(self) -> list[Event]:
        if not self._data:
            return []
        name, data = self._name, b"\n".join(self._data) if len(self._data) > 1 else self._data[0]
        self._data = []
        self._name = None
        self._is_bare = False
        # The standard ignores events without data, which gateways send as keep-alives.
        return [(name, data)] if data and not data.isspace() else []

    def _with_unix_lines(self, chunk: bytes) -> bytes:
        if self._pending_cr and chunk:
            # The last chunk ended in a CR, which was kept: it is half of a CRLF, or a line end.
            self._pending_cr = False
            chunk = chunk if chunk.startswith(b"\n") else b"\n" + chunk
        if chunk.endswith(b"\r"):
            self._pending_cr = True
            chunk = chunk[:-1]
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _starts_new_event(last_line: bytes, line: bytes) -> bool:
    """Whether a data line starts a new event, although no blank line came before it.

    In one JSON text, no line that starts with a brace follows a line that ends with one.
    """
    return last_line.endswith(b"}") and line.startswith((b"{", b"[DONE]"))


class SurrogateJoiner:
    """Joins characters that a server cut between the two halves of a surrogate pair.

    Servers that count UTF-16 units, as JavaScript does, cut there: between two chunks, or at the
    end of an answer. Half a pair can be neither printed nor sent, so a half that stays alone is
    dropped at the end of a text and replaced inside it.
    """

    def __init__(self) -> None:
        self._pending: dict[tuple[Any, ...], str] = {}

    def join(self, value: Any, path: tuple[Any, ...] = ()) -> Any:
        """Return decoded JSON with complete characters.

        A text continues the text that had the same place (`path`) in the last chunk.
        """
        if isinstance(value, str):
            if value.isascii() and path not in self._pending:
                return value
            return self._join_text(value, path)
        if isinstance(value, dict):
            return {key: self.join(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.join(item, (*path, index)) for index, item in enumerate(value)]
        return value

    def _join_text(self, text: str, path: tuple[Any, ...]) -> str:
        text = self._pending.pop(path, "") + text
        if "\ud800" <= text[-1:] <= "\udbff":
            self._pending[path] = text[-1]
            text = text[:-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def decode_text(data: bytes) -> str:
    """Return bytes as text. Invalid bytes are replaced one by one."""
    try:
        return data.decode("utf-8", "surrogatepass")  # half characters may come as bytes, too
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def is_json(data: bytes) -> bool:
    """Whether bytes are a JSON text."""
    try:
        json.loads(decode_text(data))
    except (ValueError, RecursionError):
        return False
    return True
