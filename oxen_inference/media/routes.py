"""Which route a paid request takes: the queue, or one of the synchronous ones. Pure but for a memory.

An entry's `endpoint` does not choose: live entries that only edit say ``/images/generate``, too. The
inputs do. Another route is tried only where the first one was refused as a route, or the queue
refused the kind of result: either way nothing was bought.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Literal

from oxen_inference.catalog.media_inputs import field_of, media_of_file
from oxen_inference.catalog.models import Model
from oxen_inference.errors import APIStatusError, ModelNotFoundError, OxenError

Route = Literal[
    "queue", "images_generate", "images_edit", "videos_generate", "audio_generate", "audio_speech"
]
"""The name of a path in `Paths`."""

_REMEMBERED = 3600.0  # seconds
_missing: dict[tuple[str, str], float] = {}
"""Until when a route of a hub counts as missing, by the hub and the route."""

_SENDABLE = re.compile(r"(https?:|data:)", re.IGNORECASE)
# What a refusal speaks of that is about something else than the route.
_NOT_A_ROUTE = re.compile(
    r"\b(models?|inputs?|files?|urls?|prompts?|generations?|namespaces?|repos?|repository|parameters?"
    r"|accounts?|users?)\b",
    re.IGNORECASE,
)
_MODALITY = re.compile(
    r"unsupported[_ ]media[_ ]type|modalit|media[_ ]type|output[_ ]type|image (?:or|and) video"
    r"|audio\b.{0,60}\b(?:not|only|un\w+)\b|\b(?:not|only|un\w+)\b.{0,60}\b(?:audio|image|video)",
    re.IGNORECASE | re.DOTALL,
)


def first_route(model: Model, media_type: str, body: Mapping[str, Any], hub: str) -> Route:
    """Return the synchronous route for a request."""
    if media_type == "video":
        return "videos_generate"
    if media_type == "audio":
        return "audio_speech" if is_missing(hub, "audio_generate") else "audio_generate"
    if has_image(model, body):
        may_generate = _takes_images_at_generate(model)
        return (
            "images_generate" if may_generate and is_missing(hub, "images_edit") else "images_edit"
        )
    return "images_edit" if is_missing(hub, "images_generate") else "images_generate"


def next_route(
    model: Model, route: Route, body: Mapping[str, Any], error: OxenError, media_type: str
) -> Route | None:
    """Return where a request may be sent that was refused at `route`; None for nowhere."""
    if route == "queue":
        refused = refuses_route(model, error) or refuses_modality(error)
        return "audio_generate" if media_type == "audio" and refused else None
    if not refuses_route(model, error):
        return None
    if route == "audio_generate":
        return "audio_speech"
    if route == "images_generate":
        return "images_edit"
    if route == "images_edit" and (not has_image(model, body) or _takes_images_at_generate(model)):
        return "images_generate"
    return None  # /images/generate might ignore the images, and bill


def refuses_route(model: Model, error: OxenError) -> bool:
    """Whether an answer says that there is no such route: it names no model and no input."""
    if not isinstance(error, APIStatusError) or isinstance(error, ModelNotFoundError):
        return False
    # The hub's own status: what a provider answers says nothing of the hub's routes.
    own = getattr(error.response, "status_code", None)
    if own not in (404, 405) or error.status_code != own:
        return False
    text = re.sub(r"(https?:/)?/\S+", " ", error.message)  # the path itself
    if _NOT_A_ROUTE.search(text) or model.id in text:
        return False
    names = [name for name in _fields(model) if len(name) > 2]
    return not any(re.search(rf"\b{re.escape(name)}\b", text) for name in names)


def refuses_modality(error: OxenError) -> bool:
    """Whether the queue says that it does not make this kind of result."""
    if not isinstance(error, APIStatusError) or isinstance(error, ModelNotFoundError):
        return False
    return error.status_code in (400, 404, 415, 422) and bool(_MODALITY.search(error.message))


def remember_missing(hub: str, route: str) -> None:
    """Take a route of a hub for missing, for an hour."""
    _missing[hub, route] = time.monotonic() + _REMEMBERED


def is_missing(hub: str, route: str) -> bool:
    """Whether a route of a hub was missing in the last hour."""
    return _missing.get((hub, route), 0.0) > time.monotonic()


def has_image(model: Model, body: Mapping[str, Any]) -> bool:
    """Whether an image is among a request's inputs."""
    schema = model.request_schema
    return any(_has_image(name, value, field_of(schema, name)) for name, value in body.items())


def _fields(model: Model) -> Mapping[str, Any]:
    properties = (model.request_schema or {}).get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _has_image(name: str, value: Any, schema: object) -> bool:
    if isinstance(value, str):
        is_image = value.lstrip().lower().startswith("data:image/")
        is_file = _SENDABLE.match(value.strip()) is not None
        return is_image or (is_file and "image" in media_of_file(name, schema))
    if isinstance(value, Mapping):
        return any(
            _has_image(f"{name}.{inner}", each, field_of(schema, inner))
            for inner, each in value.items()
        )
    return isinstance(value, list) and any(_has_image(name, each, schema) for each in value)


def _takes_images_at_generate(model: Model) -> bool:
    """Whether the model's own schema says that images go to ``/images/generate``."""
    named = (model.request_schema or {}).get("x-image-to-image-endpoint")
    return isinstance(named, str) and named.rstrip("/").endswith("images/generate")
