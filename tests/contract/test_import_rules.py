"""The import rules of pyproject.toml hold, and each of them fails when it is broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGES = ("oxen_inference", "langchain_oxen", "llama_index_oxen", "oxen_sandbox")
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"
# One forbidden import for each contract and each kind of trespass: (where, what).
TRESPASSES = [
    ("oxen_inference", "import langchain_core"),
    ("oxen_inference", "import llama_index.core"),
    ("oxen_inference", "import httpx"),
    ("oxen_inference", "import httpx2"),
    ("oxen_inference", "import oxen_sandbox"),
    ("oxen_inference", "import langchain_oxen"),
    ("langchain_oxen", "import llama_index_oxen"),
    ("langchain_oxen", "from oxen_sandbox import Sandbox"),
    ("langchain_oxen", "import httpx"),
    ("langchain_oxen", "import langchain_openai"),
    ("llama_index_oxen", "import langchain_oxen"),
    ("llama_index_oxen", "import langchain_core"),
    ("llama_index_oxen", "import oxen_sandbox"),
    ("oxen_sandbox", "import oxen_inference"),
    ("oxen_sandbox", "import openai"),
]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        check=False, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    for package in PACKAGES:
        skip = shutil.ignore_patterns("__pycache__", "*.json")
        shutil.copytree(REPOSITORY / package, folder / package, ignore=skip)
    return folder


def test_no_import_breaks_the_rules(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("package", "statement"), TRESPASSES)
def test_a_forbidden_import_is_caught(copy: Path, package: str, statement: str) -> None:
    trespass = copy / package / "trespass.py"
    # Inside a function, where it would be easiest to overlook.
    trespass.write_text(f"def late() -> None:\n    {statement}\n", encoding="utf-8")
    try:
        done = lint(copy)
    finally:
        trespass.unlink()
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{package}.trespass" in done.stdout
