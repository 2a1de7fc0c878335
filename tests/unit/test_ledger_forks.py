"""A child that is forked while threads use a ledger's SQLite file uses it safely, and at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from oxen_inference import Ledger
from oxen_inference.ledger import forks
from tests.support.databases import sql
from tests.support.forks import exit_status, fork

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.mark.parametrize("scenario", ["fork_in_a_transaction", "fork_with_a_connection"])
def test_afork(tmp_path: Path, scenario: str) -> None:
    # In a process of its own: here, threads of other tests may hold what is not ours.
    code = f"from {__name__} import {scenario}; {scenario}({str(tmp_path / 'ledger.sqlite3')!r})"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def fork_in_a_transaction(path: str) -> None:
    """A transaction of another thread ends before the fork, or the child would find it open."""
    ledger = Ledger(path)
    inside, is_over = threading.Event(), threading.Event()

    def write() -> None:
        with ledger.database.writing():
            inside.set()
            while not forks._gate._forking:  # until the fork waits for this transaction
                time.sleep(0.01)
            is_over.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert inside.wait(60)
    child = fork(lambda: sql(ledger, "INSERT INTO oxen_budgets VALUES ('child', 1, 0, 0)"))
    assert is_over.is_set()
    thread.join()
    assert exit_status(child) == 0
    assert "child" in ledger.budgets()


def fork_with_a_connection(path: str) -> None:
    """The child takes locks of its own: while it reads, its parent is not the file's last user."""
    ledger = Ledger(path)
    assert ledger.budgets() == {}
    is_reading, may_end = os.pipe(), os.pipe()

    def read() -> None:
        with ledger.database.reading() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM oxen_budgets")
            os.write(is_reading[1], b".")
            os.read(may_end[0], 1)

    child = fork(read)
    assert os.read(is_reading[0], 1) == b"."
    sql(ledger, "INSERT INTO oxen_budgets VALUES ('parent', 1, 0, 0)")
    ledger.close()
    # The last user of a file removes its log.
    assert Path(f"{path}-wal").exists()
    os.write(may_end[1], b".")
    assert exit_status(child) == 0
    assert "parent" in ledger.budgets()
