"""The parameters that a call has in effect: those given, and the schema's defaults for the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.parameter_roles import Role, role_of
from oxen_inference.catalog.parameters import COMMON, parameters
from oxen_inference.catalog.schema import (
    Schema,
    alternatives,
    bounds,
    choices_of,
    properties_of,
    types_of,
    unread_keywords,
)

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

_NUMBERS = frozenset({"integer", "number"})
_UNITS = {
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), Decimal(1)),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), Decimal(60)),
    **dict.fromkeys(("h", "hour", "hours"), Decimal(3600)),
    "ms": Decimal("0.001"),
}
_MAX_DEPTH = 8  # objects in objects; what is deeper down counts as a number of unknown meaning
_WITHOUT_PRICE = frozenset({None, Role.NEUTRAL, Role.PROMPT, Role.TIMED_INPUT})

Span = tuple[Decimal, Decimal]
"""The least and the greatest of what a number may be."""


@dataclass(frozen=True, slots=True)
class EffectiveCall:
    """The parameters of a call; ``a.b`` is the field b of the object a."""

    values: Mapping[str, Any]
    schema: Mapping[str, tuple[Schema, ...]] = field(default_factory=dict)
    """What each parameter may be: one of these, none of which is an `anyOf`."""
    nulls: frozenset[str] = frozenset()
    """Parameters without a value since null is sent for them: the model chooses."""
    unread: str | None = None
    """What was not understood of the schema of a parameter that decides the price."""

    def all_named(self, *roles: Role) -> list[str]:
        """Return the parameters of these roles, with or without a value."""
        names = dict.fromkeys((*self.values, *self.schema))
        return [name for name in names if role_of(name) in roles]

    def named(self, *roles: Role) -> list[str]:
        """Return the parameters of these roles that matter: those with a value, else all of them.

        A default counts beside a given value: which of the two the model follows is not documented.
        """
        names = self.all_named(*roles)
        return [n for n in names if n in self.values or n in self.nulls] or names

    def span(self, name: str) -> Span | None:
        """Return the least and the greatest positive number that the schema lets `name` have."""
        spans: list[Span] = []
        for rules in self.schema.get(name, ()):
            choices = choices_of(rules)
            read = [n for c in choices or () if (n := read_quantity(c)) is not None and n > 0]
            spans += [(min(read), max(read))] if read else []
            if choices is not None:
                continue
            low, high = bounds(rules)
            is_possible = low is None or high is None or low <= high
            if high is not None and high > 0 and is_possible:
                spans.append((low if low is not None and low > 0 else min(Decimal(1), high), high))
            elif _may_be_number(rules):
                return None
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None

    def choices(self, name: str) -> list[Any]:
        """Return the values that the schema lists for `name`; empty where it may have others."""
        listed = [choices_of(rules) for rules in self.schema.get(name, ())]
        return [] if None in listed else [choice for choices in listed for choice in choices or ()]

    def possible(self, name: str) -> list[Any]:
        """Return its value, or all it may have, or [None] for "anything"."""
        return [self.values[name]] if name in self.values else self.choices(name) or [None]

    def may_be(self, kind: str, name: str) -> bool:
        """Whether `name` may be of that type; where its schema names none it may."""
        rules = self.schema.get(name, ())
        return not rules or any(not types_of(one) or kind in types_of(one) for one in rules)

    def unknown_number(self) -> str | None:
        """Return a parameter that takes a number and whose name is in no table of roles, or None.

        Whatever it counts or measures may multiply the price.
        """
        for name in dict.fromkeys((*self.values, *self.schema)):
            found = self._unknown_number_in(name)
            if found is not None:
                return found
        return None

    def prompt_lists(self) -> dict[str, list[Any]]:
        """Return the lists in a call whose items each say what to make, or for how long."""
        return {
            name: list(value)
            for name, value in self.values.items()
            if isinstance(value, list | tuple) and value and _is_prompt_list(name, value)
        }

    def _unknown_number_in(self, name: str) -> str | None:
        if name in COMMON:
            return None
        is_unknown = role_of(name) is None
        rules = self.schema.get(name, ())
        if name not in self.values:
            return name if is_unknown and any(map(_may_be_number, rules)) else None
        value = self.values[name]
        if isinstance(value, list | tuple):
            inside = next(_unknown_numbers_in_items(name, value), None)
            is_open = is_unknown and not _is_prompt_list(name, value)
            return inside or (name if is_open and _may_ask_for_several(value) else None)
        if isinstance(value, Mapping) and name.count(".") >= _MAX_DEPTH:
            return name
        if not is_unknown:
            return None
        if isinstance(value, str):
            takes_text = rules and not any(map(_may_be_number, rules))
            return name if read_quantity(value) is not None and not takes_text else None
        is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        return name if is_number else None


def effective(model: Model, params: Mapping[str, Any]) -> EffectiveCall:
    """Return `params` with the defaults of the model's schema.

    A null counts as left out where `validate` leaves it out, and as no value where it is sent.
    """
    known = parameters(model)
    given = {str(name): value for name, value in params.items() if value is not None}
    nulls = {str(name) for name, value in params.items() if value is None}
    nulls = {name for name in nulls if name in known.fields and known.sends_null(name)}
    values = {n: s["default"] for n, s in known.fields.items() if s.get("default") is not None}
    values = {name: value for name, value in values.items() if name not in nulls} | given
    schema = {name: tuple(alternatives(spec)) for name, spec in known.fields.items()}
    unread = next(_unread(model.request_schema, known.fields), None)
    for name in list(schema | values):
        _unfold(name, values, schema)
    return EffectiveCall(values, schema, frozenset(nulls), unread)


def read_quantity(value: object) -> Decimal | None:
    """Read a number, or a duration in any of its spellings: 8, "8", "5s", "1m", "0:10", "500ms"."""
    if isinstance(value, str):
        return _quantity_in(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return number if number.is_finite() else None


@lru_cache(maxsize=4096)
def _quantity_in(text: str) -> Decimal | None:
    text = text.strip().lower()
    clock = re.fullmatch(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", text)
    if clock:
        hours, minutes, seconds = clock.groups()
        return Decimal(hours or 0) * 3600 + Decimal(minutes) * 60 + Decimal(seconds)
    found = re.fullmatch(r"([+-]?\d+(?:\.\d*)?(?:e[+-]?\d{1,3})?)\s*([a-z]*)", text)
    unit = _UNITS.get(found[2]) if found else None
    return Decimal(found[1]) * unit if found and unit is not None else None


def _unfold(name: str, values: dict[str, Any], schema: dict[str, tuple[Schema, ...]]) -> None:
    """Add the fields of an object, as ``object.field``."""
    given = values.get(name)
    inside = {str(n): v for n, v in given.items()} if isinstance(given, Mapping) else {}
    documented = {
        str(field): spec
        for rules in schema.get(name, ())
        for field, spec in properties_of(rules).items()
    }
    for inner, spec in documented.items():
        branches = tuple(alternatives(spec))
        schema[f"{name}.{inner}"] = branches
        inside.setdefault(inner, next((b["default"] for b in branches if "default" in b), None))
    values |= {f"{name}.{inner}": value for inner, value in inside.items() if value is not None}
    if name.count(".") < _MAX_DEPTH:
        for inner in inside:
            _unfold(f"{name}.{inner}", values, schema)


def _unread(root: Mapping[str, Any] | None, fields: Mapping[str, Schema]) -> Iterator[str]:
    """Yield what was not understood of a model's schema, in words."""
    for keyword in unread_keywords(root, is_root=True):
        yield f"the schema has the keyword {keyword}"
    for name, spec in fields.items():
        yield from _unread_in(name, spec)


