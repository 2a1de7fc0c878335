"""The commands about paid jobs: `jobs`, `reconcile` and `fetch`. None of them pays."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxen_inference.cli.generate.money import read_limit_of
from oxen_inference.cli.output import counted, print_json, print_line, show_control
from oxen_inference.cli.words import in_commands
from oxen_inference.media.results.remote import RemoteFolder

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.client import OxenClient
    from oxen_inference.ledger.entries import Entry
    from oxen_inference.ledger.store import Ledger
    from oxen_inference.media.handles import MediaHandle
    from oxen_inference.result import MediaItem

_SHOWN = 40  # characters of a prompt or a key
_TABLE_WIDTH = 160
_SHOWN_JOBS = 50
_SHOWN_NAMES = 10
_LINE_EVERY = 5.0  # seconds
_AGENT_RUN = re.compile(r"agent-run:[0-9a-f]{32}")  # as `OxenBudgetMiddleware` names it


def add_commands(add: Callable[[str, Callable[..., int | None], str], Any]) -> None:
    """Add the commands to a parser."""
    jobs = add("jobs", _jobs, "the paid requests in the ledger, each of 1 to 4 generations")
    jobs.add_argument("--status", metavar="WORD", help="such as succeeded, failed or unknown")
    jobs.add_argument("--budget", metavar="NAME", help="those paid from this budget")
    jobs.add_argument("--key-prefix", metavar="TEXT", help="those whose key begins like this")
    jobs.add_argument(
        "--limit", type=_read_limit, metavar="N", help="the newest N (50, with --json all); 0: all"
    )
    jobs.add_argument("--all", dest="limit", action="store_const", const=0, help="all of them")
    jobs.set_defaults(for_words="--key-prefix {0} lists by key, and `fetch {0}` gets a result")
    budgets = add("budgets", _budgets, "the budgets in the ledger, and what is left of each")
    budgets.add_argument(
        "--all", action="store_true", help="also those of single agent runs, as --json has them"
    )
    budgets.add_argument(
        "--change", type=read_limit_of, metavar="NAME=USD", help="first set another limit, for all"
    )
    forget = add("forget", _forget, "declare that a request made nothing; releases its money")
    forget.add_argument(
        "entry_ids", nargs="+", metavar="entry_id", help="an entry's id, as `jobs --json` lists it"
    )
    adopt = add("adopt", _adopt, "declare which generations a request of unknown outcome became")
    adopt.add_argument("entry_id", help="as `jobs --json` lists it")
    adopt.add_argument(
        "generation_ids", nargs="+", metavar="generation_id", help="as `reconcile` names them"
    )
    reconcile = add("reconcile", _reconcile, "bring unsettled paid requests up to date")
    reconcile.add_argument("--save-to", metavar="FOLDER", help="fetch what was never collected")
    fetch = add("fetch", _fetch, "get an old result again, without paying")
    fetch.add_argument("name", metavar="KEY_OR_ID", help="a key, an entry's or a generation's id")
    fetch.add_argument("--save-to", metavar="FOLDER", default=".", help="where to (here)")


def _read_limit(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"not a number of jobs: {text!r}")
    return int(text)


def _jobs(client: OxenClient, options: argparse.Namespace, out: Console) -> None:
    entries = client.media.jobs(
        status=options.status, budget=options.budget, key_prefix=options.key_prefix
    )
    if not entries:
        _explain_none(client, options)
    limit = options.limit
    if limit is None:
        limit = 0 if options.json else _SHOWN_JOBS
    _print_entries(entries, options, out, limit or len(entries))
    if not options.json and not all(entry.is_settled for entry in entries):
        print_line(out, "states are those of the last look; `oxen-inference reconcile` asks Oxen")


def _explain_none(client: OxenClient, options: argparse.Namespace) -> None:
    """Say why there are no jobs, where it is not that none was made."""
    check_budget(client, options.budget)
    if options.status == "unknown":
        posting = client.media.jobs(
            status="posting", budget=options.budget, key_prefix=options.key_prefix
        )
        if ended := sum(entry.is_abandoned for entry in posting):
            jobs = counted(ended, "job")
            print(
                f"{jobs} in state posting, of a process that ended: `oxen-inference reconcile` looks "
                "for what became of it, and what it does not find is unknown then",
                file=sys.stderr,
            )
    ledger = client.media.ledger
    others = sum(
        (options.status is None or options.status in entry.statuses)
        and (entry.key or "").startswith(options.key_prefix or "")
        for entry in ledger.entries(budget=options.budget)
    )
    if others:
        print(
            f"none of this API key's account on {client.base_url}; the ledger has {others:,} such "
            "jobs of other keys or hubs",
            file=sys.stderr,
        )


def check_budget(client: OxenClient, name: str | None) -> None:
    """Raise `ValueError` for the name of no budget."""
    if name is not None and name not in (known := client.media.ledger.budgets()):
        # Those that somebody named come first.
        names = [repr(each) for each in sorted(known, key=_is_of_agent_run)]
        shown = ", ".join(names[:_SHOWN_NAMES]) or "none with a name"
        more = len(names) - _SHOWN_NAMES
        rest = f" and {more:,} more; `budgets --all` lists them" if more > 0 else ""
        raise ValueError(f"the ledger has no budget {name!r}; it has {shown}{rest}")


def _is_of_agent_run(name: str) -> bool:
    """Whether a budget was opened for one run of an agent, and named by nobody."""
    return _AGENT_RUN.fullmatch(name) is not None


def _forget(client: OxenClient, options: argparse.Namespace, out: Console) -> int:
    from oxen_inference.errors import InvalidInputError, NotFoundError

    done, refused = [], []
    for entry_id in dict.fromkeys(options.entry_ids):
        try:
            done.append(client.media.forget(entry_id))
        except (InvalidInputError, NotFoundError) as error:  # noqa: PERF203 - no reason to leave out others
            refused.append(error)
    if done or options.json:
        _print_entries(done, options, out)
    for each in refused:
        print(f"error: {show_control(in_commands(str(each)))}", file=sys.stderr)
    return 1 if refused else 0


def _adopt(client: OxenClient, options: argparse.Namespace, out: Console) -> None:
    client.media.adopt(options.entry_id, options.generation_ids)
    _print_entries([_entry_of(client, options.entry_id)], options, out)


def _entry_of(client: OxenClient, entry_id: str) -> Entry:
    entry = client.media.ledger.get(entry_id)
    if entry is None:
        raise ValueError(f"the ledger has no entry {entry_id!r}")
    return entry


def _budgets(client: OxenClient, options: argparse.Namespace, out: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    from oxen_inference.money import usd

    if options.change is not None:
        _change_limit(client.media.ledger, *options.change)
    budgets = client.media.ledger.budgets()
    if options.json:
        print_json([
            {
                "name": name, "limit": f"{each.limit:f}", "spent": f"{each.spent:f}",
                "reserved": f"{each.reserved:f}", "left": f"{each.left:f}",
            }
            for name, each in budgets.items()
        ])  # fmt: skip
        return
    of_runs = {name: budgets.pop(name) for name in list(budgets) if _is_of_agent_run(name)}
    if options.all:
        budgets.update(of_runs)
    table = Table()
    for column in ("name", "limit", "spent", "reserved", "left"):
        table.add_column(column, overflow="fold")
    for name, each in budgets.items():
        amounts = (each.limit, each.spent, each.reserved, max(each.left, Decimal(0)))
        row = (name, *(usd(amount) for amount in amounts))
        table.add_row(*(Text(show_control(cell)) for cell in row))
    if budgets:
        out.print(table)
    else:
        print_line(out, "no budgets with a name in the ledger")
    if of_runs and not options.all:
        spent = usd(sum((each.spent for each in of_runs.values()), Decimal(0)))
        runs = counted(len(of_runs), "budget")
        print_line(out, f"and {runs} of agent runs, {spent} spent: --all lists them")


def _change_limit(ledger: Ledger, name: str, limit: Decimal) -> None:
    from oxen_inference.ledger.budgets import Budget

    known = ledger.budgets().get(name)
    if known is None:
        raise ValueError(f"the ledger has no budget {name!r}; `budgets` lists them")
    Budget(known.limit, name=name, ledger=ledger).change_limit(limit)


def _reconcile(client: OxenClient, options: argparse.Namespace, out: Console) -> int:
    if unknown := len(client.media.jobs(status="unknown")):
        what = counted(unknown, "request")
        print(f"looking at Oxen for {what} of unknown outcome", file=sys.stderr)
    entries = client.media.reconcile(save_to=options.save_to, on_progress=_say_left())
    _print_entries(entries, options, out)
    lost = 0 if options.save_to is None else _say_saved(entries, options, out)
    unknown = sum(entry.state == "unknown" for entry in entries)
    if unknown:
        print(
            f"error: {counted(unknown, 'request')} of unknown outcome left, whose money stays "
            "reserved: `jobs --status unknown` lists them; `adopt` and `forget` end one by hand",
            file=sys.stderr,
        )
    return 1 if lost or unknown else 0


def _say_left() -> Callable[[int, int], None]:
    """Return what says on stderr, every few seconds, how many requests are left."""
    said_at = time.monotonic()

    def say(done: int, total: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= _LINE_EVERY and done < total:
            said_at = time.monotonic()
            print(f"{total - done:,} of {counted(total, 'request')} left", file=sys.stderr)

    return say


def _say_saved(entries: list[Entry], options: argparse.Namespace, out: Console) -> int:
    """Print what was saved, and what was not; return the number of those."""
    items = [item for entry in entries if entry.kind == "queue" for item in entry.items]
    if not options.json:
        from oxen_inference.media.fetch import folder_of

        folder = folder_of(options.save_to)
        _print_saved(out, (item for item in items if _is_in(item, folder)))
    lost = [
        item
        for item in items
        if item.status == "succeeded" and not item.path and not item.saved_url
    ]
    for item in lost:
        name = show_control(str(item.generation_id))
        print(f"error: {name} was paid for but not fetched", file=sys.stderr)
    return len(lost)


def _fetch(client: OxenClient, options: argparse.Namespace, out: Console) -> int:
    handle = _attach(client, options.name)
    result = handle.status()
    if not result.is_terminal:
        states = ", ".join(sorted({item.status for item in result.items}))
        raise ValueError(f"{options.name} has not ended yet: {states or 'not confirmed'}")
    result = handle.wait(save_to=options.save_to)
    if options.json:
        print_json(result.to_dict())
        return 0
    _print_saved(out, result.items)
    for note in result.notes:
        print(show_control(note), file=sys.stderr)
    return 0


def _attach(client: OxenClient, name: str) -> MediaHandle:
    from oxen_inference.errors import InvalidInputError, NotFoundError

    meanings: Sequence[dict[str, Any]] = (
        {"key": name},
        {"entry_id": name},
        {"generation_ids": [name]},
    )
    for meaning in meanings:
        try:
            return client.media.attach(**meaning)
        except (InvalidInputError, NotFoundError):  # noqa: PERF203 - it may have the next meaning
            continue
    raise ValueError(
        f"neither the ledger nor Oxen knows {name!r} as a key, an entry's id or a generation's; "
        "`jobs` lists what the ledger has"
    )


def _is_in(item: MediaItem, folder: Path | RemoteFolder) -> bool:
    if isinstance(folder, RemoteFolder):
        return folder.is_parent_of(item.saved_url)
    return item.path is not None and item.path.parent == folder.absolute()


def _print_saved(out: Console, items: Iterable[MediaItem]) -> None:
    for item in items:
        if item.path or item.saved_url:
            print_line(out, f"saved {item.path or item.saved_url}")


def _print_entries(
    entries: list[Entry], options: argparse.Namespace, out: Console, limit: int | None = None
) -> None:
    shown = entries[:limit]
    if options.json:
        print_json([_entry_as_json(entry) for entry in shown])
        return
    if out.width < _TABLE_WIDTH:
        _print_lines(shown, out)
    elif shown:
        _print_table(shown, out)
    total = _total(entries)
    if more := len(entries) - len(shown):
        total = f"and {more:,} more: --all lists them; {total}"
    print_line(out, total)


def _print_table(entries: list[Entry], out: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    columns = ("started", "model", "prompt", "state", "cost", "reserved", "generation ids", "key")
    for column in columns:
        # An id must not be cut: the reader copies it.
        table.add_column(column, overflow="fold", no_wrap=column == "generation ids")
    for entry in entries:
        row = (
            _local_time(entry.created_at),
            entry.model,
            _shorten(entry.prompt),
            _state(entry),
            *_amounts(entry),
            "\n".join(entry.generation_ids),
            _shorten_middle(entry.key),
        )
        table.add_row(*(Text(show_control(cell)) for cell in row))
    out.print(table)


def _print_lines(entries: list[Entry], out: Console) -> None:
    """Print a few lines for each, where a table would have to cut the ids."""
    for entry in entries:
        cost, reserved = _amounts(entry)
        head = f"{_local_time(entry.created_at)}  {_state(entry):<9}  {cost:<7}  "
        ids = f"\n{' ' * len(head)}".join(entry.generation_ids)
        print_line(out, f"{head}{ids}".rstrip())
        print_line(out, f"    {entry.model}: {_shorten(entry.prompt)}".rstrip(": "))
        rest = [f"{reserved} reserved"] if reserved else []
        rest += [f"key {_shorten_middle(entry.key)}"] if entry.key else []
        if rest:
            print_line(out, f"    {', '.join(rest)}")


def _state(entry: Entry) -> str:
    return ", ".join(entry.statuses)


def _amounts(entry: Entry) -> tuple[str, str]:
    """Return what it cost and what is reserved for it, each empty where there is none."""
    from oxen_inference.money import usd

    cost = "" if entry.cost is None else usd(entry.cost)
    return cost, usd(entry.reserved) if entry.reserved else ""


def _total(entries: list[Entry]) -> str:
    from oxen_inference.money import usd
    from oxen_inference.result import known_cost

    if not entries:
        return "no jobs of this kind in the ledger"
    items = [item for entry in entries for item in entry.items]
    reserved = sum((entry.reserved for entry in entries), Decimal(0))
    parts = [f"cost {usd(known_cost(items))} in all"]
    if unknown := sum(item.cost is None for item in items):
        parts.append(f"{unknown} of unknown cost")
    if reserved:
        parts.append(f"{usd(reserved)} reserved")
    return ", ".join(parts)


def _shorten(prompt: str | None) -> str:
    text = " ".join((prompt or "").split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _shorten_middle(key: str | None) -> str:
    text, half = " ".join((key or "").split()), _SHOWN // 2
    return text if len(text) <= _SHOWN else f"{text[: half - 1]}…{text[-half:]}"


def _entry_as_json(entry: Entry) -> dict[str, Any]:
    result = entry.result()
    return {
        "entry_id": entry.entry_id,
        "created_at": entry.created_at,
        "model": entry.model,
        "prompt": entry.prompt,
        "status": _state(entry),
        "state": entry.state,
        "statuses": [item.status for item in entry.items],
        "generation_ids": list(entry.generation_ids),
        "cost": None if entry.cost is None else f"{entry.cost:f}",
        "reserved": f"{entry.reserved:f}",
        "key": entry.key,
        "paths": [str(path) for path in result.paths],
        "urls": list(result.urls),
        "error": entry.error,
    }


def _local_time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, tz=timezone.utc).astimezone()
    return f"{moment:%Y-%m-%d %H:%M}"
