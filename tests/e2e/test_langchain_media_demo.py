"""`make demo`, run as people run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest
from PIL import Image

from oxen_sandbox import Sandbox
from tests.conftest import REPOSITORY


def demo(folder: Path, *arguments: str, answer: str = "", **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "examples" / "media_agent.py"), *arguments],
        cwd=folder, env={**os.environ, "COLUMNS": "160", **environment}, input=answer,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def files(folder: Path) -> tuple[Path, Path]:
    (image,) = folder.glob("demo-output/*.png")
    (video,) = folder.glob("demo-output/*.mp4")
    return image, video


def test_it_makes_an_image_and_a_video_on_the_sandbox(tmp_path: Path) -> None:
    began = time.monotonic()
    status, printed = demo(tmp_path)
    assert status == 0, printed
    assert time.monotonic() - began < 60
    image, video = files(tmp_path)
    with Image.open(image) as opened:
        assert opened.format == "PNG"
    with av.open(str(video)) as container:
        assert float(container.duration) / av.time_base == pytest.approx(5, abs=0.1)
        assert next(container.decode(video=0)).width > 0
    assert printed.splitlines()[0].startswith("On the local sandbox: no key, no bill")
    for text in (
        "image: enqueued", "image: done (", "video: done (",  # readable without a terminal
        image.name, video.name, f"{video.stat().st_size:,} B", "5.0", "$0.60",
    ):  # fmt: skip
        assert text in printed
    first, second = re.findall(r"│ ([0-9a-f-]{36}) │", printed)
    assert first[:8] in image.name
    assert second[:8] in video.name


def test_on_the_hub_it_asks_first(tmp_path: Path, oxen_sandbox: Sandbox) -> None:
    hub = {"OXEN_API_KEY": oxen_sandbox.api_key, "OXEN_BASE_URL": oxen_sandbox.base_url}
    for refusal in ("", "n\n"):
        status, printed = demo(tmp_path, "--hub", answer=refusal, **hub)
        assert status == 0
        assert "kling-video-o3-pro-reference-to-video: $0.60" in printed
        assert "Nothing was sent." in printed
    assert oxen_sandbox.jobs == []
    status, printed = demo(tmp_path, "--hub", answer="y\n", **hub)
    assert status == 0, printed
    assert len(oxen_sandbox.jobs) == 2
    image, video = oxen_sandbox.jobs
    assert image.params["prompt"] == "an ox at dawn"
    assert video.params["prompt"] == "the ox walking home"
    assert image.generation_id in video.params["input_images"][0]
    assert video.params["duration"] == 5


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({}, "Error: There is no Oxen API key"),
        ({"OXEN_API_KEY": "k", "OXEN_BASE_URL": "nonsense://"}, "is not a usable base URL"),
        ({"OXEN_API_KEY": "k", "OXEN_BASE_URL": "http://127.0.0.1:9/api/ai"}, "Could not reach Oxen"),
    ],
)  # fmt: skip
def test_errors_are_one_sentence(tmp_path: Path, environment: dict[str, str], text: str) -> None:
    status, printed = demo(tmp_path, "--hub", **environment)
    assert status == 1
    assert text in printed
    assert "Traceback" not in printed
    assert len(printed.strip().splitlines()) == 1
