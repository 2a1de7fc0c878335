"""Cache marks on the wire: on messages, tools and requests, and by middleware."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from llama_index.core.base.llms.types import CacheControl, CachePoint, ChatMessage, TextBlock

from langchain_oxen import ChatOxen, OxenPromptCachingMiddleware
from llama_index_oxen import Oxen
from oxen_inference.errors import InvalidInputError
from oxen_sandbox import Sandbox

CLAUDE = "claude-sonnet-4-6"
MARK = {"type": "ephemeral"}
DROPPED = "cache mark of a system message is not sent"


@tool
def weigh(name: str) -> str:
    """Weigh an ox."""
    return f"{name} weighs 800 kg"


@tool
def feed(name: str) -> str:
    """Feed an ox."""
    return f"{name} is fed"


def bodies(hub: Sandbox) -> list[Any]:
    return [r.json for r in hub.requests if r.path.endswith("/chat/completions")]


def chat(hub: Sandbox, model: str = CLAUDE) -> ChatOxen:
    return ChatOxen(model=model, api_key=hub.api_key, base_url=hub.base_url, cost=False)


def marked(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "cache_control": MARK}


def messages_with_marks() -> list[Any]:
    call = {"name": "weigh", "args": {"name": "Bruno"}, "id": "call_1", "type": "tool_call"}
    return [
        SystemMessage([marked("Be kind.")]),
        HumanMessage([marked("Weigh Bruno."), {"type": "text", "text": "Now."}]),
        AIMessage([marked("I weigh him.")], tool_calls=[call]),
        ToolMessage([marked("800 kg")], tool_call_id="call_1"),
    ]


async def ask(model: Any, way: str) -> None:
    if way == "invoke":
        model.invoke(messages_with_marks())
    elif way == "ainvoke":
        await model.ainvoke(messages_with_marks())
    elif way == "stream":
        list(model.stream(messages_with_marks()))
    else:
        _ = [chunk async for chunk in model.astream(messages_with_marks())]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_marks_of_messages_and_tools_are_sent(hub: Sandbox, way: str) -> None:
    plain = weigh.model_copy(update={"extras": {"cache_control": MARK}})
    anthropic = {"name": "feed", "input_schema": {"type": "object", "properties": {}}}
    bound = chat(hub).bind_tools([plain, {**anthropic, "cache_control": MARK}])
    with pytest.warns(UserWarning, match=DROPPED):
        await ask(bound, way)
    (body,) = bodies(hub)
    system, user, assistant, result = body["messages"]
    assert system["content"] == "Be kind."
    assert user["content"] == [marked("Weigh Bruno."), {"type": "text", "text": "Now."}]
    assert assistant["content"] == [marked("I weigh him.")]
    assert result["content"] == [marked("800 kg")]
    assert [each["cache_control"] for each in body["tools"]] == [MARK, MARK]
    assert "cache_control" not in body


async def test_cache_points_of_llama_index_are_sent(hub: Sandbox) -> None:
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    given = [
        ChatMessage(role="system", blocks=[TextBlock(text="Be kind."), point]),
        ChatMessage(role="user", blocks=[TextBlock(text="Hello."), point]),
    ]
    llm = Oxen(CLAUDE, api_key=hub.api_key, api_base=hub.base_url, cost=False)
    with pytest.warns(UserWarning, match=DROPPED):
        llm.chat(given)
    with pytest.warns(UserWarning, match=DROPPED):
        await llm.achat(given)
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [marked("Hello.")]},
    ]
    assert [body["messages"] for body in bodies(hub)] == [messages, messages]


def anthropics() -> Any:
    """Return Anthropic's middleware, made to act on `ChatOxen`."""
    middleware = pytest.importorskip("langchain_anthropic.middleware")

    class Caching(middleware.AnthropicPromptCachingMiddleware):  # type: ignore[misc]  # may be absent
        def _should_apply_caching(self, request: Any) -> bool:
            return isinstance(request.model, ChatOxen)

    return Caching()


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("whose", ["ours", "anthropic's"])
async def test_middleware_marks_tools_and_the_end_of_the_conversation(
    hub: Sandbox, whose: str, is_async: bool
) -> None:
    one = OxenPromptCachingMiddleware() if whose == "ours" else anthropics()
    hub.reply(tool_calls=[("weigh", {"name": "Bruno"})])
    hub.reply("800 kg")
    agent: Any = create_agent(chat(hub), [feed, weigh], system_prompt="Be kind.", middleware=[one])
    asked = {"messages": [("user", "Weigh Bruno.")]}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        state = await agent.ainvoke(asked) if is_async else agent.invoke(asked)
    assert state["messages"][-1].text == "800 kg"
    mark = MARK if whose == "ours" else {**MARK, "ttl": "5m"}
    for body, text in zip(bodies(hub), ["Weigh Bruno.", "Bruno weighs 800 kg"], strict=True):
        assert body["messages"][0] == {"role": "system", "content": "Be kind."}
        assert ["cache_control" in each for each in body["tools"]] == [False, True]
        assert body["tools"][1]["cache_control"] == mark
        assert body["messages"][-1]["content"] == [{**marked(text), "cache_control": mark}]
        assert "cache_control" not in body
    is_told = any(DROPPED in str(each.message) for each in warned)
    assert is_told == (whose != "ours")
    assert weigh.extras is None


def test_middleware_leaves_other_models_and_short_conversations_alone(hub: Sandbox) -> None:
    asked: Any = {"messages": [("user", "Hello.")]}
    create_agent(chat(hub, "gpt-4o"), [weigh], middleware=[OxenPromptCachingMiddleware()]).invoke(
        asked
    )
    few = OxenPromptCachingMiddleware(min_messages_to_cache=5)
    create_agent(chat(hub), [weigh], middleware=[few]).invoke(asked)
    assert "cache_control" not in str(bodies(hub))
    unknown: Any = "2h"
    with pytest.raises(InvalidInputError, match='ttl must be "5m" or "1h"'):
        OxenPromptCachingMiddleware(ttl=unknown)
    hour = OxenPromptCachingMiddleware(ttl="1h")
    create_agent(chat(hub), [{"type": "function", "function": {"name": "rest"}}], middleware=[hour]).invoke(asked)  # fmt: skip
    assert bodies(hub)[-1]["tools"][0]["cache_control"] == {**MARK, "ttl": "1h"}


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_a_refusal_is_an_error_to_langchains_middleware(
    hub: Sandbox, streaming: bool, is_async: bool
) -> None:
    agents = pytest.importorskip("langchain.agents.middleware.model_refusal")
    from langchain_core.exceptions import ModelRefusalError

    model = chat(hub).model_copy(update={"streaming": streaming})
    asked: Any = {"messages": [("user", "Do harm.")]}
    agent: Any = create_agent(model, [weigh], middleware=[agents.ModelRefusalMiddleware()])
    for reply in ({"refusal": "I will not."}, {"finish_reason": "refusal"}):
        hub.reply(**reply)
        with pytest.raises(ModelRefusalError):
            await agent.ainvoke(asked) if is_async else agent.invoke(asked)
