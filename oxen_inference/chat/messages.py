"""The messages of a request, in the form every provider behind Oxen accepts.

Adapters write each message of their framework as an OpenAI-style dict, media by
`files.media_part`, and pass the list to `prepare_messages`, which checks and completes it.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from oxen_inference.chat import reasoning
from oxen_inference.chat.families import Policy, Replay
from oxen_inference.chat.files import MEDIA_TYPES, Part, check_media
from oxen_inference.chat.names import safe_name
from oxen_inference.chat.tool_calls import sendable_arguments, wire_tool_call
from oxen_inference.errors import InvalidInputError

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

Message = dict[str, Any]

_HALF = re.compile("[\ud800-\udfff]")
_SAY_SOMETHING = "Give a prompt, or a user message that is not empty."
_ATTACHED = "The result follows as an attachment."
_LEFT_OUT = "[{} attachment(s) left out: this model takes no images]"


def text_part(text: str) -> Part:
    """Return the content part for a text."""
    return {"type": "text", "text": text}


def json_text(value: Any) -> str:
    """Return a value as JSON for a model to read: letters of every script as they are.

    NaN and infinite numbers, which JSON does not have, become null.
    """
    text = json.dumps(value, default=str, ensure_ascii=False)
    if "NaN" in text or "Infinity" in text:
        text = json.dumps(json.loads(text, parse_constant=_null), ensure_ascii=False)
    return _whole_characters(text)


def _null(_: str) -> None:
    return None


def _whole_characters(text: str) -> str:
    """Return the text with half characters joined, or replaced: they could not be sent."""
    if text.isascii() or not _HALF.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def model_takes_images(model: Model | None) -> bool:
    """Whether a model takes images. True where its catalog entry does not say."""
    return model is None or not model.inputs or model.takes("image")


def prepare_messages(
    messages: Iterable[Mapping[str, Any]],
    *,
    policy: Policy,
    takes_images: Callable[[], bool] = lambda: True,
) -> list[Message]:
    """Return the messages as they are sent. The given ones are not changed.

    System content becomes a string, and an empty system message is left out. Parts stay in the
    author's order, except those that `policy` puts first. Images in tool results follow as a user
    message if the model takes images; `takes_images` is called only then. Reasoning is sent back
    as `policy` says. Speakers get names that every provider takes. Calls and results of functions,
    OpenAI's first form of tools, become those of tools. Raises `InvalidInputError` for an empty
    list, audio and PDFs that are too large, files that are no PDF, and a function's result without
    its call.
    """
    prepared: list[Message] = []
    attachments: list[Part] = []
    for message in _functions_as_tools(messages):
        role = message.get("role")
        if attachments and role != "tool":
            prepared.append(_attachments_message(attachments, policy))
            attachments = []
        if name := message.get("name"):
            message["name"] = safe_name(str(name))
        content = message.get("content")
        if role in ("system", "developer"):
            message["content"] = _system_text(content)
            if not message["content"].strip():
                continue  # frameworks write one where the developer gave no instructions
        elif role == "tool":
            text, media = _split_media(content)
            if media and not takes_images():
                text += ("\n" if text else "") + _LEFT_OUT.format(len(media))
                media = []
            message["content"] = _cached_parts(content) or text or (_ATTACHED if media else "")
            attachments += _with_captions(content, media)
        elif isinstance(content, list):
            parts = _ordered(content, policy.before_text)
            message["content"] = parts or ("" if role == "user" else None)
        if isinstance(message.get("content"), str):
            message["content"] = _whole_characters(message["content"])
        prepared.append(message)
    if attachments:
        prepared.append(_attachments_message(attachments, policy))
    if not prepared:
        raise InvalidInputError(
            "There is no message to send: the list of messages is empty.", hint=_SAY_SOMETHING
        )
    if not policy.takes_empty and all(map(_says_nothing, prepared)):
        raise InvalidInputError(
            "There is nothing to answer: the conversation has no message with content from a user. "
            "Nothing was sent.",
            hint=_SAY_SOMETHING,
        )
    return _with_reasoning(prepared, policy)


def _functions_as_tools(messages: Iterable[Mapping[str, Any]]) -> Iterator[Message]:
    """Yield copies of the messages, with tool calls in place of calls of functions."""
    waiting: list[tuple[Any, Any]] = []  # id and name of each call that has no result yet
    for position, given in enumerate(messages):
        message = dict(given)
        role, call = message.get("role"), message.pop("function_call", None)
        if role == "assistant":
            if isinstance(call, Mapping) and not message.get("tool_calls"):
                arguments = call.get("arguments") or {}
                text = arguments if isinstance(arguments, str) else json_text(arguments)
                message["tool_calls"] = [
                    wire_tool_call(f"call_{position}", call.get("name"), sendable_arguments(text))
                ]
            calls = message.get("tool_calls") or []
            waiting = [(c.get("id"), (c.get("function") or {}).get("name")) for c in calls]
        elif role == "tool":
            waiting = [each for each in waiting if each[0] != message.get("tool_call_id")]
        elif role == "function":
            name = message.pop("name", None)
            answered = next((each for each in waiting if name in (None, each[1])), None)
            if answered is None:
                raise InvalidInputError(
                    f"The result of the function {name!r} comes after no call of it.",
                    hint="Put the assistant's message with the call before it.",
                )
            waiting.remove(answered)
            message |= {"role": "tool", "tool_call_id": answered[0]}
        yield message


def _says_nothing(message: Message) -> bool:
    """Whether a message is the system's, or a user's without content."""
    if message.get("role") in ("system", "developer"):
        return True
    content = message.get("content")
    if message.get("role") != "user" or not isinstance(content, str | list):
        return False
    if isinstance(content, str):
        return not content.strip()
    return all(
        isinstance(part, dict) and part.get("type") == "text" and not str(part.get("text")).strip()
        for part in content
    )


def _cached_parts(content: object) -> list[Part]:
    """Return the text as parts, if one of them has a cache mark."""
    parts = content if isinstance(content, list) else []
    texts = [p for p in parts if isinstance(p, dict) and p.get("type") == "text"]
    return texts if any("cache_control" in p for p in texts) else []


def _with_captions(content: Any, media: list[Part]) -> list[Part]:
    """Return the media of a result with the texts between them, which may say what each shows."""
    if len(media) < 2:
        return media
    parts = [text_part(p) if isinstance(p, str) else p for p in content]
    return [{k: v for k, v in p.items() if k != "cache_control"} for p in parts]


def _attachments_message(parts: list[Part], policy: Policy) -> Message:
    text = text_part("Attachments returned by the tool calls above.")
    return {"role": "user", "content": [*_ordered(parts, policy.before_text), text]}


def _system_text(content: object) -> str:
    text, media = _split_media(content)
    if media:
        raise InvalidInputError(
            "A system message takes text only.", hint="Put images and files in a user message."
        )
    if _cached_parts(content):
        warnings.warn(
            "The cache mark of a system message is not sent: Oxen takes system messages as plain "
            "text. A mark on a tool or on a later message also covers what comes before it.",
            stacklevel=2,
        )
    return text


def _split_media(content: object) -> tuple[str, list[Part]]:
    """Return the text of a message's content, one part per line, and its media parts."""
    if not isinstance(content, list):
        return ("" if content is None else str(content)), []
    text: list[str] = []
    media: list[Part] = []
    for part in content:
        if isinstance(part, str):
            text.append(part)
        elif part.get("type") in MEDIA_TYPES:
            media.append(part)
        elif "text" in part:
            text.append(str(part["text"]))
    return "\n".join(text), media


