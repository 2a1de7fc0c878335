"""How the upstreams behind the chat route differ, as rows of data: to change a family, change its row.

The rows follow what is publicly reported of each upstream; none was checked against the hub.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

Reasons = Literal["never", "asked", "always"]


@dataclass(frozen=True)
class Family:
    """One upstream's habits; a new difference is a new field with the common case as its default."""

    name: str
    matches: str
    """Regular expression, matched at the start of the model id."""
    context: int = 128_000
    overflow: str = (
        "This model's maximum context length is {limit} tokens. However, your messages resulted in"
        " {tokens} tokens. Please reduce the length of the messages."
    )
    reasons: Reasons = "never"
    reasoning_field: str | None = "reasoning_content"
    """Where reasoning text travels; None where only its token count is reported."""
    reasoning_missing: str | None = None
    """The refusal of a tool-call turn sent back without its reasoning; None where that is fine."""
    call_prefix: str = "call_"
    talks_before_tools: bool = False
    flat_cache_usage: bool = False
    system_parts: bool = True
    empty_text: bool = True
    media_in_tool_results: bool = False
    json_schema: bool = True
    wants_json: bool = False
    """Whether json_object wants the word JSON somewhere in the messages."""
    strict_schemas: bool = False
    """Whether `strict` schemas are checked for closed, fully required objects."""
    temperature: bool = True
    temperature_with_top_p: bool = True
    forces_tools_while_thinking: bool = True
    penalties: str | None = None
    """The refusal of frequency_penalty and presence_penalty; None where they are accepted."""
    takes_parallel_tool_calls: bool = True
    max_tokens: bool = True
    """Whether max_tokens is taken; else only max_completion_tokens is."""
    call_ids: str = r".+"
    """Regular expression for the ids of tool calls."""
    types_by_bytes: bool = False
    """Whether an image is refused under another type than its bytes show."""
    audio_formats: frozenset[str] = frozenset()
    """The only audio subtypes accepted; empty for no restriction."""


_OPENAI = Family(
    "openai", r"gpt-|chatgpt", wants_json=True, strict_schemas=True, call_ids=r".{1,40}"
)
_GOOGLE = Family(
    "google",
    r"gemini",
    context=1_048_576,
    overflow="The input token count ({tokens}) exceeds the maximum number of tokens allowed ({limit}).",
    reasons="asked",
    penalties="Penalty is not enabled for {model}",
)

# First match wins, so the particular stands before the general.
FAMILIES: tuple[Family, ...] = (
    Family(
        "anthropic",
        r"claude",
        context=200_000,
        overflow="prompt is too long: {tokens} tokens > {limit} maximum",
        reasons="asked",
        call_prefix="toolu_",
        talks_before_tools=True,
        flat_cache_usage=True,
        system_parts=False,
        empty_text=False,
        media_in_tool_results=True,
        temperature_with_top_p=False,
        forces_tools_while_thinking=False,
        call_ids=r"[a-zA-Z0-9_-]+",
        types_by_bytes=True,
        penalties="{parameter}: Extra inputs are not permitted",
    ),
    Family("gpt-oss", r"(openai-)?gpt-oss", reasons="always", reasoning_field="reasoning"),
    replace(
        _OPENAI,
        name="openai-audio",
        matches=r"gpt-audio",
        audio_formats=frozenset({"wav", "mp3", "mpeg", "x-wav"}),
    ),
    replace(
        _OPENAI,
        name="openai-5",
        matches=r"gpt-5(?!.*chat)",
        context=400_000,
        reasons="always",
        reasoning_field=None,
    ),
    replace(_OPENAI, name="openai-4.1", matches=r"gpt-4-1", context=1_047_576),
    replace(
        _OPENAI,
        name="openai-o",
        matches=r"o\d(-|$)",
        context=200_000,
        reasons="always",
        reasoning_field=None,
        temperature=False,
        takes_parallel_tool_calls=False,
        max_tokens=False,
    ),
    _OPENAI,
    _GOOGLE,
    replace(
        _GOOGLE,
        name="google-open",
        matches=r"gemma",
        context=256_000,
        reasons="never",
        penalties=None,
    ),
    Family(
        "deepseek",
        r"deepseek",
        context=1_048_576,
        reasons="always",
        # https://api-docs.deepseek.com/guides/thinking_mode#tool-calls
        reasoning_missing="Missing `reasoning_content` field in the assistant message at message index {index}.",
        json_schema=False,
        wants_json=True,
    ),
    Family("mistral-old", r"open-mi[sx]tral", context=32_768, json_schema=False),
    Family(
        "mistral",
        r"(mistral|ministral|pixtral)",
        overflow="Prompt contains {tokens} tokens, too large for model with {limit} maximum context length",
        call_ids=r"[a-zA-Z0-9]{9}",
    ),
    Family("qwen-max", r"qwen.*max", context=1_000_000, reasons="always", wants_json=True),
    Family("qwen", r"qwen", context=256_000, reasons="asked", wants_json=True),
    Family(
        "moonshot",
        r"(kimi|moonshot)",
        context=256_000,
        reasons="always",
        reasoning_missing="thinking is enabled but reasoning_content is missing in assistant tool call message at index {index}",
    ),
    Family("zai", r"(glm|zai)", context=200_000, reasons="always"),
    Family(
        "perplexity-reasoning",
        r"sonar-(reasoning|deep)",
        reasons="always",
        reasoning_field="reasoning",
    ),
    Family("perplexity", r"sonar"),
    Family(
        "nvidia",
        r"(nvidia|nemotron)",
        context=1_000_000,
        reasons="asked",
        reasoning_field="reasoning",
    ),
)
DEFAULT = Family("generic", "")

_DEVELOPERS = {
    "anthropic": "claude",
    "google": "gemini",
    "openai": "gpt-4o",
    "deepseek": "deepseek",
    "mistral": "mistral",
}


def family_of(model: Mapping[str, Any]) -> Family:
    """Return the row for a catalog entry, by its id, else its developer; the entry's own context length wins."""
    developer = model.get("developer")
    name = developer.get("name") if isinstance(developer, Mapping) else developer
    family = _family(str(model.get("id", "")).lower(), str(name or "").lower())
    limit = model.get("context_length")
    return (
        replace(family, context=limit)
        if isinstance(limit, int) and limit != family.context
        else family
    )


@lru_cache(maxsize=256)
def _family(model_id: str, developer: str) -> Family:
    for candidate in (model_id, _DEVELOPERS.get(developer.partition(" ")[0], "")):
        for family in FAMILIES:
            if candidate and re.match(family.matches, candidate):
                return family
    return DEFAULT
