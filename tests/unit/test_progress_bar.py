"""The display of a run: a bar for people, lines for logs."""

from __future__ import annotations

import io
from decimal import Decimal

import pytest
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


def lines(*elapsed: float, **terminal: bool) -> list[str]:
    out = io.StringIO()
    bar = ProgressBar(Console(file=out, width=200, **terminal))
    for each in elapsed:
        bar(event(elapsed=each, seconds_left=100 - each))
    bar.close()
    bar.close()
    return out.getvalue().splitlines()


def test_a_log_gets_a_line_soon_then_now_and_then_and_at_the_end() -> None:
    start = "3 of 4 done, 1 failed, $0.05 spent, $0.02 reserved"
    shown = lines(0.5, 3.5, 4.0, 33.0, 34.0, 63.0, 64.5, 70.0)
    assert shown == [f"{start}, {left} left" for left in ("1:36", "1:06", "0:35", "0:30")]
    assert lines(3.5) == [f"{start}, 1:36 left"]
    assert lines(0.5, 2.5) == []


def test_a_terminal_without_a_cursor_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert len(lines(4.0, 35.0, force_terminal=True)) == 2


def test_a_line_says_what_is_waited_for() -> None:
    out = io.StringIO()
    bar = ProgressBar(Console(file=out, width=200))
    bar(event(paused=20.0))
    assert out.getvalue().endswith("$0.02 reserved, paused for 20 s, as Oxen asks\n")


def test_what_was_bought_before_is_not_called_spent() -> None:
    out = io.StringIO()
    bar = ProgressBar(Console(file=out, width=200))
    bar(event(failed=0, bought=0, reserved=Decimal(0), paused=20.0))
    bar(event(failed=0, bought=1, reserved=Decimal(0), paused=20.0, elapsed=90.0))
    assert "$0.05 paid before, paused" in out.getvalue()
    assert "$0.05 spent, paused" in out.getvalue()
