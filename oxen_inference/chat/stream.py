"""The chat call itself, streamed or whole, sync and async, over the SDK's raw `post`."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import openai

from oxen_inference.chat.advice import unsendable, with_advice
from oxen_inference.chat.answer import Answer, Delta
from oxen_inference.chat.catalogue_peek import AsyncCataloguePeek, CataloguePeek
from oxen_inference.chat.normalise import AnswerReader
from oxen_inference.chat.sse import SSEDecoder
from oxen_inference.errors import (
    APIStatusError,
    OxenError,
    StreamCutOffError,
    StreamStalledError,
)
from oxen_inference.pricing import chat_cost

if TYPE_CHECKING:
    from decimal import Decimal

    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.models import Model


class _Bytes(openai.Stream[Any]):
    """The SDK's stream, used for its response only: its own decoder hides what we must see."""

    def __stream__(self) -> Iterator[Any]:
        yield from self.response.iter_bytes()


class _AsyncBytes(openai.AsyncStream[Any]):
    async def __stream__(self) -> AsyncIterator[Any]:
        async for chunk in self.response.aiter_bytes():
            yield chunk


def complete(
    client: OxenClient, body: Mapping[str, Any], *, priced: bool = False, **options: Any
) -> Answer:
    """Ask for a whole answer.

    `priced`: fetch the catalogue beside the first request, and put the cost into the answer.
    `options` are the SDK's per-request ones: timeout, extra_headers, extra_query. Raises
    `OxenError`.
    """
    peek = CataloguePeek.of(client) if priced else None
    if peek:
        peek.start()
    answer = read_completion(_post(client, body, options))
    if peek:
        answer.cost = _cost(peek.model(body["model"]), answer)
    return answer


async def acomplete(
    client: AsyncOxenClient, body: Mapping[str, Any], *, priced: bool = False, **options: Any
) -> Answer:
    """Ask for a whole answer; see `complete`."""
    peek = AsyncCataloguePeek.of(client) if priced else None
    if peek:
        peek.start()
    answer = read_completion(await _apost(client, body, options))
    if peek:
        answer.cost = _cost(await peek.model(body["model"]), answer)
    return answer


def _post(client: OxenClient, body: Mapping[str, Any], options: Any, **how: Any) -> Any:
    try:
        return client.post(
            client.paths.chat, cast_to=object, body=body, options=_options(options), **how
        )
    except APIStatusError as error:
        raise with_advice(client.catalog.explain(error, body["model"]), body) from error.__cause__
    except TypeError as error:
        raise unsendable(error) from error


async def _apost(client: AsyncOxenClient, body: Mapping[str, Any], options: Any, **how: Any) -> Any:
    try:
        return await client.post(
            client.paths.chat, cast_to=object, body=body, options=_options(options), **how
        )
    except APIStatusError as error:
        explained = await client.catalog.explain(error, body["model"])
        raise with_advice(explained, body) from error.__cause__
    except TypeError as error:
        raise unsendable(error) from error


def _cost(model: Model | None, answer: Answer) -> Decimal | None:
    if model is None or answer.usage is None:
        return None
    return chat_cost(model, answer.usage.as_openai())


def read_completion(payload: object) -> Answer:
    """Return the answer in the body of a success. Raises the error it may be instead."""
    reader = AnswerReader()
    if isinstance(payload, str | bytes):
        # Not sent as JSON: JSON all the same, an event stream nobody asked for, or a web page.
        text = payload.encode() if isinstance(payload, str) else payload
        decoder = SSEDecoder()
        events = decoder.feed(text) + decoder.finish()
        if decoder.body is None and not events:
            raise reader.unreadable(text)
        _ending(reader, decoder, events)
    else:
        reader.read(payload)
        reader.done = True
    end = reader.finish().end
    assert end is not None  # noqa: S101 - the last delta always has it
    return end


def stream(
    client: OxenClient,
    body: Mapping[str, Any],
    *,
    timeout: float | None = None,
    priced: bool = False,
    **options: Any,
) -> Iterator[Delta]:
    """Ask for a streamed answer; yields deltas, the last of which carries the whole.

    `timeout`: seconds until the answer begins, and between any two parts of it. Keep-alive
    comments are not parts: a gateway sends them for an upstream that has died, too. Closing the
    iterator closes the connection. Never retried once the answer has begun. For `priced` and
    `options` see `complete`. Raises `OxenError`.
    """
    peek = CataloguePeek.of(client) if priced else None
    if peek:
        peek.start()
    options["timeout"] = timeout
    source = _post(client, {**body, "stream": True}, options, stream=True, stream_cls=_Bytes)
    reader, decoder, clock = AnswerReader(), SSEDecoder(), _Silence(timeout)
    received = source.response.iter_bytes()
    try:
        while not reader.done:
            try:
                chunk = next(received, None)
            except Exception as error:  # noqa: BLE001 - of the transport, which is not imported
                _broken(reader, error, timeout)
                break
            if chunk is None:
                break
            events = decoder.feed(chunk)
            clock.check(reader, heard=bool(events) or decoder.holds_data)
            for name, data in events:
                if (delta := reader.read_event(name, data)) is not None:
                    yield delta
        if not reader.done:
            yield from _ending(reader, decoder, decoder.finish())
        last = reader.finish()
        if peek and last.end:
            last.end.cost = _cost(peek.model(body["model"]), last.end)
        yield last
        _drain(source.response, received)
    finally:
        source.response.close()


