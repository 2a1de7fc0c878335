"""A person's say before money is spent: the question with its price, and the wait for an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from llama_index_oxen.events import OxenSpendingDecision, OxenSpendingRequest
from llama_index_oxen.tool_result import OxenToolResult

if TYPE_CHECKING:
    from decimal import Decimal

    from llama_index.core.workflow import Context

    from llama_index_oxen.run_context import Place
    from oxen_inference.catalog.models import Model


def must_ask(above: Decimal | None, model: Model, params: Mapping[str, Any]) -> bool:
    """Whether a call costs more than may be spent unasked, or an unknown amount."""
    from oxen_inference.catalog.pricing import quote

    if above is None:
        return False
    high = quote(model, params).high
    return high is None or high > above or above == 0


def refuse_unasked(tool: str) -> NoReturn:
    """Raise `ConfigurationError`: there is nobody to ask."""
    from oxen_inference.errors import ConfigurationError

    raise ConfigurationError(
        f"{tool} has to ask before it spends this much (confirm_above), and can ask only in a "
        "workflow, when it is awaited. Call it there, or make the spec without confirm_above."
    )


async def asked_first(
    ctx: Context, place: Place, tool: str, model: Model, params: Mapping[str, Any]
) -> OxenToolResult | None:
    """Ask, and return what the model is told if the answer is no.

    The tool is run again from the top when the answer comes, so nothing may be paid before this.
    """
    call = place.key(tool, model.id, params)
    decision = await ctx.wait_for_event(
        OxenSpendingDecision,
        waiter_event=_question(call, place, tool, model, params),
        waiter_id=f"oxen:{call}",
        requirements={"call": call},
        timeout=None,  # people sleep
    )
    if decision.approved:
        return None
    why = f" The reason: {decision.reason}" if decision.reason else ""
    return OxenToolResult(
        text=f"A person said no to this call, and it was not made.{why} Do not repeat it unless "
        "the user asks for it.",
        is_error=True,
    )


def _question(
    call: str, place: Place, tool: str, model: Model, params: Mapping[str, Any]
) -> OxenSpendingRequest:
    from oxen_inference.catalog.pricing import quote
    from oxen_inference.tools.text import asked_about, without_bytes

    price = quote(model, params)
    return OxenSpendingRequest(
        call=call,
        tool_name=tool,
        tool_id=place.tool_id,
        model=model.id,
        arguments=without_bytes(dict(params)),
        price_low=None if price.low is None else format(price.low, "f"),
        price_high=None if price.high is None else format(price.high, "f"),
        description=asked_about(tool, params, price),
    )
