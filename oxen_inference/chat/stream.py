"""The chat call itself, streamed or whole, sync and async, over the SDK's raw `post`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import openai

from oxen_inference.chat.advice import unsendable, with_advice
from oxen_inference.chat.answer import Answer, Delta
from oxen_inference.chat.catalog_peek import AsyncCatalogPeek, CatalogPeek
from oxen_inference.chat.characters import is_json
from oxen_inference.chat.connection import Silence, adrain, drain
from oxen_inference.chat.normalize import AnswerReader
from oxen_inference.chat.sse import SSEDecoder
from oxen_inference.errors import APIStatusError, OxenError

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.client import AsyncOxenClient, OxenClient


_KEPT = "_oxen_chat_url"


# Used for their responses only: the SDK's own decoder hides what we must see.
_Stream, _AsyncStream = openai.Stream[object], openai.AsyncStream[object]


def complete(
    client: OxenClient, body: Mapping[str, Any], *, priced: bool = False, **options: Any
) -> Answer:
    """Ask for a whole answer.

    `priced`: fetch the catalog beside the first request, and put the cost into the answer.
    `options` are the SDK's per-request ones: timeout, extra_headers, extra_query. Raises
    `OxenError`.
    """
    peek = CatalogPeek.of(client) if priced else None
    if peek:
        peek.start()
    answer = _read(client, _post(client, body, options))
    if peek:
        _put_price(answer, peek.model(body["model"]))
    return answer


async def acomplete(
    client: AsyncOxenClient, body: Mapping[str, Any], *, priced: bool = False, **options: Any
) -> Answer:
    """Ask for a whole answer; see `complete`."""
    peek = AsyncCatalogPeek.of(client) if priced else None
    if peek:
        peek.start()
    answer = _read(client, await _apost(client, body, options))
    if peek:
        _put_price(answer, await peek.model(body["model"]))
    return answer


def _post(client: OxenClient, body: Mapping[str, Any], options: Any, **how: Any) -> Any:
    try:
        return client.post(
            _url(client), cast_to=object, body=body, options=_options(options), **how
        )
    except APIStatusError as error:
        explained = client.catalog.explain(error, body["model"])
        raise with_advice(explained, body, _url(client)) from error.__cause__
    except OxenError:
        raise
    except (TypeError, ValueError) as error:
        raise unsendable(error) from error


async def _apost(client: AsyncOxenClient, body: Mapping[str, Any], options: Any, **how: Any) -> Any:
    try:
        return await client.post(
            _url(client), cast_to=object, body=body, options=_options(options), **how
        )
    except APIStatusError as error:
        explained = await client.catalog.explain(error, body["model"])
        raise with_advice(explained, body, _url(client)) from error.__cause__
    except OxenError:
        raise
    except (TypeError, ValueError) as error:
        raise unsendable(error) from error


def _read(client: OxenClient | AsyncOxenClient, payload: object) -> Answer:
    try:
        return read_completion(payload)
    except OxenError as error:
        client.hide_key(error)
        raise


def _url(client: Any) -> str:
    """Return the whole URL: the SDK takes as long to put one together as to write the body."""
    base, url = client.__dict__.get(_KEPT, (None, ""))
    if base is not client.base_url:
        base = client.base_url
        url = str(base).rstrip("/") + client.paths.chat
        client.__dict__[_KEPT] = base, url
    return str(url)


def _put_price(answer: Answer, model: Model | None) -> None:
    if model is None or answer.usage is None:
        return
    from oxen_inference.catalog.chat_cost import chat_cost, chat_cost_estimate

    usage = answer.usage.as_openai()
    answer.cost = chat_cost(model, usage)
    if answer.cost is None:
        answer.cost_estimate = chat_cost_estimate(model, usage)


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
        reader.read_whole(payload)
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
    peek = CatalogPeek.of(client) if priced else None
    if peek:
        peek.start()
    options["timeout"] = timeout
    source = _post(client, {**body, "stream": True}, options, stream=True, stream_cls=_Stream)
    reader, decoder = AnswerReader(), SSEDecoder()
    silence = Silence(reader, client, timeout)
    received = source.response.iter_bytes()
    try:
        while not reader.done:
            try:
                chunk = next(received, None)
            except Exception as error:  # noqa: BLE001 - of the transport, which is not imported
                silence.broken(error)
                break
            if chunk is None:
                break
            events = decoder.feed(chunk)
            if silence.is_over(heard=bool(events) or decoder.holds_data):
                break
            for name, data in events:
                if (delta := reader.read_event(name, data)) is not None:
                    yield delta
        if not reader.done:
            yield from _ending(reader, decoder, decoder.finish())
        last = reader.finish()
        if peek and last.end:
            _put_price(last.end, peek.model(body["model"]))
        yield last
        drain(source.response, received)
    except OxenError as error:
        client.hide_key(error)
        raise
    finally:
        source.response.close()


async def astream(
    client: AsyncOxenClient,
    body: Mapping[str, Any],
    *,
    timeout: float | None = None,
    priced: bool = False,
    **options: Any,
) -> AsyncIterator[Delta]:
    """Ask for a streamed answer; see `stream`."""
    peek = AsyncCatalogPeek.of(client) if priced else None
    if peek:
        peek.start()
    options["timeout"] = timeout
    streaming = {"stream": True, "stream_cls": _AsyncStream}
    source = await _apost(client, {**body, "stream": True}, options, **streaming)
    reader, decoder = AnswerReader(), SSEDecoder()
    silence = Silence(reader, client, timeout)
    received = source.response.aiter_bytes()
    try:
        while not reader.done:
            try:
                chunk = await anext(received, None)
            except Exception as error:  # noqa: BLE001 - of the transport, which is not imported
                silence.broken(error)
                break
            if chunk is None:
                break
            events = decoder.feed(chunk)
            if silence.is_over(heard=bool(events) or decoder.holds_data):
                break
            for name, data in events:
                if (delta := reader.read_event(name, data)) is not None:
                    yield delta
        if not reader.done:
            for delta in _ending(reader, decoder, decoder.finish()):
                yield delta
        last = reader.finish()
        if peek and last.end:
            _put_price(last.end, await peek.model(body["model"]))
        yield last
        await adrain(received)
    except OxenError as error:
        client.hide_key(error)
        raise
    finally:
        await source.response.aclose()


_OPTION_NAMES = {"extra_headers": "headers", "extra_query": "params", "extra_body": "extra_json"}


def _options(options: dict[str, Any]) -> Any:
    return {_OPTION_NAMES.get(k, k): v for k, v in options.items() if v is not None}


def _ending(reader: AnswerReader, decoder: SSEDecoder, rest: list[Any]) -> list[Delta]:
    """Read what was left when the bytes ended; the last line may be half of one."""
    if decoder.body is not None:
        return reader.read_body(decoder.body)
    deltas: list[Delta] = []
    for name, data in rest:
        if not data.startswith(b"[DONE]") and name != "error" and not is_json(data):
            break
        if (delta := reader.read_event(name, data)) is not None:
            deltas.append(delta)
    return deltas
