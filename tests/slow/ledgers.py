"""Processes that begin, join, adopt and settle entries of one ledger at the same time."""

from __future__ import annotations

import json
import multiprocessing
import random
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from oxen_inference import Budget, Ledger
from oxen_inference.errors import BudgetExceededError
from oxen_inference.ledger.entries import Intent, Scope
from oxen_inference.ledger.store import Begun
from oxen_inference.result import MediaItem
from tests.support.machines import pretend_to_be_another_machine

SCOPE = Scope("https://hub", "me")
UNIT = Decimal("0.01")


def intent(name: str, **changes: Any) -> Intent:
    fields: dict[str, Any] = {
        "scope": SCOPE, "fingerprint": name, "kind": "queue", "model": "m", "media_type": "image",
        "request": {"prompt": name},
    }  # fmt: skip
    return Intent(**{**fields, **changes})


def in_processes(work: Callable[..., Counter[str]], count: int, *arguments: Any) -> Counter[str]:
    """Run `work(number, *arguments)` in each of `count` processes; return the summed counts."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(count) as pool:
        tasks = [pool.apply_async(work, (number, *arguments)) for number in range(count)]
        return sum((task.get(900) for task in tasks), Counter())


def begin_many(number: int, location: str, limit: str, count: int) -> Counter[str]:
    """Begin requests without keys under one budget, as long as it lasts."""
    pretend_to_be_another_machine(number)
    ledger = Ledger(location)
    budget = Budget(limit, name="shared", ledger=ledger)
    seen: Counter[str] = Counter()
    for n in range(count):
        wanted = intent(f"{number}:{n}")
        try:
            begun = ledger.begin(wanted, budget.reservation(ledger, UNIT, 1))
        except BudgetExceededError:
            seen["refused"] += 1
            continue
        assert isinstance(begun, Begun)
        seen["begun"] += 1
        if n % 3 == 0:
            ledger.mark_posting(begun.entry)
            ledger.mark_accepted(begun.entry, [f"g{number}-{n}"], [])
            if n % 2:
                item = MediaItem(generation_id=f"g{number}-{n}", status="succeeded", cost=UNIT)
                ledger.update(begun.entry, [item])
                seen["settled"] += 1
    return seen


def begin_same_keys(number: int, location: str, limit: str, keys: int) -> Counter[str]:
    """Begin the same keys as every other process, in an order of its own, and do all moves."""
    pretend_to_be_another_machine(number)
    ledger = Ledger(location)
    budget = Budget(limit, name="shared", ledger=ledger)
    order = list(range(keys))
    random.Random(number).shuffle(order)
    seen: Counter[str] = Counter()
    for n in order:
        wanted = intent(f"{n}", key=f"k{n}", conversation=f"c{n % 10}")
        begun = ledger.begin(wanted, budget.reservation(ledger, UNIT, 1))
        assert isinstance(begun, Begun)
        if begun.is_mine and ledger.mark_posting(begun.entry):
            seen["sent"] += 1
            if n % 4 == 0:
                ledger.mark_unknown(begun.entry, {"message": "lost"})
            else:
                ledger.mark_accepted(begun.entry, [f"g{n}"], [])
        # Whoever meets it next may find the job, and learn what it cost.
        entry = ledger.get(begun.entry.entry_id)
        assert entry is not None
        if entry.state == "unknown" and ledger.mark_accepted(entry, [f"g{n}"], []):
            seen["adopted"] += 1
        item = MediaItem(generation_id=f"g{n}", status="succeeded", cost=UNIT)
        ledger.update(entry, [item])
        if begun.wait_id:
            ledger.leave(begun.wait_id)
    return seen


def totals(location: str) -> dict[str, Any]:
    """Return what a ledger holds, counted row by row."""
    ledger = Ledger(location)
    entries = ledger.entries()
    ids = [one for entry in entries for one in entry.generation_ids]
    assert len(ids) == len(set(ids)), "a generation belongs to two entries"
    return {
        "entries": len(entries),
        "reserved": sum((entry.reserved for entry in entries), Decimal(0)),
        "cost": sum((i.cost or Decimal(0) for e in entries for i in e.items), Decimal(0)),
        "states": json.dumps(Counter(entry.state for entry in entries), sort_keys=True),
    }
