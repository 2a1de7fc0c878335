"""The clients behind one model object: made at first use, never copied or pickled with it."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.loops import LoopClients


class Clients:
    """One synchronous client, and an asynchronous one for each event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sync: OxenClient | None = None
        self._async: LoopClients[AsyncOxenClient] | None = None

    @property
    def has_sync(self) -> bool:
        """Whether the synchronous client has been made."""
        return self._sync is not None

    def sync(self, settings: Callable[[], Mapping[str, Any]], http_client: Any) -> OxenClient:
        """Return the synchronous client; `settings` are asked for when it has to be made."""
        if self._sync is None:
            from oxen_inference.client import OxenClient

            with self._lock:
                if self._sync is None:
                    self._sync = OxenClient(http_client=http_client, **settings())
        return self._sync

    def asynchronous(
        self, settings: Callable[[], Mapping[str, Any]], http_client: Any
    ) -> AsyncOxenClient:
        """Return the running loop's client; `settings` are asked for when it has to be made."""
        if self._async is None:
            from oxen_inference.client import AsyncOxenClient
            from oxen_inference.loops import LoopClients

            def make() -> AsyncOxenClient:
                given = settings()
                key = given.get("api_key")
                if callable(key):
                    given = {**given, "api_key": _awaitable(key)}
                return AsyncOxenClient(http_client=http_client, **given)

            with self._lock:
                if self._async is None:
                    self._async = LoopClients(make)
        return self._async.get()

    def close(self) -> None:
        """Close the synchronous client; the next use makes a new one."""
        with self._lock:
            client, self._sync = self._sync, None
        if client is not None and client.transport_is_ours:
            client.close()

    async def aclose(self) -> None:
        """Close the synchronous client and the running loop's."""
        self.close()
        if self._async is not None:
            await self._async.aclose()

    # Two models are the same model whatever connections each has open.

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clients)

    __hash__ = object.__hash__

    # Connections and locks belong to a process and an object; a copy starts without.

    def __copy__(self) -> Clients:
        return Clients()

    def __deepcopy__(self, memo: dict[int, Any]) -> Clients:
        return Clients()

    def __reduce__(self) -> tuple[type[Clients], tuple[()]]:
        return Clients, ()


def _awaitable(key: Callable[[], Any]) -> Callable[[], Awaitable[str]]:
    """Return a key function as the asynchronous SDK wants it."""

    async def ask() -> str:
        answer = key()
        return str(await answer if inspect.isawaitable(answer) else answer)

    return ask
