"""What the parameters of a call say about its price: how many, how long, how large, how loud.

Real schemas call the same thing by many names and spell its values in many ways; the name
patterns and unit tables here are those spellings. Nothing here knows a price.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.json_schema import Schema, alternatives, choices_of, types_of
from oxen_inference.catalog.pricing_unknowns import (
    Kind,
    is_a_small_count,
    is_on_top,
    kind_of,
    snake,
)
from oxen_inference.catalog.request_schema import COMMON, parameters

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

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
_QUALITY = re.compile(r"((image|output|render|rendering|video)_)?quality")
_SIZE = re.compile(r"((image|video|output|target|frame)_)?(resolution|size|megapixels?|definition)")
_SOUND = re.compile(
    r"((generate|with|enable|add|include|use|produce)_)?(native_)?(audio|sound|sfx)"
    r"(_(enabled|on|generation))?"
)
_NUMBERS = frozenset({"integer", "number"})
_DEEPEST = 2  # objects in an object
_WORDS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
_UNITS = {
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), Decimal(1)),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), Decimal(60)),
    **dict.fromkeys(("h", "hour", "hours"), Decimal(3600)),
    "ms": Decimal("0.001"),
}
_LINES = {"sd": 480, "hd": 720, "fhd": 1080, "full hd": 1080, "qhd": 1440, "uhd": 2160}
_THOUSANDS = {"2": 1440, "4": 2160, "8": 4320}
# Whatever a model's other resolutions are, these are its plain ones; 720 lines are only where
# the model has a higher one.
_PLAIN = frozenset({"standard", "low", "normal", "360p", "480p", "512p", "540p"})
_HIGH = frozenset({"high", "ultra", "2160p", "4320p"})


@dataclass(frozen=True, slots=True)
class Amount:
    """How much or how many: between `low` and `high`."""

    low: Decimal
    high: Decimal
    reason: str | None = None
    """Why it is a range."""


@dataclass(frozen=True, slots=True)
class Fields:
    """A call's parameters with the schema's defaults filled in; ``a.b`` is b in the object a."""

    values: Mapping[str, Any]
    explicit: frozenset[str] = frozenset()
    schema: Mapping[str, tuple[Schema, ...]] = field(default_factory=dict)
    """What each parameter may be: one of these, none of which is an `anyOf` or a reference."""

    def named(self, pattern: re.Pattern[str]) -> list[str]:
        """The parameters of that name which count: those given, else defaults, else possible."""
        names = [n for n in (*self.values, *self.schema) if pattern.fullmatch(snake(n))]
        names = list(dict.fromkeys(names))
        given = [n for n in names if n in self.explicit]
        return given or [n for n in names if n in self.values] or names

    def span(self, name: str) -> tuple[Decimal, Decimal] | None:
        """The least and the greatest positive value that the schema lets `name` have."""
        spans: list[tuple[Decimal, Decimal]] = []
        for rules in self.schema.get(name, ()):
            choices = choices_of(rules)
            read = [n for one in choices or () if (n := read_seconds(one)) is not None and n > 0]
            spans += [(min(read), max(read))] if read else []
            if choices is not None:
                continue
            high = read_seconds(rules.get("maximum", rules.get("exclusiveMaximum")))
            low = read_seconds(rules.get("minimum", rules.get("exclusiveMinimum")))
            if high is not None and high > 0:
                spans.append((low if low is not None and low > 0 else min(Decimal(1), high), high))
            elif not types_of(rules) or types_of(rules) & _NUMBERS:
                return None
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None

    def choices(self, name: str) -> list[Any]:
        """The values the schema lists for `name`; empty where it may have others too."""
        listed = [choices_of(rules) for rules in self.schema.get(name, ())]
        return [one for choices in listed for one in choices or ()] if None not in listed else []

    def possible(self, name: str) -> list[Any]:
        """Its value, or all it may have, or [None] for "anything"."""
        return [self.values[name]] if name in self.values else self.choices(name) or [None]

    def may_be(self, kind: str, name: str) -> bool:
        """Whether `name` may be of that type; where nothing is said of its type it may."""
        rules = self.schema.get(name, ())
        return not rules or any(not types_of(one) or kind in types_of(one) for one in rules)


def effective(model: Model, params: Mapping[str, Any]) -> Fields:
    """Return `params` with the defaults of the model's schema; a null counts as left out."""
    known = parameters(model)
    given = {str(name): value for name, value in params.items() if value is not None}
    values = {n: s["default"] for n, s in known.fields.items() if s.get("default") is not None}
    values |= given
    schema = {name: tuple(alternatives(spec, known.root)) for name, spec in known.fields.items()}
    for name in list(schema | values):
        _unfold(name, values, schema, known.root)
    return Fields(values, frozenset(given), schema)


