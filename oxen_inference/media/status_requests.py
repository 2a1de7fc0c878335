"""Asking the hub how far jobs are, in as few requests as possible.

The list of active jobs has a length that does not depend on the number of waiters. Jobs that left
it are asked for one by one, or in bulk where they are many; where a list fails, a few are asked
for each round.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from oxen_inference import queue
from oxen_inference.effects import send
from oxen_inference.errors import (
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    NotFoundError,
    OxenError,
    RateLimitError,
)
from oxen_inference.generation import Generation
from oxen_inference.media.history import MOST_ROWS, read_history
from oxen_inference.media.pace import Pace
from oxen_inference.media.polled_jobs import PolledJob, PolledJobs
from oxen_inference.paths import Paths
from oxen_inference.transport import Call

FEW = 2
"""So many jobs are asked for one by one: it costs no more than the list and tells more."""
_SINGLES_A_ROUND = 4
_SMALL_PAGE = 100
_MAX_PAGES = 4
_MISSES_BEFORE_WARNING = 5


class StatusRequests:
    """The requests about `jobs`, which take the rows."""

    def __init__(self, paths: Paths, pace: Callable[[], Pace], jobs: PolledJobs) -> None:
        self._paths = paths
        self._pace = pace
        self._jobs = jobs
        self._lists_fail = False
        self.made = 0
        """GETs made so far."""

    async def ask_all(self, jobs: list[PolledJob]) -> None:
        """Ask about jobs of any namespace. Raises `OxenError` where all of it failed."""
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

    async def ask_ended(self, jobs: list[PolledJob]) -> None:
        """Ask about jobs whose end was announced. Raises `OxenError`."""
        if len(jobs) <= FEW:
            for job in jobs:
                await self.ask_for_one(job, ended=True)
            return
        for group in _by_namespace(jobs):
            await self._ask_for_many(group)

    async def _ask(self, jobs: list[PolledJob]) -> None:
        if len(jobs) <= FEW:
            failed = await self._ask_each(sorted(jobs, key=lambda job: job.last_asked))
            for job, error in failed:
                self._jobs.count_refusals([job], error)
            self._report_failures(jobs, failed)
            return
        gone, list_error = jobs, None
        try:
            ids = {job.generation_id for job in jobs}
            call = queue.list_call(self._paths, only=ids, namespace=jobs[0].namespace)
            rows = await self._get(call)
            gone = self._jobs.absorb(jobs, rows)
            if len(gone) > FEW:
                gone = await self._ask_for_many(gone)
        except OxenError as error:
            if not _is_of_one_route(error):
                raise
            list_error = error
        # Those not asked for the longest first, so that each has its turn.
        asked = sorted(gone, key=lambda job: job.last_asked)[:_SINGLES_A_ROUND]
        failed = await self._ask_each(asked, ended=True)
        if list_error is not None and len(failed) == len(asked):
            self._jobs.count_refusals(gone, list_error)
        self._report_failures(asked, failed)
        if list_error is None:
            self._lists_fail = False
            for job in gone:
                job.misses += 1
        elif not self._lists_fail:
            self._lists_fail = True
            self._jobs.warn(
                jobs,
                f"Asking for the list of jobs failed ({list_error}); each is asked for in turn.",
            )

    async def _ask_each(
        self, jobs: list[PolledJob], *, ended: bool = False
    ) -> list[tuple[PolledJob, OxenError]]:
        failed, timeouts = [], 0
        for job in jobs:
            try:
                await self.ask_for_one(job, ended=ended)
            except OxenError as error:  # noqa: PERF203 - one job's failure is not another's
                timeouts += isinstance(error, APITimeoutError)
                if not _is_of_one_route(error) or timeouts > 1:  # two: nothing is answered now
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
            self._jobs.warn([job], f"Asking for {job.generation_id} failed ({error.message}).")

    async def _ask_for_many(self, jobs: list[PolledJob]) -> list[PolledJob]:
        models = {job.model for job in jobs}
        filters = {
            "namespace": jobs[0].namespace,
            "model": models.pop() if len(models) == 1 else None,
        }
        missing = jobs

        def absorb(rows: Sequence[Generation]) -> bool:
            nonlocal missing
            missing = self._jobs.absorb(missing, rows)
            return not missing

        await read_history(
            self._get,
            self._paths,
            absorb,
            max_pages=_MAX_PAGES,
            # The newest come first: jobs that end now are not far below the newest.
            page_size=min(max(_SMALL_PAGE, 2 * len(self._jobs)), MOST_ROWS),
            only={job.generation_id for job in jobs},
            **filters,
        )
        return missing

    async def ask_for_one(self, job: PolledJob, *, ended: bool = False) -> None:
        """Ask about one job. Raises `OxenError` where every way of asking failed."""
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
        absence: NotFoundError | None = None
        for call in filter(None, calls):
            try:
                row = await self._get(call)
            except NotFoundError as error:
                absence = error
                continue
            except OxenError as error:
                if not _is_of_one_route(error):
                    raise
                failure = failure or error
                continue
            if row.generation_id == job.generation_id:
                self._jobs.absorb([job], [row])
                return
        if failure is not None:
            job.not_found = 0
            raise failure
        job.misses += 1
        if absence is not None:
            self._jobs.count_not_found(job, absence)
        if job.misses == _MISSES_BEFORE_WARNING:
            self._jobs.warn(
                [job],
                f"Oxen accepted generation {job.generation_id} but does not list it now. It is "
                "still waited for: rows can appear late.",
            )

    async def _get(self, call: Call[Any]) -> Any:
        self.made += 1
        # No retries: the next round is one.
        return await send(replace(call, timeout=self._pace().poll_timeout, max_retries=0))


def _is_of_one_route(error: OxenError) -> bool:
    """Whether another route may work where this one failed."""
    if isinstance(error, RateLimitError):
        return False  # Oxen asked for fewer requests
    return isinstance(error, APIStatusError | APIResponseError | APITimeoutError)


def _by_namespace(jobs: list[PolledJob]) -> list[list[PolledJob]]:
    counted = Counter(job.namespace for job in jobs)
    return [[job for job in jobs if job.namespace == namespace] for namespace in counted]
