"""Looking on the hub for the job that a request of unknown outcome may have become.

What is one is decided in `lookup`; here the hub is asked, and the ledger told.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from oxen_inference import queue
from oxen_inference.errors import EnqueueOutcomeUnknown, NotFoundError, OxenError
from oxen_inference.generation import TERMINAL
from oxen_inference.ledger.store import Entry, Scope
from oxen_inference.media.enqueue import error_record
from oxen_inference.media.lookup import Found, goes_past, match, together
from oxen_inference.media.steps import Haste, Steps, run, sleep
from oxen_inference.media.task import Engine, Task
from oxen_inference.transport import Call

log = logging.getLogger("oxen_inference.media")

_PAGES = 10
_LISTED_BY_NOW = 120.0  # seconds after which a job is not just listed late


def look_for(engine: Engine, entry: Entry, cause: Exception | None, task: Task) -> Steps[Entry]:
    """Find the job that a doubtful request became, or say that it cannot be told."""
    pace = engine.pace()
    patience = pace.lookup if task.left is None else min(pace.lookup, max(task.left, 3.0))
    if cause is None and time.time() - (entry.posted_at or 0) > _LISTED_BY_NOW:
        patience = 2 * pace.lookup_interval
    adopted, found = yield from search(engine, entry, patience, task.haste)
    if adopted is not None:
        return adopted
    record = error_record(cause) if cause else (entry.error or {"message": "its process ended"})
    yield from run(engine.ledger.unknown, entry, record)
    raise doubt(entry, record, found) from cause


def search(
    engine: Engine, entry: Entry, patience: float, haste: Haste
) -> Steps[tuple[Entry | None, Found]]:
    """Look for an entry's job for some seconds: the entry once it is found, and what was seen."""
    until = time.monotonic() + patience
    found = Found(why_not="it could not be looked for", is_current=False)
    seen: tuple[str, ...] = ()
    pause = engine.pace().lookup_interval
    while entry.kind != "direct":
        found = yield from _look(engine, entry, found)
        ids = tuple(row.generation_id for row in found.adopted)
        # Twice the same: a second job like it may be listed a moment later.
        if ids and ids == seen and found.is_current:
            note = "The answer to the request was lost; its generations were found by their parameters."  # fmt: skip
            written = yield from run(engine.ledger.accepted, entry, ids, (*entry.notes, note))
            if written:  # pragma: no branch - another process may have taken them meanwhile
                return (yield from engine.reload(entry)), found
        seen = ids
        if time.monotonic() >= until or (haste.asked and not ids):
            break
        yield from sleep(min(pause, max(until - time.monotonic(), 0.05)), haste)
        pause = min(pause * 1.5, 5.0)
    return None, found


def _look(engine: Engine, entry: Entry, before: Found) -> Steps[Found]:
    """Look once, at everything the hub lists for the model; what was seen `before` if it fails."""
    filters: dict[str, Any] = {
        "model": entry.model,
        "namespace": entry.request.get("target_namespace"),
    }
    try:
        active = yield from _listed(engine, queue.list_call(engine.paths, **filters), None)
        listed, could_be_asked = list(active or ()), active is not None
        for number in range(1, _PAGES + 1):
            call = queue.generations_call(engine.paths, page=number, page_size=1000, **filters)
            page = yield from _listed(engine, call, None)
            if page is None:  # a hub without a history still lists what ended, by status
                for status in sorted(TERMINAL):
                    call_ended = queue.list_call(engine.paths, status=status, **filters)
                    listed += yield from _listed(engine, call_ended, [])
                break
            could_be_asked = True
            listed += page.generations
            if number >= page.total_pages or goes_past(entry, page.generations):
                break
    except OxenError as error:
        log.debug("Could not look for the job: %s", error)
        return replace(before, is_current=False)
    if not could_be_asked:
        return replace(before, is_current=False)  # a hub that has neither list
    rows = together(listed)
    owners = yield from run(engine.ledger.owners, list(rows))
    rivals = yield from run(
        engine.ledger.unresolved, Scope(entry.hub, entry.account), besides=entry.entry_id
    )
    return match(entry, rows.values(), owners, rivals)


def _listed(engine: Engine, call: Call[Any], default: Any) -> Steps[Any]:
    try:
        return (yield from engine.get(call))
    except NotFoundError:  # a hub without that route
        return default


def doubt(entry: Entry, record: Mapping[str, Any], found: Found) -> EnqueueOutcomeUnknown:
    ids = ", ".join(row.generation_id for row in found.candidates[:8])
    perhaps = f" It may be one of: {ids}." if ids else ""
    if entry.kind == "direct":
        why, then = "a direct generation has no id to look for", "its money stays reserved"
    else:
        why = found.why_not
        then = "client.media.reconcile() looks again; until then its money stays reserved"
    return EnqueueOutcomeUnknown(
        f"Whether Oxen accepted the request to {entry.model} cannot be told "
        f"({record.get('message')}), and {why}.{perhaps} It was not sent again, since that could "
        f"be a second bill: {then}. (Ledger entry {entry.entry_id}.)",
        result=entry.result(),
        candidates=found.candidates,
    )
