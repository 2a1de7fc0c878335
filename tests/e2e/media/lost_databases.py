"""Workers that go on through the deaths of their database."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import replace

from oxen_inference import Budget, Ledger, LedgerError
from tests.e2e.media.calls import QUICK, quick_client
from tests.support.bad_hub import BadHub
from tests.support.machines import MortalPostgres

PACE = replace(QUICK, lookup=1.0)


def work_through_deaths(
    database: MortalPostgres, hub: BadHub, *, deaths: int, workers: int, seed: int
) -> Counter[str]:
    """Kill the database `deaths` times while workers generate, each its own keys; count what they
    met. Every call that the database failed is made again with its key.
    """
    Ledger(database.url).setup()
    is_over = threading.Event()
    seen: Counter[str] = Counter()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        ledger = Ledger(database.url)
        n = 0
        with quick_client(hub, ledger, pace=PACE) as client:
            while not (is_over.is_set() or failures):
                key = f"{number}-{n}"
                try:
                    budget = Budget(1000, name="shared", ledger=ledger)
                    result = client.media.generate(
                        model="bad-image", prompt=key, key=key, budget=budget, timeout=60
                    )
                except LedgerError:
                    seen["failed"] += 1
                    time.sleep(0.2)
                    continue
                assert result.succeeded
                seen["made"] += 1
                n += 1

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(workers)]
    for thread in threads:
        thread.start()
    dice = random.Random(seed)
    try:
        for _ in range(deaths):
            time.sleep(dice.uniform(0.3, 1.0))
            database.kill()
            time.sleep(dice.uniform(0.0, 0.5))
            database.start()
        time.sleep(1.0)
    finally:
        is_over.set()
        for thread in threads:
            thread.join(120)
    if failures:
        raise failures[0]
    prompts = Counter(str(one.body["prompt"]) for one in hub.accepted)
    twice = {prompt: count for prompt, count in prompts.items() if count > 1}
    assert not twice, twice
    return seen


def check_accounts(database: MortalPostgres, hub: BadHub) -> None:
    """Every job that was bought belongs to one entry, and the budget has what they cost."""
    ledger = Ledger(database.url)
    with quick_client(hub, ledger, pace=PACE) as client:
        client.media.reconcile()
    entries = ledger.entries()
    known = Counter(each for entry in entries for each in entry.generation_ids)
    assert known == Counter(each for one in hub.accepted for each in one.ids)
    budget = Budget(1000, name="shared", ledger=ledger)
    spent = sum((item.cost or 0 for entry in entries for item in entry.items), 0)
    assert budget.spent == spent
    assert budget.reserved == sum(entry.reserved for entry in entries)
    ledger.close()
