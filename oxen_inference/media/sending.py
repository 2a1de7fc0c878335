"""Sending a paid request, once, and finding out what became of it.

The decisions are in `enqueue`; here they are carried out, in the order that keeps the ledger
ahead of the money.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import Any

import openai

from oxen_inference.errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    GenerationTimeout,
    InvalidInputError,
    LedgerError,
    OxenError,
)
from oxen_inference.ledger import conversations
from oxen_inference.ledger.store import Entry, Scope
from oxen_inference.media.direct import direct_call, read_direct
from oxen_inference.media.enqueue import (
    Accepted,
    Doubtful,
    Outcome,
    Refused,
    error_of,
    error_record,
    read_answer,
    read_failure,
    retry_delay,
)
from oxen_inference.media.files import folder_to_save_in
from oxen_inference.media.recall import recall
from oxen_inference.media.request import Asked, Order, prepare
from oxen_inference.media.searching import doubt, look_for, search
from oxen_inference.media.steps import (
    Explain,
    Haste,
    NotAllowed,
    Pay,
    Steps,
    run,
    shielded,
    sleep,
)
from oxen_inference.media.task import Engine, Task
from oxen_inference.result import MediaItem
from oxen_inference.transport import Call

log = logging.getLogger("oxen_inference.media")

_DIRECT_PATIENCE, _LEAST_PATIENCE = 1800.0, 10.0
_REFUSAL_PATIENCE = 3.0


def enqueue(engine: Engine, asked: Asked, task: Task) -> Steps[Entry]:
    """Check, write the intent, send, and find out what became of it."""
    if task.haste.asked:
        raise OxenError("Interrupted before it was sent.")
    task.wishes.check()
    if task.wishes.save_to is not None:
        yield from run(folder_to_save_in, task.wishes.save_to)
    scope = yield from run(engine.scope)
    known = yield from run(recall, asked, engine.ledger, scope)
    entry = None if known is None else (yield from _share_known(engine, known, asked, task))
    if entry is None:
        entry = yield from _buy(engine, asked, scope, task)
    task.entry = entry
    yield from task.tell("enqueued")
    return entry


def begun(engine: Engine, asked: Asked) -> Steps[Entry | None]:
    """Return the job that such a request would attach to; None if it would be paid for anew."""
    scope = yield from run(engine.scope)
    entry = yield from run(recall, asked, engine.ledger, scope)
    if entry is None:
        order = yield from prepare(asked, engine.ledger, scope, engine.paths)
        entry = yield from run(engine.ledger.begun, order.intent)
    return None if entry is None or entry.state == "rejected" else entry


def decided(engine: Engine, entry: Entry, task: Task) -> Steps[Entry]:
    """Return an entry of which it is known what it became. Raises what it was refused with."""
    while True:
        if entry.state == "accepted":
            return entry
        if entry.state == "rejected":
            raise error_of(entry.error)
        if entry.state == "unknown" or (entry.state == "posting" and entry.is_abandoned):
            return (yield from shielded(look_for(engine, entry, None, task), task.haste))
        if entry.is_abandoned:
            raise InvalidInputError(
                "That request was never sent: the process that wrote it ended before. "
                "Call generate again with the same key."
            )
        yield from _patiently(engine, entry, task)
        entry = yield from engine.reload(entry)


def _weigh(engine: Engine, entry: Entry, order: Order, error: Any) -> Steps[Entry]:
    """Believe a refusal inside a success only once the hub lists nothing that it may have made."""
    patience = min(engine.pace().lookup, _REFUSAL_PATIENCE)
    # To the end even in haste: what is believed here may be paid for again.
    adopted, found = yield from search(engine, entry, patience, Haste())
    if adopted is not None:
        return adopted
    if found.is_current and not found.candidates:
        explained = yield Explain(error, order.intent.model)
        yield from _give_up(engine, entry, explained)
    record = error_record(error)
    yield from run(engine.ledger.unknown, entry, record)
    raise doubt(entry, record, found) from error


def _buy(engine: Engine, asked: Asked, scope: Scope, task: Task) -> Steps[Entry]:
    order = yield from prepare(asked, engine.ledger, scope, engine.paths)
    task.count = order.intent.count
    yield from task.tell("quoted", str(order.quote))
    entry, mine = yield from shielded(_begin_and_send(engine, order, task), task.haste)
    at_first = (entry.state, entry.attempt)
    while not mine:
        shared = yield from _share(engine, entry, at_first, task)
        if shared is not None:
            return shared
        sent = yield from shielded(_claim_and_send(engine, entry, order, task), task.haste)
        if sent is not None:
            return sent
        entry = yield from engine.reload(entry)
    return entry


def _share_known(engine: Engine, entry: Entry, asked: Asked, task: Task) -> Steps[Entry | None]:
    """Attach to what a key stands for; None if it is to be sent after all."""
    task.count = entry.count
    if asked.conversation is not None:
        conversations.attend(entry.entry_id)
        task.attended = entry.entry_id
    shared = yield from _share(engine, entry, (entry.state, entry.attempt), task)
    if shared is None and task.attended is not None:
        conversations.leave(task.attended)
        task.attended = None
    return shared


def _begin_and_send(engine: Engine, order: Order, task: Task) -> Steps[tuple[Entry, bool]]:
    entry, mine = yield from run(engine.ledger.begin, order.intent)
    task.entry = entry
    if order.intent.conversation is not None:
        task.attended = entry.entry_id
    if mine:
        task.entry = yield from _send_or_let_go(engine, entry, order, task)
    return task.entry, mine


def _claim_and_send(engine: Engine, entry: Entry, order: Order, task: Task) -> Steps[Entry | None]:
    if not (yield from run(engine.ledger.claim, entry, order.intent)):
        return None
    claimed = yield from engine.reload(entry)
    task.entry = yield from _send_or_let_go(engine, claimed, order, task)
    return task.entry


def _share(
    engine: Engine, entry: Entry, at_first: tuple[str, int], task: Task
) -> Steps[Entry | None]:
    """Attach to a request wherever it is made; None if it may be claimed.

    `at_first`: the state and attempt that the caller met it in.
    """
    while True:
        task.entry = entry
        if entry.state == "accepted":
            return entry
        if entry.state == "unknown" or (entry.state == "posting" and entry.is_abandoned):
            return (yield from shielded(look_for(engine, entry, None, task), task.haste))
        if entry.state == "rejected" and (entry.state, entry.attempt) != at_first:
            raise error_of(entry.error)  # decided while shared: everyone's answer
        if entry.may_be_claimed:
            return None
        yield from _patiently(engine, entry, task)
        entry = yield from engine.reload(entry)


def _patiently(engine: Engine, entry: Entry, task: Task) -> Steps[None]:
    if task.left is not None and task.left <= 0:
        raise GenerationTimeout(
            "Another thread or process is still sending this request; it was not waited for "
            "any longer.",
            result=entry.result(),
        )
    yield from sleep(engine.pace().follow)


def _send_or_let_go(engine: Engine, entry: Entry, order: Order, task: Task) -> Steps[Entry]:
    try:
        return (yield from _send(engine, entry, order, task))
    except BaseException as error:
        # Twins would wait for a request that nobody is going to send.
        with suppress(LedgerError):
            engine.ledger.let_go(entry, error_record(error))
        raise


def _send(engine: Engine, entry: Entry, order: Order, task: Task) -> Steps[Entry]:
    """Send until it is decided; only what certainly bought nothing is sent again."""
    call = _paid_call(engine, order, task.left)
    attempt = 0
    while True:
        if task.haste.asked:
            yield from _give_up(engine, entry, OxenError("Interrupted before it was sent."))
        try:
            outcome = yield from _attempt(engine, entry, call, order)
        except NotAllowed:  # somebody else took the entry over
            return (yield from decided(engine, (yield from engine.reload(entry)), task))
        if isinstance(outcome, Accepted):
            accepted = yield from _accept(engine, entry, outcome)
            if accepted is not None:
                return accepted
            outcome = Doubtful(APIResponseError("Oxen answered with the ids of an earlier job."))
        if isinstance(outcome, list):
            return (yield from _made(engine, entry, outcome))
        if isinstance(outcome, Doubtful) and outcome.is_refusal:
            return (yield from _weigh(engine, entry, order, outcome.error))
        if isinstance(outcome, Doubtful):
            return (yield from look_for(engine, entry, outcome.error, task))
        delay = retry_delay(outcome.error, attempt)
        longest = engine.pace().longest_retry_after if task.left is None else task.left
        if not outcome.again:
            explained = outcome.error
            if isinstance(explained, APIStatusError):
                explained = yield Explain(explained, order.intent.model)
            yield from _give_up(engine, entry, explained)
        if attempt >= engine.max_retries or delay > longest:
            yield from _give_up(engine, entry, outcome.error)
        yield from run(engine.ledger.not_sent, entry)
        yield from sleep(delay, task.haste)
        attempt += 1


def _attempt(
    engine: Engine, entry: Entry, call: Call[object], order: Order
) -> Steps[Outcome | list[MediaItem]]:
    sending = False

    def may_send() -> bool:
        nonlocal sending
        sending = engine.ledger.posting(entry)
        return sending

    try:
        payload = yield Pay(call, may_send)
    except (LedgerError, NotAllowed):
        raise  # nothing was sent
    except Exception as error:
        if sending:
            return read_failure(error)  # whatever it is, it must not be sent again
        if isinstance(error, OxenError):
            return Refused(error, again=isinstance(error, APIConnectionError))
        raise  # it could not even be written: nothing was sent, and never will be
    except BaseException as error:
        # The loop is being torn down: no more waiting, but the doubt must be on record.
        if sending:
            engine.ledger.unknown(entry, error_record(error))
        raise
    if order.is_direct:
        return read_direct(payload, order.intent.media_type)
    return read_answer(payload, order.intent.count)


def _paid_call(engine: Engine, order: Order, left: float | None) -> Call[object]:
    timeout = engine.client_timeout
    if timeout == openai.DEFAULT_TIMEOUT:
        # Ten minutes is the SDK's default: long for a queue, short for a film made at once.
        patience = _DIRECT_PATIENCE if order.is_direct else engine.pace().enqueue_timeout
        if left is not None and not order.is_direct:
            # Not to the last second: an answer that is given up is an outcome unknown.
            patience = min(patience, max(left, _LEAST_PATIENCE))
        timeout = openai.Timeout(patience, connect=5.0)
    if order.is_direct:
        return direct_call(engine.paths, order, timeout)
    return Call(
        method="post",
        path=engine.paths.queue,
        body=order.body,
        read=lambda payload: payload,
        once=True,
        timeout=timeout,
    )


def _accept(engine: Engine, entry: Entry, outcome: Accepted) -> Steps[Entry | None]:
    """Write the ids down; None if they are known to be those of other requests."""
    notes = (*entry.notes, *outcome.notes)
    for note in outcome.notes:
        log.warning(note)
    items = tuple(MediaItem(generation_id=one) for one in outcome.generation_ids)
    in_hand = replace(entry, state="accepted", items=items, notes=notes)
    try:
        if not (yield from run(engine.ledger.accepted, entry, outcome.generation_ids, notes)):
            return None
    except LedgerError as error:
        # Paid for: what the ledger cannot take must not get lost here, too.
        log.error("Accepted, but not written down (%s): %s", error, outcome.generation_ids)  # noqa: TRY400 - the ids matter, not the trace
        return in_hand
    return (yield from engine.reload(entry))


def _made(engine: Engine, entry: Entry, items: list[MediaItem]) -> Steps[Entry]:
    in_hand = replace(entry, state="accepted", items=tuple(items))
    try:
        yield from run(engine.ledger.made, entry, items)
    except LedgerError as error:
        log.error("Made and paid for, but not written down: %s", error)  # noqa: TRY400 - as above
        return in_hand
    return replace((yield from engine.reload(entry)), items=tuple(items))


def _give_up(engine: Engine, entry: Entry, error: OxenError) -> Steps[None]:
    yield from run(engine.ledger.rejected, entry, error_record(error))
    raise error
