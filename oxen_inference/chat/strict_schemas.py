"""Schemas for strict decoding: closed, with every property required.

https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oxen_inference.chat.schemas import Schema, invalid_schema, says_something

_STRICT_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}  # fmt: skip
# Constraints that strict decoding does not know: they are described to the model in words.
_IN_WORDS = ("minLength", "maxLength", "uniqueItems", "minProperties", "maxProperties", "contains")
_DROPPED = ("default", "examples", "$comment", "deprecated", "readOnly", "writeOnly")
_INEXPRESSIBLE = {
    "patternProperties": "keys that follow a pattern",
    "propertyNames": "keys that follow a pattern",
    "prefixItems": "a tuple, whose items differ",
    "not": "a 'not'",
    "if": "an 'if'",
    "dependentSchemas": "fields that depend on others",
    "dependentRequired": "fields that depend on others",
}


def strict_schema(schema: Mapping[str, Any], *, owner: str) -> Schema:
    """Return an `object_schema` that is closed, with every property required, at every depth.

    `owner`: the name of the tool or the class, for the error. Raises `InvalidInputError` for a
    field that a strict schema cannot describe.
    """
    strict = _Strict(owner).close(schema, ())
    if definitions := schema.get("$defs"):
        strict["$defs"] = {
            name: _Strict(owner).close(part, (name,)) for name, part in definitions.items()
        }
    return strict


class _Strict:
    def __init__(self, owner: str) -> None:
        self._owner = owner

    def close(self, given: Any, path: tuple[str, ...]) -> Schema:
        if not isinstance(given, Mapping) or not says_something(given):
            raise self._error(path, "any value")
        schema = {k: v for k, v in given.items() if k not in (*_DROPPED, "$defs")}
        for keyword, what in _INEXPRESSIBLE.items():
            if keyword in schema and not _is_implied(keyword, schema):
                raise self._error(path, what)
        if "$ref" in schema:
            siblings = {k: v for k, v in schema.items() if k != "$ref"}
            reference = {"$ref": schema["$ref"]}
            return {**siblings, "anyOf": [reference]} if siblings else reference
        schema = self._merged(schema, path)
        if "oneOf" in schema:
            schema["anyOf"] = [*schema.get("anyOf", ()), *schema.pop("oneOf")]
        if "anyOf" in schema:
            schema["anyOf"] = [self.close(part, path) for part in schema["anyOf"]]
        kinds = schema.get("type")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if "properties" in schema or "object" in kinds:
            self._close_object(schema, path)
        if "array" in kinds or "items" in schema:
            if not isinstance(schema.get("items"), Mapping):
                raise self._error(path, "a list of anything")
            schema["items"] = self.close(schema["items"], (*path, "[]"))
        return _constraints_in_words(schema)

    def _close_object(self, schema: Schema, path: tuple[str, ...]) -> None:
        extra = schema.get("additionalProperties")
        properties = schema.get("properties")
        if isinstance(extra, Mapping) or (not properties and (extra or properties is None)):
            raise self._error(path, "a dict, whose keys are not known")
        schema["properties"] = {
            name: self.close(part, (*path, name)) for name, part in (properties or {}).items()
        }
        schema["required"] = list(schema["properties"])
        schema["additionalProperties"] = False
        schema["type"] = schema.get("type", "object")

    def _merged(self, schema: Schema, path: tuple[str, ...]) -> Schema:
        parts = schema.pop("allOf", None)
        if parts is None:
            return schema
        if len(parts) != 1 or not isinstance(parts[0], Mapping):
            raise self._error(path, "an 'allOf' of several schemas")
        return self._merged({**parts[0], **schema}, path)

    def _error(self, path: tuple[str, ...], what: str) -> Exception:
        where = ".".join(path).replace(".[]", "[]") or "the root"
        return invalid_schema(
            f"strict=True cannot describe {where} of {self._owner}: it is {what}.",
            hint="Give the field a type with known fields, or leave strict out.",
        )


def _is_implied(keyword: str, schema: Mapping[str, Any]) -> bool:
    """Whether a keyword adds nothing: an empty one, or one about properties that are all named."""
    return not schema[keyword] or (keyword == "propertyNames" and bool(schema.get("properties")))


def _constraints_in_words(schema: Schema) -> Schema:
    unsupported = {k: schema.pop(k) for k in _IN_WORDS if k in schema}
    if "format" in schema and schema["format"] not in _STRICT_FORMATS:
        unsupported["format"] = schema.pop("format")
    if unsupported:
        words = ", ".join(f"{keyword}: {value}" for keyword, value in unsupported.items())
        description = schema.get("description")
        schema["description"] = f"{description} ({words})" if description else f"({words})"
    return schema
