"""Calls that are interrupted at the worst moment: the next call of the conversation joins their job."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import anyio
import pytest

from oxen_inference import Budget, Ledger
from oxen_inference.errors import BadRequestError, GenerationTimeout, LedgerError
from oxen_inference.ledger.groups import GroupedWrites
from oxen_inference.result import BulkProgress
from tests.e2e.media.calls import MediaCalls, quick_async_client, quick_client
from tests.support.bad_hub import BadHub

OX = {"model": "bad-image", "prompt": "ox", "conversation": "c"}


async def until(happened: Callable[[], object]) -> None:
    while not happened():  # noqa: ASYNC110 - it happens in another thread
        await asyncio.sleep(0.01)


def waits(ledger: Ledger) -> int:
    with ledger.database.reading() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM oxen_waits").scalar_one())


def joins(hub: BadHub, ledger: Ledger) -> bool:
    """Whether another call of the conversation pays for nothing."""
    hub.seconds = 0.0
    with quick_client(hub, ledger) as client:
        assert client.media.generate(**OX, key="another call", timeout=60).succeeded
    return hub.posts == {"ox": 1} and waits(ledger) == 0


@pytest.mark.parametrize("how", ["twice", "at every await", "with a lost ledger"])
async def test_a_call_that_is_canceled_is_left(
    how: str, hub: BadHub, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.seconds = 3600.0
    read, reading, go = ledger.get, threading.Event(), threading.Event()

    def get(*args: Any) -> Any:
        reading.set()
        go.wait(60)
        if how == "with a lost ledger":
            raise LedgerError("The ledger is lost.")
        return read(*args)

    async with quick_async_client(hub, ledger, timeout=60.0) as client:
        poller = client.media._engine.poller

        async def generate() -> bool:
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                await client.media.generate(**OX)
            return scope.cancelled_caught

        scopes: list[anyio.CancelScope] = []
        task = asyncio.create_task(generate())
        await until(lambda: len(poller))
        monkeypatch.setattr(ledger, "get", get)
        cancel: Callable[[], object] = scopes[0].cancel if "await" in how else task.cancel
        cancel()
        await until(reading.is_set)
        if how == "twice":
            task.cancel()
        asyncio.get_running_loop().call_soon(go.set)
        if "await" in how:
            assert await task
        else:
            with pytest.raises(asyncio.CancelledError):
                await task
        assert len(poller) == 0
    monkeypatch.undo()
    assert joins(hub, ledger)


class Interrupt:
    """Interrupts a call of this kind in the midst of it: as Ctrl-C does, or `task.cancel()`."""

    def __init__(self, kind: str, hub: BadHub, ledger: Ledger) -> None:
        self.kind, self.hub, self.ledger = kind, hub, ledger

    def generate(self, **options: Any) -> None:
        if self.kind == "sync":
            with quick_client(self.hub, self.ledger) as client:
                with pytest.raises(KeyboardInterrupt):
                    client.media.generate(**OX, key="k", **options)
            return

        async def generated() -> None:
            async with quick_async_client(self.hub, self.ledger) as client:
                self.loop = asyncio.get_running_loop()
                self.task = asyncio.create_task(client.media.generate(**OX, key="k", **options))
                with pytest.raises(asyncio.CancelledError):
                    await self.task

        asyncio.run(generated())

    def now(self) -> None:
        """Interrupt it; called in whatever thread it is at work."""
        if self.kind == "sync":
            raise KeyboardInterrupt
        told = threading.Event()
        self.loop.call_soon_threadsafe(self.task.cancel)
        self.loop.call_soon_threadsafe(told.set)
        if threading.current_thread() is not threading.main_thread():
            told.wait(60)

    def after(self, function: Callable[..., Any], *when: str) -> Callable[..., Any]:
        """Return a function that interrupts the call, once, when its work is done."""
        is_over = False

        def interrupting(*args: Any, **kwargs: Any) -> Any:
            nonlocal is_over
            answer = function(*args, **kwargs)
            if not is_over and all(kwargs.get(each) for each in when):
                is_over = True
                self.now()
            return answer

        return interrupting


@pytest.mark.parametrize("step", ["attend", "update", "leave"])
def test_a_result_that_did_not_reach_its_caller_is_not_paid_for_again(
    step: str, hub: BadHub, ledger: Ledger, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt = Interrupt(kind, hub, ledger)
    if step == "attend":  # a call that is replayed
        hub.seconds = 3600.0
        with quick_client(hub, ledger) as client, pytest.raises(GenerationTimeout):
            client.media.generate(**OX, key="k", timeout=0.5)
    when = ["is_delivered"] if step == "update" else []
    monkeypatch.setattr(ledger, step, interrupt.after(getattr(ledger, step), *when))
    interrupt.generate()
    monkeypatch.undo()
    assert joins(hub, ledger)


@pytest.mark.parametrize("where", ["bill", "callback"])
def test_what_comes_after_the_bill_delivers_nothing(
    where: str, hub: BadHub, ledger: Ledger, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.cost = "0.40" if where == "bill" else "0.05"
    interrupt = Interrupt(kind, hub, ledger)
    keep = interrupt.after(ledger.keep_overrun)
    monkeypatch.setattr(ledger, "keep_overrun", keep)

    def told(event: Any) -> None:
        if event.phase == "done":
            interrupt.now()

    budget = Budget("1", name="b", ledger=ledger)
    interrupt.generate(budget=budget, on_progress=told if where == "callback" else None)
    monkeypatch.undo()
    assert (budget.spent, budget.reserved) == (Decimal(hub.cost), 0)
    assert joins(hub, ledger)


@pytest.mark.parametrize("method", ["generate_many", "generate_as_completed"])
def test_a_run_delivers_what_its_consumer_got(
    method: str, hub: BadHub, ledger: Ledger, kind: str
) -> None:
    def told(progress: BulkProgress) -> None:
        if progress.succeeded:  # the result is on its way to the consumer
            raise KeyboardInterrupt if kind == "sync" else asyncio.CancelledError

    def generate(**options: Any) -> None:
        if kind == "sync":
            with quick_client(hub, ledger) as client:
                list(getattr(client.media, method)([OX], **options))
        else:
            asyncio.run(generated(**options))

    async def generated(**options: Any) -> None:
        async with quick_async_client(hub, ledger) as client:
            run = getattr(client.media, method)([OX], **options)
            if method == "generate_many":
                await run
            else:
                assert [one async for one in run]

    with pytest.raises(KeyboardInterrupt if kind == "sync" else asyncio.CancelledError):
        generate(on_progress=told)
    assert joins(hub, ledger)
    generate()
    assert hub.posts == {"ox": 2}
    with quick_client(hub, ledger) as client:
        assert client.media.find(**OX) is None


def test_a_run_is_left_whatever_interrupts_that(
    hub: BadHub, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hub.seconds = 3600.0
    leave, leaving, go = ledger.leave, threading.Event(), threading.Event()

    def slow(*args: Any) -> None:
        leaving.set()
        go.wait(60)
        leave(*args)

    def interrupt() -> None:
        leaving.wait(60)
        os.kill(os.getpid(), signal.SIGINT)
        go.set()

    def told(progress: BulkProgress) -> None:
        if progress.running:
            raise KeyboardInterrupt

    monkeypatch.setattr(ledger, "leave", slow)
    threading.Thread(target=interrupt).start()
    with quick_client(hub, ledger) as client, pytest.raises(KeyboardInterrupt):
        list(client.media.generate_as_completed([OX], on_progress=told))
    monkeypatch.undo()
    assert joins(hub, ledger)


@pytest.mark.parametrize("step", ["begin", "claim"])
def test_a_loop_that_ends_while_a_request_is_written_leaves_nobody_at_work(
    step: str, hub: BadHub, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ox, budget = {**OX, "key": "k"}, Budget("1", name="b", ledger=ledger)
    if step == "claim":
        hub.plan = lambda *_: "status_400"
        with quick_client(hub, ledger) as client, pytest.raises(BadRequestError):
            client.media.generate(**ox)
        hub.plan, hub.posts = lambda *_: "ok", type(hub.posts)()
    owner = GroupedWrites if step == "begin" else Ledger
    write, written, go = getattr(owner, step), threading.Event(), threading.Event()

    def slow(*args: Any) -> Any:
        answer = write(*args)
        written.set()
        go.wait(60)
        return answer

    monkeypatch.setattr(owner, step, slow)

    async def leaves() -> None:
        client = quick_async_client(hub, ledger)
        waiting = asyncio.create_task(client.media.generate(**ox, budget=budget))
        await until(written.is_set)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # as asyncio.run does with what is left, shielded or not
        asyncio.get_running_loop().call_soon(go.set)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await client.close()

    asyncio.run(leaves())
    monkeypatch.undo()
    assert [entry.state for entry in ledger.entries()] == ["rejected"]
    assert (budget.reserved, waits(ledger), hub.posts) == (0, 0, {})
    assert MediaCalls(hub, ledger, "async")("generate", **ox, timeout=60).succeeded
