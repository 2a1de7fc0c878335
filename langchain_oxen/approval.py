"""Asks a person to approve an expensive tool call: the interrupt with its price, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.messages import ToolMessage
from langchain_core.runnables.config import set_config_context
from langgraph.types import Command, interrupt

from oxen_inference.tools import text

if TYPE_CHECKING:
    from oxen_inference.catalog.pricing import Quote

_DECISIONS = {"yes": "approve", "y": "approve", "no": "reject", "n": "reject"}
_EDITED = (
    "Note: a person changed this call before it ran, on purpose. It ran with {arguments}. "
    "Do not repeat the original call.\n\n"
)


def request_approval(request: ToolCallRequest, quote: Quote) -> ToolCallRequest | ToolMessage:
    """Return the approved call, or the message the model reads instead. Raises `GraphInterrupt`."""
    call = request.tool_call
    decision = _interrupt_until_valid(request, _approval_request(request, quote))
    if decision["type"] == "approve":
        return request
    if decision["type"] == "edit":
        args = decision["edited_action"].get("args") or {}
        return request.override(tool_call={**call, "args": args})
    return ToolMessage(
        text.declined(decision.get("message")),
        name=call["name"],
        tool_call_id=call["id"],
        status="error",
    )


def note_edit(
    response: ToolMessage | Command[Any], executed: ToolCallRequest, original: ToolCallRequest
) -> ToolMessage | Command[Any]:
    """Return the response with a note for the model where a person changed its call."""
    arguments = executed.tool_call["args"]
    if arguments == original.tool_call["args"] or not isinstance(response, ToolMessage):
        return response
    note = _EDITED.format(arguments=arguments)
    return response.model_copy(update={"content": f"{note}{response.text}"})


def _approval_request(request: ToolCallRequest, quote: Quote) -> dict[str, Any]:
    """Return the interrupt's value: LangChain's `ToolApprovalRequest`, and the price."""
    call = request.tool_call
    return {
        "type": "tool_approval",
        "tool_call_id": call["id"],
        "name": call["name"],
        "args": call["args"],
        "description": text.asked_about(call["name"], call["args"], quote),
        "price": {
            "low": None if quote.low is None else format(quote.low, "f"),
            "high": None if quote.high is None else format(quote.high, "f"),
            "currency": "USD",
        },
    }


def _interrupt_until_valid(request: ToolCallRequest, question: dict[str, Any]) -> dict[str, Any]:
    """Ask until the answer can be carried out. Raises `GraphInterrupt`."""
    value = question
    # Explicitly: on Python 3.10 no coroutine inherits the task that an interrupt belongs to.
    with set_config_context(request.runtime.config) as context:
        while True:
            answer = context.run(interrupt, value)
            decision = _read_decision(answer)
            problem = _find_problem(answer, decision, request.tool_call["name"])
            if decision is not None and problem is None:
                return decision
            description = f"{problem} {question['description']}"
            value = {**question, "description": description, "problem": problem}


def _find_problem(answer: Any, decision: dict[str, Any] | None, tool: str) -> str | None:
    """Return why an answer cannot be carried out, or None."""
    if decision is None:
        return f"The answer must be approve, reject or edit; {answer!r} is none of them."
    other = decision["edited_action"].get("name") if decision["type"] == "edit" else None
    if other is None or other == tool:
        return None
    return (
        f"An edit changes the arguments of {tool} and cannot turn the call into one of {other}: "
        "nothing was made. Reject it, with a message that asks for the other."
    )


def _read_decision(answer: Any) -> dict[str, Any] | None:
    """Read a decision: LangChain's, alone or in a list, or a plain yes or no."""
    if isinstance(answer, Mapping) and "decisions" in answer:
        answer = answer["decisions"]
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, bool):
        answer = "approve" if answer else "reject"
    if isinstance(answer, str):
        word = answer.strip().lower()
        answer = {"type": _DECISIONS.get(word, word)}
    if not isinstance(answer, Mapping) or answer.get("type") not in ("approve", "reject", "edit"):
        return None
    if answer["type"] == "edit" and not isinstance(answer.get("edited_action"), Mapping):
        return None
    return dict(answer)
