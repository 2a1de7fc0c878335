"""Agents that pay: resumed after a crash, replayed, in parallel, within a budget, with a person."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import av
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, before_model
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.runtime import Runtime
from langgraph.types import Command

from langchain_oxen import (
    ChatOxen,
    OxenBudgetMiddleware,
    OxenMediaTool,
    OxenToolkit,
    budget_middleware,
)
from langchain_oxen.budget_middleware import OxenBudgetWarning
from oxen_inference import Budget, BudgetWarning, Ledger, OxenClient
from oxen_inference.catalog.cache import clear_cache
from oxen_inference.cli import jobs
from oxen_inference.errors import BudgetExceededError, ConfigurationError
from oxen_inference.ledger.database import LedgerWarning
from oxen_inference.ledger.store import default_ledger
from oxen_sandbox import Sandbox
from tests.conftest import REPOSITORY
from tests.support.databases import sql
from tests.support.scripted_chat import ScriptedChat, tool_messages

ASK = {"messages": [("user", "draw it")]}
DRAW = ("call_1", "draw", {"prompt": "an ox at dawn"})


def thread(name: str = "t") -> dict[str, Any]:
    return {"configurable": {"thread_id": name}}


@pytest.fixture
def client(oxen_sandbox: Sandbox) -> Iterator[OxenClient]:
    with OxenClient(api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url) as client:
        yield client


@pytest.fixture
def draw(client: OxenClient) -> OxenMediaTool:
    return OxenMediaTool.for_model("flux-2-dev", client=client, name="draw")


def agent(turns: list[Any], tools: list[Any], *middleware: Any, **options: Any) -> Any:
    chat = ScriptedChat(turns=turns, cost=options.pop("cost", None))
    return create_agent(chat, tools, middleware=middleware, checkpointer=InMemorySaver(), **options)


async def go_on(one: Any, step: Any, is_async: bool) -> Any:
    return await one.ainvoke(step, thread()) if is_async else one.invoke(step, thread())


class TestCrash:
    def run(self, what: str, folder: Path, sandbox: Sandbox) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "OXEN_API_KEY": sandbox.api_key,
            "OXEN_BASE_URL": sandbox.base_url,
            "OXEN_STATE_DIR": str(folder / "state"),
        }
        module = "tests.e2e.langchain_video_process"
        return subprocess.Popen(
            [sys.executable, "-m", module, what, str(folder)], cwd=REPOSITORY, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def test_a_video_survives_the_death_of_its_process(
        self, oxen_sandbox: Sandbox, tmp_path: Path
    ) -> None:
        oxen_sandbox.settings.video_seconds = 3
        first = self.run("start", tmp_path, oxen_sandbox)
        give_up = time.monotonic() + 60
        while not oxen_sandbox.jobs:
            assert first.poll() is None, first.communicate()
            assert time.monotonic() < give_up
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
        assert oxen_sandbox.jobs[0].status != "succeeded"

        second = self.run("resume", tmp_path, oxen_sandbox)
        output, errors = second.communicate(timeout=60)
        assert second.returncode == 0, errors
        path, said = output.strip().splitlines()
        assert said == "Here it is."
        assert len(oxen_sandbox.jobs) == 1
        assert [charge.kind for charge in oxen_sandbox.charges] == ["queue"]
        with av.open(path) as video:
            assert float(video.duration) / av.time_base == pytest.approx(5, abs=0.1)
        (name,) = self.budgets(tmp_path)
        spent = Budget("1.00", name=name, ledger=Ledger(tmp_path / "state" / "ledger.sqlite3"))
        assert spent.spent == oxen_sandbox.charges[0].cost + Decimal("0.02")  # and two answers

    def budgets(self, folder: Path) -> list[str]:
        ledger = Ledger(folder / "state" / "ledger.sqlite3")
        return [row.name for row in sql(ledger, "SELECT name FROM oxen_budgets")]


class TestReplay:
    def test_a_replayed_checkpoint_pays_nothing(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox
    ) -> None:
        one = agent([[DRAW], "done"], [draw])
        one.invoke(ASK, thread())
        before = next(s for s in one.get_state_history(thread()) if s.next == ("tools",))
        state = one.invoke(None, before.config)
        assert tool_messages(state)[0].status == "success"
        assert len(oxen_sandbox.jobs) == 1

    def test_an_edited_call_is_another_image(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox
    ) -> None:
        one = agent([[DRAW], "done"], [draw], HumanInTheLoopMiddleware({"draw": True}))
        one.invoke(ASK, thread())
        edited = {"name": "draw", "args": {"prompt": "a cow"}}
        decisions = [{"type": "edit", "edited_action": edited}]
        one.invoke(Command(resume={"decisions": decisions}), thread())
        assert [job.params["prompt"] for job in oxen_sandbox.jobs] == ["a cow"]

    def test_calls_side_by_side(self, draw: OxenMediaTool, oxen_sandbox: Sandbox) -> None:
        calls = [(f"call_{n}", "draw", {"prompt": "an ox"}) for n in range(3)]
        state = agent([calls, "done"], [draw]).invoke(ASK, thread())
        ids = {m.artifact["items"][0]["generation_id"] for m in tool_messages(state)}
        assert len(ids) == len(oxen_sandbox.jobs) == 3

    def test_a_tool_called_again_after_its_patience_ended(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox
    ) -> None:
        oxen_sandbox.settings.image_seconds = 2.5
        draw.timeout = 1

        @before_model
        def be_patient(state: Any, runtime: Any) -> None:
            if tool_messages(state):
                draw.timeout = 60

        turns = [[("call_1", "draw", DRAW[2])], [("call_2", "draw", DRAW[2])], "done"]
        state = agent(turns, [draw], be_patient).invoke(ASK, thread())
        assert [m.status for m in tool_messages(state)] == ["error", "success"]
        assert len(oxen_sandbox.jobs) == 1

    async def test_async_with_sqlite(self, oxen_sandbox: Sandbox, tmp_path: Path) -> None:
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        draw = await OxenMediaTool.afor_model(
            "flux-2-dev", api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url, name="draw"
        )
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "c.sqlite3")) as saver:
            one = create_agent(ScriptedChat(turns=[[DRAW], "done"]), [draw], checkpointer=saver)
            await one.ainvoke(ASK, thread())
            history = [s async for s in one.aget_state_history(thread())]
            before = next(s for s in history if s.next == ("tools",))
            await one.ainvoke(None, before.config)
        assert len(oxen_sandbox.jobs) == 1


def test_checkpoints_hold_references_only(
    client: OxenClient, oxen_sandbox: Sandbox, tmp_path: Path
) -> None:
    draw = OxenMediaTool.for_model("flux-2-dev", client=client, name="draw", save_to=tmp_path)
    with SqliteSaver.from_conn_string(str(tmp_path / "c.sqlite3")) as saver:
        one = create_agent(ScriptedChat(turns=[[DRAW], "done"]), [draw], checkpointer=saver)
        state = one.invoke(ASK, thread())
        saved = one.get_state(thread()).values
    (message,) = tool_messages(state)
    assert tool_messages(saved)[0].artifact == message.artifact
    image = Path(message.artifact["items"][0]["path"]).read_bytes()
    checkpoints = b"".join(file.read_bytes() for file in tmp_path.glob("c.sqlite3*"))
    assert image[:200] not in checkpoints


class TestBudget:
    def test_media_and_chat_together(self, draw: OxenMediaTool, oxen_sandbox: Sandbox) -> None:
        turns = [[DRAW], [("call_2", "draw", {"prompt": "a cow"})], "done"]
        one = agent(turns, [draw], OxenBudgetMiddleware("0.03"), cost="0.005")
        messages = one.invoke(ASK, thread())
        first, second = tool_messages(messages)
        # 0.005 + 0.013 + 0.005 leaves 0.007.
        assert first.status == "success"
        assert second.status == "error"
        assert "$0.007 is left" in second.text
        assert len(oxen_sandbox.jobs) == 1
        assert messages["messages"][-1].text == "done"

    def test_a_run_ends_where_nothing_is_left(self, draw: OxenMediaTool) -> None:
        one = agent([[DRAW], "never said"], [draw], OxenBudgetMiddleware("0.013"), cost="0")
        state = one.invoke(ASK, thread())
        last = state["messages"][-1]
        assert isinstance(last, AIMessage)
        assert last.text.startswith("The budget of $0.013 is used up: $0.013 spent")

    def test_or_raises(self, draw: OxenMediaTool) -> None:
        middleware = OxenBudgetMiddleware("0.01", on_exceeded="error")
        one = agent([[DRAW], "never said"], [draw], middleware, cost="0.02")
        with pytest.raises(BudgetExceededError, match=r"used up.*Raise the limit"):
            one.invoke(ASK, thread())

    @pytest.mark.parametrize(("per", "made"), [("run", 2), ("thread", 1)])
    def test_counts_a_run_or_a_thread(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox, per: Any, made: int
    ) -> None:
        turns = [[DRAW], "done", [("call_2", "draw", {"prompt": "a cow"})], "done"]
        one = agent(turns, [draw], OxenBudgetMiddleware("0.02", per=per))
        one.invoke(ASK, thread())
        one.invoke(ASK, thread())
        assert len(oxen_sandbox.jobs) == made

    def test_a_thread_that_is_none_is_said_once(self) -> None:
        middleware = OxenBudgetMiddleware("1", per="thread")
        one = create_agent(ScriptedChat(turns=["done"], cost="0"), [], middleware=[middleware])
        with warnings.catch_warnings():
            warnings.simplefilter("error", OxenBudgetWarning)
            one.invoke(ASK, thread())
        with pytest.warns(BudgetWarning, match="spans no runs") as warned:
            one.invoke(ASK)
        assert len(warned) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error", OxenBudgetWarning)
            one.invoke(ASK)

    def test_calls_side_by_side_cannot_exceed_it(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox
    ) -> None:
        calls = [(f"call_{n}", "draw", {"prompt": f"ox {n}"}) for n in range(6)]
        state = agent([calls, "done"], [draw], OxenBudgetMiddleware("0.03")).invoke(ASK, thread())
        statuses = [message.status for message in tool_messages(state)]
        assert sorted(statuses) == ["error"] * 4 + ["success"] * 2
        assert len(oxen_sandbox.jobs) == 2
        refused = [message.text for message in tool_messages(state) if message.status == "error"]
        # The name that the middleware gave the budget says nothing to a model.
        assert all("this run's budget" in text and "agent-run" not in text for text in refused)

    def test_a_budget_of_ones_own(self, draw: OxenMediaTool) -> None:
        studio = Budget("5", name="studio", ledger=Ledger())
        one = agent([[DRAW], "done"], [draw], OxenBudgetMiddleware(budget=studio), cost="0.5")
        one.invoke(ASK, thread())
        assert studio.spent == Decimal("1.013")

    def test_two_budgets_for_one_tool_are_an_error(self, client: OxenClient) -> None:
        draw = OxenMediaTool.for_model("flux-2-dev", client=client, name="draw", budget=Budget("1"))
        with pytest.raises(ConfigurationError, match="already has a budget"):
            agent([[DRAW], "done"], [draw], OxenBudgetMiddleware("1")).invoke(ASK, thread())

    @pytest.mark.parametrize("kept", ["in a file", "in memory"])
    def test_a_limit_holds_for_tools_with_another_ledger(
        self, oxen_sandbox: Sandbox, tmp_path: Path, kept: str
    ) -> None:
        own = Ledger(tmp_path / "own.sqlite3") if kept == "in a file" else None
        options = {"api_key": oxen_sandbox.api_key, "base_url": oxen_sandbox.base_url}
        with OxenClient(**options, ledger=own) as client:
            paint = OxenMediaTool.for_model("flux-2-dev", client=client, name="paint")
            calls = [[(f"call_{n}", "paint", {"prompt": f"ox {n}"})] for n in range(4)]
            middleware = OxenBudgetMiddleware("0.03")
            state = agent([*calls, "done"], [paint], middleware).invoke(ASK, thread())
        statuses = [message.status for message in tool_messages(state)]
        assert statuses == ["success", "success", "error", "error"]
        assert len(oxen_sandbox.jobs) == 2

    def test_one_run_pays_from_one_ledger(self, oxen_sandbox: Sandbox, tmp_path: Path) -> None:
        options = {"api_key": oxen_sandbox.api_key, "base_url": oxen_sandbox.base_url}
        own = Ledger(tmp_path / "own.sqlite3")
        with OxenClient(**options) as usual, OxenClient(**options, ledger=own) as other:
            tools = [
                OxenMediaTool.for_model("flux-2-dev", client=client, name=name)
                for client, name in ((usual, "draw"), (other, "paint"))
            ]
            calls = [
                [("call_1", "draw", {"prompt": "ox"})],
                [("call_2", "paint", {"prompt": "ox"})],
            ]
            with pytest.raises(ConfigurationError, match=r"in one ledger.*Nothing was sent"):
                agent([*calls, "done"], tools, OxenBudgetMiddleware("0.03")).invoke(ASK, thread())
        assert len(oxen_sandbox.jobs) == 1

    def test_a_limit_holds_where_no_ledger_lasts(
        self, oxen_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path / "file" / "state"))
        with OxenClient(
            api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url, ledger=None
        ) as client:
            draw = OxenMediaTool.for_model("flux-2-dev", client=client, name="draw")
            calls = [[(f"call_{n}", "draw", {"prompt": f"ox {n}"})] for n in range(3)]
            one = agent([*calls, "done"], [draw], OxenBudgetMiddleware("0.03"))
            with pytest.warns(LedgerWarning):
                state = one.invoke(ASK, thread())
        statuses = [message.status for message in tool_messages(state)]
        assert statuses == ["success", "success", "error"]
        assert len(oxen_sandbox.jobs) == 2

    def test_a_budget_that_is_no_longer_kept_is_read_from_the_ledger(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(budget_middleware, "_MAX_CACHED", 1)
        middleware = OxenBudgetMiddleware("1")
        runs: list[Any] = [middleware.before_agent({"messages": []}, Runtime()) for _ in range(2)]
        middleware.budget_of(runs[0]).record(Decimal("0.4"), "chat")
        assert middleware.budget_of(runs[1]).spent == 0
        names = list(default_ledger().budgets())
        assert [jobs._is_of_agent_run(name) for name in names] == [True, True]
        assert middleware.budget_of(runs[0]).spent == Decimal("0.4")

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_tools_that_cost_nothing_are_left_alone(
        self, draw: OxenMediaTool, is_async: bool
    ) -> None:
        def look(at: str) -> str:
            """Look at something."""
            return f"It is {at}."

        turns = [[("call_1", "look", {"at": "an ox"})], "done"]
        one = agent(turns, [draw, look], OxenBudgetMiddleware("1", ask_above="0"))
        state = await go_on(one, ASK, is_async)
        assert [message.text for message in tool_messages(state)] == ["It is an ox."]

    def test_submitted_jobs_count(self, client: OxenClient, oxen_sandbox: Sandbox) -> None:
        tools = OxenToolkit(models=["flux-2-dev"], client=client).get_tools()
        submit = [
            (f"call_{n}", "oxen_submit", {"model": "flux-2-dev", "prompt": f"ox {n}"})
            for n in range(3)
        ]
        turns = [[one] for one in submit] + ["done"]
        state = agent(turns, tools, OxenBudgetMiddleware("0.03")).invoke(ASK, thread())
        assert [m.status for m in tool_messages(state)] == ["success", "success", "error"]
        assert len(oxen_sandbox.jobs) == 2

    def test_needs_one_limit(self) -> None:
        for wrong in ({}, {"limit": "1", "budget": Budget("1")}, {"limit": "1", "per": "week"}):
            with pytest.raises(ConfigurationError):
                OxenBudgetMiddleware(**wrong)  # type: ignore[arg-type]

    def test_what_a_run_returns_does_not_name_its_budget(self) -> None:
        middleware = OxenBudgetMiddleware("1")
        one = agent(["done"], [], middleware)
        state = one.invoke(ASK, thread())
        for given in (state, one.get_state(thread())):
            with pytest.raises(ConfigurationError, match=r"Pass agent.get_state\(config\).values"):
                middleware.budget_of(given)  # type: ignore[arg-type]  # as a newcomer may
        assert middleware.budget_of(one.get_state(thread()).values).limit == 1

    async def test_async(self, oxen_sandbox: Sandbox) -> None:
        draw = await OxenMediaTool.afor_model(
            "flux-2-dev", api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url, name="draw"
        )
        one = agent([[DRAW], "never said"], [draw], OxenBudgetMiddleware("0.013"))
        state = await one.ainvoke(ASK, thread())
        assert state["messages"][-1].text.startswith("The budget of $0.013 is used up")

    def test_a_price_cap_admits_a_model_without_a_price(self, client: OxenClient) -> None:
        sharpen = OxenMediaTool.for_model("topazlabs-bloom-2-image", client=client, name="sharpen")
        call = ("call_1", "sharpen", {"input_image": "https://example.com/ox.png"})
        caps = {"topazlabs-bloom-2-image": "0.40"}
        refused = agent([[call], "no"], [sharpen], OxenBudgetMiddleware("0.50")).invoke(
            ASK, thread()
        )
        assert "not known in advance" in tool_messages(refused)[0].text
        middleware = OxenBudgetMiddleware("0.50", price_caps=caps)
        state = agent([[call], "yes"], [sharpen], middleware).invoke(ASK, thread())
        assert tool_messages(state)[0].status == "success"
        with pytest.raises(ConfigurationError, match="its own price caps"):
            OxenBudgetMiddleware(budget=Budget("1"), price_caps=caps)

    @pytest.mark.parametrize(
        ("about", "spent"), [({"cost": "0.1"}, "0.1"), ({"cost_estimate": "0.2"}, "0.2"), ({}, "0")]
    )
    def test_an_answer_counts_by_what_is_known_of_its_cost(
        self, about: dict[str, str], spent: str
    ) -> None:
        studio = Budget("5", name="studio", ledger=Ledger())
        answer = AIMessage("hello", response_metadata={"model_name": "ox-1", **about})
        model = FakeMessagesListChatModel(responses=[answer])
        one = create_agent(model, [], middleware=[OxenBudgetMiddleware(budget=studio)])
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            one.invoke(ASK)
        assert studio.spent == Decimal(spent)
        told = [str(one.message) for one in warned if issubclass(one.category, OxenBudgetWarning)]
        assert told == ([] if about else ["The cost of an answer by ox-1 is not known: the budget does not count it."])  # fmt: skip

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_an_answer_from_the_cache_costs_nothing(
        self, oxen_sandbox: Sandbox, is_async: bool
    ) -> None:
        chat = ChatOxen(
            model="gpt-4o",
            api_key=oxen_sandbox.api_key,
            base_url=oxen_sandbox.base_url,
            cache=InMemoryCache(),
        )
        middleware = OxenBudgetMiddleware("5")
        one = create_agent(chat, [], middleware=[middleware], checkpointer=InMemorySaver())
        spent = []
        for name in ("first", "second"):
            if is_async:
                await one.ainvoke(ASK, thread(name))
            else:
                one.invoke(ASK, thread(name))
            spent.append(middleware.budget_of(one.get_state(thread(name)).values).spent)
        assert spent[0] > 0
        assert spent[1] == 0
        assert len(oxen_sandbox.charges) == 1

    def test_counts_what_chatoxen_costs(self, client: OxenClient, oxen_sandbox: Sandbox) -> None:
        draw = OxenMediaTool.for_model("flux-2-dev", client=client, name="draw")
        chat = ChatOxen(
            model="gpt-4o", api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url
        )
        studio = Budget("5", name="studio", ledger=Ledger())
        client.catalog.list()  # prices known, so that answers know their cost
        one = create_agent(chat, [draw], middleware=[OxenBudgetMiddleware(budget=studio)])
        state = one.invoke({"messages": [("user", "Draw an ox at dawn.")]})
        said = [m for m in state["messages"] if isinstance(m, AIMessage)]
        chat_cost = sum(Decimal(m.response_metadata["cost"]) for m in said)
        assert chat_cost > 0
        assert studio.spent == chat_cost + Decimal("0.013")


class TestAsking:
    def paused(self, draw: OxenMediaTool, **options: Any) -> tuple[Any, Any]:
        middleware = OxenBudgetMiddleware("1", ask_above=options.pop("above", "0.01"))
        one = agent([options.pop("calls", [DRAW]), "done"], [draw], middleware)
        state = one.invoke(ASK, thread())
        return one, state.get("__interrupt__")

    def test_the_price_is_in_the_question(self, draw: OxenMediaTool, oxen_sandbox: Sandbox) -> None:
        _, (question,) = self.paused(draw)
        assert "costs up to $0.013. Go ahead?" in question.value["description"]
        assert question.value["price"] == {"low": "0.013", "high": "0.013", "currency": "USD"}
        (action,) = question.value["action_requests"]
        assert {name: action[name] for name in ("name", "args", "tool_call_id")} == {
            "name": "draw",
            "args": DRAW[2],
            "tool_call_id": "call_1",
        }
        (review,) = question.value["review_configs"]
        assert review["action_name"] == "draw"
        assert review["allowed_decisions"] == ["approve", "edit", "reject"]
        assert oxen_sandbox.jobs == []

    @pytest.mark.parametrize(
        "yes", [{"type": "approve"}, {"decisions": [{"type": "approve"}]}, True, "yes"], ids=str
    )
    def test_yes(self, draw: OxenMediaTool, oxen_sandbox: Sandbox, yes: Any) -> None:
        one, _ = self.paused(draw)
        state = one.invoke(Command(resume=yes), thread())
        assert tool_messages(state)[0].status == "success"
        assert len(oxen_sandbox.jobs) == 1

    @pytest.mark.parametrize("no", [{"type": "reject", "message": "too dear"}, False], ids=str)
    def test_no(self, draw: OxenMediaTool, oxen_sandbox: Sandbox, no: Any) -> None:
        one, _ = self.paused(draw)
        state = one.invoke(Command(resume=no), thread())
        (message,) = tool_messages(state)
        assert message.status == "error"
        assert "A person said no" in message.text
        assert ("too dear" in message.text) == isinstance(no, dict)
        assert oxen_sandbox.jobs == []

    def test_edit(self, draw: OxenMediaTool, oxen_sandbox: Sandbox) -> None:
        one, _ = self.paused(draw)
        action = {"name": "draw", "args": {"prompt": "a cow"}}
        state = one.invoke(Command(resume={"type": "edit", "edited_action": action}), thread())
        (message,) = tool_messages(state)
        assert "a person changed this call" in message.text
        assert [job.params["prompt"] for job in oxen_sandbox.jobs] == ["a cow"]

    def test_an_edit_cannot_turn_the_call_into_another(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox
    ) -> None:
        one, _ = self.paused(draw)
        action = {"name": "sketch", "args": {"prompt": "a cow"}}
        state = one.invoke(Command(resume={"type": "edit", "edited_action": action}), thread())
        (question,) = state["__interrupt__"]
        assert "cannot turn the call into one of sketch" in question.value["description"]
        assert oxen_sandbox.jobs == []
        state = one.invoke(Command(resume={"type": "reject", "message": "sketch it"}), thread())
        assert "The reason: sketch it. Do not repeat it" in tool_messages(state)[0].text

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_nobody_is_asked_about_what_cannot_be_paid(
        self, client: OxenClient, oxen_sandbox: Sandbox, is_async: bool
    ) -> None:
        for options, limit in (({}, "0.012"), ({"max_cost": "0.012"}, "1")):
            draw = OxenMediaTool.for_model("flux-2-dev", client=client, name="draw", **options)
            middleware = OxenBudgetMiddleware(limit, ask_above="0.01")
            one = agent([[DRAW], "done"], [draw], middleware)
            state = await go_on(one, ASK, is_async)
            (message,) = tool_messages(state)
            assert "__interrupt__" not in state
            assert (message.status, "Nothing was sent" in message.text) == ("error", True)
        assert oxen_sandbox.jobs == []

    def test_without_a_checkpointer_there_is_nothing_to_resume(self, draw: OxenMediaTool) -> None:
        middleware = OxenBudgetMiddleware("1", ask_above="0.01")
        one = create_agent(ScriptedChat(turns=[[DRAW], "done"]), [draw], middleware=[middleware])
        with pytest.raises(ConfigurationError, match="checkpointer"):
            one.invoke(ASK)

    @pytest.mark.parametrize("unclear", ["perhaps", {"type": "edit"}], ids=str)
    def test_an_answer_that_cannot_be_read_is_asked_for_again(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox, unclear: Any
    ) -> None:
        one, _ = self.paused(draw)
        state = one.invoke(Command(resume=unclear), thread())
        assert "must be approve, reject or edit" in state["__interrupt__"][0].value["problem"]
        state = one.invoke(Command(resume="approve"), thread())
        assert tool_messages(state)[0].status == "success"
        assert len(oxen_sandbox.jobs) == 1

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_all_calls_of_a_turn_are_one_question(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox, is_async: bool
    ) -> None:
        calls = [DRAW, ("call_2", "draw", {"prompt": "a cow"})]
        one = agent([calls, "done"], [draw], OxenBudgetMiddleware("1", ask_above="0.01"))
        (question,) = (await go_on(one, ASK, is_async))["__interrupt__"]
        prices = [action["price"]["high"] for action in question.value["action_requests"]]
        assert prices == ["0.013", "0.013"]
        assert question.value["price"]["high"] == "0.026"
        assert question.value["description"].startswith("2 calls, together up to $0.026.")
        decisions = [{"type": "reject", "message": "no ox"}, {"type": "approve"}]
        state = await go_on(one, Command(resume={"decisions": decisions}), is_async)
        assert [m.status for m in tool_messages(state)] == ["error", "success"]
        assert "no ox" in tool_messages(state)[0].text
        assert [job.params["prompt"] for job in oxen_sandbox.jobs] == ["a cow"]

    def test_the_sum_of_a_turn_is_what_is_asked_about(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox
    ) -> None:
        calls = [(f"call_{n}", "draw", {"prompt": f"ox {n}"}) for n in range(3)]
        one, (question,) = self.paused(draw, calls=calls, above="0.03")
        assert question.value["price"]["high"] == "0.039"
        assert oxen_sandbox.jobs == []
        one.invoke(Command(resume=True), thread())
        assert len(oxen_sandbox.jobs) == 3

    def test_the_question_says_where_the_budget_is_not_enough_for_all(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox
    ) -> None:
        calls = [(f"call_{n}", "draw", {"prompt": f"ox {n}"}) for n in range(3)]
        one = agent([calls, "done"], [draw], OxenBudgetMiddleware("0.03", ask_above="0.01"))
        (question,) = one.invoke(ASK, thread())["__interrupt__"]
        assert "has $0.03 left, which is not enough" in question.value["description"]
        state = one.invoke(Command(resume=True), thread())
        statuses = sorted(message.status for message in tool_messages(state))
        assert statuses == ["error", "success", "success"]
        assert len(oxen_sandbox.jobs) == 2

    def test_too_few_decisions_are_asked_for_again(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox
    ) -> None:
        calls = [DRAW, ("call_2", "draw", {"prompt": "a cow"})]
        one, _ = self.paused(draw, calls=calls)
        state = one.invoke(Command(resume={"type": "approve"}), thread())
        (question,) = state["__interrupt__"]
        assert question.value["problem"] == "There are 2 calls, and 1 decisions."
        assert oxen_sandbox.jobs == []

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_an_approval_is_for_the_price_that_was_shown(
        self, client: OxenClient, oxen_sandbox: Sandbox, is_async: bool
    ) -> None:
        def paint() -> OxenMediaTool:
            clear_cache()
            client.catalog.clear()
            return OxenMediaTool.for_model("flux-2-dev", client=client, name="draw")

        saver = InMemorySaver()

        def one() -> Any:
            middleware = OxenBudgetMiddleware("20", ask_above="0.01")
            chat = ScriptedChat(turns=[[DRAW], "done"])
            return create_agent(chat, [paint()], middleware=[middleware], checkpointer=saver)

        await go_on(one(), ASK, is_async)
        oxen_sandbox.models["flux-2-dev"]["pricing"]["cost_per_image"] = "5.00"
        state = await go_on(one(), Command(resume=True), is_async)
        (question,) = state["__interrupt__"]
        assert question.value["price"]["high"] == "5.00"
        assert oxen_sandbox.jobs == []
        state = await go_on(one(), Command(resume=True), is_async)
        assert tool_messages(state)[0].status == "success"
        assert len(oxen_sandbox.jobs) == 1

    def test_an_edit_that_makes_a_call_dearer_is_asked_about_again(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox
    ) -> None:
        one, _ = self.paused(draw)
        action = {"name": "draw", "args": {"prompt": "an ox", "num_generations": 3}}
        edit = Command(resume={"type": "edit", "edited_action": action})
        (question,) = one.invoke(edit, thread())["__interrupt__"]
        assert question.value["price"]["high"] == "0.039"
        assert oxen_sandbox.jobs == []
        state = one.invoke(Command(resume=True), thread())
        assert "a person changed this call" in tool_messages(state)[0].text
        assert len(oxen_sandbox.jobs) == 3

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_a_rejection_of_what_is_paid_for_says_so(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox, is_async: bool
    ) -> None:
        one = agent([[DRAW], "done"], [draw], OxenBudgetMiddleware("1", ask_above="0.01"))
        await go_on(one, ASK, is_async)
        asked = one.get_state(thread())
        await go_on(one, Command(resume=True), is_async)
        assert len(oxen_sandbox.jobs) == 1
        # From the checkpoint before the question, as a second try of the same turn.
        if is_async:
            state = await one.ainvoke(None, asked.config)
        else:
            state = one.invoke(None, asked.config)
        assert "__interrupt__" in state
        state = await go_on(one, Command(resume={"type": "reject"}), is_async)
        assert "had been paid for already" in tool_messages(state)[-1].text
        assert len(oxen_sandbox.jobs) == 1

    def test_what_is_cheap_or_impossible_is_not_asked_about(self, draw: OxenMediaTool) -> None:
        _, question = self.paused(draw, above="0.02")
        assert question is None
        impossible = [("call_9", "draw", {"prompt": "an ox", "guidance": 99})]
        _, question = self.paused(draw, calls=impossible)
        assert question is None

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_nobody_is_asked_about_what_is_paid_for(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox, is_async: bool
    ) -> None:
        oxen_sandbox.settings.image_seconds = 1
        draw.timeout = 0.7
        turns = [[DRAW], [("call_2", "draw", DRAW[2])], [("call_3", "draw", DRAW[2])], "done"]
        one = agent(turns, [draw], OxenBudgetMiddleware("1", ask_above="0.01"))
        for step in (ASK, Command(resume=True)):
            state = await go_on(one, step, is_async)
        # The first was agreed to and timed out, the second joined it; the third is a new wish.
        assert [m.status for m in tool_messages(state)] == ["error", "success"]
        (action,) = state["__interrupt__"][0].value["action_requests"]
        assert action["tool_call_id"] == "call_3"
        assert len(oxen_sandbox.jobs) == 1

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_a_person_is_asked_where_it_cannot_be_told_whether_it_is_paid_for(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox, is_async: bool
    ) -> None:
        unknown = ("call_1", "draw", {"prompt": "an ox", "input_image": ["no-such-job"]})
        one = agent([[unknown], "done"], [draw], OxenBudgetMiddleware("1", ask_above="0.01"))
        state = await go_on(one, ASK, is_async)
        assert "no-such-job" in state["__interrupt__"][0].value["description"]
        state = await go_on(one, Command(resume=True), is_async)
        assert tool_messages(state)[0].status == "error"
        assert oxen_sandbox.jobs == []

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_a_person_is_asked_about_a_job_to_be_submitted(
        self, client: OxenClient, oxen_sandbox: Sandbox, is_async: bool
    ) -> None:
        tools = OxenToolkit(models=["flux-2-dev"], client=client).get_tools()
        order = {"model": "flux-2-dev", "prompt": "an ox"}
        turns = [[("call_1", "oxen_submit", order)], "done"]
        one = agent(turns, tools, OxenBudgetMiddleware("1", ask_above="0.01"))
        state = await go_on(one, ASK, is_async)
        (question,) = state["__interrupt__"]
        assert question.value["price"]["high"] == "0.013"
        assert oxen_sandbox.jobs == []
        state = await go_on(one, Command(resume=True), is_async)
        assert tool_messages(state)[0].status == "success"
        assert len(oxen_sandbox.jobs) == 1

    @pytest.mark.parametrize("model", ["unknown price", "unknown model"])
    def test_a_person_is_asked_where_the_price_is_unknown(
        self, client: OxenClient, oxen_sandbox: Sandbox, model: str
    ) -> None:
        if model == "unknown price":
            tools: list[Any] = [
                OxenMediaTool.for_model(
                    "wan-ai-wan2-1-t2v-1-3b-diffusers", client=client, name="draw",
                    allow_unknown_cost=True,
                )
            ]  # fmt: skip
            call = DRAW
        else:
            tools = OxenToolkit(client=client).get_tools()
            call = ("call_1", "oxen_submit", {"model": "flux-2-dev", "prompt": "an ox"})
        one = agent([[call], "done"], tools, OxenBudgetMiddleware("1", ask_above="0.01"))
        (question,) = one.invoke(ASK, thread())["__interrupt__"]
        assert question.value["price"] == {"low": None, "high": None, "currency": "USD"}
        assert oxen_sandbox.jobs == []

    @pytest.mark.parametrize(
        ("agrees", "status", "made"), [(True, "success", 1), (False, "error", 0)]
    )
    async def test_async(self, oxen_sandbox: Sandbox, agrees: bool, status: str, made: int) -> None:
        draw = await OxenMediaTool.afor_model(
            "flux-2-dev", api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url, name="draw"
        )
        middleware = OxenBudgetMiddleware("1", ask_above="0.01")
        one = agent([[DRAW], "done"], [draw], middleware)
        state = await one.ainvoke(ASK, thread())
        assert "$0.013" in state["__interrupt__"][0].value["description"]
        state = await one.ainvoke(Command(resume=agrees), thread())
        assert tool_messages(state)[0].status == status
        assert len(oxen_sandbox.jobs) == made
