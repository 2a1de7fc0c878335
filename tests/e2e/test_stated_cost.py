"""What a chat answer states as its cost, in both adapters, whole and streamed, sync and async."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage

from langchain_oxen import ChatOxen
from llama_index_oxen import Oxen
from oxen_inference.chat import answer_cost
from tests.support.routed_hub import RoutedHub, chat, listed

MODEL = {
    "id": "claude-ox",
    "endpoint": "/chat/completions",
    "capabilities": {"input": ["text"], "output": ["text"]},
    "pricing": {
        "method": "token",
        "input_cost_per_token": 3e-6,
        "output_cost_per_token": 15e-6,
    },
}
STATED = {
    "prompt_tokens": 4346,
    "completion_tokens": 5,
    "total_tokens": 4351,
    "prompt_tokens_details": {"cached_tokens": 4343},
    "cost": 0.00138,
    "currency": "USD",
}
LONG = "an ox at dawn, " * 1000
Ask = Callable[[RoutedHub, str], dict[str, Any]]


@pytest.fixture(autouse=True)
def nobody_was_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_cost, "_warned", set())


@pytest.fixture
def hub() -> Iterator[RoutedHub]:
    with RoutedHub({"GET /models": listed(MODEL)}) as routed:
        yield routed


def langchain(hub: RoutedHub) -> ChatOxen:
    return ChatOxen(model="claude-ox", base_url=hub.url, api_key="test-key-123")


def llama_index(hub: RoutedHub) -> Oxen:
    return Oxen(model="claude-ox", api_base=hub.url, api_key="test-key-123")


def invoke(hub: RoutedHub, text: str) -> dict[str, Any]:
    return dict(langchain(hub).invoke(text).response_metadata)


def ainvoke(hub: RoutedHub, text: str) -> dict[str, Any]:
    return dict(asyncio.run(langchain(hub).ainvoke(text)).response_metadata)


def stream(hub: RoutedHub, text: str) -> dict[str, Any]:
    chunks = list(langchain(hub).stream(text))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk  # type: ignore[assignment]  # langchain's chunks add up to a chunk
    return dict(whole.response_metadata)


def astream(hub: RoutedHub, text: str) -> dict[str, Any]:
    async def last() -> Any:
        return [chunk async for chunk in langchain(hub).astream(text)]

    found: dict[str, Any] = {}
    for chunk in asyncio.run(last()):
        found |= {n: v for n, v in chunk.response_metadata.items() if n.startswith("cost")}
    return found


def llama_chat(hub: RoutedHub, text: str) -> dict[str, Any]:
    raw: Any = llama_index(hub).chat([ChatMessage(role="user", content=text)]).raw
    return dict(raw)


def llama_stream(hub: RoutedHub, text: str) -> dict[str, Any]:
    *_, last = llama_index(hub).stream_chat([ChatMessage(role="user", content=text)])
    raw: Any = last.raw
    return dict(raw)


def llama_astream(hub: RoutedHub, text: str) -> dict[str, Any]:
    async def last() -> Any:
        messages = [ChatMessage(role="user", content=text)]
        return [one async for one in await llama_index(hub).astream_chat(messages)][-1]

    return dict(asyncio.run(last()).raw)


every_way = pytest.mark.parametrize(
    "ask", [invoke, ainvoke, stream, astream, llama_chat, llama_stream, llama_astream]
)


def costs(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name.startswith("cost")}


@every_way
def test_a_stated_cost_is_what_the_answer_cost(hub: RoutedHub, ask: Ask) -> None:
    hub.routes["POST /chat/completions"] = chat(STATED)
    assert costs(ask(hub, "an ox")) == {
        "cost": "0.00138",
        "cost_source": "stated",
        "cost_stated": "0.00138",
    }


@every_way
@pytest.mark.filterwarnings("ignore::oxen_inference.chat.answer_cost.CostWarning")
def test_a_cost_beside_the_usage_is_stated(hub: RoutedHub, ask: Ask) -> None:
    usage = {"prompt_tokens": 4, "completion_tokens": 5, "cost": 0}
    stated = {"cost": "0.5", "cost_source": "stated", "cost_stated": "0.5"}
    for cost in (0.5, {"total_cost": "0.5"}):
        hub.routes["POST /chat/completions"] = chat(usage, beside={"cost": cost})
        assert costs(ask(hub, "an ox")).items() >= stated.items()
    hub.routes["POST /chat/completions"] = chat({**usage, "cost": 0.5}, beside={"cost": 7})
    assert costs(ask(hub, "an ox")).items() >= stated.items()


@every_way
def test_a_prompt_that_a_cache_hides_has_no_exact_cost(hub: RoutedHub, ask: Ask) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    hub.routes["POST /chat/completions"] = chat(usage)
    found = costs(ask(hub, LONG))
    assert found["cost_source"] == "estimated"
    assert Decimal(found["cost_estimate"]) > Decimal("0.01")
    assert "cost" not in found
    assert "cost_computed" not in found


@every_way
def test_an_answer_whose_tokens_are_not_reported_has_no_exact_cost(
    hub: RoutedHub, ask: Ask
) -> None:
    for completion_tokens in (None, 0):
        usage = {"prompt_tokens": 1000, "completion_tokens": completion_tokens}
        hub.routes["POST /chat/completions"] = chat(usage, LONG)
        found = costs(ask(hub, "an ox"))
        assert found.pop("cost_estimate") == "0.059250"
        assert found == {"cost_source": "estimated"}


@every_way
def test_two_costs_that_disagree_are_both_kept_and_the_higher_is_charged(
    hub: RoutedHub, ask: Ask
) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "cost": 0.0001}
    hub.routes["POST /chat/completions"] = chat(usage)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first, second = costs(ask(hub, "an ox")), costs(ask(hub, "an ox"))
    assert (
        first
        == second
        == {
            "cost": "0.0001",
            "cost_source": "stated",
            "cost_stated": "0.0001",
            "cost_computed": "0.004500",
            "cost_charged": "0.004500",
        }
    )
    assert len([w for w in caught if w.category is answer_cost.CostWarning]) == 1


@every_way
def test_another_currency_never_counts_as_dollars(hub: RoutedHub, ask: Ask) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "cost": 9, "currency": "EUR"}
    hub.routes["POST /chat/completions"] = chat(usage)
    found = costs(ask(hub, "an ox"))
    assert (Decimal(found["cost"]), found["cost_source"]) == (Decimal("0.0045"), "computed")
    assert (found["cost_stated"], found["cost_currency"]) == ("9", "EUR")


def test_a_stated_cost_needs_no_catalog(hub: RoutedHub) -> None:
    hub.routes["POST /chat/completions"] = chat(STATED)
    model = ChatOxen(model="claude-ox", base_url=hub.url, api_key="test-key-123", cost=False)
    assert model.invoke("an ox").response_metadata["cost"] == "0.00138"
    assert not hub.sent_to("/models")
