"""`Oxen` against a raw socket that deviates from the format as upstreams do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import CitationBlock
from llama_index.core.llms import ChatMessage, ChatResponse

from llama_index_oxen import Oxen
from llama_index_oxen.messages_out import to_wire
from oxen_inference import errors
from tests.support.oddities import FAILURES, ODDITIES, Failure, Oddity, fields_of_reasoning
from tests.support.scripted_server import (
    SSE_HEAD,
    Hold,
    ScriptedServer,
    completion,
    delta,
    http,
    sse,
    stream,
)

HELLO = [ChatMessage("hello")]
Collect = Callable[..., list[ChatResponse]]


def collect_sync(llm: Oxen, messages: Sequence[ChatMessage] = HELLO) -> list[ChatResponse]:
    return list(llm.stream_chat(messages))


def collect_async(llm: Oxen, messages: Sequence[ChatMessage] = HELLO) -> list[ChatResponse]:
    async def run() -> list[ChatResponse]:
        found = [response async for response in await llm.astream_chat(messages)]
        await llm.aclose()
        return found

    return asyncio.run(run())


def ask_sync(llm: Oxen) -> ChatResponse:
    return llm.chat(HELLO)


def ask_async(llm: Oxen) -> ChatResponse:
    async def run() -> ChatResponse:
        response = await llm.achat(HELLO)
        await llm.aclose()
        return response

    return asyncio.run(run())


def oxen(server: ScriptedServer, **options: Any) -> Oxen:
    defaults = {"model": "ox-1", "api_key": "test", "max_retries": 0, "cost": False}
    return Oxen(api_base=server.url, **{**defaults, **options})


@pytest.mark.parametrize("collect", [collect_sync, collect_async])
@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda o: o.name)
def test_oddity(oddity: Oddity, collect: Collect) -> None:
    with ScriptedServer(oddity.script) as server:
        llm = oxen(server, additional_kwargs=oddity.request, **oddity.options)
        responses = collect(llm)
    assert "".join(r.delta or "" for r in responses) == oddity.text
    thoughts = "".join(r.additional_kwargs.get("thinking_delta", "") for r in responses)
    assert thoughts == oddity.reasoning
    assert all(response.raw is None for response in responses[:-1])
    check(llm, responses[-1], oddity)


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
@pytest.mark.parametrize("oddity", [o for o in ODDITIES if o.is_complete], ids=lambda o: o.name)
def test_whole_oddity(oddity: Oddity, ask: Callable[[Oxen], ChatResponse]) -> None:
    with ScriptedServer(oddity.script) as server:
        llm = oxen(server, additional_kwargs=oddity.request, **oddity.options)
        check(llm, ask(llm), oddity)


def check(llm: Oxen, last: ChatResponse, oddity: Oddity) -> None:
    assert (last.message.content or "") == oddity.text
    blocks = [b for b in last.message.blocks if b.block_type == "thinking"]
    assert "".join(b.content or "" for b in blocks) == oddity.reasoning
    assert last.message.additional_kwargs.get("refusal") == oddity.refusal

    images = [b for b in last.message.blocks if b.block_type == "image"]
    assert len(images) == (oddity.has_images or len(oddity.images))
    if not oddity.has_images:
        assert tuple(str(b.url) for b in images) == oddity.images

    calls = llm.get_tool_calls_from_response(last, error_on_no_tool_call=False)
    whole = [c for c in calls if "malformed_arguments" not in c.tool_kwargs]
    assert tuple((c.tool_name, c.tool_kwargs) for c in whole) == oddity.calls
    assert len(calls) - len(whole) == oddity.invalid
    if oddity.sent_back is not None:
        assert fields_of_reasoning(to_wire([last.message])) == oddity.sent_back
    ids = [call.tool_id for call in calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)

    assert last.raw["finish_reason"] == oddity.finish
    usage = last.raw.get("usage")
    assert (usage and (usage["prompt_tokens"], usage["completion_tokens"])) == oddity.usage


@pytest.mark.parametrize("collect", [collect_sync, collect_async])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f.name)
def test_failure(failure: Failure, collect: Collect) -> None:
    with ScriptedServer(failure.script) as server, pytest.raises(errors.OxenError) as caught:
        collect(oxen(server, additional_kwargs=failure.request, **failure.options))
    check_failure(caught.value, failure)


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
@pytest.mark.parametrize("failure", [f for f in FAILURES if f.is_complete], ids=lambda f: f.name)
def test_whole_failure(failure: Failure, ask: Callable[[Oxen], ChatResponse]) -> None:
    with ScriptedServer(failure.script) as server, pytest.raises(errors.OxenError) as caught:
        ask(oxen(server, additional_kwargs=failure.request, **failure.options))
    check_failure(caught.value, failure)


def check_failure(error: errors.OxenError, failure: Failure) -> None:
    assert type(error) is getattr(errors, failure.error), repr(error)
    assert error.is_retryable is failure.retryable
    assert failure.text in str(error)
    if failure.partial is not None:
        assert (error.partial.content or "") == failure.partial  # type: ignore[attr-defined]


def test_every_response_of_a_stream_has_the_whole_message_so_far() -> None:
    pieces = ("The ", "ox ", "walks")
    script = stream(*(delta(content=p) for p in pieces), delta("stop"), "[DONE]")
    with ScriptedServer(script) as server:
        responses = collect_sync(oxen(server))
    so_far = [r.message.content for r in responses]
    assert so_far[:3] == ["The ", "The ox ", "The ox walks"]
    assert set(so_far[3:]) == {"The ox walks"}
    assert "".join(r.delta or "" for r in responses) == "The ox walks"
    assert len({id(r.message) for r in responses}) == len(responses)


def test_one_retry_budget() -> None:
    refusal = http(
        {"error": {"message": "slow down"}},
        status="429 Too Many Requests",
        headers=("retry-after-ms: 1",),
    )
    for retries, requests in ((0, 1), (2, 3)):
        with ScriptedServer(refusal) as server:
            with pytest.raises(errors.RateLimitError):
                oxen(server, max_retries=retries).chat(HELLO)
            assert len(server.requests) == requests
        with ScriptedServer(refusal) as server:
            with pytest.raises(errors.RateLimitError):
                asyncio.run(oxen(server, max_retries=retries).achat(HELLO))
            assert len(server.requests) == requests


def test_a_stream_is_not_sent_again_once_begun() -> None:
    with ScriptedServer(stream(delta(content="hi"))) as server:
        with pytest.raises(errors.StreamCutOffError):
            collect_sync(oxen(server, max_retries=2))
        assert len(server.requests) == 1


def test_an_abandoned_stream_closes_its_connection() -> None:
    with ScriptedServer([SSE_HEAD + sse(delta(content="hi")), Hold()]) as server:
        responses = oxen(server).stream_chat(HELLO)
        assert next(responses).delta == "hi"
        responses.close()
        assert server.requests[0].closed.wait(2)


async def test_an_abandoned_asynchronous_stream_closes_its_connection() -> None:
    with ScriptedServer([SSE_HEAD + sse(delta(content="hi")), Hold()]) as server:
        llm = oxen(server)
        async for _ in await llm.astream_chat(HELLO):
            break
        assert await asyncio.to_thread(server.requests[0].closed.wait, 2)
        async for _ in await llm.astream_complete("hello"):
            break
        assert await asyncio.to_thread(server.requests[1].closed.wait, 2)
        await llm.aclose()


async def test_a_cancelled_call_closes_its_connection() -> None:
    with ScriptedServer([Hold()]) as server:
        llm = oxen(server)
        call = asyncio.create_task(llm.achat(HELLO))
        while not server.requests:  # noqa: ASYNC110 - another thread receives them
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await asyncio.to_thread(server.requests[0].closed.wait, 2)
        await llm.aclose()


def test_one_object_serves_many_event_loops() -> None:
    with ScriptedServer(http(completion())) as server:
        llm = oxen(server)
        for _ in range(3):
            assert asyncio.run(llm.achat(HELLO)).message.content == "hello"
        assert len(server.requests) == 3


async def test_the_loop_is_free_while_an_answer_is_waited_for() -> None:
    ticked = threading.Event()
    with ScriptedServer([ticked, http(completion())]) as server:
        llm = oxen(server)
        call = asyncio.create_task(llm.achat(HELLO))
        while not server.requests:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.001)
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert not call.done()
        ticked.set()
        assert (await call).message.content == "hello"
        await llm.aclose()


def test_nothing_meant_for_openai_is_sent(openai_variables: dict[str, str]) -> None:
    with ScriptedServer(http(completion())) as server:
        oxen(server).chat(HELLO)
        asyncio.run(oxen(server).achat(HELLO))
        sent = "\n".join(f"{r.headers} {r.body!r}" for r in server.requests)
    assert "for-openai-only" not in sent
    assert {r.headers["authorization"] for r in server.requests} == {"Bearer test"}


def test_headers_and_parameters_arrive() -> None:
    with ScriptedServer(http(completion())) as server:
        llm = oxen(
            server,
            temperature=0.2,
            max_tokens=50,
            additional_kwargs={"top_p": 0.9, "seed": 7},
            default_headers={"X-Team": "oxen"},
        )
        llm.chat(HELLO, seed=8, stop=["."], extra_headers={"X-Call": "1"}, presence_penalty=None)
        request = server.requests[0]
    body = request.json
    assert body.pop("messages") == [{"role": "user", "content": "hello"}]
    assert body == {
        "model": "ox-1",
        "temperature": 0.2,
        "max_tokens": 50,
        "top_p": 0.9,
        "seed": 8,
        "stop": ["."],
    }
    assert (request.headers["x-team"], request.headers["x-call"]) == ("oxen", "1")


def test_two_calls_at_once_are_cut_to_one_where_only_one_can_be_taken() -> None:
    from llama_index.core.tools import FunctionTool

    def weather(city: str) -> str:
        return f"{city}: 12 degrees"

    call = {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    message = {"content": None, "tool_calls": [{"id": "a", **call}, {"id": "b", **call}]}
    with ScriptedServer(http(completion(message))) as server:
        llm = oxen(server, model="gpt-4o")
        tool = FunctionTool.from_defaults(weather)
        assert str(llm.predict_and_call([tool], "weather?")) == "Rome: 12 degrees"
        both = llm.predict_and_call([tool], "weather?", allow_parallel_tool_calls=True)
        assert len(both.sources) == 2
        sent = [request.json for request in server.requests if request.method == "POST"]
    assert [body.get("parallel_tool_calls") for body in sent] == [False, None]


async def test_a_refused_object_says_why() -> None:
    from llama_index.core.prompts import PromptTemplate
    from pydantic import BaseModel

    class Ox(BaseModel):
        name: str

    message = {"content": None, "refusal": "I cannot help with that."}
    with ScriptedServer(http(completion(message))) as server:
        llm = oxen(server, structured_mode="json_schema")
        prompt = PromptTemplate("an ox")
        with pytest.raises(ValueError, match="cannot help with that"):
            llm.structured_predict(Ox, prompt)
        with pytest.raises(ValueError, match="cannot help with that"):
            await llm.astructured_predict(Ox, prompt)
        with pytest.raises(ValueError, match="cannot help with that"):
            list(llm.stream_structured_predict(Ox, prompt))


def test_a_choice_without_a_type_gets_one() -> None:
    from llama_index.core.tools import FunctionTool

    def weather(city: str) -> str:
        return city

    choice = {"function": {"name": "weather"}}
    with ScriptedServer(http(completion())) as server:
        tool = FunctionTool.from_defaults(weather)
        oxen(server).chat_with_tools([tool], "weather?", tool_choice=choice)
        assert server.requests[0].json["tool_choice"] == {"type": "function", **choice}


@pytest.mark.parametrize(
    "name", ["1 images beside text, in one piece", "images in an unknown form"]
)
async def test_an_answer_with_images_can_be_used_like_any_other(name: str) -> None:
    row = next(o for o in ODDITIES if o.name == name)
    with ScriptedServer(row.script) as server:
        llm = oxen(server)
        for done in (llm.complete("hello"), await llm.acomplete("hello")):
            assert done.text == row.text
            shown = [str(block.url) for block in done.additional_kwargs.get("images", ())]
            assert tuple(shown) == row.images
        message = llm.chat(HELLO).message
        assert bool(message.additional_kwargs.get("other_images")) is not bool(row.images)
        llm.chat([*HELLO, ChatMessage.model_validate(message.model_dump()), *HELLO])
        back = server.requests[-1].json["messages"][1]
        await llm.aclose()
    assert back == {"role": "assistant", "content": row.text}


def test_an_image_at_no_address_is_kept_beside() -> None:
    odd = {"type": "image_url", "image_url": {"url": "no URL"}}
    with ScriptedServer(http(completion({"content": "hi", "images": [odd]}))) as server:
        message = oxen(server).chat(HELLO).message
    assert message.content == "hi"
    assert message.additional_kwargs["other_images"] == [odd]


async def test_a_tool_whose_name_alone_arrived_is_not_run() -> None:
    from llama_index.core.tools import FunctionTool

    drawn = []

    def draw(prompt: str = "an ox") -> str:
        """Draw an image."""
        drawn.append(prompt)
        return "done"

    named_only = next(o for o in ODDITIES if o.name == "cut off after a tool's name: length")
    with ScriptedServer(named_only.script) as server:
        llm, tool = oxen(server), FunctionTool.from_defaults(draw)
        with pytest.raises(ValueError, match="raise max_tokens"):
            llm.predict_and_call([tool], user_msg="Draw.")
        with pytest.raises(ValueError, match="raise max_tokens"):
            await llm.apredict_and_call([tool], user_msg="Draw.")
        agent = FunctionAgent(tools=[tool], llm=llm)
        with pytest.raises(Exception, match="Max iterations"):
            await agent.run("Draw.", max_iterations=2)
        await llm.aclose()
    assert drawn == []


async def test_a_request_that_is_not_json_is_refused_before_it_is_sent() -> None:
    text, options = "hi", {"seed": float("nan")}
    with ScriptedServer(ODDITIES[0].script) as server:
        llm = oxen(server)
        with pytest.raises(errors.InvalidInputError, match="not JSON"):
            llm.complete(text, **options)
        with pytest.raises(errors.InvalidInputError, match="not JSON"):
            await llm.acomplete(text, **options)
        with pytest.raises(errors.InvalidInputError, match="not JSON"):
            list(llm.stream_complete(text, **options))
        await llm.aclose()
    assert server.requests == []


@pytest.mark.parametrize("collect", [collect_sync, collect_async])
def test_metadata_in_the_last_chunk_is_kept(collect: Collect) -> None:
    script = SSE_HEAD + sse(
        delta(content="hi"), {**delta("stop"), "citations": ["https://a.example"]}
    )
    with ScriptedServer(script) as server:
        last = collect(oxen(server))[-1]
    assert last.raw["citations"] == ["https://a.example"]


PERPLEXITY = {
    "citations": ["https://a.example", "https://b.example"],
    "search_results": [
        {"title": "B", "url": "https://b.example", "date": "2026-01-02", "snippet": "Oxen pull."},
        {"title": "C", "url": "https://c.example"},
    ],
}
CITED = {"url": "https://d.example", "title": "D", "start_index": 0, "end_index": 2}


@pytest.mark.parametrize("collect", [collect_sync, collect_async])
@pytest.mark.parametrize("streamed", [True, False])
def test_citations_are_blocks(collect: Collect, streamed: bool) -> None:
    annotation = {"type": "url_citation", "url_citation": CITED}
    if streamed:
        chunk = delta(content="hi", annotations=[annotation])
        script = SSE_HEAD + sse(chunk, {**delta("stop"), **PERPLEXITY})
    else:
        answer = completion({"content": "hi", "annotations": [annotation]})
        script = http({**answer, **PERPLEXITY})
    with ScriptedServer(script) as server:
        llm = oxen(server)
        message = collect(llm)[-1].message if streamed else llm.chat([ChatMessage("hi")]).message
        blocks = [block for block in message.blocks if isinstance(block, CitationBlock)]
        assert [(b.source, b.title, b.cited_content.text) for b in blocks] == [
            ("https://d.example", "D", "D"),
            ("https://a.example", "", "https://a.example"),
            ("https://b.example", "B", "Oxen pull."),
            ("https://c.example", "C", "C"),
        ]
        assert blocks[0].additional_location_info == {"start_index": 0, "end_index": 2}
        assert message.content == "hi"
        llm.chat([message, ChatMessage("And?")]) if not streamed else list(
            llm.stream_chat([message, ChatMessage("And?")])
        )
        assert server.requests[-1].json["messages"][0]["content"] == "hi"
