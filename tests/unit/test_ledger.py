"""The ledger: what is written before what, and who may move it."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Budget, Ledger
from oxen_inference.errors import (
    BudgetExceededError,
    ConfigurationError,
    KeyConflictError,
    LedgerError,
)
from oxen_inference.ledger import store
from oxen_inference.ledger.entries import Entry, Intent, Scope
from oxen_inference.ledger.leases import is_surely_dead, this_process
from oxen_inference.ledger.schema import LedgerWarning
from oxen_inference.ledger.store import default_ledger
from oxen_inference.result import MediaItem
from tests.support.open_files import no_more_files

SCOPE = Scope("https://hub", "me")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def intent(**changes: Any) -> Intent:
    fields = {
        "scope": SCOPE, "fingerprint": "f", "kind": "queue", "model": "m", "media_type": "image",
        "request": {"model": "m", "prompt": "an ox"},
    }  # fmt: skip
    return Intent(**{**fields, **changes})


def begin_from(budget: Budget, ledger: Ledger, **changes: Any) -> tuple[Entry, bool]:
    """Begin an entry that reserves ten cents for each generation."""
    meant = intent(**changes)
    return ledger.begin(meant, budget.reservation(ledger, Decimal("0.10"), meant.count))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state" / "ledger.sqlite3")


def test_an_entry_goes_its_way(ledger: Ledger) -> None:
    entry, mine = ledger.begin(intent(key="k"))
    assert (entry.state, mine) == ("intended", True)
    assert ledger.posting(entry)
    assert not ledger.posting(entry)  # only one may send
    ledger.accepted(entry, ["a", "b"], ["a note"])
    accepted = ledger.find(SCOPE, "k")
    assert accepted is not None
    assert (accepted.state, accepted.generation_ids) == ("accepted", ("a", "b"))
    assert accepted.notes == ("a note",)
    assert ledger.owners(["a", "x"]) == {"a": entry.entry_id}
    assert ledger.entries() == [accepted]
    items = [MediaItem(generation_id=one, status="succeeded", cost=Decimal("0.1")) for one in "ab"]
    assert ledger.update(accepted, items).is_settled
    assert ledger.find(Scope("https://hub", "you"), "k") is None


def test_a_key_is_one_entry_and_one_request(ledger: Ledger) -> None:
    first, _ = ledger.begin(intent(key="k"))
    again, mine = ledger.begin(intent(key="k"))
    assert (again.entry_id, mine) == (first.entry_id, False)
    other = {"model": "m", "prompt": "a cow"}
    with pytest.raises(KeyConflictError, match="different: prompt"):
        ledger.begin(intent(key="k", fingerprint="g", request=other))
    assert len({ledger.begin(intent())[0].entry_id for _ in range(3)}) == 3


def test_a_taken_over_entry_cannot_be_sent_by_its_first_owner(ledger: Ledger) -> None:
    entry, _ = ledger.begin(intent(key="k"))
    assert ledger.claim(entry, intent(key="k"))
    assert not ledger.claim(entry, intent(key="k"))
    assert not ledger.posting(entry)


def test_what_was_perhaps_sent_is_never_claimed(ledger: Ledger) -> None:
    entry, _ = ledger.begin(intent(key="k"))
    ledger.posting(entry)
    posting = ledger.get(entry.entry_id)
    assert posting is not None
    assert not ledger.claim(posting, intent(key="k"))
    ledger.unknown(posting, {"message": "?"})
    unknown = ledger.get(entry.entry_id)
    assert unknown is not None
    assert not ledger.claim(unknown, intent(key="k"))
    assert [one.entry_id for one in ledger.unresolved(SCOPE, except_for="x")] == [entry.entry_id]


def test_a_generation_belongs_to_one_entry(ledger: Ledger) -> None:
    one, _ = ledger.begin(intent())
    two, _ = ledger.begin(intent())
    assert ledger.accepted(one, ["a"], [])
    assert not ledger.accepted(two, ["a"], [])


def test_money_is_held_with_the_intent_and_settled_once(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    entry, _ = begin_from(budget, ledger, count=2)
    assert (budget.reserved, budget.remaining) == (Decimal("0.20"), Decimal("0.80"))
    assert ledger.get(entry.entry_id).reserved == Decimal("0.20")
    ledger.posting(entry)
    ledger.accepted(entry, ["a", "b"], [])
    done = MediaItem(generation_id="a", status="succeeded", cost=Decimal("0.07"))
    unknown = MediaItem(generation_id="b", status="succeeded")
    for _ in range(3):
        ledger.update(entry, [done, unknown])
    assert (budget.spent, budget.reserved) == (Decimal("0.07"), Decimal("0.10"))


def test_a_refused_intent_is_not_written(ledger: Ledger) -> None:
    budget = Budget("0.15", name="b", ledger=ledger)
    with pytest.raises(BudgetExceededError):
        begin_from(budget, ledger, key="k", count=2)
    assert ledger.entries() == []
    assert budget.reserved == 0


def test_more_jobs_than_asked_for_are_held_too(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    entry, _ = begin_from(budget, ledger)
    ledger.accepted(entry, ["a", "b", "c"], [])
    assert budget.reserved == Decimal("0.30")


def test_fewer_jobs_than_asked_for_hold_no_more(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    entry, _ = begin_from(budget, ledger, count=3)
    ledger.accepted(entry, ["a"], [])
    assert budget.reserved == Decimal("0.10")
    ledger.update(entry, [MediaItem(generation_id="a", status="succeeded", cost=Decimal("0.1"))])
    ledger.accepted(entry, ["a"], [])  # a twin that found it, too
    assert (budget.spent, budget.reserved) == (Decimal("0.10"), 0)


@pytest.mark.parametrize(("kind", "generation_id"), [("queue", "a"), ("direct", None)])
def test_an_acceptance_that_could_not_be_written_is_written_with_what_comes_next(
    kind: str, generation_id: str | None, ledger: Ledger
) -> None:
    entry, _ = ledger.begin(intent(kind=kind))
    ledger.posting(entry)
    item = MediaItem(generation_id=generation_id, status="succeeded", url="https://cdn/x")
    in_hand = replace(entry, state="accepted", items=(item,))
    assert ledger.update(in_hand, in_hand.items).items == (item,)
    assert ledger.get(entry.entry_id).state == "accepted"


def test_an_unreadable_older_ledger_is_not_silently_replaced(ledger: Ledger) -> None:
    folder = ledger.path.parent
    folder.mkdir(parents=True)
    older = folder / "journal.sqlite3"
    older.write_bytes(b"SQLite format 3")
    with pytest.raises(LedgerError, match="Move the file away to start a new ledger"):
        ledger.begin(intent())
    assert not ledger.path.exists()
    older.rename(folder / "kept.sqlite3")
    ledger.begin(intent())
    assert len(ledger.entries()) == 1


def test_a_rejected_entry_holds_nothing_until_it_is_claimed(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    entry, _ = begin_from(budget, ledger, key="k")
    ledger.rejected(entry, {"type": "BadRequestError", "message": "no"})
    assert budget.reserved == 0
    rejected = ledger.find(SCOPE, "k")
    assert rejected is not None
    assert rejected.is_settled
    assert ledger.claim(rejected, intent(key="k"), budget.reservation(ledger, Decimal("0.10"), 1))
    assert budget.reserved == Decimal("0.10")


def test_a_named_budget_elsewhere_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    budget = Budget("0.15", name="b", ledger=Ledger(tmp_path / "other.sqlite3"))
    with pytest.raises(ConfigurationError, match=r"ledger=budget\.ledger"):
        begin_from(budget, ledger, key="k")
    assert ledger.entries() == []
    assert budget.reserved == 0


def test_a_budget_without_a_name_belongs_to_the_first_ledger_that_pays(ledger: Ledger) -> None:
    budget = Budget("0.25")
    budget.record("0.05")
    assert budget.ledger is None
    entry, _ = begin_from(budget, ledger, key="k")
    begin_from(budget, ledger, key="k")  # a second call reserves nothing of its own
    assert (budget.ledger, budget.spent, budget.reserved) == (
        ledger, Decimal("0.05"), Decimal("0.10"),
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match=r"is kept in Ledger\(.*Nothing was sent"):
        begin_from(budget, Ledger.in_memory())
    begin_from(budget, ledger)
    with pytest.raises(BudgetExceededError, match=r"this budget \$0\.00 is left"):
        begin_from(budget, ledger)
    assert len(ledger.entries()) == 2
    ledger.rejected(entry, {"message": "no"})
    assert budget.reserved == Decimal("0.10")


def test_it_outlives_the_process_and_is_private(ledger: Ledger) -> None:
    ledger.begin(intent(key="k"))
    assert ledger.durable
    assert Ledger(ledger.path).find(SCOPE, "k") is not None
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600
    with ledger.file.reading() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_in_memory_is_not_durable() -> None:
    ledger = Ledger.in_memory()
    assert not ledger.durable
    ledger.begin(intent(key="k"))
    ledger.close()  # nothing to open again
    assert ledger.find(SCOPE, "k") is not None


def test_a_default_place_where_none_can_be_made_falls_back_to_memory(
    tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path / "file"))
    ledger = Ledger()
    with pytest.warns(LedgerWarning, match="budgets with a name are refused"):
        assert not ledger.durable
    ledger.begin(intent())
    assert ledger.path is None


def test_a_place_that_was_asked_for_never_falls_back(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ledger = Ledger(tmp_path / "file" / "ledger.sqlite3")
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"Nothing is paid without it.*OXEN_STATE_DIR"):
            ledger.begin(intent())
    (tmp_path / "file").unlink()
    assert ledger.durable  # and it is not given up


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_a_default_place_that_cannot_be_looked_at_never_falls_back(
    tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path / "loop"))
    with pytest.raises(LedgerError, match="cannot be opened"):
        Ledger().begin(intent())


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on open files")
def test_a_ledger_is_never_replaced_by_memory() -> None:
    default_ledger().begin(intent(key="k"))
    ledger = Ledger()
    with no_more_files(), pytest.raises(LedgerError, match="cannot be opened"):
        ledger.find(SCOPE, "k")
    assert ledger.find(SCOPE, "k") is not None


def test_it_stays_where_it_was_when_the_process_goes_elsewhere(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("OXEN_STATE_DIR", f"state of {tmp_path.name}")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    named, default = Ledger("j.sqlite3"), default_ledger()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert named.path == pickle.loads(pickle.dumps(named)).path == tmp_path / "j.sqlite3"
    assert default_ledger() is default
    assert default.path == tmp_path / f"state of {tmp_path.name}" / "ledger.sqlite3"


def test_a_file_that_is_no_ledger_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(LedgerError, match="is not a ledger"):
        Ledger(path).entries()


def test_a_ledger_of_the_future_is_an_error(ledger: Ledger) -> None:
    ledger.entries()
    with closing(sqlite3.connect(str(ledger.path))) as connection, connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(LedgerError, match="newer version"):
        Ledger(ledger.path).entries()


def test_the_default_follows_the_environment(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path / "here"))
    assert default_ledger().path == tmp_path / "here" / "ledger.sqlite3"
    assert default_ledger() is default_ledger()
    monkeypatch.delenv("OXEN_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert "oxen-integrations" in str(Ledger().path)


def test_it_travels_by_its_path(ledger: Ledger) -> None:
    ledger.begin(intent(key="k"))
    assert copy.deepcopy(ledger) is ledger
    assert pickle.loads(pickle.dumps(ledger)).find(SCOPE, "k") is not None


def in_a_child(act: Callable[[], object]) -> int:
    """Do it in a forked process; return that one's exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - whatever it is, the parent must see it
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@needs_fork
def test_a_forked_child_writes_to_it(ledger: Ledger) -> None:
    ledger.begin(intent(key="parent"))

    def write() -> None:
        ledger.close()  # what it has of the parent's, which goes on with it
        ledger.begin(intent(key="child"))

    assert in_a_child(write) == 0
    assert ledger.find(SCOPE, "child") is not None
    assert ledger.find(SCOPE, "parent") is not None


