"""The one quote: the catalog's, the caps of the user, and the bills that were higher than it."""

from __future__ import annotations

import asyncio
import copy
import pickle
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from langchain_oxen import OxenMediaTool, OxenToolkit
from llama_index_oxen import OxenToolSpec
from oxen_inference import AsyncOxenClient, Budget, Ledger, OxenClient
from oxen_inference.errors import BudgetExceededError, InvalidInputError
from oxen_inference.ledger.overruns import Overrun
from tests.e2e.media.calls import MediaCalls, quick_client
from tests.support import bad_hub
from tests.support.bad_hub import BadHub

SIZES = {"type": "string", "enum": ["1K", "4K"], "default": "1K"}
CREDITS = {"method": "per_provider_credit", "cost_per_credit": 0.08}


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The hub's model, with a resolution; a test may change it."""
    entry = copy.deepcopy(bad_hub.MODEL)
    entry["request_schema"]["properties"]["resolution"] = SIZES
    monkeypatch.setattr(bad_hub, "MODEL", entry)
    return entry


def buy(media: MediaCalls, prompt: str = "ox", **more: Any) -> Any:
    return media("generate", model="bad-image", prompt=prompt, timeout=10, **more)


def quoted(media: MediaCalls, **params: Any) -> Decimal | None:
    high: Decimal | None = media("quote", "bad-image", **params).high
    return high


def test_a_bill_above_its_quote_raises_later_quotes_of_the_same_settings(
    hub: BadHub, media: MediaCalls
) -> None:
    hub.cost = "0.20"
    assert quoted(media, resolution="4K") == Decimal("0.05")
    buy(media, resolution="4K")
    raised = media("quote", "bad-image", resolution="4K", seed=7, num_generations=3)
    assert raised.high == Decimal("0.60")
    assert raised.low == Decimal("0.15")
    assert "one cost $0.20 on " in raised.reason
    assert quoted(media) == quoted(media, resolution="1K") == Decimal("0.05")
    with pytest.raises(BudgetExceededError, match=r"may cost \$0\.20"):
        buy(media, "calf", resolution="4K", max_cost="0.10")
    assert media("forget_overruns", "other") == 0
    assert media("forget_overruns", "bad-image") == 1
    assert quoted(media, resolution="4K") == Decimal("0.05")


def test_what_one_client_learns_of_bills_another_knows_at_once(
    hub: BadHub, media: MediaCalls, ledger: Ledger
) -> None:
    with quick_client(hub, ledger) as sibling:
        assert sibling.media.quote("bad-image").high == Decimal("0.05")
        hub.cost = "0.20"
        buy(media)
        assert sibling.media.quote("bad-image").high == Decimal("0.20")


def test_the_ratio_counts_where_the_price_changes(
    hub: BadHub, media: MediaCalls, model: dict[str, Any]
) -> None:
    hub.cost = "0.10"
    buy(media)
    model["pricing"] = {"method": "per_image", "cost_per_image": "0.06"}
    media("quote", "bad-image")
    from oxen_inference.catalog import clear_cache

    clear_cache()
    assert quoted(media) == Decimal("0.12")


@pytest.mark.parametrize("cost", ["0.05", "0.0504", "0.01", None])
def test_a_bill_within_the_quote_is_no_overrun(
    hub: BadHub, media: MediaCalls, ledger: Ledger, cost: str | None
) -> None:
    hub.cost = cost
    buy(media)
    assert quoted(media) == Decimal("0.05")
    assert not ledger.overruns(hub.base_url.removesuffix("/api/ai"), 1e9)


def test_a_price_that_rose_meanwhile_is_no_overrun(
    hub: BadHub, media: MediaCalls, ledger: Ledger, model: dict[str, Any]
) -> None:
    hub.cost = "0.20"
    assert quoted(media) == Decimal("0.05")  # the catalog is in memory from now on
    model["pricing"] = {"method": "per_image", "cost_per_image": "0.20"}
    buy(media)
    assert not ledger.overruns(hub.base_url.removesuffix("/api/ai"), 1e9)
    assert quoted(media) == Decimal("0.20")  # and the fresh look is kept


def test_an_overrun_expires(hub: BadHub, media: MediaCalls, ledger: Ledger) -> None:
    hub.cost = "0.20"
    buy(media)
    assert quoted(media) == Decimal("0.20")
    with ledger.database.writing() as connection:
        connection.execute(text("UPDATE oxen_overruns SET seen_at = seen_at - 31 * 86400"))
    assert quoted(media) == Decimal("0.05")


