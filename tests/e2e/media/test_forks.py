"""A forked child pays and waits like any process, whatever threads of the parent were doing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from oxen_inference import ConfigurationError, Ledger, MediaResult, OxenClient, locks
from tests.e2e.media.calls import QUICK
from tests.support.bad_hub import BadHub


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_of_a_busy_parent_never_hangs(hub: BadHub, tmp_path: Path) -> None:
    # In a process of its own: here, threads of other tests may hold what is not ours.
    code = f"from {__name__} import pay_in_a_child; pay_in_a_child({hub.base_url!r}, {str(tmp_path)!r})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=170)
    assert hub.posts == {"before": 1, "child": 1}


def pay_in_a_child(base_url: str, folder: str) -> None:
    client = OxenClient(
        api_key="k", base_url=base_url, ledger=Ledger(Path(folder) / "ledger.sqlite3"), timeout=60
    )
    client.media.pace = QUICK
    client.media.generate(model="bad-image", prompt="before", key="before")
    held, go = threading.Event(), threading.Event()

    def hold_every_lock() -> None:
        taken = [lock for lock in list(locks._locks) if lock._lock.acquire(timeout=1)]
        held.set()
        go.wait(30)
        for lock in taken:
            lock._lock.release()

    holder = threading.Thread(target=hold_every_lock)
    holder.start()
    held.wait()
    child = os.fork()
    if child == 0:
        try:
            client.media.generate(model="bad-image", prompt="child", key="c", timeout=100)
            os._exit(0)
        finally:
            os._exit(1)
    go.set()
    holder.join()
    _check_ended_well(child)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_run_over_many_requests_stays_with_its_process(hub: BadHub, tmp_path: Path) -> None:
    """A child that goes on with its parent's run is told so, and takes nothing away from it."""
    code = (
        f"from {__name__} import fork_in_a_run; fork_in_a_run({hub.base_url!r}, {str(tmp_path)!r})"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=170)
    assert hub.posts == {"a": 1, "b": 1, "c": 1}


def fork_in_a_run(base_url: str, folder: str) -> None:
    client = OxenClient(
        api_key="k", base_url=base_url, ledger=Ledger(Path(folder) / "ledger.sqlite3"), timeout=60
    )
    client.media.pace = QUICK
    requests = [{"model": "bad-image", "prompt": prompt, "key": prompt} for prompt in "abc"]
    results = iter(client.media.generate_as_completed(requests, max_in_flight=2))
    made = [next(results)]
    child = os.fork()
    if child == 0:
        try:
            next(results)
        except ConfigurationError as error:
            os._exit(0 if error.hint else 2)
        finally:
            os._exit(1)
    made.extend(results)
    assert all(isinstance(each, MediaResult) for _, each in made)
    _check_ended_well(child)


def _check_ended_well(child: int) -> None:
    until = time.monotonic() + 120
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < until:
        time.sleep(0.05)
    if ended[0] == 0:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert ended == (child, 0)
