"""What a message has besides text, reasoning and calls, collected while it streams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_LISTS = ("images", "annotations", "other_parts")
_SOURCES = ("citations", "search_results")
EXTRA_FIELDS = frozenset({*_LISTS, *_SOURCES, "audio", "citation", "provider_specific_fields"})
"""The fields of a message that this module reads."""


def add_extras(extras: dict[str, Any], fields: Mapping[str, Any], *, replace: bool) -> None:
    """Add the images, audio and annotations of a delta, or of a message that may repeat them.

    `replace`: they stand for the known ones, since the message is the whole answer again.
    """
    for name in _LISTS:
        if value := fields.get(name):
            known = [] if replace else extras.get(name, [])
            extras[name] = _joined_lists(known, value if isinstance(value, list) else [value])
    if audio := fields.get("audio"):
        known = None if replace else extras.get("audio")
        if isinstance(audio, dict) and isinstance(known, dict):
            audio = {**known, **{k: _joined(known.get(k), k, v) for k, v in audio.items()}}
        extras["audio"] = audio


def add_sources(
    extras: dict[str, Any], metadata: dict[str, Any], fields: Mapping[str, Any]
) -> None:
    """Add what a message, or a delta, cites, where an answer with one message cites it otherwise.

    URLs and search results belong to the answer's `metadata`. Objects cite a passage each, so they
    are annotations.
    """
    own = fields.get("provider_specific_fields")  # LiteLLM's
    for holder in (fields, own if isinstance(own, dict) else {}):
        for name in _SOURCES:
            found = [item for item in _flat(holder.get(name)) if item]
            cited = [item for item in found if isinstance(item, dict)]
            if name == "citations" and cited:
                extras["annotations"] = _joined_lists(extras.get("annotations", []), cited)
                found = [item for item in found if not isinstance(item, dict)]
            if found:
                known = metadata.get(name)
                metadata[name] = _joined_lists(known if isinstance(known, list) else [], found)
        if isinstance(citation := holder.get("citation"), dict):
            extras["annotations"] = _joined_lists(extras.get("annotations", []), [citation])


def _joined_lists(known: list[Any], new: list[Any]) -> list[Any]:
    """Return the known items and the new ones; some upstreams repeat all at the end."""
    seen = [_without_index(item) for item in known]
    return [*known, *(item for item in new if _without_index(item) not in seen)]


def _without_index(item: Any) -> Any:
    if isinstance(item, dict) and "index" in item:
        return {name: value for name, value in item.items() if name != "index"}
    return item


def _flat(value: Any) -> Iterable[Any]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield item


def _joined(known: Any, field: str, value: Any) -> Any:
    """Return a field of streamed audio: its data and its transcript come in pieces."""
    in_pieces = field in ("data", "transcript") and isinstance(known, str)
    return known + value if in_pieces and isinstance(value, str) else value
