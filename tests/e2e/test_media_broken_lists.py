"""A hub of which a part is broken: what the rest of it says is enough."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oxen_inference import Journal, MediaResult
from tests.e2e.media_faults import QUICK
from tests.e2e.test_media_generate import Bench
from tests.support.bad_hub import BadHub

HTML = b"<html>Bad gateway</html>"


@pytest.fixture
def hub() -> Iterator[BadHub]:
    with BadHub() as hub:
        yield hub


@pytest.fixture(params=["sync", "async"])
def media(request: pytest.FixtureRequest, hub: BadHub, tmp_path: Path) -> Bench:
    bench = Bench(hub, Journal(tmp_path / "j.sqlite3"), request.param == "async")
    bench.pace, bench.options = QUICK, {"max_retries": 0}
    return bench


def answering(
    status: int, body: bytes, ends: tuple[str, ...], kind: str = "application/json"
) -> Callable[[socket.socket, str], bool]:
    """Answer the GETs of the routes that end so."""

    def take_over(connection: socket.socket, path: str) -> bool:
        if not path.endswith(ends):
            return False
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        return True

    return take_over


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [(500, b'{"error": "x"}', "application/json"), (200, HTML, "text/html"),
     (200, b'{"generations": null}', "application/json"), (403, b"{}", "application/json")],
)  # fmt: skip
@pytest.mark.parametrize("ends", [("/queue", "/generations"), ("/generations",)])
def test_where_lists_are_broken_each_job_is_asked_for(
    ends: tuple[str, ...], status: int, body: bytes, kind: str, media: Bench, hub: BadHub
) -> None:
    hub.take_over = answering(status, body, ends, kind)
    requests = [{"model": "bad-image", "prompt": f"ox {number}"} for number in range(6)]
    made = media("generate_many", requests, timeout=8)
    assert [isinstance(one, MediaResult) for one in made] == [True] * 6


def test_a_history_that_is_broken_altogether_is_done_without(media: Bench, hub: BadHub) -> None:
    listed = answering(500, b"{}", ("/generations",))
    hub.take_over = lambda connection, path: (
        listed(connection, "/generations") if "/generations" in path else False
    )
    requests = [{"model": "bad-image", "prompt": f"ox {number}"} for number in range(5)]
    made = media("generate_many", requests, timeout=8)
    assert [isinstance(one, MediaResult) for one in made] == [True] * 5
