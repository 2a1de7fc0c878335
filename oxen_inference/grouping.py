"""Calls that are made at the same moment, done as one: a group of writes costs one commit.

Nobody waits for a group to grow: the first call goes ahead at once, and those that come while it
is under way are the next group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

from oxen_inference.locks import Lock

Function = Callable[[list[Any]], Sequence[Any]]
"""Takes the items of all calls, and returns a result or an error for each."""


class ThreadGroup:
    """Calls of one function by threads: one of them does the work of all that wait."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._lock = Lock(after_fork=self._forget)
        self._turn = Lock()
        self._waiting: list[tuple[Any, Future[Any]]] = []

    def _forget(self) -> None:
        self._waiting = []

    def call(self, item: Any) -> Any:
        """Return the result for `item`, or raise its error."""
        mine: tuple[Any, Future[Any]] = (item, Future())
        with self._lock:
            self._waiting.append(mine)
        try:
            with self._turn:
                if not mine[1].done():
                    self._do_all()
        finally:
            with self._lock:  # after an interrupt nobody wants it any more
                if mine in self._waiting:
                    self._waiting.remove(mine)
        return mine[1].result()

    def _do_all(self) -> None:
        with self._lock:
            group, self._waiting = self._waiting, []
        try:
            results = _results(self._function, [item for item, _ in group])
        except BaseException:
            with self._lock:  # this thread was interrupted, the others were not
                self._waiting[:0] = group
            raise
        for (_, future), result in zip(group, results, strict=True):
            _set(future, result)


class LoopGroup:
    """Calls of one function by tasks of one event loop; the function runs in `executor()`."""

    def __init__(self, function: Function, executor: Callable[[], Executor]) -> None:
        self._function = function
        self._executor = executor
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self._is_busy = False

    def call(self, item: Any) -> asyncio.Future[Any]:
        """Return a future of the result for `item`, or of its error."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # an earlier one may have ended with a group under way
            self._loop, self._waiting, self._is_busy = loop, [], False
        mine = loop.create_future()
        self._waiting.append((item, mine))
        if not self._is_busy:
            self._is_busy = True
            loop.call_soon(self._begin, loop)  # after the other tasks that are ready now
        return mine

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        group = [each for each in self._waiting if not each[1].cancelled()]
        self._waiting = []
        self._is_busy = bool(group)
        if not group:
            return
        items = [item for item, _ in group]
        try:
            work = loop.run_in_executor(self._executor(), _results, self._function, items)
        except RuntimeError as error:  # the interpreter is ending
            self._set_all(group, [error] * len(group))
        else:
            work.add_done_callback(lambda done: self._end(loop, group, done))

    def _end(
        self,
        loop: asyncio.AbstractEventLoop,
        group: list[tuple[Any, asyncio.Future[Any]]],
        done: asyncio.Future[Sequence[Any]],
    ) -> None:
        self._begin(loop)
        if not done.cancelled():  # else the loop is being closed, and cancels who waits, too
            self._set_all(group, done.result())

    @staticmethod
    def _set_all(group: list[tuple[Any, asyncio.Future[Any]]], results: Sequence[Any]) -> None:
        for (_, future), result in zip(group, results, strict=True):
            if not future.done():  # its task may have been canceled
                _set(future, result)


def _results(function: Function, items: list[Any]) -> Sequence[Any]:
    try:
        return function(items)
    except Exception as error:  # noqa: BLE001 - raised where each is waited for
        return [error] * len(items)


def _set(future: Any, result: Any) -> None:
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