def _unread_in(name: str, spec: Schema) -> Iterator[str]:
    if role_of(name) not in _WITHOUT_PRICE:
        for keyword in unread_keywords(spec):
            yield f"the schema of {name} has the keyword {keyword}"
    for rules in alternatives(spec):
        for inner, about in properties_of(rules).items():
            if isinstance(about, Mapping):
                yield from _unread_in(f"{name}.{inner}", about)


def _may_be_number(rules: Schema) -> bool:
    choices = choices_of(rules)
    if choices is not None:
        return any(read_quantity(choice) is not None for choice in choices)
    types = types_of(rules)
    return bool(types & _NUMBERS) or not (types or properties_of(rules))


def _is_prompt_list(name: str, items: list[Any] | tuple[Any, ...]) -> bool:
    says_what = (Role.PROMPT, Role.PROMPT_LIST, Role.DURATION)
    return role_of(name) is Role.PROMPT_LIST or any(
        role_of(str(key)) in says_what
        for item in items
        if isinstance(item, Mapping)
        for key in item
    )


def _unknown_numbers_in_items(name: str, items: Any) -> Iterator[str]:
    """Yield fields of a list's items that may change the price of their own item."""
    in_prompts = _is_prompt_list(name, items)
    of_an_item = (*_WITHOUT_PRICE, Role.DURATION)
    for item in items:
        for key, value in item.items() if isinstance(item, Mapping) else ():
            role = role_of(str(key))
            has_number = read_quantity(value) is not None or isinstance(value, list | Mapping)
            if (role is None and has_number) or (in_prompts and role not in of_an_item):
                yield f"{name}[].{key}"


def _may_ask_for_several(items: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a list may ask for several results: by a number, or as several things but inputs."""
    is_url = re.compile(r"\w+:").match
    others = [item for item in items if not (isinstance(item, str) and is_url(item))]
    return len(others) > 1 or any(read_quantity(item) is not None for item in others)
