"""A message whose content is no text (parts, numbers, decoded JSON) as one whose content is text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from oxen_inference.chat.call_fields import CALL_TYPES
from oxen_inference.chat.reasoning import text_in

_TEXTS = {"text", "output_text", "input_text"}
_THOUGHTS = {"thinking", "reasoning", "reasoning_text", "reasoning_content", "summary_text", "redacted_thinking"}  # fmt: skip
_IMAGES = {"image_url", "image", "output_image", "input_image", "image_file", "image_generation_call", "inline_data", "inlineData", "b64_json"}  # fmt: skip
_AUDIO = {"audio", "output_audio", "input_audio"}
_CALLS = {*CALL_TYPES}
_KNOWN = {"refusal", *_TEXTS, *_THOUGHTS, *_IMAGES, *_AUDIO, *_CALLS}
# Google's and Amazon's parts have no type, but one of these fields.
_TYPES_BY_FIELD = ("functionCall", "toolUse", "inlineData", "inline_data", "image_url", "b64_json")
_INSTEAD_OF_CONTENT = ("text", "parts", "output_text", "generated_text")
_BESIDE_FIELD = {"index", "id", "detail", "thoughtSignature", "mime_type"}
_BESIDE_TEXT = {"type", "text", "annotations", "citations", "thought", "index", "id", "role"}


def with_text(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a message, or a delta, whose content is text; its other parts get fields of their own.

    Refusals, images, annotations, audio, reasoning and calls get the fields in which providers send
    them without parts; parts of unknown types become ``other_parts``. A number, and an object that
    is no part, are the JSON text that some gateways decode.
    """
    content = fields.get("content")
    if content is None:
        found = (fields[name] for name in _INSTEAD_OF_CONTENT if fields.get(name) is not None)
        if (content := next(found, None)) is None:
            return fields
    parts = _Parts()
    parts.read(content)
    plain = {**fields, "content": parts.text}
    if parts.reasoning:
        known = text_in(fields.get("reasoning_content") or fields.get("reasoning"))
        plain["reasoning_content"] = parts.reasoning + ("" if known == parts.reasoning else known)
    for name, more in (
        ("images", parts.images),
        ("annotations", parts.annotations),
        ("other_parts", parts.others),
    ):
        if more:
            given = fields.get(name) or []
            plain[name] = [*(given if isinstance(given, list) else [given]), *more]
    either = {"refusal": parts.refusal, "audio": parts.audio, "tool_calls": parts.calls}
    return {**plain, **{k: v for k, v in either.items() if v and not fields.get(k)}}


class _Parts:
    def __init__(self) -> None:
        self.text = self.reasoning = self.refusal = ""
        self.images: list[Any] = []
        self.annotations: list[Any] = []
        self.calls: list[dict[str, Any]] = []
        self.others: list[Any] = []
        self.audio: dict[str, Any] = {}

    def read(self, content: Any) -> None:
        if isinstance(content, dict) and isinstance(content.get("parts"), list):
            content = content["parts"]
        if isinstance(content, str):
            self.text = content
        elif isinstance(content, list):
            if any(isinstance(part, str) or _is_part(part) for part in content):
                for part in content:
                    self._add(part)
            elif content:
                self.text = _json(content)
        elif isinstance(content, dict) and _is_part(content, alone=True):
            self._add(content)
        elif content != {}:
            self.text = _json(content)

    def _add(self, part: Any) -> None:
        if not isinstance(part, dict):
            self.text += part if isinstance(part, str) else "" if part is None else _json(part)
            return
        kind = _type(part)
        if kind in _THOUGHTS or part.get("thought") is True:
            self.reasoning += text_in(part)
        elif kind == "refusal":
            self.refusal += text_in(part.get("refusal")) or text_in(part)
        elif kind in _CALLS:
            self.calls.append(part)
        elif kind in _IMAGES:
            self.images.append(part)
        elif kind in _AUDIO:
            held = next((value for k in _AUDIO if isinstance(value := part.get(k), dict)), part)
            self.audio = {**self.audio, **{k: v for k, v in held.items() if k != "type"}}
        elif kind in _TEXTS or isinstance(part.get("text"), str):
            self._add_text(part)
        else:
            self.others.append(part)

    def _add_text(self, part: dict[str, Any]) -> None:
        text = part.get("text")
        if isinstance(text, int | float):
            self.text += _json(text)
        else:
            self.text += text if isinstance(text, str) else text_in(part)
        for holder in (part, text if isinstance(text, dict) else {}):
            for name in ("annotations", "citations"):
                given = holder.get(name) or []
                self.annotations += given if isinstance(given, list) else [given]


def _type(part: Mapping[str, Any]) -> str:
    kind = part.get("type") or next((name for name in _TYPES_BY_FIELD if name in part), "")
    return kind if isinstance(kind, str) else ""


def _is_part(value: Any, *, alone: bool = False) -> bool:
    """Whether an object is a content part, and not what a gateway decoded from the model's text.

    `alone`: it stands in place of a list of parts, and may well be the object that was requested.
    """
    if not isinstance(value, dict):
        return False
    kind = _type(value)
    if "type" not in value:
        is_known = bool(kind) and value.keys() <= {kind, *_BESIDE_FIELD}
    elif alone:
        is_known = kind in value or kind in _TEXTS | _IMAGES or (kind in _CALLS and "id" in value)
    else:
        is_known = kind in _KNOWN or kind in value
    if is_known:
        return True
    has_text = isinstance(value.get("text"), str | dict)
    return has_text and (not alone or value.keys() <= _BESIDE_TEXT)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
