"""The ledger's rows of generations: what an accepted request became.

Every function works in its caller's transaction.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from oxen_inference.ledger import accounts
from oxen_inference.ledger.entries import Entry
from oxen_inference.ledger.schema import entries, generations
from oxen_inference.ledger.statements import insert_new, now
from oxen_inference.result import MediaItem

log = logging.getLogger("oxen_inference.ledger")

_DIRECT = "direct:"

# Statements are made once: to make one takes longer than to run it.
_LOCK = (
    select(entries.c.state, entries.c.attempt)
    .where(entries.c.entry_id == bindparam("entry"))
    .with_for_update()
)
_OWNERS = select(generations.c.generation_id, generations.c.entry_id).where(
    generations.c.hub == bindparam("hub"),
    generations.c.account == bindparam("account"),
    generations.c.generation_id.in_(bindparam("ids", expanding=True)),
)
_INSERT = insert_new(generations)
_ITEMS = select(generations.c.generation_id, generations.c.item).where(
    generations.c.entry_id == bindparam("entry")
)
SET_ITEM = (
    update(generations)
    .where(
        generations.c.entry_id == bindparam("entry"),
        generations.c.generation_id == bindparam("generation"),
    )
    .values(item=bindparam("content"))
)
ACCEPT = (
    update(entries)
    .where(entries.c.entry_id == bindparam("entry"))
    .values(state="accepted", decided_at=now(), error=None, notes=bindparam("remarks"))
)
_IS_BEHIND = select(entries.c.id).where(
    entries.c.entry_id == bindparam("entry"),
    entries.c.attempt == bindparam("number"),
    entries.c.state == "posting",
)


def owners(
    connection: Connection, hub: str, account: str, generation_ids: Iterable[str]
) -> dict[str, str]:
    """Return which entry each known generation belongs to."""
    ids = list(generation_ids)
    values = {"hub": hub, "account": account, "ids": ids}
    rows = connection.execute(_OWNERS, values) if ids else ()
    return {row.generation_id: row.entry_id for row in rows}


def accept(
    connection: Connection,
    entry: Entry,
    ids: Sequence[str],
    notes: Sequence[str],
    *,
    were_found: bool = False,
) -> bool:
    """Write an accepted entry and its ids; False if other entries have them all, or if another
    attempt was begun meanwhile.

    `were_found`: by looking for them, which changes nothing once the hub's own answer is written.
    """
    now_is = lock(connection, entry.entry_id)
    if now_is is None or now_is.attempt != entry.attempt:
        return False
    if were_found and now_is.state not in ("posting", "unknown"):
        return bool(now_is.state == "accepted")
    before = connection.execute(_ITEMS, {"entry": entry.entry_id}).all()
    known = owners(connection, entry.hub, entry.account, ids)
    if known and all(known.get(each, entry.entry_id) != entry.entry_id for each in ids):
        return False
    written = 0
    for position, each in enumerate(ids, start=len(before)):
        if each not in known:
            item = MediaItem(generation_id=each)
            written += _insert(connection, entry, position, each, item)
    if not written and entry.entry_id not in known.values():
        return False  # another entry took them at this moment
    _write_accepted(connection, entry, notes)
    # A generation that was requested and is not named may have been made, and be billed.
    every_id = [*(row.generation_id for row in before), *ids]
    accounts.resize(connection, entry.entry_id, every_id, at_least=entry.count)
    return True


def record_results(connection: Connection, entry: Entry, items: Iterable[MediaItem]) -> None:
    """Write the results of a direct request, which have no ids."""
    lock(connection, entry.entry_id)
    _write_accepted(connection, entry, entry.notes)
    for position, item in enumerate(items):
        _insert(connection, entry, position, _direct_id(entry.entry_id, position), item)


def catch_up(connection: Connection, entry: Entry) -> None:
    """Write that a request was accepted, where the ledger could not be written at the time."""
    if entry.state != "accepted":
        return
    values = {"entry": entry.entry_id, "number": entry.attempt}
    if connection.execute(_IS_BEHIND, values).first() is None:
        return
    if entry.kind == "queue":
        accept(connection, entry, entry.generation_ids, entry.notes)
    else:
        record_results(connection, entry, entry.items)


def update_items(connection: Connection, entry: Entry, items: Iterable[MediaItem]) -> bool:
    """Write how far the generations are, and settle those whose cost is known. Return whether one
    was settled that was not before.

    A generation that has ended stays so, and a cost stays known, whatever an older answer says.
    """
    lock(connection, entry.entry_id)
    rows = connection.execute(_ITEMS, {"entry": entry.entry_id})
    known = {row.generation_id: row.item for row in rows}
    is_one_settled = False
    for position, item in enumerate(items):
        generation_id = item.generation_id or _direct_id(entry.entry_id, position)
        if generation_id not in known:
            continue
        before = read_item(generation_id, known[generation_id])
        if before.is_terminal and not item.is_terminal:
            continue  # an older answer
        if item.cost is None and before.cost is not None:
            item = replace(item, cost=before.cost)  # noqa: PLW2901 - somebody was told it meanwhile
        is_one_settled |= item.is_settled and not before.is_settled
        content = json.dumps(item.to_dict())
        values = {"entry": entry.entry_id, "generation": generation_id, "content": content}
        connection.execute(SET_ITEM, values)
        if item.is_terminal and item.cost is not None:
            accounts.settle(connection, entry.entry_id, generation_id, item.cost, entry.model)
        elif item.is_terminal and item.status != "succeeded":
            accounts.add_failure(connection, entry.entry_id, generation_id)
    return is_one_settled


def read_item(generation_id: str, text: object) -> MediaItem:
    """Return a generation as it was written; what cannot be read can be asked for by its id."""
    try:
        return MediaItem.from_dict(json.loads(text))  # type: ignore[arg-type]  # or it cannot be read
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        log.warning("The ledger's row of %s is damaged: %s", generation_id, error)
        known_id = None if generation_id.startswith(_DIRECT) else generation_id
        return MediaItem(generation_id=known_id)


def lock(connection: Connection, entry_id: str) -> Row[Any, Any] | None:
    """Return an entry's state and attempt, locked until the transaction ends; None if it is gone."""
    found: Row[Any, Any] | None = connection.execute(_LOCK, {"entry": entry_id}).one_or_none()
    return found


def _write_accepted(connection: Connection, entry: Entry, notes: Sequence[str]) -> None:
    connection.execute(ACCEPT, {"entry": entry.entry_id, "remarks": json.dumps(list(notes))})


def _insert(
    connection: Connection, entry: Entry, position: int, generation_id: str, item: MediaItem
) -> int:
    row = {
        "entry_id": entry.entry_id,
        "position": position,
        "hub": entry.hub,
        "account": entry.account,
        "generation_id": generation_id,
        "item": json.dumps(item.to_dict()),
        "delivered": 0,
    }
    return int(connection.execute(_INSERT, row).rowcount)


def _direct_id(entry_id: str, position: int) -> str:
    return f"{_DIRECT}{entry_id}:{position}"
