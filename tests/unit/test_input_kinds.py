"""A file that is surely of another kind than its parameter takes is refused; others are sent."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage, ImageBlock

from langchain_oxen.messages_out import to_wire as from_langchain
from llama_index_oxen.messages_out import to_wire as from_llama_index
from oxen_inference.errors import InvalidInputError
from oxen_inference.media.input_kinds import check_kinds

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
GIF = b"GIF89a" + b"\0" * 40
MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0" * 40
HEIC_OF_A_NEW_BRAND = b"\0\0\0\x18ftypheim\0\0\2\0" + b"\0" * 40
WAV = b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 40
OGG = b"OggS" + b"\0" * 40
PDF = b"%PDF-1.7\n%\xe2\xe3\n"
OFFICE = b"PK\x03\x04" + b"\0" * 40
TEXT = "Der Ochse weidet früh am Morgen auf der Wiese.".encode()
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"></svg>'
UNKNOWN = b"\x01\x02\x03\x04" * 20


def url(data: bytes, mime_type: str = "image/png") -> str:
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"


REFUSED: list[tuple[str, Any, dict[str, Any], str]] = [
    ("input_image", url(PDF), {}, "input_image takes an image, .* a PDF document"),
    ("input_image", url(TEXT), {}, "is text"),
    ("input_image", url(b"ox", "text/plain"), {}, "is text"),
    ("input_image", "data:text/plain,an%20ox", {}, "is text"),
    ("input_image", url(MP4), {}, r"is a video \(video/mp4\)"),
    ("input_image", url(WAV), {}, r"is audio \(audio/wav\)"),
    ("input_image", url(OFFICE), {}, "ZIP archive or an office file"),
    ("images", [url(PNG), url(PDF)], {"type": "array"}, r"images\[1\] takes an image"),
    ("firstFrame", url(PDF), {}, "firstFrame takes an image"),
    ("source", url(MP4), {"renderType": "image-url"}, "source takes an image"),
    ("elements", [{"image_url": url(PDF)}], {}, r"elements\.image_url takes an image"),
    ("input_video", url(PNG), {}, r"takes a video, .* an image \(image/png\)"),
    ("input_video", url(TEXT), {}, "takes a video"),
    ("audio_url", url(PNG), {}, "takes audio"),
    ("audio_url", url(PDF, "audio/mpeg"), {}, "takes audio"),
]
SENT: list[tuple[str, Any, dict[str, Any]]] = [
    ("input_image", url(PNG), {}),
    ("input_image", url(SVG, "image/svg+xml"), {}),
    ("input_image", url(UNKNOWN), {}),
    ("input_image", url(b"ox"), {}),
    ("input_image", url(HEIC_OF_A_NEW_BRAND, "image/heic"), {}),
    ("input_image", "data:image/png;base64,$$$", {}),
    ("input_image", "https://example.com/ox.pdf", {}),
    ("input_video", url(GIF), {}),
    ("input_video", url(OGG), {}),
    ("audio_url", url(MP4), {}),
    ("image_or_video", url(MP4), {}),
    ("document", url(PDF), {}),
    ("prompt", "data: a PDF", {}),
]


@pytest.mark.parametrize(("name", "value", "spec", "said"), REFUSED)
def test_what_is_surely_of_another_kind_is_refused(
    name: str, value: Any, spec: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said) as caught:
        check_kinds({"prompt": "x", name: value}, {"properties": {name: spec}})
    assert "base64" not in str(caught.value)


@pytest.mark.parametrize(("name", "value", "spec"), SENT)
def test_what_is_not_certain_is_sent(name: str, value: Any, spec: dict[str, Any]) -> None:
    check_kinds({name: value}, {"properties": {name: spec}})
    check_kinds({name: value}, None)


@pytest.mark.parametrize(("data", "suffix"), [(PDF, ".pdf"), (TEXT, ".png"), (b"ox", ".txt")])
def test_a_document_is_no_image_in_a_message(data: bytes, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"ox{suffix}"
    file.write_bytes(data)
    with pytest.raises(InvalidInputError, match=r"not an image.*DocumentBlock"):
        from_llama_index([ChatMessage(role="user", blocks=[ImageBlock(path=file)])])
    encoded = base64.b64encode(data).decode()
    mime_type = "text/plain" if suffix == ".txt" else "image/png"
    forms: list[dict[str, Any]] = [
        {"type": "image", "base64": encoded, "mime_type": mime_type},
        {"type": "image_url", "image_url": {"url": f"data:{mime_type};base64,{encoded}"}},
    ]
    for block in forms:
        with pytest.raises(InvalidInputError, match="type 'file'"):
            from_langchain([HumanMessage([block])])


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "empty.png"
    file.touch()
    with pytest.raises(InvalidInputError, match=r"empty\.png is empty"):
        from_llama_index([ChatMessage(role="user", blocks=[ImageBlock(path=file)])])
