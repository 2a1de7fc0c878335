"""What a JSON Schema allows: the kind of a value, its range, and whether a scalar fits."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

Schema = dict[str, Any]
"""A JSON Schema object, any draft."""


def kind_of(schema: Schema) -> str:
    """Return the one type of a schema without unions; what says nothing is a string."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def joined(left: Schema, right: Any) -> Schema:
    """Merge two schemas that both hold."""
    if not isinstance(right, dict):
        return left
    both = {**left, **right}
    if "properties" in left and "properties" in right:
        both["properties"] = {**left["properties"], **right["properties"]}
    if "required" in left and "required" in right:
        both["required"] = [*left["required"], *right["required"]]
    return both


def bounds(schema: Schema) -> tuple[float, float]:
    """Return the inclusive range of a number; exclusive bounds move to the next value."""
    low: float = schema.get("minimum", -math.inf)
    high: float = schema.get("maximum", math.inf)
    # Draft 4 says true, and means the bound beside it.
    above: Any = low if schema.get("exclusiveMinimum") is True else schema.get("exclusiveMinimum")
    below: Any = high if schema.get("exclusiveMaximum") is True else schema.get("exclusiveMaximum")
    whole = kind_of(schema) == "integer"
    if _is_number(above):
        low = max(low, math.floor(above) + 1 if whole else math.nextafter(above, math.inf))
    if _is_number(below):
        high = min(high, math.ceil(below) - 1 if whole else math.nextafter(below, -math.inf))
    return low, high


def number(schema: Schema) -> int | float:
    """Make up a number: the middle of its range, else 1 or the bound next to it."""
    low, high = bounds(schema)
    finite = -math.inf < low and high < math.inf
    value = (low + high) / 2 if finite else min(max(1, low), high)
    if step := schema.get("multipleOf"):
        value = math.floor(value / step) * step
        value = value if value >= low else value + step
    if kind_of(schema) != "integer":
        return value
    return int(value) if low <= int(value) <= high else math.ceil(low)


def clamped(schema: Schema, value: Any) -> Any:
    """Move a number into the range; leave any other value as it is."""
    if not _is_number(value):
        return value
    if kind_of(schema) == "integer" and value == int(value):
        value = int(value)
    low, high = bounds(schema)
    return value if low <= value <= high else type(value)(low if value < low else high)


def fits(schema: Schema, value: Any) -> bool:
    """Check a scalar against its schema."""
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    kind = kind_of(schema)
    if kind in ("integer", "number"):
        return _fits_number(schema, value, whole=kind == "integer")
    if kind == "string":
        shortest, longest = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        pattern = schema.get("pattern")
        return (
            isinstance(value, str)
            and shortest <= len(value) <= longest
            and (not pattern or bool(re.search(pattern, value)))
        )
    return kind != "boolean" or isinstance(value, bool)


def _fits_number(schema: Schema, value: Any, *, whole: bool) -> bool:
    if not _is_number(value) or (whole and not isinstance(value, int)):
        return False
    low, high = bounds(schema)
    step = schema.get("multipleOf")
    even = not step or math.isclose(value / step, round(value / step), abs_tol=1e-9)
    return low <= value <= high and even


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}


def _is_schema(value: Any) -> bool:
    return isinstance(value, (dict, bool))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_pattern(value: Any) -> bool:
    try:
        re.compile(value)
    except (TypeError, re.error):
        return False
    return True


_KEYWORDS: dict[str, Callable[[Any], bool]] = {
    "type": lambda v: bool(v) and _TYPES.issuperset(map(str, v if isinstance(v, list) else [v])),
    "enum": lambda v: isinstance(v, list) and bool(v),
    "required": lambda v: (
        isinstance(v, bool)  # draft 3
        or (isinstance(v, list) and all(isinstance(name, str) for name in v))
    ),
    "pattern": _is_pattern,
    "multipleOf": lambda v: _is_number(v) and v > 0,
    "$ref": lambda v: isinstance(v, str),
    **dict.fromkeys(("items", "additionalProperties"), _is_schema),
    **dict.fromkeys(("properties", "$defs", "definitions"), lambda v: isinstance(v, dict)),
    **dict.fromkeys(
        ("anyOf", "oneOf", "allOf", "prefixItems"), lambda v: isinstance(v, list) and bool(v)
    ),
    **dict.fromkeys(("minimum", "maximum"), _is_number),
    **dict.fromkeys(
        ("exclusiveMinimum", "exclusiveMaximum"), lambda v: isinstance(v, (int, float))
    ),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties"), _is_count),
}


def fault(schema: Any, path: tuple[str, ...] = ()) -> str | None:
    """Return where and why a schema is none, or None where it is well formed."""
    if not _is_schema(schema):
        return f"In context=({', '.join(map(repr, path))}), {schema!r} is not a schema"
    if isinstance(schema, bool):
        return None
    for keyword, value in schema.items():
        if keyword in _KEYWORDS and value is not None and not _KEYWORDS[keyword](value):
            return (
                f"In context=({', '.join(map(repr, path))}), {value!r} is not valid for '{keyword}'"
            )
    return next(
        (found for where, part in _parts(schema) if (found := fault(part, (*path, *where)))), None
    )


def _parts(schema: Schema) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the schemas inside a schema, with the way to each."""
    for group in ("properties", "$defs", "definitions"):
        for name, part in (schema.get(group) or {}).items():
            yield (group, name), part
    for group in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for index, part in enumerate(schema.get(group) or ()):
            yield (group, str(index)), part
    for group in ("items", "additionalProperties"):
        if schema.get(group) is not None:
            yield (group,), schema[group]
