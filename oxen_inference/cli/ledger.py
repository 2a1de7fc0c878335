"""The commands about the ledger itself: `ledger copy`, `ledger prune` and `ledger erase-prompts`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from oxen_inference.cli.output import print_json, print_line

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.client import OxenClient
    from oxen_inference.ledger.store import Ledger

_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def add_commands(add: Callable[[str, Callable[..., int | None], str], Any]) -> None:
    """Add the commands to a parser."""
    ledger = add("ledger", _prune, "move the ledger, or take out what is no longer needed")
    commands = ledger.add_subparsers(required=True, metavar="COMMAND")

    def add_one(name: str, command: Callable[..., int | None], text: str) -> Any:
        added = commands.add_parser(name, help=text, description=text)
        # Absent unless given, so that it may also stand before this command.
        added.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
        added.set_defaults(command=command)
        return added

    copy = add_one("copy", _copy, "copy a ledger into an empty one, such as SQLite to PostgreSQL")
    copy.add_argument("source", metavar="FROM", help="a path or a URL")
    copy.add_argument("target", metavar="TO", help="a path or a URL")
    prune = add_one("prune", _prune, "delete what ended, was paid for and delivered long ago")
    prune.add_argument(
        "--older-than", type=_seconds, required=True, metavar="AGE", help="as in 90d"
    )
    erase = add_one("erase-prompts", _erase_prompts, "erase prompts and parameters of what ended")
    erase.add_argument("--older-than", type=_seconds, default=0.0, metavar="AGE", help="as in 30d")
    for parser in (prune, erase):
        parser.add_argument(
            "--ledger", metavar="WHERE", help="a path or a URL (the default ledger)"
        )


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([dhms]?)", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"not an age: {text!r}; examples are 90d, 12h and 30m")
    return float(found[1]) * _SECONDS[found[2] or "d"]


def _ledger(client: OxenClient, options: argparse.Namespace) -> Ledger:
    from oxen_inference.ledger.store import Ledger

    return client.media.ledger if options.ledger is None else Ledger(options.ledger)


def _copy(_: OxenClient, options: argparse.Namespace, out: Console) -> None:
    from oxen_inference.ledger import maintenance
    from oxen_inference.ledger.store import Ledger

    source, target = Ledger(options.source), Ledger(options.target)
    if source.path is not None and not source.path.exists():
        raise ValueError(f"there is no ledger at {source.path}")
    copied = maintenance.copy(source, target)
    if options.json:
        print_json({"entries": copied.entries, "budgets": copied.budgets})
        return
    print_line(
        out,
        f"copied {copied.entries} requests and {copied.budgets} budgets; name the new ledger in "
        "OXEN_LEDGER_URL everywhere, and move the old one away: nobody may pay with it any more",
    )


def _prune(client: OxenClient, options: argparse.Namespace, out: Console) -> None:
    from oxen_inference.ledger import maintenance

    count = maintenance.prune(_ledger(client, options), options.older_than)
    _print_count(count, "pruned", options, out)


def _erase_prompts(client: OxenClient, options: argparse.Namespace, out: Console) -> None:
    from oxen_inference.ledger import maintenance

    count = maintenance.erase_prompts(_ledger(client, options), options.older_than)
    _print_count(count, "erased the prompts of", options, out)


def _print_count(count: int, what: str, options: argparse.Namespace, out: Console) -> None:
    if options.json:
        print_json({"requests": count})
    else:
        print_line(out, f"{what} {count} requests")
