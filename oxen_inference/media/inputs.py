"""Parameters as callers give them and as the hub takes them: values, files and earlier results.

An earlier result means the same job on any day, though its URL changes. So parameters are read
first, which needs no hub, and their URLs are looked up when the request is to be sent.
"""

from __future__ import annotations

import base64
import json
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from oxen_inference import queue
from oxen_inference.catalog.media_inputs import field_of, media_of, media_of_file
from oxen_inference.catalog.parameters import PATH_HINT
from oxen_inference.effects import run_on_network, send
from oxen_inference.errors import InvalidInputError, NotFoundError
from oxen_inference.generation_reading import with_absolute_url
from oxen_inference.media.input_errors import takes_public_urls_only
from oxen_inference.media.results.download import Source, fetch
from oxen_inference.media.results.probe import probe
from oxen_inference.media.results.public_connection import FetchError
from oxen_inference.paths import Paths
from oxen_inference.result import MediaItem, MediaResult

MAX_INLINE_BYTES = 20_000_000
"""Largest local file that is sent inline, as a data URL."""
MAX_INLINE_RESULT_BYTES = 12_000_000
"""Largest earlier result that is fetched and sent inline: as much as clients in production send."""

_GENERATION_ID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)
_EMPTY_DATA_URL = re.compile(r"data:[^,]{0,200},?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EarlierResult:
    """An earlier job's result, given for `parameter`; `url` is its last known address."""

    parameter: str
    generation_id: str
    url: str | None = None


def read_inputs(params: Mapping[str, Any], allow_paths: bool) -> dict[str, Any]:
    """Return parameters as plain data and `EarlierResult` objects, with files as data URLs.

    Raises `InvalidInputError`.
    """
    plain = {name: _read(name, value, allow_paths) for name, value in params.items()}
    _check_json(stable_form(plain))
    return plain


def stable_form(value: Any) -> Any:
    """Return read parameters in a form that is the same on another day."""
    if isinstance(value, EarlierResult):
        return f"generation:{value.generation_id}"
    if isinstance(value, Mapping):
        return {name: stable_form(each) for name, each in value.items()}
    return [stable_form(each) for each in value] if isinstance(value, list) else value


def with_earlier_results(value: Any, schema: object, name: str = "") -> Any:
    """Return read parameters with the ids that only `schema` shows to be earlier results as such."""
    if isinstance(value, Mapping):
        return {
            inner: with_earlier_results(each, field_of(schema, inner), _path(name, inner))
            for inner, each in value.items()
        }
    if isinstance(value, list):
        return [with_earlier_results(each, schema, name) for each in value]
    return EarlierResult(name, value.strip()) if _is_earlier_result(name, schema, value) else value


async def with_urls(
    value: Any,
    paths: Paths,
    hub: str,
    inline: Source | None = None,
    schema: object = None,
    name: str = "",
) -> Any:
    """Return read parameters in the form to send, each earlier result as its present URL.

    With `inline`, the hub's own files are fetched from there, and sent as data URLs. Raises
    `InvalidInputError` for a result that is not there, or not to be sent like that.
    """
    if isinstance(value, EarlierResult):
        url = await _present_url(value, paths, hub)
        return url if inline is None else await _inlined(value.parameter, url, inline)
    if isinstance(value, Mapping):
        return {
            inner: await with_urls(
                each, paths, hub, inline, field_of(schema, inner), _path(name, inner)
            )
            for inner, each in value.items()
        }
    if isinstance(value, list):
        return [await with_urls(each, paths, hub, inline, schema, name) for each in value]
    if inline is not None and is_file_of(hub, value) and media_of_file(name, schema):
        return await _inlined(name, value, inline)
    return value


def is_file_of(hub: str, value: Any) -> bool:
    """Whether a value is the URL of a file on the hub itself, which may want the key."""
    return isinstance(value, str) and value.startswith(f"{hub.rstrip('/')}/")


def check_faces(params: Mapping[str, Any]) -> None:
    """Raise `InvalidInputError` for a face that is not given by a public URL."""
    for name, value in params.items():
        if takes_public_urls_only(name) and _has_data_url(value):
            raise InvalidInputError(
                f"{name} takes public URLs only: its provider refuses files that are sent inside "
                "the request. Nothing was sent.",
                hint="Put the file where everybody can fetch it, and give its URL.",
            )


def may_change(value: Any, hub: str) -> bool:
    """Whether a read parameter is sent in another form on another day: it has a file of the hub's."""
    if isinstance(value, Mapping):
        return any(may_change(each, hub) for each in value.values())
    if isinstance(value, list):
        return any(may_change(each, hub) for each in value)
    return isinstance(value, EarlierResult) or is_file_of(hub, value)


def _path(name: str, inner: object) -> str:
    return f"{name}.{inner}" if name else str(inner)


def _is_earlier_result(name: str, schema: object, value: Any) -> bool:
    return (
        isinstance(value, str)
        and _GENERATION_ID.fullmatch(value.strip()) is not None
        and bool(media_of(name, schema))
    )


def _read(name: str, value: Any, allow_paths: bool) -> Any:
    if isinstance(value, list | tuple):
        return [_read(name, each, allow_paths) for each in value]
    if isinstance(value, Mapping):
        return {key: _read(_path(name, key), each, allow_paths) for key, each in value.items()}
    if isinstance(value, MediaResult):
        if len(value.succeeded) != 1:
            raise InvalidInputError(
                f"{name}: an earlier result must have exactly one finished item; choose one of "
                "its items."
            )
        value = value.succeeded[0]
    if isinstance(value, MediaItem):
        return _read_item(name, value)
    if _is_earlier_result(name, None, value):
        return EarlierResult(name, value.strip())
    if isinstance(value, Path):
        if not allow_paths:
            raise InvalidInputError(
                f"{name} must be a URL, a data URL or an earlier result: local files are not read.",
                hint="Pass allow_paths=True to have them read.",
            )
        return file_as_data_url(name, value)
    if isinstance(value, str) and _EMPTY_DATA_URL.fullmatch(value.strip()):
        raise InvalidInputError(f"{name}: the data URL is empty. Nothing was sent.")
    return value


def _read_item(name: str, item: MediaItem) -> EarlierResult | str:
    if item.generation_id is not None:
        return EarlierResult(name, item.generation_id, item.url)
    if item.url is None:
        raise InvalidInputError(f"{name}: that earlier result has no URL.")
    return item.url


async def _present_url(earlier: EarlierResult, paths: Paths, hub: str) -> str:
    try:
        row = await send(queue.get_call(paths, earlier.generation_id))
    except NotFoundError:
        row = None
    url = earlier.url if row is None else with_absolute_url(row, hub).result_url
    if not url:
        status = "unknown to Oxen" if row is None else row.status
        raise InvalidInputError(
            f"{earlier.parameter}: generation {earlier.generation_id} has no result to use; it is "
            f"{status}."
        )
    return url


async def _inlined(name: str, url: str, source: Source) -> str:
    if takes_public_urls_only(name):
        raise InvalidInputError(
            f"{name} takes public URLs only: an earlier result cannot be sent inside the request "
            "there. Nothing was sent.",
            hint="Put the file where everybody can fetch it, and give its URL.",
        )
    try:
        return await run_on_network(_fetch_inline, url, source)
    except (FetchError, OSError) as error:
        reason = error.message if isinstance(error, FetchError) else str(error)
        raise InvalidInputError(
            f"{name}: the earlier result could not be fetched to be sent inside the request: "
            f"{reason.rstrip('.')}. Nothing was sent.",
            hint=f"At most {MAX_INLINE_RESULT_BYTES:,} bytes are sent so; a larger file needs a public URL.",
        ) from error


def _fetch_inline(url: str, source: Source) -> str:
    if url.startswith("data:"):
        return url
    with TemporaryDirectory(prefix="oxen-input-") as folder:
        limited = replace(source, max_bytes=min(source.max_bytes, MAX_INLINE_RESULT_BYTES))
        fetched = fetch(url, Path(folder), "input", "image", limited)
        encoded = base64.b64encode(fetched.path.read_bytes()).decode()
        return f"data:{fetched.mime_type or 'application/octet-stream'};base64,{encoded}"


def _has_data_url(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_data_url, value.values()))
    if isinstance(value, list):
        return any(map(_has_data_url, value))
    return isinstance(value, str) and value.lstrip().lower().startswith("data:")


def file_as_data_url(name: str, path: Path) -> str:
    """Return a file's content as a data URL. Raises `InvalidInputError`, naming `name`."""
    try:
        size = path.stat().st_size
        if size > MAX_INLINE_BYTES:
            raise InvalidInputError(
                f"{name}: {path.name} has {size:,} bytes; at most {MAX_INLINE_BYTES:,} are sent "
                "inline, and a larger file needs a URL."
            )
        content = path.read_bytes()
        shown = probe(path)
    except OSError as error:
        raise InvalidInputError(f"{name}: {path} cannot be read: {error.strerror}.") from error
    if not content:
        raise InvalidInputError(f"{name}: {path.name} is empty. Nothing was sent.")
    # What a file is, its bytes say; its name only where they do not.
    by_name = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    mime_type = by_name if shown is None or shown.kind == "other" else shown.mime_type
    return f"data:{mime_type};base64,{base64.b64encode(content).decode()}"


def _check_json(params: Mapping[str, Any]) -> None:
    try:
        # As it is sent: half a surrogate pair, the rest of a cut emoji, has no bytes.
        json.dumps(params, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"The parameters cannot be written as JSON: {error}.",
            hint=PATH_HINT if "bytes" in str(error) else None,
        ) from error
