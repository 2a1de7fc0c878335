"""A hard limit: exact to the last digit, one per name."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oxen_inference import Budget, Journal
from oxen_inference.errors import BudgetExceededError, ConfigurationError, InvalidInputError

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


def test_floats_mean_what_they_show() -> None:
    assert Budget(0.1).limit == Decimal("0.1")
    assert Budget("$5").limit == 5


def test_a_name_is_one_budget(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite3"
    Budget("2.00", name="studio", journal=Journal(path)).record("0.5")
    again = Budget("2", name="studio", journal=Journal(path))
    assert again.spent == Decimal("0.5")
    assert Budget("2", name="other", journal=Journal(path)).spent == 0
    with pytest.raises(ConfigurationError, match=r"'studio' .* limit of \$2\.00, not \$3\.00"):
        Budget(3, name="studio", journal=Journal(path))


def test_without_a_name_it_is_this_object() -> None:
    one, two = Budget(1), Budget(1)
    one.record("0.4")
    assert two.spent == 0
    assert copy.deepcopy(one) is one
    with pytest.raises(TypeError, match="name it"):
        pickle.dumps(one)


def test_a_named_one_travels(tmp_path: Path) -> None:
    budget = Budget(1, name="b", journal=Journal(tmp_path / "j.sqlite3"))
    budget.record("0.4")
    assert pickle.loads(pickle.dumps(budget)).spent == Decimal("0.4")


@settings(max_examples=25, deadline=None)
@given(limit=MONEY, amounts=st.lists(MONEY, max_size=12))
def test_no_order_of_reservations_exceeds_it(limit: Decimal, amounts: list[Decimal]) -> None:
    budget = Budget(limit)
    held = Decimal(0)
    for number, amount in enumerate(amounts):
        try:
            with budget.file.writing() as connection:
                budget.reserve(connection, f"entry {number}", amount, 1)
            held += amount
        except BudgetExceededError:  # noqa: PERF203 - each may be refused
            assert held + amount > limit
    assert budget.reserved == held <= limit


def test_fifty_threads_cannot_exceed_it() -> None:
    budget = Budget("1.00")

    def hold(number: int) -> bool:
        try:
            with budget.file.writing() as connection:
                budget.reserve(connection, f"entry {number}", Decimal("0.03"), 1)
        except BudgetExceededError:
            return False
        return True

    with ThreadPoolExecutor(50) as threads:
        assert sum(threads.map(hold, range(200))) == 33
    assert budget.reserved == Decimal("0.99")