def test_a_bill_that_another_call_learns_of_counts(hub: BadHub, media: MediaCalls) -> None:
    hub.cost, hub.seconds = "0.20", 0.2
    media("submit", model="bad-image", prompt="ox")
    hub.seconds = 0
    media("reconcile")
    assert quoted(media) == Decimal("0.20")


def test_a_bill_is_kept_once(hub: BadHub, ledger: Ledger) -> None:
    overrun = Overrun(
        model="ox", parameters="{}", quoted=Decimal("0.05"), billed=Decimal("0.20"), entry_id="a"
    )
    assert ledger.keep_overrun("hub", overrun)
    assert not ledger.keep_overrun("hub", overrun)
    (kept,) = ledger.overruns("hub", 60)
    assert (kept.ratio, ledger.overruns("other", 60)) == (4, [])


# Caps


def test_a_cap_is_the_price_of_a_model_without_a_usable_one(
    hub: BadHub, media: MediaCalls, model: dict[str, Any]
) -> None:
    hub.cost = None
    model["pricing"] = CREDITS
    budget = Budget("1.00")
    with pytest.raises(BudgetExceededError, match=r"credits at \$0\.08 each.*price_caps"):
        buy(media, budget=budget)
    assert hub.posts["ox"] == 0
    caps = {"bad-image": "0.40"}
    buy(media, budget=budget, price_caps=caps, num_generations=2)
    assert (budget.spent, budget.reserved) == (0, Decimal("0.80"))
    with pytest.raises(BudgetExceededError, match=r"may cost \$0\.40"):
        buy(media, budget=budget, price_caps=caps)
    price = media("quote", "bad-image", price_caps=caps)
    assert (price.low, price.high, price.exact) == (0, Decimal("0.40"), False)
    assert price.reason.startswith("at most $0.40 each by price_caps; billed by the provider's")


def test_caps_of_client_budget_and_call(
    hub: BadHub, media: MediaCalls, model: dict[str, Any]
) -> None:
    model["pricing"] = CREDITS
    media.options["price_caps"] = {"bad-image": "0.40", "other": 1}
    assert quoted(media) == Decimal("0.40")
    assert quoted(media, price_caps={"bad-image": 0.3}) == Decimal("0.30")
    budget = Budget("1.00", price_caps={"bad-image": "0.25"})
    hub.cost = None
    buy(media, budget=budget)
    assert budget.reserved == Decimal("0.25")
    model["pricing"] = {"method": "per_image", "cost_per_image": 0.05}
    media("forget_overruns")
    from oxen_inference.catalog import clear_cache

    clear_cache()
    assert quoted(media) == Decimal("0.05")  # a published price needs no cap


def test_caps_travel_with_what_they_belong_to(hub: BadHub, ledger: Ledger) -> None:
    with quick_client(hub, ledger, price_caps={"ox": "0.4"}) as client:
        assert client.with_options(timeout=3).price_caps == {"ox": Decimal("0.4")}
    named = Budget("1", name="b", ledger=ledger, price_caps={"ox": 1})
    assert pickle.loads(pickle.dumps(named)).price_caps == {"ox": Decimal(1)}


@pytest.mark.parametrize("caps", [{"ox": "cheap"}, {"ox": -1}, {"ox": None}, {1: "1"}, "0.40", 5])
def test_a_cap_that_is_no_amount_is_refused(hub: BadHub, caps: Any) -> None:
    for make in (
        lambda: OxenClient(base_url=hub.base_url, price_caps=caps),
        lambda: Budget("1", price_caps=caps),
        lambda: OxenToolSpec(["bad-image"], api_key="k", price_caps=caps),
    ):
        with pytest.raises(InvalidInputError, match="price_caps"):
            make()


# Who asks


def test_a_quote_says_how_old_its_catalog_is(hub: BadHub, media: MediaCalls) -> None:
    age = media("quote", "bad-image").catalog_age
    assert age is not None
    assert 0 <= age < 30


