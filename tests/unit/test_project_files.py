"""What is said in several project files is the same in each."""

from __future__ import annotations

import re
import sys
from itertools import chain
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.conftest import REPOSITORY

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SMALL = sorted(folder.name for folder in (REPOSITORY / "distributions").iterdir())


def project(folder: str = ".") -> dict[str, Any]:
    text = (REPOSITORY / folder / "pyproject.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text)["project"])


@pytest.mark.parametrize("name", SMALL)
def test_a_small_distribution_is_locked_to_this_version(name: str) -> None:
    version, small = project()["version"], project(f"distributions/{name}")
    assert (small["name"], small["version"]) == (name, version)
    extras = small.get("optional-dependencies", {}).values()
    for requirement in map(Requirement, [*small["dependencies"], *chain.from_iterable(extras)]):
        assert requirement.name == "oxen-integrations"
        assert str(requirement.specifier) == f"=={version}"
        assert requirement.extras <= project()["optional-dependencies"].keys()
    for shared in ("requires-python", "license", "urls", "maintainers"):
        assert small[shared] == project()[shared]
    license_text = (REPOSITORY / "distributions" / name / "LICENSE").read_text(encoding="utf-8")
    assert license_text == (REPOSITORY / "LICENSE").read_text(encoding="utf-8")


def test_both_names_are_there() -> None:
    assert SMALL == ["langchain-oxen", "llama-index-llms-oxen"]


def test_the_citation_has_the_version() -> None:
    text = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {project()['version']}\n" in text


@pytest.mark.parametrize("workflow", ["ci", "slow", "release"])
def test_workflows_call_targets_that_exist(workflow: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    there = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    text = (REPOSITORY / f".github/workflows/{workflow}.yml").read_text(encoding="utf-8")
    called = re.findall(r"run: make ([a-z -]+)", text) + re.findall(r"target: \[(.*)\]", text)
    targets = set(re.split(r"[ ,]+", " ".join(called).strip()))
    assert targets
    assert targets <= there


def test_the_layers_of_the_architecture_page_are_those_that_are_enforced() -> None:
    tool = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    (core,) = [
        c for c in tool["importlinter"]["contracts"] if c["name"] == "The layers of the core"
    ]
    depth = {name: n for n, layer in enumerate(core["layers"]) for name in layer.split(" | ")}
    text = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
    rows = text.partition("| layer, from the top |")[2].partition("\n\n")[0].splitlines()[2:]
    shown = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(shown) == sorted(depth)
    assert [depth[name] for name in shown] == sorted(depth[name] for name in shown)
    folder = REPOSITORY / "oxen_inference"
    there = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}  # fmt: skip
    assert there - {"__init__"} == depth.keys()


def test_the_architecture_page_names_modules_that_exist() -> None:
    """Of a paid request, of a chat message, and of where to change what."""
    text = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:chat|catalog|ledger|media|oxen_sandbox|langchain_oxen|llama_index_oxen)\.\w+)", text))  # fmt: skip
    assert len(named) > 20
    for name in named:
        packages = ["", "oxen_inference/"]
        path = name.replace(".", "/")
        assert any((REPOSITORY / f"{where}{path}.py").is_file() for where in packages), name
