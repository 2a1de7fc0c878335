"""Files where a URL belongs: read where that was allowed, else refused before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from langchain_oxen import OxenMediaTool
from oxen_inference import AsyncOxenClient, InvalidInputError, OxenClient
from oxen_inference.media.pace import Pace
from oxen_sandbox import Sandbox

FAST = Pace(image=(0.05, 0.1), video=(0.05, 0.1), settle=(0.1,))
MODEL = "qwen-image-edit"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "ox.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 30)
    return file


@pytest.fixture
def client(oxen_sandbox: Sandbox) -> OxenClient:
    client = OxenClient(api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url)
    client.media.pace = FAST
    return client


@pytest.mark.parametrize("form", [str, Path.read_bytes, lambda _: "cow.webp"])
def test_a_path_in_words_or_bytes_is_refused_and_says_how(
    client: OxenClient, oxen_sandbox: Sandbox, image: Path, form: Any
) -> None:
    with pytest.raises(
        InvalidInputError, match=r"Pass a URL, a data URL, or a pathlib\.Path with allow_paths=True"
    ):
        client.media.generate(model=MODEL, prompt="older", input_image=form(image))
    assert oxen_sandbox.jobs == []


async def test_async_too(oxen_sandbox: Sandbox, image: Path) -> None:
    key, url = oxen_sandbox.api_key, oxen_sandbox.base_url
    async with AsyncOxenClient(api_key=key, base_url=url) as client:
        for given in (str(image), b"\x89PNG"):
            with pytest.raises(InvalidInputError, match=r"a pathlib\.Path"):
                await client.media.generate(model=MODEL, prompt="older", input_image=given)
    assert oxen_sandbox.jobs == []


def test_a_path_that_is_allowed_is_read(
    client: OxenClient, oxen_sandbox: Sandbox, image: Path
) -> None:
    client.media.generate(model=MODEL, prompt="older", input_image=image, allow_paths=True)
    assert oxen_sandbox.jobs[0].params["input_image"].startswith("data:image/png;base64,")


def test_a_file_that_is_pinned_to_a_tool_is_read(
    client: OxenClient, oxen_sandbox: Sandbox, image: Path
) -> None:
    edit = OxenMediaTool.for_model(MODEL, client=client, input_image=image)
    image.unlink()
    assert edit.invoke({"prompt": "older"}).startswith("Made 1 image")
    assert oxen_sandbox.jobs[0].params["input_image"].startswith("data:image/png;base64,")
    assert "base64" not in repr(edit)


@pytest.mark.parametrize("form", ["file", "data:image/png;base64,", "data:,"])
def test_an_empty_file_is_refused(
    client: OxenClient, oxen_sandbox: Sandbox, tmp_path: Path, form: str
) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    given = empty if form == "file" else form
    with pytest.raises(InvalidInputError, match=r"input_image: .* is empty\. Nothing was sent\."):
        client.media.generate(model=MODEL, prompt="older", input_image=[given], allow_paths=True)
    assert oxen_sandbox.jobs == []


def test_the_type_is_what_the_bytes_say(
    client: OxenClient, oxen_sandbox: Sandbox, image: Path
) -> None:
    misnamed = image.rename(image.with_suffix(".jpg"))
    client.media.generate(model=MODEL, prompt="older", input_image=misnamed, allow_paths=True)
    assert oxen_sandbox.jobs[0].params["input_image"].startswith("data:image/png;base64,")
