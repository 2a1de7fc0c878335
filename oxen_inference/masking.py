"""Mask the API key and the developer's header values where a server repeats them.

A server may repeat what it was sent in a body, a status line, a redirect or anywhere else that ends
in the text of an error, of its causes, of a result or of a row in the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import quote

T = TypeVar("T")

MASK = "***"
_MIN_LENGTH = 8  # characters; a shorter text would be found in ordinary words
_SECRET_NAME = re.compile(
    r"auth|key|token|secret|cookie|passw|credential|signature|session", re.IGNORECASE
)
_MAX_DEPTH = 100  # objects and lists inside each other; what is deeper is masked whole
# Their values are ordinary words, which are in many texts.
_PLAIN_HEADERS = frozenset({"accept", "content-type", "user-agent"})
# What an answer was, whose content is the caller's data, and not text about an error.
_DATA = frozenset({"partial", "result", "candidates"})


def secrets_in(headers: Mapping[Any, Any]) -> list[str]:
    """Return the values of headers, and the credentials after a scheme such as ``Bearer``."""
    texts = [
        (value.decode("latin-1") if isinstance(value, bytes) else value).strip()
        for name, value in headers.items()
        if isinstance(value, str | bytes) and str(name).lower() not in _PLAIN_HEADERS
    ]
    return texts + [text.partition(" ")[2].strip() for text in texts]


def without_secrets(named: Mapping[str, T] | None) -> dict[str, T] | None:
    """Return headers or query parameters without those whose names say that they hold a secret."""
    if named is None:
        return None
    return {name: value for name, value in named.items() if not _SECRET_NAME.search(name)}


def pattern_of(secrets: Iterable[object]) -> re.Pattern[str] | None:
    """Return what finds secrets, or None if there is none long enough to be one.

    Also where their case was changed, as in a host name, or where they were percent-encoded.
    """
    texts = {text for text in secrets if isinstance(text, str) and len(text) >= _MIN_LENGTH}
    texts |= {quote(text, safe="") for text in texts}
    longest_first = sorted(texts, key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if texts else None


def mentions(value: Any, secret: str) -> bool:
    """Whether a decoded body, or a text, contains a secret; copies nothing."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            if secret in value:
                return True
        elif value is None or isinstance(value, int | float):
            continue  # most values of a row; to ask whether one is a mapping takes longer
        elif isinstance(value, Mapping):
            pending += value.keys()
            pending += value.values()
        elif isinstance(value, list | tuple):
            pending += value
    return False


def hide(value: Any, pattern: re.Pattern[str], _depth: int = 0) -> Any:
    """Return plain data, or a text, with every occurrence of a secret masked."""
    if isinstance(value, str):
        return pattern.sub(MASK, value)
    if isinstance(value, bytes | bytearray):
        return pattern.sub(MASK, value.decode("latin-1")).encode("latin-1")
    if not isinstance(value, Mapping | list | tuple):
        return value
    if _depth >= _MAX_DEPTH:
        return MASK
    if isinstance(value, Mapping):
        return {
            hide(name, pattern, _depth + 1): hide(item, pattern, _depth + 1)
            for name, item in value.items()
        }
    items = [hide(item, pattern, _depth + 1) for item in value]
    if isinstance(value, list):
        return items
    make = getattr(type(value), "_make", tuple)  # of a named tuple
    return make(items)


def mask_error(error: BaseException, pattern: re.Pattern[str] | None) -> None:
    """Mask secrets in the text and the data of an error and of its causes.

    A cause whose text cannot be changed is taken away.
    """
    if pattern is not None:
        _mask_chain(error, pattern, {})


def _mask_chain(error: BaseException, pattern: re.Pattern[str], clean: dict[int, bool]) -> bool:
    """Mask an error and what led to it; return whether its text is free of secrets now.

    `clean` has the answers so far: an error may be the cause of several.
    """
    if id(error) in clean:
        return clean[id(error)]
    clean[id(error)] = True  # while its causes are looked at, which may lead back to it
    for name in ("__cause__", "__context__"):
        cause = getattr(error, name)
        if cause is not None and not _mask_chain(cause, pattern, clean):
            was_suppressed = error.__suppress_context__
            setattr(error, name, None)
            error.__suppress_context__ = was_suppressed
    members = [_mask_chain(each, pattern, clean) for each in getattr(error, "exceptions", ())]
    _mask_one(error, pattern)
    clean[id(error)] = all(members) and not pattern.search(_shown(error))
    return clean[id(error)]


def _mask_one(error: BaseException, pattern: re.Pattern[str]) -> None:
    error.args = hide(error.args, pattern)
    for name, value in list(vars(error).items()):
        if name in _DATA:
            continue
        hidden = hide(value, pattern)
        if hidden is value and pattern.search(repr(value)):
            hidden = None  # such as a request whose URL holds one
        if hidden != value:
            with suppress(AttributeError, TypeError):  # some are read-only
                setattr(error, name, hidden)


def _shown(error: BaseException) -> str:
    try:
        return f"{error} {error!r}"
    except Exception:  # noqa: BLE001 - what cannot be shown shows nothing
        return ""
