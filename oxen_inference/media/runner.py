"""The two runners of `steps`: one blocks, one awaits. Nothing else in paid media differs."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from oxen_inference.errors import APITimeoutError
from oxen_inference.media.steps import (
    Explain,
    GetModel,
    Haste,
    Pause,
    Pay,
    Run,
    Send,
    Shielded,
    Sleep,
    Steps,
    Tell,
    Together,
)
from oxen_inference.media.till import AsyncTill, Till

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient, OxenClient

T = TypeVar("T")

_WORKERS = {"paid": 32, "disk": 8, "network": 16, "together": 64}
_pools: dict[tuple[int, str], ThreadPoolExecutor] = {}
_pools_lock = threading.Lock()


def pool(name: str) -> ThreadPoolExecutor:
    """Return a process-wide pool; its work is waited for when the interpreter ends."""
    key = (os.getpid(), name)  # threads do not survive a fork
    with _pools_lock:
        if key not in _pools:
            _pools[key] = ThreadPoolExecutor(_WORKERS[name], thread_name_prefix=f"oxen-{name}")
        return _pools[key]


def _new_lock() -> None:
    global _pools_lock  # noqa: PLW0603 - a lock held by another thread stays held in the child
    _pools_lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(after_in_child=_new_lock)


class Runner:
    """Does the steps by blocking; used from any thread."""

    def __init__(self, client: OxenClient) -> None:
        self.client = client

    @cached_property
    def _till(self) -> Till:
        return Till(self.client)

    def event(self) -> threading.Event:
        return threading.Event()

    def run(self, steps: Steps[T]) -> T:
        """Run a computation to its end and return what it returns."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._do(step)
                except BaseException as error:  # noqa: BLE001, PERF203 - raised where the step was asked for
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    def _do(self, step: Any) -> Any:  # noqa: PLR0911 - one line per kind of step
        match step:
            case Send(call):
                return self.client.send(call)
            case Pay(call, may_send):
                return self._till.pay(call, may_send)
            case Run(function):
                return function()
            case Sleep(seconds):
                return time.sleep(seconds)
            case Pause(event, seconds):
                return event.wait(seconds)
            case GetModel(model_id, patience):
                return _within(patience, lambda: self.client.catalog.get(model_id))
            case Explain(error, model_id):
                return self.client.catalog.explain(error, model_id)
            case Tell(listener, event):
                return listener(event)
            case Shielded(inner, haste):
                return self._shielded(pool("paid").submit(self.run, inner), haste)
        assert isinstance(step, Together)  # noqa: S101 - a bug here, not a state
        # Not the paid pool: a part waits for paid work, which must find a free worker.
        futures = [pool("together").submit(self.run, part) for part in step.parts]
        self._finished(futures, step.hastes)
        return [_outcome(future) for future in futures]

    def _shielded(self, future: Future[T], haste: Haste) -> T:
        self._finished([future], [haste])
        return future.result()

    def _finished(self, futures: list[Future[T]], hastes: list[Haste]) -> None:
        # The work is in threads of its own, because an interrupt is only raised in the main one.
        try:
            wait(futures)
        except BaseException:
            for haste in hastes:
                haste.ask()
            wait(futures)  # a second interrupt ends the waiting, not the work
            raise


class AsyncRunner:
    """Does the steps by awaiting, on the loop its client belongs to."""

    def __init__(self, client: AsyncOxenClient) -> None:
        self.client = client

    @cached_property
    def _till(self) -> AsyncTill:
        return AsyncTill(self.client, pool("disk"))

    def event(self) -> asyncio.Event:
        return asyncio.Event()

    async def run(self, steps: Steps[T]) -> T:
        """Run a computation to its end and return what it returns."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = await self._do(step)
                except BaseException as error:  # noqa: BLE001, PERF203 - raised where the step was asked for
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    async def _do(self, step: Any) -> Any:  # noqa: PLR0911 - one line per kind of step
        match step:
            case Send(call):
                return await self.client.send(call)
            case Pay(call, may_send):
                return await self._till.pay(call, may_send)
            case Run(function, slow):
                # The ledger must not queue behind downloads.
                loop, name = asyncio.get_running_loop(), "network" if slow else "disk"
                return await loop.run_in_executor(pool(name), function)
            case Sleep(seconds):
                return await asyncio.sleep(seconds)
            case Pause(event, seconds):
                return await _wait_for(event, seconds)
            case GetModel(model_id, patience):
                try:
                    return await asyncio.wait_for(self.client.catalog.get(model_id), patience)
                except asyncio.TimeoutError:
                    raise _too_slow(patience) from None
            case Explain(error, model_id):
                return await self.client.catalog.explain(error, model_id)
            case Tell(listener, event):
                answer = listener(event)
                return await answer if inspect.isawaitable(answer) else answer
            case Shielded(inner, haste):
                return await self._shielded(inner, haste)
        assert isinstance(step, Together)  # noqa: S101 - a bug here, not a state
        tasks = [asyncio.ensure_future(self.run(part)) for part in step.parts]
        return [_raised(one) for one in await asyncio.gather(*tasks, return_exceptions=True)]

    async def _shielded(self, steps: Steps[T], haste: Haste) -> T:
        task = asyncio.get_running_loop().create_task(self.run(steps))
        cancelled: asyncio.CancelledError | None = None
        # asyncio cancels once per call, anyio at every await until its scope is left.
        with anyio.CancelScope(shield=True):
            while not task.done():
                try:
                    await asyncio.wait({task})
                except asyncio.CancelledError as error:  # noqa: PERF203 - waits, in any case
                    cancelled = error
                    haste.ask()
        if cancelled is not None:
            if not task.cancelled():
                task.exception()  # seen: what it was is in the ledger
            raise cancelled
        return task.result()


def _within(patience: float | None, function: Callable[[], T]) -> T:
    """Call `function`, and leave it to itself where it takes longer."""
    if patience is None:
        return function()
    outcome: Future[T] = Future()

    def call() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.set_exception(error)

    # In no pool: those are waited for when the interpreter ends.
    threading.Thread(target=call, name="oxen-catalog-get", daemon=True).start()
    try:
        return outcome.result(patience)
    except FutureTimeoutError:
        raise _too_slow(patience) from None


def _too_slow(patience: float | None) -> APITimeoutError:
    return APITimeoutError(
        f"The catalog did not answer in the {patience or 0:.3g} s that were left of the timeout. "
        "Nothing was sent."
    )


def _outcome(future: Future[Any]) -> Any:
    return _raised(future.exception() or future.result())


def _raised(outcome: Any) -> Any:
    if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
        raise outcome
    return outcome


async def _wait_for(event: asyncio.Event, seconds: float | None) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return False
    return True
