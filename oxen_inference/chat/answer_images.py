"""An image in an answer, from the forms of several providers.

| provider | form |
| --- | --- |
| OpenRouter, LiteLLM | ``{"type": "image_url", "image_url": {"url": ...}}`` |
| OpenAI | ``{"url": ...}``, ``{"b64_json": ...}``, ``{"type": "image_generation_call", "result": ...}`` |
| Anthropic | ``{"type": "image", "source": {"type": "base64", "media_type": ..., "data": ...}}`` |
| Google | ``{"inlineData": {"mimeType": ..., "data": ...}}`` |
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

_HOLDERS = ("image_url", "image", "source", "inlineData", "inline_data", "fileData", "file_data")
_URLS = ("url", "uri", "fileUri", "file_uri")
_ENCODED = ("b64_json", "base64", "data", "result")
_MIME_TYPES = ("mime_type", "media_type", "mimeType", "mediaType")
_MAX_DEPTH = 3  # objects inside each other


def image_url(image: object) -> str | None:
    """Return the URL of an image, or its content as a data URL; None for an unknown form."""
    return _url(image, 0)


def mime_type_of_encoded(encoded: str) -> str | None:
    """Return the MIME type that the beginning of an image in base64 shows, or None."""
    from oxen_inference.chat.files import mime_type_of

    try:
        return mime_type_of(base64.b64decode(encoded[:64]), "image")
    except (binascii.Error, ValueError):
        return None


def _url(image: object, depth: int) -> str | None:
    if isinstance(image, str):
        text = image.strip()
        if ":" not in text[:16] and (shown := mime_type_of_encoded(text)):
            return f"data:{shown};base64,{text}"
        return text or None
    if not isinstance(image, Mapping) or depth > _MAX_DEPTH:
        return None
    for name in (*_HOLDERS, *_URLS):
        if found := _url(image.get(name), depth + 1):
            return found
    encoded = next((v for name in _ENCODED if isinstance(v := image.get(name), str) and v), None)
    if encoded is None or encoded[:5].lower() == "data:":
        return encoded
    declared = next((t for name in _MIME_TYPES if isinstance(t := image.get(name), str)), None)
    return f"data:{mime_type_of_encoded(encoded) or declared or 'image/png'};base64,{encoded}"
