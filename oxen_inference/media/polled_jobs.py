"""The jobs that are polled for, and who waits for each; shared by threads."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oxen_inference.errors import (
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    OxenError,
    PermissionDeniedError,
)
from oxen_inference.generation import ACTIVE, Generation
from oxen_inference.ledger.polls import WantedJob
from oxen_inference.locks import Lock
from oxen_inference.media.pace import Pace

log = logging.getLogger("oxen_inference.media")

_LONGEST_STATUS = 60  # characters
_REFUSALS_TO_BELIEVE = 3
"""So many refusals in a row are final, and not a fault of something before the hub."""
_DENIALS_TO_BELIEVE = 5
_DENIED_PART = 0.1
"""Part of `Pace.unlisted` for which a job must be denied, however old it is."""


@dataclass(slots=True, kw_only=True)
class PolledJob:
    """One job: its last known row, and who waits for it here."""

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
    known_at: float
    """When Oxen last showed it, or accepted it."""
    not_found: int = 0
    """How often in a row every route said that there is no such job."""
    not_found_since: float = 0.0
    subscriptions: set[Subscription] = field(default_factory=set)

    def wanted(self) -> WantedJob:
        """Return it as other processes need it."""
        return WantedJob(self.generation_id, self.media_type, self.model, self.namespace)


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

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.is_done or self.fatal_error is not None

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


class PolledJobs:
    """All jobs that one client waits for, and those that it polls for other processes."""

    def __init__(self, pace: Callable[[], Pace]) -> None:
        self._pace = pace
        self._jobs: dict[str, PolledJob] = {}
        self._of_others: dict[str, PolledJob] = {}
        self._lock = Lock(after_fork=self._forget_all)

    def _forget_all(self) -> None:
        """Forget the jobs that threads of a parent process wait for."""
        self._jobs, self._of_others = {}, {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, generation_id: object) -> bool:
        return generation_id in self._jobs or generation_id in self._of_others

    def add(
        self,
        subscription: Subscription,
        *,
        media_type: str,
        model: str,
        namespace: str | None,
        age: float = 0.0,
    ) -> None:
        """Add a waiter to the jobs that are pending for it, accepted `age` seconds ago."""
        now = time.monotonic()
        with self._lock:
            for generation_id in tuple(subscription.pending):
                job = self._jobs.get(generation_id)
                if job is None:
                    due = now + self._pace().interval(media_type, 0.0) * jitter()
                    job = PolledJob(
                        generation_id=generation_id, media_type=media_type, model=model,
                        namespace=namespace, since=now, due=due, known_at=now - age,
                    )  # fmt: skip
                    self._jobs[generation_id] = job
                job.subscriptions.add(subscription)
                if job.row is not None:
                    subscription.update(job.row)

    def remove(self, subscription: Subscription) -> None:
        with self._lock:
            for generation_id in [*subscription.pending, *subscription.rows]:
                job = self._jobs.get(generation_id)
                if job is not None:
                    job.subscriptions.discard(subscription)
                    if not job.subscriptions:
                        del self._jobs[generation_id]

    def poll_for_others(self, wanted: Sequence[WantedJob]) -> None:
        """Take these jobs, and no more, over from other processes."""
        now = time.monotonic()
        with self._lock:
            before, self._of_others = self._of_others, {}
            for each in wanted:
                job = before.get(each.generation_id) or PolledJob(
                    generation_id=each.generation_id, media_type=each.media_type, model=each.model,
                    namespace=each.namespace, since=now - each.age, due=now, known_at=now,
                )  # fmt: skip
                self._of_others[each.generation_id] = job

    def own(self) -> list[PolledJob]:
        with self._lock:
            return list(self._jobs.values())

    def of_others(self) -> list[PolledJob]:
        with self._lock:
            return list(self._of_others.values())

    def all(self) -> list[PolledJob]:
        """Return the own jobs and those of others, each once."""
        with self._lock:
            return list({**self._of_others, **self._jobs}.values())

    def get(self, generation_id: str) -> PolledJob | None:
        with self._lock:
            return self._jobs.get(generation_id) or self._of_others.get(generation_id)

    def next_due(self) -> float | None:
        """Return when the first job is due, by `time.monotonic`; None where nobody waits here."""
        with self._lock:
            if not self._jobs:
                return None
            return min(job.due for job in (*self._jobs.values(), *self._of_others.values()))

    def all_are_due(self) -> None:
        with self._lock:
            for job in self._jobs.values():
                job.due = 0.0

    def rest(self, jobs: Iterable[PolledJob], part: float = 1.0) -> None:
        """Let each job be due again after this part of its interval."""
        now, pace = time.monotonic(), self._pace()
        with self._lock:
            for job in jobs:
                interval = pace.interval(job.media_type, now - job.since)
                job.due = now + part * interval * jitter()

    def absorb(
        self, jobs: Iterable[PolledJob], rows: Iterable[Generation], *, from_hub: bool = True
    ) -> list[PolledJob]:
        """Pass the rows on; return the jobs that were not among them."""
        by_id: Mapping[str, Generation] = {row.generation_id: row for row in rows}
        missing, odd, now = [], [], time.monotonic()
        with self._lock:
            for job in jobs:
                row = by_id.get(job.generation_id)
                if row is None:
                    missing.append(job)
                    continue
                # Its waiters may have left and come back since it was asked for.
                for known in (self._jobs.get(job.generation_id), job):
                    if known is not None:
                        _absorb_row(known, row)
                        known.last_asked = now if from_hub else known.last_asked
                if row.is_terminal:
                    self._jobs.pop(job.generation_id, None)
                elif row.status not in ACTIVE:
                    odd.append((job, row.status))
        for job, status in odd:
            self.warn(
                [job],
                f"Oxen says that {job.generation_id} is {status[:_LONGEST_STATUS]!r}, which is no "
                "known status. It is still waited for.",
            )
        return missing

    def count_refusals(self, jobs: Iterable[PolledJob], error: OxenError) -> None:
        """End the waiting for jobs that the key was refused to ask for several times in a row."""
        if not isinstance(error, AuthenticationError | PermissionDeniedError):
            return
        with self._lock:
            for job in jobs:
                job.refusals += 1
                if job.refusals >= _REFUSALS_TO_BELIEVE:
                    for subscription in job.subscriptions:
                        subscription.fail(error)

    def count_not_found(self, job: PolledJob, error: NotFoundError) -> None:
        """End the waiting for a job that every route denied again and again, long after it was
        accepted: it would never end.
        """
        now, unlisted = time.monotonic(), self._pace().unlisted
        with self._lock:
            job.not_found_since = job.not_found_since if job.not_found else now
            job.not_found += 1
            if (
                job.not_found >= _DENIALS_TO_BELIEVE
                and now - job.not_found_since >= unlisted * _DENIED_PART
                and now - job.known_at >= unlisted
            ):
                for subscription in job.subscriptions:
                    subscription.fail(error)

    def fail_all(self, error: ConfigurationError) -> None:
        with self._lock:
            for job in self._jobs.values():
                for subscription in job.subscriptions:
                    subscription.fail(error)

    def warn(self, jobs: Iterable[PolledJob], message: str) -> None:
        """Tell the waiters of these jobs, and the log, once."""
        with self._lock:
            concerned = [
                each for job in jobs for each in job.subscriptions if each.warning != message
            ]
            for subscription in concerned:
                subscription.warning = message
                subscription.event.set()
        if concerned:
            log.warning(message)


def _absorb_row(job: PolledJob, row: Generation) -> None:
    job.misses, job.refusals, job.not_found = 0, 0, 0
    job.known_at = time.monotonic()
    changed = job.row is None or job.row.status != row.status
    job.row = row
    if changed:
        for subscription in job.subscriptions:
            subscription.update(row)


def jitter() -> float:
    return random.uniform(0.85, 1.15)  # noqa: S311 - spreads load, guards nothing
