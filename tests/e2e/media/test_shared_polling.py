"""Many clients of one account that share a ledger ask the hub as often as one."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Ledger
from tests.e2e.media.calls import QUICK, quick_client
from tests.support.bad_hub import BadHub
from tests.support.databases import emptied

PACE = replace(QUICK, image=(0.3, 0.3))
POLLS = ("/api/ai/queue", "/api/ai/generations")


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "ledger.sqlite3")
    return emptied(request.getfixturevalue("postgres"))


def generate_in_clients(hub: BadHub, location: str, clients: int, jobs: int) -> list[Any]:
    """Let each of several clients wait for some jobs of its own."""

    def work(number: int) -> list[Any]:
        with quick_client(hub, Ledger(location), pace=PACE) as client:
            return client.media.generate_many(
                [{"model": "bad-image", "prompt": f"{number}-{n}"} for n in range(jobs)], timeout=30
            )

    with ThreadPoolExecutor(clients) as pool:
        return [one for many in pool.map(work, range(clients)) for one in many]


def polls_of(hub: BadHub) -> Counter[str]:
    return Counter(path for method, path in hub.requests if method == "GET" and path in POLLS)


def test_requests_do_not_grow_with_the_clients(location: str) -> None:
    made = {}
    for clients in (1, 8):
        with BadHub(seconds=2.0) as hub:
            began = time.monotonic()
            results = generate_in_clients(hub, location, clients, jobs=3)
            assert all(one.succeeded for one in results)
            events = [path for _, path in hub.requests if path == "/api/events"]
            polls, seconds = polls_of(hub)["/api/ai/queue"], time.monotonic() - began
            made[clients] = (polls, seconds, len(events))
            # One request each 0.3 seconds; hand-overs may add a few.
            assert 1 <= polls <= seconds / PACE.image[0] + 8, made


def test_a_poller_behind_a_broken_proxy_hands_over(location: str) -> None:
    broken, ended = threading.Event(), set[str]()

    def shown(_: str, row: dict[str, Any]) -> dict[str, Any]:
        return row if row["prompt"] in ended else {**row, "status": "processing"}

    with (
        BadHub(seconds=0, shown=shown) as hub,
        quick_client(hub, Ledger(location), pace=PACE) as bad,
    ):
        with quick_client(hub, Ledger(location), pace=PACE) as good:
            with ThreadPoolExecutor(2) as pool:
                first = pool.submit(bad.media.generate, model="bad-image", prompt="a", timeout=90)
                # It is elected once it asks.
                while not any(
                    method == "GET" and "/queue" in path for method, path in hub.requests
                ):
                    time.sleep(0.01)
                second = pool.submit(good.media.generate, model="bad-image", prompt="b", timeout=90)
                while not hub.submissions_of("b"):
                    time.sleep(0.01)
                send = bad.send

                def fail(call: Any) -> Any:
                    if call.method == "get":
                        broken.set()
                        raise OSError("the proxy is gone")
                    return send(call)

                object.__setattr__(bad, "send", fail)
                assert broken.wait(60)
                ended.add("a")
                # The first one's client never reaches the hub again: it reads its row.
                assert first.result(90).succeeded
                ended.add("b")
                assert second.result(60).succeeded


def test_a_waiter_whose_rows_are_stale_asks_by_itself(location: str) -> None:
    with BadHub(seconds=0.5) as hub, quick_client(hub, Ledger(location), pace=PACE) as client:
        # Somebody has the turn for an hour, and does nothing with it.
        silent = quick_client(hub, Ledger(location)).media._engine.poller._shared
        assert silent is not None
        assert silent.take_turn([], 3600).is_mine
        started = time.monotonic()
        assert client.media.generate(model="bad-image", prompt="a", timeout=30).succeeded
        assert time.monotonic() - started > 3 * PACE.image[0]
