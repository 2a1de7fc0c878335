"""The command `doctor`: what in this hub differs from what the library assumes."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from oxen_inference.cli.output import print_json, print_line, show_control, waiting
from oxen_inference.cli.words import in_commands
from oxen_inference.money import read_money, usd

if TYPE_CHECKING:
    from rich.console import Console

    from oxen_inference.client import OxenClient
    from oxen_inference.doctor.findings import Finding, Report


UNREACHABLE = 3
"""The exit status where the hub cannot be reached, or the ledger cannot be used."""
_WITHOUT_KEY = "checking the catalog and the ledger"
# An idle stream of events says something every 15 seconds.
_WITH_KEY = "checking the hub and the ledger; the hub's events take up to half a minute"


def add_commands(add: Callable[[str, Callable[..., int | None], str], Any]) -> None:
    """Add the command to a parser."""
    doctor = add("doctor", _doctor, "what in this hub differs from what the library assumes")
    doctor.epilog = (
        "exit status: 0 nothing deviates; 1 something does; 2 wrong arguments; 3 the hub or the "
        "ledger could not be reached, or the ledger may not be written"
    )
    doctor.add_argument(
        "--spend",
        type=_usd,
        metavar="USD",
        help="buy one image for at most that much, after asking, and follow it",
    )
    doctor.add_argument("--yes", action="store_true", help="do not ask before --spend buys")


def _usd(text: str) -> Decimal:
    amount = read_money(text)
    if amount is None:
        raise argparse.ArgumentTypeError(f"not an amount of USD: {text!r}")
    return amount


def _doctor(client: OxenClient, options: argparse.Namespace, out: Console) -> int:
    from oxen_inference.doctor.examine import examine, redacted

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the findings say it
        with waiting(_WITH_KEY if client.has_key else _WITHOUT_KEY):
            report = examine(client)
        if options.spend is not None:
            _spend(client, options, report)
    report = _in_commands(redacted(client, report))
    if options.json:
        print_json(report.as_dict())
    else:
        _print(report, out)
    if report.unreachable:
        return UNREACHABLE
    return 1 if report.deviations else 0


def _spend(client: OxenClient, options: argparse.Namespace, report: Report) -> None:
    from oxen_inference.doctor.purchase import buy_image, cheapest_image

    if not client.has_key:
        report.skipped.append("purchase: there is no key")
        return
    choice = cheapest_image(client, options.spend)
    if choice is None:
        report.skipped.append(f"purchase: no image model costs at most {usd(options.spend)}")
        return
    model, price = choice
    if not options.yes:
        question = f"Buy one image by {model.id} for {price}? [y/N] "
        print(show_control(question), end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline().strip().lower()
        if answer not in ("y", "yes"):
            report.skipped.append("purchase: not approved")
            return
    with waiting(f"buying one image by {model.id}, and following it"):
        buy_image(client, model, price, report)


def _in_commands(report: Report) -> Report:
    """Return a report that names commands in place of Python's calls."""

    def reworded(findings: list[Finding]) -> list[Finding]:
        return [replace(f, seen=in_commands(f.seen), means=in_commands(f.means)) for f in findings]

    return replace(
        report,
        known=reworded(report.known),
        deviations=reworded(report.deviations),
        unreachable=[in_commands(each) for each in report.unreachable],
    )


def _print(report: Report, out: Console) -> None:
    _print_findings("Known: handled by the library", report.known, out)
    _print_findings("Deviations: not expected by the library", report.deviations, out)
    for name, value in report.facts.items():
        print_line(out, f"{name}: {value}")
    for each in report.unreachable:
        print_line(out, f"could not be checked: {each}")
    for each in report.skipped:
        print_line(out, f"not checked: {each}")


def _print_findings(title: str, findings: list[Finding], out: Console) -> None:
    print_line(out, f"{title} ({len(findings)})")
    for finding in findings:
        print_line(out, f"- {finding.check}")
        print_line(out, f"    expected: {finding.expected}")
        print_line(out, f"    seen:     {finding.seen}")
        print_line(out, f"    means:    {finding.means}")
