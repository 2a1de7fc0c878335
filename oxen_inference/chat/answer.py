"""The answer of a chat model: its parts while it streams, and the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from oxen_inference.chat.finish_reasons import is_filtered, is_refusal
from oxen_inference.chat.usage import StatedCost, Usage
from oxen_inference.money import read_money


@dataclass(frozen=True, slots=True)
class Expected:
    """What a request says about its answer."""

    tool_names: Mapping[str, str] = field(default_factory=dict)
    """Name of a tool as it was sent → its original, for the names that had to change."""
    is_object: bool = False
    """Whether the text is a JSON object: a ``<think>`` before it is reasoning."""
    needs_call: bool = False
    """Whether the answer must call a tool, although the request could not force it."""


NOTHING_EXPECTED = Expected()


@dataclass(slots=True)
class ToolDelta:
    """A fragment of one tool call.

    `id` and `name` come once; `arguments` is JSON text to append to what came before.
    """

    index: int
    """Position of the call in the answer, counted from 0, whatever index the upstream gave it."""
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(slots=True)
class ToolCall:
    """A complete tool call; `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str
    extra: dict[str, Any] | None = None
    """``extra_content`` of the call (Gemini's thought signature), to be sent back unchanged."""


@dataclass(slots=True)
class Answer:
    """A complete answer, or the part of it that arrived before an error."""

    text: str = ""
    reasoning: str = ""
    reasoning_details: list[dict[str, Any]] = field(default_factory=list)
    """The provider's own reasoning blocks (signed or encrypted), to be sent back unchanged."""
    reasoning_field: str = "reasoning_details"
    """The field of a message that holds those blocks, in both directions."""
    refusal: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Usage | None = None
    logprobs: dict[str, Any] | None = None
    id: str | None = None
    model: str | None = None
    cost: Decimal | None = None
    """USD: what the answer states, else what it costs by the catalog's prices; None: unknown."""
    cost_estimate: Decimal | None = None
    """USD with all tokens at the list price, where only that is known."""
    cost_source: Literal["stated", "computed", "estimated"] | None = None
    """Which of them counts."""
    cost_stated: StatedCost | None = None
    """What the answer states, in whichever currency."""
    cost_computed: Decimal | None = None
    """USD by the catalog's prices, where every token has one."""
    cost_charged: Decimal | None = None
    """USD that a budget counts: the higher one where the stated and the computed cost disagree."""
    extras: dict[str, Any] = field(default_factory=dict)
    """Output other than text, as the model gave it: images, audio, annotations, other parts."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Further facts about the answer: created, system_fingerprint, service_tier, …"""

    @property
    def refused(self) -> bool:
        """Whether the model, or its provider's filter, declined to answer."""
        if self.refusal or is_refusal(self.finish_reason):
            return True
        return is_filtered(self.finish_reason) and not (self.text or self.tool_calls)

    def cost_fields(self) -> dict[str, str]:
        """Return what is known of the cost as strings, amounts in decimal USD.

        ``cost`` or ``cost_estimate``, and ``cost_source``; ``cost_stated`` and ``cost_computed``,
        with ``cost_currency`` where that is not USD; ``cost_charged`` where a budget counts more
        than ``cost``.
        """
        stated = self.cost_stated
        is_foreign = stated is not None and not stated.is_in_dollars
        is_charged_more = self.cost_charged not in (None, self.cost, self.cost_estimate)
        amounts = {
            "cost": self.cost,
            "cost_estimate": self.cost_estimate,
            "cost_stated": None if stated is None else stated.amount,
            "cost_computed": self.cost_computed,
            "cost_charged": self.cost_charged if is_charged_more else None,
        }
        texts = {
            "cost_source": self.cost_source,
            "cost_currency": stated.currency if stated is not None and is_foreign else None,
        }
        return {
            **{name: f"{amount:f}" for name, amount in amounts.items() if amount is not None},
            **{name: text for name, text in texts.items() if text is not None},
        }


CHARGED_TO = "charged_to"
"""Under this name an answer's metadata has the account of the budget that paid for it."""


def charged_cost(fields: Mapping[str, Any]) -> Decimal | None:
    """Return the USD that a budget counts for an answer with these `Answer.cost_fields`."""
    names = ("cost_charged", "cost", "cost_estimate")
    return next((read_money(fields[name]) for name in names if fields.get(name) is not None), None)


@dataclass(slots=True)
class Delta:
    """One step of a streamed answer. Only the last one has `end`."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tools: list[ToolDelta] | tuple[()] = ()
    logprobs: dict[str, Any] | None = None
    end: Answer | None = None
    """The complete answer."""
