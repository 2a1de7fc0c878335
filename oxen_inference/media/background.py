"""What keeps a `Poller` going while somebody waits: threads for sync, tasks for async.

Beside the polling, the event stream is listened to: it wakes the poller early. Nothing depends on
it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator

from oxen_inference.drivers import AsyncDriver, BlockingDriver
from oxen_inference.errors import NotFoundError
from oxen_inference.events import AsyncEvents, Events, EventStream
from oxen_inference.generation import Generation
from oxen_inference.locks import Lock
from oxen_inference.media.poller import Poller

log = logging.getLogger("oxen_inference.media")

_FIRST_RETRY, _LONGEST_RETRY = 0.5, 60.0
_STABLE_AFTER = 5.0  # seconds that a stream has to last to count as a working one
_AFTER_A_BUG = 5.0


class BackgroundPoller:
    """One polling thread and one listening thread for all waiters of a client."""

    def __init__(self, events: Events, driver: BlockingDriver, poller: Poller) -> None:
        self._events = events
        self._driver = driver
        self._poller = poller
        self._lock = Lock(after_fork=self._forget_threads)
        self._wake = threading.Event()
        self._polling: threading.Thread | None = None
        self._listener: EventListener | None = None
        self._listening: EventListener | None = None
        self._has_no_events = False

    def _forget_threads(self) -> None:
        self._wake = threading.Event()  # its lock may be held
        self._polling = self._listener = self._listening = None

    def ensure(self) -> None:
        """Start polling, unless it is under way."""
        with self._lock:
            if self._polling is None or not self._polling.is_alive():  # or lost in a fork
                self._polling = threading.Thread(target=self._poll, name="oxen-poller", daemon=True)
                self._polling.start()
        self._wake.set()

    def _poll(self) -> None:
        while True:
            try:
                self._driver.run(self._poller.loop(self._wake, self._listen_or_not))
            except Exception as error:  # noqa: BLE001 - every waiter depends on this thread
                _report(error)
                time.sleep(_AFTER_A_BUG)
            with self._lock:
                if not len(self._poller):
                    self._polling = None
                    self._stop_listening()  # before the next polling can reuse it
                    return

    def _listen_or_not(self, is_wanted: bool) -> None:
        """Listen to the event stream as long as no other process does it for this one."""
        if not is_wanted:
            self._stop_listening()
        elif self._listening is None and not self._has_no_events:
            self._listening = self._reuse_listener()

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.end()
            self._listening = None

    def _reuse_listener(self) -> EventListener:
        """Return the listener that an earlier polling left, as one without an answer is, or a new
        one.
        """
        with self._lock:
            if self._listener is None or not self._listener.reuse():
                self._listener = EventListener()
                thread = threading.Thread(
                    target=self._listen, args=(self._listener,), name="oxen-events", daemon=True
                )
                self._listener.thread = thread
                thread.start()
            return self._listener

    def _listen(self, listener: EventListener) -> None:
        backoff = ReconnectBackoff()
        while listener.is_wanted():
            try:
                with self._events.listen() as stream:
                    listener.stream = stream
                    if not listener.ended.is_set():  # pragma: no branch - it may end as it opens
                        self._read(stream, backoff)
            except NotFoundError:
                self._has_no_events = True
                return
            except Exception as error:  # noqa: BLE001 - polling goes on without events
                log.debug("The event stream ended: %r", error)
            finally:
                listener.stream = None
            listener.ended.wait(backoff.pause())

    def _read(self, stream: EventStream, backoff: ReconnectBackoff) -> None:
        if backoff.opened():
            self._poller.poll_all_now()
            self._wake.set()
        for job in stream:
            backoff.received()
            if self._poller.hint(job.generation_id):
                self._wake.set()


class ReconnectBackoff:
    """How soon a stream that ended is opened again, and whether events were missed meanwhile."""

    def __init__(self) -> None:
        self._next = _FIRST_RETRY
        self._since: float | None = None
        self._is_stable = True

    def opened(self) -> bool:
        """Note it; return whether to ask about every job, since events may have been missed."""
        missed, self._is_stable = self._is_stable, False
        self._since = time.monotonic()
        return missed

    def received(self) -> None:
        """Note that an event came."""
        self._is_stable = True

    def pause(self) -> float:
        """Return the seconds to wait: ever longer, where a stream ends as soon as it is open."""
        if self._since is not None and time.monotonic() - self._since > _STABLE_AFTER:
            self._is_stable = True
        self._since = None
        if self._is_stable:
            self._next = _FIRST_RETRY
        pause, self._next = self._next, min(self._next * 2, _LONGEST_RETRY)
        return pause


class EventListener:
    """A listening thread, which outlives its polling where the hub does not answer."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.stream: EventStream | None = None
        self.thread: threading.Thread | None = None
        self._lock = Lock()
        self._has_left = False

    def is_wanted(self) -> bool:
        """Whether its thread is to go on; if not, it cannot be reused."""
        with self._lock:
            self._has_left = self.ended.is_set()
            return not self._has_left

    def reuse(self) -> bool:
        """Want it again; False if it is too late for that."""
        with self._lock:
            if self._has_left or self.thread is None or not self.thread.is_alive():
                return False  # or lost in a fork
            self.ended.clear()
            return True

    def end(self) -> None:
        self.ended.set()
        if (stream := self.stream) is not None:
            stream.shut_down()


