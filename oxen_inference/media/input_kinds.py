"""Whether a file that is sent inside a request is of the kind that its parameter takes.

A provider refuses a PDF that is given as an image, or makes something unrelated, and is paid either
way. What the bytes do not say for certain is sent as it is.
"""

from __future__ import annotations

import base64
import binascii
import codecs
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from oxen_inference.catalog.media_inputs import ALL_MEDIA, field_of, media_of_file
from oxen_inference.errors import InvalidInputError
from oxen_inference.media.results.probe import probe_head

_MAY_HOLD_AUDIO = ("video/mp4", "video/webm", "video/x-matroska", "video/quicktime")
# Of these, each may be taken for another kind: a GIF moves, and two letters begin a bitmap.
_TAKEN_AS_VIDEO = ("image/gif", "audio/ogg")
_IMAGES_TOO = ("image/vnd.adobe.photoshop",)
_HEAD = 4096  # bytes that are looked at
_SHORTEST_TEXT = 32  # characters; a shorter one may be anything
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/x-yaml")
_CONTROLS = "\t\n\r\f"
_SHOWN = {"application/pdf": "a PDF document", "application/zip": "a ZIP archive or an office file"}


def check_kinds(params: Mapping[str, Any], schema: Mapping[str, Any] | None) -> None:
    """Raise `InvalidInputError` for a data URL whose bytes are surely of another kind."""
    for name, value in params.items():
        _check(name, value, field_of(schema, name), name)


def _check(name: str, value: Any, schema: object, shown: str) -> None:
    if isinstance(value, str):
        if value[:5].lower() != "data:":
            return
        kinds = media_of_file(name, schema)
        if len(kinds) != 1:
            return
        (kind,) = kinds
        found = _mismatch(kind, value)
        if found is not None:
            raise InvalidInputError(
                f"{shown} takes {_article(kind)}, and what was given is {found}. Nothing was sent."
            )
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            _check(name, each, schema, f"{shown}[{index}]" if len(value) > 1 else shown)
    elif isinstance(value, Mapping):
        for inner, each in value.items():
            _check(f"{name}.{inner}", each, field_of(schema, inner), f"{shown}.{inner}")


def _mismatch(kind: str, url: str) -> str | None:
    """Return in words what a data URL is, if that is surely not of a kind."""
    declared, head = _read_head(url)
    shown = probe_head(head)
    if shown is None:
        return "text" if is_surely_text(head, declared) else None
    mime_type = shown.mime_type
    if shown.kind == kind or (kind == "image" and mime_type in _IMAGES_TOO):
        return None
    if kind == "audio" and mime_type in _MAY_HOLD_AUDIO:
        return None
    if mime_type == "image/bmp" or (kind == "video" and mime_type in _TAKEN_AS_VIDEO):
        return None
    what = _SHOWN.get(mime_type) or (_article(shown.kind) if shown.kind in ALL_MEDIA else "a file")
    return f"{what} ({mime_type})"


def _read_head(url: str) -> tuple[str, bytes]:
    """Return the type that a data URL states, and its first bytes."""
    stated, _, payload = url.partition(",")
    stated = stated[5:].lower()
    if not stated.endswith(";base64"):
        return stated, unquote_to_bytes(payload[: 3 * _HEAD])[:_HEAD]
    encoded = "".join(payload[: 2 * _HEAD].split())
    try:
        return stated, base64.b64decode(encoded[: len(encoded) // 4 * 4])[:_HEAD]
    except binascii.Error:
        return stated, b""


def is_surely_text(head: bytes, declared: str) -> bool:
    """Whether a file that begins so, and is said to be of a type, surely is text."""
    if "svg" in declared:
        return False
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    if not text or not all(char.isprintable() or char in _CONTROLS for char in text):
        return False
    return len(text) >= _SHORTEST_TEXT or declared.startswith(_TEXT_TYPES)


def _article(kind: str) -> str:
    return {"image": "an image", "video": "a video"}.get(kind, kind)
