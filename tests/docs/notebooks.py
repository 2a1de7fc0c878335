"""Run the notebooks of the documentation: `python -m tests.docs.notebooks` keeps what they show."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.conftest import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "docs" / "notebooks").glob("*.ipynb"))


def run(path: Path, folder: Path) -> Any:
    """Return the notebook as a new kernel in `folder` left it. Raises at the first cell that does."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=120, resources=resources, record_timing=False).execute()
    return notebook


def shown(notebook: Any) -> str:
    """Return everything the cells show, as text."""
    return "\n".join(str(cell.get("outputs", "")) for cell in notebook.cells)


def main() -> None:
    """Run every notebook and write down what it shows, with paths as seen from its folder."""
    for name in list(os.environ):
        if name.startswith(("OXEN_", "OPENAI_", "LANGCHAIN_", "LANGSMITH_")):
            del os.environ[name]
    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            text = nbformat.writes(run(path, Path(folder)))
            path.write_text(text.replace(f"{folder}/", "") + "\n", encoding="utf-8")
            print(path.relative_to(REPOSITORY))


if __name__ == "__main__":
    main()
