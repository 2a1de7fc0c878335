"""What real upstreams reject: in their words where those are public, else in plain ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from oxen_sandbox.chat_families import Family
from oxen_sandbox.chat_message_checks import (
    NAME,
    check_messages,
    check_replayed_reasoning,
    json_type,
)
from oxen_sandbox.wire import Rejected

_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
}


def check(body: Mapping[str, Any], model: Mapping[str, Any], family: Family) -> None:
    """Raise Rejected (400) where the upstream behind the model would."""
    if not body.get("model"):
        raise Rejected(400, "You must specify a model to call")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Rejected(400, "Messages array cannot be empty")
    _check_parameters(body, family)
    _check_unsupported(body, family)
    _check_tools(body, family)
    _check_response_format(body, family)
    check_messages(messages, model, family)
    if family.reasoning_missing and body.get("tools") and thinks(body, asked_only=False):
        check_replayed_reasoning(messages, family.reasoning_missing)


def check_length(tokens: int, family: Family) -> None:
    """Raise Rejected (400) where the prompt is longer than the family's context."""
    if tokens > family.context:
        text = family.overflow.format(tokens=tokens, limit=family.context)
        raise Rejected(400, text, "invalid_request_error")


def thinks(body: Mapping[str, Any], *, asked_only: bool) -> bool:
    """Tell whether a request asks for reasoning, or (asked_only=False) does not turn it off."""
    for key in ("reasoning", "thinking"):
        value = body.get(key)
        if isinstance(value, Mapping):
            return (
                value.get("enabled") is not False
                and value.get("type") != "disabled"
                and value.get("effort") != "none"
            )
        if value is not None:
            return bool(value)
    effort = body.get("reasoning_effort")
    return effort != "none" if effort else not asked_only


def _check_parameters(body: Mapping[str, Any], family: Family) -> None:
    for name, (low, high) in _RANGES.items():
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Rejected(
                400,
                f"Invalid type for '{name}': expected a decimal, but got {json_type(value)} instead.",
            )
        if not low <= value <= high:
            side, sign, bound = (
                ("below minimum", ">=", low) if value < low else ("above maximum", "<=", high)
            )
            raise Rejected(
                400,
                f"Invalid '{name}': decimal {side} value. Expected a value {sign} {bound:g}, but got {value} instead.",
            )
        if family.penalties and name.endswith("_penalty"):
            raise Rejected(
                400, family.penalties.format(parameter=name, model=f"models/{body['model']}")
            )
    if body.get("temperature") is not None:
        if not family.temperature and body["temperature"] != 1:
            raise Rejected(
                400, "Unsupported parameter: 'temperature' is not supported with this model."
            )
        if not family.temperature_with_top_p and body.get("top_p") is not None:
            raise Rejected(
                400,
                "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
            )
    for name in ("max_tokens", "max_completion_tokens"):
        value = body.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise Rejected(
                400,
                f"Invalid type for '{name}': expected an integer, but got {json_type(value)} instead.",
            )
        if value is not None and value < 1:
            raise Rejected(
                400,
                f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {value} instead.",
            )
    if not isinstance(body.get("stream_options"), (Mapping, type(None))):
        raise Rejected(400, "Invalid type for 'stream_options': expected an object.")
    stop = body.get("stop")
    if (
        stop is not None
        and not isinstance(stop, str)
        and not (isinstance(stop, list) and all(isinstance(s, str) for s in stop))
    ):
        raise Rejected(400, "Invalid type for 'stop': expected a string or an array of strings.")


def _check_unsupported(body: Mapping[str, Any], family: Family) -> None:
    if not family.max_tokens and body.get("max_tokens") is not None:
        raise Rejected(
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        )
    if not family.takes_parallel_tool_calls and "parallel_tool_calls" in body:
        raise Rejected(
            400, "Unsupported parameter: 'parallel_tool_calls' is not supported with this model."
        )


