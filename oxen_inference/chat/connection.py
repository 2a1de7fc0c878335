"""What a connection does while an answer comes over it: it breaks, stalls, and is given back."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any

import anyio

from oxen_inference.chat.normalize import AnswerReader
from oxen_inference.errors import StreamCutOffError, StreamStalledError

# A body left unread, be it only by its last empty chunk, costs the connection: a new handshake
# for every streamed answer. A server that stays silent after [DONE] must not hold anyone up.
_DRAIN_SECONDS = 0.1

_TIMEOUTS = ("ReadTimeout", "TimeoutException")


class Silence:
    """Notices that an answer has stalled, be it behind keep-alive comments.

    `timeout`: the seconds allowed; None means the client's own.
    """

    __slots__ = ("_limit", "_reader", "_since")

    def __init__(self, reader: AnswerReader, client: Any, timeout: float | None) -> None:
        allowed = client.timeout if timeout is None else timeout
        allowed = getattr(allowed, "read", allowed)
        self._limit = allowed if isinstance(allowed, int | float) else None
        self._reader = reader
        self._since = monotonic()

    def is_over(self, *, heard: bool) -> bool:
        """Whether a whole answer's end need not be waited for. Raises `StreamStalledError`."""
        if self._limit is None:
            return False
        now = monotonic()
        if heard:
            self._since = now
        if now - self._since <= self._limit:
            return False
        if self._reader.finished:
            return True
        raise self._stalled()

    def broken(self, error: Exception) -> None:
        """Raise the typed error for a failed transport, unless the answer is whole already."""
        if self._reader.finished:
            return
        # By name: a connection lost under aiohttp is passed on as a ConnectTimeout.
        if isinstance(error, TimeoutError) or type(error).__name__ in _TIMEOUTS:
            raise self._stalled() from error
        what = str(error) or type(error).__name__
        raise StreamCutOffError(
            f"The connection broke in the middle of the answer: {what}. Asking again may help.",
            partial=self._reader.answer(),
        ) from error

    def _stalled(self) -> StreamStalledError:
        return StreamStalledError(
            f"The answer stalled: nothing came for {self._limit:g} seconds. Asking again, or a "
            "longer timeout, may help.",
            partial=self._reader.answer(),
        )


def drain(response: Any, received: Iterator[bytes]) -> None:
    """Read the end of a body after [DONE], so that its connection can serve again."""
    stream = response.extensions.get("network_stream")
    connection = stream and stream.get_extra_info("socket")
    if connection is None:
        return
    guard = threading.Timer(_DRAIN_SECONDS, _hang_up, (connection,))
    guard.daemon = True
    guard.start()
    # The answer is whole; whatever the transport says now is of no consequence.
    with suppress(Exception):
        next(received, None)
    guard.cancel()


async def adrain(received: AsyncIterator[bytes]) -> None:
    """Read the end of a body after [DONE]; see `drain`."""
    with anyio.move_on_after(_DRAIN_SECONDS), suppress(Exception):
        await anext(received, None)


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
