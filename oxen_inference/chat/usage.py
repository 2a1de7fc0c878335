"""Token counts and stated costs, from every form in which providers report them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from oxen_inference.money import read_currency, read_money

_ANTHROPIC_CACHE = ("cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation")
_MOST = Decimal(10) ** 9
"""More is no cost that an answer can have."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer.

    Cache, audio and image counts are parts of `input_tokens` or `output_tokens`. None: not
    reported.
    """

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cache_read: int | None = None
    cache_creation: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None
    reasoning: int | None = None
    input_image: int | None = None
    output_image: int | None = None
    has_input: bool = True
    """Whether `input_tokens` was reported, or follows from the total; else it is a guess."""
    has_output: bool = True
    """The same of `output_tokens`."""

    def as_openai(self) -> dict[str, Any]:
        """Return the counts under the names of an OpenAI ``usage`` object."""
        inputs = {
            "cached_tokens": self.cache_read,
            "cache_creation_tokens": self.cache_creation,
            "audio_tokens": self.input_audio,
            "image_tokens": self.input_image,
        }
        outputs = {
            "reasoning_tokens": self.reasoning,
            "audio_tokens": self.output_audio,
            "image_tokens": self.output_image,
        }
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
            "prompt_tokens_details": {k: v for k, v in inputs.items() if v is not None},
            "completion_tokens_details": {k: v for k, v in outputs.items() if v is not None},
        }


@dataclass(frozen=True, slots=True)
class StatedCost:
    """What an answer cost, as the answer itself says."""

    amount: Decimal
    currency: str = "USD"

    @property
    def is_in_dollars(self) -> bool:
        return self.currency == "USD"


def read_stated_cost(raw: Mapping[str, Any] | None) -> StatedCost | None:
    """Return the cost that a ``usage`` object states, or None where it states none.

    It is an amount, or an object with a ``total_cost`` (Perplexity's). A cost of zero or less is
    not believed where tokens are counted.
    """
    if not raw or raw.get("cost") is None:
        return None
    amount = _amount(raw["cost"])
    if amount is None or amount > _MOST or (amount == 0 and _has_tokens(raw)):
        return None
    return StatedCost(amount, read_currency(raw.get("currency")))


def read_cost_beside(chunk: Mapping[str, Any]) -> StatedCost | None:
    """Return the cost that a chunk states beside its usage; zero is none."""
    return read_stated_cost(chunk) if _amount(chunk.get("cost")) else None


def _amount(cost: object) -> Decimal | None:
    return read_money(cost.get("total_cost") if isinstance(cost, Mapping) else cost)


def _has_tokens(raw: Mapping[str, Any]) -> bool:
    return any(_count(raw, name) for name in raw if name.endswith("_tokens"))


def merge_usage(earlier: Mapping[str, Any] | None, later: Mapping[str, Any]) -> dict[str, Any]:
    """Combine the usage of two chunks. Counts are cumulative, so the later ones win.

    A zero replaces no count and no cost: gateways that translate event by event send it for what
    their last event does not say. Of a later usage of zeros only, nothing but a cost counts.
    """
    if earlier and not any(_count(later, name) for name in later if name != "cost"):
        later = {n: later[n] for n in ("cost", "currency") if n in later and _is_paid(later)}
    return _merged(earlier or {}, later)


def _merged(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in later.items() if value is not None}
    return {**earlier, **{name: _latest(earlier.get(name), known[name]) for name in known}}


def _latest(earlier: Any, later: Any) -> Any:
    if isinstance(earlier, Mapping) and isinstance(later, Mapping):
        return _merged(earlier, later)
    return earlier if read_money(later) == 0 and read_money(earlier) else later


def _is_paid(usage: Mapping[str, Any]) -> bool:
    return bool(_amount(usage.get("cost")))


def read_usage(raw: Mapping[str, Any] | None) -> Usage | None:
    """Return the counts of a ``usage`` object, or None where it has none.

    It reads OpenAI's names, with nested details, and Anthropic's, whose ``input_tokens`` do not
    include the cache counts.
    """
    if not raw:
        return None
    prompt, completion = _count(raw, "prompt_tokens"), _count(raw, "completion_tokens")
    input_tokens = prompt if prompt is not None else _count(raw, "input_tokens")
    output_tokens = completion if completion is not None else _count(raw, "output_tokens")
    total = _count(raw, "total_tokens")
    if input_tokens is None and output_tokens is None and total is None:
        return None
    has_input = input_tokens is not None or None not in (output_tokens, total)
    has_output = output_tokens is not None or None not in (input_tokens, total)
    if input_tokens is None:
        input_tokens = max((total or 0) - (output_tokens or 0), 0)
    if output_tokens is None:
        output_tokens = max((total or 0) - input_tokens, 0)

    input_details = _details(raw, "prompt_tokens_details", "input_tokens_details")
    output_details = _details(raw, "completion_tokens_details", "output_tokens_details")
    nested_read = _count(input_details, "cached_tokens")
    flat_read = _first(raw, "cache_read_input_tokens", "prompt_cache_hit_tokens", "cached_tokens")
    cache_read = nested_read if nested_read is not None else flat_read
    nested_write = _first(input_details, "cache_creation_tokens", "cache_write_tokens")
    flat_write = _count(raw, "cache_creation_input_tokens")
    writes = (nested_write, flat_write, _split_write(raw), _split_write(input_details))
    cache_creation = max((n for n in writes if n is not None), default=None)

    cached = (cache_read or 0) + (cache_creation or 0)
    if cached and _excludes_cached(raw, prompt, input_tokens, output_tokens, cached, total):
        input_tokens += cached

    reasoning = _first(output_details, "reasoning_tokens") or _count(raw, "reasoning_tokens")
    if reasoning and total == input_tokens + output_tokens + reasoning:
        output_tokens += reasoning  # xAI does not count it as part of the completion

    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        # A total below the sum of its parts was reported before the parts were complete.
        total_tokens=max(total or 0, input_tokens + output_tokens),
        cache_read=cache_read,
        cache_creation=cache_creation,
        input_audio=_count(input_details, "audio_tokens"),
        output_audio=_count(output_details, "audio_tokens"),
        reasoning=reasoning,
        input_image=_count(input_details, "image_tokens"),
        output_image=_count(output_details, "image_tokens"),
        has_input=has_input,
        has_output=has_output,
    )


def _excludes_cached(
    raw: Mapping[str, Any],
    prompt: int | None,
    input_tokens: int,
    output_tokens: int,
    cached: int,
    total: int | None,
) -> bool:
    """Whether the input count leaves out the cached tokens."""
    if total == input_tokens + output_tokens + cached:
        return True
    if total == input_tokens + output_tokens:
        return cached > input_tokens  # impossible if it included them, whatever the total says
    anthropic_names = prompt is None and not raw.keys().isdisjoint(_ANTHROPIC_CACHE)
    return anthropic_names or cached > input_tokens


def _details(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        value = raw.get(name)
        if isinstance(value, Mapping):
            return value
    return {}


def _split_write(raw: Mapping[str, Any]) -> int | None:
    """Return the tokens written to a cache that are given by how long they stay there."""
    split = raw.get("cache_creation")
    if not isinstance(split, Mapping):
        return None
    return sum(_count(split, name) or 0 for name in split if str(name).endswith("_tokens"))


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
