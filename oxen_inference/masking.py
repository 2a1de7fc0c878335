"""Keep the API key out of what a server's answer turns into: errors, results, the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MASK = "***"
_MAX_DEPTH = 100  # objects and lists inside each other; what is deeper is masked whole


def mentions(value: Any, secret: str) -> bool:
    """Whether a decoded body, or a text, contains a secret; copies nothing."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            if secret in value:
                return True
        elif isinstance(value, Mapping):
            pending += value.keys()
            pending += value.values()
        elif isinstance(value, list | tuple):
            pending += value
    return False


def hide(value: Any, secret: str, _depth: int = 0) -> Any:
    """Return a decoded body, or a text, with every occurrence of a secret masked."""
    if isinstance(value, str):
        return value.replace(secret, MASK)
    if not isinstance(value, Mapping | list | tuple):
        return value
    if _depth >= _MAX_DEPTH:
        return MASK
    if isinstance(value, Mapping):
        return {
            hide(name, secret, _depth + 1): hide(item, secret, _depth + 1)
            for name, item in value.items()
        }
    return type(value)(hide(item, secret, _depth + 1) for item in value)
