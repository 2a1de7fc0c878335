"""A hub that answers each route with what a test puts there, and remembers what it was sent.

    with RoutedHub({"GET /models": {"object": "list", "data": [...]}}) as hub:
        client = OxenClient(base_url=hub.url, api_key="test")

An answer is JSON, or a function of the request that returns it; a `Response` has another status or
is an event stream. A route that is not there is a 404.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from typing_extensions import Self


@dataclass(frozen=True)
class Response:
    """An answer that is not simply JSON with a 200."""

    body: Any
    status: int = 200
    content_type: str = "application/json"

    @property
    def data(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Sent:
    """A request as the hub received it."""

    method: str
    path: str
    headers: Mapping[str, str]
    json: Any


@dataclass
class RoutedHub:
    """`routes`: by "METHOD /path", below the base URL."""

    routes: dict[str, Any] = field(default_factory=dict)
    requests: list[Sent] = field(default_factory=list)

    def __enter__(self) -> Self:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def answer(self) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                path = unquote(urlsplit(self.path).path).removeprefix("/api/ai")
                sent = Sent(self.command, path, headers, json.loads(raw) if raw else None)
                hub.requests.append(sent)
                response = hub.answer(sent)
                self.send_response(response.status)
                self.send_header("content-type", response.content_type)
                self.send_header("content-length", str(len(response.data)))
                self.end_headers()
                self.wfile.write(response.data)

            do_GET = do_POST = do_PUT = do_DELETE = answer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # How long the end of a test waits for it.
        polling = {"poll_interval": 0.02}
        threading.Thread(target=self._server.serve_forever, kwargs=polling, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/api/ai"

    def answer(self, sent: Sent) -> Response:
        found = self.routes.get(f"{sent.method} {sent.path}")
        if callable(found) and not isinstance(found, Response):
            found = found(sent)
        if found is None:
            error = {"type": "resource_not_found", "detail": f"No route for {sent.path}"}
            return Response({"error": error, "status": "error"}, 404)
        return found if isinstance(found, Response) else Response(found)

    def sent_to(self, path: str) -> list[Sent]:
        return [sent for sent in self.requests if sent.path == path]


def listed(*models: Mapping[str, Any]) -> dict[str, Any]:
    """Return a list of models as the hub sends it."""
    return {"object": "list", "data": [{"object": "model", **model} for model in models]}


def chat(
    usage: Mapping[str, Any] | None,
    text: str = "hi",
    *,
    beside: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Callable[[Sent], Response]:
    """Return a chat route that answers with `text`, whole or streamed as it was asked.

    `fields` are further ones of its message, and `beside` of what has the usage.
    """

    def answer(sent: Sent) -> Response:
        about = {"id": "chatcmpl-1", "created": 1, "model": sent.json["model"]}
        message = {"role": "assistant", "content": text, **fields}
        last = {"usage": usage, **(beside or {})}
        if not sent.json.get("stream"):
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            return Response({**about, "choices": choices, **last})
        chunks: list[dict[str, Any]] = [
            {**about, "choices": [{"index": 0, "delta": message}]},
            {**about, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {**about, "choices": [], **last},
        ]
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        return Response("".join([*lines, "data: [DONE]\n\n"]), content_type="text/event-stream")

    return answer
