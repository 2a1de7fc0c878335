"""Finding the job that a request of unknown outcome may have become.

A job is adopted only if it is the one and only explanation: same model, prompt and parameters,
enqueued when the request was under way, as many as were requested, and neither owned nor matched
by another request in the ledger. What cannot be known: whether somebody without this ledger made
an identical job in the same minute.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NoReturn

from oxen_inference import queue
from oxen_inference.effects import StopRequest, run, sleep
from oxen_inference.errors import (
    EnqueueOutcomeUnknown,
    LedgerError,
    NotFoundError,
    OxenError,
    end_sentence,
)
from oxen_inference.generation import Generation
from oxen_inference.ledger.entries import Entry, Scope
from oxen_inference.media.engine import Engine, Task
from oxen_inference.media.fingerprints import is_same_value, storable
from oxen_inference.media.history import MOST_ROWS, read_history
from oxen_inference.media.purchase_log import log_accepted, log_unknown
from oxen_inference.media.queue_decision import error_record

log = logging.getLogger("oxen_inference.media")

CLOCK_SKEW = 30.0
"""Seconds by which the clocks of a hub's servers may differ."""
LATEST = 600.0
"""Seconds after sending within which the hub must have enqueued the job."""

# Rows in a page, and pages: a job that was sent just now is among the newest.
_LOOKS = ((100, 1), (400, 1), (MOST_ROWS, 10))
_LISTED_AFTER = 120.0  # seconds after which a job that exists is surely listed
_SHORTEST_SEARCH = 3.0  # seconds
_LONGEST_PAUSE = 5.0  # seconds
_MOST_CANDIDATES_SHOWN = 8

_NOT_PARAMETERS = frozenset({"model", "prompt", "num_generations", "response_format"})
# Who is billed and keeps the results: not every hub repeats these, or by these names.
_PLACES = frozenset({"target_namespace", "target_repo", "target_directory"})
_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Match:
    """`adopted` if there is one explanation; `candidates` are all rows that may be the job.

    `is_current`: the hub could be asked the last time; `is_complete`: about everything since.
    """

    adopted: tuple[Generation, ...] = ()
    candidates: tuple[Generation, ...] = ()
    why_not: str = ""
    is_current: bool = True
    is_complete: bool = True


async def look_for(
    engine: Engine,
    entry: Entry,
    cause: Exception | None,
    task: Task,
    *,
    until: float | None = None,
) -> Entry:
    """Return the entry once its job is found. Raises `EnqueueOutcomeUnknown` if it is not.

    `until`: the moment of `time.monotonic` by which a job that exists has had its time to be listed.
    """
    pace = engine.pace()
    seconds = pace.lookup
    if task.left is not None:
        seconds = min(seconds, max(task.left, _SHORTEST_SEARCH))
    if cause is None and (entry.posted_ago or 0.0) > _LISTED_AFTER:
        seconds = 2 * pace.lookup_interval
    if until is not None:
        seconds = min(seconds, max(until - time.monotonic(), 2 * pace.lookup_interval))
    adopted, found = await search(engine, entry, seconds, task.stop)
    if adopted is not None:
        return adopted
    record = error_record(cause) if cause else (entry.error or {"message": "its process ended"})
    return await raise_unknown(engine, entry, record, found, cause)


async def raise_unknown(
    engine: Engine,
    entry: Entry,
    record: Mapping[str, Any],
    found: Match,
    cause: BaseException | None,
) -> NoReturn:
    """Write that the outcome is unknown, where the ledger takes it, and raise so in any case."""
    try:
        await run(engine.ledger.mark_unknown, entry, record)
    except LedgerError as error:
        log.warning("Not written to the ledger (%s): that the outcome is unknown", error)
        found, cause = _without_ledger(found, error), cause or error
    if entry.state != "unknown":
        log_unknown(entry)
    raise outcome_unknown(entry, record, found) from cause


