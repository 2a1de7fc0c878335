"""Completion events as both clients hear them."""

from __future__ import annotations

import asyncio
from typing import Any

from oxen_inference import AsyncOxenClient, OxenClient
from tests.support.scripted_server import SSE_HEAD, ScriptedServer


def announced(server: ScriptedServer) -> list[list[tuple[str, str]]]:
    """What the sync and the async client hear on a stream."""

    async def awaited() -> list[Any]:
        async with AsyncOxenClient(base_url=server.url, api_key="k") as client:
            async with client.events.listen(timeout=5) as jobs:
                return [job async for job in jobs]

    with OxenClient(base_url=server.url, api_key="k") as client:
        with client.events.listen(timeout=5) as jobs:
            heard = list(jobs)
    return [
        [(job.generation_id, job.status) for job in one] for one in (heard, asyncio.run(awaited()))
    ]


def test_only_completions_that_can_be_read_are_announced() -> None:
    lines = [
        ("repository_pushed", '{"generation_id": "a", "status": "succeeded"}'),
        ("media_generation_completed", "{broken"),
        ("media_generation_completed", '["a"]'),
        ("media_generation_completed", '{"status": "succeeded"}'),
        ("media_generation_completed", '{"generation_id": "b", "status": "failed", "url": null}'),
    ]
    events = "".join(f"event: {name}\ndata: {data}\n\n" for name, data in lines)
    with ScriptedServer(SSE_HEAD + b": hello\n\n" + events.encode()) as server:
        assert announced(server) == [[("b", "failed")]] * 2
        assert [request.path for request in server.requests] == ["/api/events"] * 2
