"""`python -m oxen_inference`: the ledger in a terminal, JSON for programs, and leaving early."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table
from rich.text import Text

from oxen_inference import OxenClient
from oxen_inference.cli.main import main
from oxen_inference.cli.output import SafeConsole
from oxen_sandbox import Fault, Sandbox
from tests.support.scripted_server import Hold, ScriptedServer, http

MODEL = "flux-2-dev"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(image_seconds=0.0) as hub:
        monkeypatch.setenv("OXEN_API_KEY", hub.api_key)
        monkeypatch.setenv("OXEN_BASE_URL", hub.base_url)
        yield hub


def test_jobs_show_the_ledger_and_reconcile_updates_it(hub: Sandbox, capsys: Any) -> None:
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


def test_every_list_is_there_as_json(hub: Sandbox, capsys: Any) -> None:
    assert main(["models", "--search", "flux", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert "flux-2-dev" in [row["id"] for row in rows]
    assert all(row["outputs"] for row in rows)
    assert main(["find", "--output", "image", "--cheapest", "--limit", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 2
    assert main(["quote", "flux-2-dev", "prompt=an ox", "seed=7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["params"]["seed"] == 7
    assert main(["quote", "flux-2-dev", "seed=seven"]) == 1
    assert "seed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("generate", MODEL, "an ox"), "a prompt goes after -p: -p 'an ox'"),
        (("generate", MODEL, "--yes", "an ox"), "a prompt goes after -p: -p 'an ox'"),
        (("generate", "-m", MODEL, "-p", "x"), "the model needs no option: {} MODEL"),
        (("generate", MODEL, "-p", "x", "--guidance", "3"), "is --set guidance=3\n"),
        (("generate", MODEL, "-p", "x", "--guidance=3"), "is --set guidance=3\n"),
        (("generate", MODEL, "-p", "x", "--save_to", "y"), "did you mean --save-to?"),
        (("generate", MODEL, "-p", "x", "-o", "y"), "results go to --save-to FOLDER"),
        (("quote", MODEL, "an ox"), "a prompt is given as 'prompt=an ox'"),
        (("quote", MODEL, "-p", "an ox"), "is --set 'prompt=an ox'"),
        (("models", "claude"), "did you mean --search claude?"),
        (("models", "flux", "pro"), "did you mean --search 'flux pro'?"),
        (("models", "--base-url", "x"), "--base-url goes before the command"),
        (("jobs", "herd"), "--key-prefix herd lists by key, and `fetch herd` gets a result"),
        (("doctor", "x"), "`{} --help` lists what it takes"),
        (("ledger", "copy", "a", "b", "c"), "`{} --help` lists what it takes"),
    ],
)
def test_an_unknown_argument_gets_the_usage_of_its_command_and_a_hint(
    capsys: Any, arguments: tuple[str, ...], hint: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    printed = capsys.readouterr().err
    name = "ledger copy" if arguments[0] == "ledger" else arguments[0]
    command = re.match(r"usage: (.*?) \[-h\]", printed)
    assert end.value.code == 2
    assert command
    assert command[1].endswith(f" {name}")
    assert hint.format(command[1]) in printed


def test_parameters_are_taken_in_every_form(hub: Sandbox, capsys: Any) -> None:
    for given in (
        ("quote", MODEL, "seed=7", "-n", "2"), ("quote", MODEL, "--set", "seed=7", "-n", "2"),
        ("quote", "--json", MODEL, "--set", "seed=7", "num_generations=2"),
    ):  # fmt: skip
        assert main([*given, "--json"]) == 0
        quote = json.loads(capsys.readouterr().out)
        assert (quote["params"], quote["high"]) == ({"seed": 7, "num_generations": 2}, "0.026")


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_exits_with_130(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_pipe_that_is_closed_early_is_not_an_error(hub: Sandbox, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "oxen_inference", "models", "--json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


ESCAPES = "\x1b[2J\x1b]0;title\x07\x9b2J\u202ename"


def test_control_characters_of_a_hub_are_shown_as_text(
    monkeypatch: pytest.MonkeyPatch, capfd: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("OXEN_API_KEY", "key-12345678")
    monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path))
    model = {
        "id": f"ox{ESCAPES}",
        "display_name": ESCAPES,
        "description": ESCAPES,
        "summary": ESCAPES,
        "developer": ESCAPES,
        "capabilities": {"input": ["text"], "output": ["image"]},
        "pricing": {"method": "per_image", "cost_per_image": "0.05"},
        "request_schema": {"properties": {"size": {"type": "string", "default": ESCAPES}}},
    }
    job = {"generation_id": "gen-1", "status": "failed", "error_message": ESCAPES}
    with ScriptedServer(http({"data": [model]})) as server:
        monkeypatch.setenv("OXEN_BASE_URL", server.url)
        ran = [main(["models"]), main(["find", "image"]), main(["models", "--json"])]
        ran += [main(["find", "image", "--json"])]
    with ScriptedServer(http(model)) as server:
        monkeypatch.setenv("OXEN_BASE_URL", server.url)
        ran += [main(["quote", model["id"]]), main(["quote", model["id"], "--json"])]
    with ScriptedServer(http({"generation": job} | job)) as server:
        monkeypatch.setenv("OXEN_BASE_URL", server.url)
        ran += [main(["fetch", f"{ESCAPES}"]), main(["jobs"]), main(["jobs", "--json"])]
    with ScriptedServer(http({"error": ESCAPES}, status="400 Bad Request")) as server:
        monkeypatch.setenv("OXEN_BASE_URL", server.url)
        assert main(["models"]) == 1
    out, err = capfd.readouterr()
    assert ran == [0] * 6 + [1, 0, 0], err
    assert "title" in out
    assert "title" in err
    assert re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", out + err) == []


def test_colors_reach_a_terminal_and_control_characters_do_not() -> None:
    file = io.StringIO()
    console = SafeConsole(file=file, force_terminal=True, color_system="standard", width=80)
    table = Table("name")
    table.add_row(Text(ESCAPES, style="red"))
    console.print(table)
    console.print(Text(ESCAPES, style="red"))
    printed = file.getvalue()
    assert "\x1b[31m" in printed
    assert "\\x1b[2J\\x1b]0;title\\x9b2J\\u202ename" in printed
    assert not re.search("\x1b\\[2J|\x1b]|\x07|\x9b|\u202e", printed)
