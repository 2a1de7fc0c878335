"""Estimates of tokens, without the models' tokenizers, which are not public."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from oxen_inference.chat.files import MediaKind

# Chinese, Japanese and Korean: about one token for each character.
_IDEOGRAPHS = re.compile(
    "[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]"
)
# Other scripts than Latin: about two characters for each token.
_OTHER_SCRIPTS = re.compile("[\u0370-\u10ff\u1200-\u1dff\ua4d0-\uabff\U00010000-\U0001ffff]")

_KB, _MB = 1_000, 1_000_000
# By kind: tokens of files up to a size in bytes. Providers count pages and seconds, which a file
# shows only when it is read.
_MEDIA: dict[MediaKind, tuple[tuple[float, int], ...]] = {
    "image": ((100 * _KB, 800), (float("inf"), 1_600)),
    "audio": ((100 * _KB, 300), (_MB, 1_500), (5 * _MB, 8_000), (float("inf"), 25_000)),
    "video": ((_MB, 2_500), (5 * _MB, 10_000), (20 * _MB, 30_000), (float("inf"), 60_000)),
    "file": ((100 * _KB, 3_000), (_MB, 12_000), (5 * _MB, 25_000), (float("inf"), 50_000)),
}
# The parts of a request that are files, with the field of their data.
_PARTS: dict[str, tuple[MediaKind, str]] = {
    "image_url": ("image", "url"),
    "video_url": ("video", "url"),
    "audio_url": ("audio", "url"),
    "input_audio": ("audio", "data"),
    "file": ("file", "file_data"),
}
_LOW_DETAIL_IMAGE = 85
_UNKNOWN_SIZE = 500 * _KB


def text_tokens(text: str) -> int:
    """Return about how many tokens a text has: four Latin characters each."""
    if text.isascii():
        return -(-len(text) // 4)
    ideographs = len(_IDEOGRAPHS.findall(text))
    others = len(_OTHER_SCRIPTS.findall(text))
    return ideographs - (-(len(text) - ideographs + others) // 4)


def most_text_tokens(text: str) -> int:
    """Return how many tokens a text may have: rather too many, for what is held or charged unseen."""
    return max(text_tokens(text), -(-len(text) // 3))


def media_tokens(kind: MediaKind, size: int | None = None, *, detail: str | None = None) -> int:
    """Return about how many tokens a file has. `size`: bytes, or None for one that has a URL."""
    if kind == "image" and detail == "low":
        return _LOW_DETAIL_IMAGE
    size = _UNKNOWN_SIZE if size is None else size
    return next(tokens for limit, tokens in _MEDIA[kind] if size <= limit)


def prompt_tokens(body: Mapping[str, Any], count: Callable[[str], int] = text_tokens) -> int:
    """Return about how many tokens the prompt of a request has: messages with their tool calls,
    files by kind and size, and the schemas of its tools. `count` counts those of a text.
    """
    texts: list[str] = []
    total = 0
    for message in body.get("messages") or ():
        if isinstance(message, Mapping):
            total += sum(_media_of(message, texts))
    schemas = (body[name] for name in ("tools", "response_format") if body.get(name))
    texts.extend(json.dumps(schema, default=str) for schema in schemas)
    return total + count("".join(texts))


def _media_of(message: Mapping[str, Any], texts: list[str]) -> Iterator[int]:
    """Yield the tokens of each file of a message, and put its texts into `texts`."""
    content = message.get("content")
    if isinstance(content, str):
        texts.append(content)
    if message.get("tool_calls"):
        texts.append(json.dumps(message["tool_calls"], default=str))
    for part in content if isinstance(content, list) else ():
        kind, name = _PARTS.get(str(part.get("type")), (None, ""))
        inner = part.get(part["type"]) if kind else None
        if kind is None or not isinstance(inner, Mapping):
            texts.append(str(part.get("text") or json.dumps(part, default=str)))
            continue
        data = inner.get(name)
        is_url = not isinstance(data, str) or data.startswith(("http:", "https:"))
        size = None if is_url else len(str(data)) * 3 // 4
        yield media_tokens(kind, size, detail=inner.get("detail"))
