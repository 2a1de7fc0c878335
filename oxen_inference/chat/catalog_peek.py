"""The catalog's word on a model, for answers that must not wait for it.

The list is fetched once, beside the first request. Where it is slow or fails the answer goes on
without it: after less than a second, which only the first ones wait, and without asking again for
a while. Even the catalog's
modules are only loaded while an answer is waited for.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future, wait
from time import monotonic
from typing import TYPE_CHECKING, Any

from oxen_inference.errors import OxenError

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.client import AsyncOxenClient, OxenClient

PATIENCE = 0.8
"""Seconds that an answer may be held up for its price."""

_GIVE_UP_AFTER = 3.0  # seconds; nobody waits for a fetch that is older than this
_FETCH_AGAIN_AFTER = 300.0  # seconds; until then prices hold
_TRY_AGAIN_AFTER = 60.0  # seconds since one that failed
_KEPT = "_oxen_catalog_peek"
_LOG = logging.getLogger("oxen_inference")


class _Peek:
    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._due = 0.0
        self._began = 0.0
        self._first_wait: float | None = None

    def known(self, model_id: str) -> Model | None:
        found: Model | None = self._client.catalog.cached(model_id)
        return found

    def _take_turn(self) -> bool:
        """Whether it is time to fetch, and for the caller to do it."""
        with self._lock:
            now = monotonic()
            if now < self._due:
                return False
            self._due = now + _FETCH_AGAIN_AFTER
            self._began = now
            self._first_wait = None
            return True

    def _failed(self, error: Exception) -> None:
        self._due = monotonic() + _TRY_AGAIN_AFTER
        _LOG.debug("the catalog could not be fetched: %s", error)

    def _wait_for(self, patience: float) -> float:
        """Return for how many seconds waiting still makes sense."""
        if patience <= 0:
            return 0.0
        now = monotonic()
        if self._first_wait is None:
            self._first_wait = now
        # What one answer has waited for in vain, the next ones do not wait for again.
        until = min(self._first_wait + patience, self._began + max(patience, _GIVE_UP_AFTER))
        return until - now


class CatalogPeek(_Peek):
    """For an `OxenClient`; it fetches in a thread."""

    _client: OxenClient
    _fetching: Future[None] | None = None

    @classmethod
    def of(cls, client: OxenClient) -> CatalogPeek:
        """Return the client's own one: it belongs to one hub and key."""
        peek: Any = client.__dict__.get(_KEPT) or cls(client)
        kept: CatalogPeek = client.__dict__.setdefault(_KEPT, peek)
        return kept

    def start(self) -> None:
        """Have the catalog fetched, if it is time to; returns at once."""
        if self._take_turn():
            self._fetching = Future()
            threading.Thread(target=self._fetch, name="oxen-catalog", daemon=True).start()

    def model(self, model_id: str, patience: float = PATIENCE) -> Model | None:
        """Return the model's entry, where it is known by now or within `patience` seconds."""
        found = self.known(model_id)
        if found is None and self._fetching and (seconds := self._wait_for(patience)) > 0:
            wait([self._fetching], seconds)
            found = self.known(model_id)
        return found

    def _fetch(self) -> None:
        assert self._fetching is not None  # noqa: S101 - set by `start`
        try:
            self._client.catalog.list()
        except OxenError as error:
            self._failed(error)
        finally:
            self._fetching.set_result(None)


class AsyncCatalogPeek(_Peek):
    """For an `AsyncOxenClient`; it fetches in a task."""

    _client: AsyncOxenClient
    _fetching: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, client: AsyncOxenClient) -> AsyncCatalogPeek:
        """Return the client's own one: it belongs to one hub, key and loop."""
        peek: Any = client.__dict__.get(_KEPT) or cls(client)
        kept: AsyncCatalogPeek = client.__dict__.setdefault(_KEPT, peek)
        return kept

    def start(self) -> None:
        """Have the catalog fetched, if it is time to; returns at once."""
        if self._take_turn():
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())

    async def model(self, model_id: str, patience: float = PATIENCE) -> Model | None:
        """Return the model's entry, where it is known by now or within `patience` seconds."""
        found = self.known(model_id)
        if found is None and self._fetching and (seconds := self._wait_for(patience)) > 0:
            await asyncio.wait([self._fetching], timeout=seconds)
            found = self.known(model_id)
        return found

    async def _fetch(self) -> None:
        try:
            await self._client.catalog.list()
        except OxenError as error:
            self._failed(error)
