"""What a model may name as an input, and what never becomes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oxen_inference.errors import InvalidInputError
from oxen_inference.tools import inputs
from oxen_inference.tools.text import without_bytes

SCHEMA: dict[str, Any] = {
    "properties": {
        "prompt": {"type": "string"},
        "style": {"type": "string"},
        "input_image": {"type": "string", "format": "uri"},
        "reference_images": {"type": "array", "items": {"type": "string"}},
        "clip": {"type": "string", "renderType": "video-url"},
        "image_size": {"type": "string", "enum": ["square"]},
        "elements": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"frontal_image_url": {"type": "string", "format": "uri"}},
            },
        },
    }
}


def test_names_are_marked_in_media_inputs_only() -> None:
    marked = inputs.mark_references(
        {
            "prompt": "ox",
            "style": "gen-1",
            "seed": 7,
            "input_image": "gen-1",
            "reference_images": ["gen-2", "https://x.test/a.png"],
            "clip": "gen-3",
            "image_size": "square",
            "elements": [{"frontal_image_url": "gen-4"}],
        },
        SCHEMA,
    )
    assert inputs.find_references(marked) == ["gen-1", "gen-2", "gen-3", "gen-4"]
    known = {f"gen-{n}": f"https://x.test/{n}" for n in range(1, 5)}
    assert inputs.replace_references(marked, known) == {
        "prompt": "ox",
        "style": "gen-1",
        "seed": 7,
        "input_image": "https://x.test/1",
        "reference_images": ["https://x.test/2", "https://x.test/a.png"],
        "clip": "https://x.test/3",
        "image_size": "square",
        "elements": [{"frontal_image_url": "https://x.test/4"}],
    }


def test_renamed_inputs_are_marked_by_what_they_stand_for() -> None:
    source = {"type": "string", "renderType": "image-url"}
    schema = {"properties": {"the source": source, "more": {"properties": {"a": source}}}}
    marked = inputs.mark_references(
        {"the_source": "gen-1", "more": {"a": "gen-2"}}, schema, {"the_source": "the source"}
    )
    assert inputs.find_references(marked) == ["gen-1", "gen-2"]


@pytest.mark.parametrize("value", ["https://x.test/a.png", "data:image/png;base64,AAAA", ""])
def test_urls_stay_as_they_are(value: str) -> None:
    assert inputs.mark_references({"input_image": value}, SCHEMA) == {"input_image": value}


@pytest.mark.parametrize("value", ["file:///etc/passwd", "FILE:/etc/passwd", "gopher://x"])
def test_other_schemes_are_refused(value: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be used as an input"):
        inputs.check_sendable({"input_image": value}, SCHEMA)
    with pytest.raises(InvalidInputError):
        inputs.check_sendable({"elements": [{"frontal_image_url": value}]}, SCHEMA)


def test_files_are_found_below_the_allowed_folder_and_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "allowed"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "ox.png").write_bytes(b"ox")
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (folder / "link.png").symlink_to(secret)
    assert inputs.allowed_file("sub/ox.png", folder) == folder / "sub" / "ox.png"
    for name in (
        "../secret.png",
        str(secret),
        "link.png",
        "sub",
        "missing.png",
        "~/x",
        "/etc/passwd",
    ):
        assert inputs.allowed_file(name, folder) is None, name
    assert inputs.allowed_file("sub/ox.png", None) is None


def test_artifacts_carry_no_bytes() -> None:
    content = "data:image/png;base64," + "A" * 5000
    kept = without_bytes(
        {"params": {"input_image": content, "shots": [content]}, "url": "https://x"}
    )
    assert len(str(kept)) < 300
    assert kept["url"] == "https://x"
    assert kept["params"]["input_image"].startswith("data:image/png;base64,… (")
