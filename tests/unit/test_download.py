"""Names, addresses and file types, without a network."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from oxen_inference.errors import InvalidInputError
from oxen_inference.media.results.download import Source, _redirected, fetch
from oxen_inference.media.results.files import folder_to_save_in, safe_name, save
from oxen_inference.media.results.probe import probe
from oxen_inference.media.results.public_connection import FetchError, is_public


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
     "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1",
     "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
     "192.0.2.1", "198.18.0.1", "240.0.0.1"],
)  # fmt: skip
def test_private_addresses_are_seen_through(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("flux-2-dev-12ab", "flux-2-dev-12ab"),
        ("../../etc/passwd", "etc-passwd"),
        ("a/b\\c:d*e", "a-b-c-d-e"),
        ("...", "media-"),
        ("", "media-"),
        ("con", "media-con"),
        ("é" * 9, "media-"),
        ("x" * 300, "x" * 80),
    ],
)
def test_names_are_safe(stem: str, name: str) -> None:
    assert safe_name(stem) == name


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://example.com/x", "gopher://x", "//example.com/x", "data:,x", "",
     "http://", "http://user:pw@example.com/", "http://[::1", "http://example.com:99999/"],
)  # fmt: skip
def test_odd_addresses_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError):
        fetch(url, tmp_path, "x", "image", Source(hub="https://hub.oxen.ai/api/ai", headers={}))
    assert not list(tmp_path.iterdir())


def test_a_data_url_may_not_be_larger_than_a_file(tmp_path: Path) -> None:
    source = Source(hub="https://hub.oxen.ai/api/ai", headers={}, max_bytes=10)
    with pytest.raises(FetchError, match="larger than 10 bytes"):
        fetch(f"data:image/png,{'x' * 11}", tmp_path, "x", "image", source)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "is_kept"), [("%FF%FE%FA-raw", True), ("No such file.", False)]
)
def test_what_no_one_can_read_and_nobody_declared_is_kept(
    content: str, is_kept: bool, tmp_path: Path
) -> None:
    source = Source(hub="https://hub.oxen.ai/api/ai", headers={})
    if is_kept:
        fetched = fetch(f"data:,{content}", tmp_path, "x", "image", source)
        assert fetched.path.name == "x.bin"
        assert "Unrecognized image format" in (fetched.note or "")
    else:
        with pytest.raises(FetchError, match="is not image"):
            fetch(f"data:,{content}", tmp_path, "x", "image", source)


_LEAVES_A_DOWNLOAD = """
import socket, sys, threading
from pathlib import Path
from oxen_inference.media.results.download import Source, fetch

