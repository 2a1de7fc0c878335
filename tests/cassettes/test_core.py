"""The core's calls, replayed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from oxen_inference import AsyncOxenClient, NotFoundError, OxenClient

pytestmark = pytest.mark.vcr


def test_a_job_is_submitted_read_and_canceled(hub: SimpleNamespace) -> None:
    with OxenClient(api_key=hub.api_key, base_url=hub.base_url) as client:
        (job,) = client.queue.submit("flux-2-dev", prompt="an ox at dawn", num_generations=1)
        assert job.status in ("queued", "processing")
        seen = client.queue.get(job.generation_id)
        assert (seen.model_name, seen.prompt) == ("flux-2-dev", "an ox at dawn")
        client.queue.cancel(job.generation_id)
        assert client.queue.receipt(job.generation_id).is_terminal


async def test_an_unknown_job_is_not_found(hub: SimpleNamespace) -> None:
    async with AsyncOxenClient(api_key=hub.api_key, base_url=hub.base_url) as client:
        with pytest.raises(NotFoundError):
            await client.queue.get("00000000-0000-4000-8000-000000000000")
