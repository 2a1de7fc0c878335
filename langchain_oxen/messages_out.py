"""LangChain's messages, with content blocks of every form, as the dicts that Oxen takes.

The messages that are given are never changed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_oxen.content_blocks import Block, said, to_parts
from oxen_inference.chat import reasoning
from oxen_inference.chat.files import PATH_HINT, mime_type_of
from oxen_inference.chat.messages import json_text
from oxen_inference.chat.tool_calls import sendable_arguments, wire_tool_call
from oxen_inference.errors import InvalidInputError

WireMessage = dict[str, Any]

_ROLES: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "human": HumanMessage,
    "assistant": AIMessage,
    "ai": AIMessage,
    "model": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}
"""Role of a `ChatMessage` → the message that it is."""


def to_wire(
    messages: Sequence[BaseMessage], *, inputs_from: str | Path | None = None
) -> list[WireMessage]:
    """Return the messages for `oxen_inference.chat.messages.prepare_messages`.

    `inputs_from`: folder whose files blocks may name as ``path``. Raises `InvalidInputError` for a message or a content block that Oxen has no form for.
    """
    answered: set[Any] = {m.tool_call_id for m in messages if isinstance(m, ToolMessage)}
    answered |= {b.get("tool_use_id") for m in messages for b in _tool_results(m.content)}
    wire: list[WireMessage] = []
    for message in messages:
        wire += _convert(_with_files(message, inputs_from), answered)
    return wire


def _convert(message: BaseMessage, answered: set[Any]) -> list[WireMessage]:
    if isinstance(message, HumanMessage):
        return _user(message)
    if isinstance(message, AIMessage):
        return [_assistant(message, answered)]
    if isinstance(message, ToolMessage):
        return [_tool_result(message.tool_call_id, message.content)]
    if isinstance(message, SystemMessage):
        return [_system(message)]
    if isinstance(message, FunctionMessage):
        content = to_parts(message.content, unknown="json")
        return [{"role": "function", "name": message.name, "content": content}]
    if isinstance(message, ChatMessage):
        return _convert(_of_role(message), answered)
    raise InvalidInputError(
        f"A {type(message).__name__} cannot be sent to a chat model; remove it from the messages."
    )


def _of_role(message: ChatMessage) -> BaseMessage:
    kind = _ROLES.get(message.role.lower())
    if kind is None:
        raise InvalidInputError(
            f"A message cannot have the role {message.role!r}.",
            hint=f"Use one of {', '.join(_ROLES)}, or a ToolMessage for a tool's result.",
        )
    fields = {name: value for name, value in message if name not in ("type", "role")}
    return kind(**fields)


def _system(message: BaseMessage) -> WireMessage:
    content: Any = message.content
    if not isinstance(content, str):
        content = to_parts(content)
    return _with_name(message, {"role": "system", "content": content})


def _user(message: BaseMessage) -> list[WireMessage]:
    if isinstance(message.content, str):
        return [_with_name(message, {"role": "user", "content": message.content})]
    results = list(_tool_results(message.content))
    rest = [b for b in message.content if b not in results] if results else message.content
    wire = [_tool_result(str(b.get("tool_use_id")), b.get("content")) for b in results]
    if rest or not results:
        wire.append(_with_name(message, {"role": "user", "content": to_parts(rest)}))
    return wire


def _assistant(message: AIMessage, answered: set[Any]) -> WireMessage:
    content = message.content if isinstance(message.content, str) else said(message.content)
    kwargs = message.additional_kwargs
    wire: WireMessage = {"role": "assistant", "content": content or kwargs.get("refusal")}
    if calls := _tool_calls(message, answered):
        wire["tool_calls"] = calls
    elif call := kwargs.get("function_call"):
        wire["function_call"] = call
    elif not wire["content"]:
        wire["content"] = ""
    blocks = [block for block in message.content if isinstance(block, dict)]
    if text := "".join(map(_reasoning, blocks)) or kwargs.get("reasoning_content"):
        wire["reasoning_content"] = text
    for field in reasoning.FIELDS:
        if details := kwargs.get(field):
            wire[field] = details
    if not any(field in wire for field in reasoning.FIELDS):
        signed = [block for each in blocks if (block := _signed_thinking(each))]
        if signed:
            wire[reasoning.SIGNED] = signed
    return _with_name(message, wire)


def _reasoning(block: Block) -> str:
    if block.get("type") == "thinking":  # Anthropic's
        return str(block.get("thinking") or "")
    if block.get("type") in ("reasoning", "reasoning_content"):
        value = block.get("reasoning") or block.get("reasoning_content") or block.get("summary")
        if isinstance(value, list):
            return "".join(str(s.get("text", "")) for s in value if isinstance(s, dict))
        if isinstance(value, dict):
            return str(value.get("text", ""))
        return str(value or "")
    return ""


def _signed_thinking(block: Block) -> Block | None:
    """Return a block as Anthropic's, if its signature or its encrypted data is there."""
    if block.get("type") == "non_standard" and isinstance(block.get("value"), dict):
        block = block["value"]
    if block.get("type") not in ("thinking", "redacted_thinking", "reasoning", "reasoning_content"):
        return None
    inner, extras = block.get("reasoning_content"), block.get("extras")
    fields = {**block}
    for more in (extras, inner):
        if isinstance(more, dict):
            fields.update(more)
    return reasoning.signed_block(
        _reasoning(block), fields.get("signature"), redacted=fields.get("data")
    )


