"""What a call costs, from a model's (made-up) price list."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from oxen_sandbox.media_files import Shape

_HIGH_RES = {"1080p", "2k", "4k", "high", "uhd"}


def media_cost(
    model: Mapping[str, Any], params: Mapping[str, Any], shape: Shape, ran: float
) -> Decimal | None:
    """Cost of one generation: `params` complete with defaults, `ran` compute seconds.

    None where the model has no price the sandbox can read.
    """
    pricing = model.get("pricing")
    if not isinstance(pricing, Mapping):
        return None
    factor = _unpublished_factor(model, params)
    method = pricing.get("method")
    if method == "time":
        return _money(pricing.get("cost_per_second"), ran)
    if method == "per_image":
        # All are billed, though one is returned.
        images = params.get("num_images") or 1
        return _money(_image_price(pricing, params), images * factor)
    if method == "per_video_output_second":
        seconds = _seconds_of_input(model, params) or shape.seconds
        return _money(_second_price(pricing, params), seconds * factor)
    if method == "per_audio_output_second":
        return _money(pricing.get("cost_per_second"), shape.seconds)
    if method == "per_provider_credit":
        return _money(pricing.get("cost_per_credit"), model.get("_credits", 1))
    return None


def _unpublished_factor(model: Mapping[str, Any], params: Mapping[str, Any]) -> float:
    """How many times the published price a call costs, by what an entry says in words only."""
    factor = 1.0
    for name, factors in (model.get("_bill") or {}).items():
        value = params.get(name)
        if value not in (None, "", [], False):
            factor *= factors.get(str(value).lower(), factors.get("*", 1))
    return factor


def _seconds_of_input(model: Mapping[str, Any], params: Mapping[str, Any]) -> float | None:
    """The length of an edited video, whose result is as long; every input lasts as long here."""
    rule = model.get("_input_seconds")
    if rule is None or params.get("video_mode") != rule["video_mode"]:
        return None
    return float(rule["seconds"]) if params.get("input_video") else None


def chat_cost(model: Mapping[str, Any], usage: Mapping[str, Any]) -> Decimal | None:
    """Cost of one chat answer from its token counts; time-priced models take 50 tokens a second."""
    pricing = model.get("pricing")
    if not isinstance(pricing, Mapping):
        return None
    prompt, completion = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    if pricing.get("method") == "time":
        return _money(pricing.get("cost_per_second"), 1 + completion / 50)
    for_prompt = _money(pricing.get("input_cost_per_token"), prompt)
    for_answer = _money(pricing.get("output_cost_per_token"), completion)
    return None if for_prompt is None or for_answer is None else for_prompt + for_answer


def _money(price: object, units: float) -> Decimal | None:
    if price is None:
        return None
    cost = Decimal(str(price)) * Decimal(str(units))
    return cost.quantize(Decimal("0.00000001")).normalize() + Decimal(0)


def _image_price(pricing: Mapping[str, Any], params: Mapping[str, Any]) -> object:
    grid = pricing.get("cost_per_image_grid")
    if grid:
        tiers = _pick(grid, params.get("quality") or params.get("output_quality"))
        price = _pick(tiers, params.get("resolution") or params.get("size")) if tiers else None
        if price is not None:
            return price
    return pricing.get("cost_per_image")


def _second_price(pricing: Mapping[str, Any], params: Mapping[str, Any]) -> object:
    resolution = str(params.get("resolution", "")).lower()
    by_resolution = pricing.get("cost_per_second_by_resolution")
    if by_resolution:
        for name, price in by_resolution.items():
            if name.lower() == resolution:
                return price
    if params.get("generate_audio") and pricing.get("cost_per_second_with_audio") is not None:
        return pricing["cost_per_second_with_audio"]
    if resolution in _HIGH_RES and pricing.get("cost_per_second_high_res") is not None:
        return pricing["cost_per_second_high_res"]
    return pricing.get("cost_per_second")


def _pick(table: Mapping[str, Any], key: object) -> Any:
    """The entry under `key` in any case, or the only one there is."""
    for name, value in table.items():
        if name.lower() == str(key).lower():
            return value
    return next(iter(table.values())) if len(table) == 1 else None
