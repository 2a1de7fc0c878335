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
