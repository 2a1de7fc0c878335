"""The fuzz targets for minutes, at examples that nobody has drawn before: OXEN_FUZZ_SECONDS=3600 for an hour."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.conftest import REPOSITORY

SECONDS = float(os.environ.get("OXEN_FUZZ_SECONDS", "120"))
EXAMPLES = 1000
"""Of each target, in one turn."""


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 900)
def test_every_reader_for_a_while() -> None:
    environment = {"HYPOTHESIS_PROFILE": "random", "HYPOTHESIS_EXAMPLES": str(EXAMPLES)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/unit/test_fuzz.py",
    ]
    end, turns = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        done = subprocess.run(
            command, cwd=REPOSITORY, env=os.environ | environment, check=False, capture_output=True,
            text=True, timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:]
        turns += 1
    print(f"{turns} turns of {EXAMPLES:,} examples of each target")
