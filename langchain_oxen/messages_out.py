"""LangChain's messages, with content blocks of every form, as the dicts that Oxen takes.

The messages that are given are never changed.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from oxen_inference.chat import reasoning
from oxen_inference.chat.files import (
    PATH_HINT,
    MediaKind,
    Part,
    data_url,
    media_part,
    mime_type_of,
    unsupported_document,
)
from oxen_inference.chat.messages import json_text, text_part
from oxen_inference.chat.tool_calls import sendable_arguments, wire_tool_call
from oxen_inference.errors import InvalidInputError

Block = dict[str, Any]
WireMessage = dict[str, Any]


def to_wire(
    messages: Sequence[BaseMessage], *, inputs_from: str | Path | None = None
) -> list[WireMessage]:
    """Return the messages for `oxen_inference.chat.messages.prepare_messages`.

    `inputs_from`: folder whose files blocks may name as ``path``. Raises `InvalidInputError` for a message or a content block that Oxen has no form for.
    """
    answered: set[Any] = {m.tool_call_id for m in messages if isinstance(m, ToolMessage)}
    answered |= {b.get("tool_use_id") for m in messages for b in _tool_results(m.content)}
    wire: list[WireMessage] = []
    for message in messages:
        wire += _convert(_with_files(message, inputs_from), answered)
    return wire


def _convert(message: BaseMessage, answered: set[Any]) -> list[WireMessage]:
    if isinstance(message, HumanMessage):
        return _user(message, "user")
    if isinstance(message, AIMessage):
        return [_assistant(message, answered)]
    if isinstance(message, ToolMessage):
        return [_tool_result(message.tool_call_id, message.content)]
    if isinstance(message, SystemMessage):
        return [_system(message)]
    if isinstance(message, FunctionMessage):
        content = to_parts(message.content, unknown="json")
        return [{"role": "function", "name": message.name, "content": content}]
    if isinstance(message, ChatMessage):
        if message.role in ("system", "developer"):
            return [_system(message)]
        return _user(message, message.role)
    raise InvalidInputError(
        f"A {type(message).__name__} cannot be sent to a chat model; remove it from the messages."
    )


def _system(message: BaseMessage) -> WireMessage:
    content: Any = message.content
    if not isinstance(content, str):
        content = to_parts(content)
    return _with_name(message, {"role": "system", "content": content})


def _user(message: BaseMessage, role: str) -> list[WireMessage]:
    if isinstance(message.content, str):
        return [_with_name(message, {"role": role, "content": message.content})]
    results = list(_tool_results(message.content))
    rest = [b for b in message.content if b not in results] if results else message.content
    wire = [_tool_result(str(b.get("tool_use_id")), b.get("content")) for b in results]
    if rest or not results:
        wire.append(_with_name(message, {"role": role, "content": to_parts(rest)}))
    return wire


def _assistant(message: AIMessage, answered: set[Any]) -> WireMessage:
    content: Any = message.content
    if not isinstance(content, str):
        parts = to_parts(content, unknown="drop")
        if any("cache_control" in part for part in parts):
            content = [part for part in parts if part["type"] == "text"]
        else:
            content = _text_in(content)
    kwargs = message.additional_kwargs
    wire: WireMessage = {"role": "assistant", "content": content or kwargs.get("refusal")}
    calls = _tool_calls(message, answered)
    if calls:
        wire["tool_calls"] = calls
    elif not wire["content"]:
        wire["content"] = ""
    if text := _reasoning_in(message.content) or kwargs.get("reasoning_content"):
        wire["reasoning_content"] = text
    for field in reasoning.FIELDS:
        if details := kwargs.get(field):
            wire[field] = details
    return _with_name(message, wire)


def _tool_calls(message: AIMessage, answered: set[Any]) -> list[WireMessage]:
    extras = message.additional_kwargs.get("tool_call_extras") or {}
    listed_ids = {call["id"] for call in message.tool_calls}
    calls: list[tuple[Any, Any, str]] = [
        (call["id"], call["name"], _as_json(call["args"])) for call in message.tool_calls
    ]
    for block in message.content if isinstance(message.content, list) else []:
        is_call = isinstance(block, dict) and block.get("type") in ("tool_use", "tool_call")
        if isinstance(block, dict) and is_call and block.get("id") not in listed_ids:
            arguments = block.get("input", block.get("args")) or {}
            calls.append((block.get("id"), block.get("name"), _as_json(arguments)))
    calls += [
        (invalid["id"], invalid["name"], sendable_arguments(invalid["args"]))
        for invalid in message.invalid_tool_calls
        # A call without a result makes every provider refuse the conversation.
        if invalid["id"] in answered
    ]
    return [
        wire_tool_call(call_id, name, arguments, extras.get(call_id))
        for call_id, name, arguments in calls
    ]


def _as_json(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json_text(arguments)


def _tool_result(call_id: str, content: Any) -> WireMessage:
    parts: Any = content
    if not isinstance(content, str):
        parts = to_parts(content, unknown="json")
    return {"role": "tool", "tool_call_id": call_id, "content": parts}


def _tool_results(content: Any) -> Iterable[Block]:
    """Return Anthropic's ``tool_result`` blocks, which that API has in user messages."""
    if isinstance(content, str):
        return []
    return [b for b in content or [] if isinstance(b, dict) and b.get("type") == "tool_result"]


