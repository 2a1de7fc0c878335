"""`OxenToolSpec` in LlamaIndex's workflows, on the sandbox: paid once, told on the stream."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentStream,
    AgentWorkflow,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context, JsonSerializer, StartEvent, StopEvent, Workflow, step
from pydantic import BaseModel, ConfigDict

from llama_index_oxen import Oxen, OxenToolSpec
from llama_index_oxen.events import OxenProgressEvent, OxenSpendingDecision, OxenSpendingRequest
from llama_index_oxen.tool_calls import MALFORMED
from llama_index_oxen.tool_result import OxenToolResult
from oxen_inference import MediaResult, Model, errors
from oxen_inference.catalog.cache import clear_cache
from oxen_inference.catalog.reading import read_model
from oxen_inference.ledger.budgets import Budget
from oxen_inference.ledger.store import Ledger
from oxen_sandbox import Fault, Sandbox

IMAGE, VIDEO = "flux-2-dev", "google-veo-3-1-fast"
DRAW = 'Draw an image of "an ox at dawn".'


@pytest.fixture
async def llm(hub: Sandbox) -> AsyncIterator[Oxen]:
    llm = Oxen("claude-sonnet-4-6")
    yield llm
    await llm.aclose()


def tools_of(spec: OxenToolSpec) -> dict[str, Any]:
    return {tool.metadata.name: tool for tool in spec.to_tool_list()}


def agent_of(llm: Oxen, spec: OxenToolSpec, *names: str) -> FunctionAgent:
    tools = tools_of(spec)
    return FunctionAgent(tools=[tools[name] for name in names], llm=llm)


async def events_of(handler: Any) -> list[Any]:
    found = [event async for event in handler.stream_events()]
    await handler
    return found


def test_tools_come_with_the_models_own_parameters(hub: Sandbox) -> None:
    tools = tools_of(OxenToolSpec([IMAGE, VIDEO]))
    assert list(tools) == [
        "generate_image",
        "edit_image",
        "generate_video",
        "oxen_submit",
        "oxen_check",
        "oxen_cancel",
        "oxen_find_models",
    ]
    image = tools["generate_image"].metadata.get_parameters_dict()
    assert "aspect_ratio" in image["properties"]
    assert image["required"] == ["prompt"]
    assert "ctx" not in str([t.metadata.get_parameters_dict() for t in tools.values()])
    both = tools_of(OxenToolSpec([IMAGE, "flux-1-dev"], background=False))
    assert "generate_image_with_flux_2_dev" in both
    assert "generate_image_with_flux_1_dev" in both


def test_some_of_the_functions_only(hub: Sandbox) -> None:
    spec = OxenToolSpec(IMAGE)
    chosen = spec.to_tool_list(["generate_image", ("check", "acheck")])
    assert [tool.metadata.name for tool in chosen] == ["generate_image", "oxen_check"]
    with pytest.raises(errors.InvalidInputError, match="dance"):
        spec.to_tool_list(["dance"])


def test_a_chat_model_is_refused(hub: Sandbox) -> None:
    with pytest.raises(errors.InvalidInputError, match="claude-sonnet-4-6 makes text"):
        OxenToolSpec("claude-sonnet-4-6").to_tool_list()
    with pytest.raises(errors.ModelNotFoundError, match="flux-2-dev"):
        OxenToolSpec("flux-2-dve").to_tool_list()


def test_calls_outside_a_workflow(hub: Sandbox, tmp_path: Path) -> None:
    spec = OxenToolSpec(IMAGE, save_to=tmp_path)
    result = spec.generate_image(prompt="an ox")
    assert result.media is not None
    assert str(result).startswith("Made 1 image with flux-2-dev")
    assert Path(result.media.paths[0]).is_file()
    output = tools_of(spec)["generate_image"](prompt="an ox")
    assert not output.is_error
    assert output.raw_output.media.status == "succeeded"
    assert len(hub.jobs) == 2


async def test_any_model_may_be_named_where_none_was_given(hub: Sandbox) -> None:
    spec = OxenToolSpec()
    made = await spec.agenerate_image(model="flux-1-dev", prompt="an ox")
    assert made.media is not None
    assert made.media.model == "flux-1-dev"
    unnamed = await spec.agenerate_image(prompt="an ox")
    assert unnamed.is_error
    assert "Name a model" in str(unnamed)


async def test_a_model_outside_those_given_is_refused(hub: Sandbox) -> None:
    refused = await OxenToolSpec(IMAGE).asubmit(model="flux-1-dev", prompt="an ox")
    assert refused.is_error
    assert "may not be used here" in str(refused)
    assert not hub.jobs


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_submit_check_cancel_find(hub: Sandbox, asynchronous: bool) -> None:
    hub.clock.speed = 0.001
    spec = OxenToolSpec([IMAGE])

    async def call(name: str, **arguments: Any) -> OxenToolResult:
        if asynchronous:
            return await getattr(spec, f"a{name}")(**arguments)
        return await asyncio.to_thread(lambda: getattr(spec, name)(**arguments))

    started = await call("submit", model=IMAGE, prompt="an ox")
    assert str(started).startswith("Started: image by flux-2-dev")
    ids = list(started.media.generation_ids)
    assert "is not ready" in str(await call("check", generation_ids=ids))
    cancelled = await call("cancel", generation_ids=ids)
    assert "cancelled" in str(cancelled)
    assert cancelled.data["results"][0]["status"] == "cancelled"
    found = await call("find_models", output="image")
    assert IMAGE in str(found)
    assert (await call("check", ids=ids)).is_error


async def test_one_unknown_id_and_what_parameters_say(hub: Sandbox) -> None:
    spec = OxenToolSpec([IMAGE])
    started = await spec.asubmit(model=IMAGE, parameters={"prompt": "ox", "num_generations": 2})
    assert started.media is not None
    ids = list(started.media.generation_ids)
    assert len(ids) == 2
    checked = await spec.acheck(generation_ids=["nobody-s", *ids], wait_seconds=20)
    assert "nobody-s: Oxen knows no generation of this id." in str(checked)
    assert str(checked).count("Made 1 image") == 2
    assert checked.data["results"][0]["generation_id"] == "nobody-s"
    assert (await spec.acheck(generation_ids=["nobody-s"])).is_error
    refused = await spec.asubmit(
        model=IMAGE, prompt="ox", num_generations=1, parameters={"num_generations": 4}
    )
    assert "num_generations was given twice" in str(refused)
    assert len(hub.jobs) == 2


async def test_parameters_called_like_what_a_call_takes_itself_arrive(hub: Sandbox) -> None:
    fields = {name: {"type": "string"} for name in ("prompt", "ctx", "self")}
    hub.models["odd"] = {
        "id": "odd", "endpoint": "/images/generate", "capabilities": {"output": ["image"]},
        "pricing": {"method": "per_image", "cost_per_image": "0.01"},
        "request_schema": {"type": "object", "properties": fields},
    }  # fmt: skip
    tool = tools_of(OxenToolSpec("odd"))["generate_image"]
    shown = tool.metadata.get_parameters_dict()["properties"]
    output = await tool.acall(**{name: f"a {name}" for name in shown if name != "num_generations"})
    assert not output.is_error, output.content
    sent = hub.jobs[0].params
    assert {name: sent[name] for name in ("ctx", "self")} == {"ctx": "a ctx_", "self": "a self_"}


def test_no_two_tools_have_one_name(hub: Sandbox) -> None:
    def image(model_id: str) -> Model:
        return read_model({"id": model_id, "capabilities": {"output": ["image"]}})

    long = "x" * 44
    for ids in ((f"{long}-a", f"{long}-b"), ("日本", "中国")):
        tools = tools_of(OxenToolSpec([image(one) for one in ids], background=False))
        assert len(tools) == 2
    twins = OxenToolSpec([image("ox.1"), image("ox-1")])
    with pytest.raises(errors.ConfigurationError, match="Two tools are called generate_image_with"):
        twins.to_tool_list()


async def test_an_agent_draws_once_and_tells_how_it_comes_along(hub: Sandbox, llm: Oxen) -> None:
    events = await events_of(agent_of(llm, OxenToolSpec(IMAGE), "generate_image").run(DRAW))
    progress = [event for event in events if isinstance(event, OxenProgressEvent)]
    assert [progress[0].phase, progress[-1].phase] == ["quoted", "done"]
    results = [event for event in events if isinstance(event, ToolCallResult)]
    assert {event.tool_id for event in progress} == {results[0].tool_id}
    assert results[0].tool_output.raw_output.media.urls
    assert len(hub.jobs) == 1


async def test_a_react_agent_draws(hub: Sandbox, llm: Oxen) -> None:
    tool = tools_of(OxenToolSpec(IMAGE))["generate_image"]
    hub.reply('Thought: I draw.\nAction: generate_image\nAction Input: {"prompt": "an ox"}')
    hub.reply("Thought: I am done.\nAnswer: Here is the image.")
    answer = await ReActAgent(tools=[tool], llm=llm).run(DRAW)
    assert [job.params["prompt"] for job in hub.jobs] == ["an ox"]
    assert str(answer) == "Here is the image."
    assert "Observation: Made 1 image" in str(hub.requests[-1].json["messages"])


async def test_a_workflow_writes_then_makes_an_image_and_a_video(hub: Sandbox, llm: Oxen) -> None:
    tools = tools_of(OxenToolSpec([IMAGE, VIDEO]))

    def agent(name: str, does: str, to: list[str], *own: str) -> FunctionAgent:
        return FunctionAgent(
            name=name,
            description=does,
            llm=llm,
            tools=[tools[tool_name] for tool_name in own],
            can_handoff_to=to,
            system_prompt=f"You are the {name}.",
        )

    workflow = AgentWorkflow(
        agents=[
            agent("writer", "Writes stories", ["artist"]),
            agent("artist", "Makes images", ["animator"], "generate_image"),
            agent("animator", "Makes videos", [], "generate_video"),
        ],
        root_agent="writer",
    )
    hub.reply(tool_calls=[("handoff", {"to_agent": "artist", "reason": "It is written."})])
    hub.reply(tool_calls=[("generate_image", {"prompt": "an ox at dawn"})])
    hub.reply(tool_calls=[("handoff", {"to_agent": "animator", "reason": "It is drawn."})])
    hub.reply(tool_calls=[("generate_video", {"prompt": "an ox walking"})])
    hub.reply("All is done.")
    events = await events_of(workflow.run(user_msg="Write about an ox, draw it, animate it."))
    assert [job.media_type for job in hub.jobs] == ["image", "video"]
    speakers = [event.current_agent_name for event in events if isinstance(event, AgentOutput)]
    assert list(dict.fromkeys(speakers)) == ["writer", "artist", "animator"]
    used = {e.tool_name for e in events if isinstance(e, OxenProgressEvent) and e.phase == "done"}
    assert used == {"generate_image", "generate_video"}
    assert any(isinstance(event, AgentStream) and event.delta for event in events)


class Studio(Workflow):
    """Draws in a step that waits for a person afterwards, and so runs twice."""

    tool: Any = None

    @step
    async def draw(self, ctx: Context, ev: StartEvent) -> StopEvent:
        output = await self.tool.acall(ctx=ctx, prompt="an ox")
        answer = await ctx.wait_for_event(
            OxenSpendingDecision,
            waiter_id="liked",
            waiter_event=OxenProgressEvent(
                tool_name="studio", phase="asked", status="asked", elapsed=0
            ),
        )
        return StopEvent(result=(str(output), answer.approved))


async def test_a_step_that_runs_again_pays_once(hub: Sandbox) -> None:
    studio = Studio(timeout=30)
    studio.tool = tools_of(OxenToolSpec(IMAGE))["generate_image"]
    handler = studio.run()
    async for event in handler.stream_events():
        if isinstance(event, OxenProgressEvent) and event.phase == "asked":
            handler.ctx.send_event(OxenSpendingDecision(call="liked", approved=True))
    text, approved = await handler
    assert approved
    assert text.startswith("Made 1 image")
    assert len(hub.jobs) == 1


async def test_two_runs_pay_twice(hub: Sandbox, llm: Oxen) -> None:
    agent = agent_of(llm, OxenToolSpec(IMAGE), "generate_image")
    await agent.run(DRAW)
    await agent.run(DRAW)
    assert len(hub.jobs) == 2


@pytest.mark.parametrize("approved", [True, False])
async def test_a_person_is_asked_first(hub: Sandbox, llm: Oxen, approved: bool) -> None:
    spec = OxenToolSpec(IMAGE, confirm_above=0)
    handler = agent_of(llm, spec, "generate_image").run(DRAW)
    asked = []
    async for event in handler.stream_events():
        if isinstance(event, OxenSpendingRequest):
            asked.append(event)
            assert not hub.jobs
            answer = OxenSpendingDecision(call=event.call, approved=approved, reason="too dear")
            handler.ctx.send_event(answer)
    await handler
    (question,) = asked
    assert question.model == IMAGE
    assert question.price_high is not None
    assert question.arguments["prompt"] == "an ox at dawn"
    assert len(hub.jobs) == approved


async def test_nobody_is_asked_about_what_cannot_be_paid(hub: Sandbox, llm: Oxen) -> None:
    spec = OxenToolSpec(IMAGE, confirm_above=0, budget="0.001")
    events = await events_of(agent_of(llm, spec, "generate_image").run(DRAW))
    assert not any(isinstance(event, OxenSpendingRequest) for event in events)
    told = [event.tool_output for event in events if isinstance(event, ToolCallResult)]
    assert told[0].is_error
    assert "$0.001" in told[0].content
    assert not hub.jobs


class Drawn(BaseModel):
    """A state of a workflow that has room for nothing else."""

    model_config = ConfigDict(extra="forbid")
    images: int = 0


async def test_a_workflow_with_a_state_of_its_own_pays_once(hub: Sandbox) -> None:
    class OwnState(Workflow):
        @step
        async def draw(self, ctx: Context[Drawn], ev: StartEvent) -> StopEvent:
            tool = tools_of(OxenToolSpec(IMAGE))["generate_image"]
            for _ in range(2):
                output = await tool.acall(ctx=ctx, prompt="an ox")
            return StopEvent(result=str(output))

    assert str(await OwnState(timeout=30).run()).startswith("Made 1 image")
    assert len(hub.jobs) == 1


async def test_a_question_outlives_the_process_that_asked(hub: Sandbox, llm: Oxen) -> None:
    workflow = AgentWorkflow(
        agents=[agent_of(llm, OxenToolSpec(IMAGE, confirm_above=0), "generate_image")]
    )
    handler = workflow.run(user_msg=DRAW)
    async for event in handler.stream_events():
        if isinstance(event, OxenSpendingRequest):
            question = event
            break
    saved = handler.ctx.to_dict(serializer=JsonSerializer())
    await handler.cancel_run()

    context = Context.from_dict(workflow, saved, serializer=JsonSerializer())
    resumed = workflow.run(ctx=context)
    # Core leaves the memory out of what it saves.
    memory = ChatMemoryBuffer.from_defaults(chat_history=[ChatMessage(DRAW)])
    await resumed.ctx.store.set("memory", memory)
    resumed.ctx.send_event(OxenSpendingDecision(call=question.call, approved=True))
    await asyncio.wait_for(resumed, 30)
    assert len(hub.jobs) == 1


async def test_cheap_calls_are_not_asked_about(hub: Sandbox, llm: Oxen) -> None:
    spec = OxenToolSpec(IMAGE, confirm_above="1.00")
    events = await events_of(agent_of(llm, spec, "generate_image").run(DRAW))
    assert not any(isinstance(event, OxenSpendingRequest) for event in events)
    assert len(hub.jobs) == 1


def test_nobody_can_be_asked_outside_a_workflow(hub: Sandbox) -> None:
    spec = OxenToolSpec(IMAGE, confirm_above=0)
    with pytest.raises(errors.ConfigurationError, match="workflow"):
        spec.generate_image(prompt="an ox")
    with pytest.raises(errors.ConfigurationError, match="workflow"):
        asyncio.run(spec.agenerate_image(prompt="an ox"))
    assert not hub.jobs


@pytest.mark.parametrize(("wish", "status"), [("cancel", "cancelled"), ("detach", "processing")])
async def test_what_a_cancelled_workflow_leaves(
    hub: Sandbox, llm: Oxen, wish: Any, status: str
) -> None:
    hub.inject(Fault("stall_job"))
    spec = OxenToolSpec(IMAGE, on_interrupt=wish)
    handler = agent_of(llm, spec, "generate_image").run(DRAW)
    async for event in handler.stream_events():
        if isinstance(event, OxenProgressEvent) and event.phase == "waiting":
            break
    await handler.cancel_run()
    for _ in range(600):
        if hub.jobs[0].status == status:
            break
        await asyncio.sleep(0.05)
    assert hub.jobs[0].status == status


async def test_what_was_too_dear_is_marked_and_explained(hub: Sandbox, llm: Oxen) -> None:
    spec = OxenToolSpec(IMAGE, max_cost="0.0001")
    events = await events_of(agent_of(llm, spec, "generate_image").run(DRAW))
    (result,) = [event for event in events if isinstance(event, ToolCallResult)][:1]
    assert result.tool_output.is_error
    assert result.tool_output.content.startswith("Error:")
    assert "cheaper" in result.tool_output.content
    assert not hub.jobs


async def test_a_failed_job_is_told_in_the_hubs_words(hub: Sandbox) -> None:
    hub.inject(Fault("fail_job", message="The prompt was refused."))
    output = await tools_of(OxenToolSpec(IMAGE))["generate_image"].acall(prompt="an ox")
    assert output.is_error
    assert "The prompt was refused." in output.content
    assert output.raw_output.media.status == "failed"


async def test_a_refused_key_is_the_developers_affair(hub: Sandbox) -> None:
    tool = tools_of(OxenToolSpec(IMAGE))["generate_image"]
    hub.inject(Fault("respond", path="*/queue", status=401, type="unauthenticated"))
    with pytest.raises(errors.AuthenticationError):
        await tool.acall(prompt="an ox")


async def test_arguments_no_model_has_are_refused_before_money_moves(hub: Sandbox) -> None:
    tool = tools_of(OxenToolSpec(IMAGE))["generate_image"]
    for arguments in (
        {"prompt": "an ox", "legs": 5},
        {"prompt": "an ox", "num_generations": 9},
        {"prompt": ""},
        {"malformed_arguments": '{"prompt": "an ox in a'},
        {**MALFORMED, "malformed_arguments": '{"prompt": "an ox in a'},
        {"prompt": "an ox", "input_image": "file:///etc/passwd"},
    ):
        output = await tool.acall(**arguments)
        assert output.is_error, arguments
        assert output.content.startswith("Error:")
    assert not hub.jobs


async def test_one_budget_for_all_tools(hub: Sandbox, tmp_path: Path) -> None:
    budget = Budget("0.02", name="studio", ledger=Ledger(tmp_path / "ledger.db"))
    spec = OxenToolSpec([IMAGE], budget=budget)
    first = await spec.agenerate_image(prompt="an ox")
    second = await spec.agenerate_image(prompt="another ox")
    assert (first.is_error, second.is_error) == (False, True)
    assert "budget" in str(second).lower()
    assert len(hub.jobs) == 1


@pytest.mark.parametrize("named", [True, False])
async def test_images_are_shown_where_asked_for(
    hub: Sandbox, llm: Oxen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spec = OxenToolSpec(IMAGE, show_images=True, save_to=tmp_path if named else None)
    events = await events_of(agent_of(llm, spec, "generate_image").run(DRAW))
    (result,) = [event for event in events if isinstance(event, ToolCallResult)]
    images = [b for b in result.tool_output.blocks if isinstance(b, ImageBlock)]
    assert len(images) == 1
    assert Path(str(images[0].path)).is_relative_to(tmp_path)
    asked = [r for r in hub.requests if r.path.endswith("/chat/completions")][-1]
    shown = asked.json["messages"][-1]
    assert shown["role"] == "user"
    assert shown["content"][0]["image_url"]["url"].startswith("data:image/")


async def test_a_context_with_results_can_be_saved(hub: Sandbox, llm: Oxen) -> None:
    workflow = AgentWorkflow(agents=[agent_of(llm, OxenToolSpec(IMAGE), "generate_image")])
    context = Context(workflow)
    await workflow.run(user_msg=DRAW, ctx=context)
    saved = context.to_dict(serializer=JsonSerializer())
    restored = Context.from_dict(workflow, saved, serializer=JsonSerializer())
    hub.reply("You are welcome.")
    answer = await workflow.run(user_msg="Thank you!", ctx=restored)
    assert str(answer) == "You are welcome."
    assert len(hub.jobs) == 1
    assert hub.api_key not in str(saved)


def test_the_key_is_in_no_representation(hub: Sandbox) -> None:
    spec = OxenToolSpec(IMAGE, api_key="sk-secret")
    assert "sk-secret" not in f"{spec!r} {vars(spec)!r}"


def test_a_video_asked_of_image_models_is_refused_by_name(hub: Sandbox) -> None:
    told = str(OxenToolSpec(IMAGE).generate_video(prompt="an ox"))
    assert "generate_video" in told
    assert IMAGE in told
    assert not hub.jobs


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_every_kind_is_made_by_its_own_function(hub: Sandbox, asynchronous: bool) -> None:
    def model(output: str) -> str:
        rows = hub.models.items()
        return next(name for name, row in rows if row["capabilities"]["output"] == [output])

    edit, video, audio = "qwen-image-edit", VIDEO, model("audio")
    spec = OxenToolSpec([IMAGE, edit, video, audio], allow_unknown_cost=True)

    async def call(name: str, **arguments: Any) -> OxenToolResult:
        if asynchronous:
            return await getattr(spec, f"a{name}")(**arguments)
        return await asyncio.to_thread(lambda: getattr(spec, name)(**arguments))

    drawn = await call("generate_image", model=IMAGE, prompt="an ox")
    assert drawn.media is not None
    source = drawn.media.generation_ids[0]
    listed = hub.models[edit]["request_schema"]["properties"]["input_image"].get("type") == "array"
    changed = await call(
        "edit_image", model=edit, prompt="older", input_image=[source] if listed else source
    )
    video_result = await call("generate_video", prompt="an ox walks")
    audio_result = await call("generate_audio", prompt="moo")
    made = [
        one.media and (one.media.model, one.media.media_type)
        for one in (changed, video_result, audio_result)
    ]
    assert made == [(edit, "image"), (video, "video"), (audio, "audio")]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_arguments_that_make_no_sense_are_explained_to_the_model(
    hub: Sandbox, asynchronous: bool
) -> None:
    spec = OxenToolSpec([IMAGE, "flux-1-dev"])

    async def call(name: str, **arguments: Any) -> OxenToolResult:
        if asynchronous:
            return await getattr(spec, f"a{name}")(**arguments)
        return await asyncio.to_thread(lambda: getattr(spec, name)(**arguments))

    for name, arguments, said in (
        ("cancel", {"ids": []}, "generation_ids"),
        ("cancel", {"generation_ids": ["none"]}, "none"),
        ("check", {"generation_ids": ["none"]}, "none"),
        ("find_models", {"need": "an image"}, "need"),
        ("submit", {}, "model"),
        (
            "generate_image",
            {"prompt": "an ox"},
            f"Name one of the models, model='…': {IMAGE}, flux-1-dev",
        ),
    ):
        refused = await call(name, **arguments)
        assert refused.is_error
        assert said in str(refused)
    assert not hub.jobs


async def test_a_function_for_any_model_is_a_tool_that_is_told_which(hub: Sandbox) -> None:
    names = ["generate_image", "edit_image", "generate_video", "generate_audio"]
    tools = {tool.metadata.name: tool for tool in OxenToolSpec().to_tool_list(list(names))}
    assert list(tools) == names
    for tool in tools.values():
        assert "oxen_find_models" in tool.metadata.description
        assert "model" in tool.metadata.get_parameters_dict()["required"]
    output = await tools["generate_image"].acall(
        model=IMAGE, prompt="an ox", parameters={"seed": 7}
    )
    assert output.raw_output.media.params["seed"] == 7


async def test_a_list_takes_the_specs_settings(hub: Sandbox, tmp_path: Path) -> None:
    spec = OxenToolSpec(IMAGE, save_to=tmp_path)
    made = spec.generate_many(["an ox", {"prompt": "a calf", "num_generations": 2}])
    made += await spec.agenerate_many(["a bull"], tool="generate_image")
    assert [len(result.paths) for result in made if isinstance(result, MediaResult)] == [1, 2, 1]
    assert len(hub.jobs) == 4


async def test_a_list_has_limits_of_its_own(hub: Sandbox) -> None:
    """An image costs $0.013."""
    inputs = ["an ox", "a calf", "a bull"]
    for options, bought in (({"budget": "0.02"}, 1), ({"max_cost": "0.001"}, 0)):
        spec = OxenToolSpec(IMAGE)
        made = [
            *spec.generate_many(inputs, **options),
            *await spec.agenerate_many(inputs, **options),
        ]
        refused = [each for each in made if isinstance(each, errors.BudgetExceededError)]
        assert len(made) - len(refused) == 2 * bought
    budget = Budget("0.02")
    OxenToolSpec().generate_many(inputs, budget=budget, model=IMAGE)
    assert f"{budget.spent:f}" == "0.013"
    spec = OxenToolSpec(IMAGE, budget=budget)
    assert isinstance(spec.generate_many(["an ox"])[0], errors.BudgetExceededError)
    with pytest.raises(errors.ConfigurationError, match="already has a budget"):
        spec.generate_many(["an ox"], budget="5")
    assert len(hub.jobs) == 3


TWO = [IMAGE, "flux-1-dev"]
MANY_REFUSED: list[tuple[Any, Any, dict[str, Any], str]] = [
    (
        IMAGE,
        ["x"],
        {"tool": "generate_vid"},
        r"no tool 'generate_vid'.* generate_image, edit_image",
    ),
    (IMAGE, ["x"], {"tool": "generate_imgae"}, r"Did you mean generate_image\?"),
    (IMAGE, ["x"], {"tool": "submit"}, "no tool 'submit'"),
    (IMAGE, ["x"], {"tool": "generate_video"}, r"inputs\[0\]: No model .* for generate_image"),
    (IMAGE, ["x"], {"tool": "edit_image"}, r"inputs\[0\]: input_image is missing"),
    (TWO, ["x"], {}, r'\{"prompt": …, "model": …\}: .*generate_image_with_flux_1_dev'),
    (
        TWO,
        ["x"],
        {"tool": "frob"},
        "generate_image_with_flux_2_dev, generate_image_with_flux_1_dev",
    ),
    (IMAGE, ["y", {"promt": "x"}], {}, r"inputs\[1\]: promt is .*did you mean prompt\?"),
    (IMAGE, ["y", ""], {}, r"inputs\[1\]: prompt cannot be empty"),
    (IMAGE, ["y", 3], {}, r"inputs\[1\]: an input is a prompt, or a mapping"),
    (
        IMAGE,
        ["y", {"prompt": "x", "model": "flux-1-dev"}],
        {},
        r"inputs\[1\]: 'flux-1-dev' may not",
    ),
    (IMAGE, "an ox", {}, "inputs must be a list"),
    (IMAGE, 5, {}, "inputs must be a list or another iterable, not int"),
    (IMAGE, ["x"], {"key_prefx": "a"}, r"key_prefx is neither .*Did you mean key_prefix\?"),
    (IMAGE, ["x"], {"max_concurrency": 2}, r"Did you mean max_in_flight\?"),
    (IMAGE, ["x"], {"frobnicate": "red"}, "frobnicate is neither an option nor a parameter"),
]


async def test_a_list_is_refused_whole_before_anything_is_sent(hub: Sandbox) -> None:
    for models, inputs, options, said in MANY_REFUSED:
        for is_async in (False, True):
            spec = OxenToolSpec(models)
            with pytest.raises(errors.InvalidInputError, match=said):
                if is_async:
                    await spec.agenerate_many(inputs, **options)
                else:
                    spec.generate_many(inputs, **options)
    assert not hub.jobs


async def test_an_option_of_another_call_is_not_sent_as_a_parameter(hub: Sandbox) -> None:
    hub.models[IMAGE]["request_schema"] = None
    clear_cache()
    spec = OxenToolSpec([IMAGE])
    for name in ("confirm_above", "timeout", "retries"):
        call = {"prompt": "x", name: 0}
        for result in (spec.generate_image(**call), await spec.agenerate_image(**call)):
            assert result.is_error
            assert f"{name} is no option of this call" in result.text
    with pytest.raises(errors.InvalidInputError, match="confirm_above is no option"):
        spec.generate_many(["x"], confirm_above=0)
    assert not hub.jobs


async def test_a_list_of_several_models_says_which(hub: Sandbox) -> None:
    spec = OxenToolSpec(TWO)
    spec.generate_many(["x"], tool="generate_image_with_flux_1_dev")
    spec.generate_many([{"prompt": "x", "model": IMAGE}, {"prompt": "y", "model": TWO[1]}])
    await spec.agenerate_many(["x"], model=TWO[1])
    assert sorted(job.model for job in hub.jobs) == [TWO[1], TWO[1], TWO[1], IMAGE]


async def test_an_edit_needs_an_image(hub: Sandbox) -> None:
    spec, any_model = OxenToolSpec(IMAGE), OxenToolSpec()
    edit = tools_of(spec)["edit_image"]
    required = edit.metadata.get_parameters_dict()["required"]
    assert required == ["prompt", "input_image"]
    assert tools_of(spec)["generate_image"].metadata.get_parameters_dict()["required"] == ["prompt"]
    for given in ({}, {"input_image": None}, {"input_image": []}, {"input_image": [" "]}):
        arguments = {"prompt": "older", **given}
        for output in (
            spec.edit_image(**arguments),
            await spec.aedit_image(**arguments),
            edit.call(**arguments).raw_output,
            any_model.edit_image(model=IMAGE, prompt="older", parameters=given),
        ):
            assert output.is_error
            assert "input_image is missing: give the image to change" in output.text
    assert "does not change images" in any_model.edit_image(model=TWO[1], prompt="older").text
    assert "does not make videos" in any_model.generate_video(model=IMAGE, prompt="x").text
    assert not hub.jobs
    source = "data:image/png;base64,iVBORw0KGgo="
    assert not spec.edit_image(prompt="older", input_image=source).is_error
    assert hub.jobs[0].params["input_image"] == [source]


async def test_a_text_in_the_first_place_is_the_prompt(hub: Sandbox) -> None:
    spec = OxenToolSpec(IMAGE)
    tool = tools_of(spec)["generate_image"]
    for output in (
        spec.generate_image("an ox"),
        await spec.agenerate_image("a calf", seed=1),
        tool.call("a bull"),
        await tool.acall("a cow"),
        tool("a herd"),
    ):
        assert not output.is_error
    prompts = [job.params["prompt"] for job in hub.jobs]
    assert prompts == ["an ox", "a calf", "a bull", "a cow", "a herd"]
    with pytest.raises(TypeError, match="generate_image takes its arguments by name"):
        tool.call("a bull", "a cow")
    with pytest.raises(errors.InvalidInputError, match="prompt was given twice"):
        spec.generate_image("an ox", prompt="a cow")


def test_only_a_model_with_an_image_to_give_can_edit(hub: Sandbox) -> None:
    assert "edit_image" not in tools_of(OxenToolSpec(TWO[1]))
