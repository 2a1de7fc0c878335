"""`timeout` is for the whole call, whichever part of the hub hangs."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oxen_inference.errors import (
    APIConnectionError,
    APITimeoutError,
    DownloadError,
    GenerationFailed,
    GenerationTimeout,
)
from oxen_inference.media import engine
from tests.e2e.media.calls import MediaCalls
from tests.support.bad_hub import BadHub


@pytest.fixture
def over() -> Iterator[threading.Event]:
    over = threading.Event()
    yield over
    over.set()


def hanging(where: str, over: threading.Event) -> Callable[[socket.socket, str], bool]:
    def hang(_: socket.socket, path: str) -> bool:
        return where in path and (over.wait(120) or True)

    return hang


def cost_later(route: str, row: dict[str, Any]) -> dict[str, Any]:
    """Only the history knows what it cost."""
    return row if route == "generations" else {**row, "cost": None}


@pytest.mark.parametrize("method", ["generate", "generate_many"])
def test_a_catalog_that_hangs(
    method: str, media: MediaCalls, hub: BadHub, over: threading.Event
) -> None:
    hub.take_over = hanging("/models", over)
    began = time.monotonic()
    if method == "generate":
        with pytest.raises(APITimeoutError, match="Nothing was sent"):
            media("generate", model="bad-image", prompt="ox", timeout=1)
    else:
        requests = [{"prompt": "ox"}, {"prompt": "cow"}]
        made = media("generate_many", requests, model="bad-image", timeout=1)
        assert [isinstance(one, APIConnectionError) for one in made] == [True, True], made
    assert time.monotonic() - began < 60
    assert not hub.posts


def test_nobody_waits_for_ever_without_a_timeout(
    media: MediaCalls, hub: BadHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MAX_WAIT", 0.3)
    hub.seconds = 3600.0
    with pytest.raises(GenerationTimeout, match="goes on at Oxen"):
        media("generate", model="bad-image", prompt="ox")
    made = media("generate_many", [{"prompt": "ox"}, {"prompt": "cow"}], model="bad-image")
    assert [type(one) for one in made] == [GenerationTimeout, GenerationTimeout]


def test_an_earlier_result_that_hangs(
    media: MediaCalls, hub: BadHub, over: threading.Event
) -> None:
    hub.take_over = hanging("/queue/", over)
    began = time.monotonic()
    earlier = "3f2b8c0e-7f0a-4c1e-9d58-0c6a3c0b9a11"
    with pytest.raises(APITimeoutError):
        media("generate", model="bad-image", prompt="ox", input_image=earlier, timeout=1)
    assert time.monotonic() - began < 60
    assert not hub.posts


def test_a_hiccup_on_the_way_is_no_matter_of_time(media: MediaCalls, hub: BadHub) -> None:
    earlier = media("generate", model="bad-image", prompt="ox")
    broken: list[str] = []

    def break_once(_: socket.socket, path: str) -> bool:
        if broken or "/queue/" not in path:
            return False
        broken.append(path)
        return True

    hub.take_over = break_once
    assert media("generate", model="bad-image", prompt=earlier.items[0], timeout=10).succeeded
    assert broken


def test_a_cost_that_hangs_keeps_no_file(
    media: MediaCalls, hub: BadHub, over: threading.Event, tmp_path: Path
) -> None:
    hub.shown, hub.take_over = cost_later, hanging("/generations/", over)
    began = time.monotonic()
    made = media("generate", model="bad-image", prompt="ox", timeout=4, save_to=tmp_path / "to")
    assert time.monotonic() - began < 60
    assert Path(made.paths[0]).is_file()
    assert made.cost is None
    hub.take_over = lambda *_: False
    (entry,) = media("reconcile")
    assert str(entry.cost) == "0.05"


def test_a_fresh_address_that_hangs(
    media: MediaCalls, hub: BadHub, over: threading.Event, tmp_path: Path
) -> None:
    hang = hanging("/queue/", over)
    spent: list[str] = []

    def refuse_then_hang(connection: socket.socket, path: str) -> bool:
        if "/files/" in path and not spent:
            spent.append(path)
            connection.sendall(b"HTTP/1.1 403 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return True
        return bool(spent) and hang(connection, path)

    hub.take_over = refuse_then_hang
    began = time.monotonic()
    with pytest.raises(DownloadError, match="fresh URL"):
        media("generate", model="bad-image", prompt="ox", timeout=4, save_to=tmp_path / "to")
    assert time.monotonic() - began < 60


def test_what_could_not_be_fetched_is_settled_all_the_same(
    media: MediaCalls, hub: BadHub, tmp_path: Path
) -> None:
    hub.shown, hub.url_prefix = cost_later, f"{hub.origin}/nowhere"
    with pytest.raises(DownloadError) as failed:
        media("generate", model="bad-image", prompt="ox", save_to=tmp_path / "to")
    assert str(failed.value.result.cost) == "0.05"  # type: ignore[union-attr]  # as it is raised


def test_a_failure_s_cost_is_asked_for(media: MediaCalls, hub: BadHub, tmp_path: Path) -> None:
    hub.seconds = 0.0  # it has failed, and the history knows the cost, at the first look
    hub.shown = lambda route, row: cost_later(route, {**row, "status": "failed"})
    with pytest.raises(GenerationFailed) as failed:
        media("generate", model="bad-image", prompt="ox", save_to=tmp_path / "to")
    assert str(failed.value.result.cost) == "0.05"  # type: ignore[union-attr]  # as it is raised
