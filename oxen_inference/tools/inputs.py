"""Images, videos and audio that a model names as inputs: URLs, earlier results, allowed files.

A model may say ``"input_image": "<generation id>"`` for what it made before. Such a reference is
carried through validation as a URL with a scheme of our own, and is resolved when the call is made,
so that validation needs neither network nor ledger. Only files below a folder that the developer
named are ever read. Everything else that is not a URL is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from oxen_inference.catalog.parameter_roles import snake_case

REFERENCE = "oxen-result:"
"""Scheme of a name that stands for an earlier result or an allowed file."""

_URL = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
# Ids of every hub have digits, and nothing that a file's name or a sentence would have.
_ID = re.compile(r"(?=[^\d]*\d)[\w:-]+", re.ASCII)
_LONGEST_SHOWN = 80
_SENDABLE = ("http", "https", "data", REFERENCE.rstrip(":"))
_NO_IMAGES = frozenset({"mask", "masks", "video", "videos", "audio", "audios", "lora", "loras"})
_NO_FILES = ("boolean", "integer", "number")
_NAMED_LIKE_MEDIA = re.compile(r"(^|_)(image|video|audio|frame)s?(_ur[il]s?)?$")


def required_media(schema: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the names of the media inputs that a model requires."""
    fields = _properties(schema)
    required = (schema or {}).get("required")
    names = required if isinstance(required, list) else []
    return tuple(n for n in names if n in fields and _is_media(n, _item_schema(fields[n])))


def image_inputs(schema: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the names of the parameters that take an image, other than masks."""
    fields = _properties(schema)
    return tuple(n for n in fields if _takes_image(n, _item_schema(fields[n])))


def mark_references(
    arguments: Mapping[str, Any],
    schema: Mapping[str, Any] | None,
    wire_names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return `arguments` with the scheme `REFERENCE` before every media input that is not a URL.

    `wire_names`: argument to parameter, where a tool's argument has another name.
    """
    fields, result = _properties(schema), {}
    for name, value in arguments.items():
        wire = (wire_names or {}).get(name, name)
        result[name] = _map_media(value, fields.get(wire), wire, _mark)
    return result


def find_references(value: Any) -> list[str]:
    """Return the names in `value` that `mark_references` marked, each once."""
    if isinstance(value, str):
        return [value.removeprefix(REFERENCE)] if value.startswith(REFERENCE) else []
    inner = value.values() if isinstance(value, Mapping) else value
    nested = map(find_references, inner) if isinstance(value, Mapping | list) else ()
    return list(dict.fromkeys(name for names in nested for name in names))


def replace_references(value: Any, values: Mapping[str, Any]) -> Any:
    """Return `value` with every marked name replaced by its entry in `values`."""
    if isinstance(value, str):
        return values[value.removeprefix(REFERENCE)] if value.startswith(REFERENCE) else value
    if isinstance(value, list):
        return [replace_references(item, values) for item in value]
    if isinstance(value, Mapping):
        return {name: replace_references(item, values) for name, item in value.items()}
    return value


def inline_files(value: Any, name: str = "") -> Any:
    """Return `value` with the content of every `Path` in it as a data URL.

    Raises `InvalidInputError` for a file that cannot be read or is too large.
    """
    if isinstance(value, Path):
        from oxen_inference.media.inputs import data_url

        return data_url(name, value)
    if isinstance(value, list | tuple):
        return [inline_files(item, name) for item in value]
    if isinstance(value, Mapping):
        return {inner: inline_files(item, str(inner)) for inner, item in value.items()}
    return value


def allowed_file(name: str, folder: str | Path | None) -> Path | None:
    """Return the file called `name` below `folder`, or None if there is no such file."""
    if folder is None:
        return None
    base = Path(folder).expanduser().resolve()
    # Resolved before it is compared: neither ".." nor a link leads out.
    file = (base / name).resolve()
    return file if file.is_relative_to(base) and file.is_file() else None


def check_folder(folder: str | Path) -> None:
    """Raise `ConfigurationError` for a folder of inputs that does not exist."""
    if isinstance(folder, str | Path) and Path(folder).expanduser().is_dir():
        return
    from oxen_inference.errors import ConfigurationError

    raise ConfigurationError(
        f"inputs_from must be a folder that exists, not {str(folder)!r}.",
        hint=f"It is looked for in {Path.cwd()}.",
    )


def check_id(name: str, folder: str | Path | None) -> str:
    """Return a name that can be a generation id. Raises `InvalidInputError` for any other text."""
    if _ID.fullmatch(name):
        return name
    from oxen_inference.errors import InvalidInputError

    shown = name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…"
    if folder is not None:
        raise InvalidInputError(
            f"There is no file {shown} in {folder}. It is neither a URL nor a generation id either. "
            "Nothing was sent."
        )
    raise InvalidInputError(
        f"{shown!r} is neither a URL, a data URL nor the generation id of an earlier result. "
        "Nothing was sent.",
        hint="To let the model name files of a folder, pass inputs_from=... to the tool.",
    )


def check_sendable(params: Mapping[str, Any], schema: Mapping[str, Any] | None) -> None:
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
        _map_media(value, fields.get(name), name, check)


def _mark(value: str) -> str:
    return value if not value.strip() or _URL.match(value) else REFERENCE + value.strip()


def _map_media(value: Any, schema: Any, name: str, change: Callable[[str], str]) -> Any:
    """Apply `change` to every string of a parameter that is a media input."""
    schema = schema if isinstance(schema, Mapping) else {}
    if isinstance(value, str):  # also a single one for a list, which becomes a list of one
        return change(value) if _is_media(name, _item_schema(schema)) else value
    if isinstance(value, list):
        items = schema.get("items")
        items = items if isinstance(items, Mapping) else {}
        item_schema = {"renderType": schema.get("renderType"), **items}
        return [_map_media(item, item_schema, name, change) for item in value]
    if isinstance(value, Mapping):
        fields = _properties(schema)
        return {
            inner: _map_media(item, fields.get(inner), inner, change)
            for inner, item in value.items()
        }
    return value


def _is_media(name: str, schema: Mapping[str, Any]) -> bool:
    if schema.get("enum"):
        return False
    render = str(schema.get("renderType") or "")
    if render.endswith("-url") or schema.get("format") in ("uri", "url"):
        return True
    return bool(_NAMED_LIKE_MEDIA.search(name)) and schema.get("type", "string") == "string"


def _takes_image(name: str, schema: Mapping[str, Any]) -> bool:
    name = snake_case(name)
    words = set(name.split("_"))
    if words & _NO_IMAGES or schema.get("enum") or schema.get("type") in _NO_FILES:
        return False
    if schema.get("renderType") == "image-url" or _NAMED_LIKE_MEDIA.search(name):
        return True
    return schema.get("format") in ("uri", "url") and bool(words & {"image", "images"})


def _item_schema(schema: Any) -> Mapping[str, Any]:
    """Return the schema of a list's items, or `schema` itself where it is not a list's."""
    schema = schema if isinstance(schema, Mapping) else {}
    items = schema.get("items")
    return (
        {"renderType": schema.get("renderType"), **items} if isinstance(items, Mapping) else schema
    )


def _properties(schema: Any) -> Mapping[str, Any]:
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}
