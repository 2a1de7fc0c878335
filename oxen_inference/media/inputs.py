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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oxen_inference import queue
from oxen_inference.catalog.parameters import PATH_HINT
from oxen_inference.effects import send
from oxen_inference.errors import InvalidInputError, NotFoundError
from oxen_inference.generation_reading import with_absolute_url
from oxen_inference.paths import Paths
from oxen_inference.result import MediaItem, MediaResult

MAX_INLINE_BYTES = 20_000_000
"""Largest local file that is sent inline, as a data URL."""

_GENERATION_ID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)


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


async def with_urls(value: Any, paths: Paths, hub: str) -> Any:
    """Return read parameters in the form to send, each earlier result as its present URL.

    Raises `InvalidInputError` for one without a result.
    """
    if isinstance(value, EarlierResult):
        return await _present_url(value, paths, hub)
    if isinstance(value, Mapping):
        return {name: await with_urls(each, paths, hub) for name, each in value.items()}
    if isinstance(value, list):
        return [await with_urls(each, paths, hub) for each in value]
    return value


def uses_earlier_result(value: Any) -> bool:
    """Whether an earlier result is anywhere in read parameters."""
    if isinstance(value, Mapping):
        return any(map(uses_earlier_result, value.values()))
    if isinstance(value, list):
        return any(map(uses_earlier_result, value))
    return isinstance(value, EarlierResult)


def is_media_parameter(name: str) -> bool:
    """Whether a parameter of that name takes images, videos or audio."""
    return any(word in name.lower() for word in ("image", "video", "audio", "reference", "frame"))


def _read(name: str, value: Any, allow_paths: bool) -> Any:
    if isinstance(value, list | tuple):
        return [_read(name, each, allow_paths) for each in value]
    if isinstance(value, Mapping):
        return {key: _read(str(key), each, allow_paths) for key, each in value.items()}
    if isinstance(value, MediaResult):
        if len(value.succeeded) != 1:
            raise InvalidInputError(
                f"{name}: an earlier result must have exactly one finished item; choose one of "
                "its items."
            )
        value = value.succeeded[0]
    if isinstance(value, MediaItem):
        return _read_item(name, value)
    if isinstance(value, str) and is_media_parameter(name) and _GENERATION_ID.fullmatch(value.strip()):  # fmt: skip
        return EarlierResult(name, value.strip())
    if isinstance(value, Path):
        if not allow_paths:
            raise InvalidInputError(
                f"{name} must be a URL, a data URL or an earlier result: local files are not read.",
                hint="Pass allow_paths=True to have them read.",
            )
        return data_url(name, value)
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


def data_url(name: str, path: Path) -> str:
    """Return a file's content as a data URL. Raises `InvalidInputError`, naming `name`."""
    try:
        size = path.stat().st_size
        if size > MAX_INLINE_BYTES:
            raise InvalidInputError(
                f"{name}: {path.name} has {size:,} bytes; at most {MAX_INLINE_BYTES:,} are sent "
                "inline, and a larger file needs a URL."
            )
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{name}: {path} cannot be read: {error.strerror}.") from error
    mime_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
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
