"""Unit tests open no sockets; one that tries fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_socket import disable_socket, enable_socket

from oxen_inference import Ledger
from tests.support.databases import emptied


@pytest.fixture(autouse=True)
def no_sockets() -> object:
    # Unix sockets stay: an event loop needs a pair of them.
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture
def file(tmp_path: Path) -> Ledger:
    """A ledger in a file that is not there yet."""
    return Ledger(tmp_path / "state" / "ledger.sqlite3")


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """An empty ledger, on one database and then on the other."""
    if request.param == "sqlite":
        yield request.getfixturevalue("file")
    else:
        ledger = Ledger(emptied(request.getfixturevalue("postgres")))
        yield ledger
        ledger.close()
