"""Hubs that answer oddly: nothing is lost, nothing paid twice, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import openai
import pytest

from oxen_inference import Budget, Ledger, OxenClient
from oxen_inference.errors import (
    ConfigurationError,
    DownloadError,
    EnqueueOutcomeUnknown,
    GenerationFailed,
    InsufficientCreditsError,
    InvalidInputError,
)
from oxen_inference.media import background
from oxen_inference.media.poller import Poller
from oxen_inference.result import MediaResult
from tests.e2e.media.calls import MediaCalls, quick_async_client, quick_client, settings
from tests.support import bad_hub
from tests.support.bad_hub import PNG, BadHub

Generate = Callable[..., MediaResult]


@pytest.fixture
def generate(hub: BadHub, ledger: Ledger, kind: str) -> Generate:
    """`media.generate` of a new client of either kind."""
    usual = {"model": "bad-image", "prompt": "ox"}

    def generated(api_key: Any = "k", **options: Any) -> MediaResult:
        async def awaited_key() -> Any:
            return api_key()

        key = awaited_key if kind == "async" and callable(api_key) else api_key
        call = MediaCalls(hub, ledger, kind, timeout=5.0, api_key=key)
        return call("generate", **{**usual, **options})

    return generated


@pytest.mark.parametrize("asked", ["1e10", "inf", "nan", "-5"])
def test_a_wait_nobody_could_mean_does_not_end_the_watching(
    asked: str, hub: BadHub, generate: Generate
) -> None:
    refused: list[str] = []

    def refuse_once(connection: socket.socket, path: str) -> bool:
        if refused or "/queue/" not in path:
            return False
        refused.append(path)
        head = f"HTTP/1.1 429 X\r\nRetry-After: {asked}\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(head.encode())
        return True

    hub.take_over = refuse_once
    assert generate(timeout=30).status == "succeeded"
    assert refused


def test_text_that_has_no_bytes_is_refused_before_it_is_paid_for(
    hub: BadHub, generate: Generate, ledger: Ledger
) -> None:
    cut = "ox \ud83d"
    for options in (
        {"prompt": cut},
        {"key": cut},
        {"conversation": cut},
        {"params": {"seed": cut}},
    ):
        with pytest.raises(InvalidInputError):
            generate(**options)
    assert not hub.posts
    assert not ledger.entries()


@pytest.mark.parametrize("rules", [{"type": "string"}, {"type": "number"}, True])
def test_how_many_is_the_hubs_to_say_not_the_models(
    hub: BadHub, generate: Generate, monkeypatch: pytest.MonkeyPatch, rules: Any
) -> None:
    properties = {"prompt": {"type": "string"}, "num_generations": rules}
    required = ["prompt"] if rules == {"type": "string"} else ["prompt", "num_generations"]
    schema = {"type": "object", "properties": properties, "required": required}
    monkeypatch.setattr(bad_hub, "MODEL", {**bad_hub.MODEL, "request_schema": schema})
    for wrong in ("3", 2.5, 0, 1_000_000, True, [2]):
        with pytest.raises(InvalidInputError, match="num_generations"):
            generate(num_generations=wrong)
    assert not hub.posts
    assert len(generate(num_generations=2).items) == 2
    assert hub.accepted[0].body["num_generations"] == 2


def test_a_request_that_could_not_be_made_holds_no_money(hub: BadHub, generate: Generate, ledger: Ledger) -> None:  # fmt: skip
    budget = Budget("0.05", name="b", ledger=ledger)
    with quick_client(hub, ledger) as client:
        model = client.catalog.get("bad-image")
    asked: list[int] = []

    def expired_when_it_pays() -> str:
        asked.append(1)
        if len(asked) == 2:  # the first is for the catalog
            raise RuntimeError("The token has expired.")
        return "k"

    with pytest.raises(ConfigurationError, match="The token has expired"):
        generate(expired_when_it_pays, model=model, budget=budget)
    assert not hub.posts
    assert [entry.state for entry in ledger.entries()] == ["rejected"]
    assert budget.remaining == budget.limit


def test_an_event_is_heard_while_polling_rests(hub: BadHub, generate: Generate) -> None:
    hub.seconds = 0.4
    refused, done = threading.Event(), threading.Event()

    def busy(connection: socket.socket, path: str) -> bool:
        if path.endswith("/events"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            refused.wait(60)
            time.sleep(0.6)
            for one in ("somebody-else-s", hub.accepted[0].ids[0]):
                told = json.dumps({"generation_id": one})
                event = f"event: media_generation_completed\ndata: {told}\n\n"
                connection.sendall(event.encode())
            done.wait(60)
            return True
        if "/queue/" not in path or refused.is_set():
            return False
        connection.sendall(b"HTTP/1.1 429 X\r\nRetry-After: 20\r\nContent-Length: 0\r\n\r\n")
        refused.set()
        return True

    hub.take_over = busy
    assert generate(timeout=15).status == "succeeded"
    done.set()


def test_a_bug_in_the_watching_strands_nobody(
    hub: BadHub, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest, broken = Poller.seconds_to_next, threading.Event()

    def breaks_once(self: Poller) -> float | None:
        if not broken.is_set():
            broken.set()
            raise ZeroDivisionError
        return rest(self)

    monkeypatch.setattr(Poller, "seconds_to_next", breaks_once)
    monkeypatch.setattr(background, "_AFTER_A_BUG", 0.05)
    assert generate(timeout=30).status == "succeeded"
    assert broken.is_set()


def test_a_failed_row_speaks_under_error(hub: BadHub, generate: Generate) -> None:
    hub.shown = lambda _, row: {**row, "status": "failed", "error": "NSFW blocked"}
    with pytest.raises(GenerationFailed, match="NSFW blocked"):
        generate(timeout=30)


def test_a_number_is_an_id(hub: BadHub, generate: Generate) -> None:
    hub.repeat_ids = [7]  # type: ignore[list-item]  # as some hubs number their jobs

    def number(connection: socket.socket, path: str) -> bool:
        if path.endswith("/7"):
            connection.sendall(_answered(hub._rows()[0] | {"generation_id": 7}))
        return path.endswith("/7")

    hub.take_over = number
    assert generate(timeout=30).generation_ids == ("7",)


def _answered(row: dict[str, Any]) -> bytes:
    body = json.dumps(row).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body  # fmt: skip


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + PNG])
def test_the_timeout_is_for_the_file_too(
    sent: bytes, hub: BadHub, generate: Generate, tmp_path: Path
) -> None:
    done = threading.Event()

    def stall(connection: socket.socket, path: str) -> bool:
        if "/files/" not in path or done.is_set():
            return False
        connection.sendall(sent)
        done.wait(60)
        return True

    hub.take_over = stall
    began = time.monotonic()
    with pytest.raises(DownloadError, match="same key") as failed:
        generate(timeout=3, key="k", save_to=tmp_path / "to")
    assert time.monotonic() - began < 50
    assert failed.value.result is not None
    assert failed.value.result.status == "succeeded"
    assert list((tmp_path / "to").iterdir()) == []
    done.set()
    assert generate(key="k", save_to=tmp_path / "to").paths
    assert len(hub.accepted) == 1


def test_a_refusal_in_a_success_is_checked_against_the_lists(
    hub: BadHub, generate: Generate, ledger: Ledger
) -> None:
    hub.plan = lambda *_: "refusal_in_200_after"
    budget = Budget("0.05", name="b", ledger=ledger)
    first = generate(key="k", budget=budget)
    assert generate(key="k", budget=budget).generation_ids == first.generation_ids
    assert len(hub.accepted) == 1
    assert str(budget.spent) == "0.05"


def test_a_refusal_in_a_success_that_made_nothing_is_one(
    hub: BadHub, generate: Generate, ledger: Ledger
) -> None:
    hub.plan = lambda _, attempt: "refusal_in_200" if attempt == 0 else "ok"
    budget = Budget("0.05", name="b", ledger=ledger)
    with pytest.raises(InsufficientCreditsError, match="Insufficient credits"):
        generate(key="k", budget=budget)
    assert budget.reserved == 0
    assert generate(key="k", budget=budget).status == "succeeded"


@pytest.mark.parametrize("how", ["broken", "missing"])
def test_a_refusal_in_a_success_is_in_doubt_where_nobody_can_look(
    how: str, hub: BadHub, generate: Generate, ledger: Ledger
) -> None:
    hub.plan = lambda *_: "refusal_in_200_after"

    def unlisted(connection: socket.socket, path: str) -> bool:
        if not path.endswith(("/queue", "/generations")):
            return False
        if how == "missing":
            connection.sendall(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n")
        return True

    hub.take_over = unlisted
    budget = Budget("1", name="b", ledger=ledger)
    for _ in range(2):
        with pytest.raises(EnqueueOutcomeUnknown, match="No such key"):
            generate(key="k", budget=budget)
    assert len(hub.accepted) == 1
    assert str(budget.reserved) == "0.05"


def test_a_lean_history_takes_nothing_from_the_queue_s_rows(
    hub: BadHub, generate: Generate
) -> None:
    hub.plan, hub.seconds = (lambda *_: "reset_after"), 2.0

    def lean(route: str, row: dict[str, Any]) -> dict[str, Any]:
        return row if route == "queue" else {k: v for k, v in row.items() if k != "seed"}

    hub.shown = lean
    assert generate(seed=3, timeout=8).status == "succeeded"
    assert len(hub.accepted) == 1


@pytest.mark.parametrize(
    "show",
    [lambda at: datetime.fromtimestamp(at, timezone.utc).isoformat(), lambda at: int(at * 1000)],
    ids=["text", "milliseconds"],
)
def test_a_lost_job_is_found_in_whatever_form_its_time_comes(
    show: Callable[[float], Any], hub: BadHub, generate: Generate
) -> None:
    hub.plan, hub.seconds = (lambda *_: "reset_after"), 0.0
    hub.shown = lambda _, row: {**row, "enqueued_at": show(row["enqueued_at"])}
    assert generate().status == "succeeded"
    assert len(hub.accepted) == 1


def test_a_result_named_by_a_bare_path_is_the_hubs(
    hub: BadHub, generate: Generate, tmp_path: Path
) -> None:
    hub.shown = lambda _, row: {**row, "result_url": "api/ai/files/x.png"}
    assert generate(save_to=tmp_path).paths


@pytest.mark.parametrize("own", [False, True])
def test_nobody_pays_or_waits_with_a_client_that_was_closed(
    own: bool, kind: str, hub: BadHub, ledger: Ledger
) -> None:
    hub.seconds = 60
    ox: dict[str, Any] = {"model": "bad-image", "prompt": "ox"}

    async def asynchronous() -> None:
        options = {"http_client": openai.DefaultAsyncHttpxClient()} if own else {}
        client = quick_async_client(hub, ledger, **options)
        handle = await client.media.submit(**ox, key="k")
        await client.close()
        with pytest.raises(
            ConfigurationError, match=r"has been closed.*resume\('k'\) gets it back"
        ):
            await handle.wait()
        with pytest.raises(ConfigurationError, match="has been closed"):
            await client.media.submit(**ox)

    if kind == "async":
        asyncio.run(asynchronous())
    else:
        options = {"http_client": openai.DefaultHttpxClient()} if own else {}
        client = quick_client(hub, ledger, **options)
        handle = client.media.submit(**ox, key="k")
        client.close()
        with pytest.raises(
            ConfigurationError, match=r"has been closed.*resume\('k'\) gets it back"
        ):
            handle.wait()
        with pytest.raises(ConfigurationError, match="has been closed"):
            client.media.submit(**ox)
    assert hub.posts["ox"] == 1
    assert [entry.state for entry in ledger.entries()] == ["rejected", "accepted"]


def test_a_path_is_a_ledger(hub: BadHub, tmp_path: Path) -> None:
    options = settings(hub, Ledger(tmp_path / "other"))
    for path in (tmp_path / "ledger.db", str(tmp_path / "ledger.db")):
        with OxenClient(**{**options, "ledger": path}) as client:
            assert client.media.ledger.path == tmp_path / "ledger.db"
            assert client.media.ledger.durable
    with (
        OxenClient(**{**options, "ledger": 5}) as client,
        pytest.raises(ConfigurationError, match="ledger must be"),
    ):
        _ = client.media
