"""Checks of a media model's own parameters, made when the job runs, as the hub makes them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

_SENDABLE = ("http://", "https://", "data:")


def _enum(_: Validator, allowed: list[Any], value: Any, __: Any) -> Iterator[ValidationError]:
    # Published enums spell numbers as strings ("4") under a type of integer or string.
    if value not in allowed and (isinstance(value, bool) or str(value) not in map(str, allowed)):
        yield ValidationError(f"{json.dumps(value)} is not one of {json.dumps(allowed)}")


_Validator = extend(Draft202012Validator, {"enum": _enum})  # type: ignore[no-untyped-call]  # stubs lack it


def problem(schema: Mapping[str, Any] | None, params: Mapping[str, Any]) -> str | None:
    """What is wrong with `params`, or None. Names the schema lacks are ignored."""
    if not schema:
        return None
    fields = schema.get("properties") or {}
    given = {name: value for name, value in params.items() if value is not None}
    missing = [
        name
        for name in schema.get("required") or []
        if name not in given
        and "default" not in fields.get(name, {})
        and "multi_prompt" not in given
    ]
    if missing:
        return f"{missing[0]}: this parameter is required"
    checked = {"type": "object", "properties": fields}
    for error in _Validator(checked).iter_errors(given):
        where = ".".join(str(step) for step in error.absolute_path)
        return f"{where}: {error.message}"
    return next(_bad_inputs(fields, given), None)


def inputs(fields: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every file the request refers to, as (parameter, URL)."""
    for name, field in fields.items():
        if field.get("format") == "uri" or field.get("renderType"):
            values = given.get(name)
            for value in values if isinstance(values, list) else [values]:
                if isinstance(value, str):
                    yield name, value


def _bad_inputs(fields: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    for name, value in inputs(fields, given):
        if not value.startswith(_SENDABLE):
            yield f"{name}: not a public URL or a data URL"
