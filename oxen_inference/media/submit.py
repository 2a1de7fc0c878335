"""Sending a paid request, once, and finding out what became of it.

What an answer means is decided in `queue_decision`; here it is carried out, in the order that
writes to the ledger before money can move.
"""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import openai

from oxen_inference.effects import (
    NotAllowed,
    NotSent,
    StopRequest,
    invoke,
    post_once,
    run,
    run_on_network,
    run_together,
    shield,
    sleep,
)
from oxen_inference.errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    ConfigurationError,
    GenerationTimeout,
    InvalidInputError,
    LedgerError,
    OxenError,
    RateLimitError,
    end_sentence,
)
from oxen_inference.hub_clock import elapsed
from oxen_inference.ledger.entries import Entry, Scope
from oxen_inference.ledger.groups import Acceptance, Beginning, with_generations
from oxen_inference.ledger.store import Begun, Undecided
from oxen_inference.media.engine import Engine, Task
from oxen_inference.media.fetch import check_folder
from oxen_inference.media.input_errors import read_complaint
from oxen_inference.media.lost_jobs import look_for, raise_unknown, search
from oxen_inference.media.prepare import MediaRequest, PreparedRequest, find_known, prepare
from oxen_inference.media.purchase_log import log_accepted, log_ended, log_refused
from oxen_inference.media.queue_decision import (
    Accepted,
    Outcome,
    OutcomeUnknown,
    Refused,
    error_of,
    error_record,
    read_direct_answer,
    read_failure,
    read_queue_answer,
    retry_delay,
)
from oxen_inference.media.routes import Route, next_route, remember_missing
from oxen_inference.result import MediaItem
from oxen_inference.transport import Call

log = logging.getLogger("oxen_inference.media")

_DIRECT_TIMEOUT, _SHORTEST_ENQUEUE_TIMEOUT = 1800.0, 10.0  # seconds
_UNDECIDED_PAUSE = 1.0  # seconds
_CONFIRMATION = 3.0
"""Seconds to look for a job that the hub says it refused."""


async def submit(engine: Engine, request: MediaRequest, task: Task) -> Entry:
    """Check a request, write its intent, send it, and return what became of it."""
    if task.stop.is_set:
        raise OxenError("Interrupted before it was sent.")
    task.options.check()
    if task.options.save_to is not None and not task.is_one_of_many:
        await run_on_network(check_folder, task.options.save_to)
    scope = engine.scope()
    is_new = request.key is None or request.key_is_new
    known = None if is_new else await find_known(engine, request, scope)
    entry = None if known is None else await _join_by_key(engine, known, request, task)
    if entry is None:
        entry = await _begin(engine, request, scope, task)
    task.entry = entry
    await task.notify("enqueued")
    return entry


async def find_existing(engine: Engine, request: MediaRequest) -> Entry | None:
    """Return the job that such a request would join; None if it would be paid for again."""
    scope = engine.scope()
    entry = await find_known(engine, request, scope)
    if entry is None:
        # How inputs are sent makes it no other request, and to fetch them takes its time.
        prepared = await prepare(engine, replace(request, inline_inputs=False), scope)
        entry = await run(engine.ledger.find_existing, prepared.intent)
    return None if entry is None or entry.state == "rejected" else entry


async def when_decided(engine: Engine, entry: Entry, task: Task) -> Entry:
    """Return an entry once it was accepted. Raises the error that it was refused with."""
    while True:
        entry = await _as_it_was_left(engine, entry)
        if entry.state == "accepted":
            return entry
        if entry.state == "rejected":
            raise error_of(entry.error)
        if entry.state == "unknown" or (entry.state == "posting" and entry.is_abandoned):
            return await shield(look_for(engine, entry, None, task), task.stop)
        if entry.is_abandoned:
            raise InvalidInputError(
                "That request was never sent: the process that wrote it ended before.",
                hint="Call generate again with the same key.",
            )
        await poll_other_sender(engine, entry, task)
        known = await run(engine.ledger.get, entry.entry_id)
        if known is None:
            raise LedgerError(f"Entry {entry.entry_id} is no longer in the ledger.")
        entry = known


