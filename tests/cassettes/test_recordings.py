"""The cassettes themselves: each has a test, says where it comes from, and holds no secret."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import REPOSITORY

CASSETTES = REPOSITORY / "cassettes"


def recordings() -> list[Path]:
    return sorted(CASSETTES.rglob("*.yaml"))


def test_every_cassette_belongs_to_a_test() -> None:
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", str(Path(__file__).parent)],
        capture_output=True, text=True, check=True, cwd=REPOSITORY,
    ).stdout  # fmt: skip
    wanted = {
        f"{module}/{test.replace('::', '.')}.yaml"
        for module, test in re.findall(r"^\S*/test_(\w+)\.py::(\S.*)$", collected, re.MULTILINE)
    }
    orphans = [
        path for path in recordings() if path.relative_to(CASSETTES).as_posix() not in wanted
    ]
    assert recordings(), "there are no cassettes at all"
    assert not orphans, f"no test plays these; delete them: {orphans}"


def test_every_cassette_says_where_it_was_recorded() -> None:
    for path in recordings():
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert document["recorded_from"] in ("sandbox", "hub"), path
        assert document["note"].startswith("Recorded on"), path
        assert document["interactions"], path


def test_no_cassette_holds_a_key_or_an_address_of_the_machine() -> None:
    secrets = re.compile(
        r"authorization|bearer |sk-[a-z0-9]{8}|127\.0\.0\.1|localhost:", re.IGNORECASE
    )
    for path in recordings():
        found = secrets.search(path.read_text(encoding="utf-8"))
        assert not found, f"{path}: {found}"
