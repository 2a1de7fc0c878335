"""One asynchronous client per running event loop, closed with it.

A client's connections belong to the loop they were opened on: used from a second ``asyncio.run``
they fail, or silently send again.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar


class _Closable(Protocol):
    async def close(self) -> None: ...


C = TypeVar("C", bound=_Closable)


@dataclass(frozen=True, slots=True)
class _Held(Generic[C]):
    loop: weakref.ref[Any]
    client: C
    closing: AsyncGenerator[None, None]


class LoopClients(Generic[C]):
    """Makes a client for each event loop that asks, with `factory`, and forgets it with the loop.

    Safe to use from any thread. Nothing is made before `get`, and nothing is sent by it.
    """

    def __init__(self, factory: Callable[[], C]) -> None:
        self._factory = factory
        self._lock = threading.Lock()
        self._held: dict[int, _Held[C]] = {}
        weakref.finalize(self, _forget, self._held, idle=True)

    def get(self) -> C:
        """Return the client of the running loop."""
        loop = asyncio.get_running_loop()
        held = self._held.get(id(loop))
        # An id may be that of a dead loop, given to a new one.
        if held is not None and held.loop() is loop:
            return held.client
        with self._lock:
            _forget(self._held)
            client = self._factory()
            self._held[id(loop)] = _Held(weakref.ref(loop), client, _close_with_loop(client))
        return client

    async def aclose(self) -> None:
        """Close the running loop's client; the next `get` makes a new one."""
        with self._lock:
            held = self._held.pop(id(asyncio.get_running_loop()), None)
        if held is not None:
            await held.closing.aclose()


def _close_with_loop(client: _Closable) -> AsyncGenerator[None, None]:
    """Return a generator whose end closes `client`.

    ``asyncio.run`` and every runner like it end the asynchronous generators of their loop before
    they close it, and the garbage collector hands a lost one back to its loop: the two moments
    at which a client should be closed.
    """

    async def hold() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            # One that the developer brought serves others, too, and is theirs to close.
            if getattr(client, "transport_is_ours", True):
                await client.close()

    generator = hold()
    with suppress(StopIteration):
        generator.__anext__().send(None)
    return generator


def _forget(held: dict[int, _Held[Any]], *, idle: bool = False) -> None:
    """Drop the clients of closed loops, and of `idle` ones too where nobody will ask again."""
    for key, each in list(held.items()):
        loop = each.loop()
        if loop is None or loop.is_closed() or (idle and not loop.is_running()):
            # Nobody runs that loop any more, so the close is stepped by hand: it has nothing
            # left to wait for, and an unclosed session would complain on stderr.
            with suppress(StopIteration, Exception):
                each.closing.aclose().send(None)
            held.pop(key, None)
