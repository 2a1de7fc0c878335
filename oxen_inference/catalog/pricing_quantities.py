"""How many results a call makes, and how long each is. Nothing here knows a price."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from oxen_inference.catalog.effective import EffectiveCall, Span, read_quantity
from oxen_inference.catalog.parameter_roles import Role, role_of, snake_case

_MILLISECOND = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class Quantity:
    """How many, or how many seconds: between `low` and `high`."""

    low: Decimal
    high: Decimal
    reason: str | None = None
    """Why it is a range."""


def result_count(call: EffectiveCall) -> Quantity | str:
    """Return how many results one call makes, or in words why that is unknown.

    Counts of several names multiply, those left out by as much as the schema allows.
    """
    low, high = Decimal(1), Decimal(1)
    for name in call.all_named(Role.COUNT, Role.COUNT_LIMIT):
        if name in call.values:
            count = read_quantity(call.values[name])
            if count is None or count < 1 or count != count.to_integral_value():
                return f"{name} is not a whole number of 1 or more"
            span = (Decimal(1) if role_of(name) is Role.COUNT_LIMIT else count, count)
        else:
            allowed = call.span(name)
            if allowed is None:
                return f"nothing says how many results {name} makes when it is left out"
            span = allowed
        low = max(low, span[0])
        high = max(low, high * span[1])
    return Quantity(low, high, "the number of results is open" if low != high else None)


def prompt_count(call: EffectiveCall) -> Quantity:
    """Return how many results the lists of prompts in a call may make."""
    most = Decimal(math.prod(map(len, call.prompt_lists().values())))
    reason = "each of the prompts may make a result" if most > 1 else None
    return Quantity(Decimal(1), most, reason)


def result_seconds(call: EffectiveCall) -> Quantity | str:
    """Return how long one result is, or in words why that is unknown."""
    switches = call.named(Role.FOLLOWS_INPUT)
    if any(call.values.get(name) is True or name in call.nulls for name in switches):
        return "the result is as long as its input"
    if call.named(Role.INPUT_SECTION):
        return "the result is as long as the video that it changes a part of"
    durations = call.named(Role.DURATION)
    if len({name.rpartition(".")[0] for name in durations}) > 1:
        return f"nothing says whether {' and '.join(durations)} add up"
    spans = [_duration_span(call, name) for name in durations]
    spans += _frame_spans(call)
    spans += [_shots_span(call, shots) for shots in call.prompt_lists().values()]
    if not spans:
        if call.named(Role.TIMED_INPUT):
            return "the result is as long as its input"
        return "no parameter says how long the result is"
    span = _joined(spans)
    if span is None:
        return "nothing says how long the result can be"
    low, high = span
    whole = Decimal(math.ceil(high))
    if low != high:
        return Quantity(low, whole, "the length is open")
    rounded = "a part of a second may be billed as a whole one" if whole > high else None
    return Quantity(low, whole, rounded)


def duration_range(call: EffectiveCall) -> Span | None:
    """Return the shortest and the longest result that the schema allows, in seconds, or None."""
    spans = [call.span(name) for name in call.named(Role.DURATION)]
    return _joined([span for span in spans if span is not None])


def _joined(spans: list[Span | None]) -> Span | None:
    """Return the span from the least to the greatest, or None where one of them is unknown."""
    known = [span for span in spans if span is not None]
    if not known or len(known) < len(spans):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _duration_span(call: EffectiveCall, name: str) -> Span | None:
    unit = _unit(name)
    if name in call.values:
        seconds = read_quantity(call.values[name])
        if seconds is not None and seconds > 0:
            return seconds * unit, seconds * unit
    # Left out, or -1, 0, "auto": whatever the schema allows.
    span = call.span(name)
    return (span[0] * unit, span[1] * unit) if span else None


def _frame_spans(call: EffectiveCall) -> list[Span | None]:
    names = call.named(Role.FRAMES)
    durations = call.named(Role.DURATION)
    has_value = call.values.keys() | call.nulls
    if not names or (has_value & set(durations) and not has_value & set(names)):
        return []
    frames = _joined([_duration_span(call, name) for name in names])
    rate = _joined([_duration_span(call, name) for name in call.named(Role.FRAME_RATE)])
    if frames is None or rate is None:
        return [None]
    return [(frames[0] / rate[1], frames[1] / rate[0])]


def _shots_span(call: EffectiveCall, shots: Iterable[Any]) -> Span | None:
    low = high = Decimal(0)
    for shot in shots:
        span = _own_length(shot) or _length_of_each(call)
        if span is None:
            return None
        # Each may be billed by whole seconds.
        low, high = low + span[0], high + math.ceil(span[1])
    return low, high


def _own_length(shot: Any) -> Span | None:
    """Return how long a shot says that it is."""
    lengths = [
        seconds * _unit(str(name))
        for name, value in (shot.items() if isinstance(shot, Mapping) else ())
        if role_of(str(name)) is Role.DURATION
        and (seconds := read_quantity(value)) is not None
        and seconds > 0
    ]
    return (min(lengths), max(lengths)) if lengths else None


def _length_of_each(call: EffectiveCall) -> Span | None:
    return _joined([call.span(n) or _duration_span(call, n) for n in call.named(Role.DURATION)])


def _unit(name: str) -> Decimal:
    return _MILLISECOND if snake_case(name).endswith("_ms") else Decimal(1)
