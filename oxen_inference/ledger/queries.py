"""Finding entries of the ledger: by id, by key, by conditions; each with its generations."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, bindparam, select

from oxen_inference.errors import LedgerError
from oxen_inference.ledger import generations
from oxen_inference.ledger.entries import Entry, Scope
from oxen_inference.ledger.entry_rows import read_entry
from oxen_inference.ledger.schema import calls, entries, leases, reservations
from oxen_inference.ledger.schema import generations as generation_rows
from oxen_inference.ledger.statements import now
from oxen_inference.result import MediaItem

KeyState = Literal["made", "sent", "failed"]
"""What became of a key's request; ``sent`` where it is not known yet."""
_KEY_STATES: tuple[KeyState, ...] = ("made", "sent", "failed")

# Statements are made once: to make one takes longer than to run it.
_ENTRIES = (
    select(
        entries,
        leases.c.identity.label("lease_identity"),
        (now() - leases.c.heartbeat_at).label("lease_age"),
        (now() - entries.c.posted_at).label("posted_ago"),
        reservations.c.budget,
        reservations.c.unit,
        reservations.c.open,
    )
    .outerjoin(leases, leases.c.lease_id == entries.c.owner)
    .outerjoin(reservations, reservations.c.entry_id == entries.c.entry_id)
    .order_by(entries.c.id.desc())
)
_BY_ID = _ENTRIES.where(entries.c.entry_id == bindparam("entry"))
_own = entries.alias()
# Not an OR of the two: PostgreSQL would read every entry.
_WITH_KEY = (
    select(_own.c.entry_id)
    .where(
        _own.c.hub == bindparam("hub"),
        _own.c.account == bindparam("account"),
        _own.c.key == bindparam("key"),
    )
    .union(select(calls.c.entry_id).where(calls.c.key == bindparam("key")))
)
_BY_KEY = _ENTRIES.where(
    entries.c.hub == bindparam("hub"),
    entries.c.account == bindparam("account"),
    entries.c.entry_id.in_(_WITH_KEY),
)
_ITEMS = (
    select(generation_rows.c.entry_id, generation_rows.c.generation_id, generation_rows.c.item)
    .join(entries, entries.c.entry_id == generation_rows.c.entry_id)
    .order_by(generation_rows.c.entry_id, generation_rows.c.position)
)
_ITEMS_BY_ENTRY = _ITEMS.where(generation_rows.c.entry_id.in_(bindparam("entries", expanding=True)))


def in_scope(scope: Scope) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return the conditions for entries of a hub and an account."""
    return entries.c.hub == scope.hub, entries.c.account == scope.account


def find(connection: Connection, scope: Scope, key: str) -> Entry | None:
    """Return the entry of a key, be it the key of a call that joined it."""
    values = {"hub": scope.hub, "account": scope.account, "key": key}
    found = _read_all(connection, _BY_KEY, _ITEMS_BY_ENTRY, values)
    return next((entry for entry in found if entry.key == key), found[0] if found else None)


def has_keys(connection: Connection, scope: Scope, beginning: str) -> bool:
    """Whether there is any key that begins like this, of an entry or of a call that joined one."""
    own = select(entries.c.key).where(
        *in_scope(scope), entries.c.key.startswith(beginning, autoescape=True)
    )
    joined = select(calls.c.key).where(calls.c.key.startswith(beginning, autoescape=True))
    return connection.execute(own.union_all(joined).limit(1)).first() is not None


def bought_keys(connection: Connection, scope: Scope, beginning: str) -> dict[str, KeyState]:
    """Return what became of the requests whose keys begin like this, if anything may be bought."""
    found = _key_states(connection, scope, entries.c.key.startswith(beginning, autoescape=True))
    # SQLite finds other cases, too.
    return {key: state for key, state in found.items() if key.startswith(beginning)}


def bought_key(connection: Connection, scope: Scope, key: str) -> KeyState | None:
    """Return what became of a key's request, if anything may be bought."""
    return _key_states(connection, scope, entries.c.key == key).get(key)


def _key_states(
    connection: Connection, scope: Scope, condition: ColumnElement[bool]
) -> dict[str, KeyState]:
    rows = connection.execute(
        select(
            entries.c.key, entries.c.state, generation_rows.c.generation_id, generation_rows.c.item
        )
        .outerjoin(generation_rows, generation_rows.c.entry_id == entries.c.entry_id)
        .where(
            *in_scope(scope),
            condition,
            entries.c.state.not_in(("intended", "rejected")),
        )
    )
    found: dict[str, KeyState] = {}
    for key, state, generation_id, text in rows:
        now_state: KeyState = "sent"
        if state == "accepted" and generation_id is not None:
            item = generations.read_item(generation_id, text)
            if item.status == "succeeded":
                now_state = "made"
            elif item.is_terminal:
                now_state = "failed"
        # A request of several generations is made where one is, and failed where all are.
        found[key] = min(found.get(key, now_state), now_state, key=_KEY_STATES.index)
    return found


def get(connection: Connection, entry_id: str) -> Entry | None:
    """Return an entry by its id."""
    found = _read_all(connection, _BY_ID, _ITEMS_BY_ENTRY, {"entry": entry_id})
    return found[0] if found else None


def get_known(connection: Connection, entry_id: str) -> Entry:
    """Return an entry that was there a moment ago. Raises `LedgerError`."""
    entry = get(connection, entry_id)
    if entry is None:
        raise LedgerError(f"Entry {entry_id} is no longer in the ledger.")
    return entry


def select_entries(connection: Connection, *conditions: ColumnElement[bool]) -> list[Entry]:
    """Return the entries that meet the conditions, newest first."""
    items = _ITEMS.where(*conditions)
    return _read_all(connection, _ENTRIES.where(*conditions), items, {})


def _read_all(
    connection: Connection, of_entries: Select[Any], of_items: Select[Any], values: dict[str, Any]
) -> list[Entry]:
    rows = connection.execute(of_entries, values).all()
    items: dict[str, tuple[MediaItem, ...]] = {}
    if any(row.state not in ("intended", "posting", "unknown", "rejected") for row in rows):
        ids = {"entries": [row.entry_id for row in rows]} if of_items is _ITEMS_BY_ENTRY else {}
        for row in connection.execute(of_items, ids):
            item = generations.read_item(row.generation_id, row.item)
            items[row.entry_id] = (*items.get(row.entry_id, ()), item)
    return [read_entry(row._asdict(), items.get(row.entry_id, ())) for row in rows]