def _with_name(message: BaseMessage, wire: WireMessage) -> WireMessage:
    name = message.name or message.additional_kwargs.get("name")
    return {**wire, "name": name} if name else wire


# Files


def with_image_types(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return the messages with a type for every image in base64, by its bytes.

    What LangChain tells tracers has one, and an image that names none is an error there.
    """
    return [_with_image_types(message) for message in messages]


def _with_image_types(message: BaseMessage) -> BaseMessage:
    if isinstance(message.content, str):
        return message
    content: list[Any] = [
        {**block, "mime_type": _image_type(data)}
        if isinstance(block, dict)
        and block.get("type") == "image"
        and isinstance(data := block.get("base64", block.get("data")), str)
        and data
        and not block.get("mime_type")
        else block
        for block in message.content
    ]
    return (
        message if content == message.content else message.model_copy(update={"content": content})
    )


def _image_type(encoded: str) -> str:
    try:
        head = base64.b64decode(encoded[:64], validate=False)
    except ValueError:
        head = b""
    return mime_type_of(head, "image") or "image/png"


_NO_FOLDER = "Name the folder that files may be read from: ChatOxen(inputs_from=...). {}"


def _with_files(message: BaseMessage, folder: str | Path | None) -> BaseMessage:
    """Return the message with the files that its blocks name, as bytes."""
    if isinstance(message.content, str):
        return message
    blocks: list[Any] = list(message.content)
    for position, block in enumerate(blocks):
        kind = block.get("type") if isinstance(block, dict) else None
        if kind in _FILE_BLOCKS and (path := _path_in(block)) is not None:
            rest = {k: v for k, v in block.items() if k not in ("path", "url", "source_type")}
            blocks[position] = {**rest, "base64": _read_file(path, folder)}
    if blocks == message.content:
        return message
    return message.model_copy(update={"content": blocks})


_FILE_BLOCKS = ("image", "video", "audio", "file", "document")


def _path_in(block: Block) -> str | None:
    """Return the local path that a block names, as ``path`` or as a file's URL."""
    if path := block.get("path"):
        return str(path)
    url = block.get("url")
    return (
        unquote(url[len("file://") :])
        if isinstance(url, str) and url.startswith("file://")
        else None
    )


def _read_file(name: str, folder: str | Path | None) -> str:
    from oxen_inference.tools.inputs import allowed_file

    if folder is None:
        raise InvalidInputError(
            f"The file {name!r} is not read.", hint=_NO_FOLDER.format(PATH_HINT)
        )
    file = allowed_file(name, folder)
    if file is None:
        raise InvalidInputError(f"There is no file {name!r} in {folder}.", hint=PATH_HINT)
    return base64.b64encode(file.read_bytes()).decode()


# Content

# Blocks of an assistant's or a tool's message that are sent elsewhere than in its content.
_NOT_CONTENT = {
    "tool_use",
    "tool_call",
    "tool_call_chunk",
    "input_json_delta",
    "invalid_tool_call",
    "function_call",
    "thinking",
    "redacted_thinking",
    "reasoning",
    "reasoning_content",
    "server_tool_call",
    "server_tool_call_chunk",
    "server_tool_result",
}


def to_parts(content: Any, *, unknown: Literal["raise", "json", "drop"] = "raise") -> list[Part]:
    """Return the parts for a message's content.

    `unknown`: raise `InvalidInputError` for a block of no known type, send it as JSON text (in a
    tool's result), or leave it out (in an assistant's message).
    """
    if isinstance(content, str):
        return [text_part(content)] if content else []
    parts: list[Part] = []
    for block in content or []:
        if isinstance(block, str):
            if block:
                parts.append(text_part(block))
            continue
        if block.get("type") in _NOT_CONTENT:
            continue
        part = _to_part(block)
        if part is not None:
            parts.append(_with_cache_control(block, part))
        elif unknown == "json":
            parts.append(text_part(json_text(block)))
        elif unknown == "raise":
            raise InvalidInputError(
                f"Oxen's chat API has no content of type {block.get('type')!r}; it takes text, "
                "image, video, audio and PDF file blocks."
            )
    return parts


def _text_in(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts = (
        p if isinstance(p, str) else p.get("text") or p.get("refusal")
        for p in content or []
        if _is_text(p)
    )
    return "".join(t for t in texts if isinstance(t, str))


def _is_text(block: Any) -> bool:
    return isinstance(block, str) or block.get("type") in ("text", "output_text", "refusal")


def _reasoning_in(content: Any) -> str:
    if isinstance(content, str):
        return ""
    return "".join(_reasoning(block) for block in content or [] if isinstance(block, dict))


def _reasoning(block: Block) -> str:
    if block.get("type") == "thinking":  # Anthropic's
        return str(block.get("thinking") or "")
    if block.get("type") in ("reasoning", "reasoning_content"):
        value = block.get("reasoning") or block.get("reasoning_content") or block.get("summary")
        if isinstance(value, list):
            return "".join(str(s.get("text", "")) for s in value if isinstance(s, dict))
        if isinstance(value, dict):
            return str(value.get("text", ""))
        return str(value or "")
    return ""


def _with_cache_control(block: Block, part: Part) -> Part:
    extras = block.get("extras")
    cache_control = block.get("cache_control") or (
        extras.get("cache_control") if isinstance(extras, dict) else None
    )
    return {**part, "cache_control": cache_control} if cache_control else part


def _to_part(block: Block) -> Part | None:
    kind = block.get("type")
    if kind is None:
        kind = "text" if "text" in block else next(iter(block), None)
    convert = _BY_TYPE.get(str(kind))
    return convert(block) if convert else None


def _text(block: Block) -> Part:
    return text_part(str(block.get("text") or ""))


def _wire_form(kind: MediaKind) -> Callable[[Block], Part]:
    """OpenAI's own form, ``{"type": "image_url", "image_url": {"url": …} | "…"}``."""

    def convert(block: Block) -> Part:
        value = block.get(f"{kind}_url")
        if isinstance(value, dict):
            return media_part(kind, str(value.get("url") or ""), detail=value.get("detail"))
        return media_part(kind, str(value or ""), detail=block.get("detail"))

    return convert


def _standard_form(declared: MediaKind) -> Callable[[Block], Part]:
    """LangChain's standard blocks, v0 (`source_type`) and v1, and Anthropic's (`source`)."""

    def convert(block: Block) -> Part:
        if declared == "file" and isinstance(block.get("file"), dict):
            return _openai_file(block["file"])
        source = block.get("source")
        fields = {**block, **source} if isinstance(source, dict) else block
        kind = _media_kind(declared, fields)
        extras = fields.get("extras") if isinstance(fields.get("extras"), dict) else {}
        details = {**(fields.get("metadata") or {}), **(extras or {}), **fields}
        filename = details.get("filename") or details.get("title") or details.get("name")
        if fields.get("source_type") == "text" or (source and source.get("type") == "text"):
            return text_part(str(fields.get("text") or fields.get("data") or ""))
        if isinstance(source, dict) and source.get("type") == "content":
            return text_part(_text_in(source.get("content")))
        return media_part(
            kind,
            _location(kind, fields),
            filename=str(filename) if filename else None,
            detail=details.get("detail"),
        )

    return convert


def _media_kind(declared: MediaKind, fields: Block) -> MediaKind:
    """Return the kind of a block's content: a file with an image's type is an image."""
    if declared != "file":
        return declared
    mime_type = str(fields.get("mime_type") or fields.get("media_type") or "")
    of_type: dict[str, MediaKind] = {"image": "image", "video": "video", "audio": "audio"}
    return of_type.get(mime_type.partition("/")[0], declared)


def _location(kind: MediaKind, fields: Block) -> str:
    """Return the URL or data URL of a block's content."""
    if url := fields.get("url"):
        _check_type(kind, fields.get("mime_type"))
        return str(url)
    data = fields.get("base64", fields.get("data"))
    if data in ("", b""):
        raise InvalidInputError(f"The {kind} is empty.")
    if not data:
        if "file_id" in fields or fields.get("source_type") == "id":
            raise InvalidInputError(
                f"Oxen keeps no uploaded files: send the {kind} as a URL or in base64, not by id."
            )
        raise InvalidInputError(
            f"The {kind} block has neither a URL nor base64 data: {list(fields)}", hint=PATH_HINT
        )
    if isinstance(data, bytes):
        data = base64.b64encode(data).decode()
    if str(data).startswith("data:"):
        return str(data)
    return data_url(fields.get("mime_type") or fields.get("media_type"), str(data))


def _check_type(kind: MediaKind, mime_type: Any) -> None:
    if kind == "file" and mime_type and mime_type != "application/pdf":
        raise unsupported_document(mime_type)


def _openai_file(file: Block) -> Part:
    filename = file.get("filename")
    if url := file.get("file_url"):
        return media_part("file", str(url), filename=filename)
    location = _location("file", {**file, "data": file.get("file_data")})
    return media_part("file", location, filename=filename)


def _openai_audio(block: Block) -> Part:
    audio = block.get("input_audio") or {}
    return media_part(
        "audio", data_url(f"audio/{audio.get('format', 'wav')}", str(audio.get("data")))
    )


def _openai_image(block: Block) -> Part:
    return media_part("image", str(block.get("image_url") or ""), detail=block.get("detail"))


def _google_media(block: Block) -> Part:
    return _standard_form("file")({**block, "url": block.get("file_uri") or block.get("url")})


def _plain_text(block: Block) -> Part:
    if isinstance(text := block.get("text"), str):
        return text_part(text)
    if data := block.get("base64"):
        return text_part(base64.b64decode(data).decode("utf-8", "replace"))
    raise InvalidInputError("Oxen reads no text files by URL: send the text itself.")


def _non_standard(block: Block) -> Part | None:
    value = block.get("value")
    return _to_part(value) if isinstance(value, dict) else None


_BY_TYPE: dict[str, Callable[[Block], Part | None]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "text-plain": _plain_text,
    "image_url": _wire_form("image"),
    "video_url": _wire_form("video"),
    "audio_url": _wire_form("audio"),
    "image": _standard_form("image"),
    "video": _standard_form("video"),
    "audio": _standard_form("audio"),
    "file": _standard_form("file"),
    "document": _standard_form("file"),
    "input_audio": _openai_audio,
    "input_image": _openai_image,
    "input_file": _openai_file,
    "media": _google_media,
    "non_standard": _non_standard,
}
