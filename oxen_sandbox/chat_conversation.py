"""What the messages of a request amount to: who asked for what, and what has been done since."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oxen_sandbox.chat_words import gist

_MEDIA = {"image_url": "image", "video_url": "video", "audio_url": "audio", "file": "file"}


@dataclass(frozen=True)
class Media:
    """An attachment: its kind (image, video, audio, file) and its URL or data URL."""

    kind: str
    url: str


@dataclass
class Call:
    """A tool call of the history, with its result once there is one."""

    name: str
    arguments: dict[str, Any]
    id: str = ""
    result: str | None = None

    @property
    def hands_off(self) -> bool:
        """Whether it gave control to another agent."""
        return "to_agent" in self.arguments


@dataclass
class Conversation:
    """The conversation as the model understands it."""

    system: str = ""
    request: str = ""
    """The text of the last user turn."""
    media: list[Media] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    """Tool calls since that turn, in order."""
    earlier: list[str] = field(default_factory=list)
    """User texts of the turns before."""
    said: list[str] = field(default_factory=list)
    """Assistant texts of the turns before."""
    past_calls: list[Call] = field(default_factory=list)
    """Tool calls of the turns before."""

    def results(self) -> list[str]:
        """Return the results so far, the newest first, earlier turns last."""
        calls = [*self.past_calls, *self.calls]
        return [call.result for call in reversed(calls) if call.result]


def text_of(content: Any) -> str:
    """Return the text of a message's content, in either form."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content or () if part.get("type") == "text")


def media_of(content: Any) -> list[Media]:
    """Return the attachments of a message's content."""
    if not isinstance(content, list):
        return []
    return [
        Media(kind, _address(part[part["type"]]))
        for part in content
        if (kind := _MEDIA.get(part.get("type", "")))
    ]


def _address(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value.get("url") or value.get("file_data") or value.get("file_url") or "")


def read(messages: Sequence[Mapping[str, Any]]) -> Conversation:
    """Read checked messages. Media sent right after tool results belong to those results."""
    talk = Conversation()
    pending: dict[str, Call] = {}
    previous = ""
    for message in messages:
        role, content = message["role"], message.get("content")
        text, media = gist(text_of(content)), media_of(content)
        if role in ("system", "developer"):
            talk.system = f"{talk.system}\n{text}".strip()
        elif role == "tool":
            call = pending[message["tool_call_id"]]
            call.result = text
            talk.media.extend(media)
        elif role == "assistant":
            talk.said.append(text)
            for raw in message.get("tool_calls") or ():
                call = Call(
                    raw["function"]["name"], dictionary(raw["function"]["arguments"]), raw["id"]
                )
                pending[call.id] = call
                talk.calls.append(call)
        elif previous == "tool" and media:
            talk.media.extend(media)
            continue  # still the tool's turn: the next such message belongs to it too
        else:
            _next_turn(talk, text, media, joins=previous == "user")
        previous = role
    return talk


def _next_turn(talk: Conversation, text: str, media: list[Media], *, joins: bool) -> None:
    if joins:
        talk.request = f"{talk.request}\n{text}".strip()
        talk.media.extend(media)
        return
    if talk.request:
        talk.earlier.append(talk.request)
    talk.past_calls.extend(talk.calls)
    talk.request, talk.media, talk.calls = text, list(media), []


def dictionary(text: str) -> dict[str, Any]:
    """Read what a model or an agent wrote as JSON, or as Python prints it; {} where it is neither."""
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
        return value if isinstance(value, dict) else {}
    return {}
