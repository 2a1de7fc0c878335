"""Nodes of one's own that call a media tool: what runs again pays nothing again."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, RetryPolicy, interrupt
from typing_extensions import TypedDict

from langchain_oxen import OxenMediaTool, OxenToolkit
from oxen_inference import OxenClient
from oxen_inference.media.pace import Pace
from oxen_sandbox import Fault, Sandbox

THREAD = {"configurable": {"thread_id": "t"}}
OX = {"prompt": "an ox"}


class State(TypedDict):
    text: str


@pytest.fixture
def draw(oxen_sandbox: Sandbox) -> Iterator[OxenMediaTool]:
    with OxenClient(api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url) as client:
        client.media.pace = Pace(image=(0.05, 0.1), gap=0.02, settle=(0.05,))
        yield OxenMediaTool.for_model("flux-2-dev", client=client)


def graph(*nodes: Callable[..., Any], saved: bool = True, **options: Any) -> Any:
    built = StateGraph(State)
    names = [f"node {number}" for number in range(len(nodes))]
    for name, node in zip(names, nodes, strict=True):
        built.add_node(name, node, **options)
    for edge in zip([START, *names], [*names, END], strict=True):
        built.add_edge(*edge)
    return built.compile(checkpointer=InMemorySaver() if saved else None)


@pytest.mark.parametrize(
    "is_async",
    [
        False,
        pytest.param(
            True,
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11),
                reason="LangGraph's interrupt() needs Python 3.11 in a coroutine",
            ),
        ),
    ],
)
async def test_a_node_that_is_resumed_pays_once(
    draw: OxenMediaTool, oxen_sandbox: Sandbox, is_async: bool
) -> None:
    def node(state: State, config: RunnableConfig) -> State:
        text = draw.invoke(OX, config)
        interrupt("Do you like it?")
        return {"text": text}

    async def async_node(state: State, config: RunnableConfig) -> State:
        text = await draw.ainvoke(OX, config)
        interrupt("Do you like it?")
        return {"text": text}

    app = graph(async_node if is_async else node)
    for step in ({"text": ""}, Command(resume=True)):
        result = await app.ainvoke(step, THREAD) if is_async else app.invoke(step, THREAD)
    assert result["text"].startswith("Made 1 image")
    assert len(oxen_sandbox.jobs) == 1


def test_the_same_call_in_another_node_or_another_turn_is_another_image(
    draw: OxenMediaTool, oxen_sandbox: Sandbox
) -> None:
    def node(state: State) -> State:
        return {"text": draw.invoke(OX)}

    app = graph(node, node)
    app.invoke({"text": ""}, THREAD)
    assert len(oxen_sandbox.jobs) == 2
    app.invoke({"text": ""}, THREAD)
    assert len(oxen_sandbox.jobs) == 4


def test_the_same_call_several_times_in_one_node(
    draw: OxenMediaTool, oxen_sandbox: Sandbox
) -> None:
    def node(state: State) -> State:
        draw.batch([OX] * 3)
        draw.invoke(OX)
        interrupt("Do you like them?")
        return {"text": "done"}

    app = graph(node)
    app.invoke({"text": ""}, THREAD)
    assert len(oxen_sandbox.jobs) == 4
    app.invoke(Command(resume=True), THREAD)
    assert len(oxen_sandbox.jobs) == 4


@pytest.mark.parametrize("saved", [True, False])
def test_a_node_that_is_retried_pays_once(
    draw: OxenMediaTool, oxen_sandbox: Sandbox, saved: bool
) -> None:
    runs = []

    def node(state: State) -> State:
        runs.append(text := draw.invoke(OX))
        if len(runs) == 1:
            raise ConnectionError("something else broke")
        return {"text": text}

    policy = RetryPolicy(initial_interval=0.01, retry_on=ConnectionError)
    graph(node, saved=saved, retry_policy=policy).invoke({"text": ""}, THREAD if saved else {})
    assert len(runs) == 2
    assert len(oxen_sandbox.jobs) == 1


def test_a_refused_call_that_the_node_repeats_is_one_call(
    draw: OxenMediaTool, oxen_sandbox: Sandbox
) -> None:
    oxen_sandbox.inject(Fault("respond", method="POST", path="*/queue", status=400))

    def node(state: State) -> State:
        text = draw.invoke(OX)
        if text.startswith("Error"):
            text = draw.invoke(OX)
        interrupt("Do you like it?")
        return {"text": text}

    app = graph(node)
    app.invoke({"text": ""}, THREAD)
    app.invoke(Command(resume=True), THREAD)
    assert len(oxen_sandbox.jobs) == 1


def test_a_failed_generation_that_the_node_repeats_is_two_calls(
    draw: OxenMediaTool, oxen_sandbox: Sandbox
) -> None:
    oxen_sandbox.inject(Fault("fail_job", message="It was refused."))

    def node(state: State) -> State:
        text = draw.invoke(OX)
        if text.startswith("Error"):
            text = draw.invoke(OX)
        interrupt("Do you like it?")
        return {"text": text}

    app = graph(node)
    app.invoke({"text": ""}, THREAD)
    result = app.invoke(Command(resume=True), THREAD)
    assert result["text"].startswith("Made 1 image")
    assert [job.status for job in oxen_sandbox.jobs] == ["failed", "succeeded"]


def test_a_submitted_job_is_submitted_once(draw: OxenMediaTool, oxen_sandbox: Sandbox) -> None:
    tools = OxenToolkit(models=[draw], client=draw.connection.get_client()).get_tools()
    submit = next(tool for tool in tools if tool.name == "oxen_submit")

    def node(state: State) -> State:
        text = submit.invoke({"model": "flux-2-dev", "prompt": "an ox"})
        interrupt("Go on?")
        return {"text": text}

    app = graph(node)
    app.invoke({"text": ""}, THREAD)
    app.invoke(Command(resume=True), THREAD)
    assert len(oxen_sandbox.jobs) == 1
