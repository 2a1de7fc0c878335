"""Event streams that are of no use: polling keeps its pace, and nothing piles up."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from oxen_inference import AsyncOxenClient, Journal, OxenClient
from oxen_inference.errors import GenerationTimeout
from tests.e2e.media_faults import QUICK, settings
from tests.e2e.test_media_generate import Bench
from tests.support.bad_hub import BadHub
from tests.support.scripted_server import SSE_HEAD

PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"


@pytest.fixture
def hub() -> Iterator[BadHub]:
    with BadHub() as hub:
        yield hub


def asked(hub: BadHub, end: str) -> int:
    return sum(method == "GET" and end in path for method, path in hub.requests)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("answer", [SSE_HEAD, PAGE])
def test_a_stream_that_ends_at_once_does_not_hurry_polling(
    answer: bytes, is_async: bool, hub: BadHub, tmp_path: Path
) -> None:
    def end_at_once(connection: socket.socket, path: str) -> bool:
        if path.endswith("/events"):
            connection.sendall(answer)
        return path.endswith("/events")

    hub.take_over, hub.seconds = end_at_once, 60
    media = Bench(hub, Journal(tmp_path / "j.sqlite3"), is_async)
    media.pace = replace(QUICK, image=(30.0, 30.0))
    with pytest.raises(GenerationTimeout):
        media("generate", model="bad-image", prompt="ox", timeout=3.2)
    assert asked(hub, "/events") <= 3
    assert asked(hub, "/queue") <= 1


class Silence:
    """Leaves whoever asks for events without an answer."""

    def __init__(self) -> None:
        self.held = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket, path: str) -> bool:
        if not path.endswith("/events"):
            return False
        with self._lock:
            self.held += 1
            self.most = max(self.most, self.held)
        connection.settimeout(30)
        connection.recv(1)
        with self._lock:
            self.held -= 1
        return True


def test_a_route_that_never_answers_holds_one_line(hub: BadHub, tmp_path: Path) -> None:
    hub.take_over = silence = Silence()
    before = threading.enumerate()
    with OxenClient(**settings(hub, Journal(tmp_path / "j"))) as client:
        client.media.pace = QUICK
        for number in range(6):
            assert client.media.generate(model="bad-image", prompt=f"ox {number}").succeeded
        lines = [one for one in threading.enumerate() if one.name == "oxen-events"]
        assert len([one for one in lines if one not in before]) == 1
    assert silence.most == 1


def test_a_route_that_never_answers_holds_one_line_of_a_loop(hub: BadHub, tmp_path: Path) -> None:
    hub.take_over = silence = Silence()

    async def make() -> None:
        async with AsyncOxenClient(**settings(hub, Journal(tmp_path / "j"))) as client:
            client.media.pace = QUICK
            for number in range(6):
                await client.media.generate(model="bad-image", prompt=f"ox {number}")

    asyncio.run(make())
    assert silence.most <= 2  # the hub may learn of a goodbye after the next hello


def test_a_line_is_taken_up_again_in_use(hub: BadHub, tmp_path: Path) -> None:
    """Events are heard by each of many waits, one after the other."""
    opened: list[threading.Event] = []

    def tell(connection: socket.socket, path: str) -> bool:
        if not path.endswith("/events"):
            return False
        done = threading.Event()
        opened.append(done)
        connection.sendall(SSE_HEAD)
        done.wait(0.5)
        told = "\n".join(
            f'event: media_generation_completed\ndata: {{"generation_id": "{one.ids[0]}"}}\n'
            for one in hub.accepted
        )
        connection.sendall(f"{told}\n".encode())
        done.wait(5)
        return True

    hub.take_over, hub.seconds = tell, 0.3
    with OxenClient(**{**settings(hub, Journal(tmp_path / "j")), "timeout": 5.0}) as client:
        client.media.pace = replace(QUICK, image=(30.0, 30.0))
        for number in range(3):
            made = client.media.generate(model="bad-image", prompt=f"ox {number}", timeout=8)
            assert made.succeeded
    for done in opened:
        done.set()
