"""One watcher per client for every job that anybody waits for.

Each round asks for the list of active jobs, whose length is the hub's matter and not the number
of waiters'; what has left that list is looked up one by one, or in bulk where it is many, and
where a list is broken, a few are asked for each round. The event stream only wakes the watcher: a
status always comes from a GET. Whatever goes wrong in a round delays the next one and never ends a
job.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from oxen_inference import queue
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
from oxen_inference.media.steps import Pause, Steps, send
from oxen_inference.media.subscription import Subscription, Watched
from oxen_inference.paths import Paths
from oxen_inference.transport import Call

log = logging.getLogger("oxen_inference.media")

_FEW = 2
"""So many jobs are asked for one by one: it costs no more than the list and says more."""
_LEFTOVERS = 4
_PAGE_SIZE = 1000
_MAX_PAGES = 4
_MISSES_TO_TELL = 5
_DENIALS = 3
"""So often in a row a refusal to say anything is one, and not a hiccup before the hub."""


class Watch:
    """The jobs that are waited for, and one round of asking about them; shared by threads.

    `wake` is set by the event stream and by new waiters.
    """

    def __init__(self, paths: Paths, pace: Callable[[], Pace]) -> None:
        self._paths = paths
        self._pace = pace
        self._jobs: dict[str, Watched] = {}
        self._hints: set[str] = set()
        self._lock = threading.Lock()
        self._failures = 0
        self._not_before = 0.0
        self._asked_until = 0.0
        self._no_hints_before = 0.0
        self._last_round = 0.0
        self._lists_broken = False
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
        """Add jobs to watch; `event` is set whenever one of them changes."""
        subscription = Subscription(event, ids)
        now, pace = time.monotonic(), self._pace()
        with self._lock:
            if not self._jobs:
                # Trouble that earlier waiters had is not the new one's, but for what Oxen asked.
                self._failures = 0
                self._not_before = min(self._not_before, self._asked_until)
                self._no_hints_before = min(self._no_hints_before, self._asked_until)
            for one in tuple(subscription.pending):
                job = self._jobs.get(one)
                if job is None:
                    due = now + pace.interval(media_type, 0.0) * _jitter()
                    job = Watched(one, media_type, model, namespace, now, due)
                    self._jobs[one] = job
                job.subscriptions.add(subscription)
                if job.row is not None:
                    subscription.tell(job.row)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            for one in [*subscription.pending, *subscription.rows]:
                job = self._jobs.get(one)
                if job is not None:
                    job.subscriptions.discard(subscription)
                    if not job.subscriptions:
                        del self._jobs[one]

    def hint(self, generation_id: str) -> bool:
        """Note that a job is said to have ended; whether it is one of ours."""
        with self._lock:
            if generation_id not in self._jobs:
                return False
            self._hints.add(generation_id)
            return True

    def hurry(self) -> None:
        """Make every job due: events may have been missed before the stream was open."""
        with self._lock:
            for job in self._jobs.values():
                job.due = 0.0

    def seconds_to_next(self) -> float | None:
        """Return how long to rest, or None when there is nothing left to watch."""
        now = time.monotonic()
        with self._lock:
            if not self._jobs:
                return None
            due = max(min(job.due for job in self._jobs.values()), self._not_before)
            if self._hints:
                # A job that is said to have ended is asked for once, even when polling rests.
                due = min(due, self._no_hints_before)
            due = max(due, self._last_round + self._pace().gap)
        return max(due - now, 0.0)

    def loop(self, wake: Any) -> Steps[None]:
        """Ask, rest, and ask again, until nobody waits."""
        while (rest := self.seconds_to_next()) is not None:
            if rest > 0:
                wake.clear()
                if self.seconds_to_next() != 0:
                    yield Pause(wake, rest)
                continue
            yield from self.round()

    def round(self) -> Steps[None]:
        """Ask once about everything that is watched, or about what the events spoke of."""
        with self._lock:
            hinted = [self._jobs[one] for one in self._hints if one in self._jobs]
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
                    yield from self._ask_for_one(job, ended=True)
            else:
                yield from self._ask_all(jobs)
        except Exception as error:  # noqa: BLE001 - a dead watcher would strand every waiter
            self._failed(error, of_hints=resting)
        else:
            self._failures = 0
        now, pace = time.monotonic(), self._pace()
        with self._lock:
            for job in jobs:
                job.due = now + pace.interval(job.media_type, now - job.since) * _jitter()

    def _ask_all(self, jobs: list[Watched]) -> Steps[None]:
        broken: OxenError | None = None
        for group in _by_namespace(jobs):
            try:
                yield from self._ask(group)
            except OxenError as error:  # noqa: PERF203 - of this namespace, perhaps, not of the next
                if not _is_of_one_route(error):
                    raise
                broken = broken or error
        if broken is not None:
            raise broken

    def _ask(self, jobs: list[Watched]) -> Steps[None]:
        if len(jobs) <= _FEW:
            failed = yield from self._ask_each(jobs)
            for job, error in failed:
                self._denied([job], error)
            self._told_failures(jobs, failed)
            return
        gone, broken = jobs, None
        try:
            rows = yield from self._get(queue.list_call(self._paths, namespace=jobs[0].namespace))
            gone = self._absorb(jobs, rows)
            if len(gone) > _FEW:
                gone = yield from self._ask_for_many(gone)
        except OxenError as error:
            if not _is_of_one_route(error):
                raise
            broken = error
        # The longest unheard of first, so that each has its turn.
        asked = sorted(gone, key=lambda job: job.asked)[:_LEFTOVERS]
        failed = yield from self._ask_each(asked, ended=True)
        if broken is not None and len(failed) == len(asked):
            self._denied(gone, broken)
        self._told_failures(asked, failed)
        if broken is None:
            self._lists_broken = False
            for job in gone:
                job.misses += 1
        elif not self._lists_broken:
            self._lists_broken = True
            trouble = f"Asking for the list of jobs failed ({broken}); each is asked for in turn."
            self._tell_trouble(jobs, trouble)

    def _ask_each(
        self, jobs: list[Watched], *, ended: bool = False
    ) -> Steps[list[tuple[Watched, OxenError]]]:
        failed = []
        for job in jobs:
            try:
                yield from self._ask_for_one(job, ended=ended)
            except OxenError as error:  # noqa: PERF203 - one job's failure is its own
                if not _is_of_one_route(error) or isinstance(error, APITimeoutError):
                    raise
                failed.append((job, error))
        return failed

    def _told_failures(self, asked: list[Watched], failed: list[tuple[Watched, OxenError]]) -> None:
        """Tell those concerned; where nothing else could be asked, it is the hub's failure."""
        if failed and len(failed) == len(asked):
            raise failed[0][1]
        for job, error in failed:
            self._tell_trouble([job], f"Asking for {job.generation_id} failed ({error}).")

    def _denied(self, jobs: list[Watched], error: OxenError) -> None:
        if not isinstance(error, AuthenticationError | PermissionDeniedError):
            return
        with self._lock:
            for job in jobs:
                job.denials += 1
                for subscription in job.subscriptions if job.denials >= _DENIALS else ():
                    subscription.deny(error)

    def _ask_for_many(self, jobs: list[Watched]) -> Steps[list[Watched]]:
        models = {job.model for job in jobs}
        filters = {
            "namespace": jobs[0].namespace,
            "model": models.pop() if len(models) == 1 else None,
        }
        for number in range(1, _MAX_PAGES + 1):
            call = queue.generations_call(self._paths, page=number, page_size=_PAGE_SIZE, **filters)
            try:
                page = yield from self._get(call)
            except NotFoundError:  # a hub without a history still lists what ended, by status
                for status in sorted(TERMINAL):
                    rows = yield from self._get(
                        queue.list_call(self._paths, status=status, **filters)
                    )
                    jobs = self._absorb(jobs, rows)
                return jobs
            jobs = self._absorb(jobs, page.generations)
            if not jobs or number >= page.total_pages:
                break
        return jobs

    def _ask_for_one(self, job: Watched, *, ended: bool = False) -> Steps[None]:
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
        job.asked = time.monotonic()
        broken: OxenError | None = None
        for call in filter(None, calls):
            try:
                row = yield from self._get(call)
            except NotFoundError:
                continue
            except OxenError as error:
                if not _is_of_one_route(error):
                    raise
                broken = broken or error
                continue
            if row.generation_id == job.generation_id:
                self._absorb([job], [row])
                return
        if broken is not None:
            raise broken
        job.misses += 1
        if job.misses == _MISSES_TO_TELL:
            self._tell_trouble(
                [job],
                f"Oxen accepted generation {job.generation_id} but does not list it now. It is "
                "waited for: rows appear late, and were once removed when done.",
            )

    def _get(self, call: Call[Any]) -> Steps[Any]:
        self.requests += 1
        # No retries: the next round is one.
        return (yield from send(replace(call, timeout=self._pace().poll_timeout, max_retries=0)))

    def _absorb(self, jobs: list[Watched], rows: Iterable[Generation]) -> list[Watched]:
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
                job.misses, job.denials, job.asked = 0, 0, now
                changed = job.row is None or job.row.status != row.status
                job.row = row
                if changed:
                    for subscription in job.subscriptions:
                        subscription.tell(row)
                if row.is_terminal:
                    self._jobs.pop(job.generation_id, None)
        return missing

    def _failed(self, error: Exception, *, of_hints: bool) -> None:
        if not isinstance(error, OxenError):
            log.error("Asking for the jobs' status broke; trying again.", exc_info=error)
        self._failures += 1
        now, pace = time.monotonic(), self._pace()
        asked = getattr(error, "retry_after", None) or 0.0
        own = pace.image[0] * 2.0 ** min(self._failures, 8) * _jitter()
        if asked:
            self._asked_until = now + min(asked, pace.longest_backoff)
        self._not_before = now + min(max(asked, own), pace.longest_backoff)
        if of_hints:
            self._no_hints_before = self._not_before
        with self._lock:
            jobs = list(self._jobs.values())
            if isinstance(error, ConfigurationError):  # a client that was closed stays so
                for subscription in {one for job in jobs for one in job.subscriptions}:
                    subscription.deny(error)
        self._tell_trouble(jobs, f"Asking for the jobs' status failed ({error}); trying again.")

    def _tell_trouble(self, jobs: Iterable[Watched], message: str) -> None:
        with self._lock:
            concerned = [one for job in jobs for one in job.subscriptions if one.trouble != message]
            for subscription in concerned:
                subscription.trouble = message
                subscription.event.set()
        if concerned:
            log.warning(message)


def _is_of_one_route(error: OxenError) -> bool:
    """Whether another route may do better."""
    if isinstance(error, RateLimitError):
        return False  # less is what was asked for, not more
    return isinstance(error, APIStatusError | APIResponseError | APITimeoutError)


def _by_namespace(jobs: list[Watched]) -> list[list[Watched]]:
    counted = Counter(job.namespace for job in jobs)
    return [[job for job in jobs if job.namespace == namespace] for namespace in counted]


def _jitter() -> float:
    return random.uniform(0.85, 1.15)  # noqa: S311 - spreads load, guards nothing
