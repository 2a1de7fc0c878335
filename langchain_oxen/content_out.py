"""Content blocks, in every form LangChain knows, as the parts Oxen documents."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any, Literal

from oxen_inference.chat.messages import MediaKind, media_part
from oxen_inference.errors import InvalidInputError

Block = dict[str, Any]
Part = dict[str, Any]

# Blocks of an assistant's or a tool's message that are not content, and live elsewhere in it.
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

# The first characters of a file in base64 tell what it is, where the block does not.
_MAGIC = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("JVBERi0", "application/pdf"),
    ("T2dnUw", "audio/ogg"),
    ("ZkxhQ", "audio/flac"),
    ("SUQz", "audio/mpeg"),
    ("//vQ", "audio/mpeg"),
    ("GkXfo", "video/webm"),
)


def to_parts(content: Any, *, unknown: Literal["refuse", "json", "drop"] = "refuse") -> list[Part]:
    """Return the parts for a message's content.

    Of a tool's result, blocks nobody knows are sent as JSON text; of an assistant's message they
    are left out; elsewhere they raise `InvalidInputError`.
    """
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    parts: list[Part] = []
    for block in content or []:
        if isinstance(block, str):
            if block:
                parts.append({"type": "text", "text": block})
            continue
        if block.get("type") in _NOT_CONTENT:
            continue
        part = _to_part(block)
        if part is not None:
            parts.append(_keeping_cache_control(block, part))
        elif unknown == "json":
            parts.append({"type": "text", "text": json.dumps(block, default=str)})
        elif unknown == "refuse":
            raise InvalidInputError(
                f"Oxen's chat API has no content of type {block.get('type')!r}; it takes text, "
                "image, video, audio and PDF file blocks."
            )
    return parts


def text_of(content: Any) -> str:
    """Return the text in a message's content."""
    if isinstance(content, str):
        return content
    texts = (p if isinstance(p, str) else p.get("text") for p in content or [] if _is_text(p))
    return "".join(t for t in texts if isinstance(t, str))


def reasoning_of(content: Any) -> str:
    """Return the reasoning in a message's content blocks, of either dialect."""
    if isinstance(content, str):
        return ""
    return "".join(_reasoning(block) for block in content or [] if isinstance(block, dict))


def _is_text(block: Any) -> bool:
    return isinstance(block, str) or block.get("type") in ("text", "output_text", "refusal")


def _reasoning(block: Block) -> str:
    if block.get("type") == "thinking":
        return str(block.get("thinking") or "")
    if block.get("type") in ("reasoning", "reasoning_content"):
        said = block.get("reasoning") or block.get("reasoning_content") or block.get("summary")
        if isinstance(said, list):
            return "".join(str(s.get("text", "")) for s in said if isinstance(s, dict))
        if isinstance(said, dict):
            return str(said.get("text", ""))
        return str(said or "")
    return ""


def _keeping_cache_control(block: Block, part: Part) -> Part:
    extras = block.get("extras")
    mark = block.get("cache_control") or (
        extras.get("cache_control") if isinstance(extras, dict) else None
    )
    return {**part, "cache_control": mark} if mark else part


def _to_part(block: Block) -> Part | None:
    kind = block.get("type")
    if kind is None:
        kind = "text" if "text" in block else next(iter(block), None)
    convert = _BY_TYPE.get(str(kind))
    return convert(block) if convert else None


def _text(block: Block) -> Part:
    return {"type": "text", "text": str(block.get("text") or "")}


def _wire(kind: MediaKind) -> Callable[[Block], Part]:
    """OpenAI's own form, ``{"type": "image_url", "image_url": {"url": …} | "…"}``."""

    def convert(block: Block) -> Part:
        value = block.get(f"{kind}_url")
        if isinstance(value, dict):
            return media_part(kind, str(value.get("url") or ""), detail=value.get("detail"))
        return media_part(kind, str(value or ""), detail=block.get("detail"))

    return convert


def _standard(declared: MediaKind) -> Callable[[Block], Part]:
    """LangChain's standard blocks, v0 (`source_type`) and v1, and Anthropic's (`source`)."""

    def convert(block: Block) -> Part:
        if declared == "file" and isinstance(block.get("file"), dict):
            return _openai_file(block["file"])
        source = block.get("source")
        fields = {**block, **source} if isinstance(source, dict) else block
        kind = _kind(declared, fields)
        extras = fields.get("extras") if isinstance(fields.get("extras"), dict) else {}
        details = {**(fields.get("metadata") or {}), **(extras or {}), **fields}
        filename = details.get("filename") or details.get("title") or details.get("name")
        if fields.get("source_type") == "text" or (source and source.get("type") == "text"):
            return {"type": "text", "text": str(fields.get("text") or fields.get("data") or "")}
        if isinstance(source, dict) and source.get("type") == "content":
            return {"type": "text", "text": text_of(source.get("content"))}
        return media_part(
            kind,
            _location(kind, fields),
            filename=str(filename) if filename else None,
            detail=details.get("detail"),
        )

    return convert


