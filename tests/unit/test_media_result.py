"""Results as data, and how they are shown."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import MediaResult
from oxen_inference.catalog.pricing import Quote
from oxen_inference.errors import InvalidInputError, OxenError
from oxen_inference.generation_reading import read_generation
from oxen_inference.media.fingerprints import storable
from oxen_inference.media.prepare import merge_parameters, scope_of
from oxen_inference.notebook import ShownList
from oxen_inference.result import MediaItem


def result(*statuses: str, **changes: Any) -> MediaResult:
    items = tuple(
        MediaItem(generation_id=f"g{n}", status=status, cost=Decimal("0.10"))
        for n, status in enumerate(statuses)
    )
    return MediaResult(**{"model": "m", "media_type": "image", "items": items, **changes})


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ((), "running"),
        (("queued",), "running"),
        (("succeeded", "processing"), "running"),
        (("succeeded", "odd"), "running"),
        (("succeeded", "succeeded"), "succeeded"),
        (("succeeded", "failed"), "partial"),
        (("failed", "failed"), "failed"),
        (("cancelled",), "cancelled"),
        (("failed", "cancelled"), "failed"),
    ],
)
def test_a_status_sums_up_the_items(statuses: tuple[str, ...], status: str) -> None:
    assert result(*statuses).status == status


def test_a_cost_is_known_when_every_item_s_is() -> None:
    both = result("succeeded", "succeeded")
    assert both.cost == Decimal("0.20")
    items = (both.items[0], MediaItem(status="failed"))
    assert MediaResult(model="m", media_type="image", items=items).cost is None
    assert MediaResult(model="m", media_type="image").cost is None


def test_it_is_json_and_back() -> None:
    made = result("succeeded", "failed", key="k", params={"width": 512}, notes=("odd",))
    assert MediaResult.from_dict(json.loads(made.to_json())) == made
    assert MediaResult.from_dict({**made.to_dict(), "added later": 1}) == made


def test_bytes_are_never_written_out() -> None:
    item = MediaItem(status="succeeded", content=b"PNG", mime_type="image/png")
    made = MediaResult(model="m", media_type="image", items=(item,))
    assert "PNG" not in made.to_json() + repr(made) + str(made)
    assert "data:image/png;base64,UE5H" in made._repr_mimebundle_()["text/html"]


def test_a_notebook_shows_what_there_is(tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    video.write_bytes(b"video")
    items = (
        MediaItem(status="succeeded", path=video, mime_type="video/mp4", size=4),
        MediaItem(status="succeeded", url='https://x/?a="b"'),
        MediaItem(status="failed", error="<script>alert(1)</script>"),
    )
    shown = MediaResult(model="m", media_type="video", items=items)._repr_mimebundle_()["text/html"]
    assert '<video controls loop style="max-width: 100%" src="data:video/mp4;base64,' in shown
    assert 'src="https://x/?a=&quot;b&quot;"' in shown
    assert "<script>" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "https://hub.oxen.ai/api/repos/o/r/file/main/x.png", "http://x/a.png", "https://10.0.0.7/x.png",
        "https://localhost/x.png", "https://box.local/x.png", "https://me:pw@x.org/x.png",
        "javascript:alert(1)", "data:text/html,<script>", "https://[x/x.png", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_a_notebook_loads_no_private_address(url: str) -> None:
    shown = MediaItem(status="succeeded", url=url)._repr_html_()
    assert "<img" not in shown
    assert "href" not in shown
    assert "<script>" not in shown


def test_notebooks_show_results_prices_and_lists() -> None:
    item = MediaItem(
        status="succeeded", content=b"PNG", mime_type="image/png", cost=Decimal("0.02")
    )
    made = MediaResult(model="m", media_type="image", items=(item,), prompt="<b>ox</b>")
    shown = ShownList([made, OxenError("<i>no</i>")])._repr_html_()
    for part in ("data:image/png;base64,UE5H", "$0.02", "&lt;b&gt;ox", "&lt;i&gt;no"):
        assert part in shown
    assert "and 50 more" in ShownList([made] * 100)._repr_html_()
    assert "$0.02" in Quote(Decimal("0.02"), Decimal("0.02"))._repr_html_()
    unknown = Quote(reason="<u>no price</u>")._repr_html_()
    assert "&lt;u&gt;no price" in unknown


def test_an_item_keeps_what_a_row_leaves_out() -> None:
    item = MediaItem(generation_id="g", url="https://old", cost=Decimal(1), seed=3)
    row = read_generation({"generation_id": "g", "status": "succeeded", "seed": True})
    assert item.updated(row) == MediaItem(
        generation_id="g", status="succeeded", url="https://old", cost=Decimal(1), seed=3
    )


def test_parameters_come_together_and_never_twice() -> None:
    assert merge_parameters("p", {"a": 1}, {"b": 2}) == {"a": 1, "b": 2, "prompt": "p"}
    assert merge_parameters("p", {"prompt": "p"}, {}) == {"prompt": "p"}
    with pytest.raises(InvalidInputError, match="a was given twice"):
        merge_parameters(None, {"a": 1}, {"a": 1})
    with pytest.raises(InvalidInputError, match="prompt was given twice"):
        merge_parameters("p", {"prompt": "q"}, {})


def test_the_ledger_keeps_digests_of_long_data_urls() -> None:
    long = "data:image/png;base64," + "A" * 2000
    kept = storable({"a": [long], "b": "data:,short", "c": 1})
    assert kept["a"][0].startswith("sha256:")
    assert (kept["b"], kept["c"]) == ("data:,short", 1)


def test_an_account_is_known_by_a_hash_of_its_key() -> None:
    one = scope_of("https://hub/api/ai/", "secret")
    assert one == scope_of("https://hub/api", "secret")
    assert one != scope_of("https://hub/api/ai", "other")
    assert one != scope_of("https://hub2/api/ai", "secret")
    assert "secret" not in repr(one)


@pytest.mark.parametrize("url", ["https://x/video.mp4", "https://x/video", "https://x/a?b=c.png"])
def test_a_video_that_was_not_saved_is_shown_as_one(url: str) -> None:
    item = MediaItem(status="succeeded", url=url)
    video = MediaResult(model="m", media_type="video", items=(item,))
    assert "<video" in video._repr_mimebundle_()["text/html"]
    audio = MediaResult(model="m", media_type="audio", items=(item,))
    assert "<audio" in audio._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"error": "NSFW blocked"}, "NSFW blocked"),
        ({"error": {"type": "x", "detail": "NSFW blocked"}}, "NSFW blocked"),
        ({"error_message": {"message": "NSFW blocked"}, "error": "else"}, "NSFW blocked"),
        ({"error_message": {"flags": ["NSFW"]}}, '{"flags": ["NSFW"]}'),
        ({"error_message": " ", "error": {}}, None),
    ],
)
def test_a_row_says_why_in_any_shape(said: Any, words: str | None) -> None:
    row = read_generation({"generation_id": 7, "status": "failed", **said})
    assert (row.generation_id, row.error_message) == ("7", words)
