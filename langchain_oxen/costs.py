"""What messages say of their cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.messages import BaseMessage

if TYPE_CHECKING:
    from oxen_inference.ledger.budgets import Budget


def is_from_cache(message: BaseMessage) -> bool:
    """Whether an answer came from LangChain's cache, and cost nothing.

    LangChain marks it (`BaseChatModel._convert_cached_generations`).
    """
    usage = getattr(message, "usage_metadata", None) or {}
    return usage.get("total_cost") == 0


def is_charged_to(message: BaseMessage, budget: Budget) -> bool:
    """Whether the model's own budget, which paid for an answer, is this one."""
    return bool(message.response_metadata.get("charged_to") == budget.account)
