"""Bringing the ledger up to date with the hub: what was paid for and never collected."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from oxen_inference import queue
from oxen_inference.effects import Work, invoke, run, run_on_network, send, shield
from oxen_inference.errors import (
    APIResponseError,
    ConfigurationError,
    EnqueueOutcomeUnknown,
    InvalidInputError,
    NotFoundError,
    OxenError,
)
from oxen_inference.generation import Generation
from oxen_inference.ledger.entries import Entry, Intent, Scope
from oxen_inference.ledger.store import Begun
from oxen_inference.media.engine import Engine, Task
from oxen_inference.media.fetch import check_folder, fetch_items
from oxen_inference.media.history import read_history
from oxen_inference.media.lost_jobs import look_for
from oxen_inference.media.purchase_log import log_accepted, log_ended
from oxen_inference.media.quotes import watch_bill
from oxen_inference.result import MediaItem

log = logging.getLogger("oxen_inference.media")

_MAX_PAGES = 4
_FEW = 3


async def find(
    engine: Engine, key: str | None, entry_id: str | None, generation_ids: Sequence[str] | None
) -> Entry:
    """Return the ledger's entry for one of a key, an entry's id, or generation ids.

    Generations that no entry has are asked for and become one. Raises `InvalidInputError`,
    `NotFoundError`.
    """
    scope = await run(engine.scope)
    given = [each for each in (key, entry_id, generation_ids) if each]
    if len(given) != 1:
        raise InvalidInputError("Give one of key, entry_id and generation_ids.")
    if key:
        entry = await run(engine.ledger.find, scope, key)
    elif entry_id:
        entry = await run(engine.ledger.get, entry_id)
    else:
        entry = await _by_generations(engine, scope, _distinct(generation_ids or ()))
    if entry is None:
        name = f"key {key!r}" if key else f"entry {entry_id!r}"
        raise InvalidInputError(f"The ledger of this hub and account has no {name}.")
    return entry


async def reconcile(
    engine: Engine,
    task: Task,
    save_to: Any,
    on_progress: Callable[[int, int], Any] | None = None,
) -> list[Entry]:
    """Bring every entry that is not settled up to date; return them as they are then.

    Looks once for the jobs of requests of unknown outcome, releases the money of those that were
    never sent, and asks for the state and cost of all others. `on_progress` is told how many
    entries of how many are done. Raises `InvalidInputError` where `save_to` cannot be written; what
    cannot be asked for or downloaded is logged.
    """
    if save_to is not None:
        await run_on_network(check_folder, save_to)
    scope = await run(engine.scope)
    entries = await run(engine.ledger.entries, scope)
    is_to_fetch = save_to is not None
    opened = [e for e in entries if not e.is_settled or (is_to_fetch and _to_fetch(e))]
    done = 0

    async def count_one() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            await invoke(on_progress, done, len(opened))

    # All were sent before now: the time that a job may need to be listed passes for all at once.
    until = time.monotonic() + engine.pace().lookup
    looked_at: list[Entry] = []
    for entry in opened:
        decided = await _or_as_it_is(_decide(engine, task, entry, until), entry)
        looked_at.append(decided)
        if decided.state != "accepted":
            await count_one()
    rows = await _rows_of(engine, looked_at)
    updated: list[Entry] = []
    for entry in looked_at:
        updated.append(await _or_as_it_is(_update(engine, entry, rows, save_to), entry))
        if entry.state == "accepted":
            await count_one()
    return updated


async def _or_as_it_is(step: Work[Entry], entry: Entry) -> Entry:
    """Return what a step makes of an entry; one that fails is no reason to leave out the others."""
    try:
        return await step
    except ConfigurationError:
        raise  # the client is closed
    except OxenError as error:
        log.warning("Entry %s could not be brought up to date: %s", entry.entry_id, error)
        return entry


async def forget(engine: Engine, entry_id: str) -> Entry:
    """Write that a request of unknown outcome made nothing, or that generations which ended
    without success or were never named cost nothing, and release their money.
    """
    entry = await find(engine, None, entry_id, None)
    if entry.state == "accepted" and entry.may_be_written_off:
        written = await run(engine.ledger.write_off, entry)
        log_ended(written)
        return written
    if entry.state != "unknown":
        raise InvalidInputError(
            f"Entry {entry_id} is {entry.result().status if entry.items else entry.state}: it can "
            "be written off once its outcome stays unknown, once all its generations ended "
            "without success and without a cost, or once it is known what the generations cost that "
            "Oxen named, where it named fewer than were requested.",
            hint="client.media.reconcile() asks how far it is.",
        )
    record = {"type": "OxenError", "message": "Written off by hand: nothing was made."}
    await run(engine.ledger.mark_rejected, entry, record)
    return await engine.reload(entry)


async def adopt(engine: Engine, entry_id: str, generation_ids: Sequence[str]) -> Entry:
    """Write which generations a request of unknown outcome became, once Oxen has shown each.

    Raises `InvalidInputError` for one that Oxen does not know, that is of another model or that
    belongs to another entry; `OxenError` where Oxen cannot be asked, and nothing is written then.
    """
    entry = await find(engine, None, entry_id, None)
    given = _distinct(generation_ids)
    if entry.state != "unknown" or not given:
        raise InvalidInputError(
            f"Entry {entry_id} is {entry.state}; only one of unknown outcome adopts generations.",
            hint="client.media.reconcile() finds out what is unknown of a process that ended."
            if entry.state == "posting"
            else None,
        )
    found = [await _row_to_adopt(engine, entry, each) for each in given]
    rows = {row.generation_id: row for row in found}
    await _check_free(engine, entry, rows)
    notes = (
        *entry.notes,
        "The answer to the request was lost; its generations were named by hand.",
    )
    if not await run(engine.ledger.mark_accepted, entry, tuple(rows), notes):
        raise InvalidInputError("Those generations belong to another entry of the ledger.")
    adopted = await engine.reload(entry)
    log_accepted(adopted)
    return await engine.write(engine.merged(adopted, rows))


async def _row_to_adopt(engine: Engine, entry: Entry, generation_id: str) -> Generation:
    """Return a generation's row, asked for by every route. Raises `InvalidInputError`."""
    namespace, failure = entry.request.get("target_namespace"), None
    calls = (
        queue.generation_call(engine.paths, generation_id),
        queue.get_call(engine.paths, generation_id),
        queue.older_get_call(engine.paths, generation_id, namespace=namespace, model=entry.model),
    )
    for call in filter(None, calls):
        try:
            row = await engine.get(call)
        except NotFoundError:
            continue
        except APIResponseError as error:  # another route may answer better
            failure = error
            continue
        if not _is_same_model(row.model_name, entry.model):
            raise InvalidInputError(
                f"Generation {generation_id} is of {row.model_name}, and entry {entry.entry_id} "
                f"requested {entry.model}. Nothing was written.",
            )
        return row
    if failure is not None:
        raise failure
    raise InvalidInputError(
        f"Oxen knows no generation {generation_id}. Nothing was written.",
        hint="client.queue.history() lists what this API key's account made.",
    )


