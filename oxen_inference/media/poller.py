"""One poller per client for every job that anybody waits for.

Each round asks for the list of active jobs, whose length does not depend on the number of
waiters. Jobs that left that list are asked for one by one, or in bulk where they are many; where
a list fails, a few are asked for each round. The event stream only wakes the poller: a status
always comes from a GET. A failure delays the next round and never ends a job.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from oxen_inference import queue
from oxen_inference.effects import send, wait_event
from oxen_inference.errors import (
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    OxenError,
    PermissionDeniedError,
    RateLimitError,
)
from oxen_inference.generation import TERMINAL, Generation
from oxen_inference.media.pace import Pace
from oxen_inference.paths import Paths
from oxen_inference.transport import Call

log = logging.getLogger("oxen_inference.media")

_FEW = 2
"""So many jobs are asked for one by one: it costs no more than the list and tells more."""
_SINGLES_A_ROUND = 4
_PAGE_SIZE = 1000
_MAX_PAGES = 4
_MISSES_BEFORE_WARNING = 5
_REFUSALS_TO_BELIEVE = 3
"""So many refusals in a row are final, and not a fault of something before the hub."""


@dataclass(slots=True)
class PolledJob:
    """One job: its last known row, and who waits for it."""

    generation_id: str
    media_type: str
    model: str
    namespace: str | None
    since: float
    due: float
    last_asked: float = 0.0
    """When its row last came, or it was asked for by itself."""
    row: Generation | None = None
    misses: int = 0
    refusals: int = 0
    subscriptions: set[Subscription] = field(default_factory=set)


class Subscription:
    """One waiter's view: `rows` by id, as they come; `event` is set at every change."""

    def __init__(self, event: Any, ids: Iterable[str]) -> None:
        self.event = event
        self.pending = set(ids)
        self.rows: dict[str, Generation] = {}
        self.warning: str | None = None
        self.fatal_error: APIStatusError | ConfigurationError | None = None
        """Why waiting is in vain: the key may not ask, again and again, or the client is closed."""

    @property
    def is_done(self) -> bool:
        return not self.pending

    def update(self, row: Generation) -> None:
        self.rows[row.generation_id] = row
        if row.is_terminal:
            self.pending.discard(row.generation_id)
        self.event.set()

    def fail(self, error: APIStatusError | ConfigurationError) -> None:
        self.fatal_error = error
        self.event.set()

    def __hash__(self) -> int:
        return id(self)


