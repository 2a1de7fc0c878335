"""Paid media from the first check to the file on the disk, written once for sync and async.

Every function here, and in the modules below, is an `async def` over the operations of `effects`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TypeVar

from oxen_inference.effects import Work, gather, run, with_deadline
from oxen_inference.errors import DownloadError, GenerationFailed, LedgerError, OxenError
from oxen_inference.ledger.entries import Entry
from oxen_inference.media import wait
from oxen_inference.media.engine import Engine, Task, WaitOptions
from oxen_inference.media.fetch import fetch_items
from oxen_inference.media.prepare import MediaRequest
from oxen_inference.media.results.files import folder_to_save_in
from oxen_inference.media.submit import submit, when_decided
from oxen_inference.result import MediaResult

log = logging.getLogger("oxen_inference.media")

T = TypeVar("T")


async def generate(engine: Engine, request: MediaRequest, options: WaitOptions) -> MediaResult:
    """Submit a request, wait for it, and return its result."""
    task = Task(options=options)

    async def work() -> MediaResult:
        await _submit(engine, request, task)
        await wait.wait(engine, task)
        return await finish(engine, task)

    return await _handling_interrupt(engine, work(), [task])


async def enqueue(engine: Engine, request: MediaRequest, options: WaitOptions) -> Entry:
    """Submit a request and return its entry."""
    task = Task(options=options)
    return await _handling_interrupt(engine, _submit(engine, request, task), [task])


async def collect(engine: Engine, entry: Entry, options: WaitOptions) -> MediaResult:
    """Wait for a job that is in the ledger, and return its result."""
    task = Task(options=options, entry=entry, count=entry.count)

    async def work() -> MediaResult:
        options.check()
        if options.save_to is not None:
            await run(folder_to_save_in, options.save_to)
        task.entry = await when_decided(engine, entry, task)
        await wait.wait(engine, task)
        return await finish(engine, task)

    return await _handling_interrupt(engine, work(), [task])


async def generate_many(
    engine: Engine, requests: list[tuple[MediaRequest, WaitOptions] | OxenError]
) -> list[MediaResult | OxenError]:
    """Submit all side by side, wait for all at once, download side by side."""
    tasks: list[Task | None] = [
        None if isinstance(each, OxenError) else Task(options=each[1]) for each in requests
    ]
    valid = [task for task in tasks if task is not None]
    stops = [task.stop for task in valid]

    async def work() -> list[MediaResult | OxenError]:
        wanted = [each[0] for each in requests if not isinstance(each, OxenError)]
        parts = [_submit(engine, *pair) for pair in zip(wanted, valid, strict=True)]
        failed = dict(_failures(valid, await gather(parts, stops)))
        for task in valid:
            if id(task) not in failed:
                wait.subscribe(engine, task)
        for task in valid:
            if id(task) not in failed:
                try:
                    await wait.wait(engine, task)
                except OxenError as error:
                    failed[id(task)] = error
        ended = [task for task in valid if id(task) not in failed]
        results = await gather([finish(engine, task) for task in ended], stops)
        made = {id(task): result for task, result in zip(ended, results, strict=True)}
        failed |= dict(_failures(ended, results))
        outcomes = (
            each if isinstance(each, OxenError) else failed.get(id(task)) or made[id(task)]
            for task, each in zip(tasks, requests, strict=True)
        )
        return [each for each in outcomes if isinstance(each, MediaResult | OxenError)]

    return await _handling_interrupt(engine, work(), valid)


async def _submit(engine: Engine, request: MediaRequest, task: Task) -> Entry:
    return await with_deadline(submit(engine, request, task), lambda: task.left)


async def finish(engine: Engine, task: Task) -> MediaResult:
    """Download and settle what has ended. Raises `GenerationFailed`, `DownloadError`."""
    failure: DownloadError | None = None
    if task.options.save_to is not None and task.known_entry.result().succeeded:
        await task.notify("fetching")
        task.entry, failure = await fetch_items(
            engine, task.known_entry, task.options.save_to, task.deadline
        )
    if task.known_entry.kind == "queue":
        await wait.settle(engine, task)  # the rest of the time is for the file first
    result = task.known_entry.result()
    if not result.succeeded:
        await _mark_delivered(engine, task)
        raise GenerationFailed(_failure_text(result), result=result)
    if failure is not None:
        failure.result = result
        raise failure
    await _mark_delivered(engine, task)
    await task.notify("done")
    return task.known_entry.result()


async def _handling_interrupt(engine: Engine, work: Work[T], tasks: list[Task]) -> T:
    """Do the work; if the caller is interrupted, report or cancel what is running."""
    try:
        result = await work
    except GeneratorExit:  # nothing can be awaited any more
        for task in tasks:
            _leave(engine, task)
        raise
    except Exception:
        await run(_leave_all, engine, tasks)
        raise
    except BaseException as error:
        for task in tasks:
            await wait.detach_or_cancel(engine, task, error)
        await run(_leave_all, engine, tasks)
        raise
    await run(_leave_all, engine, tasks)
    return result


def _leave_all(engine: Engine, tasks: list[Task]) -> None:
    for task in tasks:
        _leave(engine, task)


def _leave(engine: Engine, task: Task) -> None:
    """Say that nobody waits for the task's job any more."""
    if task.subscription is not None:
        engine.poller.unsubscribe(task.subscription)
    if task.wait_id is not None:
        try:
            engine.ledger.leave(task.wait_id)
        except LedgerError as error:
            log.warning("Not written to the ledger (%s): the call is over", error)


async def _mark_delivered(engine: Engine, task: Task) -> None:
    try:
        await run(engine.ledger.delivered, task.known_entry)
    except LedgerError as error:
        log.error("Not written to the ledger (%s): the result was delivered", error)  # noqa: TRY400 - the cause is in the text


def _failure_text(result: MediaResult) -> str:
    reasons = dict.fromkeys(
        item.error or f"{item.generation_id} was {item.status}" for item in result.items
    )
    ids = ", ".join(result.generation_ids)
    shown = f" ({ids})" if ids else ""
    return f"{result.model} made nothing{shown}: {'; '.join(reasons) or 'no reason given'}"


def _failures(tasks: list[Task], outcomes: Sequence[object]) -> Iterator[tuple[int, OxenError]]:
    for task, outcome in zip(tasks, outcomes, strict=True):
        if isinstance(outcome, OxenError):
            yield id(task), outcome
        elif isinstance(outcome, Exception):
            raise outcome  # a bug is not one request's failure
