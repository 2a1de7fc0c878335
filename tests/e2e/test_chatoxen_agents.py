"""`ChatOxen` inside `langchain.agents`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_oxen import ChatOxen
from langchain_oxen.errors import BadRequestError
from oxen_sandbox import Sandbox


@tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"Sunny in {city}."


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    weather: str


@pytest.fixture(params=["claude-sonnet-4-6", "gpt-4o", "deepseek-v4-pro", "gemini-3-flash-preview"])
def model(request: pytest.FixtureRequest) -> Iterator[ChatOxen]:
    with Sandbox() as hub:
        yield ChatOxen(model=request.param, api_key=hub.api_key, base_url=hub.base_url)


QUESTION: Any = {"messages": [{"role": "user", "content": 'What is the weather in "Paris"?'}]}


def test_an_agent_calls_its_tool_and_answers(model: ChatOxen) -> None:
    agent = create_agent(model, [get_weather], system_prompt="Be brief.")
    messages = agent.invoke(QUESTION)["messages"]
    assert [m.type for m in messages] == ["human", "ai", "tool", "ai"]
    assert messages[2].content == "Sunny in Paris."
    assert "Sunny" in messages[-1].text


def test_an_agent_streams(model: ChatOxen) -> None:
    agent = create_agent(model, [get_weather])
    chunks = [
        c for c, _ in agent.stream(QUESTION, stream_mode="messages") if c.type == "AIMessageChunk"
    ]
    assert any(c.tool_call_chunks for c in chunks)
    assert {c.chunk_position for c in chunks} == {
        None,
        "last",
    }  # deltas, and the end of each answer
    assert "Sunny" in "".join(c.text for c in chunks)


async def test_an_agent_runs_asynchronously(model: ChatOxen) -> None:
    agent = create_agent(model, [get_weather])
    assert "Sunny" in (await agent.ainvoke(QUESTION))["messages"][-1].text
    await model.aclose()


@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
def test_an_agent_answers_in_a_form(model: ChatOxen, strategy: Any) -> None:
    agent = create_agent(model, [get_weather], response_format=strategy(Weather))
    if strategy is ProviderStrategy and model.model.startswith("deepseek"):
        with pytest.raises(BadRequestError, match="'function_calling'"):
            agent.invoke(QUESTION)
        return
    assert isinstance(agent.invoke(QUESTION)["structured_response"], Weather)


def test_an_agent_without_tools(model: ChatOxen) -> None:
    assert create_agent(model, []).invoke(QUESTION)["messages"][-1].text