server, folder = socket.create_server(("127.0.0.1", 0)), Path(sys.argv[1])
hub = f"http://127.0.0.1:{server.getsockname()[1]}"
source = Source(hub=hub, headers={})
threading.Thread(target=fetch, args=(hub, folder, "x", "image", source), daemon=True).start()
connection = server.accept()  # and never an answer
print([path.suffix for path in folder.iterdir()])
"""


def test_a_process_that_ends_leaves_no_part_of_a_download(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _LEAVES_A_DOWNLOAD, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert ended.stdout == "['.part']\n"
    assert list(tmp_path.iterdir()) == []


def image(kind: str, size: tuple[int, int] = (31, 17)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "suffix", "options"),
    [("PNG", "png", {}), ("JPEG", "jpg", {}), ("WEBP", "webp", {}),
     ("WEBP", "webp", {"lossless": True}), ("GIF", "gif", {}), ("BMP", "bmp", {})],
)  # fmt: skip
def test_images_are_known_by_their_bytes(
    kind: str, suffix: str, options: dict[str, bool], tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (31, 17), "red").save(buffer, kind, **options)
    saved = save(buffer.getvalue(), tmp_path, "x", "image")
    assert saved.path.name == f"x.{suffix}"
    assert saved.media is not None
    assert (saved.media.width, saved.media.height) == (31, 17)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_images_that_end_too_early_are_known(kind: str, tmp_path: Path) -> None:
    content = image(kind, (300, 300))
    saved = save(content[: len(content) * 3 // 4], tmp_path, "x", "image")
    assert "too early" in (saved.note or "")


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, name) + content


def video(version: int = 0) -> bytes:
    if version:
        times = struct.pack(">B3xQQIQ", 1, 0, 0, 1000, 5250)
    else:
        times = struct.pack(">B3xIIII", 0, 0, 0, 1000, 5250)
    tkhd = bytes(76) + struct.pack(">II", 1280 << 16, 720 << 16)
    moov = box(b"mvhd", times + bytes(80)) + box(b"trak", box(b"tkhd", tkhd))
    return box(b"ftyp", b"isom\0\0\0\0isom") + box(b"moov", moov) + box(b"mdat", bytes(100))


@pytest.mark.parametrize("version", [0, 1])
def test_videos_say_their_size_and_length(version: int, tmp_path: Path) -> None:
    saved = save(video(version), tmp_path, "x", "video")
    assert saved.media is not None
    assert saved.path.suffix == ".mp4"
    assert (saved.media.width, saved.media.height, saved.media.duration) == (1280, 720, 5.25)


def test_a_video_that_ends_too_early_is_known(tmp_path: Path) -> None:
    assert "too early" in (save(video()[:-10], tmp_path, "x", "video").note or "")


@pytest.mark.parametrize(
    ("content", "media_type", "suffix"),
    [(b"<html>Login</html>", "image", "bin"), (b"", "image", "bin"),
     (image("PNG"), "video", "png"), (video(), "image", "mp4")],
)  # fmt: skip
def test_bytes_in_hand_are_kept_under_what_they_are(
    content: bytes, media_type: str, suffix: str, tmp_path: Path
) -> None:
    saved = save(content, tmp_path, "x", media_type)
    assert saved.path.name == f"x.{suffix}"
    assert saved.path.read_bytes() == content
    assert saved.note


@pytest.mark.parametrize("head", [b"ID3\x03\0", b"\xff\xfb\x90\0", b"OggS\0", b"fLaC\0"])
def test_sounds_are_known(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(head + bytes(100))
    found = probe(path)
    assert found is not None
    assert found.kind == "audio"


def test_a_vector_image_is_one(tmp_path: Path) -> None:
    saved = save(b'<?xml version="1.0"?>\n<svg xmlns="x"></svg>', tmp_path, "x", "image")
    assert saved.path.suffix == ".svg"


@pytest.mark.parametrize("length", range(0, 64, 3))
def test_no_stump_of_a_header_breaks_it(length: int, tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content in (image("PNG"), image("JPEG"), image("WEBP"), image("GIF"), video()):
        path.write_bytes(content[:length])
        probe(path)


def test_a_file_that_was_saved_before_is_not_saved_twice(tmp_path: Path) -> None:
    """As where a run was killed after a file got its name, and is run again."""
    (tmp_path / "ox.png").write_bytes(b"of somebody else")
    content = image("PNG")
    paths = [save(content, tmp_path, "ox", "image").path for _ in range(2)]
    assert [path.name for path in paths] == ["ox-1.png", "ox-1.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ox-1.png", "ox.png"]


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    old, new = tmp_path / ".oxen-old.part", tmp_path / ".oxen-new.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    folder_to_save_in(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [new.name]


def test_files_never_take_each_others_names(tmp_path: Path) -> None:
    contents = [image("PNG") + bytes(n) for n in range(3)]
    names = [save(content, tmp_path, "ox", "image").path.name for content in contents]
    assert names == ["ox.png", "ox-1.png", "ox-2.png"]
    assert all(
        (tmp_path / name).read_bytes() == one for name, one in zip(names, contents, strict=True)
    )
    assert (tmp_path / "ox.png").stat().st_mode & 0o777 == 0o600


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInputError, match="must be a folder"):
        folder_to_save_in(tmp_path / "file")
    assert folder_to_save_in(tmp_path / "a" / "b").is_dir()
    assert not list((tmp_path / "a" / "b").iterdir())


def test_a_redirect_to_no_address_is_one_to_nowhere() -> None:
    for location in ("http://[half", "//[half", "", None):
        with pytest.raises(FetchError, match=r"redirected to (nowhere|an invalid)"):
            _redirected("https://hub.example/a", location)


def test_no_redirect_leads_from_https_to_where_anyone_can_read() -> None:
    for location in ("http://files.example/x", "//files.example/x", "/x", "https://b.example/x"):
        if location.startswith("http:"):
            with pytest.raises(FetchError, match="anyone can read"):
                _redirected("https://hub.example/a", location)
        else:
            assert _redirected("https://hub.example/a", location).startswith("https://")
    assert _redirected("http://127.0.0.1/a", "http://127.0.0.1/b") == "http://127.0.0.1/b"


@pytest.mark.parametrize(
    "address",
    [
        "::10.0.0.1", "::ffff:10.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::a00:1",
        "2002:a00:1::1", "2001:0:a00:1::1", "2001:4860::5efe:10.0.0.1", "2001:4860::200:5efe:a00:1",
        "fec0::1", "fe80::1%eth0", "fc00::1", "::1", "::", "100::1", "ff02::1", "2001:db8::1", "4000::1",
    ],
)  # fmt: skip
def test_no_form_of_a_private_address_is_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "64:ff9b::8.8.8.8"])
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)
