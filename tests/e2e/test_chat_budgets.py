"""`ChatOxen(budget=…)` and `Oxen(budget=…)`: counted, stopped, and counted once."""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps, loads
from langchain_core.output_parsers import StrOutputParser
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from langchain_oxen import ChatOxen, OxenBudgetMiddleware
from langchain_oxen import errors as langchain_errors
from llama_index_oxen import Oxen
from oxen_inference import Budget, Ledger
from oxen_inference.chat import budgeted
from oxen_inference.chat.budgeted import USUAL_ANSWER
from oxen_inference.errors import (
    APIConnectionError,
    BudgetExceededError,
    ConfigurationError,
    InvalidInputError,
    LedgerError,
    ModelNotFoundError,
    RateLimitError,
)
from oxen_inference.ledger import budgets
from oxen_inference.money import BudgetWarning
from oxen_sandbox import Fault, Sandbox
from tests.support.databases import sql
from tests.support.routed_hub import Response, RoutedHub, Sent, chat, listed
from tests.support.scripted_server import SSE_HEAD, Hold, ScriptedServer, http, sse

MODEL = "gpt-4o"
PROMPT = "Describe an ox."


class Ox(BaseModel):
    """An ox."""

    name: str


@pytest.fixture
def hub(oxen_sandbox_env: Sandbox) -> Iterator[Sandbox]:
    pricing = {"input_cost_per_token": "0.0001", "output_cost_per_token": "0.001"}
    oxen_sandbox_env.models[MODEL]["pricing"] = {"method": "token", **pricing}
    return oxen_sandbox_env


def spent_at(hub: Sandbox) -> Decimal:
    return sum((c.cost for c in hub.charges if c.cost is not None), Decimal(0))


LANGCHAIN: dict[str, Any] = {
    "invoke": lambda model: model.invoke(PROMPT),
    "ainvoke": lambda model: asyncio.run(model.ainvoke(PROMPT)),
    "stream": lambda model: list(model.stream(PROMPT)),
    "astream": lambda model: asyncio.run(collect(model.astream(PROMPT))),
    "chain": lambda model: (model | StrOutputParser()).invoke(PROMPT),
    "structured": lambda model: model.with_structured_output(Ox).invoke('An ox called "Bo".'),
    "fallback": lambda model: ChatOxen(model="no-such-model").with_fallbacks([model]).invoke("hi"),
}
LLAMA_INDEX: dict[str, Any] = {
    "chat": lambda llm: llm.chat([ChatMessage(PROMPT)]),
    "achat": lambda llm: asyncio.run(llm.achat([ChatMessage(PROMPT)])),
    "stream_complete": lambda llm: list(llm.stream_complete(PROMPT)),
    "astream_chat": lambda llm: asyncio.run(collect_later(llm.astream_chat([ChatMessage(PROMPT)]))),
    "structured": lambda llm: llm.structured_predict(Ox, PromptTemplate('An ox called "Bo".')),
}


async def collect(items: Any) -> list[Any]:
    return [item async for item in items]


async def collect_later(items: Any) -> list[Any]:
    return [item async for item in await items]


@pytest.mark.parametrize("call", LANGCHAIN.values(), ids=list(LANGCHAIN))
def test_what_langchain_asks_for_is_counted_and_stopped(hub: Sandbox, call: Any) -> None:
    budget = Budget("20")
    call(ChatOxen(model=MODEL, budget=budget))
    assert budget.spent == spent_at(hub) > 0
    assert budget.reserved == 0
    made = len(hub.charges)
    # A chain of fallbacks raises the error of the first one.
    with pytest.raises((langchain_errors.BudgetExceededError, ModelNotFoundError)):
        call(ChatOxen(model=MODEL, budget="0.0001"))
    assert len(hub.charges) == made


@pytest.mark.parametrize("call", LLAMA_INDEX.values(), ids=list(LLAMA_INDEX))
def test_what_llama_index_asks_for_is_counted_and_stopped(hub: Sandbox, call: Any) -> None:
    budget = Budget("20")
    call(Oxen(MODEL, budget=budget))
    assert budget.spent == spent_at(hub) > 0
    assert budget.reserved == 0
    with pytest.raises(BudgetExceededError, match="Nothing was sent"):
        call(Oxen(MODEL, budget="0.0001"))


