"""`ChatOxen` against a raw socket that deviates from the format as upstreams do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain_core.exceptions import ModelError, OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_oxen import ChatOxen, errors
from langchain_oxen.messages_out import to_wire
from oxen_inference.errors import OxenError
from tests.support.oddities import FAILURES, ODDITIES, Failure, Oddity, fields_of_reasoning
from tests.support.scripted_server import SSE_HEAD, ScriptedServer, completion, delta, http, sse

Collect = Callable[[ChatOxen], AIMessageChunk]


def collect_sync(model: ChatOxen) -> AIMessageChunk:
    return _sum(list(model.stream("hello")))


def collect_async(model: ChatOxen) -> AIMessageChunk:
    async def run() -> list[AIMessageChunk]:
        async with model:
            return [chunk async for chunk in model.astream("hello")]

    return _sum(asyncio.run(run()))


def ask_sync(model: ChatOxen) -> AIMessage:
    return model.invoke("hello")


def ask_async(model: ChatOxen) -> AIMessage:
    async def run() -> AIMessage:
        async with model:
            return await model.ainvoke("hello")

    return asyncio.run(run())


def _sum(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    once_only = ("finish_reason", "model_name", "cost", "id")
    for name in once_only:
        assert sum(name in chunk.response_metadata for chunk in chunks) <= 1, name
    assert sum(chunk.usage_metadata is not None for chunk in chunks) <= 1
    assert chunks[-1].chunk_position == "last"
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


def chat(server: ScriptedServer, **options: Any) -> ChatOxen:
    defaults = {"model": "ox-1", "api_key": "test", "max_retries": 0, "cost": False}
    return ChatOxen(base_url=server.url, **{**defaults, **options})


@pytest.mark.parametrize("collect", [collect_sync, collect_async])
@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda o: o.name)
def test_oddity(oddity: Oddity, collect: Collect) -> None:
    with ScriptedServer(oddity.script) as server:
        check(collect(chat(server, model_kwargs=oddity.request, **oddity.options)), oddity)


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
@pytest.mark.parametrize("oddity", [o for o in ODDITIES if o.is_complete], ids=lambda o: o.name)
def test_whole_oddity(oddity: Oddity, ask: Callable[[ChatOxen], AIMessage]) -> None:
    with ScriptedServer(oddity.script) as server:
        check(ask(chat(server, model_kwargs=oddity.request, **oddity.options)), oddity)


def check(message: AIMessage, oddity: Oddity) -> None:
    assert message.text == oddity.text
    assert message.additional_kwargs.get("reasoning_content", "") == oddity.reasoning
    assert message.additional_kwargs.get("refusal") == oddity.refusal
    assert tuple((c["name"], c["args"]) for c in message.tool_calls) == oddity.calls
    assert len(message.invalid_tool_calls) == oddity.invalid
    images = message.additional_kwargs.get("images")
    if oddity.has_images:
        shown = [b for b in message.content_blocks if b["type"] == "image"]
        assert len(shown) == oddity.has_images
    assert (
        tuple(
            image["image_url"]["url"]
            for image in (images if isinstance(images, list) else [])
            if isinstance(image, dict) and "image_url" in image
        )
        == oddity.images
    )
    if oddity.sent_back is not None:
        assert fields_of_reasoning(to_wire([message])) == oddity.sent_back
    ids = [c["id"] for c in (*message.tool_calls, *message.invalid_tool_calls)]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert message.response_metadata.get("finish_reason") == oddity.finish
    usage = message.usage_metadata
    assert (usage and (usage["input_tokens"], usage["output_tokens"])) == oddity.usage


@pytest.mark.parametrize("collect", [collect_sync, collect_async])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f.name)
def test_failure(failure: Failure, collect: Collect) -> None:
    with ScriptedServer(failure.script) as server, pytest.raises(OxenError) as caught:
        collect(chat(server, model_kwargs=failure.request, **failure.options))
    check_failure(caught.value, failure)


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
@pytest.mark.parametrize("failure", [f for f in FAILURES if f.is_complete], ids=lambda f: f.name)
def test_whole_failure(failure: Failure, ask: Callable[[ChatOxen], AIMessage]) -> None:
    with ScriptedServer(failure.script) as server, pytest.raises(OxenError) as caught:
        ask(chat(server, model_kwargs=failure.request, **failure.options))
    check_failure(caught.value, failure)


def check_failure(error: OxenError, failure: Failure) -> None:
    assert type(error) is getattr(errors, failure.error), repr(error)
    assert isinstance(error, ModelError)
    assert isinstance(error, openai.OpenAIError)
    assert error.is_retryable is failure.retryable
    assert failure.text in str(error)
    if failure.partial is not None:
        assert error.partial.text == failure.partial  # type: ignore[attr-defined]


def test_oddities_have_names_of_their_own() -> None:
    names = [row.name for row in (*ODDITIES, *FAILURES)]
    assert len(set(names)) == len(names)


NAMED_ONLY = next(o for o in ODDITIES if o.name == "cut off after a tool's name: length")


def test_a_tool_whose_name_alone_arrived_is_not_run() -> None:
    drawn = []

    @tool
    def draw(prompt: str = "an ox") -> str:
        """Draw an image."""
        drawn.append(prompt)
        return "done"

    with ScriptedServer(NAMED_ONLY.script) as server:
        for _ in create_agent(chat(server), [draw]).stream({"messages": "Draw."}):
            pass
        assert server.requests
    assert drawn == []


class Drawing(BaseModel):
    prompt: str = "an ox"


@pytest.mark.parametrize(
    "schema", [{"title": "Drawing", "type": "object", "properties": {}}, Drawing]
)
def test_an_object_whose_name_alone_arrived_is_an_error(schema: Any) -> None:
    with ScriptedServer(NAMED_ONLY.script) as server:
        structured = chat(server).with_structured_output(schema)
        with pytest.raises(OutputParserException):
            structured.invoke("hello")
        with pytest.raises(OutputParserException):
            list(structured.stream("hello"))


async def test_a_request_that_is_not_json_is_refused_before_it_is_sent() -> None:
    text, options = "hi", {"seed": float("nan")}
    with ScriptedServer(NAMED_ONLY.script) as server:
        model = chat(server)
        with pytest.raises(errors.InvalidInputError, match="not JSON"):
            model.invoke(text, **options)
        with pytest.raises(errors.InvalidInputError, match="not JSON"):
            await model.ainvoke(text, **options)
        with pytest.raises(errors.InvalidInputError, match="not JSON"):
            list(model.stream(text, **options))
        await model.aclose()
    assert server.requests == []


@pytest.mark.parametrize("collect", [collect_sync, collect_async])
def test_metadata_in_the_last_chunk_is_kept(collect: Collect) -> None:
    script = SSE_HEAD + sse(
        delta(content="hi"), {**delta("stop"), "citations": ["https://a.example"]}
    )
    with ScriptedServer(script) as server:
        message = collect(chat(server))
    assert message.response_metadata["citations"] == ["https://a.example"]


PERPLEXITY = {
    "citations": ["https://a.example", "https://b.example"],
    "search_results": [
        {"title": "B", "url": "https://b.example", "date": "2026-01-02", "snippet": "Oxen pull."},
        {"title": "C", "url": "https://c.example"},
    ],
}


@pytest.mark.parametrize("collect", [collect_sync, collect_async])
@pytest.mark.parametrize("streamed", [True, False])
def test_what_a_search_model_cites_is_in_its_blocks(collect: Collect, streamed: bool) -> None:
    script = SSE_HEAD + sse(delta(content="hi"), {**delta("stop"), **PERPLEXITY})
    if not streamed:
        script = http({**completion({"content": "hi"}), **PERPLEXITY})
    with ScriptedServer(script) as server:
        message: Any = collect(chat(server)) if streamed else chat(server).invoke("hi")
    (text,) = message.content_blocks
    assert text["annotations"] == [
        {"type": "citation", "url": "https://a.example"},
        {"type": "citation", "url": "https://b.example", "title": "B", "cited_text": "Oxen pull.",
         "extras": {"date": "2026-01-02"}},
        {"type": "citation", "url": "https://c.example", "title": "C"},
    ]  # fmt: skip


OX = {"title": "Ox", "type": "object", "properties": {"name": {"type": "string"}}}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ({"name": "Ox", "arguments": '{"name": '}, "The call of Ox cannot be read"),
        ({"name": "", "arguments": '{"name": "Bo"}'}, "The model named no tool"),
    ],
)
def test_an_object_from_a_malformed_call_is_an_error(
    function: dict[str, str], message: str
) -> None:
    call = {"id": "a", "type": "function", "function": function}
    answer = completion({"content": None, "tool_calls": [call]})
    with ScriptedServer(http(answer)) as server:
        structured = chat(server).with_structured_output(OX, method="function_calling")
        with pytest.raises(OutputParserException, match=message):
            structured.invoke("hello")
