"""A pause that all senders of a run take together, since one of them was told to slow down."""

from __future__ import annotations

import random
import time

from oxen_inference.effects import StopRequest, sleep
from oxen_inference.errors import RateLimitError

_FIRST, _LONGEST = 0.5, 30.0  # seconds
_MOST_IN_A_ROW = 10


class SharedPause:
    """When the senders of a run may go on; shared by threads."""

    def __init__(self) -> None:
        self._until = 0.0
        self._in_a_row = 0

    @property
    def left(self) -> float:
        """Seconds until sending goes on."""
        return max(self._until - time.monotonic(), 0.0)

    @property
    def is_hopeless(self) -> bool:
        """Whether so many pauses in a row did not help."""
        return self._in_a_row > _MOST_IN_A_ROW

    async def wait(self, stop: StopRequest) -> None:
        """Wait until sending may go on, or `stop` is set. Others may lengthen it meanwhile."""
        while (left := self.left) > 0 and not stop.is_set:
            await sleep(left, stop)

    def refused(self, error: RateLimitError) -> float:
        """Make everyone pause, because of one answer; return the seconds."""
        if not self.left:  # else it was sent before the others learned of the pause
            self._in_a_row += 1
        delay = error.retry_after
        if delay is None:
            spread = random.uniform(0.75, 1.0)  # noqa: S311 - spreads load, guards nothing
            delay = min(_FIRST * 2.0 ** (self._in_a_row - 1), _LONGEST) * spread
        self._until = max(self._until, time.monotonic() + delay)
        return delay

    def accepted(self) -> None:
        """Note that a request went through."""
        self._in_a_row = 0
