"""What is spent from a budget is known to it, whoever waits, collects or gives up, and where."""

from __future__ import annotations

import os
import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from oxen_inference import Budget, Ledger
from oxen_inference.cli.main import main
from oxen_inference.errors import (
    BudgetExceededError,
    ConfigurationError,
    EnqueueOutcomeUnknown,
    GenerationFailed,
    GenerationTimeout,
    InvalidInputError,
    LedgerError,
)
from oxen_inference.ledger.schema import charges
from tests.e2e.media.calls import MediaCalls, quick_client
from tests.support import bad_hub
from tests.support.bad_hub import BadHub


def buy(media: MediaCalls, budget: Budget, **more: Any) -> Any:
    return media("generate", model="bad-image", prompt="ox", budget=budget, **more)


def test_a_cost_above_the_quote_blocks_though_another_call_learned_it(
    hub: BadHub, media: MediaCalls
) -> None:
    hub.cost, hub.seconds = "0.40", 3600.0
    budget = Budget("0.50")
    media.warm_up()
    with pytest.raises(GenerationTimeout):
        buy(media, budget, key="a", timeout=0.1)
    hub.seconds = 0.0
    assert media("resume", "a").cost == Decimal("0.40")
    with pytest.raises(BudgetExceededError, match=r"may cost \$0.40"):
        buy(media, budget, key="b", timeout=0.1)
    media("forget_overruns")
    hub.seconds = 3600.0
    with pytest.raises(GenerationTimeout):
        buy(media, budget, key="b", timeout=0.1)
    hub.seconds = 0.0
    assert media("resume", "b").cost == Decimal("0.40")
    assert (budget.spent, budget.reserved, budget.remaining) == (Decimal("0.80"), 0, 0)
    with pytest.raises(BudgetExceededError):
        buy(media, budget, key="c", timeout=0.1)
    assert hub.posts["ox"] == 2


