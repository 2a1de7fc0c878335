"""The command `report`: one page about what was made, from the ledger."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from oxen_inference.cli.output import print_json, print_line

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.client import OxenClient


def add_commands(add: Callable[[str, Callable[..., int | None], str], Any]) -> None:
    """Add the command to a parser."""
    report = add("report", _report, "write one web page about what was made and what it cost")
    report.add_argument("file", nargs="?", default="oxen-report.html", help="(oxen-report.html)")
    report.add_argument("--status", metavar="WORD", help="such as succeeded, failed or unknown")
    report.add_argument("--budget", metavar="NAME", help="what was paid from this budget")
    report.add_argument("--key-prefix", metavar="TEXT", help="whose key begins like this")


def _report(client: OxenClient, options: argparse.Namespace, out: Console) -> None:
    filters = {name: getattr(options, name) for name in ("status", "budget", "key_prefix")}
    try:
        path = client.media.report(options.file, **filters)
    except OSError as error:
        raise ValueError(f"{options.file} cannot be written: {error.strerror}") from error
    if options.json:
        print_json({"file": str(path)})
    else:
        print_line(out, f"wrote {path}")
