"""The clients of one model object: made at first use, never copied or pickled with it.

`ClientHolder` is what a model object inherits, `ClientCache` has one client for each set of
settings, `LoopClients` one asynchronous client for each event loop.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from typing_extensions import Self

from oxen_inference.locks import Lock

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.client import AsyncOxenClient, OxenClient

_LOG = logging.getLogger("oxen_inference")
_CHAT_MODULE = "oxen_inference.chat.completions"

# A model that gets a new key before every request must not collect connections. Clients that are
# dropped are not closed: a request may still use them, and the last reference frees them.
_MAX_CLIENTS = 4


class ClientHolder:
    """Mixed in before the framework's own class. Clients are made at first use.

    A copied or unpickled model makes its own clients.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        # The model class declares it: an annotation here would become one of its fields.
        _clients: ClientCache

    # Not abstract: LlamaIndex wraps implementations of abstract methods in spans. They would record
    # the key, and a tracer that reads a property from within such a span would hang.

    def _client_settings(self) -> dict[str, Any]:
        """Return the arguments of `OxenClient` that are set, without the HTTP client."""
        raise NotImplementedError

    def _http_clients(self) -> tuple[Any, Any]:
        """Return the developer's own HTTP clients, synchronous and asynchronous, or None each."""
        raise NotImplementedError

    def _client(self) -> OxenClient:
        return self._clients.sync_client(self._client_settings(), self._http_clients()[0])

    @property
    def _has_client(self) -> bool:
        return self._clients.has_sync_client(self._client_settings(), self._http_clients()[0])

    async def _async_client(self) -> AsyncOxenClient:
        if _CHAT_MODULE not in sys.modules:
            # It imports openai, which takes most of a second and would block the event loop.
            await asyncio.to_thread(import_module, _CHAT_MODULE)
        return self._clients.async_client(self._client_settings(), self._http_clients()[1])

    def close(self) -> None:
        """Close the synchronous connections; the next call opens new ones."""
        self._clients.close(self._client_settings(), self._http_clients()[0])

    async def aclose(self) -> None:
        """Close the synchronous connections and those of the running event loop."""
        self.close()
        await self._clients.aclose(self._client_settings(), self._http_clients()[1])

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
        for http_client in self._http_clients():
            memo[id(http_client)] = http_client  # it holds locks, and the copies share it
        copied: Self = super().__deepcopy__(memo)  # type: ignore[misc]  # the framework's class
        return copied

    def _catalog_entry(self, model_id: str, timeout: float) -> Model | None:
        """Return a model's entry in the catalog, or None if it is not there in `timeout` seconds.

        Inside a running event loop, which waiting would block, it returns the entry only if it is
        known already, and starts the fetch.
        """
        if not _in_event_loop():
            return self._fetch_entry(model_id, timeout)
        if self._has_client:
            return self._fetch_entry(model_id, 0.0)
        # To make the first client imports openai, which takes most of a second.
        threading.Thread(target=self._prefetch_entry, args=(model_id,), daemon=True).start()
        return None

    def _known_entry(self, model_id: str) -> Model | None:
        """Return a model's entry in the catalog if it is there already. Fetches nothing."""
        return self._client().catalog.cached(model_id) if self._has_client else None

    def _prefetch_entry(self, model_id: str) -> None:
        try:
            self._fetch_entry(model_id, 0.0)
        except Exception as error:  # noqa: BLE001 - nobody waits for it; the request says what is wrong
            _LOG.debug("the catalog could not be fetched: %r", error)

    def _fetch_entry(self, model_id: str, timeout: float) -> Model | None:
        from oxen_inference.chat.prefetch import CatalogPrefetch

        prefetch = CatalogPrefetch.of(self._client())
        if prefetch.cached(model_id) is None:
            prefetch.start()
        return prefetch.model(model_id, timeout)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class ClientCache:
    """One synchronous client, and one asynchronous client per event loop, for each set of settings.

    Shallow copies of a model share its cache, and the settings of a model may change: each request
    uses a client with the settings that its model has at that moment. The developer's own HTTP
    client is one of the settings; it is never closed here.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._sync: list[_Entry[OxenClient]] = []
        self._async: list[_Entry[LoopClients[AsyncOxenClient]]] = []

    def has_sync_client(self, settings: Mapping[str, Any], http_client: Any) -> bool:
        """Whether the synchronous client was made."""
        return _find(self._sync, settings, http_client) is not None

    def sync_client(self, settings: Mapping[str, Any], http_client: Any) -> OxenClient:
        """Return the synchronous client for `settings`, which are arguments of `OxenClient`."""
        entry = _find(self._sync, settings, http_client)
        if entry is None:
            from oxen_inference.client import OxenClient

            with self._lock:
                entry = _find(self._sync, settings, http_client)
                if entry is None:  # pragma: no branch - another thread may have been faster
                    client = OxenClient(http_client=http_client, **settings)
                    entry = _Entry(settings, http_client, client)
                    self._sync = [entry, *self._sync[: _MAX_CLIENTS - 1]]
        return entry.client

    def async_client(self, settings: Mapping[str, Any], http_client: Any) -> AsyncOxenClient:
        """Return the running loop's client for `settings`, arguments of `AsyncOxenClient`."""
        entry = _find(self._async, settings, http_client)
        if entry is None:
            from oxen_inference.client import AsyncOxenClient

            arguments = dict(settings)

            def make_client() -> AsyncOxenClient:
                return AsyncOxenClient(http_client=http_client, **arguments)

            with self._lock:
                entry = _find(self._async, settings, http_client)
                if entry is None:  # pragma: no branch - another thread may have been faster
                    entry = _Entry(settings, http_client, LoopClients(make_client))
                    self._async = [entry, *self._async[: _MAX_CLIENTS - 1]]
        return entry.client.get()

    def close(self, settings: Mapping[str, Any], http_client: Any) -> None:
        """Close the synchronous client for `settings`; the next use makes a new one."""
        with self._lock:
            entry = _find(self._sync, settings, http_client)
            self._sync = [item for item in self._sync if item is not entry]
        if entry is not None and entry.client.transport_is_ours:
            entry.client.close()

    async def aclose(self, settings: Mapping[str, Any], http_client: Any) -> None:
        """Close the running loop's client for `settings`."""
        entry = _find(self._async, settings, http_client)
        if entry is not None:
            await entry.client.aclose()

    # Open connections do not make two models different.

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClientCache)

    __hash__ = object.__hash__

    # Connections and locks belong to one process and one object; a copy or a pickle has none.

    def __reduce__(self) -> tuple[type[ClientCache], tuple[()]]:
        return ClientCache, ()


