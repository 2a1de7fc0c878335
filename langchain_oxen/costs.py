"""What messages say of their cost."""

from __future__ import annotations

from langchain_core.messages import BaseMessage


def is_from_cache(message: BaseMessage) -> bool:
    """Whether an answer came from LangChain's cache, and cost nothing.

    LangChain marks it (`BaseChatModel._convert_cached_generations`).
    """
    usage = getattr(message, "usage_metadata", None) or {}
    return usage.get("total_cost") == 0
