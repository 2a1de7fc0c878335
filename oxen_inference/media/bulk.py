"""Many requests with bounded memory and bounded connections: `generate_as_completed`.

Requests are taken one by one, as there is room for them, and become jobs. A few workers send jobs
and finish those whose generations have ended; between the two a job holds neither a thread nor a
connection, since the poller waits for all. Threads or tasks, the workers are the same `async def`.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from oxen_inference.effects import (
    StopRequest,
    gather,
    invoke,
    run,
    run_on_network,
    shield,
    wait_event,
)
from oxen_inference.errors import (
    BudgetExceededError,
    DownloadError,
    InvalidInputError,
    MediaError,
    OxenError,
)
from oxen_inference.ledger.budgets import Budget
from oxen_inference.media import wait
from oxen_inference.media.attempts import (
    ContentKeys,
    derived_key,
    may_pass_another_time,
    signature,
)
from oxen_inference.media.engine import Engine, Task, WaitOptions
from oxen_inference.media.fetch import check_folder
from oxen_inference.media.generate import finish, leave_all, submit_in_time
from oxen_inference.media.inputs import stable_form
from oxen_inference.media.pause import SharedPause
from oxen_inference.media.prepare import MediaRequest, find_known, read_given
from oxen_inference.result import BulkProgress, MediaResult, known_cost

log = logging.getLogger("oxen_inference.media")

Outcome = tuple[int, MediaResult | OxenError]

_PROGRESS_EVERY = 1.0  # seconds
_MOST_IDS_SHOWN = 8


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
    on_progress: Callable[[BulkProgress], Any] | None = None

    def check(self) -> None:
        """Raise `InvalidInputError` for an option that cannot be used."""
        for name in ("max_in_flight", "max_connections", "attempts"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidInputError(f"{name} must be a whole number above 0, not {value!r}.")
        if self.key_prefix is not None and (
            not isinstance(self.key_prefix, str) or not self.key_prefix.strip()
        ):
            raise InvalidInputError("key_prefix must be a text that is not empty, or be left out.")
        if self.on_progress is not None and not callable(self.on_progress):
            raise InvalidInputError("on_progress must be a function that takes one event.")


@dataclass(slots=True, eq=False)
class _Job:
    """One request of the run, until its outcome is known."""

    index: int
    request: MediaRequest
    task: Task
    key: str | None
    attempt: int = 1
    is_sent: bool = False
    is_queued: bool = False
    """Whether a worker is to look at it."""


class _JobEvent:
    """What a job's subscription sets: the job is finished by a worker once it has ended."""

    def __init__(self, job: _Job, ended: Callable[[_Job], None]) -> None:
        self._job = job
        self._ended = ended

    def set(self) -> None:
        subscription = self._job.task.subscription
        if subscription and (subscription.is_done or subscription.fatal_error is not None):
            self._ended(self._job)

    def clear(self) -> None:
        """Nothing is kept."""

    def is_set(self) -> bool:
        return False


@dataclass(slots=True)
class _Counts:
    taken: int = 0
    succeeded: int = 0
    failed: int = 0
    spent: Decimal = field(default_factory=Decimal)


