"""The command `generate`: from one image to a manifest of a hundred thousand, paid for once."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxen_inference.cli import progress
from oxen_inference.cli.models import read_params, read_usd
from oxen_inference.cli.output import print_json, print_line, show_control

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.catalog.models import Model
    from oxen_inference.client import OxenClient
    from oxen_inference.errors import OxenError
    from oxen_inference.ledger.budgets import Budget
    from oxen_inference.ledger.store import Ledger
    from oxen_inference.result import MediaResult

OK, SOME_FAILED, BAD_ARGUMENTS, STOPPED, INTERRUPTED = 0, 1, 2, 3, 130
_MOST_SHOWN = 20
_OWN_FIELDS = frozenset({"model", "prompt", "params", "num_generations", "key"})
_EXAMPLES = """\
examples:
  oxen-inference generate flux-2-dev -p "an ox at dawn" --save-to images
  oxen-inference generate flux-2-dev --from prompts.jsonl --save-to images --budget 5 --yes

Each line of a manifest is a JSON object with prompt, model, num_generations and the model's
parameters, or a text, which is the prompt. The file results.jsonl gets a line for each request as it
ends. Run the same command again to go on with a run that was interrupted: what was paid for is
not paid for again.

exit status: 0 all were made; 1 some failed; 2 wrong arguments or lines, or not confirmed, and
nothing was sent; 3 the run stopped early: the budget is used up, or the same failure came ten times
in a row; 130 interrupted.
"""


def add_commands(add: Callable[[str, Callable[..., int | None], str], Any]) -> None:
    """Add the command to a parser."""
    generate = add("generate", _generate, "make images, videos or audio; shows the price and asks")
    generate.formatter_class = argparse.RawDescriptionHelpFormatter
    generate.epilog = _EXAMPLES
    generate.add_argument("model", nargs="?", help="a model's id, for lines that name none")
    what = generate.add_argument_group("what to make")
    what.add_argument("-p", "--prompt", action="append", default=[], help="may be repeated")
    what.add_argument("--from", dest="source", metavar="FILE", help="a manifest; - reads stdin")
    what.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter, for all"
    )
    what.add_argument("-n", "--num-generations", type=int, metavar="N", help="results a request")
    where = generate.add_argument_group("where to")
    where.add_argument("--save-to", metavar="FOLDER", default=".", help="a folder or URL (here)")
    where.add_argument(
        "--name", metavar="TEMPLATE", help="file names, such as '{index:05}-{model}-{seed}'; also "
        "{id}, {prompt}, {key} and {number} of a request's results",
    )  # fmt: skip
    where.add_argument("--results", metavar="FILE", help="instead of FOLDER/results.jsonl")
    money = generate.add_argument_group("money")
    money.add_argument("--budget", type=read_usd, metavar="USD", help="for the whole run")
    money.add_argument("--max-cost", type=read_usd, metavar="USD", help="for each request")
    money.add_argument("--attempts", type=int, default=1, metavar="N", help="for what failed (1)")
    money.add_argument("-y", "--yes", action="store_true", help="do not ask")
    money.add_argument("--dry-run", action="store_true", help="check and price, send nothing")
    money.add_argument("--allow-unknown-cost", action="store_true")
    how = generate.add_argument_group("how")
    how.add_argument("--new", action="store_true", help="make everything again")
    how.add_argument("--timeout", type=float, metavar="SECONDS", help="for each request")
    how.add_argument("--max-in-flight", type=int, default=64, metavar="N")
    how.add_argument("--max-connections", type=int, default=16, metavar="N")


class _LineError(ValueError):
    """What is wrong with one line."""


class _BadLinesError(Exception):
    """Lines that cannot be sent; the text names all of them."""


def _generate(client: OxenClient, options: argparse.Namespace, out: Console) -> int:
    from oxen_inference.cli.output import stderr

    errors = stderr()
    try:
        plan = _Plan(client, options)
    except _BadLinesError as error:
        errors.print(f"error: {error}")
        return BAD_ARGUMENTS
    run = _Run.at(_results_path(options), plan, new=options.new)
    if options.dry_run:
        return _show_plan(plan, options, out)
    if not options.json:
        print_line(errors, str(plan))
    if not options.yes and not _asks(run.question, options):
        errors.print("nothing was sent; confirm, or pass --yes")
        return BAD_ARGUMENTS
    return run.make(client, options, plan, out)


class _Plan:
    """The requests, checked line by line and priced; read again for each use."""

    def __init__(self, client: OxenClient, options: argparse.Namespace) -> None:
        if bool(options.prompt) == bool(options.source):
            raise _BadLinesError("give --prompt or --from, one of them")
        from oxen_inference.errors import NotFoundError

        self._options = options
        self._client = client
        self._models: dict[str, Model] = {}
        self._stdin = sys.stdin.read().splitlines() if options.source == "-" else None
        self.count = 0
        self.low, self.high = Decimal(0), Decimal(0)
        self.unknown: Counter[str] = Counter()
        self.by_model: Counter[str] = Counter()
        digest = hashlib.sha256()
        problems: list[str] = []
        bad = 0
        for number, given in self._lines():
            try:
                request = self._request(given)
                self._price(request)
            except (ValueError, NotFoundError) as error:
                bad += 1
                if len(problems) < _MOST_SHOWN:
                    problems.append(f"line {number}: {error}" if options.source else str(error))
                continue
            self.count += 1
            digest.update(json.dumps(request, sort_keys=True, default=str).encode())
        if bad > len(problems):
            problems.append(f"and {bad - len(problems)} more lines")
        if problems:
            raise _BadLinesError(
                "; ".join(problems)
                if bad == 1
                else "\n  ".join(("these lines cannot be sent:", *problems))
            )
        if not self.count:
            raise _BadLinesError("there is nothing to make: no line has a request")
        self.digest = digest.hexdigest()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for _, given in self._lines():
            yield self._request(given)

    def __len__(self) -> int:
        return self.count

    def __str__(self) -> str:
        from oxen_inference.money import usd

        models = ", ".join(f"{count:,} × {model}" for model, count in self.by_model.most_common())
        price = usd(self.high) if self.low == self.high else f"{usd(self.low)} to {usd(self.high)}"
        unknown = sum(self.unknown.values())
        if unknown:
            price += f", and {unknown:,} of unknown price ({next(iter(self.unknown))})"
        return f"{models}: {price}"

    def _lines(self) -> Iterator[tuple[int, Any]]:
        """Yield the number and the content of each line: a mapping, a text, or what is wrong."""
        if not self._options.source:
            yield from enumerate(self._options.prompt, start=1)
            return
        if self._stdin is not None:
            yield from _parsed(self._stdin)
            return
        try:
            with Path(self._options.source).expanduser().open(encoding="utf-8-sig") as file:
                yield from _parsed(file)
        except (OSError, UnicodeDecodeError) as error:
            raise _BadLinesError(f"{self._options.source} cannot be read: {error}") from error

    def _request(self, given: Any) -> dict[str, Any]:
        if isinstance(given, ValueError):
            raise given
        row = {"prompt": given} if isinstance(given, str) else given
        if not isinstance(row, Mapping):
            raise _LineError(f"it is neither an object nor a text: {str(row)[:60]}")
        name = row.get("model") or self._options.model
        if not isinstance(name, str):
            raise _LineError("it names no model, and the command names none")
        model = self._model(name)
        inner = row.get("params") or {}
        if not isinstance(inner, Mapping):
            raise _LineError("params must be an object")
        params = {**read_params(model, self._options.set), **inner}
        params |= {k: v for k, v in row.items() if k not in _OWN_FIELDS}
        request: dict[str, Any] = {"model": name, **({"params": params} if params else {})}
        request |= {k: row[k] for k in ("prompt", "key") if row.get(k) is not None}
        count = row.get("num_generations", self._options.num_generations)
        if count is not None:
            request["num_generations"] = count
        return request

    def _price(self, request: Mapping[str, Any]) -> None:
        from oxen_inference.catalog.parameters import validate

        model = self._model(request["model"])
        params = {k: v for k, v in request.items() if k in ("prompt", "num_generations")}
        sent = {**request.get("params", {}), **params}
        count = sent.pop("num_generations", 1)
        validate(model, sent)
        # The number is the queue's own parameter, whatever the schema says of that name.
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 4:
            raise ValueError(f"num_generations must be 1 to 4, not {count!r}")
        quote = self._client.media.quote(model, num_generations=count, params=sent)
        self.by_model[model.id] += count
        if quote.low is None or quote.high is None:
            self.unknown[quote.reason or "no reason given"] += 1
            return
        self.low += quote.low
        self.high += quote.high

    def _model(self, name: str) -> Model:
        if name not in self._models:
            self._models[name] = self._client.catalog.get(name)
        return self._models[name]


def _parsed(lines: Any) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, ValueError(f"it is no JSON: {error}")


def _show_plan(plan: _Plan, options: argparse.Namespace, out: Console) -> int:
    if options.json:
        print_json({
            "requests": plan.count,
            "generations": dict(plan.by_model),
            "low": f"{plan.low:f}",
            "high": f"{plan.high:f}",
            "unknown": sum(plan.unknown.values()),
        })  # fmt: skip
    else:
        print_line(out, f"{plan}; nothing was sent")
    return OK


def _asks(question: str, options: argparse.Namespace) -> bool:
    """Ask a person; where there is none, or stdout is for a script, the answer is no."""
    if options.json or options.source == "-" or not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _results_path(options: argparse.Namespace) -> Path:
    if options.results:
        return Path(options.results).expanduser().absolute()
    folder = Path() if "://" in options.save_to else Path(options.save_to).expanduser()
    return folder.absolute() / "results.jsonl"


@dataclass
class _Run:
    """A run, known by its results file: its keys begin with `run_id`."""

    results: Path
    run_id: str
    digest: str
    is_begun: bool = False
    is_finished: bool = False

    @classmethod
    def at(cls, results: Path, plan: _Plan, *, new: bool) -> _Run:
        """Return the unfinished run of that results file, or the finished one of these requests,
        or else a new one.
        """
        known = _read_state(results)
        is_same = known.get("requests") == plan.digest
        if not new and known.get("run") and (is_same or not known.get("finished")):
            finished = bool(known.get("finished")) and is_same
            return cls(results, str(known["run"]), plan.digest, True, finished)
        return cls(results, uuid.uuid4().hex[:12], plan.digest)

    @property
    def question(self) -> str:
        """What to ask before it begins."""
        if self.is_finished:
            return "All of it was made before. Get it again, for free? (--new makes it again)"
        return "Go on with the run that was interrupted?" if self.is_begun else "Go ahead?"

    def make(
        self, client: OxenClient, options: argparse.Namespace, plan: _Plan, out: Console
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
        summary = _Summary(self.results)
        with (
            self.results.open("w", encoding="utf-8") as file,
            progress.display(plan.count, is_quiet=options.json) as display,
        ):
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
                on_progress=display,
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


class _Summary:
    """What became of a run."""

    def __init__(self, results: Path) -> None:
        self._results = results
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
                "not_sent": self.not_sent, "spent": f"{self.spent:f}", "errors": dict(self.errors),
                "not_fetched_rows": self.rows_not_fetched, "results": str(self._results),
                "stopped": None if self.stopped is None else str(self.stopped),
                "interrupted": self.interrupted, "status": status,
            })  # fmt: skip
            return status
        parts = [f"{self.succeeded:,} made"]
        parts += [f"{self.failed:,} failed"] if self.failed else []
        parts += [f"{self.not_sent:,} not done"] if self.not_sent else []
        print_line(out, f"{', '.join(parts)}, {usd(self.spent)}; {self._results}")
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
