"""`Oxen` on the sandbox: every way of calling it, tools, objects, counts, copies."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import logging
import pickle
import re
import warnings
from collections.abc import AsyncGenerator, Generator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ImageBlock, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, CBEventType, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_oxen import Oxen
from llama_index_oxen.structured import program_for
from oxen_inference import Budget, Ledger, errors
from oxen_inference.catalog.cache import clear_cache
from oxen_inference.catalog.profiles import DEFAULT_CONTEXT_WINDOW
from oxen_inference.chat import parameter_names
from oxen_inference.errors import InvalidInputError
from oxen_sandbox import Sandbox
from tests.support.small_files import PNG

MODEL, THINKER = "claude-sonnet-4-6", "deepseek-v4-pro"
HELLO = [ChatMessage("hello")]


@pytest.fixture
def hub() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def llm(hub: Sandbox) -> Oxen:
    return Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url)


def bodies(hub: Sandbox) -> list[Any]:
    return [r.json for r in hub.requests if r.path.endswith("/chat/completions")]


class Ox(BaseModel):
    """An ox."""

    name: str
    weight: int


def weigh(name: str) -> str:
    """Weigh an ox."""
    return f"{name} weighs 800 kg"


WEIGH = FunctionTool.from_defaults(weigh)
PROMPT = PromptTemplate("Make up an ox called {name} that weighs 800 kg.")


# Every way of calling it


async def test_the_eight_ways_say_the_same(llm: Oxen) -> None:
    chat = llm.chat(HELLO)
    expected = chat.message.content
    assert expected
    assert (await llm.achat(HELLO)).message.content == expected
    assert llm.complete("hello").text == expected
    assert (await llm.acomplete("hello")).text == expected

    streams: list[list[Any]] = [list(llm.stream_chat(HELLO)), list(llm.stream_complete("hello"))]
    astream_chat = await llm.astream_chat(HELLO)
    assert isinstance(astream_chat, AsyncGenerator)
    streams.append([r async for r in astream_chat])
    streams.append([r async for r in await llm.astream_complete("hello")])
    for responses in streams:
        assert len(responses) > 2
        assert "".join(r.delta for r in responses) == expected
        last = responses[-1]
        assert (last.message.content if isinstance(last, ChatResponse) else last.text) == expected
        assert last.raw["usage"]["prompt_tokens"] == chat.raw["usage"]["prompt_tokens"]
    assert isinstance(llm.stream_chat(HELLO), Generator)
    await llm.aclose()


async def test_every_answer_says_what_it_took_and_cost(llm: Oxen) -> None:
    answers: list[Any] = [llm.chat(HELLO), llm.complete("hello"), await llm.achat(HELLO)]
    answers += [list(llm.stream_chat(HELLO))[-1], list(llm.stream_complete("hello"))[-1]]
    answers += [[r async for r in await llm.astream_chat(HELLO)][-1]]
    for answer in answers:
        assert Decimal(answer.raw["cost"]) > 0
        assert answer.raw["finish_reason"] == "stop"
        assert answer.additional_kwargs["total_tokens"] == answer.raw["usage"]["total_tokens"] > 0
    await llm.aclose()


def test_cost_may_be_left_out(hub: Sandbox) -> None:
    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url, cost=False)
    assert "cost_computed" not in llm.chat(HELLO).raw
    assert not [r for r in hub.requests if "/models" in r.path]


async def test_core_counts_the_models_own_tokens(hub: Sandbox) -> None:
    counter = TokenCountingHandler(tokenizer=lambda text: [0] * 1000)
    llm = Oxen(
        MODEL,
        api_key=hub.api_key,
        api_base=hub.base_url,
        callback_manager=CallbackManager([counter]),
    )
    expected = llm.chat(HELLO).raw["usage"]
    list(llm.stream_chat(HELLO))
    [r async for r in await llm.astream_chat(HELLO)]
    llm.complete("hello")
    counts = [(c.prompt_token_count, c.completion_token_count) for c in counter.llm_token_counts]
    assert counts == [(expected["prompt_tokens"], expected["completion_tokens"])] * 4
    await llm.aclose()


class Listener(BaseEventHandler):
    heard: list[Any] = []

    @classmethod
    def class_name(cls) -> str:
        return "Listener"

    def handle(self, event: Any, **_: Any) -> None:
        self.heard.append(event)


def test_events_are_told_without_the_key(llm: Oxen, hub: Sandbox) -> None:
    listener = Listener()
    dispatcher = get_dispatcher()
    before = list(dispatcher.event_handlers)
    dispatcher.add_event_handler(listener)
    try:
        llm.chat(HELLO)
        list(llm.stream_complete("hello"))
    finally:
        dispatcher.event_handlers = before
    names = {type(event).__name__ for event in listener.heard}
    assert {"LLMChatStartEvent", "LLMChatEndEvent", "LLMCompletionInProgressEvent"} <= names
    assert hub.api_key not in "".join(event.model_dump_json() for event in listener.heard)


def test_callbacks_are_told(hub: Sandbox) -> None:
    from llama_index.core.callbacks import LlamaDebugHandler

    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm = Oxen(
        MODEL, api_key=hub.api_key, api_base=hub.base_url, callback_manager=CallbackManager([debug])
    )
    list(llm.stream_chat(HELLO))
    llm.complete("hello")
    assert len(debug.get_event_pairs(CBEventType.LLM)) == 2


def test_reasoning_comes_as_a_block_of_its_own(hub: Sandbox) -> None:
    llm = Oxen(THINKER, api_key=hub.api_key, api_base=hub.base_url)
    *_, last = responses = list(llm.stream_chat([ChatMessage("How many legs have six oxen?")]))
    thought, text = last.message.blocks
    assert isinstance(thought, ThinkingBlock)
    assert isinstance(text, TextBlock)
    said = "".join(r.additional_kwargs.get("thinking_delta", "") for r in responses)
    assert said == thought.content
    whole = llm.chat([ChatMessage("How many legs have six oxen?")]).message.blocks
    assert [type(block) for block in whole] == [ThinkingBlock, TextBlock]


def test_a_image_is_seen(llm: Oxen, hub: Sandbox) -> None:
    blocks = [TextBlock(text="What is this?"), ImageBlock(image=PNG)]
    assert "image" in str(llm.chat([ChatMessage(role="user", blocks=blocks)]))
    part = bodies(hub)[0]["messages"][0]["content"][1]
    assert part["image_url"]["url"].endswith(base64.b64encode(PNG).decode())


def test_prompts_of_ones_own(hub: Sandbox) -> None:
    llm = Oxen(
        MODEL,
        api_key=hub.api_key,
        api_base=hub.base_url,
        system_prompt="Be brief.",
        completion_to_prompt=lambda prompt: f"<<{prompt}>>",
    )
    llm.complete("hello")
    llm.complete("hello", formatted=True)
    llm.predict(PromptTemplate("hello {who}"), who="ox")
    said = [[m["content"] for m in body["messages"]] for body in bodies(hub)]
    assert said == [["<<hello>>"], ["hello"], ["Be brief.", "hello ox"]]


# What it says of itself


def test_nothing_is_sent_before_it_is_asked(hub: Sandbox) -> None:
    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url, context_window=9)
    assert llm.metadata.context_window == 9
    assert llm.metadata.is_chat_model
    assert llm.metadata.is_function_calling_model
    assert llm.metadata.model_name == MODEL
    assert not hub.requests


def test_what_the_catalog_says_of_limits_wins_over_the_shipped_table(hub: Sandbox) -> None:
    limits = {"context_length": 400_000, "max_output_tokens": 64_000}
    hub.models[MODEL] = {**hub.models[MODEL], **limits}
    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url)
    for _ in range(3):
        assert (llm.metadata.context_window, llm.metadata.num_output) == (400_000, 64_000)
    assert len(hub.requests) == 1
    own = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url, max_tokens=7)
    assert own.metadata.num_output == 7


def test_room_for_the_answer_leaves_room_for_the_prompt(hub: Sandbox) -> None:
    limits = {"context_length": 8000, "max_output_tokens": 8000}
    hub.models[MODEL] = {**hub.models[MODEL], **limits}
    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url)
    assert (llm.metadata.context_window, llm.metadata.num_output) == (8000, 4000)


def test_a_model_nobody_knows_has_a_named_default(hub: Sandbox) -> None:
    llm = Oxen("ox-1", api_key=hub.api_key, api_base=hub.base_url)
    assert llm.metadata.context_window == DEFAULT_CONTEXT_WINDOW
    own = Oxen(
        "ox-1",
        api_key="x",
        api_base=hub.base_url,
        context_window=9,
        max_tokens=5,
        is_function_calling_model=False,
    )
    assert (own.metadata.context_window, own.metadata.num_output) == (9, 5)
    assert not own.metadata.is_function_calling_model


def test_metadata_is_that_of_the_model_it_is_set_to(hub: Sandbox) -> None:
    for name, length in (("ox-1", 4321), ("ox-2", 1234)):
        hub.models[name] = {**hub.models[MODEL], "id": name, "context_length": length}
    llm = Oxen("ox-1", api_key=hub.api_key, api_base=hub.base_url)
    assert llm.metadata.context_window == 4321
    llm.model = "ox-2"
    assert llm.metadata.context_window == 1234


def test_metadata_without_a_network() -> None:
    llm = Oxen("ox-1", api_key="x", api_base="http://127.0.0.1:9/api/ai", max_retries=0)
    assert llm.metadata.context_window == DEFAULT_CONTEXT_WINDOW


async def test_metadata_inside_a_loop_comes_from_the_catalog_once_known(hub: Sandbox) -> None:
    hub.models["ox-1"] = {**hub.models[MODEL], "id": "ox-1", "context_length": 4321}
    clear_cache()
    llm = Oxen("ox-1", api_key=hub.api_key, api_base=hub.base_url)
    await llm.achat(HELLO)
    await llm.achat(HELLO)
    assert llm.metadata.context_window == 4321
    await llm.aclose()


def test_a_missing_key_says_what_to_do() -> None:
    with pytest.raises(errors.MissingAPIKeyError, match="OXEN_API_KEY"):
        Oxen(MODEL)


def test_the_key_is_shown_nowhere(caplog: pytest.LogCaptureFixture, hub: Sandbox) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "sk-very-secret"
    llm = Oxen(MODEL, api_key=secret, api_base=hub.base_url, default_headers={"X-Token": secret})
    with pytest.raises(errors.AuthenticationError) as caught:
        llm.chat(HELLO)
    shown = [repr(llm), str(llm), json.dumps(llm.to_dict()), llm.to_json(), repr(caught.value)]
    shown += [str(llm.model_dump()), str(llm.to_payload()), caplog.text]
    assert not [text for text in shown if secret in text]


def test_copies_work(llm: Oxen, hub: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = llm.chat(HELLO).message.content
    monkeypatch.setenv("OXEN_API_KEY", hub.api_key)
    copies = [
        pickle.loads(pickle.dumps(llm)),
        copy.deepcopy(llm),
        copy.copy(llm),
        llm.model_copy(),
        Oxen.from_dict(llm.to_dict()),
        Oxen.from_json(llm.to_json()),
    ]
    for one in copies:
        assert one.chat(HELLO).message.content == expected
        assert one.to_dict() == llm.to_dict()


def test_a_pickle_keeps_its_named_budget_and_refuses_an_unnamed_one(
    llm: Oxen, tmp_path: Path
) -> None:
    budget = Budget("5", name="herd", ledger=Ledger(tmp_path / "ledger.sqlite3"))
    assert (
        pickle.loads(pickle.dumps(llm.model_copy(update={"budget": budget}))).budget.name == "herd"
    )
    for unnamed in (Budget("5"), "5"):
        with pytest.raises(TypeError, match="name it"):
            pickle.dumps(Oxen(MODEL, api_key=llm.api_key, budget=unnamed))


def test_a_client_of_ones_own_is_used_and_left_behind(hub: Sandbox) -> None:
    import openai

    own = openai.DefaultHttpxClient(headers={"X-Own": "yes"})
    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url, http_client=own)
    llm.chat(HELLO)
    asked = [r for r in hub.requests if r.path.endswith("/chat/completions")]
    assert asked[0].headers["x-own"] == "yes"
    llm.close()
    assert not own.is_closed
    assert pickle.loads(pickle.dumps(llm)).http_client is None
    assert copy.deepcopy(llm).http_client is own
    own.close()


def test_it_can_be_the_default(llm: Oxen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "_llm", None)
    Settings.llm = llm
    assert Settings.llm is llm
    assert Settings.llm.class_name() == "Oxen"


# Tools


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, None),
        ({"tool_required": True}, "required"),
        ({"tool_choice": "any"}, "required"),
        ({"tool_choice": "none", "tool_required": True}, "none"),
        ({"tool_choice": "weigh"}, {"type": "function", "function": {"name": "weigh"}}),
        ({"tool_choice": {"type": "function"}}, {"type": "function"}),
    ],
)
def test_the_choice_of_a_tool(llm: Oxen, given: dict[str, Any], sent: Any) -> None:
    asked = llm._prepare_chat_with_tools([WEIGH], "hello", **given)
    assert asked.get("tool_choice") == sent
    assert asked["messages"][-1].content == "hello"
    assert asked["tools"][0]["function"]["name"] == "weigh"


def test_no_tools_no_fields_about_tools(llm: Oxen, hub: Sandbox) -> None:
    history = [ChatMessage("hi")]
    llm.chat_with_tools([], "hello", chat_history=history, tool_required=True)
    llm.chat(HELLO, tools=[], tool_choice="auto", parallel_tool_calls=True)
    assert len(history) == 1
    for body in bodies(hub):
        assert not {"tools", "tool_choice", "parallel_tool_calls"} & body.keys()


def test_a_strange_choice_is_refused(llm: Oxen) -> None:
    with pytest.raises(errors.InvalidInputError, match="weigh"):
        llm.chat_with_tools([WEIGH], "hello", tool_choice="wiegh")


async def test_a_tool_is_called(llm: Oxen) -> None:
    request = "Weigh the ox Bruno"
    response = llm.chat_with_tools([WEIGH], request, tool_required=True)
    (call,) = llm.get_tool_calls_from_response(response)
    assert call.tool_name == "weigh"
    block = next(b for b in response.message.blocks if isinstance(b, ToolCallBlock))
    (beside,) = response.message.additional_kwargs["tool_calls"]
    assert block.tool_kwargs == json.loads(beside["function"]["arguments"]) == call.tool_kwargs
    assert beside["id"] == block.tool_call_id == call.tool_id

    streamed = [r async for r in await llm.astream_chat_with_tools([WEIGH], request)]
    (again,) = llm.get_tool_calls_from_response(streamed[-1])
    assert (again.tool_name, again.tool_kwargs) == (call.tool_name, call.tool_kwargs)
    partial = [llm.get_tool_calls_from_response(r, error_on_no_tool_call=False) for r in streamed]
    assert any(calls and calls[0].tool_kwargs != call.tool_kwargs for calls in partial)
    assert "800 kg" in str(llm.predict_and_call([WEIGH], request))
    assert "800 kg" in str(await llm.apredict_and_call([WEIGH], request))
    await llm.aclose()


def test_no_call_where_one_is_expected(llm: Oxen) -> None:
    with pytest.raises(ValueError, match="called no tool"):
        llm.get_tool_calls_from_response(llm.chat(HELLO))


def test_half_a_call(llm: Oxen) -> None:
    def response(raw: Any, arguments: str = '{"name": "Bru') -> ChatResponse:
        call = {"id": "a", "function": {"name": "weigh", "arguments": arguments}}
        message = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]})
        return ChatResponse(message=message, raw=raw)

    (on_its_way,) = llm.get_tool_calls_from_response(response(None))
    assert on_its_way.tool_kwargs == {"name": "Bru"}
    for arguments, read in (('{"name": "Bru\nno", "w', {"name": "Bru\nno"}), ("x", {})):
        (odd,) = llm.get_tool_calls_from_response(response(None, arguments))
        assert odd.tool_kwargs == read
    ended = response({"finish_reason": "length"})
    (cut_off,) = llm.get_tool_calls_from_response(ended, error_on_no_tool_call=False)
    assert cut_off.tool_kwargs["malformed_arguments"] == '{"name": "Bru'
    with pytest.raises(ValueError, match=r"call of weigh cannot be read.*raise max_tokens"):
        llm.get_tool_calls_from_response(ended)


async def test_a_call_that_was_cut_off_is_not_made(hub: Sandbox) -> None:
    made: list[str] = []

    def weigh(name: str) -> str:
        """Weigh an ox."""
        made.append(name)
        return "812 kg"

    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url, max_tokens=20)
    tool = FunctionTool.from_defaults(weigh)
    with pytest.raises(ValueError, match="raise max_tokens"):
        llm.predict_and_call([tool], user_msg="Weigh the ox Bruno")
    with pytest.raises(ValueError, match="raise max_tokens"):
        await llm.apredict_and_call([tool], user_msg="Weigh the ox Bruno")
    handler = FunctionAgent(tools=[tool], llm=llm).run("Weigh the ox Bruno", max_iterations=2)
    told = [e async for e in handler.stream_events() if isinstance(e, ToolCallResult)]
    assert told
    assert all(one.tool_output.is_error for one in told)
    with pytest.raises(Exception, match="Max iterations"):
        await handler
    assert made == []
    await llm.aclose()


async def test_an_agent_uses_it(llm: Oxen) -> None:
    agent = FunctionAgent(tools=[WEIGH], llm=llm)
    handler = agent.run("Weigh the ox Bruno")
    streamed = [e async for e in handler.stream_events() if isinstance(e, AgentStream)]
    assert "800 kg" in str(await handler)
    assert any(event.tool_calls for event in streamed)
    assert any(event.delta for event in streamed)
    await llm.aclose()


# Objects


@pytest.mark.parametrize("mode", ["tool", "json_schema"])
async def test_objects(hub: Sandbox, mode: Any) -> None:
    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url, structured_mode=mode)
    for made in (
        llm.structured_predict(Ox, PROMPT, name="Bruno"),
        await llm.astructured_predict(Ox, PROMPT, name="Bruno"),
        llm.as_structured_llm(Ox).chat([ChatMessage("Make up an ox.")]).raw,
        llm.as_structured_llm(Ox).complete("Make up an ox.").raw,
    ):
        assert isinstance(made, Ox)
    streams = [
        list(llm.stream_structured_predict(Ox, PROMPT, name="Bruno")),
        [o async for o in await llm.astream_structured_predict(Ox, PROMPT, name="Bruno")],
    ]
    for partials in streams:
        assert isinstance(partials[-1], Ox)
        assert not isinstance(partials[0], Ox)
    structured = llm.as_structured_llm(Ox)
    assert isinstance(list(structured.stream_chat([ChatMessage("An ox.")]))[-1].raw, Ox)
    for body in bodies(hub):
        if mode == "tool":
            assert body["tool_choice"] == "required"
        else:
            assert body["response_format"]["json_schema"]["name"] == "Ox"
    await llm.aclose()


def test_cores_own_program(llm: Oxen) -> None:
    program = FunctionCallingProgram.from_defaults(Ox, prompt=PROMPT, llm=llm)
    assert isinstance(program(name="Bruno"), Ox)
    assert isinstance(list(program.stream_call(name="Bruno"))[-1], Ox)


def test_a_model_without_tools_is_asked_for_an_object_in_words(hub: Sandbox) -> None:
    hub.reply('{"name": "Bruno", "weight": 800}')
    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url, is_function_calling_model=False)
    prompt = PromptTemplate("Make up an ox.")  # core leaves its own mark on it
    assert llm.structured_predict(Ox, prompt) == Ox(name="Bruno", weight=800)
    (body,) = bodies(hub)
    assert not {"tools", "response_format"} & body.keys()
    assert "weight" in str(body["messages"])


@pytest.mark.parametrize("mode", ["tool", "json_schema"])
def test_a_program_says_what_it_makes(hub: Sandbox, mode: Any) -> None:
    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url, structured_mode=mode)
    assert program_for(llm, Ox, PROMPT, mode=mode).output_cls is Ox


class Labeled(BaseModel):
    """An ox with labels of every kind."""

    name: str
    labels: dict[str, str]


@pytest.mark.parametrize("mode", ["tool", "json_schema"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_strict_objects(hub: Sandbox, mode: Any, streamed: bool) -> None:
    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url, structured_mode=mode, strict=True)
    ox = Ox(name="Bruno", weight=800)
    for _ in range(2):
        reply_with_object(hub, mode, Ox, ox.model_dump())
    if streamed:
        made = [list(llm.stream_structured_predict(Ox, PROMPT, name="Bruno"))[-1]]
        reading = await llm.astream_structured_predict(Ox, PROMPT, name="Bruno")
        made.append([one async for one in reading][-1])
    else:
        made = [llm.structured_predict(Ox, PROMPT, name="Bruno")]
        made.append(await llm.astructured_predict(Ox, PROMPT, name="Bruno"))
    assert made == [ox, ox]
    for body in bodies(hub):
        is_tool = mode == "tool"
        sent = body["tools"][0]["function"] if is_tool else body["response_format"]["json_schema"]
        schema = sent["parameters" if is_tool else "schema"]
        assert sent["strict"] is True
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(Ox.model_fields)
    count = len(bodies(hub))
    with pytest.raises(InvalidInputError, match="labels of Labeled"):
        llm.structured_predict(Labeled, PROMPT, name="Bruno")
    assert len(bodies(hub)) == count
    tools = llm._prepare_chat_with_tools([FunctionTool.from_defaults(weigh)], "Weigh Bruno.")
    assert tools["tools"][0]["function"]["strict"] is True


class Vague(BaseModel):
    name: str = "unnamed"
    weight: int = 0


def reply_with_object(hub: Sandbox, mode: str, cls: type[BaseModel], values: Any) -> None:
    """Script an object as a tool call or as JSON."""
    if mode == "tool":
        hub.reply(tool_calls=[(cls.__name__, values)])
    else:
        hub.reply(json.dumps(values))


@pytest.mark.parametrize("mode", ["tool", "json_schema"])
async def test_an_object_that_may_be_empty_is_streamed_as_it_comes(hub: Sandbox, mode: Any) -> None:
    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url, structured_mode=mode)
    for _ in range(2):
        reply_with_object(hub, mode, Vague, {"name": "Bruno"})
    streams = [
        list(llm.stream_structured_predict(Vague, PROMPT, name="Bruno")),
        [o async for o in await llm.astream_structured_predict(Vague, PROMPT, name="Bruno")],
    ]
    for partials in streams:
        assert partials[-1].name == "Bruno"
    await llm.aclose()


@pytest.mark.parametrize(
    ("mode", "most"), [("tool", 2), ("tool", 18), ("json_schema", 2), ("json_schema", 6)]
)
async def test_an_object_that_was_cut_off_is_an_error(hub: Sandbox, mode: Any, most: int) -> None:
    llm = Oxen(
        MODEL, api_key=hub.api_key, api_base=hub.base_url, structured_mode=mode, max_tokens=most
    )
    words = r"finish_reason 'length'.*raise max_tokens"
    for cls in (Ox, Vague):
        for _ in range(4):
            reply_with_object(hub, mode, cls, {"name": "Bruno", "weight": 812})
        with pytest.raises(ValueError, match=words):
            llm.structured_predict(cls, PROMPT, name="Bruno")
        with pytest.raises(ValueError, match=words):
            await llm.astructured_predict(cls, PROMPT, name="Bruno")
        with pytest.raises(ValueError, match=words):
            list(llm.stream_structured_predict(cls, PROMPT, name="Bruno"))
        with pytest.raises(ValueError, match=words):
            [o async for o in await llm.astream_structured_predict(cls, PROMPT, name="Bruno")]
    await llm.aclose()


def test_an_answer_that_is_no_object(hub: Sandbox) -> None:
    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url, structured_mode="json_schema")
    hub.reply("no")
    with pytest.raises(ValueError, match=r"no JSON.*'no'"):
        llm.structured_predict(Ox, PROMPT, name="Bruno")


# Errors


def test_errors_are_those_of_the_core(llm: Oxen, hub: Sandbox) -> None:
    stranger = Oxen("claude-sonet-4-6", api_key=hub.api_key, api_base=hub.base_url)
    with pytest.raises(errors.ModelNotFoundError, match=MODEL):
        stranger.chat(HELLO)
    with pytest.raises(errors.InvalidInputError, match="empty"):
        llm.chat([])
    with pytest.raises(errors.InvalidInputError, match="n must be 1"):
        asyncio.run(llm.achat(HELLO, n=2))


# Parameters


@pytest.mark.parametrize("streamed", [False, True])
async def test_extra_body_is_part_of_the_request(hub: Sandbox, streamed: bool) -> None:
    kwargs = {"extra_body": {"target_namespace": "herd", "seed": 1}, "top_p": 0.5, "timeout": 30}
    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url, additional_kwargs=kwargs)
    if streamed:
        list(llm.stream_chat(HELLO, extra_body={"seed": 2}))
    else:
        await llm.achat(HELLO, extra_body={"seed": 2})
    sent = bodies(hub)[0]
    assert (sent["target_namespace"], sent["seed"], sent["top_p"]) == ("herd", 2, 0.5)
    assert not sent.keys() & {"extra_body", "timeout"}
    assert llm.additional_kwargs == kwargs


def test_a_model_in_extra_body_is_the_model_of_the_request(hub: Sandbox) -> None:
    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url, max_tokens=5)
    with pytest.raises(errors.ModelNotFoundError):  # the sandbox has none of that family
        llm.chat(HELLO, extra_body={"model": "gpt-5-mini"})
    sent = bodies(hub)[0]
    assert (sent["model"], sent["max_completion_tokens"]) == ("gpt-5-mini", 5)


async def test_an_unknown_parameter_is_sent_with_one_warning_for_each_name(
    llm: Oxen, hub: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parameter_names, "_warned", set())
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for _ in range(2):
            llm.complete("hi", temprature=1)
            [_ async for _ in await llm.astream_chat(HELLO, max_tokns=3)]
            await llm.astructured_predict(Ox, PROMPT, {"sead": 2}, name="Bo")
            list(llm.stream_complete("hi", context_window=1))
            await llm.achat(HELLO, top_k=4, stop=["x"], timeout=9, extra_body={"legs": 4})
    said = [str(one.message) for one in warned if one.category is UserWarning]
    expected = [
        "temprature is not a parameter of Oxen.*did you mean temperature",
        "max_tokns is not a parameter of Oxen.*did you mean max_tokens",
        "sead is not a parameter of Oxen.*did you mean seed.*put it into extra_body",
        r"context_window is a setting of Oxen and not of a call.*Pass it to Oxen\(\.\.\.\)",
    ]
    assert len(said) == len(expected)
    for text, pattern in zip(said, expected, strict=True):
        assert re.search(pattern, text)
    sent = bodies(hub)
    assert [(b.get("temprature"), b.get("max_tokns"), b.get("sead")) for b in sent] == [
        (1, None, None),
        (None, 3, None),
        (None, None, 2),
        (None, None, None),
        (None, None, None),
    ] * 2


async def test_the_options_of_a_structured_llm_are_sent(hub: Sandbox) -> None:
    common = {"extra_body": {"target_namespace": "herd"}, "max_completion_tokens": 9, "seed": 1}
    llm = Oxen(
        MODEL, api_key=hub.api_key, api_base=hub.base_url, max_tokens=5, additional_kwargs=common
    )
    assert llm.as_structured_llm(Ox).llm is llm
    structured = llm.as_structured_llm(
        Ox,
        max_completion_tokens=70,
        temperature=0.5,
        user="bo",
        stop_sequences=["x"],
        extra_headers={"x-farm": "north"},
        extra_body={"legs": 4},
        system_prompt="You know oxen.",
        budget="20",
    )
    ask = [ChatMessage('An ox called "Bo".')]
    structured.chat(ask)
    await structured.achat(ask)
    list(structured.stream_chat(ask))
    assert [r.headers["x-farm"] for r in hub.requests if r.method == "POST"] == ["north"] * 3
    for sent in bodies(hub):
        assert (sent["max_tokens"], sent["temperature"], sent["user"]) == (70, 0.5, "bo")
        assert (sent["stop"], sent["seed"], sent["legs"]) == (["x"], 1, 4)
        assert sent["target_namespace"] == "herd"
        assert [m["role"] for m in sent["messages"]] == ["system", "user"]
        assert "max_completion_tokens" not in sent
    assert structured.llm.budget.spent > 0
    assert (llm.max_tokens, llm.additional_kwargs, llm.budget) == (5, common, None)
    with pytest.raises(errors.InvalidInputError, match="max_cost is no parameter of a call"):
        llm.as_structured_llm(Ox, max_cost="1")
    with pytest.raises(errors.InvalidInputError, match="timeout must be a number"):
        llm.as_structured_llm(Ox, timeout=-1)
    with pytest.warns(UserWarning, match="max_tokns is not a parameter of Oxen"):
        llm.as_structured_llm(Ox, max_tokns=3)


def test_so_is_one_of_every_request() -> None:
    with pytest.warns(UserWarning, match="max_tokns is not a parameter of Oxen") as warned:
        Oxen(MODEL, api_key="k", additional_kwargs={"max_tokns": 3, "top_p": 0.5})
    assert [warning.filename for warning in warned] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known = {"extra_body": {"legs": 4}, "reasoning_effort": "low", "seed": 1}
        Oxen(MODEL, api_key="k", additional_kwargs=known)


def test_a_parameter_may_have_the_name_that_other_classes_give_it(hub: Sandbox) -> None:
    llm = Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url, max_tokens=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        llm.complete("hi", max_completion_tokens=7, stop_sequences=["x"], request_timeout=9)
        asyncio.run(llm.achat(HELLO, max_output_tokens=8))
        named = {"additional_kwargs": {"max_completion_tokens": 9}}
        list(llm.model_copy(update=named).stream_chat(HELLO))
    sent = [{k: v for k, v in b.items() if k in ("max_tokens", "stop")} for b in bodies(hub)]
    assert sent == [{"max_tokens": 7, "stop": ["x"]}, {"max_tokens": 8}, {"max_tokens": 9}]
    assert not any(b.keys() & {"max_completion_tokens", "request_timeout"} for b in bodies(hub))
