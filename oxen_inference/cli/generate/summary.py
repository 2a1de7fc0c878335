"""What became of a run of the command `generate`, and its exit status."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxen_inference.cli.generate.plan import ALREADY_MADE, Plan
from oxen_inference.cli.generate.results import ResultsFile, partial_failure
from oxen_inference.cli.generate.state import Run
from oxen_inference.cli.output import counted, print_json, print_line, show_control
from oxen_inference.cli.words import in_commands

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.errors import OxenError
    from oxen_inference.result import BulkProgress, MediaResult

OK, SOME_FAILED, NOTHING_SENT, STOPPED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143
_MOST_ROWS_SHOWN = 20
_MOST_KINDS = 100
_MOST_KINDS_SHOWN = 8


@dataclass(slots=True)
class _Failures:
    """Failures of one kind, with the first of them."""

    type: str
    row: int
    example: str
    count: int = 0


class Summary:
    """What became of a run."""

    def __init__(self, results: Path, options: argparse.Namespace, plan: Plan, run: Run) -> None:
        self._results = results
        self._options = options
        self._run = run
        self._noun = plan.noun
        self._count = plan.count
        self._is_repeated = plan.earlier["made"] == plan.count
        self.made = self.succeeded = self.partial = self.failed = self.not_sent = 0
        self.bought = 0
        """Results that this process bought itself."""
        self.spent = Decimal(0)
        self.errors: Counter[str] = Counter()
        self.rows_not_fetched: list[int] = []
        self.interrupted: int | None = None
        """The exit status of a run that was interrupted."""
        self.stopped: OxenError | ValueError | None = None
        self._kinds: dict[tuple[type, str], _Failures] = {}
        self._is_anything_sent = False
        self._helps_again = False
        self._helps_attempts = False
        self._unknown = 0
        self._left_out = 0
        self._file_problem: str | None = None

    @property
    def not_done(self) -> int:
        """Requests of an interrupted run whose outcome did not come."""
        return self._count - self.succeeded - self.partial - self.failed - self.not_sent

    def add(self, row: Mapping[str, Any], outcome: MediaResult | OxenError | None) -> None:
        """Count a row of the results file; `outcome` is None for one that the run ended before."""
        from oxen_inference.errors import MediaError
        from oxen_inference.result import MediaResult

        if isinstance(outcome, MediaResult):
            self.made += len(outcome.succeeded)
            self._is_anything_sent = True
            failure = partial_failure(outcome)
            if failure is None:
                self.succeeded += 1
            else:
                self.partial += 1
                self._add_failure(row, failure)
            return
        self._is_anything_sent |= row["entry_id"] is not None or isinstance(outcome, MediaError)
        if row["status"] == "not_sent":
            self.not_sent += 1
        else:
            self.failed += 1
        if isinstance(outcome, Exception):
            self._add_failure(row, outcome)

    def _add_failure(self, row: Mapping[str, Any], error: OxenError) -> None:
        from oxen_inference.errors import (
            DownloadError,
            EnqueueOutcomeUnknown,
            GenerationTimeout,
            LedgerError,
        )
        from oxen_inference.media.attempts import group_of, may_pass_another_time

        name = type(error).__name__
        self.errors[name] += 1
        kind = group_of(error)
        if len(self._kinds) >= _MOST_KINDS and kind not in self._kinds:
            kind = type(error), ""
        example = _Failures(name, row["row"], in_commands(str(error)))
        self._kinds.setdefault(kind, example).count += 1
        if isinstance(error, DownloadError):
            self.rows_not_fetched.append(row["row"])
        passing = (DownloadError, GenerationTimeout, LedgerError)
        self._helps_again |= error.is_retryable or isinstance(error, passing)
        self._unknown += isinstance(error, EnqueueOutcomeUnknown)
        self._helps_attempts |= may_pass_another_time(error)

    def end(self, file: ResultsFile, progress: BulkProgress) -> None:
        """Note which rows the results file lacks, who bought, and what all attempts cost, as far as
        known.
        """
        self.spent, self.bought = progress.spent, progress.bought
        self._left_out, self._file_problem = file.left_out, file.problem
        self.rows_not_fetched.sort()

    def show(self, out: Console) -> int:
        """Print it, and return the exit status."""
        from oxen_inference.money import usd

        status = self._status()
        if self._options.json:
            print_json(self._as_json(status))
            return status
        parts = [counted(self.made, self._noun) + ("" if self._is_repeated else " made")]
        if self.bought != self.made and not self._is_repeated:
            parts[0] += f" ({self.bought:,} bought by this process)"
        for number, word in (
            (self.partial, "partly failed"), (self.failed, "failed"), (self.not_sent, "not sent"), (self.not_done, "not done")
        ):  # fmt: skip
            parts += [f"{counted(number, 'request')} {word}"] if number else []
        parts += [ALREADY_MADE if self._is_repeated else usd(self.spent)]
        print_line(out, f"{', '.join(parts)}; {self._results}")
        for line in self._explanations():
            print(show_control(line), file=sys.stderr)
        return status

    def _as_json(self, status: int) -> dict[str, Any]:
        examples: dict[str, str] = {}
        for each in self._kinds.values():
            examples.setdefault(each.type, each.example)
        return {
            "run": self._run.run_id,
            "key_prefix": self._run.key_prefix,
            "succeeded": self.succeeded,
            "partial": self.partial,
            "failed": self.failed,
            "not_sent": self.not_sent,
            "not_done": self.not_done,
            "made": self.made,
            "bought": self.bought,
            "already_made": self._is_repeated,
            "spent": f"{self.spent:f}",
            "errors": dict(self.errors),
            "examples": examples,
            "not_fetched_rows": self.rows_not_fetched,
            "results": str(self._results),
            "rows_not_written": self._left_out,
            "stopped": None if self.stopped is None else in_commands(str(self.stopped)),
            "interrupted": self.interrupted is not None,
            "status": status,
        }

    def _status(self) -> int:
        from oxen_inference.errors import BudgetExceededError

        if self.interrupted is not None:
            return self.interrupted
        is_refused = self.failed or self.not_sent or self.stopped
        if is_refused and not self._is_anything_sent:
            is_money = isinstance(self.stopped, BudgetExceededError)
            return STOPPED if is_money else NOTHING_SENT
        if self.stopped is not None:
            return STOPPED
        return SOME_FAILED if is_refused or self.partial or self._left_out else OK

    def _explanations(self) -> Iterator[str]:
        if self.stopped is not None:
            yield f"stopped: {in_commands(str(self.stopped))}"
        if self.interrupted is not None:
            yield "interrupted: what was sent goes on at Oxen"
        kinds = sorted(self._kinds.values(), key=lambda each: -each.count)
        for each in kinds[:_MOST_KINDS_SHOWN]:
            where = f"row {each.row}" if each.count == 1 else f"such as row {each.row}"
            yield f"{each.count:,} × {each.type}, {where}: {each.example}"
        if len(kinds) > _MOST_KINDS_SHOWN:
            rest: Counter[str] = Counter()
            for each in kinds[_MOST_KINDS_SHOWN:]:
                rest[each.type] += each.count
            more = ", ".join(f"{count:,} × {name}" for name, count in rest.most_common())
            yield f"and {len(kinds) - _MOST_KINDS_SHOWN} more kinds of failures: {more}"
        if self.rows_not_fetched:
            more = ", …" if len(self.rows_not_fetched) > _MOST_ROWS_SHOWN else ""
            rows = ", ".join(map(str, self.rows_not_fetched[:_MOST_ROWS_SHOWN])) + more
            yield (
                f"paid for but not saved: rows {rows}; the same command fetches them, for free, and "
                f"--run {self._run.run_id} does so with another --save-to"
            )
        if self._left_out:
            yield (
                f"{self._results} lacks {counted(self._left_out, 'row')} ({self._file_problem}); "
                "the same command writes them, for free"
            )
        yield from self._what_to_do()

    def _what_to_do(self) -> Iterator[str]:
        from oxen_inference.errors import BudgetExceededError

        free = "what was paid for is not paid for again"
        if isinstance(self.stopped, BudgetExceededError):
            name = self._options.budget and self._options.budget.name
            if name is None:
                yield f"run the same command with a larger --budget to go on; {free}"
                return
            yield (
                f"to go on: `oxen-inference budgets --change {name}=USD` raises the budget for all; "
                f"then run the same command with --budget {name}; {free}"
            )
            return
        if self._unknown:
            yield (
                f"{counted(self._unknown, 'request')} of unknown outcome: `oxen-inference reconcile` "
                "looks for them once more; `oxen-inference adopt` and `oxen-inference forget` settle "
                "them by hand"
            )
        is_again = self.interrupted is not None or self._helps_again
        if is_again:
            yield f"run the same command again to go on; {free}"
        if self._helps_attempts:
            yield f"--attempts {self._options.attempts + 1} buys again what Oxen failed at; {free}"
        elif not is_again and (self.failed > self._unknown or self.not_sent):
            yield f"fix the cause, then run the command again; {free}"
        if self.partial:
            yield "a request that partly failed is not bought again: add a line for what is missing"
