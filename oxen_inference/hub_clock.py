"""The hub's own clock, read from the `Date` of its answers.

When a job was enqueued is said by the hub's clock. It is compared with nothing else: a machine's
clock may be an hour off, or jump.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

if hasattr(time, "CLOCK_BOOTTIME"):

    def elapsed() -> float:
        """Return seconds on a clock that never jumps, and goes on while the machine is asleep."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:  # pragma: no cover - elsewhere than on Linux

    def elapsed() -> float:
        """Return seconds on a clock that never jumps."""
        return time.monotonic()


class HubClock:
    """What one hub's clock shows. Whole seconds, by the last answer."""

    def __init__(self) -> None:
        self._offset: float | None = None

    def read(self, response: Any) -> None:
        """Take the time from an HTTP response, where it states one."""
        headers = response.headers
        try:
            stated = _timestamp(headers["date"])
            # A cache on the way repeats an old date, and says how old it is.
            self._offset = stated + float(headers.get("age") or 0) - elapsed()
        except (KeyError, TypeError, ValueError, OverflowError):
            return

    def now(self) -> float | None:
        """Return the hub's time in unix seconds; None where it never stated one."""
        return self.at(elapsed())

    def at(self, moment: float) -> float | None:
        """Return the hub's time at a moment of `elapsed`."""
        return None if self._offset is None else moment + self._offset


@lru_cache(maxsize=64)
def _timestamp(date: str) -> float:
    """Return a header's date in unix seconds; answers of the same second have the same one."""
    return parsedate_to_datetime(date).timestamp()


def clock_of(base_url: str) -> HubClock:
    """Return the clock of the hub at this address; one for all clients of the process."""
    return _clock_at(urlsplit(base_url).netloc)


@lru_cache(maxsize=64)
def _clock_at(_: str) -> HubClock:
    return HubClock()
