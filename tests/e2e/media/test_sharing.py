"""Calls that collect the same result at the same time share one file."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Ledger, MediaResult
from oxen_inference.errors import DownloadError
from oxen_inference.media import fetch
from oxen_inference.media.results.files import Fetched
from tests.e2e.media.calls import quick_async_client, quick_client
from tests.support.bad_hub import PNG, BadHub

COUNT = 6


@pytest.fixture
def hub(hub: BadHub) -> BadHub:
    hub.seconds = 0.0
    return hub


def held_files(hold: Callable[[], Any], asked: list[str]) -> Any:
    """Serve each file after `hold`."""

    def answer(connection: socket.socket, path: str) -> bool:
        if "/files/" not in path:
            return False
        asked.append(path)
        hold()
        head = f"HTTP/1.1 200 X\r\nContent-Type: image/png\r\nContent-Length: {len(PNG)}\r\n"
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + PNG)
        return True

    return answer


def one_file(made: list[MediaResult], folder: Path, asked: list[str]) -> None:
    (saved,) = folder.iterdir()
    assert {one.paths for one in made} == {(saved,)}
    assert len(asked) == 1


def test_threads_share_one_file(hub: BadHub, ledger: Ledger, tmp_path: Path) -> None:
    asked: list[str] = []
    hub.take_over = held_files(lambda: time.sleep(0.3), asked)
    with quick_client(hub, ledger) as client, ThreadPoolExecutor(COUNT) as threads:
        request = {"model": "bad-image", "prompt": "ox", "key": "k", "save_to": tmp_path / "to"}
        parts = [threads.submit(client.media.generate, **request) for _ in range(COUNT)]
        one_file([part.result() for part in parts], tmp_path / "to", asked)
    assert len(hub.accepted) == 1


def test_tasks_share_one_file(hub: BadHub, ledger: Ledger, tmp_path: Path) -> None:
    asked: list[str] = []
    hub.take_over = held_files(lambda: time.sleep(0.3), asked)

    async def make() -> list[MediaResult]:
        async with quick_async_client(hub, ledger) as client:
            request = {"model": "bad-image", "prompt": "ox", "key": "k", "save_to": tmp_path / "to"}
            return await asyncio.gather(*(client.media.generate(**request) for _ in range(COUNT)))

    one_file(asyncio.run(make()), tmp_path / "to", asked)
    assert len(hub.accepted) == 1


def test_a_file_that_is_gone_or_wanted_elsewhere_is_fetched(
    hub: BadHub, ledger: Ledger, tmp_path: Path
) -> None:
    with quick_client(hub, ledger) as client:
        first = client.media.generate(
            model="bad-image", prompt="ox", key="k", save_to=tmp_path / "to"
        )
        Path(first.paths[0]).unlink()
        assert Path(client.media.resume("k", save_to=tmp_path / "to").paths[0]).is_file()
        other = client.media.resume("k", save_to=tmp_path / "other")
        assert Path(other.paths[0]).parent == tmp_path / "other"


def test_a_fetch_that_fails_is_tried_by_the_next(
    hub: BadHub, ledger: Ledger, tmp_path: Path
) -> None:
    asked: list[str] = []
    serve = held_files(lambda: None, asked)

    def fail_first(connection: socket.socket, path: str) -> bool:
        if "/files/" in path and not asked:
            asked.append(path)
            connection.sendall(b"HTTP/1.1 418 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return True
        return bool(serve(connection, path))

    hub.take_over = fail_first
    with quick_client(hub, ledger) as client:
        request = {"model": "bad-image", "prompt": "ox", "key": "k", "save_to": tmp_path / "to"}
        with pytest.raises(DownloadError):
            client.media.generate(**request)
        assert client.media.generate(**request).paths


def test_what_was_saved_longest_ago_is_not_remembered_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_slots", fetch._Slots())
    monkeypatch.setattr(fetch, "_MOST_REMEMBERED", 2)
    asked: list[str] = []

    def save(item: str) -> None:
        def saves() -> Fetched:
            asked.append(item)
            (tmp_path / item).touch()
            return Fetched(tmp_path / item, "", 0, None, None)

        fetch._save_once(saves, "entry", item, tmp_path)

    for item in "aabcba":
        save(item)
    assert asked == ["a", "b", "c", "a"]


def test_nobody_waits_for_another_s_fetch_beyond_the_time_given(
    hub: BadHub, ledger: Ledger, tmp_path: Path
) -> None:
    asked: list[str] = []
    go = threading.Event()
    hub.take_over = held_files(lambda: go.wait(60), asked)
    with quick_client(hub, ledger) as client:
        request = {"model": "bad-image", "prompt": "ox", "key": "k", "save_to": tmp_path / "to"}
        patient = threading.Thread(target=client.media.generate, kwargs=request)
        patient.start()
        while not asked:
            time.sleep(0.01)
        with pytest.raises(DownloadError, match="Another call was still downloading it"):
            client.media.generate(**request, timeout=2)
        assert patient.is_alive()
        go.set()
        patient.join()
    assert len(list((tmp_path / "to").iterdir())) == 1
