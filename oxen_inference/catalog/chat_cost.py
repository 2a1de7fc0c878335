"""The cost of a chat answer, by its token counts. USD, in `Decimal`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

_PRICED_APART = (
    "cached_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
    "cache_creation_tokens", "audio_tokens", "image_tokens",
)  # fmt: skip


def chat_cost(model: Model, usage: Mapping[str, Any] | None) -> Decimal | None:
    """Return what a chat answer cost, by its `usage` as received; None where that is unknown.

    Compute time is unknown, and so are tokens without a published price (cached or audio ones).
    """
    pricing = model.pricing
    if pricing is None or pricing.method not in (None, "token") or not usage:
        return None
    counts = _token_counts(usage)
    if counts is None or pricing.input_cost_per_token is None:
        return None
    if pricing.output_cost_per_token is None:
        return None
    prompt, completion = counts
    return prompt * pricing.input_cost_per_token + completion * pricing.output_cost_per_token


def chat_cost_estimate(model: Model, usage: Mapping[str, Any] | None) -> Decimal | None:
    """Return what all tokens would cost at the list price, for use where `chat_cost` is unknown.

    Tokens read from a cache are cheaper than that; tokens written to one, and audio, are dearer.
    """
    pricing = model.pricing
    if pricing is None or pricing.method not in (None, "token") or not usage:
        return None
    prompt = _first_count(usage, "prompt_tokens", "input_tokens")
    completion = _first_count(usage, "completion_tokens", "output_tokens")
    into, out = pricing.input_cost_per_token, pricing.output_cost_per_token
    if prompt is None or completion is None or into is None or out is None:
        return None
    return prompt * into + completion * out


def _token_counts(usage: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return prompt and completion tokens, or None where some have a price of their own."""
    prompt = _first_count(usage, "prompt_tokens", "input_tokens")
    completion = _first_count(usage, "completion_tokens", "output_tokens")
    if prompt is None or completion is None:
        return None
    details = [
        part
        for name in ("prompt_tokens_details", "input_tokens_details",
                     "completion_tokens_details", "output_tokens_details")
        if isinstance(part := usage.get(name), Mapping)
    ]  # fmt: skip
    for part in (usage, *details):
        if any(part.get(name) for name in _PRICED_APART):
            return None
    total = _first_count(usage, "total_tokens")
    if total is not None and total > prompt + completion:
        # Some upstreams leave reasoning out of the completion and bill it as output.
        reasoning = sum(_first_count(part, "reasoning_tokens") or 0 for part in details)
        if total != prompt + completion + reasoning:
            return None
        completion += reasoning
    return prompt, completion


def _first_count(row: Mapping[str, Any], *names: str) -> int | None:
    value = next((row[name] for name in names if row.get(name) is not None), None)
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count else None
