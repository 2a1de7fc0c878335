"""What the packages offer by name, and what importing them costs and needs."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from oxen_inference import errors
from tests.conftest import REPOSITORY

PACKAGES = ("oxen_inference", "langchain_oxen", "llama_index_oxen", "oxen_sandbox")
LAZY = PACKAGES[:3]


def python(source: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", source], check=False, capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_there(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(set(module.__all__)) == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(dir(module)) >= set(module.__all__)


def test_a_source_tree_that_was_never_installed_has_no_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    names = runpy.run_path(str(REPOSITORY / "oxen_inference" / "_version.py"))
    assert names["__version__"] == "0+unknown"


@pytest.mark.parametrize("package", LAZY)
def test_the_names_type_checkers_see_are_the_names_there_are(package: str) -> None:
    """The imports under TYPE_CHECKING and the lazy ones are written twice, and must agree."""
    tree = ast.parse((REPOSITORY / package / "__init__.py").read_text(encoding="utf-8"))
    guarded = [
        node
        for branch in tree.body
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
    ]
    module = importlib.import_module(package)
    seen = {name.asname or name.name: node.module for node in guarded for name in node.names}
    if seen.pop("*", None):  # the error tree, whose names are in a list of their own
        assert package == "oxen_inference"
    assert set(seen) == set(module.__all__) - {"__version__"}
    for name, home in seen.items():
        assert getattr(importlib.import_module(str(home)), name) is getattr(module, name)


@pytest.mark.parametrize("package", LAZY)
def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match=f"'{package}'.*'NoSuchName'"):
        _ = importlib.import_module(package).NoSuchName
    with pytest.raises(ImportError):
        exec(f"from {package} import NoSuchName")


def test_the_whole_error_tree_is_importable_from_the_top() -> None:
    import oxen_inference

    for name in errors.__all__:
        assert getattr(oxen_inference, name) is getattr(errors, name)


@pytest.mark.parametrize("package", [*PACKAGES, "oxen_sandbox.pytest_plugin"])
def test_importing_does_not_import_openai(package: str) -> None:
    loaded = json.loads(
        python(f"import {package}, sys, json; print(json.dumps(list(sys.modules)))")
    )
    heavy = {"openai", "httpx", "httpx2", "aiohttp"} & set(loaded)
    # The frameworks may bring an HTTP client of their own; we bring none.
    assert not heavy & ({"openai"} if package in LAZY[1:] else heavy)


@pytest.mark.parametrize(
    ("package", "missing", "extra"),
    [
        ("langchain_oxen", "langchain_core", "langchain"),
        ("llama_index_oxen", "llama_index", "llama-index"),
    ],
)
def test_an_adapter_without_its_framework_says_what_to_install(
    package: str, missing: str, extra: str
) -> None:
    said = python(
        f"""
import importlib.util, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name.partition(".")[0] == {missing!r} else find_spec(name, package)
)
sys.meta_path.insert(0, Missing())
try:
    import {package}
except ImportError as error:
    print(error)
"""
    )
    assert f"pip install 'oxen-integrations[{extra}]'" in said
    assert package in said


@pytest.mark.parametrize("wanted", ["oxen_sandbox.Sandbox", "import oxen_sandbox.__main__"])
def test_the_sandbox_without_its_server_says_what_to_install(wanted: str) -> None:
    said = python(
        f"""
import sys
sys.modules["starlette"] = None
import oxen_sandbox
oxen_sandbox.Fault
try:
    {wanted}
except (ImportError, SystemExit) as error:
    print(error)
"""
    )
    assert "pip install 'oxen-integrations[sandbox]'" in said


@pytest.mark.parametrize("package", PACKAGES)
def test_types_are_shipped(package: str) -> None:
    assert (Path(str(importlib.import_module(package).__file__)).parent / "py.typed").is_file()
