"""The ledger's rows of generations: what an accepted request became.

Every function works in its caller's transaction.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence

from oxen_inference.ledger import accounts
from oxen_inference.ledger.entries import Entry
from oxen_inference.result import MediaItem


def accept(
    connection: sqlite3.Connection, entry: Entry, ids: Sequence[str], notes: Sequence[str]
) -> bool:
    """Write an accepted entry and its ids; False if other entries have them all."""
    taken = [
        each
        for each in ids
        if connection.execute(
            "SELECT 1 FROM generations WHERE generation_id = ? AND entry_id <> ?",
            (each, entry.entry_id),
        ).fetchone()
    ]
    if taken and len(taken) == len(ids):
        return False
    connection.execute(
        "UPDATE entries SET state = 'accepted', decided_at = ?, error = NULL, notes = ?"
        " WHERE entry_id = ?",
        (time.time(), json.dumps(notes), entry.entry_id),
    )
    for position, each in enumerate(ids):
        item = MediaItem(generation_id=each).to_dict()
        connection.execute(
            "INSERT OR IGNORE INTO generations (entry_id, position, generation_id, item)"
            " VALUES (?, ?, ?, ?)",
            (entry.entry_id, position, each, json.dumps(item)),
        )
    accounts.resize(connection, entry.entry_id, ids)
    return True


def record_results(
    connection: sqlite3.Connection, entry: Entry, items: Iterable[MediaItem]
) -> None:
    """Write the results of a direct request, which have no ids."""
    connection.execute(
        "UPDATE entries SET state = 'accepted', decided_at = ? WHERE entry_id = ?",
        (time.time(), entry.entry_id),
    )
    for position, item in enumerate(items):
        connection.execute(
            "INSERT OR REPLACE INTO generations (entry_id, position, generation_id, item)"
            " VALUES (?, ?, ?, ?)",
            (entry.entry_id, position, _direct_id(entry.entry_id, position),
             json.dumps(item.to_dict())),
        )  # fmt: skip


def catch_up(connection: sqlite3.Connection, entry: Entry) -> None:
    """Write that a request was accepted, where the file could not be written at the time."""
    if (
        entry.state != "accepted"
        or not connection.execute(
            "SELECT 1 FROM entries WHERE entry_id = ? AND attempt = ? AND state = 'posting'",
            (entry.entry_id, entry.attempt),
        ).fetchone()
    ):
        return
    if entry.kind == "queue":
        accept(connection, entry, entry.generation_ids, entry.notes)
    else:
        record_results(connection, entry, entry.items)


def update(connection: sqlite3.Connection, entry: Entry, items: Iterable[MediaItem]) -> None:
    """Write how far the generations are, and settle those whose cost is known."""
    for position, item in enumerate(items):
        generation_id = item.generation_id or _direct_id(entry.entry_id, position)
        connection.execute(
            "UPDATE generations SET item = ? WHERE entry_id = ? AND generation_id = ?",
            (json.dumps(item.to_dict()), entry.entry_id, generation_id),
        )
        if item.is_terminal and item.cost is not None:
            accounts.settle(connection, entry.entry_id, generation_id, item.cost, entry.model)


def _direct_id(entry_id: str, position: int) -> str:
    return f"direct:{entry_id}:{position}"
