"""A hub of which a part is broken: what the rest of it says is enough."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from oxen_inference import MediaResult, OxenClient
from oxen_inference.errors import (
    AuthenticationError,
    GenerationFailed,
    GenerationTimeout,
    PermissionDeniedError,
)
from tests.e2e.media.calls import QUICK, MediaCalls
from tests.support.bad_hub import BadHub

HTML = b"<html>Bad gateway</html>"


@pytest.fixture
def media(media: MediaCalls) -> MediaCalls:
    media.options["max_retries"] = 0
    return media


def answering(
    status: int, body: bytes, ends: tuple[str, ...], kind: str = "application/json"
) -> Callable[[socket.socket, str], bool]:
    """Answer the GETs of the routes that end so."""

    def take_over(connection: socket.socket, path: str) -> bool:
        if not path.endswith(ends):
            return False
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
        return True

    return take_over


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [(500, b'{"error": "x"}', "application/json"), (200, HTML, "text/html"),
     (200, b'{"generations": null}', "application/json"), (403, b"{}", "application/json")],
)  # fmt: skip
@pytest.mark.parametrize("ends", [("/queue", "/generations"), ("/generations",)])
def test_where_lists_are_broken_each_job_is_asked_for(
    ends: tuple[str, ...], status: int, body: bytes, kind: str, media: MediaCalls, hub: BadHub
) -> None:
    hub.take_over = answering(status, body, ends, kind)
    requests = [{"model": "bad-image", "prompt": f"ox {number}"} for number in range(6)]
    made = media("generate_many", requests, timeout=8)
    assert [isinstance(one, MediaResult) for one in made] == [True] * 6


def test_a_history_that_is_broken_altogether_is_done_without(
    media: MediaCalls, hub: BadHub
) -> None:
    listed = answering(500, b"{}", ("/generations",))
    hub.take_over = lambda connection, path: (
        listed(connection, "/generations") if "/generations" in path else False
    )
    requests = [{"model": "bad-image", "prompt": f"ox {number}"} for number in range(5)]
    made = media("generate_many", requests, timeout=8)
    assert [isinstance(one, MediaResult) for one in made] == [True] * 5


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("count", [1, 4])
def test_a_key_that_may_not_ask_any_more_ends_the_wait(
    status: int, count: int, media: MediaCalls, hub: BadHub
) -> None:
    hub.seconds = 60
    refuse = answering(status, b'{"error": {"message": "key revoked"}}', ("",))
    hub.take_over = lambda connection, path: (
        bool(hub.accepted) and "/models" not in path and refuse(connection, path)
    )
    requests = [{"model": "bad-image", "prompt": f"ox {number}"} for number in range(count)]
    for one in media("generate_many", requests, timeout=20):
        assert type(one) is (AuthenticationError if status == 401 else PermissionDeniedError)
        assert one.status_code == status
        (generation_id,) = one.result.generation_ids
        assert f"goes on at Oxen as {generation_id}" in str(one)
        assert "key revoked" in str(one)


def test_another_api_key_gets_the_job_back(media: MediaCalls, hub: BadHub) -> None:
    refuse = answering(401, b"{}", ("",))
    hub.take_over = lambda connection, path: (
        bool(hub.accepted) and "/models" not in path and refuse(connection, path)
    )
    with pytest.raises(AuthenticationError, match=r"attach\(generation_ids=") as ended:
        media("generate", model="bad-image", prompt="ox", key="k", timeout=20)
    assert ended.value.result is not None
    hub.take_over = lambda *_: False
    with OxenClient(base_url=hub.base_url, api_key="another", ledger=media.ledger) as client:
        client.media.pace = QUICK
        handle = client.media.attach(generation_ids=ended.value.result.generation_ids)
        assert handle.wait(timeout=5).succeeded
    assert len(hub.accepted) == 1


def test_a_refusal_now_and_then_ends_no_wait(media: MediaCalls, hub: BadHub) -> None:
    hub.seconds, asked = 0.8, []

    def now_and_then(connection: socket.socket, path: str) -> bool:
        asked.append(path)
        return len(asked) % 3 > 0 and answering(401, b"{}", ("",))(connection, path)

    hub.take_over = lambda connection, path: "/queue/" in path and now_and_then(connection, path)
    assert media("generate", model="bad-image", prompt="ox", timeout=10).succeeded


def spell(hub: BadHub, word: str, **more: Any) -> None:
    """Let the hub spell the end of a job so."""
    hub.shown = lambda _, row: (
        {**row, "status": word, **more}
        if row["status"] == "succeeded"
        else {**row, "status": "pending"}
    )


@pytest.mark.parametrize("word", ["completed", "Succeeded ", "success", "Wrapped-Up"])
def test_success_may_be_spelled_otherwise(word: str, media: MediaCalls, hub: BadHub) -> None:
    spell(hub, word, completed_at=1_790_000_000)
    made = media("generate", model="bad-image", prompt="ox", timeout=5)
    assert made.status == "succeeded"


@pytest.mark.parametrize(("word", "status"), [("canceled", "cancelled"), ("errored", "failed")])
def test_failure_may_be_spelled_otherwise(
    word: str, status: str, media: MediaCalls, hub: BadHub
) -> None:
    spell(hub, word)
    with pytest.raises(GenerationFailed) as failed:
        media("generate", model="bad-image", prompt="ox", timeout=5)
    assert failed.value.result is not None
    assert failed.value.result.status == status


@pytest.mark.parametrize(
    ("word", "status"),
    [("in progress", "processing"), ("IN_QUEUE", "queued"), ("reticulating", "reticulating")],
)
def test_what_has_not_ended_is_waited_for_however_it_is_spelled(
    word: str, status: str, media: MediaCalls, hub: BadHub
) -> None:
    spell(hub, word, result_url=None, completed_at=None)  # with one of them it would have ended
    with pytest.raises(GenerationTimeout) as late:
        media("generate", model="bad-image", prompt="ox", timeout=2)
    assert late.value.result is not None
    assert late.value.result.items[0].status == status


def test_an_end_without_a_result_is_a_failure_in_its_own_words(
    media: MediaCalls, hub: BadHub
) -> None:
    hub.shown = lambda _, row: {
        **row, "status": "quarantined", "completed_at": "2026-11-25T12:00:00Z", "result_url": None,
    }  # fmt: skip
    with pytest.raises(GenerationFailed, match="It ended as 'quarantined'"):
        media("generate", model="bad-image", prompt="ox", timeout=5)
