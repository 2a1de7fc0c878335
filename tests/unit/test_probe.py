"""What a file is by its own bytes, and whether all of it is there."""

from __future__ import annotations

import io
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from oxen_inference.media.results.probe import Probe, probe
from tests.support.small_files import WAV

Probed = Callable[[bytes], "Probe | None"]


@pytest.fixture
def probed(tmp_path: Path) -> Probed:
    def probed(content: bytes) -> Probe | None:
        path = tmp_path / "file"
        path.write_bytes(content)
        return probe(path)

    return probed


def box(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", len(content) + 8, name) + content


def large_box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, name, len(content) + 16) + content


FTYP = box(b"ftyp", b"isom\0\0\0\0isom")
MVHD = box(b"mvhd", struct.pack(">B3xIIII", 0, 0, 0, 1000, 5250))


def track(width: int, height: int) -> bytes:
    size = struct.pack(">II", width << 16, height << 16)
    return box(b"trak", box(b"tkhd", bytes(76) + size))


@pytest.mark.parametrize(
    ("content", "kind", "mime_type", "suffix"),
    [
        (b"II*\0" + bytes(80), "image", "image/tiff", "tiff"),
        (b"MM\0*" + bytes(80), "image", "image/tiff", "tiff"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1fB\x82\x84webm", "video", "video/webm", "webm"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1fB\x82\x88matroska", "video", "video/x-matroska", "mkv"),
        (b"RIFF\x40\0\0\0AVI LIST" + bytes(60), "video", "video/x-msvideo", "avi"),
        (b"\xff\xf1\x50\x80" + bytes(80), "audio", "audio/aac", "aac"),
        (box(b"ftyp", b"avif\0\0\0\0avif") + box(b"mdat", bytes(30)), "image", "image/avif", "avif"),
        (box(b"ftyp", b"M4A \0\0\0\0M4A ") + box(b"moov", MVHD), "audio", "audio/mp4", "m4a"),
        (box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", MVHD), "video", "video/quicktime", "mov"),
        (box(b"moov", MVHD) + box(b"mdat", bytes(30)), "video", "video/mp4", "mp4"),
        (box(b"wide") + box(b"mdat", bytes(30)) + box(b"moov", MVHD), "video", "video/mp4", "mp4"),
    ],
)  # fmt: skip
def test_formats_are_known_by_their_bytes(
    content: bytes, kind: str, mime_type: str, suffix: str, probed: Probed
) -> None:
    found = probed(content)
    assert found is not None
    assert (found.kind, found.mime_type, found.suffix) == (kind, mime_type, suffix)
    assert found.complete


@pytest.mark.parametrize("content", [b"RIFF\x08\0\0\0ACON", b"\0\0\0\x08free", b"\0\0\0\x08mdat", b"\0\0\0\x08skip", b"text", b"\0"])  # fmt: skip
def test_what_is_no_medium_is_none(content: bytes, probed: Probed) -> None:
    assert probed(content) is None


def test_a_video_of_large_boxes_is_read(probed: Probed) -> None:
    found = probed(FTYP + large_box(b"mdat", bytes(50)) + box(b"moov", MVHD + track(640, 360)))
    assert (found.duration, found.width, found.height) == (5.25, 640, 360)
    assert found.complete


def test_a_last_box_may_reach_to_the_end_of_the_file(probed: Probed) -> None:
    found = probed(FTYP + box(b"moov", MVHD) + struct.pack(">I4s", 0, b"mdat") + bytes(50))
    assert (found.duration, found.complete) == (5.25, True)


def test_a_sound_track_hides_no_size(probed: Probed) -> None:
    for tracks in (track(640, 360) + track(0, 0), track(0, 0) + track(640, 360)):
        found = probed(FTYP + box(b"moov", MVHD + tracks))
        assert (found.width, found.height) == (640, 360)


@pytest.mark.parametrize(
    "moov",
    [
        box(b"mvhd", bytes(8)),
        box(b"mvhd", b"\x01" + bytes(20)),
        box(b"mvhd", struct.pack(">B3xIIII", 0, 0, 0, 0, 5250)),
        box(b"trak", box(b"tkhd", bytes(20))),
        struct.pack(">I4s", 4, b"mvhd") + bytes(20),
    ],
)
def test_a_video_with_a_broken_header_is_one_without_figures(moov: bytes, probed: Probed) -> None:
    found = probed(FTYP + box(b"moov", moov) + box(b"mdat", bytes(50)))
    assert (found.kind, found.complete) == ("video", True)
    assert (found.duration, found.width) == (None, None)


def test_a_video_whose_boxes_end_before_they_began_is_incomplete(probed: Probed) -> None:
    assert not probed(FTYP + struct.pack(">I4s", 2, b"moov") + bytes(50)).complete


def test_a_image_cut_in_its_frame_has_no_size(probed: Probed) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (31, 17), "red").save(buffer, "JPEG")
    content = buffer.getvalue()
    frame = content.index(b"\xff\xc0")
    assert probed(content[: frame + 9]).width == 31
    assert probed(content[: frame + 7]).width is None


