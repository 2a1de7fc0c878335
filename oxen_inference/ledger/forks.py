"""What keeps SQLite safe when a process forks: no transaction is open, and no connection either.

SQLite keeps the locks of a file in the memory of its process. A child that is forked in the middle
of a transaction would find them held for ever, and one that only inherits open connections would
take locks to be its own that the system gave its parent alone
(https://sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_LONGEST_WAIT = 30.0
"""Seconds that a fork waits for the transactions of other threads."""


class _Gate:
    """Who uses SQLite now, by thread, and who waits for that to end in order to fork."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: Counter[int] = Counter()
        self._forking: Counter[int] = Counter()

    def enter(self) -> None:
        me = threading.get_ident()
        with self._changed:
            # A thread that is inside already goes on: a fork waits for it.
            self._changed.wait_for(
                lambda: me in self._open or me in self._forking or not self._forking
            )
            self._open[me] += 1

    def leave(self) -> None:
        with self._changed:
            _decrease(self._open, threading.get_ident())
            self._changed.notify_all()

    def begin_fork(self) -> None:
        with self._changed:
            self._forking[threading.get_ident()] += 1
            self._changed.wait_for(lambda: self._open.keys() <= self._forking.keys(), _LONGEST_WAIT)

    def end_fork(self) -> None:
        with self._changed:
            _decrease(self._forking, threading.get_ident())
            self._changed.notify_all()

    def in_child(self) -> _Gate:
        """Return the gate of a child, which has the forking thread alone."""
        gate, me = _Gate(), threading.get_ident()
        if me in self._open:
            gate._open[me] = self._open[me]
        return gate


def _decrease(counter: Counter[int], key: int) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


class HasConnections(Protocol):
    """Something that keeps connections to SQLite open."""

    def close_idle(self) -> None:
        """Close those that are not in use."""


_gate = _Gate()
_known: weakref.WeakSet[HasConnections] = weakref.WeakSet()


@contextmanager
def using_sqlite() -> Iterator[None]:
    """Hold off forks of this process; waits while one is under way."""
    _gate.enter()
    try:
        yield
    finally:
        _gate.leave()


def close_before_forks(database: HasConnections) -> None:
    """Close what a database keeps open before each fork of this process."""
    _known.add(database)


def _before() -> None:
    _gate.begin_fork()
    for database in list(_known):
        database.close_idle()


def _in_parent() -> None:
    _gate.end_fork()


def _in_child() -> None:
    global _gate  # noqa: PLW0603 - the parent's other threads are not here
    _gate = _gate.in_child()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
