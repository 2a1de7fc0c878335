"""Every snippet of the documentation and the docstrings runs, on the sandbox, as it is printed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oxen_sandbox import Sandbox
from tests.conftest import REPOSITORY
from tests.docs.snippets import Block, Reader, blocks, documents, python_blocks

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WITH_SNIPPETS = [path for path in documents() if any(block.is_python for block in blocks(path))]


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Reader]:
    folder = tmp_path / "reader"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with Sandbox() as sandbox:
        monkeypatch.setenv("OXEN_API_KEY", sandbox.api_key)
        monkeypatch.setenv("OXEN_BASE_URL", sandbox.base_url)
        reader = Reader(sandbox, folder)
        # Where pickle, typing and pydantic look for what the snippets define.
        monkeypatch.setitem(sys.modules, "__main__", reader.main)
        yield reader
        reader.close()
        assert not sandbox.replies, "the page scripts replies that no snippet fetches"


@pytest.mark.parametrize(
    "path", WITH_SNIPPETS, ids=lambda path: path.relative_to(REPOSITORY).as_posix()
)
def test_a_reader_gets_through(path: Path, reader: Reader) -> None:
    for block in blocks(path):
        reader.read(block)
    reader.finish()


def test_what_is_not_run_says_why() -> None:
    excused = [block for block in python_blocks() if block.note == "not run"]
    for block in excused:
        assert len(block.reason) >= 10, f"{block.where}: a reason is missing"
    total = sum(1 for _ in python_blocks())
    assert len(excused) <= total // 20, f"too many: {[block.where for block in excused]}"


def test_no_python_hides_from_the_runner() -> None:
    """Prompts, and fences in a form the runner does not know, would never be executed."""
    for path in documents():
        for block in blocks(path):
            where = f"{block.where}: write a ```python block"
            assert block.language not in ("pycon", "python3", "Python"), where
            assert not block.language.startswith("{"), where
            assert not (block.is_python and ">>> " in block.source), where


def shell_blocks() -> list[Block]:
    languages = ("bash", "console", "shell", "sh")
    return [b for path in documents() for b in blocks(path) if b.language in languages]


def test_named_extras_exist() -> None:
    folders = {"oxen-integrations": ".", "langchain-oxen": "distributions/langchain-oxen"}
    for name, folder in folders.items():
        project = (REPOSITORY / folder / "pyproject.toml").read_text(encoding="utf-8")
        extras = set(tomllib.loads(project)["project"]["optional-dependencies"])
        # Error messages and prose name them too.
        for path in documents():
            for match in re.finditer(rf"{name}\[([\w,\- ]+)\]", path.read_text("utf-8")):
                named = {name.strip() for name in match[1].split(",")}
                assert named <= extras, f"{path}: {match[0]}"


def test_a_page_that_makes_agents_installs_what_they_need() -> None:
    """`create_agent` is in `langchain`, which the extra `langchain` does not bring."""
    installs = r"pip install[^\n]*?(?:langchain-oxen|oxen-integrations)(?:\[([\w,-]+)\])?"
    for path in documents():
        text = path.read_text("utf-8")
        for_langchain = re.search(r"install[^\n]*(?:langchain-oxen|\[langchain)", text)
        if for_langchain and re.search(r"^ *from langchain\.", text, re.MULTILINE):
            extras = ",".join(re.findall(installs, text)).split(",")
            assert {"agents", "all"} & set(extras), path


def test_named_make_targets_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    for block in shell_blocks():
        for target in re.findall(r"^(?:\$ )?make ([\w-]+)", block.source, re.MULTILINE):
            assert target in targets, f"{block.where}: make {target}"


def test_named_modules_can_be_run() -> None:
    for block in shell_blocks():
        for module in re.findall(r"python3? -m (oxen_\w+)", block.source):
            assert (REPOSITORY / module / "__main__.py").is_file(), block.where
