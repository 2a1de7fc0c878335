"""Whole answers as servers really give them, and what is none."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langchain_oxen import ChatOxen, errors
from tests.support.scripted_server import (
    Close,
    Reset,
    ScriptedServer,
    completion,
    delta,
    http,
    sse,
)

CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}


def ask(*script: Any, asynchronous: bool = False, **options: Any) -> AIMessage:
    with ScriptedServer(list(script)) as server:
        model = ChatOxen(
            model="ox-1", api_key="k", base_url=server.url, max_retries=0, cost=False, **options
        )
        if not asynchronous:
            return model.invoke("hi")

        async def run() -> AIMessage:
            async with model:
                return await model.ainvoke("hi")

        return asyncio.run(run())


def answer(message: dict[str, Any], **fields: Any) -> bytes:
    return http(completion(message, **fields))


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("script", "text", "calls"),
    [
        (answer({"content": "hi"}), "hi", 0),
        (answer({"content": None, "tool_calls": [CALL]}), "", 1),
        (answer({"content": "hi", "tool_calls": None}), "hi", 0),
        (answer({"content": "Look: ", "tool_calls": [{**CALL, "index": 1}]}), "Look: ", 1),
        (answer({"content": "", "tool_calls": [CALL, {**CALL, "id": "b"}]}), "", 2),
        (answer({"content": "", "tool_calls": [{**CALL, "id": ""}, {**CALL, "id": None}]}), "", 2),
        (answer({"content": None, "function_call": CALL["function"]}), "", 1),
        (answer({"content": [{"type": "text", "text": "hi"}]}), "hi", 0),
        (answer({"content": None}), "", 0),
        (answer({"content": "hi"}, usage=None), "hi", 0),
        (answer({"content": "hi"}, usage={"prompt_tokens": "1", "completion_tokens": "2"}), "hi", 0),
        (http(completion({"content": "hi"}), content_type="text/plain"), "hi", 0),
        (http(completion({"content": "hi"}), content_type="application/json; charset=utf-8"), "hi", 0),
        (http(sse(delta(content="hi"), delta("stop"), "[DONE]"), content_type="text/event-stream"), "hi", 0),
    ],
)  # fmt: skip
def test_answer(script: bytes, text: str, calls: int, asynchronous: bool) -> None:
    message = ask(script, asynchronous=asynchronous)
    assert message.text == text
    assert [c["args"] for c in message.tool_calls] == [{"x": 1}] * calls
    assert len({c["id"] for c in message.tool_calls}) == calls
    assert all(c["id"] for c in message.tool_calls)


def packed(body: bytes, kind: str) -> bytes:
    body = gzip.compress(body)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_compressed_answer(asynchronous: bool) -> None:
    whole = packed(json.dumps(completion({"content": "hi"})).encode(), "application/json")
    assert ask(whole, asynchronous=asynchronous).text == "hi"
    events = sse(delta(content="h"), delta(content="i"), delta("stop"), "[DONE]")
    script = packed(events, "text/event-stream")
    assert ask(script, asynchronous=asynchronous, streaming=True).text == "hi"


def test_logprobs_and_refusals_are_kept() -> None:
    logprobs = {"content": [{"token": "no", "logprob": -0.1}]}
    whole = completion({"content": None, "refusal": "I cannot."})
    whole["choices"][0]["logprobs"] = logprobs
    message = ask(http(whole))
    assert message.additional_kwargs["refusal"] == "I cannot."
    assert message.response_metadata["logprobs"] == logprobs


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([http({"error": {"message": "boom"}})], "InternalServerError"),
        ([http({"error": {"type": "unauthenticated"}, "status": "error"})], "AuthenticationError"),
        ([http({"choices": []})], "APIResponseError"),
        ([http({"id": "x"})], "APIResponseError"),
        ([http({"choices": None})], "APIResponseError"),
        ([http({"detail": "no such route"})], "InternalServerError"),
        ([http("null")], "APIResponseError"),
        ([http("hi", content_type="application/json; charset=utf-16")], "APIResponseError"),
        ([http("[]")], "APIResponseError"),
        ([http('"text"')], "APIResponseError"),
        ([http("")], "APIResponseError"),
        ([http(": working\n\n", content_type="text/event-stream")], "APIResponseError"),
        ([http("{")], "APIResponseError"),
        ([http("<html><title>Oops</title>", content_type="text/html")], "APIResponseError"),
        ([http(completion())[:-20], Close()], "APIConnectionError"),
        ([http(completion())[:-20], 0.05, Reset()], "APIConnectionError"),
        ([b"nonsense\r\n\r\n", Close()], "APIConnectionError"),
        ([http("", status="502 Bad Gateway")], "InternalServerError"),
        ([http({"error": {}}, status="418 Teapot")], "APIStatusError"),
    ],
)
def test_no_answer(script: list[Any], error: str, asynchronous: bool) -> None:
    with pytest.raises(errors.OxenError) as caught:
        ask(*script, asynchronous=asynchronous)
    assert type(caught.value) is getattr(errors, error), repr(caught.value)
    assert str(caught.value)
