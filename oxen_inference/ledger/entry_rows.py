"""Reading an `Entry` from its row, as far as it can be read.

A damaged row must not hide the others, and what it stands for must not be sent again.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from oxen_inference.ledger import accounts
from oxen_inference.ledger.entries import Entry
from oxen_inference.ledger.leases import has_left, is_alive
from oxen_inference.result import MediaItem

log = logging.getLogger("oxen_inference.ledger")

T = TypeVar("T")

_STATES = frozenset({"intended", "posting", "accepted", "rejected", "unknown"})


def read_entry(row: Mapping[str, Any], items: tuple[MediaItem, ...]) -> Entry:
    """Return the entry; its notes name what is damaged."""
    damaged: list[str] = []

    def data(name: str, kind: type[T], default: T) -> T:
        try:
            value = json.loads(row[name])
        except (ValueError, TypeError, RecursionError):
            value = None
        if isinstance(value, kind):
            return value
        damaged.append(name)
        return default

    def number(name: str) -> float:
        value = row[name]
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
        damaged.append(name)
        return 0

    def moment(name: str) -> float | None:
        return None if row[name] is None else number(name)

    state = row["state"] if row["state"] in _STATES else "unknown"
    is_open = state in ("intended", "posting")
    reserved = (row["unit"], row["open"]) if row["unit"] is not None else (0, 0)
    if not all(isinstance(each, int) for each in reserved):
        damaged.append("reservation")
        reserved = (0, 0)
    request, defaults = data("request", dict, {}), data("defaults", dict, {})
    error = data("error", dict, {}) if row["error"] else None
    notes = [note for note in data("notes", list, []) if isinstance(note, str)]
    created_at, count = number("created_at"), max(int(number("count")), 0)
    posted_at, hub_sent_at = moment("posted_at"), moment("hub_sent_at")
    if damaged:
        notes.append(f"Damaged in the ledger: {', '.join(damaged)}.")
        log.warning("Entry %s is damaged in the ledger: %s", row["entry_id"], ", ".join(damaged))
    return Entry(
        entry_id=row["entry_id"],
        hub=row["hub"],
        account=row["account"],
        key=row["key"],
        fingerprint=row["fingerprint"],
        caller_fingerprint=row["caller_fingerprint"],
        kind=row["kind"],
        model=row["model"],
        media_type=row["media_type"],
        request=request,
        defaults=defaults,
        count=count,
        state=state,
        attempt=row["attempt"],
        owner=row["owner"],
        created_at=created_at,
        posted_at=posted_at,
        posted_ago=moment("posted_ago"),
        hub_sent_at=hub_sent_at,
        decided_at=moment("decided_at"),
        error=error,
        notes=tuple(dict.fromkeys(notes)),
        items=items,
        quoted=accounts.to_usd(row["quoted"]) if isinstance(row["quoted"], int) else None,
        reserved=accounts.to_usd(reserved[0] * reserved[1]),
        budget=row["budget"],
        is_abandoned=is_open
        and (
            is_alive(row["lease_identity"], row["lease_age"]) is False
            or has_left(row["entry_id"], row["attempt"], row["lease_identity"])
        ),
    )