class Bulk:
    """A run over many requests, shared by its workers and its consumer.

    `read` makes of a given request what is to be sent and how to wait for it. `start` begins a
    worker in the background.
    """

    def __init__(
        self,
        engine: Engine,
        options: BulkOptions,
        read: Callable[[Mapping[str, Any]], tuple[MediaRequest, WaitOptions]],
        start: Callable[[Any, str], None],
        total: int | None = None,
    ) -> None:
        options.check()
        self._engine = engine
        self._options = options
        self._read = read
        self._start = start
        self._total = total
        self._keys = None if options.key_prefix is None else ContentKeys(options.key_prefix)
        self._pause = SharedPause()
        self._lock = threading.RLock()
        self._to_send: deque[_Job] = deque()
        self._to_finish: deque[_Job] = deque()
        self._short_of_money: deque[_Job] = deque()
        self._jobs: dict[int, _Job] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._outcomes: deque[Outcome] = deque()
        self._changed = engine.new_event()
        self._idle: list[Any] = []
        self._workers = 0
        self._sending = 0
        self._crash: BaseException | None = None
        self._counts = _Counts()
        self._equal: tuple[tuple[type, str] | None, int] = (None, 0)
        self._started = time.monotonic()
        self._folders: set[str] = set()
        self._is_said = False
        self._only_bought = False
        self.is_left = False
        self.is_exhausted = False
        self.stopped: OxenError | None = None
        """Why the run ended before its requests did."""
        self.not_sent = 0
        """Requests that were taken and not sent, because the run ended before."""

    # What the consumer does.

    @property
    def has_room(self) -> bool:
        """Whether another request may be taken."""
        with self._lock:
            if self.is_exhausted or self._short_of_money:
                return False
            if self.stopped is not None and not self._only_bought:
                return not self._is_said and not self._jobs  # is there a request that is not sent?
            return len(self._jobs) + len(self._outcomes) < self._options.max_in_flight

    @property
    def progress(self) -> BulkProgress:
        """How far the run is."""
        with self._lock:
            jobs = list(self._jobs.values())
            counts = self._counts
            elapsed = time.monotonic() - self._started
            done = counts.succeeded + counts.failed
            left = None
            if self._total is not None and done:
                left = max(elapsed / done * (self._total - done), 0.0)
            return BulkProgress(
                total=self._total,
                taken=counts.taken,
                running=sum(job.is_sent for job in jobs),
                succeeded=counts.succeeded,
                failed=counts.failed,
                spent=counts.spent,
                reserved=sum((_reserved(job) for job in jobs), Decimal(0)),
                elapsed=elapsed,
                seconds_left=left,
                paused=self._pause.left,
            )

    async def take(self, request: Mapping[str, Any]) -> None:
        """Make a job of a request, for the workers to send."""
        with self._lock:
            index = self._counts.taken
            self._counts.taken += 1
        if self.stopped is not None and not self._only_bought:
            self._say_stopped(index)
            return
        try:
            if not isinstance(request, Mapping):
                raise InvalidInputError(
                    f"A request is a mapping of the arguments of generate, not {request!r:.80}."
                )
            wanted, options = self._read(request)
            if self._keys is not None and wanted.key is None:
                params = await read_given(wanted)
                model = wanted.model if isinstance(wanted.model, str) else wanted.model.id
                key = self._keys.key(model, stable_form(params))
                wanted = replace(wanted, params=params, key=key)
        except OxenError as error:
            self._end(index, error)
            return
        task = Task(options=options, pause=self._pause, index=index + 1)
        job = _Job(index, wanted, task, wanted.key)
        with self._lock:
            self._jobs[index] = job
            self._to_send.append(job)
            self._wake_worker()

    def _say_stopped(self, index: int) -> None:
        assert self.stopped is not None  # noqa: S101 - a bug here, not a state
        self.not_sent += 1
        if not self._is_said:
            self._is_said = True
            self._outcomes.append((index, self.stopped))
            self._changed.set()

    def say_exhausted(self) -> None:
        """Note that there are no more requests."""
        self.is_exhausted = True
        self._changed.set()

    async def next_outcome(
        self, more: Callable[[], Awaitable[None]] | None = None
    ) -> Outcome | None:
        """Return the next outcome, or None at the end. `more` takes one more request, if it can.

        Raises what is no failure of one request: an error of a callback, or a bug.
        """
        reported = time.monotonic()
        while True:
            if self._crash is not None:
                raise self._crash
            if self._outcomes:
                outcome = self._outcomes.popleft()
                await self._report()
                return outcome
            if more is not None and self.has_room:
                await more()
                continue
            if self._is_over:
                return None
            self._changed.clear()
            if not (self._outcomes or self._crash or self._is_over):
                every = None if self._options.on_progress is None else _PROGRESS_EVERY
                await wait_event(self._changed, every)
            if time.monotonic() - reported >= _PROGRESS_EVERY:
                reported = time.monotonic()
                await self._report()

    async def leave(self, *, interrupted: bool = False) -> None:
        """Send no more, wait for what is being sent, and detach from what runs."""
        with self._lock:
            self.is_left = True
            self.is_exhausted = True
            jobs = list(self._jobs.values())
            for job in jobs:
                job.task.stop.set()
            for event in self._idle:
                event.set()
            self._idle.clear()
        while self._sending:
            self._changed.clear()
            if self._sending:
                await wait_event(self._changed, _PROGRESS_EVERY)
        running = [job for job in jobs if job.is_sent and job.index in self._jobs]
        to_cancel = [job for job in running if job.task.options.on_interrupt == "cancel"]
        if interrupted and to_cancel:
            error = KeyboardInterrupt()
            parts = [wait.detach_or_cancel(self._engine, job.task, error) for job in to_cancel]
            await gather(parts, [StopRequest()])
        await run(leave_all, self._engine, [job.task for job in jobs])
        detached = [job for job in running if not (interrupted and job in to_cancel)]
        if detached:
            log.warning(_how_to_go_on(detached, self._options.key_prefix))

    def crash(self, error: BaseException) -> None:
        """End the run with an error that is raised where its outcomes are read."""
        with self._lock:
            self._crash = self._crash or error
            self._changed.set()

    def abandon(self) -> None:
        """Do what `leave` does without waiting for anything."""
        with self._lock:
            self.is_left = self.is_exhausted = True
            for job in self._jobs.values():
                job.task.stop.set()
            for event in self._idle:
                event.set()
        leave_all(self._engine, [job.task for job in self._jobs.values()])

    @property
    def _is_over(self) -> bool:
        with self._lock:
            is_stopped = self._is_said and not self._only_bought
            is_fed = self.is_exhausted or is_stopped or self.is_left
            return is_fed and not self._jobs and not self._outcomes

    async def _report(self) -> None:
        if self._options.on_progress is not None:
            await invoke(self._options.on_progress, self.progress)

    # What the workers do.

    def _wake_worker(self) -> None:
        if self._idle:
            self._idle.pop().set()
        elif self._workers < self._options.max_connections and not self.is_left:
            self._workers += 1
            self._start(self._work(), "oxen-bulk")

    async def _work(self) -> None:
        event = self._engine.new_event()
        try:
            while (step := await self._next_step(event)) is not None:
                await step
        except BaseException as error:  # noqa: BLE001 - raised where the outcomes are read
            self.crash(error)
        finally:
            with self._lock:
                self._workers -= 1

    async def _next_step(self, event: Any) -> Any:
        """Wait for a job to send or to finish, and return what is to be done; None at the end."""
        while True:
            with self._lock:
                if self.is_left or self._crash is not None:
                    return None
                self._expire()
                if self._to_finish:
                    return self._finish(self._to_finish.popleft())
                if self._to_send:
                    self._sending += 1
                    return self._send(self._to_send.popleft())
                event.clear()
                self._idle.append(event)
                seconds = self._deadlines[0][0] - time.monotonic() if self._deadlines else None
            await wait_event(event, None if seconds is None else max(seconds, 0.01))
            with self._lock:
                if event in self._idle:
                    self._idle.remove(event)

    def _expire(self) -> None:
        """Have jobs finished whose time is up."""
        now = time.monotonic()
        while self._deadlines and self._deadlines[0][0] <= now:
            job = self._jobs.get(heapq.heappop(self._deadlines)[1])
            if job is not None and job.is_sent:
                self._ended(job)

    def _ended(self, job: _Job) -> None:
        with self._lock:
            if not job.is_queued and job.index in self._jobs:
                job.is_queued = True
                self._to_finish.append(job)
                self._wake_worker()

    async def _send(self, job: _Job) -> None:
        try:
            # To its end, whatever becomes of the consumer.
            await shield(self._submit(job), job.task.stop)
        finally:
            with self._lock:
                self._sending -= 1
                if not self._sending:
                    self._changed.set()

    async def _submit(self, job: _Job) -> None:
        task = job.task
        task.started = time.monotonic()
        try:
            if self._only_bought and not await self._is_bought(job.request):
                with self._lock:
                    self._drop([job])
                    self._changed.set()
                return
            await self._check_folder(task.options.save_to)
            await submit_in_time(self._engine, job.request, task)
        except BudgetExceededError as error:
            self._lacks_money(job, error)
            return
        except OxenError as error:
            self._conclude(job, error)
            return
        with self._lock:
            job.is_sent = True
            self._retry_one_short()
            if self.is_left:
                return
            subscription = wait.subscribe(self._engine, task, _JobEvent(job, self._ended))
            if task.deadline is not None:
                heapq.heappush(self._deadlines, (task.deadline, job.index))
            if subscription is None or subscription.is_done:
                self._ended(job)

    async def _check_folder(self, save_to: Any) -> None:
        """Check once where results go, not for every request. Raises `InvalidInputError`."""
        if save_to is not None and str(save_to) not in self._folders:
            await run_on_network(check_folder, save_to)
            self._folders.add(str(save_to))

    async def _finish(self, job: _Job) -> None:
        outcome: MediaResult | OxenError
        try:
            await wait.wait(self._engine, job.task)
            outcome = await finish(self._engine, job.task)
        except OxenError as error:
            outcome = error
        if isinstance(outcome, OxenError) and await self._try_again(job, outcome):
            return
        await _leave(self._engine, job.task)
        self._conclude(job, outcome)

    async def _try_again(self, job: _Job, error: OxenError) -> bool:
        """Begin another attempt if it was bought before, or may be bought now."""
        if not may_pass_another_time(error):
            return False
        key = derived_key(job.key, job.attempt + 1)
        request = replace(job.request, key=key)
        if not await self._is_bought(request) and job.attempt >= self._options.attempts:
            return False
        await _leave(self._engine, job.task)
        with self._lock:
            self._count_cost(error)
            job.attempt += 1
            job.request = request
            job.task = Task(options=job.task.options, pause=self._pause, index=job.task.index)
            job.is_sent = job.is_queued = False
            self._to_send.append(job)
            self._wake_worker()
        return True

    async def _is_bought(self, request: MediaRequest) -> bool:
        scope = self._engine.scope()
        return await find_known(self._engine, request, scope) is not None

    def _lacks_money(self, job: _Job, error: BudgetExceededError) -> None:
        """Let a job wait for reservations to be settled; end the run where there are none."""
        with self._lock:
            if error.left is None or job.request.budget is not self._options.budget:
                self._conclude(job, error)
                return
            self._short_of_money.append(job)
            if len(self._short_of_money) < len(self._jobs):
                return
            refused = min(self._short_of_money, key=lambda each: each.index)
            self._short_of_money.remove(refused)
            self._drop(self._short_of_money)
            self._short_of_money.clear()
            self.stopped, self._is_said = error, True
            # What was bought before under the keys of this run costs nothing.
            self._only_bought = self._keys is not None and self._total is not None
            if not self._only_bought:
                self._drop(self._to_send)
                self._to_send.clear()
            self._end(refused.index, error)

    def _conclude(self, job: _Job, outcome: MediaResult | OxenError) -> None:
        with self._lock:
            self._retry_one_short()
            self._end(job.index, outcome)

    def _retry_one_short(self) -> None:
        if self._short_of_money:
            self._to_send.appendleft(self._short_of_money.popleft())
            self._wake_worker()

    def _end(self, index: int, outcome: MediaResult | OxenError) -> None:
        with self._lock:
            self._jobs.pop(index, None)
            if isinstance(outcome, OxenError):
                self._counts.failed += 1
            else:
                self._counts.succeeded += 1
            self._count_cost(outcome)
            self._outcomes.append((index, outcome))
            self._count_equal(outcome)
            self._changed.set()

    def _count_cost(self, outcome: MediaResult | OxenError) -> None:
        result = outcome.result if isinstance(outcome, MediaError) else outcome
        if isinstance(result, MediaResult):
            self._counts.spent += known_cost(result.items)

    def _count_equal(self, outcome: MediaResult | OxenError) -> None:
        """End the run at so many equal failures in a row; a full disk is none, since it is paid."""
        if not isinstance(outcome, OxenError):
            self._equal = (None, 0)
            return
        if isinstance(outcome, DownloadError) or self.stopped is not None:
            return
        kind = signature(outcome)
        count = self._equal[1] + 1 if self._equal[0] == kind else 1
        self._equal = (kind, count)
        if self._options.stop_after is None or count < self._options.stop_after:
            return
        dropped = [*self._to_send, *self._short_of_money]
        self._to_send.clear()
        self._short_of_money.clear()
        self.stopped = OxenError(
            f"Stopped after {count} equal failures in a row: {outcome.message}",
            hint="The remaining requests were not sent. Mend the cause, then run it again.",
        )
        self.stopped.__cause__ = outcome
        self._drop(dropped)
        if dropped:
            self.not_sent -= 1
            self._say_stopped(min(job.index for job in dropped))

    def _drop(self, jobs: Iterable[_Job]) -> None:
        for job in jobs:
            self._jobs.pop(job.index, None)
            self.not_sent += 1


async def _leave(engine: Engine, task: Task) -> None:
    if task.wait_id is None:
        leave_all(engine, [task])  # writes nothing
    else:
        await run(leave_all, engine, [task])


def _reserved(job: _Job) -> Decimal:
    quote = job.task.quote
    return (quote.high or Decimal(0)) if quote is not None and job.is_sent else Decimal(0)


def _how_to_go_on(jobs: list[_Job], key_prefix: str | None) -> str:
    ids = [each for job in jobs for each in job.task.known_entry.generation_ids]
    shown = ", ".join(ids[:_MOST_IDS_SHOWN]) + (", …" if len(ids) > _MOST_IDS_SHOWN else "")
    again = "client.media.reconcile(save_to=…) gets their results."
    if key_prefix is not None:
        again = f"The same requests with key_prefix={key_prefix!r} go on with them."
    return f"{len(ids)} generations go on at Oxen: {shown}. {again}"