async def search(
    engine: Engine, entry: Entry, seconds: float, stop: StopRequest
) -> tuple[Entry | None, Match]:
    """Look for an entry's job for some seconds; return the entry if it is found, and the match."""
    until = time.monotonic() + seconds
    found = Match(why_not="it could not be looked for", is_current=False)
    previous: tuple[str, ...] = ()
    is_confirming = False
    pause = engine.pace().lookup_interval
    while entry.kind != "direct":
        # The time is over for a look that begins after it: one that began before may have been
        # answered before the job was listed, however late the answer came.
        is_over = time.monotonic() >= until or stop.is_set
        found = await _look_once(engine, entry, found)
        ids = tuple(row.generation_id for row in found.adopted)
        # Twice the same: a second job like it may be listed a moment later.
        if ids and ids == previous and found.is_current:
            note = "The answer to the request was lost; its generations were found by their parameters."  # fmt: skip
            notes = (*entry.notes, note)
            try:
                written = await run(engine.ledger.mark_accepted, entry, ids, notes, were_found=True)
                if written:  # pragma: no branch - another process may have taken them meanwhile
                    adopted = await engine.reload(entry)
                    log_accepted(adopted)
                    return adopted, found
            except LedgerError as error:
                found = _without_ledger(found, error)
        previous = ids
        if is_over and (is_confirming or not ids):
            break
        is_confirming = is_over
        await sleep(min(pause, max(until - time.monotonic(), 0.05)), stop)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    if found.adopted:
        found = replace(found, adopted=(), why_not="the generation that matches it changed")
    return None, found


async def _look_once(engine: Engine, entry: Entry, previous: Match) -> Match:
    """Match everything the hub lists for the model; the `previous` match if the hub fails."""
    filters: dict[str, Any] = {
        "model": entry.model,
        "namespace": entry.request.get("target_namespace"),
    }
    listed: list[Generation] = []

    def absorb(rows: Sequence[Generation]) -> bool:
        listed.extend(rows)
        return reaches_back(entry, rows)

    try:
        try:
            active = await engine.get(queue.list_call(engine.paths, **filters))
            listed.extend(active)
        except NotFoundError as error:
            log.debug("The hub lists no active jobs: %s", error)
        is_complete = False
        for page_size, pages in _LOOKS:
            is_complete = is_complete or await read_history(
                engine.get, engine.paths, absorb, max_pages=pages, page_size=page_size, **filters
            )
    except OxenError as error:
        log.debug("Could not look for the job: %s", error)
        return replace(previous, is_current=False)
    rows = merge_rows(listed)
    scope = Scope(entry.hub, entry.account)
    try:
        owners = await run(engine.ledger.owners, scope, list(rows))
        found = match(entry, rows.values(), owners)
        if found.adopted:
            known = engine.ledger.unresolved
            rivals = await run(known, scope, entry.model, except_for=entry.entry_id)
            found = without_rivals(found, rivals)
    except LedgerError as error:
        return _without_ledger(previous, error)
    return replace(found, is_complete=is_complete)


def _without_ledger(found: Match, error: LedgerError) -> Match:
    """Return what is known where the ledger cannot say which generations are whose."""
    why_not = f"the ledger is lost: {end_sentence(error.message)[:-1]}"
    return replace(found, adopted=(), is_current=False, why_not=why_not)


def outcome_unknown(entry: Entry, record: Mapping[str, Any], found: Match) -> EnqueueOutcomeUnknown:
    """Return the error for a request whose job was not found."""
    ids = ", ".join(row.generation_id for row in found.candidates[:_MOST_CANDIDATES_SHOWN])
    perhaps = f" It may be one of: {ids}." if ids else ""
    if entry.kind == "direct":
        why = "a direct generation has no id to look for"
        hint = "Look at Oxen whether it was made."
    else:
        why = found.why_not
        hint = "client.media.reconcile() looks again."
    adopt = (
        "client.media.adopt(entry_id, generation_ids) takes the one of these that is its own, and pays "
        "nothing. "
        if found.candidates and entry.kind == "queue"
        else ""
    )
    money = "" if entry.budget is None else " Its money stays reserved."
    return EnqueueOutcomeUnknown(
        f"Unknown whether Oxen accepted the request to {entry.model} "
        f"({record.get('message')}), and {why}.{perhaps} It was not sent again, since that could "
        f"be a second bill.{money}",
        hint=f"{hint} Its entry in the ledger is {entry.entry_id}. {adopt}"
        "client.media.forget(entry_id) ends it by hand, where you are sure that nothing was made: a "
        "later call with its key then pays again.",
        result=entry.result(),
        candidates=found.candidates,
    )


