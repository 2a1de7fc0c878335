"""Paid media from the first check to the file on the disk, written once for sync and async.

Every function here, and in the modules below, is an `async def` over the operations of `effects`.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable
from functools import partial
from typing import TypeVar

from oxen_inference.effects import Work, run, run_on_network, shield, with_deadline
from oxen_inference.errors import DownloadError, GenerationFailed, LedgerError, end_sentence
from oxen_inference.ledger.accounts import UNNAMED
from oxen_inference.ledger.entries import Entry
from oxen_inference.ledger.names import label_of_budget
from oxen_inference.ledger.store import default_ledger
from oxen_inference.media import wait
from oxen_inference.media.engine import Engine, Task, WaitOptions
from oxen_inference.media.fetch import check_folder, fetch_items
from oxen_inference.media.file_names import stem_of
from oxen_inference.media.input_errors import read_complaint
from oxen_inference.media.prepare import MediaRequest, hub_of
from oxen_inference.media.quotes import is_above_quote, watch_bill
from oxen_inference.media.submit import submit, when_decided
from oxen_inference.money import usd
from oxen_inference.result import MediaItem, MediaResult
from oxen_inference.settings import HUB_URL

log = logging.getLogger("oxen_inference.media")

T = TypeVar("T")


async def generate(engine: Engine, request: MediaRequest, options: WaitOptions) -> MediaResult:
    """Submit a request, wait for it, and return its result."""
    task = Task(options=options)

    async def work() -> MediaResult:
        await submit_in_time(engine, request, task)
        await wait.wait(engine, task)
        return await finish(engine, task)

    return await _handling_interrupt(engine, work(), task)


async def enqueue(engine: Engine, request: MediaRequest, options: WaitOptions) -> Entry:
    """Submit a request and return its entry."""
    task = Task(options=options)
    return await _handling_interrupt(engine, submit_in_time(engine, request, task), task)


async def collect(engine: Engine, entry: Entry, options: WaitOptions) -> MediaResult:
    """Wait for a job that is in the ledger, and return its result."""
    task = Task(options=options, entry=entry, count=entry.count)

    async def work() -> MediaResult:
        options.check()
        if options.save_to is not None:
            await run_on_network(check_folder, options.save_to)
        task.entry = await when_decided(engine, entry, task)
        await wait.wait(engine, task)
        return await finish(engine, task)

    return await _handling_interrupt(engine, work(), task)


async def submit_in_time(engine: Engine, request: MediaRequest, task: Task) -> Entry:
    """Submit a request; whatever is free in it ends by the caller's timeout."""
    return await with_deadline(submit(engine, request, task), lambda: task.left)


async def finish(engine: Engine, task: Task) -> MediaResult:
    """Download and settle what has ended. Raises `GenerationFailed`, `DownloadError`."""
    failure: DownloadError | None = None
    if task.options.save_to is not None and task.known_entry.result().succeeded:
        await task.notify("fetching")
        task.entry, failure = await fetch_items(
            engine,
            task.known_entry,
            task.options.save_to,
            task.deadline,
            partial(_stem, task.options.file_name, task.index),
        )
    if task.known_entry.kind == "queue" and task.known_entry.cost is None:
        task.entry = await engine.write(task.known_entry)  # it may take a while
        await wait.settle(engine, task)  # the rest of the time is for the file first
        if task.known_entry.cost is None:
            engine.log_end_once(task.known_entry)
    result = task.known_entry.result()
    is_done = result.succeeded and failure is None
    if is_above_quote(task.known_entry) or (is_done and task.options.on_progress is not None):
        task.entry = await engine.write(task.known_entry)  # the catalog and callbacks take a while
    await watch_bill(engine, task.known_entry)
    if is_done:
        await task.notify("done")
    if failure is None:
        await _deliver(engine, task)
    else:
        task.entry = await engine.write(task.known_entry)
    result = task.known_entry.result()
    if not result.succeeded:
        raise _failure(engine, task.known_entry)
    if failure is not None:
        failure.result = result
        raise failure
    return result


async def _deliver(engine: Engine, task: Task) -> None:
    """Write that the caller gets the result: the last step, and not so if it is interrupted."""
    try:
        task.entry = await engine.write(task.known_entry, is_delivered=True)
        await leave(engine, task)
    except GeneratorExit:  # nothing can be awaited any more
        raise
    except BaseException:
        await shield(_take_back(engine, task.known_entry))
        raise


