"""The promises about money at full length: minutes, not seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.media.faults import judge
from tests.e2e.media.processes import kill_and_run_again

pytestmark = pytest.mark.slow


def test_ten_thousand_faulty_enqueues(location: str) -> None:
    print(judge(location, count=10_000, seed=2))


def test_three_hundred_kills(tmp_path: Path) -> None:
    """On one machine; `test_fleet_proofs` has those over several, with PostgreSQL."""
    seen = kill_and_run_again(tmp_path, times=300, seed=4)
    print(dict(seen))
    assert seen["ok"] >= 290
