"""A model's parameters as a pydantic class: the `args_schema` of a tool for agents.

The class checks by the same code as `parameters.validate`. What an agent reads is a plain JSON
Schema that function calling takes everywhere: no extensions, one type a schema, every list with its
items, names that all providers take (https://platform.openai.com/docs/guides/function-calling).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model, model_validator

from oxen_inference.catalog.parameters import COMMON, Parameters, check_arguments, parameters
from oxen_inference.catalog.schema import (
    Schema,
    allows_null,
    bounds,
    choices_of,
    is_json,
    is_url,
    number_of,
    properties_of,
    required_of,
    types_of,
)

if TYPE_CHECKING:
    from decimal import Decimal

    from oxen_inference.catalog.models import Model

_NOT_FOR_AGENTS = frozenset({"model", "stream", *COMMON}) - {"voice"}
_MAX_DEPTH = 6
_LONGEST_NAME = 64
_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{_LONGEST_NAME}}}")
# Tools are called with their arguments by name, where `self` and LlamaIndex's `ctx` are taken.
_TAKEN = frozenset({"self", "ctx"})
_PYTHON_TYPES: tuple[tuple[str, type], ...] = (
    ("boolean", bool),
    ("integer", int),
    ("number", float),
    ("string", str),
    ("null", type(None)),
)


class Arguments(BaseModel):
    """Arguments of one call; a field that was not given is None."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())
    oxen_parameters: ClassVar[Parameters]
    oxen_wire_names: ClassVar[Mapping[str, str]]
    """Field name to parameter name, for those that differ."""
    oxen_needs: ClassVar[tuple[str, ...]] = ()
    """Parameters one of which a call must give, though the model alone does not ask for it."""

    @classmethod
    def to_params(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a request for validated arguments, by their wire names.

        Nulls are left out, except where null is the value of a required parameter.
        """
        by_wire = {cls.oxen_wire_names.get(name, name): arg for name, arg in arguments.items()}
        return {
            wire: value
            for wire, value in by_wire.items()
            if value is not None or cls._sends_null(wire)
        }

    @classmethod
    def _sends_null(cls, wire: str) -> bool:
        known = cls.oxen_parameters
        return wire in known.required and allows_null(known.fields[wire])

    @model_validator(mode="before")
    @classmethod
    def _coerce(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        names = {wire: name for name, wire in cls.oxen_wire_names.items()}
        params = {cls.oxen_wire_names.get(name, name): value for name, value in given.items()}
        coerced = check_arguments(cls.oxen_parameters, params)
        if cls.oxen_needs and not any(_is_given(coerced.get(name)) for name in cls.oxen_needs):
            needed = " or ".join(cls.oxen_needs)
            raise ValueError(f"{needed} is missing: give the image to change")
        return {names.get(wire, wire): value for wire, value in coerced.items()}


def arguments_model(
    model: Model,
    *,
    pinned: Iterable[str] = (),
    common: Iterable[str] = ("num_generations",),
    needs: tuple[str, ...] = (),
) -> type[Arguments]:
    """Return the class of the arguments that an agent may give when it calls `model`.

    Left out are `pinned` names, hidden parameters, and those of every request except `common`.
    Basic ones come first. A model that documents no parameters takes a prompt and anything else.
    `needs`: image parameters one of which must be given.
    """
    known = parameters(model)
    fixed = {*pinned} | (_NOT_FOR_AGENTS - set(common))
    fields = {
        name: spec
        for name, spec in known.fields.items()
        if name not in fixed and not (known.is_hidden(name) and not known.must_be_given(name))
    }
    required = {name for name in fields if known.must_be_given(name)}
    if known.note and "prompt" not in fixed:
        fields["prompt"] = {"type": "string", "description": "What to make, in words."}
    fields |= {n: COMMON[n] for n in common if n in COMMON and n not in fields and n not in fixed}
    names = _field_names(fields, Arguments)
    needs = tuple(name for name in needs if name in fields)
    only = needs if len(needs) == 1 else ()
    definitions: Any = {
        names[wire]: _definition(wire, names[wire], spec, wire in required, is_needed=wire in only)
        for wire, spec in fields.items()
    }
    cls: type[Arguments] = create_model(
        _class_name(model.id), __base__=Arguments, __doc__=_summary(model, known), **definitions
    )
    cls.oxen_parameters = Parameters(fields, required=frozenset(required), open=known.open)
    cls.oxen_needs = needs
    cls.oxen_wire_names = {name: wire for wire, name in names.items() if name != wire}
    if known.open:
        cls.model_config = ConfigDict(**{**cls.model_config, "extra": "allow"})
        cls.model_rebuild(force=True)
    return cls


def tool_schema(spec: object, *, keep_null: bool = False, depth: int = 0) -> dict[str, Any]:
    """Return the schema that an agent reads of one argument."""
    rules = spec if isinstance(spec, Mapping) else {}
    if depth > _MAX_DEPTH:
        return {}
    schema = _annotations(rules)
    choices = choices_of(rules)
    if choices is not None:
        choices = [choice for choice in choices if keep_null or choice is not None]
        choices = choices if all(map(_may_be_shown, choices)) else None
    types = set(types_of(rules)) - (set() if keep_null else {"null"})
    if keep_null and rules.get("nullable") is True and types:
        types.add("null")
    branches = rules.get("anyOf")
    if choices:
        types = _types_among(choices)
    elif isinstance(branches, list):
        parts = [tool_schema(b, keep_null=keep_null, depth=depth + 1) for b in branches]
        parts = [part for part in parts if part and (keep_null or part.get("type") != "null")]
        if len(parts) == 1:
            return {**parts[0], **schema}
        if parts:
            schema["anyOf"] = parts
    if not types:
        return schema | ({"enum": choices} if choices else {})
    forms = [_of_type(kind, rules, choices, depth) for kind in sorted(types)]
    if len(forms) == 1:
        return schema | forms[0]
    # Not every provider takes a list of types, and all take alternatives.
    return {"anyOf": forms, **schema}


def _not_given() -> None:
    """Default of what may be left out; a factory, so that it is not written into the schema."""


def _is_given(value: Any) -> bool:
    """Whether a value names an image: neither null nor an empty text or list does."""
    if isinstance(value, list | tuple):
        return any(map(_is_given, value))
    return bool(value.strip() if isinstance(value, str) else value)


def _definition(
    wire: str, name: str, spec: Schema, required: bool, *, is_needed: bool
) -> tuple[Any, Any]:
    schema = tool_schema(spec, keep_null=required)
    if is_needed:
        schema.pop("default", None)
    described = (schema.pop("description", None), media_references(spec))
    options: dict[str, Any] = {"description": " ".join(filter(None, described)) or None}
    if name != wire:
        options["serialization_alias"] = wire
    if not (required or is_needed):
        options["default_factory"] = _not_given
    return Annotated[Any, WithJsonSchema(schema)], Field(**options)


def media_references(spec: Schema) -> str | None:
    """Say how a prompt names the media given in other parameters, by its ``x-media-references``.

    The inputs of one pattern are numbered through, in the order in which their groups stand.
    """
    declared = spec.get("x-media-references")
    groups = declared.get("groups") if isinstance(declared, Mapping) else None
    fields: dict[str, list[str]] = {}
    for group in groups if isinstance(groups, list) else ():
        field, pattern = (
            (group.get("field"), group.get("pattern"))
            if isinstance(group, Mapping)
            else (None,) * 2
        )
        if isinstance(field, str) and isinstance(pattern, str) and "{n}" in pattern:
            mark = "@" + re.sub(r"[^\w{}]+", "", pattern)
            fields.setdefault(mark, []).append(field)
    said = [
        f"{mark.replace('{n}', '1')}, {mark.replace('{n}', '2')} and so on stand for the items of "
        f"{', then of '.join(dict.fromkeys(names))}, in their order."
        for mark, names in fields.items()
    ]
    return " ".join(said) or None


def _class_name(model_id: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", model_id)
    return ("".join(word[:1].upper() + word[1:] for word in words)[:50] or "Model") + "Arguments"


def _summary(model: Model, known: Parameters) -> str:
    note = f" ({known.note}.)" if known.note else ""
    return f"What {model.name} is to make.{note}"


def _annotations(rules: Schema) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    described = rules.get("description")
    if isinstance(described, str) and described.strip():
        schema["description"] = described
    if is_url(rules):
        # Some upstreams refuse formats that they do not know; words they all read.
        schema["description"] = f"{schema['description']} (a URL)" if schema else "A URL."
    default = rules.get("default")
    if default is not None and is_json(default) and _may_be_shown(default):
        schema["default"] = default
    return schema


def _may_be_shown(value: object) -> bool:
    """Whether a value may stand in a schema: pydantic reads `$ref` and `$defs` wherever they are."""
    if isinstance(value, Mapping):
        return not {"$ref", "$defs"} & value.keys() and all(map(_may_be_shown, value.values()))
    return not isinstance(value, list) or all(map(_may_be_shown, value))


def _of_type(kind: str, rules: Schema, choices: list[Any] | None, depth: int) -> dict[str, Any]:
    """Return what the rules say of values of one type."""
    schema: dict[str, Any] = {"type": kind}
    if choices and kind != "null":
        schema["enum"] = [choice for choice in choices if _is_of(kind, choice)]
    if kind in ("integer", "number"):
        least, most = bounds(rules)
        schema |= {} if least is None else {"minimum": _json_number(least)}
        schema |= {} if most is None else {"maximum": _json_number(most)}
    if kind == "array":
        most_items = number_of(rules.get("maxItems"))
        schema |= {} if most_items is None else {"maxItems": _json_number(most_items)}
        schema["items"] = tool_schema(rules.get("items"), depth=depth + 1) or {"type": "string"}
    if kind == "object":
        schema |= _object_schema(rules, depth)
    return schema


def _object_schema(rules: Schema, depth: int) -> dict[str, Any]:
    # A name that providers refuse is left out: the agent does without that field.
    specs = {n: spec for n, spec in properties_of(rules).items() if _NAME.fullmatch(str(n))}
    required = [name for name in required_of(rules) if name in specs]
    schema: dict[str, Any] = {
        "properties": {name: tool_schema(spec, depth=depth + 1) for name, spec in specs.items()}
    }
    if required:
        schema["required"] = required
    if not specs:
        schema["additionalProperties"] = True
    return schema


def _json_number(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def _types_among(choices: list[Any]) -> set[str]:
    """Return the types of listed values; none where one is neither a plain value nor null."""
    types = {_type_of(choice) for choice in choices}
    if "" in types:
        return set()
    return types - {"integer"} if "number" in types else types


def _is_of(kind: str, choice: Any) -> bool:
    return _type_of(choice) in ((kind, "integer") if kind == "number" else (kind,))


def _type_of(choice: Any) -> str:
    return next((name for name, kind in _PYTHON_TYPES if isinstance(choice, kind)), "")


def _field_names(wire_names: Iterable[str], own: type) -> dict[str, str]:
    """Return wire name to field name: an identifier that the class `own` does not use itself."""
    wanted = {wire: _identifier(wire) for wire in wire_names}
    # Those that keep their name come first, so that no other is renamed to it.
    names = {
        wire: name for wire, name in wanted.items() if wire == name and not _is_taken(name, own)
    }
    for wire in [wire for wire in wanted if wire not in names]:
        name = f"{wanted[wire]}_" if _is_taken(wanted[wire], own) else wanted[wire]
        names[wire] = _distinct(name, names.values())
    return names


def _identifier(wire: str) -> str:
    name = re.sub(r"\W", "_", wire, flags=re.ASCII).strip("_")[: _LONGEST_NAME - 4] or "field"
    return f"n{name}" if name[0].isdigit() else name


def _is_taken(name: str, own: type) -> bool:
    return name in _TAKEN or hasattr(own, name)


def _distinct(name: str, others: Container[str]) -> str:
    """Return `name`, or one made from it that is not among the `others`."""
    candidate, number = name, 2
    while candidate in others:
        candidate, number = f"{name[: _LONGEST_NAME - 5]}_{number}", number + 1
    return candidate
