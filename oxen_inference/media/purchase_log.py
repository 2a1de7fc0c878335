"""The log's lines about money: one when a request was accepted, and one when it has ended.

They hold ids, models, amounts and states: never a prompt, a key, a URL or a path.
"""

from __future__ import annotations

import logging

from oxen_inference.ledger.entries import Entry
from oxen_inference.money import usd

log = logging.getLogger("oxen_inference.media")


def log_accepted(entry: Entry) -> None:
    """Say that a paid request was accepted, and what it may cost."""
    if not log.isEnabledFor(logging.INFO):
        return
    most = "an unknown amount" if entry.quoted is None else usd(entry.quoted * entry.count)
    log.info(
        "Accepted: entry %s, model %s, generations %s, at most %s",
        entry.entry_id, entry.model, ", ".join(entry.generation_ids) or "without ids", most,
    )  # fmt: skip


def log_ended(entry: Entry) -> None:
    """Say what became of a paid request, and what it cost, as far as that is known."""
    if not log.isEnabledFor(logging.INFO):
        return
    cost = entry.cost
    log.info(
        "%s: entry %s, %s, cost %s",
        "Ended" if cost is None else "Settled", entry.entry_id, entry.result().status,
        "not known yet" if cost is None else usd(cost),
    )  # fmt: skip


def log_refused(entry: Entry, error: Exception) -> None:
    """Say that nothing was bought."""
    log.info(
        "Not bought: entry %s, model %s, %s, status %s",
        entry.entry_id, entry.model, type(error).__name__, getattr(error, "status_code", None),
    )  # fmt: skip


def log_unknown(entry: Entry) -> None:
    """Say that it is not known whether a request was accepted."""
    log.info("Outcome unknown: entry %s, model %s", entry.entry_id, entry.model)
