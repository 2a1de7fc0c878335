"""What keeps a `Watch` going while somebody waits: threads for sync, tasks for async."""

from __future__ import annotations

import asyncio
import logging
import threading
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
        line = _Line()
        if not self._no_events:
            threading.Thread(
                target=self._listen, args=(line,), name="oxen-events", daemon=True
            ).start()
        try:
            while True:
                try:
                    self._runner.run(self._watch.loop(self._wake))
                except Exception:  # every waiter stands or falls with this thread
                    log.exception("Watching broke; going on in %g s.", _AFTER_A_BUG)
                    line.ended.wait(_AFTER_A_BUG)
                with self._lock:
                    if not len(self._watch):
                        self._polling = None
                        return
        finally:
            line.end()

    def _listen(self, line: _Line) -> None:
        pause = _FIRST_RETRY
        while not line.ended.is_set():
            try:
                with self._client.events.listen() as stream:
                    pause = _FIRST_RETRY
                    line.stream = stream
                    if not line.ended.is_set():
                        self._hear(stream)
            except NotFoundError:
                self._no_events = True
                return
            except Exception as error:  # noqa: BLE001 - hints only: polling goes on without them
                log.debug("The event stream ended: %r", error)
            line.ended.wait(pause)
            pause = min(pause * 2, _LONGEST_RETRY)

    def _hear(self, stream: Listener) -> None:
        self._watch.hurry()
        self._wake.set()
        for job in stream:
            if self._watch.hint(job.generation_id):
                self._wake.set()


class _Line:
    """The event stream of one polling thread, which ends with it."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.stream: Listener | None = None

    def end(self) -> None:
        self.ended.set()
        if self.stream is not None:
            self.stream.hang_up()


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
            if self._polling is asyncio.current_task():
                self._polling = None  # whoever comes during the goodbye starts another
            if listening is not None:
                listening.cancel()
                await asyncio.wait({listening})

    async def _listen(self) -> None:
        pause = _FIRST_RETRY
        while True:
            try:
                async with self._client.events.listen() as stream:
                    pause = _FIRST_RETRY
                    await self._hear(stream)
            except NotFoundError:
                self._no_events = True
                return
            except Exception as error:  # noqa: BLE001 - hints only: polling goes on without them
                log.debug("The event stream ended: %r", error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_RETRY)

    async def _hear(self, stream: AsyncIterator[Generation]) -> None:
        self._watch.hurry()
        self._wake.set()
        async for job in stream:
            if self._watch.hint(job.generation_id):
                self._wake.set()
