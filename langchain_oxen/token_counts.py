"""Estimates of the tokens in LangChain's messages: text by its script, files by kind and size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from langchain_oxen.schemas import ToolLike, to_tools
from oxen_inference.chat.files import MediaKind
from oxen_inference.chat.messages import json_text
from oxen_inference.chat.token_counts import media_tokens

Count = Callable[[str], int]

_PER_MESSAGE = 3
_KINDS: dict[str, MediaKind] = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "video": "video",
    "video_url": "video",
    "audio": "audio",
    "audio_url": "audio",
    "input_audio": "audio",
    "file": "file",
    "document": "file",
    "input_file": "file",
    "media": "file",
}
_OF_TYPE: dict[str, MediaKind] = {"image": "image", "video": "video", "audio": "audio"}
# Where blocks of all forms keep a file, or the object that has it.
_DATA = ("base64", "data", "file_data", "url", "image_url", "video_url", "audio_url")
_NESTED = ("source", "file", "input_audio", "image_url", "video_url", "audio_url")
# Where other blocks, such as the result of a tool, have blocks of their own.
_CONTAINERS = ("content", "value", "output", "source")
_CALLS = ("tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call")


def count_messages(messages: Iterable[BaseMessage], tools: Iterable[ToolLike], count: Count) -> int:
    """Return about how many tokens these take. `count` counts those of a text."""
    schemas = to_tools(tools)
    total = count(json_text(schemas)) if schemas else 0
    return total + sum(_count_message(message, count) for message in messages)


def _count_message(message: BaseMessage, count: Count) -> int:
    texts: list[str] = [message.type, message.name or ""]
    files: list[int] = []
    calls: list[Any] = []
    if isinstance(message, AIMessage):
        calls = [*message.tool_calls, *message.invalid_tool_calls]
    call_ids = [call["id"] for call in calls if call["id"] is not None]
    for block in [message.content] if isinstance(message.content, str) else message.content:
        # The content may lack the arguments of a call, so those of `calls` count.
        if not _is_call(block, call_ids):
            texts += _texts_of(block, files)
    if calls:
        texts.append(json_text(calls))
    if isinstance(message, ToolMessage):
        texts.append(message.tool_call_id)
    return _PER_MESSAGE + sum(files) + count("".join(texts))


def _is_call(block: object, ids: list[str]) -> bool:
    """Whether a content block is one of the calls with these ids."""
    if not isinstance(block, dict) or block.get("type") not in _CALLS:
        return False
    return (block.get("call_id") or block.get("id")) in ids


def _texts_of(block: object, files: list[int]) -> Iterator[str]:
    """Yield the texts of a content block, and add the tokens of each file in it to `files`."""
    if isinstance(block, list):
        for each in block:
            yield from _texts_of(each, files)
    elif not isinstance(block, dict):
        yield str(block)
    elif (kind := _kind_of(block)) is not None:
        files.append(media_tokens(kind, _size_of(block), detail=_detail_of(block)))
    elif isinstance(text := block.get("text"), str):
        yield text
    else:
        inner = [name for name in _CONTAINERS if isinstance(block.get(name), list | dict)]
        yield json_text({name: value for name, value in block.items() if name not in inner})
        for name in inner:
            yield from _texts_of(block[name], files)


def _kind_of(block: dict[str, Any]) -> MediaKind | None:
    kind = _KINDS.get(str(block.get("type")))
    if kind != "file":
        return kind
    source = block.get("source")
    fields = {**block, **source} if isinstance(source, dict) else block
    if isinstance(fields.get("text"), str) or fields.get("type") in ("text", "content"):
        return None  # a document that is text
    mime_type = str(fields.get("mime_type") or fields.get("media_type") or "")
    return _OF_TYPE.get(mime_type.partition("/")[0], kind)


def _size_of(block: dict[str, Any]) -> int | None:
    """Return the bytes of the file inside a block; None where it has a URL."""
    for name in _DATA:
        value = block.get(name)
        if isinstance(value, bytes):
            return len(value)
        if isinstance(value, str) and (name not in _NESTED and name != "url"):
            return len(value) * 3 // 4
        if isinstance(value, str) and value.startswith("data:"):
            return len(value) * 3 // 4
    nested = (block[name] for name in _NESTED if isinstance(block.get(name), dict))
    return next((size for inner in nested if (size := _size_of(inner)) is not None), None)


def _detail_of(block: dict[str, Any]) -> str | None:
    inner = block.get("image_url")
    detail = (inner if isinstance(inner, dict) else block).get("detail")
    return detail if isinstance(detail, str) else None
