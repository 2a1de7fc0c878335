"""The clients that tools share: made when first needed, one per event loop, never stored."""

from __future__ import annotations

import asyncio
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from oxen_inference.loops import LoopClients

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient, OxenClient


class Connection:
    """How to reach Oxen. Copies share it; a pickled one leaves its key and clients behind.

    `client`: an `OxenClient` or `AsyncOxenClient` to use; its twin is made with its settings.
    `journal` ``...`` means the default one. Unpickled, it finds its key in the environment.
    """

    def __init__(
        self,
        *,
        client: Any = None,
        api_key: Any = None,
        base_url: str | None = None,
        journal: Any = ...,
    ) -> None:
        self._api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        self._base_url = base_url
        self._journal = journal
        self._start(client)

    def _start(self, client: Any) -> None:
        self._given = client
        self._sync: OxenClient | None = None
        self._lock = threading.Lock()
        self._loops: LoopClients[AsyncOxenClient] = LoopClients(self._make_async)

    def __repr__(self) -> str:
        return f"Connection({self._base_url or 'from the environment'!r})"

    def __copy__(self) -> Connection:
        return self

    def __deepcopy__(self, _: Any) -> Connection:
        return self  # a copy would be a second watcher of the same jobs

    def __getstate__(self) -> dict[str, Any]:
        from oxen_inference.journal import Journal

        settings = self._settings()
        journal = settings.get("journal", ...)
        known = journal is None or isinstance(journal, Journal)
        return {"_base_url": settings["base_url"], "_journal": journal if known else ...}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._api_key = None
        self._base_url, self._journal = state["_base_url"], state["_journal"]
        self._start(None)

    def check(self) -> None:
        """Raise `ConfigurationError` now if there is no key, or no usable base URL."""
        from oxen_inference.settings import resolve_api_key, resolve_base_url

        if self._given is None:
            resolve_api_key(self._api_key, base_url=resolve_base_url(self._base_url))

    def sync(self) -> OxenClient:
        """Return the blocking client."""
        from oxen_inference.client import OxenClient

        with self._lock:
            if self._sync is None:
                given = self._given if isinstance(self._given, OxenClient) else None
                self._sync = given or OxenClient(**self._settings())
            return self._sync

    async def loop(self) -> AsyncOxenClient:
        """Return the client of the running loop."""
        # The first import of openai takes most of a second.
        module = await asyncio.to_thread(import_module, "oxen_inference.client")
        if isinstance(self._given, module.AsyncOxenClient):
            return self._given  # type: ignore[no-any-return]  # checked one line above
        return self._loops.get()

    def _make_async(self) -> AsyncOxenClient:
        from oxen_inference.client import AsyncOxenClient

        return AsyncOxenClient(**self._settings())

    def _settings(self) -> dict[str, Any]:
        if self._given is None:
            settings = {"api_key": self._api_key, "base_url": self._base_url}
            return settings if self._journal is ... else {**settings, "journal": self._journal}
        given = self._given
        return {
            "api_key": given.api_key,
            "base_url": str(given.base_url),
            "journal": given._oxen_journal,
            "timeout": given.timeout,
            "max_retries": given.max_retries,
            "default_headers": given._custom_headers,
        }