def _unfold(
    name: str, values: dict[str, Any], schema: dict[str, tuple[Schema, ...]], root: Schema
) -> None:
    """Add what is inside an object, as ``object.field``."""
    inside = values.get(name)
    held = {str(n): v for n, v in inside.items()} if isinstance(inside, Mapping) else {}
    documented = {
        str(inner): spec
        for rules in schema.get(name, ())
        if isinstance(properties := rules.get("properties"), Mapping)
        for inner, spec in properties.items()
    }
    for inner, spec in documented.items():
        branches = tuple(alternatives(spec, root))
        schema[f"{name}.{inner}"] = branches
        default = next((one["default"] for one in branches if "default" in one), None)
        held.setdefault(inner, default)
    values |= {f"{name}.{inner}": value for inner, value in held.items() if value is not None}
    if name.count(".") < _DEEPEST:
        for inner in (*documented, *(n for n in held if n not in documented)):
            _unfold(f"{name}.{inner}", values, schema, root)


def read_seconds(value: object) -> Decimal | None:
    """Read a duration in any of its spellings, in seconds: 8, "8", "5s", "1m", "0:10", "500ms"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    text = str(value).strip().lower()
    clock = re.fullmatch(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", text)
    if clock:
        hours, minutes, seconds = clock.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + Decimal(seconds)
    found = re.fullmatch(r"([+-]?\d+(?:\.\d*)?(?:e[+-]?\d{1,3})?)\s*([a-z]*)", text)
    unit = _UNITS.get(found[2]) if found else None
    try:
        return Decimal(found[1]) * unit if found and unit is not None else None
    except InvalidOperation:
        return None


def image_count(fields: Fields) -> Amount | str:
    """Return how many results one call makes, or in words why that is unknown."""
    low, high = Decimal(1), Decimal(1)
    for name in fields.named(_COUNT):
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


def output_seconds(fields: Fields) -> Amount | str:
    """Return how long one result is, or in words why that is unknown."""
    if any(fields.values.get(name) is True for name in fields.named(_AS_LONG_AS_INPUT)):
        return "the result is as long as its input"
    if fields.named(_SECTION):
        return "the result is as long as the film it changes a part of"
    spans = [_duration_span(fields, name) for name in fields.named(_DURATION)]
    spans += _frame_spans(fields)
    shots = fields.values.get("multi_prompt")
    if isinstance(shots, list | tuple) and shots:
        spans.append(_shots_span(fields, shots))
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
            unit = _UNITS.get(snake(name).rpartition("_")[2], Decimal(1))
            high, reason = high + most * unit, f"{name} may make the result longer"
    return Amount(low, high, reason)


def duration_range(fields: Fields) -> tuple[Decimal, Decimal] | None:
    """Return the shortest and the longest result the schema allows, in seconds, or None."""
    spans = [span for name in fields.named(_DURATION) if (span := fields.span(name))]
    if not spans:
        return None
    return min(low for low, _ in spans), max(high for _, high in spans)


def can_have_sound(fields: Fields, pricing: object) -> bool:
    """Whether a parameter asks for sound, or sound has a price."""
    has_price = getattr(pricing, "cost_per_second_with_audio", None) is not None
    return has_price or bool(switches(fields))


def switches(fields: Fields) -> list[str]:
    """Return the parameters that turn sound on and off."""
    return [name for name in fields.named(_SOUND) if fields.may_be("boolean", name)]


def duration_names(fields: Fields) -> list[str]:
    """Return the parameters that say how long the result is to be."""
    return fields.named(_DURATION)


def qualities(fields: Fields) -> frozenset[str] | None:
    """Return the qualities the call may have, spelled alike; None if there is no such choice."""
    return _spelled(fields, fields.named(_QUALITY))


def resolutions(fields: Fields) -> frozenset[str] | None:
    """Return the resolutions the call may have, spelled alike; None if there is no such choice."""
    width, height = fields.values.get("width"), fields.values.get("height")
    if isinstance(width, int) and isinstance(height, int):
        return frozenset({f"{width}x{height}"})
    names = fields.named(_SIZE)
    if not names and ({"width", "height"} & (fields.values.keys() | fields.schema.keys())):
        return frozenset({""})
    return _spelled(fields, names)


def is_high_resolution(fields: Fields) -> bool | None:
    """Whether the call surely is of high resolution, surely is not, or either (None)."""
    sizes = {_as_lines(size) for size in resolutions(fields) or ()}
    offered = {
        _as_lines(_spell(choice)) for name in fields.named(_SIZE) for choice in fields.choices(name)
    }
    more_than_720 = any((lines := _line_count(size)) and lines > 768 for size in offered)
    plain = _PLAIN | ({"720p", "768p"} if more_than_720 else set())
    if sizes and sizes <= _HIGH:
        return True
    return False if sizes and sizes <= plain else None


def audio_switch(fields: Fields) -> bool | None:
    """Whether the result surely has sound, surely has none, or either (None)."""
    states: set[bool | None] = set()
    for name in fields.named(_SOUND):
        for value in fields.possible(name):
            word = _WORDS.get(str(value).strip().lower()) if value is not None else None
            if word is not None or fields.may_be("boolean", name):
                states.add(word)
    return states.pop() if len(states) == 1 else None


def means(key: str, value: str) -> bool:
    """Whether a price table's `key` names the same quality or resolution as `value`."""
    key, value = _spell(key), _spell(value)
    if key == value:
        return True
    both_sizes = "x" in key and "x" in value
    return not both_sizes and _as_lines(key) == _as_lines(value)


