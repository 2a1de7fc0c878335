"""What real upstreams reject, in the texts they reject it with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from oxen_sandbox.chat_families import Family
from oxen_sandbox.chat_media import Attachment, decode, sniff
from oxen_sandbox.errors import Rejected

_ROLES = ("system", "user", "assistant", "tool")
_PARTS = ("text", "image_url", "video_url", "audio_url", "file")
_MODALITIES = {"image_url": "image", "video_url": "video", "audio_url": "audio", "file": "file"}
_IMAGES = ("png", "jpeg", "gif", "webp")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_AUDIO_LIMIT = 20 * 1024 * 1024
_FILE_LIMIT = 24 * 1024 * 1024
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
    _check_tools(body, family)
    _check_response_format(body, family)
    inputs = (model.get("capabilities") or {}).get("input")
    for index, message in enumerate(messages):
        _check_message(index, message, family, str(model.get("id")), inputs)
    _check_tool_turns(messages, family)
    if not family.system_parts and all(message["role"] == "system" for message in messages):
        raise Rejected(400, "messages: at least one message is required")
    if family.replays_reasoning and body.get("tools") and not _reasoning_off(body):
        _check_replayed_reasoning(messages)


def check_length(tokens: int, family: Family) -> None:
    """Raise Rejected (400) where the prompt is longer than the family's context."""
    if tokens > family.context:
        text = family.overflow.format(tokens=tokens, limit=family.context)
        raise Rejected(400, text, "invalid_request_error")


def _reasoning_off(body: Mapping[str, Any]) -> bool:
    return not thinks(body, asked_only=False)


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
                f"Invalid type for '{name}': expected a decimal, but got {_type(value)} instead.",
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
                f"Invalid type for '{name}': expected an integer, but got {_type(value)} instead.",
            )
        if value is not None and value < 1:
            raise Rejected(
                400,
                f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {value} instead.",
            )
    stop = body.get("stop")
    if (
        stop is not None
        and not isinstance(stop, str)
        and not (isinstance(stop, list) and all(isinstance(s, str) for s in stop))
    ):
        raise Rejected(400, "Invalid type for 'stop': expected a string or an array of strings.")


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
        if not isinstance(name, str) or not _NAME.fullmatch(name):
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
    parameters = function.get("parameters")
    if parameters is None:
        return
    kind = parameters.get("type") if isinstance(parameters, Mapping) else None
    if kind != "object":
        raise Rejected(
            400,
            f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'.",
        )
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
        if named.get("strict") and family.strict_schemas:
            _check_strict(named.get("schema"), f"response_format '{named['name']}'", ())
    if kind == "json_object" and family.says_json and "json" not in str(body["messages"]).lower():
        raise Rejected(
            400,
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        )


