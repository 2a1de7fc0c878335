"""The hub as an ASGI application: every request is recorded, given its fault, answered."""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

from anyio import move_on_after
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from oxen_sandbox.catalog_api import CatalogApi
from oxen_sandbox.chat import ChatApi
from oxen_sandbox.control_api import ControlApi
from oxen_sandbox.faults import Fault
from oxen_sandbox.hub import Hub, Recorded
from oxen_sandbox.queue_api import QueueApi
from oxen_sandbox.state import Account
from oxen_sandbox.streams import EventStream
from oxen_sandbox.synchronous_api import SynchronousApi
from oxen_sandbox.wire import Rejected, not_found, titled

_UNKNOWN_KEY = (
    "unauthenticated: this is the local sandbox, not Oxen's hub, and it does not know this key. "
    "Its key is `Sandbox.api_key`, which `python -m oxen_sandbox` prints."
)


class _AnswerLost(Exception):  # noqa: N818 - a signal, not an error
    """The handler did its work and its answer is thrown away."""


class App:
    """The routes of a hub, behind its faults."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._routes = _routes(hub)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method, path = scope["method"], scope["path"]
        body = await _read(receive) if method not in {"GET", "HEAD"} else b""
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        scope["oxen.headers"] = headers
        scope["oxen.body"] = body
        control = path.startswith("/_sandbox")
        if self._hub.settings.record and not control:
            self._record(method, path, scope["query_string"], headers, body)
        fault = None if control else self._hub.faults.draw("answer", method, path)
        if fault is None:
            await self._handle(scope, receive, send)
        elif fault.when == "after" or fault.action in {"delay", "truncate"}:
            await self._handle_with_fault(fault, scope, receive, send)
        else:
            await _fail(fault, scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            path = scope["path"]
            if path.startswith("/api/"):
                scope["oxen.account"] = self._authenticate(scope)
            await self._routes(scope, receive, send)
        except Rejected as rejection:
            body = rejection.body()
            if rejection.status == 402 and self._hub.face.wraps_errors:
                body = titled("insufficient_credits", "You have run out of credits.")
            await JSONResponse(body, rejection.status)(scope, receive, send)

    async def _handle_with_fault(
        self, fault: Fault, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if fault.action == "delay":
            if fault.when == "before":
                await asyncio.sleep(fault.seconds or 0.0)
                await self._handle(scope, receive, send)
            else:
                await self._handle(scope, receive, _late(send, fault.seconds or 0.0))
        elif fault.action == "truncate":
            with contextlib.suppress(_AnswerLost):
                await self._handle(scope, receive, _truncating(fault, scope, send))
            await _until_gone(receive, 5)
        else:
            with contextlib.suppress(_AnswerLost):
                await self._handle(scope, receive, _discard)
            await _fail(fault, scope, receive, send)

    def _authenticate(self, scope: Scope) -> Account | None:
        headers = scope["oxen.headers"]
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if not scheme and not self._hub.face.needs_key(scope["method"], scope["path"]):
            return None
        account = self._hub.state.accounts.get(key.strip()) if scheme.lower() == "bearer" else None
        if account is None:
            raise Rejected(401, _UNKNOWN_KEY, "unauthenticated", shape="oxen")
        return account

    def _record(
        self, method: str, path: str, query: bytes, headers: Mapping[str, str], body: bytes
    ) -> None:
        shown = (
            {**headers, "authorization": "<redacted>"} if "authorization" in headers else headers
        )
        pairs = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        try:
            content = json.loads(body) if body else None
        except ValueError:
            content = body.decode("utf-8", "replace")
        self._hub.requests.append(Recorded(method, path, pairs, dict(shown), content, time.time()))


def _routes(hub: Hub) -> Router:
    """The published API, an older page of it, and the sandbox's own controls; the rest is a 404."""
    chat, queue, media = ChatApi(hub), QueueApi(hub), SynchronousApi(hub)
    models, control = CatalogApi(hub), ControlApi(hub)

    async def events(request: Request) -> Response:
        faults = hub.faults.draw_all("stream", "GET", request.url.path)
        stream = hub.events.listen(request.scope["oxen.account"], hub.settings.keepalive_seconds)
        return EventStream(stream, faults)  # type: ignore[return-value]  # any ASGI app will do

    shared = [  # under today's base URL and under the older one
        ("/chat/completions", chat.create, "POST"),
        ("/images/generate", media.generate_image, "POST"),
        ("/images/edit", media.edit_image, "POST"),
        ("/videos/generate", media.generate_video, "POST"),
    ]
    has_speech = hub.face.has_speech_routes
    speech = [
        ("/audio/speech", media.speak, "POST"),
        ("/audio/transcriptions", media.transcribe, "POST"),
    ]
    current = [
        *shared,
        ("/audio/generate", media.generate_audio, "POST"),
        *(speech if has_speech else ()),
        ("/queue", queue.create, "POST"),
        ("/queue", queue.active, "GET"),
        ("/queue/{generation_id}", queue.show, "GET"),
        ("/queue/{generation_id}", queue.cancel, "DELETE"),
        ("/generations", queue.history, "GET"),
        ("/generations/{generation_id}", queue.details, "GET"),
        ("/models", models.index, "GET"),
        ("/models/search", models.search, "GET"),
        ("/models/featured", models.featured, "GET"),
        ("/models/favorites", models.favorites, "GET"),
        ("/models/{id:path}/activate", models.activate, "POST"),
        ("/models/{id:path}/deactivate", models.deactivate, "POST"),
        ("/models/{id:path}/favorite", models.favorite, "POST"),
        ("/models/{id:path}/favorite", models.unfavorite, "DELETE"),
        ("/models/{id:path}", models.show, "GET"),
        ("/models/{id:path}", models.update, "PUT"),
        ("/models/{id:path}", models.delete, "DELETE"),
    ]
    older = [
        *shared,
        ("/media/generations/status/{namespace}/{model:path}", queue.legacy_status, "GET"),
        ("/media/generations/{namespace}/{generation_id}", queue.cancel, "DELETE"),
        ("/evaluations/models", models.legacy_index, "GET"),
        ("/evaluations/models/{id:path}", models.legacy_show, "GET"),
    ]
    beside = [
        ("/api/events", events, "GET"),
        ("/api/repos/{namespace}/{repo}/workspaces/{workspace}/files/{name}", media.file, "GET"),
        ("/storage/{name}", media.stored_file, "GET"),
        ("/_sandbox/faults", control.faults, "GET"),
        ("/_sandbox/faults", control.inject, "POST"),
        ("/_sandbox/faults", control.clear_faults, "DELETE"),
        ("/_sandbox/replies", control.replies, "GET"),
        ("/_sandbox/replies", control.reply, "POST"),
        ("/_sandbox/replies", control.clear_replies, "DELETE"),
        ("/_sandbox/state", control.state, "GET"),
        ("/_sandbox/state", control.change, "PUT"),
        ("/_sandbox/clock", control.advance, "POST"),
        ("/_sandbox/reset", control.reset, "POST"),
    ]
    table = [
        *((f"/api/ai{path}", handler, method) for path, handler, method in current),
        *((f"/api{path}", handler, method) for path, handler, method in older),
        *beside,
    ]
    return Router(
        [Route(path, handler, methods=[method]) for path, handler, method in table]
        + [Route("/{path:path}", _no_route, methods=_EVERY_METHOD)],
        redirect_slashes=False,
    )


