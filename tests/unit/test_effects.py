"""The awaitable operations, under both drivers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from oxen_inference import effects
from oxen_inference.drivers import AsyncDriver, BlockingDriver
from oxen_inference.effects import StopRequest, Work
from oxen_inference.transport import Call

Drive = Callable[[Work[Any]], Any]


class Echo:
    """A sender that returns what it was told to send."""

    def __init__(self) -> None:
        self.sent: list[Call[Any]] = []

    def send(self, call: Call[Any]) -> Any:
        self.sent.append(call)
        return call.read({"path": call.path})


class AsyncEcho(Echo):
    async def send(self, call: Call[Any]) -> Any:  # type: ignore[override]
        return super().send(call)


@pytest.fixture(params=["blocking", "async"])
def sender(request: pytest.FixtureRequest) -> Any:
    return Echo() if request.param == "blocking" else AsyncEcho()


@pytest.fixture
def drive(sender: Any) -> Drive:
    if isinstance(sender, AsyncEcho):
        return lambda work: asyncio.run(AsyncDriver(sender).run(work))  # type: ignore[arg-type]
    return lambda work: BlockingDriver(sender).run(work)


GET: Call[Any] = Call(method="get", path="/models", read=lambda payload: payload)


def test_an_operation_returns_what_the_driver_answers(drive: Drive) -> None:
    async def work() -> Any:
        return await effects.send(GET)

    assert drive(work()) == {"path": "/models"}


def test_an_error_is_raised_where_the_operation_was_awaited(drive: Drive) -> None:
    def fail() -> None:
        raise OSError("full")

    async def work() -> str:
        try:
            await effects.run(fail)
        except OSError as error:
            return f"caught {error}"
        return "not raised"

    assert drive(work()) == "caught full"


def test_functions_of_the_clients_own_kind_are_called(drive: Drive, sender: Any) -> None:
    async def work() -> Any:
        return await effects.invoke(sender.send, GET)

    assert drive(work()) == {"path": "/models"}


def test_parts_run_side_by_side_and_keep_their_order(drive: Drive) -> None:
    both = threading.Barrier(2, timeout=10)

    async def part(number: int) -> int:
        await effects.run(both.wait)
        if number:
            raise ValueError(number)
        return number

    async def work() -> Any:
        return await effects.gather([part(0), part(1)], [])

    first, second = drive(work())
    assert first == 0
    assert isinstance(second, ValueError)


def test_work_that_takes_too_long_is_left_to_itself(drive: Drive) -> None:
    async def slow() -> None:
        await effects.sleep(60)

    async def work() -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await effects.within(0.05, slow())
        return time.monotonic() - began

    assert drive(work()) < 30


def test_work_in_time_returns_its_result_or_its_error(drive: Drive) -> None:
    async def quick() -> int:
        return 3

    async def wrong() -> int:
        raise KeyError("x")

    async def work() -> int:
        with pytest.raises(KeyError):
            await effects.within(5, wrong())
        return await effects.within(5, quick())

    assert drive(work()) == 3


def test_a_future_is_waited_for_and_left_alone(drive: Drive) -> None:
    pending: Future[int] = Future()
    pending.set_running_or_notify_cancel()
    done: Future[int] = Future()
    done.set_result(7)

    async def work() -> int:
        with pytest.raises(TimeoutError):
            await effects.wait_future(pending, 0.01)
        return await effects.wait_future(done, 1)

    assert drive(work()) == 7
    assert not pending.cancelled()
    pending.set_result(1)


async def test_background_work_starts_at_once() -> None:
    began: list[str] = []

    async def background(name: str) -> None:
        began.append(name)

    AsyncDriver(AsyncEcho()).start(background("task"), "oxen-test")  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert began == ["task"]
    ended = threading.Event()

    async def in_a_thread() -> None:
        began.append(threading.current_thread().name)
        ended.set()

    BlockingDriver(Echo()).start(in_a_thread(), "oxen-test")  # type: ignore[arg-type]
    assert ended.wait(10)
    assert began == ["task", "oxen-test"]


def test_a_stop_request_ends_a_sleep(drive: Drive) -> None:
    stop = StopRequest()
    stop.set()

    async def work() -> float:
        began = time.monotonic()
        await effects.sleep(30, stop)
        return time.monotonic() - began

    assert drive(work()) < 10


def test_requests_are_bounded_by_a_deadline(drive: Drive, sender: Any) -> None:
    async def ask() -> Any:
        return await effects.send(GET)

    async def work() -> Any:
        await effects.with_deadline(ask(), lambda: 4.0)
        await effects.with_deadline(ask(), lambda: None)

    drive(work())
    bounded, free = sender.sent
    assert (bounded.timeout, bounded.max_retries) == (2.0, 1)
    assert free == GET


async def test_shielded_work_ends_before_a_cancellation_is_raised() -> None:
    stop, release, ended = StopRequest(), asyncio.Event(), []

    async def inner() -> None:
        while not stop.is_set:
            await effects.sleep(0.01)
        ended.append("inner")

    async def work() -> None:
        release.set()
        await effects.shield(inner(), stop)

    driver = AsyncDriver(AsyncEcho())  # type: ignore[arg-type]
    task = asyncio.create_task(driver.run(work()))
    await release.wait()
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["inner"]


async def test_shielded_work_learns_what_was_written_before_it_is_canceled_itself() -> None:
    written, go, heard = threading.Event(), threading.Event(), []

    def write(items: list[int]) -> list[int | Exception]:
        written.set()
        go.wait(60)
        return list(items)

    async def inner() -> None:
        heard.append(await effects.run_together(write, 7))
        try:
            await effects.run(heard.append, 8)
        except asyncio.CancelledError:
            heard.append(await effects.run(lambda: 9))
            raise

    async def work() -> None:
        await effects.shield(inner())

    task = asyncio.create_task(AsyncDriver(AsyncEcho()).run(work()))  # type: ignore[arg-type]
    while not written.is_set():  # noqa: ASYNC110 - it is set in another thread
        await asyncio.sleep(0.01)
    for each in asyncio.all_tasks() - {asyncio.current_task()}:
        each.cancel()  # as asyncio.run does at its end
    asyncio.get_running_loop().call_soon(go.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == [7, 9]


def test_calls_at_one_moment_are_done_together(sender: Any) -> None:
    driver: Any = (AsyncDriver if isinstance(sender, AsyncEcho) else BlockingDriver)(sender)
    groups: list[list[int]] = []

    def double(items: list[int]) -> list[int | Exception]:
        groups.append(items)
        waiting = driver._groups[double]._waiting
        give_up = time.monotonic() + 60
        while sum(map(len, groups)) + len(waiting) < 8 and time.monotonic() < give_up:
            time.sleep(0.001)
            waiting = driver._groups[double]._waiting
        return [ValueError(str(item)) if item == 3 else 2 * item for item in items]

    async def one(item: int) -> int:
        return await effects.run_together(double, item)

    async def work() -> Any:
        return await effects.gather([one(item) for item in range(8)], [])

    running = driver.run(work())
    outcomes = asyncio.run(running) if isinstance(sender, AsyncEcho) else running

    assert outcomes[:3] + outcomes[4:] == [0, 2, 4, 8, 10, 12, 14]
    assert isinstance(outcomes[3], ValueError)
    assert sorted(item for group in groups for item in group) == list(range(8))
    assert len(groups) <= 2


def test_an_error_of_a_group_is_raised_for_each(drive: Drive) -> None:
    def fail(_: list[int]) -> list[int | Exception]:
        raise ZeroDivisionError

    async def one() -> int:
        return await effects.run_together(fail, 1)

    async def work() -> Any:
        return await effects.gather([one() for _ in range(3)], [])

    assert [type(each) for each in drive(work())] == [ZeroDivisionError] * 3
