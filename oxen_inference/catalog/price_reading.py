"""A model's price list, read from today's field names and the older ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from oxen_inference.catalog.field_reading import Row, kind_of, text_in
from oxen_inference.catalog.models import Pricing
from oxen_inference.money import read_money

_OLDER_PRICES = {
    "video_cost_per_second": "cost_per_second",
    "video_cost_per_second_with_audio": "cost_per_second_with_audio",
    "video_cost_per_second_high_res": "cost_per_second_high_res",
}


def read_pricing(value: object, problems: list[str]) -> Pricing | None:
    """Read a model's `pricing`; what is no price is None, and named in `problems`."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        problems.append(f"pricing is {kind_of(value)}, not an object")
        return None
    fields = {_OLDER_PRICES.get(str(name), str(name)): price for name, price in value.items()}
    fields |= {name: price for name, price in value.items() if price is not None}

    def price(name: str) -> Decimal | None:
        return _price(fields.get(name), f"pricing.{name}", problems)

    by_resolution = fields.get("cost_per_second_by_resolution")
    grid = fields.get("cost_per_image_grid")
    return Pricing(
        method=_method(fields, problems),
        input_cost_per_token=price("input_cost_per_token"),
        output_cost_per_token=price("output_cost_per_token"),
        cost_per_second=price("cost_per_second"),
        cost_per_second_high_res=price("cost_per_second_high_res"),
        cost_per_second_with_audio=price("cost_per_second_with_audio"),
        cost_per_second_by_resolution=_prices(
            by_resolution, "pricing.cost_per_second_by_resolution", problems
        ),
        cost_per_image=price("cost_per_image"),
        cost_per_image_grid=_grid(grid, problems),
        raw=value,
    )


def _method(fields: Row, problems: list[str]) -> str | None:
    method = text_in(fields, "method", problems)
    if method:
        return re.sub(r"[\s-]+", "_", method.lower())
    if "video_cost_per_second" in fields:  # the older page's shape does not always name one
        return "per_video_output_second"
    if fields.get("cost_per_image") is not None or fields.get("cost_per_image_grid"):
        return "per_image"
    if fields.get("input_cost_per_token") is not None:
        return "token"
    return None


def _grid(value: object, problems: list[str]) -> dict[str, dict[str, Decimal | None]]:
    if not isinstance(value, Mapping):
        if value is not None:
            problems.append(f"pricing.cost_per_image_grid is {kind_of(value)}, not an object")
        return {}
    name = "pricing.cost_per_image_grid"
    return {
        # A quality with one price for every tier.
        str(quality): _prices(tiers, f"{name}.{quality}", problems)
        if isinstance(tiers, Mapping)
        else {"default": _price(tiers, f"{name}.{quality}", problems)}
        for quality, tiers in value.items()
    }


def _prices(value: object, name: str, problems: list[str]) -> dict[str, Decimal | None]:
    if not isinstance(value, Mapping):
        if value is not None:
            problems.append(f"{name} is {kind_of(value)}, not an object")
        return {}
    return {str(key): _price(price, f"{name}.{key}", problems) for key, price in value.items()}


def _price(value: object, name: str, problems: list[str]) -> Decimal | None:
    price = read_money(value)
    if price is None and value is not None:
        problems.append(f"{name} is {kind_of(value)}, not a price")
    return price
