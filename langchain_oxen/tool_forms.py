"""Tools that are dicts: OpenAI's, Anthropic's, Google's, Bedrock's and MCP's forms of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oxen_inference.chat.schemas import TYPES, lower_types

_PARAMETERS = (
    "parameters",
    "input_schema",
    "inputSchema",
    "parameters_json_schema",
    "parametersJsonSchema",
)
_DECLARATIONS = ("function_declarations", "functionDeclarations")
_TOOL_MARKS = ("name", "function", "toolSpec", *_DECLARATIONS)
_SCHEMA_KEYWORDS = (
    *("$ref", "$defs", "definitions", "$schema", "title", "properties", "patternProperties"),
    *("additionalProperties", "required", "items", "prefixItems", "enum", "const"),
    *("anyOf", "oneOf", "allOf", "not"),
)
_HINT = (
    "Give a function or a class, a dict in the form of OpenAI, Anthropic, Google, Bedrock or MCP, "
    "or a JSON schema. Tools that a provider runs itself are not among them."
)


def is_json_schema(given: Mapping[str, Any]) -> bool:
    """Whether a dict is a JSON schema, and not a tool in some provider's form."""
    kind = given.get("type")
    if isinstance(kind, str):
        return kind.lower() in TYPES
    if any(mark in given for mark in _TOOL_MARKS):
        return False
    return isinstance(kind, list) or any(keyword in given for keyword in _SCHEMA_KEYWORDS)


def openai_tools(tool: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a tool in OpenAI's form; several for Google's list of declarations.

    A type of tool that OpenAI runs itself is left as it is. Raises `InvalidInputError` for another
    that is no function.
    """
    for key in _DECLARATIONS:
        if isinstance(declarations := tool.get(key), list | tuple):
            return [converted for each in declarations for converted in openai_tools(each)]
    kind = tool.get("type")
    spec, function = tool.get("toolSpec"), tool.get("function")
    if isinstance(function, Mapping) and kind in (None, "function"):
        return [{**tool, "type": "function", "function": _function(function)}]
    if isinstance(spec, Mapping):
        given = spec.get("inputSchema")
        schema = given.get("json", {}) if isinstance(given, Mapping) else {}
        return [{"type": "function", "function": _function({**spec, "inputSchema": schema})}]
    has_parameters = any(key in tool for key in _PARAMETERS)
    if "name" in tool and (kind in (None, "function") or (kind == "custom" and has_parameters)):
        return [{"type": "function", "function": _function(tool)}]
    if isinstance(kind, str) and kind.startswith(_OPENAI_TYPES) and "name" not in tool:
        return [dict(tool)]

    from oxen_inference.errors import InvalidInputError

    what = f"type {kind!r}" if kind else f"the keys {', '.join(map(str, tool)) or '(none)'}"
    raise InvalidInputError(f"A dict with {what} is no tool and no schema.", hint=_HINT)


_OPENAI_TYPES = (
    *("file_search", "computer", "code_interpreter", "mcp", "image_generation", "web_search"),
    *("tool_search", "apply_patch", "namespace"),
)


def _function(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a function's name, description, parameters and strictness, whatever they are called."""
    function = {key: given[key] for key in ("name", "description", "strict") if key in given}
    schema = next((given[key] for key in _PARAMETERS if given.get(key) is not None), None)
    if schema is not None:
        function["parameters"] = lower_types(schema)
    return function
