"""What the sync and the async catalog have in common: everything but the sending."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlencode

from oxen_inference.catalog.cache import EVERYTHING, CatalogCache, Flight, Models, shared_cache
from oxen_inference.catalog.deployments import Progress, Waiting
from oxen_inference.catalog.models import CatalogWarning, Model
from oxen_inference.errors import OxenError
from oxen_inference.transport import Call

T = TypeVar("T")

DEFAULT_TTL = 300.0
"""Seconds for which an answer counts as fresh: prices may change."""

PATIENCE = 40.0
"""Seconds to wait for somebody else's fetch before making one's own."""

LOG = logging.getLogger("oxen_inference")

HURRY = 1.0
"""Seconds that an error may be held up for the ids that are closest."""

_ON_ERROR_PATHS = 10.0  # seconds that finding better words for an error may take


class SharedCatalog:
    """State and cache of a catalog."""

    def __init__(self, client: Any, *, ttl: float = DEFAULT_TTL) -> None:
        self._client = client
        self._ttl = ttl

    @property
    def _cache(self) -> CatalogCache:
        # The key is looked up each time: openai's clients let it be assigned.
        key = getattr(self._client, "_api_key_provider", None) or self._client.api_key
        return shared_cache(str(self._client.base_url), key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._client!r})"

    def cached(self, model_id: str) -> Model | None:
        """Return what is known of a model, however old, or None. Never fetches, never blocks."""
        return self._cache.peek(model_id)

    def clear(self) -> None:
        """Forget what was fetched with this client's hub and key."""
        self._cache.forget()

    def _known(self, model_id: str) -> Model | None:
        """A fresh description as full as the hub's answer for the one model would be."""
        one = self._cache.fresh(f"{EVERYTHING}/{model_id}", self._ttl)
        if one:
            return one[0]
        listed = self._cache.fresh(EVERYTHING, self._ttl) or ()
        found = next((model for model in listed if model.id == model_id), None)
        return found if found and (found.request_schema or found.is_chat) else None

    def _stale(self, flight: Flight, error: Exception) -> Models:
        """What serves instead of a failed fetch. Raises `error` where nothing does."""
        lasting = not isinstance(error, OxenError) or not error.is_retryable
        answer = self._cache.divert(flight, error, stale_allowed=not lasting)
        if answer is None:
            raise error
        age = self._cache.age(answer)
        warnings.warn(
            f"Oxen's catalog is {age / 60:.0f} minutes old, for the hub does not answer: {error}",
            CatalogWarning,
            stacklevel=4,
        )
        return answer.models


def waiting_for(
    wait: bool, timeout: float, poll_every: float, on_progress: Progress | None
) -> Waiting | None:
    if not wait:
        return None
    return Waiting(timeout=timeout, poll_every=poll_every, on_progress=on_progress)


def as_list(call: Call[Model]) -> Call[list[Model]]:
    read = call.read
    return Call(
        method=call.method,
        path=call.path,
        query=call.query,
        timeout=call.timeout,
        read=lambda payload: [read(payload)],
    )


def hurried(call: Call[T]) -> Call[T]:
    return replace(call, timeout=_ON_ERROR_PATHS, max_retries=0)


def key_of(path: str, query: Any = None) -> str:
    return f"{path}?{urlencode(sorted(query.items()))}" if query else path
