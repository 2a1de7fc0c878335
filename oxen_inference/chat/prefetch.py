"""The catalog's entry of a model, for answers that must not wait for the catalog.

The catalog is fetched once, while the first request runs. Where that is slow or fails, answers go
on without it: only the first ones wait, for less than a second, and the catalog is not fetched
again for a while. The catalog's modules, too, are imported only while an answer is awaited.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future, wait
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from oxen_inference.locks import Lock

if TYPE_CHECKING:
    from oxen_inference.catalog.facade import AsyncCatalog, Catalog
    from oxen_inference.catalog.models import Model

PRICE_TIMEOUT = 0.8
"""Seconds that an answer may wait for its price."""

_MAX_FETCH_AGE = 3.0  # seconds; no answer waits for a fetch that runs longer than this
_REFRESH_AFTER = 300.0  # seconds for which prices are taken to hold
_RETRY_AFTER = 60.0  # seconds after a fetch that failed
_ATTRIBUTE = "_oxen_catalog_prefetch"
_LOG = logging.getLogger("oxen_inference")


class _HasCatalog(Protocol):
    @property
    def catalog(self) -> Catalog: ...


class _HasAsyncCatalog(Protocol):
    @property
    def catalog(self) -> AsyncCatalog: ...


class _Prefetch:
    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = Lock()
        self._next_fetch = 0.0
        self._started_at = 0.0
        self._first_wait: float | None = None

    def cached(self, model_id: str) -> Model | None:
        """Return the model's entry if it is known. Never waits."""
        found: Model | None = self._client.catalog.cached(model_id)
        return found

    def _claim_fetch(self) -> bool:
        """Whether a fetch is due. If so, the caller must make it."""
        with self._lock:
            now = monotonic()
            if now < self._next_fetch:
                return False
            self._next_fetch = now + _REFRESH_AFTER
            self._started_at = now
            self._first_wait = None
            return True

    def _record_failure(self, error: Exception) -> None:
        self._next_fetch = monotonic() + _RETRY_AFTER
        _LOG.debug("the catalog could not be fetched: %s", error)

    def _remaining(self, timeout: float) -> float:
        """Return for how many seconds an answer should wait."""
        if timeout <= 0:
            return 0.0
        now = monotonic()
        if self._first_wait is None:
            self._first_wait = now
        # All answers share one timeout, so that they do not wait one after the other.
        until = min(self._first_wait + timeout, self._started_at + max(timeout, _MAX_FETCH_AGE))
        return until - now


class CatalogPrefetch(_Prefetch):
    """Fetches the catalog in a thread, for a synchronous client."""

    _client: _HasCatalog
    _fetching: Future[None] | None = None

    @classmethod
    def of(cls, client: _HasCatalog) -> CatalogPrefetch:
        """Return the prefetch of a client, which holds for one base URL and key."""
        prefetch: Any = client.__dict__.get(_ATTRIBUTE) or cls(client)
        shared: CatalogPrefetch = client.__dict__.setdefault(_ATTRIBUTE, prefetch)
        return shared

    def start(self) -> None:
        """Start a fetch if one is due. Returns at once."""
        if self._claim_fetch():
            self._fetching = Future()
            threading.Thread(target=self._fetch, name="oxen-catalog", daemon=True).start()

    def model(self, model_id: str, timeout: float = PRICE_TIMEOUT) -> Model | None:
        """Return the model's entry, or None if it is not known within `timeout` seconds."""
        found = self.cached(model_id)
        if found is None and self._fetching and (seconds := self._remaining(timeout)) > 0:
            wait([self._fetching], seconds)
            found = self.cached(model_id)
        return found

    def _fetch(self) -> None:
        assert self._fetching is not None  # noqa: S101 - set by `start`
        try:
            self._client.catalog.list()
        except Exception as error:  # noqa: BLE001 - nobody waits for it to fail
            self._record_failure(error)
        finally:
            self._fetching.set_result(None)


class AsyncCatalogPrefetch(_Prefetch):
    """Fetches the catalog in a task, for an asynchronous client."""

    _client: _HasAsyncCatalog
    _fetching: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, client: _HasAsyncCatalog) -> AsyncCatalogPrefetch:
        """Return the prefetch of a client, which holds for one base URL, key and event loop."""
        prefetch: Any = client.__dict__.get(_ATTRIBUTE) or cls(client)
        shared: AsyncCatalogPrefetch = client.__dict__.setdefault(_ATTRIBUTE, prefetch)
        return shared

    def start(self) -> None:
        """Start a fetch if one is due. Returns at once."""
        if self._claim_fetch():
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())

    async def model(self, model_id: str, timeout: float = PRICE_TIMEOUT) -> Model | None:
        """Return the model's entry, or None if it is not known within `timeout` seconds."""
        found = self.cached(model_id)
        if found is None and self._fetching and (seconds := self._remaining(timeout)) > 0:
            await asyncio.wait([self._fetching], timeout=seconds)
            found = self.cached(model_id)
        return found

    async def _fetch(self) -> None:
        try:
            await self._client.catalog.list()
        except Exception as error:  # noqa: BLE001 - nobody waits for it to fail
            self._record_failure(error)
