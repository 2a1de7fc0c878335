"""Generations that were made elsewhere become entries of the ledger, each of one."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from oxen_inference import Ledger
from oxen_inference.ledger import leases
from oxen_inference.tools import jobs
from tests.e2e.media.calls import quick_async_client, quick_client
from tests.support.bad_hub import BadHub


@pytest.fixture
def made_elsewhere(hub: BadHub, tmp_path: Path) -> str:
    hub.seconds = 0.0
    with quick_client(hub, Ledger(tmp_path / "elsewhere.sqlite3")) as client:
        (generation_id,) = client.media.submit(model="bad-image", prompt="ox").generation_ids
    return str(generation_id)


def test_two_that_attach_one_generation_share_its_entry(
    made_elsewhere: str, hub: BadHub, ledger: Ledger, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, both = ledger.mark_accepted, threading.Barrier(2, timeout=60)

    def at_once(*args: Any, **kwargs: Any) -> bool:
        both.wait()
        return accept(*args, **kwargs)

    monkeypatch.setattr(ledger, "mark_accepted", at_once)
    at_work = set(leases._at_work)

    async def attach_both() -> Any:
        async with quick_async_client(hub, ledger) as client:
            attach = client.media.attach
            handles = [attach(generation_ids=[made_elsewhere]) for _ in range(2)]
            return [await handle.wait(60) for handle in await asyncio.gather(*handles)]

    if kind == "async":
        results = asyncio.run(attach_both())
    else:
        with quick_client(hub, ledger) as client, ThreadPoolExecutor(2) as threads:
            handles = threads.map(
                lambda one: client.media.attach(generation_ids=[one]), [made_elsewhere] * 2
            )
            results = [handle.wait(60) for handle in handles]
    assert [result.generation_ids for result in results] == [(made_elsewhere,)] * 2
    assert sorted(entry.state for entry in ledger.entries()) == ["accepted", "rejected"]
    assert not leases._at_work - at_work


async def test_an_id_that_a_model_names_twice_is_looked_at_once(
    made_elsewhere: str, hub: BadHub, ledger: Ledger
) -> None:
    options: Any = {"wait": 0, "timeout": None, "save_to": None, "on_progress": None}
    async with quick_async_client(hub, ledger) as client:
        (result,) = await jobs.acheck(client, [made_elsewhere] * 2, **options)
        assert len(await jobs.acancel(client, [made_elsewhere] * 2)) == 1
    with quick_client(hub, ledger) as client:
        assert len(jobs.check(client, [made_elsewhere] * 2, **options)) == 1
        assert len(jobs.cancel(client, [made_elsewhere] * 2)) == 1
    assert not isinstance(result, jobs.UnknownJob)
    assert result.succeeded
    assert [entry.state for entry in ledger.entries()] == ["accepted"]


def test_ids_share_the_time_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is waited for to the end; those after it are only asked for, and one had ended."""
    clock, waits = [0.0], []

    class Handle:
        def __init__(self, name: str) -> None:
            self.name = name

        def status(self) -> Any:
            return SimpleNamespace(is_terminal=self.name == "ended", name=self.name)

        def wait(self, timeout: float | None, **_: Any) -> Any:
            waits.append((self.name, timeout))
            clock[0] += timeout or 0.0
            return self.status()

    def attach(generation_ids: list[str]) -> Any:
        return Handle(generation_ids[0])

    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    client: Any = SimpleNamespace(media=SimpleNamespace(attach=attach))
    told = jobs.check(
        client, ["slow", "slower", "ended"], wait=2.0, timeout=7.0, save_to=None, on_progress=None
    )
    assert waits == [("slow", 2.0), ("ended", 7.0)]
    assert [each.name for each in cast("list[Any]", told)] == ["slow", "slower", "ended"]
