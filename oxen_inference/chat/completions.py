"""The chat call: whole or streamed, synchronous or asynchronous, on the raw `post` of the SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import openai

from oxen_inference.chat.answer import NOTHING_EXPECTED, Answer, Delta, Expected
from oxen_inference.chat.answer_cost import answer_text, set_cost
from oxen_inference.chat.error_hints import unserializable, with_hint
from oxen_inference.chat.finish_reasons import announces_calls, ran_out_of_tokens
from oxen_inference.chat.normalize import AnswerReader
from oxen_inference.chat.prefetch import AsyncCatalogPrefetch, CatalogPrefetch
from oxen_inference.chat.sse import Event, SSEDecoder, is_json
from oxen_inference.chat.stalls import StallDetector, adrain, drain
from oxen_inference.chat.tool_calls import is_object
from oxen_inference.errors import APIResponseError, APIStatusError, OxenError
from oxen_inference.settings import check_timeout

if TYPE_CHECKING:
    from oxen_inference.catalog.facade import AsyncCatalog, Catalog
    from oxen_inference.paths import Paths


class _Client(Protocol):
    timeout: Any
    paths: Paths

    @property
    def base_url(self) -> Any: ...
    @property
    def post(self) -> Callable[..., Any]: ...
    def hide_key(self, error: OxenError) -> None: ...


class ChatClient(_Client, Protocol):
    """The part of `OxenClient` that a chat call uses."""

    @property
    def catalog(self) -> Catalog: ...


class AsyncChatClient(_Client, Protocol):
    """The part of `AsyncOxenClient` that a chat call uses."""

    @property
    def catalog(self) -> AsyncCatalog: ...


# They only give access to the response: the SDK's own decoder hides events that matter here.
_Stream, _AsyncStream = openai.Stream[object], openai.AsyncStream[object]

_URL_ATTRIBUTE = "_oxen_chat_url"
_SDK_NAMES = {"extra_headers": "headers", "extra_query": "params", "extra_body": "extra_json"}


def complete(
    client: ChatClient,
    body: Mapping[str, Any],
    *,
    expected: Expected = NOTHING_EXPECTED,
    priced: bool = False,
    **options: Any,
) -> Answer:
    """Return a complete answer.

    `expected`: what `prepare_body` said of it. `priced`: fetch the catalog while the first request
    runs, and set the cost of the answer by its prices; a cost that the answer states is set in any
    case. `options` are the SDK's per-request ones: timeout, extra_headers, extra_query. Raises
    `OxenError`.
    """
    prefetch = CatalogPrefetch.of(client) if priced else None
    if prefetch:
        prefetch.start()
    payload = _post(client, body, options)
    try:
        answer = read_completion(payload, expected)
    except OxenError as error:
        raise _explained(client, error, body) from error.__cause__
    set_cost(answer, prefetch.model(body["model"]) if prefetch else None, body)
    _raise_without_call(answer, body, expected)
    return answer


async def acomplete(
    client: AsyncChatClient,
    body: Mapping[str, Any],
    *,
    expected: Expected = NOTHING_EXPECTED,
    priced: bool = False,
    **options: Any,
) -> Answer:
    """Return a complete answer; see `complete`."""
    prefetch = AsyncCatalogPrefetch.of(client) if priced else None
    if prefetch:
        prefetch.start()
    payload = await _apost(client, body, options)
    try:
        answer = read_completion(payload, expected)
    except OxenError as error:
        raise await _aexplained(client, error, body) from error.__cause__
    set_cost(answer, await prefetch.model(body["model"]) if prefetch else None, body)
    _raise_without_call(answer, body, expected)
    return answer


# The two loops below stay written by hand: they run once for each chunk of every answer.


def stream(
    client: ChatClient,
    body: Mapping[str, Any],
    *,
    timeout: float | None = None,
    expected: Expected = NOTHING_EXPECTED,
    priced: bool = False,
    reader: AnswerReader | None = None,
    **options: Any,
) -> Iterator[Delta]:
    """Yield the deltas of a streamed answer; the last one has the complete answer.

    `timeout`: seconds until the answer begins, and between any two parts of it. Keep-alive
    comments and events that say nothing are not parts: a gateway sends them also for an upstream
    that has died. Closing the iterator closes the connection. An answer that has begun is never
    requested again. `reader`: a new one, made for `expected`, that shows what was read of an answer
    that is left. For `expected`, `priced` and `options` see `complete`. Raises `OxenError`.
    """
    prefetch = CatalogPrefetch.of(client) if priced else None
    if prefetch:
        prefetch.start()
    options["timeout"] = timeout
    source = _post(client, {**body, "stream": True}, options, stream=True, stream_cls=_Stream)
    reader, decoder = reader or AnswerReader(expected), SSEDecoder()
    stall = StallDetector(reader, client.timeout if timeout is None else timeout)
    chunks = source.response.iter_bytes()
    try:
        while not reader.done:
            try:
                chunk = next(chunks, None)
            except Exception as error:  # noqa: BLE001 - from the transport, which is not imported
                stall.raise_if_incomplete(error)
                break
            if chunk is None:
                break
            has_data = False
            for name, data in decoder.feed(chunk):
                if (delta := reader.read_event(name, data)) is not None:
                    has_data = True
                    yield delta
            if stall.expired(has_data=has_data or decoder.grows_by(chunk)):
                break
        if not reader.done:
            yield from _read_rest(reader, decoder, decoder.finish())
        last = reader.finish()
        if last.end:
            set_cost(last.end, prefetch.model(body["model"]) if prefetch else None, body)
            _raise_without_call(last.end, body, expected)
        yield last
        drain(source.response, chunks)
    except OxenError as error:
        raise _explained(client, error, body) from error.__cause__
    finally:
        source.response.close()


async def astream(
    client: AsyncChatClient,
    body: Mapping[str, Any],
    *,
    timeout: float | None = None,
    expected: Expected = NOTHING_EXPECTED,
    priced: bool = False,
    reader: AnswerReader | None = None,
    **options: Any,
) -> AsyncIterator[Delta]:
    """Yield the deltas of a streamed answer; see `stream`."""
    prefetch = AsyncCatalogPrefetch.of(client) if priced else None
    if prefetch:
        prefetch.start()
    options["timeout"] = timeout
    streaming = {"stream": True, "stream_cls": _AsyncStream}
    source = await _apost(client, {**body, "stream": True}, options, **streaming)
    reader, decoder = reader or AnswerReader(expected), SSEDecoder()
    stall = StallDetector(reader, client.timeout if timeout is None else timeout)
    chunks = source.response.aiter_bytes()
    try:
        while not reader.done:
            try:
                chunk = await anext(chunks, None)
            except Exception as error:  # noqa: BLE001 - from the transport, which is not imported
                stall.raise_if_incomplete(error)
                break
            if chunk is None:
                break
            has_data = False
            for name, data in decoder.feed(chunk):
                if (delta := reader.read_event(name, data)) is not None:
                    has_data = True
                    yield delta
            if stall.expired(has_data=has_data or decoder.grows_by(chunk)):
                break
        if not reader.done:
            for delta in _read_rest(reader, decoder, decoder.finish()):
                yield delta
        last = reader.finish()
        if last.end:
            set_cost(last.end, await prefetch.model(body["model"]) if prefetch else None, body)
            _raise_without_call(last.end, body, expected)
        yield last
        await adrain(chunks)
    except OxenError as error:
        raise await _aexplained(client, error, body) from error.__cause__
    finally:
        await source.response.aclose()


def _post(client: ChatClient, body: Mapping[str, Any], options: Any, **streaming: Any) -> Any:
    try:
        return client.post(
            _url(client), cast_to=object, body=body, options=_sdk_options(options), **streaming
        )
    except APIStatusError as error:
        raise _explained(client, error, body) from error.__cause__
    except OxenError:
        raise
    except (TypeError, ValueError) as error:
        raise unserializable(error) from error


async def _apost(
    client: AsyncChatClient, body: Mapping[str, Any], options: Any, **streaming: Any
) -> Any:
    try:
        return await client.post(
            _url(client), cast_to=object, body=body, options=_sdk_options(options), **streaming
        )
    except APIStatusError as error:
        raise await _aexplained(client, error, body) from error.__cause__
    except OxenError:
        raise
    except (TypeError, ValueError) as error:
        raise unserializable(error) from error


def _explained(client: ChatClient, error: OxenError, body: Mapping[str, Any]) -> OxenError:
    """Return the error of a call without the key; of a refusal, with what the catalog knows.

    May ask the hub: see `Catalog.explain`.
    """
    client.hide_key(error)
    if _is_refusal(error):
        error = client.catalog.explain(error, body["model"])
        error = with_hint(error, body, _url(client), client.catalog.cached(body["model"]))
    return error


async def _aexplained(
    client: AsyncChatClient, error: OxenError, body: Mapping[str, Any]
) -> OxenError:
    """See `_explained`."""
    client.hide_key(error)
    if _is_refusal(error):
        error = await client.catalog.explain(error, body["model"])
        error = with_hint(error, body, _url(client), client.catalog.cached(body["model"]))
    return error


def _is_refusal(error: OxenError) -> TypeGuard[APIStatusError]:
    """Whether an error came in place of an answer, not after a part of it."""
    if not isinstance(error, APIStatusError):
        return False
    return error.partial is None or not answer_text(error.partial)


def _url(client: _Client) -> str:
    """Return the complete URL. The SDK needs as long to join one as to write the body."""
    base, url = client.__dict__.get(_URL_ATTRIBUTE, (None, ""))
    if base is not client.base_url:
        base = client.base_url
        url = str(base).rstrip("/") + client.paths.chat
        client.__dict__[_URL_ATTRIBUTE] = base, url
    return str(url)


def _sdk_options(options: dict[str, Any]) -> Any:
    if isinstance(options.get("timeout"), int | float | str):  # or it is the SDK's own kind
        check_timeout(options["timeout"])
    return {_SDK_NAMES.get(k, k): v for k, v in options.items() if v is not None}


def read_completion(payload: object, expected: Expected = NOTHING_EXPECTED) -> Answer:
    """Return the answer in the body of a 2xx response. Raises the error if it is one."""
    reader = AnswerReader(expected)
    if isinstance(payload, str | bytes):
        # The content type is not JSON: the body may be JSON anyway, an event stream, or a page.
        data = payload.encode(errors="replace") if isinstance(payload, str) else payload
        decoder = SSEDecoder()
        events = decoder.feed(data) + decoder.finish()
        if decoder.body is None and not events:
            raise reader.not_json(data)
        _read_rest(reader, decoder, events)
    else:
        reader.read_whole(payload)
    end = reader.finish().end
    assert end is not None  # noqa: S101 - the last delta always has it
    return end


def _raise_without_call(answer: Answer, body: Mapping[str, Any], expected: Expected) -> None:
    """Raise `APIResponseError` where a call was announced, or needed, and there is none.

    A text is the answer where no tool was offered, or where it is the object asked for: a
    server that makes objects by a tool of its own announces that tool's call.
    """
    reason = answer.finish_reason
    if answer.tool_calls or answer.refused:
        return
    is_answer = not body.get("tools") or (expected.is_object and is_object(answer.text))
    if announces_calls(reason) and not (answer.text and is_answer):
        problem = f"The answer ended with {reason!r}, and has no tool call."
        hint = "The call was lost on its way; asking again may help."
    elif expected.needs_call and not ran_out_of_tokens(reason):
        problem = "The model called no tool, although one was required."
        hint = (
            "A model that thinks cannot be forced to call one. Ask again, name the tool in the "
            "prompt, or turn thinking off."
        )
    else:
        return
    error = APIResponseError(problem, hint=hint)
    error.partial = answer
    raise error


def _read_rest(reader: AnswerReader, decoder: SSEDecoder, events: list[Event]) -> list[Delta]:
    """Read what was left when the bytes ended. The last event may be incomplete."""
    if decoder.body is not None:
        return reader.read_body(decoder.body)
    deltas: list[Delta] = []
    for name, data in events:
        if not data.startswith(b"[DONE]") and name != "error" and not is_json(data):
            break
        if (delta := reader.read_event(name, data)) is not None:
            deltas.append(delta)
    return deltas
