"""A hub of raw sockets that breaks off, garbles and delays, and counts what it really accepted.

Written apart from the sandbox, so that the engine is judged by two independent servers.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import struct
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit

from typing_extensions import Self

NOT_ACCEPTED = (
    "reset_before", "status_400", "status_402", "status_404", "status_422", "status_429",
    "status_500_before", "html_502_before", "refusal_in_200", "redirect_before", "close_before",
)  # fmt: skip
ACCEPTED = (
    "ok", "reset_after", "close_after", "half_headers", "half_body", "chunk_garbage",
    "status_500_after", "status_409_after", "status_408_after", "no_ids", "not_json", "empty_body",
    "doubled_ids", "error_in_200_after", "refusal_in_200_after", "hang_after", "slow_loris",
)  # fmt: skip


@dataclass
class Submission:
    """One accepted POST."""

    body: dict[str, Any]
    ids: list[str]
    at: float


@dataclass
class BadHub:
    """`plan(prompt, attempt)` names what happens to each POST /queue.

    Accepted rows are listed only `lag` seconds later; jobs take `seconds`.
    """

    plan: Callable[[str, int], str] = lambda _prompt, _attempt: "ok"
    lag: float = 0.0
    seconds: float = 0.05
    clock: Callable[[], float] = time.time
    """What the hub's clock shows."""
    states_date: bool = False
    """Whether answers have a `Date`."""
    think: float = 0.0
    """Seconds taken before a POST is accepted, and again before it is answered."""
    retry_after: str = "0"
    cost: str | None = "0.05"
    foreign_rows: list[dict[str, Any]] = field(default_factory=list)
    has_history: bool = True
    """Whether `/generations` is there."""
    state_pages: Callable[[int], Any] = lambda pages: pages
    """How `/generations` says how many pages there are."""
    url_prefix: str | None = None
    """What result URLs begin with, if not the origin."""
    repeat_ids: list[str] | None = None
    """Ids to answer with instead of the new job's, as a proxy that caches would."""
    fail_gets: Callable[[str], bool] = lambda _path: False
    take_over: Callable[[socket.socket, str], bool] = lambda _connection, _path: False
    """Answers a GET in its own way, if it returns True; the connection ends then."""
    shown: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda _route, row: row
    """How a route (``queue`` or ``generations``) shows a row."""
    accepted: list[Submission] = field(default_factory=list)
    posts: Counter[str] = field(default_factory=Counter)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._running = True
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/api/ai"

    def submissions_of(self, prompt: str) -> list[Submission]:
        with self._lock:
            return [one for one in self.accepted if one.body.get("prompt") == prompt]

    def _serve(self) -> None:
        while self._running:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with connection, contextlib.suppress(OSError, ValueError):
            while self._running and self._answer(connection):
                pass

    def _answer(self, connection: socket.socket) -> bool:
        received = _read_request(connection)
        if received is None:
            return False
        if self.states_date:
            connection = _Dated(connection, self.clock)  # type: ignore[assignment]
        method, target, body = received
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        with self._lock:
            self.requests.append((method, path))
        if method == "POST" and path == "/api/ai/queue":
            return self._post(connection, json.loads(body))
        if method == "GET" and self.take_over(connection, path):
            return False
        if self.fail_gets(path):
            return _reset(connection)
        status, payload = self._get(method, path, {k: v[0] for k, v in query.items()})
        if isinstance(payload, bytes):
            _send(connection, status, payload, "image/png")
        else:
            _send(connection, status, json.dumps(payload).encode())
        return True

    def _post(self, connection: socket.socket, body: dict[str, Any]) -> bool:
        prompt = str(body.get("prompt"))
        with self._lock:
            attempt = self.posts[prompt]
            self.posts[prompt] += 1
        time.sleep(self.think)
        what = self.plan(prompt, attempt)
        if what in NOT_ACCEPTED:
            return _refuse(connection, what, self.retry_after)
        made = 1 if what == "fewer_ids" else int(body.get("num_generations", 1))
        ids = [str(uuid.uuid4()) for _ in range(made)]
        with self._lock:
            self.accepted.append(Submission(body, ids, time.time()))
        time.sleep(self.think)
        shown = self.repeat_ids or ids
        answer = {"generations": [{"generation_id": one, "status": "queued"} for one in shown]}
        return _suffer(connection, what, answer)

    def _get(self, method: str, path: str, query: dict[str, str]) -> tuple[int, Any]:  # noqa: PLR0911 - a table of routes
        parts = path.removeprefix("/api/ai/").split("/")
        if parts[0] == "models" and len(parts) == 2:
            return 200, MODEL
        if parts[0] == "models":
            return 200, {"object": "list", "data": [MODEL]}
        if parts[0] == "files":
            return 200, PNG
        rows = [self.shown(parts[0], row) for row in self._rows()]
        if parts[0] in ("queue", "generations")[: 1 + self.has_history] and len(parts) == 2:
            row = next((row for row in rows if row["generation_id"] == parts[1]), None)
            if row is None:
                return 404, {"error": {"type": "resource_not_found", "title": "Not found"}}
            if method == "DELETE":
                return 200, {"status": "success", "generation_id": parts[1]}
            return 200, row if parts[0] == "queue" else {"status": "success", "generation": row}
        if query.get("model"):
            rows = [row for row in rows if row["model_name"] == query["model"]]
        if parts[0] == "queue":
            statuses = (query["status"],) if "status" in query else ("queued", "processing")
            return 200, {"generations": [row for row in rows if row["status"] in statuses]}
        if parts[0] == "generations" and self.has_history:
            size, page = int(query.get("page_size", 50)), int(query.get("page", 1))
            shown = rows[::-1][(page - 1) * size : page * size]
            pages = max(1, -(-len(rows) // size))
            return 200, {
                "generations": shown,
                "page_number": page,
                "total_pages": self.state_pages(pages),
            }
        return 404, {"error": {"message": "no such route"}}

    def _rows(self) -> list[dict[str, Any]]:
        now = time.time()
        with self._lock:
            seen = [one for one in self.accepted if one.at + self.lag <= now]
        rows = list(self.foreign_rows)
        prefix = self.origin if self.url_prefix is None else self.url_prefix
        for one in seen:
            done = one.at + self.seconds <= now
            rows += [
                {
                    **one.body,
                    "generation_id": each,
                    "model_name": one.body["model"],
                    "media_type": "image",
                    "status": "succeeded" if done else "processing",
                    "result_url": f"{prefix}/api/ai/files/{each}" if done else None,
                    "enqueued_at": int(one.at - time.time() + self.clock()),
                    "cost": self.cost if done else None,
                }
                for each in one.ids
            ]
        return rows


MODEL: dict[str, Any] = {
    "id": "bad-image",
    "object": "model",
    "created": 0,
    "owned_by": "oxen",
    "endpoint": "/images/generate",
    "capabilities": {"input": ["text"], "output": ["image"]},
    "pricing": {"method": "per_image", "cost_per_image": 0.05},
    "request_schema": {
        "type": "object",
        "required": ["prompt"],
        "properties": {
            "prompt": {"type": "string"},
            "seed": {"type": "integer"},
            "width": {"type": "integer", "default": 1024},
        },
    },
}


def _read_request(connection: socket.socket) -> tuple[str, str, bytes] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        chunk = connection.recv(65536)
        if not chunk:
            return None
        body += chunk
    method, target, _ = first.split(" ")
    return method, target, body


def _send(
    connection: socket.socket,
    status: int,
    body: bytes,
    kind: str = "application/json",
    extra: str = "",
) -> None:
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    )
    connection.sendall(head.encode() + body)


class _Dated:
    """A connection that adds a `Date` to the headers sent over it."""

    def __init__(self, connection: socket.socket, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._clock = clock

    def sendall(self, data: bytes) -> None:
        date = f"\r\nDate: {formatdate(self._clock(), usegmt=True)}\r\n\r\n"
        self._connection.sendall(data.replace(b"\r\n\r\n", date.encode(), 1))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _reset(connection: socket.socket) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    return False


def _refuse(connection: socket.socket, what: str, retry_after: str) -> bool:
    """Nothing was accepted; say so, or do not."""
    kind, _, number = what.partition("_")
    if what == "reset_before":
        return _reset(connection)
    if what == "close_before":
        return False
    if what == "redirect_before":
        _send(connection, 307, b"", extra="Location: /api/ai/queue\r\n")
    elif what == "refusal_in_200":
        error = {"type": "insufficient_credits", "detail": "Insufficient credits"}
        _send(connection, 200, json.dumps({"generations": [], "error": error}).encode())
    elif what == "html_502_before":
        _send(connection, 502, b"<html><title>Bad gateway</title></html>", "text/html")
    else:
        assert kind == "status"
        status = int(number.partition("_")[0])
        error = {"error": {"type": "unknown_error", "detail": f"refused with {status}"}}
        wait = f"Retry-After: {retry_after}\r\n" if status == 429 else ""
        _send(connection, status, json.dumps(error).encode(), extra=wait)
    return True


def _suffer(connection: socket.socket, what: str, answer: dict[str, Any]) -> bool:  # noqa: PLR0912 - a table of faults
    """It was accepted; answer as `what` says."""
    body = json.dumps(answer).encode()
    if what in ("ok", "fewer_ids"):
        _send(connection, 200, body)
        return True
    if what in ("flat_answer", "wrapped_answer"):
        (one,) = answer["generations"]
        shown = one if what == "flat_answer" else {"status": "success", "generation": one}
        _send(connection, 200, json.dumps(shown).encode())
        return True
    if what == "reset_after":
        return _reset(connection)
    if what == "close_after":
        return False
    if what == "half_headers":
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: appl")
    elif what == "half_body":
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[: len(body) // 2])
    elif what == "chunk_garbage":
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"zz\r\nnot a chunk\r\n")
    elif what.startswith("status_"):
        error = {"error": {"type": "unknown_error", "detail": "lost my head"}}
        _send(connection, int(what.split("_")[1]), json.dumps(error).encode())
    elif what == "no_ids":
        _send(connection, 200, b'{"generations": [{"status": "queued"}]}')
    elif what == "not_json":
        _send(connection, 200, b"Accepted, thank you!", "text/plain")
    elif what == "empty_body":
        _send(connection, 202, b"")
    elif what == "doubled_ids":
        doubled = {"generations": answer["generations"] * 2}
        _send(connection, 200, json.dumps(doubled).encode())
    elif what == "error_in_200_after":
        error = {"generations": [], "error": {"type": "unknown_error", "detail": "who knows"}}
        _send(connection, 200, json.dumps(error).encode())
    elif what == "refusal_in_200_after":
        error = {"type": "unauthenticated", "title": "No such key"}
        _send(connection, 200, json.dumps({"error": error}).encode())
    elif what == "hang_after":
        with contextlib.suppress(OSError):
            connection.recv(1)
    elif what == "slow_loris":
        with contextlib.suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\n":
                connection.sendall(bytes([byte]))
                time.sleep(0.01)
            connection.recv(1)  # and never the rest
    else:
        raise AssertionError(what)
    return False


def random_plan(seed: int, *, fault_share: float = 0.85) -> Callable[[str, int], str]:
    """Every attempt of every prompt meets a fault of its own, the same on every run."""

    def plan(prompt: str, attempt: int) -> str:
        dice = random.Random(f"{seed}:{prompt}:{attempt}")
        if dice.random() > fault_share:
            return "ok"
        return dice.choice((*NOT_ACCEPTED, *ACCEPTED))

    return plan


PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"
    b"\x1f\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\xa75\x81\x84"
    b"\x00\x00\x00\x00IEND\xaeB`\x82"
)