async def _begin(engine: Engine, request: MediaRequest, scope: Scope, task: Task) -> Entry:
    """Send a request, or join the one that its key or its conversation stands for."""
    prepared = await prepare(engine, request, scope, task.left)
    task.count, task.quote = prepared.intent.count, prepared.quote
    await task.notify("quoted", str(prepared.quote))
    entry, is_mine = await shield(_begin_and_send(engine, prepared, task), task.stop)
    at_first = (entry.state, entry.attempt)
    while not is_mine:
        joined = await join_existing(engine, entry, at_first, task)
        if joined is not None:
            return joined
        sent = await shield(_claim_and_send(engine, entry, prepared, task), task.stop)
        if sent is not None:
            return sent
        known = await run(engine.ledger.get, entry.entry_id)
        if known is None:  # pruned meanwhile, so that it stands for nothing any more
            entry, is_mine = await shield(_begin_and_send(engine, prepared, task), task.stop)
            at_first = (entry.state, entry.attempt)
        else:
            entry = known
    return entry


async def _join_by_key(
    engine: Engine, entry: Entry, request: MediaRequest, task: Task
) -> Entry | None:
    """Join what a key stands for; None if it is to be sent after all."""
    task.count = entry.count
    if request.conversation is not None:
        await shield(_attend(engine, entry, task), task.stop)
    joined = await join_existing(engine, entry, (entry.state, entry.attempt), task)
    if joined is None and task.wait_id is not None:
        await run(engine.ledger.leave, task.wait_id)
        task.wait_id = None
    return joined


async def _attend(engine: Engine, entry: Entry, task: Task) -> None:
    """Say that this call waits for an entry, so that it can be left whatever happens meanwhile."""
    task.wait_id = uuid.uuid4().hex
    await run(engine.ledger.attend, entry, task.wait_id)


async def _begin_and_send(
    engine: Engine, prepared: PreparedRequest, task: Task
) -> tuple[Entry, bool]:
    ledger = engine.ledger
    reservation = partial(prepared.reservation, ledger)

    def begin_again(undecided: Undecided) -> Begun | Undecided:
        return ledger.begin(prepared.intent, reservation(), undecided)

    beginning = Beginning(prepared.intent, reservation)
    begun: Begun | Undecided = await run_together(engine.groups.begin, beginning)
    while isinstance(begun, Undecided):
        _check_time_left(task)
        await sleep(_UNDECIDED_PAUSE, task.stop)
        if task.stop.is_set:
            raise OxenError("Interrupted before it was sent.")
        begun = await run(begin_again, begun)
    task.entry, task.wait_id = begun.entry, begun.wait_id
    if begun.is_mine:
        task.entry = await _send_or_abandon(engine, begun.entry, prepared, task)
    return task.entry, begun.is_mine


async def _claim_and_send(
    engine: Engine, entry: Entry, prepared: PreparedRequest, task: Task
) -> Entry | None:
    claimed = await _claim(engine, entry, prepared)
    if claimed is None:
        return None
    task.entry = await _send_or_abandon(engine, claimed, prepared, task)
    return task.entry


async def _claim(engine: Engine, entry: Entry, prepared: PreparedRequest) -> Entry | None:
    """Take over an entry that was not sent, and return it; None where another call was first."""
    reservation = await run(prepared.reservation, engine.ledger)
    if not await run(engine.ledger.claim, entry, prepared.intent, reservation):
        return None
    try:
        return await engine.reload(entry)
    except BaseException as error:
        claimed = replace(entry, state="intended", attempt=entry.attempt + 1)
        await _abandon(engine, claimed, error)
        raise


async def join_existing(
    engine: Engine, entry: Entry, at_first: tuple[str, int], task: Task
) -> Entry | None:
    """Join a request that is made elsewhere; None if it may be claimed, or is gone.

    `at_first`: the state and attempt that the caller first saw.
    """
    while True:
        task.entry = entry = await _as_it_was_left(engine, entry)
        if entry.state == "accepted":
            return entry
        if entry.state == "unknown" or (entry.state == "posting" and entry.is_abandoned):
            return await shield(look_for(engine, entry, None, task), task.stop)
        if entry.state == "rejected" and (entry.state, entry.attempt) != at_first:
            raise error_of(entry.error)  # decided while it was joined: the answer for everyone
        if entry.may_be_claimed:
            return None
        await poll_other_sender(engine, entry, task)
        known = await run(engine.ledger.get, entry.entry_id)
        if known is None:
            return None
        entry = known