def _check_message(
    index: int, message: Any, family: Family, model_id: str, inputs: Sequence[str] | None
) -> None:
    at = f"messages[{index}]"
    role = message.get("role") if isinstance(message, Mapping) else None
    if role not in _ROLES:
        raise Rejected(
            400,
            f"Invalid value: '{role}'. Supported values are: 'system', 'user', 'assistant', and 'tool'.",
        )
    content = message.get("content")
    calls = message.get("tool_calls")
    if role == "assistant" and calls is not None:
        _check_calls(at, calls)
    if content is None:
        if role != "assistant" or not calls:
            raise Rejected(400, f"Invalid value for '{at}.content': expected a string, got null.")
        return
    if isinstance(content, str):
        if not content.strip() and not family.empty_text and not calls and role != "tool":
            raise Rejected(400, f"messages.{index}: all messages must have non-empty content")
        return
    if not isinstance(content, list):
        raise Rejected(
            400,
            f"Invalid type for '{at}.content': expected a string or an array, but got {_type(content)} instead.",
        )
    if not content:
        raise Rejected(
            400,
            f"Invalid '{at}.content': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        )
    if role == "system" and not family.system_parts:
        raise Rejected(400, f"messages.{index}: system content must be a string for this model")
    _check_parts(index, role, content, family, model_id, inputs)


def _check_parts(
    index: int,
    role: str,
    content: Sequence[Any],
    family: Family,
    model_id: str,
    inputs: Sequence[str] | None,
) -> None:
    texts = False
    for position, part in enumerate(content):
        at = f"messages[{index}].content[{position}]"
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in _PARTS:
            raise Rejected(
                400,
                f"Invalid value for '{at}.type': '{kind}'. Supported values are: {', '.join(map(repr, _PARTS))}.",
            )
        if kind == "text":
            texts = True
            if not isinstance(part.get("text"), str):
                raise Rejected(
                    400,
                    f"Invalid type for '{at}.text': expected a string, but got {_type(part.get('text'))} instead.",
                )
            if not part["text"].strip() and not family.empty_text:
                raise Rejected(400, "messages: text content blocks must be non-empty")
            continue
        if role != "user" and not (role == "tool" and family.media_in_tool_results):
            raise Rejected(
                400,
                f"Invalid '{at}': {_MODALITIES[kind]} parts are only allowed for messages with role 'user', but this message with role '{role}' contains one.",
            )
        if inputs and _MODALITIES[kind] not in inputs:
            raise Rejected(400, f"Model {model_id} does not support {_MODALITIES[kind]} input")
        if kind == "file":
            _check_file(at, part["file"] if isinstance(part.get("file"), Mapping) else {})
        else:
            _check_url(at, kind, part.get(kind), family, after_text=texts)


def _check_url(at: str, kind: str, value: Any, family: Family, *, after_text: bool) -> None:
    url = value.get("url") if isinstance(value, Mapping) else value
    if not isinstance(url, str) or not re.match(r"https?://[^\s/]+|data:", url):
        raise Rejected(400, f"Invalid '{at}.{kind}.url': expected a valid http(s) or data URL.")
    if kind == "audio_url" and after_text:
        raise Rejected(400, f"Invalid '{at}': audio_url parts must come before the text part.")
    if not url.startswith("data:"):
        return
    attached = _decoded(at, url)
    wanted = _MODALITIES[kind]
    if not attached.mime.startswith(f"{wanted}/"):
        raise Rejected(
            400, f"Invalid '{at}': a data URL of type {attached.mime} is not {wanted} data."
        )
    if kind == "image_url" and sniff(attached.data) not in _IMAGES:
        raise Rejected(
            400,
            f"You uploaded an unsupported image. Please make sure your image is valid and has one of the following formats: {list(_IMAGES)}.",
        )
    if kind == "audio_url":
        subtype = attached.mime.split("/")[1]
        if len(attached.data) > _AUDIO_LIMIT:
            raise Rejected(400, f"Invalid '{at}': audio is limited to 20 MB.")
        if family.audio_formats and subtype not in family.audio_formats:
            raise Rejected(
                400,
                f"Invalid '{at}': audio format {subtype} is not supported with this model, use wav or mp3.",
            )


def _check_file(at: str, file: Mapping[str, Any]) -> None:
    if file.get("file_id") is not None:
        raise Rejected(
            400, f"Invalid '{at}.file': file_id is not supported, use file_data or file_url."
        )
    given = [key for key in ("file_data", "file_url") if file.get(key)]
    if len(given) != 1:
        raise Rejected(
            400, f"Invalid '{at}.file': exactly one of file_data or file_url is required."
        )
    if given == ["file_url"]:
        if not re.match(r"https?://", str(file["file_url"])):
            raise Rejected(400, f"Invalid '{at}.file.file_url': expected an http(s) URL.")
        return
    attached = _decoded(at, str(file["file_data"]))
    if attached.mime != "application/pdf" or sniff(attached.data) != "pdf":
        raise Rejected(
            400, f"Invalid '{at}.file': only PDF files are supported, got {attached.mime}."
        )
    if len(attached.data) > _FILE_LIMIT:
        raise Rejected(400, f"Invalid '{at}.file': files are limited to 24 MB.")


def _decoded(at: str, url: str) -> Attachment:
    try:
        return decode(url)
    except ValueError as error:
        raise Rejected(
            400, f"Invalid '{at}': expected a base64-encoded data URL with a MIME type."
        ) from error


def _check_calls(at: str, calls: Any) -> None:
    if not isinstance(calls, list) or not calls:
        raise Rejected(
            400,
            f"Invalid '{at}.tool_calls': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        )
    for position, call in enumerate(calls):
        function = call.get("function") if isinstance(call, Mapping) else None
        where = f"{at}.tool_calls[{position}]"
        if (
            not isinstance(function, Mapping)
            or not isinstance(call.get("id"), str)
            or not function.get("name")
        ):
            raise Rejected(
                400,
                f"Missing required parameter: '{where}' needs an 'id' and a 'function' with a 'name'.",
            )
        if not isinstance(function.get("arguments"), str):
            raise Rejected(
                400,
                f"Invalid type for '{where}.function.arguments': expected a string, but got {_type(function.get('arguments'))} instead.",
            )


def _check_tool_turns(messages: Sequence[Mapping[str, Any]], family: Family) -> None:
    """Every tool call is answered right after it, and nothing else is."""
    waiting: dict[str, None] = {}
    seen: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            call_id = message.get("tool_call_id")
            if call_id not in seen:
                raise Rejected(
                    400,
                    f"Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls' (messages[{index}]).",
                )
            waiting.pop(str(call_id), None)
            continue
        if waiting:
            raise Rejected(400, _unanswered(index - 1, waiting, family))
        seen = {call["id"] for call in message.get("tool_calls") or ()}
        waiting = dict.fromkeys(call["id"] for call in message.get("tool_calls") or ())
    if waiting:
        raise Rejected(400, _unanswered(len(messages) - 1, waiting, family))


def _unanswered(index: int, ids: Mapping[str, None], family: Family) -> str:
    if family.call_prefix == "toolu_":
        return f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(ids)}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    return f"An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(ids)}"


def _check_replayed_reasoning(messages: Sequence[Mapping[str, Any]]) -> None:
    """DeepSeek and Kimi refuse a tool-call turn without its reasoning.

    https://api-docs.deepseek.com/guides/thinking_mode#tool-calls
    """
    last_user = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=-1)
    for index, message in enumerate(messages[last_user + 1 :], last_user + 1):
        if message.get("tool_calls") and message.get("reasoning_content") is None:
            raise Rejected(
                400,
                f"Missing `reasoning_content` field in the assistant message at message index {index}.",
            )


def _type(value: Any) -> str:
    kinds = {
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a decimal",
        dict: "an object",
        list: "an array",
    }
    return "null" if value is None else kinds.get(type(value), type(value).__name__)
