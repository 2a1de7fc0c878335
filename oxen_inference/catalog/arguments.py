"""A model's parameters as a pydantic class: the `args_schema` of a tool for agents.

The class checks by the same code as `request_schema.validate`; what an agent reads is made by
`tool_schema`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model, model_validator

from oxen_inference.catalog.json_schema import Schema, allows_null
from oxen_inference.catalog.request_schema import COMMON, Parameters, check_arguments, parameters
from oxen_inference.catalog.tool_names import by_wire_names, field_names
from oxen_inference.catalog.tool_schema import tool_schema

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

_NOT_THE_AGENTS = frozenset({"model", "stream", *COMMON})


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
        known, params = cls.oxen_parameters, {}
        for name, value in given.items():
            wire = cls.oxen_wire_names.get(name, name)
            params[wire] = by_wire_names(value, known.fields.get(wire), known.root)
        fitted = check_arguments(known, params)
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
    names = field_names(fields, Arguments)
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


def _class_name(model_id: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", model_id)
    return ("".join(word[:1].upper() + word[1:] for word in words)[:50] or "Model") + "Arguments"


def _summary(model: Model, known: Parameters) -> str:
    note = f" ({known.note}.)" if known.note else ""
    return f"What {model.name} is to make.{note}"
