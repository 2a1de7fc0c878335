"""A warning for a question before spending that nobody can answer, since nobody reads the events."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import TYPE_CHECKING, Any

from workflows.plugins.basic import AsyncioAdapterQueues

from llama_index_oxen.events import OxenSpendingDecision, OxenSpendingRequest

if TYPE_CHECKING:
    from llama_index.core.workflow import Context

log = logging.getLogger("oxen_inference.media")

_PATIENCE = 10.0  # seconds


def warn_if_unheard(ctx: Context, question: OxenSpendingRequest) -> None:
    """Warn once, some seconds from now, if nobody has read the question by then.

    A question that was read may stay open for as long as the person wants. A run that ended or was
    canceled waits for nobody.
    """
    run = _run_of(ctx)
    if run is not None:
        # No task: a timer ends with its loop, and keeps neither the loop nor the run alive.
        asyncio.get_running_loop().call_later(_PATIENCE, _check, weakref.ref(run), question)


def _run_of(ctx: Context) -> AsyncioAdapterQueues | None:
    # Core does not tell a step whether anybody reads its events; the queues of the run do. On a
    # runtime that is not core's own there are none.
    adapter: Any = getattr(getattr(ctx, "_face", None), "_internal_adapter", None)
    while hasattr(adapter, "_decorated"):
        adapter = adapter._decorated
    queues = getattr(adapter, "_queues", None)
    return queues if isinstance(queues, AsyncioAdapterQueues) else None


def _check(reference: weakref.ref[AsyncioAdapterQueues], question: OxenSpendingRequest) -> None:
    run = reference()
    if run is None or run.complete.done() or run.stream_lock.locked():  # a reader holds the lock
        return
    unread = getattr(run.publish_queue, "_queue", ())  # asyncio has no other way to look into one
    if not any(_is_about(event, OxenSpendingRequest, question) for event in unread):
        return
    ticks = (getattr(tick, "event", None) for tick in run.ticks)
    if any(_is_about(event, OxenSpendingDecision, question) for event in ticks):
        return
    price = "an unknown amount" if question.price_high is None else f"up to ${question.price_high}"
    log.warning(
        "%s waits for a person's answer before it spends %s, and nobody reads the events of the "
        "run. Read handler.stream_events(), and answer each OxenSpendingRequest in it: "
        "handler.ctx.send_event(OxenSpendingDecision(call=event.call, approved=True)). Or make the "
        "spec without confirm_above.",
        question.tool_name,
        price,
    )


def _is_about(event: object, kind: type, question: OxenSpendingRequest) -> bool:
    return isinstance(event, kind) and getattr(event, "call", None) == question.call
