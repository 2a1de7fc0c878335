"""What callers give as parameters, and what the hub takes: values, files and earlier results.

An earlier result stands for the same job on any day, though its URL will differ. So parameters
are understood first, which needs no hub, and resolved when they are to be sent.
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
from oxen_inference.catalog.local_files import INSTEAD
from oxen_inference.errors import InvalidInputError, NotFoundError
from oxen_inference.generation import located
from oxen_inference.media.steps import Steps, send
from oxen_inference.paths import Paths
from oxen_inference.result import MediaItem, MediaResult

MAX_INLINE_BYTES = 20_000_000
"""Largest local file that is sent inline, as a data URL."""

_GENERATION_ID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Earlier:
    """The result of an earlier job, given for the parameter `name`; `url` is where it was last."""

    name: str
    generation_id: str
    url: str | None = None


def understood(params: Mapping[str, Any], allow_paths: bool) -> dict[str, Any]:
    """Return parameters as plain data and `Earlier` results; files as data URLs.

    Raises `InvalidInputError`.
    """
    plain = {name: _understood(name, value, allow_paths) for name, value in params.items()}
    _check_json(lasting(plain))
    return plain


def lasting(value: Any) -> Any:
    """Return understood parameters in a form that is the same on another day."""
    if isinstance(value, Earlier):
        return f"generation:{value.generation_id}"
    if isinstance(value, Mapping):
        return {name: lasting(one) for name, one in value.items()}
    return [lasting(one) for one in value] if isinstance(value, list) else value


def resolved(value: Any, paths: Paths, hub: str) -> Steps[Any]:
    """Return understood parameters in the form to send. Raises `InvalidInputError`."""
    if isinstance(value, Earlier):
        return (yield from _url_now(value, paths, hub))
    if isinstance(value, Mapping):
        inside = {}
        for name, one in value.items():
            inside[name] = yield from resolved(one, paths, hub)
        return inside
    if isinstance(value, list):
        ones = []
        for one in value:
            ones.append((yield from resolved(one, paths, hub)))  # noqa: PERF401 - a comprehension cannot yield
        return ones
    return value


def names_earlier(value: Any) -> bool:
    """Whether an earlier result is anywhere in understood parameters."""
    if isinstance(value, Mapping):
        return any(map(names_earlier, value.values()))
    if isinstance(value, list):
        return any(map(names_earlier, value))
    return isinstance(value, Earlier)


def is_media(name: str) -> bool:
    """Whether a parameter of that name takes pictures, films or sound."""
    return any(word in name.lower() for word in ("image", "video", "audio", "reference", "frame"))


def _understood(name: str, value: Any, allow_paths: bool) -> Any:
    if isinstance(value, list | tuple):
        return [_understood(name, one, allow_paths) for one in value]
    if isinstance(value, Mapping):
        return {key: _understood(str(key), one, allow_paths) for key, one in value.items()}
    if isinstance(value, MediaResult):
        if len(value.succeeded) != 1:
            raise InvalidInputError(
                f"{name}: an earlier result must have exactly one finished item; choose one of "
                "its items."
            )
        value = value.succeeded[0]
    if isinstance(value, MediaItem):
        return _item(name, value)
    if isinstance(value, str) and is_media(name) and _GENERATION_ID.fullmatch(value.strip()):
        return Earlier(name, value.strip())
    if isinstance(value, Path):
        if not allow_paths:
            raise InvalidInputError(
                f"{name}: local files are only read with allow_paths=True. Give a URL, a data URL "
                "or an earlier result."
            )
        return data_url(name, value)
    return value


def _item(name: str, item: MediaItem) -> Earlier | str:
    if item.generation_id is not None:
        return Earlier(name, item.generation_id, item.url)
    if item.url is None:
        raise InvalidInputError(f"{name}: that earlier result has no URL.")
    return item.url


def _url_now(earlier: Earlier, paths: Paths, hub: str) -> Steps[str]:
    try:
        row = yield from send(queue.get_call(paths, earlier.generation_id))
    except NotFoundError:
        row = None
    url = earlier.url if row is None else located(row, hub).result_url
    if not url:
        status = "unknown to Oxen" if row is None else row.status
        raise InvalidInputError(
            f"{earlier.name}: generation {earlier.generation_id} has no result to use; it is "
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
                "inline. Give a URL instead."
            )
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{name}: {path} cannot be read: {error.strerror}.") from error
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _check_json(params: Mapping[str, Any]) -> None:
    try:
        # As it is sent: half a surrogate pair, what is left of a cut emoji, has no bytes.
        json.dumps(params, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        instead = f" For a file, {INSTEAD}." if "bytes" in str(error) else ""
        said = f"The parameters cannot be written as JSON: {error}.{instead}"
        raise InvalidInputError(said) from error
