"""Runs of LlamaIndex agents that are saved, killed and resumed, with a person's answer in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.workflow import Context, StartEvent, StopEvent, Workflow, step

from llama_index_oxen import Oxen, OxenToolSpec, resume_run, save_run, unheard
from llama_index_oxen.events import OxenProgressEvent, OxenSpendingDecision, OxenSpendingRequest
from oxen_inference.errors import ConfigurationError
from oxen_inference.ledger.budgets import Budget
from oxen_inference.ledger.store import Ledger
from oxen_sandbox import Sandbox

IMAGE = "flux-2-dev"
REQUEST = "Draw an ox, then a cow."


@pytest.fixture
async def llm(hub: Sandbox) -> AsyncIterator[Oxen]:
    hub.reply(tool_calls=[("generate_image", {"prompt": "an ox"})])
    llm = Oxen("claude-sonnet-4-6")
    yield llm
    await llm.aclose()


def agent_of(llm: Oxen, **options: Any) -> AgentWorkflow:
    spec = OxenToolSpec(IMAGE, background=False, **{"confirm_above": 0, **options})
    return AgentWorkflow(agents=[FunctionAgent(tools=spec.to_tool_list(), llm=llm)])


def decide(handler: Any, question: OxenSpendingRequest, approved: bool = True) -> None:
    handler.ctx.send_event(OxenSpendingDecision(call=question.call, approved=approved))


async def first_question(handler: Any) -> OxenSpendingRequest:
    async for event in handler.stream_events():
        if isinstance(event, OxenSpendingRequest):
            return event
    raise AssertionError("nobody was asked")


async def finish(handler: Any, *, approved: bool = True) -> tuple[list[Any], list[Any]]:
    """Answer every question; return the questions and the tools' results."""
    questions, results = [], []
    async for event in handler.stream_events():
        if isinstance(event, OxenSpendingRequest):
            questions.append(event)
            decide(handler, event, approved)
        elif isinstance(event, ToolCallResult):
            results.append(event.tool_output.raw_output)
    await asyncio.wait_for(handler, 30)
    return questions, results


async def test_a_question_is_asked_again_in_a_resumed_run(hub: Sandbox, llm: Oxen) -> None:
    handler = agent_of(llm).run(user_msg=REQUEST)
    question = await first_question(handler)
    saved = json.loads(json.dumps(await save_run(handler)))
    await handler.cancel_run()
    assert [q["description"] for q in saved["questions"]] == [question.description]
    assert hub.api_key not in str(saved)

    hub.reply("Here it is.")
    questions, results = await finish(await resume_run(agent_of(llm), saved))
    assert [q.call for q in questions] == [question.call]
    assert [result.media.status for result in results] == ["succeeded"]
    assert len(hub.jobs) == 1
    asked = [r.json["messages"] for r in hub.requests if r.path.endswith("/completions")][-1]
    assert asked[0]["content"] == REQUEST
    assert asked[-1]["role"] == "tool"


async def test_a_decision_that_is_given_twice_buys_once(hub: Sandbox, llm: Oxen) -> None:
    hub.clock.speed = 0
    handler = agent_of(llm).run(user_msg=REQUEST)
    saved = None
    async for event in handler.stream_events():
        if isinstance(event, OxenSpendingRequest):
            saved = await save_run(handler)
            decide(handler, event)
        elif isinstance(event, OxenProgressEvent) and event.phase == "waiting":
            break
    await handler.cancel_run()
    hub.clock.speed = 20

    hub.reply(tool_calls=[("generate_image", {"prompt": "a cow"})])
    hub.reply("Here they are.")
    questions, results = await finish(await resume_run(agent_of(llm), saved or {}))
    assert [q.arguments["prompt"] for q in questions] == ["an ox", "a cow"]
    assert len(results) == 2
    assert [job.params["prompt"] for job in hub.jobs] == ["an ox", "a cow"]


async def test_a_run_saved_after_the_answer_does_not_ask_again(hub: Sandbox, llm: Oxen) -> None:
    hub.clock.speed = 0
    handler = agent_of(llm).run(user_msg=REQUEST)
    saved: dict[str, Any] = {}
    async for event in handler.stream_events():
        if isinstance(event, OxenSpendingRequest):
            decide(handler, event)
        elif isinstance(event, OxenProgressEvent) and event.phase == "waiting":
            saved = await save_run(handler)
            break
    await handler.cancel_run()
    hub.clock.speed = 20
    assert saved["questions"] == []

    hub.reply("Here it is.")
    questions, results = await finish(await resume_run(agent_of(llm), saved))
    assert questions == []
    assert [result.media.status for result in results] == ["succeeded"]
    assert len(hub.jobs) == 1


