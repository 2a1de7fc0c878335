"""Content parts in the forms Oxen documents (https://docs.oxen.ai/inference-api)."""

from __future__ import annotations

from typing import Any, Literal

Part = dict[str, Any]
MediaKind = Literal["image", "video", "audio", "file"]

MEDIA = ("image_url", "video_url", "audio_url", "file")
"""The types of the parts that are media."""


_OF_DATA: dict[str, MediaKind] = {
    "data:image": "image",
    "data:video": "video",
    "data:audio": "audio",
}


def media_part(
    kind: MediaKind, url: str, *, filename: str | None = None, detail: str | None = None
) -> Part:
    """Return the content part for a medium at `url`, which may be a data URL.

    A data URL knows best what it is: an image sent as a file becomes an image.
    """
    if url.startswith("data:image/jpg"):  # no such type, and some providers say so
        url = url.replace("image/jpg", "image/jpeg", 1)
    if kind == "file" and (other := _OF_DATA.get(url[:11].partition("/")[0])):
        kind = other
    if kind == "file":
        where = "file_data" if url.startswith("data:") else "file_url"
        return {
            "type": "file",
            "file": {where: url, **({"filename": filename} if filename else {})},
        }
    inner = {"url": url, **({"detail": detail} if detail else {})}
    return {"type": f"{kind}_url", f"{kind}_url": inner}
