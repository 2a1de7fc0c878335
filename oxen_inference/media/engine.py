"""Paid media from the first check to the file on the disk, written once for sync and async.

Every function here, and in `sending`, `waiting` and `fetching` below it, is a computation of
`steps`; `runner` runs them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TypeVar

from oxen_inference.errors import DownloadError, GenerationFailed, LedgerError, OxenError
from oxen_inference.ledger import conversations
from oxen_inference.ledger.store import Entry
from oxen_inference.media import sending, waiting
from oxen_inference.media.fetching import fetch_items
from oxen_inference.media.files import folder_to_save_in
from oxen_inference.media.request import Asked
from oxen_inference.media.steps import Steps, in_time, run, together
from oxen_inference.media.task import Engine, Task, Wishes
from oxen_inference.result import MediaResult

log = logging.getLogger("oxen_inference.media")

T = TypeVar("T")


def generate(engine: Engine, asked: Asked, wishes: Wishes) -> Steps[MediaResult]:
    task = Task(wishes=wishes)

    def work() -> Steps[MediaResult]:
        yield from _enqueue(engine, asked, task)
        return (yield from conclude(engine, task))

    return (yield from _minding(engine, work(), [task]))


def submit(engine: Engine, asked: Asked, wishes: Wishes) -> Steps[Entry]:
    task = Task(wishes=wishes)
    return (yield from _minding(engine, _enqueue(engine, asked, task), [task]))


def collect(engine: Engine, entry: Entry, wishes: Wishes) -> Steps[MediaResult]:
    """Wait for a job that is in the ledger, and bring it home."""
    task = Task(wishes=wishes, entry=entry, count=entry.count)

    def work() -> Steps[MediaResult]:
        wishes.check()
        if wishes.save_to is not None:
            yield from run(folder_to_save_in, wishes.save_to)
        task.entry = yield from sending.decided(engine, entry, task)
        return (yield from conclude(engine, task))

    return (yield from _minding(engine, work(), [task]))


def generate_many(
    engine: Engine, requests: list[tuple[Asked, Wishes] | OxenError]
) -> Steps[list[MediaResult | OxenError]]:
    """Enqueue all side by side, wait for all at once, fetch side by side."""
    tasks: list[Task | None] = [
        None if isinstance(one, OxenError) else Task(wishes=one[1]) for one in requests
    ]
    real = [task for task in tasks if task is not None]
    hastes = [task.haste for task in real]

    def work() -> Steps[list[MediaResult | OxenError]]:
        asked = [one[0] for one in requests if not isinstance(one, OxenError)]
        parts = [_enqueue(engine, *both) for both in zip(asked, real, strict=True)]
        enqueued = yield from together(parts, hastes)
        failed = dict(_failed(real, enqueued))
        for task in real:
            if id(task) not in failed:
                waiting.subscribe(engine, task)
        for task in real:
            if id(task) not in failed:
                try:
                    yield from waiting.wait(engine, task)
                except OxenError as error:
                    failed[id(task)] = error
        ended = [task for task in real if id(task) not in failed]
        results = yield from together([finish(engine, task) for task in ended], hastes)
        made = {id(task): result for task, result in zip(ended, results, strict=True)}
        failed |= dict(_failed(ended, results))
        outcomes = (
            one if isinstance(one, OxenError) else failed.get(id(task)) or made[id(task)]
            for task, one in zip(tasks, requests, strict=True)
        )
        return [one for one in outcomes if isinstance(one, MediaResult | OxenError)]

    return (yield from _minding(engine, work(), real))


def _enqueue(engine: Engine, asked: Asked, task: Task) -> Steps[Entry]:
    return in_time(sending.enqueue(engine, asked, task), lambda: task.left)


def conclude(engine: Engine, task: Task) -> Steps[MediaResult]:
    yield from waiting.wait(engine, task)
    return (yield from finish(engine, task))


def finish(engine: Engine, task: Task) -> Steps[MediaResult]:
    """Fetch and settle what has ended. Raises `GenerationFailed`, `DownloadError`."""
    failure: DownloadError | None = None
    if task.wishes.save_to is not None and task.known.result().succeeded:
        yield from task.tell("fetching")
        task.entry, failure = yield from fetch_items(
            engine, task.known, task.wishes.save_to, task.deadline
        )
    if task.known.kind == "queue":
        yield from waiting.settle(engine, task)  # what is left of the time is for the file first
    result = task.known.result()
    if not result.succeeded:
        yield from _collected(engine, task)
        raise GenerationFailed(_failure(result), result=result)
    if failure is not None:
        failure.result = result
        raise failure
    yield from _collected(engine, task)
    yield from task.tell("done")
    return task.known.result()


def _minding(engine: Engine, work: Steps[T], tasks: list[Task]) -> Steps[T]:
    """Do the work; if the caller is interrupted, see to what goes on without him."""
    try:
        return (yield from work)
    except (GeneratorExit, Exception):
        raise
    except BaseException as error:
        for task in tasks:
            yield from waiting.see_off(engine, task, error)
        raise
    finally:
        for task in tasks:
            if task.subscription is not None:
                engine.watch.unsubscribe(task.subscription)
            if task.attended is not None:
                conversations.leave(task.attended)


def _collected(engine: Engine, task: Task) -> Steps[None]:
    try:
        yield from run(engine.ledger.collected, task.known)
    except LedgerError as error:
        log.error("Not written down (%s): the result was handed over", error)  # noqa: TRY400 - as above


def _failure(result: MediaResult) -> str:
    said = dict.fromkeys(
        item.error or f"{item.generation_id} was {item.status}" for item in result.items
    )
    ids = ", ".join(result.generation_ids)
    shown = f" ({ids})" if ids else ""
    return f"{result.model} made nothing{shown}: {'; '.join(said) or 'no reason given'}"


def _failed(tasks: list[Task], outcomes: Sequence[object]) -> Iterator[tuple[int, OxenError]]:
    for task, outcome in zip(tasks, outcomes, strict=True):
        if isinstance(outcome, OxenError):
            yield id(task), outcome
        elif isinstance(outcome, Exception):
            raise outcome  # a bug is not one request's failure
