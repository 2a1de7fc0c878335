"""LangChain's messages as the dicts that go over the wire. Nothing given is changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_oxen.content_out import reasoning_of, results_in, text_of, to_parts
from oxen_inference.chat import reasoning
from oxen_inference.chat.tool_calls import sendable_arguments
from oxen_inference.errors import InvalidInputError

Wire = dict[str, Any]


def to_wire(messages: Sequence[BaseMessage]) -> list[Wire]:
    """Return the messages for `oxen_inference.chat.messages.prepare_messages`."""
    answered: set[Any] = {m.tool_call_id for m in messages if isinstance(m, ToolMessage)}
    answered |= {b.get("tool_use_id") for m in messages for b in results_in(m.content)}
    wire: list[Wire] = []
    for message in messages:
        wire += _convert(message, answered)
    return wire


def _convert(message: BaseMessage, answered: set[Any]) -> list[Wire]:
    if isinstance(message, HumanMessage):
        return _user(message, "user")
    if isinstance(message, AIMessage):
        return [_assistant(message, answered)]
    if isinstance(message, ToolMessage):
        return [_result(message.tool_call_id, message.content)]
    if isinstance(message, SystemMessage):
        return [_named(message, {"role": "system", "content": _system_text(message.content)})]
    if isinstance(message, FunctionMessage):
        content = to_parts(message.content, unknown="json")
        return [{"role": "function", "name": message.name, "content": content}]
    if isinstance(message, ChatMessage):
        if message.role in ("system", "developer"):
            return [_named(message, {"role": "system", "content": _system_text(message.content)})]
        return _user(message, message.role)
    raise InvalidInputError(
        f"A {type(message).__name__} cannot be sent to a chat model; remove it from the messages."
    )


def _user(message: BaseMessage, role: str) -> list[Wire]:
    if isinstance(message.content, str):
        return [_named(message, {"role": role, "content": message.content})]
    results = list(results_in(message.content))
    rest = [b for b in message.content if b not in results] if results else message.content
    wire = [_result(str(b.get("tool_use_id")), b.get("content")) for b in results]
    if rest or not results:
        wire.append(_named(message, {"role": role, "content": to_parts(rest)}))
    return wire


def _assistant(message: AIMessage, answered: set[Any]) -> Wire:
    content: Any = message.content
    if not isinstance(content, str):
        parts = to_parts(content, unknown="drop")
        if any("cache_control" in part for part in parts):
            content = [part for part in parts if part["type"] == "text"]
        else:
            content = text_of(content)
    more = message.additional_kwargs
    wire: Wire = _named(message, {"role": "assistant", "content": content or more.get("refusal")})
    calls = _calls(message, answered)
    if calls:
        wire["tool_calls"] = calls
    elif not wire["content"]:
        wire["content"] = ""
    if thoughts := reasoning_of(message.content) or more.get("reasoning_content"):
        wire["reasoning_content"] = thoughts
    for field in reasoning.FIELDS:
        if details := more.get(field):
            wire[field] = details
    return wire


def _calls(message: AIMessage, answered: set[Any]) -> list[Wire]:
    extras = message.additional_kwargs.get("tool_call_extras") or {}
    known = {call["id"] for call in message.tool_calls}
    found: list[tuple[Any, Any, str]] = [
        (call["id"], call["name"], _as_json(call["args"])) for call in message.tool_calls
    ]
    for block in message.content if isinstance(message.content, list) else []:
        is_call = isinstance(block, dict) and block.get("type") in ("tool_use", "tool_call")
        if isinstance(block, dict) and is_call and block.get("id") not in known:
            arguments = block.get("input", block.get("args")) or {}
            found.append((block.get("id"), block.get("name"), _as_json(arguments)))
    found += [
        (invalid["id"], invalid["name"], sendable_arguments(invalid["args"]))
        for invalid in message.invalid_tool_calls
        # Without a result, a call makes every provider refuse the conversation.
        if invalid["id"] in answered
    ]
    return [_call(call_id, name, text, extras.get(call_id)) for call_id, name, text in found]


def _as_json(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, default=str)


def _call(call_id: Any, name: Any, arguments: str, extra: Any) -> Wire:
    call: Wire = {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
    return {**call, "extra_content": extra} if extra else call


def _result(call_id: str, content: Any) -> Wire:
    parts: Any = content
    if not isinstance(content, str):
        parts = to_parts(content, unknown="json")
    return {"role": "tool", "tool_call_id": call_id, "content": parts}


def _system_text(content: Any) -> Any:
    return content if isinstance(content, str) else to_parts(content)


def _named(message: BaseMessage, wire: Wire) -> Wire:
    name = message.name or message.additional_kwargs.get("name")
    return {**wire, "name": name} if name else wire
