"""A simple tokenizer and the usage it bills: deterministic, plausible, and no model's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from oxen_sandbox.chat_families import Family

# Up to eight letters, three digits, one other sign, each with the space before it: every
# character belongs to exactly one token, so tokens join back into the text.
_TOKEN = re.compile(r"\s?[A-Za-z]{1,8}|\s?\d{1,3}|\s?[^\sA-Za-z\d]|\s+")

PER_CALL = 8
_PER_MESSAGE = 4
_PER_MEDIA = {"image_url": 765, "video_url": 2580, "audio_url": 320, "file": 1500}
_CACHE_BLOCK = 128
_CACHE_MINIMUM = 1024


def tokens(text: str) -> list[str]:
    """Cut text into its tokens, in order."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """Count the tokens of a text."""
    return len(_TOKEN.findall(text))


def message_tokens(message: Mapping[str, Any]) -> int:
    """Count what one message of the request costs, media at a flat rate."""
    total = _PER_MESSAGE
    content = message.get("content")
    if isinstance(content, str):
        total += count(content)
    elif content:
        for part in content:
            total += _PER_MEDIA.get(part["type"], 0) + count(part.get("text") or "")
    for call in message.get("tool_calls") or ():
        total += PER_CALL + count(call["function"]["arguments"])
    return total


def prompt_tokens(body: Mapping[str, Any]) -> list[int]:
    """Count the prompt, message by message; the tools ride on the first."""
    counts = [message_tokens(message) for message in body["messages"]]
    if body.get("tools"):
        counts[0] += count(json.dumps(body["tools"]))
    return counts


def usage(
    body: Mapping[str, Any], family: Family, prompt: Sequence[int], completion: int, reasoning: int
) -> dict[str, Any]:
    """Build the usage object in the family's wire shape; `completion` includes `reasoning`."""
    total = sum(prompt)
    counts: dict[str, Any] = {
        "prompt_tokens": total,
        "completion_tokens": completion,
        "total_tokens": total + completion,
    }
    messages = body["messages"]
    if family.flat_cache_usage:
        read, written = _marked_prefixes(messages, prompt)
        if written:
            counts["cache_read_input_tokens"] = read
            counts["cache_creation_input_tokens"] = written - read
    else:
        before_last = sum(prompt[:-1])
        cached = before_last // _CACHE_BLOCK * _CACHE_BLOCK if total >= _CACHE_MINIMUM else 0
        counts["prompt_tokens_details"] = {"cached_tokens": cached}
        if audio_parts := sum(_audio_parts(message) for message in messages):
            counts["prompt_tokens_details"]["audio_tokens"] = audio_parts * _PER_MEDIA["audio_url"]
    if reasoning or family.reasons == "always":
        counts["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return counts


def _marked_prefixes(
    messages: Sequence[Mapping[str, Any]], prompt: Sequence[int]
) -> tuple[int, int]:
    """Return the prefix lengths (read, marked): a `cache_control` mark that an assistant has
    already answered was written to the cache by that earlier request."""
    answered = max((i for i, m in enumerate(messages) if m["role"] == "assistant"), default=-1)
    read = marked = length = 0
    for index, (message, size) in enumerate(zip(messages, prompt, strict=True)):
        length += size
        content = message.get("content")
        if isinstance(content, list) and any(part.get("cache_control") for part in content):
            marked = length
            if index < answered:
                read = length
    return read, marked


def _audio_parts(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    return sum(part["type"] == "audio_url" for part in content) if isinstance(content, list) else 0
