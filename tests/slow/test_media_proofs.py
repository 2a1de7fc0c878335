"""The promises about money at full length: minutes, not seconds."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.e2e.media.faults import judge
from tests.e2e.media.processes import kill_and_run_again

pytestmark = pytest.mark.slow


def test_ten_thousand_faulty_enqueues(location: str) -> None:
    """By processes that share one ledger; each part has a hub and a budget of its own."""
    with get_context("spawn").Pool(5) as pool:
        parts = pool.starmap(judge, [(location, 500, seed) for seed in range(2, 22)], chunksize=1)
    print({name: sum(part[name] for part in parts) for name in parts[0]})


def test_three_hundred_kills(tmp_path: Path) -> None:
    """On one machine; `test_fleet_proofs` has those over several, with PostgreSQL."""
    seen = kill_and_run_again(tmp_path, times=300, seed=4)
    print(dict(seen))
    assert seen["ok"] >= 290