def match(entry: Entry, rows: Iterable[Generation], owners: Mapping[str, str]) -> Match:
    """Decide which of `rows` are an entry's jobs, as if no other request had an unknown outcome.

    `owners` says which entry a known generation belongs to. Pure.
    """
    free = [row for row in rows if owners.get(row.generation_id, entry.entry_id) == entry.entry_id]
    candidates = tuple(row for row in free if _may_be(entry, row))
    exact = tuple(row for row in candidates if _is_exact(entry, row))
    if any(_has_count(row, entry.count) for row in exact):
        # The hub repeats how many were requested, so a row with another number is not ours.
        exact = tuple(row for row in exact if _has_count(row, entry.count, None))
    if not exact:
        why = "no generation on the hub matches it" if not candidates else "none matches exactly"
        return Match(candidates=candidates, why_not=why)
    if len(exact) != entry.count:
        why = f"{len(exact)} generations match it and {entry.count} were requested"
        return Match(candidates=candidates, why_not=why)
    ordered = sorted(exact, key=lambda row: (row.enqueued_at or 0, row.generation_id))
    return Match(adopted=tuple(ordered), candidates=candidates)


def without_rivals(found: Match, rivals: Iterable[Entry]) -> Match:
    """Take back a match that could be another request's of unknown outcome. Pure."""
    if any(_may_be_rivals(rival, row) for rival in rivals for row in found.adopted):
        why = "another request of unknown outcome matches the same generation"
        return replace(found, adopted=(), why_not=why)
    return found


def merge_rows(rows: Iterable[Generation]) -> dict[str, Generation]:
    """Return one row for each generation; what one list leaves out another may state."""
    known: dict[str, Generation] = {}
    for row in rows:
        earlier = known.get(row.generation_id)
        known[row.generation_id] = row if earlier is None else _completed(row, earlier)
    return known


def reaches_back(entry: Entry, rows: Sequence[Generation]) -> bool:
    """Whether a page of a list that begins with the newest ends before an entry was sent."""
    times = [row.enqueued_at for row in rows if row.enqueued_at is not None]
    # By the hub's clock alone: to stop too early would hide the job.
    sent = entry.hub_sent_at
    if sent is None or not times:
        return False
    return times[0] >= times[-1] and times[-1] < sent - CLOCK_SKEW - 1


def _completed(row: Generation, earlier: Generation) -> Generation:
    values = {f.name: getattr(row, f.name) for f in fields(row)}
    missing = {name: getattr(earlier, name) for name, value in values.items() if value is None}
    stated = {name: value for name, value in row.params.items() if value is not None}
    return replace(row, **missing, params={**earlier.params, **stated})


def _may_be(entry: Entry, row: Generation) -> bool:
    """Whether a row may be the job; only the hub's own clock says that it is an earlier one."""
    return (
        row.model_name == entry.model
        and (row.prompt or "").strip() == (entry.prompt or "").strip()
        and not (
            entry.hub_sent_at is not None
            and row.enqueued_at is not None
            and row.enqueued_at < entry.hub_sent_at - CLOCK_SKEW - 1
        )
    )


def _is_in_time(entry: Entry, row: Generation) -> bool:
    if row.enqueued_at is None:
        return False
    sent = entry.hub_sent_at
    if sent is None:  # the hub states no time: the ledger's is the nearest
        sent = entry.posted_at or entry.created_at
    # The hub's times are whole seconds.
    return sent - CLOCK_SKEW - 1 <= row.enqueued_at <= sent + LATEST + CLOCK_SKEW


def _is_exact(entry: Entry, row: Generation) -> bool:
    if not (entry.request and _may_be(entry, row) and _is_in_time(entry, row)):
        return False
    if not _has_count(row, entry.count, 1, None):
        return False
    sent = {name: value for name, value in entry.request.items() if name not in _NOT_PARAMETERS}
    if not all(
        is_same_value(value, storable(row.params.get(name, _MISSING)))
        for name, value in sent.items()
        if not (name in _PLACES and row.params.get(name) is None)
    ):
        return False
    # A parameter that was left out may show its default, and nothing else.
    return all(
        row.params.get(name) is None or is_same_value(default, row.params[name])
        for name, default in entry.defaults.items()
        if name not in sent and name not in _NOT_PARAMETERS
    )


def _may_be_rivals(rival: Entry, row: Generation) -> bool:
    """Whether a row matches another request, or one that can no longer be read."""
    if not rival.request:
        return rival.model == row.model_name
    return _is_exact(rival, row)


def _has_count(row: Generation, *counts: int | None) -> bool:
    """Whether a row states one of these numbers of generations; None: it states none."""
    return any(is_same_value(row.params.get("num_generations"), count) for count in counts)
