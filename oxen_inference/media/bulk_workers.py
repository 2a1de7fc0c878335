"""The workers of a run: a few threads or tasks that send its jobs and finish them.

Between the two a job holds neither a thread nor a connection, since the poller waits for all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from oxen_inference.effects import run_on_network, shield, sleep, wait_event
from oxen_inference.errors import BudgetExceededError, LedgerError, OxenError
from oxen_inference.media import wait
from oxen_inference.media.attempts import derived_key, may_pass_another_time
from oxen_inference.media.bulk_run import LEDGER_PAUSE, BulkOptions, BulkRun, Job
from oxen_inference.media.engine import Engine
from oxen_inference.media.fetch import check_folder
from oxen_inference.media.generate import finish, leave, submit_in_time
from oxen_inference.media.pause import RunStopped
from oxen_inference.media.prepare import MediaRequest, find_known
from oxen_inference.result import MediaResult

log = logging.getLogger("oxen_inference.media")


class _JobEvent:
    """What a job's subscription sets: the job is finished by a worker once it has ended."""

    def __init__(self, job: Job, ended: Callable[[Job], None]) -> None:
        self._job = job
        self._ended = ended

    def set(self) -> None:
        subscription = self._job.task.subscription
        if subscription is not None and subscription.has_ended:
            self._ended(self._job)

    def clear(self) -> None:
        """Nothing is kept."""

    def is_set(self) -> bool:
        return False


class Workers:
    """As many workers as there is work for, and not more than connections.

    `start` begins one in the background.
    """

    def __init__(
        self,
        engine: Engine,
        options: BulkOptions,
        total: int | None,
        start: Callable[[Any, str], None],
    ) -> None:
        self._engine = engine
        self._start = start
        self._most = options.max_connections
        self.run = BulkRun(options, total, engine.new_event(), self._wake)
        self._idle: list[Any] = []
        self._number = 0
        self._sending = 0
        self._folders: set[str] = set()

    @property
    def are_sending(self) -> bool:
        """Whether a request is under way."""
        return self._sending > 0 and not self.run.is_inherited

    def stop(self) -> None:
        """Let those that wait for work see that the run was left."""
        if self.run.is_inherited:
            return
        with self.run.lock:
            for event in self._idle:
                event.set()
            self._idle.clear()

    def _wake(self) -> None:
        if self._idle:
            self._idle.pop().set()
        elif self._number < self._most and not self.run.is_left:
            self._number += 1
            self._start(self._work(), "oxen-bulk")

    async def _work(self) -> None:
        event = self._engine.new_event()
        try:
            while (step := await self._next_step(event)) is not None:
                await step
        except BaseException as error:  # noqa: BLE001 - raised where the outcomes are read
            self.run.crash(error)
        finally:
            with self.run.lock:
                self._number -= 1

    async def _next_step(self, event: Any) -> Any:
        """Wait for a job to send or to finish, and return what is to be done; None at the end."""
        while True:
            with self.run.lock:
                if self.run.is_left or self.run.crashed is not None:
                    return None
                if (job := self.run.next_to_finish()) is not None:
                    return self._finish(job)
                if (job := self.run.next_to_send()) is not None:
                    self._sending += 1
                    return self._send(job)
                event.clear()
                self._idle.append(event)
                seconds = self.run.seconds_to_deadline
            await wait_event(event, None if seconds is None else max(seconds, 0.01))
            with self.run.lock:
                if event in self._idle:
                    self._idle.remove(event)

    async def _send(self, job: Job) -> None:
        try:
            # To its end, whatever becomes of the consumer.
            await shield(self._submit(job), job.task.stop)
        finally:
            with self.run.lock:
                self._sending -= 1
                if not self._sending:
                    self.run.changed.set()

    async def _submit(self, job: Job) -> None:
        task = job.task
        if not job.is_held:
            task.started = time.monotonic()
        try:
            if self.run.takes_only_bought and not await self._is_bought(job.request):
                self.run.skip(job)
                return
            await self._check_folder(task.options.save_to)
            await submit_in_time(self._engine, job.request, task)
        except BudgetExceededError as error:
            self.run.lacks_money(job, error)
            return
        except RunStopped:
            self.run.skip(job)
            return
        except LedgerError as error:
            if not await self._waited_for_ledger(job, error):
                self.run.conclude(job, error)
            return
        except OxenError as error:
            self.run.conclude(job, error)
            return
        self.run.sent(job)
        # Without the run's lock: the poller takes it, while it holds its own, to say what ended.
        subscription = wait.subscribe(self._engine, task, _JobEvent(job, self.run.ended))
        if self.run.is_left:
            await leave(self._engine, task)
            return
        self.run.waits(job)
        if subscription is None or subscription.has_ended:
            self.run.ended(job)

    async def _waited_for_ledger(self, job: Job, error: LedgerError) -> bool:
        """Wait a moment for a server that may come back, and have the job sent then.

        Nothing was sent before the ledger knew of it. Returns whether it was worth waiting.
        """
        if not error.is_retryable or job.task.is_sender or not self.run.may_wait_for_ledger(job):
            return False
        if not job.is_held:
            log.warning("A run waits for its ledger: %s", error.message)
        job.is_held = True
        await sleep(LEDGER_PAUSE, job.task.stop)
        self.run.send_later(job)
        return True

    async def _check_folder(self, save_to: Any) -> None:
        """Check once where results go, not for every request. Raises `InvalidInputError`."""
        if save_to is not None and str(save_to) not in self._folders:
            await run_on_network(check_folder, save_to)
            self._folders.add(str(save_to))

    async def _finish(self, job: Job) -> None:
        outcome: MediaResult | OxenError
        try:
            await wait.wait(self._engine, job.task)
            outcome = await finish(self._engine, job.task)
            if job.request.conversation is not None:
                self.run.untaken[job.index] = job.task.known_entry
        except OxenError as error:
            outcome = error
        if isinstance(outcome, OxenError) and await self._try_again(job, outcome):
            return
        await leave(self._engine, job.task)
        self.run.conclude(job, outcome)

    async def _try_again(self, job: Job, error: OxenError) -> bool:
        """Begin another attempt if it was bought before, or may be bought now."""
        if not may_pass_another_time(error):
            return False
        key = derived_key(job.key, job.attempt + 1)
        request = replace(job.request, key=key)
        is_bought = await self._is_bought(request)
        if not is_bought and job.attempt >= self.run.options.attempts:
            return False
        await leave(self._engine, job.task)
        with self.run.lock:
            if not is_bought and self.run.stopped is not None:
                return False  # a run that has stopped buys nothing more
            self.run.count_cost(error)
            job.try_again(request, self.run.pause, error)
            self.run.send_later(job)
        return True

    async def _is_bought(self, request: MediaRequest) -> bool:
        return await find_known(self._engine, request, self._engine.scope()) is not None
