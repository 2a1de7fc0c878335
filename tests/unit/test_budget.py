"""A hard limit: exact to the last digit, one per name."""

from __future__ import annotations

import copy
import os
import pickle
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oxen_inference import Budget, Ledger
from oxen_inference.cli.generate.money import check_budget, read_budget
from oxen_inference.errors import (
    BudgetExceededError,
    ConfigurationError,
    InvalidInputError,
    LedgerError,
)
from oxen_inference.ledger.budgets import RunBudget
from oxen_inference.ledger.entries import Intent, Scope
from oxen_inference.ledger.store import Begun
from tests.support.databases import sql

MONEY = st.decimals(0, 5, places=6)


def test_it_counts() -> None:
    budget = Budget("20.00")
    budget.record("1.50", "chat")
    budget.record(Decimal("0.0000001"))
    assert budget.spent == Decimal("1.5000001")
    assert budget.remaining == Decimal("18.4999999")
    budget.check("18.4999999")
    with pytest.raises(BudgetExceededError, match="Nothing was sent"):
        budget.check("18.5")


def test_what_was_spent_beyond_it_blocks_even_what_is_free() -> None:
    budget = Budget(1)
    budget.record("3")
    assert budget.spent == 3
    assert budget.remaining == 0
    with pytest.raises(BudgetExceededError):
        budget.check(0)


@pytest.mark.parametrize("limit", ["", "ten", "-1", "NaN", "inf", None, True, [1]])
def test_a_limit_is_an_amount(limit: Any) -> None:
    with pytest.raises(InvalidInputError, match="limit must be an amount"):
        Budget(limit)


def test_a_limit_counts_as_the_ledger_keeps_it(tmp_path: Path) -> None:
    third, ledger = 10 / 3, Ledger(tmp_path / "j.sqlite3")
    named = Budget(third, name="b", ledger=ledger)
    assert Budget(third, name="b", ledger=ledger).limit == named.limit == Decimal("3.33333333")
    hold(Budget(third), ledger, "entry", Decimal("0.1"))
    unbound = Budget(1)
    for budget in (named, unbound):
        budget.change_limit("2.000000009")  # never rounded up: it is a limit
        assert budget.limit == 2
    assert Budget("2.000000009", name="b", ledger=ledger).remaining == 2
    options = Namespace(budget=read_budget("b=2.000000009"))
    client: Any = SimpleNamespace(media=SimpleNamespace(ledger=ledger))
    check_budget(client, options)


def test_floats_mean_what_they_show() -> None:
    assert Budget(0.1).limit == Decimal("0.1")
    assert Budget("$5").limit == 5


def test_a_name_is_one_budget(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    Budget("2.00", name="studio", ledger=Ledger(path)).record("0.5")
    again = Budget("2", name="studio", ledger=Ledger(path))
    assert again.spent == Decimal("0.5")
    assert Budget("2", name="other", ledger=Ledger(path)).spent == 0
    with pytest.raises(ConfigurationError, match=r"'studio' .* limit of \$2\.00, not \$3\.00"):
        Budget(3, name="studio", ledger=Ledger(path))


@pytest.mark.parametrize("name", ["studio", None])
def test_a_limit_can_be_changed_for_all(name: str | None, tmp_path: Path) -> None:
    ledger = None if name is None else Ledger(tmp_path / "j.sqlite3")
    budget = Budget("1.00", name=name, ledger=ledger)
    budget.record("0.75")
    budget.change_limit("0.50")
    assert (budget.limit, budget.remaining) == (Decimal("0.50"), 0)
    with pytest.raises(BudgetExceededError, match=r"of the \$0\.50"):
        budget.check("0.01")
    budget.change_limit(2)
    budget.check("1.25")
    if name is not None:
        assert Budget(2, name=name, ledger=ledger).remaining == Decimal("1.25")
    with pytest.raises(InvalidInputError, match="limit must be an amount"):
        budget.change_limit("lots")


def test_a_named_one_whose_ledger_was_replaced_pays_for_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "j.sqlite3")
    budget = Budget("1.00", name="studio", ledger=ledger)
    ledger.close()
    (tmp_path / "j.sqlite3").unlink()
    with pytest.raises(LedgerError, match="is missing: it was removed"):
        budget.check("0.01")


def test_a_call_that_is_settled_twice_is_charged_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "j.sqlite3")
    budget = Budget(1, name="studio", ledger=ledger)
    held = budget.hold(ledger, Decimal("0.5"))
    for _ in range(2):  # a commit may be done and reported as failed
        held.settle(Decimal("0.2"), "a call")
    assert (budget.spent, budget.reserved) == (Decimal("0.2"), 0)