def test_a_batch_keeps_within_the_budget(hub: Sandbox) -> None:
    budget = Budget("0.5")
    model = ChatOxen(model=MODEL, budget=budget, max_tokens=100)
    results = model.batch([PROMPT] * 20, return_exceptions=True)
    refused = [r for r in results if isinstance(r, BudgetExceededError)]
    assert refused
    assert len(refused) < 20
    assert spent_at(hub) == budget.spent <= budget.limit
    assert budget.reserved == 0


def test_an_answer_without_max_tokens_reserves_an_estimate(hub: Sandbox) -> None:
    reserve = USUAL_ANSWER * Decimal("0.001")
    with pytest.raises(BudgetExceededError):
        ChatOxen(model=MODEL, budget=Budget(reserve)).invoke(PROMPT)
    with pytest.raises(BudgetExceededError) as caught:
        asyncio.run(Oxen(MODEL, budget=Budget(reserve)).acomplete(PROMPT))
    assert caught.value.hint == (
        "Without max_tokens, 2,000 tokens are reserved for an answer, beside its prompt: set "
        "max_tokens, or raise the limit."
    )
    with pytest.raises(BudgetExceededError, match=r"9,000 tokens are reserved .*lower max_tokens"):
        ChatOxen(model=MODEL, budget="1", max_tokens=9000).invoke(PROMPT)
    ChatOxen(model=MODEL, budget=Budget(reserve + 1)).invoke(PROMPT)
    ChatOxen(model=MODEL, budget=Budget("0.1"), max_tokens=50).invoke(PROMPT)


def test_the_larger_of_two_limits_is_reserved(hub: Sandbox) -> None:
    larger = {"max_completion_tokens": 9000}
    calls: list[Callable[[], Any]] = [
        lambda: ChatOxen(model=MODEL, budget="1", max_tokens=5, extra_body=larger).invoke("hi"),
        lambda: ChatOxen(model=MODEL, budget="1", max_tokens=5, model_kwargs=larger).invoke("hi"),
        lambda: ChatOxen(model=MODEL, budget="1", max_tokens=5).invoke("hi", **larger),
        lambda: list(ChatOxen(model=MODEL, budget="1", max_tokens=5).stream("hi", **larger)),
        lambda: Oxen(MODEL, budget="1", max_tokens=5).complete("hi", **larger),
        lambda: Oxen(MODEL, budget="1", max_tokens=5, additional_kwargs=larger).complete("hi"),
        lambda: Oxen(MODEL, budget="1", max_tokens=5).complete("hi", extra_body=larger),
        lambda: asyncio.run(
            Oxen(MODEL, budget="1").acomplete(
                "hi", max_tokens=5, extra_body={"max_completion_tokens": 9000.0}
            )
        ),
    ]
    for call in calls:
        with pytest.raises(BudgetExceededError, match=r"9,000 tokens are reserved"):
            call()
    assert not hub.charges


LIMITS: list[dict[str, Any]] = [{"budget": "1"}, {"max_cost": 1}, {"max_retries": 0}]
LIMITED_CALLS: list[Callable[..., Any]] = [
    lambda **limit: ChatOxen(model=MODEL).invoke("hi", **limit),
    lambda **limit: asyncio.run(collect(ChatOxen(model=MODEL).bind(**limit).astream("hi"))),
    lambda **limit: ChatOxen(model=MODEL).with_structured_output(Ox, **limit).invoke("hi"),
    lambda **limit: ChatOxen(model=MODEL, model_kwargs=limit),
    lambda **limit: Oxen(MODEL).complete("hi", **limit),
    lambda **limit: asyncio.run(Oxen(MODEL).achat([ChatMessage("hi")], **limit)),
    lambda **limit: list(Oxen(MODEL).stream_chat([ChatMessage("hi")], **limit)),
    lambda **limit: Oxen(MODEL).structured_predict(Ox, PromptTemplate("hi"), limit),
    lambda **limit: Oxen(MODEL, additional_kwargs=limit),
]


