"""Paid media from the first check to the file on the disk, written once for sync and async.

Every function here is a computation of `steps`; `media.py` runs them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import openai

from oxen_inference import conversations, queue
from oxen_inference.budget import Budget
from oxen_inference.calls import Call
from oxen_inference.direct import direct_call, read_direct
from oxen_inference.download import Source, folder_to_save_in
from oxen_inference.enqueue import (
    Accepted,
    Doubtful,
    Outcome,
    error_of,
    error_record,
    read_answer,
    read_failure,
    retry_delay,
)
from oxen_inference.errors import (
    BadRequestError,
    EnqueueOutcomeUnknown,
    GenerationFailed,
    GenerationTimeout,
    InvalidInputError,
    JournalError,
    NotFoundError,
    OxenError,
)
from oxen_inference.fetching import fetch_items
from oxen_inference.generation import Generation
from oxen_inference.journal import Entry, Journal, Scope, settle_elsewhere
from oxen_inference.lookup import Found, goes_past, match
from oxen_inference.media_request import Asked, Order, check_listener, prepare
from oxen_inference.media_result import MediaItem, MediaResult, Progress
from oxen_inference.paths import Paths
from oxen_inference.steps import (
    Explain,
    Haste,
    NotAllowed,
    Pause,
    Pay,
    Steps,
    Tell,
    run,
    send,
    shielded,
    sleep,
    together,
)
from oxen_inference.watch import Pace, Subscription, Watch

log = logging.getLogger("oxen_inference.media")

T = TypeVar("T")

_HEARTBEAT, _LONG_REST = 1.0, 60.0
_DIRECT_PATIENCE, _LEAST_PATIENCE = 1800.0, 10.0
_LOOKUP_PAGES = 10


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How the caller wants to wait."""

    timeout: float | None = None
    on_interrupt: str = "detach"
    save_to: Any = None
    on_progress: Callable[[Progress], Any] | None = None

    def check(self) -> None:
        if self.on_interrupt not in ("detach", "cancel"):
            raise InvalidInputError(
                f'on_interrupt must be "detach" or "cancel", not {self.on_interrupt!r}.'
            )
        if self.timeout is not None and not (
            isinstance(self.timeout, int | float) and self.timeout > 0
        ):
            raise InvalidInputError("timeout must be a number of seconds above 0, or None.")
        check_listener(self.on_progress)


@dataclass(kw_only=True)
class Task:
    """One call of the developer's: what it knows at this moment."""

    wishes: Wishes
    started: float = field(default_factory=time.monotonic)
    entry: Entry | None = None
    budget: Budget | None = None
    count: int = 1
    subscription: Subscription | None = None
    haste: Haste = field(default_factory=Haste)
    trouble: str | None = None
    attended: str | None = None
    """The entry that other calls of the conversation leave alone while this one lasts."""

    @property
    def known(self) -> Entry:
        """The entry, which is there from the enqueueing on."""
        assert self.entry is not None  # noqa: S101 - a bug here, not a state
        return self.entry

    @property
    def left(self) -> float | None:
        """Seconds until the caller's patience ends."""
        if self.wishes.timeout is None:
            return None
        return self.wishes.timeout - (time.monotonic() - self.started)

    def tell(self, phase: str, message: str | None = None) -> Steps[None]:
        if self.wishes.on_progress is None:
            return
        entry = self.entry
        items = entry.items if entry else ()
        event = Progress(
            phase=phase,
            status=entry.result().status if entry else "checked",
            elapsed=time.monotonic() - self.started,
            generation_ids=entry.generation_ids if entry else (),
            done=sum(item.is_terminal for item in items),
            total=max(len(items), self.count),
            message=message,
        )
        yield Tell(self.wishes.on_progress, event)


