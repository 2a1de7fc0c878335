"""Read what an error body says: its text for people, its codes, and whether it is a web page.

Bodies come in many shapes, from Oxen, from the providers behind it and from proxies in between.
Reading one takes bounded time, whatever is in it.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

_LONGEST_TEXT = 2000  # characters
_LONGEST_TITLE = 300  # characters
_SEARCHED = 65_536  # characters of a body in which its text is looked for
_MAX_DEPTH = 5  # objects and lists inside each other
_MAX_ITEMS = 20  # of a list of errors


def human_text(body: object) -> str | None:
    """Return the text meant for people in an error body of any known shape, or None."""
    text = _text(body, 0)
    if not text:
        return None
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} …"


def error_object(body: object) -> object:
    """Return what stands under `error`, or the body where nothing does."""
    return body.get("error", body) if isinstance(body, Mapping) else body


def error_codes(body: object) -> set[str]:
    """Return the codes and types of an error, and of the provider's error inside it."""
    codes: set[str] = set()
    for _ in range(_MAX_DEPTH):
        error = error_object(body)
        if not isinstance(error, Mapping):
            return codes | ({normalize_code(error)} if isinstance(error, str) else set())
        values = (error.get("code"), error.get("type"), error.get("status"))
        codes |= {normalize_code(value) for value in values if isinstance(value, str)}
        body = _provider_error(error)
        if not body:
            break
    return codes


def normalize_code(code: str) -> str:
    """Return a code as the tables spell it: some come as ``":insufficient_credits"``."""
    return code[:_LONGEST_TEXT].strip().lstrip(":").lower()


def is_page(body: object) -> bool:
    """Whether a body is an HTML page."""
    if not isinstance(body, str):
        return False
    return body[:_SEARCHED].lstrip()[:9].lower().startswith(("<!doctype", "<html"))


def _text(body: object, depth: int) -> str | None:
    if isinstance(body, str):
        return _clean(body)
    if depth >= _MAX_DEPTH:
        return None
    if isinstance(body, list):
        return _join(body, depth)
    if not isinstance(body, Mapping):
        return None
    error = body.get("error")
    inner = error if isinstance(error, Mapping) else {}
    provider = _provider_text(inner, depth)
    if provider:
        return provider
    candidates = (
        inner.get("detail"),
        inner.get("message"),
        inner.get("status_description"),
        inner.get("title"),
        body.get("error_description"),  # OAuth's; its error is a code
        body.get("status_description"),  # Oxen's; its error and its status_message may be codes
        error,
        body.get("error_message"),
        body.get("status_message"),
        body.get("status_msg"),
        body.get("message"),
        body.get("Message"),
        body.get("msg"),
        body.get("detail"),
        body.get("title"),
        body.get("base_resp"),
        body.get("errors"),
        inner.get("errors"),
        inner.get("type"),
    )
    texts = (_text(candidate, depth + 1) for candidate in candidates if candidate)
    return next((text for text in texts if text), None)


def _join(items: list[Any], depth: int) -> str | None:
    """Return the texts of several errors, each with the field it is about."""
    texts = []
    for item in items[:_MAX_ITEMS]:
        fields = item if isinstance(item, Mapping) else {}
        message, location = fields.get("msg"), fields.get("loc")
        text = message if isinstance(message, str) and message else _text(item, depth + 1)
        if text and isinstance(location, list) and location:
            text = f"{'.'.join(map(str, location[:_MAX_ITEMS]))}: {text}"
        if text:
            texts.append(text)
    return "; ".join(texts) or None


def _provider_text(error: Mapping[str, Any], depth: int) -> str | None:
    """Return the reason inside a gateway's error (https://openrouter.ai/docs/api-reference/errors)."""
    text = _text(_provider_error(error), depth + 1)
    message = error.get("message")
    if not text or not isinstance(message, str) or text in message:
        return text
    return f"{message.strip().rstrip('.')}: {text}"


def _provider_error(error: Mapping[str, Any]) -> object:
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if not isinstance(raw, str):
        return raw
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw


def _clean(text: str) -> str:
    text = text[:_SEARCHED].strip().lstrip(":")
    return _title(text) if is_page(text) else text


def _title(page: str) -> str:
    lower = page.lower()
    opening = lower.find("<title")
    start = lower.find(">", opening) + 1 if opening >= 0 else 0
    end = lower.find("</title", start) if start else -1
    title = " ".join(html.unescape(page[start:end]).split()) if end >= 0 else ""
    return title[:_LONGEST_TITLE] or "an HTML page instead of an API answer"