def _kind(declared: MediaKind, fields: Block) -> MediaKind:
    """Return what a block holds: a file with an image's type is an image."""
    mime_type = str(fields.get("mime_type") or fields.get("media_type") or "")
    of_type: dict[str, MediaKind] = {"image": "image", "video": "video", "audio": "audio"}
    return of_type.get(mime_type.partition("/")[0], declared) if declared == "file" else declared


def _location(kind: MediaKind, fields: Block) -> str:
    if url := fields.get("url"):
        _check_kind(kind, fields.get("mime_type"))
        return str(url)
    data = fields.get("base64") or fields.get("data")
    if not data:
        if "file_id" in fields or fields.get("source_type") == "id":
            raise InvalidInputError(
                f"Oxen keeps no uploaded files: send the {kind} as a URL or in base64, not by id."
            )
        raise InvalidInputError(
            f"The {kind} block has neither a URL nor base64 data: {list(fields)}"
        )
    if isinstance(data, bytes):
        data = base64.b64encode(data).decode()
    if str(data).startswith("data:"):
        return str(data)
    mime_type = fields.get("mime_type") or fields.get("media_type") or _sniffed(str(data))
    if not mime_type:
        raise InvalidInputError(f"The {kind} block needs a mime_type beside its base64 data.")
    _check_kind(kind, mime_type)
    return f"data:{mime_type};base64,{data}"


def _check_kind(kind: MediaKind, mime_type: Any) -> None:
    if kind == "file" and mime_type and mime_type != "application/pdf":
        raise InvalidInputError(
            f"Oxen takes PDF documents only, not {mime_type}. Convert it, or send its text."
        )


def _sniffed(data: str) -> str | None:
    if data.startswith("UklGR"):  # RIFF: the kind comes eight bytes later
        return "image/webp" if "V0VCU" in data[:24] else "audio/wav"
    return next((mime for start, mime in _MAGIC if data.startswith(start)), None)


def _openai_file(file: Block) -> Part:
    filename = file.get("filename")
    if url := file.get("file_url"):
        return media_part("file", str(url), filename=filename)
    return media_part(
        "file", _location("file", {**file, "data": file.get("file_data")}), filename=filename
    )


def _openai_audio(block: Block) -> Part:
    audio = block.get("input_audio") or {}
    return media_part(
        "audio", f"data:audio/{audio.get('format', 'wav')};base64,{audio.get('data')}"
    )


def _google_media(block: Block) -> Part:
    return _standard("file")({**block, "url": block.get("file_uri") or block.get("url")})


def _plain_text(block: Block) -> Part:
    if isinstance(text := block.get("text"), str):
        return {"type": "text", "text": text}
    if data := block.get("base64"):
        return {"type": "text", "text": base64.b64decode(data).decode("utf-8", "replace")}
    raise InvalidInputError("Oxen reads no text files by URL: send the text itself.")


def _non_standard(block: Block) -> Part | None:
    value = block.get("value")
    return _to_part(value) if isinstance(value, dict) else None


def _responses_image(block: Block) -> Part:
    return media_part("image", str(block.get("image_url") or ""), detail=block.get("detail"))


_BY_TYPE: dict[str, Callable[[Block], Part | None]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "text-plain": _plain_text,
    "image_url": _wire("image"),
    "video_url": _wire("video"),
    "audio_url": _wire("audio"),
    "image": _standard("image"),
    "video": _standard("video"),
    "audio": _standard("audio"),
    "file": _standard("file"),
    "document": _standard("file"),
    "input_audio": _openai_audio,
    "input_image": _responses_image,
    "input_file": _openai_file,
    "media": _google_media,
    "non_standard": _non_standard,
}


def results_in(content: Any) -> Iterable[Block]:
    """Return Anthropic's ``tool_result`` blocks, which travel in a user's message there."""
    if isinstance(content, str):
        return []
    return [b for b in content or [] if isinstance(b, dict) and b.get("type") == "tool_result"]
