"""JSON schemas in the form providers take for tools and structured answers.

They take an object at the root, and few follow references. So definitions are put where they are
used, except those that contain themselves, and a schema of another root becomes the only property
of an object. Nothing is left out: what cannot be expressed is an `InvalidInputError` that names
the field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any]

VALUE = "value"
"""The property that holds the whole of a schema whose root is no object."""

_MAPS = ("properties", "patternProperties", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "additionalItems", "contains", "not", "if", "then", "else", "propertyNames", "unevaluatedItems", "unevaluatedProperties")  # fmt: skip
_DEFINITIONS = ("$defs", "definitions")
TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
# OpenAI and Anthropic refuse these at the root of a tool's parameters.
_NOT_AT_ROOT = ("anyOf", "oneOf", "allOf", "not", "enum", "const", "if")
_CLASS_HINT = "Give a pydantic class (a RootModel for a list, an Enum or a simple type)."
NO_SCHEMA_HINT = f"{_CLASS_HINT[:-1]}, a TypedDict or a JSON schema."
_MAX_INLINED = 2_000
"""Schemas that a tool may have after inlining; a larger one keeps its definitions."""


def object_schema(schema: Mapping[str, Any], *, generated: bool = False) -> tuple[Schema, bool]:
    """Return the schema with an object at its root, and whether it had to be put into `VALUE`.

    `generated`: whether pydantic made the schema; the titles that only repeat a field's name are
    then left out. Raises `InvalidInputError` for a reference to nothing.
    """
    inlined = _inlined(schema if generated else lower_types(schema), generated)
    definitions = inlined.pop("$defs", None)
    # Written by hand, an empty schema means no parameters; of a class, any value.
    is_empty_object = not generated and not says_something(inlined)
    is_object = "properties" in inlined or inlined.get("type") == "object" or is_empty_object
    wraps = not is_object or any(keyword in inlined for keyword in _NOT_AT_ROOT)
    if wraps:
        about: Schema = {k: inlined.pop(k) for k in ("title", "description") if k in inlined}
        inlined = {**about, "properties": {VALUE: inlined}, "required": [VALUE]}
    if inlined.get("type") != "object":
        inlined = {**inlined, "type": "object"}
    if "properties" not in inlined and inlined.get("additionalProperties") in (None, False):
        inlined["properties"] = {}
    return ({**inlined, "$defs": definitions} if definitions else inlined), wraps


def unwrapped(value: Any) -> Any:
    """Return what an answer has in `VALUE`; the answer itself if the model left that out."""
    return value[VALUE] if isinstance(value, dict) and value.keys() == {VALUE} else value


def says_something(schema: Mapping[str, Any]) -> bool:
    """Whether a schema restricts anything."""
    return bool(schema.keys() - {"title", "description", "default", "examples"})


def lower_types(schema: Any) -> Any:
    """Return a schema whose types are written as in JSON Schema; Google's are in capitals."""
    if isinstance(schema, list):
        return [lower_types(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    result: Schema = {}
    for key, value in schema.items():
        if key == "type":
            result[key] = [_lower(v) for v in value] if isinstance(value, list) else _lower(value)
        elif key in (*_MAPS, *_DEFINITIONS) and isinstance(value, Mapping):
            result[key] = {name: lower_types(part) for name, part in value.items()}
        elif key in (*_LISTS, *_SINGLE):
            result[key] = lower_types(value)
        else:
            result[key] = value
    return result


def _lower(kind: Any) -> Any:
    return kind.lower() if isinstance(kind, str) and kind.lower() in TYPES else kind


# References


def _inlined(schema: Mapping[str, Any], generated: bool) -> Schema:
    try:
        return _Inliner(schema, keep_all=False, generated=generated).root()
    except _TooLargeError:
        return _Inliner(schema, keep_all=True, generated=generated).root()


class _TooLargeError(Exception):
    pass


class _Inliner:
    def __init__(self, schema: Mapping[str, Any], *, keep_all: bool, generated: bool) -> None:
        self._whole = schema
        self._keep_all = keep_all
        self._generated = generated
        self._kept: dict[str, str] = {}  # reference → its name in $defs
        self._definitions: dict[str, Any] = {}
        self._recursive: dict[str, bool] = {}
        self._count = 0

    def root(self) -> Schema:
        schema: Any = self._whole
        seen: set[str] = set()
        while isinstance(schema, Mapping) and "$ref" in schema:
            reference = schema["$ref"]
            if reference in seen:
                raise invalid_schema(f"The schema's reference {reference!r} leads back to itself.")
            seen.add(reference)
            siblings = {k: v for k, v in schema.items() if k not in ("$ref", *_DEFINITIONS)}
            schema = {**self._target(reference), **siblings}
        result: Schema = self._walk(schema)
        for keyword in ("$schema", "$id"):
            result.pop(keyword, None)
        if self._definitions:
            result["$defs"] = self._definitions
        return result

    def _walk(self, schema: Any, name: str | None = None) -> Any:
        self._count += 1
        if self._count > _MAX_INLINED and not self._keep_all:
            raise _TooLargeError
        if not isinstance(schema, Mapping):
            return schema
        if isinstance(reference := schema.get("$ref"), str):
            siblings = {k: v for k, v in schema.items() if k != "$ref"}
            if self._keep_all or self._contains_itself(reference):
                kept = {"$ref": f"#/$defs/{self._keep(reference)}"}
                return {**kept, **self._walk(siblings, name)} if siblings else kept
            target = self._target(reference)
            title = reference.rpartition("/")[2] if self._generated else None
            about = {k: v for k, v in target.items() if k != "title" or v != title}
            return self._walk({**about, **siblings}, name)
        result: Schema = {}
        for key, value in schema.items():
            if key in _DEFINITIONS or key == "discriminator":
                continue  # the latter is OpenAPI's, and its mapping refers to what is inlined
            if key == "title" and self._generated and value in ("", _automatic_title(name or "")):
                continue
            if key in _MAPS and isinstance(value, Mapping):
                result[key] = {inner: self._walk(part, inner) for inner, part in value.items()}
            elif key in _LISTS or (key in _SINGLE and isinstance(value, list)):
                result[key] = [self._walk(part) for part in value]
            elif key in _SINGLE:
                result[key] = self._walk(value)
            else:
                result[key] = value
        return result

    def _keep(self, reference: str) -> str:
        name = self._kept.get(reference)
        if name is None:
            target = self._target(reference)
            wanted = reference.rpartition("/")[2].lstrip("#") or str(target.get("title") or "root")
            name, number = wanted, 2
            while name in self._kept.values():
                name, number = f"{wanted}_{number}", number + 1
            self._kept[reference] = name
            walked = self._walk(target)
            if self._generated and walked.get("title") == name:
                del walked["title"]
            self._definitions[name] = walked
        return name

    def _contains_itself(self, reference: str) -> bool:
        if reference not in self._recursive:
            found: set[str] = set()
            queue = list(_references(self._target(reference)))
            while queue:
                if (inner := queue.pop()) not in found:
                    found.add(inner)
                    queue += _references(self._target(inner))
            self._recursive[reference] = reference in found
        return self._recursive[reference]

    def _target(self, reference: object) -> Mapping[str, Any]:
        found: Any = self._whole
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise invalid_schema(f"The schema refers to {reference!r}, which is not part of it.")
        for part in filter(None, unquote(reference[1:]).split("/")):
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            else:
                found = found.get(key) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping):
            raise invalid_schema(f"The schema refers to {reference!r}, which is not in it.")
        if reference == "#":
            return {k: v for k, v in found.items() if k not in _DEFINITIONS}
        return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for _, part in _parts(schema):
            yield from _references(part)


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the schemas inside a schema, each with the name of its field or its keyword."""
    for key, value in schema.items():
        if key in _MAPS and isinstance(value, Mapping):
            yield from value.items()
        elif isinstance(value, list) and key in (*_LISTS, *_SINGLE):
            yield from ((key, part) for part in value)
        elif key in _SINGLE:
            yield key, value


def _automatic_title(name: str) -> str:
    """Return the title that pydantic gives a field, which repeats its name."""
    return name.title().replace("_", " ").strip()


# Classes


def class_schema(cls: Any) -> Schema:
    """Return the JSON schema of a pydantic class, of version 1 or 2.

    Raises `InvalidInputError`, which names the field, for a type that JSON does not have, and for
    another class.
    """
    if not hasattr(cls, "model_json_schema"):
        if not hasattr(cls, "schema"):
            raise invalid_schema(f"{cls!r} is no pydantic class.", hint=_CLASS_HINT)
        schema: Schema = cls.schema()
        return schema
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        schema = cls.model_json_schema()
    except (PydanticUserError, NameError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        name = _unsayable_field(cls, lambda kind: TypeAdapter(kind).json_schema())
        where = f"{cls.__name__}.{name}" if name else cls.__name__
        raise invalid_schema(
            f"{where} has no JSON schema: {reason}.",
            hint="Give the field a type that JSON has, or pydantic's WithJsonSchema.",
        ) from error
    return schema


def _unsayable_field(cls: Any, make_schema: Callable[[Any], Any]) -> str | None:
    """Return the path of the first field whose type has no schema."""
    for name, field in getattr(cls, "model_fields", {}).items():
        try:
            make_schema(field.annotation)
        except Exception:  # noqa: BLE001, PERF203 - whatever it is, this is the field
            inner = _unsayable_field(field.annotation, make_schema)
            return f"{name}.{inner}" if inner else str(name)
    return None


def invalid_schema(message: str, *, hint: str | None = None) -> Exception:
    from oxen_inference.errors import InvalidInputError

    return InvalidInputError(message, hint=hint)