async def _as_it_was_left(engine: Engine, entry: Entry) -> Entry:
    """Return an entry, read again where nobody is at work on it: its end may have been written
    between the reading and the look at its process.
    """
    seen = None
    while entry.is_abandoned and (entry.state, entry.attempt) != seen:
        seen = (entry.state, entry.attempt)
        entry = await engine.reload(entry)
    return entry


async def poll_other_sender(engine: Engine, entry: Entry, task: Task) -> None:
    """Wait a moment for the thread or process that is sending. Raises `GenerationTimeout`."""
    _check_time_left(task, entry)
    await sleep(engine.pace().follow)


def _check_time_left(task: Task, entry: Entry | None = None) -> None:
    if task.left is not None and task.left <= 0:
        raise GenerationTimeout(
            "Another thread or process was still sending this request at the end of the timeout.",
            result=entry.result() if entry else None,
        )


async def _send_or_abandon(
    engine: Engine, entry: Entry, prepared: PreparedRequest, task: Task
) -> Entry:
    task.entry = entry
    try:
        sent = await _send(engine, entry, prepared, task)
    except BaseException as error:
        await _abandon(engine, task.entry, error)
        raise
    engine.ledger.end_work(task.entry)
    return sent


async def _abandon(engine: Engine, entry: Entry, error: BaseException) -> None:
    """Reject a request that nobody is going to send: other calls would wait for it."""
    reject = partial(engine.ledger.reject_unsent, entry, error_record(error))
    try:
        with suppress(LedgerError):
            if isinstance(error, GeneratorExit):  # nothing can be awaited any more
                reject()
            elif entry.state != "rejected":
                await run(reject)
    finally:
        engine.ledger.end_work(entry)


async def _send(engine: Engine, entry: Entry, prepared: PreparedRequest, task: Task) -> Entry:
    """Send until it is decided; only what surely bought nothing is sent again."""
    attempt = 0
    tried = {prepared.route}
    while True:
        call = _paid_call(engine, prepared, task)
        if task.pause is not None and not await task.pause.wait(task.stop, task.deadline):
            await _reject(engine, entry, _not_sent_in_time(task), task)
        if task.stop.is_set:
            await _reject(engine, entry, OxenError("Interrupted before it was sent."), task)
        begun = elapsed()
        try:
            outcome = await _attempt(engine, entry, call, prepared)
        except NotAllowed:  # another call took the entry over
            again = await _claim_back(engine, entry, prepared)
            if again is None:
                task.is_sender = False
                return await when_decided(engine, await engine.reload(entry), task)
            task.entry = entry = again
            continue
        task.is_sender = True
        entry = replace(entry, hub_sent_at=engine.hub_clock.at(begun))
        if isinstance(outcome, list):
            return await _record_results(engine, entry, outcome)
        if isinstance(outcome, Accepted):
            if task.pause is not None:
                task.pause.accepted()
            accepted = await _accept(engine, entry, outcome)
            if accepted is not None:
                return accepted
            outcome = OutcomeUnknown(
                APIResponseError("Oxen answered with the ids of an earlier job.")
            )
        if isinstance(outcome, OutcomeUnknown):
            if not outcome.is_refusal:
                return await look_for(engine, entry, outcome.error, task)
            adopted = await confirm_rejection(engine, entry, outcome.error)
            if adopted is not None:
                return adopted
            assert isinstance(outcome.error, OxenError)  # noqa: S101 - a refusal is the hub's
            outcome = Refused(outcome.error)
        if outcome.may_retry:
            await _retry_or_reject(engine, entry, outcome.error, attempt, task)
            attempt += 1
        else:
            entry, prepared = await _redirect_or_reject(
                engine, entry, prepared, outcome.error, tried, task
            )
            tried.add(prepared.route)
            task.entry = entry


