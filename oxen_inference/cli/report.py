"""The command `report`: one page about what was made, from the ledger."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from oxen_inference.cli.jobs import check_budget
from oxen_inference.cli.output import print_json, print_line, stderr

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


@contextmanager
def _shown_progress() -> Iterator[Callable[[int, int], None] | None]:
    """Show on a terminal how far the page is; give what is to be told of it."""
    if not sys.stderr.isatty():
        yield None
        return
    errors = stderr()
    with errors.status("reading the ledger") as status:
        yield lambda done, total: status.update(f"{done:,} of {total:,} requests")


def _report(client: OxenClient, options: argparse.Namespace, out: Console) -> None:
    check_budget(client, options.budget)
    filters = {name: getattr(options, name) for name in ("status", "budget", "key_prefix")}
    try:
        with _shown_progress() as on_progress:
            path = client.media.report(options.file, **filters, on_progress=on_progress)
    except OSError as error:
        raise ValueError(f"{options.file} cannot be written: {error.strerror}") from error
    if options.json:
        print_json({"file": str(path)})
    else:
        print_line(out, f"wrote {path}")
