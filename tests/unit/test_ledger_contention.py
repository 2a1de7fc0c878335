"""Transactions side by side on a ledger: none waits for another for ever, and no money counts twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url

from oxen_inference import Budget, Ledger
from oxen_inference.errors import BudgetExceededError
from oxen_inference.ledger import accounts
from oxen_inference.result import MediaItem
from tests.support.databases import emptied, sql
from tests.unit.test_ledger import begin_from, intent

WAIT = 60.0


@pytest.fixture
def server(postgres: str) -> Iterator[Ledger]:
    ledger = Ledger(emptied(postgres))
    yield ledger
    ledger.close()


def held_by_the_dead(budget: Budget, ledger: Ledger, *amounts: str) -> None:
    """Hold money for chat calls whose process is gone."""
    for amount in amounts:
        budget.hold(ledger, Decimal(amount))
    sql(ledger, "UPDATE oxen_holds SET lease_id = 'of a process that is gone'")


def outcome(call: Callable[[], Any]) -> str:
    try:
        call()
    except BudgetExceededError:
        return "refused"
    return "granted"


def test_what_a_dead_process_held_is_freed_once(
    server: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget("1", name="b", ledger=server)
    held_by_the_dead(budget, server, "0.5", "0.4")
    first_try = threading.Barrier(2)
    free = accounts.free_abandoned

    def after_both_were_refused(*given: Any) -> Any:
        first_try.wait(WAIT)
        return free(*given)

    monkeypatch.setattr(accounts, "free_abandoned", after_both_were_refused)
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(outcome, lambda: budget.hold(server, Decimal("0.8"))) for _ in "ab"]
        assert sorted(call.result() for call in calls) == ["granted", "refused"]
    assert budget.reserved == Decimal("0.8")


@pytest.mark.parametrize("kind", ["chat", "media"])
def test_money_that_is_freed_while_a_call_is_being_refused_is_taken_as_a_whole(
    kind: str, server: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget("1", name="b", ledger=server)
    other = budget.hold(server, Decimal("0.9"))
    free = accounts.free_abandoned

    def settled_just_before(*given: Any) -> Any:
        monkeypatch.undo()
        other.settle(Decimal("0.1"), "by another process")
        return free(*given)

    monkeypatch.setattr(accounts, "free_abandoned", settled_just_before)
    if kind == "chat":
        budget.hold(server, Decimal("0.5"))
    else:
        server.begin(intent(), budget.reservation(server, Decimal("0.5"), 1))
    assert (budget.spent, budget.reserved) == (Decimal("0.1"), Decimal("0.5"))


@pytest.mark.parametrize("recorded", ["0", "0.05"])
@pytest.mark.parametrize("way", ["media", "chat", "check"])
def test_what_a_dead_process_held_stands_in_no_request_s_way(
    way: str, recorded: str, ledger: Ledger
) -> None:
    budget = Budget("1", name="b", ledger=ledger)
    held_by_the_dead(budget, ledger, "0.45", "0.5")
    budget.record(recorded)
    if way == "media":
        begin_from(budget, ledger, count=5)
    elif way == "chat":
        budget.hold(ledger, Decimal("0.5"))
    else:
        budget.check("0.5")
    assert budget.reserved == (0 if way == "check" else Decimal("0.5"))


def test_a_request_that_is_claimed_frees_it_too(ledger: Ledger) -> None:
    budget = Budget("1", name="b", ledger=ledger)
    entry, _ = begin_from(budget, ledger, key="k", count=5)
    ledger.reject_unsent(entry, {"message": "test"})
    held_by_the_dead(budget, ledger, "0.95")
    refused = ledger.get(entry.entry_id)
    assert refused is not None
    again = budget.reservation(ledger, Decimal("0.10"), 5)
    assert ledger.claim(refused, intent(key="k", count=5), again)
    assert budget.reserved == Decimal("0.5")


def failed(budget: Budget, ledger: Ledger, name: str) -> str:
    """Write a request whose generations failed without a cost; return its entry's id."""
    entry, _ = begin_from(budget, ledger, fingerprint=name, count=2)
    ledger.mark_posting(entry)
    ledger.mark_accepted(entry, [f"{name}-1", f"{name}-2"], [])
    items = [MediaItem(generation_id=f"{name}-{n}", status="failed") for n in (1, 2)]
    ledger.update(entry, items)
    return entry.entry_id


def test_failures_are_freed_while_a_cost_comes(
    server: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both want the reservation of one request and the budget; neither waits for the other for ever."""
    budget = Budget("10", name="b", ledger=server)
    last = max(failed(budget, server, name) for name in ("x", "y"))
    late = server.get(last)
    assert late is not None
    first_was_freed, last_is_locked = threading.Event(), threading.Event()
    held, by = accounts._held, dict[int, str]()

    def watched(connection: Any, entry_id: str) -> Any:
        if by[threading.get_ident()] == "frees" and entry_id == last:
            first_was_freed.set()
            assert last_is_locked.wait(WAIT)
        found = held(connection, entry_id)
        if by[threading.get_ident()] == "settles":
            last_is_locked.set()
        return found

    monkeypatch.setattr(accounts, "_held", watched)

    def free() -> None:
        by[threading.get_ident()] = "frees"
        with server.database.writing() as connection:
            accounts.release_failures(connection, budget.account, 0)

    def settle() -> None:
        by[threading.get_ident()] = "settles"
        assert first_was_freed.wait(WAIT)
        billed = MediaItem(
            generation_id=late.generation_ids[0], status="failed", cost=Decimal("0.04")
        )
        server.update(late, [billed])

    with ThreadPoolExecutor(2) as threads:
        for call in [threads.submit(free), threads.submit(settle)]:
            call.result()
    assert (budget.spent, budget.reserved) == (Decimal("0.04"), 0)


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
def test_an_engine_s_own_isolation_level_changes_nothing(
    level: str, server: Ledger, postgres: str
) -> None:
    url = make_url(postgres).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level=level)
    given = Ledger(engine)
    budget = Budget("1", name="b", ledger=given)
    refused = budget.reservation(given, Decimal(5), 1)
    with pytest.raises(BudgetExceededError):
        given.begin(intent(key="k"), refused)
    assert server.entries() == []
    assert budget.reserved == 0
    with ThreadPoolExecutor(4) as threads:
        begun = list(threads.map(lambda n: begin_from(budget, given, key=f"k{n % 2}"), range(8)))
    assert sum(is_mine for _, is_mine in begun) == 2
    assert budget.reserved == Decimal("0.20")
    with engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        assert driver.autocommit is (level == "AUTOCOMMIT")
    engine.dispose()