def _check_tools(body: Mapping[str, Any], family: Family) -> None:
    tools, choice = body.get("tools"), body.get("tool_choice")
    if tools is None:
        for lone in ("tool_choice", "parallel_tool_calls"):
            if body.get(lone) is not None:
                raise Rejected(
                    400,
                    f"Invalid value for '{lone}': '{lone}' is only allowed when 'tools' are specified.",
                )
        return
    if not isinstance(tools, list) or not tools:
        raise Rejected(
            400,
            "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        )
    names = []
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or tool.get("type") != "function":
            raise Rejected(
                400,
                f"Invalid value for 'tools[{index}]': expected an object with type 'function' and a 'function'.",
            )
        name = function.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise Rejected(
                400,
                f"Invalid 'tools[{index}].function.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]{{1,64}}$'.",
            )
        _check_function(name, function, family)
        names.append(name)
    if len(set(names)) < len(names):
        raise Rejected(400, "tools: Tool names must be unique.")
    _check_tool_choice(choice, names)
    forced = isinstance(choice, Mapping) or choice == "required"
    if forced and not family.forces_tools_while_thinking and thinks(body, asked_only=True):
        raise Rejected(400, "Thinking may not be enabled when tool_choice forces tool use.")


def _check_function(name: str, function: Mapping[str, Any], family: Family) -> None:
    if not isinstance(function.get("description"), (str, type(None))):
        raise Rejected(
            400, f"Invalid type for the description of function '{name}': expected a string."
        )
    parameters = function.get("parameters")
    if parameters is None:
        return
    kind = parameters.get("type") if isinstance(parameters, Mapping) else None
    if kind != "object":
        raise Rejected(
            400,
            f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'.",
        )
    at_root = [k for k in ("anyOf", "oneOf", "allOf", "not", "enum") if k in parameters]
    if at_root:
        raise Rejected(
            400,
            f"Invalid schema for function '{name}': schema must not have '{at_root[0]}' at its root.",
        )
    if wrong := _schema_fault(parameters):
        raise Rejected(400, f"Invalid schema for function '{name}': {wrong}.")
    if function.get("strict") and family.strict_schemas:
        _check_strict(parameters, f"function '{name}'", ())


def _check_tool_choice(choice: Any, names: Sequence[str]) -> None:
    if isinstance(choice, Mapping):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        if choice.get("type") != "function" or name not in names:
            raise Rejected(
                400, f"Invalid value for 'tool_choice': the function '{name}' is not among 'tools'."
            )
    elif choice not in (None, "none", "auto", "required"):
        raise Rejected(
            400, f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'."
        )


def _check_strict(schema: Any, where: str, path: tuple[str, ...]) -> None:
    """Strict schemas are closed and require all their properties, at every depth."""
    if not isinstance(schema, Mapping):
        return
    if "oneOf" in schema:
        context = f"In context=({', '.join(map(repr, path))})"
        raise Rejected(400, f"Invalid schema for {where}: {context}, 'oneOf' is not permitted.")
    properties = schema.get("properties")
    if schema.get("type") == "object" or properties:
        context = f"In context=({', '.join(map(repr, path))})"
        if schema.get("additionalProperties") is not False:
            raise Rejected(
                400,
                f"Invalid schema for {where}: {context}, 'additionalProperties' is required to be supplied and to be false.",
            )
        missing = [name for name in properties or () if name not in schema.get("required", ())]
        if missing:
            raise Rejected(
                400,
                f"Invalid schema for {where}: {context}, 'required' is required to be supplied and to be an array including every key in properties. Missing '{missing[0]}'.",
            )
    for group in ("properties", "$defs", "definitions"):
        for name, part in (schema.get(group) or {}).items():
            _check_strict(part, where, (*path, group, name))
    _check_strict(schema.get("items"), where, (*path, "items"))
    for part in schema.get("anyOf") or ():
        _check_strict(part, where, (*path, "anyOf"))


def _check_response_format(body: Mapping[str, Any], family: Family) -> None:
    wanted = body.get("response_format")
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, Mapping) else wanted
    if kind not in ("text", "json_object", "json_schema"):
        raise Rejected(
            400,
            f"Invalid value: '{kind}'. Supported values are: 'text', 'json_object', and 'json_schema'.",
        )
    if kind == "json_schema":
        if not family.json_schema:
            raise Rejected(
                400,
                f"Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model: {body['model']}.",
            )
        named = wanted.get("json_schema")
        if not isinstance(named, Mapping) or not named.get("name"):
            raise Rejected(400, "Missing required parameter: 'response_format.json_schema.name'.")
        if not NAME.fullmatch(str(named["name"])):
            raise Rejected(
                400,
                "Invalid 'response_format.json_schema.name': string does not match pattern '^[a-zA-Z0-9_-]{1,64}$'.",
            )
        if wrong := _schema_fault(named.get("schema") or {}):
            raise Rejected(400, f"Invalid schema for response_format '{named['name']}': {wrong}.")
        if named.get("strict") and family.strict_schemas:
            _check_strict(named.get("schema"), f"response_format '{named['name']}'", ())
    if kind == "json_object" and family.wants_json and "json" not in str(body["messages"]).lower():
        raise Rejected(
            400,
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        )


_TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}


def _is_schema(value: Any) -> bool:
    return isinstance(value, (dict, bool))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_pattern(value: Any) -> bool:
    try:
        re.compile(value)
    except (TypeError, re.error):
        return False
    return True


_KEYWORDS: dict[str, Callable[[Any], bool]] = {
    "type": lambda v: bool(v) and _TYPES.issuperset(map(str, v if isinstance(v, list) else [v])),
    "enum": lambda v: isinstance(v, list) and bool(v),
    "required": lambda v: (
        isinstance(v, bool)  # draft 3
        or (isinstance(v, list) and all(isinstance(name, str) for name in v))
    ),
    "pattern": _is_pattern,
    "multipleOf": lambda v: _is_number(v) and v > 0,
    "$ref": lambda v: isinstance(v, str),
    **dict.fromkeys(("items", "additionalProperties"), _is_schema),
    **dict.fromkeys(("properties", "$defs", "definitions"), lambda v: isinstance(v, dict)),
    **dict.fromkeys(
        ("anyOf", "oneOf", "allOf", "prefixItems"), lambda v: isinstance(v, list) and bool(v)
    ),
    **dict.fromkeys(("minimum", "maximum"), _is_number),
    **dict.fromkeys(
        ("exclusiveMinimum", "exclusiveMaximum"), lambda v: isinstance(v, (int, float))
    ),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties"), _is_count),
}


def _schema_fault(schema: Any, path: tuple[str, ...] = ()) -> str | None:
    """Return where and why a schema is not well formed, or None where it is."""
    if not _is_schema(schema):
        return f"In context=({', '.join(map(repr, path))}), {schema!r} is not a schema"
    if isinstance(schema, bool):
        return None
    for keyword, value in schema.items():
        if keyword in _KEYWORDS and value is not None and not _KEYWORDS[keyword](value):
            return (
                f"In context=({', '.join(map(repr, path))}), {value!r} is not valid for '{keyword}'"
            )
    return next(
        (
            found
            for where, part in _parts(schema)
            if (found := _schema_fault(part, (*path, *where)))
        ),
        None,
    )


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the schemas inside a schema, with the way to each."""
    for group in ("properties", "$defs", "definitions"):
        for name, part in (schema.get(group) or {}).items():
            yield (group, name), part
    for group in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for index, part in enumerate(schema.get(group) or ()):
            yield (group, str(index)), part
    for group in ("items", "additionalProperties"):
        if schema.get(group) is not None:
            yield (group,), schema[group]
