"""Where a finished job says its result is, and where it does not."""

from __future__ import annotations

import base64
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from oxen_inference.errors import DownloadError
from oxen_inference.generation_reading import read_generation
from tests.e2e.media.calls import MediaCalls
from tests.support.bad_hub import MODEL, PNG, BadHub

INPUT = "https://example.com/input.png"
TAKES_IMAGES = {
    **MODEL,
    "request_schema": {
        "type": "object",
        "properties": {
            "prompt": {"type": "string"},
            "images": {"type": "array", "items": {"type": "object"}},
        },
    },
}


def take_images(hub: BadHub) -> None:
    def described(connection: socket.socket, path: str) -> bool:
        body = json.dumps(TAKES_IMAGES).encode()
        head = (
            f"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        )
        if "/models/" in path:
            connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
        return "/models/" in path

    hub.take_over = described


def show(hub: BadHub, **fields: Any) -> None:
    """Let finished rows show these fields instead of their own."""
    hub.shown = lambda _, row: {**row, **fields} if row["status"] == "succeeded" else row


def test_what_was_sent_is_not_the_result(media: MediaCalls, hub: BadHub, tmp_path: Path) -> None:
    take_images(hub)
    show(hub, result_url=None)
    request = {"model": "bad-image", "prompt": "ox", "images": [{"url": INPUT}], "key": "k"}
    made = media("generate", **request)
    assert (made.status, made.urls) == ("succeeded", ())
    with pytest.raises(DownloadError, match="names no URL"):
        media("generate", **request, save_to=tmp_path / "to")
    (entry,) = media("jobs")
    assert entry.items[0].url is None
    show(hub, result_url=None, videos=[{"url": f"{hub.base_url}/files/x"}])
    assert media("resume", "k", save_to=tmp_path / "to").urls == (f"{hub.base_url}/files/x",)


@pytest.mark.parametrize(
    "said",
    [{"images": [{"b64_json": base64.b64encode(PNG).decode()}]},
     {"images": [{"b64_json": "data:image/png;base64," + base64.b64encode(PNG).decode()}]},
     {"images": ["{url}"]}, {"result_url": ["{url}"]}, {"images": [{"url": "{url}"}]},
     {"result_url": {"url": "{url}"}}],
)  # fmt: skip
def test_a_result_is_read_in_whatever_shape_it_comes(
    said: dict[str, Any], media: MediaCalls, hub: BadHub, tmp_path: Path
) -> None:
    url = f"{hub.base_url}/files/x"
    show(hub, **{"result_url": None, **json.loads(json.dumps(said).replace("{url}", url))})
    made = media("generate", model="bad-image", prompt="ox", save_to=tmp_path / "to")
    assert Path(made.paths[0]).read_bytes() == PNG
    assert made.urls
    assert len(str(made)) < 400


def test_reconciling_looks_at_the_same_fields(
    media: MediaCalls, hub: BadHub, tmp_path: Path
) -> None:
    take_images(hub)
    show(hub, result_url=None)
    for number in range(4):  # so many that they are asked for in bulk
        media("submit", model="bad-image", prompt=f"ox {number}", images=[{"url": INPUT}])
    assert {item.url for entry in media("reconcile") for item in entry.items} == {None}


@pytest.mark.parametrize("address", ["http://[half", "//[half"])
def test_what_is_no_address_is_said_when_it_is_fetched(
    address: str, media: MediaCalls, hub: BadHub, tmp_path: Path
) -> None:
    hub.seconds = 0.0
    show(hub, result_url=address)
    made = media("generate", model="bad-image", prompt="ox", key="k")
    assert address in made._repr_mimebundle_()["text/html"]
    with pytest.raises(DownloadError, match="address cannot be read"):
        media("generate", model="bad-image", prompt="ox", key="k", save_to=tmp_path)
    media("submit", model="bad-image", prompt="another ox")
    assert all(entry.is_settled for entry in media("reconcile"))


def test_the_raw_queue_reads_them_too() -> None:
    row = {"generation_id": "g", "status": "done", "images": [{}, {"url": INPUT}]}
    assert read_generation(row).result_url == INPUT
