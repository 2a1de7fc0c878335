"""Children of the test's own process, made by `os.fork`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def fork(work: Callable[[], object]) -> int:
    """Do `work` in a child, which ends with status 0 if nothing is raised. Return its id."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def exit_status(child: int, seconds: float = 60.0) -> int:
    """Return how a child ended; it is killed after so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.005)
    os.kill(child, 9)
    return os.waitpid(child, 0)[1]
