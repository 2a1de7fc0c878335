"""What real upstreams reject in messages: roles, parts, attachments, tool turns."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from oxen_sandbox.chat_families import Family
from oxen_sandbox.wire import Rejected

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What is taken as the name of a tool, a schema or a speaker."""
_ROLES = ("system", "user", "assistant", "tool")
_PARTS = ("text", "image_url", "video_url", "audio_url", "file")
_MODALITIES = {"image_url": "image", "video_url": "video", "audio_url": "audio", "file": "file"}
_IMAGES = ("png", "jpeg", "gif", "webp")
_AUDIO_LIMIT = 20 * 1024 * 1024
_FILE_LIMIT = 24 * 1024 * 1024


def check_messages(messages: Sequence[Any], model: Mapping[str, Any], family: Family) -> None:
    """Raise Rejected (400) for the first message at fault."""
    inputs = (model.get("capabilities") or {}).get("input")
    for index, message in enumerate(messages):
        _check_message(index, message, family, str(model.get("id")), inputs)
    _check_tool_turns(messages, family)
    if not family.system_parts and all(message["role"] == "system" for message in messages):
        raise Rejected(400, "messages: at least one message is required")


def json_type(value: Any) -> str:
    """Name a JSON value's type with its article."""
    kinds = {str: "a string", bool: "a boolean", int: "an integer", float: "a decimal"}
    kinds |= {dict: "an object", list: "an array", type(None): "null"}
    return kinds.get(type(value), type(value).__name__)


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
    name = message.get("name")
    if name is not None and not (isinstance(name, str) and NAME.fullmatch(name)):
        raise Rejected(
            400,
            f"Invalid '{at}.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]{{1,64}}$'.",
        )
    content = message.get("content")
    calls = message.get("tool_calls")
    if role == "assistant" and calls is not None:
        _check_calls(at, calls, family)
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
            f"Invalid type for '{at}.content': expected a string or an array, but got {json_type(content)} instead.",
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
                    f"Invalid type for '{at}.text': expected a string, but got {json_type(part.get('text'))} instead.",
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
    if kind == "image_url" and _file_format(attached.data) not in _IMAGES:
        raise Rejected(
            400,
            f"You uploaded an unsupported image. Please make sure your image is valid and has one of the following formats: {list(_IMAGES)}.",
        )
    shown = _file_format(attached.data)
    if kind == "image_url" and family.types_by_bytes and attached.mime != f"image/{shown}":
        raise Rejected(
            400,
            f"Invalid '{at}': the image was specified using the {attached.mime} media type, but it appears to be an image/{shown} image.",
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
    if attached.mime != "application/pdf" or _file_format(attached.data) != "pdf":
        raise Rejected(
            400, f"Invalid '{at}.file': only PDF files are supported, got {attached.mime}."
        )
    if len(attached.data) > _FILE_LIMIT:
        raise Rejected(400, f"Invalid '{at}.file': files are limited to 24 MB.")


def _decoded(at: str, url: str) -> _Attachment:
    try:
        return _decode(url)
    except ValueError as error:
        raise Rejected(
            400, f"Invalid '{at}': expected a base64-encoded data URL with a MIME type."
        ) from error


def _check_calls(at: str, calls: Any, family: Family) -> None:
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
        if not re.fullmatch(family.call_ids, call["id"]):
            raise Rejected(
                400,
                f"Invalid '{where}.id': string does not match pattern '^{family.call_ids}$'.",
            )
        if not NAME.fullmatch(str(function["name"])):
            raise Rejected(
                400,
                f"Invalid '{where}.function.name': string does not match pattern '^[a-zA-Z0-9_-]{{1,64}}$'.",
            )
        if not isinstance(function.get("arguments"), str):
            raise Rejected(
                400,
                f"Invalid type for '{where}.function.arguments': expected a string, but got {json_type(function.get('arguments'))} instead.",
            )


def _check_tool_turns(messages: Sequence[Mapping[str, Any]], family: Family) -> None:
    """Every tool call is answered right after it, and nothing else is."""
    waiting: dict[str, None] = {}
    seen: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            call_id = message.get("tool_call_id")
            if not isinstance(call_id, str) or call_id not in seen:
                raise Rejected(
                    400,
                    f"Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls' (messages[{index}]).",
                )
            waiting.pop(call_id, None)
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


def check_replayed_reasoning(messages: Sequence[Mapping[str, Any]], refusal: str) -> None:
    """Raise Rejected (400) for a tool-call turn since the last user's without its reasoning."""
    last_user = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=-1)
    for index, message in enumerate(messages[last_user + 1 :], last_user + 1):
        if message.get("tool_calls") and message.get("reasoning_content") is None:
            raise Rejected(400, refusal.format(index=index))


class _Attachment(NamedTuple):
    """A decoded data URL."""

    mime: str
    data: bytes


def _decode(url: str) -> _Attachment:
    """Decode a base64 data URL; raises ValueError where it is not one."""
    head, _, payload = url.partition(",")
    match = re.fullmatch(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.-]+)*;base64", head)
    if not match or not payload:
        raise ValueError("not a base64 data URL")
    try:
        return _Attachment(match[1].lower(), base64.b64decode(payload, validate=True))
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def _file_format(data: bytes) -> str | None:
    """Return the image format or `pdf` a file begins like, else None."""
    starts = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"%PDF-": "pdf"}
    for start, kind in starts.items():
        if data.startswith(start):
            return kind
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
