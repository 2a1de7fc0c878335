"""Folders elsewhere: passwords stay secret, no result replaces another, and none is lost."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oxen_inference.cli.generate.results import row_of
from oxen_inference.errors import DownloadError, InvalidInputError
from oxen_inference.media.results.remote import RemoteFolder, shown_url
from oxen_inference.result import MediaResult
from oxen_sandbox import Sandbox
from tests.e2e.media.calls import MediaCalls
from tests.support.stores import Yard, empty_yard

PASSWORD = "hunter22"
FOLDER = f"yard://me:{PASSWORD}@herd/out?token=Oxen-Canary"
SHOWN = "yard://me@herd/out?token=***"


@pytest.fixture
def hub() -> Iterator[Sandbox]:
    with Sandbox(image_seconds=0.05) as hub:
        yield hub


@pytest.fixture
def yard() -> Iterator[type[Yard]]:
    with empty_yard() as yard:
        yield yard


def stored(yard: type[Yard]) -> dict[str, int]:
    return {name.rpartition("/")[2]: file.size for name, file in yard.store.items()}


def assert_no_secret(*texts: object) -> None:
    for text in map(str, texts):
        assert PASSWORD not in text
        assert "Canary" not in text


def test_a_password_in_the_folders_url_is_kept_nowhere(
    yard: type[Yard], media: MediaCalls, tmp_path: Path
) -> None:
    made = media("generate", model="flux-2-dev", prompt="an ox", key="k", save_to=FOLDER)
    again = media("resume", "k", save_to=FOLDER)
    (item,) = made.items
    assert item.saved_url == again.items[0].saved_url == f"{SHOWN}/{next(iter(stored(yard)))}"
    assert stored(yard) == {item.saved_url.rpartition("/")[2]: item.size}
    assert set(yard.logins) == {("me", PASSWORD)}
    page = media("report", tmp_path / "out.html").read_text(encoding="utf-8")
    assert "yard://me@herd/out" in page
    row = json.dumps(row_of(0, {}, made, "made"))  # type: ignore[arg-type]
    assert_no_secret(made, repr(made), made.to_json(), row, page)
    for path in (tmp_path / "ledger").iterdir():
        assert_no_secret(path.read_bytes().decode("latin-1"))


def test_what_a_store_says_is_told_without_the_password(
    yard: type[Yard], media: MediaCalls
) -> None:
    yard.most_logins = 0
    with pytest.raises(InvalidInputError, match=r"421.* of me with \*\*\*") as refused:
        media("generate", model="flux-2-dev", prompt="an ox", save_to=FOLDER)
    assert_no_secret(*traceback.format_exception(refused.value), repr(refused.value))
    assert media.hub.jobs == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ftp://me:hunter22@host:2121/a", "ftp://me@host:2121/a"),
        ("sftp://me:p@ss:w@host/a@b:c", "sftp://me@host/a@b:c"),
        ("smb://group;me:x@host/share/a", "smb://group;me@host/share/a"),
        ("sftp://me:1a/hunter22@host/a", "sftp://me@host/a"),
        ("s3://AKIA:ab/cd+ef@bucket/a", "s3://AKIA@bucket/a"),
        ("simplecache::sftp://me:hunter22@host/a", "simplecache::sftp://me@host/a"),
        ("sftp://host:22/a@b", "sftp://host:22/a@b"),
        ("sftp://[fe80::1:a]:22/a@b", "sftp://[fe80::1:a]:22/a@b"),
        ("s3://arn:aws:s3:eu:1:accesspoint/p/a@b", "s3://arn:aws:s3:eu:1:accesspoint/p/a@b"),
        ("abfs://container@account.dfs.core.windows.net/a", None),
        ("hdfs://host/a?user=x&kerb_ticket=%2Ft", "hdfs://host/a?user=***&kerb_ticket=***"),
        ("s3://bucket/a", None),
    ],
)
def test_a_url_is_shown_with_its_user_and_without_its_password(url: str, shown: str | None) -> None:
    assert shown_url(url) == (shown or url)


@pytest.mark.parametrize(
    "url", ["ftp://me:hunter/22@host/a", f"ftp://me:x{PASSWORD}@127.0.0.1:1/a"]
)
def test_a_url_that_no_store_can_read_is_told_without_the_password(url: str) -> None:
    with pytest.raises(InvalidInputError, match="ftp://me@") as refused:
        RemoteFolder(url).check()
    assert "hunter" not in "".join(traceback.format_exception(refused.value))


def test_two_writers_of_one_name_keep_both_files(yard: type[Yard], tmp_path: Path) -> None:
    """Both look whether the name is free before either has written."""
    both = threading.Barrier(2)
    yard.on_exists = lambda: both.wait(60)
    contents = [b"ox", b"calves"]

    def put(content: bytes) -> str:
        file = tmp_path / f"{len(content)}.png"
        file.write_bytes(content)
        return RemoteFolder("yard://herd/out").put(file, "an-ox.png")

    with ThreadPoolExecutor(2) as threads:
        urls = list(threads.map(put, contents))
    assert {url: yard.store[f"/out/{url.rpartition('/')[2]}"].getvalue() for url in urls} == dict(
        zip(urls, contents, strict=True)
    )
    assert sorted(urls) == ["yard://herd/out/an-ox-1.png", "yard://herd/out/an-ox.png"]


def test_a_store_that_knows_no_condition_is_written_all_the_same(
    yard: type[Yard], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"ox")
    folder = RemoteFolder("yard-of-objects://herd/out")
    urls = [folder.put(tmp_path / "a.png", "a.png") for _ in range(2)]
    assert urls == [f"yard-of-objects://herd/out/a{end}.png" for end in ("", "-1")]
    assert stored(yard) == {"a.png": 2, "a-1.png": 2}


def test_a_store_that_refuses_at_the_end_loses_no_result(
    yard: type[Yard], media: MediaCalls
) -> None:
    """A run goes on, says what was paid for, and fetches it when the store is there again."""
    yard.most_logins = 1  # the one that looks at the folder before anything is paid for
    run: dict[str, Any] = {"key_prefix": "p", "save_to": FOLDER, "max_connections": 1}
    requests = [{"model": "flux-2-dev", "prompt": f"ox {n}"} for n in range(12)]
    outcomes = media("generate_many", requests, **run)
    assert {type(outcome) for outcome in outcomes} == {DownloadError}
    for outcome in outcomes:
        assert outcome.result.succeeded
        assert outcome.result.generation_ids
        assert outcome.result.cost > Decimal(0)
        assert "421" in str(outcome)
        assert_no_secret(outcome)
    yard.most_logins = None
    outcomes = media("generate_many", requests, **run)
    assert {type(outcome) for outcome in outcomes} == {MediaResult}
    assert len(stored(yard)) == len(media.hub.jobs) == 12


def test_bytes_that_come_once_are_kept_beside_the_ledger(
    yard: type[Yard], media: MediaCalls, tmp_path: Path
) -> None:
    yard.most_logins = 1
    model = "bytedance-seed-audio-1-0"
    made = media("generate", model=model, prompt="moo", direct=True, save_to=FOLDER)
    assert made.items[0].path.parent == tmp_path / "ledger" / "results"
    assert made.items[0].path.stat().st_size == made.items[0].size
    assert_no_secret(made.notes)
