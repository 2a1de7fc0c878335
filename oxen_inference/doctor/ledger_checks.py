"""What the ledger tells of a hub: lost requests, bills above their quotes, costs that never came."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from oxen_inference.doctor.findings import Finding, Report, some
from oxen_inference.errors import LedgerError
from oxen_inference.money import usd

if TYPE_CHECKING:
    from oxen_inference.client import OxenClient
    from oxen_inference.ledger.entries import Entry

_LATE = 86400.0  # seconds after which a cost should be there


def check_ledger(client: OxenClient, report: Report) -> None:
    """Read the ledger's entries of this hub, and see whether it may be written."""
    from oxen_inference.ledger.maintenance import check_rights

    ledger = client.media.ledger
    if ledger.path is not None and not ledger.path.exists():
        report.skipped.append("ledger: there is none yet")
        return
    try:
        entries = client.media.jobs()
        check_rights(ledger)
    except LedgerError as error:
        report.unreachable.append(f"ledger: {error}")
        return
    report.facts["entries in the ledger"] = len(entries)
    _check_unknown(entries, report)
    _check_bills(entries, report)
    _check_costs(entries, report)
    took = [
        entry.decided_at - entry.posted_at
        for entry in entries
        if entry.state == "accepted" and entry.decided_at and entry.posted_at
    ]
    if took:
        report.facts["seconds until a job was known"] = {
            "median": round(statistics.median(took), 1),
            "most": round(max(took), 1),
        }


def _check_unknown(entries: list[Entry], report: Report) -> None:
    lost = [entry for entry in entries if entry.state == "unknown"]
    if lost:
        report.deviations.append(
            Finding(
                "requests of unknown outcome",
                "a job that was made is listed within 20 seconds",
                f"{len(lost)} were never found: {some([entry.entry_id for entry in lost])}",
                "What is reserved for them stays reserved: client.media.reconcile() looks again, "
                "adopt() and forget() decide.",
            )
        )


def _check_bills(entries: list[Entry], report: Report) -> None:
    dearer: dict[str, str] = {}
    for entry in entries:
        for item in entry.items:
            if entry.quoted is not None and item.cost is not None and item.cost > entry.quoted:
                dearer[entry.model] = f"{entry.model} {usd(item.cost)} for {usd(entry.quoted)}"
    if dearer:
        report.deviations.append(
            Finding(
                "bills and quotes",
                "no bill above its quote",
                some(list(dearer.values())),
                "Later quotes of the same settings are raised by the ratio seen, for 30 days.",
            )
        )


def _check_costs(entries: list[Entry], report: Report) -> None:
    now = time.time()
    ages = [
        now - entry.created_at
        for entry in entries
        for item in entry.items
        if entry.kind == "queue" and item.status == "succeeded" and item.cost is None
    ]
    if not ages:
        return
    report.facts["results without a cost"] = len(ages)
    if max(ages) > _LATE:
        report.deviations.append(
            Finding(
                "costs of results",
                "a cost within a day",
                f"{len(ages)} without one; the oldest is {max(ages) / 86400:.0f} days old",
                "What is reserved for them stays reserved; client.media.reconcile() asks again.",
            )
        )
