"""Putting the ledger in order: files that were never collected, on hubs of every kind."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from oxen_inference.errors import InvalidInputError
from tests.e2e.media.calls import MediaCalls
from tests.support.bad_hub import BadHub


@pytest.fixture
def hub(hub: BadHub) -> BadHub:
    hub.seconds = 0.0
    return hub


@pytest.fixture
def media(media: MediaCalls) -> MediaCalls:
    media.options["max_retries"] = 0
    return media


def test_a_new_folder_is_made(media: MediaCalls, tmp_path: Path) -> None:
    media("generate", model="bad-image", prompt="ox")
    (entry,) = media("reconcile", save_to=tmp_path / "new" / "folder")
    assert Path(entry.items[0].path).parent == tmp_path / "new" / "folder"


def test_a_folder_that_cannot_be_is_said_at_once(media: MediaCalls, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInputError, match="must be a folder"):
        media("reconcile", save_to=tmp_path / "file")


def test_a_broken_history_is_done_without(media: MediaCalls, hub: BadHub, tmp_path: Path) -> None:
    hub.fail_gets = lambda path: path.endswith("/generations")
    for number in range(5):
        media("submit", model="bad-image", prompt=f"ox {number}")
    entries = media("reconcile", save_to=tmp_path / "to")
    assert len(entries) == len(list((tmp_path / "to").iterdir())) == 5
    assert all(entry.is_settled for entry in entries)


def test_a_history_without_end_is_not_read_to_its_end(media: MediaCalls, hub: BadHub) -> None:
    for number in range(5):
        media("submit", model="bad-image", prompt=f"ox {number}")
    pages: list[str] = []

    def endless(connection: socket.socket, path: str) -> bool:
        if not path.endswith("/generations"):
            return False
        pages.append(path)
        body = json.dumps({"generations": [], "total_pages": 300}).encode()
        head = (
            f"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        )
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
        return True

    hub.take_over = endless
    assert all(entry.is_settled for entry in media("reconcile"))
    assert len(pages) <= 4


def test_one_file_that_fails_keeps_no_other(media: MediaCalls, hub: BadHub, tmp_path: Path) -> None:
    handle = media("submit", model="bad-image", prompt="ox", num_generations=2)
    broken = handle.generation_ids[0]

    def refuse(connection: socket.socket, path: str) -> bool:
        if not path.endswith(f"files/{broken}"):
            return False
        connection.sendall(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return True

    hub.take_over = refuse
    (entry,) = media("reconcile", save_to=tmp_path / "to")
    saved: dict[str, Any] = {item.generation_id: item.path for item in entry.items}
    assert saved[broken] is None
    assert all(path for one, path in saved.items() if one != broken)
