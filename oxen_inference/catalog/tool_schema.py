"""A parameter's schema as function calling takes it everywhere.

A plain JSON Schema: no `$ref`, no extensions, one type a schema, every list with its items, names
that all providers take (https://platform.openai.com/docs/guides/function-calling).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.json_schema import (
    Schema,
    bounds,
    choices_of,
    is_json,
    merged,
    required_of,
    types_of,
)
from oxen_inference.catalog.tool_names import fits, item_kinds, property_names

if TYPE_CHECKING:
    from decimal import Decimal

_MAX_DEPTH = 6
_OF_TYPE: Mapping[str, tuple[str, ...]] = {
    "string": ("minLength", "maxLength", "pattern"),
    "array": ("minItems", "maxItems"),
}
"""Keywords that are copied as they are, and the types they belong to."""
_PLAIN_TYPES: tuple[tuple[str, type], ...] = (
    ("boolean", bool),
    ("integer", int),
    ("number", float),
    ("string", str),
    ("null", type(None)),
)


def tool_schema(
    spec: object, root: Schema, *, keep_null: bool = False, depth: int = 0
) -> dict[str, Any]:
    """Return the schema of one argument, from a model's own schema for it."""
    rules = merged(spec, root)
    if depth > _MAX_DEPTH:
        return {}
    schema = _said_of_it(rules)
    branches = rules.get("anyOf") or rules.get("oneOf")
    choices = choices_of(rules)
    if choices is not None:
        choices = [c for c in choices if (keep_null or c is not None) and not _refers(c)]
    types = set(types_of(rules)) - (set() if keep_null else {"null"})
    if keep_null and rules.get("nullable") is True and types:
        types.add("null")
    if choices:
        types = _types_among(choices)
    elif isinstance(branches, list):
        parts = [tool_schema(b, root, keep_null=keep_null, depth=depth + 1) for b in branches]
        parts = [part for part in parts if part and (keep_null or part.get("type") != "null")]
        if len(parts) == 1:
            return {**parts[0], **schema}
        if parts:
            schema["anyOf"] = parts
    if not types:
        return schema | _copied(rules, *_OF_TYPE) | ({"enum": choices} if choices else {})
    forms = [_of_type(kind, rules, choices, root, depth) for kind in sorted(types)]
    if len(forms) == 1:
        return schema | forms[0]
    # Not every provider takes a list of types, and all take alternatives.
    return {"anyOf": forms, **schema}


def _said_of_it(rules: Schema) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    if _is_sound("description", rules.get("description")):
        schema["description"] = rules["description"]
    if rules.get("format") in ("uri", "url"):
        # Some upstreams refuse formats they do not know; words they all read.
        described = schema.get("description")
        schema["description"] = f"{described} (a URL)" if described else "A URL."
    default = rules.get("default")
    if default is not None and is_json(default) and fits(default) and not _refers(default):
        schema["default"] = default
    return schema


def _of_type(
    kind: str, rules: Schema, choices: list[Any] | None, root: Schema, depth: int
) -> dict[str, Any]:
    """What the rules say of values of one type."""
    schema: dict[str, Any] = {"type": kind, **_copied(rules, kind)}
    if choices and kind != "null":
        schema["enum"] = [choice for choice in choices if _is_of(kind, choice)]
    if kind in ("integer", "number"):
        schema |= _bounds_in_numbers(rules)
    if kind == "array":
        schema["items"] = _item_schema(rules, root, depth) or {"type": "string"}
    if kind == "object":
        schema |= _object_schema(rules, root, depth)
    return schema


def _copied(rules: Schema, *kinds: str) -> dict[str, Any]:
    keywords = [keyword for kind in kinds for keyword in _OF_TYPE.get(kind, ())]
    return {k: rules[k] for k in keywords if _is_sound(k, rules.get(k))}


def _item_schema(rules: Schema, root: Schema, depth: int) -> dict[str, Any]:
    """What an item may be; of a tuple, which few upstreams know, what any of its items may be."""
    kinds = [tool_schema(spec, root, depth=depth + 1) for spec in item_kinds(rules)]
    distinct = [kind for i, kind in enumerate(kinds) if kind and kind not in kinds[:i]]
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct} if distinct else {}


def _object_schema(rules: Schema, root: Schema, depth: int) -> dict[str, Any]:
    specs = rules.get("properties")
    specs = {str(name): spec for name, spec in specs.items()} if isinstance(specs, Mapping) else {}
    names = property_names(specs)
    required = [names[name] for name in dict.fromkeys(required_of(rules)) if name in names]
    schema: dict[str, Any] = {
        "properties": {
            names[name]: tool_schema(spec, root, depth=depth + 1) for name, spec in specs.items()
        }
    }
    if required:
        schema["required"] = required
    if not specs:
        schema["additionalProperties"] = True
    return schema


def _bounds_in_numbers(rules: Schema) -> dict[str, Any]:
    least, no_least, most, no_most = bounds(rules)
    found = {
        "exclusiveMinimum" if no_least else "minimum": _json_number(least),
        "exclusiveMaximum" if no_most else "maximum": _json_number(most),
    }
    return {name: bound for name, bound in found.items() if bound is not None}


def _json_number(number: Decimal | None) -> int | float | None:
    if number is None:
        return None
    return int(number) if number == number.to_integral_value() else float(number)


def _types_among(choices: list[Any]) -> set[str]:
    """The types of listed values; none where one is neither a plain value nor null."""
    types = {_plain_type(choice) for choice in choices}
    if "" in types:
        return set()
    return types - {"integer"} if "number" in types else types


def _is_of(kind: str, choice: Any) -> bool:
    plain = _plain_type(choice)
    return plain == kind or (kind == "number" and plain == "integer")


def _plain_type(choice: Any) -> str:
    return next((name for name, kind in _PLAIN_TYPES if isinstance(choice, kind)), "")


def _is_sound(keyword: str, value: object) -> bool:
    if keyword in ("description", "pattern"):
        return isinstance(value, str) and bool(value.strip())
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _refers(value: object) -> bool:
    """Whether a value holds what whoever reads the schema would take for a reference."""
    if isinstance(value, list):
        return any(map(_refers, value))
    return isinstance(value, Mapping) and ("$ref" in value or any(map(_refers, value.values())))
