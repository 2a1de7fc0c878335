"""Scripted answers over HTTP: whole and streamed, by the control API, in a test's fixture, in agents."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from llama_index.core.agent.workflow import FunctionAgent

from langchain_oxen import ChatOxen
from llama_index_oxen import Oxen
from oxen_sandbox import Fault, Sandbox
from tests.support.wire import ai, call

pytest_plugins = ["pytester"]

HELLO = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
CALLS = [("weigh", {"name": "Bruno"}), ("weigh", {"name": "Berta"})]


def chat(hub: Sandbox, **extra: Any) -> Any:
    answer = ai(hub, "POST", "/chat/completions", {**HELLO, **extra})
    assert answer.status == 200, answer.content
    return answer


def text(hub: Sandbox, **extra: Any) -> Any:
    return chat(hub, **extra).json["choices"][0]["message"]["content"]


def test_a_reply_is_whole_or_streamed_as_the_request_asks(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    hub.reply("An ox walks home.")
    hub.reply("An ox walks home.")
    assert text(hub) == "An ox walks home."
    *chunks, done = chat(hub, stream=True).chunks
    deltas = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks]
    assert "".join(deltas) == "An ox walks home."
    assert sum(map(bool, deltas)) > 3
    assert done == "[DONE]"
    assert text(hub) == "You said: Hello"


def test_predicates_see_the_request(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    hub.reply("streamed", when=lambda request: request.get("stream"))
    hub.reply(tool_calls=CALLS, when={"model": "claude-sonnet-4-6"})
    assert text(hub) == "You said: Hello"
    message = chat(hub, model="claude-sonnet-4-6").json["choices"][0]["message"]
    assert [c["function"]["name"] for c in message["tool_calls"]] == ["weigh", "weigh"]
    assert b"streamed" in chat(hub, stream=True).content


def test_a_usage_that_is_scripted_is_paid_for(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    hub.reply("ox", usage={"prompt_tokens": 1_000_000, "completion_tokens": 0})
    usage = chat(hub).json["usage"]
    assert usage["prompt_tokens"] == 1_000_000
    price = hub.models["gpt-4o"]["pricing"]["input_cost_per_token"]
    assert float(hub.charges[-1].cost or 0) == pytest.approx(1_000_000 * float(price))


def test_a_failing_predicate_is_a_500_that_names_it(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.reply("no", when=lambda request: request["nothing"])
    answer = ai(oxen_sandbox, "POST", "/chat/completions", HELLO)
    assert answer.status == 500
    assert "KeyError('nothing')" in answer.json["error"]["message"]
    oxen_sandbox.reset()
    assert oxen_sandbox.replies == []


def test_a_request_that_fails_before_it_is_handled_fetches_no_reply(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    hub.reply("ox")
    hub.inject(Fault("respond", status=503, path="*/chat/completions"))
    assert ai(hub, "POST", "/chat/completions", HELLO).status == 503
    assert text(hub) == "ox"


def test_replies_are_scripted_over_http(oxen_sandbox: Sandbox) -> None:
    hub, path = oxen_sandbox, "/_sandbox/replies"
    claude = {"tool_calls": [["weigh", {"name": "Bo"}]], "when": {"model": "claude-sonnet-4-6"}}
    left = call(hub, "POST", path, [{"text": "first"}, claude], key="").json
    assert left == {"replies": [{"text": "first"}, claude]}
    assert call(hub, "POST", path, {"text": "last"}, key="").status == 200
    assert text(hub) == "first"
    assert call(hub, "GET", path, key="").json["replies"] == [claude, {"text": "last"}]
    assert [reply.text for reply in hub.replies] == ["", "last"]
    assert call(hub, "DELETE", path, key="").json == {"replies": []}
    assert text(hub) == "You said: Hello"
    wrong = call(hub, "POST", path, {"txt": "ox"}, key="")
    assert wrong.status == 400
    assert "'txt' was unexpected" in wrong.json["error"]["message"]
    assert not any(request.path.startswith("/_sandbox") for request in hub.requests)


def test_a_reply_nobody_fetched_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from urllib.request import Request, urlopen


        def test_one_is_left(oxen_sandbox):
            oxen_sandbox.reply("An ox.")
            oxen_sandbox.reply(tool_calls=[("weigh", {"name": "Bruno"})])


        def test_they_are_forgotten(oxen_sandbox):
            oxen_sandbox.reply("An ox.")
            oxen_sandbox.reset()
        """
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=2, errors=1)
    listed = '{"text": "An ox."}\n  {"tool_calls": [["weigh", {"name": "Bruno"}]]}'
    assert f"No chat request fetched these scripted replies:\n  {listed}" in done.stdout.str()


@tool("weigh")
def weigh_tool(name: str) -> str:
    """Weigh an ox."""
    return f"{name} weighs 812 kg."


def weigh(name: str) -> str:
    """Weigh an ox."""
    return f"{name} weighs 812 kg."


@tool
def clock() -> str:
    """Tell the time."""
    return "12:00"


def count_requests(hub: Sandbox) -> int:
    return sum(request.path.endswith("/chat/completions") for request in hub.requests)


@pytest.mark.parametrize("parallel", [True, False])
def test_a_langgraph_agent_ends(oxen_sandbox_env: Sandbox, parallel: bool) -> None:
    agent = create_agent(
        ChatOxen(model="gpt-4o", parallel_tool_calls=parallel), tools=[weigh_tool, clock]
    )
    state = agent.invoke({"messages": [("user", 'Weigh "Bruno" by the clock')]})
    assert [m.type for m in state["messages"]].count("tool") == 2
    assert "Bruno weighs 812 kg." in str(state["messages"])
    assert count_requests(oxen_sandbox_env) == (2 if parallel else 3)
    count = count_requests(oxen_sandbox_env)
    agent.invoke({"messages": [("user", "Hello")]})  # nothing is named: the first tool, once
    assert count_requests(oxen_sandbox_env) == count + 2


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-6", "deepseek-v4-pro"])
async def test_a_llama_index_agent_ends(oxen_sandbox_env: Sandbox, model: str) -> None:
    llm = Oxen(model)
    answer = await FunctionAgent(tools=[weigh], llm=llm).run('Weigh "Bruno"')
    assert str(answer) == "Bruno weighs 812 kg."
    assert count_requests(oxen_sandbox_env) == 2
    await llm.aclose()


def test_a_scripted_agent_does_what_the_script_says(oxen_sandbox_env: Sandbox) -> None:
    oxen_sandbox_env.reply(tool_calls=CALLS)
    oxen_sandbox_env.reply("Both weigh 812 kg.")
    agent = create_agent(ChatOxen(model="gpt-4o"), tools=[weigh_tool])
    messages = agent.invoke({"messages": [("user", "Weigh the oxen")]})["messages"]
    assert [m.text for m in messages[2:4]] == ["Bruno weighs 812 kg.", "Berta weighs 812 kg."]
    assert messages[-1].text == "Both weigh 812 kg."
