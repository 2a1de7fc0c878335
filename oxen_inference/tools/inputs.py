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

from oxen_inference.catalog.media_inputs import field_of, media_of, takes_image_to_change
from oxen_inference.catalog.schema import properties_of, required_of

REFERENCE = "oxen-result:"
"""Scheme of a name that stands for an earlier result or an allowed file."""

_URL = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
# Ids of every hub have digits, and nothing that a file's name or a sentence would have.
_ID = re.compile(r"(?=[^\d]*\d)[\w:-]+", re.ASCII)
_LONGEST_SHOWN = 80
_SENDABLE = ("http", "https", "data", REFERENCE.rstrip(":"))


def required_media(schema: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the names of the media inputs that a model requires."""
    fields = properties_of(schema)
    return tuple(n for n in required_of(schema or {}) if n in fields and media_of(n, fields[n]))


def image_inputs(schema: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the names of the parameters that take an image to change."""
    return tuple(n for n, spec in properties_of(schema).items() if takes_image_to_change(n, spec))


def mark_references(
    arguments: Mapping[str, Any],
    schema: Mapping[str, Any] | None,
    wire_names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return `arguments` with the scheme `REFERENCE` before every media input that is not a URL.

    `wire_names`: argument to parameter, where a tool's argument has another name.
    """
    result = {}
    for name, value in arguments.items():
        wire = (wire_names or {}).get(name, name)
        result[name] = _map_media(value, field_of(schema, wire), wire, _mark)
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
        from oxen_inference.media.inputs import file_as_data_url

        return file_as_data_url(name, value)
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
            f"There is no file {shown!r} in {str(folder)!r}. It is neither a URL nor a generation id either. "
            "Nothing was sent."
        )
    raise InvalidInputError(
        f"{shown!r} is neither a URL, a data URL nor the generation id of an earlier result. "
        "Nothing was sent.",
        hint="To let the model name files of a folder, pass inputs_from=... to the tool.",
    )


def check_sendable(params: Mapping[str, Any], schema: Mapping[str, Any] | None) -> None:
    """Raise `InvalidInputError` for a media input that is neither http(s) nor a data URL."""

    def check(value: str) -> str:
        if _URL.match(value) and value.partition(":")[0].lower() not in _SENDABLE:
            from oxen_inference.errors import InvalidInputError

            raise InvalidInputError(
                f"{value[:80]!r} cannot be used as an input: give a public URL, a data URL or the "
                "generation id of an earlier result."
            )
        return value

    for name, value in params.items():
        _map_media(value, field_of(schema, name), name, check)


def _mark(value: str) -> str:
    return value if not value.strip() or _URL.match(value) else REFERENCE + value.strip()


def _map_media(value: Any, schema: object, name: str, change: Callable[[str], str]) -> Any:
    """Apply `change` to every string of a parameter that is a media input."""
    if isinstance(value, str):  # also a single one for a list, which becomes a list of one
        return change(value) if media_of(name, schema) else value
    if isinstance(value, list):
        return [_map_media(item, schema, name, change) for item in value]
    if isinstance(value, Mapping):
        return {
            inner: _map_media(item, field_of(schema, inner), f"{name}.{inner}", change)
            for inner, item in value.items()
        }
    return value
