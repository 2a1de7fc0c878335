"""Which tool calls of a conversation stand for which paid request.

An agent that calls a tool again, with the same arguments, means the job whose result it did not
get yet: one that timed out, whose process died, or whose outcome is unknown. Such a call joins
that job instead of paying for another one, under its own key as well, so that it stays joined
when it is itself interrupted and resumed. Two cases do not join: a job that another live call
waits for, since two calls side by side are two requests; and a job whose result was delivered.

Every function works in its caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Row, bindparam, delete, exists, insert, select, update

from oxen_inference.ledger.entries import Intent
from oxen_inference.ledger.generations import read_item
from oxen_inference.ledger.leases import is_alive
from oxen_inference.ledger.schema import calls, entries, generations, leases, waits
from oxen_inference.ledger.statements import now

# Statements of every paid request are made once: to make one takes longer than to run it.
_THESE = update(generations).where(
    generations.c.entry_id == bindparam("entry"),
    generations.c.generation_id.in_(bindparam("ids", expanding=True)),
)
_DELIVER = _THESE.values(delivered=1)
_TAKE_BACK = _THESE.values(delivered=0)
_IS_MISSING = exists().where(
    generations.c.entry_id == bindparam("entry"), generations.c.delivered == 0
)
_DELIVER_CALLS = (
    update(calls).where(calls.c.entry_id == bindparam("entry"), ~_IS_MISSING).values(delivered=1)
)
_TAKE_BACK_CALLS = update(calls).where(calls.c.entry_id == bindparam("entry")).values(delivered=0)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The unfinished jobs that a call may mean, the newest first.

    `free`: nobody waits for them. `watched`: by whom the others are waited for that may be free
    soon: leases of other machines, which may have died just now, and their last heartbeats.
    """

    free: tuple[str, ...]
    watched: dict[str, float]


def attend(connection: Connection, entry_id: str, lease_id: str, wait_id: str) -> None:
    """Write that a call waits for an entry, under an id for `leave`."""
    connection.execute(insert(waits).values(wait_id=wait_id, entry_id=entry_id, lease_id=lease_id))


def leave(connection: Connection, wait_id: str) -> None:
    connection.execute(delete(waits).where(waits.c.wait_id == wait_id))


def add_call(connection: Connection, intent: Intent, entry_id: str) -> None:
    """Write that a call stands for an entry."""
    connection.execute(
        insert(calls).values(
            conversation=intent.conversation, key=intent.key, entry_id=entry_id, delivered=0
        )
    )


def mark_delivered(connection: Connection, entry_id: str, generation_ids: Iterable[str]) -> None:
    """Write that these generations were delivered; a call is when all of its entry's are."""
    connection.execute(_DELIVER, {"entry": entry_id, "ids": list(generation_ids)})
    connection.execute(_DELIVER_CALLS, {"entry": entry_id})


def mark_undelivered(connection: Connection, entry_id: str, generation_ids: Iterable[str]) -> None:
    """Write that these generations were not delivered, nor the entry's calls."""
    connection.execute(_TAKE_BACK, {"entry": entry_id, "ids": list(generation_ids)})
    connection.execute(_TAKE_BACK_CALLS, {"entry": entry_id})


def find_joinable(connection: Connection, intent: Intent) -> Candidates:
    """Return the entries for the same request whose result nobody got."""
    found = connection.execute(
        select(entries.c.entry_id, entries.c.id)
        .join(calls, calls.c.entry_id == entries.c.entry_id)
        .where(
            calls.c.conversation == intent.conversation,
            calls.c.delivered == 0,
            entries.c.hub == intent.scope.hub,
            entries.c.account == intent.scope.account,
            entries.c.fingerprint == intent.fingerprint,
            entries.c.kind == "queue",
            entries.c.state.in_(("posting", "unknown", "accepted")),
        )
        .distinct()
        .order_by(entries.c.id.desc())
    ).all()
    free: list[str] = []
    watched: dict[str, float] = {}
    for row in found:
        if not _may_succeed(connection, row.entry_id):
            continue
        waiting = [(w, is_alive(w.identity, w.age)) for w in _waits(connection, row.entry_id)]
        if not any(alive for _, alive in waiting):
            unknown = {w.lease_id: w.heartbeat_at for w, alive in waiting if alive is None}
            watched |= unknown
            free += [] if unknown else [row.entry_id]
    return Candidates(tuple(free), watched)


def _waits(connection: Connection, entry_id: str) -> Iterable[Row[tuple[str, str, float, float]]]:
    age = (now() - leases.c.heartbeat_at).label("age")
    return connection.execute(
        select(waits.c.lease_id, leases.c.identity, leases.c.heartbeat_at, age)
        .join(leases, leases.c.lease_id == waits.c.lease_id)
        .where(waits.c.entry_id == entry_id)
    ).all()


def _may_succeed(connection: Connection, entry_id: str) -> bool:
    """Whether a result can still be had: it has not ended without one."""
    rows = connection.execute(
        select(generations.c.generation_id, generations.c.item).where(
            generations.c.entry_id == entry_id
        )
    )
    items = [read_item(*row) for row in rows]
    return not items or any(not i.is_terminal or i.status == "succeeded" for i in items)
