"""Which prices of a model's list a call may have: by resolution, quality and audio.

Real schemas and price lists spell the same resolution in many ways. Among the prices returned,
None stands for one that the list leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.effective import EffectiveCall
from oxen_inference.catalog.parameter_roles import Role

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Pricing

Prices = frozenset[Decimal | None]

_SWITCH_VALUES = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
_LINES = {"sd": 480, "hd": 720, "fhd": 1080, "full hd": 1080, "qhd": 1440, "uhd": 2160}
_THOUSANDS = {"2": 1440, "4": 2160, "8": 4320}
# Whatever the other resolutions of a model are, these are its plain ones; 720 lines are plain only
# where the model has a higher one.
_PLAIN = frozenset({"standard", "low", "normal", "360p", "480p", "512p", "540p"})
_HIGH = frozenset({"high", "ultra", "2160p", "4320p"})
_LEFT_TO_MODEL = frozenset({"", "auto", "automatic", "default"})
_ANY_TIER = frozenset({"default", "any", "all", "*", ""})


@dataclass(frozen=True, slots=True)
class _Selection:
    """The keys of a price table that a call may mean."""

    keys: list[str]
    is_sure: bool = False
    """Whether it can mean nothing else."""
    may_be_larger: bool = False
    """Whether it may mean something unlisted that is not known to be less than what is listed."""
    may_be_smaller: bool = False
    """Whether it may mean something unlisted that is less than something listed."""


def image_prices(pricing: Pricing, call: EffectiveCall) -> Prices:
    """Return every price of an image that may apply."""
    grid, flat = pricing.cost_per_image_grid, pricing.cost_per_image
    if not grid:
        return frozenset({flat})
    general: Prices = frozenset() if flat is None else frozenset({flat})
    rows = _select(grid, _tiers(call, Role.QUALITY))
    prices = _unlisted_prices(rows, general)
    for row in rows.keys:
        cells = _select(grid[row], _resolutions(call))
        prices |= frozenset(grid[row][cell] for cell in cells.keys)
        prices |= _unlisted_prices(cells, general)
    return prices


def second_prices(pricing: Pricing, call: EffectiveCall) -> Prices:
    """Return every price of a second that may apply."""
    base, table = pricing.cost_per_second, pricing.cost_per_second_by_resolution
    high = pricing.cost_per_second_high_res
    selection = _select(table, _resolutions(call)) if table else _Selection([])
    rates = frozenset(table[key] for key in selection.keys)
    general = _rates_without_table(base, high, call)
    rates |= _unlisted_prices(selection, general, covers_larger=high is not None)
    with_audio = pricing.cost_per_second_with_audio
    if with_audio is None:
        return rates
    audio_rates = _with_audio(rates, base, with_audio)
    has_audio = _has_audio(call)
    if has_audio is True or not rates:
        return audio_rates
    return rates if has_audio is False else rates | audio_rates


def can_have_audio(call: EffectiveCall, pricing: Pricing | None) -> bool:
    """Whether a parameter turns audio on, or audio has a price."""
    has_price = pricing is not None and pricing.cost_per_second_with_audio is not None
    return has_price or bool(audio_switches(call))


def audio_switches(call: EffectiveCall) -> list[str]:
    """Return the parameters that turn audio on and off."""
    return [name for name in call.named(Role.AUDIO) if call.may_be("boolean", name)]


def same_tier(key: str, value: str) -> bool:
    """Whether a key of a price table names the same quality or resolution as `value`."""
    key, value = _normal(key), _normal(value)
    if key == value:
        return True
    both_in_pixels = "x" in key and "x" in value
    return not both_in_pixels and _as_lines(key) == _as_lines(value)


def _select(table: Mapping[str, Any], values: frozenset[str] | None) -> _Selection:
    """Find `values` in a price table; None: the model has no such parameter."""
    keys = list(table)
    general = [key for key in keys if key.strip().lower() in _ANY_TIER]
    if values is None:
        return _Selection(general or keys, is_sure=bool(general) or len(keys) == 1)
    listed = {value: [key for key in keys if same_tier(key, value)] for value in values}
    is_open = any(not listed[value] and value in _LEFT_TO_MODEL for value in values)
    unlisted = [v for v in values if not listed[v] and v not in _LEFT_TO_MODEL]
    if is_open or (unlisted and not general):
        less = [value for value in unlisted if any(_is_no_larger(value, key) for key in keys)]
        return _Selection(
            keys,
            is_sure=bool(general),
            may_be_larger=len(less) < len(unlisted) and not general,
            may_be_smaller=bool(less) and not general,
        )
    matched = [key for key in keys if any(key in found for found in listed.values())]
    return _Selection([*matched, *(general if unlisted else [])], is_sure=True)


def _unlisted_prices(
    selection: _Selection, general: Prices, *, covers_larger: bool = False
) -> Prices:
    """Return what a call may cost beside the listed prices that it may mean."""
    if selection.is_sure:
        return frozenset()
    # A price for all that is not listed is one for less than is listed; more may cost more.
    is_larger = selection.may_be_larger and not covers_larger
    is_left_out = is_larger or (selection.may_be_smaller and not general)
    return general | {None} if is_left_out else general


def _rates_without_table(base: Decimal | None, high: Decimal | None, call: EffectiveCall) -> Prices:
    is_high = _is_high_resolution(call)
    plain: Prices = frozenset() if base is None else frozenset({base})
    if high is None or (is_high is False and plain):
        return plain
    return frozenset({high}) if is_high else plain | {high}


def _with_audio(rates: Prices, base: Decimal | None, with_audio: Decimal) -> Prices:
    # How audio combines with a resolution's own price is not documented: anything from one of
    # the two to both surcharges together.
    combined: set[Decimal | None] = {with_audio}
    for rate in rates if base is None else rates - {base}:
        if rate is None:
            combined.add(None)
        elif base:
            combined |= {rate, rate * with_audio / base}
        else:
            combined |= {rate, rate + with_audio}
    return frozenset(combined)


def _has_audio(call: EffectiveCall) -> bool | None:
    """Whether the result surely has audio, surely has none, or either (None)."""
    states: set[bool | None] = set()
    for name in call.named(Role.AUDIO):
        for value in call.possible(name):
            state = None if value is None else _SWITCH_VALUES.get(str(value).strip().lower())
            if state is not None or call.may_be("boolean", name):
                states.add(state)
    return states.pop() if len(states) == 1 else None


def _resolutions(call: EffectiveCall) -> frozenset[str] | None:
    """Return the resolutions that the call may have; None if there is no such choice."""
    sizes = _tiers(call, Role.RESOLUTION)
    widths, heights = call.all_named(Role.WIDTH), call.all_named(Role.HEIGHT)
    width, height = (
        next((call.values.get(name) for name in names), None) for names in (widths, heights)
    )
    if isinstance(width, int) and isinstance(height, int):
        return (sizes or frozenset()) | {f"{width}x{height}"}
    return frozenset({""}) if sizes is None and (widths or heights) else sizes


def _tiers(call: EffectiveCall, role: Role) -> frozenset[str] | None:
    """Return the values that the parameters of a role may have, spelled alike."""
    names = call.named(role)
    if not names:
        return None
    tiers: set[str] = set()
    for name in names:
        values = {_normal(value) for value in call.possible(name)}
        if values & _LEFT_TO_MODEL:
            values |= {_normal(choice) for choice in call.choices(name)}
        tiers |= values
    return frozenset(tiers)


def _is_high_resolution(call: EffectiveCall) -> bool | None:
    """Whether the call surely is of high resolution, surely is not, or either (None)."""
    sizes = {_as_lines(size) for size in _resolutions(call) or ()}
    offered = {
        _as_lines(_normal(choice))
        for name in call.named(Role.RESOLUTION)
        for choice in call.choices(name)
    }
    more_than_720 = any((lines := line_count(size)) and lines > 768 for size in offered)
    plain = _PLAIN | ({"720p", "768p"} if more_than_720 else set())
    if sizes and sizes <= _HIGH:
        return True
    return False if sizes and sizes <= plain else None


def _is_no_larger(value: str, key: str) -> bool:
    """Whether a resolution surely has no more pixels than a price table's `key`."""
    key = _normal(key)
    if "x" in value and "x" in key:
        sizes = [re.fullmatch(r"(\d{1,6})x(\d{1,6})", size) for size in (value, key)]
        areas = [int(size[1]) * int(size[2]) for size in sizes if size]
        return len(areas) == 2 and areas[0] <= areas[1]
    lines, listed = line_count(value), line_count(key)
    return lines is not None and listed is not None and lines <= listed


def _normal(value: object) -> str:
    """Spell a quality or resolution as all others: ``4k``, ``1080p``, ``1 mp`` as ``1mp``."""
    text = re.sub(r"[\s_-]+", " ", str("" if value is None else value)).strip().lower()
    text = re.sub(r"(?<=\d) (?=(mp|k|p|megapixels?)\b)", "", text)
    return re.sub(r"(?<=\d{3})\s?[x*×:]\s?(?=\d{3})", "x", text)


def _as_lines(size: str) -> str:
    """Spell a resolution by its lines (``1080p``) where it is one of those."""
    lines = line_count(size)
    return f"{lines}p" if lines else size


def line_count(size: str) -> int | None:
    """Return how many lines a resolution in any of its spellings has, or None."""
    pixels = re.fullmatch(r"(\d{1,6})x(\d{1,6})", size)
    if pixels:
        return min(int(pixels[1]), int(pixels[2]))
    plain = re.fullmatch(r"(\d{1,6})(p|i)", size)
    if plain:
        return int(plain[1])
    thousands = re.fullmatch(r"(\d)k( uhd)?", size)
    return _LINES.get(size) or (_THOUSANDS.get(thousands[1]) if thousands else None)