class _Closable(Protocol):
    async def close(self) -> None: ...


T = TypeVar("T")
C = TypeVar("C", bound=_Closable)


class _Entry(Generic[T]):
    __slots__ = ("client", "http_client", "settings")

    def __init__(self, settings: Mapping[str, Any], http_client: Any, client: T) -> None:
        # Mappings are copied, because headers that are changed in place make other settings.
        self.settings = {k: dict(v) if isinstance(v, Mapping) else v for k, v in settings.items()}
        self.http_client = http_client
        self.client = client


def _find(
    entries: list[_Entry[T]], settings: Mapping[str, Any], http_client: Any
) -> _Entry[T] | None:
    for entry in entries:
        if entry.http_client is http_client and entry.settings == settings:
            return entry
    return None


@dataclass(frozen=True, slots=True)
class _LoopClient(Generic[C]):
    loop: weakref.ref[Any]
    client: C
    closing: AsyncGenerator[None, None]


class LoopClients(Generic[C]):
    """Makes one client per event loop with `factory`, and drops it with the loop.

    A client's connections belong to the loop they were opened on: from a second ``asyncio.run``
    they fail, or silently send again. Thread-safe.
    """

    def __init__(self, factory: Callable[[], C]) -> None:
        self._factory = factory
        self._lock = Lock()
        self._by_loop: dict[int, _LoopClient[C]] = {}
        weakref.finalize(self, _drop_dead, self._by_loop, idle=True)

    def get(self) -> C:
        """Return the client of the running loop."""
        loop = asyncio.get_running_loop()
        entry = self._by_loop.get(id(loop))
        # A new loop may have the id of one that is gone.
        if entry is not None and entry.loop() is loop:
            return entry.client
        with self._lock:
            _drop_dead(self._by_loop)
            client = self._factory()
            closing = _close_with_loop(client)
            self._by_loop[id(loop)] = _LoopClient(weakref.ref(loop), client, closing)
        return client

    async def aclose(self) -> None:
        """Close the running loop's client; the next `get` makes a new one."""
        with self._lock:
            entry = self._by_loop.pop(id(asyncio.get_running_loop()), None)
        if entry is not None:
            await entry.closing.aclose()


def _close_with_loop(client: _Closable) -> AsyncGenerator[None, None]:
    """Return a started generator that closes `client` when it ends.

    ``asyncio.run`` ends the asynchronous generators of its loop before it closes the loop, and the
    garbage collector returns an unreferenced one to its loop: at both moments the client should be
    closed.
    """

    async def close_at_end() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            # The developer's own HTTP client may have other users, so it is not closed.
            if getattr(client, "transport_is_ours", True):
                await client.close()

    generator = close_at_end()
    with suppress(StopIteration):
        generator.__anext__().send(None)
    return generator


def _drop_dead(by_loop: dict[int, _LoopClient[Any]], *, idle: bool = False) -> None:
    """Drop the clients of closed loops, with `idle` also those of loops that do not run."""
    for key, entry in list(by_loop.items()):
        loop = entry.loop()
        if loop is None or loop.is_closed() or (idle and not loop.is_running()):
            # No loop will run the close, so it is stepped by hand: it waits for nothing, and a
            # session that is not closed would print a warning.
            # StopIteration means that it is closed; anything else has nobody to hear it.
            with suppress(Exception):
                entry.closing.aclose().send(None)
            by_loop.pop(key, None)
