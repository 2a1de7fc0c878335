"""`python -m oxen_inference`: the ledger in a terminal, JSON for programs, and leaving early."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import OxenClient
from oxen_inference.__main__ import main
from oxen_sandbox import Fault, Sandbox
from tests.support.scripted_server import Hold, ScriptedServer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(image_seconds=0.0) as hub:
        monkeypatch.setenv("OXEN_API_KEY", hub.api_key)
        monkeypatch.setenv("OXEN_BASE_URL", hub.base_url)
        yield hub


def test_the_ledger_is_shown_as_it_is_and_brought_up_to_date(hub: Sandbox, capsys: Any) -> None:
    assert main(["jobs"]) == 0
    assert "no jobs" in capsys.readouterr().out
    with OxenClient() as client:
        handle = client.media.submit(model="flux-2-dev", prompt="an ox", key="[bold]dawn")
        hub.inject(Fault("respond", status=402, method="POST", path="*/queue"))
        with pytest.raises(Exception, match="Something went wrong"):
            client.media.submit(model="flux-2-dev", prompt="no ox")
    sent = len(hub.requests)
    assert main(["jobs"]) == 0
    shown = capsys.readouterr().out
    assert handle.generation_ids[0] in shown
    assert "[bold]dawn" in shown
    assert "rejected" in shown
    assert main(["jobs", "--json"]) == 0
    refused, bought = json.loads(capsys.readouterr().out)
    assert (refused["state"], refused["error"]["status_code"], refused["cost"]) == (
        "rejected",
        402,
        None,
    )
    assert (bought["state"], bought["statuses"], bought["cost"]) == ("accepted", ["queued"], None)
    assert bought["generation_ids"] == list(handle.generation_ids)
    assert len(hub.requests) == sent  # the ledger is here
    assert main(["reconcile", "--json"]) == 0
    (settled,) = json.loads(capsys.readouterr().out)
    assert (settled["statuses"], settled["cost"], settled["key"]) == (
        ["succeeded"],
        "0.013",
        "[bold]dawn",
    )
    assert main(["jobs"]) == 0
    assert "$0.013" in capsys.readouterr().out


def test_what_is_listed_for_people_is_there_for_programs(hub: Sandbox, capsys: Any) -> None:
    assert main(["models", "--search", "flux", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert "flux-2-dev" in [row["id"] for row in rows]
    assert all(row["outputs"] for row in rows)
    assert main(["find", "cheapest", "image", "--limit", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 2
    assert main(["quote", "flux-2-dev", "prompt=an ox", "seed=7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["params"]["seed"] == 7
    assert main(["quote", "flux-2-dev", "seed=seven"]) == 1
    assert "seed" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_ends_it_as_shells_expect(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXEN_API_KEY", "k")
    with ScriptedServer([Hold()]) as server:

        def interrupt() -> None:
            while not server.requests:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        # A test run in the background of a shell inherits that Ctrl-C is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=interrupt).start()
        assert main(["--base-url", server.url, "models"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_a_pipe_that_is_closed_early_is_no_error(hub: Sandbox, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "oxen_inference", "models", "--json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
