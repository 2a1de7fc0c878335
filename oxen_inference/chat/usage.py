"""Token counts out of whichever shape the provider behind the model reports them in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer. Every part is contained in the total above it; None is "not said"."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cache_read: int | None = None
    cache_creation: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None
    reasoning: int | None = None

    def as_openai(self) -> dict[str, Any]:
        """Return the counts under the names of an OpenAI ``usage`` object."""
        inputs = {
            "cached_tokens": self.cache_read,
            "cache_creation_tokens": self.cache_creation,
            "audio_tokens": self.input_audio,
        }
        outputs = {"reasoning_tokens": self.reasoning, "audio_tokens": self.output_audio}
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
            "prompt_tokens_details": {k: v for k, v in inputs.items() if v is not None},
            "completion_tokens_details": {k: v for k, v in outputs.items() if v is not None},
        }


def merge(earlier: Mapping[str, Any] | None, later: Mapping[str, Any]) -> dict[str, Any]:
    """Combine the usage of two chunks: counts are cumulative, so the last one said wins.

    Nothing but zeros is nothing said.
    """
    if earlier and not any(_count(later, name) for name in later):
        return dict(earlier)
    return {**(earlier or {}), **{k: v for k, v in later.items() if v is not None}}


def read_usage(raw: Mapping[str, Any] | None) -> Usage | None:
    """Return the counts of a ``usage`` object, or None where it has none.

    Reads OpenAI's names, with details nested, and Anthropic's, with cache counts beside
    ``input_tokens``, which they are then not part of.
    """
    if not raw:
        return None
    prompt, completion = _count(raw, "prompt_tokens"), _count(raw, "completion_tokens")
    plain_input = prompt if prompt is not None else _count(raw, "input_tokens")
    output = completion if completion is not None else _count(raw, "output_tokens")
    total = _count(raw, "total_tokens")
    if plain_input is None and output is None and total is None:
        return None
    if plain_input is None:
        plain_input = max((total or 0) - (output or 0), 0)
    if output is None:
        output = max((total or 0) - plain_input, 0)

    inputs = _details(raw, "prompt_tokens_details", "input_tokens_details")
    outputs = _details(raw, "completion_tokens_details", "output_tokens_details")
    nested_read = _count(inputs, "cached_tokens")
    flat_read = _first(raw, "cache_read_input_tokens", "prompt_cache_hit_tokens", "cached_tokens")
    cache_read = nested_read if nested_read is not None else flat_read
    nested_write = _first(inputs, "cache_creation_tokens", "cache_write_tokens")
    flat_write = _count(raw, "cache_creation_input_tokens")
    cache_creation = nested_write if nested_write is not None else flat_write

    cached = (cache_read or 0) + (cache_creation or 0)
    if cached and _beside_input(raw, prompt, plain_input, output, cached, total):
        plain_input += cached

    reasoning = _first(outputs, "reasoning_tokens") or _count(raw, "reasoning_tokens")
    if reasoning and total == plain_input + output + reasoning:
        output += reasoning  # xAI counts it beside the completion

    return Usage(
        input_tokens=plain_input,
        output_tokens=output,
        # A total that is less than its parts was said before the parts were complete.
        total_tokens=max(total or 0, plain_input + output),
        cache_read=cache_read,
        cache_creation=cache_creation,
        input_audio=_count(inputs, "audio_tokens"),
        output_audio=_count(outputs, "audio_tokens"),
        reasoning=reasoning,
    )


def _beside_input(
    raw: Mapping[str, Any],
    prompt: int | None,
    plain_input: int,
    output: int,
    cached: int,
    total: int | None,
) -> bool:
    """Whether cache tokens are counted beside the input tokens instead of among them."""
    if total == plain_input + output + cached:
        return True
    if total == plain_input + output:
        return cached > plain_input  # which it cannot be, whatever the total says
    anthropic_names = prompt is None and (
        "cache_read_input_tokens" in raw or "cache_creation_input_tokens" in raw
    )
    return anthropic_names or cached > plain_input


def _details(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        value = raw.get(name)
        if isinstance(value, Mapping):
            return value
    return {}


def _first(raw: Mapping[str, Any], *names: str) -> int | None:
    return next((n for name in names if (n := _count(raw, name)) is not None), None)


def _count(raw: Mapping[str, Any], name: str) -> int | None:
    value = raw.get(name)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value != value or value in (float("inf"), float("-inf")) or value < 0:  # noqa: PLR0124 - NaN
        return None
    return int(value)
