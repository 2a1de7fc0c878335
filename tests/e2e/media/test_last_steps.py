"""The last steps of a job: fetching what has no address yet, stopping, and leaving."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Ledger, OxenClient
from oxen_inference.errors import DownloadError, GenerationTimeout
from tests.e2e.media.calls import QUICK, quick_async_client, quick_client
from tests.support.bad_hub import BadHub


@pytest.fixture
def hub(hub: BadHub) -> BadHub:
    hub.seconds = 0.0
    return hub


@pytest.fixture
def client(hub: BadHub, ledger: Ledger) -> Iterator[OxenClient]:
    with quick_client(hub, ledger, max_retries=0) as client:
        yield client


def answers(wanted: Callable[[str], bool], head: str) -> Callable[[socket.socket, str], bool]:
    """Answer the GETs that are `wanted` with a status and no body."""

    def take_over(connection: socket.socket, path: str) -> bool:
        if not wanted(path):
            return False
        answer = f"HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(answer.encode())
        return True

    return take_over


def without_address(_: str, row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "result_url": None}


def test_a_file_that_comes_late_is_waited_for(hub: BadHub, ledger: Ledger, tmp_path: Path) -> None:
    asked: list[str] = []

    def not_yet(path: str) -> bool:
        asked.extend([path] if "/files/" in path else [])
        return "/files/" in path and len(asked) <= 6

    hub.take_over = answers(not_yet, "404 Not Found")
    with quick_client(hub, ledger, pace=replace(QUICK, late_file=60.0)) as client:
        assert client.media.generate(model="bad-image", prompt="ox", save_to=tmp_path).paths
    assert len(asked) == 7


def test_an_address_that_comes_late_is_waited_for(
    client: OxenClient, hub: BadHub, tmp_path: Path
) -> None:
    shown: list[str] = []

    def late(route: str, row: dict[str, Any]) -> dict[str, Any]:
        shown.append(route)
        return row if len(shown) > 4 else without_address(route, row)

    hub.shown = late
    assert client.media.generate(model="bad-image", prompt="ox", save_to=tmp_path).paths
    assert len(shown) > 4


@pytest.mark.parametrize("timeout", [None, 5])
def test_a_result_without_an_address_is_not_fetched_and_not_lost(
    timeout: float | None, client: OxenClient, hub: BadHub, tmp_path: Path
) -> None:
    hub.shown = without_address
    ox = {"model": "bad-image", "prompt": "ox", "key": "k", "save_to": tmp_path}
    with pytest.raises(DownloadError, match="names no URL for"):
        client.media.generate(**ox, timeout=timeout)
    hub.shown = lambda _, row: row
    assert client.media.generate(**ox).paths
    assert len(hub.accepted) == 1


@pytest.mark.parametrize(("head", "said"), [("404 X", "names no URL"), ("500 X", "fresh URL could not be had")])  # fmt: skip
def test_a_spent_address_that_nobody_renews_is_said(
    head: str, said: str, client: OxenClient, hub: BadHub, tmp_path: Path
) -> None:
    spent: list[str] = []

    def wanted(path: str) -> bool:
        return bool(spent) and path.startswith(("/api/ai/queue/", "/api/ai/generations/"))

    def take_over(connection: socket.socket, path: str) -> bool:
        if "/files/" in path:
            spent.append(path)
            return answers(lambda _: True, "403 Forbidden")(connection, path)
        return answers(wanted, head)(connection, path)

    hub.take_over = take_over
    ox = {"model": "bad-image", "prompt": "ox", "key": "k", "save_to": tmp_path}
    with pytest.raises(DownloadError, match=said) as failed:
        client.media.generate(**ox)
    assert failed.value.result is not None
    assert failed.value.result.urls
    hub.take_over = lambda *_: False
    assert client.media.generate(**ox).paths
    assert len(spent) == 1


@pytest.mark.parametrize("status", ["404 Not Found", "400 Bad Request", "500 Broken"])
def test_what_cannot_be_cancelled_is_told_as_it_is(
    status: str, client: OxenClient, hub: BadHub, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    handle = client.media.submit(model="bad-image", prompt="ox")
    answer = hub._get

    def refuse(method: str, path: str, query: dict[str, str]) -> tuple[int, Any]:
        if method == "DELETE":
            return int(status[:3]), {"error": {"message": status}}
        return answer(method, path, query)

    monkeypatch.setattr(hub, "_get", refuse)
    assert handle.cancel().status == "succeeded"
    assert sum(method == "DELETE" for method, _ in hub.requests) == 1
    assert ("Could not cancel" in caplog.text) == status.startswith("500")


def test_a_timeout_that_cancels_says_what_goes_on_all_the_same(
    client: OxenClient, hub: BadHub
) -> None:
    hub.seconds = 60
    with pytest.raises(GenerationTimeout, match="goes on at Oxen") as late:
        client.media.generate(model="bad-image", prompt="ox", timeout=0.2, on_interrupt="cancel")
    assert late.value.result is not None
    assert late.value.result.generation_ids == tuple(hub.accepted[0].ids)
    assert [path[-36:] for method, path in hub.requests if method == "DELETE"] == [
        hub.accepted[0].ids[0]
    ]


def test_the_cost_is_not_waited_for_beyond_the_timeout(client: OxenClient, hub: BadHub) -> None:
    hub.cost = None
    client.media.pace = replace(QUICK, settle=(60.0,))
    began = time.monotonic()
    result = client.media.generate(model="bad-image", prompt="ox", timeout=20)
    assert (result.status, result.cost) == ("succeeded", None)
    assert time.monotonic() - began < 50


class Stall:
    """Lets the GETs of a route wait until it is over."""

    def __init__(self, route: str) -> None:
        self.asked, self.over = threading.Event(), threading.Event()
        self._route = route

    def __call__(self, _: socket.socket, path: str) -> bool:
        if self._route in path:
            self.asked.set()
            self.over.wait(60)
        return False


async def cancelled_when(
    hub: BadHub, ledger: Ledger, happened: Callable[[], object], **options: Any
) -> None:
    """Begin a generation, and cancel it when something has happened at the hub."""
    async with quick_async_client(hub, ledger, timeout=60.0) as client:
        task = asyncio.create_task(client.media.generate(model="bad-image", prompt="ox", **options))
        while not happened():  # noqa: ASYNC110 - the hub is in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_who_leaves_while_a_file_comes_is_told_that_it_is_made(
    hub: BadHub, ledger: Ledger, tmp_path: Path, caplog: Any
) -> None:
    hub.take_over = stall = Stall("/files/")
    await cancelled_when(hub, ledger, stall.asked.is_set, save_to=tmp_path / "to")
    stall.over.set()
    assert f"after the generation ended: {hub.accepted[0].ids[0]}" in caplog.text


async def test_who_leaves_before_anything_is_sent_buys_nothing(
    hub: BadHub, ledger: Ledger, caplog: Any
) -> None:
    hub.take_over = stall = Stall("/models")
    await cancelled_when(hub, ledger, stall.asked.is_set)
    stall.over.set()
    assert ledger.entries() == []
    assert not hub.posts
    assert "Interrupted" not in caplog.text


async def test_who_leaves_a_twin_that_is_being_sent_is_told_it_is_not_known(
    hub: BadHub, ledger: Ledger, caplog: Any
) -> None:
    go = threading.Event()
    hub.plan = lambda *_: "ok" if go.wait(60) else "status_400"
    async with quick_async_client(hub, ledger, timeout=60.0) as client:
        ox = {"model": "bad-image", "prompt": "ox", "key": "k"}
        first = asyncio.create_task(client.media.generate(**ox))
        while not hub.posts:  # noqa: ASYNC110 - the hub is in another thread
            await asyncio.sleep(0.01)
        twin = asyncio.create_task(client.media.generate(**ox))
        await asyncio.sleep(0.3)  # by now it waits for the first
        twin.cancel()
        with pytest.raises(asyncio.CancelledError):
            await twin
        assert "it is not known yet whether Oxen accepted it" in caplog.text
        go.set()
        assert (await first).generation_ids == tuple(hub.accepted[0].ids)
    assert hub.posts["ox"] == 1
