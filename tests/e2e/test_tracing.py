"""Tracers beside both adapters: spans, tokens and cost, on OpenTelemetry and in LangSmith."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import MagicMock

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.output_parsers import StrOutputParser
from langchain_core.tracers import LangChainTracer
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from packaging.version import Version

from langchain_oxen import ChatOxen, OxenMediaTool, oxen_cost
from llama_index_oxen import Oxen, OxenToolSpec
from oxen_sandbox import Sandbox
from tests.support.scripted_chat import ScriptedChat

trace_sdk = pytest.importorskip("opentelemetry.sdk.trace")
langchain = pytest.importorskip("openinference.instrumentation.langchain")
llama_index = pytest.importorskip("openinference.instrumentation.llama_index")

HEADER = "a-secret-of-the-gateway"
IN_LLAMA_INDEX = pytest.mark.skipif(
    Version(version("llama-index-core")) < Version("0.14.19"),
    reason="the tracer instruments llama-index-core 0.14.19 or newer",
)


class Spans:
    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter

    def take(self) -> list[Any]:
        spans = list(self._exporter.get_finished_spans())
        self._exporter.clear()
        return spans


@pytest.fixture
def config() -> Any:
    return None


@pytest.fixture
def spans(hub: Sandbox, config: Any) -> Iterator[Spans]:
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = trace_sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentors = [langchain.LangChainInstrumentor(), llama_index.LlamaIndexInstrumentor()]
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=provider, config=config)
    yield Spans(exporter)
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


def check_llm_span(span: Any, hub: Sandbox) -> None:
    assert span.attributes["openinference.span.kind"] == "LLM"
    assert span.attributes["llm.model_name"] == "gpt-4o"
    assert span.attributes["llm.token_count.prompt"] > 0
    assert span.attributes["llm.token_count.completion"] > 0
    cost = float(hub.charges[-1].cost or 0)
    assert span.attributes["llm.cost.total"] == pytest.approx(cost)
    assert span.attributes["gen_ai.usage.cost"] == pytest.approx(cost)


async def test_answers_in_langchain(hub: Sandbox, spans: Spans) -> None:
    model = ChatOxen(model="gpt-4o", default_headers={"X-Gateway": HEADER})
    ways: dict[str, Any] = {
        "invoke": lambda: model.invoke("hi"),
        "stream": lambda: list(model.stream("hi")),
    }
    for way, call in ways.items():
        call()
        (span,) = spans.take()
        assert span.name == "ChatOxen", way
        check_llm_span(span, hub)
    await model.ainvoke("hi")
    check_llm_span(spans.take()[0], hub)
    _ = [chunk async for chunk in model.astream("hi")]
    (span,) = spans.take()
    check_llm_span(span, hub)
    assert not any(secret in str(span.attributes) for secret in (HEADER, hub.api_key))


@IN_LLAMA_INDEX
async def test_answers_in_llama_index(hub: Sandbox, spans: Spans) -> None:
    llm = Oxen("gpt-4o", default_headers={"X-Gateway": HEADER})
    messages = [ChatMessage("hi")]

    async def read(items: Any) -> None:
        async for _ in await items:
            pass

    ways: dict[str, Any] = {
        "chat": lambda: llm.chat(messages),
        "stream_chat": lambda: list(llm.stream_chat(messages)),
        "complete": lambda: llm.complete("hi"),
        "stream_complete": lambda: list(llm.stream_complete("hi")),
        "achat": lambda: llm.achat(messages),
        "astream_chat": lambda: read(llm.astream_chat(messages)),
        "acomplete": lambda: llm.acomplete("hi"),
        "astream_complete": lambda: read(llm.astream_complete("hi")),
    }
    for way, call in ways.items():
        answer = call()
        if way.startswith("a"):
            await answer
        (span,) = spans.take()
        assert span.name == f"Oxen.{way}"
        check_llm_span(span, hub)
        assert not any(secret in str(span.attributes) for secret in (HEADER, hub.api_key))


def tool_spans(spans: Spans) -> list[Any]:
    return [s for s in spans.take() if s.attributes["openinference.span.kind"] == "TOOL"]


@IN_LLAMA_INDEX
async def test_a_tool_call_is_one_span_with_its_cost(hub: Sandbox, spans: Spans) -> None:
    draw = OxenMediaTool.for_model("flux-2-dev", name="draw")
    draw.invoke({"prompt": "an ox"})
    await draw.ainvoke({"prompt": "an ox"})
    tool = OxenToolSpec("flux-2-dev").to_tool_list()[0]
    tool(prompt="an ox")
    tool.call(prompt="an ox")
    await tool.acall(prompt="an ox")
    found = tool_spans(spans)
    assert [s.name for s in found] == [
        "draw",
        "draw",
        "OxenFunctionTool.__call__",
        "OxenFunctionTool.call",
        "OxenFunctionTool.acall",
    ]
    assert [s.attributes["llm.cost.total"] for s in found] == [0.013] * 5


@IN_LLAMA_INDEX
async def test_agents_have_no_internal_spans(hub: Sandbox, spans: Spans) -> None:
    tool = OxenToolSpec("flux-2-dev", background=False).to_tool_list()[0]
    await FunctionAgent(tools=[tool], llm=Oxen("claude-sonnet-4-6")).run('Draw "an ox".')
    found = spans.take()
    assert not [s.name for s in found if "._" in s.name]
    assert [s.name for s in found].count("OxenFunctionTool.acall") == 1
    assert len({s.context.trace_id for s in found}) == 1


def documented_config() -> Any:
    """Return the configuration that the page about tracing says takes signatures out."""
    page = (Path(__file__).parents[2] / "docs" / "tracing.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(import re\n.*?)```", page, re.DOTALL)
    named: dict[str, Any] = {}
    exec(block, named)
    return named["WithoutQueries"]()


@IN_LLAMA_INDEX
@pytest.mark.parametrize("config", [None, documented_config()], ids=["plain", "documented"])
async def test_signatures_can_be_kept_out_of_spans(hub: Sandbox, spans: Spans, config: Any) -> None:
    draw = OxenMediaTool.for_model("flux-2-dev", name="draw")
    turns: list[Any] = [[("call_1", "draw", {"prompt": "an ox"})], "done"]
    create_agent(ScriptedChat(turns=turns), [draw]).invoke({"messages": [("user", "go")]})
    tool = OxenToolSpec("flux-2-dev", background=False).to_tool_list()[0]
    await FunctionAgent(tools=[tool], llm=Oxen("claude-sonnet-4-6")).run('Draw "an ox".')
    found = spans.take()
    texts = [str(value) for span in found for value in span.attributes.values()]
    for job in hub.jobs:
        assert any(f"{job.generation_id}.webp" in text for text in texts)
    assert any("signature=" in text for text in texts) == (config is None)
    assert [s.attributes["llm.cost.total"] for s in found if s.name == "draw"] == [0.013]


class Runs(LangChainTracer):
    """LangSmith's tracer, keeping what it would send."""

    sent: ClassVar[list[Any]] = []  # LangChain copies its tracers

    def _persist_run_single(self, run: Any) -> None:
        pass

    def _update_run_single(self, run: Any) -> None:
        self.sent.append(run)


