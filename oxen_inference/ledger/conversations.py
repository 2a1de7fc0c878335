"""Which tool calls of a conversation stand for which paid request.

An agent that calls a tool again, with the same arguments, means the job whose result it did not
get yet: one that timed out, whose process died, or whose outcome is unknown. Such a call joins
that job instead of paying for another one, under its own key as well, so that it stays joined
when it is itself interrupted and resumed. Two cases do not join: a job that a live call of this
process waits for, since two calls side by side are two requests; and a job whose result was
delivered.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator

from oxen_inference.result import MediaItem

_attended: Counter[str] = Counter()
_attended_lock = threading.Lock()


def attend(entry_id: str) -> None:
    """Mark that a call of this process waits for an entry, until `leave`."""
    with _attended_lock:
        _attended[entry_id] += 1


def leave(entry_id: str) -> None:
    with _attended_lock:
        _attended[entry_id] -= 1
        if _attended[entry_id] <= 0:
            del _attended[entry_id]


def add_call(
    connection: sqlite3.Connection, conversation: str, key: str | None, entry_id: str
) -> None:
    """Write that a call stands for an entry."""
    connection.execute(
        "INSERT INTO calls (conversation, key, entry_id) VALUES (?, ?, ?)",
        (conversation, key, entry_id),
    )


def mark_delivered(
    connection: sqlite3.Connection, entry_id: str, generation_ids: Iterable[str]
) -> None:
    """Write that these generations were delivered; a call is when all of its entry's are."""
    for each in generation_ids:
        connection.execute(
            "UPDATE generations SET delivered = 1 WHERE entry_id = ? AND generation_id = ?",
            (entry_id, each),
        )
    connection.execute(
        "UPDATE calls SET delivered = 1 WHERE entry_id = ? AND NOT EXISTS"
        " (SELECT 1 FROM generations WHERE entry_id = ? AND delivered = 0)",
        (entry_id, entry_id),
    )


def entry_of_call(connection: sqlite3.Connection, hub: str, account: str, key: str) -> str | None:
    """Return the id of the entry that a call joined, by the call's key."""
    row = connection.execute(
        "SELECT entry_id FROM calls JOIN entries USING (entry_id)"
        " WHERE calls.key = ? AND hub = ? AND account = ?",
        (key, hub, account),
    ).fetchone()
    return None if row is None else str(row["entry_id"])


def entry_to_join(
    connection: sqlite3.Connection, conversation: str, hub: str, account: str, fingerprint: str
) -> str | None:
    """Return the id of the newest entry for the same request whose result nobody got."""
    rows = connection.execute(
        "SELECT DISTINCT entry_id FROM calls JOIN entries USING (entry_id)"
        " WHERE conversation = ? AND delivered = 0 AND hub = ? AND account = ?"
        " AND fingerprint = ? AND kind = 'queue' AND state IN ('posting', 'unknown', 'accepted')"
        " ORDER BY created_at DESC",
        (conversation, hub, account, fingerprint),
    ).fetchall()
    free = (row["entry_id"] for row in rows if row["entry_id"] not in _attended)
    return next((entry_id for entry_id in free if _may_succeed(connection, entry_id)), None)


def _may_succeed(connection: sqlite3.Connection, entry_id: str) -> bool:
    """Whether a result can still be had: it has not ended without one."""
    items = list(_items(connection, entry_id))
    return not items or any(not i.is_terminal or i.status == "succeeded" for i in items)


def _items(connection: sqlite3.Connection, entry_id: str) -> Iterator[MediaItem]:
    for row in connection.execute("SELECT item FROM generations WHERE entry_id = ?", (entry_id,)):
        yield MediaItem.from_dict(json.loads(row["item"]))
