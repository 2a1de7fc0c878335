"""What an answer cost: the stated cost, the computed one, and which of them counts."""

from __future__ import annotations

import warnings
from decimal import Decimal
from typing import Any

import pytest

from oxen_inference.catalog.reading import read_model
from oxen_inference.chat import answer_cost
from oxen_inference.chat.answer import Answer, ToolCall, charged_cost
from oxen_inference.chat.answer_cost import CostWarning, set_cost, text_length
from oxen_inference.chat.usage import StatedCost, merge_usage, read_stated_cost, read_usage

TOKENS = {"method": "token", "input_cost_per_token": "0.000003", "output_cost_per_token": "0.00001"}
MODEL = read_model({"id": "ox", "pricing": TOKENS})
COUNTS = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
BY_PRICES = Decimal("0.004")


@pytest.fixture(autouse=True)
def nobody_was_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_cost, "_warned", set())


def answer_to(
    text: str = "an ox", *, answered: str = "", model: Any = MODEL, **usage: Any
) -> Answer:
    """An answer whose cost is set, without the warning that is tested apart."""
    answer = Answer(answered, usage=read_usage(usage), cost_stated=read_stated_cost(usage))
    body = {"model": "ox", "messages": [{"role": "user", "content": text}]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CostWarning)
        set_cost(answer, model, body)
    return answer


def test_what_an_answer_states_counts() -> None:
    answer = answer_to(**COUNTS, cost=0.0041, currency="USD")
    assert (answer.cost, answer.cost_source) == (Decimal("0.0041"), "stated")
    assert (answer.cost_computed, answer.cost_charged) == (BY_PRICES, Decimal("0.0041"))
    assert answer.cost_fields() == {
        "cost": "0.0041",
        "cost_stated": "0.0041",
        "cost_computed": "0.004000",
        "cost_source": "stated",
    }


@pytest.mark.parametrize("cost", ["0.0041", 0.0041])
@pytest.mark.parametrize(
    "currency",
    [{}, {"currency": None}, {"currency": "usd"}, {"currency": "$"}, {"currency": "US dollars"}],
)
def test_dollars_have_many_names(cost: Any, currency: Any) -> None:
    assert read_stated_cost({**COUNTS, "cost": cost, **currency}) == StatedCost(Decimal("0.0041"))


def test_the_total_of_an_object_counts() -> None:
    parts = {"input_tokens_cost": 0.2, "output_tokens_cost": 0.2, "request_cost": 0.1}
    assert read_stated_cost({**COUNTS, "cost": {**parts, "total_cost": 0.5}}) == StatedCost(
        Decimal("0.5")
    )
    zeros = {"prompt_tokens": 0, "completion_tokens": 0}
    later = {**zeros, "cost": {"total_cost": 0.5}}
    assert merge_usage(COUNTS, later) == {**COUNTS, "cost": {"total_cost": 0.5}}


def test_without_a_catalog_the_stated_cost_is_all_there_is() -> None:
    answer = answer_to(model=None, **COUNTS, cost=0.0041)
    assert answer.cost_fields() == {
        "cost": "0.0041",
        "cost_stated": "0.0041",
        "cost_source": "stated",
    }


@pytest.mark.parametrize(
    "cost",
    [
        0,
        0.0,
        "0",
        -1,
        "-0.5",
        True,
        None,
        "free",
        float("nan"),
        float("inf"),
        [],
        {},
        1e12,
        {"total_cost": 0},
        {"total_cost": None},
        {"cost": 1},
    ],
)
def test_a_stated_cost_that_cannot_be_is_not_believed(cost: Any) -> None:
    answer = answer_to(**COUNTS, cost=cost, currency="USD")
    assert (answer.cost, answer.cost_source, answer.cost_stated) == (BY_PRICES, "computed", None)


def test_nothing_cost_nothing() -> None:
    assert read_stated_cost({"prompt_tokens": 0, "completion_tokens": 0, "cost": 0}) == StatedCost(
        Decimal(0)
    )


@pytest.mark.parametrize("currency", ["EUR", "CNY", "credits", 5])
def test_another_currency_is_kept_and_never_counted(currency: Any) -> None:
    answer = answer_to(**COUNTS, cost=0.5, currency=currency)
    assert (answer.cost, answer.cost_charged, answer.cost_source) == (
        BY_PRICES,
        BY_PRICES,
        "computed",
    )
    fields = answer.cost_fields()
    assert (fields["cost_stated"], fields["cost_currency"]) == ("0.5", str(currency))
    assert charged_cost(fields) == BY_PRICES
    unpriced = answer_to(model=None, **COUNTS, cost=0.5, currency=currency)
    assert (unpriced.cost, charged_cost(unpriced.cost_fields())) == (None, None)


@pytest.mark.parametrize(
    ("stated", "charged", "warned"),
    [
        ("0.0040", "0.004", False), ("0.0044", "0.0044", False), ("0.0037", "0.0037", False),
        ("0.0045", "0.0045", True), ("0.04", "0.04", True), ("0.0036", "0.004", True),
        ("0.0001", "0.004", True),
    ],
)  # fmt: skip
def test_budgets_count_the_higher_of_two_that_differ_by_over_a_tenth(
    stated: str, charged: str, warned: bool
) -> None:
    answer = answer_to(**COUNTS, cost=stated)
    assert (answer.cost, answer.cost_charged) == (Decimal(stated), Decimal(charged))
    assert charged_cost(answer.cost_fields()) == Decimal(charged)
    assert bool(answer_cost._warned) is warned


