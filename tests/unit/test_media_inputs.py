"""Which parameters take files, and that everything that asks gets one answer."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from oxen_inference.catalog.media_inputs import media_of, media_of_file, takes_image_to_change
from oxen_inference.catalog.models import Model
from oxen_inference.errors import InvalidInputError
from oxen_inference.media.input_kinds import check_kinds
from oxen_inference.media.inputs import EarlierResult, read_inputs, with_earlier_results
from oxen_inference.media.routes import has_image
from oxen_inference.tools.inputs import find_references, mark_references
from tests.contract import golden_cases

ID = "3f2b8c0e-7f0a-4c1e-9d58-0c6a3c0b9a11"
TEXT: dict[str, Any] = {"type": "string"}
URI = {**TEXT, "format": "uri"}
LIST = {"type": "array", "items": TEXT}
OBJECTS = {"type": "array", "items": {"type": "object"}}

KINDS: list[tuple[str, dict[str, Any] | None, str]] = [
    ("input_image", TEXT, "image"),
    ("mask_url", URI, "image"),
    ("mask_url", TEXT, "image"),
    ("mask_url", {"anyOf": [URI, {"type": "null"}]}, "image"),
    ("mask_url", {"type": ["string", "null"]}, "image"),
    ("tail_image_url", None, "image"),
    ("firstFrame", TEXT, "image"),
    ("image_2", TEXT, "image"),
    ("image_base64", TEXT, "image"),
    ("control_image_file", TEXT, "image"),
    ("image_style_references", OBJECTS, "image"),
    ("image_style_references.url", TEXT, "image"),
    ("reference_videos", OBJECTS, "video"),
    ("reference_videos.url", None, "video"),
    ("elements.frontal_image_url", None, "image"),
    ("input_videos", LIST, "video"),
    ("audio_urls", LIST, "audio"),
    ("audio", TEXT, "audio"),
    ("voice_url", TEXT, "audio"),
    ("image_or_video", TEXT, "image video"),
    ("clip", {**TEXT, "renderType": "video-url"}, "video"),
    ("clips", {"type": "array", "renderType": "image-url", "items": TEXT}, "image"),
    ("source", URI, "audio image video"),
    ("input_reference", TEXT, "audio image video"),
    ("image_prompt", URI, "image"),
    ("num_images", {"type": "integer"}, ""),
    ("num_images", None, ""),
    ("image_size", {**TEXT, "enum": ["square"]}, ""),
    ("image_size", TEXT, ""),
    ("video_quality", TEXT, ""),
    ("image_strength", {"type": "number"}, ""),
    ("frames_per_second", None, ""),
    ("generate_audio", {"type": "boolean"}, ""),
    ("generate_audio", TEXT, ""),
    ("audio_setting", {**TEXT, "enum": ["auto", "origin"]}, ""),
    ("image_prompt", TEXT, ""),
    ("prompt", TEXT, ""),
    ("voice", TEXT, ""),
    ("reference_id", TEXT, ""),
    ("style", TEXT, ""),
    ("url", TEXT, ""),
    ("reference_videos.name", TEXT, ""),
    ("lora_url", URI, ""),
    ("loras.path", TEXT, ""),
    ("webhook_url", URI, ""),
]

OF_THE_CATALOG = {
    "image": """
        first_frame_image image_style_references image_url input_face_images input_image input_images
        last_frame_image mask_url reference_image_url reference_image_urls reference_images
        tail_image_url
    """,
    "video": "input_face_videos input_video input_videos reference_videos video_url",
    "audio": "audio_url audio_urls input_audio input_audios",
}


@pytest.mark.parametrize(("name", "schema", "kinds"), KINDS)
def test_a_schema_and_a_name_tell_what_is_taken(
    name: str, schema: dict[str, Any] | None, kinds: str
) -> None:
    assert media_of(name, schema) == {*kinds.split()}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("image_prompt", "image"),
        ("image_style_references.style_url", "image"),
        ("voice", "audio"),
        ("prompt", ""),
        ("lora_url", ""),
        ("loras.url", ""),
    ],
)
def test_a_url_is_a_file_whatever_else_the_parameter_takes(name: str, kinds: str) -> None:
    assert media_of_file(name, TEXT) == {*kinds.split()}


def test_an_image_to_change_is_neither_a_mask_nor_a_style() -> None:
    names = ["input_image", "mask_url", "image_style_references", "input_video", "source", "prompt"]
    assert [takes_image_to_change(n, URI) for n in names] == [True, False, False, False, False, False]  # fmt: skip


@pytest.mark.parametrize("row", golden_cases.media_rows() or [None], ids=lambda r: r and r["id"])
def test_all_who_ask_about_the_models_of_the_catalog_agree(row: dict[str, Any] | None) -> None:
    if row is None:
        pytest.skip("the published contract is not part of the repository")
    schema = row["request_schema"]
    model = Model(id=row["id"], request_schema=schema)
    pdf = f"data:application/pdf;base64,{base64.b64encode(b'%PDF-1.7').decode()}"
    kind_of = {name: kind for kind, names in OF_THE_CATALOG.items() for name in names.split()}
    for name, spec in schema["properties"].items():
        kind = kind_of.get(name)
        assert media_of(name, spec) == ({kind} if kind else set()), name
        is_object = spec.get("type") == "array" and spec["items"].get("type") == "object"
        path = f"{name}.url" if is_object else name

        def given(value: str, name: str = name, is_object: bool = is_object) -> dict[str, Any]:
            return {name: [{"url": value}]} if is_object else {name: value}

        assert bool(find_references(mark_references(given("ox.png"), schema))) is bool(kind), name
        if spec["type"] in ("integer", "number", "boolean") or "enum" in spec:
            continue  # takes no text of the caller's
        read = with_earlier_results(read_inputs(given(ID), False), schema)
        assert _earlier(read) == ([EarlierResult(path, ID)] if kind else []), name
        assert has_image(model, given("https://example.com/ox")) is (kind == "image"), name
        if kind:
            with pytest.raises(InvalidInputError, match="a PDF document"):
                check_kinds(given(pdf), schema)


def _earlier(value: Any) -> list[EarlierResult]:
    if isinstance(value, EarlierResult):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [one for each in inner for one in _earlier(each)]
