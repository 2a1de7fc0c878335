"""A pause that all senders of a run take together, since one of them was told to slow down."""

from __future__ import annotations

import random
import time

from oxen_inference.effects import StopRequest, sleep
from oxen_inference.errors import OxenError, RateLimitError

_FIRST, _LONGEST = 0.5, 30.0  # seconds
_LOOK_EVERY = 1.0  # seconds
_MOST_IN_A_ROW = 10


class RunStopped(OxenError):  # noqa: N818 - no failure of the request
    """The run that a request belongs to has stopped before the request was sent."""


class SharedPause:
    """When the senders of a run may go on; shared by threads."""

    def __init__(self) -> None:
        self.is_ended = False
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

    async def wait(self, stop: StopRequest, deadline: float | None) -> bool:
        """Wait until sending may go on, or `stop` is set. Others may lengthen it meanwhile.

        Returns whether that was before `deadline`, a moment of `time.monotonic`. Raises
        `RunStopped`.
        """
        while not self.is_ended and not stop.is_set and (left := self.left) > 0:
            if deadline is not None:
                left = min(left, deadline - time.monotonic())
                if left <= 0:
                    return False
            await sleep(min(left, _LOOK_EVERY), stop)
        if self.is_ended:
            raise RunStopped("Not sent, since its run has stopped.")
        return True

    def refused(self, error: RateLimitError, longest: float) -> float:
        """Make everyone pause, because of one answer; return the seconds that it asks for.

        `longest`: the most seconds that everyone waits for one answer.
        """
        if not self.left:  # else it was sent before the others learned of the pause
            self._in_a_row += 1
        spread = random.uniform(0.75, 1.0)  # noqa: S311 - spreads load, guards nothing
        backoff = min(_FIRST * 2.0 ** (self._in_a_row - 1), _LONGEST) * spread
        # Never none at all, or each answer of one round would count as a pause that did not help.
        delay = max(error.retry_after or 0.0, backoff)
        self._until = max(self._until, time.monotonic() + min(delay, longest))
        return delay

    def end(self) -> None:
        """Let nobody send any more."""
        self.is_ended = True

    def accepted(self) -> None:
        """Note that a request went through."""
        self._in_a_row = 0
