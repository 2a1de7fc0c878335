"""The display of a run: a bar for people, lines for logs."""

from __future__ import annotations

import io
from decimal import Decimal

from rich.console import Console

from oxen_inference.progress_bar import ProgressBar
from oxen_inference.result import BulkProgress


def event(**changes: object) -> BulkProgress:
    known = {
        "total": 4, "taken": 4, "succeeded": 2, "failed": 1, "spent": Decimal("0.05"),
        "reserved": Decimal("0.02"), "elapsed": 30.0, "seconds_left": 65.0,
    }  # fmt: skip
    return BulkProgress(**{**known, **changes})  # type: ignore[arg-type]


def test_a_terminal_shows_a_bar() -> None:
    out = io.StringIO()
    bar = ProgressBar(Console(file=out, force_terminal=True, force_jupyter=False, width=120))
    bar(event(succeeded=0, failed=0))
    bar(event())
    bar.close()
    bar.close()
    for part in ("3/4", "$0.05 spent, $0.02 reserved", "1 failed", "1:05 left"):
        assert part in out.getvalue()


def test_a_log_gets_a_line_now_and_then() -> None:
    out = io.StringIO()
    bar = ProgressBar(Console(file=out, force_terminal=False, width=200))
    for elapsed in (1.0, 16.0, 17.0, 40.0):
        bar(event(elapsed=elapsed, paused=elapsed - 10))
    bar.close()
    assert out.getvalue().splitlines() == [
        "3 of 4 done, 1 failed, $0.05 spent, $0.02 reserved, paused for 6 s, as Oxen asks",
        "3 of 4 done, 1 failed, $0.05 spent, $0.02 reserved, paused for 30 s, as Oxen asks",
    ]
