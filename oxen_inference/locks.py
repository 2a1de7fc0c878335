"""Locks that are free in a forked child, whatever threads of the parent held at that moment.

Those threads do not exist in the child, so what they held would stay held for ever, and what they
were doing for others is never done.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable


class Lock:
    """A `threading.Lock`, or with `reentrant` a `threading.RLock`, that no fork leaves held.

    `after_fork` is called in the child: it forgets what threads of the parent had under way. It
    must be a method, whose object is held weakly.
    """

    def __init__(
        self, *, reentrant: bool = False, after_fork: Callable[[], object] | None = None
    ) -> None:
        self._make = threading.RLock if reentrant else threading.Lock
        self._lock = self._make()
        self._after_fork = None if after_fork is None else weakref.WeakMethod(after_fork)
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        self._lock = self._make()
        forget = self._after_fork and self._after_fork()
        if forget:
            forget()


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(after_in_child=_renew_all)
