"""The hub as an ASGI application: every request is recorded, made to suffer its fault, answered."""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl

from anyio import move_on_after
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oxen_sandbox.clock import Clock
from oxen_sandbox.errors import Rejected
from oxen_sandbox.events import Events
from oxen_sandbox.faults import Fault, Faults
from oxen_sandbox.files import Files
from oxen_sandbox.models import Catalog
from oxen_sandbox.parameters import problem
from oxen_sandbox.state import Account, Job, Settings, State


@dataclass(frozen=True)
class Recorded:
    """A request as it arrived: JSON parsed where it was JSON, authorization redacted."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    json: Any
    time: float


class _AnswerLost(Exception):  # noqa: N818 - a signal, not an error
    """The handler did its work and its answer is thrown away."""


class Hub:
    """One hub: its catalog, accounts, jobs, faults and the requests it has seen."""

    def __init__(self, settings: Settings, clock: Clock, api_key: str | None = None) -> None:
        from oxen_sandbox.app import routes

        self.settings = settings
        self.clock = clock
        self.models = Catalog()
        self.faults = Faults()
        self.events = Events()
        self.requests: list[Recorded] = []
        self.origin = ""
        self.changed = asyncio.Event()  # the scheduler looks again
        self.state = State(clock, settings, self.bad_parameters, self._on_finished)
        self.files = Files(self)
        self.account = self.add_account("ox-lab", api_key)
        self._shipped = Settings(**{f.name: getattr(settings, f.name) for f in fields(Settings)})
        self._routes: ASGIApp = routes(self)

    def add_account(self, namespace: str, key: str | None = None) -> Account:
        """Another user, with a key of his own."""
        account = Account(key or f"sandbox-{secrets.token_hex(12)}", namespace)
        self.state.accounts[account.key] = account
        return account

    def reset(self) -> None:
        """Back to how the hub started: models, settings, jobs, money, faults, requests."""
        self.faults.clear()
        self.state.reset()
        self.models.reset()
        self.files.reset()
        self.events.drop()
        self.requests.clear()
        for setting in fields(Settings):
            setattr(self.settings, setting.name, getattr(self._shipped, setting.name))

    async def run_clock(self) -> None:
        """Move jobs on at the moment each change is due, so that events go out in time."""
        while True:
            due = self.state.advance()
            await self.clock.sleep_until(due, self.changed)
            self.changed.clear()

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
        if self.settings.record and not control:
            self._record(method, path, scope["query_string"], headers, body)
        fault = None if control else self.faults.draw("answer", method, path)
        if fault is None:
            await self._handle(scope, receive, send)
        elif fault.when == "after" or fault.action in {"delay", "truncate"}:
            await self._suffer_after(fault, scope, receive, send)
        else:
            await _misbehave(fault, scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            path = scope["path"]
            if path.startswith("/api/"):
                scope["oxen.account"] = self._authenticate(scope["oxen.headers"])
            await self._routes(scope, receive, send)
        except Rejected as rejection:
            await JSONResponse(rejection.body(), rejection.status)(scope, receive, send)

    async def _suffer_after(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
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
                await self._handle(scope, receive, _losing)
            await _misbehave(fault, scope, receive, send)

    def _authenticate(self, headers: Mapping[str, str]) -> Account:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        account = self.state.accounts.get(key.strip()) if scheme.lower() == "bearer" else None
        if account is None:
            raise Rejected(401, "unauthenticated", "unauthenticated", shape="oxen")
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
        self.requests.append(Recorded(method, path, pairs, dict(shown), content, time.time()))

    def bad_parameters(
        self, schema: Mapping[str, Any] | None, params: dict[str, Any]
    ) -> str | None:
        return problem(schema, params) or self.files.missing_input(schema, params)

    def _on_finished(self, job: Job) -> None:
        path = "/api/events"
        if self.faults.draw("event", "GET", path):
            return
        data: dict[str, Any] = {
            "generation_id": job.generation_id,
            "status": job.status,
            "media_type": job.media_type,
            "model": job.model_name,
        }
        if job.status == "succeeded":
            data["url"] = self.files.url(job.generation_id, job.account.namespace)
        else:
            data["error"] = job.error_message
        self.events.publish("media_generation_completed", data, job.account)


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


async def _losing(_: Message) -> None:
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


async def _misbehave(fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
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
