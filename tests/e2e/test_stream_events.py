"""Version 3 of LangChain's stream: a model's own events, and the progress of paid tool calls."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent

from langchain_oxen import ChatOxen, OxenMediaTool
from oxen_inference import OxenClient
from oxen_inference.errors import StreamCutOffError
from oxen_sandbox import Sandbox
from tests.support.scripted_chat import ScriptedChat
from tests.support.scripted_server import ScriptedServer, delta, stream

pytest.importorskip("langchain_core.language_models.chat_model_stream")
lifecycle = pytest.importorskip("langchain_tests.utils.stream_lifecycle")


@pytest.fixture(autouse=True)
def _beta() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*beta|.*experimental")
        yield


def call(index: int, arguments: str, **fields: Any) -> dict[str, Any]:
    return delta(tool_calls=[{"index": index, "function": {"arguments": arguments}, **fields}])


def named(index: int, name: str) -> dict[str, Any]:
    function = {"name": name, "arguments": ""}
    return delta(tool_calls=[{"index": index, "id": f"call_{name}", "function": function}])


USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/ox.png"}}
CITED = {"type": "url_citation", "url_citation": {"url": "https://example.com", "title": "Ox"}}
STREAMS: dict[str, tuple[Any, ...]] = {
    "text": (delta(content="he"), delta(content="llo"), delta("stop"), USAGE),
    "thoughts": (delta(reasoning_content="h"), delta(reasoning_content="m"),
                 delta(content="So: "), delta(content="yes"), delta("stop"), USAGE),
    "calls": (delta(content="Now."), named(0, "a"), call(0, '{"x": '), named(1, "b"),
              call(1, '{"ü": "ö"}'), call(0, "1}"), delta("tool_calls"), USAGE),
    "half a call": (named(0, "a"), call(0, '{"x": 1, "y": "un'), delta("length"), USAGE),
    "call without arguments": (named(0, "a"), delta("tool_calls"), USAGE),
    "images and citations": (delta(content="Here", images=[IMAGE]),
                             delta(annotations=[CITED]), delta("stop"), USAGE),
    "an image as text, and audio that is no base64": (
        delta(images=[{"url": "data:image/svg+xml;utf8,<svg>é</svg>"}]),
        delta(audio={"data": "é"}), delta("stop"), USAGE),
    "brackets without end": (named(0, "a"), call(0, '{"x": ' + "[" * 20_000), delta("length"), USAGE),
    "nothing": (delta("stop"), USAGE),
}  # fmt: skip


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", STREAMS)
async def test_events_are_whole_and_say_what_chunks_say(name: str, is_async: bool) -> None:
    with ScriptedServer(stream(*STREAMS[name])) as server:
        model = ChatOxen(model="ox-1", api_key="k", base_url=server.url, cost=False)
        if is_async:
            async with model:
                reading = await model.astream_events("hi", version="v3")
                events = [event async for event in reading]
                message = await reading.output
        else:
            running = model.stream_events("hi", version="v3")
            events = list(running)
            message = running.output
        expected = model.invoke("hi", stream=True)
    lifecycle.assert_valid_event_stream(events)
    assert message.text == expected.text
    assert message.tool_calls == expected.tool_calls
    # In the sum of chunks, a bracket that closes nothing keeps half a call from looking whole.
    halves = zip(message.invalid_tool_calls, expected.invalid_tool_calls, strict=True)
    assert all(str(theirs["args"]).startswith(str(ours["args"])) for ours, theirs in halves)
    assert message.usage_metadata == expected.usage_metadata
    assert message.additional_kwargs == expected.additional_kwargs
    assert message.response_metadata["finish_reason"] == expected.response_metadata["finish_reason"]
    assert message.id is not None
    assert message.id.startswith("lc_run-")
    assert whole_blocks(message) == whole_blocks(expected)


def whole_blocks(message: Any) -> list[Any]:
    return [
        {name: value for name, value in block.items() if name != "index"}
        for block in message.content_blocks
        if block["type"] != "invalid_tool_call"
    ]


async def test_an_answer_that_is_cut_off_raises_here_too() -> None:
    with ScriptedServer(stream(delta(content="he"), "")) as server:
        model = ChatOxen(model="ox-1", api_key="k", base_url=server.url, max_retries=0)
        with pytest.raises(StreamCutOffError):
            list(model.stream_events("hi", version="v3"))
        async with model:
            reading = await model.astream_events("hi", version="v3")
            with pytest.raises(StreamCutOffError):
                [event async for event in reading]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_progress_is_in_the_tool_calls_of_a_run(
    oxen_sandbox: Sandbox, is_async: bool
) -> None:
    key, url = oxen_sandbox.api_key, oxen_sandbox.base_url
    with OxenClient(api_key=key, base_url=url, ledger=None) as client:
        draw = OxenMediaTool.for_model("flux-2-dev", client=client, name="draw")
        two = [(f"call_{number}", "draw", {"prompt": f"ox {number}"}) for number in (1, 2)]
        asked: Any = {"messages": [("user", "draw")]}
        agent: Any = create_agent(ScriptedChat(turns=[two[:1], "Done."]), [draw])
        if is_async:
            reading = await agent.astream_events(asked, version="v3")
            told = [
                [step["phase"] async for step in one.output_deltas]
                async for one in reading.tool_calls
            ]
        else:
            running = agent.stream_events(asked, version="v3")
            told = [[d["phase"] for d in one.output_deltas] for one in running.tool_calls]
        assert len(told) == 1
        assert (told[0][0], told[0][-1]) == ("quoted", "done")

        agent = create_agent(ScriptedChat(turns=[two, "Done."]), [draw])
        if is_async:
            events = [each async for each in agent.astream(asked, stream_mode="tools")]
        else:
            events = list(agent.stream(asked, stream_mode="tools"))
    steps = [each for each in events if each["event"] == "tool-output-delta"]
    assert {each["tool_call_id"] for each in steps} == {"call_1", "call_2"}
    assert all(each["delta"]["tool_call_id"] == each["tool_call_id"] for each in steps)
