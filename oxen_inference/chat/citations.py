"""What an answer cites, from the forms of several providers.

| provider | form |
| --- | --- |
| OpenAI, OpenRouter | ``annotations`` of the message: ``{"type": "url_citation", "url_citation": {...}}`` or flat |
| Perplexity | ``citations``, a list of URLs, and ``search_results``, with titles, of the answer |
| Anthropic | ``citations`` of a content part: ``{"cited_text", "url" or "document_title", ...}`` |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_TEXTS = {
    "url": "url",
    "title": "title",
    "document_title": "title",
    "cited_text": "cited_text",
    "content": "cited_text",
    "snippet": "cited_text",
}
_POSITIONS = ("start_index", "end_index")


@dataclass(slots=True)
class Citation:
    """One source of an answer; positions are characters of its text."""

    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    """What else the provider says of it."""


def citations_of(extras: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[Citation]:
    """Return what an answer with these `Answer.extras` and `Answer.metadata` cites, in order."""
    found = [
        _citation(fields)
        for annotation in _as_list(extras.get("annotations"))
        if (fields := _cited_fields(annotation)) is not None
    ]
    results = {str(r["url"]): r for r in _sources(metadata.get("search_results"))}
    cited = {citation.url for citation in found}
    sources = [*_sources(metadata.get("citations")), *results.values()]
    for source in sources:
        url = str(source["url"])
        if url not in cited:
            cited.add(url)
            found.append(_citation({**source, **results.get(url, {})}))
    return found


def other_annotations(extras: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the annotations of an answer that are no citations."""
    return [
        dict(annotation)
        for annotation in _as_list(extras.get("annotations"))
        if isinstance(annotation, Mapping) and _cited_fields(annotation) is None
    ]


def _cited_fields(annotation: Any) -> Mapping[str, Any] | None:
    if not isinstance(annotation, Mapping):
        return None
    kind = str(annotation.get("type") or "")
    inner = annotation.get(kind)
    fields = inner if isinstance(inner, Mapping) else annotation
    names_source = any(isinstance(fields.get(name), str) for name in ("url", "cited_text"))
    return fields if names_source or "citation" in kind else None


def _sources(given: Any) -> Iterator[Mapping[str, Any]]:
    """Yield what a list of URLs, or of objects with one, names."""
    for each in _as_list(given):
        fields = each if isinstance(each, Mapping) else {"url": each}
        if isinstance(fields.get("url"), str) and fields["url"]:
            yield fields


def _citation(fields: Mapping[str, Any]) -> Citation:
    citation = Citation()
    for name, value in fields.items():
        known = _TEXTS.get(name)
        if known is not None and isinstance(value, str):
            if value and getattr(citation, known) is None:
                setattr(citation, known, value)
        elif name in _POSITIONS and isinstance(value, int):
            setattr(citation, name, value)
        elif name != "type" and value is not None:
            citation.extras[name] = value
    return citation


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
