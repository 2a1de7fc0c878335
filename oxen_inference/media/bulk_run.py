"""A run over many requests as data: its jobs, its outcomes, what it cost, and why it ends.

Nothing here waits or sends. The consumer of the run (`bulk`) and its workers (`bulk_workers`) change
it, in any thread.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from oxen_inference.errors import (
    BudgetExceededError,
    ConfigurationError,
    DownloadError,
    InvalidInputError,
    MediaError,
    OxenError,
)
from oxen_inference.ledger.budgets import Budget
from oxen_inference.ledger.entries import Entry
from oxen_inference.locks import Lock
from oxen_inference.media.attempts import signature
from oxen_inference.media.engine import Task, WaitOptions
from oxen_inference.media.pause import SharedPause
from oxen_inference.media.prepare import MediaRequest
from oxen_inference.result import BulkProgress, MediaResult, known_cost

Outcome = tuple[int, MediaResult | OxenError]

LEDGER_PAUSE = 1.0  # seconds until a ledger that could not be used is tried again
_LONGEST_WITHOUT_LEDGER = 60.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOptions:
    """How many at once, under which keys, how often, and what ends it all."""

    max_in_flight: int = 64
    max_connections: int = 16
    attempts: int = 1
    key_prefix: str | None = None
    budget: Budget | None = None
    stop_after: int | None = 10
    """Equal failures in a row that end the run; None for never."""
    on_progress: Callable[[BulkProgress], Any] | Literal["bar"] | None = None

    def check(self) -> None:
        """Raise `InvalidInputError` for an option that cannot be used."""
        for name in ("max_in_flight", "max_connections", "attempts", "stop_after"):
            value = getattr(self, name)
            if name == "stop_after" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidInputError(f"{name} must be a whole number above 0, not {value!r}.")
        if self.key_prefix is not None and (
            not isinstance(self.key_prefix, str) or not self.key_prefix.strip()
        ):
            raise InvalidInputError("key_prefix must be a text that is not empty, or be left out.")
        if self.on_progress not in (None, "bar") and not callable(self.on_progress):
            raise InvalidInputError(
                'on_progress must be a function that takes one event, or "bar".'
            )


@dataclass(slots=True, eq=False)
class Job:
    """One request of a run, until its outcome is known."""

    index: int
    request: MediaRequest
    task: Task
    key: str | None
    attempt: int = 1
    failure: OxenError | None = None
    """That of the attempt before."""
    is_sent: bool = False
    is_queued: bool = False
    """Whether a worker is to look at it."""
    is_held: bool = False
    """Whether it waited for the ledger, and its time goes on."""

    def try_again(self, request: MediaRequest, pause: SharedPause, failure: OxenError) -> None:
        """Become another attempt, after a failure."""
        self.attempt += 1
        self.failure = failure
        self.request = request
        self.task = Task(options=self.task.options, pause=pause, index=self.task.index)
        self.is_sent = self.is_queued = self.is_held = False


@dataclass(slots=True)
class _Counts:
    taken: int = 0
    succeeded: int = 0
    failed: int = 0
    bought: int = 0
    spent: Decimal = field(default_factory=Decimal)


class BulkRun:
    """The state of a run over `total` requests, or over an unknown number of them.

    `changed` is set whenever its consumer may go on; `wake` whenever there is work for a worker.
    """

    def __init__(
        self, options: BulkOptions, total: int | None, changed: Any, wake: Callable[[], None]
    ) -> None:
        options.check()
        self.options = options
        self.total = total
        self.changed = changed
        self.pause = SharedPause()
        self.lock = Lock(reentrant=True, after_fork=self._end_in_child)
        self.is_inherited = False
        """Whether this is the copy of a forked child, which has none of the workers."""
        self.jobs: dict[int, Job] = {}
        self.outcomes: deque[Outcome] = deque()
        self.untaken: dict[int, Entry] = {}
        """What conversations count as delivered, and the consumer has not got yet."""
        self.crashed: BaseException | None = None
        self.stopped: OxenError | None = None
        """Why the run ended before its requests did."""
        self.not_sent = 0
        """Requests that were taken and not sent, because the run ended before."""
        self.is_left = False
        self.is_exhausted = False
        self.takes_only_bought = False
        """Whether the money is used up, and what was bought before is still to be had."""
        self._wake = wake
        self._to_send: deque[Job] = deque()
        self._to_finish: deque[Job] = deque()
        self._short_of_money: deque[Job] = deque()
        self._deadlines: list[tuple[float, int]] = []
        self._counts = _Counts()
        self._equal: tuple[tuple[type, str] | None, int] = (None, 0)
        self._started = time.monotonic()
        self._without_ledger_since: float | None = None
        self._is_said = False
        self._reason_for: int | None = None
        """The request whose outcome will be why the run stopped."""

    # What the consumer asks and tells.

    @property
    def has_room(self) -> bool:
        """Whether another request may be taken."""
        with self.lock:
            if self.is_exhausted or self._short_of_money:
                return False
            if self.has_ended_early:
                return not self._is_said and not self.jobs  # is there a request that is not sent?
            return len(self.jobs) + len(self.outcomes) < self.options.max_in_flight

    @property
    def has_ended_early(self) -> bool:
        """Whether nothing more is looked at."""
        return self.stopped is not None and not self.takes_only_bought

    @property
    def is_over(self) -> bool:
        """Whether there will be no more outcomes."""
        with self.lock:
            is_stopped = self._is_said and not self.takes_only_bought
            is_fed = self.is_exhausted or is_stopped or self.is_left
            return is_fed and not self.jobs and not self.outcomes

    @property
    def progress(self) -> BulkProgress:
        """How far the run is."""
        with self.lock:
            jobs = list(self.jobs.values())
            counts = self._counts
            elapsed = time.monotonic() - self._started
            done = counts.succeeded + counts.failed
            left = None
            if self.total is not None and done:
                left = max(elapsed / done * (self.total - done), 0.0)
            return BulkProgress(
                total=self.total,
                taken=counts.taken,
                running=sum(job.is_sent for job in jobs),
                succeeded=counts.succeeded,
                failed=counts.failed,
                bought=counts.bought,
                spent=counts.spent,
                reserved=sum((_reserved(job) for job in jobs), Decimal(0)),
                elapsed=elapsed,
                seconds_left=left,
                paused=self.pause.left,
            )

    def next_index(self) -> int:
        """Count one more request, and return its index."""
        with self.lock:
            self._counts.taken += 1
            return self._counts.taken - 1

    def add(self, index: int, request: MediaRequest, options: WaitOptions) -> None:
        """Make a job of a request, for the workers to send."""
        task = Task(options=options, pause=self.pause, index=index + 1)
        with self.lock:
            self.jobs[index] = job = Job(index, request, task, request.key)
            self.send_later(job)

    def say_stopped(self, index: int) -> None:
        """Note a request that is not sent since the run has ended; the first one has the reason."""
        with self.lock:
            self.not_sent += 1
            if not self._is_said:
                self._is_said = True
                self._reason_for = index
            self._say_reason()

    def _say_reason(self) -> None:
        """Tell why the run stopped once nothing is under way, so that it is the last outcome."""
        if self._reason_for is not None and not self.jobs:
            assert self.stopped is not None  # noqa: S101 - a bug here, not a state
            self.outcomes.append((self._reason_for, self.stopped))
            self._reason_for = None
            self.changed.set()

    def say_exhausted(self) -> None:
        """Note that there are no more requests."""
        self.is_exhausted = True
        self.changed.set()

    def crash(self, error: BaseException) -> None:
        """End the run with an error that is raised where its outcomes are read."""
        with self.lock:
            self.crashed = self.crashed or error
            self.changed.set()

    def _end_in_child(self) -> None:
        # What runs is the parent's: the child neither waits for it nor stops it.
        self.is_inherited = self.is_left = self.is_exhausted = True
        self.jobs.clear()
        self.crashed = ConfigurationError(
            "This run belongs to the process that began it, and this one was forked from it.",
            hint="Begin a run in the child. What has a key, or a key_prefix, is not paid for twice.",
        )

    def leave(self) -> list[Job]:
        """Have the workers stop, and return the unfinished jobs."""
        with self.lock:
            self.is_left = self.is_exhausted = True
            jobs = list(self.jobs.values())
        for job in jobs:
            job.task.stop.set()
        return jobs

    # What the workers ask and tell.

    def next_to_finish(self) -> Job | None:
        self._expire()
        return self._to_finish.popleft() if self._to_finish else None

    def next_to_send(self) -> Job | None:
        return self._to_send.popleft() if self._to_send else None

    @property
    def seconds_to_deadline(self) -> float | None:
        return self._deadlines[0][0] - time.monotonic() if self._deadlines else None

    def send_later(self, job: Job) -> None:
        with self.lock:
            self._to_send.append(job)
            self._wake()

    def may_wait_for_ledger(self, job: Job) -> bool:
        """Whether a job waits for a ledger that cannot be used: not for longer than a minute."""
        with self.lock:
            now = time.monotonic()
            if self._without_ledger_since is None:
                self._without_ledger_since = now
            left = job.task.left
            is_in_time = left is None or left > LEDGER_PAUSE
            is_short = now - self._without_ledger_since < _LONGEST_WITHOUT_LEDGER
            return is_in_time and is_short and self.stopped is None

    def sent(self, job: Job) -> None:
        """Note that a job was accepted."""
        with self.lock:
            self._without_ledger_since = None
            job.is_sent = True
            self._retry_one_short()

    def waits(self, job: Job) -> None:
        """Have a job finished at the end of its time, if it has not ended by then."""
        with self.lock:
            until = job.task.started + job.task.longest_wait
            heapq.heappush(self._deadlines, (until, job.index))

    def ended(self, job: Job) -> None:
        """Have a job finished by a worker."""
        with self.lock:
            if not job.is_queued and job.index in self.jobs:
                job.is_queued = True
                self._to_finish.append(job)
                self._wake()

    def _expire(self) -> None:
        """Have jobs finished whose time is up."""
        now = time.monotonic()
        while self._deadlines and self._deadlines[0][0] <= now:
            job = self.jobs.get(heapq.heappop(self._deadlines)[1])
            # It may be at another attempt by now, which has its own time.
            if job is not None and job.is_sent and job.task.left_to_wait <= 0:
                self.ended(job)

    def conclude(self, job: Job, outcome: MediaResult | OxenError) -> None:
        """Note the outcome of a job."""
        with self.lock:
            self._retry_one_short()
            self.end(job.index, outcome)

    def end(self, index: int, outcome: MediaResult | OxenError) -> None:
        """Note the outcome of a request."""
        with self.lock:
            job = self.jobs.pop(index, None)
            if isinstance(outcome, OxenError):
                self._counts.failed += 1
            else:
                self._counts.succeeded += 1
                if job is not None and job.task.is_sender:
                    self._counts.bought += len(outcome.succeeded)
            self.count_cost(outcome)
            self.outcomes.append((index, outcome))
            if job is None or not _ended_before(job, outcome):
                self._count_equal(outcome)
            self._say_reason()
            self.changed.set()

    def count_cost(self, outcome: MediaResult | OxenError) -> None:
        """Count what one attempt cost, as far as it is known."""
        result = outcome.result if isinstance(outcome, MediaError) else outcome
        if isinstance(result, MediaResult):
            self._counts.spent += known_cost(result.items)

    def skip(self, job: Job) -> None:
        """Leave a job out, since the run has stopped before it was sent."""
        with self.lock:
            self._drop([job])

    def _drop(self, jobs: Iterable[Job]) -> None:
        """End jobs that are not sent; what was bought before and failed ends with that failure."""
        for job in jobs:
            self.jobs.pop(job.index, None)
            if job.failure is None:
                self.say_stopped(job.index)
            else:  # its cost is counted
                self._counts.failed += 1
                self.outcomes.append((job.index, job.failure))
        self._say_reason()
        self.changed.set()

    # Why a run ends early.

    def lacks_money(self, job: Job, error: BudgetExceededError) -> None:
        """Let a job wait for reservations to be settled; end the run where there are none."""
        with self.lock:
            if error.left is None or job.request.budget is not self.options.budget:
                self.conclude(job, error)
                return
            if self.stopped is not None:  # nothing is bought any more, so no money is waited for
                self.skip(job)
                return
            self._short_of_money.append(job)
            if len(self._short_of_money) < len(self.jobs):
                return
            jobs = sorted(
                self._short_of_money, key=lambda each: (each.failure is not None, each.index)
            )
            self._short_of_money.clear()
            self.stopped = error
            # What was bought before under the keys of this run costs nothing. Without a length
            # there may be no end of requests to look for.
            self.takes_only_bought = self.options.key_prefix is not None and self.total is not None
            if jobs[0].failure is None:
                self._is_said = True
                self.end(jobs.pop(0).index, error)
            self._drop(jobs)

    def _retry_one_short(self) -> None:
        if self._short_of_money:
            self._to_send.appendleft(self._short_of_money.popleft())
            self._wake()

    def _count_equal(self, outcome: MediaResult | OxenError) -> None:
        """End the run at so many equal failures in a row.

        A full disk is none, since it is paid. Nor is a limit on what a request may cost: it says
        nothing of the next one.
        """
        if not isinstance(outcome, OxenError):
            self._equal = (None, 0)
            return
        if isinstance(outcome, DownloadError | BudgetExceededError) or self.stopped is not None:
            return
        kind = signature(outcome)
        count = self._equal[1] + 1 if self._equal[0] == kind else 1
        self._equal = (kind, count)
        if self.options.stop_after is None or count < self.options.stop_after:
            return
        dropped = sorted([*self._to_send, *self._short_of_money], key=lambda job: job.index)
        self._to_send.clear()
        self._short_of_money.clear()
        self.stopped = OxenError(
            f"Stopped after {count} equal failures in a row: {outcome.message}",
            hint="The remaining requests were not sent. Fix the cause, then run it again.",
        )
        self.stopped.__cause__ = outcome
        self.pause.end()
        self._drop(dropped)


def _ended_before(job: Job, outcome: MediaResult | OxenError) -> bool:
    """Whether a failure is what an earlier run's request came to: it says nothing of this one."""
    return isinstance(outcome, MediaError) and not job.task.is_sender


def _reserved(job: Job) -> Decimal:
    quote = job.task.quote
    return (quote.high or Decimal(0)) if quote is not None and job.is_sent else Decimal(0)