class AsyncBackgroundPoller:
    """One polling task and one listening task for all waiters of a client, on their loop."""

    def __init__(self, events: AsyncEvents, driver: AsyncDriver, poller: Poller) -> None:
        self._events = events
        self._driver = driver
        self._poller = poller
        self._wake = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._has_no_events = False

    def ensure(self) -> None:
        """Start polling, unless it is under way."""
        loop = asyncio.get_running_loop()
        if (
            self._polling is None
            or self._polling.done()
            or self._polling.get_loop() is not loop  # that of an earlier asyncio.run
        ):
            self._wake = asyncio.Event()
            self._polling = loop.create_task(self._poll())
        self._wake.set()

    async def _poll(self) -> None:
        self._listening = None  # one of an earlier loop ended with it
        try:
            while len(self._poller):
                try:
                    await self._driver.run(self._poller.loop(self._wake, self._listen_or_not))
                except Exception as error:  # noqa: BLE001, PERF203 - every waiter depends on it
                    _report(error)
                    await asyncio.sleep(_AFTER_A_BUG)
        finally:
            # Unless it is one of an earlier loop, collected only now.
            if self._polling is asyncio.current_task():  # pragma: no branch - left to the collector
                self._polling = None  # a new waiter starts another
                await self._stop_listening()

    async def _stop_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.wait({listening})

    def _listen_or_not(self, is_wanted: bool) -> None:
        """Listen to the event stream as long as no other process does it for this one."""
        if not is_wanted and self._listening is not None:
            self._listening.cancel()
            self._listening = None
        elif is_wanted and self._listening is None and not self._has_no_events:
            self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        backoff = ReconnectBackoff()
        while True:
            try:
                async with self._events.listen() as stream:
                    await self._read(stream, backoff)
            except NotFoundError:
                self._has_no_events = True
                return
            except Exception as error:  # noqa: BLE001 - polling goes on without events
                log.debug("The event stream ended: %r", error)
            await asyncio.sleep(backoff.pause())

    async def _read(self, stream: AsyncIterator[Generation], backoff: ReconnectBackoff) -> None:
        if backoff.opened():
            self._poller.poll_all_now()
            self._wake.set()
        async for job in stream:
            backoff.received()
            if self._poller.hint(job.generation_id):
                self._wake.set()


def _report(error: Exception) -> None:
    log.error("Polling failed unexpectedly (%r); going on in %g s.", error, _AFTER_A_BUG)
    log.debug("Where it failed:", exc_info=error)
