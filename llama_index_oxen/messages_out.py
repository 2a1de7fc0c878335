"""LlamaIndex's messages as the dicts that go over the wire. Nothing given is changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    ThinkingBlock,
    ToolCallBlock,
)

from llama_index_oxen.blocks_out import to_parts
from oxen_inference.chat import reasoning
from oxen_inference.chat.tool_calls import sendable_arguments

Wire = dict[str, Any]

_ASSISTANT = (MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL)
_SYSTEM = (MessageRole.SYSTEM, MessageRole.DEVELOPER)


def to_wire(messages: Sequence[ChatMessage]) -> list[Wire]:
    """Return the messages for `oxen_inference.chat.messages.prepare_messages`."""
    return [_convert(message) for message in messages]


def _convert(message: ChatMessage) -> Wire:
    more = message.additional_kwargs
    if message.role in _ASSISTANT:
        return _named(message, _assistant(message))
    if message.role == MessageRole.TOOL:
        call_id = more.get("tool_call_id") or more.get("id") or ""
        return {"role": "tool", "tool_call_id": call_id, "content": _content(message)}
    if message.role == MessageRole.FUNCTION:
        return {"role": "function", "name": more.get("name"), "content": message.content or ""}
    role = "system" if message.role in _SYSTEM else "user"
    return _named(message, {"role": role, "content": _content(message)})


def _content(message: ChatMessage) -> str | list[Wire]:
    parts = to_parts(message.blocks)
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return str(parts[0]["text"])
    return parts or ""


def _assistant(message: ChatMessage) -> Wire:
    # Models take no pictures of their own back, so they need not be read.
    told = [block for block in message.blocks if not isinstance(block, ImageBlock)]
    parts = [part for part in to_parts(told) if part["type"] == "text"]
    marked = any("cache_control" in part for part in parts)
    content: Any = parts if marked else "\n".join(part["text"] for part in parts)
    wire: Wire = {
        "role": "assistant",
        "content": content or message.additional_kwargs.get("refusal"),
    }
    if calls := _calls(message):
        wire["tool_calls"] = calls
    elif not wire["content"]:
        wire["content"] = ""
    thoughts = [block for block in message.blocks if isinstance(block, ThinkingBlock)]
    if text := "".join(block.content or "" for block in thoughts):
        wire["reasoning_content"] = text
    for field in reasoning.FIELDS:
        given = (block.additional_information.get(field) or [] for block in thoughts)
        if details := [detail for each in given for detail in each]:
            wire[field] = details
    return wire


def _calls(message: ChatMessage) -> list[Wire]:
    """Return the calls in the blocks, completed by those that only `additional_kwargs` has."""
    beside = [_plain(call) for call in message.additional_kwargs.get("tool_calls") or []]
    extras = {call.get("id"): call.get("extra_content") for call in beside}
    found = [
        _call(block.tool_call_id, block.tool_name, block.tool_kwargs)
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]
    known = {call["id"] for call in found}
    for call in beside:
        function = call.get("function") or {}
        if call.get("id") not in known:
            found.append(
                _call(call.get("id"), function.get("name"), function.get("arguments") or "{}")
            )
    return [
        {**call, "extra_content": extras[call["id"]]} if extras.get(call["id"]) else call
        for call in found
    ]


def _plain(call: Any) -> dict[str, Any]:
    """Return a call as a dict: other integrations keep the SDK's objects in a history."""
    return dict(call) if isinstance(call, dict) else dict(call.model_dump())


def _call(call_id: Any, name: Any, arguments: Any) -> Wire:
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, default=str)
    function = {"name": name, "arguments": sendable_arguments(arguments)}
    return {"id": call_id or "", "type": "function", "function": function}


def _named(message: ChatMessage, wire: Wire) -> Wire:
    name = message.additional_kwargs.get("name")
    return {**wire, "name": name} if name else wire
