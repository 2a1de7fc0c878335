"""What a summary counts as one kind of failure."""

from __future__ import annotations

import pytest

from oxen_inference.errors import DownloadError, GenerationFailed, OxenError
from oxen_inference.media.attempts import group_of
from oxen_inference.result import MediaItem, MediaResult

S3 = (
    's3://herd/out: Could not connect to the endpoint URL: "http://127.0.0.1:5555/herd/out/{}.webp"'
)
DISK = "[Errno 28] No space left on device: '/data/the run/{}.webp'"
GONE = "https://hub.example/files/{}?expires=1&signature=a-{}: 404 Not Found"


def failed(kind: type, ids: str, text: str) -> OxenError:
    """Return a failure of generations, whose ids each begin with a letter that is no hash's."""
    items = tuple(
        MediaItem(generation_id=f"gen-{each}", status="failed", error=text.format(each, each))
        for each in ids
    )
    result = MediaResult(model="m", media_type="image", items=items)
    said = "; ".join(f"{item.generation_id}: {item.error}" for item in items)
    begins = "Made and paid for, but not fetched" if kind is DownloadError else "m made nothing"
    error: OxenError = kind(f"{begins}: {said}.", result=result)
    return error


@pytest.mark.parametrize("text", [S3, DISK, GONE])
@pytest.mark.parametrize("kind", [DownloadError, GenerationFailed])
def test_one_cause_is_one_kind_whatever_it_hit(kind: type, text: str) -> None:
    groups = {group_of(failed(kind, ids, text)) for ids in ("x", "y", "pqr")}
    assert len(groups) == 1, groups


def test_other_causes_are_other_kinds() -> None:
    causes = [S3, DISK, GONE, S3.replace("5555/", "5555.example/"), "damaged", "too large"]
    groups = {group_of(failed(DownloadError, "xy", text)) for text in causes}
    groups |= {group_of(failed(GenerationFailed, "x", "damaged")), group_of(OxenError("damaged"))}
    assert len(groups) == len(causes) + 2
    assert all("herd/out" not in said for _, said in groups)
