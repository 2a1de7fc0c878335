"""The one POST that pays, over a transport that can be trusted to say what it sent.

Not over aiohttp, which reports a connection reset after the request was read as a failure to
connect; and on a connection of its own, since one kept alive may have been closed by the hub,
which cannot be told from a request that was read and never answered. A run of many requests keeps
its connections all the same, but uses none that was idle for longer than a second. A transport
that the developer brought along is used as it is.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from oxen_inference.bounded_http import bounded
from oxen_inference.effects import NotAllowed, NotSent
from oxen_inference.http_clients import make_async_http_client, make_http_client
from oxen_inference.transport import AsyncSender, Call, RawContent, Sender
from oxen_inference.transport_errors import closed_client

_current_gate: ContextVar[_Gate | None] = ContextVar("oxen_gate", default=None)
# https://www.encode.io/httpcore/extensions/#trace: after connecting, before the first byte.
_LONGEST_IDLE = 1.0  # seconds; servers close a connection after five or more
_FIRST_BYTE = "send_request_headers.started"


class _Gate:
    """Asks once, at the last moment, whether the request may be sent."""

    def __init__(self, may_send: Callable[[], bool]) -> None:
        self._may_send = may_send
        self.refused = False
        self.error: Exception | None = None
        self.is_asked = False
        self.is_passed = False
        """Whether the transport was told that it may send."""
        self.in_thread: Future[None] | None = None

    def ask(self) -> None:
        if self.is_asked:
            return
        self.is_asked = True
        try:
            self.refused = not self._may_send()
        except Exception as error:
            self.refused, self.error = True, error
            raise
        if self.refused:
            raise NotAllowed


class PaidTransport:
    """Makes paid calls for the sync client."""

    def __init__(self, client: Sender) -> None:
        self._given = client
        self._is_ours = client.transport_is_ours
        options: dict[str, Any] = {"max_retries": 0}
        if self._is_ours:
            options["http_client"] = bounded(_make(), _make)
        self._client = client.with_options(**options)

    def post_once(self, call: Call[object], may_send: Callable[[], bool]) -> object:
        """Make the call; see `effects.post_once`."""
        _check_open(self._given)
        gate = _Gate(may_send)
        if not self._is_ours:
            gate.ask()  # it may have no such moment to ask at
        token = _current_gate.set(gate)
        try:
            answer = self._client.post(call.path, **_arguments(call))
            return _json_or_bytes(answer, self._client) if call.takes_bytes else answer
        except Exception as error:
            _raise_refusal(gate, error)
            raise
        finally:
            _current_gate.reset(token)


class AsyncPaidTransport:
    """Makes paid calls for the async client; `executor()` is where the ledger is written."""

    def __init__(self, client: AsyncSender, executor: Callable[[], Executor]) -> None:
        self._given = client
        self._executor = executor
        self._is_ours = client.transport_is_ours
        options: dict[str, Any] = {"max_retries": 0}
        if self._is_ours:
            options["http_client"] = bounded(self._make(), self._make)
        self._client = client.with_options(**options)

    async def post_once(self, call: Call[object], may_send: Callable[[], bool]) -> object:
        """Make the call; see `effects.post_once`."""
        _check_open(self._given)
        gate = _Gate(may_send)
        if not self._is_ours:
            await self._ask(gate)
        token = _current_gate.set(gate)
        try:
            answer = await self._client.post(call.path, **_arguments(call))
            return _json_or_bytes(answer, self._client) if call.takes_bytes else answer
        except Exception as error:
            if gate.in_thread is not None and not gate.in_thread.cancelled():
                with suppress(Exception):  # the gate has it
                    await asyncio.wrap_future(gate.in_thread)
            _raise_refusal(gate, error)
            if gate.is_asked and not gate.is_passed:
                raise NotSent(error) from error
            raise
        finally:
            _current_gate.reset(token)

    def _make(self) -> Any:
        return make_async_http_client(event_hooks={"request": [self._hook]}, limits=_limits())

    async def _ask(self, gate: _Gate) -> None:
        # A time limit may end the waiting for it, and not the thread, which writes all the same.
        if gate.is_passed:
            return
        gate.in_thread = self._executor().submit(gate.ask)
        await asyncio.wrap_future(gate.in_thread)
        gate.is_passed = True

    async def _hook(self, request: Any) -> None:
        gate = _current_gate.get()

        async def trace(name: str, _: Any) -> None:
            if gate is not None and name.endswith(_FIRST_BYTE):
                await self._ask(gate)

        request.extensions["trace"] = trace


def _make() -> Any:
    return make_http_client(event_hooks={"request": [_hook]}, limits=_limits())


def _hook(request: Any) -> None:
    gate = _current_gate.get()

    def trace(name: str, _: Any) -> None:
        if gate is not None and name.endswith(_FIRST_BYTE):
            gate.ask()

    request.extensions["trace"] = trace


def _limits() -> Any:
    """Return the SDK's limits of connections, with a shorter time for one to be idle."""
    from openai._constants import DEFAULT_CONNECTION_LIMITS

    usual = DEFAULT_CONNECTION_LIMITS
    return type(usual)(
        max_connections=usual.max_connections,
        max_keepalive_connections=usual.max_keepalive_connections,
        keepalive_expiry=_LONGEST_IDLE,
    )


def _check_open(client: Sender | AsyncSender) -> None:
    # The connection here is another, but how far the job is could never be asked.
    if client.is_closed():
        raise closed_client()


def _raise_refusal(gate: _Gate, error: Exception) -> None:
    """Raise the reason why nothing was sent, whatever the transport made of it."""
    if gate.refused:
        raise (gate.error or NotAllowed()) from error


def _arguments(call: Call[Any]) -> dict[str, Any]:
    options = call.options()
    if not call.may_keep_connection:
        options["headers"] = {"Connection": "close"}
    kind: type = object
    if call.takes_bytes:
        from openai import HttpxBinaryResponseContent

        kind = HttpxBinaryResponseContent
    return {"cast_to": kind, "options": options, "body": dict(call.body or {})}


def _json_or_bytes(answer: Any, client: Sender | AsyncSender) -> object:
    """Return an answer as JSON wherever it is JSON, whatever its header says, else its bytes."""
    response = answer.response
    with suppress(ValueError, RecursionError):
        return client.without_key(json.loads(response.content))
    declared = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return RawContent(response.content, declared or None)
