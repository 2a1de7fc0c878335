"""What a tool call, or a fragment of one, says under the names that several providers use.

| provider | form |
| --- | --- |
| OpenAI | ``{"index", "id", "function": {"name", "arguments": text}}`` |
| Anthropic | ``{"type": "tool_use", "id", "name", "input": {...}}`` |
| Google | ``{"functionCall": {"name", "args": {...}}}`` |
| Amazon | ``{"toolUse": {"toolUseId", "name", "input": {...}}}`` |
| Cohere | ``{"name", "parameters": {...}}`` |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

CALL_TYPES = ("tool_use", "tool_call", "function_call", "function", "toolUse", "functionCall")
"""The types of a content part that is a call; each may also be the field that holds the call."""

_HOLDERS = ("function", "custom", *CALL_TYPES)
_IDS = ("id", "call_id", "tool_call_id", "tool_use_id", "toolUseId")
_NAMES = ("name", "tool_name", "toolName", "function_name")
_ARGUMENTS = ("arguments", "args", "input", "parameters", "params", "tool_input", "kwargs")
_EMPTY: tuple[Any, ...] = (None, "", "{}", {})
# Objects beside the arguments that are not the arguments.
_OTHER_OBJECTS = {
    "cache_control",
    "caller",
    "extra_content",
    "extra_fields",
    "metadata",
    "provider_metadata",
    "provider_specific_fields",
    *_HOLDERS,
}


class CallFields(NamedTuple):
    """The fields of a call; those that the fragment does not have are None or empty."""

    wire_index: int | None
    call_id: str | None
    name: str | None
    arguments: str
    extra: dict[str, Any] | None
    """``extra_content`` of the call (Gemini's thought signature)."""
    has_unread_object: bool
    """Whether it has no arguments, but an object under an unknown name, which may be them."""


def read_call(fragment: Mapping[str, Any]) -> CallFields:
    """Return what a fragment of a call, or a complete one, says."""
    held = fragment.get("function")
    arguments = held.get("arguments") if isinstance(held, dict) else None
    is_plain = type(arguments) is str and arguments not in _EMPTY  # OpenAI's form
    if not isinstance(held, dict):
        held = next((v for key in _HOLDERS if isinstance(v := fragment.get(key), dict)), fragment)
    name, call_id = string_or_none(held.get("name")), string_or_none(fragment.get("id"))
    has_unread_object = False
    if not is_plain:
        name = name or _name(held, fragment)
        call_id = call_id or _first_string(_IDS, held, fragment)
        arguments = _arguments(held)
        if arguments in (None, "") and held is not fragment:
            arguments = _arguments(fragment)
        if not arguments and arguments != {}:
            has_unread_object = _has_object(held) or _has_object(fragment)
    extra = fragment.get("extra_content")
    return CallFields(
        read_index(fragment.get("index")),
        call_id,
        name,
        _text(arguments),
        extra if isinstance(extra, dict) else None,
        has_unread_object,
    )


def read_index(value: object) -> int | None:
    """Return an index that may be a whole float, or text."""
    if type(value) is int:
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return int(value) if isinstance(value, str) and value.isdecimal() else None


def string_or_none(value: object) -> str | None:
    """Return a text, or a number as text; None for anything else and for nothing."""
    return str(value) if value and isinstance(value, str | int) else None


def _name(held: Mapping[str, Any], fragment: Mapping[str, Any]) -> str | None:
    found = _first_string(_NAMES, held, fragment)
    return found or (value if isinstance(value := fragment.get("function"), str) else None)


def _first_string(names: tuple[str, ...], *places: Mapping[str, Any]) -> str | None:
    found = (string_or_none(place[name]) for place in places for name in names if name in place)
    return next((value for value in found if value), None)


def _arguments(fields: Mapping[str, Any]) -> Any:
    """Return the arguments, whatever their name; None where no field is known to hold them."""
    given = [
        fields[name]
        for name in _ARGUMENTS
        if fields.get(name) is not None and not _is_schema(fields[name])
    ]
    return next((value for value in given if value not in _EMPTY), given[0] if given else None)


def _is_schema(value: Any) -> bool:
    # Some gateways repeat the tool itself, whose ``parameters`` are a schema.
    return isinstance(value, dict) and "properties" in value and "type" in value


def _has_object(fields: Mapping[str, Any]) -> bool:
    return any(
        (isinstance(value, dict | list) and value)
        or (isinstance(value, str) and value.lstrip().startswith("{"))
        for name, value in fields.items()
        if name not in _OTHER_OBJECTS and not _is_schema(value)
    )


def _text(arguments: object) -> str:
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
