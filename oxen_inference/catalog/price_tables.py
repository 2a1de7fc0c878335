"""Which prices of a model's list a call may have, by how large, good and loud its result is to be.

None among them stands for a price that the list leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.call_fields import Fields
from oxen_inference.catalog.pricing_looks import (
    audio_switch,
    is_high_resolution,
    is_left_open,
    is_no_larger,
    means,
    qualities,
    resolutions,
)

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Pricing

Prices = set[Decimal | None]

_ANY_TIER = frozenset({"default", "any", "all", "*", ""})


@dataclass(frozen=True, slots=True)
class _Picked:
    """The keys of a price table that a call may mean."""

    keys: list[str]
    sure: bool = False
    """Whether it can mean nothing else."""
    larger: bool = False
    """Whether it may mean something unlisted that is not known to be less than what is listed."""
    smaller: bool = False
    """Whether it may mean something unlisted that is less than something listed."""


def image_prices(pricing: Pricing, fields: Fields) -> Prices:
    """Return every price of an image that may apply."""
    grid, flat = pricing.cost_per_image_grid, pricing.cost_per_image
    if not grid:
        return {flat}
    rows = _pick(grid, qualities(fields))
    prices = _beside(rows, set() if flat is None else {flat})
    for row in rows.keys:
        cells = _pick(grid[row], resolutions(fields))
        prices |= {grid[row][cell] for cell in cells.keys}
        prices |= _beside(cells, set() if flat is None else {flat})
    return prices


def second_prices(pricing: Pricing, fields: Fields) -> Prices:
    """Return every price of a second that may apply."""
    base, table = pricing.cost_per_second, pricing.cost_per_second_by_resolution
    high = pricing.cost_per_second_high_res
    picked = _pick(table, resolutions(fields)) if table else _Picked([])
    rates = {table[key] for key in picked.keys}
    rates |= _beside(picked, _without_table(base, high, fields), covers_larger=high is not None)
    sound = pricing.cost_per_second_with_audio
    if sound is None:
        return rates
    loud = _with_sound(rates, base, sound)
    switch = audio_switch(fields)
    if switch is True or not rates:
        return loud
    return rates if switch is False else rates | loud


def _pick(table: Mapping[str, Any], values: frozenset[str] | None) -> _Picked:
    """Find `values` in a price table; None: the model has no such parameter."""
    keys = list(table)
    general = [key for key in keys if key.strip().lower() in _ANY_TIER]
    if values is None:
        return _Picked(general or keys, sure=bool(general) or len(keys) == 1)
    meant = {value: [key for key in keys if means(key, value)] for value in values}
    is_open = any(not meant[value] and is_left_open(value) for value in values)
    unlisted = [value for value in values if not meant[value] and not is_left_open(value)]
    if is_open or (unlisted and not general):
        less = [value for value in unlisted if any(is_no_larger(value, key) for key in keys)]
        larger = len(less) < len(unlisted) and not general
        return _Picked(keys, bool(general), larger, bool(less) and not general)
    matched = [key for key in keys if any(key in found for found in meant.values())]
    return _Picked([*matched, *(general if unlisted else [])], sure=True)


def _beside(picked: _Picked, general: Prices, *, covers_larger: bool = False) -> Prices:
    """What a call may cost beside the listed prices that it may mean."""
    if picked.sure:
        return set()
    # A price for all that is not listed is one for less than is listed; more may cost more.
    is_left_out = (picked.larger and not covers_larger) or (picked.smaller and not general)
    return {*general, None} if is_left_out else general


def _without_table(base: Decimal | None, high: Decimal | None, fields: Fields) -> Prices:
    is_high = is_high_resolution(fields)
    plain: Prices = set() if base is None else {base}
    if high is None or (is_high is False and plain):
        return plain
    return {high} if is_high else plain | {high}


def _with_sound(rates: Prices, base: Decimal | None, sound: Decimal) -> Prices:
    # How sound combines with a resolution's own price is not documented: anything from one of
    # the two to both surcharges together.
    loud: Prices = {sound}
    for rate in rates if base is None else rates - {base}:
        if rate is None:
            loud.add(None)
        elif base:
            loud |= {rate, rate * sound / base}
        else:
            loud |= {rate, rate + sound}
    return loud