def _tool_calls(message: AIMessage, answered: set[Any]) -> list[WireMessage]:
    extras = message.additional_kwargs.get("tool_call_extras") or {}
    listed_ids = {call["id"] for call in message.tool_calls}
    calls: list[tuple[Any, Any, str]] = [
        (call["id"], call["name"], _as_json(call["args"])) for call in message.tool_calls
    ]
    for block in message.content if isinstance(message.content, list) else []:
        is_call = isinstance(block, dict) and block.get("type") in ("tool_use", "tool_call")
        if isinstance(block, dict) and is_call and block.get("id") not in listed_ids:
            arguments = block.get("input") or block.get("args") or block.get("partial_json") or {}
            calls.append((block.get("id"), block.get("name"), _as_json(arguments)))
    calls += [
        (invalid["id"], invalid["name"], sendable_arguments(invalid["args"]))
        for invalid in message.invalid_tool_calls
        # A call without a result makes every provider refuse the conversation.
        if invalid["id"] in answered
    ]
    return [
        wire_tool_call(call_id, name, arguments, extras.get(call_id))
        for call_id, name, arguments in calls
    ]


def _as_json(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json_text(arguments)


def _tool_result(call_id: str, content: Any) -> WireMessage:
    parts: Any = content
    if not isinstance(content, str):
        parts = to_parts(content, unknown="json")
    return {"role": "tool", "tool_call_id": call_id, "content": parts}


def _tool_results(content: Any) -> Iterable[Block]:
    """Return Anthropic's ``tool_result`` blocks, which that API has in user messages."""
    if isinstance(content, str):
        return []
    return [b for b in content or [] if isinstance(b, dict) and b.get("type") == "tool_result"]


def _with_name(message: BaseMessage, wire: WireMessage) -> WireMessage:
    name = message.name or message.additional_kwargs.get("name")
    return {**wire, "name": name} if name else wire


# Files


def readable_by_core(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return the messages with blocks on which LangChain's own conversion fails in another form.

    It comes before a model sees them, and what it tells tracers needs a type for every image.
    Raises `InvalidInputError` for a block whose type is no text.
    """
    return [_readable_by_core(message) for message in messages]


def _readable_by_core(message: BaseMessage) -> BaseMessage:
    if isinstance(message.content, str):
        return message
    content: list[Any] = [
        _readable_block(block) if isinstance(block, dict) else block for block in message.content
    ]
    return (
        message if content == message.content else message.model_copy(update={"content": content})
    )


_V0_DATA = {"url": "url", "base64": "data", "id": "id"}
"""Source types of LangChain's first standard blocks → where their data is."""


def _readable_block(block: Block) -> Block:
    kind, source_type = block.get("type"), block.get("source_type")
    if not isinstance(kind, str | None):
        raise InvalidInputError(f"The type of a content block is a string, not {kind!r}.")
    if kind == "image" and not block.get("mime_type"):
        data = block.get("base64", block.get("data"))
        return {**block, "mime_type": _image_type(data)} if data else _without_source_type(block)
    if kind == "file" and source_type == "text":
        text = block.get("text") or block.get("data") or block.get("url") or ""
        rest = {k: v for k, v in block.items() if k not in ("source_type", "data", "url")}
        return {"mime_type": "text/plain", **rest, "type": "text-plain", "text": str(text)}
    return _without_source_type(block)


def _without_source_type(block: Block) -> Block:
    """Return the block, without its source type if it has no such data: the request says why not."""
    key = _V0_DATA.get(str(block.get("source_type")))
    if key is None or key in block:
        return block
    return {name: value for name, value in block.items() if name != "source_type"}


def _image_type(data: Any) -> str:
    try:
        head = data[:64] if isinstance(data, bytes) else base64.b64decode(str(data)[:64])
    except ValueError:
        head = b""
    return mime_type_of(head, "image") or "image/png"


_NO_FOLDER = "Name the folder that files may be read from: ChatOxen(inputs_from=...). {}"


def _with_files(message: BaseMessage, folder: str | Path | None) -> BaseMessage:
    """Return the message with the files that its blocks name, as bytes."""
    if isinstance(message.content, str):
        return message
    blocks: list[Any] = list(message.content)
    for position, block in enumerate(blocks):
        kind = block.get("type") if isinstance(block, dict) else None
        if kind in _FILE_BLOCKS and (path := _path_in(block)) is not None:
            rest = {k: v for k, v in block.items() if k not in ("path", "url", "source_type")}
            data = _read_file(path, folder)
            blocks[position] = {"filename": Path(path).name, **rest, "base64": data}
    if blocks == message.content:
        return message
    return message.model_copy(update={"content": blocks})


_FILE_BLOCKS = ("image", "video", "audio", "file", "document")


def _path_in(block: Block) -> str | None:
    """Return the local path that a block names, as ``path`` or as a file's URL."""
    if path := block.get("path"):
        return str(path)
    url = block.get("url")
    return (
        unquote(url[len("file://") :])
        if isinstance(url, str) and url.startswith("file://")
        else None
    )


def _read_file(name: str, folder: str | Path | None) -> str:
    from oxen_inference.tools.inputs import allowed_file

    if folder is None:
        raise InvalidInputError(
            f"The file {name!r} is not read.", hint=_NO_FOLDER.format(PATH_HINT)
        )
    file = allowed_file(name, folder)
    if file is None:
        raise InvalidInputError(f"There is no file {name!r} in {str(folder)!r}.", hint=PATH_HINT)
    return base64.b64encode(file.read_bytes()).decode()
