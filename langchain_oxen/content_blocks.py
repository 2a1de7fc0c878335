"""LangChain's content blocks, in the form of every provider, as the parts that Oxen takes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Literal

from oxen_inference.chat.files import (
    PATH_HINT,
    MediaKind,
    Part,
    check_document_type,
    data_url,
    kind_of_type,
    media_part,
    titled,
)
from oxen_inference.chat.messages import json_text, text_part
from oxen_inference.errors import InvalidInputError

Block = dict[str, Any]
Parts = Part | list[Part] | None

# Blocks of an assistant's or a tool's message that are sent elsewhere than in its content.
_NOT_CONTENT = (
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
)


def to_parts(content: Any, *, unknown: Literal["raise", "json"] = "raise") -> list[Part]:
    """Return the parts for a message's content.

    `unknown`: raise `InvalidInputError` for a block of no known type, or send it as JSON text (in a
    tool's result).
    """
    parts: list[Part] = []
    for block in _blocks_of(content):
        converted = _converted(block)
        if converted is not None:
            parts += converted
        elif unknown == "json":
            parts.append(text_part(json_text(block)))
        else:
            raise InvalidInputError(
                f"Oxen's chat API has no content of type {block.get('type')!r}; it takes text, "
                "image, video, audio and PDF file blocks."
            )
    return parts


def said(content: Any) -> str | list[Part]:
    """Return the text of an assistant's content; parts, if one of them has a cache mark.

    Models do not take their own images and other files back, and blocks of no known type are left
    out.
    """
    parts: list[Part] = []
    for block in _blocks_of(content):
        if not _is_media(block):
            parts += [part for part in _converted(block) or [] if part["type"] == "text"]
    if any("cache_control" in part for part in parts):
        return parts
    return "".join(part["text"] for part in parts)


def _blocks_of(content: Any) -> list[Block]:
    """Return the blocks in a message's content, without those that are sent elsewhere."""
    blocks: list[Block] = []
    for given in content if isinstance(content, list | tuple) else [content]:
        block = text_part(given) if isinstance(given, str) and given else given
        if isinstance(block, Mapping) and block.get("type") == "non_standard":
            block = block.get("value")
        if not block:
            continue
        if not isinstance(block, Mapping):
            raise InvalidInputError(f"A content block is text or a dict, not {block!r}.")
        if block.get("type") not in _NOT_CONTENT:
            blocks.append(dict(block))
    return blocks


def _converted(block: Block) -> list[Part] | None:
    """Return the parts for a block; None if its type is not known."""
    kind = block.get("type")
    if kind is None:
        kind = "text" if "text" in block else next(iter(block), None)
    convert = _BY_TYPE.get(str(kind))
    parts = convert(block) if convert else None
    if parts is None:
        return None
    parts = parts if isinstance(parts, list) else [parts]
    extras = _mapping(block.get("extras"))
    if parts and (mark := block.get("cache_control") or extras.get("cache_control")):
        parts[-1] = {**parts[-1], "cache_control": mark}
    return parts


def _is_media(block: Block) -> bool:
    return str(block.get("type")).removeprefix("input_").removesuffix("_url") in _MEDIA


_MEDIA = ("image", "video", "audio", "media", "file", "document")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(block: Block) -> Part:
    return text_part(str(block.get("text") or ""))


def _refusal(block: Block) -> Part:
    return text_part(str(block.get("refusal") or ""))


def _wire_form(kind: MediaKind) -> Callable[[Block], Part]:
    """OpenAI's own form, ``{"type": "image_url", "image_url": {"url": …} | "…"}``."""

    def convert(block: Block) -> Part:
        value = block.get(f"{kind}_url")
        if isinstance(value, dict):
            return media_part(kind, str(value.get("url") or ""), detail=value.get("detail"))
        return media_part(kind, str(value or ""), detail=block.get("detail"))

    return convert


def _standard_form(declared: MediaKind) -> Callable[[Block], Parts]:
    """LangChain's standard blocks, v0 (`source_type`) and v1, and Anthropic's (`source`)."""

    def convert(block: Block) -> Parts:
        if declared == "file" and isinstance(block.get("file"), dict):
            return _openai_file(block["file"])
        source = block.get("source")
        if isinstance(source, str):  # an address by itself
            source = {"type": "url", "url": source}
        source = _mapping(source)
        fields = {**block, **source}
        extras = _mapping(fields.get("extras"))
        details = {**_mapping(fields.get("metadata")), **extras, **fields}
        title, context = _titles(details)
        if declared != "file":
            context = None
        if fields.get("source_type") == "text" or source.get("type") == "text":
            text = str(fields.get("text") or fields.get("data") or "")
            return text_part(titled(text, title, context))
        if source.get("type") == "content":
            about = titled("", title, context).rstrip()
            return [*([text_part(about)] if about else []), *to_parts(source.get("content"))]
        kind = declared
        if kind == "file":
            kind = kind_of_type(fields.get("mime_type") or fields.get("media_type"), kind)
        part = media_part(
            kind, _location(kind, fields), filename=title, detail=details.get("detail")
        )
        return [text_part(context), part] if context else part

    return convert


def _titles(details: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return a document's title or file name, and what Anthropic's form says about it."""
    title = details.get("filename") or details.get("title") or details.get("name")
    context = details.get("context")
    return (str(title) if title else None), (context if isinstance(context, str) else None)


def _location(kind: MediaKind, fields: Block) -> str:
    """Return the URL or data URL of a block's content."""
    if url := fields.get("url"):
        if kind == "file":
            check_document_type(fields.get("mime_type"))
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


def _openai_file(file: Block) -> Part:
    filename = file.get("filename")
    if url := file.get("file_url"):
        return media_part("file", str(url), filename=filename)
    location = _location("file", {**file, "data": file.get("file_data")})
    return media_part("file", location, filename=filename)


def _openai_audio(block: Block) -> Part:
    audio = _mapping(block.get("input_audio"))
    data = audio.get("data")
    location = _location(
        "audio", {"data": data, "mime_type": f"audio/{audio.get('format', 'wav')}"}
    )
    return media_part("audio", location)


def _openai_image(block: Block) -> Part:
    return media_part("image", str(block.get("image_url") or ""), detail=block.get("detail"))


def _google_media(block: Block) -> Parts:
    return _standard_form("file")({**block, "url": block.get("file_uri") or block.get("url")})


def _plain_text(block: Block) -> Part:
    title, context = _titles({**_mapping(block.get("extras")), **block})
    if isinstance(text := block.get("text"), str):
        return text_part(titled(text, title, context))
    if data := block.get("base64"):
        encoded = base64.b64encode(data).decode() if isinstance(data, bytes) else str(data)
        name = "\n".join(filter(None, (title, context)))
        return media_part("file", data_url("text/plain", encoded), filename=name)
    raise InvalidInputError("Oxen reads no text files by URL: send the text itself.")


_BY_TYPE: dict[str, Callable[[Block], Parts]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _refusal,
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
}
