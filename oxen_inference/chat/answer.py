"""The answer of a chat model: its parts while it streams, and the whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from oxen_inference.chat.usage import Usage


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
    """USD, by the catalog's prices; None where it is unknown."""
    cost_estimate: Decimal | None = None
    """USD with all tokens at the list price, where only that is known."""
    extras: dict[str, Any] = field(default_factory=dict)
    """Output other than text, as the model gave it: images, audio, annotations."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Further facts about the answer: created, system_fingerprint, service_tier, …"""

    def cost_fields(self) -> dict[str, str]:
        """Return ``cost`` or ``cost_estimate`` as a decimal string in USD, where it is known."""
        costs = {"cost": self.cost, "cost_estimate": self.cost_estimate}
        return {name: f"{amount:f}" for name, amount in costs.items() if amount is not None}


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
