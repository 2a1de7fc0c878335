"""Retrieval with `Oxen`: query engine, chat engine and router over a real index, on the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core import Document, SummaryIndex, VectorStoreIndex
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.query_engine import RouterQueryEngine
from llama_index.core.selectors import LLMSingleSelector, PydanticSingleSelector
from llama_index.core.tools import QueryEngineTool

from llama_index_oxen import Oxen
from oxen_sandbox import Sandbox

TEXTS = (
    "Bruno the ox weighs 812 kg and lives in Ravenna.",
    "Berta the ox weighs 640 kg and lives in Siena.",
)


@pytest.fixture
def hub() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def llm(hub: Sandbox) -> Oxen:
    return Oxen("claude-sonnet-4-6", api_key=hub.api_key, api_base=hub.base_url)


@pytest.fixture
def index() -> VectorStoreIndex:
    documents = [Document(text=text) for text in TEXTS]
    return VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(embed_dim=8))


def sources(response: object) -> set[str]:
    return {node.get_content() for node in response.source_nodes}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("mode", "requests"),
    [("compact", 1), ("refine", 2), ("tree_summarize", 1), ("simple_summarize", 1)],
)
def test_a_query_engine_answers_from_its_sources(
    index: VectorStoreIndex, llm: Oxen, hub: Sandbox, mode: str, requests: int
) -> None:
    for number in range(1, requests + 1):
        hub.reply(f"Answer {number}.")
    engine = index.as_query_engine(llm=llm, response_mode=mode)
    answer = engine.query("How much does Bruno weigh?")
    assert str(answer) == f"Answer {requests}."
    assert sources(answer) == set(TEXTS)
    sent = str([request.json for request in hub.requests])
    assert all(text in sent for text in TEXTS)


async def test_a_streaming_answer_has_its_sources(
    index: VectorStoreIndex, llm: Oxen, hub: Sandbox
) -> None:
    engine = index.as_query_engine(llm=llm, streaming=True)
    answer = engine.query("Where does Berta live?")
    assert "Siena" in "".join(answer.response_gen)
    assert sources(answer) == set(TEXTS)

    again = await engine.aquery("Where does Berta live?")
    assert "Siena" in "".join([piece async for piece in again.async_response_gen()])
    assert sources(again) == set(TEXTS)
    asked = [request.json for request in hub.requests if request.method == "POST"]
    assert [body["stream"] for body in asked] == [True, True]
    await llm.aclose()


@pytest.mark.parametrize("mode", [ChatMode.CONTEXT, ChatMode.CONDENSE_PLUS_CONTEXT])
async def test_a_chat_engine_remembers(
    index: VectorStoreIndex, llm: Oxen, hub: Sandbox, mode: ChatMode
) -> None:
    def has_the_sources(request: dict[str, Any]) -> bool:
        return all(text in str(request["messages"]) for text in TEXTS)

    for answer_text in ("It weighs 812 kg.", "In Ravenna.", "In Siena."):
        hub.reply(answer_text, when=has_the_sources)
    engine = index.as_chat_engine(chat_mode=mode, llm=llm)
    assert str(engine.chat("How much does Bruno weigh?")) == "It weighs 812 kg."
    answer = engine.stream_chat("And where does Bruno live?")
    assert "".join(answer.response_gen) == "In Ravenna."
    assert sources(answer) == set(TEXTS)
    again = await engine.astream_chat("Where does Berta live?")
    assert "".join([piece async for piece in again.async_response_gen()]) == "In Siena."
    assert "It weighs 812 kg." in str(hub.requests[-1].json["messages"])
    assert [m.role.value for m in engine.chat_history] == ["user", "assistant"] * 3
    await llm.aclose()


CHOICE = {"index": 1, "reason": "It is about a weight."}


@pytest.mark.parametrize(
    ("selector", "reply"),
    [
        (PydanticSingleSelector, {"tool_calls": [("SingleSelection", CHOICE)]}),
        (LLMSingleSelector, {"text": '[{"choice": 1, "reason": "It is about a weight."}]'}),
    ],
)
def test_a_router_picks_an_engine(
    index: VectorStoreIndex, llm: Oxen, hub: Sandbox, selector: type, reply: dict[str, Any]
) -> None:
    hub.reply(**reply)
    summary = SummaryIndex.from_documents([Document(text="Summary: two oxen, Bruno and Berta.")])
    engines = [
        QueryEngineTool.from_defaults(
            index.as_query_engine(llm=llm),
            description="Answers questions about the weight of an ox",
        ),
        QueryEngineTool.from_defaults(
            summary.as_query_engine(llm=llm), description="Summarizes all oxen"
        ),
    ]
    chooser = selector.from_defaults(llm=llm)
    router = RouterQueryEngine(selector=chooser, query_engine_tools=engines, llm=llm)
    answer = router.query("What is the weight of Bruno?")
    assert "812" in str(answer)
    assert answer.metadata["selector_result"].selections[0].index == 0