def test_one_warning_for_each_model() -> None:
    body = {"messages": []}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for model in ("ox", "ox", "calf", "ox"):
            answer = Answer(usage=read_usage(COUNTS), cost_stated=StatedCost(Decimal(1)))
            set_cost(answer, MODEL, {**body, "model": model})
    assert [w.category for w in caught] == [CostWarning] * 2
    assert "ox states a cost of $1.00, and by the catalog's prices it is $0.004" in str(
        caught[0].message
    )


def test_tokens_that_a_cache_hides_make_an_estimate() -> None:
    sent = "an ox at dawn, " * 1000
    answer = answer_to(sent, prompt_tokens=3, completion_tokens=5, total_tokens=8)
    assert (answer.cost, answer.cost_computed, answer.cost_source) == (None, None, "estimated")
    assert answer.cost_estimate == 3750 * Decimal("0.000003") + 5 * Decimal("0.00001")
    assert answer.cost_charged == answer.cost_estimate
    stated = answer_to(sent, prompt_tokens=3, completion_tokens=5, total_tokens=8, cost=0.0009)
    assert (stated.cost, stated.cost_estimate, stated.cost_charged) == (
        Decimal("0.0009"), None, Decimal("0.0009"),
    )  # fmt: skip


@pytest.mark.parametrize(("prompt_tokens", "is_exact"), [(49, False), (50, True), (400, True)])
def test_half_of_a_quarter_of_the_characters_is_the_bound(
    prompt_tokens: int, is_exact: bool
) -> None:
    answer = answer_to("x" * 400, prompt_tokens=prompt_tokens, completion_tokens=5)
    assert (answer.cost is not None) is is_exact


def test_cached_tokens_that_are_reported_hide_nothing() -> None:
    usage = {"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 3700}
    answer = answer_to("an ox at dawn, " * 1000, **usage)
    assert answer.cost_source == "estimated"  # by the price of cached tokens, which is not known
    assert answer.cost_estimate == 3703 * Decimal("0.000003") + 5 * Decimal("0.00001")


INPUT, OUTPUT = Decimal("0.000003"), Decimal("0.00001")
WRITTEN = "an ox at dawn, " * 100


@pytest.mark.parametrize(
    ("usage", "estimate"),
    [
        ({"prompt_tokens": 1000}, 1000 * INPUT + 375 * OUTPUT),
        ({"prompt_tokens": 1000, "completion_tokens": None}, 1000 * INPUT + 375 * OUTPUT),
        ({"prompt_tokens": 1000, "completion_tokens": "n/a"}, 1000 * INPUT + 375 * OUTPUT),
        ({"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000}, 1000 * INPUT + 375 * OUTPUT),
        ({"total_tokens": 1500}, 1125 * INPUT + 375 * OUTPUT),
        ({"completion_tokens": 100}, 100 * INPUT + 100 * OUTPUT),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, 100 * INPUT + 375 * OUTPUT),
        ({"prompt_tokens": 1000, "completion_tokens": 4, "total_tokens": 1400}, 1000 * INPUT + 400 * OUTPUT),
    ],
)  # fmt: skip
def test_tokens_that_are_not_reported_are_estimated(
    usage: dict[str, Any], estimate: Decimal
) -> None:
    answer = answer_to("x" * 400, answered=WRITTEN, **usage)
    assert (answer.cost, answer.cost_computed) == (None, None)
    assert (answer.cost_estimate, answer.cost_source) == (estimate, "estimated")
    assert answer.cost_charged == estimate


def test_an_answer_of_nothing_but_a_call_or_an_image_has_tokens() -> None:
    body = {"model": "ox", "messages": [{"role": "user", "content": "an ox"}]}
    calls = [ToolCall("c", "write", "x" * 4000)]
    usage = read_usage({"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10})
    called, empty = Answer(usage=usage, tool_calls=calls), Answer(usage=usage)
    drawn = Answer(usage=usage, extras={"images": [{}]})
    for answer in (called, empty, drawn):
        set_cost(answer, MODEL, body)
    assert called.cost_estimate == 10 * INPUT + 1000 * OUTPUT
    assert (empty.cost, empty.cost_source) == (10 * INPUT, "computed")
    assert (drawn.cost, drawn.cost_source) == (None, "estimated")


@pytest.mark.parametrize(
    "details",
    [
        {"completion_tokens_details": {"image_tokens": 1290}},
        {"prompt_tokens_details": {"image_tokens": 100}},
        {"cache_creation": {"ephemeral_5m_input_tokens": 100}},
    ],
)
def test_tokens_with_a_price_of_their_own_make_an_estimate(details: dict[str, Any]) -> None:
    answer = answer_to(**COUNTS, **details)
    assert (answer.cost_computed, answer.cost_estimate) == (None, BY_PRICES)
    assert answer.cost_source == "estimated"


def test_only_text_is_counted() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    messages = [
        {"role": "system", "content": "abc"},
        {"role": "user", "content": [{"type": "text", "text": "de"}, image, "f"]},
        {"role": "assistant", "content": None, "tool_calls": []},
        "odd",
        {"role": "tool", "content": "gh"},
    ]
    assert text_length(messages) == 8
    assert text_length(None) == 0


def test_a_cost_that_comes_in_a_last_chunk_of_its_own_is_kept() -> None:
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert merge_usage(COUNTS, {**zeros, "cost": 0.004}) == {**COUNTS, "cost": 0.004}
    assert merge_usage({**COUNTS, "cost": 0.004}, {**zeros, "cost": 0}) == {**COUNTS, "cost": 0.004}
    assert merge_usage({**COUNTS, "cost": 0.004}, COUNTS) == {**COUNTS, "cost": 0.004}
