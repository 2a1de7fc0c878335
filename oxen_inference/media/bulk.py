"""Many requests with bounded memory and bounded connections: `generate_as_completed`.

Requests are taken one by one, as there is room for them, and become jobs for the workers. The
consumer of the run gets an outcome for each. Threads or tasks, all of it is the same `async def`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from oxen_inference.effects import StopRequest, gather, invoke, run, wait_event
from oxen_inference.errors import InvalidInputError, OxenError
from oxen_inference.media import wait
from oxen_inference.media.attempts import ContentKeys
from oxen_inference.media.bulk_run import BulkOptions, Job, Outcome
from oxen_inference.media.bulk_workers import Workers
from oxen_inference.media.engine import Engine, WaitOptions
from oxen_inference.media.generate import leave_all, take_back
from oxen_inference.media.inputs import stable_form
from oxen_inference.media.prepare import MediaRequest, read_given
from oxen_inference.progress_bar import ProgressBar

log = logging.getLogger("oxen_inference.media")

_PROGRESS_EVERY = 1.0  # seconds
_MOST_IDS_SHOWN = 3


class Bulk:
    """A run over many requests, as its consumer sees it.

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
        self._engine = engine
        self._options = options
        self._read = read
        self._workers = Workers(engine, options, total, start)
        self.run = self._workers.run
        self._bar = ProgressBar() if options.on_progress == "bar" else None
        self._on_progress = self._bar or options.on_progress
        self._keys = None if options.key_prefix is None else ContentKeys(options.key_prefix)
        self._keys_are_new: bool | None = None
        """Whether the ledger had none of this prefix when the run began; None until it is asked."""

    async def take(self, request: str | Mapping[str, Any]) -> None:
        """Make a job of a request, for the workers to send."""
        index = self.run.next_index()
        if self.run.has_ended_early:
            self.run.say_stopped(index)
            return
        try:
            given = {"prompt": request} if isinstance(request, str) else request
            if not isinstance(given, Mapping):
                raise InvalidInputError(
                    "A request is a prompt, or a mapping of the arguments of generate, not "
                    f"{given!r:.80}."
                )
            wanted, options = self._read(given)
            if self._keys is not None and wanted.key is None:
                params = await read_given(wanted)
                model = wanted.model if isinstance(wanted.model, str) else wanted.model.id
                key = self._keys.key(model, stable_form(params))
                is_new = await self._has_new_keys(self._keys)
                wanted = replace(wanted, params=params, key=key, key_is_new=is_new)
        except OxenError as error:
            self.run.end(index, error)
            return
        self.run.add(index, wanted, options)

    async def _has_new_keys(self, keys: ContentKeys) -> bool:
        """Ask the ledger once for all keys of a run that nobody began before."""
        if self._keys_are_new is None:
            ledger, scope = self._engine.ledger, self._engine.scope()
            self._keys_are_new = not await run(ledger.has_keys, scope, keys.beginning)
        return self._keys_are_new

    async def next_outcome(
        self, more: Callable[[], Awaitable[None]] | None = None
    ) -> Outcome | None:
        """Return the next outcome, or None at the end. `more` takes one more request, if it can.

        Raises what is no failure of one request: an error of a callback, or a bug.
        """
        state, reported = self.run, time.monotonic()
        while True:
            # Before the looks: what a worker changes after one of them must not be slept through.
            state.changed.clear()
            if state.crashed is not None:
                raise state.crashed
            if state.outcomes:
                outcome = state.outcomes.popleft()
                await self._report()
                return outcome
            if more is not None and state.has_room:
                await more()
                continue
            if state.is_over:
                return None
            every = None if self._on_progress is None else _PROGRESS_EVERY
            await wait_event(state.changed, every)
            if time.monotonic() - reported >= _PROGRESS_EVERY:
                reported = time.monotonic()
                await self._report()

    async def leave(self, *, interrupted: bool = False) -> None:
        """Send no more, wait for what is being sent, and detach from what runs."""
        self._end_bar()
        jobs = self.run.leave()
        self._workers.stop()
        while self._workers.are_sending:
            self.run.changed.clear()
            if self._workers.are_sending:
                await wait_event(self.run.changed, _PROGRESS_EVERY)
        running = [job for job in jobs if job.is_sent and job.index in self.run.jobs]
        to_cancel = [job for job in running if job.task.options.on_interrupt == "cancel"]
        if interrupted and to_cancel:
            error = KeyboardInterrupt()
            parts = [wait.detach_or_cancel(self._engine, job.task, error) for job in to_cancel]
            await gather(parts, [StopRequest()])
        await run(leave_all, self._engine, [job.task for job in jobs])
        detached = [job for job in running if not (interrupted and job in to_cancel)]
        if detached:
            log.warning(_how_to_go_on(detached, self._options.key_prefix))

    async def give_up(self, *, interrupted: bool) -> None:
        """Leave a run, some of whose results may not have reached its consumer."""
        await self.leave(interrupted=interrupted)
        if self.run.untaken:
            await run(take_back, self._engine, list(self.run.untaken.values()))

    def abandon(self) -> None:
        """Do what `give_up` does without waiting for anything."""
        self._end_bar()
        jobs = self.run.leave()
        self._workers.stop()
        leave_all(self._engine, [job.task for job in jobs])
        take_back(self._engine, self.run.untaken.values())

    async def _report(self) -> None:
        if callable(self._on_progress):
            await invoke(self._on_progress, self.run.progress)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _how_to_go_on(jobs: list[Job], key_prefix: str | None) -> str:
    ids = [each for job in jobs for each in job.task.known_entry.generation_ids]
    shown = ", ".join(ids[:_MOST_IDS_SHOWN]) + (", …" if len(ids) > _MOST_IDS_SHOWN else "")
    again = "client.media.reconcile(save_to=…) gets their results."
    if key_prefix is not None:
        again = f"The same requests with key_prefix={key_prefix!r} go on with them."
    if len(ids) == 1:
        return f"1 generation goes on at Oxen: {shown}. {again}"
    return f"{len(ids)} generations go on at Oxen: {shown}. {again}"
