"""`python -m oxen_inference` about paid jobs: what was made, what it cost, and getting it back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Budget, Ledger, OxenClient
from oxen_inference.cli import jobs
from oxen_inference.cli.main import main
from oxen_inference.errors import EnqueueOutcomeUnknown
from oxen_inference.media import api, lost_jobs
from oxen_inference.media.pace import Pace
from oxen_sandbox import Fault, Sandbox
from tests.support.databases import sql

PROMPT = "an ox that stands at dawn in a meadow full of dew, seen from afar"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(image_seconds=0.05) as hub:
        monkeypatch.setenv("OXEN_BASE_URL", hub.base_url)
        monkeypatch.setenv("OXEN_API_KEY", hub.api_key)
        monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path / "state"))
        yield hub


@pytest.fixture
def made(hub: Sandbox, tmp_path: Path) -> Any:
    """A image that was paid for and saved nowhere."""
    path = tmp_path / "state" / "ledger.sqlite3"
    with OxenClient() as client:
        result = client.media.generate(model="flux-2-dev", prompt=PROMPT, key="dawn")
        assert client.media.ledger.path is not None
        assert client.media.ledger.path.parent == path.parent
    return result


Terminal = Callable[..., tuple[int, str, str]]


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def paid(hub: Sandbox) -> int:
    return sum(one.method == "POST" for one in hub.requests)


def test_jobs_show_the_request_and_its_cost(made: Any, terminal: Terminal) -> None:
    status, out, _ = terminal("jobs")
    assert status == 0
    assert "an ox that stands at dawn in a meadow" in out
    assert PROMPT not in out
    assert made.generation_ids[0] in out
    assert f"cost ${made.cost} in all" in out
    _, out, _ = terminal("jobs", "--json")
    (entry,) = json.loads(out)
    assert (entry["prompt"], entry["paths"]) == (PROMPT, [])
    assert entry["urls"] == list(made.urls)


def test_jobs_show_the_reservation_of_an_unknown_cost(
    made: Any, hub: Sandbox, terminal: Terminal
) -> None:
    hub.inject(Fault("stall_job"))
    with OxenClient() as client:
        client.media.submit(model="flux-2-dev", prompt=PROMPT, budget=Budget("1"))
    out = " ".join(terminal("jobs")[1].split())
    assert f"cost ${made.cost} in all, 1 of unknown cost, ${made.cost} reserved" in out
    assert out.endswith("states are those of the last look; `oxen-inference reconcile` asks Oxen")


def test_jobs_show_the_newest_and_fit_the_width(
    made: Any, hub: Sandbox, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_SHOWN_JOBS", 2)
    key = f"thread-{'0' * 60}-call-1"
    with OxenClient() as client:
        for number in range(2):
            newest = client.media.generate(
                model="flux-2-dev", prompt=PROMPT, key=f"{key}{number}", num_generations=2
            )
    for width in ("80", "200"):
        monkeypatch.setenv("COLUMNS", width)
        _, out, _ = terminal("jobs")
        assert max(map(len, out.splitlines())) <= int(width)
        assert all(each in out for each in newest.generation_ids)
        assert made.generation_ids[0] not in out
        assert f"{key[:19]}…{key[-19:]}1" in out
        assert out.endswith("and 1 more: --all lists them; cost $0.065 in all\n")
    for given, count in ((("--all",), 3), (("--limit", "0"), 3), (("--limit", "1"), 1)):
        _, out, _ = terminal("jobs", *given)
        assert out.count("succeeded") == count
        assert len(json.loads(terminal("jobs", *given, "--json")[1])) == count
    assert len(json.loads(terminal("jobs", "--json")[1])) == 3
    with pytest.raises(SystemExit):
        terminal("jobs", "--limit", "-1")


def test_what_cannot_be_reached_has_a_status_of_its_own(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXEN_API_KEY", "key")
    monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("OXEN_BASE_URL", "http://127.0.0.1:9/api/ai")
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the tries
    assert terminal("models")[0] == 3
    (tmp_path / "file").touch()
    monkeypatch.setenv("OXEN_LEDGER_URL", str(tmp_path / "file" / "ledger.sqlite3"))
    for command in (["jobs"], ["budgets"], ["ledger", "setup"], ["reconcile"], ["fetch", "x"]):
        status, _, errors = terminal(*command)
        assert (status, "error: The ledger" in errors) == (3, True), (command, errors)


def test_jobs_of_an_empty_ledger(hub: Sandbox, terminal: Terminal) -> None:
    assert "no jobs of this kind" in terminal("jobs")[1]


def test_jobs_say_why_there_are_none(
    made: Any, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, err = terminal("jobs", "--status", "nonsense")
    assert status == 1
    assert "No job can have the status 'nonsense'" in err
    assert "succeeded" in err
    status, _, err = terminal("jobs", "--budget", "nosuch")
    assert (status, "the ledger has no budget 'nosuch'" in err) == (1, True)
    assert terminal("report", str(made.entry_id), "--budget", "nosuch")[0] == 1
    assert terminal("jobs", "--status", "canceled")[0] == 0
    monkeypatch.setenv("OXEN_API_KEY", "another")
    status, _, err = terminal("jobs")
    assert (status, "1 such jobs of other keys" in err) == (0, True)


def test_budgets_that_somebody_named_come_first(made: Any, terminal: Terminal) -> None:
    with OxenClient() as client:
        ledger = client.media.ledger
        for number in range(12):
            Budget("1", name=f"agent-run:{number:032x}", ledger=ledger).record("0.25", "chat")
        _, out, _ = terminal("budgets")
        assert out == (
            "no budgets with a name in the ledger\n"
            "and 12 budgets of agent runs, $3.00 spent: --all lists them\n"
        )
        Budget("2", name="herd", ledger=ledger)
        Budget("2", name="agent-thread:7", ledger=ledger)
    _, out, _ = terminal("budgets")
    assert ("herd" in out, "agent-thread:7" in out, "agent-run:" in out) == (True, True, False)
    _, out, _ = terminal("budgets", "--all")
    assert out.count("agent-run:") == 12
    assert out.index("herd") < out.index("agent-run:")
    assert len(json.loads(terminal("budgets", "--json")[1])) == 14
    status, _, err = terminal("jobs", "--budget", "nope")
    assert status == 1
    assert "it has 'agent-thread:7', 'herd', 'agent-run:" in err
    assert err.endswith(" and 4 more; `budgets --all` lists them\n")
    assert err.count("agent-run:") == 8


def test_reconcile_fetches_nothing_that_is_stored_elsewhere(
    made: Any, terminal: Terminal, tmp_path: Path
) -> None:
    pytest.importorskip("fsspec")
    with OxenClient() as client:
        client.media.resume("dawn", save_to="memory://dawn/images")
    assert terminal("reconcile", "--save-to", str(tmp_path / "to"))[0] == 0
    assert not list((tmp_path / "to").glob("*.*"))


@pytest.mark.parametrize("command", [("fetch", "dawn"), ("reconcile",)])
def test_what_a_store_has_is_printed(
    command: tuple[str, ...], made: Any, terminal: Terminal
) -> None:
    pytest.importorskip("fsspec")
    status, out, _ = terminal(*command, "--save-to", "memory://dawn/new")
    assert (status, "saved memory://dawn/new/" in out) == (0, True)


def test_reconcile_prints_where_files_were_saved(
    made: Any, terminal: Terminal, tmp_path: Path
) -> None:
    status, out, err = terminal("reconcile", "--save-to", str(tmp_path / "new"))
    (saved,) = (tmp_path / "new").iterdir()
    assert (status, err) == (0, "")
    assert f"saved {saved}\n" in out


def test_requests_of_killed_processes_are_settled_by_hand(
    hub: Sandbox, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "Pace", partial(Pace, lookup=0.01, lookup_interval=0.01))
    with OxenClient() as client:
        ids = [
            client.media.generate(model="flux-2-dev", prompt=PROMPT, key=key).generation_ids[0]
            for key in ("run-1", "run-2")
        ]
        ledger = client.media.ledger
        # As processes that died while they were sending left them.
        sql(ledger, "DELETE FROM oxen_generations")
        sql(ledger, "UPDATE oxen_entries SET state = 'posting', owner = 'nobody'")
        newest, oldest = (entry.entry_id for entry in client.media.jobs())
    status, out, err = terminal("jobs", "--status", "unknown")
    assert (status, "no jobs of this kind" in out) == (0, True)
    assert "2 jobs in state posting, of a process that ended: `oxen-inference reconcile`" in err
    assert "`oxen-inference reconcile`" in terminal("adopt", oldest, ids[0])[2]
    _, _, err = terminal("reconcile")
    assert all(each in err.partition("It may be one of: ")[2] for each in ids)
    adopt, forget = (
        "`oxen-inference adopt ENTRY_ID GENERATION_ID`",
        "`oxen-inference forget ENTRY_ID`",
    )
    assert 0 < err.index(adopt) < err.index(forget)
    assert len(json.loads(terminal("jobs", "--status", "unknown", "--json")[1])) == 2
    before = paid(hub)
    assert terminal("adopt", oldest, ids[0])[0] == 0
    terminal("reconcile")  # now only one is left for the other
    listed = json.loads(terminal("jobs", "--status", "succeeded", "--json")[1])
    assert [each["generation_ids"] for each in listed] == [[ids[1]], [ids[0]]]
    assert [each["status"] for each in listed] == ["succeeded"] * 2
    assert paid(hub) == before
    sql(ledger, "DELETE FROM oxen_generations")
    sql(ledger, "UPDATE oxen_entries SET state = 'unknown'")
    status, out, err = terminal("forget", newest, "nosuch", oldest, "--json")
    assert [each["status"] for each in json.loads(out)] == ["rejected"] * 2
    assert (status, "nosuch" in err) == (1, True)


def test_reconcile_fails_if_a_result_was_not_fetched(
    made: Any, hub: Sandbox, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "Pace", partial(Pace, download_pause=0.01, late_file=0.0))
    hub.inject(Fault("respond", status=404, method="GET", path="*/files/*", times=None))
    for more in ((), ("--json",)):
        status, _, err = terminal("reconcile", "--save-to", str(tmp_path / "new"), *more)
        assert status == 1
        assert f"error: {made.generation_ids[0]} was paid for but not fetched" in err
    assert terminal("reconcile")[0] == 0  # nothing was to be fetched


def test_reconcile_waits_once_for_all_and_fails_while_outcomes_are_unknown(
    hub: Sandbox, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace = partial(Pace, lookup=0.2, lookup_interval=0.03)
    monkeypatch.setattr(api, "Pace", pace)
    monkeypatch.setattr(jobs, "_LINE_EVERY", 0.0)
    hub.inject(Fault("reset", method="POST", path="*/queue", times=3))
    with OxenClient() as client:
        for number in range(3):
            with pytest.raises(EnqueueOutcomeUnknown):
                client.media.submit(model="flux-2-dev", prompt=f"ox {number}")
    waited: list[float] = []
    search = lost_jobs.search

    def recorded(engine: Any, entry: Any, seconds: float, stop: Any) -> Any:
        waited.append(seconds)
        return search(engine, entry, seconds, stop)

    monkeypatch.setattr(lost_jobs, "search", recorded)
    status, out, err = terminal("reconcile", "--json")
    assert (status, {entry["state"] for entry in json.loads(out)}) == (1, {"unknown"})
    assert 0.0 < waited[0] <= 0.2
    assert waited[1:] == [pytest.approx(0.06)] * 2  # the first one's time was everyone's
    for words in (
        "looking at Oxen for 3 requests of unknown outcome\n",
        "\n2 of 3 requests left\n",
        "\n1 of 3 requests left\n",
        "\nerror: 3 requests of unknown outcome left",
    ):
        assert words in err
    for entry in json.loads(out):
        assert terminal("forget", entry["entry_id"])[0] == 0
    status, _, err = terminal("reconcile")
    assert (status, err) == (0, "")


@pytest.mark.parametrize("by", ["key", "entry", "generation"])
def test_fetch_an_old_result(
    by: str, made: Any, hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    before = paid(hub)
    name = {"key": "dawn", "entry": made.entry_id, "generation": made.generation_ids[0]}[by]
    status, out, err = terminal("fetch", name, "--save-to", str(tmp_path / "to"))
    (saved,) = (tmp_path / "to").iterdir()
    assert (status, out, err) == (0, f"saved {saved}\n", "")
    _, out, _ = terminal("fetch", name, "--save-to", str(tmp_path / "to"), "--json")
    assert json.loads(out)["items"][0]["path"] == str(saved)
    assert paid(hub) == before


def test_fetch_saves_in_the_current_folder(
    made: Any, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert terminal("fetch", "dawn")[0] == 0
    assert len(list(tmp_path.glob("*.[jpw]*"))) == 1


def test_fetch_a_generation_of_another_machine(
    hub: Sandbox, terminal: Terminal, tmp_path: Path
) -> None:
    with OxenClient(ledger=Ledger(tmp_path / "another")) as client:
        other = client.media.generate(model="flux-2-dev", prompt=PROMPT)
    assert terminal("fetch", other.generation_ids[0], "--save-to", str(tmp_path / "to"))[0] == 0


def test_fetch_names_what_it_cannot_find(hub: Sandbox, terminal: Terminal) -> None:
    status, out, err = terminal("fetch", "dusk")
    assert (status, out) == (1, "")
    assert "knows 'dusk'" in err
    hub.inject(Fault("stall_job"))
    with OxenClient() as client:
        client.media.submit(model="flux-2-dev", prompt=PROMPT, key="dusk")
    status, _, err = terminal("fetch", "dusk")
    assert status == 1
    assert "has not ended yet" in err


def test_a_missing_key_in_the_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, terminal: Terminal
) -> None:
    monkeypatch.delenv("OXEN_API_KEY", raising=False)
    monkeypatch.setenv("OXEN_CONFIG_DIR", str(tmp_path))
    status, _, err = terminal("reconcile")
    assert status == 1
    assert "OXEN_API_KEY" in err
    assert "api_key=" not in err