async def _redirect_or_reject(
    engine: Engine,
    entry: Entry,
    prepared: PreparedRequest,
    error: OxenError,
    tried: set[Route],
    task: Task,
) -> tuple[Entry, PreparedRequest]:
    """Return the request for another route, where the one it took was refused as a route.

    Raises the refusal otherwise. Whichever it is, nothing was bought.
    """
    intent = prepared.intent
    route = next_route(prepared.model, prepared.route, prepared.params, error, intent.media_type)
    if route in tried:
        route = None
    if route is not None and prepared.route == "queue":
        if intent.key is not None and not prepared.key_is_derived:
            await _reject(engine, entry, _key_needs_queue(intent.model, error), task)
        if intent.count > 1:
            route = None  # the synchronous routes for audio make one a call
    if route is not None:
        missing = f"queue of {intent.model}" if prepared.route == "queue" else prepared.route
        remember_missing(intent.scope.hub, missing)
        other = prepared.on_route(route)
        path = getattr(engine.paths, route)
        note = f"Sent to {path}, since {getattr(engine.paths, prepared.route)} refused it: {error.message}"
        moved = await run(engine.ledger.redirect, entry, other.intent, note)
        if moved is not None:
            log.info("Sent by the route %s, since %s refused it", route, prepared.route)
            return moved, other
    if isinstance(error, APIStatusError):
        error = await invoke(engine.catalog.explain, error, entry.model)
        complaint = read_complaint(error.message, prepared.body)
        if complaint is not None:
            error.message = f"{end_sentence(error.message)}{complaint.addition}"
            error.hint = complaint.hint
    return await _reject(engine, entry, error, task)


def _key_needs_queue(model: str, error: OxenError) -> ConfigurationError:
    return ConfigurationError(
        f"Oxen's queue does not make audio with {model} ({error.message.rstrip('.')}), and only a "
        "queued generation can have a key: the synchronous routes give no id by which it could be "
        "found again. Nothing was paid for.",
        hint="Use generate without a key, or a run without key_prefix: it is then made by a "
        "synchronous route, and paid for by each call.",
    )


def _not_sent_in_time(task: Task) -> GenerationTimeout:
    return GenerationTimeout(
        f"Not sent within its timeout of {task.longest_wait:g} s, since Oxen asked for a pause after "
        "too many requests. Nothing was paid for.",
        hint="Use a longer timeout, or fewer connections (max_connections).",
    )


async def _claim_back(engine: Engine, entry: Entry, prepared: PreparedRequest) -> Entry | None:
    """Return the entry, which another process released while this one waited to send it again."""
    known = await engine.reload(entry)
    if (known.state, known.attempt) != ("rejected", entry.attempt):
        return None
    claimed = await _claim(engine, known, prepared)
    engine.ledger.end_work(entry)
    return claimed


async def _retry_or_reject(
    engine: Engine, entry: Entry, error: OxenError, attempt: int, task: Task
) -> None:
    """Wait before the next attempt. Raises the refusal where there is to be none."""
    if task.pause is not None and isinstance(error, RateLimitError):
        delay = task.pause.refused(error, engine.pace().longest_retry_after)
        is_hopeless = task.pause.is_hopeless
    else:
        delay = retry_delay(error, attempt)
        is_hopeless = attempt >= engine.max_retries
    left = task.left
    longest = engine.pace().longest_retry_after if left is None else left
    if is_hopeless or delay > longest:
        reasons = [f"It was tried {attempt + 1} times."] if attempt else []
        if not is_hopeless:
            of = "are waited at most" if left is None else "of the timeout are left"
            reasons.append(
                f"The next try would come in {delay:.3g} s, and {max(longest, 0):.3g} s {of}."
            )
        error.hint = " ".join(filter(None, (*reasons, error.hint))) or None
        await _reject(engine, entry, error, task)
    await run(engine.ledger.mark_intended, entry)
    await sleep(delay, task.stop)


async def confirm_rejection(engine: Engine, entry: Entry, error: Any) -> Entry | None:
    """Believe a refusal inside a success only if the hub lists nothing that it may have made.

    Return the entry where its job was found, or None where the refusal is confirmed. Raises
    `EnqueueOutcomeUnknown`.
    """
    seconds = min(engine.pace().lookup, _CONFIRMATION)
    # To its end even on an interrupt: what is believed here may be paid for again.
    adopted, found = await search(engine, entry, seconds, StopRequest())
    if adopted is not None:
        return adopted
    if found.is_current and found.is_complete and not found.candidates:
        return None
    return await raise_unknown(engine, entry, error_record(error), found, error)


