"""How many requests are begun a second under one budget that has many open reservations."""

from __future__ import annotations

import time
from decimal import Decimal
from statistics import median
from typing import Any

from sqlalchemy import insert, text

from oxen_inference import Budget, Ledger
from oxen_inference.ledger.entries import Intent, Scope
from oxen_inference.ledger.schema import budgets, entries, reservations

OPEN = (100, 10_000, 100_000)
BEGINS, ROUNDS = 100, 5
UNIT = 1_000_000  # hundred-millionths of a dollar
SCOPE = Scope("https://hub", "me")


def begins_per_second(location: str) -> dict[int, float]:
    """Return how many requests are begun a second under one budget, for each of `OPEN`."""
    ledger = Ledger(location)
    ledger.setup()
    budget = Budget(100_000_000, name="shared", ledger=ledger)
    rates: dict[int, float] = {}
    there = 0
    for wanted in OPEN:
        _reserve(ledger, there, wanted - there)
        there = wanted
        timed = []
        for number in range(ROUNDS):
            started = time.perf_counter()
            for n in range(BEGINS):
                name = f"{wanted}-{number}-{n}"
                intent = Intent(
                    scope=SCOPE, fingerprint=name, kind="queue", model="m", media_type="image",
                    request={"model": "m", "prompt": name}, key=name,
                )  # fmt: skip
                ledger.begin(intent, budget.reservation(ledger, Decimal("0.01"), 1))
            timed.append(BEGINS / (time.perf_counter() - started))
        rates[wanted] = median(timed)
    ledger.close()
    return rates


def _reserve(ledger: Ledger, first: int, count: int) -> None:
    """Write entries with open reservations, as many begins would have left them."""
    numbers, lease = range(first, first + count), ledger.lease_id
    with ledger.database.writing() as connection:
        for start in range(0, count, 5000):
            some = numbers[start : start + 5000]
            connection.execute(insert(entries), [_entry(n, lease) for n in some])
            rows = [
                {"entry_id": f"e{n}", "budget": "shared", "unit": UNIT, "open": 1} for n in some
            ]
            connection.execute(insert(reservations), rows)
        connection.execute(budgets.update().values(reserved=budgets.c.reserved + count * UNIT))
    with ledger.database.writing() as connection:
        connection.execute(text("ANALYZE"))


def _entry(number: int, lease: str) -> dict[str, Any]:
    return {
        "entry_id": f"e{number}", "hub": SCOPE.hub, "account": SCOPE.account, "key": f"k{number}",
        "fingerprint": f"f{number}", "kind": "queue", "model": "m", "media_type": "image",
        "request": "{}", "defaults": "{}", "count": 1, "state": "unknown", "attempt": 0,
        "owner": lease, "created_at": 0.0, "notes": "[]",
    }  # fmt: skip