@dataclass(kw_only=True)
class Engine:
    """What all tasks of one client share. `new_event` and `watching` are the runner's."""

    paths: Paths
    journal: Journal
    scope: Callable[[], Scope]
    pace: Callable[[], Pace]
    watch: Watch
    watching: Callable[[], None]
    new_event: Callable[[], Any]
    source: Callable[[], Source]
    client_timeout: Any
    max_retries: int

    # ------------------------------------------------------------------ the whole way

    def generate(self, asked: Asked, wishes: Wishes) -> Steps[MediaResult]:
        task = Task(wishes=wishes)

        def work() -> Steps[MediaResult]:
            yield from self.enqueue(asked, task)
            return (yield from self.conclude(task))

        return (yield from self._minding(work(), [task]))

    def submit(self, asked: Asked, wishes: Wishes) -> Steps[Entry]:
        task = Task(wishes=wishes)
        return (yield from self._minding(self.enqueue(asked, task), [task]))

    def collect(self, entry: Entry, wishes: Wishes, budget: Budget | None) -> Steps[MediaResult]:
        """Wait for a job that is in the ledger, and bring it home."""
        task = Task(wishes=wishes, entry=entry, budget=budget, count=entry.count)

        def work() -> Steps[MediaResult]:
            wishes.check()
            if wishes.save_to is not None:
                yield from run(folder_to_save_in, wishes.save_to)
            task.entry = yield from self.decided(entry, task)
            return (yield from self.conclude(task))

        return (yield from self._minding(work(), [task]))

    def generate_many(
        self, requests: list[tuple[Asked, Wishes] | OxenError]
    ) -> Steps[list[MediaResult | OxenError]]:
        """Enqueue all side by side, wait for all at once, fetch side by side."""
        tasks: list[Task | None] = [
            None if isinstance(one, OxenError) else Task(wishes=one[1]) for one in requests
        ]
        real = [task for task in tasks if task is not None]
        hastes = [task.haste for task in real]

        def work() -> Steps[list[MediaResult | OxenError]]:
            asked = [one[0] for one in requests if not isinstance(one, OxenError)]
            parts = [self.enqueue(*both) for both in zip(asked, real, strict=True)]
            enqueued = yield from together(parts, hastes)
            failed = dict(_failed(real, enqueued))
            for task in real:
                if id(task) not in failed:
                    self._subscribe(task)
            for task in real:
                if id(task) not in failed:
                    try:
                        yield from self._wait(task)
                    except OxenError as error:
                        failed[id(task)] = error
            ended = [task for task in real if id(task) not in failed]
            results = yield from together([self.finish(task) for task in ended], hastes)
            made = {id(task): result for task, result in zip(ended, results, strict=True)}
            failed |= dict(_failed(ended, results))
            outcomes = (
                one if isinstance(one, OxenError) else failed.get(id(task)) or made[id(task)]
                for task, one in zip(tasks, requests, strict=True)
            )
            return [one for one in outcomes if isinstance(one, MediaResult | OxenError)]

        return (yield from self._minding(work(), real))

    def _minding(self, work: Steps[T], tasks: list[Task]) -> Steps[T]:
        """Do the work; if the caller is interrupted, see to what goes on without him."""
        try:
            return (yield from work)
        except (GeneratorExit, Exception):
            raise
        except BaseException as error:
            for task in tasks:
                yield from self._interrupted(task, error)
            raise
        finally:
            for task in tasks:
                if task.subscription is not None:
                    self.watch.unsubscribe(task.subscription)
                if task.attended is not None:
                    conversations.leave(task.attended)

    # ------------------------------------------------------------------ enqueue once

    def enqueue(self, asked: Asked, task: Task) -> Steps[Entry]:
        """Check, write the intent, send, and find out what became of it."""
        if task.haste.asked:
            raise OxenError("Interrupted before it was sent.")
        task.wishes.check()
        if task.wishes.save_to is not None:
            yield from run(folder_to_save_in, task.wishes.save_to)
        scope = yield from run(self.scope)
        order = yield from prepare(asked, self.journal, scope, self.paths)
        task.budget, task.count = asked.budget, order.intent.count
        yield from task.tell("quoted", str(order.quote))
        entry, mine = yield from shielded(self._begin_and_send(order, task), task.haste)
        if not mine:
            entry = yield from self._share(entry, order, task)
        task.entry = entry
        yield from task.tell("enqueued")
        return entry

    def begun(self, asked: Asked) -> Steps[Entry | None]:
        """Return the job that such a request would attach to; None if it would be paid for anew."""
        scope = yield from run(self.scope)
        order = yield from prepare(asked, self.journal, scope, self.paths)
        entry = yield from run(self.journal.begun, order.intent)
        return None if entry is None or entry.state == "rejected" else entry

    def _begin_and_send(self, order: Order, task: Task) -> Steps[tuple[Entry, bool]]:
        entry, mine = yield from run(self.journal.begin, order.intent)
        task.entry = entry
        if order.intent.conversation is not None:
            task.attended = entry.entry_id
        if mine:
            task.entry = yield from self._send_or_let_go(entry, order, task)
        return task.entry, mine

    def _claim_and_send(self, entry: Entry, order: Order, task: Task) -> Steps[Entry | None]:
        if not (yield from run(self.journal.claim, entry, order.intent)):
            return None
        claimed = yield from self._reload(entry)
        task.entry = yield from self._send_or_let_go(claimed, order, task)
        return task.entry

    def _send_or_let_go(self, entry: Entry, order: Order, task: Task) -> Steps[Entry]:
        try:
            return (yield from self._send(entry, order, task))
        except BaseException as error:
            # Twins would wait for a request that nobody is going to send.
            with suppress(JournalError):
                self.journal.let_go(entry, error_record(error))
            raise

    def _share(self, entry: Entry, order: Order, task: Task) -> Steps[Entry]:
        """Attach to the request that the key already stands for, wherever it is made."""
        at_first = (entry.state, entry.attempt)
        while True:
            task.entry = entry
            if entry.state == "accepted":
                return entry
            if entry.state == "unknown" or (entry.state == "posting" and entry.is_abandoned):
                return (yield from shielded(self.look_for(entry, None, task), task.haste))
            if entry.state == "rejected" and (entry.state, entry.attempt) != at_first:
                raise error_of(entry.error)  # decided while shared: everyone's answer
            if entry.state == "rejected" or (entry.state == "intended" and entry.is_abandoned):
                steps = self._claim_and_send(entry, order, task)
                sent = yield from shielded(steps, task.haste)
                if sent is not None:
                    return sent
            else:
                yield from self._patiently(entry, task)
            entry = yield from self._reload(entry)

    def decided(self, entry: Entry, task: Task) -> Steps[Entry]:
        """Return an entry of which it is known what it became. Raises what it was refused with."""
        while True:
            if entry.state == "accepted":
                return entry
            if entry.state == "rejected":
                raise error_of(entry.error)
            if entry.state == "unknown" or (entry.state == "posting" and entry.is_abandoned):
                return (yield from shielded(self.look_for(entry, None, task), task.haste))
            if entry.is_abandoned:
                raise InvalidInputError(
                    "That request was never sent: the process that wrote it ended before. "
                    "Call generate again with the same key."
                )
            yield from self._patiently(entry, task)
            entry = yield from self._reload(entry)

    def _patiently(self, entry: Entry, task: Task) -> Steps[None]:
        if task.left is not None and task.left <= 0:
            raise GenerationTimeout(
                "Another thread or process is still sending this request; it was not waited for "
                "any longer.",
                result=entry.result(),
            )
        yield from sleep(self.pace().follow)

    def _send(self, entry: Entry, order: Order, task: Task) -> Steps[Entry]:
        """Send until it is decided; only what certainly bought nothing is sent again."""
        call = self._paid_call(order, task.left)
        attempt = 0
        while True:
            if task.haste.asked:
                yield from self._give_up(entry, order, OxenError("Interrupted before it was sent."))
            try:
                outcome = yield from self._attempt(entry, call, order)
            except NotAllowed:  # somebody else took the entry over
                return (yield from self.decided((yield from self._reload(entry)), task))
            if isinstance(outcome, Accepted):
                return (yield from self._accept(entry, outcome))
            if isinstance(outcome, list):
                return (yield from self._made(entry, outcome))
            if isinstance(outcome, Doubtful):
                return (yield from self.look_for(entry, outcome.error, task))
            delay = retry_delay(outcome.error, attempt)
            longest = self.pace().longest_retry_after if task.left is None else task.left
            if not outcome.again:
                explained = yield Explain(outcome.error, order.intent.model)
                yield from self._give_up(entry, order, explained)
            if attempt >= self.max_retries or delay > longest:
                yield from self._give_up(entry, order, outcome.error)
            yield from run(self.journal.not_sent, entry)
            yield from sleep(delay, task.haste)
            attempt += 1

    def _attempt(
        self, entry: Entry, call: Call[object], order: Order
    ) -> Steps[Outcome | list[MediaItem]]:
        sending = False

        def may_send() -> bool:
            nonlocal sending
            sending = self.journal.posting(entry)
            return sending

        try:
            payload = yield Pay(call, may_send)
        except (JournalError, NotAllowed):
            raise  # nothing was sent
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not be sent again
            return read_failure(error)
        except BaseException as error:
            # The loop is being torn down: no more waiting, but the doubt must be on record.
            if sending:
                self.journal.unknown(entry, error_record(error))
            raise
        if order.is_direct:
            return read_direct(payload, order.intent.media_type)
        return read_answer(payload, order.intent.count)

    def _paid_call(self, order: Order, left: float | None) -> Call[object]:
        timeout = self.client_timeout
        if timeout == openai.DEFAULT_TIMEOUT:
            # Ten minutes is the SDK's default: long for a queue, short for a film made at once.
            patience = _DIRECT_PATIENCE if order.is_direct else self.pace().enqueue_timeout
            if left is not None and not order.is_direct:
                # Not to the last second: an answer that is given up is an outcome unknown.
                patience = min(patience, max(left, _LEAST_PATIENCE))
            timeout = openai.Timeout(patience, connect=5.0)
        if order.is_direct:
            return direct_call(self.paths, order, timeout)
        return Call(
            method="post",
            path=self.paths.queue,
            body=order.body,
            read=lambda payload: payload,
            once=True,
            timeout=timeout,
        )

    def _accept(self, entry: Entry, outcome: Accepted) -> Steps[Entry]:
        notes = (*entry.notes, *outcome.notes)
        for note in outcome.notes:
            log.warning(note)
        items = tuple(MediaItem(generation_id=one) for one in outcome.generation_ids)
        in_hand = replace(entry, state="accepted", items=items, notes=notes)
        try:
            yield from run(self.journal.accepted, entry, outcome.generation_ids, notes)
        except JournalError as error:
            # Paid for: what the ledger cannot take must not get lost here, too.
            log.error("Accepted, but not written down (%s): %s", error, outcome.generation_ids)  # noqa: TRY400 - the ids matter, not the trace
            return in_hand
        return (yield from self._reload(entry)) or in_hand

    def _made(self, entry: Entry, items: list[MediaItem]) -> Steps[Entry]:
        yield from run(self.journal.made, entry, items)
        return replace((yield from self._reload(entry)), items=tuple(items))

    def _give_up(self, entry: Entry, order: Order, error: OxenError) -> Steps[None]:
        yield from run(self.journal.rejected, entry, error_record(error))
        rejected = replace(entry, state="rejected")
        yield from run(settle_elsewhere, order.intent.budget, self.journal, rejected)
        raise error

    def look_for(self, entry: Entry, cause: Exception | None, task: Task) -> Steps[Entry]:
        """Find the job that a doubtful request became, or say that it cannot be told."""
        found, pace = Found(why_not="it could not be looked for"), self.pace()
        patience = pace.lookup if task.left is None else min(pace.lookup, max(task.left, 3.0))
        until = time.monotonic() + patience
        seen: tuple[str, ...] = ()
        pause = pace.lookup_interval
        while entry.kind != "direct":
            found = yield from self._look(entry, found)
            ids = tuple(row.generation_id for row in found.adopted)
            # Twice the same: a second job like it may be listed a moment later.
            if ids and ids == seen:
                note = "The answer to the request was lost; its generations were found by their parameters."  # fmt: skip
                if (yield from run(self.journal.accepted, entry, ids, (*entry.notes, note))):
                    return (yield from self._reload(entry))
            seen = ids
            if time.monotonic() >= until or (task.haste.asked and not ids):
                break
            yield from sleep(min(pause, max(until - time.monotonic(), 0.05)), task.haste)
            pause = min(pause * 1.5, 5.0)
        record = error_record(cause) if cause else (entry.error or {"message": "its process ended"})
        yield from run(self.journal.unknown, entry, record)
        raise _doubt(entry, record, found) from cause

    def _look(self, entry: Entry, before: Found) -> Steps[Found]:
        """Look once, at everything the hub lists for the model."""
        filters: dict[str, Any] = {
            "model": entry.model,
            "namespace": entry.request.get("target_namespace"),
        }
        try:
            active = yield from self._listed(queue.list_call(self.paths, **filters), [])
            rows = {row.generation_id: row for row in active}
            for number in range(1, _LOOKUP_PAGES + 1):
                call = queue.generations_call(self.paths, page=number, page_size=1000, **filters)
                page = yield from self._listed(call, None)
                rows |= {row.generation_id: row for row in page.generations} if page else {}
                if page is None or number >= page.total_pages or goes_past(entry, page.generations):
                    break
        except OxenError as error:
            log.debug("Could not look for the job: %s", error)
            return before
        owners = yield from run(self.journal.owners, list(rows))
        rivals = yield from run(
            self.journal.unresolved, Scope(entry.hub, entry.account), besides=entry.entry_id
        )
        return match(entry, rows.values(), owners, rivals)

    def _listed(self, call: Call[Any], default: Any) -> Steps[Any]:
        try:
            return (yield from self._get(call))
        except NotFoundError:  # a hub without that route
            return default

    def _get(self, call: Call[T]) -> Steps[T]:
        return (yield from send(replace(call, timeout=self.pace().poll_timeout)))

    def _reload(self, entry: Entry) -> Steps[Entry]:
        return (yield from run(self.journal.get, entry.entry_id)) or entry

    # ------------------------------------------------------------------ wait, settle, fetch

    def conclude(self, task: Task) -> Steps[MediaResult]:
        yield from self._wait(task)
        return (yield from self.finish(task))

    def finish(self, task: Task) -> Steps[MediaResult]:
        """Settle and fetch what has ended. Raises `GenerationFailed`, `DownloadError`."""
        entry = task.known
        if entry.kind == "queue":
            yield from self.settle(task)
        result = task.known.result()
        if not result.succeeded:
            yield from self._collected(task)
            raise GenerationFailed(_failure(result), result=result)
        if task.wishes.save_to is not None:
            yield from task.tell("fetching")
            task.entry = yield from fetch_items(self, task.known, task.wishes.save_to)
        yield from self._collected(task)
        yield from task.tell("done")
        return task.known.result()

    def _collected(self, task: Task) -> Steps[None]:
        try:
            yield from run(self.journal.collected, task.known)
        except JournalError as error:
            log.error("Not written down (%s): the result was handed over", error)  # noqa: TRY400 - as above

    def _subscribe(self, task: Task) -> Subscription | None:
        entry = task.known
        pending = [i.generation_id for i in entry.items if i.generation_id and not i.is_terminal]
        if entry.kind != "queue" or not pending:
            return None
        task.subscription = self.watch.subscribe(
            self.new_event(),
            pending,
            media_type=entry.media_type,
            model=entry.model,
            namespace=entry.request.get("target_namespace"),
        )
        self.watching()
        return task.subscription

    def _wait(self, task: Task) -> Steps[None]:
        subscription = task.subscription or self._subscribe(task)
        if subscription is None:
            return
        yield from task.tell("waiting")
        while not subscription.is_done:
            left = task.left
            if left is not None and left <= 0:
                yield from self._timed_out(task, subscription.trouble)
                return
            rest = _HEARTBEAT if task.wishes.on_progress else _LONG_REST
            yield Pause(subscription.event, rest if left is None else min(rest, left))
            subscription.event.clear()
            yield from self._absorb(task, subscription.rows, write=False)
            news = subscription.trouble if subscription.trouble != task.trouble else None
            task.trouble = subscription.trouble
            yield from task.tell("trouble" if news else "waiting", news)
        yield from self._absorb(task, subscription.rows)

    def _absorb(
        self, task: Task, rows: Mapping[str, Generation], *, write: bool = True
    ) -> Steps[None]:
        entry = task.known
        items = tuple(
            item.updated(rows[one]) if (one := item.generation_id) and one in rows else item
            for item in entry.items
        )
        task.entry = replace(entry, items=items)
        if write:
            task.entry = yield from self.write(task.entry, task)

    def write(self, entry: Entry, task: Task | None = None) -> Steps[Entry]:
        """Put an entry's items in the ledger, and its known costs in the budget."""
        try:
            written = yield from run(self.journal.update, entry, entry.items)
        except JournalError as error:
            # It was paid for: a full disk must not keep it from the caller.
            log.error("Not written down (%s): %s", error, entry.generation_ids)  # noqa: TRY400 - the ids matter, not the trace
            return entry
        # What is in hand may be a part of the entry, and holds bytes that no ledger does.
        written = replace(written, items=entry.items)
        if task is not None:
            yield from run(settle_elsewhere, task.budget, self.journal, written)
        return written

    def settle(self, task: Task) -> Steps[None]:
        """Ask what it cost; a cost that is not there yet is asked for again, a few times."""
        entry = task.known
        if all(item.cost is not None for item in entry.items):
            return
        # Whether a job that made nothing is billed is not documented, so it is asked, once.
        again = self.pace().settle if entry.result().succeeded else ()
        for pause in (0.0, *again):
            yield from sleep(pause)
            rows = {}
            for item in task.known.items:
                if item.cost is None and item.generation_id:
                    row = yield from self._receipt(item.generation_id)
                    if row is not None and row.is_terminal:
                        rows[item.generation_id] = row
            if rows:
                yield from self._absorb(task, rows)
            if all(item.cost is not None for item in task.known.items):
                return

    def _receipt(self, generation_id: str) -> Steps[Generation | None]:
        """The job's full row, or the lean one where there is no other, or None for now."""
        for call in (
            queue.generation_call(self.paths, generation_id),
            queue.get_call(self.paths, generation_id),
        ):
            try:
                return (yield from self._get(call))
            except NotFoundError:  # noqa: PERF203 - the second call is for this case
                continue
            except OxenError as error:
                log.debug("Could not ask for %s: %s", generation_id, error)
                return None
        return None

    def refresh(self, entry: Entry) -> Steps[Entry]:
        """Ask once about every generation of an entry that is not settled."""
        rows = {}
        for item in entry.items:
            if item.generation_id and not (item.is_terminal and item.cost is not None):
                row = yield from self._receipt(item.generation_id)
                if row is not None:
                    rows[item.generation_id] = row
        task = Task(wishes=Wishes(), entry=entry)
        yield from self._absorb(task, rows)
        return task.known

    # ------------------------------------------------------------------ interrupts

    def _timed_out(self, task: Task, trouble: str | None) -> Steps[None]:
        if task.wishes.on_interrupt == "cancel":
            task.entry = yield from shielded(self.cancel(task.known))
            if task.entry.result().is_terminal:
                return  # what really happened is told by the items
        entry = task.known
        yield from task.tell("detached")
        because = f" Last trouble: {trouble}" if trouble else ""
        raise GenerationTimeout(
            f"Not finished after {task.wishes.timeout:g} s: {_going_on(entry)}{because}",
            result=entry.result(),
        )

    def _interrupted(self, task: Task, error: BaseException) -> Steps[None]:
        """Say what goes on without the caller, or stop it if that is what he wants."""
        if task.entry is None:
            return
        entry = yield from shielded(self._reload(task.entry))
        if entry.state != "accepted" or entry.kind != "queue":
            return
        if entry.result().is_terminal:
            message = f"Interrupted after the generation ended: {', '.join(entry.generation_ids)}."
        elif task.wishes.on_interrupt == "cancel":
            entry = yield from shielded(self.cancel(entry))
            message = f"Interrupted and cancelled: {_fates(entry)}."
        else:
            message = f"Interrupted: {_going_on(entry)}"
        task.entry = entry
        log.warning(message)
        if hasattr(error, "add_note"):
            error.add_note(message)

    def cancel(self, entry: Entry) -> Steps[Entry]:
        """Delete what has not ended, then ask what really happened: it may have finished."""
        for item in entry.items:
            if item.generation_id and not item.is_terminal:
                call = queue.cancel_call(self.paths, item.generation_id)
                try:
                    yield from self._get(call)
                except (BadRequestError, NotFoundError) as error:
                    log.debug("Not cancelled, being finished or gone: %s", error)
                except OxenError as error:
                    log.warning("Could not cancel %s: %s", item.generation_id, error)
        for pause in (0.0, *self.pace().settle):
            yield from sleep(pause)
            entry = yield from self.refresh(entry)
            if entry.result().is_terminal:
                break
        return entry


def _doubt(entry: Entry, record: Mapping[str, Any], found: Found) -> EnqueueOutcomeUnknown:
    ids = ", ".join(row.generation_id for row in found.candidates[:8])
    perhaps = f" It may be one of: {ids}." if ids else ""
    if entry.kind == "direct":
        why, then = "a direct generation has no id to look for", "its money stays reserved"
    else:
        why = found.why_not
        then = "client.media.reconcile() looks again; until then its money stays reserved"
    return EnqueueOutcomeUnknown(
        f"Whether Oxen accepted the request to {entry.model} cannot be told "
        f"({record.get('message')}), and {why}.{perhaps} It was not sent again, since that could "
        f"be a second bill: {then}. (Ledger entry {entry.entry_id}.)",
        result=entry.result(),
        candidates=found.candidates,
    )


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


def _going_on(entry: Entry) -> str:
    by = f"client.media.resume({entry.key!r})" if entry.key else "client.media.attach"
    ids = ", ".join(entry.generation_ids)
    return f"the generation goes on at Oxen as {ids}; {by} gets it back."


def _fates(entry: Entry) -> str:
    return "; ".join(f"{item.generation_id} is {item.status}" for item in entry.items)
