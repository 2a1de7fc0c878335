"""Output beyond text: images, audio, annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMES = ("images", "audio", "annotations")


def read_extras(extras: dict[str, Any], said: Mapping[str, Any], *, whole: bool) -> None:
    """Add to `extras` what a delta has of them; a `whole` message has all of them."""
    for name in _NAMES:
        news = said.get(name)
        before = None if whole else extras.get(name)
        if isinstance(news, list) and isinstance(before, list):
            extras[name] = before + news
        elif isinstance(news, dict) and isinstance(before, dict):
            extras[name] = {
                **before,
                **{k: _joined(before.get(k), k, v) for k, v in news.items()},
            }
        elif news:
            extras[name] = news


def _joined(before: Any, field: str, news: Any) -> Any:
    """Return a field of streamed audio: its data and what it says come in pieces."""
    in_pieces = field in ("data", "transcript") and isinstance(before, str)
    return before + news if in_pieces and isinstance(news, str) else news
