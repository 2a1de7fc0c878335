"""Where an answer holds its results: under one of many names, as a URL, an object or a list of these."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from oxen_inference.generation import ACTIVE, MEDIA_TYPES, read_status

_MIME_TYPES = {"image": "image/png", "video": "video/mp4", "audio": "audio/mpeg"}
# Of answers that hold one result, or several, of whatever kind.
_NEUTRAL = ("result", "results", "output", "outputs", "data")
_BARE = ("url", "urls")
_LOOKS_LIKE_URL = re.compile(r"(https?:|data:|/)", re.IGNORECASE)
_MAX_DEPTH = 4  # objects and lists inside each other


@dataclass(frozen=True, slots=True)
class Form:
    """One result: its URL, or its content as base64, perhaps with the prefix of a data URL."""

    url: str | None = None
    base64: str | None = None

    def as_url(self, kind: str | None) -> str | None:
        """Return the URL, or the content as a data URL."""
        if self.url is not None or self.base64 is None or self.base64.startswith("data:"):
            return self.url or self.base64
        mime_type = _MIME_TYPES.get(kind or "", "application/octet-stream")
        return f"data:{mime_type};base64,{''.join(self.base64.split())}"


def find_results(
    answer: Mapping[str, object],
    kind: str | None,
    *,
    without: Collection[str] = (),
    is_row: bool = False,
) -> list[Form]:
    """Return the results of an answer, from the first name that has any.

    `kind`: what the model makes, where that is known. `without`: names that hold something else.
    `is_row`: the answer repeats the parameters of its request, so that a plain text under the name
    of one kind may be an input.
    """
    for name, of_kind in _names(kind):
        value = answer.get(name)
        if value is None or name in without:
            continue
        texts_count = of_kind in (None, kind) or kind is None
        if is_row and of_kind is not None and name != f"{of_kind}s":
            texts_count = texts_count and read_status(answer.get("status")) not in ACTIVE
        found = list(_forms(value, texts_count, 0))
        if found:
            return found
    own = _form(answer)
    return [] if own is None or is_row else [own]


def kind_of_name(name: str) -> str | None:
    """Return the kind that a name of a result speaks of; None for one of any kind."""
    return next((kind for kind in MEDIA_TYPES if name.startswith(kind)), None)


def result_names() -> list[str]:
    """Return every name under which a row's result is looked for, but for `result_url`."""
    return [name for name, _ in _names(None)]


@lru_cache(maxsize=16)
def _names(kind: str | None) -> tuple[tuple[str, str | None], ...]:
    """Return the names in the order of trust, each with the kind it speaks of."""
    return tuple(_named(kind))


def _named(kind: str | None) -> Iterator[tuple[str, str | None]]:
    own = [one for one in MEDIA_TYPES if one == kind] or list(MEDIA_TYPES)
    others = [one for one in MEDIA_TYPES if one not in own]
    for one in own:
        yield from ((f"{one}s", one), (one, one))
    yield from ((name, None) for name in _NEUTRAL)
    for one in own:
        yield from ((f"{one}_url", one), (f"{one}_urls", one))
    for one in others:
        yield from ((f"{one}s", one), (one, one))
    yield from ((name, None) for name in _BARE)


def _forms(value: object, texts_count: bool, depth: int) -> Iterator[Form]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, list):
        for one in value:
            yield from _forms(one, texts_count, depth + 1)
    elif isinstance(value, Mapping):
        form = _form(value)
        if form is not None:
            yield form
            return
        for name, _ in _names(None):
            inner = list(_forms(value[name], True, depth + 1)) if name in value else ()
            if inner:
                yield from inner
                return
    elif texts_count and isinstance(value, str) and _LOOKS_LIKE_URL.match(value.strip()):
        yield Form(url=value.strip())


def _form(value: Mapping[str, object]) -> Form | None:
    url, encoded = value.get("url"), value.get("b64_json")
    if isinstance(encoded, str) and encoded.strip():
        return Form(base64=encoded)
    return Form(url=url.strip()) if isinstance(url, str) and url.strip() else None
