"""The commands about the ledger itself: `ledger setup`, `copy`, `prune` and `erase-prompts`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from oxen_inference.cli.output import counted, print_json, print_line

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.client import OxenClient
    from oxen_inference.ledger.store import Ledger

_SECONDS = {"d": 86_400, "h": 3_600, "m": 60}
_UNITS = "d are days, h hours, m minutes: 90d, 12h, 30m"
_NOT_CONFIRMED = 2


class _Words(NamedTuple):
    """How a command that takes something out of the ledger asks, counts and says that it is done."""

    question: str
    would: str
    did: str


_PRUNE = _Words("Delete {}? A call with one of their keys pays again.", "prune", "pruned")
_ERASE = _Words(
    "Erase the prompts and parameters of {}? Nothing brings them back.",
    "erase the prompts of",
    "erased the prompts of",
)


def add_commands(add: Callable[[str, Callable[..., int | None], str], Any]) -> None:
    """Add the commands to a parser."""
    ledger = add(
        "ledger",
        _prune,
        "create the ledger's tables, move it, or take out what is no longer needed",
    )
    commands = ledger.add_subparsers(required=True, metavar="COMMAND")

    def add_one(name: str, command: Callable[..., int | None], text: str) -> Any:
        added = commands.add_parser(name, help=text, description=text)
        # Absent unless given, so that it may also stand before this command.
        added.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
        added.set_defaults(command=command, parser=added)
        return added

    setup = add_one("setup", _setup, "create the ledger's tables, or update them; needs the rights")
    copy = add_one("copy", _copy, "copy a ledger into an empty one, such as SQLite to PostgreSQL")
    copy.add_argument("source", metavar="FROM", help="a path or a URL")
    copy.add_argument(
        "target", metavar="TO", help="a path, or the URL of an empty database's owner"
    )
    prune = add_one("prune", _prune, "delete what ended, was paid for and delivered long ago")
    erase = add_one("erase-prompts", _erase_prompts, "erase prompts and parameters of what ended")
    for parser in (prune, erase):
        parser.add_argument(
            "--older-than", type=_seconds, required=True, metavar="AGE", help=_UNITS
        )
        parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
        parser.add_argument("--dry-run", action="store_true", help="count, and change nothing")
    for parser in (setup, prune, erase):
        parser.add_argument(
            "--ledger", metavar="WHERE", help="a path or a URL (the default ledger)"
        )


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([dhm])", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"not an age with its unit: {text!r}; {_UNITS}")
    return float(found[1]) * _SECONDS[found[2]]


def _ledger(client: OxenClient, options: argparse.Namespace) -> Ledger:
    from oxen_inference.ledger.store import Ledger

    ledger = client.media.ledger if options.ledger is None else Ledger(options.ledger)
    _check_exists(ledger)
    return ledger


def _check_exists(ledger: Ledger) -> None:
    """Raise `ValueError` where a file would only be made to be found empty."""
    if ledger.path is not None and not ledger.path.exists():
        raise ValueError(f"there is no ledger at {ledger.path}")


def _setup(client: OxenClient, options: argparse.Namespace, out: Console) -> None:
    from oxen_inference.ledger import maintenance
    from oxen_inference.ledger.store import Ledger

    ledger = client.media.ledger if options.ledger is None else Ledger(options.ledger)
    before, after = maintenance.setup(ledger)
    if options.json:
        print_json({"ledger": str(ledger.database)[3:], "before": before, "after": after})
        return
    done = f"updated the tables from version {before} to {after}"
    if before == after:
        done = f"the tables are up to date (version {after}), and nothing was changed"
    elif not before:
        done = f"created the tables (version {after})"
    print_line(out, f"the ledger {ledger.database}: {done}")
    if ledger.path is None:
        print_line(out, "its workers need SELECT, INSERT, UPDATE and DELETE on them")


def _copy(_: OxenClient, options: argparse.Namespace, out: Console) -> None:
    from oxen_inference.ledger import maintenance
    from oxen_inference.ledger.store import Ledger

    source, target = Ledger(options.source), Ledger(options.target)
    _check_exists(source)
    copied = maintenance.copy(source, target)
    if options.json:
        print_json({"entries": copied.entries, "budgets": copied.budgets})
        return
    print_line(
        out,
        f"copied {counted(copied.entries, 'request')} and {counted(copied.budgets, 'budget')}; name the new ledger in "
        "OXEN_LEDGER_URL everywhere, and move the old one away: nobody may pay with it any more",
    )


def _prune(client: OxenClient, options: argparse.Namespace, out: Console) -> int:
    from oxen_inference.ledger.maintenance import prune

    ledger = _ledger(client, options)
    return _take_out(partial(prune, ledger, options.older_than), _PRUNE, options, out)


def _erase_prompts(client: OxenClient, options: argparse.Namespace, out: Console) -> int:
    from oxen_inference.ledger.maintenance import erase_prompts

    ledger = _ledger(client, options)
    return _take_out(partial(erase_prompts, ledger, options.older_than), _ERASE, options, out)


def _take_out(
    change: Callable[..., int], words: _Words, options: argparse.Namespace, out: Console
) -> int:
    """Count what a change would take out, ask where nobody said --yes, and do it."""
    if options.dry_run or not options.yes:
        count = change(dry_run=True)
        if options.dry_run:
            _print_count(count, f"nothing was changed; it would {words.would}", options, out)
            return 0
        if count and not _asks(words.question.format(counted(count, "request")), options):
            print("nothing was changed; confirm, or pass --yes", file=sys.stderr)
            return _NOT_CONFIRMED
    _print_count(change(), words.did, options, out)
    return 0


def _asks(question: str, options: argparse.Namespace) -> bool:
    """Ask a person; where there is none, or stdout is for a script, the answer is no."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if options.json or not sys.stdin.isatty():
        print(file=sys.stderr)
        return False
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print_count(count: int, what: str, options: argparse.Namespace, out: Console) -> None:
    if options.json:
        print_json({"requests": count})
    else:
        print_line(out, f"{what} {counted(count, 'request')}")
