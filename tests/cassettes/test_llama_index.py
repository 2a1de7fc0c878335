"""The LlamaIndex LLM, replayed: every way of calling, tools, structure, images, errors."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
)
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_oxen import Oxen
from oxen_inference import ModelNotFoundError
from tests.support.small_files import PNG

pytestmark = pytest.mark.vcr

QUESTION = ChatMessage(role="user", content="What is the capital of France?")


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


class City(BaseModel):
    """A city and how many people live in it."""

    name: str
    inhabitants: int


def llm(hub: SimpleNamespace, model: str = "claude-sonnet-4-6", *, cost: bool = False) -> Oxen:
    # Without a cost the price list, which has cassettes of its own, stays out of every file.
    return Oxen(model=model, api_key=hub.api_key, api_base=hub.base_url, cost=cost)


def test_an_answer_with_its_usage_and_cost(hub: SimpleNamespace) -> None:
    response = llm(hub, cost=True).chat([QUESTION])
    assert response.message.role == MessageRole.ASSISTANT
    assert response.message.content
    assert response.raw["usage"]["total_tokens"] > 0
    assert float(response.raw["cost"]) > 0


async def test_an_async_answer(hub: SimpleNamespace) -> None:
    assert (await llm(hub).acomplete("Say hello.")).text


def test_a_stream_grows(hub: SimpleNamespace) -> None:
    chunks = list(llm(hub).stream_chat([QUESTION]))
    assert len(chunks) > 2
    assert "".join(chunk.delta or "" for chunk in chunks) == chunks[-1].message.content


async def test_an_async_stream_of_a_model_that_thinks(hub: SimpleNamespace) -> None:
    stream = await llm(hub, "deepseek-v4-pro").astream_chat([QUESTION])
    last = [chunk async for chunk in stream][-1]
    assert any(isinstance(block, ThinkingBlock) for block in last.message.blocks)
    assert last.message.content


def test_a_tool_is_called_and_answered(hub: SimpleNamespace) -> None:
    tool = FunctionTool.from_defaults(weather)
    response = llm(hub).predict_and_call([tool], 'What is the weather in "Paris"?')
    assert response.sources[0].tool_name == "weather"
    assert "sunny in Paris" in str(response)


def test_a_structured_answer(hub: SimpleNamespace) -> None:
    prompt = PromptTemplate("Describe the city of {city}.")
    city = llm(hub).structured_predict(City, prompt, city="Paris")
    assert isinstance(city, City)


def test_an_image_is_seen(hub: SimpleNamespace) -> None:
    message = ChatMessage(
        role="user", blocks=[ImageBlock(image=PNG), TextBlock(text="What is in this image?")]
    )
    assert llm(hub).chat([message]).message.content


def test_an_unknown_model_is_named(hub: SimpleNamespace) -> None:
    with pytest.raises(ModelNotFoundError, match="claude-sonnet-4-6"):
        llm(hub, "claude-sonet-4-6").chat([QUESTION])
