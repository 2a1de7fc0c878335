"""A model's parameters as a pydantic class: the `args_schema` of a tool for agents.

The class checks by the same code as `request_schema.validate`. What an agent reads is a plain
JSON Schema of the kind function calling accepts everywhere: one object, no `$ref`, every list
with its items, names of letters, digits, `_` and `-`
(https://platform.openai.com/docs/guides/function-calling).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model, model_validator

from oxen_inference.catalog.json_schema import (
    Schema,
    allows_null,
    bounds,
    choices_of,
    is_json,
    merged,
    required_of,
    schemas_in,
    types_of,
)
from oxen_inference.catalog.request_schema import COMMON, Parameters, check_arguments, parameters

if TYPE_CHECKING:
    from decimal import Decimal

    from oxen_inference.catalog.models import Model

_MAX_DEPTH = 6
_NOT_THE_AGENTS = frozenset({"model", "stream", *COMMON})
_COPIED = ("description", "minLength", "maxLength", "pattern", "minItems", "maxItems")
_PLAIN_TYPES: tuple[tuple[str, type], ...] = (
    ("boolean", bool),
    ("integer", int),
    ("number", float),
    ("string", str),
)


class Arguments(BaseModel):
    """Arguments of one call; a field that was not given is None."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())
    oxen_parameters: ClassVar[Parameters]
    oxen_wire_names: ClassVar[Mapping[str, str]]
    """Field name to parameter name, for those that differ."""

    @classmethod
    def to_params(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a request for validated arguments, by their wire names.

        Without nulls, but for those that a required parameter has as its value.
        """
        by_wire = {cls.oxen_wire_names.get(name, name): arg for name, arg in arguments.items()}
        return {
            wire: value
            for wire, value in by_wire.items()
            if value is not None or cls._must_be_said(wire)
        }

    @classmethod
    def _must_be_said(cls, wire: str) -> bool:
        known = cls.oxen_parameters
        return wire in known.required and allows_null(known.fields[wire], known.root)

    @model_validator(mode="before")
    @classmethod
    def _fit(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        by_wire = {wire: name for name, wire in cls.oxen_wire_names.items()}
        params = {cls.oxen_wire_names.get(name, name): value for name, value in given.items()}
        fitted = check_arguments(cls.oxen_parameters, params)
        return {by_wire.get(name, name): value for name, value in fitted.items()}


def _not_given() -> None:
    """Default of what may be left out; a factory, so that it is not written into the schema."""


def arguments_model(
    model: Model, *, pinned: Iterable[str] = (), common: Iterable[str] = ("num_generations",)
) -> type[Arguments]:
    """Return the class of the arguments an agent may give when it calls `model`.

    Left out are `pinned` names, hidden parameters, and those of every request but for `common`.
    Basic ones come first. A model that documents no parameters takes a prompt and anything else.
    """
    known = parameters(model)
    pinned = set(pinned)
    fixed = pinned | (_NOT_THE_AGENTS - set(common))
    fields = {
        name: spec
        for name, spec in known.fields.items()
        if name not in fixed and not (known.is_hidden(name) and not known.must_be_given(name))
    }
    required = {name for name in fields if known.must_be_given(name)}
    if known.note and "prompt" not in fixed:
        fields["prompt"] = {"type": "string", "description": "What to make, in words."}
    fields |= {n: COMMON[n] for n in common if n in COMMON and n not in fields and n not in fixed}
    names = _field_names(fields)
    definitions: Any = {
        names[wire]: _definition(wire, names[wire], spec, wire in required, known.root)
        for wire, spec in fields.items()
    }
    cls: type[Arguments] = create_model(
        _class_name(model.id), __base__=Arguments, __doc__=_summary(model, known), **definitions
    )
    cls.oxen_parameters = Parameters(
        fields=fields,
        required=frozenset(required),
        open=known.open,
        root=known.root,
        together={} if pinned else known.together,
    )
    cls.oxen_wire_names = {name: wire for wire, name in names.items() if name != wire}
    if known.open:
        cls.model_config = ConfigDict(**{**cls.model_config, "extra": "allow"})
        cls.model_rebuild(force=True)
    return cls


def _definition(
    wire: str, name: str, spec: Schema, required: bool, root: Schema
) -> tuple[Any, Any]:
    schema = tool_schema(spec, root, keep_null=required)
    options: dict[str, Any] = {"description": schema.pop("description", None)}
    if name != wire:
        options["serialization_alias"] = wire
    if not required:
        options["default_factory"] = _not_given
    return Annotated[Any, WithJsonSchema(schema)], Field(**options)


def tool_schema(
    spec: object, root: Schema, *, keep_null: bool = False, depth: int = 0
) -> dict[str, Any]:
    """Return a field's schema as function calling takes it: no references, no extensions."""
    rules = merged(spec, root)
    if depth > _MAX_DEPTH:
        return {}
    schema: dict[str, Any] = {k: rules[k] for k in _COPIED if _is_sound(k, rules.get(k))}
    if rules.get("format") in ("uri", "url"):
        # Some upstreams refuse formats they do not know; words they all read.
        described = schema.get("description")
        schema["description"] = f"{described} (a URL)" if described else "A URL."
    default = rules.get("default")
    if default is not None and is_json(default) and not _refers(default):
        schema["default"] = rules["default"]
    branches = rules.get("anyOf") or rules.get("oneOf")
    choices = choices_of(rules)
    if choices is not None:
        choices = [c for c in choices if (keep_null or c is not None) and not _refers(c)]
    types = set(types_of(rules)) - (set() if keep_null else {"null"})
    if keep_null and rules.get("nullable") is True and types:
        types.add("null")
    if choices:
        types = _types_among(choices)
        schema["enum"] = choices
    elif isinstance(branches, list):
        parts = [tool_schema(b, root, keep_null=keep_null, depth=depth + 1) for b in branches]
        parts = [part for part in parts if part and (keep_null or part.get("type") != "null")]
        if len(parts) == 1:
            return {**parts[0], **schema}
        if parts:
            schema["anyOf"] = parts
    if types:
        schema["type"] = sorted(types) if len(types) > 1 else next(iter(types))
    if "integer" in types or "number" in types:
        schema |= _bounds_in_numbers(rules)
    if "array" in types:
        schema["items"] = _item_schema(rules, root, depth) or {"type": "string"}
    if "object" in types:
        schema |= _object_schema(rules, root, depth)
    return schema


def _item_schema(rules: Schema, root: Schema, depth: int) -> dict[str, Any]:
    """What an item may be; of a tuple, which few upstreams know, what any of its items may be."""
    rest = rules.get("items")
    places = schemas_in(rules.get("prefixItems"))
    if isinstance(rest, list):  # draft 7's tuples
        places, rest = schemas_in(rest), rules.get("additionalItems")
    specs = [*places, rest] if isinstance(rest, Mapping) and rest else places
    kinds = [tool_schema(spec, root, depth=depth + 1) for spec in specs]
    distinct = [kind for i, kind in enumerate(kinds) if kind and kind not in kinds[:i]]
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct} if distinct else {}