async def test_a_budget_that_shrinks_before_the_answer(
    hub: Sandbox, llm: Oxen, tmp_path: Path
) -> None:
    budget = Budget("0.02", name="studio", ledger=Ledger(tmp_path / "ledger.db"))
    handler = agent_of(llm, budget=budget).run(user_msg=REQUEST)
    question = await first_question(handler)
    budget.record("0.015", "something else")
    hub.reply("It could not be made.")
    decide(handler, question)
    _, results = await finish(handler)
    assert [result.is_error for result in results] == [True]
    assert "budget" in str(results[0])
    assert len([r for r in hub.requests if r.path.endswith("/completions")]) == 2
    assert hub.jobs == []


async def test_an_approval_is_for_the_price_that_was_named(hub: Sandbox, llm: Oxen) -> None:
    from oxen_inference.catalog.cache import clear_cache

    agent = agent_of(llm)
    handler = agent.run(user_msg=REQUEST)
    await first_question(handler)
    saved = await save_run(handler)
    await handler.cancel_run()
    hub.models[IMAGE]["pricing"]["cost_per_image"] = "5.00"
    clear_cache()

    hub.reply("It became too expensive.")
    questions, results = await finish(await resume_run(agent_of(llm), saved))
    assert Decimal(questions[0].price_high) == Decimal("0.013")
    assert "This may cost $5.00, and the limit is $0.013" in str(results[0])
    assert hub.jobs == []


async def test_a_rejection_of_what_is_paid_for_says_so(hub: Sandbox, llm: Oxen) -> None:
    handler = agent_of(llm).run(user_msg=REQUEST)
    saved: dict[str, Any] = {}
    async for event in handler.stream_events():
        if isinstance(event, OxenSpendingRequest):
            saved = await save_run(handler)
            decide(handler, event)
        elif isinstance(event, OxenProgressEvent) and event.phase == "waiting":
            break
    await handler.cancel_run()

    hub.reply("Too late.")
    _, results = await finish(await resume_run(agent_of(llm), saved), approved=False)
    assert "had been paid for already" in str(results[0])
    assert len(hub.jobs) == 1


async def test_a_memory_of_ones_own(hub: Sandbox, llm: Oxen) -> None:
    handler = agent_of(llm).run(user_msg=REQUEST)
    await first_question(handler)
    saved = await save_run(handler)
    await handler.cancel_run()
    memory = ChatMemoryBuffer.from_defaults()
    hub.reply("Here it is.")
    await finish(await resume_run(agent_of(llm), saved, memory))
    assert memory.get_all()[-1].content == "Here it is."


async def test_an_empty_memory_gets_the_conversation_and_goes_on_with_it(
    hub: Sandbox, llm: Oxen
) -> None:
    handler = agent_of(llm).run(user_msg=REQUEST)
    await first_question(handler)
    saved = await save_run(handler)
    await handler.cancel_run()
    memory, agent = Memory.from_defaults(session_id="an ox"), agent_of(llm)
    hub.reply("Here it is.")
    await finish(await resume_run(agent, saved, memory))
    hub.reply("An ox.")
    await agent.run(user_msg="What did you draw?", memory=memory)
    sent = hub.requests[-1].json["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", "tool", "assistant", "user"]
    assert sent[0]["content"] == REQUEST


async def test_a_run_that_has_ended_is_neither_saved_nor_resumed(hub: Sandbox, llm: Oxen) -> None:
    hub.reply("Here it is.")
    agent = agent_of(llm, confirm_above=None)
    handler = agent.run(user_msg=REQUEST)
    await handler
    with pytest.raises(ConfigurationError, match=r"has ended.*memory=memory"):
        await save_run(handler)
    data = {"version": 1, "context": handler.ctx.to_dict(), "messages": None, "questions": []}
    with pytest.raises(ConfigurationError, match="has ended"):
        await resume_run(agent, data)


