"""The clients over real HTTP: what reaches Oxen, and what never does."""

from __future__ import annotations

import pickle
import socket
from typing import Any

import openai
import pytest

from oxen_inference import AsyncOxenClient, OxenClient
from oxen_inference.chat import completions
from oxen_inference.errors import (
    APIConnectionError,
    APIResponseError,
    AuthenticationError,
    InvalidInputError,
    OxenError,
)
from oxen_inference.transport import Call
from oxen_sandbox import Fault, Sandbox
from tests.support.scripted_server import ScriptedServer, delta, http, stream


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_nothing_meant_for_openai_reaches_oxen(
    oxen_sandbox: Sandbox, openai_variables: dict[str, str]
) -> None:
    with OxenClient(api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url) as client:
        client.queue.list()
        client.with_options(timeout=5).queue.list()
    async with AsyncOxenClient(
        api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url
    ) as async_client:
        await async_client.queue.list()
        await async_client.copy(max_retries=0).queue.list()
    assert len(oxen_sandbox.requests) == 4
    for request in oxen_sandbox.requests:
        sent = repr((request.headers, request.path, request.query)).lower()
        assert "for-openai-only" not in sent
        assert "openai-organization" not in sent
        assert "openai-project" not in sent


async def test_a_wrong_key_is_said_in_oxens_words(oxen_sandbox: Sandbox) -> None:
    with OxenClient(api_key="wrong-key", base_url=oxen_sandbox.base_url) as client:
        with pytest.raises(AuthenticationError) as caught:
            client.queue.list()
    assert isinstance(caught.value, openai.AuthenticationError)
    assert "API key" in str(caught.value)
    assert "wrong-key" not in f"{caught.value!r} {caught.value}"


async def test_an_unreachable_base_url_is_one_sentence() -> None:
    base_url = f"http://127.0.0.1:{unused_port()}/api/ai"
    with OxenClient(api_key="k", base_url=base_url, max_retries=0) as client:
        with pytest.raises(APIConnectionError, match="Could not reach Oxen") as caught:
            client.queue.list()
    assert base_url in str(caught.value)
    async with AsyncOxenClient(api_key="k", base_url=base_url, max_retries=0) as async_client:
        with pytest.raises(OxenError) as async_caught:
            await async_client.queue.list()
    assert base_url in str(async_caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


async def test_a_connection_that_broke_is_not_called_unreachable(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("reset", when="before", path="*/queue", times=9))
    settings = {"api_key": oxen_sandbox.api_key, "base_url": oxen_sandbox.base_url}
    with OxenClient(**settings, max_retries=0) as client:
        with pytest.raises(APIConnectionError, match="broke before an answer"):
            client.queue.list()
    async with AsyncOxenClient(**settings, max_retries=0) as async_client:
        with pytest.raises(APIConnectionError, match="broke before an answer"):
            await async_client.queue.list()


async def test_an_error_says_how_often_a_free_call_was_tried(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("respond", status=503, retry_after=0.01, path="*/queue", times=None))
    settings = {"api_key": oxen_sandbox.api_key, "base_url": oxen_sandbox.base_url}
    with OxenClient(**settings) as client, pytest.raises(OxenError) as caught:
        client.queue.list()
    assert str(caught.value).count("It was tried 3 times.") == 1
    async with AsyncOxenClient(**settings, max_retries=1) as async_client:
        with pytest.raises(OxenError, match=r"It was tried 2 times\. Oxen or the provider"):
            await async_client.queue.list()


def test_the_key_is_in_no_repr() -> None:
    client = OxenClient(api_key="sk-very-secret", base_url="http://127.0.0.1:1/api/ai")
    assert "sk-very-secret" not in repr(client)
    assert "127.0.0.1:1" in repr(client)


@pytest.mark.parametrize("form", ["{base}", "{base}/", "{host}"])
def test_every_way_to_write_the_base_url_works(
    oxen_sandbox: Sandbox, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = oxen_sandbox.base_url.removeprefix("http://").removesuffix("/api/ai")
    monkeypatch.setenv("OXEN_API_KEY", oxen_sandbox.api_key)
    monkeypatch.setenv("OXEN_HOST", form.format(base=oxen_sandbox.base_url, host=host))
    with OxenClient() as client:
        assert client.queue.list() == []


async def test_long_headers_are_taken_beside_a_proxy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    answer = http({"generations": []}, headers=["content-security-policy: " + "x" * 9000])
    with ScriptedServer(answer) as server:
        async with AsyncOxenClient(api_key="k", base_url=server.url, max_retries=0) as client:
            assert await client.queue.list() == []


def test_the_sdks_own_calls_work_too(oxen_sandbox: Sandbox) -> None:
    with OxenClient(api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url) as client:
        answer = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Say hello."}]
        )
    assert answer.choices[0].message.content


def test_an_answer_that_a_strict_client_cannot_take_is_a_typed_error(oxen_sandbox: Sandbox) -> None:
    page = Fault("respond", path="*/models", status=200, content_type="text/html", body="<html>")
    oxen_sandbox.inject(page)
    with OxenClient(
        api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url,
        _strict_response_validation=True,
    ) as client, pytest.raises(APIResponseError, match="text/html"):  # fmt: skip
        client.models.list()


def test_a_page_instead_of_json_is_an_honest_error(oxen_sandbox: Sandbox) -> None:
    page = oxen_sandbox.base_url.removesuffix("/api/ai")
    call = Call(method="get", path=f"{page}/nowhere", read=lambda payload: payload)
    with OxenClient(
        api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url, max_retries=0
    ) as client:
        with pytest.raises(OxenError):
            client.send(call)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), True, "soon"])
def test_a_timeout_that_means_nothing_is_refused_before_sending(timeout: Any) -> None:
    body = {"model": "ox-1", "messages": [{"role": "user", "content": "hi"}]}
    with pytest.raises(InvalidInputError, match="timeout must be a number of seconds above 0"):
        OxenClient(api_key="k", timeout=timeout)
    with ScriptedServer() as server, OxenClient(api_key="k", base_url=server.url) as client:
        for call in (
            completions.complete,
            lambda *args, **kw: next(completions.stream(*args, **kw)),
        ):
            with pytest.raises(InvalidInputError, match="above 0, or None, not"):
                call(client, body, timeout=timeout)
        assert not server.requests


def test_a_client_without_a_timeout_streams() -> None:
    script = stream(delta(content="hi"), delta("stop"), "[DONE]")
    with (
        ScriptedServer(script) as server,
        OxenClient(api_key="k", base_url=server.url, timeout=None) as client,
    ):
        body = {"model": "ox-1", "messages": [{"role": "user", "content": "hi"}]}
        *_, last = completions.stream(client, body)
    assert last.end is not None
    assert last.end.text == "hi"
