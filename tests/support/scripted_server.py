"""A raw socket server that answers with scripted bytes, for what no well-behaved server does.

    with ScriptedServer([sse(chunk), Reset()]) as server:
        client = OxenClient(base_url=server.url, api_key="test")

A script is what one connection's request is answered with: bytes are sent as they are, a number
is a pause in seconds, an event is waited for, `Reset()` ends the connection with a TCP reset, `Close()` in good order,
`Hold()` keeps it open and silent until the client or the server closes. The last script serves all further requests.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import Self

_LONGEST = 60.0  # seconds that an event is waited for
Step = "bytes | float | threading.Event | Reset | Hold"


class Reset:
    """Ends the connection with RST instead of FIN."""


class Close:
    """Ends the connection in good order."""


class Hold:
    """Keeps the connection open and says nothing."""


@dataclass
class Request:
    """One request as it was received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    closed: threading.Event = field(default_factory=threading.Event)
    """Set when the client closed the connection while it was being answered."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def http(
    body: bytes | str | dict[str, Any],
    *,
    status: str = "200 OK",
    content_type: str = "application/json",
    headers: Iterable[str] = (),
) -> bytes:
    """Return one complete HTTP response."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    data = data.encode() if isinstance(data, str) else data
    head = [
        f"HTTP/1.1 {status}",
        f"content-type: {content_type}",
        f"content-length: {len(data)}",
        *headers,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data


SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
"""The head of an event stream that ends when the connection does."""


def sse(*events: dict[str, Any] | str, newline: str = "\n") -> bytes:
    """Return events: a dict is sent as JSON, a string as it is."""
    lines = (e if isinstance(e, str) else json.dumps(e) for e in events)
    return "".join(f"data: {line}{newline}{newline}" for line in lines).encode()


def stream(*events: dict[str, Any] | str) -> bytes:
    """Return a whole event-stream response."""
    return SSE_HEAD + sse(*events)


def delta(finish_reason: Any = None, **fields: Any) -> dict[str, Any]:
    """Return an ordinary chunk whose delta has these fields."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "ox-1",
        "choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}],
    }


def completion(message: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Return an ordinary completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "ox-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", **(message or {"content": "hello"})},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15},
        **fields,
    }


class ScriptedServer:
    """Answers the n-th request with the n-th script, on a free port of this machine."""

    def __init__(self, *scripts: Sequence[Any] | bytes) -> None:
        self._scripts = [[s] if isinstance(s, bytes) else list(s) for s in scripts]
        self.requests: list[Request] = []
        self.connections = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self._open: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/api/ai"

    @property
    def open_connections(self) -> int:
        """How many connections neither side has closed."""
        return len(self._open)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # A blocked accept() is only woken by a shutdown.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._open.add(connection)
                number = self.connections
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        reader = connection.makefile("rb")
        try:
            while (request := _read_request(reader, number)) is not None:
                with self._lock:
                    script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
                    self.requests.append(request)
                if not self._play(connection, script, request):
                    return
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            reader.close()
            connection.close()

    def _play(self, connection: socket.socket, script: list[Any], request: Request) -> bool:
        sent = b""
        for step in script:
            if isinstance(step, bytes):
                try:
                    connection.sendall(step)
                except OSError:
                    request.closed.set()
                    raise
                sent = sent or step
            elif isinstance(step, Reset):
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
            elif isinstance(step, Close):
                return False
            elif isinstance(step, Hold):
                self._watch(connection, request)
                return False
            elif isinstance(step, threading.Event):
                step.wait(_LONGEST)
            else:
                time.sleep(step)
        return b"connection: close" not in sent.lower()

    def _watch(self, connection: socket.socket, request: Request) -> None:
        try:
            while connection.recv(1024):
                pass
        except OSError:
            pass
        request.closed.set()


def _read_request(reader: Any, number: int) -> Request | None:
    line = reader.readline().decode("latin-1").split()
    if len(line) < 2:
        return None
    headers = {}
    while (raw := reader.readline().decode("latin-1").strip()) != "":
        name, _, value = raw.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int(reader.readline(), 16):
            body += reader.read(size)
            reader.readline()
        reader.readline()
    else:
        body = reader.read(int(headers.get("content-length", 0)))
    return Request(line[0], line[1], headers, body, number)