class Poller:
    """The jobs that are waited for, and one round of asking about them; shared by threads."""

    def __init__(self, paths: Paths, pace: Callable[[], Pace]) -> None:
        self._paths = paths
        self._pace = pace
        self._jobs: dict[str, PolledJob] = {}
        self._hints: set[str] = set()
        self._lock = threading.Lock()
        self._failures = 0
        self._not_before = 0.0
        self._retry_after_until = 0.0
        self._no_hints_before = 0.0
        self._last_round = 0.0
        self._lists_fail = False
        self.requests = 0
        """GETs made so far."""
        self.rounds = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def subscribe(
        self,
        event: Any,
        ids: Iterable[str],
        *,
        media_type: str,
        model: str,
        namespace: str | None,
    ) -> Subscription:
        """Add jobs to poll; `event` is set whenever one of them changes."""
        subscription = Subscription(event, ids)
        now, pace = time.monotonic(), self._pace()
        with self._lock:
            if not self._jobs:
                # Failures of earlier waiters do not delay the new one; what Oxen asked for does.
                self._failures = 0
                self._not_before = min(self._not_before, self._retry_after_until)
                self._no_hints_before = min(self._no_hints_before, self._retry_after_until)
            for generation_id in tuple(subscription.pending):
                job = self._jobs.get(generation_id)
                if job is None:
                    due = now + pace.interval(media_type, 0.0) * _jitter()
                    job = PolledJob(generation_id, media_type, model, namespace, now, due)
                    self._jobs[generation_id] = job
                job.subscriptions.add(subscription)
                if job.row is not None:
                    subscription.update(job.row)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            for generation_id in [*subscription.pending, *subscription.rows]:
                job = self._jobs.get(generation_id)
                if job is not None:
                    job.subscriptions.discard(subscription)
                    if not job.subscriptions:
                        del self._jobs[generation_id]

    def hint(self, generation_id: str) -> bool:
        """Note that an event announced the end of a job; return whether it is polled here."""
        with self._lock:
            if generation_id not in self._jobs:
                return False
            self._hints.add(generation_id)
            return True

    def poll_all_now(self) -> None:
        """Make every job due: events may have been missed before the stream was open."""
        with self._lock:
            for job in self._jobs.values():
                job.due = 0.0

    def seconds_to_next(self) -> float | None:
        """Return how long to rest, or None where there is nothing left to poll."""
        now = time.monotonic()
        with self._lock:
            if not self._jobs:
                return None
            due = max(min(job.due for job in self._jobs.values()), self._not_before)
            if self._hints:
                # A job whose end was announced is asked for once, even while polling rests.
                due = min(due, self._no_hints_before)
            due = max(due, self._last_round + self._pace().gap)
        return max(due - now, 0.0)

    async def loop(self, wake: Any) -> None:
        """Ask, rest, and ask again, until nobody waits. New waiters and events set `wake`."""
        while (rest := self.seconds_to_next()) is not None:
            if rest > 0:
                wake.clear()
                if self.seconds_to_next() != 0:
                    await wait_event(wake, rest)
                continue
            await self.round()

    async def round(self) -> None:
        """Ask once about everything that is polled, or about the jobs that events announced."""
        with self._lock:
            hinted = [self._jobs[each] for each in self._hints if each in self._jobs]
            self._hints.clear()
            now = time.monotonic()
            resting = now < self._not_before
            due = not resting and any(job.due <= now for job in self._jobs.values())
            jobs = list(self._jobs.values()) if due or len(hinted) > _FEW else hinted
        self.rounds += 1
        self._last_round = now
        try:
            if jobs is hinted:
                for job in hinted:
                    await self._ask_for_one(job, ended=True)
            else:
                await self._ask_all(jobs)
        except Exception as error:  # noqa: BLE001 - an ended poller would strand every waiter
            self._failed(error, of_hints=resting)
        else:
            self._failures = 0
        now, pace = time.monotonic(), self._pace()
        with self._lock:
            for job in jobs:
                job.due = now + pace.interval(job.media_type, now - job.since) * _jitter()

    async def _ask_all(self, jobs: list[PolledJob]) -> None:
        failure: OxenError | None = None
        for group in _by_namespace(jobs):
            try:
                await self._ask(group)
            except OxenError as error:  # noqa: PERF203 - perhaps of this namespace only
                if not _is_of_one_route(error):
                    raise
                failure = failure or error
        if failure is not None:
            raise failure

    async def _ask(self, jobs: list[PolledJob]) -> None:
        if len(jobs) <= _FEW:
            failed = await self._ask_each(jobs)
            for job, error in failed:
                self._count_refusals([job], error)
            self._report_failures(jobs, failed)
            return
        gone, list_error = jobs, None
        try:
            rows = await self._get(queue.list_call(self._paths, namespace=jobs[0].namespace))
            gone = self._absorb(jobs, rows)
            if len(gone) > _FEW:
                gone = await self._ask_for_many(gone)
        except OxenError as error:
            if not _is_of_one_route(error):
                raise
            list_error = error
        # Those not asked for the longest first, so that each has its turn.
        asked = sorted(gone, key=lambda job: job.last_asked)[:_SINGLES_A_ROUND]
        failed = await self._ask_each(asked, ended=True)
        if list_error is not None and len(failed) == len(asked):
            self._count_refusals(gone, list_error)
        self._report_failures(asked, failed)
        if list_error is None:
            self._lists_fail = False
            for job in gone:
                job.misses += 1
        elif not self._lists_fail:
            self._lists_fail = True
            self._warn(
                jobs,
                f"Asking for the list of jobs failed ({list_error}); each is asked for in turn.",
            )

    async def _ask_each(
        self, jobs: list[PolledJob], *, ended: bool = False
    ) -> list[tuple[PolledJob, OxenError]]:
        failed = []
        for job in jobs:
            try:
                await self._ask_for_one(job, ended=ended)
            except OxenError as error:  # noqa: PERF203 - one job's failure is not another's
                if not _is_of_one_route(error) or isinstance(error, APITimeoutError):
                    raise
                failed.append((job, error))
        return failed

    def _report_failures(
        self, asked: list[PolledJob], failed: list[tuple[PolledJob, OxenError]]
    ) -> None:
        """Warn those concerned. Raises the first error where everything failed."""
        if failed and len(failed) == len(asked):
            raise failed[0][1]
        for job, error in failed:
            self._warn([job], f"Asking for {job.generation_id} failed ({error.message}).")

    def _count_refusals(self, jobs: list[PolledJob], error: OxenError) -> None:
        if not isinstance(error, AuthenticationError | PermissionDeniedError):
            return
        with self._lock:
            for job in jobs:
                job.refusals += 1
                for subscription in job.subscriptions if job.refusals >= _REFUSALS_TO_BELIEVE else ():  # fmt: skip
                    subscription.fail(error)

    async def _ask_for_many(self, jobs: list[PolledJob]) -> list[PolledJob]:
        models = {job.model for job in jobs}
        filters = {
            "namespace": jobs[0].namespace,
            "model": models.pop() if len(models) == 1 else None,
        }
        for number in range(1, _MAX_PAGES + 1):
            call = queue.generations_call(self._paths, page=number, page_size=_PAGE_SIZE, **filters)
            try:
                page = await self._get(call)
            except NotFoundError:  # a hub without a history still lists ended jobs by status
                for status in sorted(TERMINAL):
                    rows = await self._get(queue.list_call(self._paths, status=status, **filters))
                    jobs = self._absorb(jobs, rows)
                return jobs
            jobs = self._absorb(jobs, page.generations)
            if not jobs or number >= page.total_pages:
                break
        return jobs

    async def _ask_for_one(self, job: PolledJob, *, ended: bool = False) -> None:
        # The full row first where the job should have ended: only that one has the cost.
        calls: list[Call[Generation] | None] = [
            queue.get_call(self._paths, job.generation_id),
            queue.generation_call(self._paths, job.generation_id),
        ]
        if ended or job.misses:
            calls.reverse()
        calls.append(
            queue.older_get_call(
                self._paths, job.generation_id, namespace=job.namespace, model=job.model
            )
        )
        job.last_asked = time.monotonic()
        failure: OxenError | None = None
        for call in filter(None, calls):
            try:
                row = await self._get(call)
            except NotFoundError:
                continue
            except OxenError as error:
                if not _is_of_one_route(error):
                    raise
                failure = failure or error
                continue
            if row.generation_id == job.generation_id:
                self._absorb([job], [row])
                return
        if failure is not None:
            raise failure
        job.misses += 1
        if job.misses == _MISSES_BEFORE_WARNING:
            self._warn(
                [job],
                f"Oxen accepted generation {job.generation_id} but does not list it now. It is "
                "still waited for: rows can appear late.",
            )

    async def _get(self, call: Call[Any]) -> Any:
        self.requests += 1
        # No retries: the next round is one.
        return await send(replace(call, timeout=self._pace().poll_timeout, max_retries=0))

    def _absorb(self, jobs: list[PolledJob], rows: Iterable[Generation]) -> list[PolledJob]:
        """Pass the rows on; return the jobs that were not among them."""
        by_id: Mapping[str, Generation] = {row.generation_id: row for row in rows}
        missing, now = [], time.monotonic()
        with self._lock:
            for job in jobs:
                row = by_id.get(job.generation_id)
                if row is None:
                    missing.append(job)
                    continue
                # Its waiters may have left and come back since it was asked for.
                job = self._jobs.get(job.generation_id, job)  # noqa: PLW2901 - the same one, later
                job.misses, job.refusals, job.last_asked = 0, 0, now
                changed = job.row is None or job.row.status != row.status
                job.row = row
                if changed:
                    for subscription in job.subscriptions:
                        subscription.update(row)
                if row.is_terminal:
                    self._jobs.pop(job.generation_id, None)
        return missing

    def _failed(self, error: Exception, *, of_hints: bool) -> None:
        if not isinstance(error, OxenError):
            log.error("Polling failed unexpectedly; trying again.", exc_info=error)
        self._failures += 1
        now, pace = time.monotonic(), self._pace()
        retry_after = getattr(error, "retry_after", None) or 0.0
        backoff = pace.image[0] * 2.0 ** min(self._failures, 8) * _jitter()
        if retry_after:
            self._retry_after_until = now + min(retry_after, pace.longest_backoff)
        self._not_before = now + min(max(retry_after, backoff), pace.longest_backoff)
        if of_hints:
            self._no_hints_before = self._not_before
        with self._lock:
            jobs = list(self._jobs.values())
            if isinstance(error, ConfigurationError):  # a closed client stays closed
                for subscription in {each for job in jobs for each in job.subscriptions}:
                    subscription.fail(error)
        self._warn(
            jobs,
            f"Asking for the jobs' status failed ({getattr(error, 'message', error)}); trying again.",
        )

    def _warn(self, jobs: Iterable[PolledJob], message: str) -> None:
        with self._lock:
            concerned = [
                each for job in jobs for each in job.subscriptions if each.warning != message
            ]
            for subscription in concerned:
                subscription.warning = message
                subscription.event.set()
        if concerned:
            log.warning(message)


def _is_of_one_route(error: OxenError) -> bool:
    """Whether another route may work where this one failed."""
    if isinstance(error, RateLimitError):
        return False  # Oxen asked for fewer requests
    return isinstance(error, APIStatusError | APIResponseError | APITimeoutError)


def _by_namespace(jobs: list[PolledJob]) -> list[list[PolledJob]]:
    counted = Counter(job.namespace for job in jobs)
    return [[job for job in jobs if job.namespace == namespace] for namespace in counted]


def _jitter() -> float:
    return random.uniform(0.85, 1.15)  # noqa: S311 - spreads load, guards nothing
