"""The notebooks run from top to bottom, and show their images."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from tests.docs.notebooks import NOTEBOOKS, run, shown


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_shows_an_image_and_a_video(path: Path, tmp_path: Path) -> None:
    seen = shown(run(path, tmp_path))
    assert '<img style="max-width: 100%" src="data:image/' in seen
    assert '<video controls loop style="max-width: 100%" src="data:video/mp4' in seen
    assert "2 generations were bought" in seen
    assert {file.suffix for file in (tmp_path / "made").iterdir()} >= {".mp4"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_kept_shows_the_same_and_no_machine(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    seen = shown(notebook)
    assert "data:image/" in seen
    assert "data:video/mp4" in seen
    assert not re.search(r"[\s'\"](/(tmp|home|root|work|Users|private)/|[A-Z]:\\)", seen)
