"""What a tool knows of the workflow that calls it: which call it is, and how to ask a person."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

from workflows.context.state_store import DictState

from llama_index_oxen.events import OxenSpendingDecision, OxenSpendingRequest
from llama_index_oxen.unheard import warn_if_unheard
from oxen_inference.money import read_money
from oxen_inference.tools import text
from oxen_inference.tools.calls import call_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llama_index.core.workflow import Context

    from oxen_inference.catalog.models import Model
    from oxen_inference.catalog.pricing import Quote

_CONVERSATION, _QUESTION = "oxen_conversation", "oxen_question_"
"""Names in the context's store, which survives in a context that is saved and resumed."""
_NO_ROOM = (AttributeError, KeyError, TypeError, ValueError)  # of a typed state without that field
_WAITER = "oxen:"


@dataclass(frozen=True, slots=True)
class CallSite:
    """Which call of which run a tool is in.

    `conversation` is kept in the context's store: a resumed context gets another run id. `step` is
    the invocation of the step that is running, which keeps its id when it runs again, also in a
    context that was saved and resumed.
    """

    conversation: str
    step: str
    tool_id: str | None

    def key(self, tool_name: str, model_id: str, arguments: Mapping[str, Any]) -> str:
        """Return the exactly-once key of a call.

        A step that calls a tool itself has no tool-call id. Its call is identified by its arguments
        within the step, since a step runs again from the top after `ctx.wait_for_event`.
        """
        if self.tool_id:
            return call_key(self.conversation, self.tool_id, model_id, arguments)
        return call_key(f"{self.conversation}:{self.step}", tool_name, model_id, arguments)


async def read_call_site(ctx: Context) -> CallSite:
    """Return the call site of the step that is running."""
    run, step = _run_id(), _running_step()
    conversation = await ctx.store.get(_CONVERSATION, default=None)
    if conversation is None:
        conversation = run or uuid4().hex
        if not await _keep(ctx, _CONVERSATION, conversation):
            conversation = run or f"context-{id(ctx)}"
    state = getattr(step, "state", None)
    invocation = getattr(state, "work_item_id", None) or run or ""
    step_name = getattr(state, "step_name", "")
    tool_id = getattr(getattr(step, "event", None), "tool_id", None)
    return CallSite(
        f"llama-index:{conversation}",
        f"{step_name}:{invocation}",
        str(tool_id) if tool_id else None,
    )


async def _keep(ctx: Context, key: str, value: Any) -> bool:
    """Write a value to the context's store; False where its typed state has no field for it."""
    try:
        await ctx.store.set(key, value)
    except _NO_ROOM:
        return False
    return True


def _run_id() -> str | None:
    from llama_index_instrumentation.dispatcher import active_instrument_tags

    run_id = active_instrument_tags.get().get("llamaindex.run_id")
    return None if run_id is None else str(run_id)


def _running_step() -> Any:
    # Core tells a tool neither the id of its call nor its step; the state of the step has both.
    try:
        from workflows.runtime.types.results import StepWorkerStateContextVar
    except ImportError:  # pragma: no cover - every version so far has it there
        return None
    return StepWorkerStateContextVar.get(None)


def raise_cannot_ask(tool: str) -> NoReturn:
    """Raise `ConfigurationError` for a call that needs approval where nobody can be asked."""
    from oxen_inference.errors import ConfigurationError

    raise ConfigurationError(
        f"{tool} must ask before it spends this much (confirm_above), and it can ask only in a "
        "workflow, when it is awaited. Call it there, or make the spec without confirm_above."
    )


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's answer to the question about a call."""

    call: str
    decision: OxenSpendingDecision
    max_cost: Decimal | None
    """USD that the question named as the highest price; None where it was not known."""

    def limit(self, max_cost: Any) -> Any:
        """Return the most that the call may cost: not more than was approved."""
        limits = [each for each in (read_money(max_cost), self.max_cost) if each is not None]
        return min(limits, default=None)


