"""A completion as the hub streams it: role, reasoning, words, tool calls in fragments, finish, usage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from oxen_sandbox.chat_tokens import tokens

_FRAGMENT = 12


def chunks(
    completion: Mapping[str, Any], *, include_usage: bool, reasoning_field: str | None
) -> Iterator[dict[str, Any]]:
    """Yield the chat.completion.chunk dictionaries of a completion."""
    choice = completion["choices"][0]
    message = choice["message"]
    head = {
        "id": completion["id"],
        "object": "chat.completion.chunk",
        "created": completion["created"],
        "model": completion["model"],
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    thoughts = message.get(reasoning_field) if reasoning_field else None
    yield chunk({"role": "assistant", "content": None if thoughts else ""})
    if reasoning_field and thoughts:
        for piece in tokens(thoughts):
            yield chunk({"content": None, reasoning_field: piece})
    for piece in tokens(message["content"] or ""):
        yield chunk({"content": piece})
    for call in message.get("tool_calls") or ():
        function = call["function"]
        named = {"name": function["name"], "arguments": ""}
        yield chunk({"tool_calls": [{**call, "function": named}]})
        arguments = function["arguments"]
        for start in range(0, len(arguments), _FRAGMENT):
            part = {"arguments": arguments[start : start + _FRAGMENT]}
            yield chunk({"tool_calls": [{"index": call["index"], "function": part}]})
    yield chunk({}, choice["finish_reason"])
    if include_usage:
        yield {**head, "choices": [], "usage": completion["usage"]}
