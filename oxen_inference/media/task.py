"""One paid task, and what all tasks of a client share."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from oxen_inference import queue
from oxen_inference.errors import InvalidInputError, LedgerError, NotFoundError, OxenError
from oxen_inference.generation import Generation, located, without_inputs
from oxen_inference.ledger.store import Entry, Ledger, Scope
from oxen_inference.media.download import Source
from oxen_inference.media.pace import Pace
from oxen_inference.media.request import check_listener
from oxen_inference.media.steps import Haste, Steps, Tell, run, send
from oxen_inference.media.subscription import Subscription
from oxen_inference.media.watch import Watch
from oxen_inference.paths import Paths
from oxen_inference.result import Progress
from oxen_inference.transport import Call

log = logging.getLogger("oxen_inference.media")

T = TypeVar("T")

_LEAST_PATIENCE = 0.1  # seconds


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How the caller wants to wait."""

    timeout: float | None = None
    on_interrupt: str = "detach"
    save_to: Any = None
    on_progress: Callable[[Progress], Any] | None = None

    def check(self) -> None:
        if self.on_interrupt not in ("detach", "cancel"):
            raise InvalidInputError(
                f'on_interrupt must be "detach" or "cancel", not {self.on_interrupt!r}.'
            )
        if self.timeout is not None and not (
            isinstance(self.timeout, int | float) and self.timeout > 0
        ):
            raise InvalidInputError("timeout must be a number of seconds above 0, or None.")
        check_listener(self.on_progress)


@dataclass(kw_only=True)
class Task:
    """One call of the developer's: what it knows at this moment."""

    wishes: Wishes
    started: float = field(default_factory=time.monotonic)
    entry: Entry | None = None
    count: int = 1
    subscription: Subscription | None = None
    haste: Haste = field(default_factory=Haste)
    trouble: str | None = None
    attended: str | None = None
    """The entry that other calls of the conversation leave alone while this one lasts."""

    @property
    def known(self) -> Entry:
        """The entry, which is there from the enqueueing on."""
        assert self.entry is not None  # noqa: S101 - a bug here, not a state
        return self.entry

    @property
    def left(self) -> float | None:
        """Seconds until the caller's patience ends."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    @property
    def deadline(self) -> float | None:
        """The moment of `time.monotonic` when the caller's patience ends."""
        return None if self.wishes.timeout is None else self.started + self.wishes.timeout

    def tell(self, phase: str, message: str | None = None) -> Steps[None]:
        if self.wishes.on_progress is None:
            return
        entry = self.entry
        items = entry.items if entry else ()
        event = Progress(
            phase=phase,
            status=entry.result().status if entry else "checked",
            elapsed=time.monotonic() - self.started,
            generation_ids=entry.generation_ids if entry else (),
            done=sum(item.is_terminal for item in items),
            total=max(len(items), self.count),
            message=message,
        )
        yield Tell(self.wishes.on_progress, event)


@dataclass(kw_only=True)
class Engine:
    """What all tasks of one client share. `new_event` and `watching` are the runner's."""

    paths: Paths
    ledger: Ledger
    scope: Callable[[], Scope]
    pace: Callable[[], Pace]
    watch: Watch
    watching: Callable[[], None]
    new_event: Callable[[], Any]
    source: Callable[[], Source]
    client_timeout: Any
    max_retries: int

    def get(self, call: Call[T], left: float | None = None) -> Steps[T]:
        """Make a call; one time and within what is `left`, in seconds, where that is given."""
        patience = self.pace().poll_timeout
        if left is None:
            return (yield from send(replace(call, timeout=patience)))
        left = max(left, _LEAST_PATIENCE)
        return (yield from send(replace(call, timeout=min(patience, left), max_retries=0)))

    def reload(self, entry: Entry) -> Steps[Entry]:
        return (yield from run(self.ledger.get, entry.entry_id)) or entry

    def receipt(self, generation_id: str, left: float | None = None) -> Steps[Generation | None]:
        """The job's full row, or the lean one where there is no other, or None for now."""
        for call in (
            queue.generation_call(self.paths, generation_id),
            queue.get_call(self.paths, generation_id),
        ):
            try:
                return (yield from self.get(call, left))
            except NotFoundError:  # noqa: PERF203 - the second call is for this case
                continue
            except OxenError as error:
                log.debug("Could not ask for %s: %s", generation_id, error)
                return None
        return None

    def refresh(self, entry: Entry) -> Steps[Entry]:
        """Ask once about every generation of an entry that is not settled."""
        rows = {}
        for item in entry.items:
            if item.generation_id and not (item.is_terminal and item.cost is not None):
                row = yield from self.receipt(item.generation_id)
                if row is not None:
                    rows[item.generation_id] = row
        task = Task(wishes=Wishes(), entry=entry)
        yield from self.absorb(task, rows)
        return task.known

    def absorb(
        self, task: Task, rows: Mapping[str, Generation], *, write: bool = True
    ) -> Steps[None]:
        entry = task.known
        items = tuple(
            item.updated(self.located(rows[one], entry))
            if (one := item.generation_id) and one in rows
            else item
            for item in entry.items
        )
        task.entry = replace(entry, items=items)
        if write:
            task.entry = yield from self.write(task.entry)

    def located(self, row: Generation, entry: Entry) -> Generation:
        """The row with its result's URL, whole, and never one that the request itself named."""
        return located(without_inputs(row, entry.request), self.source().hub)

    def write(self, entry: Entry) -> Steps[Entry]:
        """Put an entry's items in the ledger, and its known costs in the budget."""
        try:
            written = yield from run(self.ledger.update, entry, entry.items)
        except LedgerError as error:
            # It was paid for: a full disk must not keep it from the caller.
            log.error("Not written down (%s): %s", error, entry.generation_ids)  # noqa: TRY400 - the ids matter, not the trace
            return entry
        # What is in hand may be a part of the entry, and holds bytes and notes that no ledger does.
        return replace(written, items=entry.items, notes=entry.notes)
