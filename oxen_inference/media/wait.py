"""Waiting for paid jobs, asking what they cost, and leaving them when the caller has to go."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from oxen_inference import queue
from oxen_inference.effects import shield, sleep, wait_event
from oxen_inference.errors import (
    APIStatusError,
    BadRequestError,
    ConfigurationError,
    GenerationTimeout,
    NotFoundError,
    OxenError,
    end_sentence,
)
from oxen_inference.ledger.entries import Entry
from oxen_inference.media.engine import Engine, Task
from oxen_inference.media.polled_jobs import Subscription

log = logging.getLogger("oxen_inference.media")

_PROGRESS_EVERY, _LONGEST_WAIT = 1.0, 60.0  # seconds
_LONGEST_SETTLING = 10.0  # seconds
_LAST_LOOK = 0.05  # of the time to wait that is left at the last look
_MOST_LOOKED_AT = 4


def subscribe(engine: Engine, task: Task, event: Any = None) -> Subscription | None:
    """Have the task's jobs polled; None where there is nothing to wait for.

    `event`, or one of the client's, is set at every change.
    """
    entry = task.known_entry
    pending = [i.generation_id for i in entry.items if i.generation_id and not i.is_terminal]
    if entry.kind != "queue" or not pending:
        return None
    task.subscription = engine.poller.subscribe(
        event or engine.new_event(),
        pending,
        media_type=entry.media_type,
        model=entry.model,
        namespace=entry.request.get("target_namespace"),
        age=entry.posted_ago or 0.0,
    )
    engine.ensure_polling()
    return task.subscription


async def wait(engine: Engine, task: Task) -> None:
    """Wait until the task's jobs have ended; `finish` writes what became of them.

    Raises `GenerationTimeout`; `AuthenticationError` or `PermissionDeniedError` once Oxen has
    refused to answer several times in a row; `NotFoundError` once it has denied for minutes that
    there is such a job; `ConfigurationError` where the client is closed.
    """
    subscription = task.subscription or subscribe(engine, task)
    if subscription is None:
        return
    await task.notify("waiting")
    has_looked = False
    while not subscription.is_done:
        left = task.left_to_wait
        if left <= 0:
            await _time_out(engine, task, subscription.warning)
            return
        if not has_looked and left <= task.longest_wait * _LAST_LOOK:
            has_looked = True
            await _look_once_more(engine, task, subscription)
            continue
        if subscription.fatal_error is not None:
            task.entry = await engine.write(engine.merged(task.known_entry, subscription.rows))
            await task.notify("detached")
            raise _fatal_error(task.known_entry, subscription.fatal_error)
        pause = _PROGRESS_EVERY if task.options.on_progress else _LONGEST_WAIT
        until_last_look = left if has_looked else left - task.longest_wait * _LAST_LOOK
        await wait_event(subscription.event, min(pause, max(until_last_look, 0.0)))
        subscription.event.clear()
        task.entry = engine.merged(task.known_entry, subscription.rows)
        warning = subscription.warning if subscription.warning != task.warning else None
        task.warning = subscription.warning
        await task.notify("trouble" if warning else "waiting", warning)
    task.entry = engine.merged(task.known_entry, subscription.rows)


async def _look_once_more(engine: Engine, task: Task, subscription: Subscription) -> None:
    """Ask right before the end of the time: a poller may be resting after a failure."""
    for generation_id in sorted(subscription.pending)[:_MOST_LOOKED_AT]:
        left = task.left_to_wait
        row = await engine.full_row(generation_id, left / 2)
        if row is not None:
            subscription.update(row)
    task.entry = engine.merged(task.known_entry, subscription.rows)


async def settle(engine: Engine, task: Task) -> None:
    """Ask what the jobs cost; a cost that is not there yet is asked for again, a few times.

    It is written by `finish`. Within the caller's timeout, and not for long: `reconcile` asks again.
    """
    entry = task.known_entry
    if all(item.cost is not None for item in entry.items):
        return
    # It is not documented whether a failed job is billed, so it is asked for once.
    pauses = engine.pace().settle if entry.result().succeeded else ()
    until = min(time.monotonic() + _LONGEST_SETTLING, task.deadline or math.inf)
    for pause in (0.0, *pauses):
        if until - time.monotonic() <= pause:
            return
        await sleep(pause)
        rows = {}
        for item in task.known_entry.items:
            if item.cost is None and item.generation_id:
                row = await engine.full_row(item.generation_id, until - time.monotonic())
                if row is not None and row.is_terminal:
                    rows[item.generation_id] = row
        if rows:
            task.entry = engine.merged(task.known_entry, rows)
        if all(item.cost is not None for item in task.known_entry.items):
            return


async def cancel(engine: Engine, entry: Entry) -> Entry:
    """Cancel what has not ended; return what really happened, since it may have finished."""
    for item in entry.items:
        if item.generation_id and not item.is_terminal:
            await _cancel_one(engine, entry, item.generation_id)
    for pause in (0.0, *engine.pace().settle):
        await sleep(pause)
        entry = await engine.refresh(entry)
        if entry.result().is_terminal:
            break
    return entry


async def _cancel_one(engine: Engine, entry: Entry, generation_id: str) -> None:
    namespace = entry.request.get("target_namespace")
    calls = (
        queue.cancel_call(engine.paths, generation_id),
        queue.older_cancel_call(engine.paths, generation_id, namespace=namespace),
    )
    for call in filter(None, calls):
        try:
            await engine.get(call)
        except NotFoundError as error:
            log.debug("Not canceled, since it is gone: %s", error)
            continue
        except BadRequestError as error:
            log.debug("Not canceled, since it is finished: %s", error)
        except OxenError as error:
            log.warning("Could not cancel %s: %s", generation_id, error)
        return


async def detach_or_cancel(engine: Engine, task: Task, error: BaseException) -> None:
    """On an interrupt, report or cancel the running job."""
    if task.entry is None:
        return
    try:
        entry = await shield(engine.reload(task.entry))
    except OxenError as failure:  # the interrupt is what the caller must learn of
        log.warning("The ledger cannot be read (%s); this is what is known without it.", failure)
        entry = task.entry
    if entry.state == "rejected" or entry.kind != "queue":
        return
    if task.entry.result().is_terminal:
        entry = task.entry  # the ledger is told when the files are there
    if entry.state != "accepted":
        message = (
            "Interrupted while it was being sent: it is not known yet whether Oxen accepted it. "
            f"client.media.reconcile() finds out. Its entry in the ledger is {entry.entry_id}."
        )
    elif entry.result().is_terminal:
        message = f"Interrupted after the generation ended: {', '.join(entry.generation_ids)}."
    elif task.options.on_interrupt == "cancel":
        entry = await shield(cancel(engine, entry))
        statuses = "; ".join(f"{item.generation_id} is {item.status}" for item in entry.items)
        message = f"Interrupted and canceled: {statuses}."
    else:
        message = f"Interrupted: {_still_running(entry)} {_how_to_resume(entry)}"
    task.entry = entry
    log.warning(message)
    if hasattr(error, "add_note"):  # pragma: no branch - Python 3.10 has none
        error.add_note(message)


async def _time_out(engine: Engine, task: Task, warning: str | None) -> None:
    if task.options.on_interrupt == "cancel":
        task.entry = await shield(cancel(engine, task.known_entry))
        if task.entry.result().is_terminal:
            return  # the items tell what happened
    entry = task.known_entry
    await task.notify("detached")
    last = f" Last warning: {warning}" if warning else ""
    raise GenerationTimeout(
        f"Not finished after {task.longest_wait:g} s: {_still_running(entry)}{last}",
        result=entry.result(),
        hint=_how_to_resume(entry),
    )


def _fatal_error(entry: Entry, cause: APIStatusError | ConfigurationError) -> OxenError:
    if isinstance(cause, ConfigurationError):
        return ConfigurationError(
            f"{end_sentence(cause.message)} Nothing is lost: {_still_running(entry)}",
            hint=" ".join(filter(None, (cause.hint, _how_to_resume(entry)))),
        )
    if isinstance(cause, NotFoundError):
        message = (
            f"Oxen accepted the request to {entry.model} and has known none of its jobs for minutes: "
            f"{', '.join(entry.generation_ids)} ({cause.message.rstrip('.')}). They may never end"
            f"{'.' if entry.budget is None else ', and their money stays reserved.'}"
        )
        hint = f"{_how_to_resume(entry)} To buy it again, use another key."
        lost = NotFoundError(message, response=cause.response, body=cause.body, hint=hint)
        lost.result = entry.result()
        return lost
    # Not by the ledger's key: under another API key that is another account's.
    ids = list(entry.generation_ids)
    hint = (
        "With an API key that may ask, "
        f"client.media.attach(generation_ids={ids}).wait() gets it back."
    )
    message = (
        f"Oxen no longer answers how far it is ({cause.message.rstrip('.')}). Nothing is lost: "
        f"{_still_running(entry)}"
    )
    error = type(cause)(message, response=cause.response, body=cause.body, hint=hint)
    error.result = entry.result()
    return error


def _still_running(entry: Entry) -> str:
    return f"the generation goes on at Oxen as {', '.join(entry.generation_ids)}."


def _how_to_resume(entry: Entry) -> str:
    ids = list(entry.generation_ids)
    by = f"resume({entry.key!r})" if entry.key else f"attach(generation_ids={ids})"
    return f"client.media.{by} gets it back."
