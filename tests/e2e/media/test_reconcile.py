"""Putting the ledger in order: files that were never collected, on hubs of every kind."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Ledger
from oxen_inference.errors import InvalidInputError
from tests.e2e.media.calls import MediaCalls
from tests.support.bad_hub import BadHub
from tests.support.databases import other_machine, sql


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


def test_a_live_sender_that_is_taken_for_dead_still_buys_once(
    hub: BadHub, ledger: Ledger, kind: str
) -> None:
    """Its machine was asleep, or cut off from the database, while it waited to try again."""
    attempts = ("status_429", "ok")
    hub.plan = lambda _prompt, attempt: attempts[attempt]
    hub.retry_after = "1"
    sender, other = MediaCalls(hub, ledger, kind), MediaCalls(hub, ledger, kind)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(sender, "generate", model="bad-image", prompt="an ox", key="k")
        while not hub.posts["an ox"]:
            time.sleep(0.01)
        while ledger.entries()[0].state != "intended":
            time.sleep(0.01)
        dead = other_machine(ledger, age=100)
        own = sql(ledger, "SELECT owner FROM oxen_entries")[0][0]
        sql(ledger, "UPDATE oxen_entries SET owner = :dead", dead=dead)
        (entry,) = other("reconcile")
        assert entry.state == "rejected"
        sql(ledger, "UPDATE oxen_entries SET owner = :own", own=own)
        assert call.result(20).succeeded
    assert len(hub.submissions_of("an ox")) == 1
    (entry,) = ledger.entries()
    assert (entry.state, entry.attempt) == ("accepted", 1)


def test_one_entry_that_cannot_be_looked_at_keeps_no_other_from_it(
    hub: BadHub, media: MediaCalls
) -> None:
    for n in range(3):
        media("generate", model="bad-image", prompt=f"p{n}", key=f"k{n}")
    sql(media.ledger, "UPDATE oxen_generations SET item = substr(item, 2) WHERE position = 0 AND entry_id = (SELECT entry_id FROM oxen_entries WHERE key = 'k1')")  # fmt: skip
    assert {each.key for each in media("jobs")} == {"k0", "k1", "k2"}
    (mended,) = media("reconcile")
    assert (mended.key, mended.is_settled) == ("k1", True)
    assert media("reconcile") == []
