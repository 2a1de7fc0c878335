"""How a set of tools reaches Oxen: one client for all of them, one per event loop, none stored."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from oxen_inference.clients import ClientCache

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient, OxenClient


class Connection:
    """Copies are the same connection; a pickled one leaves its key and its clients behind.

    `client`: an `OxenClient` or `AsyncOxenClient` to use; its twin is made with its settings.
    `ledger` ``...`` means the default one. Unpickled, it finds its key in the environment.
    """

    def __init__(
        self,
        *,
        client: Any = None,
        api_key: Any = None,
        base_url: str | None = None,
        ledger: Any = ...,
    ) -> None:
        self._given = client
        self._api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        self._base_url = base_url
        self._ledger = ledger
        self._clients = ClientCache()
        self.session = f"session:{uuid.uuid4().hex}"
        """Stands for the conversation where a call belongs to no thread."""

    def __repr__(self) -> str:
        return f"Connection({self._base_url or 'from the environment'!r})"

    def __copy__(self) -> Connection:
        return self

    def __deepcopy__(self, _: Any) -> Connection:
        return self  # another one would watch the same jobs again

    def __reduce__(self) -> tuple[Any, ...]:
        from oxen_inference.ledger.store import Ledger

        settings = self._settings()
        ledger = settings.get("ledger", ...)
        known = ledger is None or isinstance(ledger, Ledger)
        return _rebuild, (settings["base_url"], ledger if known else ...)

    def check(self) -> None:
        """Raise `ConfigurationError` now if there is no key, or no usable base URL."""
        from oxen_inference.settings import resolve_api_key, resolve_base_url

        if self._given is None:
            resolve_api_key(self._api_key, base_url=resolve_base_url(self._base_url))

    def sync(self) -> OxenClient:
        """Return the blocking client."""
        from oxen_inference.client import OxenClient

        if isinstance(self._given, OxenClient):
            return self._given
        return self._clients.sync_client(self._settings(), None)

    async def running(self) -> AsyncOxenClient:
        """Return the client of the running loop."""
        # The first import of openai takes most of a second.
        module = await asyncio.to_thread(import_module, "oxen_inference.client")
        if isinstance(self._given, module.AsyncOxenClient):
            return self._given  # type: ignore[no-any-return]  # the class comes by its module
        return self._clients.async_client(self._settings(), None)

    def _settings(self) -> dict[str, Any]:
        if self._given is None:
            settings = {"api_key": self._api_key, "base_url": self._base_url}
            return settings if self._ledger is ... else {**settings, "ledger": self._ledger}
        provider = getattr(self._given, "_api_key_provider", None)  # the SDK's name for a callable
        is_usable = provider is not None and not inspect.iscoroutinefunction(provider)
        return {
            "api_key": provider if is_usable else self._given.api_key,
            "base_url": str(self._given.base_url),
            "ledger": self._given._oxen_ledger,
            "timeout": self._given.timeout,
            "max_retries": self._given.max_retries,
            "default_headers": self._given._custom_headers,
        }


def _rebuild(base_url: str | None, ledger: Any) -> Connection:
    return Connection(base_url=base_url, ledger=ledger)
