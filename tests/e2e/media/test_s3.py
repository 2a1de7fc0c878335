"""Results in S3, played by a server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oxen_inference import Ledger, OxenClient
from oxen_inference.errors import InvalidInputError
from oxen_inference.media.results.remote import RemoteFolder
from oxen_sandbox import Sandbox

pytest.importorskip("s3fs", reason="the extra storage is not installed")
moto_server = pytest.importorskip("moto.server", reason="moto is not installed")


@pytest.fixture
def hub() -> Iterator[Sandbox]:
    with Sandbox(image_seconds=0.05) as hub:
        yield hub


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import s3fs

    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    if not s3fs.S3FileSystem().exists("herd"):  # kept by the process from an earlier test
        s3fs.S3FileSystem().mkdir("herd")
    yield "s3://herd/images"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_results_are_stored_whole_and_once(hub: Sandbox, ledger: Ledger, bucket: str) -> None:
    import s3fs

    requests = [{"model": "flux-2-dev", "prompt": f"ox {n}"} for n in range(4)]
    with OxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as client:
        for _ in range(2):  # the second finds what the first stored
            outcomes = client.media.generate_many(requests, key_prefix="p", save_to=bucket)
    stored = {f"s3://{each['name']}": each["size"] for each in s3fs.S3FileSystem().ls("herd/images", detail=True)}  # fmt: skip
    assert stored == {each.items[0].saved_url: each.items[0].size for each in outcomes}
    assert len(hub.jobs) == 4


def test_a_bucket_that_is_not_there_is_refused_before_paying(
    hub: Sandbox, ledger: Ledger, bucket: str
) -> None:
    with OxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as client:
        with pytest.raises(InvalidInputError, match="can be written"):
            client.media.generate(model="flux-2-dev", prompt="a", save_to="s3://none/images")
    assert hub.jobs == []


def test_a_name_that_another_machine_takes_meanwhile_is_left_to_it(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    files, exists, asked = s3fs.S3FileSystem(), s3fs.S3FileSystem.exists, []

    def exists_too_early(self: object, path: str, **options: object) -> bool:
        is_there = bool(exists(self, path, **options))
        if not asked:
            files.pipe_file(path, b"theirs")
        asked.append(path)
        return is_there

    monkeypatch.setattr(s3fs.S3FileSystem, "exists", exists_too_early)
    (tmp_path / "a.png").write_bytes(b"ours")
    url = RemoteFolder(f"{bucket}/race").put(tmp_path / "a.png", "a.png")
    assert url == f"{bucket}/race/a-1.png"
    assert files.cat(f"{bucket}/race/a.png") == b"theirs"
    assert files.cat(url) == b"ours"
