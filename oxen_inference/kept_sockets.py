"""Connections of an asynchronous client that know their sockets, since to find them takes time.

Nothing depends on it but speed.
"""

from __future__ import annotations

import select
from typing import Any


def keep_sockets(http_client: Any) -> Any:
    """Have the connections of a new asynchronous client know their sockets, and return it.

    Its pool looks at each idle connection twice a request. To find the socket again takes most of
    that time, a fifth of what a request takes where sixteen connections are kept.
    """
    pool: Any = getattr(getattr(http_client, "_transport", None), "_pool", None)
    backend = getattr(pool, "_network_backend", None)
    if backend is not None and hasattr(select, "poll"):  # Windows has none
        pool._network_backend = _Backend(backend)
    return http_client


class _Backend:
    """Makes connections that know their sockets; see `keep_sockets`."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> _Stream:
        return _Stream(await self._backend.connect_tcp(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class _Stream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._socket = stream.get_extra_info("socket")
        self._poll: Any = None

    def get_extra_info(self, info: str) -> Any:
        if info != "is_readable" or self._socket is None:
            return self._stream.get_extra_info(info)
        if self._socket.fileno() < 0:
            return True  # it is closed, and to read it would tell so
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._socket.fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    async def start_tls(self, *args: Any, **kwargs: Any) -> _Stream:
        return _Stream(await self._stream.start_tls(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
