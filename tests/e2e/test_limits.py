"""An answer takes no more time and no more memory than it may, on every HTTP client."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from langchain_oxen import ChatOxen
from oxen_inference import AsyncOxenClient, OxenClient, bounded_http, errors
from oxen_inference.chat.completions import stream
from tests.support.scripted_server import SSE_HEAD, ScriptedServer, completion, delta, http, sse

JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ERROR_HEAD = b"HTTP/1.1 500 No\r\nContent-Type: text/html\r\n"


def dripped(head: bytes, drops: bytes = b" ") -> list[Any]:
    script: list[Any] = [head]
    for _ in range(300):
        script += [drops, 0.2]
    return script


DRIPS = {
    "headers": dripped(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "body": dripped(JSON_HEAD + b"Content-Length: 100000\r\n\r\n"),
    "chunks": dripped(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "error": dripped(ERROR_HEAD + b"Content-Length: 100000\r\n\r\n", b"x"),
}


def blocking(url: str, **options: Any) -> Any:
    return OxenClient(api_key="k", base_url=url, max_retries=0, **options).queue.get("g")


def awaited(url: str, **options: Any) -> Any:
    async def call() -> Any:
        async with AsyncOxenClient(api_key="k", base_url=url, max_retries=0, **options) as client:
            return await client.queue.get("g")

    return asyncio.run(call())


def blocking_on_own(url: str, **options: Any) -> Any:
    return blocking(url, http_client=openai.DefaultHttpxClient(), **options)


def awaited_on_own(url: str, **options: Any) -> Any:
    return awaited(url, http_client=openai.DefaultAsyncHttpxClient(), **options)


CALLS = [blocking, awaited, blocking_on_own, awaited_on_own]
Call = Callable[..., Any]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("drip", DRIPS)
def test_the_timeout_is_for_the_whole_answer(call: Call, drip: str) -> None:
    if (call, drip) == (blocking_on_own, "headers"):
        pytest.skip("the sockets of a client of your own are left alone")
    with ScriptedServer(DRIPS[drip]) as server:
        began = time.monotonic()
        with pytest.raises(errors.APITimeoutError):
            call(server.url, timeout=0.6)
        assert 0.5 < time.monotonic() - began < 30


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_packed_answer_ends_at_the_limit(
    call: Call, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_http, "MAX_ANSWER_BYTES", 1_000_000)
    packed = gzip.compress(b" " * 20_000_000) if encoding == "gzip" else _deflated(20_000_000)
    answer = http(packed, headers=[f"Content-Encoding: {encoding}"])  # type: ignore[arg-type]
    with (
        ScriptedServer(answer) as server,
        pytest.raises(errors.APIResponseError, match="larger than 1,000,000 bytes"),
    ):
        call(server.url)


def _deflated(size: int) -> bytes:
    import zlib

    return zlib.compress(b" " * size)


@pytest.mark.parametrize("call", CALLS)
def test_an_answer_packed_twice_is_refused(call: Call) -> None:
    twice = gzip.compress(gzip.compress(b"{}"))
    answer = http(twice, headers=["Content-Encoding: gzip, gzip"])  # type: ignore[arg-type]
    with ScriptedServer(answer) as server, pytest.raises(errors.APIResponseError, match="2 times"):
        call(server.url)


@pytest.mark.parametrize("call", CALLS)
def test_of_an_error_page_only_the_beginning_is_read(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_http, "MAX_ERROR_BYTES", 10_000)
    page = http("The disk is full. " + "x" * 3_000_000, status="400 No", content_type="text/plain")
    with (
        ScriptedServer(page) as server,
        pytest.raises(errors.BadRequestError, match="disk is full"),
    ):
        call(server.url)


@pytest.mark.parametrize("call", CALLS)
def test_a_redirect_to_elsewhere_gets_nothing(call: Call) -> None:
    with ScriptedServer(http({})) as other:
        away = http("", status="307 Go", headers=[f"Location: {other.url}/x"])
        with ScriptedServer(away) as server, pytest.raises(errors.APIStatusError) as caught:
            call(server.url, default_headers={"X-Secret": "1"})
        assert not other.requests
        assert caught.value.status_code == 307
        assert other.url in str(caught.value.hint)


@pytest.mark.parametrize("call", CALLS)
def test_a_redirect_within_the_hub_is_followed(call: Call) -> None:
    row = http({"generation_id": "g", "status": "queued"})
    moved = http("", status="308 Go", headers=["Location: /moved"])
    with ScriptedServer(moved, row) as server:
        assert call(server.url).generation_id == "g"
        assert [request.path for request in server.requests] == ["/api/ai/queue/g", "/moved"]


def test_a_chat_request_is_not_sent_again_by_a_redirect() -> None:
    moved = http("", status="307 Go", headers=["Location: /moved"])
    with ScriptedServer(moved) as server, pytest.raises(errors.APIStatusError, match="redirect"):
        ChatOxen(model="m", api_key="k", base_url=server.url, max_retries=0).invoke("hi")
    assert sum(request.method == "POST" for request in server.requests) == 1


@contextmanager
def forked() -> Iterator[int]:
    """A child process, which ends with the block; 0 in the child, its status is checked."""
    child = os.fork()
    if child == 0:
        try:
            yield 0
        except BaseException:  # noqa: BLE001 - the parent sees the status
            os._exit(1)
        os._exit(0)
    yield child
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_shares_no_connection() -> None:
    with ScriptedServer(http(completion())) as server:
        model = ChatOxen(model="m", api_key="k", base_url=server.url, max_retries=0, cost=False)
        model.invoke("hi")
        with forked() as child:
            if child == 0:
                assert model.invoke("hi").text == "hello"
        model.invoke("hi")
        assert [request.connection for request in server.requests] == [1, 2, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_used_client_of_your_own_is_refused_after_a_fork() -> None:
    with ScriptedServer(http({"generation_id": "g", "status": "queued"})) as server:
        own = openai.DefaultHttpxClient()
        used = OxenClient(api_key="k", base_url=server.url, http_client=own)
        used.queue.get("g")
        with forked() as child:
            if child == 0:
                with pytest.raises(errors.ConfigurationError, match="forked"):
                    used.queue.get("g")
        used.queue.get("g")
        assert len(server.requests) == 2


def test_events_that_say_nothing_do_not_keep_a_stream_alive() -> None:
    nothing = [part for _ in range(300) for part in (sse(delta()), 0.1)]
    with ScriptedServer([SSE_HEAD, sse(delta(content="a")), *nothing]) as server:
        client = OxenClient(api_key="k", base_url=server.url, max_retries=0)
        began = time.monotonic()
        with pytest.raises(errors.StreamStalledError) as caught:
            list(stream(client, {"model": "m", "messages": []}, timeout=0.5))
    assert time.monotonic() - began < 20
    assert caught.value.partial.text == "a"