async def _attempt(
    engine: Engine, entry: Entry, call: Call[object], prepared: PreparedRequest
) -> Outcome | list[MediaItem]:
    """Send the request one time, and decide by what comes back. Raises `NotAllowed`."""
    is_sending = False

    def may_send() -> bool:
        nonlocal is_sending
        is_sending = engine.ledger.mark_posting(entry, engine.hub_clock.now())
        return is_sending

    try:
        payload = await post_once(call, may_send)
    except (LedgerError, NotAllowed):
        raise  # nothing was sent
    except NotSent as unsent:
        if not isinstance(unsent.error, OxenError):
            raise unsent.error from None
        return Refused(unsent.error, may_retry=isinstance(unsent.error, APIConnectionError))
    except Exception as error:
        if is_sending:
            return read_failure(error)  # of whatever kind, it must not be sent again
        if isinstance(error, OxenError):
            return Refused(error, may_retry=isinstance(error, APIConnectionError))
        raise  # it could not even be written as JSON: nothing was sent
    except BaseException as error:
        # The event loop is being closed: nothing can be awaited, but the ledger must know.
        if is_sending:
            with suppress(LedgerError):  # it is written that it was sent
                engine.ledger.mark_unknown(entry, error_record(error))
        raise
    try:
        if prepared.is_direct:
            return read_direct_answer(payload, prepared.intent.media_type)
        return read_queue_answer(payload, prepared.intent.count)
    except Exception as error:  # noqa: BLE001 - whatever is in it, it answers a paid request
        log.debug("The answer to a paid request cannot be read: %r", error)
        return OutcomeUnknown(APIResponseError("Oxen's answer cannot be read.", body=payload))


def _paid_call(engine: Engine, prepared: PreparedRequest, task: Task) -> Call[object]:
    timeout, left = engine.client_timeout, task.left
    if timeout == openai.DEFAULT_TIMEOUT:
        # Ten minutes, the SDK's default, is long for a queue, and short for a video made at once.
        seconds = _DIRECT_TIMEOUT if prepared.is_direct else engine.pace().enqueue_timeout
        if left is not None and not prepared.is_direct:
            # Never a very short one: an answer that comes too late is an unknown outcome.
            seconds = min(seconds, max(left, _SHORTEST_ENQUEUE_TIMEOUT))
        timeout = openai.Timeout(seconds, connect=5.0)
    return Call(
        method="post",
        path=getattr(engine.paths, prepared.route),
        body=prepared.body,
        read=lambda payload: payload,
        once=True,
        may_keep_connection=task.is_one_of_many,
        takes_bytes=prepared.is_direct,
        timeout=timeout,
    )


async def _accept(engine: Engine, entry: Entry, outcome: Accepted) -> Entry | None:
    """Write the ids to the ledger; None if they are known to be those of other requests."""
    notes = (*entry.notes, *outcome.notes)
    for note in outcome.notes:
        log.warning(note)
    answer = Acceptance(entry, tuple(outcome.generation_ids), notes)
    try:
        accepted = await run_together(engine.groups.accept, answer)
    except OxenError as error:
        # It was paid for: what the ledger cannot take must not be lost here, too.
        log.error("Accepted, but not written to the ledger (%s): %s", error, outcome.generation_ids)  # noqa: TRY400 - the ids matter, not the trace
        accepted = with_generations(answer)
        engine.ledger.write_later(accepted, accepted.items)
    if accepted is not None:
        log_accepted(accepted)
    return accepted


async def _record_results(engine: Engine, entry: Entry, items: list[MediaItem]) -> Entry:
    in_hand = replace(entry, state="accepted", items=tuple(items))
    log_accepted(in_hand)
    log_ended(in_hand)
    try:
        await run(engine.ledger.record_results, entry, items)
        return replace(await engine.reload(entry), items=tuple(items))
    except OxenError as error:
        log.error("Made and paid for, but not written to the ledger: %s", error)  # noqa: TRY400 - as above
        engine.ledger.write_later(in_hand, items)
        return in_hand


async def _reject(engine: Engine, entry: Entry, error: OxenError, task: Task) -> NoReturn:
    """Write that nothing was bought, and raise the error."""
    await run(engine.ledger.mark_rejected, entry, error_record(error))
    log_refused(entry, error)
    task.entry = replace(entry, state="rejected")
    raise error
