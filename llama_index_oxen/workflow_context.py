"""What a tool knows of the workflow that calls it: which call it is, and how to ask a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

from llama_index_oxen.events import OxenSpendingDecision, OxenSpendingRequest
from llama_index_oxen.tool_result import OxenToolResult
from oxen_inference.tools import text
from oxen_inference.tools.calls import call_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from llama_index.core.workflow import Context

    from oxen_inference.catalog.models import Model

_CONVERSATION = "oxen_conversation"


@dataclass(frozen=True, slots=True)
class CallSite:
    """Which call of which run a tool is in.

    `conversation` is kept in the context's store, so that it survives in a context that is saved
    and resumed, which gets another run id.
    """

    conversation: str
    run: str
    tool_id: str | None

    def key(self, tool_name: str, model_id: str, arguments: Mapping[str, Any]) -> str:
        """Return the exactly-once key of a call.

        A step that calls a tool itself has no tool-call id. Its call is identified by its arguments
        within the run, since a step runs again from the top after `ctx.wait_for_event`.
        """
        if self.tool_id:
            return call_key(self.conversation, self.tool_id, model_id, arguments)
        return call_key(f"{self.conversation}:{self.run}", tool_name, model_id, arguments)


async def read_call_site(ctx: Context) -> CallSite:
    """Return the call site of the step that is running."""
    run = _run_id()
    conversation = await ctx.store.get(_CONVERSATION, default=None)
    if conversation is None:
        conversation = run or uuid4().hex
        try:
            await ctx.store.set(_CONVERSATION, conversation)
        except (AttributeError, KeyError, TypeError, ValueError):
            # A typed state has no field for it. The run's own id serves until the run ends.
            conversation = run or f"context-{id(ctx)}"
    return CallSite(f"llama-index:{conversation}", run or "", _tool_id())


def _run_id() -> str | None:
    from llama_index_instrumentation.dispatcher import active_instrument_tags

    run_id = active_instrument_tags.get().get("llamaindex.run_id")
    return None if run_id is None else str(run_id)


def _tool_id() -> str | None:
    # Core does not pass a tool the id of its call; the event of the running step has it.
    try:
        from workflows.runtime.types.results import StepWorkerStateContextVar
    except ImportError:  # pragma: no cover - every version so far has it there
        return None
    step = StepWorkerStateContextVar.get(None)
    tool_id = getattr(getattr(step, "event", None), "tool_id", None)
    return str(tool_id) if tool_id else None


def needs_approval(above: Decimal | None, model: Model, params: Mapping[str, Any]) -> bool:
    """Whether a call costs more than `above` USD, or an unknown amount."""
    from oxen_inference.catalog.pricing import quote

    if above is None:
        return False
    high = quote(model, params).high
    return high is None or high > above or above == 0


def raise_cannot_ask(tool: str) -> NoReturn:
    """Raise `ConfigurationError` for a call that needs approval where nobody can be asked."""
    from oxen_inference.errors import ConfigurationError

    raise ConfigurationError(
        f"{tool} must ask before it spends this much (confirm_above), and it can ask only in a "
        "workflow, when it is awaited. Call it there, or make the spec without confirm_above."
    )


async def request_approval(
    ctx: Context, site: CallSite, tool: str, model: Model, params: Mapping[str, Any]
) -> OxenToolResult | None:
    """Ask a person; return None if the call is approved, else what the model reads instead.

    The tool runs again from the top when the answer comes, so nothing may be paid before this.
    """
    call = site.key(tool, model.id, params)
    decision = await ctx.wait_for_event(
        OxenSpendingDecision,
        waiter_event=_spending_request(call, site, tool, model, params),
        waiter_id=f"oxen:{call}",
        requirements={"call": call},
        timeout=None,  # a person may take any time
    )
    if decision.approved:
        return None
    return OxenToolResult(text=text.declined(decision.reason), is_error=True)


def _spending_request(
    call: str, site: CallSite, tool: str, model: Model, params: Mapping[str, Any]
) -> OxenSpendingRequest:
    from oxen_inference.catalog.pricing import quote

    price = quote(model, params)
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
