"""Randomised faulty enqueues, judged by the hub's own count of what it accepted."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from oxen_inference import Budget, Ledger
from oxen_inference.errors import EnqueueOutcomeUnknown, OxenError
from tests.e2e.media.calls import QUICK, quick_async_client, quick_client
from tests.support.bad_hub import BadHub, random_plan

UNIT = Decimal("0.05")
AT_ONCE = 32
SOON = 0.4
"""Seconds until an answer that never comes is given up."""
PACE = replace(QUICK, lookup_interval=0.15)
"""A third of the requests have an unknown outcome: with fewer looks, ten thousand end sooner."""


def enqueue_all(hub: BadHub, ledger: Ledger, count: int, budget: Budget) -> dict[str, object]:
    """Enqueue `count` jobs, half by threads and half by tasks; return each prompt's outcome."""
    outcomes: dict[str, object] = {}

    def remember(prompt: str, outcome: object) -> None:
        outcomes[prompt] = outcome

    with (
        quick_client(hub, ledger, pace=PACE, timeout=SOON) as client,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):

        def one(prompt: str) -> None:
            try:
                handle = client.media.submit(model="bad-image", prompt=prompt, budget=budget)
                remember(prompt, handle.generation_ids)
            except OxenError as error:
                remember(prompt, error)

        list(threads.map(one, [f"sync {number}" for number in range(count // 2)]))

    async def by_tasks() -> None:
        async with quick_async_client(hub, ledger, pace=PACE, timeout=SOON) as client:
            places = asyncio.Semaphore(AT_ONCE)

            async def one(prompt: str) -> None:
                async with places:
                    try:
                        handle = await client.media.submit(
                            model="bad-image", prompt=prompt, budget=budget
                        )
                        remember(prompt, handle.generation_ids)
                    except OxenError as error:
                        remember(prompt, error)

            await asyncio.gather(*(one(f"async {n}") for n in range(count - count // 2)))

    asyncio.run(by_tasks())
    return outcomes


def judge(location: Path | str, count: int, seed: int) -> dict[str, int]:
    """Run it with the ledger there, and check every promise; return the counts."""
    ledger = Ledger(location)
    ledger.setup()
    with BadHub(plan=random_plan(seed), lag=0.1, states_date=True) as hub:
        budget = Budget(1000, name=f"faults {seed}", ledger=ledger)
        outcomes = enqueue_all(hub, ledger, count, budget)
        assert len(outcomes) == count
        known, unknown = 0, 0
        for prompt, outcome in outcomes.items():
            bought = hub.submissions_of(prompt)
            assert len(bought) <= 1, f"{prompt} was billed twice: {outcome!r}"
            if isinstance(outcome, tuple):
                assert [one.ids for one in bought] == [list(outcome)], prompt
                known += 1
            elif isinstance(outcome, EnqueueOutcomeUnknown):
                assert not outcome.is_retryable
                unknown += 1
            else:
                assert not bought, f"{prompt} was bought and then called refused: {outcome!r}"
        open_entries = known + unknown
        assert budget.reserved + budget.spent == UNIT * open_entries

        with quick_client(hub, ledger) as client:
            client.media.reconcile()
            entries = client.media.jobs()
        owned = {one for entry in entries for one in entry.generation_ids}
        lost = [one for sub in hub.accepted for one in sub.ids if one not in owned]
        assert not lost, f"{len(lost)} paid for and lost"
        assert budget.spent == UNIT * len(owned)
        return {
            "enqueued": count, "accepted by the hub": len(hub.accepted), "ids known at once": known,
            "of unknown outcome": unknown, "billed twice": 0, "lost": len(lost),
        }  # fmt: skip