@needs_fork
def test_a_forked_child_has_what_was_in_memory() -> None:
    ledger = Ledger.in_memory()
    entry, _ = ledger.begin(intent())

    def write() -> None:
        assert ledger.posting(entry)
        ledger.close()
        assert [one.state for one in ledger.entries()] == ["posting"]

    assert in_a_child(write) == 0
    assert [one.state for one in ledger.entries()] == ["intended"]


def test_two_processes_open_a_new_one_at_once(tmp_path: Path) -> None:
    code = "import sys; from oxen_inference.ledger.store import Ledger; assert Ledger(sys.argv[1]).durable"
    path = str(tmp_path / "j.sqlite3")
    children = [subprocess.Popen([sys.executable, "-c", code, path]) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]


def test_a_process_is_known_to_be_dead_only_if_it_surely_is() -> None:
    assert not is_surely_dead(this_process())
    assert not is_surely_dead(None)
    assert not is_surely_dead("nonsense")
    here = json.loads(this_process())
    assert not is_surely_dead(json.dumps({**here, "host": "another", "pid": 1}))
    if not here["boot"]:
        pytest.skip("this system does not say when it was started")
    assert is_surely_dead(json.dumps({**here, "boot": "before"}))
    assert is_surely_dead(json.dumps({**here, "started": "0"}))  # the pid is another's by now
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert is_surely_dead(json.dumps({**here, "pid": child.pid}))