def test_without_a_name_it_is_this_object() -> None:
    one, two = Budget(1), Budget(1)
    one.record("0.4")
    assert two.spent == 0
    assert copy.deepcopy(one) is copy.copy(one) is one
    with pytest.raises(TypeError, match="name it"):
        pickle.dumps(one)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_does_not_take_it_along() -> None:
    budget = Budget("0.15")
    pid = os.fork()
    if pid == 0:
        try:
            budget.check("0.10")
        except ConfigurationError as error:
            os._exit(0 if "name" in str(error) else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    budget.check("0.15")


def test_a_name_needs_a_ledger_that_lasts() -> None:
    with pytest.raises(ConfigurationError, match="'b' needs a ledger that outlives"):
        Budget(1, name="b", ledger=Ledger.in_memory())


def test_a_named_one_travels(tmp_path: Path) -> None:
    budget = Budget(1, name="b", ledger=Ledger(tmp_path / "j.sqlite3"))
    budget.record("0.4")
    assert pickle.loads(pickle.dumps(budget)).spent == Decimal("0.4")


@settings(max_examples=25, deadline=None)
@given(limit=MONEY, amounts=st.lists(MONEY, max_size=12))
def test_no_order_of_reservations_exceeds_it(limit: Decimal, amounts: list[Decimal]) -> None:
    budget, ledger = Budget(limit), Ledger.in_memory()
    reserved = Decimal(0)
    for number, amount in enumerate(amounts):
        try:
            hold(budget, ledger, f"entry {number}", amount)
            reserved += amount
        except BudgetExceededError:  # noqa: PERF203 - each is tried
            assert reserved + amount > limit
    assert budget.reserved == reserved <= limit


def an_intent(name: str) -> Intent:
    return Intent(
        scope=Scope("https://hub", "me"), fingerprint=name, kind="queue", model="m",
        media_type="image", request={},
    )  # fmt: skip


def hold(budget: Budget, ledger: Ledger, entry_id: str, amount: Decimal) -> None:
    reservation = budget.reservation(ledger, amount, 1)
    begun = ledger.begin(an_intent(entry_id), reservation)
    assert isinstance(begun, Begun)


def test_fifty_threads_cannot_exceed_it() -> None:
    budget, ledger = Budget("1.00"), Ledger.in_memory()

    def try_to_hold(number: int) -> bool:
        try:
            hold(budget, ledger, f"entry {number}", Decimal("0.03"))
        except BudgetExceededError:
            return False
        return True

    with ThreadPoolExecutor(50) as threads:
        assert sum(threads.map(try_to_hold, range(200))) == 33
    assert budget.reserved == Decimal("0.99")


def test_a_run_s_budget_moves_to_the_ledger_that_pays_and_counts_once(tmp_path: Path) -> None:
    first, paying = Ledger(tmp_path / "first"), Ledger(tmp_path / "paying")
    budget = RunBudget("1.00", name="agent-run:1", ledger=first)
    budget.record("0.30", "chat")
    hold(budget, paying, "entry", Decimal("0.50"))
    assert budget.ledger is paying
    assert (budget.spent, budget.reserved) == (Decimal("0.30"), Decimal("0.50"))
    resumed = RunBudget("1.00", name="agent-run:1", ledger=first)
    with pytest.raises(BudgetExceededError):
        hold(resumed, paying, "another entry", Decimal("0.30"))
    assert resumed.spent == Decimal("0.30")
    with pytest.raises(ConfigurationError, match="in one ledger"):
        hold(budget, first, "third entry", Decimal("0.01"))


def test_what_a_resumed_run_spends_before_it_moves_counts_too(tmp_path: Path) -> None:
    first, paying = Ledger(tmp_path / "first"), Ledger(tmp_path / "paying")
    for number, recorded in enumerate(("0.10", "0.60")):
        budget = RunBudget("1.00", name="agent-run:1", ledger=first)
        budget.record(recorded, "chat")
        hold(budget, paying, f"entry {number}", Decimal("0.10"))
    assert (budget.spent, budget.reserved) == (Decimal("0.70"), Decimal("0.20"))
    with pytest.raises(BudgetExceededError):
        hold(budget, paying, "entry 2", Decimal("0.20"))


@pytest.mark.parametrize("cost", ["0.30", "0.55"])
def test_a_chat_call_that_goes_on_while_the_budget_moves_counts_there(
    cost: str, tmp_path: Path
) -> None:
    first, paying = Ledger(tmp_path / "first"), Ledger(tmp_path / "paying")
    budget = RunBudget("1.00", name="agent-run:1", ledger=first)
    budget.record("0.05", "chat")
    answer = budget.hold(first, Decimal("0.40"))
    with pytest.raises(BudgetExceededError):
        hold(budget, paying, "too much", Decimal("0.60"))
    hold(budget, paying, "entry", Decimal("0.20"))
    assert budget.remaining == Decimal("0.35")
    answer.settle(Decimal(cost), "chat")
    assert (budget.spent, budget.reserved) == (Decimal("0.05") + Decimal(cost), Decimal("0.20"))
    with pytest.raises(BudgetExceededError):
        hold(budget, paying, "again too much", Decimal("0.50"))
    budget.record("0.01", "chat")
    assert budget.spent == Decimal("0.06") + Decimal(cost)


def test_a_chat_call_that_died_before_the_budget_moved_counts_nowhere(tmp_path: Path) -> None:
    first, paying = Ledger(tmp_path / "first"), Ledger(tmp_path / "paying")
    budget = RunBudget("1.00", name="agent-run:1", ledger=first)
    budget.hold(first, Decimal("0.90"))
    sql(first, "UPDATE oxen_holds SET lease_id = 'of a process that is gone'")
    hold(budget, paying, "entry", Decimal("0.20"))
    assert (budget.spent, budget.reserved) == (0, Decimal("0.20"))


def test_what_processes_move_at_once_counts_once(tmp_path: Path) -> None:
    first, paying = Ledger(tmp_path / "first"), Ledger(tmp_path / "paying")
    RunBudget("1.00", name="agent-run:1", ledger=first).record("0.30", "chat")

    def resume(number: int) -> None:
        budget = RunBudget("1.00", name="agent-run:1", ledger=first)
        hold(budget, paying, f"entry {number}", Decimal("0.10"))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(resume, range(4)))
    known = Budget("1.00", name="agent-run:1", ledger=paying)
    assert (known.spent, known.reserved) == (Decimal("0.30"), Decimal("0.40"))


def test_a_name_is_no_longer_than_every_database_can_hold(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "j.sqlite3")
    assert Budget(1, name=1000 * "n", ledger=ledger).spent == 0
    for name in (1001 * "n", 501 * "ß", 7):
        with pytest.raises(ConfigurationError, match="text of at most 1,000 bytes"):
            Budget(1, name=name, ledger=ledger)  # type: ignore[arg-type]  # on purpose