async def test_an_agent_without_the_tool_that_is_called_is_refused(hub: Sandbox, llm: Oxen) -> None:
    handler = agent_of(llm).run(user_msg=REQUEST)
    await first_question(handler)
    saved = await save_run(handler)
    await handler.cancel_run()
    video = OxenToolSpec("google-veo-3-1-fast", background=False).to_tool_list()
    for agent in (
        FunctionAgent(tools=video, llm=llm),
        AgentWorkflow(agents=[FunctionAgent(tools=video, llm=llm)]),
    ):
        with pytest.raises(ConfigurationError, match="is calling generate_image, and this agent"):
            await resume_run(agent, saved)
    assert hub.jobs == []


async def test_an_open_question_stays_open_without_confirm_above(hub: Sandbox, llm: Oxen) -> None:
    handler = agent_of(llm).run(user_msg=REQUEST)
    await first_question(handler)
    saved = await save_run(handler)
    await handler.cancel_run()
    hub.reply("As you like.")
    resumed = await resume_run(agent_of(llm, confirm_above=None), saved)
    questions, results = await finish(resumed, approved=False)
    assert len(questions) == 1
    assert [result.is_error for result in results] == [True]
    assert hub.jobs == []


@pytest.mark.parametrize("verbose", [False, True])
async def test_a_question_that_nobody_hears_is_logged_once(
    hub: Sandbox,
    llm: Oxen,
    verbose: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(unheard, "_PATIENCE", 0.01)
    tools = OxenToolSpec(IMAGE, background=False, confirm_above=0).to_tool_list()
    handler = FunctionAgent(tools=tools, llm=llm, verbose=verbose).run(REQUEST)
    for _ in range(3000):
        if caplog.records:
            break
        await asyncio.sleep(0.01)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    for part in ("generate_image waits", "up to $0.013", "stream_events()", "OxenSpendingDecision"):
        assert part in record.getMessage()
    hub.reply("Here it is.")
    await finish(handler)
    assert len(caplog.records) == 1
    assert len(hub.jobs) == 1


async def test_a_question_that_somebody_read_is_not_logged(
    hub: Sandbox, llm: Oxen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    check, checked = unheard._check, asyncio.Event()

    def check_and_tell(*arguments: Any) -> None:
        check(*arguments)
        checked.set()

    monkeypatch.setattr(unheard, "_PATIENCE", 0.01)
    monkeypatch.setattr(unheard, "_check", check_and_tell)
    handler = agent_of(llm).run(user_msg=REQUEST)
    question = await first_question(handler)  # and reads no further
    await asyncio.wait_for(checked.wait(), 30)
    hub.reply("Here it is.")
    decide(handler, question)
    await asyncio.wait_for(handler, 30)
    assert caplog.records == []


async def test_data_of_another_kind_is_refused(llm: Oxen) -> None:
    with pytest.raises(ConfigurationError, match="saved in format None"):
        await resume_run(agent_of(llm), {})


class Studio(Workflow):
    """Draws in a step of its own, and asks a person afterwards."""

    tool: Any = None

    @step
    async def draw(self, ctx: Context, ev: StartEvent) -> StopEvent:
        output = await self.tool.acall(ctx=ctx, prompt="an ox")
        await ctx.wait_for_event(
            OxenSpendingDecision,
            waiter_id="liked",
            waiter_event=OxenProgressEvent(tool_name="s", phase="asked", status="", elapsed=0),
        )
        return StopEvent(result=output.raw_output.media.status)


async def test_a_step_of_ones_own_pays_once_in_a_saved_context(hub: Sandbox) -> None:
    studio = Studio(timeout=30)
    studio.tool = OxenToolSpec(IMAGE, background=False).to_tool_list()[0]
    handler = studio.run()
    async for event in handler.stream_events():
        if isinstance(event, OxenProgressEvent) and event.phase == "asked":
            break
    saved = await save_run(handler)
    await handler.cancel_run()
    assert saved["messages"] is None
    resumed = await resume_run(studio, saved)
    await asyncio.sleep(0.2)
    resumed.ctx.send_event(OxenSpendingDecision(call="liked", approved=True))
    assert await resumed == "succeeded"
    assert len(hub.jobs) == 1
    # Another run of the same context means another image.
    again = studio.run(ctx=resumed.ctx)
    async for event in again.stream_events():
        if isinstance(event, OxenProgressEvent) and event.phase == "asked":
            again.ctx.send_event(OxenSpendingDecision(call="liked", approved=True))
    await again
    assert len(hub.jobs) == 2
