"""What keeps a `Watch` going while somebody waits: threads for sync, tasks for async."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from oxen_inference.errors import NotFoundError
from oxen_inference.events import Listener
from oxen_inference.generation import Generation
from oxen_inference.media.runner import AsyncRunner, Runner
from oxen_inference.media.watch import Watch

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient, OxenClient

log = logging.getLogger("oxen_inference.media")

_FIRST_RETRY, _LONGEST_RETRY = 0.5, 60.0
_STEADY = 5.0  # seconds after which a stream was worth opening, whatever it said
_AFTER_A_BUG = 5.0


class Watcher:
    """One polling thread and one listening thread for all waiters of a client."""

    def __init__(self, client: OxenClient, runner: Runner, watch: Watch) -> None:
        self._client = client
        self._runner = runner
        self._watch = watch
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._polling: threading.Thread | None = None
        self._line: _Line | None = None
        self._no_events = False

    def ensure(self) -> None:
        """See to it that what is watched is asked about."""
        with self._lock:
            if self._polling is None or not self._polling.is_alive():  # or lost in a fork
                self._polling = threading.Thread(
                    target=self._poll, name="oxen-watcher", daemon=True
                )
                self._polling.start()
        self._wake.set()

    def _poll(self) -> None:
        line = None if self._no_events else self._line_in_use()
        while True:
            try:
                self._runner.run(self._watch.loop(self._wake))
            except Exception:  # every waiter stands or falls with this thread
                log.exception("Watching broke; going on in %g s.", _AFTER_A_BUG)
                time.sleep(_AFTER_A_BUG)
            with self._lock:
                if not len(self._watch):
                    self._polling = None
                    if line is not None:
                        line.end()  # before the next watching can take it up
                    return

    def _line_in_use(self) -> _Line:
        """The line that a watching before has left open, as one that never answers is."""
        with self._lock:
            if self._line is None or not self._line.take_up():
                self._line = _Line()
                thread = threading.Thread(
                    target=self._listen, args=(self._line,), name="oxen-events", daemon=True
                )
                self._line.thread = thread
                thread.start()
            return self._line

    def _listen(self, line: _Line) -> None:
        rhythm = _Rhythm()
        while line.is_wanted():
            try:
                with self._client.events.listen() as stream:
                    line.stream = stream
                    if not line.ended.is_set():  # pragma: no branch - it may end as it opens
                        self._hear(stream, rhythm)
            except NotFoundError:
                self._no_events = True
                return
            except Exception as error:  # noqa: BLE001 - hints only: polling goes on without them
                log.debug("The event stream ended: %r", error)
            finally:
                line.stream = None
            line.ended.wait(rhythm.pause())

    def _hear(self, stream: Listener, rhythm: _Rhythm) -> None:
        if rhythm.opened():
            self._watch.hurry()
            self._wake.set()
        for job in stream:
            rhythm.heard()
            if self._watch.hint(job.generation_id):
                self._wake.set()


class _Rhythm:
    """How soon a stream that ended is opened again, and whether jobs may have ended meanwhile."""

    def __init__(self) -> None:
        self._next = _FIRST_RETRY
        self._since: float | None = None
        self._is_steady = True

    def opened(self) -> bool:
        """Note it; return whether to ask about every job, for events that were missed."""
        missed, self._is_steady = self._is_steady, False
        self._since = time.monotonic()
        return missed

    def heard(self) -> None:
        self._is_steady = True

    def pause(self) -> float:
        """Return the seconds to wait: ever longer, where a stream ends as soon as it is open."""
        if self._since is not None and time.monotonic() - self._since > _STEADY:
            self._is_steady = True
        self._since = None
        if self._is_steady:
            self._next = _FIRST_RETRY
        pause, self._next = self._next, min(self._next * 2, _LONGEST_RETRY)
        return pause


class _Line:
    """The event stream of the watching, in a thread that outlives it where nobody answers."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.stream: Listener | None = None
        self.thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._was_left = False

    def is_wanted(self) -> bool:
        """Whether its thread is to go on; it is left for good if not."""
        with self._lock:
            self._was_left = self.ended.is_set()
            return not self._was_left

    def take_up(self) -> bool:
        """Want it again; False if it is too late for that."""
        with self._lock:
            if self._was_left or self.thread is None or not self.thread.is_alive():
                return False  # or lost in a fork
            self.ended.clear()
            return True

    def end(self) -> None:
        self.ended.set()
        if (stream := self.stream) is not None:
            stream.hang_up()


class AsyncWatcher:
    """One polling task and one listening task for all waiters of a client, on their loop."""

    def __init__(self, client: AsyncOxenClient, runner: AsyncRunner, watch: Watch) -> None:
        self._client = client
        self._runner = runner
        self._watch = watch
        self._wake = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None
        self._no_events = False

    def ensure(self) -> None:
        """See to it that what is watched is asked about."""
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
        listening = None
        if not self._no_events:
            listening = asyncio.get_running_loop().create_task(self._listen())
        try:
            while len(self._watch):
                try:
                    await self._runner.run(self._watch.loop(self._wake))
                except Exception:  # noqa: PERF203 - every waiter stands or falls with this task
                    log.exception("Watching broke; going on in %g s.", _AFTER_A_BUG)
                    await asyncio.sleep(_AFTER_A_BUG)
        finally:
            # Unless it is one of an earlier loop, thrown away only now.
            if self._polling is asyncio.current_task():  # pragma: no branch - left to the collector
                self._polling = None  # whoever comes during the goodbye starts another
            if listening is not None:
                listening.cancel()
                await asyncio.wait({listening})

    async def _listen(self) -> None:
        rhythm = _Rhythm()
        while True:
            try:
                async with self._client.events.listen() as stream:
                    await self._hear(stream, rhythm)
            except NotFoundError:
                self._no_events = True
                return
            except Exception as error:  # noqa: BLE001 - hints only: polling goes on without them
                log.debug("The event stream ended: %r", error)
            await asyncio.sleep(rhythm.pause())

    async def _hear(self, stream: AsyncIterator[Generation], rhythm: _Rhythm) -> None:
        if rhythm.opened():
            self._watch.hurry()
            self._wake.set()
        async for job in stream:
            rhythm.heard()
            if self._watch.hint(job.generation_id):
                self._wake.set()
