"""Hubs that repeat the key they were sent: it gets into no error, no result and no ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from oxen_inference import AsyncOxenClient, OxenClient
from oxen_inference.errors import EnqueueOutcomeUnknown, GenerationFailed, OxenError
from oxen_sandbox import Fault, Sandbox
from tests.e2e.media.calls import THOROUGH, MediaCalls
from tests.support.scripted_server import SSE_HEAD, ScriptedServer, http

KEY = "sk-a-key-that-must-not-show"


@pytest.fixture
def hub() -> Iterator[Sandbox]:
    with Sandbox(image_seconds=0.1, api_key=KEY) as hub:
        yield hub


@pytest.fixture
def media(media: MediaCalls) -> MediaCalls:
    media.pace, media.options["max_retries"] = THOROUGH, 0
    return media


def written(media: MediaCalls) -> bytes:
    media.ledger.close()
    assert media.ledger.path is not None
    return b"".join(path.read_bytes() for path in media.ledger.path.parent.iterdir())


@pytest.mark.parametrize(
    "body",
    [{"generations": [], "error": {"message": f"Bearer {KEY}"}}, {"generations": [], "note": KEY},
     f"<html>{KEY}</html>", {"generations": [], KEY: [{"deep": [KEY]}], "error": KEY}],
)  # fmt: skip
def test_an_answer_to_a_paid_request(body: Any, media: MediaCalls) -> None:
    kind = "text/html" if isinstance(body, str) else None
    fault = Fault(
        "respond", status=200, method="POST", path="*/queue", body=body, content_type=kind
    )
    media.hub.inject(fault)
    with pytest.raises(EnqueueOutcomeUnknown) as doubt:
        media("generate", model="flux-2-dev", prompt="an ox", key="k")
    chain: BaseException | None = doubt.value
    while chain is not None:
        assert KEY not in f"{chain} {getattr(chain, 'body', '')}"
        chain = chain.__cause__
    assert KEY.encode() not in written(media)
    (entry,) = media("jobs")
    assert KEY not in json.dumps(entry.error)


def test_a_failed_job(media: MediaCalls) -> None:
    media.hub.inject(Fault("fail_job", message=f"upstream refused Bearer {KEY}"))
    with pytest.raises(GenerationFailed, match=r"upstream refused Bearer \*\*\*"):
        media("generate", model="flux-2-dev", prompt="an ox", key="k")
    assert KEY.encode() not in written(media)


def test_a_refusal(media: MediaCalls) -> None:
    message = f"no such key: {KEY}"
    media.hub.inject(Fault("respond", status=401, method="POST", path="*/queue", message=message))
    with pytest.raises(OxenError, match=r"no such key: \*\*\*"):
        media("generate", model="flux-2-dev", prompt="an ox", key="k")
    assert KEY.encode() not in written(media)


def test_a_row_of_the_raw_queue_and_an_event() -> None:
    row = {"generation_id": "g", "status": "failed", "error": KEY}
    event = f"event: media_generation_completed\ndata: {json.dumps(row)}\n\n".encode()
    with ScriptedServer(http(row), SSE_HEAD + event) as server:
        with OxenClient(base_url=server.url, api_key=KEY) as client:
            assert client.queue.get("g").error_message == "***"
            with client.events.listen() as stream:
                assert next(stream).error_message == "***"

    async def ask() -> None:
        async with AsyncOxenClient(base_url=server.url, api_key=KEY) as client:
            assert (await client.queue.get("g")).error_message == "***"
            async with client.events.listen() as stream:
                assert (await stream.__anext__()).error_message == "***"

    with ScriptedServer(http(row), SSE_HEAD + event) as server:
        asyncio.run(ask())


def test_what_does_not_repeat_it_is_passed_on_as_it_came() -> None:
    row = {"generation_id": "g", "status": "failed", "error": "no", "deep": [{"a": 1, "b": None}]}
    with (
        ScriptedServer(http(row)) as server,
        OxenClient(base_url=server.url, api_key=KEY) as client,
    ):
        assert client.queue.get("g").params == {"deep": [{"a": 1, "b": None}]}
