"""LlamaIndex's content blocks as the parts Oxen documents."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from oxen_inference.chat.messages import Part, media_part
from oxen_inference.errors import InvalidInputError

# The endings of audio files whose MIME type is called otherwise.
_AUDIO_MIME = {"mp3": "mpeg", "m4a": "mp4", "mpga": "mpeg"}
_PDF = b"%PDF"
_UNNAMED = "input_document"  # what core calls a document that was given no title


def to_parts(blocks: Iterable[Any]) -> list[Part]:
    """Return the parts for a message's blocks; thinking and tool calls live elsewhere in it.

    Files and buffers are read and sent inline, URLs are left to the provider. Raises
    `InvalidInputError` for an empty or unreadable one.
    """
    parts: list[Part] = []
    for block in blocks:
        if isinstance(block, CachePoint):
            _mark(parts, block)
        else:
            parts += _parts(block)
    return parts


def _parts(block: Any) -> list[Part]:
    if isinstance(block, TextBlock):
        return [{"type": "text", "text": block.text}]
    if isinstance(block, ImageBlock):
        return [media_part("image", _image(block), detail=block.detail)]
    if isinstance(block, AudioBlock):
        return [media_part("audio", _audio(block))]
    if isinstance(block, VideoBlock):
        return [media_part("video", _video(block), detail=block.detail)]
    if isinstance(block, DocumentBlock):
        return [_document(block)]
    if isinstance(block, CitableBlock):
        source = {"type": "text", "text": f"Source: {block.title} ({block.source})"}
        return [source, *to_parts(block.content)]
    if isinstance(block, CitationBlock):
        return _citation(block)
    if isinstance(block, ThinkingBlock | ToolCallBlock):
        return []
    raise InvalidInputError(
        f"Oxen's chat API has no content like a {type(block).__name__}; it takes text, images, "
        "video, audio and PDF documents."
    )


def _mark(parts: list[Part], point: CachePoint) -> None:
    """Put a cache mark on the part before it, which is where providers look for one."""
    if parts:
        control = {"type": point.cache_control.type}
        if point.cache_control.ttl != "5m":  # what every provider takes when nothing is said
            control["ttl"] = point.cache_control.ttl
        parts[-1] = {**parts[-1], "cache_control": control}


def _citation(block: CitationBlock) -> list[Part]:
    cited = block.cited_content
    if not isinstance(cited, TextBlock):
        return to_parts([cited])
    return [{"type": "text", "text": f"“{cited.text}” ({block.title}, {block.source})"}]


def _image(block: ImageBlock) -> str:
    if block.url is not None:
        return str(block.url)
    data = _bytes(block, "image")
    mime = block.image_mimetype or ImageBlock(image=data).image_mimetype
    return _data_url(mime or "image/png", data)


def _audio(block: AudioBlock) -> str:
    if block.url is not None:
        return str(block.url)
    data = _bytes(block, "audio")
    ending = (block.format or AudioBlock(audio=data).format or "wav").lower().lstrip(".")
    mime = ending if "/" in ending else f"audio/{_AUDIO_MIME.get(ending, ending)}"
    return _data_url(mime, data)


def _video(block: VideoBlock) -> str:
    if block.url is not None:
        return str(block.url)
    data = _bytes(block, "video")
    mime = block.video_mimetype or VideoBlock(video=data).video_mimetype
    return _data_url(mime or "video/mp4", data)


def _document(block: DocumentBlock) -> Part:
    """Return a PDF as a file, and anything else that is text as text."""
    title = block.title
    if block.path and title == _UNNAMED:
        title = Path(block.path).name
    if block.url:
        return media_part("file", str(block.url), filename=title)
    data = _bytes(block, "document")
    mime = block.document_mimetype
    if mime == "application/pdf" or data[:1024].lstrip().startswith(_PDF):
        return media_part("file", _data_url("application/pdf", data), filename=title)
    if mime is None or mime.startswith("text/") or mime == "application/json":
        try:
            return {"type": "text", "text": f"{title}:\n\n{data.decode()}"}
        except UnicodeDecodeError:
            mime = "an unknown type"
    raise InvalidInputError(
        f"Oxen takes PDF documents only, not {mime}. Convert it, or send its text."
    )


def _bytes(block: Any, kind: str) -> bytes:
    held = block.data if kind == "document" else getattr(block, kind)
    try:
        if isinstance(held, bytes):
            data = base64.b64decode(held)  # the blocks keep bytes in base64
        elif held is not None:
            data = _whole(held)
        else:
            data = getattr(block, f"resolve_{kind}")().read()
    except (OSError, ValueError) as error:
        where = f" {block.path}" if block.path else ""
        raise InvalidInputError(f"The {kind}{where} cannot be read: {error}.") from error
    if not data:
        raise InvalidInputError(f"The {kind} is empty.")
    return bytes(data)


def _whole(buffer: Any) -> bytes:
    """Read a buffer from its start, and leave it where it was: the caller may send it again."""
    place = buffer.tell()
    buffer.seek(0)
    data: bytes = buffer.read()
    buffer.seek(place)
    return data


def _data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
