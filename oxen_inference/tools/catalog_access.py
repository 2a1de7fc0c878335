"""How an adapter's object gets at the catalog: by the clients it was given, or its own."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from oxen_inference.client_settings import (
    refuse_beside_client,
    settings_of,
    without_key_or_ledger,
)

if TYPE_CHECKING:
    from oxen_inference.catalog.facade import AsyncCatalog
    from oxen_inference.catalog.filters import ModelList
    from oxen_inference.catalog.models import Model
    from oxen_inference.client import AsyncOxenClient, OxenClient

FILTERS = ("search", "developer", "provider", "action", "input", "output", "method", "deployed")
"""What `select` takes: `search`, or the filters of `client.catalog.list`."""


class CatalogAccess:
    """Sync and async reading of the catalog; clients are made when first needed.

    Async without an async client uses one of its own per call, for a client belongs to one event
    loop; where a sync client was given, that is used, in a thread. The key never shows.
    """

    def __init__(
        self,
        *,
        api_key: Any = None,
        base_url: str | None = None,
        client: OxenClient | None = None,
        async_client: AsyncOxenClient | None = None,
    ) -> None:
        if client is not None or async_client is not None:
            refuse_beside_client(api_key, base_url)
        self._options = {"api_key": api_key, "base_url": base_url}
        self._client = client
        self._given = client is not None
        self._async_client = async_client

    def __deepcopy__(self, _: object) -> CatalogAccess:
        return self  # clients hold locks, and a copy would only be a second way to the same hub

    def __getstate__(self) -> dict[str, Any]:
        # Neither clients nor keys travel: the environment of the other process has its own.
        options = without_key_or_ledger(self._settings())
        return {"_options": options, "_client": None, "_given": False, "_async_client": None}

    def _settings(self) -> dict[str, Any]:
        given = self._client if self._client is not None else self._async_client
        return self._options if given is None else settings_of(given)

    @property
    def client(self) -> OxenClient:
        """The sync client; made with the settings of the async one, if that alone was given."""
        from oxen_inference.client import OxenClient

        if self._client is None:
            self._client = OxenClient(**self._settings())
        return self._client

    def select(self, filters: Mapping[str, Any]) -> ModelList:
        """Return the models that pass `filters`, of which None ones do not count."""
        search, rest = checked_filters(filters)
        catalog = self.client.catalog
        return _said(catalog.list(**rest) if search is None else catalog.search(search))

    async def aselect(self, filters: Mapping[str, Any]) -> ModelList:
        """Do what `select` does without blocking the event loop."""
        if self._in_a_thread:
            return await asyncio.to_thread(self.select, filters)
        search, rest = checked_filters(filters)
        async with self._catalog() as catalog:
            found = await (catalog.list(**rest) if search is None else catalog.search(search))
        return _said(found)

    def get(self, model_id: str) -> Model:
        """Return one model. Raises `ModelNotFoundError`."""
        return self.client.catalog.get(model_id)

    async def aget(self, model_id: str) -> Model:
        """Do what `get` does without blocking the event loop."""
        if self._in_a_thread:
            return await asyncio.to_thread(self.get, model_id)
        async with self._catalog() as catalog:
            return await catalog.get(model_id)

    @property
    def _in_a_thread(self) -> bool:
        return self._given and self._async_client is None

    @asynccontextmanager
    async def _catalog(self) -> AsyncIterator[AsyncCatalog]:
        from oxen_inference.client import AsyncOxenClient

        if self._async_client is not None:
            yield self._async_client.catalog
            return
        async with AsyncOxenClient(**self._options) as client:
            yield client.catalog


def _said(models: ModelList) -> ModelList:
    """Warn of an empty list: documents, which are made of it, cannot say why there are none."""
    if models.reason:
        from oxen_inference.catalog.models import CatalogWarning

        reason = str(models.reason)
        stop = "" if reason.endswith("?") else "."
        warnings.warn(f"No models: {reason}{stop}", CatalogWarning, stacklevel=4)
    return models


def checked_filters(filters: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the search, or None, and the other filters. Raises `TypeError` or `ValueError`."""
    unknown = set(filters) - set(FILTERS)
    if unknown:
        known = ", ".join(FILTERS)
        raise TypeError(f"not a filter: {', '.join(sorted(unknown))}; there are {known}")
    given = {name: value for name, value in filters.items() if value is not None}
    search = given.pop("search", None)
    if search is not None and given:
        raise ValueError("Give search, or filters, not both: the hub offers one at a time.")
    return search, given
