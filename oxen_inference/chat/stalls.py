"""Connections that stall or break while an answer arrives, and reuse of those that do not."""

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

# A response that is not read to its end, even if only its last empty chunk is missing, closes the
# connection: every streamed answer would need a new handshake. But a server that sends nothing
# after [DONE] must not delay the caller.
_DRAIN_SECONDS = 0.1

_TIMEOUTS = ("ReadTimeout", "TimeoutException")


class StallDetector:
    """Detects that no part of the answer arrives, even while keep-alive comments do.

    `timeout`: seconds, or an `openai.Timeout`; None never expires.
    """

    __slots__ = ("_last_data", "_reader", "_timeout")

    def __init__(self, reader: AnswerReader, timeout: Any) -> None:
        timeout = getattr(timeout, "read", timeout)
        self._timeout = timeout if isinstance(timeout, int | float) else None
        self._reader = reader
        self._last_data = monotonic()

    def expired(self, *, has_data: bool) -> bool:
        """Whether the timeout has passed after an answer that is complete.

        `has_data`: whether part of the answer has arrived now. Raises `StreamStalledError` where
        the timeout has passed and the answer is incomplete.
        """
        if self._timeout is None:
            return False
        if has_data:
            self._last_data = monotonic()
            return False
        if monotonic() - self._last_data <= self._timeout:
            return False
        if self._reader.finished:
            return True
        raise self._stalled()

    def raise_if_incomplete(self, error: Exception) -> None:
        """Raise the typed error for a transport's error, unless the answer is complete."""
        if self._reader.finished:
            return
        # By name: aiohttp reports a lost connection as a ConnectTimeout.
        if isinstance(error, TimeoutError) or type(error).__name__ in _TIMEOUTS:
            raise self._stalled() from error
        cause = str(error) or type(error).__name__
        raise StreamCutOffError(
            f"The connection broke in the middle of the answer: {cause}.",
            partial=self._reader.answer(),
            hint="Asking again may help.",
        ) from error

    def _stalled(self) -> StreamStalledError:
        return StreamStalledError(
            f"The answer stalled: nothing arrived for {self._timeout:g} seconds.",
            partial=self._reader.answer(),
            hint="Asking again, or a longer timeout, may help.",
        )


def drain(response: Any, chunks: Iterator[bytes]) -> None:
    """Read the end of a response after [DONE], so that its connection can be used again."""
    stream = response.extensions.get("network_stream")
    connection = stream and stream.get_extra_info("socket")
    if connection is None:
        return
    timer = threading.Timer(_DRAIN_SECONDS, _shut_down, (connection,))
    timer.daemon = True
    timer.start()
    # The answer is complete, so an error of the transport no longer matters.
    with suppress(Exception):
        next(chunks, None)
    timer.cancel()


async def adrain(chunks: AsyncIterator[bytes]) -> None:
    """Read the end of a response after [DONE]; see `drain`."""
    with anyio.move_on_after(_DRAIN_SECONDS), suppress(Exception):
        await anext(chunks, None)


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