async def astream(
    client: AsyncOxenClient,
    body: Mapping[str, Any],
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - the gap between two parts, not the whole call
    priced: bool = False,
    **options: Any,
) -> AsyncIterator[Delta]:
    """Ask for a streamed answer; see `stream`."""
    peek = AsyncCataloguePeek.of(client) if priced else None
    if peek:
        peek.start()
    options["timeout"] = timeout
    streaming = {"stream": True, "stream_cls": _AsyncBytes}
    source = await _apost(client, {**body, "stream": True}, options, **streaming)
    reader, decoder, clock = AnswerReader(), SSEDecoder(), _Silence(timeout)
    received = source.response.aiter_bytes()
    try:
        while not reader.done:
            try:
                chunk = await anext(received, None)
            except Exception as error:  # noqa: BLE001 - of the transport, which is not imported
                _broken(reader, error, timeout)
                break
            if chunk is None:
                break
            events = decoder.feed(chunk)
            clock.check(reader, heard=bool(events) or decoder.holds_data)
            for name, data in events:
                if (delta := reader.read_event(name, data)) is not None:
                    yield delta
        if not reader.done:
            for delta in _ending(reader, decoder, decoder.finish()):
                yield delta
        last = reader.finish()
        if peek and last.end:
            last.end.cost = _cost(await peek.model(body["model"]), last.end)
        yield last
        with anyio.move_on_after(_DRAIN_SECONDS), suppress(Exception):
            await anext(received, None)
    finally:
        await source.response.aclose()


# A body left unread, be it only by its last empty chunk, costs the connection: a new handshake
# for every streamed answer. A server that stays silent after [DONE] must not hold anyone up.
_DRAIN_SECONDS = 0.1


def _drain(response: Any, received: Iterator[bytes]) -> None:
    stream = response.extensions.get("network_stream")
    connection = stream and stream.get_extra_info("socket")
    if connection is None:
        return
    guard = threading.Timer(_DRAIN_SECONDS, _hang_up, (connection,))
    guard.daemon = True
    guard.start()
    # The answer is whole; whatever the transport says now is of no consequence.
    with suppress(Exception):
        next(received, None)
    guard.cancel()


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


_OPTION_NAMES = {"extra_headers": "headers", "extra_query": "params", "extra_body": "extra_json"}


def _options(options: dict[str, Any]) -> Any:
    return {_OPTION_NAMES.get(k, k): v for k, v in options.items() if v is not None}


def _ending(reader: AnswerReader, decoder: SSEDecoder, rest: list[Any]) -> list[Delta]:
    """Read what was left when the bytes ended; the last line may be half of one."""
    if decoder.body is not None:
        return reader.read_body(decoder.body)
    deltas: list[Delta] = []
    for name, data in rest:
        if not data.startswith(b"[DONE]") and name != "error" and not _is_json(data):
            break
        if (delta := reader.read_event(name, data)) is not None:
            deltas.append(delta)
    return deltas


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


_TIMEOUTS = ("ReadTimeout", "TimeoutException")


def _broken(reader: AnswerReader, error: Exception, timeout: float | None) -> None:
    """Raise the typed error for a failed transport, unless the answer is whole already."""
    if reader.finished:
        return
    if isinstance(error, OxenError):
        raise error
    # By name: a connection lost under aiohttp is passed on as a ConnectTimeout.
    if isinstance(error, TimeoutError) or type(error).__name__ in _TIMEOUTS:
        _stalled(reader, timeout, error)
    what = str(error) or type(error).__name__
    raise StreamCutOffError(
        f"The connection broke in the middle of the answer: {what}. Asking again may help.",
        partial=reader.answer(),
    ) from error


def _stalled(reader: AnswerReader, timeout: float | None, cause: Exception | None) -> NoReturn:
    limit = f" for {timeout:g} seconds" if isinstance(timeout, int | float) else ""
    raise StreamStalledError(
        f"The answer stalled: nothing came{limit}. Asking again, or a longer timeout, may help.",
        partial=reader.answer(),
    ) from cause


class _Silence:
    """Notices that an answer has stalled behind keep-alive comments."""

    __slots__ = ("_limit", "_since")

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._since = monotonic()

    def check(self, reader: AnswerReader, *, heard: bool) -> None:
        if self._limit is None:
            return
        now = monotonic()
        if heard:
            self._since = now
        elif now - self._since > self._limit and not reader.finished:
            _stalled(reader, self._limit, None)
