"""Paid media, replayed: what goes over the wire when an image is made, a video canceled, an image made at once.

Nothing here waits through `generate`: its watcher holds the event stream open, which a cassette
can only record once it has ended.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from oxen_inference import AsyncOxenClient, BudgetExceededError, InvalidInputError, OxenClient

pytestmark = pytest.mark.vcr

IMAGE = {"model": "flux-2-dev", "prompt": "an ox at dawn", "aspect_ratio": "1:1", "seed": 7}


def test_an_image_is_paid_for_and_settled(hub: SimpleNamespace, record_mode: str) -> None:
    with OxenClient(api_key=hub.api_key, base_url=hub.base_url) as client:
        handle = client.media.submit(**IMAGE, key="one image", max_cost="0.10")
        while not (result := handle.status()).is_terminal:
            time.sleep(0.2 if record_mode != "none" else 0)
        (item,) = result.items
        assert item.status == "succeeded"
        assert item.url
        again = client.media.submit(**IMAGE, key="one image")
        assert again.generation_ids == handle.generation_ids


async def test_a_video_is_canceled(hub: SimpleNamespace) -> None:
    async with AsyncOxenClient(api_key=hub.api_key, base_url=hub.base_url) as client:
        handle = await client.media.submit(
            model="wan-v2-7-text-to-video", prompt="an ox walks by", duration=5
        )
        result = await handle.cancel()
        assert [item.status for item in result.items] == ["cancelled"]


def test_an_image_made_at_once(hub: SimpleNamespace, tmp_path: Path) -> None:
    with OxenClient(api_key=hub.api_key, base_url=hub.base_url) as client:
        result = client.media.generate(
            model="flux-1-dev", prompt="an ox", output_format="png", direct=True,
            save_to=tmp_path,
        )  # fmt: skip
    (item,) = result.items
    assert item.path
    assert Path(item.path).read_bytes().startswith(b"\x89PNG")


def test_what_is_refused_here_never_reaches_the_hub(hub: SimpleNamespace) -> None:
    with OxenClient(api_key=hub.api_key, base_url=hub.base_url) as client:
        with pytest.raises(InvalidInputError, match="aspect_ratio"):
            client.media.submit(**{**IMAGE, "aspect_ratio": "7:1"})
        with pytest.raises(BudgetExceededError):
            client.media.submit(**IMAGE, max_cost="0.001")
