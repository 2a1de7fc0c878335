"""The promises about money at full length: minutes, not seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.media.faults import judge
from tests.e2e.media.processes import kill_and_run_again

pytestmark = pytest.mark.slow


def test_a_thousand_faulty_enqueues(tmp_path: Path) -> None:
    print(judge(tmp_path, count=1000, seed=2))


def test_a_hundred_kills(tmp_path: Path) -> None:
    seen = kill_and_run_again(tmp_path, times=100, seed=4)
    print(dict(seen))
    assert seen["ok"] >= 98
