"""A new message in place of an answer to the budget's question, and edits that cannot be made."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import RemoveMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from langchain_oxen import ChatOxen, OxenBudgetMiddleware, OxenMediaTool, OxenToolkit
from langchain_oxen.errors import BadRequestError
from oxen_inference import OxenClient
from oxen_sandbox import Sandbox
from tests.support.scripted_chat import ScriptedChat, tool_messages

THREAD: Any = {"configurable": {"thread_id": "t"}}
DRAW = ("call_1", "draw", {"prompt": "an ox"})
BOTH_WAYS = pytest.mark.parametrize("is_async", [False, True])


def say(text: str) -> dict[str, Any]:
    return {"messages": [("user", text)]}


def edit(**arguments: Any) -> Command[Any]:
    edited = {"name": "draw", "args": arguments}
    return Command(resume={"decisions": [{"type": "edit", "edited_action": edited}]})


async def go_on(agent: Any, step: Any, is_async: bool) -> Any:
    return await agent.ainvoke(step, THREAD) if is_async else agent.invoke(step, THREAD)


@pytest.fixture
def draw(oxen_sandbox_env: Sandbox) -> OxenMediaTool:
    return OxenMediaTool.for_model("flux-2-dev", name="draw")


def asking(tools: list[Any], turns: list[Any] | None = None, above: str = "0") -> Any:
    """An agent whose budget asks; with the sandbox's strict chat model unless `turns` are given."""
    chat: Any = (
        ScriptedChat(turns=turns, cost="0") if turns else ChatOxen(model="claude-sonnet-4-6")
    )
    middleware = [OxenBudgetMiddleware("1", ask_above=above)]
    return create_agent(chat, tools, middleware=middleware, checkpointer=InMemorySaver())


@BOTH_WAYS
async def test_a_new_message_closes_the_question(
    draw: OxenMediaTool, oxen_sandbox_env: Sandbox, is_async: bool
) -> None:
    agent = asking([draw])
    oxen_sandbox_env.reply(tool_calls=[("draw", {"prompt": "an ox"})])
    assert "__interrupt__" in await go_on(agent, say("Draw an ox."), is_async)
    for answer in ("As you like.", "Still here."):
        oxen_sandbox_env.reply(answer)
        state = await go_on(agent, say("Forget it."), is_async)
        assert state["messages"][-1].text == answer
    kinds = [message.type for message in state["messages"]]
    assert kinds == ["human", "ai", "tool", "human", "ai", "human", "ai"]
    (closed,) = tool_messages(state)
    assert closed.status == "error"
    assert "was not run" in closed.text
    assert "Nothing was bought" in closed.text
    late = await go_on(agent, Command(resume=True), is_async)
    assert [message.type for message in late["messages"]] == kinds
    assert oxen_sandbox_env.jobs == []


@BOTH_WAYS
async def test_an_answer_is_for_the_new_question(
    draw: OxenMediaTool, oxen_sandbox_env: Sandbox, is_async: bool
) -> None:
    agent = asking([draw], [[DRAW], [("call_2", "draw", {"prompt": "a cow"})], "done"])
    await go_on(agent, say("Draw an ox."), is_async)
    state = await go_on(agent, say("No, a cow."), is_async)
    (action,) = state["__interrupt__"][0].value["action_requests"]
    assert action["args"] == {"prompt": "a cow"}
    state = await go_on(agent, Command(resume=True), is_async)
    assert [message.status for message in tool_messages(state)] == ["error", "success"]
    assert [job.params["prompt"] for job in oxen_sandbox_env.jobs] == ["a cow"]


@BOTH_WAYS
async def test_what_was_bought_before_the_new_message_is_named(
    draw: OxenMediaTool, oxen_sandbox_env: Sandbox, is_async: bool
) -> None:
    calls = [DRAW, ("call_2", "draw", {"prompt": "a cow"})]
    agent = asking([draw], [calls, "done", "done"])
    await go_on(agent, say("Draw both."), is_async)
    dearer = {"name": "draw", "args": {"prompt": "oxen", "num_generations": 3}}
    decisions = [{"type": "edit", "edited_action": dearer}, {"type": "approve"}]
    state = await go_on(agent, Command(resume={"decisions": decisions}), is_async)
    assert "__interrupt__" in state  # the first call is dearer now; the second one was made
    state = await go_on(agent, say("Leave it."), is_async)
    asked, made = tool_messages(state)
    assert "Nothing was bought" in asked.text
    assert "It is paid for. Made 1 image" in made.text
    assert made.artifact["items"][0]["generation_id"] == oxen_sandbox_env.jobs[0].generation_id
    assert len(oxen_sandbox_env.jobs) == 1


