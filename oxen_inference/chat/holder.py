"""What a chat model object of either framework holds: its clients, and what they know of it."""

from __future__ import annotations

import asyncio
import sys
import threading
from abc import abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.clients import Clients

_CHAT = "oxen_inference.chat.stream"


class ClientHolder:
    """Mixed in before a framework's own class, which says how its clients are made.

    Clients are made at first use, one for each event loop, and never travel: a pickled or copied
    model makes its own.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        # Declared by the model class: as an annotation here it would become a field of it.
        _clients: Clients

    @abstractmethod
    def _client_settings(self) -> dict[str, Any]:
        """Return what `OxenClient` takes, without its HTTP client and what was not given."""

    @abstractmethod
    def _transports(self) -> tuple[Any, Any]:
        """Return the developer's own HTTP clients, for sync and for async, or None for each."""

    def _client(self) -> OxenClient:
        return self._clients.sync(self._client_settings(), self._transports()[0])

    @property
    def _has_client(self) -> bool:
        return self._clients.has_sync(self._client_settings(), self._transports()[0])

    async def _async_client(self) -> AsyncOxenClient:
        if _CHAT not in sys.modules:
            # It imports openai, which takes most of a second; the loop has other work to do.
            await asyncio.to_thread(import_module, _CHAT)
        return self._clients.asynchronous(self._client_settings(), self._transports()[1])

    def close(self) -> None:
        """Close the synchronous connections; the next call opens new ones."""
        self._clients.close(self._client_settings(), self._transports()[0])

    async def aclose(self) -> None:
        """Close the synchronous connections and the running loop's."""
        self.close()
        await self._clients.aclose(self._client_settings(), self._transports()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        for transport in self._transports():
            memo[id(transport)] = transport  # holds locks, and was brought to be shared
        copied: Self = super().__deepcopy__(memo)  # type: ignore[misc]  # the framework's class
        return copied

    def _catalog_entry(self, model_id: str, patience: float) -> Model | None:
        """Return a model's entry in the catalog, waiting for up to `patience` seconds.

        Inside a running event loop, which that would block, it is what is known by then, and the
        fetch goes on beside.
        """
        if not _in_running_loop():
            return self._look_up(model_id, patience)
        if self._has_client:
            return self._look_up(model_id, 0.0)
        # Making the first client imports openai, which takes most of a second.
        threading.Thread(target=self._look_up, args=(model_id, 0.0), daemon=True).start()
        return None

    def _look_up(self, model_id: str, patience: float) -> Model | None:
        from oxen_inference.chat.catalog_peek import CatalogPeek

        peek = CatalogPeek.of(self._client())
        if peek.known(model_id) is None:
            peek.start()
        return peek.model(model_id, patience)


def _in_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