def test_tools_ask_for_the_same_quote(hub: BadHub, ledger: Ledger, model: dict[str, Any]) -> None:
    hub.cost = "0.20"
    with quick_client(hub, ledger) as client:
        tool = OxenMediaTool.for_model("bad-image", client=client)
        assert tool.quote({"prompt": "ox"}).high == Decimal("0.05")
        client.media.generate(model="bad-image", prompt="ox")
        assert tool.quote({"prompt": "calf"}).high == Decimal("0.20")
        assert asyncio.run(tool.aquote({"prompt": "calf"})).high == Decimal("0.20")
        submit = next(
            t
            for t in OxenToolkit(models=[tool], client=client).get_tools()
            if t.name == "oxen_submit"
        )
        arguments = {"model": "bad-image", "prompt": "calf"}
        assert submit.quote(arguments).high == Decimal("0.20")  # type: ignore[attr-defined]
        assert asyncio.run(submit.aquote(arguments)).high == Decimal("0.20")  # type: ignore[attr-defined]
        limited = OxenMediaTool.for_model("bad-image", client=client, max_cost="0.10")
        assert "may cost $0.20" in limited.invoke({"prompt": "calf"})
        spec = OxenToolSpec(["bad-image"], client=client, max_cost="0.10")
        assert "may cost $0.20" in spec.generate_image(prompt="calf").text
    assert hub.posts["calf"] == 0


def test_tools_take_caps(hub: BadHub, ledger: Ledger, model: dict[str, Any]) -> None:
    model["pricing"] = CREDITS
    caps = {"bad-image": "0.40"}
    with quick_client(hub, ledger) as client:
        tool = OxenMediaTool.for_model("bad-image", client=client, max_cost="1", price_caps=caps)
        assert tool.quote({"prompt": "ox"}).high == Decimal("0.40")
        assert "Made 1 image" in tool.invoke({"prompt": "ox"})
        toolkit = OxenToolkit(models=["bad-image"], client=client, budget="1", price_caps=caps)
        assert "Made 1 image" in toolkit.get_tools()[0].invoke({"prompt": "calf"})
        own = Budget("1", price_caps=caps)
        paid = OxenMediaTool.for_model("bad-image", client=client).with_budget(own)
        assert paid.quote({"prompt": "ox"}).high == Decimal("0.40")
        spec = OxenToolSpec(["bad-image"], client=client, max_cost="1", price_caps=caps)
        assert "Made 1 image" in spec.generate_image(prompt="herd").text


@pytest.mark.parametrize("kind", [OxenClient, AsyncOxenClient])
async def test_the_caps_of_a_client_hold_for_both_kinds_of_call(
    hub: BadHub, ledger: Ledger, model: dict[str, Any], kind: type[Any]
) -> None:
    model["pricing"] = CREDITS
    caps = {"bad-image": "0.40"}
    given = kind(base_url=hub.base_url, api_key="k", ledger=ledger, price_caps=caps)
    unknown = {"client": given, "allow_unknown_cost": True}
    drawing = await OxenMediaTool.afor_model("bad-image", budget="0.30", **unknown)
    assert "may cost $0.40" in await asyncio.to_thread(drawing.invoke, {"prompt": "ox"})
    assert "may cost $0.40" in await drawing.ainvoke({"prompt": "ox"})
    spec = OxenToolSpec([drawing.model], budget="0.30", **unknown)
    said = await asyncio.to_thread(spec.generate_image, prompt="ox")
    assert "may cost $0.40" in said.text
    assert "may cost $0.40" in (await spec.agenerate_image(prompt="ox")).text
    await given.close() if kind is AsyncOxenClient else given.close()
    assert hub.posts["ox"] == 0


def test_a_tool_follows_the_price_of_its_model(
    hub: BadHub, ledger: Ledger, model: dict[str, Any]
) -> None:
    with quick_client(hub, ledger) as client:
        tool = OxenMediaTool.for_model("bad-image", client=client, max_cost="0.10")
        model["pricing"] = {"method": "per_image", "cost_per_image": 5}
        client.catalog.clear()
        assert "may cost $5.00" in tool.invoke({"prompt": "ox"})
        by_hand = OxenMediaTool(model=tool.model, connection=tool.connection, max_cost="0.10")
        assert by_hand.quote({"prompt": "ox"}).high == Decimal(5)
    assert hub.posts["ox"] == 0


async def test_a_price_that_cannot_be_looked_up_is_the_one_that_was(
    hub: BadHub, ledger: Ledger
) -> None:
    options = {"base_url": hub.base_url, "api_key": "k", "ledger": ledger, "max_retries": 0}
    async with AsyncOxenClient(**options) as client:
        known = await client.catalog.get("bad-image")
        client.catalog.clear()
        hub.fail_gets = lambda path: "/models" in path
        assert (await client.media.quote(known)).high == Decimal("0.05")