def _is_same_model(name: str | None, requested: str) -> bool:
    """Whether a row may be of the model, which it may name with or without its namespace."""
    if name is None:
        return True
    ours, theirs = requested.casefold(), name.casefold()
    return ours == theirs or ours.endswith(f"/{theirs}") or theirs.endswith(f"/{ours}")


async def _check_free(engine: Engine, entry: Entry, rows: Iterable[str]) -> None:
    owners = await run(engine.ledger.owners, Scope(entry.hub, entry.account), list(rows))
    for generation_id, owner in owners.items():
        if owner != entry.entry_id:
            raise InvalidInputError(
                f"Generation {generation_id} belongs to another entry of the ledger, {owner}. "
                "Nothing was written."
            )


def _distinct(generation_ids: Sequence[str] | str) -> tuple[str, ...]:
    """Return ids, which may be one text, each once."""
    ids = (generation_ids,) if isinstance(generation_ids, str) else generation_ids
    return tuple(dict.fromkeys(ids))


async def _by_generations(engine: Engine, scope: Scope, ids: tuple[str, ...]) -> Entry | None:
    owners = await run(engine.ledger.owners, scope, ids)
    owned = {owners.get(each) for each in ids}
    if len(owned) == 1 and (owner := owned.pop()):
        entry = await run(engine.ledger.get, owner)
        return entry and replace(
            entry, items=tuple(item for item in entry.items if item.generation_id in ids)
        )
    if any(owners.values()):
        raise InvalidInputError("Those generations belong to more than one request.")
    return await _adopt_foreign(engine, scope, ids)