_EVERY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


async def _no_route(request: Request) -> Response:
    raise not_found(f"No route for {request.method} {request.url.path}")


async def _read(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts = [body]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


async def _discard(_: Message) -> None:
    raise _AnswerLost


def _late(send: Send, seconds: float) -> Send:
    async def late(message: Message) -> None:
        if message["type"] == "http.response.start":
            await asyncio.sleep(seconds)
        await send(message)

    return late


def _truncating(fault: Fault, scope: Scope, send: Send) -> Callable[[Message], Awaitable[None]]:
    """Send the whole answer's headers, `after_bytes` of its body, then hang up."""
    left = fault.after_bytes

    async def truncated(message: Message) -> None:
        nonlocal left
        if message["type"] != "http.response.body":
            await send(message)
            return
        body = message.get("body", b"")
        if len(body) <= left and message.get("more_body"):
            left -= len(body)
            await send(message)
            return
        await send({"type": "http.response.body", "body": body[:left], "more_body": True})
        scope["oxen.close"]()
        raise _AnswerLost

    return truncated


async def _fail(fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    if fault.action == "hang":
        await _until_gone(receive, fault.seconds)
        scope["oxen.close"]()
        return
    if fault.seconds:
        await asyncio.sleep(fault.seconds)
    if fault.action == "reset":
        scope["oxen.reset"]()
        await _until_gone(receive, 5)
        return
    await _response(fault)(scope, receive, send)


async def _until_gone(receive: Receive, seconds: float | None) -> None:
    with move_on_after(seconds):
        while (await receive())["type"] != "http.disconnect":
            pass


def _response(fault: Fault) -> Response:
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["retry-after"] = str(fault.retry_after)
    body = fault.body
    if body is None:
        if fault.shape == "text":
            body = fault.message
        elif fault.shape == "status":
            body = {"status": "error", "status_message": fault.message}
        else:
            body = Rejected(fault.status, fault.message, fault.type, fault.shape).body()
    if isinstance(body, (dict, list)):
        return JSONResponse(body, fault.status, headers)
    return Response(body, fault.status, headers, media_type=fault.content_type or "text/plain")