def test_a_limit_that_a_request_cannot_have_is_refused(hub: Sandbox) -> None:
    for limit in LIMITS:
        for call in LIMITED_CALLS:
            with pytest.raises(ValueError, match="is no parameter of a call: pass it where"):
                call(**limit)
    with pytest.raises(langchain_errors.InvalidInputError, match=r"ChatOxen\(budget=\.\.\.\)"):
        ChatOxen(model=MODEL).invoke("hi", max_cost="1")
    with pytest.raises(InvalidInputError, match=r"Oxen\(max_retries=\.\.\.\)"):
        Oxen(MODEL).complete("hi", max_retries=0)
    with pytest.raises(ValueError, match=r"max_cost .*ChatOxen\(budget=\.\.\.\)"):
        ChatOxen(model=MODEL, max_cost="1")
    ChatOxen(model=MODEL).invoke("hi", budget=None)
    assert len(hub.charges) == 1


def test_nothing_is_counted_twice_beside_the_middleware(hub: Sandbox) -> None:
    budget = Budget("20")
    model = ChatOxen(model=MODEL, budget=budget)
    agent = create_agent(model, [], middleware=[OxenBudgetMiddleware(budget=budget)])
    agent.invoke({"messages": [("user", PROMPT)]})
    assert budget.spent == spent_at(hub) > 0
    other = Budget("20")
    agent = create_agent(model, [], middleware=[OxenBudgetMiddleware(budget=other)])
    agent.invoke({"messages": [("user", PROMPT)]})
    assert budget.spent == spent_at(hub)
    assert other.spent == spent_at(hub) / 2


def test_the_middleware_takes_the_amount_of_a_budget(hub: Sandbox) -> None:
    middleware = OxenBudgetMiddleware(budget="0.000001")
    agent = create_agent(ChatOxen(model=MODEL), [], middleware=[middleware])
    for _ in range(2):  # the first answer uses it up
        agent.invoke({"messages": [("user", PROMPT)]})
    assert len(hub.charges) == 1
    with pytest.raises(ConfigurationError, match="amount in USD"):
        OxenBudgetMiddleware(budget="a lot")


def test_an_answer_from_the_cache_is_free(hub: Sandbox) -> None:
    budget = Budget("20")
    model = ChatOxen(model=MODEL, budget=budget, cache=InMemoryCache())
    for _ in range(2):
        model.invoke(PROMPT)
    assert budget.spent == spent_at(hub) > 0
    assert len(hub.charges) == 1


def test_a_refused_call_costs_nothing(hub: Sandbox) -> None:
    hub.inject(Fault("respond", path="*/chat/completions", status=429, times=None))
    budget = Budget("20")
    with pytest.raises(RateLimitError):
        ChatOxen(model=MODEL, budget=budget, max_retries=0).invoke(PROMPT)
    assert (budget.spent, budget.reserved) == (0, 0)


def test_a_call_that_was_never_sent_costs_nothing(hub: Sandbox) -> None:
    budget = Budget("20")
    ChatOxen(model=MODEL).invoke(PROMPT)  # so that the price is known
    with pytest.raises(InvalidInputError, match="is not JSON"):
        ChatOxen(model=MODEL, budget=budget, extra_body={"seed": object()}).invoke(PROMPT)
    assert (budget.spent, budget.reserved) == (0, 0)


