"""`oxen-inference generate`: whose run it is, what it checks first, and what it says of failures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from operator import itemgetter
from pathlib import Path

import pytest

from oxen_inference.cli.generate.results import ResultsFile
from oxen_inference.cli.generate.state import held
from oxen_inference.media import api
from oxen_inference.media.pace import Pace
from oxen_sandbox import Fault, Sandbox
from tests.e2e.test_generate_command import MODEL, Terminal, hub, manifest, rows, terminal

__all__ = ["hub", "terminal"]


def test_a_row_added_to_a_finished_run_is_all_that_is_bought(
    hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    source, out = tmp_path / "p.jsonl", tmp_path / "out"
    asked = ("generate", MODEL, "--from", source, "--save-to", out, "--yes")
    manifest(source, '"a"', '"b"')
    assert terminal(*asked)[0] == 0
    manifest(source, '"a"', '"c"', '"b"')
    planned = f"3 × {MODEL}: 2 of 3 already made; $0.013 for the rest"
    assert terminal(*asked, "--dry-run")[1] == f"{planned}; nothing was sent\n"
    shown = json.loads(terminal(*asked, "--dry-run", "--json")[1])
    assert (shown["already_made"], shown["high"]) == (2, "0.013")
    status, printed, errors = terminal(*asked)
    assert (status, errors) == (0, f"{planned}\n")
    assert printed.startswith("3 images made (1 bought by this process), $0.039; ")
    assert len(hub.jobs) == 3
    assert sorted((row["row"], row["prompt"]) for row in rows(out)) == [
        (1, "a"),
        (2, "c"),
        (3, "b"),
    ]
    assert len((out / "results-1.jsonl").read_text("utf-8").splitlines()) == 2
    begun = json.loads((out / ".results.jsonl.run").read_text("utf-8"))["run"]
    assert begun.startswith("p-20")  # after its manifest and the day
    assert f"note: --run {begun} goes on" in terminal(*asked, "--new", "--dry-run")[2]
    (out / ".results.jsonl.run").write_text("{", encoding="utf-8")
    status, _, errors = terminal(*asked)
    assert status == 2  # a new run would pay again
    assert "--run NAME" in errors
    assert len(hub.jobs) == 3


def downloads(hub: Sandbox) -> int:
    return sum(each.method == "GET" and "/files/" in each.path for each in hub.requests)


def test_machines_that_name_one_run_pay_once_and_from_one_budget(
    hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    source = manifest(tmp_path / "p.jsonl", '"a"', '"b"')
    named = ("generate", MODEL, "--from", source, "--yes", "--run", "herd")
    for folder in ("one", "two", "one"):
        assert terminal(*named, "--save-to", tmp_path / folder, "--budget", "1")[0] == 0
        assert len(list((tmp_path / folder).glob("*.webp"))) == 2
        shutil.rmtree(tmp_path / "one", ignore_errors=True)  # a lost folder pays nothing again
    assert len(hub.jobs) == 2
    assert downloads(hub) == 6  # three folders
    shared = (*named, "--save-to", tmp_path / "two", "--results", tmp_path / "another.jsonl")
    assert terminal(*shared)[0] == 0
    (shown, other) = (
        (tmp_path / name).read_text("utf-8") for name in ("two/results.jsonl", "another.jsonl")
    )
    assert (sorted(other.splitlines()), downloads(hub)) == (sorted(shown.splitlines()), 6)
    herd = ("generate", MODEL, "--yes", "--save-to", tmp_path, "--new", "-p")
    assert terminal(*herd, "c", "--budget", "herd=0.02")[0] == 0
    status, _, errors = terminal(*herd, "d", "--budget", "herd=0.02", "--results", tmp_path / "r")
    assert status == 3
    assert "larger --budget" not in errors  # which another limit of a shared one is not
    assert errors.splitlines()[-1].startswith(
        "to go on: `oxen-inference budgets --change herd=USD` raises the budget for all; then run "
        "the same command with --budget herd; "
    )
    status, _, errors = terminal(*herd, "d", "--budget", "herd=5")
    assert status == 2
    assert "Give --budget herd, which takes it as it is" in errors
    assert terminal(*herd, "d", "--budget", "herd")[0] == 3
    assert terminal("budgets", "--change", "herd=5")[0] == 0
    assert terminal(*herd, "d", "--budget", "herd")[0] == 0
    for unknown in ("cattle", "5,00"):
        status, _, errors = terminal(*herd, "e", "--budget", unknown)
        assert (status, "--budget NAME=USD makes one. An amount" in errors) == (2, True)
    assert terminal("budgets", "--change", "cattle=5")[0] == 1
    budgets = json.loads(terminal("budgets", "--json")[1])
    assert [(each["name"], each["spent"]) for each in budgets] == [
        ("herd", "0.026"), ("run-herd", "0.026"),
    ]  # fmt: skip
    for wrong in (("--run", "a b"), ("--run", "a", "--new"), ("--budget", "=5"), ("--budget", "")):
        with pytest.raises(SystemExit, match="2"):
            terminal("generate", MODEL, "-p", "a", *wrong)


def test_two_processes_do_not_write_one_results_file(
    hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    asked = ("generate", MODEL, "-p", "a", "-p", "b", "--save-to", str(tmp_path), "--yes")
    with held(tmp_path / "results.jsonl"):
        status, _, errors = terminal(*asked)
    assert status == 2
    assert "is being written by another process" in errors
    assert hub.jobs == []


@pytest.mark.slow
def test_two_processes_that_start_at_once_make_one_run(hub: Sandbox, tmp_path: Path) -> None:
    asked = ("generate", MODEL, "-p", "a", "-p", "b", "--save-to", str(tmp_path), "--yes")
    command = [sys.executable, "-m", "oxen_inference", *asked]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    ended = [each.communicate(timeout=120)[1] and each.returncode for each in both]
    assert 0 in ended
    assert set(ended) <= {0, 2}
    assert len(hub.jobs) == 2


def test_a_dry_run_finds_what_would_fail(hub: Sandbox, terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong, words in (
        (("--name", "{nr}"), "--name '{nr}' cannot be used"),
        (("--model-of", "gpt-4o"), "gpt-4o makes text, not images"),
        (("--save-to", tmp_path / "file"), "--save-to must be a folder"),
        (("--save-to", tmp_path / "file" / "below"), "--save-to must be a folder"),
        (("--results", tmp_path), "--results names a file"),
        (("--save-to", "nosuchstore://bucket"), "--save-to nosuchstore://bucket cannot be used"),
        (("--set", "seed=ox"), "seed"),
    ):  # fmt: skip
        model = wrong[1] if wrong[0] == "--model-of" else MODEL
        more = () if wrong[0] == "--model-of" else wrong
        for last in ("--dry-run", "--yes"):
            status, _, errors = terminal("generate", model, "-p", "an ox", *more, last)
            assert (status, words in errors) == (2, True), (wrong, last, errors)
    asked = ("generate", MODEL, "-p", "an ox", "--save-to", tmp_path / "out")
    for limit, expected, words in (
        (("--budget", "0.01"), 3, "the budget has $0.01 left, and this may cost $0.013"),
        (
            ("--max-cost", "0.01"), 2,
            "1 request above --max-cost: not sent, since each may cost $0.013",
        ),
    ):  # fmt: skip
        assert json.loads(terminal(*asked, *limit, "--dry-run", "--json")[1])["status"] == expected
        status, printed, errors = terminal(*asked, *limit, "--dry-run")
        assert (status, words in errors) == (expected, True), (limit, errors)
        assert terminal(*asked, *limit, "--yes")[0] == expected
    assert printed == f"1 × {MODEL}: above --max-cost; nothing was sent\n"
    source = manifest(tmp_path / "p.jsonl", '"a"', {"prompt": "b", "num_generations": 2})
    asked = ("generate", MODEL, "--from", source, "--max-cost", "0.02", "--dry-run")
    assert terminal(*asked)[:2] == (1, f"3 × {MODEL}: $0.013; nothing was sent\n")
    assert hub.jobs == []


def test_nothing_accepted_has_a_status_of_its_own(
    hub: Sandbox, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("generate", MODEL, *(12 * ("-p", "ox")), "--save-to", tmp_path, "--yes")
    for name, value in (
        ("OXEN_LEDGER_URL", f"sqlite:///{tmp_path / 'no' / 'folder'}"),
        ("OXEN_API_KEY", "wrong"),
        ("OXEN_BASE_URL", "http://127.0.0.1:9/api/ai"),
    ):
        with monkeypatch.context() as environment:
            environment.setenv(name, value)
            status, _, errors = terminal(*asked)
        assert (status, "Traceback" in errors) == (2, False), (name, errors)
    hub.inject(Fault("respond", status=401, method="POST", path="*/queue", times=None))
    status, printed, errors = terminal(*asked, "--json", "--max-in-flight", 1)
    summary = json.loads(printed)
    assert (status, summary["failed"], summary["not_sent"]) == (2, 10, 2), summary
    last = max(rows(tmp_path), key=lambda row: row["row"])
    assert (last["row"], last["status"], last["prompt"], last["model"]) == (
        12, "not_sent", "ox", MODEL,
    )  # fmt: skip
    assert "Stopped after 10 equal failures" in last["error"]["message"]
    assert hub.jobs == []


def test_the_terminal_says_why_and_what_helps(
    hub: Sandbox, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "Pace", partial(Pace, download_pause=0.01, late_file=0.0, lookup=0.05))
    asked = ("generate", MODEL, "-p", "a", "-p", "b", "--yes", "--save-to")
    for fault, words, help_is in (
        (Fault("fail_job", message="A worker died.", times=2), "A worker died", "--attempts 2 buys"),
        (Fault("fail_job", message="Flagged by content moderation.", times=2), "moderation", "fix"),
        (Fault("respond", status=400, method="POST", path="*/queue", times=2), "BadRequestError", "fix"),
        (Fault("respond", status=500, method="POST", path="*/queue", times=2), "EnqueueOutcomeUnknown",
         "2 requests of unknown outcome: `oxen-inference reconcile`"),
        (Fault("respond", status=404, method="GET", path="*/files/*", times=None),
         "paid for but not saved: rows 1, 2", "run the same command again"),
    ):  # fmt: skip
        hub.inject(fault)
        _, _, errors = terminal(*asked, tmp_path / words)
        assert words in errors, errors
        assert "2 × " in errors
        assert errors.splitlines()[-1].startswith(help_is), errors
        assert "client." not in errors


def test_going_on_loses_no_row(
    hub: Sandbox, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "Pace", partial(Pace, download_pause=0.01, late_file=0.0))
    asked = ("generate", MODEL, "-p", "a", "-p", "b", "-p", "c", "--save-to", tmp_path, "--yes")
    assert terminal(*asked)[0] == 0
    file = tmp_path / "results.jsonl"
    finished = file.read_bytes()
    assert terminal(*asked, "--max-in-flight", 0)[0] == 2
    assert file.read_bytes() == finished
    assert terminal(*asked)[0] == 0
    assert file.read_bytes() == finished

    lines = sorted(finished.splitlines(keepends=True))
    half, stale = lines[2][:40], lines[1].replace(b'"made"', b'"not_sent"')
    file.write_bytes(stale + lines[0] + half)  # what a killed process may leave
    assert terminal(*asked)[0] == 0
    assert sorted(file.read_bytes().splitlines(keepends=True)) == lines

    # Later, nothing can be fetched, and the rows that are there tell so once.
    for row in rows(tmp_path):
        Path(row["files"][0]).unlink()
    hub.inject(Fault("respond", status=404, method="GET", path="*/files/*", times=None))
    assert terminal(*asked)[0] == 1
    assert [(row["row"], row["status"]) for row in sorted(rows(tmp_path), key=itemgetter("row"))] == [
        (1, "failed"), (2, "failed"), (3, "failed"),
    ]  # fmt: skip

    file.write_text("mine\n", encoding="utf-8")
    assert terminal(*asked)[0] == 1
    assert (tmp_path / "results-1.jsonl").read_text(encoding="utf-8") == "mine\n"
    assert (len(rows(tmp_path)), len(hub.jobs)) == (3, 3)


def test_a_row_that_was_not_reached_replaces_none(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    made, reached = {"row": 1, "entry_id": "e"}, {"row": 2, "entry_id": "f"}
    for added in ([made, {"row": 2, "entry_id": None}], [{"row": 1, "entry_id": None}, reached]):
        with ResultsFile(path, goes_on=True) as file:
            for row in added:
                file.add(row)
    assert rows(tmp_path) == [made, reached]


def test_a_file_url_is_its_folder(hub: Sandbox, terminal: Terminal, tmp_path: Path) -> None:
    url = f"file://{tmp_path / 'out'}"
    assert terminal("generate", MODEL, "-p", "a", "--save-to", url, "--yes")[0] == 0
    (row,) = rows(tmp_path / "out")
    assert Path(row["files"][0]).parent == tmp_path / "out"
    printed = terminal("fetch", row["generation_ids"][0], "--save-to", f"file://{tmp_path}")[1]
    assert printed.startswith(f"saved {tmp_path}")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_leaves_rows_out_and_loses_nothing(
    hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    asked = ("generate", MODEL, "-p", "a", "-p", "b", "--save-to", tmp_path, "--yes")
    assert terminal(*asked)[0] == 0
    (tmp_path / "results.jsonl").unlink()
    (tmp_path / "results.jsonl").symlink_to("/dev/full")
    status, _, errors = terminal(*asked)
    assert status == 1
    assert "results.jsonl lacks 2 rows (No space left on device)" in errors
    (tmp_path / "results.jsonl").unlink()
    assert terminal(*asked)[0] == 0
    assert len(rows(tmp_path)) == len(hub.jobs) == 2
    begins = tmp_path / "new" / ".results.jsonl.part"  # where the run is named, before it pays
    begins.parent.mkdir()
    begins.symlink_to("/dev/full")
    status, _, errors = terminal("generate", MODEL, "-p", "c", "--save-to", begins.parent, "--yes")
    assert (status, len(hub.jobs)) == (2, 2)
    assert "cannot be written: No space left on device. Nothing was sent." in errors
    (tmp_path / ".results.jsonl.part").symlink_to("/dev/full")
    status, _, errors = terminal(*asked)
    name = errors.partition("With --run ")[2].partition(" ")[0]
    assert terminal(*asked, "--save-to", tmp_path / "there", "--run", name)[0] == 0
    assert (len(rows(tmp_path / "there")), len(hub.jobs)) == (2, 2)


def test_a_request_that_partly_failed_is_not_made(
    hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    hub.inject(Fault("fail_job", message="A worker died.", times=3))
    asked = ("generate", MODEL, "-p", "a", "-n", 4, "--save-to", tmp_path, "--yes")
    status, printed, errors = terminal(*asked)
    assert (status, "1 image made, 1 request partly failed, $0.013" in printed) == (1, True)
    assert "3 of 4 generations failed: A worker died." in errors
    (row,) = rows(tmp_path)
    assert (row["status"], len(row["files"])) == ("partial", 1)
    assert [len(row[name]) for name in ("generation_ids", "seeds")] == [1, 1]
    assert "A worker died." in row["error"]["message"]
    status, printed, _ = terminal(*asked, "--json")
    assert (status, json.loads(printed)["made"], len(hub.jobs)) == (1, 1, 4)
