"""How a set of tools reaches Oxen: one client for all of them, and one for each event loop."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from oxen_inference.client_settings import (
    media_settings_of,
    refuse_beside_client,
    set_media_settings,
    settings_of,
    without_key_or_ledger,
)
from oxen_inference.clients import ClientCache

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient, OxenClient


class Connection:
    """Copies are the same connection; a pickled one leaves its key and its clients behind.

    `client`: an `OxenClient` or `AsyncOxenClient`; the other kind is made with its settings, all
    but its HTTP client. `ledger`: ``...`` means the default one. `options` and `media` are what
    else clients are made with. After unpickling, it is the same ledger, and the key comes from the
    environment.
    """

    def __init__(
        self,
        *,
        client: Any = None,
        api_key: Any = None,
        base_url: str | None = None,
        ledger: Any = ...,
        options: Mapping[str, Any] | None = None,
        media: Mapping[str, Any] | None = None,
    ) -> None:
        self._client = client
        self._api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        self._base_url = base_url
        self._ledger = ledger
        self._options = dict(options or {})
        self._media = dict(media or {})
        self._clients = ClientCache()
        self.session = f"session:{uuid.uuid4().hex}"
        """The conversation of calls that belong to no thread."""

    def __repr__(self) -> str:
        return f"Connection({self._base_url or 'from the environment'!r})"

    def __copy__(self) -> Connection:
        return self

    def __deepcopy__(self, _: Any) -> Connection:
        return self  # a second connection would poll the same jobs again

    def __reduce__(self) -> tuple[Any, ...]:
        from oxen_inference.ledger.store import Ledger, default_ledger

        settings = self._settings()
        ledger = settings.get("ledger", ...)
        if ledger is ...:  # of this machine: another one's would be another ledger
            ledger = default_ledger()
        travels = without_key_or_ledger(settings)
        url = travels.pop("base_url")
        ledger = None if ledger is None else Ledger.of(ledger)
        return _rebuild, (url, ledger, travels, self._media_settings())

    def check(self) -> None:
        """Raise `ConfigurationError` now if there is no key, or no usable base URL."""
        from oxen_inference.settings import resolve_api_key, resolve_base_url

        if self._client is None:
            resolve_api_key(self._api_key, base_url=resolve_base_url(self._base_url))

    def get_client(self) -> OxenClient:
        """Return the blocking client."""
        from oxen_inference.client import OxenClient

        if isinstance(self._client, OxenClient):
            return self._client
        made = self._clients.sync_client(self._settings(), None)
        set_media_settings(made, self._media_settings())
        return made

    async def get_async_client(self) -> AsyncOxenClient:
        """Return the client of the running loop."""
        # The first import of openai takes most of a second.
        module = await asyncio.to_thread(import_module, "oxen_inference.client")
        if isinstance(self._client, module.AsyncOxenClient):
            return self._client  # type: ignore[no-any-return]  # the class comes by its module
        made = self._clients.async_client(self._settings(), None)
        set_media_settings(made, self._media_settings())
        return made

    def _settings(self) -> dict[str, Any]:
        if self._client is not None:
            return settings_of(self._client)
        settings = {**self._options, "api_key": self._api_key, "base_url": self._base_url}
        return settings if self._ledger is ... else {**settings, "ledger": self._ledger}

    def _media_settings(self) -> dict[str, Any]:
        # Asked for at each call: they are set after the client was made.
        return self._media if self._client is None else media_settings_of(self._client)


def connection_for(
    client: Any, api_key: Any, base_url: Any, ledger: Any, budget: Any
) -> Connection:
    """Return the connection for such settings. Raises `ConfigurationError` if they are unusable."""
    if client is not None:
        refuse_beside_client(api_key, base_url, None if ledger is ... else "given")
    if client is None and ledger is ... and getattr(budget, "ledger", None) is not None:
        ledger = budget.ledger  # intent and reservation in one transaction
    connection = Connection(client=client, api_key=api_key, base_url=base_url, ledger=ledger)
    connection.check()
    return connection


def _rebuild(
    base_url: str | None, ledger: Any, options: Mapping[str, Any], media: Mapping[str, Any]
) -> Connection:
    return Connection(base_url=base_url, ledger=ledger, options=options, media=media)
