"""What a ledger promises to many processes on several machines, on both databases."""

from __future__ import annotations

from decimal import Decimal

import pytest

from oxen_inference import Budget, Ledger
from tests.slow.ledgers import UNIT, begin_many, begin_same_keys, in_processes, totals

pytestmark = pytest.mark.slow

PROCESSES = 4


def test_ten_thousand_begins_with_room_for_three_quarters(location: str) -> None:
    count = 2500
    room = PROCESSES * count * 3 // 4
    limit = str(UNIT * room)
    seen = in_processes(begin_many, PROCESSES, location, limit, count)
    budget = Budget(limit, name="shared", ledger=Ledger(location))
    counted = totals(location)
    print(dict(seen), counted)
    assert (seen["begun"], seen["refused"]) == (room, PROCESSES * count - room)
    assert counted["entries"] == room
    assert budget.spent == counted["cost"] == UNIT * seen["settled"]
    assert budget.reserved == counted["reserved"]
    assert budget.spent + budget.reserved == Decimal(limit)
    assert budget.remaining == 0


def test_the_same_thousand_keys_from_four_machines(location: str) -> None:
    keys = 1000
    limit = str(UNIT * keys)
    seen = in_processes(begin_same_keys, PROCESSES, location, limit, keys)
    budget = Budget(limit, name="shared", ledger=Ledger(location))
    counted = totals(location)
    print(dict(seen), counted)
    assert seen["sent"] == keys  # none twice, none never
    assert counted["entries"] == keys
    assert counted["states"] == '{"accepted": 1000}'
    assert (budget.spent, budget.reserved) == (Decimal(limit), 0)
