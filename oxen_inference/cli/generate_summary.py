"""What became of a run of the command `generate`, and its exit status."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxen_inference.cli.output import print_json, print_line, show_control

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.errors import OxenError

OK, SOME_FAILED, BAD_ARGUMENTS, STOPPED, INTERRUPTED = 0, 1, 2, 3, 130
ALREADY_MADE = "already made, nothing is bought"
_MOST_SHOWN = 20


class Summary:
    """What became of a run."""

    def __init__(self, results: Path, noun: str = "result", *, is_repeated: bool = False) -> None:
        self._results = results
        self._noun = noun
        self._is_repeated = is_repeated  # a run that was finished before
        self.made = 0
        self._started = time.monotonic()
        self.succeeded = self.failed = self.not_fetched = 0
        self.spent = Decimal(0)
        self.errors: Counter[str] = Counter()
        self.rows_not_fetched: list[int] = []
        self.interrupted = False
        self.stopped: OxenError | None = None
        self.not_sent = 0

    @property
    def total(self) -> int:
        return self.succeeded + self.failed

    def add(self, row: Mapping[str, Any]) -> None:
        """Count one line of the results file."""
        self.spent += Decimal(row["cost"] or 0)
        if row["error"] is None:
            self.succeeded += 1
            self.made += max(len(row["generation_ids"]), len(row["files"]), 1)
            return
        self.failed += 1
        self.errors[row["error"]["type"]] += 1
        if row["error"]["type"] == "DownloadError":
            self.not_fetched += 1
            if len(self.rows_not_fetched) < _MOST_SHOWN:
                self.rows_not_fetched.append(row["row"])

    def show(self, run_id: str, options: argparse.Namespace, out: Console) -> int:
        """Print it, and return the exit status."""
        from oxen_inference.money import usd

        status = self._status()
        if options.json:
            print_json({
                "run": run_id, "succeeded": self.succeeded, "failed": self.failed,
                "made": self.made, "already_made": self._is_repeated, "not_sent": self.not_sent, "spent": f"{self.spent:f}", "errors": dict(self.errors),
                "not_fetched_rows": self.rows_not_fetched, "results": str(self._results),
                "stopped": None if self.stopped is None else str(self.stopped),
                "interrupted": self.interrupted, "status": status,
            })  # fmt: skip
            return status
        parts = [_counted(self.made, self._noun) + ("" if self._is_repeated else " made")]
        parts += [f"{_counted(self.failed, 'request')} failed"] if self.failed else []
        parts += [f"{_counted(self.not_sent, 'request')} not done"] if self.not_sent else []
        parts += [ALREADY_MADE if self._is_repeated else usd(self.spent)]
        print_line(out, f"{', '.join(parts)}; {self._results}")
        for line in self._explanations():
            print(show_control(line), file=sys.stderr)
        return status

    def _status(self) -> int:
        if self.interrupted:
            return INTERRUPTED
        if self.stopped is not None:
            return STOPPED
        return SOME_FAILED if self.failed else OK

    def _explanations(self) -> Iterator[str]:
        if self.stopped is not None:
            yield f"stopped: {self.stopped}"
        elif self.interrupted:
            yield "interrupted: what was sent goes on at Oxen"
        for kind, count in self.errors.most_common():
            yield f"{count:,} × {kind}"
        if self.rows_not_fetched:
            more = ", …" if self.not_fetched > len(self.rows_not_fetched) else ""
            rows = ", ".join(map(str, self.rows_not_fetched)) + more
            yield f"paid for but not saved: rows {rows}; the same command fetches them, for free"
        if self.interrupted or self.not_sent or self.failed:
            yield "run the same command again to go on; what was paid for is not paid for again"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
