"""The hub's stream of completion events: a hint that a job ended, never the record of it.

There is no buffering and no replay, canceled jobs send nothing, and other events share the
stream, so the state of a job always comes from the queue (https://docs.oxen.ai).
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import openai

from oxen_inference.generation import Generation
from oxen_inference.generation_reading import read_event
from oxen_inference.paths import absolute
from oxen_inference.transport import AsyncSender, Sender

COMPLETED = "media_generation_completed"


class _RawEvents(openai.Stream[Any]):
    """The SDK's event decoder, without its guesses about what the events mean."""

    def __stream__(self) -> Iterator[Any]:
        yield from self._iter_events()


class _AsyncRawEvents(openai.AsyncStream[Any]):
    async def __stream__(self) -> AsyncIterator[Any]:
        async for event in self._iter_events():
            yield event


class EventStream(Iterator[Generation]):
    """The completed generations that an open stream announces, as they come."""

    def __init__(self, stream: Any, client: Sender) -> None:
        self._stream = stream
        self._client = client
        self._jobs = (job for event in stream if (job := _read(event, client)) is not None)

    def __next__(self) -> Generation:
        try:
            return next(self._jobs)
        except StopIteration:
            raise
        except Exception as error:  # noqa: BLE001 - all of it is raised again
            typed = self._client.typed_error(error)
        raise typed

    def shut_down(self) -> None:
        """End the iteration from another thread, which closing the stream would not do."""
        network = self._stream.response.extensions.get("network_stream")
        connection = None if network is None else network.get_extra_info("socket")
        if connection is not None:
            with suppress(OSError):  # closed by the hub in the meantime
                connection.shutdown(socket.SHUT_RDWR)


class Events:
    """`OxenClient.events`."""

    def __init__(self, client: Sender) -> None:
        self._client = client

    @contextmanager
    def listen(self, *, timeout: float = 45.0) -> Iterator[EventStream]:
        """Open the stream; iterate over the completed generations it announces.

        `timeout`: seconds of silence after which the connection counts as dead (the hub sends a
        keep-alive every 15). Raises `APIConnectionError`, `APITimeoutError`, `APIStatusError`.
        """
        stream = self._client.get(
            absolute(str(self._client.base_url), self._client.paths.events),
            cast_to=object,
            options={"timeout": timeout, "max_retries": 0},
            stream=True,
            stream_cls=_RawEvents,
        )
        try:
            yield EventStream(stream, self._client)
        finally:
            stream.close()


class AsyncEvents:
    """`AsyncOxenClient.events`."""

    def __init__(self, client: AsyncSender) -> None:
        self._client = client

    @asynccontextmanager
    async def listen(self, *, timeout: float = 45.0) -> AsyncIterator[AsyncIterator[Generation]]:
        """Open the stream; iterate over the completed generations it announces.

        `timeout`: seconds of silence after which the connection counts as dead (the hub sends a
        keep-alive every 15). Raises `APIConnectionError`, `APITimeoutError`, `APIStatusError`.
        """
        stream = await self._client.get(
            absolute(str(self._client.base_url), self._client.paths.events),
            cast_to=object,
            options={"timeout": timeout, "max_retries": 0},
            stream=True,
            stream_cls=_AsyncRawEvents,
        )
        try:
            yield _completed(stream, self._client)
        finally:
            await stream.close()


async def _completed(stream: AsyncIterator[Any], client: AsyncSender) -> AsyncIterator[Generation]:
    try:
        async for event in stream:
            if (job := _read(event, client)) is not None:
                yield job
    except Exception as error:  # noqa: BLE001 - all of it is raised again
        typed = client.typed_error(error)
    else:
        return
    raise typed


def _read(event: Any, client: Sender | AsyncSender) -> Generation | None:
    if event.event != COMPLETED:
        return None
    try:
        data = client.without_key(json.loads(event.data))
    except (ValueError, RecursionError):
        return None  # polling finds the job
    return read_event(data) if isinstance(data, dict) else None
