"""`oxen-inference generate`: checked, priced, confirmed, made, written down and resumed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Budget, OxenClient, progress_bar
from oxen_inference.cli.main import main
from oxen_sandbox import Fault, Sandbox

MODEL = "flux-2-dev"
Terminal = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(image_seconds=0.05) as hub:
        monkeypatch.setenv("OXEN_BASE_URL", hub.base_url)
        monkeypatch.setenv("OXEN_API_KEY", hub.api_key)
        monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path / "state"))
        yield hub


@pytest.fixture
def terminal(hub: Sandbox, capsys: pytest.CaptureFixture[str]) -> Terminal:
    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([str(each) for each in arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def manifest(path: Path, *lines: object) -> Path:
    written = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("\n".join(written) + "\n", encoding="utf-8")
    return path


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_prompts_are_made_and_written_down(
    hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    status, printed, _ = terminal(
        "generate", MODEL, "-p", "an ox", "-p", "a calf", "--save-to", out, "--yes",
        "--name", "{index:03}-{prompt}",
    )  # fmt: skip
    assert status == 0
    assert "2 images made, $0.026; " in printed
    found = sorted(rows(out), key=lambda row: row["row"])
    assert [(row["row"], row["prompt"], row["error"]) for row in found] == [
        (1, "an ox", None), (2, "a calf", None),
    ]  # fmt: skip
    assert [Path(row["files"][0]).stem for row in found] == ["001-an-ox", "002-a-calf"]
    assert all(Path(name).is_file() for row in found for name in row["files"])
    assert sum(Decimal(row["cost"]) for row in found) == sum(c.cost or 0 for c in hub.charges)


def test_parameters_and_the_prompt_are_taken_without_options(
    hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    asked = ("generate", MODEL, "prompt=an ox = a bull", "--save-to", tmp_path, "--yes", "seed=7")
    assert terminal(*asked, "num_generations=2")[0] == 0
    (row,) = rows(tmp_path)
    assert (row["prompt"], len(row["files"])) == ("an ox = a bull", 2)
    assert [job.params["seed"] for job in hub.jobs] == [7, 7]
    source = manifest(tmp_path / "p.jsonl", {"prompt": "a", "model": MODEL})
    asked = ("generate", "seed=8", "--from", source, "--save-to", tmp_path, "--yes")
    assert terminal(*asked)[0] == 0
    assert hub.jobs[-1].params["seed"] == 8


def test_a_log_says_how_far_a_run_is(
    hub: Sandbox, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_bar, "_FIRST_LINE", 0.0)
    asked = ("generate", MODEL, "-p", "an ox", "-p", "a calf", "--save-to", tmp_path, "--yes")
    assert terminal(*asked)[2].endswith("\n2 of 2 done, $0.026 spent\n")
    status, printed, errors = terminal(*asked, "--new", "--json")
    assert (status, json.loads(printed)["made"], errors) == (0, 2, "")


def test_nothing_is_sent_without_a_yes(hub: Sandbox, terminal: Terminal, tmp_path: Path) -> None:
    asked = ("generate", MODEL, "-p", "an ox", "--save-to", tmp_path / "out")
    assert terminal(*asked, "--dry-run")[:2] == (0, f"1 × {MODEL}: $0.013; nothing was sent\n")
    status, _, printed = terminal(*asked)  # stdin is no person
    assert status == 2
    assert "pass --yes" in printed
    assert hub.jobs == []
    assert not (tmp_path / "out").exists()


def test_every_bad_line_is_named_before_anything_is_sent(
    hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    source = manifest(
        tmp_path / "p.jsonl", {"prompt": "good"}, {"prompt": "b", "wdth": 3}, "{", "5",
        {"prompt": "n", "num_generations": 9}, {"prompt": "m", "model": "no-such-model"}, None,
    )  # fmt: skip
    status, _, printed = terminal("generate", MODEL, "--from", source, "--yes")
    assert status == 2
    assert [f"line {n}:" in printed for n in range(1, 8)] == [False, *[True] * 6]
    assert "line 7: it is null\n  each line is JSON: an object, or a text in quotes" in printed
    assert hub.jobs == []


def test_every_bad_key_is_named_before_anything_is_sent(
    hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    source = manifest(
        tmp_path / "p.jsonl",
        {"prompt": "a", "key": "k"}, {"prompt": "a", "key": "k"}, {"prompt": "a", "key": "K"},
        *({"prompt": "a", "key": key} for key in (17, "", " ", "é" * 501, ["k"])),
        {"prompt": "b", "key": "k"},
    )  # fmt: skip
    status, _, printed = terminal("generate", MODEL, "--from", source, "--yes")
    assert status == 2
    assert [f"line {n}:" in printed for n in range(1, 10)] == [*[False] * 3, *[True] * 6]
    assert "line 9: key 'k' is the key of another request, too" in printed
    assert hub.jobs == []


def test_keys_of_rows_are_looked_up_exactly(
    hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    given = [{"prompt": key[:9], "key": key} for key in ("row-10", "k" * 1_000)]
    asked = ("generate", MODEL, "--save-to", tmp_path, "--dry-run", "--from")
    made = manifest(tmp_path / "p.jsonl", *given)
    assert terminal(*asked[:4], "--yes", "--from", made)[0] == 0
    more = manifest(tmp_path / "q.jsonl", *given, {"prompt": "c", "key": "row-1"})
    assert "2 of 3 already made; $0.013 for the rest" in terminal(*asked, more)[1]
    others = manifest(tmp_path / "r.jsonl", {"prompt": "other", "key": "row-10"}, *given)
    status, _, printed = terminal(*asked, others)
    assert status == 2
    assert "key 'row-10' stands for another request in the ledger" in printed


def test_a_finished_run_is_made_again_only_when_told_to(
    hub: Sandbox, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = manifest(
        tmp_path / "p.jsonl", {"prompt": "a", "num_generations": 2}, '"b"', {"prompt": "a"}
    )
    asked = ("generate", MODEL, "--from", source, "--save-to", tmp_path / "out", "--yes")
    status, printed, planned = terminal(*asked)
    assert (status, planned) == (0, f"4 × {MODEL}: $0.052\n")
    assert printed.startswith("4 images made, $0.052; ")
    files = sorted((tmp_path / "out").glob("*.webp"))
    with OxenClient() as client:
        Budget("0.01", name="used-up", ledger=client.media.ledger).record("0.02")
    for more in ((), ("--budget", "used-up")):
        status, printed, planned = terminal(*asked, *more)
        assert (status, planned) == (0, f"4 × {MODEL}: already made, nothing is bought\n")
        assert printed.startswith("4 images, already made, nothing is bought; ")
    shown = terminal(*asked, "--dry-run")[1]
    assert shown == f"4 × {MODEL}: already made, nothing is bought; nothing was sent\n"
    summary = json.loads(terminal(*asked, "--json")[1])
    assert (summary["already_made"], summary["made"], summary["bought"]) == (True, 4, 0)
    assert len(hub.jobs) == 4
    monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path / "another"))  # whose ledger knows nothing
    assert terminal(*asked, "--dry-run")[1] == f"4 × {MODEL}: $0.052; nothing was sent\n"
    monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path / "state"))
    assert sorted((tmp_path / "out").glob("*.webp")) == files
    assert terminal(*asked, "--new")[0] == 0
    assert len(hub.jobs) == 8
    assert (tmp_path / "out" / "results-1.jsonl").is_file()


def test_a_used_up_budget_stops_and_a_larger_one_goes_on(
    hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    source = manifest(tmp_path / "p.jsonl", *({"prompt": f"ox {n}"} for n in range(8)))
    asked = ("generate", MODEL, "--from", source, "--save-to", tmp_path / "out", "--yes")
    status, printed, errors = terminal(*asked, "--budget", "0.04")
    assert status == 3
    assert "3 images made, 5 requests not sent, $0.039; " in printed
    assert "budget" in errors
    assert len(hub.jobs) == 3
    status, printed, _ = terminal(*asked, "--budget", "1", "--json")
    assert status == 0
    summary = json.loads(printed)
    assert (summary["spent"], summary["made"], summary["bought"]) == ("0.104", 8, 5)
    assert len(hub.jobs) == 8


def test_failures_have_a_status_of_their_own(
    hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    hub.inject(Fault("fail_job", message="Flagged by content moderation.", times=1))
    status, printed, errors = terminal(
        "generate", MODEL, "-p", "a", "-p", "b", "--save-to", tmp_path, "--yes", "--attempts", 2
    )
    assert status == 1
    assert "1 image made, 1 request failed, " in printed
    assert "GenerationFailed" in errors
    (failed,) = [row for row in rows(tmp_path) if row["error"]]
    assert "moderation" in failed["error"]["message"]


def test_a_manifest_from_a_pipe(
    hub: Sandbox, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('"a\u2028b\x85c"\n"d"'))
    assert terminal("generate", MODEL, "--from", "-", "--save-to", tmp_path, "--yes")[0] == 0
    lines = (tmp_path / "results.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
    assert {json.loads(line)["prompt"] for line in lines} == {"a\u2028b\x85c", "d"}


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_detaches_and_the_same_command_goes_on(hub: Sandbox, tmp_path: Path) -> None:
    hub.settings.image_seconds = 0.5
    source = manifest(tmp_path / "p.jsonl", *({"prompt": f"ox {n}"} for n in range(30)))
    command = [
        sys.executable, "-m", "oxen_inference", "generate", MODEL, "--from", str(source),
        "--save-to", str(tmp_path / "out"), "--yes", "--max-in-flight", "4",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        while len(hub.jobs) < 6:
            assert run.poll() is None
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "run the same command again" in errors
    assert "key_prefix" not in errors
    assert "Traceback" not in errors
    assert len(hub.jobs) < 30
    hub.settings.image_seconds = 0.05
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert again.returncode == 0, again.stderr
    assert len(hub.jobs) == 30


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_sigterm_ends_a_run_as_ctrl_c_does(
    hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    hub.settings.image_seconds = 300.0

    def terminate() -> None:
        while not hub.jobs:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        threading.Thread(target=terminate, daemon=True).start()
        asked = ("generate", MODEL, "-p", "a", "--save-to", tmp_path, "--yes", "--timeout", 20)
        status, printed, errors = terminal(*asked)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert status == 143
    assert "1 request not done" in printed
    assert "The same command goes on with them" in errors
    assert "run the same command again to go on" in errors


def test_budgets_and_filters_of_jobs(hub: Sandbox, terminal: Terminal, tmp_path: Path) -> None:
    hub.inject(Fault("fail_job", times=1, message="unlucky"))
    terminal("generate", MODEL, "-p", "a", "-p", "b", "--save-to", tmp_path, "--yes", "--budget", 1)
    (budget,) = json.loads(terminal("budgets", "--json")[1])
    assert (budget["limit"], budget["spent"], budget["reserved"]) == ("1", "0.013", "0.013")
    # Whether a failed job is billed is not known, so its money stays reserved.
    for filters, count in (
        (("--status", "failed"), 1), (("--budget", budget["name"]), 2),
        (("--key-prefix", "run-"), 2), (("--status", "failed", "--key-prefix", "x"), 0),
    ):  # fmt: skip
        assert len(json.loads(terminal("jobs", "--json", *filters)[1])) == count, filters
    status, _, errors = terminal("jobs", "--budget", "no")
    assert (status, budget["name"] in errors) == (1, True)


def test_the_version(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        terminal("--version")
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("oxen-inference ")
