"""Finding the job that a request of unknown outcome may have become. Pure: nothing is sent here.

A job is adopted only if it is the one and only explanation: same model, prompt and parameters,
enqueued when the request was under way, as many as were asked for, and neither owned nor claimed
by another request in the ledger. What cannot be known: whether somebody without this ledger made
an identical job in that very minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from oxen_inference.generation import Generation
from oxen_inference.ledger.store import Entry
from oxen_inference.media.request import storable

CLOCK_SKEW = 30.0
"""Seconds by which the hub's clock and this machine's may differ."""
LATEST = 600.0
"""Seconds after sending within which the hub must have enqueued the job."""

_ENVELOPE = frozenset({"model", "prompt", "num_generations", "response_format"})
# Who is billed and keeps the results: not every hub repeats them, or by these names.
_PLACES = frozenset({"target_namespace", "target_repo", "target_directory"})
_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Found:
    """`adopted` if there is one explanation; `candidates` are all rows that may be the job.

    `is_current`: the hub could be asked when it was asked last.
    """

    adopted: tuple[Generation, ...] = ()
    candidates: tuple[Generation, ...] = ()
    why_not: str = ""
    is_current: bool = True


def match(
    entry: Entry, rows: Iterable[Generation], owners: Mapping[str, str], rivals: Iterable[Entry]
) -> Found:
    """Decide which of `rows` an entry's jobs are.

    `owners` says which entry a known generation belongs to; `rivals` are the other requests of
    unknown outcome.
    """
    free = [row for row in rows if owners.get(row.generation_id, entry.entry_id) == entry.entry_id]
    candidates = tuple(row for row in free if _may_be(entry, row))
    exact = tuple(row for row in candidates if _is(entry, row))
    if any(_says(row, entry.count) for row in exact):
        # The hub says how many were asked for, not what one row is.
        exact = tuple(row for row in exact if _says(row, entry.count, None))
    if not exact:
        why = "no generation on the hub matches it" if not candidates else "none matches exactly"
        return Found(candidates=candidates, why_not=why)
    if len(exact) != entry.count:
        why = f"{len(exact)} generations match it and {entry.count} were asked for"
        return Found(candidates=candidates, why_not=why)
    if any(_is(rival, row) for rival in rivals for row in exact):
        why = "another request of unknown outcome matches the same generation"
        return Found(candidates=candidates, why_not=why)
    ordered = sorted(exact, key=lambda row: (row.enqueued_at or 0, row.generation_id))
    return Found(adopted=tuple(ordered), candidates=candidates)


def together(rows: Iterable[Generation]) -> dict[str, Generation]:
    """Return what several lists say of each generation; what one leaves out another may tell."""
    known: dict[str, Generation] = {}
    for row in rows:
        before = known.get(row.generation_id)
        known[row.generation_id] = row if before is None else _filled(row, before)
    return known


def goes_past(entry: Entry, rows: Sequence[Generation]) -> bool:
    """Whether a page of a list that begins with the newest reaches back before an entry."""
    times = [row.enqueued_at for row in rows if row.enqueued_at is not None]
    sent = entry.posted_at or entry.created_at
    return bool(times) and times[0] >= times[-1] and times[-1] < sent - CLOCK_SKEW - 1


def _filled(row: Generation, before: Generation) -> Generation:
    said = {f.name: getattr(row, f.name) for f in fields(row)}
    changes = {name: getattr(before, name) for name, value in said.items() if value is None}
    told = {name: value for name, value in row.params.items() if value is not None}
    return replace(row, **changes, params={**before.params, **told})


def _may_be(entry: Entry, row: Generation) -> bool:
    return (
        row.model_name == entry.model
        and (row.prompt or "").strip() == (entry.prompt or "").strip()
        and _in_time(entry, row)
    )


def _in_time(entry: Entry, row: Generation) -> bool:
    if row.enqueued_at is None:
        return False
    sent = entry.posted_at or entry.created_at
    # The hub's times are whole seconds.
    return sent - CLOCK_SKEW - 1 <= row.enqueued_at <= sent + LATEST + CLOCK_SKEW


def _is(entry: Entry, row: Generation) -> bool:
    if not _may_be(entry, row):
        return False
    if not _says(row, entry.count, 1, None):
        return False
    sent = {name: value for name, value in entry.request.items() if name not in _ENVELOPE}
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
        if name not in sent and name not in _ENVELOPE
    )


def _says(row: Generation, *numbers: int | None) -> bool:
    """Whether a row says one of these of how many were made; None: it says nothing."""
    return any(is_same_value(row.params.get("num_generations"), number) for number in numbers)


def is_same_value(one: Any, other: Any) -> bool:
    """Whether two values mean the same parameter, however they are spelled."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same_value(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same_value, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    numbers = (int, float, str)  # hubs store 5 as "5" and 5.0, too
    if isinstance(one, numbers) and isinstance(other, numbers):
        return one == other or str(one) == str(other)
    return bool(one == other)