async def test_langsmith_has_the_cost_of_answers_and_tools(hub: Sandbox) -> None:
    Runs.sent.clear()
    tracer = Runs(client=MagicMock())
    config: Any = {"callbacks": [tracer]}
    ChatOxen(model="gpt-4o").invoke("hi", config)
    OxenMediaTool.for_model("flux-2-dev").invoke({"prompt": "an ox"}, config)
    answer, tool = (run.extra["metadata"] for run in Runs.sent)
    assert answer["total_cost"] == pytest.approx(float(hub.charges[0].cost or 0))
    assert answer["usage_metadata"]["total_tokens"] > 0
    assert "total_cost" not in answer["usage_metadata"]
    assert tool["usage_metadata"] == {"total_cost": 0.013}


def test_token_counts_can_be_added_up(hub: Sandbox) -> None:
    model = ChatOxen(model="gpt-4o")
    with get_usage_metadata_callback() as usage:
        for _ in range(3):
            model.invoke("hi")
    assert usage.usage_metadata["gpt-4o"]["total_tokens"] > 0


class TestOxenCost:
    async def test_answers_behind_a_parser(self, hub: Sandbox) -> None:
        model = ChatOxen(model="gpt-4o")
        chain = model | StrOutputParser()
        with oxen_cost() as cost:
            chain.invoke("hi")
            await chain.ainvoke("hi")
            list(chain.stream("hi"))
            chain.batch(["hi", "hi"])
        model.invoke("not counted")
        paid = [charge.cost or 0 for charge in hub.charges]
        assert (cost.calls, cost.unknown) == (5, 0)
        assert cost.total_cost == cost.chat_cost == sum(paid[:5])
        assert cost.total_tokens == cost.prompt_tokens + cost.completion_tokens > 0

    async def test_media_in_an_agent_and_by_hand(self, hub: Sandbox) -> None:
        draw = OxenMediaTool.for_model("flux-2-dev", name="draw")
        turns: list[Any] = [[("call_1", "draw", {"prompt": "an ox"})], "done"]
        with oxen_cost() as cost:
            create_agent(ScriptedChat(turns=turns), [draw]).invoke({"messages": [("user", "go")]})
            draw.invoke({"prompt": "a cow", "num_generations": 2})
            await draw.ainvoke({"prompt": "a bull"})
        assert cost.media_cost == Decimal("0.052")
        assert set(cost.media) == {job.generation_id for job in hub.jobs}
        assert cost.unknown == 2  # the scripted answers say no cost
        assert cost.total_cost == cost.media_cost
