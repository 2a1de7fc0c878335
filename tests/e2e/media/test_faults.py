"""Whatever happens to a paid request: never billed twice, never lost."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.media.faults import judge


def test_faulty_enqueues_are_never_billed_twice_and_never_lost(tmp_path: Path) -> None:
    counts = judge(tmp_path / "ledger.sqlite3", count=50, seed=1)
    assert counts["accepted by the hub"] > 15  # the faults did not stop everything