def _ordered(parts: list[Any], before_text: tuple[str, ...]) -> list[Part]:
    """Return the parts as the author ordered them, those of the types `before_text` first."""
    blocks = [text_part(p) if isinstance(p, str) else p for p in parts]
    # Anthropic-backed models refuse a text part without a word.
    blocks = [b for b in blocks if b.get("type") != "text" or str(b.get("text") or "").strip()]
    for number, block in enumerate(blocks):
        if (
            isinstance(text := block.get("text"), str)
            and (whole := _whole_characters(text)) != text
        ):
            blocks[number] = {**block, "text": whole}
    for block in blocks:
        if block.get("type") in MEDIA_TYPES:
            check_media(block)
    return sorted(blocks, key=lambda b: b.get("type") not in before_text)


def _with_reasoning(messages: list[Message], policy: Policy) -> list[Message]:
    """Remove the reasoning that the policy does not send back."""
    roles = [m.get("role") for m in messages]
    last_user = len(roles) - 1 - roles[::-1].index("user") if "user" in roles else -1
    for position, message in enumerate(messages):
        if message.get("role") == "assistant":
            signed = message.pop(reasoning.SIGNED, None)
            if signed and policy.signed_thinking:
                message["thinking_blocks"] = signed
            in_turn = position > last_user and bool(message.get("tool_calls"))
            for field, replay in (
                ("reasoning_content", policy.reasoning_text),
                *((field, policy.reasoning_blocks) for field in reasoning.FIELDS),
            ):
                if field in message and not _is_replayed(replay, in_turn=in_turn):
                    del message[field]
    return messages


def _is_replayed(replay: Replay, *, in_turn: bool) -> bool:
    return replay == "always" or (replay == "turn" and in_turn)