@pytest.mark.parametrize("call", [LLAMA_INDEX["chat"], LLAMA_INDEX["achat"]])
def test_a_failure_to_connect_costs_nothing(call: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/api/ai"
    with pytest.raises(APIConnectionError) as caught:
        call(Oxen(MODEL, api_key="k", api_base=url, max_retries=0))
    assert budgeted._cost_nothing(caught.value)


@pytest.mark.parametrize("call", [*LANGCHAIN.values()][:4], ids=[*LANGCHAIN][:4])
def test_a_call_whose_connection_broke_is_charged_for_its_prompt(hub: Sandbox, call: Any) -> None:
    hub.inject(Fault("reset", path="*/chat/completions", times=None, when="after"))
    budget = Budget("20")
    with pytest.raises(APIConnectionError):
        call(ChatOxen(model=MODEL, budget=budget, max_retries=1))
    assert 0 < budget.spent < Decimal("0.01")
    assert budget.reserved == 0


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stream_that_is_left_is_charged_for_what_was_read(hub: Sandbox, is_async: bool) -> None:
    budget = Budget("20")
    model = ChatOxen(model=MODEL, budget=budget)

    def read() -> None:
        for chunk in (stream := model.stream(PROMPT)):
            if chunk.text:
                break
        stream.close()

    async def aread() -> None:
        async for chunk in (stream := model.astream(PROMPT)):
            if chunk.text:
                break
        await stream.aclose()

    if is_async:
        asyncio.run(aread())
    else:
        read()
    assert 0 < budget.spent < Decimal("0.1")
    assert budget.reserved == 0


def test_a_stream_that_breaks_off_is_charged_for_what_came(hub: Sandbox) -> None:
    hub.inject(Fault("cut_stream", path="*/chat/completions", after_chunks=4))
    budget = Budget("20")
    with pytest.raises(Exception, match="cut off"):
        list(ChatOxen(model=MODEL, budget=budget).stream(PROMPT))
    assert 0 < budget.spent < Decimal("0.1")
    assert budget.reserved == 0


@pytest.mark.parametrize("make", [lambda b: ChatOxen(model=MODEL, budget=b), lambda b: Oxen(MODEL, budget=b)])  # fmt: skip
def test_a_price_that_is_not_known_is_told(hub: Sandbox, make: Any) -> None:
    del hub.models[MODEL]["pricing"]
    budget = Budget("0.01")
    model = make(budget)
    call = model.invoke if isinstance(model, ChatOxen) else model.complete
    from oxen_inference.chat import answer_cost

    answer_cost._warned.clear()
    with pytest.warns(BudgetWarning, match="gpt-4o is not known"):
        call(PROMPT)
    assert budget.spent == 0
    budget.record("0.01")
    with pytest.raises(BudgetExceededError, match=r"Nothing is left.*Raise its limit"):
        call(PROMPT)


def test_one_budget_for_models_in_two_frameworks_and_processes(
    hub: Sandbox, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    budget = Budget("20", name="studio", ledger=ledger)
    pickle.loads(pickle.dumps(ChatOxen(model=MODEL, budget=budget))).invoke(PROMPT)
    Oxen(MODEL, budget=budget).complete(PROMPT)
    assert budget.spent == spent_at(hub)
    with pytest.raises(TypeError, match="without a name"):
        pickle.dumps(ChatOxen(model=MODEL, budget="1"))


def test_what_a_dead_process_held_is_freed_where_it_is_needed(hub: Sandbox, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    budget = Budget("1", name="studio", ledger=ledger)
    budget.hold(ledger, Decimal("0.95"))
    assert budget.reserved == Decimal("0.95")
    model = ChatOxen(model=MODEL, budget=budget, max_tokens=100)
    with pytest.raises(BudgetExceededError):
        model.invoke(PROMPT)
    sql(ledger, "UPDATE oxen_holds SET lease_id = 'of a process that is gone'")
    model.invoke(PROMPT)
    assert budget.reserved == 0
    assert budget.spent == spent_at(hub)


@pytest.fixture
def broken_ledger(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Say whether what a call cost cannot be written."""
    settle, record = budgets.Hold.settle, Budget.record
    is_broken = threading.Event()

    def write(original: Any) -> Any:
        def wrapped(*arguments: Any) -> None:
            if is_broken.is_set():
                raise LedgerError("The ledger cannot be used: disk full")
            original(*arguments)

        return wrapped

    monkeypatch.setattr(budgets.Hold, "settle", write(settle))
    monkeypatch.setattr(Budget, "record", write(record))
    return lambda broken: is_broken.set() if broken else is_broken.clear()


@pytest.mark.parametrize(
    ("make", "call"),
    [(ChatOxen, LANGCHAIN[name]) for name in ("invoke", "ainvoke", "stream", "astream")]
    + [(Oxen, LLAMA_INDEX["astream_chat"])],
)
def test_an_answer_is_not_lost_where_its_cost_cannot_be_written(
    hub: Sandbox, broken_ledger: Any, caplog: Any, make: Any, call: Any
) -> None:
    budget = Budget("20")
    model = make(model=MODEL, budget=budget)
    broken_ledger(True)
    assert call(model)
    assert "could not take the cost of an answer" in caplog.text
    assert budget.spent == 0 < budget.reserved
    with pytest.raises(LedgerError, match="disk full"):
        call(model)
    assert len(hub.charges) == 1
    broken_ledger(False)
    call(model)
    assert budget.spent == spent_at(hub)
    assert budget.reserved == 0


def test_an_error_is_told_where_its_cost_cannot_be_written(
    hub: Sandbox, broken_ledger: Any
) -> None:
    hub.inject(Fault("respond", path="*/chat/completions", status=429))
    budget = Budget("20")
    model = ChatOxen(model=MODEL, budget=budget, max_retries=0)
    broken_ledger(True)
    with pytest.raises(RateLimitError):
        asyncio.run(model.ainvoke(PROMPT))
    broken_ledger(False)
    model.invoke(PROMPT)
    assert (budget.spent, budget.reserved) == (spent_at(hub), 0)


def test_an_agent_goes_on_where_the_cost_of_an_answer_cannot_be_written(
    hub: Sandbox, broken_ledger: Any
) -> None:
    budget = Budget("20")
    agent = create_agent(
        ChatOxen(model=MODEL), [], middleware=[OxenBudgetMiddleware(budget=budget)]
    )
    broken_ledger(True)
    assert agent.invoke({"messages": [("user", PROMPT)]})["messages"][-1].text
    assert budget.spent == 0
    broken_ledger(False)
    agent.invoke({"messages": [("user", PROMPT)]})
    assert budget.spent == spent_at(hub) > 0


@pytest.mark.parametrize("make", [ChatOxen, Oxen])
def test_a_call_canceled_while_it_reserves_holds_nothing(
    hub: Sandbox, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    budget, hold = Budget("20"), Budget.hold
    is_held, may_go_on = threading.Event(), threading.Event()

    def slow_hold(*arguments: Any) -> Any:
        held = hold(*arguments)
        is_held.set()
        may_go_on.wait(60)
        return held

    monkeypatch.setattr(Budget, "hold", slow_hold)

    async def cancel() -> None:
        model = make(model=MODEL, budget=budget)
        ask = model.ainvoke if make is ChatOxen else model.acomplete
        asking = asyncio.create_task(ask(PROMPT))
        await asyncio.to_thread(is_held.wait, 60)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert budget.reserved > 0
        may_go_on.set()

    asyncio.run(cancel())
    assert (budget.spent, budget.reserved) == (0, 0)
    assert not hub.charges


def test_no_ledger_is_written_on_the_event_loop(
    hub: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget("20")
    settle, threads = budgets.Hold.settle, []

    def watched(*arguments: Any) -> None:
        threads.append(threading.current_thread())
        settle(*arguments)

    monkeypatch.setattr(budgets.Hold, "settle", watched)
    model = ChatOxen(model=MODEL, budget=budget, max_retries=0)

    async def ask() -> None:
        await model.ainvoke(PROMPT)
        async for _ in (stream := model.astream(PROMPT)):
            break
        await stream.aclose()
        hub.inject(Fault("respond", path="*/chat/completions", status=429, times=2))
        with pytest.raises(RateLimitError):
            await model.ainvoke(PROMPT)
        with pytest.raises(RateLimitError):
            await collect(model.astream(PROMPT))

    asyncio.run(ask())
    assert len(threads) == 4
    assert threading.main_thread() not in threads
    assert budget.reserved == 0


def test_an_unusable_budget_is_refused_at_once() -> None:
    for make in (lambda: ChatOxen(model=MODEL, api_key="k", budget="a lot"), lambda: Oxen(MODEL, api_key="k", budget=-1)):  # fmt: skip
        with pytest.raises(ConfigurationError, match="budget must be a Budget, or an amount"):
            make()


def test_a_saved_model_cannot_be_loaded_without_its_budget(hub: Sandbox) -> None:
    options: dict[str, Any] = {
        "allowed_objects": [ChatOxen],
        "valid_namespaces": ["langchain_oxen"],
        "secrets_from_env": True,
    }
    model, llm = ChatOxen(model=MODEL, budget="20"), Oxen(MODEL, budget="20")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        saved_model, saved_binding, saved = (
            dumps(model),
            dumps(model.bind(stop=["x"])),
            llm.to_dict(),
        )
        model.invoke("hi", config={"callbacks": [BaseCallbackHandler()]})
        llm.complete("hi")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `loads` is in beta
        for text in (saved_model, saved_binding):
            with pytest.raises(NotImplementedError, match=r"Budget\('20'\)"):
                loads(text, **options)
        assert loads(dumps(ChatOxen(model=MODEL)), **options).model == MODEL
    for load in (lambda: Oxen.from_dict(saved), lambda: Oxen.from_json(llm.to_json())):
        with pytest.raises(ConfigurationError, match="saved model holds no budget: pass it again"):
            load()
    assert Oxen.from_dict(saved, budget=llm.budget).budget is llm.budget
    assert Oxen.from_dict(Oxen(MODEL).to_dict()).model == MODEL


PRICED = {
    "id": "ox-1",
    "endpoint": "/chat/completions",
    "capabilities": {"input": ["text"], "output": ["text"]},
    "pricing": {"method": "token", "input_cost_per_token": 0.0001, "output_cost_per_token": 0.01},
}
ARGUMENTS = '{"text": "' + "x" * 8988 + '"}'
CALL = {"id": "c", "type": "function", "function": {"name": "write", "arguments": ARGUMENTS}}
EVERY_WAY = (
    [(ChatOxen, LANGCHAIN[name]) for name in ("invoke", "ainvoke", "stream", "astream")]
    + [(Oxen, LLAMA_INDEX[name]) for name in ("chat", "achat", "astream_chat")]
)  # fmt: skip
every_way = pytest.mark.parametrize(("make", "call"), EVERY_WAY)


@pytest.fixture
def routed(monkeypatch: pytest.MonkeyPatch) -> Iterator[RoutedHub]:
    with RoutedHub({"GET /models": listed(PRICED)}) as hub:
        monkeypatch.setenv("OXEN_BASE_URL", hub.url)
        monkeypatch.setenv("OXEN_API_KEY", "test-key-123")
        yield hub


@every_way
def test_the_arguments_of_a_call_are_charged_where_no_tokens_are_counted(
    routed: RoutedHub, make: Any, call: Any
) -> None:
    routed.routes["POST /chat/completions"] = chat(None, "", tool_calls=[{**CALL, "index": 0}])
    budget = Budget("100")
    call(make(model="ox-1", budget=budget))
    assert budget.spent > Decimal(30)


def test_the_arguments_of_a_call_that_breaks_off_are_charged(routed: RoutedHub) -> None:
    def broken(sent: Sent) -> Response:
        delta = {"role": "assistant", "tool_calls": [{**CALL, "index": 0}]}
        chunk = {"id": "1", "model": "ox-1", "choices": [{"index": 0, "delta": delta}]}
        error = {"error": {"message": "overloaded", "code": 529}}
        lines = [f"data: {json.dumps(one)}\n\n" for one in (chunk, error)]
        return Response("".join(lines), content_type="text/event-stream")

    routed.routes["POST /chat/completions"] = broken
    for call in (LANGCHAIN["invoke"], LANGCHAIN["stream"], LANGCHAIN["astream"]):
        budget = Budget("100")
        with pytest.raises(Exception, match="overloaded"):
            call(ChatOxen(model="ox-1", budget=budget, max_retries=0))
        assert budget.spent > Decimal(30)


COUNTED = {"prompt_tokens": 2595, "completion_tokens": 4400, "total_tokens": 6995}
NO_TEXT = {"role": "assistant", "content": None}
MALFORMED = {"index": 0, "message": NO_TEXT, "finish_reason": "MALFORMED_FUNCTION_CALL"}
ROLE = {"index": 0, "delta": {"role": "assistant", "content": ""}}


def events(*chunks: Any) -> Response:
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return Response("".join(lines), content_type="text/event-stream")


@pytest.mark.parametrize("call", [*LANGCHAIN.values()][:4], ids=[*LANGCHAIN][:4])
@pytest.mark.parametrize(
    ("answer", "spent"),
    [
        (Response({"choices": [MALFORMED], "usage": COUNTED}), "44.2595"),
        (Response({"choices": [MALFORMED], "usage": {**COUNTED, "cost": 45}}), "45"),
        (events({"choices": [ROLE], "usage": COUNTED}), "44.2595"),
        (
            events(
                {"choices": [ROLE], "usage": {**COUNTED, "completion_tokens": 1}},
                {"choices": [{"index": 0, "delta": {}}], "usage": COUNTED},
                {"error": {"message": "overloaded", "code": 529}},
            ),
            "44.2595",
        ),
        (
            Response({"choices": [{"index": 0, "finish_reason": "stop"}], "usage": COUNTED}),
            "44.2595",
        ),
        (
            events(
                {"choices": [], "usage": COUNTED},
                {"error": {"message": "overloaded", "code": 529}},
            ),
            "44.2595",
        ),
        (Response({"error": {"message": "overloaded"}, "usage": COUNTED}), "44.2595"),
    ],
    ids=["malformed", "stated", "cut", "error", "empty", "before an error", "beside an error"],
)
def test_a_failed_answer_is_charged_what_its_usage_says(
    routed: RoutedHub, call: Any, answer: Response, spent: str
) -> None:
    """The tokens of thoughts that are not shown, above all."""
    routed.routes["POST /chat/completions"] = answer
    budget = Budget("100")
    with pytest.raises(langchain_errors.OxenError):
        call(ChatOxen(model="ox-1", budget=budget, max_retries=0))
    assert (budget.spent, budget.reserved) == (Decimal(spent), 0)


@pytest.mark.parametrize("way", ["close", "aclose", "cancel"])
def test_a_stream_that_is_left_is_charged_what_its_usage_says(way: str) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "An ox"}}], "usage": COUNTED}
    budget = Budget("100")

    async def aread(model: ChatOxen) -> None:
        is_read = asyncio.Event()

        async def read() -> None:
            async for _ in (chunks := model.astream(PROMPT)):
                is_read.set()
                if way == "aclose":
                    break
            await chunks.aclose()

        reading = asyncio.create_task(read())
        await is_read.wait()
        if way == "cancel":
            reading.cancel()
        await asyncio.wait([reading])

    models = http(listed(PRICED))
    with ScriptedServer(models, [SSE_HEAD + sse(chunk), Hold()]) as server:
        model = ChatOxen(model="ox-1", budget=budget, api_key="k", base_url=server.url)
        if way == "close":
            chunks = model.stream(PROMPT)
            next(chunks)
            chunks.close()
        else:
            asyncio.run(aread(model))
    assert (budget.spent, budget.reserved) == (Decimal("44.2595"), 0)


def failed(status: int, text: str = "it failed") -> Response:
    return Response({"error": {"message": text}}, status)


GIVEN_UP = {
    **{f"{status}": failed(status) for status in (408, 500, 502, 504, 524)},
    "in a success": Response({"error": {"message": "upstream timed out", "code": 504}}),
    "in a stream": events({"error": {"message": "upstream timed out", "code": 504}}),
}
REFUSED = {
    **{
        f"{status}": failed(status) for status in (307, 400, 401, 402, 404, 409, 422, 429, 503, 529)
    },
    "wrapped": failed(500, "Getting model response error: 422 - Value error, no"),
    "wrapped limit": failed(502, "Getting model response error: 429 - slow down"),
    "named": Response({"error": {"type": "invalid_params", "title": "No."}}, 500),
    "in a success": Response({"error": {"message": "busy", "code": 529}}),
}


@pytest.mark.parametrize("call", [*LANGCHAIN.values()][:4], ids=[*LANGCHAIN][:4])
def test_a_call_that_a_gateway_gave_up_is_charged_as_one_that_broke(
    routed: RoutedHub, call: Any
) -> None:
    def spent(answer: Response) -> Decimal:
        routed.routes["POST /chat/completions"] = answer
        budget = Budget("100")
        with pytest.raises(langchain_errors.OxenError):
            call(ChatOxen(model="ox-1", budget=budget, max_retries=0))
        assert budget.reserved == 0
        return budget.spent

    given_up = {name: spent(answer) for name, answer in GIVEN_UP.items()}
    assert [name for name, price in given_up.items() if not 0 < price < Decimal("0.1")] == []
    refused = {name: spent(answer) for name, answer in REFUSED.items()}
    assert [name for name, price in refused.items() if price != 0] == []