def _object_schema(rules: Schema, root: Schema, depth: int) -> dict[str, Any]:
    properties = {
        str(name): tool_schema(spec, root, depth=depth + 1)
        for name, spec in _mapping(rules.get("properties")).items()
    }
    required = [name for name in dict.fromkeys(required_of(rules)) if name in properties]
    schema: dict[str, Any] = {"properties": properties}
    if required:
        schema["required"] = required
    if not properties:
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
    types = {
        next((name for name, kind in _PLAIN_TYPES if isinstance(choice, kind)), None)
        for choice in choices
    }
    if None in types:
        return set()
    known = {name for name in types if name}
    return known - {"integer"} if "number" in known else known


def _is_sound(keyword: str, value: object) -> bool:
    if keyword in ("description", "pattern"):
        return isinstance(value, str) and bool(value.strip())
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _refers(value: object) -> bool:
    """Whether a value holds what whoever reads the schema would take for a reference."""
    if isinstance(value, list):
        return any(map(_refers, value))
    return isinstance(value, Mapping) and ("$ref" in value or any(map(_refers, value.values())))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _field_names(wire_names: Iterable[str]) -> dict[str, str]:
    """Wire name to field name: letters, digits and `_`, and nothing that pydantic uses itself."""
    wanted = {wire: _identifier(wire) for wire in wire_names}
    # Those that keep their name come first, so that no other is renamed to it.
    names = {wire: name for wire, name in wanted.items() if wire == name}
    for wire in [wire for wire in wanted if wire not in names]:
        name = wanted[wire]
        while hasattr(Arguments, name) or name in names.values():
            name += "_"
        names[wire] = name
    return names


def _identifier(wire: str) -> str:
    name = re.sub(r"\W", "_", wire, flags=re.ASCII).strip("_")[:60] or "field"
    name = f"n{name}" if name[0].isdigit() else name
    return f"{name}_" if hasattr(Arguments, name) else name


def _class_name(model_id: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", model_id)
    return ("".join(word[:1].upper() + word[1:] for word in words)[:50] or "Model") + "Arguments"


def _summary(model: Model, known: Parameters) -> str:
    note = f" ({known.note}.)" if known.note else ""
    return f"What {model.name} is to make.{note}"
