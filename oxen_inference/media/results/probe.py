"""What a file is, by its own bytes: kind, type, size in pixels, duration, completeness.

Reads the few header fields that a result should state, without an imaging library; what a format
stores deeper stays None.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

_HEAD = 4096
_CHUNK = 1 << 18
_MOST_PARTS = 10_000  # boxes or segments that are read of a file


@dataclass(frozen=True, slots=True)
class Probe:
    """`kind`: image, video, audio or other. Sizes in pixels, `duration` in seconds."""

    kind: str
    mime_type: str
    suffix: str
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    complete: bool = True
    """False if the file seems to end too early, or its bytes are not those that were written; bytes
    after its end do not matter.
    """


def probe(path: Path) -> Probe | None:
    """Return what the file is, or None if it is no known media type."""
    with path.open("rb") as file:
        head = file.read(_HEAD).ljust(64, b"\0")  # so that a truncated header has every field
        try:
            found = _image(head, file) or _boxes(head, file) or _other(head, path.stat().st_size)
        except struct.error:  # a field that states more than the file has
            return None
        return found or _no_media(head)


def probe_head(head: bytes) -> Probe | None:
    """Return what a file is that begins with `head`; of its size and end nothing is known.

    None if that is not certain: a container of a brand that is not listed may hold anything.
    """
    file, padded = BytesIO(head), head[:_HEAD].ljust(64, b"\0")
    try:
        found = _image(padded, file) or _boxes(padded, file) or _other(padded, len(head))
    except struct.error:
        return None
    if head[4:8] == b"ftyp" and head[8:12] not in _BRANDS and not head[8:12].startswith(_VIDEO):
        return None
    return found or _no_media(padded)


def _image(head: bytes, file: BinaryIO) -> Probe | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = struct.unpack(">II", head[16:24])
        complete = _png_is_whole(file)
        return Probe("image", "image/png", "png", width, height, complete=complete)
    if head.startswith(b"\xff\xd8\xff"):
        width, height, at = _jpeg_size(file)
        # Not before the image data begins: a thumbnail has an end marker, too.
        complete = width is None or _holds(file, b"\xff\xd9", at)
        return Probe("image", "image/jpeg", "jpg", width, height, complete=complete)
    if head[:6] in (b"GIF87a", b"GIF89a"):
        width, height = struct.unpack("<HH", head[6:10])
        complete = _holds(file, b"\0;", 13)  # the end of the last block, and the trailer
        return Probe("image", "image/gif", "gif", width, height, complete=complete)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        width, height = _webp_size(head)
        complete = file.seek(0, 2) >= struct.unpack("<I", head[4:8])[0] + 8
        return Probe("image", "image/webp", "webp", width, height, complete=complete)
    if _is_svg(head):
        return Probe("image", "image/svg+xml", "svg", complete=_holds(file, b"</svg", 0))
    if head[:4] in (b"II*\x00", b"MM\x00*"):
        return Probe("image", "image/tiff", "tiff")
    if head[:2] == b"BM":
        width, height = struct.unpack("<ii", head[18:26])
        return Probe("image", "image/bmp", "bmp", width, abs(height))
    return None


_SVG_PROLOG = ((b"<?xml", b">"), (b"<!--", b"-->"), (b"<!DOCTYPE svg", b">"))


def _is_svg(head: bytes) -> bool:
    rest = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    while not (rest.startswith(b"<svg") and rest[4:5] in b" \t\r\n>"):
        ends = [rest.find(end, len(begin)) + len(end) for begin, end in _SVG_PROLOG
                if rest.startswith(begin) and end in rest[len(begin):]]  # fmt: skip
        if not ends:
            return False
        rest = rest[ends[0] :].lstrip()
    return True


def _other(head: bytes, size: int) -> Probe | None:
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        webm = b"webm" in head[:64]
        kind = ("video/webm", "webm") if webm else ("video/x-matroska", "mkv")
        return Probe("video", *kind)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return Probe("video", "video/x-msvideo", "avi")
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return Probe("audio", "audio/wav", "wav", duration=_wav_seconds(head, size))
    if head[:4] == b"OggS":
        return Probe("audio", "audio/ogg", "ogg")
    if head[:4] == b"fLaC":
        return Probe("audio", "audio/flac", "flac")
    if head[:3] == b"ID3" or (head[0] == 0xFF and head[1] & 0xE6 in (0xE2, 0xE4)):
        return Probe("audio", "audio/mpeg", "mp3")
    if head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return Probe("audio", "audio/aac", "aac")
    return None


_NO_MEDIA = (
    (b"PK\x03\x04", "application/zip", "zip"),
    (b"8BPS", "image/vnd.adobe.photoshop", "psd"),
    (b"glTF", "model/gltf-binary", "glb"),
    (b"%PDF-", "application/pdf", "pdf"),
)


def _no_media(head: bytes) -> Probe | None:
    for magic, mime_type, suffix in _NO_MEDIA:
        if head.startswith(magic):
            return Probe("other", mime_type, suffix)
    return None


_BRANDS = {
    b"avif": ("image", "image/avif", "avif"), b"avis": ("image", "image/avif", "avif"),
    b"heic": ("image", "image/heic", "heic"), b"heix": ("image", "image/heic", "heic"),
    b"mif1": ("image", "image/heif", "heif"), b"msf1": ("image", "image/heif", "heif"),
    b"M4A ": ("audio", "audio/mp4", "m4a"), b"qt  ": ("video", "video/quicktime", "mov"),
}  # fmt: skip


_VIDEO = (b"iso", b"mp4", b"avc", b"M4V", b"3gp", b"3g2", b"dash", b"MSNV", b"f4v", b"mmp4")


_NEEDED = (b"moov", b"mdat", b"moof", b"meta")  # other boxes may be cut, or be no boxes at all


def _boxes(head: bytes, file: BinaryIO) -> Probe | None:
    """ISO base media files: MP4, MOV, M4A, AVIF (ISO/IEC 14496-12)."""
    if head[4:8] not in (b"ftyp", b"moov", b"wide"):
        return None
    kind, mime_type, suffix = ("video", "video/mp4", "mp4")
    if head[4:8] == b"ftyp":
        kind, mime_type, suffix = _BRANDS.get(head[8:12], (kind, mime_type, suffix))
    size = file.seek(0, 2)
    moov, complete = None, True
    for name, start, end in _walk(file, 0, size):
        if end > size and name in _NEEDED:
            complete = False
        if name == b"moov" and end <= size:
            moov = (start, end)
    duration, width, height = _movie(file, moov) if moov else (None, None, None)
    if kind != "image":
        complete = complete and moov is not None
    return Probe(kind, mime_type, suffix, width, height, duration, complete)


def _walk(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    for _ in range(_MOST_PARTS):
        if start + 8 > end:
            return
        file.seek(start)
        size, name = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:
            size, header = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0], 16
        elif size == 0:
            size = end - start
        if size < header:
            return
        yield name, start + header, start + size
        start += size


def _movie(file: BinaryIO, moov: tuple[int, int]) -> tuple[float | None, int | None, int | None]:
    duration = width = height = None
    for name, start, end in _walk(file, *moov):
        if name == b"mvhd":
            duration = _seconds(_read(file, start, end))
        elif name == b"trak":
            for inner, first, last in _walk(file, start, end):
                if inner == b"tkhd" and last - first >= 84:
                    across, down = struct.unpack(">II", _read(file, last - 8, last))
                    if across and down:
                        width, height = across >> 16, down >> 16
    return duration, width, height


def _seconds(mvhd: bytes) -> float | None:
    layout, at = (">IQ", 20) if mvhd[:1] == b"\x01" else (">II", 12)
    if len(mvhd) < at + struct.calcsize(layout):
        return None
    scale, ticks = struct.unpack_from(layout, mvhd, at)
    return round(ticks / scale, 3) if scale else None


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(min(end - start, _HEAD))


def _png_is_whole(file: BinaryIO) -> bool:
    """Whether a PNG has its end, and its pixels can be unpacked (https://www.w3.org/TR/png).

    A wrong checksum alone is no damage: some programs write none, and viewers do not mind.
    """
    file.seek(8)
    pixels, is_sound = [], True
    while len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        start, checksum = file.tell(), zlib.crc32(name)
        while (left := start + size - file.tell()) and (part := file.read(min(left, _CHUNK))):
            checksum = zlib.crc32(part, checksum)
        if left:
            break
        is_sound &= file.read(4) == checksum.to_bytes(4, "big")
        if name == b"IDAT":
            pixels.append((start, size))
        if name == b"IEND":
            return is_sound or _unpacks(file, pixels)
    return _holds(file, b"IEND", 24)


def _unpacks(file: BinaryIO, parts: list[tuple[int, int]]) -> bool:
    """Whether these parts of a file are one whole zlib stream."""
    stream = zlib.decompressobj()
    try:
        for start, size in parts:
            file.seek(start)
            packed = file.read(size)
            while packed:
                stream.decompress(packed, _CHUNK)
                packed = stream.unconsumed_tail
    except zlib.error:
        return False
    return stream.eof


def _jpeg_size(file: BinaryIO) -> tuple[int | None, int | None, int]:
    """Width and height, and where the frame that names them begins."""
    file.seek(2)
    for _ in range(_MOST_PARTS):
        marker = file.read(4)
        if len(marker) < 4 or marker[0] != 0xFF:
            break
        code, length = marker[1], struct.unpack(">H", marker[2:])[0]
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            frame = file.read(5)
            if len(frame) == 5:
                height, width = struct.unpack(">HH", frame[1:])
                return width, height, file.tell()
            break
        file.seek(max(length - 2, 0), 1)
    return None, None, 0


def _holds(file: BinaryIO, marker: bytes, start: int) -> bool:
    """Whether `marker` comes anywhere from `start` on."""
    file.seek(start)
    before = b""
    while chunk := file.read(_CHUNK):
        if marker in before + chunk:
            return True
        before = chunk[-len(marker) :]
    return False


def _webp_size(head: bytes) -> tuple[int | None, int | None]:
    form = head[12:16]
    if form == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if form == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if form == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None, None


def _wav_seconds(head: bytes, total: int) -> float | None:
    rate, at = None, 12
    while at + 8 <= len(head):
        name, size = struct.unpack("<4sI", head[at : at + 8])
        if name == b"fmt " and at + 20 <= len(head):
            rate = struct.unpack("<I", head[at + 16 : at + 20])[0]
        if name == b"data":
            # A writer that streams does not know the size: it states 0 or the maximum.
            there = total - at - 8
            size = min(size, there) if size else there
            return round(size / rate, 3) if rate else None
        at += 8 + size + size % 2
    return None
