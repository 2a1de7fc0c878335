"""A JSON Schema as models publish them, read however it is written.

Made for schemas nobody has proof-read: what cannot be understood restricts nothing
(https://json-schema.org/draft/2020-12, https://spec.openapis.org/oas/v3.0.3#schema-object).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

Schema = Mapping[str, Any]

MAX_DEPTH = 24
"""How deep schemas are followed into each other; deeper down everything is allowed."""

_TYPE_NAMES = {
    "int": "integer", "long": "integer", "float": "number", "double": "number",
    "decimal": "number", "bool": "boolean", "str": "string", "text": "string",
    "list": "array", "tuple": "array", "dict": "object", "map": "object", "none": "null",
}  # fmt: skip
_TYPES = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})


def resolve(schema: object, root: Schema) -> Schema:
    """Follow `$ref` inside `root`; what leads nowhere, or is not a schema, allows everything."""
    seen: set[str] = set()
    while isinstance(schema, Mapping) and isinstance(ref := schema.get("$ref"), str):
        beside = {name: rule for name, rule in schema.items() if name != "$ref"}
        target = _pointed_at(ref, root) if ref not in seen else {}
        seen.add(ref)
        schema = {**target, **beside}
    return schema if isinstance(schema, Mapping) else {}


def merged(schema: object, root: Schema, inside: tuple[object, ...] = ()) -> Schema:
    """Resolve a schema and write what the parts of its `allOf` say beside them.

    The parts stay, for a value has to fit each of them. A part that `inside` holds already leads
    in a circle, and says nothing more.
    """
    rules = resolve(schema, root)
    whole: dict[str, Any] = {}
    for part in _new_parts(rules.get("allOf"), inside):
        whole = _added(whole, merged(part, root, (*inside, part)))
    return _added(whole, rules)


def alternatives(schema: object, root: Schema, inside: tuple[object, ...] = ()) -> Iterator[Schema]:
    """The schemas one of which a value has to fit: the branches of `anyOf` and `oneOf`."""
    rules = merged(schema, root)
    branches = [
        branch for name in ("anyOf", "oneOf") for branch in _new_parts(rules.get(name), inside)
    ]
    if not branches:
        yield rules
        return
    shared = {name: rule for name, rule in rules.items() if name not in ("anyOf", "oneOf", "allOf")}
    for branch in branches:
        for inner in alternatives(branch, root, (*inside, *branches)):
            yield {**shared, **inner}


def _new_parts(value: object, inside: tuple[object, ...]) -> list[Any]:
    return [part for part in schemas_in(value) if not any(part is one for one in inside)]


def _added(whole: dict[str, Any], said: Schema) -> dict[str, Any]:
    properties = [p for p in (whole.get("properties"), said.get("properties")) if p]
    required = [name for one in (whole, said) for name in listed_in(one.get("required"))]
    added = {**whole, **said}
    if len(properties) == 2 and all(isinstance(one, Mapping) for one in properties):
        added["properties"] = {**properties[0], **properties[1]}
    if required:
        added["required"] = list(dict.fromkeys(required))
    return added


def types_of(rules: Schema) -> frozenset[str]:
    """Return the types a schema allows; empty where it does not restrict them."""
    declared = rules.get("type")
    listed = declared if isinstance(declared, list) else [declared]
    names = [_TYPE_NAMES.get(t.lower(), t.lower()) for t in listed if isinstance(t, str)]
    if not names or not all(name in _TYPES for name in names):
        return frozenset()
    return frozenset(names)


def choices_of(rules: Schema) -> list[Any] | None:
    """Return the values a schema lists, or None where it lists none."""
    if "const" in rules:
        return [rules["const"]]
    choices = rules.get("enum")
    return choices if isinstance(choices, list) and choices else None


def allows_null(rules: Schema, root: Schema, depth: int = 0) -> bool:
    """Whether null is one of the values."""
    if rules.get("nullable") is True or "null" in types_of(rules):
        return True
    if any(choice is None for choice in choices_of(rules) or ()):
        return True
    if depth > MAX_DEPTH:
        return False
    branches = schemas_in(rules.get("anyOf")) + schemas_in(rules.get("oneOf"))
    return any(allows_null(resolve(branch, root), root, depth + 1) for branch in branches)


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


def number_of(value: object) -> Decimal | None:
    """Return a bound as a number, wherever it is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def bounds(rules: Schema) -> tuple[Decimal | None, bool, Decimal | None, bool]:
    """Return least, whether it is excluded, greatest, whether it is excluded."""
    least, no_least = number_of(rules.get("minimum")), rules.get("exclusiveMinimum") is True
    most, no_most = number_of(rules.get("maximum")), rules.get("exclusiveMaximum") is True
    above, below = (
        number_of(rules.get("exclusiveMinimum")),
        number_of(rules.get("exclusiveMaximum")),
    )
    if above is not None and (least is None or above >= least):
        least, no_least = above, True
    if below is not None and (most is None or below <= most):
        most, no_most = below, True
    return least, no_least, most, no_most


def shown(value: Any) -> str:
    """Write a value as people read it, cut short."""
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    text = {None: "null", True: "true", False: "false"}.get(value, text) if _plain(value) else text
    return text if len(text) <= 80 else f"{text[:77]}…"


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _pointed_at(ref: str, root: Schema) -> Schema:
    here: object = root
    if not ref.startswith("#"):
        return {}
    for step in ref[1:].strip("/").split("/") if ref.strip("#/") else []:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(here, list) and key.isdigit() and int(key) < len(here):
            here = here[int(key)]
        elif isinstance(here, Mapping) and key in here:
            here = here[key]
        else:
            return {}
    return here if isinstance(here, Mapping) else {}


def schemas_in(value: object) -> list[Any]:
    """Return the schemas of a list of them, without what is none."""
    return [part for part in value if isinstance(part, Mapping)] if isinstance(value, list) else []


def listed_in(value: object) -> list[str]:
    """Return the names in a list of them, without what is none."""
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def required_of(rules: Schema) -> Iterator[str]:
    """The names a schema requires, in the list or as a mark on the property."""
    yield from listed_in(rules.get("required"))
    properties = rules.get("properties")
    for name, spec in properties.items() if isinstance(properties, Mapping) else ():
        if isinstance(spec, Mapping) and spec.get("required") is True:
            yield str(name)
