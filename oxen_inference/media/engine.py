"""What one paid request knows while it is under way, and what all requests of a client share."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

from oxen_inference import queue
from oxen_inference.catalog.pricing import Quote
from oxen_inference.effects import StopRequest, invoke, run, run_together, send
from oxen_inference.errors import (
    APIResponseError,
    InvalidInputError,
    LedgerError,
    NotFoundError,
    OxenError,
)
from oxen_inference.generation import Generation
from oxen_inference.generation_reading import with_absolute_url, without_inputs
from oxen_inference.hub_clock import HubClock
from oxen_inference.ledger.entries import Entry, Scope
from oxen_inference.ledger.groups import Change, GroupedWrites
from oxen_inference.ledger.overruns import Overrun
from oxen_inference.ledger.store import Ledger
from oxen_inference.media.file_names import check_template
from oxen_inference.media.pace import Pace
from oxen_inference.media.pause import SharedPause
from oxen_inference.media.polled_jobs import Subscription
from oxen_inference.media.poller import Poller
from oxen_inference.media.purchase_log import log_ended
from oxen_inference.media.results.download import Source
from oxen_inference.media.unwritten import Unwritten
from oxen_inference.paths import Paths
from oxen_inference.result import Progress
from oxen_inference.settings import check_timeout
from oxen_inference.transport import Call

log = logging.getLogger("oxen_inference.media")

T = TypeVar("T")

MAX_WAIT = 86_400.0
"""Seconds after which waiting ends without a timeout, too: the job is detached, and not lost."""
_SHORTEST_TIMEOUT = 0.1  # seconds
_OVERRUNS_FRESH = 30.0  # seconds for which those read from the ledger serve
_MOST_LOGGED = 1000  # entries
OVERRUN_LASTS = 30 * 86400.0
"""Seconds for which a bill above its quote raises later quotes."""


@dataclass(frozen=True, kw_only=True)
class WaitOptions:
    """How the caller wants to wait. `timeout` in seconds, `MAX_WAIT` at most."""

    timeout: float | None = None
    on_interrupt: str = "detach"
    save_to: Any = None
    on_progress: Callable[[Progress], Any] | None = None
    file_name: str | None = None

    def check(self) -> None:
        """Raise `InvalidInputError` for an option that cannot be used."""
        if self.on_interrupt not in ("detach", "cancel"):
            raise InvalidInputError(
                f'on_interrupt must be "detach" or "cancel", not {self.on_interrupt!r}.'
            )
        check_timeout(self.timeout)
        if self.on_progress is not None and not callable(self.on_progress):
            raise InvalidInputError("on_progress must be a function that takes one event.")
        if self.file_name is not None:
            check_template(self.file_name)


@dataclass(kw_only=True)
class Task:
    """One call of the caller's, and what it knows at this moment."""

    options: WaitOptions
    started: float = field(default_factory=time.monotonic)
    entry: Entry | None = None
    is_sender: bool = False
    """Whether this call sent the request, and did not join what another one had sent."""
    count: int = 1
    subscription: Subscription | None = None
    stop: StopRequest = field(default_factory=StopRequest)
    warning: str | None = None
    """The last warning of the poller that the caller was told of."""
    pause: SharedPause | None = None
    """That of the run it belongs to."""
    quote: Quote | None = None
    index: int = 1
    """The number of the request in its run."""
    wait_id: str | None = None
    """The ledger's mark that keeps other calls of the conversation from joining this one's job."""

    @property
    def is_one_of_many(self) -> bool:
        """Whether it belongs to a run over many requests, which checked what they share."""
        return self.pause is not None

    @property
    def known_entry(self) -> Entry:
        """The entry, which exists once the request was submitted."""
        assert self.entry is not None  # noqa: S101 - a bug here, not a state
        return self.entry

    @property
    def left(self) -> float | None:
        """Seconds until the caller's timeout."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    @property
    def left_to_wait(self) -> float:
        """Seconds until the caller's timeout, or until nobody waits any longer."""
        return self.started + self.longest_wait - time.monotonic()

    @property
    def longest_wait(self) -> float:
        """How long the caller waits altogether, in seconds."""
        timeout = self.options.timeout
        return MAX_WAIT if timeout is None else float(min(timeout, MAX_WAIT))

    @property
    def deadline(self) -> float | None:
        """The moment of `time.monotonic` when the caller's timeout is over."""
        return None if self.options.timeout is None else self.started + self.longest_wait

    async def notify(self, phase: str, message: str | None = None) -> None:
        """Tell the caller's `on_progress` how far the request is."""
        if self.options.on_progress is None:
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
        await invoke(self.options.on_progress, event)


