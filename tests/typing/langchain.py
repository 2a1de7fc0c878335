"""`langchain_oxen` as type checkers see it; never run, checked by `make types` with two of them."""

from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import BaseModel, SecretStr
from typing_extensions import assert_type

from langchain_oxen import ChatOxen, OxenMediaTool, OxenModelLoader, OxenToolkit


class Ox(BaseModel):
    name: str


def it_is_a_chat_model() -> None:
    model = ChatOxen(model="claude-sonnet-4-6", api_key=SecretStr("key"), temperature=0.2)
    plain: BaseChatModel = model
    assert_type(model.invoke("hello"), AIMessage)
    for chunk in plain.stream("hello"):
        assert_type(chunk.content, str | list[str | dict[Any, Any]])


def tools_and_structure(model: ChatOxen) -> None:
    def weigh(name: str) -> float:
        """Weigh an ox."""
        return len(name) * 1.0

    bound: Runnable[LanguageModelInput, AIMessage] = model.bind_tools([weigh])
    assert_type(bound.invoke("weigh Bessie"), AIMessage)
    structured: Runnable[LanguageModelInput, Any] = model.with_structured_output(Ox)
    structured.invoke("name one")


def media_tools() -> None:
    draw = OxenMediaTool.for_model("flux-2-dev", max_cost="0.10", aspect_ratio="1:1")
    assert_type(draw, OxenMediaTool)
    toolkit = OxenToolkit(models=["flux-2-dev", draw], max_cost="1.00")
    assert_type(toolkit.get_tools(), list[BaseTool])


def the_catalog_is_documents() -> None:
    assert_type(OxenModelLoader().load(), list[Document])


async def async_too(model: ChatOxen) -> None:
    assert_type(await model.ainvoke("hello"), AIMessage)
