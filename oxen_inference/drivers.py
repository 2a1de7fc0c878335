"""The two drivers of `effects`: one blocks, one awaits. Nothing else that waits is written twice."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import cached_property, partial
from typing import Any, TypeVar

import anyio

from oxen_inference.effects import (
    Gather,
    Invoke,
    PostOnce,
    Run,
    RunTogether,
    Send,
    Shield,
    Sleep,
    StopRequest,
    WaitEvent,
    WaitFuture,
    Within,
    Work,
)
from oxen_inference.grouping import LoopGroup, ThreadGroup
from oxen_inference.locks import Lock
from oxen_inference.transport import AsyncSender, Sender

T = TypeVar("T")

_WORKERS = {"paid": 32, "disk": 8, "network": 16, "gather": 64}
_pools: dict[tuple[int, str], ThreadPoolExecutor] = {}
_pools_lock = Lock()


def _pool(name: str) -> ThreadPoolExecutor:
    """Return a pool of the process; its work is waited for when the interpreter ends."""
    key = (os.getpid(), name)  # threads do not survive a fork
    with _pools_lock:
        if key not in _pools:
            _pools[key] = ThreadPoolExecutor(_WORKERS[name], thread_name_prefix=f"oxen-{name}")
        return _pools[key]


class BlockingDriver:
    """Performs operations by blocking; used from any thread."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._groups: dict[Any, ThreadGroup] = {}

    @cached_property
    def _paid(self) -> Any:
        from oxen_inference.paid_transport import PaidTransport

        return PaidTransport(self._sender)

    def event(self) -> threading.Event:
        """Return an event that `wait_event` can wait for."""
        return threading.Event()

    def run(self, work: Work[T]) -> T:
        """Run `work` to its end and return what it returns."""
        return self._run(work)

    def _run(self, work: Work[T], *, is_shielded: bool = False) -> T:
        try:
            operation = work.send(None)
            while True:
                try:
                    if is_shielded and isinstance(operation, Shield):
                        # What waits for a thread of its own pool may wait for ever.
                        answer = self._run(operation.work, is_shielded=True)
                    else:
                        answer = self._perform(operation)
                except BaseException as error:  # noqa: BLE001, PERF203 - raised where it was awaited
                    operation = work.throw(error)
                else:
                    operation = work.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            work.close()

    def start(self, work: Work[None], name: str) -> None:
        """Begin `work` in the background, under `name`, and return at once. It must not raise."""
        self._in_background(work, name)

    def _perform(self, operation: Any) -> Any:  # noqa: PLR0911 - one line per kind of operation
        match operation:
            case Send():
                return self._sender.send(operation.call)
            case PostOnce():
                return self._paid.post_once(operation.call, operation.may_send)
            case Run() | Invoke():
                return operation.function()
            case RunTogether():
                function = operation.function
                group = self._groups.get(function)
                if group is None:
                    group = self._groups.setdefault(function, ThreadGroup(function))
                return group.call(operation.item)
            case Sleep():
                return time.sleep(operation.seconds)
            case WaitEvent():
                return operation.event.wait(operation.seconds)
            case WaitFuture():
                return _result(operation.future, operation.seconds)
            case Within():
                return _result(
                    self._in_background(operation.work, "oxen-within"), operation.seconds
                )
            case Shield():
                shielded = partial(self._run, operation.work, is_shielded=True)
                return self._finish([_pool("paid").submit(shielded)], [operation.stop])[0].result()
        assert isinstance(operation, Gather), operation  # noqa: S101 - a bug here, not a state
        # Not the paid pool: a part waits for paid work, which must find a free worker.
        futures = [_pool("gather").submit(self.run, part) for part in operation.parts]
        self._finish(futures, operation.stops)
        return [_result_or_error(future) for future in futures]

    def _in_background(self, work: Work[T], name: str) -> Future[T]:
        # A daemon in no pool: pools are waited for when the interpreter ends.
        outcome: Future[T] = Future()

        def call() -> None:
            try:
                outcome.set_result(self.run(work))
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                outcome.set_exception(error)

        threading.Thread(target=call, name=name, daemon=True).start()
        return outcome

    @staticmethod
    def _finish(futures: list[Future[T]], stops: Sequence[StopRequest]) -> list[Future[T]]:
        """Wait for work in threads of its own: an interrupt is raised in the main thread only."""
        try:
            wait(futures)
        except BaseException:
            for stop in stops:
                stop.set()
            wait(futures)  # a second interrupt ends the waiting, not the work
            raise
        return futures


