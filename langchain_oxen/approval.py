"""Asks a person to approve tool calls: one question for a turn, with prices, and its answers.

The question has the shape of LangChain's `HumanInTheLoopMiddleware`, so that ready-made interfaces
show it. https://docs.langchain.com/oss/python/langchain/human-in-the-loop
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from langchain_core.messages import ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import set_config_context
from langgraph.types import Command, interrupt

from oxen_inference.money import usd
from oxen_inference.tools import text

if TYPE_CHECKING:
    from oxen_inference.catalog.pricing import Quote

_WORDS = {True: "approve", False: "reject", "yes": "approve", "y": "approve", "no": "reject", "n": "reject"}  # fmt: skip
_DECISIONS = ("approve", "edit", "reject")
_EDITED = (
    "Note: a person changed this call on purpose. Its arguments were {arguments}. "
    "Do not repeat the original call.\n\n"
)


@dataclass(frozen=True, slots=True)
class PricedCall:
    """A call that a person is asked about, with its price as it is shown; USD."""

    call: ToolCall
    low: str | None
    high: str | None
    description: str

    @classmethod
    def of(cls, call: ToolCall, quote: Quote) -> PricedCall:
        low, high = (None if p is None else format(p, "f") for p in (quote.low, quote.high))
        return cls(call, low, high, text.asked_about(call["name"], call["args"], quote))

    @classmethod
    def from_state(cls, call: ToolCall, kept: Mapping[str, Any]) -> PricedCall:
        return cls(call, kept["low"], kept["high"], kept["description"])

    def as_state(self) -> dict[str, Any]:
        """Return what is kept in a checkpoint."""
        return {
            "arguments": digest(self.call["args"]),
            "low": self.low,
            "high": self.high,
            "description": self.description,
        }

    @property
    def max_cost(self) -> Decimal | None:
        """The most that the call may cost once it is approved; None where that is not known."""
        return None if self.high is None else Decimal(self.high)


def digest(arguments: Mapping[str, Any]) -> str:
    """Return a short text that stands for a call's arguments."""
    written = json.dumps(arguments, sort_keys=True, default=str)
    return hashlib.sha256(written.encode()).hexdigest()[:16]


def ask(
    calls: Sequence[PricedCall],
    config: RunnableConfig,
    left: Decimal | None = None,
    problem: str | None = None,
) -> list[dict[str, Any]]:
    """Ask a person about calls until the answer can be carried out; return a decision for each.

    `left`: USD that are left of the budget. `problem`: why the answer before could not be carried
    out. Raises `GraphInterrupt`.
    """
    question = _question(calls, left)
    # Explicitly: on Python 3.10 no coroutine inherits the task that an interrupt belongs to.
    with set_config_context(config) as context:
        while True:
            value = question
            if problem is not None:
                description = f"{problem} {question['description']}"
                value = {**question, "description": description, "problem": problem}
            decisions, problem = _read_answer(context.run(interrupt, value), calls)
            if problem is None:
                return decisions


def refusal(call: ToolCall, decision: Mapping[str, Any], *, is_paid: bool) -> ToolMessage:
    """Return what the model reads in place of the result of a call that a person rejected."""
    return ToolMessage(
        text.declined(decision.get("message"), is_paid=is_paid),
        name=call["name"],
        tool_call_id=call["id"],
        status="error",
    )


def note_edit(
    response: ToolMessage | Command[Any], arguments: Mapping[str, Any], original: ToolCall
) -> ToolMessage | Command[Any]:
    """Return the response with a note for the model where a person changed its call."""
    if arguments == original["args"] or not isinstance(response, ToolMessage):
        return response
    note = _EDITED.format(arguments=arguments)
    return response.model_copy(update={"content": f"{note}{response.text}"})


def _question(calls: Sequence[PricedCall], left: Decimal | None) -> dict[str, Any]:
    return {
        "action_requests": [
            {
                "name": each.call["name"],
                "args": each.call["args"],
                "description": each.description,
                "tool_call_id": each.call["id"],
                "price": _price(each.low, each.high),
            }
            for each in calls
        ],
        "review_configs": [
            {"action_name": each.call["name"], "allowed_decisions": list(_DECISIONS)}
            for each in calls
        ],
        "description": _describe(calls, left),
        "price": _price(_sum(c.low for c in calls), _sum(c.high for c in calls)),
    }


def _describe(calls: Sequence[PricedCall], left: Decimal | None) -> str:
    if len(calls) == 1:
        return calls[0].description
    total = _sum(each.high for each in calls)
    costs = "at a price that is not known" if total is None else f"up to {usd(Decimal(total))}"
    lines = [f"{len(calls)} calls, together {costs}. Go ahead?", *(c.description for c in calls)]
    if left is not None and total is not None and Decimal(total) > left:
        lines.append(f"The budget has {usd(left)} left, which is not enough for all of them.")
    return "\n".join(lines)


def _price(low: str | None, high: str | None) -> dict[str, Any]:
    return {"low": low, "high": high, "currency": "USD"}


def _sum(amounts: Any) -> str | None:
    known = list(amounts)
    return None if None in known else format(sum(map(Decimal, known), Decimal(0)), "f")


def _read_answer(
    answer: Any, calls: Sequence[PricedCall]
) -> tuple[list[dict[str, Any]], str | None]:
    """Read LangChain's decisions, one of them, or a plain yes or no, which is for all calls.

    Returns the decisions, and what is wrong with them or None.
    """
    if isinstance(answer, Mapping) and "decisions" in answer:
        answer = answer["decisions"]
    word = answer.strip().lower() if isinstance(answer, str) else answer
    if isinstance(word, str | bool):
        answer = [{"type": _WORDS.get(word, word)}] * len(calls)
    elif not isinstance(answer, list):
        answer = [answer]
    if len(answer) != len(calls):
        return [], f"There are {len(calls)} calls, and {len(answer)} decisions."
    for each, decision in zip(calls, answer, strict=True):
        if problem := _find_problem(decision, each.call["name"]):
            return [], problem
    return [dict(decision) for decision in answer], None


def _find_problem(decision: Any, tool: str) -> str | None:
    """Return why a decision cannot be carried out, or None."""
    kind = decision.get("type") if isinstance(decision, Mapping) else None
    edited = decision.get("edited_action") if kind == "edit" else {}
    if (
        kind == "edit"
        and isinstance(edited, Mapping)
        and not isinstance(edited.get("args"), Mapping)
    ):
        return (
            f"An edit of {tool} gives all its arguments: {{'type': 'edit', 'edited_action': "
            f"{{'name': {tool!r}, 'args': {{...}}}}}}."
        )
    if kind not in _DECISIONS or not isinstance(edited, Mapping):
        return f"The answer must be approve, reject or edit; {decision!r} is none of them."
    if edited.get("name") in (None, tool):
        return None
    return (
        f"An edit changes the arguments of {tool} and cannot turn the call into one of "
        f"{edited['name']}: nothing was made. Reject it, with a message that asks for the other."
    )
