"""Event streams that are of no use: polling keeps its pace, and nothing piles up."""

from __future__ import annotations

import asyncio
import socket
import threading
from dataclasses import replace
from typing import Any

import openai
import pytest

from oxen_inference import Ledger
from oxen_inference.errors import GenerationTimeout
from tests.e2e.media.calls import QUICK, MediaCalls, quick_async_client, quick_client
from tests.support.bad_hub import BadHub
from tests.support.scripted_server import SSE_HEAD

PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
SLOW = replace(QUICK, image=(30.0, 30.0))


def asked(hub: BadHub, end: str) -> int:
    return sum(method == "GET" and end in path for method, path in hub.requests)


@pytest.mark.parametrize("answer", [SSE_HEAD, PAGE])
def test_a_stream_that_ends_at_once_does_not_hurry_polling(
    answer: bytes, media: MediaCalls, hub: BadHub
) -> None:
    def end_at_once(connection: socket.socket, path: str) -> bool:
        if path.endswith("/events"):
            connection.sendall(answer)
        return path.endswith("/events")

    hub.take_over, hub.seconds = end_at_once, 60
    media.pace = SLOW
    with pytest.raises(GenerationTimeout):
        media("generate", model="bad-image", prompt="ox", timeout=3.2)
    assert asked(hub, "/events") <= 3
    assert asked(hub, "/queue") <= 1


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_transport_without_a_socket_to_show_keeps_nobody(hub: BadHub, ledger: Ledger) -> None:
    class Opaque(openai.DefaultHttpxClient):
        def send(self, *args: Any, **kwargs: Any) -> Any:
            response = super().send(*args, **kwargs)
            response.extensions.pop("network_stream")
            return response

    over = threading.Event()

    def stay_open(connection: socket.socket, path: str) -> bool:
        if path.endswith("/events"):
            connection.sendall(SSE_HEAD)
            over.wait(5)
        return path.endswith("/events")

    hub.take_over = stay_open
    with quick_client(hub, ledger, http_client=Opaque()) as client:
        for number in range(2):
            assert client.media.generate(model="bad-image", prompt=f"ox {number}").succeeded
    over.set()
    assert asked(hub, "/events") == 1


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


def test_a_route_that_never_answers_holds_one_line(hub: BadHub, ledger: Ledger) -> None:
    hub.take_over = idle_timeout = Silence()
    before = threading.enumerate()
    with quick_client(hub, ledger) as client:
        for number in range(6):
            assert client.media.generate(model="bad-image", prompt=f"ox {number}").succeeded
        lines = [one for one in threading.enumerate() if one.name == "oxen-events"]
        assert len([one for one in lines if one not in before]) == 1
    assert idle_timeout.most == 1


def test_a_route_that_never_answers_holds_one_line_of_a_loop(hub: BadHub, ledger: Ledger) -> None:
    hub.take_over = idle_timeout = Silence()

    async def make() -> None:
        async with quick_async_client(hub, ledger) as client:
            for number in range(6):
                await client.media.generate(model="bad-image", prompt=f"ox {number}")

    asyncio.run(make())
    assert idle_timeout.most <= 2  # the hub may learn of a goodbye after the next hello


def test_a_line_is_taken_up_again_in_use(hub: BadHub, ledger: Ledger) -> None:
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
    with quick_client(hub, ledger, pace=SLOW) as client:
        for number in range(3):
            made = client.media.generate(model="bad-image", prompt=f"ox {number}", timeout=8)
            assert made.succeeded
    for done in opened:
        done.set()
