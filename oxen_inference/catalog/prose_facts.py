"""Prices that Oxen's model pages give in prose and no price field has, as dated facts.

Multipliers are of the published rate (https://docs.oxen.ai, the page of each model). A model's
entry that has a price for the same parameter wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase

AS_OF = "2026-09"

Times = Decimal | None
"""How many times the published price; None: dearer, by how much is not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRule:
    """What a parameter does to the published price, which has no field for it."""

    parameter: str
    said: str
    """What says so, in words."""
    by_value: Mapping[str, Times] | None = None
    """By the parameter's value; the published price holds for any other."""
    when_given: Times = Decimal(1)
    """For a call that gives it at all, or switches it on."""
    above_least: Times = Decimal(1)
    """For every value but the least."""
    only_with: tuple[str, str] | None = None
    """Another parameter and its value, without which the published price holds."""


_DOCUMENTED = f"Oxen's documentation ({AS_OF})"
_LUMA_SIZES = {"540p": Decimal(1), "720p": Decimal(2), "1080p": Decimal(4)}
_FACTS: tuple[tuple[str, PriceRule], ...] = (
    (
        "*luma-ray-v3-2-*",
        PriceRule(parameter="resolution", by_value=_LUMA_SIZES, said=_DOCUMENTED),
    ),
    (
        "*luma-ray-v3-2-*",
        PriceRule(
            parameter="duration",
            by_value={"5s": Decimal(1), "10s": Decimal(2)},
            said=_DOCUMENTED,
        ),
    ),
    (
        "*flux-3-video*",
        PriceRule(parameter="resolution", by_value={"1080p": None}, said=_DOCUMENTED),
    ),
    ("*flux-3-video*", PriceRule(parameter="input_video", when_given=None, said=_DOCUMENTED)),
    ("*flux-3-video*", PriceRule(parameter="draft", when_given=Decimal(0), said=_DOCUMENTED)),
    (
        "*kling-video-o3-omni*",
        PriceRule(
            parameter="input_video",
            when_given=None,
            only_with=("video_mode", "edit"),
            said="an edit is as long as the input video",
        ),
    ),
    (
        "*nano-banana-2-lite*",
        PriceRule(parameter="thinking_level", by_value={"high": None}, said=_DOCUMENTED),
    ),
)


def documented_rules(*model_ids: str | None) -> list[PriceRule]:
    """Return the documented rules of a model, by its id or the one it was made from."""
    ids = [model_id.lower() for model_id in model_ids if model_id]
    return [
        rule for pattern, rule in _FACTS if any(fnmatchcase(model_id, pattern) for model_id in ids)
    ]
