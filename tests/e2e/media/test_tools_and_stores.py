"""Tools of both frameworks whose results go to a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_oxen import OxenMediaTool, OxenToolkit
from llama_index_oxen import OxenToolSpec
from oxen_sandbox import Sandbox
from tests.support.stores import Yard, empty_yard

FOLDER = "yard://me:hunter22@herd/out"


@pytest.fixture
def yard() -> Iterator[type[Yard]]:
    with empty_yard() as yard:
        yield yard


def _tool() -> Any:
    return OxenMediaTool.for_model("flux-2-dev", save_to=FOLDER)


def _toolkit() -> Any:
    return OxenToolkit(models=["flux-2-dev"], save_to=FOLDER).get_tools()[0]


def _spec() -> Any:
    return OxenToolSpec("flux-2-dev", save_to=FOLDER, background=False).to_tool_list()[0]


@pytest.mark.parametrize("make", [_tool, _toolkit, _spec])
def test_a_tool_saves_to_a_store_and_makes_no_folder_here(
    make: Any,
    yard: type[Yard],
    oxen_sandbox_env: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    tool = make()
    assert "hunter22" not in repr(tool)
    said = str(tool.call(prompt="an ox") if make is _spec else tool.invoke({"prompt": "an ox"}))
    assert len(yard.store) == 1
    assert "hunter22" not in said
    assert not [path for path in set(tmp_path.iterdir()) - before if "yard" in path.name]
