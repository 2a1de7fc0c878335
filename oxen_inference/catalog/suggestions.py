"""Better errors for names that are not known: the closest ones, and what a model lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any

from oxen_inference.catalog.models import Model
from oxen_inference.errors import APIStatusError, ModelInactiveError, ModelNotFoundError

_CUTOFF = 0.7
_BESIDE_THE_BEST = 0.23  # a name that is much less close than the closest was not meant
_SHORTEST_PART = 3  # letters of a name that may stand for all of it
_MAY_MEAN_INACTIVE = frozenset({400, 403, 404, 409, 422, 503})


def did_you_mean(name: str, known: Iterable[str], *, limit: int = 3) -> tuple[str, ...]:
    """Return the closest of `known`, best first; nothing where none is close."""
    scored = [(_closeness(name, other), other) for other in known]
    best = max((closeness for closeness, _ in scored), default=0.0)
    near = [pair for pair in scored if pair[0] >= max(_CUTOFF, best - _BESIDE_THE_BEST)]
    near.sort(key=lambda pair: (-pair[0], pair[1]))
    return tuple(other for _, other in near[:limit])


def suggestion(names: tuple[str, ...]) -> str:
    """Return the sentence "Did you mean …?", or nothing."""
    if not names:
        return ""
    *first, last = names
    return f"Did you mean {', '.join(first)} or {last}?" if first else f"Did you mean {last}?"


def unknown_model(error: APIStatusError, model_id: str, known: Iterable[str]) -> APIStatusError:
    """Return `error` as a `ModelNotFoundError` with the closest of the `known` ids.

    An id that is known was not the problem: then `error` itself.
    """
    ids = list(known)
    if model_id in ids:
        return error
    near = did_you_mean(model_id, ids)
    # Where a route is missing, Oxen's text does not name the model.
    message = error.message if model_id in error.message else f"Model not found: {model_id}"
    hint = suggestion(near) or error.hint
    better = ModelNotFoundError(message, hint=hint, **_kept(error))
    better.suggestions = near
    better.partial = error.partial
    return better


def could_be_inactive(error: APIStatusError, model: Model | None) -> bool:
    """Whether a refusal may be about a deployment; `model` is the known entry, if there is one."""
    if isinstance(error, ModelNotFoundError) or error.status_code not in _MAY_MEAN_INACTIVE:
        return False
    if model is not None:
        return model.is_custom
    text = error.message.lower()
    return any(word in text for word in ("activ", "deploy"))


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


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.lower())


def _closeness(name: str, known: str) -> float:
    wanted, other = _letters(name), _letters(known)
    if not wanted or not other:
        return 0.0
    matcher = SequenceMatcher(None, wanted, other)
    alike = matcher.ratio() if matcher.quick_ratio() >= _CUTOFF else 0.0
    if len(wanted) < _SHORTEST_PART:
        return alike
    shared = min(len(wanted), len(other)) / max(len(wanted), len(other))
    if other.startswith(wanted) or _is_among(_words(name), _words(known)):
        # The beginning of a name, or some of its words, may stand for it, however long it is.
        return max(alike, _CUTOFF + (1 - _CUTOFF) * shared)
    if wanted.startswith(other):
        # A date or version too many is as likely as a typing error.
        return max(alike, 0.57 + 0.43 * shared)
    return alike


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())


def _is_among(words: list[str], others: list[str]) -> bool:
    spots = range(len(others) - len(words) + 1)
    return any(others[spot : spot + len(words)] == words for spot in spots)


def _kept(error: APIStatusError) -> dict[str, Any]:
    return {
        "response": error.response,
        "body": error.body,
        "status_code": error.status_code,
        "request": error.__dict__.get("request"),
    }