async def earlier_approval(ctx: Context, site: CallSite) -> Approval | None:
    """Return the answer to the question that this tool call has asked before; None if it has not.

    It waits for the answer before anything else can go another way than it did the first time: a
    step that ends while its question is open runs once more when the answer comes.
    """
    if site.tool_id is None:
        return None
    prefix = f"{_WAITER}{site.conversation}:{site.tool_id}:"
    asked = next((w.waiter_id for w in _waiters() if w.waiter_id.startswith(prefix)), None)
    if asked is None:
        return None
    return await _wait(ctx, asked.removeprefix(_WAITER), None)


def was_asked(call: str) -> bool:
    """Whether this step has asked about a call already, and must go on to wait for the answer."""
    return any(waiter.waiter_id == f"{_WAITER}{call}" for waiter in _waiters())


async def ask(
    ctx: Context,
    site: CallSite,
    tool: str,
    model: Model,
    params: Mapping[str, Any],
    price: Quote,
) -> Approval:
    """Ask a person and return the answer.

    The tool runs again from the top when the answer comes, so nothing may be paid before this. The
    question is kept in the context, and is asked again where a saved context is resumed.
    """
    call = site.key(tool, model.id, params)
    return await _wait(ctx, call, _spending_request(call, site, tool, model, params, price))


async def open_questions(ctx: Context) -> list[OxenSpendingRequest]:
    """Return the questions that nobody has answered yet."""
    state = await ctx.store.get_state()
    kept = state.items() if isinstance(state, DictState) else ()
    return [
        OxenSpendingRequest(**row["question"])
        for name, row in kept
        if name.startswith(_QUESTION) and not row["answered"]
    ]


async def _wait(ctx: Context, call: str, question: OxenSpendingRequest | None) -> Approval:
    kept = await ctx.store.get(_question_name(call), default=None)
    if kept is not None:
        question = OxenSpendingRequest(**kept["question"])
    elif question is not None:
        await _keep_question(ctx, question, answered=False)
    waiter = next((w for w in _waiters() if w.waiter_id == f"{_WAITER}{call}"), None)
    if question is not None and waiter is not None and waiter.resolved_event is None:
        ctx.write_event_to_stream(question)  # core asks once, and the context was resumed
    if question is not None and (waiter is None or waiter.resolved_event is None):
        warn_if_unheard(ctx, question)
    decision = await ctx.wait_for_event(
        OxenSpendingDecision,
        waiter_event=question,
        waiter_id=f"{_WAITER}{call}",
        requirements={"call": call},
        timeout=None,  # a person may take any time
    )
    if question is not None:
        await _keep_question(ctx, question, answered=True)
    high = None if question is None else question.price_high
    return Approval(call, decision, None if high is None else Decimal(high))


async def _keep_question(ctx: Context, question: OxenSpendingRequest, *, answered: bool) -> None:
    row = {"question": question.model_dump(), "answered": answered}
    await _keep(ctx, _question_name(question.call), row)


def _question_name(call: str) -> str:
    # One name for each: calls side by side ask at the same time. A dot would mean a nested value.
    return f"{_QUESTION}{hashlib.sha256(call.encode()).hexdigest()[:16]}"


def _waiters() -> Any:
    return getattr(getattr(_running_step(), "state", None), "collected_waiters", ())


def _spending_request(
    call: str,
    site: CallSite,
    tool: str,
    model: Model,
    params: Mapping[str, Any],
    price: Quote,
) -> OxenSpendingRequest:
    return OxenSpendingRequest(
        call=call,
        tool_name=tool,
        tool_id=site.tool_id,
        model=model.id,
        arguments=text.without_bytes(dict(params)),
        price_low=None if price.low is None else format(price.low, "f"),
        price_high=None if price.high is None else format(price.high, "f"),
        description=text.asked_about(tool, params, price),
    )
