"""Putting the ledger in order with the hub: what was paid for and never collected."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from oxen_inference import queue
from oxen_inference.errors import (
    EnqueueOutcomeUnknown,
    InvalidInputError,
    OxenError,
)
from oxen_inference.generation import Generation
from oxen_inference.ledger.store import Entry, Intent
from oxen_inference.media.fetching import fetch_items
from oxen_inference.media.files import folder_to_save_in
from oxen_inference.media.searching import look_for
from oxen_inference.media.steps import Steps, run, send, shielded
from oxen_inference.result import MediaItem

if TYPE_CHECKING:
    from oxen_inference.media.task import Engine, Task

log = logging.getLogger("oxen_inference.media")

_PAGE_SIZE = 1000
_MAX_PAGES = 4
_FEW = 3


def find(
    engine: Engine, key: str | None, entry_id: str | None, generation_ids: Sequence[str] | None
) -> Steps[Entry]:
    """Return the ledger's entry for one of a key, an entry's id, or generation ids.

    Generations that no entry has are asked for and become one. Raises `InvalidInputError`,
    `NotFoundError`.
    """
    scope = yield from run(engine.scope)
    given = [one for one in (key, entry_id, generation_ids) if one]
    if len(given) != 1:
        raise InvalidInputError("Give one of key, entry_id and generation_ids.")
    if key:
        entry = yield from run(engine.ledger.find, scope, key)
    elif entry_id:
        entry = yield from run(engine.ledger.get, entry_id)
    else:
        entry = yield from _by_generations(engine, _distinct(generation_ids or ()))
    if entry is None:
        what = f"key {key!r}" if key else f"entry {entry_id!r}"
        raise InvalidInputError(f"The ledger of this hub and account has no {what}.")
    return entry


def reconcile(engine: Engine, task: Task, save_to: Any) -> Steps[list[Entry]]:
    """Bring every entry that is not settled up to date; return them as they are then.

    Looks once for the jobs of requests of unknown outcome, gives back the money of those that
    were never sent, and asks for the state and cost of all others. Raises `InvalidInputError`
    where `save_to` cannot be written; what cannot be asked for or fetched is logged.
    """
    if save_to is not None:
        yield from run(folder_to_save_in, save_to)
    scope = yield from run(engine.scope)
    entries = yield from run(engine.ledger.entries, scope)
    looked_at: list[Entry] = []
    for entry in entries:
        if entry.is_settled and (save_to is None or not _to_fetch(entry)):
            continue
        looked_at.append((yield from _decide(engine, task, entry)))
    rows = yield from _bulk(engine, looked_at)
    settled = []
    for entry in looked_at:
        entry = yield from _update(engine, entry, rows, save_to)  # noqa: PLW2901 - the same one, later
        settled.append(entry)
    return settled


def forget(engine: Engine, entry_id: str) -> Steps[Entry]:
    """Write down that a request of unknown outcome made nothing, or that generations which
    ended without success cost nothing, and give their money back.
    """
    entry = yield from find(engine, None, entry_id, None)
    if entry.state == "accepted" and entry.may_be_written_off:
        return (yield from run(engine.ledger.write_off, entry))
    if entry.state != "unknown":
        raise InvalidInputError(
            f"Entry {entry_id} is {entry.result().status if entry.items else entry.state}: it can "
            "be written off once its outcome stays unknown, or once all its generations ended "
            "without success and without a cost. client.media.reconcile() asks how far it is."
        )
    record = {"type": "OxenError", "message": "Written off: somebody saw that nothing was made."}
    yield from run(engine.ledger.rejected, entry, record)
    return (yield from find(engine, None, entry_id, None))


def adopt(engine: Engine, entry_id: str, generation_ids: Sequence[str]) -> Steps[Entry]:
    """Write down which generations a request of unknown outcome became."""
    entry = yield from find(engine, None, entry_id, None)
    ids = _distinct(generation_ids)
    if entry.state != "unknown" or not ids:
        raise InvalidInputError(
            f"Entry {entry_id} is {entry.state}; only one of unknown outcome adopts generations."
        )
    notes = (*entry.notes, "The answer to the request was lost; somebody named its generations.")
    if not (yield from run(engine.ledger.accepted, entry, ids, notes)):
        raise InvalidInputError("Those generations belong to another entry of the ledger.")
    return (yield from find(engine, None, entry_id, None))


def _distinct(generation_ids: Sequence[str] | str) -> tuple[str, ...]:
    """One id may be given alone; one given twice is one job."""
    ids = (generation_ids,) if isinstance(generation_ids, str) else generation_ids
    return tuple(dict.fromkeys(ids))


def _by_generations(engine: Engine, ids: tuple[str, ...]) -> Steps[Entry | None]:
    owners = yield from run(engine.ledger.owners, ids)
    owned = {owners.get(one) for one in ids}
    if len(owned) == 1 and (owner := owned.pop()):
        entry = yield from run(engine.ledger.get, owner)
        return entry and replace(
            entry, items=tuple(item for item in entry.items if item.generation_id in ids)
        )
    if any(owners.values()):
        raise InvalidInputError("Those generations belong to more than one request.")
    return (yield from _take_in(engine, ids))


def _take_in(engine: Engine, ids: tuple[str, ...]) -> Steps[Entry]:
    """Open an entry for generations that were made elsewhere."""
    rows: list[Generation] = []
    for one in ids:
        rows.append((yield from send(queue.get_call(engine.paths, one))))  # noqa: PERF401 - a comprehension cannot yield
    first = rows[0]
    request = {"model": first.model_name or "unknown", "prompt": first.prompt}
    intent = Intent(
        scope=(yield from run(engine.scope)),
        fingerprint="taken in",
        kind="queue",
        model=first.model_name or "unknown",
        media_type=first.media_type or "image",
        request=request,
        count=len(ids),
    )
    entry, _ = yield from run(engine.ledger.begin, intent)
    yield from run(engine.ledger.accepted, entry, ids, ("Taken in by its ids.",))
    items = tuple(MediaItem().updated(engine.located(row, entry)) for row in rows)
    return (yield from run(engine.ledger.update, entry, items))


def _decide(engine: Engine, task: Task, entry: Entry) -> Steps[Entry]:
    if entry.state in ("intended", "posting") and not entry.is_abandoned:
        return entry  # somebody is at it
    if entry.state == "intended":
        record = {"type": "OxenError", "message": "Its process ended before anything was sent."}
        yield from run(engine.ledger.rejected, entry, record)
        return (yield from find(engine, None, entry.entry_id, None))
    if entry.state in ("posting", "unknown") and entry.kind == "queue":
        try:
            return (yield from shielded(look_for(engine, entry, None, task), task.haste))
        except EnqueueOutcomeUnknown as doubt:
            log.warning("%s", doubt)
            return (yield from find(engine, None, entry.entry_id, None))
    return entry


def _bulk(engine: Engine, entries: Iterable[Entry]) -> Steps[dict[str, Generation]]:
    """The rows of many jobs in few requests; single ones are asked for later."""
    wanted = {
        item.generation_id
        for entry in entries
        for item in entry.items
        if item.generation_id and not (item.is_terminal and item.cost is not None)
    }
    rows: dict[str, Generation] = {}
    for number in range(1, _MAX_PAGES + 1):
        if len(wanted - rows.keys()) <= _FEW:
            break
        call = queue.generations_call(engine.paths, page=number, page_size=_PAGE_SIZE)
        try:
            page = yield from engine.get(call)
        except OxenError as error:
            log.debug("The list of generations could not be had: %s", error)
            break
        rows |= {row.generation_id: row for row in page.generations if row.generation_id in wanted}
        if number >= page.total_pages:
            break
    return rows


def _update(
    engine: Engine, entry: Entry, rows: dict[str, Generation], save_to: Any
) -> Steps[Entry]:
    if entry.kind != "queue" or entry.state != "accepted":
        return entry
    if all((item.generation_id or "") in rows for item in entry.items):
        items = tuple(
            item.updated(engine.located(rows[item.generation_id or ""], entry))
            for item in entry.items
        )
        entry = yield from engine.write(replace(entry, items=items))
    else:
        entry = yield from engine.refresh(entry)
    if save_to is not None and _to_fetch(entry):
        entry, failure = yield from fetch_items(engine, entry, save_to)
        if failure is not None:
            log.warning("%s", failure)
    return entry


def _to_fetch(entry: Entry) -> bool:
    return any(item.status == "succeeded" and not item.path for item in entry.items)
