"""A run of the command `generate`: known by its results file, which it writes as it goes."""

from __future__ import annotations

import argparse
import json
import uuid
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxen_inference.cli.generate_plan import Plan
from oxen_inference.cli.generate_summary import Summary

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.client import OxenClient
    from oxen_inference.errors import OxenError
    from oxen_inference.ledger.budgets import Budget
    from oxen_inference.ledger.store import Ledger
    from oxen_inference.result import MediaResult


@dataclass
class Run:
    """A run, known by its results file: its keys begin with `run_id`."""

    results: Path
    run_id: str
    digest: str
    is_begun: bool = False
    is_finished: bool = False

    @classmethod
    def at(cls, client: OxenClient, results: Path, plan: Plan, *, new: bool) -> Run:
        """Return the unfinished run of that results file, or the finished one of these requests,
        or else a new one.

        A run is finished only as long as the ledger has all of it: otherwise it would be paid for again.
        """
        known = _read_state(results)
        is_same = known.get("requests") == plan.digest
        if not new and known.get("run") and (is_same or not known.get("finished")):
            run = cls(results, str(known["run"]), plan.digest, is_begun=True)
            run.is_finished = bool(known.get("finished")) and is_same and run._is_kept(client)
            return run
        return cls(results, uuid.uuid4().hex[:12], plan.digest)

    def _is_kept(self, client: OxenClient) -> bool:
        """Whether the ledger still has every entry that the results file names."""
        made = _entry_ids(self.results)
        kept = {entry.entry_id for entry in client.media.jobs(key_prefix=f"run-{self.run_id}")}
        ledger = client.media.ledger
        return bool(made) and all(ledger.get(entry) is not None for entry in made - kept)

    @property
    def question(self) -> str:
        """What to ask before it begins."""
        if self.is_finished:
            return "All of it was made before. Get it again, for free? (--new makes it again)"
        return "Go on with the run that was interrupted?" if self.is_begun else "Go ahead?"

    def make(
        self, client: OxenClient, options: argparse.Namespace, plan: Plan, out: Console
    ) -> int:
        """Make everything, write each outcome as it comes, and return the exit status."""
        from oxen_inference.errors import LedgerError

        ledger = client.media.ledger
        if not ledger.durable:
            raise LedgerError("A run needs a ledger that outlives it.")
        budget = None
        if options.budget is not None:
            budget = _budget(f"run {self.run_id}", options.budget, ledger)
        self.results.parent.mkdir(parents=True, exist_ok=True)
        if not self.is_begun and self.results.exists():
            self.results.replace(_free_name(self.results))
        self._write_state(finished=False)
        summary = Summary(self.results, plan.noun, is_repeated=self.is_finished)
        with self.results.open("w", encoding="utf-8") as file:
            stream = client.media.generate_as_completed(
                plan,
                key_prefix=f"run-{self.run_id}",
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
                **({"file_name": options.name} if options.name else {}),
            )
            try:
                with stream as outcomes:
                    for index, outcome in outcomes:
                        row = _row(index, outcome)
                        summary.add(row)
                        file.write(json.dumps(row, ensure_ascii=False) + "\n")
                        file.flush()
            except KeyboardInterrupt:
                summary.interrupted = True
        summary.stopped, summary.not_sent = stream.stopped, plan.count - summary.total
        is_finished = not summary.interrupted and stream.stopped is None and not summary.failed
        self._write_state(finished=is_finished)
        return summary.show(self.run_id, options, out)

    def _write_state(self, *, finished: bool) -> None:
        state = {"run": self.run_id, "requests": self.digest, "finished": finished}
        path = _state_path(self.results)
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(state), encoding="utf-8")
        temporary.replace(path)


def _budget(name: str, limit: Decimal, ledger: Ledger) -> Budget:
    """Return the budget of a run, with the limit that was given last."""
    from oxen_inference.ledger.budgets import Budget

    known = ledger.budgets().get(name)
    budget = Budget(limit if known is None else known.limit, name=name, ledger=ledger)
    if budget.limit != limit:
        budget.change_limit(limit)
    return budget


def _state_path(results: Path) -> Path:
    return results.with_name(f".{results.name}.run")


def _read_state(results: Path) -> dict[str, Any]:
    try:
        state = json.loads(_state_path(results).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _entry_ids(results: Path) -> set[str]:
    try:
        with results.open(encoding="utf-8") as file:
            return {str(json.loads(line)["entry_id"]) for line in file}
    except (OSError, ValueError, KeyError, TypeError):
        return set()  # gone, or edited


def _free_name(path: Path) -> Path:
    number = 1
    while (free := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists():
        number += 1
    return free


def _row(index: int, outcome: MediaResult | OxenError) -> dict[str, Any]:
    """Return what the results file says of one request; the first has the number 1."""
    from oxen_inference.errors import MediaError
    from oxen_inference.result import MediaResult

    error = None if isinstance(outcome, MediaResult) else outcome
    result = outcome if isinstance(outcome, MediaResult) else None
    if isinstance(outcome, MediaError):
        result = outcome.result
    items = result.items if result else ()
    cost = result.cost if result else None
    return {
        "row": index + 1,
        "prompt": result.prompt if result else None,
        "model": result.model if result else None,
        "files": [str(i.path or i.saved_url) for i in items if i.path or i.saved_url],
        "generation_ids": list(result.generation_ids) if result else [],
        "seeds": [i.seed for i in items],
        "cost": None if cost is None else f"{cost:f}",
        "key": result.key if result else None,
        "entry_id": result.entry_id if result else None,
        "error": None if error is None else {"type": type(error).__name__, "message": str(error)},
    }
