"""What can be said of an attachment from its bytes alone: type, size, dimensions, seconds, pages."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from typing import NamedTuple


class Attachment(NamedTuple):
    """A decoded data URL."""

    mime: str
    data: bytes


def decode(url: str) -> Attachment:
    """Decode a base64 data URL; raises ValueError where it is not one."""
    head, _, payload = url.partition(",")
    match = re.fullmatch(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.-]+)*;base64", head)
    if not match or not payload:
        raise ValueError("not a base64 data URL")
    try:
        return Attachment(match[1].lower(), base64.b64decode(payload, validate=True))
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def sniff(data: bytes) -> str | None:
    """Return the image format or `pdf` a file begins like, else None."""
    starts = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"%PDF-": "pdf"}
    for start, kind in starts.items():
        if data.startswith(start):
            return kind
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def describe(kind: str, url: str) -> str:
    """Describe an attachment in a noun phrase: "a PNG image of 640 × 360 pixels (12 kB)"."""
    article = "an" if kind[0] in "aeiou" else "a"
    if not url.startswith("data:"):
        return f"{article} {kind} at {url}"
    mime, data = decode(url)
    form = mime.split("/")[1].removeprefix("x-").upper()
    size = f"{len(data) / 1000:.0f} kB" if len(data) >= 1000 else f"{len(data)} bytes"
    detail = ""
    if kind == "image" and (shape := dimensions(data)):
        detail = f" of {shape[0]} × {shape[1]} pixels"
    elif kind == "audio" and (length := wav_seconds(data)):
        detail = f" of {length:.1f} seconds"
    elif kind == "file" and (pages := len(re.findall(rb"/Type\s*/Page\b(?!s)", data))):
        detail = f" of {pages} page{'s' if pages > 1 else ''}"
    noun = "document" if kind == "file" else "recording" if kind == "audio" else kind
    return f"{'an' if form[0] in 'AEIOM' and form != 'MP4' else 'a'} {form} {noun}{detail} ({size})"


def dimensions(data: bytes) -> tuple[int, int] | None:
    """Read width and height from a PNG, GIF, JPEG or WebP header."""
    kind = sniff(data)
    if kind == "png" and len(data) >= 24:
        return struct.unpack(">II", data[16:24])
    if kind == "gif" and len(data) >= 10:
        return struct.unpack("<HH", data[6:10])
    if kind == "webp" and len(data) >= 30:
        return _webp(data)
    return _jpeg(data) if kind == "jpeg" else None


def _webp(data: bytes) -> tuple[int, int]:
    if data[12:16] == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if data[12:16] == b"VP8L":
        sides = int.from_bytes(data[21:25], "little")
        return (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", data[26:30])  # the top two bits are for scaling
    return width & 0x3FFF, height & 0x3FFF


def _jpeg(data: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker, length = (
            data[position + 1],
            int.from_bytes(data[position + 2 : position + 4], "big"),
        )
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            return width, height
        position += 2 + length
    return None


def wav_seconds(data: bytes) -> float | None:
    """Read the duration of a WAV file from its header."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE" or len(data) < 44:
        return None
    rate = int.from_bytes(data[28:32], "little")
    return (len(data) - 44) / rate if rate else None