def test_an_old_lease_is_abandoned(ledger: Ledger) -> None:
    entry, _ = ledger.begin(intent())
    assert not entry.is_abandoned
    with ledger.file.writing() as connection:
        connection.execute("UPDATE entries SET created_at = ?", (time.time() - 10_000,))
    late = ledger.get(entry.entry_id)
    assert late is not None
    assert late.is_abandoned


def test_it_names_itself_and_copies_are_itself(ledger: Ledger) -> None:
    assert repr(ledger) == f"Ledger({str(ledger.path)!r})"
    assert repr(Ledger.in_memory()) == "Ledger.in_memory()"
    assert copy.copy(ledger) is ledger


@pytest.mark.skipif(sys.version_info < (3, 13), reason="only 3.13 warns of unclosed databases")
def test_a_forgotten_one_is_closed(tmp_path: Path) -> None:
    gc.collect()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        Ledger(tmp_path / "j.sqlite3").begin(intent())
        gc.collect()
    assert not [one for one in warned if "database" in str(one.message)]


def test_a_closed_one_is_opened_when_needed(ledger: Ledger) -> None:
    ledger.close()
    ledger.begin(intent(key="k"))
    ledger.close()
    ledger.close()
    assert ledger.find(SCOPE, "k") is not None


def test_what_is_begun_is_told_and_nothing_is_written(ledger: Ledger) -> None:
    assert ledger.find_existing(intent(key="k")) is None
    assert ledger.find_existing(intent()) is None
    entry, _ = ledger.begin(intent(key="k"))
    known = ledger.find_existing(intent(key="k"))
    assert known is not None
    assert known.entry_id == entry.entry_id
    with pytest.raises(KeyConflictError):
        ledger.find_existing(intent(key="k", fingerprint="g"))
    assert len(ledger.entries()) == 1