async def _adopt_foreign(engine: Engine, scope: Scope, ids: tuple[str, ...]) -> Entry | None:
    """Write an entry for generations that were made elsewhere."""
    rows: list[Generation] = [await send(queue.get_call(engine.paths, each)) for each in ids]
    first = rows[0]
    request = {"model": first.model_name or "unknown", "prompt": first.prompt}
    intent = Intent(
        scope=scope,
        fingerprint="made elsewhere",
        kind="queue",
        model=first.model_name or "unknown",
        media_type=first.media_type or "image",
        request=request,
        count=len(ids),
    )
    written = await shield(_write_foreign(engine, intent, ids))
    if written is None:
        return await _by_generations(engine, scope, ids)
    items = tuple(MediaItem().updated(engine.readable(row, written)) for row in rows)
    return await run(engine.ledger.update, written, items)


async def _write_foreign(engine: Engine, intent: Intent, ids: tuple[str, ...]) -> Entry | None:
    """Write an entry that has these generations; None where another call was first."""
    begun = await run(engine.ledger.begin, intent)
    assert isinstance(begun, Begun)  # noqa: S101 - it belongs to no conversation
    entry, notes = begun.entry, ("Made elsewhere; added by its ids.",)
    try:
        if await run(engine.ledger.mark_accepted, entry, ids, notes):
            return entry
        record = {"type": "OxenError", "message": "Another entry has its generations."}
        await run(engine.ledger.reject_unsent, entry, record)
    finally:
        engine.ledger.end_work(entry)
    return None


async def _decide(engine: Engine, task: Task, entry: Entry, until: float) -> Entry:
    if entry.state in ("intended", "posting") and not entry.is_abandoned:
        return entry  # another call is at work on it
    if entry.state == "intended":
        record = {"type": "OxenError", "message": "Its process ended before anything was sent."}
        await run(engine.ledger.reject_unsent, entry, record)
        return await engine.reload(entry)
    if entry.state in ("posting", "unknown") and entry.kind == "queue":
        try:
            return await shield(look_for(engine, entry, None, task, until=until), task.stop)
        except EnqueueOutcomeUnknown as error:
            log.warning("%s", error)
            return await engine.reload(entry)
    if entry.state == "posting":  # a synchronous request, whose answer went with its process
        record = {"type": "OxenError", "message": "Its process ended before the answer came."}
        await run(engine.ledger.mark_unknown, entry, record)
        return await engine.reload(entry)
    return entry


async def _rows_of(engine: Engine, entries: Iterable[Entry]) -> dict[str, Generation]:
    """Return the rows of many jobs in few requests; single ones are asked for later."""
    wanted = {
        item.generation_id
        for entry in entries
        for item in entry.items
        if item.generation_id and not item.is_settled
    }
    rows: dict[str, Generation] = {}

    def absorb(page: Sequence[Generation]) -> bool:
        rows.update({row.generation_id: row for row in page if row.generation_id in wanted})
        return len(wanted - rows.keys()) <= _FEW

    if len(wanted) > _FEW:
        try:
            await read_history(engine.get, engine.paths, absorb, max_pages=_MAX_PAGES)
        except OxenError as error:
            log.debug("The list of generations could not be had: %s", error)
    return rows


async def _update(engine: Engine, entry: Entry, rows: dict[str, Generation], save_to: Any) -> Entry:
    if entry.kind != "queue" or entry.state != "accepted":
        return entry
    if all((item.generation_id or "") in rows for item in entry.items):
        entry = await engine.write(engine.merged(entry, rows))
    else:
        entry = await engine.refresh(entry)
    await watch_bill(engine, entry)
    if save_to is not None and _to_fetch(entry):
        entry, failure = await fetch_items(engine, entry, save_to, only=_is_uncollected)
        entry = await engine.write(entry)
        if failure is not None:
            log.warning("%s", failure)
    return entry


def _to_fetch(entry: Entry) -> bool:
    return any(map(_is_uncollected, entry.items))


def _is_uncollected(item: MediaItem) -> bool:
    """Whether nobody saved a result, in a folder or elsewhere."""
    return item.status == "succeeded" and not item.path and not item.saved_url
