"""A model of Oxen's catalog, its price list and its deployments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from oxen_inference.generation import MEDIA_TYPES

MODALITIES = ("text", "image", "video", "audio")
"""What a model can make, as `capabilities.output` spells it."""

OUTPUT_OF_METHOD = {
    "per_image": "image",
    "per_video_output_second": "video",
    "per_audio_output_second": "audio",
}
"""What a model that is billed by its results makes."""
PER_OUTPUT_SECOND = ("per_video_output_second", "per_audio_output_second")
METHODS = frozenset({"token", "time", "per_provider_credit", *OUTPUT_OF_METHOD})
"""The pricing methods that this version knows."""

# The part of an endpoint that tells the output, in any of the known spellings.
_OUTPUT_BY_WORD = (
    ("transcription", "text"),
    ("embedding", "embedding"),
    ("chat", "text"),
    ("completion", "text"),
    ("image", "image"),
    ("video", "video"),
    ("audio", "audio"),
    ("speech", "audio"),
)
_BEST_FIRST = ("active", "deploying", "deactivating", "error", "inactive", "unknown")


class CatalogWarning(UserWarning):
    """The catalog holds something that could not be read, or is not fresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """How a model is billed, in USD. None means not published, which is not free.

    `method` is ``token``, ``time``, ``per_image``, ``per_video_output_second``,
    ``per_audio_output_second``, ``per_provider_credit``, or whatever else the hub says.
    """

    method: str | None = None
    currency: str = "USD"
    """Of the price list; in any other than USD, none of its prices is read."""
    input_cost_per_token: Decimal | None = None
    output_cost_per_token: Decimal | None = None
    cost_per_second: Decimal | None = None
    cost_per_second_high_res: Decimal | None = None
    cost_per_second_with_audio: Decimal | None = None
    cost_per_second_by_resolution: Mapping[str, Decimal | None] = field(default_factory=dict)
    cost_per_credit: Decimal | None = None
    """Of a provider; how many a call takes is not published."""
    cost_per_image: Decimal | None = None
    cost_per_image_grid: Mapping[str, Mapping[str, Decimal | None]] = field(default_factory=dict)
    """Quality, then resolution tier."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment of a custom model; `status` is the hub's own word."""

    status: str
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as the hub describes it.

    `created` is unix seconds. `inputs` and `outputs` are modalities; empty means not known.
    `endpoint` is normalized to ``/images/generate`` style. `raw` is everything as received.
    """

    id: str
    object: str = "model"
    created: float | None = None
    owned_by: str | None = None
    display_name: str | None = None
    description: str | None = None
    summary: str | None = None
    model_type: str | None = None
    endpoint: str | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    pricing: Pricing | None = None
    deployments: tuple[Deployment, ...] = ()
    request_schema: Mapping[str, Any] | None = None
    developer: str | None = None
    source_model: str | None = None
    released_at: str | None = None
    fetched_at: float | None = field(default=None, compare=False, repr=False)
    """When the hub sent it, in unix seconds; None for one that was made by hand."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    problems: tuple[str, ...] = field(default=(), repr=False)
    """What could not be read, in words."""

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def name(self) -> str:
        """Its display name, or the id where there is none."""
        return self.display_name or self.id

    @property
    def kind(self) -> str | None:
        """Its main output: a modality, or None where none is known."""
        if len(self.outputs) > 1:
            tie_break = output_of(self.endpoint)
            if tie_break in self.outputs:
                return tie_break
        return self.outputs[0] if self.outputs else None

    @property
    def is_chat(self) -> bool:
        """Whether it answers in text to `/chat/completions`."""
        other_route = output_of(self.endpoint) and "completion" not in (self.endpoint or "")
        return self.makes("text") and not other_route

    def makes(self, modality: str) -> bool:
        """Whether `modality` is among its outputs."""
        return modality in self.outputs

    def takes(self, modality: str) -> bool:
        """Whether `modality` is among its inputs."""
        return modality in self.inputs

    @property
    def is_custom(self) -> bool:
        """Whether it is a user's own model, which has to be activated before use."""
        if self.model_type:
            return self.model_type == "custom"
        return bool(self.deployments)

    @property
    def deployment_status(self) -> str | None:
        """The best status among its deployments; None for a base model, which needs none."""
        statuses = {deployment.status for deployment in self.deployments}
        if not statuses:
            return "inactive" if self.is_custom else None
        return next((status for status in _BEST_FIRST if status in statuses), "unknown")

    @property
    def is_deployed(self) -> bool:
        """Whether it can be called now: a base model always, a custom one while active."""
        return self.deployment_status in (None, "active")


def output_of(endpoint: str | None) -> str | None:
    """Return the modality of an endpoint's answers, or None."""
    lowered = (endpoint or "").lower()
    return next((output for word, output in _OUTPUT_BY_WORD if word in lowered), None)


def made_media(model: Model) -> str | None:
    """Return which of `MEDIA_TYPES` a model makes; None if it makes none."""
    if model.kind in MEDIA_TYPES:
        return model.kind
    return next((media_type for media_type in MEDIA_TYPES if model.makes(media_type)), None)
