"""LlamaIndex's messages and content blocks as the dicts that Oxen takes.

The messages that are given are never changed.
"""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.llms.llm import ToolSelection

from oxen_inference.chat import reasoning
from oxen_inference.chat.files import Part, check_document_type, data_url, kind_of_type, media_part
from oxen_inference.chat.messages import json_text, text_part
from oxen_inference.chat.tool_calls import sendable_arguments, wire_tool_call
from oxen_inference.errors import InvalidInputError

WireMessage = dict[str, Any]

_ASSISTANT = (MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL)
_SYSTEM = (MessageRole.SYSTEM, MessageRole.DEVELOPER)


def to_wire(messages: Sequence[ChatMessage]) -> list[WireMessage]:
    """Return the messages for `oxen_inference.chat.messages.prepare_messages`.

    Raises `InvalidInputError` for a content block that Oxen has no form for.
    """
    return [_convert(message) for message in messages]


def _convert(message: ChatMessage) -> WireMessage:
    kwargs = message.additional_kwargs
    if message.role in _ASSISTANT:
        return _with_name(message, _assistant(message))
    if message.role == MessageRole.TOOL:
        call_id = kwargs.get("tool_call_id") or kwargs.get("id") or ""
        return {"role": "tool", "tool_call_id": call_id, "content": _content(message)}
    if message.role == MessageRole.FUNCTION:
        return {"role": "function", "name": kwargs.get("name"), "content": _content(message)}
    role = "system" if message.role in _SYSTEM else "user"
    return _with_name(message, {"role": role, "content": _content(message)})


def _content(message: ChatMessage) -> str | list[Part]:
    parts = to_parts(message.blocks)
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return str(parts[0]["text"])
    return parts or ""


def _assistant(message: ChatMessage) -> WireMessage:
    # Models do not take their own images back, so the files need not be read.
    # What an answer cites is told beside its text, which is all that the model said.
    left_out = (ImageBlock, CitationBlock) if message.content else (ImageBlock,)
    blocks = [block for block in message.blocks if not isinstance(block, left_out)]
    parts = [part for part in to_parts(blocks) if part["type"] == "text"]
    is_cached = any("cache_control" in part for part in parts)
    content: Any = parts if is_cached else "\n".join(part["text"] for part in parts)
    wire: WireMessage = {
        "role": "assistant",
        "content": content or message.additional_kwargs.get("refusal"),
    }
    if calls := _tool_calls(message):
        wire["tool_calls"] = calls
    elif call := message.additional_kwargs.get("function_call"):
        wire["function_call"] = call
    elif not wire["content"]:
        wire["content"] = ""
    thinking = [block for block in message.blocks if isinstance(block, ThinkingBlock)]
    if text := "".join(block.content or "" for block in thinking):
        wire["reasoning_content"] = text
    for field in reasoning.FIELDS:
        values = (block.additional_information.get(field) or [] for block in thinking)
        if details := [detail for value in values for detail in value]:
            wire[field] = details
    if not any(field in wire for field in reasoning.FIELDS):
        signed = [found for block in thinking if (found := _signed_thinking(block))]
        if signed:
            wire[reasoning.SIGNED] = signed
    return wire


def _signed_thinking(block: ThinkingBlock) -> dict[str, Any] | None:
    fields = block.additional_information
    return reasoning.signed_block(
        block.content or "", fields.get("signature"), redacted=fields.get("data")
    )


def _tool_calls(message: ChatMessage) -> list[WireMessage]:
    """Return the calls in the blocks, and those that only `additional_kwargs` has."""
    listed = [_read_call(call) for call in message.additional_kwargs.get("tool_calls") or []]
    extras = {call_id: extra for call_id, _, _, extra in listed}
    calls: list[tuple[Any, Any, Any]] = [
        (block.tool_call_id, block.tool_name, block.tool_kwargs)
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]
    ids = {call_id or "" for call_id, _, _ in calls}
    calls += [call[:3] for call in listed if call[0] not in ids]
    return [
        wire_tool_call(call_id or "", name, _as_json(arguments), extras.get(call_id or ""))
        for call_id, name, arguments in calls
    ]


def _read_call(call: Any) -> tuple[Any, Any, Any, Any]:
    """Return the id, the name, the arguments and the extra content of a call.

    Other integrations keep the SDK's objects in a history, Anthropic's blocks, or LlamaIndex's
    `ToolSelection`.
    """
    if isinstance(call, ToolSelection):
        return call.tool_id, call.tool_name, call.tool_kwargs, None
    fields = call if isinstance(call, Mapping) else getattr(call, "model_dump", dict)()
    if not fields:
        raise InvalidInputError(f"A tool call cannot be read: {call!r}.")
    function = fields.get("function")
    inner = function if isinstance(function, Mapping) else fields
    names = ("arguments", "input", "args", "tool_kwargs")
    arguments: Any = next((inner[name] for name in names if inner.get(name)), {})
    call_id = fields.get("id") or fields.get("tool_call_id") or fields.get("tool_id")
    name = inner.get("name") or inner.get("tool_name")
    return call_id, name, arguments, fields.get("extra_content")