async def _take_back(engine: Engine, entry: Entry) -> None:
    await engine.write(entry)  # after the write that was interrupted and may still be under way
    await run(take_back, engine, [entry])


def take_back(engine: Engine, entries: Iterable[Entry]) -> None:
    """Write that results did not reach their caller: the next call of the conversation gets them."""
    for entry in entries:
        try:
            engine.ledger.mark_undelivered(entry)
        except LedgerError as error:  # noqa: PERF203 - one is no reason to leave out the others
            log.warning("Not written to the ledger (%s): a result did not reach its caller", error)


async def _handling_interrupt(engine: Engine, work: Work[T], task: Task) -> T:
    """Do the work; if the caller is interrupted, report or cancel what is running."""
    try:
        result = await work
    except GeneratorExit:  # nothing can be awaited any more
        leave_all(engine, [task])
        raise
    except Exception:
        await leave(engine, task)
        raise
    except BaseException as error:
        # To its end: a second interrupt, or one at every await as in anyio, must not break it off.
        await shield(_end_interrupted(engine, task, error))
        raise
    await leave(engine, task)
    return result


async def _end_interrupted(engine: Engine, task: Task, error: BaseException) -> None:
    """Report or cancel the running job, and say that nobody waits for it, however that ends."""
    try:
        await wait.detach_or_cancel(engine, task, error)
    except GeneratorExit:
        leave_all(engine, [task])
        raise
    except BaseException:
        await leave(engine, task)
        raise
    await leave(engine, task)


async def leave(engine: Engine, task: Task) -> None:
    """Do what `leave_all` does for one task, in a thread where that writes to the ledger."""
    if task.wait_id is None:
        leave_all(engine, [task])
    else:
        await shield(_leave_in_thread(engine, task))


async def _leave_in_thread(engine: Engine, task: Task) -> None:
    await run(leave_all, engine, [task])


def leave_all(engine: Engine, tasks: list[Task]) -> None:
    """Say that nobody waits for these tasks' jobs any more."""
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
        task.wait_id = None


def _failure(engine: Engine, entry: Entry) -> GenerationFailed:
    result = entry.result()
    text = _failure_text(result)
    complaint = read_complaint(text, entry.request)
    hints = [complaint.hint if complaint else None, _money_hint(engine, entry)]
    if complaint and complaint.addition:
        text = f"{end_sentence(text)}{complaint.addition}"
    return GenerationFailed(text, result=result, hint=" ".join(filter(None, hints)) or None)


def _money_hint(engine: Engine, entry: Entry) -> str | None:
    """Say what a failed generation still holds of its budget, and how to free it."""
    if not entry.reserved:
        return None
    budget = entry.budget or ""
    of_budget = "its budget" if budget.startswith(UNNAMED) else label_of_budget(budget)
    return (
        f"It holds {usd(entry.reserved)} of {of_budget} until Oxen states its cost. "
        f"`{_forget_command(engine, entry)}` frees the money if you know that it was not billed; "
        "Budget(release_failed_after=...) does so after a time."
    )


def _forget_command(engine: Engine, entry: Entry) -> str:
    """Return what frees a failed generation's money, as a shell's command where that can be."""
    ledger, hub = engine.ledger, engine.hub()
    if not ledger.durable or (ledger.path is None and not ledger.is_same(default_ledger())):
        return f"client.media.forget({entry.entry_id!r})"
    named = (
        ""
        if ledger.is_same(default_ledger())
        else f"OXEN_LEDGER_URL={shlex.quote(str(ledger.path))} "
    )
    at = "" if hub == hub_of(HUB_URL) else f" --base-url {shlex.quote(f'{hub}/api/ai')}"
    return f"{named}oxen-inference{at} forget {entry.entry_id}"


def _stem(template: str | None, index: int, entry: Entry, item: MediaItem, position: int) -> str:
    return stem_of(template, entry, item, position, index)


def _failure_text(result: MediaResult) -> str:
    reasons = dict.fromkeys(
        item.error or f"{item.generation_id} was {item.status}" for item in result.items
    )
    ids = ", ".join(result.generation_ids)
    shown = f" ({ids})" if ids else ""
    return f"{result.model} made nothing{shown}: {'; '.join(reasons) or 'no reason given'}"
