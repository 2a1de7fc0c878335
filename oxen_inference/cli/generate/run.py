"""The run of the command `generate`: it makes what was planned, and writes each outcome down."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxen_inference.cli.generate.money import budget_of
from oxen_inference.cli.generate.plan import Plan
from oxen_inference.cli.generate.results import ResultsFile, RowStatus, move_away, row_of
from oxen_inference.cli.generate.state import Run, is_unchanged, not_writable, write_run
from oxen_inference.cli.generate.summary import INTERRUPTED, TERMINATED, Summary

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.client import OxenClient
    from oxen_inference.errors import OxenError
    from oxen_inference.media.as_completed import AsCompleted
    from oxen_inference.result import MediaResult


def make(
    client: OxenClient,
    options: argparse.Namespace,
    plan: Plan,
    run: Run,
    results: Path,
    out: Console,
) -> int:
    """Make everything, write each outcome as it comes, and return the exit status.

    Raises `ConfigurationError` and `LedgerError` where nothing was sent.
    """
    from oxen_inference.errors import OxenError

    budget = budget_of(client, options, run)
    run = replace(run, file_name=options.name if options.name is not None else run.file_name)
    requests = _Requests(plan)
    stream = client.media.generate_as_completed(
        requests,
        key_prefix=run.key_prefix,
        budget=budget,
        max_cost=options.max_cost,
        allow_unknown_cost=options.allow_unknown_cost
        or (budget is None and options.max_cost is None),
        attempts=options.attempts,
        timeout=options.timeout,
        save_to=options.save_to,
        max_in_flight=options.max_in_flight,
        max_connections=options.max_connections,
        on_progress=None if options.json else "bar",
        file_name=run.file_name,
    )
    file = _begin(results, run, plan)  # once the options are known to be good
    summary = Summary(results, options, plan, run)
    with file, _sigterm_as_interrupt():
        try:
            with stream as outcomes:
                for index, outcome in outcomes:
                    _note(index, requests.taken.pop(index, {}), outcome, stream, file, summary)
            if stream.stopped is not None:
                for index, request in requests.rest():
                    _note(index, request, stream.stopped, stream, file, summary)
        except KeyboardInterrupt as error:
            summary.interrupted = TERMINATED if isinstance(error, _Terminated) else INTERRUPTED
        except (OxenError, ValueError) as error:  # the manifest changed, or the ledger is gone
            summary.stopped = error
    summary.stopped = summary.stopped or stream.stopped
    summary.end(file, stream.progress)
    return summary.show(out)


class _Requests:
    """The plan's requests, kept until their outcome is known: an error does not tell them."""

    def __init__(self, plan: Plan) -> None:
        self._count = plan.count
        self._all = enumerate(plan)
        self.taken: dict[int, Mapping[str, Any]] = {}

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for index, request in self._all:
            self.taken[index] = request
            yield request

    def rest(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield those without an outcome, after a run that stopped."""
        yield from sorted(self.taken.items())
        yield from self._all


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which schedulers send, ends a run as Ctrl-C does."""


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise _Terminated

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _begin(results: Path, run: Run, plan: Plan) -> ResultsFile:
    """Write which run it is before anything is bought. Raises `ConfigurationError`."""
    is_same = is_unchanged(run, plan.digest)
    try:
        if not is_same and results.exists():
            move_away(results)
        write_run(results, replace(run, requests=plan.digest))
        try:
            return ResultsFile(results, goes_on=is_same)
        except ValueError:  # somebody else's, or changed by hand
            move_away(results)
            return ResultsFile(results)
    except OSError as error:
        raise not_writable(results, error, run) from error


def _note(
    index: int,
    request: Mapping[str, Any],
    outcome: MediaResult | OxenError,
    stream: AsCompleted,
    file: ResultsFile,
    summary: Summary,
) -> None:
    from oxen_inference.errors import BudgetExceededError
    from oxen_inference.result import MediaResult

    status: RowStatus = "failed"
    if isinstance(outcome, MediaResult):
        status = "partial" if outcome.failures else "made"
    is_reason = outcome is stream.stopped
    if is_reason or isinstance(outcome, BudgetExceededError):
        status = "not_sent"
    row = row_of(index, request, outcome, status)
    summary.add(row, None if is_reason else outcome)
    file.add(row)
