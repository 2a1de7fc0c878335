"""The calls below `/models`, as data."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from oxen_inference.catalog.models import Model
from oxen_inference.catalog.reading import read_model, read_models
from oxen_inference.errors import InvalidInputError
from oxen_inference.paths import Paths, fill
from oxen_inference.transport import Call

_TIMEOUT = 30.0  # seconds


def list_call(paths: Paths, filters: Mapping[str, str] | None = None) -> Call[list[Model]]:
    """All models, or those that pass the filters the hub applies itself."""
    query = {paths.models_query[name]: value for name, value in (filters or {}).items()}
    return Call(method="get", path=paths.models, query=query, read=_received, timeout=_TIMEOUT)


def search_call(paths: Paths, words: str) -> Call[list[Model]]:
    query = {paths.models_query["search"]: words} if "search" in paths.models_query else None
    return Call(
        method="get", path=paths.models_search, query=query, read=_received, timeout=_TIMEOUT
    )


def featured_call(paths: Paths) -> Call[list[Model]]:
    return Call(method="get", path=paths.models_featured, read=_received, timeout=_TIMEOUT)


def favorites_call(paths: Paths) -> Call[list[Model]]:
    return Call(method="get", path=paths.models_favorites, read=_received, timeout=_TIMEOUT)


def get_call(paths: Paths, model_id: str, *, live: bool = False) -> Call[Model]:
    query = {"deployment_status": "live"} if live else None
    return _model_call("get", paths.model, model_id, query=query, timeout=_TIMEOUT)


def update_call(paths: Paths, model_id: str, changes: Mapping[str, Any]) -> Call[Model]:
    return _model_call("put", paths.model_update, model_id, body=changes)


def delete_call(paths: Paths, model_id: str) -> Call[Model]:
    return _model_call("delete", paths.model_update, model_id)


def favorite_call(paths: Paths, model_id: str) -> Call[Model]:
    return _model_call("post", paths.model_favorite, model_id)


def unfavorite_call(paths: Paths, model_id: str) -> Call[Model]:
    return _model_call("delete", paths.model_favorite, model_id)


def activate_call(paths: Paths, model_id: str) -> Call[Model]:
    return _model_call("post", paths.model_activate, model_id, once=True)


def deactivate_call(paths: Paths, model_id: str) -> Call[Model]:
    return _model_call("post", paths.model_deactivate, model_id)


def checked_id(model_id: str) -> str:
    """Return a model's id fit for a path. Raises `InvalidInputError`."""
    # A name of dots would be resolved as a path, to another route.
    if not isinstance(model_id, str) or not model_id.strip(" ."):
        raise InvalidInputError(f"A model's id is needed, not {model_id!r}.")
    return model_id.strip()


def filters_of_hub(paths: Paths, filters: Mapping[str, Any]) -> dict[str, str]:
    """Return the filters that the hub applies itself."""
    return {
        name: str(value)
        for name, value in filters.items()
        if value is not None and name in paths.models_query
    }


def other_filters(paths: Paths, filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filters left to apply to the hub's answer."""
    return {name: value for name, value in filters.items() if name not in paths.models_query}


def _model_call(
    method: Literal["get", "post", "put", "delete"], template: str, model_id: str, **rest: Any
) -> Call[Model]:
    model_id = checked_id(model_id)

    def read(payload: object) -> Model:
        return replace(read_model(payload, fallback_id=model_id), fetched_at=time.time())

    return Call(method=method, path=fill(template, id=model_id), read=read, **rest)


def _received(payload: object) -> list[Model]:
    """Read a list of models that the hub sent just now."""
    now = time.time()
    return [replace(model, fetched_at=now) for model in read_models(payload)]