def test_an_extended_webp_says_its_size(probed: Probed) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (31, 17), (255, 0, 0, 9)).save(buffer, "WEBP", exif=b"Exif\0\0II*\0")
    assert buffer.getvalue()[12:16] == b"VP8X"
    found = probed(buffer.getvalue())
    assert (found.width, found.height, found.complete) == (31, 17, True)


def wav(*chunks: tuple[bytes, int, bytes]) -> bytes:
    body = b"".join(struct.pack("<4sI", name, size) + content for name, size, content in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body


FORMAT = (b"fmt ", 16, struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8))


def test_a_sound_says_its_length(probed: Probed) -> None:
    assert probed(WAV).duration == 0.001
    odd = (b"LIST", 3, b"abc\0")
    assert probed(wav(odd, FORMAT, (b"data", 4000, bytes(4000)))).duration == 0.5


@pytest.mark.parametrize("chunks", [[], [(b"data", 40, bytes(40))], [FORMAT], [(b"LIST", 9000, bytes(9000)), FORMAT]])  # fmt: skip
def test_a_sound_without_its_rate_has_no_length(
    chunks: list[tuple[bytes, int, bytes]], probed: Probed
) -> None:
    found = probed(wav(*chunks))
    assert (found.kind, found.duration) == ("audio", None)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_sound_written_as_a_stream_is_as_long_as_what_is_there(size: int, probed: Probed) -> None:
    assert probed(wav(FORMAT, (b"data", size, bytes(4000)))).duration == 0.5


def test_a_hostile_file_is_looked_at_in_no_time(tmp_path: Path) -> None:
    """Thirty comments, a million tiny boxes or segments, and boxes that end after the file."""
    box = b"\x00\x00\x00\x08free"
    tiny = b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00" + box * 300_000
    trak = b"\x00\x00\xff\xfftrak\x00\x00\xff\xfetkhd" + b"\x00" * 20
    moov = (8 + len(trak)).to_bytes(4, "big") + b"moov" + trak
    for content in (
        b"<!---->" * 500 + b"<html>",
        b"<!--" * 1000,
        tiny,
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 500_000,
        b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00" + moov,
        b"RIFF\xff\xff\xff\xffWAVEfmt ",
    ):
        path = tmp_path / "file"
        path.write_bytes(content)
        reads = 0

        def count(_: object, event: str, function: Any) -> None:
            nonlocal reads
            reads += event == "c_call" and function.__name__ == "read"

        began = time.process_time()
        sys.setprofile(count)
        try:
            probe(path)
        finally:
            sys.setprofile(None)
        assert 0 < reads < 50_000
        assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "head", [b"<svg>", b"\xef\xbb\xbf <?xml version='1.0'?>\n<!-- a --><!DOCTYPE svg x>\n<svg\n"]
)
def test_an_svg_is_known_by_its_first_element(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(head + b"</svg>")
    found = probe(path)
    assert found is not None
    assert found.suffix == "svg"
