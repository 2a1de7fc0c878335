"""Better words for a call that was refused because of its model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from oxen_inference.catalog.did_you_mean import did_you_mean, suggestion
from oxen_inference.catalog.models import Model
from oxen_inference.errors import APIStatusError, ModelInactiveError, ModelNotFoundError

_MAY_MEAN_INACTIVE = frozenset({400, 403, 404, 409, 422, 503})


def unknown_model(error: APIStatusError, model_id: str, known: Iterable[str]) -> APIStatusError:
    """Return `error` as a `ModelNotFoundError` with the closest of the `known` ids.

    An id that is known was not the problem: then `error` itself.
    """
    ids = list(known)
    if model_id in ids:
        return error
    near = did_you_mean(model_id, ids)
    # Oxen says which model where it speaks of one, and less where a route is missing.
    said = error.message if model_id in error.message else f"Model not found: {model_id}"
    hint = suggestion(near) or error.hint
    better = ModelNotFoundError(said, hint=hint, **_kept(error))
    better.suggestions = near
    better.partial = error.partial
    return better


def could_be_inactive(error: APIStatusError, model: Model | None) -> bool:
    """Whether the refusal may be about a deployment; `model` is what is known of it, if anything."""
    if isinstance(error, ModelNotFoundError) or error.status_code not in _MAY_MEAN_INACTIVE:
        return False
    if model is not None:
        return model.is_custom
    said = error.message.lower()
    return any(word in said for word in ("activ", "deploy"))


def inactive(error: APIStatusError, model: Model) -> APIStatusError:
    """Return `error` as a `ModelInactiveError` if that is what `model` is, else `error` itself."""
    if model.is_deployed:
        return error
    better = ModelInactiveError(
        f"{model.id} is a custom model and is {model.deployment_status}. (Oxen: {error.message})",
        hint=f"Call client.catalog.activate({model.id!r}, wait=True), or use "
        f"`with client.catalog.deployed({model.id!r})`, which also ends its billing.",
        **_kept(error),
    )
    better.partial = error.partial
    return better


def _kept(error: APIStatusError) -> dict[str, Any]:
    return {
        "response": error.response,
        "body": error.body,
        "status_code": error.status_code,
        "request": error.__dict__.get("request"),
    }
