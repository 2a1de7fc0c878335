"""The part of JSON Schema that models' `request_schema` uses, and the check of a value by it.

A keyword outside that part restricts nothing. `unread_keywords` names it, since a price that
depends on it is unknown. A keyword with a malformed value restricts nothing either
(https://json-schema.org/draft/2020-12, https://spec.openapis.org/oas/v3.0.3#schema-object).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

Schema = Mapping[str, Any]

_READ_AT_ROOT = frozenset({"type", "properties", "required"})
_READ = frozenset(
    ["type", "enum", "const", "anyOf", "nullable", "default", "minimum", "maximum", "maxItems",
     "format", "items", "properties", "required"]
)  # fmt: skip
_ANNOTATIONS = frozenset(
    ["$schema", "$id", "$defs", "definitions", "title", "description", "examples", "renderType",
     "basic", "additionalProperties"]
)  # fmt: skip
_TYPES = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})
_TYPES_IN_WORDS = {
    "string": "a string", "integer": "a whole number", "number": "a number",
    "boolean": "true or false", "array": "a list", "object": "an object", "null": "null",
}  # fmt: skip
_MAX_DEPTH = 24
"""How deep schemas are followed into each other; deeper down everything is allowed."""
_MAX_EXPONENT = 30
"""Bounds beyond 10 to that power bind nothing."""


class SchemaMismatch(Exception):  # noqa: N818 - about a value, not the program; never leaves here
    """Why a value is refused: the rule it breaks, in words, and the path to it below the value."""

    def __init__(self, rule: str, path: str = "") -> None:
        super().__init__(rule)
        self.rule = rule
        self.path = path

    def below(self, step: str) -> SchemaMismatch:
        """Return the same mismatch, seen from one level up."""
        return SchemaMismatch(self.rule, step + self.path)


def unread_keywords(schema: object, *, is_root: bool = False) -> list[str]:
    """Return the keywords that may restrict a value and are not read, those of branches included.

    What is inside an object or a list is not looked at. `is_root`: the schema of all parameters.
    """
    if not isinstance(schema, Mapping):
        return []
    known = (_READ_AT_ROOT if is_root else _READ) | _ANNOTATIONS
    names = [n for n in schema if n not in known and not str(n).startswith("x-")]
    if schema.get("type") is not None and not types_of(schema):
        names.append("type")
    return names + [name for branch in _branches(schema) for name in unread_keywords(branch)]


def alternatives(schema: object, depth: int = 0) -> Iterator[Schema]:
    """Yield the schemas one of which a value has to fit: the branches of `anyOf`, merged with what
    stands beside them.
    """
    rules = schema if isinstance(schema, Mapping) else {}
    branches = _branches(rules)
    if not branches or depth > _MAX_DEPTH:
        yield rules
        return
    beside = {name: rule for name, rule in rules.items() if name != "anyOf"}
    for branch in branches:
        for inner in alternatives(branch, depth + 1):
            yield {**beside, **inner}


def types_of(rules: Schema) -> frozenset[str]:
    """Return the types that a schema allows; empty where it does not restrict them."""
    declared = rules.get("type")
    listed = declared if isinstance(declared, list) else [declared]
    names = [name for name in listed if isinstance(name, str)]
    return frozenset(names) if names and _TYPES.issuperset(names) else frozenset()


def choices_of(rules: Schema) -> list[Any] | None:
    """Return the values that a schema lists, or None where it lists none."""
    if "const" in rules:
        return [rules["const"]]
    choices = rules.get("enum")
    return choices if isinstance(choices, list) and choices else None


def properties_of(rules: object) -> Mapping[str, Any]:
    """Return the schemas of an object's fields, by name."""
    properties = rules.get("properties") if isinstance(rules, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def required_of(rules: Schema) -> list[str]:
    """Return the names of the fields that an object must have."""
    required = rules.get("required")
    return [n for n in required if isinstance(n, str)] if isinstance(required, list) else []


def allows_null(schema: object, depth: int = 0) -> bool:
    """Whether null is one of the values."""
    rules = schema if isinstance(schema, Mapping) else {}
    if rules.get("nullable") is True or "null" in types_of(rules):
        return True
    if any(choice is None for choice in choices_of(rules) or ()):
        return True
    return depth <= _MAX_DEPTH and any(allows_null(b, depth + 1) for b in _branches(rules))


def bounds(rules: Schema) -> tuple[Decimal | None, Decimal | None]:
    """Return the least and the greatest number that a schema allows."""
    return number_of(rules.get("minimum")), number_of(rules.get("maximum"))


def number_of(value: object) -> Decimal | None:
    """Return a bound as a number, also where it is written as a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        number = Decimal(value.strip() if isinstance(value, str) else repr(value))
    except (InvalidOperation, ValueError):  # the latter: an int of thousands of digits
        return None
    return number if number.is_finite() and abs(number.adjusted()) <= _MAX_EXPONENT else None


def is_url(rules: Schema) -> bool:
    """Whether a string has to be a URL."""
    return rules.get("format") in ("uri", "url")


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def is_json(value: object) -> bool:
    """Whether a value can be written as JSON, which knows neither infinities nor NaN."""
    if isinstance(value, Mapping):
        return all(map(is_json, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_json, value))
    return not isinstance(value, float) or math.isfinite(value)


def shown(value: Any) -> str:
    """Write a value as people read it, cut short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    # Callers give files, and have not written the data URLs that became of them.
    text = re.sub(r"""data:([\w.+-]+/[\w.+-]+)[;,][^"']*""", r"data:\1,…", text)
    return text if len(text) <= 80 else f"{text[:77]}…"


def coerce(value: Any, schema: object, depth: int = 0) -> Any:
    """Return `value` in the form that `schema` asks for; a documented default stays as it is.

    Raises `SchemaMismatch`.
    """
    if depth > _MAX_DEPTH:
        return value
    rules = schema if isinstance(schema, Mapping) else {}
    if "default" in rules and same(value, rules["default"]):
        return value
    if value is None and allows_null(rules):
        return value
    if branches := _branches(rules):
        value = _coerce_to_any(value, branches, depth)
    choices = choices_of(rules)
    if choices is not None:
        return _coerce_to_choice(value, choices, types_of(rules))
    value = _coerce_type(value, rules)
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        _check_bounds(value, rules)
    if isinstance(value, str) and is_url(rules) and not re.match(r"[a-zA-Z][\w+.-]*:\S", value):
        raise SchemaMismatch("must be a URL (https://… or data:…)")
    if isinstance(value, list):
        return _coerce_items(value, rules, depth)
    if isinstance(value, dict):
        return _coerce_properties(value, rules, depth)
    return value


def _branches(rules: Schema) -> list[Any]:
    branches = rules.get("anyOf")
    return [b for b in branches if isinstance(b, Mapping)] if isinstance(branches, list) else []


def _coerce_to_any(value: Any, branches: list[Any], depth: int) -> Any:
    mismatches: list[SchemaMismatch] = []
    for branch in branches:
        try:
            return coerce(value, branch, depth + 1)
        except SchemaMismatch as mismatch:  # noqa: PERF203 - trying each branch is the point
            mismatches.append(mismatch)
    # A value of the right type was meant for that branch.
    inside = [
        m for b, m in zip(branches, mismatches, strict=True) if m.path and _has_type(value, b)
    ]
    if len(inside) == 1:
        raise inside[0]
    reasons = dict.fromkeys(f"{m.path.lstrip('.')} {m.rule}".strip() for m in mismatches)
    fits_none = "fits none of its forms: " if inside else ""
    raise SchemaMismatch(fits_none + " or ".join(reasons))


def _has_type(value: Any, rules: Schema) -> bool:
    try:
        _coerce_type(value, rules)
    except SchemaMismatch:
        return False
    return True


def _coerce_to_choice(value: Any, choices: list[Any], types: frozenset[str]) -> Any:
    for choice in choices:
        if same(value, choice):
            return choice
    spelled = _spelled(value)
    # Published enums disagree with their types: "8" under a type that includes integer, and
    # seconds that must be strings. A number written as a string is refused where only numbers
    # are allowed.
    as_written = types and isinstance(value, str) and "string" not in types
    for choice in choices:
        if spelled is not None and spelled == _spelled(choice):
            if as_written and not isinstance(choice, str):
                break
            return choice
    listed = ", ".join(shown(choice) for choice in choices)
    raise SchemaMismatch(f"must be one of {listed}" if len(choices) > 1 else f"must be {listed}")


def _spelled(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _coerce_type(value: Any, rules: Schema) -> Any:
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, Mapping):
        value = dict(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise SchemaMismatch("must be a finite number")
    types = types_of(rules)
    if not types:
        return value
    if isinstance(value, bool):
        kinds: tuple[str, ...] = ("boolean",)
    elif isinstance(value, int):
        kinds = ("integer", "number")
    elif isinstance(value, float):
        kinds = ("number", "integer") if value.is_integer() else ("number",)
    else:
        names = {str: "string", list: "array", dict: "object", type(None): "null"}
        kinds = (names.get(type(value), "other"),)
    if types.isdisjoint(kinds):
        wanted = sorted(types - {"null"}) or ["null"]
        raise SchemaMismatch(f"must be {' or '.join(_TYPES_IN_WORDS[name] for name in wanted)}")
    if isinstance(value, float) and value.is_integer() and "number" not in types:
        return int(value)
    return value


def _check_bounds(value: float, rules: Schema) -> None:
    least, most = bounds(rules)
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if (least is None or number >= least) and (most is None or number <= most):
        return
    if least is None or most is None:
        raise SchemaMismatch(
            f"must be at most {most}" if least is None else f"must be at least {least}"
        )
    raise SchemaMismatch(f"must be between {least} and {most}")


def _coerce_items(value: list[Any], rules: Schema, depth: int) -> list[Any]:
    most = number_of(rules.get("maxItems"))
    if most is not None and len(value) > most:
        raise SchemaMismatch(f"must have at most {most} items")
    items: list[Any] = []
    for index, item in enumerate(value):
        try:
            items.append(coerce(item, rules.get("items"), depth + 1))
        except SchemaMismatch as mismatch:  # noqa: PERF203 - the error needs the index
            raise mismatch.below(f"[{index}]") from None
    return items


def _coerce_properties(value: dict[Any, Any], rules: Schema, depth: int) -> dict[Any, Any]:
    properties = properties_of(rules)
    for name in required_of(rules):
        spec = properties.get(name)
        if name not in value and "default" not in (spec if isinstance(spec, Mapping) else {}):
            raise SchemaMismatch("is missing", f".{name}")
    fields: dict[Any, Any] = {}
    for name, item in value.items():
        try:
            fields[name] = coerce(item, properties.get(name), depth + 1)
        except SchemaMismatch as mismatch:  # noqa: PERF203 - the error needs the name
            raise mismatch.below(f".{name}") from None
    return fields
