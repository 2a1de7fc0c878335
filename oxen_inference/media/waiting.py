"""Waiting for paid jobs, asking what they cost, and leaving them when the caller has to go."""

from __future__ import annotations

import logging
import math
import time

from oxen_inference import queue
from oxen_inference.errors import (
    APIStatusError,
    BadRequestError,
    ConfigurationError,
    GenerationTimeout,
    NotFoundError,
    OxenError,
)
from oxen_inference.ledger.store import Entry
from oxen_inference.media.steps import Pause, Steps, shielded, sleep
from oxen_inference.media.subscription import Subscription
from oxen_inference.media.task import Engine, Task

log = logging.getLogger("oxen_inference.media")

_HEARTBEAT, _LONG_REST = 1.0, 60.0
_LONGEST_SETTLING = 10.0


def subscribe(engine: Engine, task: Task) -> Subscription | None:
    entry = task.known
    pending = [i.generation_id for i in entry.items if i.generation_id and not i.is_terminal]
    if entry.kind != "queue" or not pending:
        return None
    task.subscription = engine.watch.subscribe(
        engine.new_event(),
        pending,
        media_type=entry.media_type,
        model=entry.model,
        namespace=entry.request.get("target_namespace"),
    )
    engine.watching()
    return task.subscription


def wait(engine: Engine, task: Task) -> Steps[None]:
    """Wait until it has ended. Raises `GenerationTimeout`, `AuthenticationError` or
    `PermissionDeniedError` once Oxen has refused to say anything several times in a row, and
    `ConfigurationError` where the client has been closed.
    """
    subscription = task.subscription or subscribe(engine, task)
    if subscription is None:
        return
    yield from task.tell("waiting")
    while not subscription.is_done:
        left = task.left
        if left is not None and left <= 0:
            yield from _timed_out(engine, task, subscription.trouble)
            return
        if subscription.denial is not None:
            yield from engine.absorb(task, subscription.rows)
            yield from task.tell("detached")
            raise _turned_away(task.known, subscription.denial)
        rest = _HEARTBEAT if task.wishes.on_progress else _LONG_REST
        yield Pause(subscription.event, rest if left is None else min(rest, left))
        subscription.event.clear()
        yield from engine.absorb(task, subscription.rows, write=False)
        news = subscription.trouble if subscription.trouble != task.trouble else None
        task.trouble = subscription.trouble
        yield from task.tell("trouble" if news else "waiting", news)
    yield from engine.absorb(task, subscription.rows)


def settle(engine: Engine, task: Task) -> Steps[None]:
    """Ask what it cost; a cost that is not there yet is asked for again, a few times.

    Within the caller's time, and not for long: `reconcile` asks again.
    """
    entry = task.known
    if all(item.cost is not None for item in entry.items):
        return
    # Whether a job that made nothing is billed is not documented, so it is asked, once.
    again = engine.pace().settle if entry.result().succeeded else ()
    until = min(time.monotonic() + _LONGEST_SETTLING, task.deadline or math.inf)
    for pause in (0.0, *again):
        if until - time.monotonic() <= pause:
            return
        yield from sleep(pause)
        rows = {}
        for item in task.known.items:
            if item.cost is None and item.generation_id:
                left = until - time.monotonic()
                row = yield from engine.receipt(item.generation_id, left)
                if row is not None and row.is_terminal:
                    rows[item.generation_id] = row
        if rows:
            yield from engine.absorb(task, rows)
        if all(item.cost is not None for item in task.known.items):
            return


def cancel(engine: Engine, entry: Entry) -> Steps[Entry]:
    """Delete what has not ended, then ask what really happened: it may have finished."""
    for item in entry.items:
        if item.generation_id and not item.is_terminal:
            yield from _cancel_one(engine, entry, item.generation_id)
    for pause in (0.0, *engine.pace().settle):
        yield from sleep(pause)
        entry = yield from engine.refresh(entry)
        if entry.result().is_terminal:
            break
    return entry


def _cancel_one(engine: Engine, entry: Entry, generation_id: str) -> Steps[None]:
    namespace = entry.request.get("target_namespace")
    calls = (
        queue.cancel_call(engine.paths, generation_id),
        queue.older_cancel_call(engine.paths, generation_id, namespace=namespace),
    )
    for call in filter(None, calls):
        try:
            yield from engine.get(call)
        except NotFoundError as error:
            log.debug("Not cancelled, being gone: %s", error)
            continue
        except BadRequestError as error:
            log.debug("Not cancelled, being finished: %s", error)
        except OxenError as error:
            log.warning("Could not cancel %s: %s", generation_id, error)
        return


def see_off(engine: Engine, task: Task, error: BaseException) -> Steps[None]:
    """Say what goes on without the caller, or stop it if that is what he wants."""
    if task.entry is None:
        return
    entry = yield from shielded(engine.reload(task.entry))
    if entry.state == "rejected" or entry.kind != "queue":
        return
    if entry.state != "accepted":
        message = (
            "Interrupted while it was being sent: whether Oxen accepted it is not known yet. "
            f"client.media.reconcile() finds out. (Ledger entry {entry.entry_id}.)"
        )
    elif entry.result().is_terminal:
        message = f"Interrupted after the generation ended: {', '.join(entry.generation_ids)}."
    elif task.wishes.on_interrupt == "cancel":
        entry = yield from shielded(cancel(engine, entry))
        message = f"Interrupted and cancelled: {_fates(entry)}."
    else:
        message = f"Interrupted: {_going_on(entry)}"
    task.entry = entry
    log.warning(message)
    if hasattr(error, "add_note"):  # pragma: no branch - Python 3.10 has none
        error.add_note(message)


def _timed_out(engine: Engine, task: Task, trouble: str | None) -> Steps[None]:
    if task.wishes.on_interrupt == "cancel":
        task.entry = yield from shielded(cancel(engine, task.known))
        if task.entry.result().is_terminal:
            return  # what really happened is told by the items
    entry = task.known
    yield from task.tell("detached")
    because = f" Last trouble: {trouble}" if trouble else ""
    raise GenerationTimeout(
        f"Not finished after {task.wishes.timeout:g} s: {_going_on(entry)}{because}",
        result=entry.result(),
    )


def _turned_away(entry: Entry, denial: APIStatusError | ConfigurationError) -> OxenError:
    if isinstance(denial, ConfigurationError):
        return ConfigurationError(f"{denial} Nothing is lost: {_going_on(entry)}")
    ids = list(entry.generation_ids)
    # Not by the ledger's key: under another API key that is another account's.
    message = (
        f"Oxen does not say any more how far it is ({denial.message.rstrip('.')}). Nothing is lost: "
        f"the generation goes on at Oxen as {', '.join(ids)}; with an API key that may ask, "
        f"client.media.attach(generation_ids={ids}).wait() gets it back."
    )
    error = type(denial)(message, response=denial.response, body=denial.body)
    error.result = entry.result()
    return error


def _going_on(entry: Entry) -> str:
    by = f"client.media.resume({entry.key!r})" if entry.key else "client.media.attach"
    ids = ", ".join(entry.generation_ids)
    return f"the generation goes on at Oxen as {ids}; {by} gets it back."


def _fates(entry: Entry) -> str:
    return "; ".join(f"{item.generation_id} is {item.status}" for item in entry.items)
