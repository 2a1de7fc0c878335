"""The synchronous endpoints: the answer is the result, and there is no id to come back to."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from oxen_inference.error_mapping import error_in_success
from oxen_inference.errors import APIResponseError
from oxen_inference.media.enqueue import SPOKEN_REJECTIONS, Doubtful, Outcome, Refused
from oxen_inference.media.request import Order, is_edit
from oxen_inference.paths import Paths
from oxen_inference.result import MediaItem
from oxen_inference.transport import Call

_LISTS = {"image": "images", "video": "videos", "audio": "audios"}


def direct_call(paths: Paths, order: Order, timeout: Any) -> Call[object]:
    """Return the call that makes it at once, sent one time."""
    media_type = order.intent.media_type
    path = {
        "image": paths.images_edit if is_edit(order.model, order.body) else paths.images_generate,
        "video": paths.videos_generate,
        "audio": paths.audio_generate,
    }[media_type]
    return Call(
        method="post",
        path=path,
        body=order.body,
        read=lambda payload: payload,
        once=True,
        timeout=timeout,
    )


def read_direct(payload: object, media_type: str) -> Outcome | list[MediaItem]:
    """Return the items of a 2xx answer, or what else it says."""
    rows = payload.get(_LISTS[media_type]) or payload.get("data") if isinstance(payload, Mapping) else None  # fmt: skip
    found = [_item(row) for row in rows] if isinstance(rows, list) else []
    items = [item for item in found if item is not None]
    if items:
        return items
    said = error_in_success(payload)
    if said is None:
        return Doubtful(APIResponseError("Oxen's answer holds no result.", body=payload))
    return Refused(said) if said.status_code in SPOKEN_REJECTIONS else Doubtful(said)


def _item(row: object) -> MediaItem | None:
    if not isinstance(row, Mapping):
        return None
    url, encoded = row.get("url"), row.get("b64_json")
    if isinstance(encoded, str) and encoded:
        mime_type, encoded = _stripped(encoded)
        try:
            content = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            return None
        return MediaItem(status="succeeded", content=content, mime_type=mime_type)
    return MediaItem(status="succeeded", url=url) if isinstance(url, str) and url else None


def _stripped(encoded: str) -> tuple[str | None, str]:
    """Some upstreams put a data URL where the base64 belongs."""
    found = re.match(r"data:([^;,]*)[^,]*,", encoded)
    text = encoded[found.end() :] if found else encoded
    return (found[1] or None) if found else None, re.sub(r"\s+", "", text)
