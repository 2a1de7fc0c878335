"""The proofs run on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import emptied


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a ledger is to be: a file of this test, or a database that is empty."""
    if request.param == "sqlite":
        yield str(tmp_path / "ledger.sqlite3")
    else:
        yield emptied(request.getfixturevalue("postgres"))
