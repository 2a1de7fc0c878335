"""When to ask about the jobs that are waited for, and whose turn it is.

Each client has one poller for all its waiters. Of all pollers of an account that share a ledger,
one is elected there: it asks the hub for everybody, and the others read its rows. Where those are
stale, a poller asks for itself. The event stream only wakes the elected one: a status always comes
from a GET. A failure delays the next round, leaves the turn to another poller, and never ends a job.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from oxen_inference.effects import run, wait_event
from oxen_inference.errors import ConfigurationError, LedgerError, OxenError, RateLimitError
from oxen_inference.ledger.polls import SharedPolling, Turn
from oxen_inference.locks import Lock
from oxen_inference.media.pace import Pace
from oxen_inference.media.polled_jobs import PolledJob, PolledJobs, Subscription, jitter
from oxen_inference.media.status_requests import StatusRequests
from oxen_inference.paths import Paths

log = logging.getLogger("oxen_inference.media")

_STALE_INTERVALS = 3
_LOOKS_AN_INTERVAL = 2  # at the ledger, where another process asks the hub
_SHORTEST_TURN = 1.0  # seconds


class Poller:
    """The rounds of one client; its jobs are shared by threads."""

    def __init__(
        self, paths: Paths, pace: Callable[[], Pace], shared: SharedPolling | None = None
    ) -> None:
        self._pace = pace
        self._shared = shared
        self._jobs = PolledJobs(pace)
        self._requests = StatusRequests(paths, pace, self._jobs)
        self._hints: set[str] = set()
        self._lock = Lock()
        self._failures = 0
        self._not_before = 0.0
        self._retry_after_until = 0.0
        self._no_hints_before = 0.0
        self._last_round = 0.0
        self._is_elected = False
        self._reads_ledger = False
        self._another_asks = False

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def requests(self) -> int:
        """GETs made so far."""
        return self._requests.made

    def subscribe(
        self,
        event: Any,
        ids: Iterable[str],
        *,
        media_type: str,
        model: str,
        namespace: str | None,
        age: float = 0.0,
    ) -> Subscription:
        """Add jobs to poll, accepted `age` seconds ago; `event` is set whenever one changes."""
        subscription = Subscription(event, ids)
        with self._lock:
            if not len(self._jobs):
                # Failures of earlier waiters do not delay the new one; what Oxen asked for does.
                self._failures = 0
                self._not_before = min(self._not_before, self._retry_after_until)
                self._no_hints_before = min(self._no_hints_before, self._retry_after_until)
            self._jobs.add(
                subscription, media_type=media_type, model=model, namespace=namespace, age=age
            )
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._jobs.remove(subscription)

    def hint(self, generation_id: str) -> bool:
        """Note that an event announced the end of a job; return whether it is polled here."""
        with self._lock:
            if generation_id not in self._jobs:
                return False
            self._hints.add(generation_id)
            return True

    def poll_all_now(self) -> None:
        """Make every job due: events may have been missed before the stream was open."""
        self._jobs.all_are_due()

    def seconds_to_next(self) -> float | None:
        """Return how long to rest, or None where there is nothing left to poll."""
        due = self._jobs.next_due()
        if due is None:
            return None
        with self._lock:
            if not self._reads_ledger:
                due = max(due, self._not_before)
            if self._hints:
                # A job whose end was announced is asked for once, even while polling rests.
                due = min(due, self._no_hints_before)
            due = max(due, self._last_round + self._pace().gap)
        return max(due - time.monotonic(), 0.0)

    async def loop(self, wake: Any, listen: Callable[[bool], None]) -> None:
        """Ask, rest, and ask again, until nobody waits. New waiters and events set `wake`.

        `listen` is told whether to listen to the event stream.
        """
        try:
            await self._take_turn()
            while (rest := self.seconds_to_next()) is not None:
                listen(not self._another_asks)
                if rest > 0:
                    wake.clear()
                    if self.seconds_to_next() != 0:
                        await wait_event(wake, rest)
                    continue
                await self.round()
            await self._resign()
        finally:
            if self._is_elected and self._shared is not None:
                # The event loop is being closed: nothing can be awaited.
                self._is_elected = False
                _resign(self._shared)

    @property
    def _asks_hub(self) -> bool:
        return self._is_elected or not self._reads_ledger

    async def round(self) -> None:
        """Ask once about everything that is polled, or about the jobs that events announced."""
        now = time.monotonic()
        with self._lock:
            hints, self._hints = self._hints, set()
        hinted = [job for each in hints if (job := self._jobs.get(each)) is not None]
        due = self._jobs.next_due()
        is_due = (now >= self._not_before or self._reads_ledger) and due is not None and due <= now
        self._last_round = now
        if not is_due:
            await self._ask(hinted, announced=True)
            self._jobs.rest(hinted)
            return
        turn = await self._take_turn()
        jobs = self._jobs.all() if self._asks_hub or hinted else self._stale(turn)
        if jobs and (hinted or time.monotonic() >= self._not_before):
            await self._ask(jobs)
        part = 1.0 if self._asks_hub else 1.0 / _LOOKS_AN_INTERVAL
        self._jobs.rest(self._jobs.all(), part)

    async def _take_turn(self) -> Turn | None:
        """Ask the ledger whose turn it is, and take what it knows; None where it cannot tell."""
        turn = None
        if self._shared is not None:
            wanted = [job.wanted() for job in self._jobs.own()]
            rests = time.monotonic() < self._not_before and not self._is_elected
            try:
                turn = await run(
                    self._shared.take_turn, wanted, self._turn_length(), may_ask=not rests
                )
            except LedgerError as error:
                log.debug("The ledger cannot say who polls: %s", error)
        self._is_elected = turn is not None and turn.is_mine
        self._reads_ledger = turn is not None and not turn.is_mine
        self._another_asks = turn is not None and turn.is_anothers
        self._jobs.poll_for_others(turn.others if turn is not None else ())
        if turn is not None:
            if turn.rest:
                self._not_before = max(self._not_before, time.monotonic() + turn.rest)
            self._jobs.absorb(self._jobs.own(), (turn.rows or {}).values(), from_hub=False)
        return turn

    def _turn_length(self) -> float:
        """Return the seconds after which another process takes over from one that died."""
        jobs, now = self._jobs.all(), time.monotonic()
        longest = max((self._interval(job, now) for job in jobs), default=0.0)
        return max(_STALE_INTERVALS * longest, self._not_before - now, _SHORTEST_TURN)

    def _interval(self, job: PolledJob, now: float) -> float:
        return self._pace().interval(job.media_type, now - job.since)

    def _stale(self, turn: Turn | None) -> list[PolledJob]:
        """Return the own jobs that nobody has asked about for longer than three intervals, and those
        that Oxen has not shown for very long.
        """
        ages = (turn.ages if turn is not None else None) or {}
        now, unlisted = time.monotonic(), self._pace().unlisted
        return [
            job
            for job in self._jobs.own()
            if (
                ages.get(job.generation_id, now - job.since)
                > _STALE_INTERVALS * (interval := self._interval(job, now))
                # Asked about, but never seen: whoever waits has to find out whether it exists.
                or (job.row is None and now - job.known_at > unlisted)
            )
            and now - job.last_asked > interval
        ]

    async def _ask(self, jobs: list[PolledJob], *, announced: bool = False) -> None:
        resting = time.monotonic() < self._not_before
        try:
            if announced:
                await self._requests.ask_ended(jobs)
            else:
                await self._requests.ask_all(jobs)
        except Exception as error:  # noqa: BLE001 - an ended poller would strand every waiter
            self._failed(error, of_hints=resting)
            await self._hand_over(error)
        else:
            self._failures = 0
            await self._publish(jobs)

    async def _publish(self, jobs: list[PolledJob]) -> None:
        """Write the rows of jobs that other processes wait for."""
        wanted = {job.generation_id for job in self._jobs.of_others()}
        asked = [job.generation_id for job in jobs if job.generation_id in wanted]
        if self._shared is None or not self._is_elected or not asked:
            return
        rows = {job.generation_id: job.row for job in jobs if job.row is not None}
        try:
            await run(self._shared.publish, asked, rows)
        except LedgerError as error:
            log.debug("The rows could not be written: %s", error)

    async def _hand_over(self, error: Exception) -> None:
        """Let another process try, whose proxy or network may work; unless Oxen wants a rest."""
        if self._shared is None or not self._is_elected:
            return
        if not isinstance(error, RateLimitError):
            await self._resign()
            return
        try:
            await run(self._shared.rest, max(self._not_before - time.monotonic(), 0.0))
        except LedgerError as failure:
            log.debug("The ledger cannot be written: %s", failure)

    async def _resign(self) -> None:
        if self._shared is not None and self._is_elected:
            self._is_elected, self._reads_ledger = False, True
            await run(_resign, self._shared)

    def _failed(self, error: Exception, *, of_hints: bool) -> None:
        if not isinstance(error, OxenError):
            log.error("Polling failed unexpectedly (%r); trying again.", error)
            log.debug("Where it failed:", exc_info=error)
        self._failures += 1
        now, pace = time.monotonic(), self._pace()
        retry_after = getattr(error, "retry_after", None) or 0.0
        backoff = pace.image[0] * 2.0 ** min(self._failures, 8) * jitter()
        if retry_after:
            self._retry_after_until = now + min(retry_after, pace.longest_backoff)
        if any(job.media_type == "image" for job in self._jobs.all()):
            backoff = min(backoff, pace.longest_image_backoff)
        self._not_before = now + min(max(retry_after, backoff), pace.longest_backoff)
        if of_hints:
            self._no_hints_before = self._not_before
        if isinstance(error, ConfigurationError):  # a closed client stays closed
            self._jobs.fail_all(error)
        self._jobs.warn(
            self._jobs.own(),
            f"Asking for the jobs' status failed ({getattr(error, 'message', error)}); trying again.",
        )


def _resign(shared: SharedPolling) -> None:
    try:
        shared.resign()
    except LedgerError as error:
        log.debug("The turn ends by itself: %s", error)