@BOTH_WAYS
async def test_a_submitted_job_of_an_interrupted_run_is_named(
    oxen_sandbox_env: Sandbox, is_async: bool
) -> None:
    oxen_sandbox_env.settings.image_seconds = 60
    tools = OxenToolkit(models=["flux-2-dev"]).get_tools()
    turns = [
        [("call_1", "oxen_submit", {"model": "flux-2-dev", "prompt": "an ox"})],
        "done",
        "done",
    ]
    agent = asking(tools, turns, above="1")
    await go_on(agent, say("Draw an ox."), is_async)
    results = tool_messages(agent.get_state(THREAD).values)
    agent.update_state(THREAD, {"messages": [RemoveMessage(id=str(one.id)) for one in results]})
    (closed,) = tool_messages(await go_on(agent, say("And?"), is_async))
    assert f"It is paid for. The image by flux-2-dev is not ready (queued). Generation ids: {oxen_sandbox_env.jobs[0].generation_id}." in closed.text  # fmt: skip
    assert len(oxen_sandbox_env.jobs) == 1


def test_without_the_middleware_the_error_says_how_to_repair(
    draw: OxenMediaTool, oxen_sandbox_env: Sandbox
) -> None:
    chat = ChatOxen(model="claude-sonnet-4-6")
    agent = create_agent(chat, [draw], interrupt_before=["tools"], checkpointer=InMemorySaver())
    oxen_sandbox_env.reply(tool_calls=[("draw", {"prompt": "an ox"})])
    agent.invoke(say("Draw an ox."), THREAD)
    with pytest.raises(BadRequestError) as caught:
        agent.invoke(say("Forget it."), THREAD)
    assert "agent.update_state(config, {'messages': [RemoveMessage(id=...)]})" in str(caught.value)
    unanswered = agent.get_state(THREAD).values["messages"][1]
    agent.update_state(THREAD, {"messages": [RemoveMessage(id=unanswered.id)]})
    oxen_sandbox_env.reply("As you like.")
    assert agent.invoke(None, THREAD)["messages"][-1].text == "As you like."


@BOTH_WAYS
async def test_an_edit_that_cannot_be_made_is_asked_about_again(
    draw: OxenMediaTool, oxen_sandbox_env: Sandbox, is_async: bool
) -> None:
    agent = asking([draw], [[DRAW], "done"])
    await go_on(agent, say("Draw an ox."), is_async)
    for step, why in (
        (edit(prompt="a yak", num_generations=30), "num_generations must be between 1 and 4"),
        (edit(promt="a yak"), r"promt is not one of its parameters (did you mean prompt?)"),
        (edit(), "prompt is missing"),
        (Command(resume={"type": "edit", "edited_action": {"name": "draw"}}), "all its arguments"),
        (Command(resume={"type": "edit", "edited_action": {"args": "yak"}}), "all its arguments"),
    ):
        (question,) = (await go_on(agent, step, is_async))["__interrupt__"]
        assert why in question.value["problem"]
        assert question.value["description"].endswith("costs up to $0.013. Go ahead?")
    assert oxen_sandbox_env.jobs == []
    state = await go_on(agent, edit(prompt="a yak"), is_async)
    assert "Its arguments were {'prompt': 'a yak'}" in tool_messages(state)[0].text
    assert [job.params["prompt"] for job in oxen_sandbox_env.jobs] == ["a yak"]


@pytest.mark.parametrize("raises", [False, True])
def test_so_is_an_edit_of_a_submission(oxen_sandbox_env: Sandbox, raises: bool) -> None:
    with OxenClient() as client:
        tools = OxenToolkit(models=["flux-2-dev"], client=client).get_tools()
        if raises:
            for tool in tools:
                tool.handle_tool_error = False
        order = {"model": "flux-2-dev", "prompt": "an ox"}
        agent = asking(tools, [[("call_1", "oxen_submit", order)], "done"])
        agent.invoke(say("Draw an ox."), THREAD)
        changed = {**order, "parameters": {"guidance": 99}}
        action = {"name": "oxen_submit", "args": changed}
        state = agent.invoke(Command(resume={"type": "edit", "edited_action": action}), THREAD)
        assert "guidance must be between" in state["__interrupt__"][0].value["problem"]
        assert oxen_sandbox_env.jobs == []