class AsyncDriver:
    """Performs operations by awaiting, on the event loop that its client belongs to."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender
        self._background: set[asyncio.Task[Any]] = set()
        self._groups: dict[Any, LoopGroup] = {}
        self.has_one_writer = False
        """Whether the ledger takes one write at a time; more threads would wait for each other."""
        self._writer: tuple[int, ThreadPoolExecutor] | None = None

    @cached_property
    def _paid(self) -> Any:
        from oxen_inference.paid_transport import AsyncPaidTransport

        return AsyncPaidTransport(self._sender, self._writers)

    def _writers(self) -> ThreadPoolExecutor:
        """Return the threads that write to the ledger."""
        if not self.has_one_writer:
            return _pool("disk")
        pid = os.getpid()  # threads do not survive a fork
        if self._writer is None or self._writer[0] != pid:
            self._writer = (pid, ThreadPoolExecutor(1, thread_name_prefix="oxen-ledger"))
        return self._writer[1]

    def event(self) -> asyncio.Event:
        """Return an event that `wait_event` can wait for."""
        return asyncio.Event()

    async def run(self, work: Work[T]) -> T:
        """Run `work` to its end and return what it returns."""
        return await self._run(work)

    async def _run(self, work: Work[T], *, is_shielded: bool = False) -> T:
        canceled: asyncio.CancelledError | None = None
        try:
            operation = work.send(None)
            while True:
                if canceled is not None:
                    interrupt, canceled = canceled, None
                    operation = work.throw(interrupt)
                try:
                    if is_shielded and isinstance(operation, Shield):
                        answer = await self._run(operation.work, is_shielded=True)
                    elif is_shielded and (writing := self._write(operation)) is not None:
                        # `asyncio.run` cancels shielded work, too, when it ends. A thread writes on
                        # all the same, and the work must learn what was written: it is canceled then.
                        canceled = await _to_its_end(writing)
                        answer = writing.result()
                    else:
                        answer = await self._perform(operation)
                except BaseException as error:  # noqa: BLE001 - raised where it was awaited
                    operation = work.throw(error)
                else:
                    operation = work.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            work.close()

    def start(self, work: Work[None], name: str) -> None:
        """Begin `work` in the background, under `name`, and return at once. It must not raise."""
        self._in_background(work).set_name(name)

    async def _perform(self, operation: Any) -> Any:  # noqa: PLR0911 - one line per kind of operation
        if (writing := self._write(operation)) is not None:
            return await writing
        match operation:
            case Send():
                return await self._sender.send(operation.call)
            case PostOnce():
                return await self._paid.post_once(operation.call, operation.may_send)
            case Run():
                return await self._in_thread("network", operation.function)
            case Invoke():
                answer = operation.function()
                return await answer if inspect.isawaitable(answer) else answer
            case Sleep():
                return await asyncio.sleep(operation.seconds)
            case WaitEvent():
                return await _wait_event(operation.event, operation.seconds)
            case WaitFuture():
                return await _wait_future(operation.future, operation.seconds)
            case Within():
                return await self._within(operation.work, operation.seconds)
            case Shield():
                return await self._shield(operation.work, operation.stop)
        assert isinstance(operation, Gather), operation  # noqa: S101 - a bug here, not a state
        tasks = [asyncio.ensure_future(self.run(part)) for part in operation.parts]
        return [_raise_exits(each) for each in await asyncio.gather(*tasks, return_exceptions=True)]

    def _write(self, operation: Any) -> asyncio.Future[Any] | None:
        """Begin what blocks on the disk or the ledger; None for any other operation."""
        match operation:
            case Run(uses_network=False):
                return self._in_thread("disk", operation.function)
            case RunTogether():
                function = operation.function
                group = self._groups.get(function)
                if group is None:
                    group = self._groups[function] = LoopGroup(function, self._writers)
                return group.call(operation.item)
        return None

    @staticmethod
    def _in_thread(pool: str, function: Callable[[], T]) -> asyncio.Future[T]:
        # The ledger must not queue behind downloads.
        return asyncio.get_running_loop().run_in_executor(_pool(pool), function)

    def _in_background(self, work: Work[T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(self.run(work))
        self._background.add(task)  # a loop holds its tasks weakly
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may wait for it any more, and asyncio would complain

    async def _within(self, work: Work[T], seconds: float) -> T:
        task = self._in_background(work)
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise TimeoutError
        return task.result()

    async def _shield(self, work: Work[T], stop: StopRequest) -> T:
        task = asyncio.get_running_loop().create_task(self._run(work, is_shielded=True))
        # asyncio cancels once per call, anyio at every await until its scope is left.
        with anyio.CancelScope(shield=True):
            canceled = await _to_its_end(task, stop)
        if canceled is not None:
            if not task.cancelled():
                task.exception()  # read, so that asyncio does not complain: the ledger has it
            raise canceled
        return task.result()


async def _to_its_end(
    future: asyncio.Future[Any], stop: StopRequest | None = None
) -> asyncio.CancelledError | None:
    """Wait until a future is done; a cancellation meanwhile sets `stop`, and is returned."""
    canceled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as error:  # noqa: PERF203 - waits, in any case
            canceled = error
            if stop is not None:
                stop.set()
    return canceled


def _result(future: Future[T], seconds: float | None) -> T:
    try:
        return future.result(seconds)
    except FutureTimeoutError:
        if future.done():
            raise  # the work's own
        raise TimeoutError from None


async def _wait_future(future: Future[T], seconds: float | None) -> T:
    waiting = asyncio.wrap_future(future)
    try:
        await asyncio.wait({waiting}, timeout=seconds)
        if not waiting.done():
            raise TimeoutError
        return waiting.result()
    finally:
        waiting.cancel()


async def _wait_event(event: asyncio.Event, seconds: float | None) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return False
    return True


def _result_or_error(future: Future[Any]) -> Any:
    return _raise_exits(future.exception() or future.result())


def _raise_exits(outcome: Any) -> Any:
    """Raise what ends the program; return any other outcome."""
    if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
        raise outcome
    return outcome
