"""No lock that another thread holds when a process forks is held in the child."""

from __future__ import annotations

import os
import re
import threading
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import langchain_oxen
import llama_index_oxen
import oxen_inference
from oxen_inference import Ledger, drivers
from oxen_inference.catalog import cache, deployments
from oxen_inference.ledger import leases
from oxen_inference.media import fetch
from oxen_inference.media.bulk_run import BulkOptions, BulkRun
from oxen_inference.tools.calls import CallNumbers
from tests.support.forks import exit_status, fork

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def test_every_lock_is_renewed_in_a_child() -> None:
    """Where a module makes a plain lock, it says what becomes of it in a child."""
    plain = re.compile(r"threading\.(R?Lock|Condition|(Bounded)?Semaphore)\b")
    found = [
        path.name
        for package in (oxen_inference, langchain_oxen, llama_index_oxen)
        for path in Path(str(package.__file__)).parent.rglob("*.py")
        if plain.search(text := path.read_text()) and "register_at_fork" not in text
    ]
    assert found == []


def held_and_used(folder: Path) -> dict[str, tuple[Any, Callable[[], object]]]:
    """A lock of each kind, and what needs it."""
    from langchain_oxen import MediaProgressBars, OxenBudgetMiddleware, call_site
    from langchain_oxen.costs import OxenCost

    ledger = Ledger(folder / "ledger.sqlite3")
    lease = leases.Lease(ledger.database)
    lease.beat()
    cost, bars, numbers = OxenCost(), MediaProgressBars(), CallNumbers()
    middleware = OxenBudgetMiddleware("1.00", ledger=ledger)
    middleware.budget_of({"oxen_budget": "run:1"})
    slot = fetch._slots.of("entry", "item", folder)
    file = folder / "a.png"
    file.write_bytes(b"png")
    fetched: Any = SimpleNamespace(path=file)
    scratchpad = SimpleNamespace(interrupt_counter=[])
    run = BulkRun(BulkOptions(), 1, threading.Event(), lambda: None)
    claim = deployments.Claim("hub", "model")
    return {
        "pools": (drivers._pools_lock, lambda: drivers._pool("disk")),
        "catalogs": (cache._caches_lock, lambda: cache.shared_cache("hub", "key")),
        "deployments": (deployments._deployments.lock, claim.enter),
        "ledger": (ledger.database._lock, ledger.budgets),
        "lease": (lease._lock, lambda: lease.id),
        "heartbeats": (leases._heart._lock, lambda: leases._keep(lease)),
        "files": (
            fetch._slots._lock,
            lambda: fetch._slots.of("entry", "another", folder),
        ),
        "file": (
            slot.lock,
            lambda: fetch._save_once(lambda: fetched, "entry", "item", folder),
        ),
        "run": (run.lock, lambda: run.progress),
        "numbers": (numbers._lock, lambda: numbers.take("request")),
        "costs": (cost._lock, lambda: cost.add_media({"g": Decimal(1)})),
        "bars": (bars._lock, lambda: bars.on_tool_end("an ox", run_id=uuid.uuid4())),
        "calls": (call_site._lock, lambda: call_site._numbers_of(scratchpad)),
        "budgets": (middleware._lock, lambda: middleware.budget_of({"oxen_budget": "run:1"})),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_no_lock_stays_held_in_a_child(tmp_path: Path) -> None:
    for name, (lock, use) in held_and_used(tmp_path).items():
        is_held, may_end = threading.Event(), threading.Event()

        def hold(lock: Any = lock, held: Any = is_held, end: Any = may_end) -> None:
            with lock:
                held.set()
                end.wait(120)

        thread = threading.Thread(target=hold)
        thread.start()
        assert is_held.wait(60)
        child = fork(use)
        try:
            assert exit_status(child) == 0, name
        finally:
            may_end.set()
        thread.join()