def token_counts(usage: Mapping[str, Any]) -> tuple[int, int] | None:
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
        # Some upstreams leave the reasoning out of the completion and bill it as output.
        reasoning = sum(_first_count(part, "reasoning_tokens") or 0 for part in details)
        if total != prompt + completion + reasoning:
            return None
        completion += reasoning
    return prompt, completion


_PRICED_APART = (
    "cached_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
    "cache_creation_tokens", "audio_tokens", "image_tokens",
)  # fmt: skip


def _first_count(row: Mapping[str, Any], *names: str) -> int | None:
    value = next((row[name] for name in names if row.get(name) is not None), None)
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count else None


_Span = tuple[Decimal, Decimal]
_KNOWN = (_COUNT, _DURATION, _FRAMES, _FPS, _AS_LONG_AS_INPUT, _SECTION, _QUALITY, _SIZE, _SOUND)


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
    return fields.span(name) is not None or any(types_of(one) & _NUMBERS for one in rules)


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
    unit = _UNITS["ms"] if snake(name).endswith("_ms") else Decimal(1)
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
    if not names or (set(durations) & fields.explicit and not set(names) & fields.explicit):
        return []
    frames = _duration_span(fields, names[0])
    rate = next((_duration_span(fields, name) for name in fields.named(_FPS)), None)
    if frames is None or rate is None:
        return [None]
    # A part of a second may be billed as a whole one.
    longest = frames[1] / rate[0]
    return [(frames[0] / rate[1], Decimal(math.ceil(longest)))]


def _shots_span(fields: Fields, shots: Iterable[Any]) -> _Span | None:
    low = high = Decimal(0)
    for shot in shots:
        own = read_seconds(shot.get("duration")) if isinstance(shot, Mapping) else None
        if own is None or own <= 0:
            names = fields.named(_DURATION)
            span = fields.span(names[0]) if names else None
            if span is None:
                return None
            low, high = low + span[0], high + span[1]
        else:
            low, high = low + own, high + own
    return low, high


def _spelled(fields: Fields, names: list[str]) -> frozenset[str] | None:
    if not names:
        return None
    return frozenset(_spell(value) for name in names for value in fields.possible(name))


def _spell(value: object) -> str:
    text = re.sub(r"[\s_-]+", " ", str("" if value is None else value)).strip().lower()
    text = re.sub(r"(?<=\d) (?=(mp|k|p|megapixels?)\b)", "", text)
    return re.sub(r"(?<=\d{3})\s?[x*×:]\s?(?=\d{3})", "x", text)


def _as_lines(size: str) -> str:
    """Spell a resolution by its lines (``1080p``) where it is one of those."""
    lines = _line_count(size)
    return f"{lines}p" if lines else size


def _line_count(size: str) -> int | None:
    pixels = re.fullmatch(r"(\d+)x(\d+)", size)
    if pixels:
        return min(int(pixels[1]), int(pixels[2]))
    plain = re.fullmatch(r"(\d+)(p|i)", size)
    if plain:
        return int(plain[1])
    thousands = re.fullmatch(r"(\d)k( uhd)?", size)
    return _LINES.get(size) or (_THOUSANDS.get(thousands[1]) if thousands else None)
