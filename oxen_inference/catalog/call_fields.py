"""The parameters of a call with the schema's defaults filled in, and what each may still be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.json_schema import Schema, alternatives, choices_of, types_of
from oxen_inference.catalog.pricing_unknowns import snake
from oxen_inference.catalog.request_schema import parameters

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

NUMBERS = frozenset({"integer", "number"})
_DEEPEST = 2  # objects in an object
UNITS = {
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), Decimal(1)),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), Decimal(60)),
    **dict.fromkeys(("h", "hour", "hours"), Decimal(3600)),
    "ms": Decimal("0.001"),
}


@dataclass(frozen=True, slots=True)
class Fields:
    """A call's parameters with the schema's defaults filled in; ``a.b`` is b in the object a."""

    values: Mapping[str, Any]
    schema: Mapping[str, tuple[Schema, ...]] = field(default_factory=dict)
    """What each parameter may be: one of these, none of which is an `anyOf` or a reference."""
    nulls: frozenset[str] = frozenset()
    """Parameters without a value, since null is sent for them: the model chooses."""

    def named(self, pattern: re.Pattern[str]) -> list[str]:
        """The parameters of that name which count: those with a value, else all of them.

        A default counts beside what is given: nobody says which of two the model goes by.
        """
        names = self.all_named(pattern)
        return [n for n in names if n in self.values or n in self.nulls] or names

    def all_named(self, pattern: re.Pattern[str]) -> list[str]:
        """The parameters of that name, with or without a value."""
        names = [n for n in (*self.values, *self.schema) if pattern.fullmatch(snake(n))]
        return list(dict.fromkeys(names))

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
            elif not types_of(rules) or types_of(rules) & NUMBERS:
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
    """Return `params` with the defaults of the model's schema.

    A null counts as left out where `validate` leaves it out, and as no value where it is sent.
    """
    known = parameters(model)
    given = {str(name): value for name, value in params.items() if value is not None}
    nulls = {str(name) for name, value in params.items() if value is None}
    nulls = {name for name in nulls if name in known.fields and known.sends_null(name)}
    values = {n: s["default"] for n, s in known.fields.items() if s.get("default") is not None}
    values = {name: value for name, value in values.items() if name not in nulls} | given
    schema = {name: tuple(alternatives(spec, known.root)) for name, spec in known.fields.items()}
    for name in list(schema | values):
        _unfold(name, values, schema, known.root)
    return Fields(values, schema, frozenset(nulls))


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
    unit = UNITS.get(found[2]) if found else None
    return Decimal(found[1]) * unit if found and unit is not None else None
