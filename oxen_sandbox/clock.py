"""The hub's time: unix seconds that can run faster, stand still or be pushed forward."""

import asyncio
import contextlib
import time

from anyio import move_on_after


class Clock:
    """Unix time running at `speed` hub seconds per real second; 0 stands still."""

    def __init__(self, speed: float = 1.0) -> None:
        self._base = time.time()
        self._since = time.monotonic()
        self._speed = speed
        self._sleepers: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def speed(self) -> float:
        """Hub seconds per real second; settable while the hub runs."""
        return self._speed

    @speed.setter
    def speed(self, value: float) -> None:
        self._base, self._since = self.now(), time.monotonic()
        self._speed = value
        self._wake_all()

    def now(self) -> float:
        """The hub's unix time in seconds."""
        return self._base + (time.monotonic() - self._since) * self._speed

    def advance(self, seconds: float) -> None:
        """Push time forward from any thread; whoever sleeps until then wakes."""
        self._base += seconds
        self._wake_all()

    async def sleep_until(self, moment: float, wake: asyncio.Event | None = None) -> None:
        """Sleep until the hub's time reaches `moment`, or `wake` is set."""
        event = wake or asyncio.Event()
        entry = (asyncio.get_running_loop(), event)
        self._sleepers.add(entry)
        try:
            while (left := moment - self.now()) > 0:
                event.clear()
                # Not asyncio.wait_for, which may swallow a cancellation before Python 3.12.
                with move_on_after(left / self._speed if self._speed > 0 else None):
                    await event.wait()
                    if wake is not None:
                        return
        finally:
            self._sleepers.discard(entry)

    def _wake_all(self) -> None:
        for loop, event in tuple(self._sleepers):
            with contextlib.suppress(RuntimeError):  # closed meanwhile, in its own thread
                loop.call_soon_threadsafe(event.set)