def test_of_two_that_begin_at_once_one_begins(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget, first = Budget("1.00", name="b", ledger=ledger), []
    insert = store._insert

    def slowly(connection: Any, entry_id: str, meant: Intent) -> bool:
        if not first:  # between the look-up of the key and the insert
            first.append(insert(connection, "first", meant))
        return insert(connection, entry_id, meant)

    monkeypatch.setattr(store, "_insert", slowly)
    entry, is_mine = begin_from(budget, ledger, key="k")
    assert (entry.entry_id, is_mine, first) == ("first", False, [True])
    assert len(ledger.entries()) == 1


def test_money_is_given_back_if_nothing_was_begun(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    with ledger.file.writing() as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(LedgerError, match=r"at .*ledger\.sqlite3 cannot be used: full"):
        begin_from(budget, ledger)
    assert budget.reserved == 0


def test_an_entry_that_nobody_will_send_holds_nothing(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    entry, _ = begin_from(budget, ledger, key="k")
    ledger.abandon(entry, {"type": "OxenError", "message": "interrupted"})
    assert budget.reserved == 0
    assert ledger.get(entry.entry_id).state == "rejected"
    sent, _ = begin_from(budget, ledger)
    ledger.posting(sent)
    ledger.abandon(sent, {"type": "OxenError", "message": "interrupted"})
    assert budget.reserved == Decimal("0.10")
    assert ledger.get(sent.entry_id).state == "posting"


def test_a_broken_ledger_in_memory_says_where_it_is() -> None:
    ledger = Ledger.in_memory()
    with ledger.file.writing() as connection:
        connection.execute("DROP TABLE calls")
        connection.execute("DROP TABLE generations")
        connection.execute("DROP TABLE entries")
    with pytest.raises(LedgerError, match="The ledger in memory cannot be used"):
        ledger.entries()


def test_a_ledger_that_another_process_is_making_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j.sqlite3"
    monkeypatch.setattr("oxen_inference.ledger.schema._BUSY_SECONDS", 0.2)
    with sqlite3.connect(path, isolation_level=None, check_same_thread=False) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerError, match="database is locked"):
            Ledger(path).entries()  # and never falls back to memory
        monkeypatch.setattr("oxen_inference.ledger.schema._BUSY_SECONDS", 0.0)
        monkeypatch.setattr("time.sleep", lambda _: other.execute("COMMIT"))
        monkeypatch.setattr("time.monotonic", lambda: 0.0)
        ledger = Ledger(path)
        assert ledger.durable
    other.close()
