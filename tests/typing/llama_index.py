"""`llama_index_oxen` as type checkers see it; never run, checked by `make types` with two of them."""

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.schema import Document
from typing_extensions import assert_type

from llama_index_oxen import Oxen, OxenModelReader


def it_is_an_llm() -> None:
    llm = Oxen(model="claude-sonnet-4-6", api_key="key", api_base="http://localhost:3000")
    plain: FunctionCallingLLM = llm
    # LlamaIndex's callback decorators hide the types from mypy; they must at least agree.
    answer: ChatResponse = llm.chat([ChatMessage("hello")])
    text: CompletionResponse = llm.complete("hello")
    assert_type((answer, text), tuple[ChatResponse, CompletionResponse])
    for part in plain.stream_chat([ChatMessage("hello")]):
        assert_type(part, ChatResponse)


async def async_too(llm: Oxen) -> None:
    answer: ChatResponse = await llm.achat([ChatMessage("hello")])
    assert_type(answer, ChatResponse)


def the_catalog_is_documents() -> None:
    assert_type(OxenModelReader().load_data(), list[Document])