def test_a_number_under_an_unknown_name_is_refused_by_a_budget(
    hub: BadHub, media: MediaCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = {"properties": {"prompt": {"type": "string"}, "mysteries": {"type": "integer"}}}
    monkeypatch.setattr(bad_hub, "MODEL", {**bad_hub.MODEL, "request_schema": schema})
    budget = Budget("100")
    for params in ({}, {"mysteries": 4}):
        with pytest.raises(BudgetExceededError, match="mysteries may multiply the price"):
            buy(media, budget, **params)
    assert (hub.posts["ox"], budget.reserved) == (0, 0)


def test_reconciling_settles_what_somebody_elses_call_left(hub: BadHub, media: MediaCalls) -> None:
    hub.seconds = 0.2
    budget = Budget("0.50")
    media("submit", model="bad-image", prompt="ox", budget=budget)
    assert budget.reserved == Decimal("0.05")
    hub.seconds = 0
    (entry,) = media("reconcile")
    assert entry.is_settled
    assert (budget.spent, budget.reserved) == (Decimal("0.05"), 0)


def test_forgetting_gives_the_money_back(hub: BadHub, media: MediaCalls) -> None:
    hub.plan = lambda *_: "reset_before"
    budget = Budget("0.50")
    with pytest.raises(EnqueueOutcomeUnknown):
        buy(media, budget)
    (entry,) = media("jobs")
    media("forget", entry.entry_id)
    assert budget.remaining == budget.limit


def test_what_ended_without_a_cost_can_be_written_off(hub: BadHub, media: MediaCalls) -> None:
    hub.cost, ending = None, ["processing"]
    hub.shown = lambda _, row: {**row, "status": ending[0], "result_url": None}
    budget = Budget("0.50")
    media("submit", model="bad-image", prompt="ox", key="k", num_generations=2, budget=budget)
    (entry,) = media("jobs")
    with pytest.raises(InvalidInputError, match="running"):
        media("forget", entry.entry_id)
    ending[0] = "failed"
    with pytest.raises(GenerationFailed):
        media("resume", "k")
    assert (budget.spent, budget.reserved) == (0, Decimal("0.10"))
    forgotten = media("forget", entry.entry_id)
    assert forgotten.notes[-1].startswith("Written off by hand")
    assert forgotten.cost == 0
    assert (budget.spent, budget.reserved) == (0, 0)
    assert media("reconcile") == []
    with pytest.raises(GenerationFailed):
        media("resume", "k")  # the key still stands for it
    with pytest.raises(InvalidInputError, match="failed"):
        media("forget", entry.entry_id)


def test_what_was_made_is_not_written_off(hub: BadHub, media: MediaCalls) -> None:
    hub.cost = None
    budget = Budget("0.50")
    result = buy(media, budget)
    with pytest.raises(InvalidInputError, match="succeeded"):
        media("forget", result.entry_id)
    assert budget.reserved == Decimal("0.05")


def test_more_than_asked_for_is_held(hub: BadHub, media: MediaCalls) -> None:
    hub.cost, hub.repeat_ids = None, ["one", "two", "three"]
    budget = Budget("0.50")
    media("submit", model="bad-image", prompt="ox", budget=budget)
    assert budget.reserved == Decimal("0.15")


def test_money_is_held_for_what_is_not_named(hub: BadHub, media: MediaCalls) -> None:
    hub.plan = lambda *_: "fewer_ids"
    budget = Budget("0.50")
    result = buy(media, budget, num_generations=3)
    assert "only 1" in result.notes[0]
    assert (budget.spent, budget.reserved) == (Decimal("0.05"), Decimal("0.10"))
    media("forget", result.entry_id)
    assert (budget.spent, budget.reserved) == (Decimal("0.05"), 0)


def test_a_ledger_that_breaks_before_sending_holds_nothing(
    hub: BadHub, media: MediaCalls, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> bool:
        raise LedgerError("The disk is full.")

    monkeypatch.setattr(ledger, "mark_posting", broken)
    budget = Budget("0.50")
    with pytest.raises(LedgerError):
        buy(media, budget)
    assert budget.remaining == budget.limit
    assert not hub.posts


def test_one_limit_over_clients_of_one_ledger(hub: BadHub, tmp_path: Path) -> None:
    hub.seconds = 0
    budget = Budget("0.52")
    clients = [quick_client(hub, Ledger(tmp_path / "a")) for _ in range(3)]

    def one(number: int) -> bool:
        client = clients[number % len(clients)]
        try:
            client.media.submit(model="bad-image", prompt="ox", budget=budget)
        except BudgetExceededError:
            return False
        return True

    with ThreadPoolExecutor(12) as threads:
        assert sum(threads.map(one, range(30))) == hub.posts["ox"] == 10
    assert budget.reserved == Decimal("0.50")
    with quick_client(hub, Ledger(tmp_path / "b")) as elsewhere:
        with pytest.raises(ConfigurationError, match="Nothing was sent"):
            elsewhere.media.submit(model="bad-image", prompt="ox", budget=budget, key="k")
        assert not elsewhere.media.jobs()
    clients[0].media.reconcile()
    for client in clients:
        client.close()
    assert (budget.spent, budget.reserved) == (Decimal("0.50"), 0)


def test_a_name_in_another_ledger_pays_for_nothing(
    hub: BadHub, media: MediaCalls, tmp_path: Path
) -> None:
    budget = Budget("0.50", name="b", ledger=Ledger(tmp_path / "other.sqlite3"))
    with pytest.raises(ConfigurationError, match=r"ledger=budget\.ledger"):
        buy(media, budget)
    assert not hub.posts


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_a_ledger_is_the_same_by_another_path(
    hub: BadHub, media: MediaCalls, ledger: Ledger, tmp_path: Path
) -> None:
    assert ledger.durable
    assert ledger.path is not None
    (tmp_path / "link").symlink_to(ledger.path.parent, target_is_directory=True)
    budget = Budget("0.50", name="b", ledger=Ledger(tmp_path / "link" / ledger.path.name))
    buy(media, budget)
    assert (budget.spent, budget.reserved) == (Decimal("0.05"), 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_buys_nothing_from_a_budget_without_a_name(
    hub: BadHub, media: MediaCalls
) -> None:
    budget = Budget("0.05")
    pid = os.fork()
    if pid == 0:
        try:
            buy(media, budget)
        except ConfigurationError:
            os._exit(0)
        except BaseException:  # noqa: BLE001 - whatever it is, the parent must see it
            os._exit(2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not hub.posts


def test_a_failure_says_what_holds_the_money_and_the_command_frees_it(
    hub: BadHub, media: MediaCalls, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.cost = None
    hub.shown = lambda _, row: {**row, "status": "failed", "error_message": "an odd ox"}
    budget = Budget("0.50", name="studio", ledger=ledger)
    with pytest.raises(GenerationFailed) as caught:
        buy(media, budget, key="k", num_generations=2)
    hint = caught.value.hint or ""
    assert "$0.10 of the budget 'studio'" in hint
    found = re.search(r"`OXEN_LEDGER_URL=(\S+) oxen-inference (.+)` frees", hint)
    assert found is not None
    monkeypatch.setenv("OXEN_LEDGER_URL", shlex.split(found[1])[0])
    monkeypatch.setenv("OXEN_API_KEY", media.options["api_key"])
    assert main(shlex.split(found[2])) == 0
    assert (budget.spent, budget.reserved) == (0, 0)
    with pytest.raises(GenerationFailed) as again:
        media("resume", "k")
    assert "holds" not in str(again.value)


def test_failures_release_their_money_after_a_time_where_that_is_asked_for(
    hub: BadHub, media: MediaCalls, ledger: Ledger
) -> None:
    """What ends without a cost is no longer held, and yet charged once a cost is stated."""
    hub.cost = None
    hub.shown = lambda _, row: {**row, "status": "failed"}
    patient = Budget("0.50", name="studio", ledger=ledger, release_failed_after=timedelta(days=1))
    eager = Budget("0.50", name="studio", ledger=ledger, release_failed_after=0)
    held = Budget("0.50", name="studio", ledger=ledger)
    with pytest.raises(GenerationFailed):
        buy(media, held, key="k", num_generations=2)
    assert [each.reserved for each in (held, patient, eager, held)] == [
        Decimal("0.10"), Decimal("0.10"), 0, 0,
    ]  # fmt: skip
    assert (eager.spent, eager.remaining) == (0, Decimal("0.50"))
    with ledger.database.reading() as connection:
        assert connection.execute(select(charges)).all() == []  # no zero charge
    hub.cost = "0.04"
    (entry,) = media("reconcile")
    assert entry.cost == Decimal("0.08")
    assert (eager.spent, eager.reserved) == (Decimal("0.08"), 0)


def test_only_what_failed_is_released(hub: BadHub, media: MediaCalls) -> None:
    hub.cost = None
    made: list[str] = []

    def shown(_: str, row: dict[str, Any]) -> dict[str, Any]:
        made[:] = dict.fromkeys([*made, row["generation_id"]])
        is_first = row["generation_id"] == made[0]
        return {**row, "status": "succeeded" if is_first else "failed"}

    hub.shown = shown
    budget = Budget("0.50", release_failed_after=0)
    buy(media, budget, key="k", num_generations=2)
    assert (budget.spent, budget.reserved) == (0, Decimal("0.05"))
    hub.cost = "0.03"
    media("reconcile")
    assert (budget.spent, budget.reserved) == (Decimal("0.06"), 0)
    with pytest.raises(ConfigurationError, match="seconds or a timedelta"):
        Budget("1", release_failed_after="1 day")  # type: ignore[arg-type]  # that is refused
