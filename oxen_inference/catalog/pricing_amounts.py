"""How many results a call makes, and how long each is: by its parameters, whatever their names.

Real schemas call the same thing by many names and spell its values in many ways. Nothing here
knows a price.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from oxen_inference.catalog.call_fields import NUMBERS, UNITS, Fields, read_seconds
from oxen_inference.catalog.json_schema import types_of
from oxen_inference.catalog.pricing_looks import LOOKS
from oxen_inference.catalog.pricing_unknowns import (
    Kind,
    is_a_small_count,
    is_on_top,
    kind_of,
    snake,
)
from oxen_inference.catalog.request_schema import COMMON

_COUNT = re.compile(
    r"n|batch_(size|count)|(image|video|output|sample|result|picture)s?_count|samples|quantity|"
    r"(images?|outputs?|videos?|samples?|results?|pictures?)_per_(prompt|request|call)|"
    r"(num|number_of|n|max)_(images?|outputs?|videos?|samples?|results?|pictures?|clips?|"
    r"audios?|variations?)(_per_prompt)?"
)
_DURATION = re.compile(
    r"((video|clip|output|audio|target|total|num|n|music|song)_)?(duration|seconds|length)"
    r"(_(in_)?(s|sec|secs|seconds|total|ms))?"
)
_FRAMES = re.compile(r"((num|n|number_of|total|video)_)?frames|frame_count|video_frames_count")
_FPS = re.compile(r"((output|target|video)_)?(fps|frames_per_second|frame_rate)")
_AS_LONG_AS_INPUT = re.compile(r"(match|keep|follow|use)_.*(length|duration)")
_INPUT = re.compile(r"(?!.*(num|max|count)).*video(s|_urls?|_files?)?|input_audios?|audio_url")
_SECTION = re.compile(r".*start_time")
_SEVERAL = frozenset(
    ["prompts", "multi", "shots", "scenes", "segments", "storyboard", "chapters", "panels", "slides",
     "pages", "seeds"]
)  # fmt: skip
_SAYS_WHAT = re.compile(r"(.*_)?(prompts?|script|caption)")
_KNOWN = (_COUNT, _DURATION, _FRAMES, _FPS, _AS_LONG_AS_INPUT, _SECTION, *LOOKS)

_Span = tuple[Decimal, Decimal]


@dataclass(frozen=True, slots=True)
class Amount:
    """How much or how many: between `low` and `high`."""

    low: Decimal
    high: Decimal
    reason: str | None = None
    """Why it is a range."""


def image_count(fields: Fields) -> Amount | str:
    """Return how many results one call makes, or in words why that is unknown.

    Counts of several names multiply, those left out by as much as the schema allows.
    """
    low, high = Decimal(1), Decimal(1)
    for name in fields.all_named(_COUNT):
        if name in fields.values:
            count = read_seconds(fields.values[name])
            if count is None or count < 1 or count != count.to_integral_value():
                return f"{name} is not a whole number of 1 or more"
            span = (Decimal(1) if name.startswith("max_") else count, count)
        else:
            found = fields.span(name)
            if found is None:
                return f"nothing says how many results {name} makes when it is left out"
            span = found
        low, high = max(low, span[0]), high * span[1]
    reason = "the number of results is open" if low != high else None
    for name in _unknown(fields, Kind.MULTIPLY, Kind.PERHAPS):
        most = _most(fields, name)
        if most is None:
            return f"{name} may multiply the results, and nothing says how many it may make"
        most += int(is_on_top(name))
        if most > 1:
            high, reason = high * most, f"{name} may multiply the results"
    return Amount(low, high, reason)


def several_asked(fields: Fields) -> Amount:
    """Return how many results the lists of prompts or shots in a call may ask for."""
    longest = Decimal(math.prod(map(len, _asked_for(fields).values())))
    reason = "each of the prompts may make a result" if longest > 1 else None
    return Amount(Decimal(1), longest, reason)


def output_seconds(fields: Fields) -> Amount | str:
    """Return how long one result is, or in words why that is unknown."""
    follows = fields.named(_AS_LONG_AS_INPUT)
    if any(fields.values.get(name) is True or name in fields.nulls for name in follows):
        return "the result is as long as its input"
    if fields.named(_SECTION):
        return "the result is as long as the film it changes a part of"
    spans = [_duration_span(fields, name) for name in fields.named(_DURATION)]
    spans += _frame_spans(fields)
    spans += [_shots_span(fields, shots) for shots in _asked_for(fields).values()]
    if not spans:
        if fields.named(_INPUT):
            return "the result is as long as its input"
        return "no parameter says how long the result is"
    known = [span for span in spans if span is not None]
    if len(known) < len(spans):
        return "nothing says how long the result can be"
    low, high = min(low for low, _ in known), max(high for _, high in known)
    reason = "the length is open" if low != high else None
    for name in _unknown(fields, Kind.LENGTHEN):
        most = _most(fields, name)
        if most is None:
            return f"{name} may make the result longer, and nothing says how much"
        if most > 0:
            unit = UNITS.get(snake(name).rpartition("_")[2], Decimal(1))
            high, reason = high + most * unit, f"{name} may make the result longer"
    whole = Decimal(math.ceil(high))
    if whole > high and reason is None:
        reason = "a part of a second may be billed as a whole one"
    return Amount(low, whole, reason)


def duration_range(fields: Fields) -> tuple[Decimal, Decimal] | None:
    """Return the shortest and the longest result the schema allows, in seconds, or None."""
    spans = [span for name in fields.named(_DURATION) if (span := fields.span(name))]
    if not spans:
        return None
    return min(low for low, _ in spans), max(high for _, high in spans)


def duration_names(fields: Fields) -> list[str]:
    """Return the parameters that say how long the result is to be."""
    return fields.named(_DURATION)


def _unknown(fields: Fields, *kinds: Kind) -> list[str]:
    """The parameters of these kinds that no pattern here knows and that may be numbers."""
    return [
        name
        for name in dict.fromkeys((*fields.values, *fields.schema))
        if name not in COMMON
        and not any(pattern.fullmatch(snake(name)) for pattern in _KNOWN)
        and (kind := kind_of(name)) in kinds
        and _may_be_a_number(fields, name)
        and (kind is not Kind.PERHAPS or _is_a_small_count(fields, name))
    ]


def _may_be_a_number(fields: Fields, name: str) -> bool:
    if isinstance(fields.values.get(name), bool):
        return False
    if name in fields.values:
        return read_seconds(fields.values[name]) is not None
    rules = fields.schema.get(name, ())
    return fields.span(name) is not None or any(types_of(one) & NUMBERS for one in rules)


def _is_a_small_count(fields: Fields, name: str) -> bool:
    value = fields.values.get(name)
    span = fields.span(name)
    if name in fields.schema and not fields.may_be("integer", name):
        return False
    number = read_seconds(value)
    if number is not None and number == number.to_integral_value():
        return is_a_small_count(number, number)
    return value is None and span is not None and is_a_small_count(*span)


def _most(fields: Fields, name: str) -> Decimal | None:
    """The greatest that a parameter may be in this call, or None if nothing says so."""
    if name in fields.values:
        value = read_seconds(fields.values[name])
        if value is not None and value >= 0:
            return value
    span = fields.span(name)
    return span[1] if span else None


def _duration_span(fields: Fields, name: str) -> _Span | None:
    unit = _unit(name)
    if name in fields.values:
        seconds = read_seconds(fields.values[name])
        if seconds is not None and seconds > 0:
            return seconds * unit, seconds * unit
    # Left out, or -1, 0, "auto": whatever the schema allows.
    span = fields.span(name)
    return (span[0] * unit, span[1] * unit) if span else None


def _frame_spans(fields: Fields) -> list[_Span | None]:
    names = fields.named(_FRAMES)
    durations = fields.named(_DURATION)
    has_value = fields.values.keys() | fields.nulls
    if not names or (has_value & set(durations) and not has_value & set(names)):
        return []
    frames = _duration_span(fields, names[0])
    rate = next((_duration_span(fields, name) for name in fields.named(_FPS)), None)
    if frames is None or rate is None:
        return [None]
    return [(frames[0] / rate[1], frames[1] / rate[0])]


def _asked_for(fields: Fields) -> dict[str, list[Any]]:
    """The lists in a call whose items each say what to make, or for how long."""
    return {
        name: list(value)
        for name, value in fields.values.items()
        if isinstance(value, list | tuple) and value and _asks_for_several(name, value)
    }


def _asks_for_several(name: str, items: Iterable[Any]) -> bool:
    words = set(snake(name.rpartition(".")[2]).split("_"))
    if "negative" in words:
        return False
    return not _SEVERAL.isdisjoint(words) or any(
        _SAYS_WHAT.fullmatch(snake(str(key))) or _DURATION.fullmatch(snake(str(key)))
        for item in items
        if isinstance(item, Mapping)
        for key in item
    )


def _shots_span(fields: Fields, shots: Iterable[Any]) -> _Span | None:
    low = high = Decimal(0)
    for shot in shots:
        span = _own_length(shot) or _length_of_each(fields)
        if span is None:
            return None
        # Each may be billed by whole seconds.
        low, high = low + span[0], high + math.ceil(span[1])
    return low, high


def _own_length(shot: Any) -> _Span | None:
    """How long a shot says it is."""
    named = shot.items() if isinstance(shot, Mapping) else ()
    said = [(n, s) for n, value in named if (s := read_seconds(value)) is not None and s > 0]
    lengths = [seconds * _unit(n) for n, seconds in said if _DURATION.fullmatch(snake(str(n)))]
    return (min(lengths), max(lengths)) if lengths else None


def _length_of_each(fields: Fields) -> _Span | None:
    names = fields.named(_DURATION)
    spans = [fields.span(name) or _duration_span(fields, name) for name in names]
    known = [span for span in spans if span is not None]
    if not known or len(known) < len(spans):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _unit(name: object) -> Decimal:
    return UNITS["ms"] if snake(str(name)).endswith("_ms") else Decimal(1)
