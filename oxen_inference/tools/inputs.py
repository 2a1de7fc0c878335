"""Pictures, films and sounds that a model names as inputs: URLs, earlier results, allowed files.

A model may say ``"input_image": "<generation id>"`` for what it made before. A name without a
scheme is carried through validation as a URL of our own, and resolved when the call is made, so
that validation needs neither network nor ledger. Only files below a folder the developer named
are ever read; anything else that is no URL is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

EARLIER = "oxen-result:"
"""Scheme of a name that stands for an earlier result or an allowed file."""

_URL = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_SENDABLE = ("http", "https", "data", EARLIER.rstrip(":"))
_NAMED_LIKE_MEDIA = re.compile(r"(^|_)(image|video|audio|frame)s?(_ur[il]s?)?$")


def required_media(schema: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the names of the media inputs that a model cannot do without."""
    fields = _properties(schema)
    required = (schema or {}).get("required")
    names = required if isinstance(required, list) else []
    return tuple(n for n in names if n in fields and _is_media(n, _items_of(fields[n])))


def mark(
    arguments: Mapping[str, Any],
    schema: Mapping[str, Any] | None,
    wire_names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return `arguments` with every media input that is not a URL marked as `EARLIER`.

    `wire_names`: argument to parameter, where a tool calls one otherwise.
    """
    from oxen_inference.catalog.tool_names import by_wire_names

    fields, result = _properties(schema), {}
    for name, value in arguments.items():
        wire = (wire_names or {}).get(name, name)
        known = by_wire_names(value, fields.get(wire), schema or {})
        result[name] = _map(known, fields.get(wire), wire, _marked)
    return result


def marked(value: Any) -> list[str]:
    """Return the names in `value` that `mark` has marked, each once."""
    if isinstance(value, str):
        return [value.removeprefix(EARLIER)] if value.startswith(EARLIER) else []
    inner = value.values() if isinstance(value, Mapping) else value
    found = (marked(one) for one in inner) if isinstance(value, Mapping | list) else ()
    return list(dict.fromkeys(name for names in found for name in names))


def resolved(value: Any, known: Mapping[str, Any]) -> Any:
    """Return `value` with every marked name replaced by what `known` has for it."""
    if isinstance(value, str):
        return known[value.removeprefix(EARLIER)] if value.startswith(EARLIER) else value
    if isinstance(value, list):
        return [resolved(one, known) for one in value]
    if isinstance(value, Mapping):
        return {name: resolved(one, known) for name, one in value.items()}
    return value


def inlined(value: Any, name: str = "") -> Any:
    """Return `value` with every `Path` in it as a data URL: the developer gave that very file.

    Raises `InvalidInputError` for one that cannot be read or is too large.
    """
    if isinstance(value, Path):
        from oxen_inference.media.inputs import data_url

        return data_url(name, value)
    if isinstance(value, list | tuple):
        return [inlined(one, name) for one in value]
    if isinstance(value, Mapping):
        return {inner: inlined(one, str(inner)) for inner, one in value.items()}
    return value


def allowed_file(name: str, folder: str | Path | None) -> Path | None:
    """Return the file called `name` below `folder`, or None if there is none to be read."""
    if folder is None:
        return None
    base = Path(folder).expanduser().resolve()
    # Resolved before it is compared: neither ".." nor a link leads out.
    file = (base / name).resolve()
    return file if file.is_relative_to(base) and file.is_file() else None


def refuse_unsendable(params: Mapping[str, Any], schema: Mapping[str, Any] | None) -> None:
    """Raise `InvalidInputError` for a media input that is neither http(s) nor a data URL."""
    fields = _properties(schema)

    def check(value: str) -> str:
        if _URL.match(value) and value.partition(":")[0].lower() not in _SENDABLE:
            from oxen_inference.errors import InvalidInputError

            raise InvalidInputError(
                f"{value[:80]!r} cannot be used as an input: give a public URL, a data URL or the "
                "generation id of an earlier result."
            )
        return value

    for name, value in params.items():
        _map(value, fields.get(name), name, check)


def _marked(value: str) -> str:
    return value if not value.strip() or _URL.match(value) else EARLIER + value.strip()


def _map(value: Any, spec: Any, name: str, change: Callable[[str], str]) -> Any:
    """Apply `change` to every string of a parameter that is a media input."""
    spec = spec if isinstance(spec, Mapping) else {}
    if isinstance(value, str):
        return change(value) if _is_media(name, spec) else value
    if isinstance(value, list):
        items = spec.get("items")
        items = items if isinstance(items, Mapping) else {}
        about = {"renderType": spec.get("renderType"), **items}
        return [_map(one, about, name, change) for one in value]
    if isinstance(value, Mapping):
        fields = _properties(spec)
        return {inner: _map(one, fields.get(inner), inner, change) for inner, one in value.items()}
    return value


def _is_media(name: str, spec: Mapping[str, Any]) -> bool:
    if spec.get("enum"):
        return False
    render = str(spec.get("renderType") or "")
    if render.endswith("-url") or spec.get("format") in ("uri", "url"):
        return True
    return bool(_NAMED_LIKE_MEDIA.search(name)) and spec.get("type", "string") == "string"


def _items_of(spec: Any) -> Mapping[str, Any]:
    """Return the schema of a list's items, or of what is no list."""
    spec = spec if isinstance(spec, Mapping) else {}
    items = spec.get("items")
    return {"renderType": spec.get("renderType"), **items} if isinstance(items, Mapping) else spec


def _properties(schema: Any) -> Mapping[str, Any]:
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}
