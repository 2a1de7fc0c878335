"""Paid tool calls of a model's answer: the tool, the price, and what a person decided about each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain.agents.middleware.types import ModelRequest, ToolCallRequest
from langchain_core.messages import ToolCall
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import ToolException
from langgraph.runtime import Runtime
from pydantic import ValidationError

from langchain_oxen.approval import PricedCall, ask
from langchain_oxen.media_tool import OxenMediaTool
from langchain_oxen.tool_base import ToolRequest
from langchain_oxen.toolkit import OxenSubmitTool
from oxen_inference.tools.calls import problems_in

if TYPE_CHECKING:
    from oxen_inference.catalog.pricing import Quote
    from oxen_inference.ledger.budgets import Budget

PAID_TOOLS = (OxenMediaTool, OxenSubmitTool)
PaidTool = OxenMediaTool | OxenSubmitTool


class PaidCall(NamedTuple):
    """A paid call of an answer, its price, and what a person decided about it."""

    tool: PaidTool
    call: ToolCall
    request: ToolRequest
    quote: Quote
    decision: dict[str, Any] | None = None
    approved: PricedCall | None = None
    """The call as the person was shown it."""


def read_call(
    tool: PaidTool, call: ToolCall, config: RunnableConfig, budget: Budget | None = None
) -> PaidCall | None:
    """Return a call with its price; None for arguments that the tool does not take."""
    try:
        request = tool.read_request(call["args"], call["id"], config)
        return PaidCall(tool, call, request, tool.quote(call["args"], budget=budget))
    except (ValueError, TypeError):
        return None


def _problem_of_edit(tool: PaidTool, call: ToolCall, config: RunnableConfig) -> str | None:
    """Return why a call cannot be made with the arguments that a person gave it, or None."""
    try:
        tool.read_request(call["args"], call["id"], config)
        tool.quote(call["args"])
    except (ValueError, TypeError, ToolException) as error:
        cause = error.__cause__ if isinstance(error, ToolException) else error
        why = problems_in(cause) if isinstance(cause, ValidationError) else str(cause)
        return f"{tool.name} cannot be called with these arguments: {why.rstrip('.')}."
    return None


def paid_tool(call: ToolCall, request: ModelRequest[Any]) -> PaidTool | None:
    tools = (t for t in request.tools if isinstance(t, PAID_TOOLS) and t.name == call["name"])
    return next(tools, None)


def read_unanswered(
    call: ToolCall, request: ModelRequest[Any]
) -> Iterator[tuple[PaidTool, ToolRequest]]:
    """Yield the requests that a call may have become: its own, and the one a person made of it."""
    tool = paid_tool(call, request)
    if tool is None:
        return
    thread = thread_id(request.runtime)
    config = RunnableConfig(configurable={"thread_id": thread} if thread else {})
    state: Mapping[str, Any] = request.state
    kept = (state.get("oxen_decisions") or {}).get(str(call["id"])) or {}
    edited = kept.get("decision", {}).get("edited_action") or {}
    for arguments in filter(None, (call["args"], edited.get("args"))):
        with suppress(ValueError, TypeError, ToolException):  # arguments that were never sent
            yield tool, tool.read_request(arguments, call["id"], config)


def apply_decision(
    request: ToolCallRequest, tool: PaidTool, pending: PaidCall
) -> ToolCallRequest | dict[str, Any]:
    """Return the approved request, which cannot cost more than was approved, or the rejection.

    An edit that the tool does not take is asked about again. So is a call that costs more than the
    person was shown, since the price rose or the person edited it. Raises `GraphInterrupt`.
    """
    config = request.runtime.config
    call, decision, problem = request.tool_call, pending.decision, None
    shown = pending.approved or PricedCall.of(call, pending.quote)
    while True:
        if decision is None:
            (decision,) = ask([shown], config, problem=problem)
            problem = None
        if decision["type"] == "reject":
            return decision
        if decision["type"] == "edit":
            edited: ToolCall = {**call, "args": decision["edited_action"]["args"]}
            problem = _problem_of_edit(tool, edited, config)
            if problem is not None:
                decision = None
                continue
            call = edited
        budget = getattr(request.tool, "budget", None)
        now = read_call(tool, call, config, budget)
        limit = shown.max_cost
        is_dearer = now is not None and (now.quote.high is None or now.quote.high > (limit or 0))
        if limit is None or not is_dearer:
            assert isinstance(request.tool, PAID_TOOLS)  # noqa: S101 - the caller saw it
            return request.override(tool=request.tool.capped(limit), tool_call=call)
        assert now is not None  # noqa: S101 - it is dearer
        shown, decision = PricedCall.of(call, now.quote), None


def thread_id(runtime: Runtime[Any]) -> str | None:
    thread = getattr(getattr(runtime, "execution_info", None), "thread_id", None)
    return None if thread is None else str(thread)