@dataclass(kw_only=True)
class Engine:
    """What all requests of one client share."""

    paths: Paths
    catalog: Any
    """The client's own, which is awaited under an asynchronous driver."""
    ledger: Ledger
    scope: Callable[[], Scope]
    hub_clock: HubClock
    pace: Callable[[], Pace]
    poller: Poller
    ensure_polling: Callable[[], None]
    new_event: Callable[[], Any]
    source: Callable[[], Source]
    client_timeout: Any
    max_retries: int
    hub: Callable[[], str]
    price_caps: Callable[[], Mapping[str, Decimal]]
    groups: GroupedWrites = field(init=False)
    unwritten: Unwritten = field(default_factory=Unwritten)
    _overruns: tuple[float, str, int, dict[tuple[str, str], Overrun]] | None = None
    _quoted_without_ledger: bool = False
    _logged: deque[str] = field(default_factory=lambda: deque(maxlen=_MOST_LOGGED))
    """Entries whose end was logged and that the ledger does not have as settled."""
    _overrun_writes: ClassVar[int] = 0
    """How often any client of this process wrote overruns: what another has read is old then."""

    def __post_init__(self) -> None:
        self.groups = GroupedWrites(self.ledger)

    async def known_overruns(self) -> Mapping[tuple[str, str], Overrun]:
        """Return what `overruns` does, without the ledger where it was read a moment ago."""
        if self._has_fresh_overruns:
            return self.overruns()
        return await run(self.overruns)

    @property
    def _has_fresh_overruns(self) -> bool:
        if self._overruns is None:
            return False
        read_at, hub, writes, _ = self._overruns
        is_recent = time.monotonic() - read_at <= _OVERRUNS_FRESH
        return is_recent and hub == self.hub() and writes == Engine._overrun_writes

    def overruns(self) -> Mapping[tuple[str, str], Overrun]:
        """Return the bills above their quote, by model and the parameters that decide its price."""
        hub, known = self.hub(), self._overruns
        if known is None or not self._has_fresh_overruns:
            writes = Engine._overrun_writes  # before reading: what is written meanwhile is newer
            rows = {(row.model, row.parameters): row for row in self._read_overruns(hub)}
            known = self._overruns = (time.monotonic(), hub, writes, rows)
        return known[3]

    def _read_overruns(self, hub: str) -> list[Overrun]:
        path = self.ledger.path
        if path is not None and not path.exists():
            return []  # a quote makes no ledger
        try:
            return self.ledger.overruns(hub, OVERRUN_LASTS)
        except LedgerError as error:
            # Whatever pays raises it; a quote goes on, and says so once.
            say = log.debug if self._quoted_without_ledger else log.warning
            say("The ledger cannot be read: quotes do not know the bills that were above theirs.")
            log.debug("Why it cannot be read: %s", error)
            self._quoted_without_ledger = True
            return []

    def keep_overrun(self, overrun: Overrun) -> bool:
        """Write a bill above its quote to the ledger; False where it was there."""
        try:
            return self.ledger.keep_overrun(self.hub(), overrun)
        finally:
            Engine._overrun_writes += 1

    def forget_overruns(self, model: str | None) -> int:
        """Drop the bills above their quote."""
        try:
            return self.ledger.forget_overruns(self.hub(), model)
        finally:
            Engine._overrun_writes += 1

    async def get(self, call: Call[T], left: float | None = None) -> T:
        """Make a call that is free; one time and within `left` seconds, where that is given."""
        timeout = self.pace().poll_timeout
        if left is None:
            return await send(replace(call, timeout=timeout))
        left = max(left, _SHORTEST_TIMEOUT)
        return await send(replace(call, timeout=min(timeout, left), max_retries=0))

    async def reload(self, entry: Entry) -> Entry:
        """Return the entry as the ledger has it now."""
        return await run(self.ledger.get, entry.entry_id) or entry

    async def full_row(self, generation_id: str, left: float | None = None) -> Generation | None:
        """Return a job's row with its cost, else the one without, or None for now."""
        for call in (
            queue.generation_call(self.paths, generation_id),
            queue.get_call(self.paths, generation_id),
        ):
            try:
                return await self.get(call, left)
            except (NotFoundError, APIResponseError):  # noqa: PERF203 - the second call is for this
                continue
            except OxenError as error:
                log.debug("Could not ask for %s: %s", generation_id, error)
                return None
        return None

    async def refresh(self, entry: Entry) -> Entry:
        """Ask once about every generation of an entry that is not settled."""
        rows = {}
        for item in entry.items:
            if item.generation_id and not item.is_settled:
                row = await self.full_row(item.generation_id)
                if row is not None:
                    rows[item.generation_id] = row
        return await self.write(self.merged(entry, rows))

    def merged(self, entry: Entry, rows: Mapping[str, Generation]) -> Entry:
        """Return the entry with what the hub's rows say of its generations."""
        items = tuple(
            item.updated(self.readable(rows[generation_id], entry))
            if (generation_id := item.generation_id) and generation_id in rows
            else item
            for item in entry.items
        )
        return replace(entry, items=items)

    def readable(self, row: Generation, entry: Entry) -> Generation:
        """Return a row with an absolute result URL, and never one that the request named."""
        return with_absolute_url(without_inputs(row, entry.request), self.source().hub)

    def log_end_once(self, entry: Entry) -> None:
        """Log what became of an entry that is not written as settled, so that every call sees it."""
        if entry.entry_id not in self._logged:
            self._logged.append(entry.entry_id)
            log_ended(entry)

    async def write(self, entry: Entry, *, is_delivered: bool = False) -> Entry:
        """Write an entry's items to the ledger, and its known costs to the budget."""
        try:
            written = await run_together(self.groups.update, Change(entry, is_delivered))
        except LedgerError as error:
            # It was paid for: a full disk must not keep it from the caller.
            self.unwritten.add(error, entry.generation_ids)
            self.ledger.write_later(entry, entry.items, is_delivered=is_delivered)
            if entry.is_settled:
                self.log_end_once(entry)
            return entry
        self.unwritten.end()
        if written.was_just_settled:
            log_ended(written)
        # The entry in hand may be a part of the request, and has bytes that no ledger holds.
        items, notes = entry.items, entry.notes
        return replace(written, items=items, notes=notes, was_just_settled=False)
