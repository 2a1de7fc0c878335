"""The clients behind one model object: made at first use, never copied or pickled with it."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.loops import LoopClients

C = TypeVar("C")

# A model that is given a new key before every request must not pile connections up. What is
# dropped is not closed: a request may be on its way, and the last one to use it lets it go.
_MOST_KEPT = 4


class Clients:
    """One synchronous client, and an asynchronous one for each event loop, per settings.

    A shallow copy of a model shares its holder, and any model's settings may be assigned to:
    each request is made with a client of the settings the model has by then. A developer's own
    HTTP client is part of them, and is never closed here.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sync: list[_Kept[OxenClient]] = []
        self._async: list[_Kept[LoopClients[AsyncOxenClient]]] = []

    def has_sync(self, settings: Mapping[str, Any], http_client: Any) -> bool:
        """Whether the synchronous client has been made."""
        return _find(self._sync, settings, http_client) is not None

    def sync(self, settings: Mapping[str, Any], http_client: Any) -> OxenClient:
        """Return the synchronous client for `settings`, what `OxenClient` takes."""
        kept = _find(self._sync, settings, http_client)
        if kept is None:
            from oxen_inference.client import OxenClient

            with self._lock:
                kept = _find(self._sync, settings, http_client)
                if kept is None:  # pragma: no branch - another thread may have been faster
                    client = OxenClient(http_client=http_client, **settings)
                    kept = _Kept(settings, http_client, client)
                    self._sync = [kept, *self._sync[: _MOST_KEPT - 1]]
        return kept.client

    def asynchronous(self, settings: Mapping[str, Any], http_client: Any) -> AsyncOxenClient:
        """Return the running loop's client for `settings`, what `AsyncOxenClient` takes."""
        kept = _find(self._async, settings, http_client)
        if kept is None:
            from oxen_inference.client import AsyncOxenClient
            from oxen_inference.loops import LoopClients

            given = dict(settings)
            if callable(key := given.get("api_key")):
                given["api_key"] = _awaitable(key)

            def make() -> AsyncOxenClient:
                return AsyncOxenClient(http_client=http_client, **given)

            with self._lock:
                kept = _find(self._async, settings, http_client)
                if kept is None:  # pragma: no branch - another thread may have been faster
                    kept = _Kept(settings, http_client, LoopClients(make))
                    self._async = [kept, *self._async[: _MOST_KEPT - 1]]
        return kept.client.get()

    def close(self, settings: Mapping[str, Any], http_client: Any) -> None:
        """Close the synchronous client for `settings`; the next use makes a new one."""
        with self._lock:
            kept = _find(self._sync, settings, http_client)
            self._sync = [each for each in self._sync if each is not kept]
        if kept is not None and kept.client.transport_is_ours:
            kept.client.close()

    async def aclose(self, settings: Mapping[str, Any], http_client: Any) -> None:
        """Close the running loop's client for `settings`."""
        kept = _find(self._async, settings, http_client)
        if kept is not None:
            await kept.client.aclose()

    # Two models are the same model whatever connections each has open.

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clients)

    __hash__ = object.__hash__

    # Connections and locks belong to a process and an object; a copy or a pickle starts without.

    def __reduce__(self) -> tuple[type[Clients], tuple[()]]:
        return Clients, ()


class _Kept(Generic[C]):
    __slots__ = ("client", "http_client", "settings")

    def __init__(self, settings: Mapping[str, Any], http_client: Any, client: C) -> None:
        # Headers may be changed in place, which must be noticed.
        self.settings = {k: dict(v) if isinstance(v, Mapping) else v for k, v in settings.items()}
        self.http_client = http_client
        self.client = client


def _find(kept: list[_Kept[C]], settings: Mapping[str, Any], http_client: Any) -> _Kept[C] | None:
    for each in kept:
        if each.http_client is http_client and each.settings == settings:
            return each
    return None


def _awaitable(key: Callable[[], Any]) -> Callable[[], Awaitable[str]]:
    """Return a key function as the asynchronous SDK wants it."""

    async def ask() -> str:
        answer = key()
        return str(await answer if inspect.isawaitable(answer) else answer)

    return ask