def _as_json(arguments: Any) -> str:
    if not isinstance(arguments, str):
        arguments = json_text(arguments)
    return sendable_arguments(arguments)


def _with_name(message: ChatMessage, wire: WireMessage) -> WireMessage:
    name = message.additional_kwargs.get("name")
    return {**wire, "name": name} if name else wire


# Content

# Extensions of audio files whose MIME type has another name.
_AUDIO_MIME = {"mp3": "mpeg", "m4a": "mp4", "mpga": "mpeg"}
_UNTITLED = "input_document"  # core's title for a document that was given none


def to_parts(blocks: Iterable[Any]) -> list[Part]:
    """Return the parts for a message's blocks, without its thinking and its tool calls.

    Files and buffers are read and sent inline; URLs are left to the provider. Raises
    `InvalidInputError` for an empty or unreadable one.
    """
    parts: list[Part] = []
    for block in blocks:
        if isinstance(block, CachePoint):
            _add_cache_control(parts, block)
        else:
            parts += _block_parts(block)
    return parts


def _block_parts(block: Any) -> list[Part]:
    if isinstance(block, TextBlock):
        return [text_part(block.text)]
    if isinstance(block, ImageBlock):
        return [media_part("image", _image_url(block), detail=block.detail)]
    if isinstance(block, AudioBlock):
        return [media_part("audio", _audio_url(block))]
    if isinstance(block, VideoBlock):
        return [media_part("video", _video_url(block), detail=block.detail)]
    if isinstance(block, DocumentBlock):
        return [_document(block)]
    if isinstance(block, CitableBlock):
        source = text_part(f"Source: {block.title} ({block.source})")
        return [source, *to_parts(block.content)]
    if isinstance(block, CitationBlock):
        return _citation(block)
    if isinstance(block, ThinkingBlock | ToolCallBlock):
        return []
    raise InvalidInputError(
        f"Oxen's chat API has no content like a {type(block).__name__}; it takes text, images, "
        "video, audio and PDF documents."
    )


def _add_cache_control(parts: list[Part], point: CachePoint) -> None:
    """Mark the part before a cache point, where providers look for the mark."""
    if parts:
        control = {"type": point.cache_control.type}
        if point.cache_control.ttl != "5m":  # every provider's default
            control["ttl"] = point.cache_control.ttl
        parts[-1] = {**parts[-1], "cache_control": control}


def _citation(block: CitationBlock) -> list[Part]:
    cited = block.cited_content
    if not isinstance(cited, TextBlock):
        return to_parts([cited])
    return [text_part(f"“{cited.text}” ({block.title}, {block.source})")]


def _image_url(block: ImageBlock) -> str:
    if block.url is not None:
        return str(block.url)
    by_name = mimetypes.guess_type(str(block.path))[0] if block.path else None
    return data_url(block.image_mimetype or by_name or "image/png", _read(block, "image"))


def _audio_url(block: AudioBlock) -> str:
    if block.url is not None:
        return str(block.url)
    extension = (block.format or "wav").lower().lstrip(".")
    is_type = "/" in extension
    mime_type = extension if is_type else f"audio/{_AUDIO_MIME.get(extension, extension)}"
    return data_url(mime_type, _read(block, "audio"))


def _video_url(block: VideoBlock) -> str:
    if block.url is not None:
        return str(block.url)
    return data_url(block.video_mimetype or "video/mp4", _read(block, "video"))


def _document(block: DocumentBlock) -> Part:
    title = block.title
    if block.path and title == _UNTITLED:
        title = Path(block.path).name
    if block.url:
        kind = kind_of_type(block.document_mimetype, "file")
        if kind == "file":
            check_document_type(block.document_mimetype)
        return media_part(kind, str(block.url), filename=title)
    data = _read(block, "document")
    return media_part("file", data_url(block.document_mimetype, data), filename=title)


def _read(block: Any, kind: str) -> bytes:
    value = block.data if kind == "document" else getattr(block, kind)
    where = f" {block.path}" if block.path else ""
    try:
        if isinstance(value, bytes):
            data = base64.b64decode(value)  # the blocks keep bytes in base64
        elif value is not None:
            data = _read_buffer(value)
        else:
            data = getattr(block, f"resolve_{kind}")().read()
    except (OSError, ValueError) as error:
        if "zero bytes" in str(error):  # core's words for an empty file
            raise InvalidInputError(f"The {kind}{where} is empty. Nothing was sent.") from error
        raise InvalidInputError(f"The {kind}{where} cannot be read: {error}.") from error
    if not data:
        raise InvalidInputError(f"The {kind}{where} is empty. Nothing was sent.")
    return bytes(data)


def _read_buffer(buffer: Any) -> bytes:
    """Read a buffer from its start and restore its position: the caller may send it again."""
    position = buffer.tell()
    buffer.seek(0)
    data: bytes = buffer.read()
    buffer.seek(position)
    return data
