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
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import create_engine, delete, text

from oxen_inference import Budget, Ledger
from oxen_inference.errors import (
    BudgetExceededError,
    ConfigurationError,
    KeyConflictError,
    LedgerError,
)
from oxen_inference.ledger import schema
from oxen_inference.ledger.accounts import to_usd
from oxen_inference.ledger.database import LedgerWarning
from oxen_inference.ledger.entries import Entry, Intent, Scope
from oxen_inference.ledger.groups import Change, GroupedWrites
from oxen_inference.ledger.leases import STALE, is_alive, this_process
from oxen_inference.ledger.names import LONGEST_NAME, is_too_long, shortened
from oxen_inference.ledger.schema import metadata, migrate, migrations
from oxen_inference.ledger.store import Begun, Undecided, default_ledger
from oxen_inference.result import MediaItem
from tests.support.databases import emptied, other_machine, sql
from tests.support.forks import exit_status, fork
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
    begun = ledger.begin(meant, budget.reservation(ledger, Decimal("0.10"), meant.count))
    assert isinstance(begun, Begun)
    return begun.entry, begun.is_mine


def begin(ledger: Ledger, **changes: Any) -> tuple[Entry, bool]:
    begun = ledger.begin(intent(**changes))
    assert isinstance(begun, Begun)
    return begun.entry, begun.is_mine


def test_an_entry_moves_from_intended_to_accepted_to_settled(ledger: Ledger) -> None:
    entry, mine = begin(ledger, key="k")
    assert (entry.state, mine) == ("intended", True)
    assert ledger.mark_posting(entry)
    assert not ledger.mark_posting(entry)  # only one may send
    ledger.mark_accepted(entry, ["a", "b"], ["a note"])
    accepted = ledger.find(SCOPE, "k")
    assert accepted is not None
    assert (accepted.state, accepted.generation_ids) == ("accepted", ("a", "b"))
    assert accepted.notes == ("a note",)
    assert ledger.owners(SCOPE, ["a", "x"]) == {"a": entry.entry_id}
    assert ledger.entries() == [accepted]
    items = [MediaItem(generation_id=one, status="succeeded", cost=Decimal("0.1")) for one in "ab"]
    assert ledger.update(accepted, items).is_settled
    assert ledger.find(Scope("https://hub", "you"), "k") is None


def test_a_key_is_one_entry_and_one_request(ledger: Ledger) -> None:
    first, _ = begin(ledger, key="k")
    again, mine = begin(ledger, key="k")
    assert (again.entry_id, mine) == (first.entry_id, False)
    other = {"model": "m", "prompt": "a cow"}
    with pytest.raises(KeyConflictError, match="different: prompt"):
        begin(ledger, key="k", fingerprint="g", request=other)
    assert len({begin(ledger)[0].entry_id for _ in range(3)}) == 3


def test_the_longest_names_fit_on_every_database(ledger: Ledger) -> None:
    random = Random(1)  # no database can store it in less
    key, thread = random.randbytes(LONGEST_NAME // 2).hex(), random.randbytes(9_000).hex()
    assert shortened(key) == key
    assert not is_too_long(shortened(thread))
    assert shortened(thread) != shortened(thread + "0")
    entry, _ = begin(ledger, key=key, conversation=shortened(thread))
    Budget(1, name=key, ledger=ledger).record("0.5")
    found = ledger.find(SCOPE, key)
    assert found is not None
    assert found.entry_id == entry.entry_id


def test_a_taken_over_entry_cannot_be_sent_by_its_first_owner(ledger: Ledger) -> None:
    entry, _ = begin(ledger, key="k")
    assert ledger.claim(entry, intent(key="k"))
    assert not ledger.claim(entry, intent(key="k"))
    assert not ledger.mark_posting(entry)


def test_what_was_perhaps_sent_is_never_claimed(ledger: Ledger) -> None:
    entry, _ = begin(ledger, key="k")
    ledger.mark_posting(entry)
    posting = ledger.get(entry.entry_id)
    assert posting is not None
    assert not ledger.claim(posting, intent(key="k"))
    ledger.mark_unknown(posting, {"message": "?"})
    unknown = ledger.get(entry.entry_id)
    assert unknown is not None
    assert not ledger.claim(unknown, intent(key="k"))
    assert [one.entry_id for one in ledger.unresolved(SCOPE, entry.model, except_for="x")] == [
        entry.entry_id
    ]


def test_a_generation_belongs_to_one_entry(ledger: Ledger) -> None:
    one, _ = begin(ledger)
    two, _ = begin(ledger)
    assert ledger.mark_accepted(one, ["a"], [])
    assert not ledger.mark_accepted(two, ["a"], [])


def test_money_is_held_with_the_intent_and_settled_once(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    entry, _ = begin_from(budget, ledger, count=2)
    assert (budget.reserved, budget.remaining) == (Decimal("0.20"), Decimal("0.80"))
    assert ledger.get(entry.entry_id).reserved == Decimal("0.20")
    ledger.mark_posting(entry)
    ledger.mark_accepted(entry, ["a", "b"], [])
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
    ledger.mark_accepted(entry, ["a", "b", "c"], [])
    assert budget.reserved == Decimal("0.30")


def test_jobs_that_are_not_named_stay_reserved_until_written_off(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    entry, _ = begin_from(budget, ledger, count=3)
    ledger.mark_accepted(entry, ["a"], [])
    assert budget.reserved == Decimal("0.30")
    ledger.update(entry, [MediaItem(generation_id="a", status="succeeded", cost=Decimal("0.1"))])
    ledger.mark_accepted(entry, ["a"], [])  # a twin that found it, too
    assert (budget.spent, budget.reserved) == (Decimal("0.10"), Decimal("0.20"))
    known = ledger.get(entry.entry_id)
    assert known is not None
    assert known.may_be_written_off
    ledger.write_off(known)
    assert (budget.spent, budget.reserved) == (Decimal("0.10"), 0)


@pytest.mark.parametrize(("kind", "generation_id"), [("queue", "a"), ("direct", None)])
def test_an_acceptance_that_could_not_be_written_is_written_with_what_comes_next(
    kind: str, generation_id: str | None, ledger: Ledger
) -> None:
    entry, _ = begin(ledger, kind=kind)
    ledger.mark_posting(entry)
    item = MediaItem(generation_id=generation_id, status="succeeded", url="https://cdn/x")
    in_hand = replace(entry, state="accepted", items=(item,))
    assert ledger.update(in_hand, in_hand.items).items == (item,)
    assert ledger.get(entry.entry_id).state == "accepted"


def test_an_unreadable_older_ledger_is_not_silently_replaced(file: Ledger) -> None:
    folder = file.path.parent
    folder.mkdir(parents=True)
    older = folder / "journal.sqlite3"
    older.write_bytes(b"SQLite format 3")
    with pytest.raises(LedgerError, match="Move the file away to start a new ledger"):
        begin(file)
    assert not file.path.exists()
    older.rename(folder / "kept.sqlite3")
    begin(file)
    assert len(file.entries()) == 1


def test_a_rejected_entry_holds_nothing_until_it_is_claimed(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    entry, _ = begin_from(budget, ledger, key="k")
    ledger.mark_rejected(entry, {"type": "BadRequestError", "message": "no"})
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


def test_a_name_has_one_limit_whoever_is_first(ledger: Ledger) -> None:
    """Two deployments, each with a limit of its own, open a budget at once, and then change it."""

    def attach(limit: int) -> Budget | ConfigurationError:
        try:
            return Budget(limit, name="b", ledger=elsewhere(ledger))
        except ConfigurationError as error:
            return error

    with ThreadPoolExecutor(6) as threads:
        made = list(threads.map(attach, [1, 2] * 3))
    running = [each for each in made if isinstance(each, Budget)]
    refused = [each for each in made if isinstance(each, ConfigurationError)]
    assert (len(running), len(refused)) == (3, 3)
    (limit,) = {each.limit for each in running}
    assert ledger.budgets()["b"].limit == limit
    for error in refused:
        assert f"a limit of ${limit}.00, not ${3 - limit}.00" in str(error)
        assert "change_limit" in str(error.hint)
    Budget(limit, name="b", ledger=elsewhere(ledger)).change_limit(5)
    # What runs follows, with what it spent; what starts has to know the limit.
    running[0].record("4.95")
    with pytest.raises(BudgetExceededError, match=r"of the \$5\.00 in the budget 'b' \$0\.05"):
        begin_from(running[1], running[1].ledger or ledger, key="k")
    assert isinstance(attach(int(limit)), ConfigurationError)
    assert isinstance(attach(5), Budget)


def elsewhere(ledger: Ledger) -> Ledger:
    """The same ledger, as another process opens it."""
    url = ledger.database.url
    return Ledger(ledger.path or str(url and url.render_as_string(hide_password=False)))


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
    ledger.mark_rejected(entry, {"message": "no"})
    assert budget.reserved == Decimal("0.10")


def test_it_outlives_the_process_and_is_private(file: Ledger) -> None:
    begin(file, key="k")
    assert file.durable
    assert Ledger(file.path).find(SCOPE, "k") is not None
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert sql(file, "PRAGMA journal_mode")[0][0] == "wal"
    assert sql(file, "PRAGMA synchronous")[0][0] == 2


def test_in_memory_is_not_durable() -> None:
    ledger = Ledger.in_memory()
    assert not ledger.durable
    begin(ledger, key="k")
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
    begin(ledger)
    assert ledger.path is None


def test_a_place_that_was_asked_for_never_falls_back(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ledger = Ledger(tmp_path / "file" / "ledger.sqlite3")
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"Nothing is paid without it.*OXEN_STATE_DIR"):
            begin(ledger)
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
    sql(ledger, "INSERT INTO oxen_migrations VALUES (99)")
    ledger.close()
    again = Ledger(ledger.path or ledger.database.url.render_as_string(hide_password=False))
    with pytest.raises(LedgerError, match="newer version"):
        again.entries()


def test_an_older_ledger_gets_what_is_new(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, _ = begin(ledger)
    ledger.close()
    added = text("ALTER TABLE oxen_entries ADD COLUMN mood TEXT")
    newer = (*schema.MIGRATIONS, lambda connection: connection.execute(added))
    monkeypatch.setattr(schema, "MIGRATIONS", newer)
    again = Ledger(ledger.path or ledger.database.url.render_as_string(hide_password=False))
    if again.path is None:  # a server's tables are changed by who may do so
        with pytest.raises(LedgerError, match="missing or old"):
            again.entries()
        again.setup()
    assert [each.entry_id for each in again.entries()] == [entry.entry_id]
    assert sql(again, "SELECT mood FROM oxen_entries") == [(None,)]
    with again.database.writing() as connection:
        schema.metadata.drop_all(connection)


def test_the_default_follows_the_environment(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path / "here"))
    assert default_ledger().path == tmp_path / "here" / "ledger.sqlite3"
    assert default_ledger() is default_ledger()
    monkeypatch.delenv("OXEN_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert "oxen-integrations" in str(Ledger().path)


def test_it_travels_by_its_path(file: Ledger) -> None:
    begin(file, key="k")
    assert copy.deepcopy(file) is file
    assert pickle.loads(pickle.dumps(file)).find(SCOPE, "k") is not None


def in_a_child(act: Callable[[], object]) -> int:
    """Do it in a forked process; return that one's exit code."""
    return os.waitstatus_to_exitcode(exit_status(fork(act)))


@needs_fork
def test_a_forked_child_writes_to_it(file: Ledger) -> None:
    begin(file, key="parent")

    def write() -> None:
        file.close()  # what it has of the parent's, which goes on with it
        begin(file, key="child")

    assert in_a_child(write) == 0
    assert file.find(SCOPE, "child") is not None
    assert file.find(SCOPE, "parent") is not None


@needs_fork
def test_a_forked_child_has_what_was_in_memory() -> None:
    ledger = Ledger.in_memory()
    entry, _ = begin(ledger)

    def write() -> None:
        assert ledger.mark_posting(entry)
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
    assert is_alive(this_process(), STALE + 1000)  # it may have been asleep
    assert is_alive(None, None) is False
    assert is_alive("nonsense", 1.0) is None
    here = json.loads(this_process())
    elsewhere = json.dumps({**here, "host": "another", "pid": 1})
    assert is_alive(elsewhere, 1.0) is None
    assert is_alive(elsewhere, STALE + 1) is False
    assert is_alive(json.dumps({**here, "space": "another container"}), 1.0) is None
    if not here["boot"]:
        pytest.skip("this system does not say when it was started")
    # Restarted since, or another machine with the same name.
    assert is_alive(json.dumps({**here, "boot": "before"}), 1.0) is None
    assert is_alive(json.dumps({**here, "boot": "before"}), STALE + 1) is False
    assert is_alive(json.dumps({**here, "started": "0"}), 1.0) is False  # another's pid by now
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert is_alive(json.dumps({**here, "pid": child.pid}), 1.0) is False


@pytest.mark.parametrize(("age", "is_abandoned"), [(1, False), (STALE + 5, True)])
def test_another_machines_entry_is_abandoned_when_its_heartbeat_is_stale(
    age: float, is_abandoned: bool, ledger: Ledger
) -> None:
    entry, _ = begin(ledger)
    assert not entry.is_abandoned
    lease = other_machine(ledger, age=age)
    sql(ledger, "UPDATE oxen_entries SET owner = :lease", lease=lease)
    found = ledger.get(entry.entry_id)
    assert found is not None
    assert found.is_abandoned is is_abandoned
    assert found.may_be_claimed is is_abandoned
    assert not ledger.mark_posting(entry)  # it is not this process's any more


def test_whoever_claims_a_refused_entry_is_at_work_though_the_first_sender_ends_later(
    ledger: Ledger,
) -> None:
    first, _ = begin(ledger, key="k")
    ledger.mark_posting(first)
    ledger.mark_rejected(first, {"message": "no"})
    refused = ledger.get(first.entry_id)
    assert refused is not None
    assert ledger.claim(refused, intent(key="k"))
    ledger.end_work(first)
    claimed = ledger.get(first.entry_id)
    assert claimed is not None
    assert (claimed.state, claimed.is_abandoned) == ("intended", False)
    ledger.end_work(claimed)
    left = ledger.get(first.entry_id)
    assert left is not None
    assert left.may_be_claimed


def test_a_lease_that_is_gone_has_ended(ledger: Ledger) -> None:
    entry, _ = begin(ledger)
    sql(ledger, "UPDATE oxen_entries SET owner = 'gone'")
    found = ledger.get(entry.entry_id)
    assert found is not None
    assert found.is_abandoned


def test_this_process_beats(ledger: Ledger) -> None:
    begin(ledger)
    mine = "WHERE lease_id = :lease"
    for lost in (
        f"UPDATE oxen_leases SET heartbeat_at = 1 {mine}",
        f"DELETE FROM oxen_leases {mine}",
    ):
        sql(ledger, lost, lease=ledger.lease_id)
        ledger._lease.beat()
        ((identity, beat),) = sql(
            ledger, f"SELECT identity, heartbeat_at FROM oxen_leases {mine}", lease=ledger.lease_id
        )
        assert (identity, beat > 1e9) == (this_process(), True)


def test_it_names_itself_and_copies_are_itself(file: Ledger) -> None:
    assert repr(file) == f"Ledger({str(file.path)!r})"
    assert repr(Ledger.in_memory()) == "Ledger.in_memory()"
    assert copy.copy(file) is file


@pytest.mark.skipif(sys.version_info < (3, 13), reason="only 3.13 warns of unclosed databases")
def test_a_forgotten_one_is_closed(tmp_path: Path) -> None:
    gc.collect()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        Ledger(tmp_path / "j.sqlite3").begin(intent())
        gc.collect()
    assert not [one for one in warned if "database" in str(one.message)]


def test_a_closed_one_is_opened_when_needed(file: Ledger) -> None:
    file.close()
    begin(file, key="k")
    file.close()
    file.close()
    assert file.find(SCOPE, "k") is not None


def test_what_is_begun_is_told_and_nothing_is_written(ledger: Ledger) -> None:
    assert ledger.find_existing(intent(key="k")) is None
    assert ledger.find_existing(intent()) is None
    entry, _ = begin(ledger, key="k")
    known = ledger.find_existing(intent(key="k"))
    assert known is not None
    assert known.entry_id == entry.entry_id
    with pytest.raises(KeyConflictError):
        ledger.find_existing(intent(key="k", fingerprint="g"))
    assert len(ledger.entries()) == 1


def test_of_many_that_begin_at_once_one_begins(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    together = threading.Barrier(8)

    def one(_: int) -> tuple[str, bool]:
        together.wait(30)
        entry, is_mine = begin_from(budget, ledger, key="k", conversation="c")
        return entry.entry_id, is_mine

    with ThreadPoolExecutor(8) as threads:
        begun = list(threads.map(one, range(8)))
    assert len({entry_id for entry_id, _ in begun}) == 1
    assert sum(is_mine for _, is_mine in begun) == 1
    assert budget.reserved == Decimal("0.10")
    assert len(ledger.entries()) == 1


def test_money_is_given_back_if_nothing_was_begun(file: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=file)
    sql(
        file,
        "CREATE TRIGGER full BEFORE INSERT ON oxen_entries BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    with pytest.raises(LedgerError, match=r"at .*ledger\.sqlite3 cannot be used: full"):
        begin_from(budget, file)
    assert budget.reserved == 0


def test_an_entry_that_nobody_will_send_holds_nothing(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    entry, _ = begin_from(budget, ledger, key="k")
    ledger.reject_unsent(entry, {"type": "OxenError", "message": "interrupted"})
    assert budget.reserved == 0
    assert ledger.get(entry.entry_id).state == "rejected"
    sent, _ = begin_from(budget, ledger)
    ledger.mark_posting(sent)
    ledger.reject_unsent(sent, {"type": "OxenError", "message": "interrupted"})
    assert budget.reserved == Decimal("0.10")
    assert ledger.get(sent.entry_id).state == "posting"


def test_a_broken_ledger_in_memory_says_where_it_is() -> None:
    ledger = Ledger.in_memory()
    sql(ledger, "ALTER TABLE oxen_entries RENAME TO gone")
    with pytest.raises(LedgerError, match="The ledger in memory cannot be used"):
        ledger.entries()


def test_calls_side_by_side_are_two_requests_and_later_ones_join(ledger: Ledger) -> None:
    first = ledger.begin(intent(conversation="c", key="1"))
    ledger.mark_posting(first.entry)
    ledger.mark_accepted(first.entry, ["a"], [])
    second = ledger.begin(intent(conversation="c", key="2"))
    assert (first.is_mine, second.is_mine) == (True, True)
    ledger.reject_unsent(second.entry, {"message": "test"})
    ledger.leave(first.wait_id)
    ledger.leave(second.wait_id)
    third = ledger.begin(intent(conversation="c", key="3"))
    assert (third.entry.entry_id, third.is_mine) == (first.entry.entry_id, False)
    assert ledger.find(SCOPE, "3").entry_id == first.entry.entry_id
    ledger.leave(third.wait_id)
    ended = replace(first.entry, items=(MediaItem(generation_id="a", status="succeeded"),))
    ledger.mark_delivered(ended)
    assert ledger.find_existing(intent(conversation="c")) is None
    ledger.mark_undelivered(ended)  # its caller was interrupted
    assert ledger.find_existing(intent(conversation="c")) is not None
    ledger.mark_delivered(ended)
    assert ledger.begin(intent(conversation="c", key="4")).is_mine


def test_whether_another_machine_still_waits_is_waited_for(ledger: Ledger) -> None:
    first = ledger.begin(intent(conversation="c"))
    ledger.mark_posting(first.entry)
    lease = other_machine(ledger, age=1)
    sql(ledger, "UPDATE oxen_waits SET lease_id = :lease", lease=lease)
    unknown = ledger.begin(intent(conversation="c"))
    assert isinstance(unknown, Undecided)
    still = ledger.begin(intent(conversation="c"), None, unknown)
    assert isinstance(still, Undecided)
    assert len(ledger.entries()) == 1

    sql(
        ledger,
        "UPDATE oxen_leases SET heartbeat_at = heartbeat_at + 0.5 WHERE lease_id = :l",
        l=lease,
    )
    alive = ledger.begin(intent(conversation="c"), None, still)
    assert isinstance(alive, Begun)
    assert alive.is_mine  # side by side
    ledger.reject_unsent(alive.entry, {"message": "test"})
    ledger.leave(alive.wait_id)

    sql(
        ledger,
        "UPDATE oxen_leases SET heartbeat_at = heartbeat_at - 1000 WHERE lease_id = :l",
        l=lease,
    )
    joined = ledger.begin(intent(conversation="c"), None, still)
    assert isinstance(joined, Begun)
    assert (joined.entry.entry_id, joined.is_mine) == (first.entry.entry_id, False)


def test_a_pickled_ledger_never_starts_anew(file: Ledger, tmp_path: Path) -> None:
    budget = Budget("1.00", name="b", ledger=file)
    travels = pickle.dumps(budget)
    file.close()
    file.path.unlink()
    with pytest.raises(LedgerError, match="is missing"):
        pickle.loads(travels)
    assert not file.path.exists()


@pytest.mark.parametrize("what", ["replaced", "emptied"])
def test_a_pickle_refuses_another_ledger_at_the_same_place(
    ledger: Ledger, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget of that name in another ledger is another budget, with its whole limit left."""
    if ledger.path is None:
        url = ledger.database.url.render_as_string(hide_password=False)
        monkeypatch.setenv("OXEN_LEDGER_URL", url)
    budget = Budget("1.00", name="b", ledger=ledger)
    budget.record("0.75")
    travels = [pickle.dumps(budget), pickle.dumps(pickle.loads(pickle.dumps(ledger)))]
    assert pickle.loads(travels[0]).spent == Decimal("0.75")
    with ledger.database.writing() as connection:
        if what == "replaced":
            metadata.drop_all(connection)
            migrate(connection)
        else:
            for table in reversed(metadata.sorted_tables):
                if table is not migrations:
                    connection.execute(delete(table))
    Budget("1.00", name="b", ledger=Ledger(ledger.path or url))
    for one in travels:
        with pytest.raises(LedgerError, match="not the one that was used before") as caught:
            found = pickle.loads(one)
            found.entries()
        assert caught.value.hint


def test_a_pickle_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger("postgresql://me:hunter2@db.example:5433/oxen?application_name=x")
    travels = pickle.dumps(ledger)
    assert b"hunter2" not in travels
    assert "hunter2" not in repr(ledger)
    assert repr(ledger) == "Ledger('postgresql://db.example:5433/oxen')"
    assert pickle.loads(travels).database.url.password is None
    monkeypatch.setenv("OXEN_LEDGER_URL", "postgresql://you:other@db.example:5433/oxen")
    assert pickle.loads(travels).database.url.password == "other"


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("postgresql://me:pw@db:5433/oxen?sslmode=require", "postgresql://db:5433/oxen"),
        ("postgresql://me@/oxen?host=/run/pg&sslmode=x", "postgresql:///oxen?host=%2Frun%2Fpg"),
        ("postgresql:///oxen?host=a&host=b:1", "postgresql:///oxen?host=a&host=b%3A1"),
        ("postgresql:///oxen", "postgresql://localhost/oxen"),
    ],
)
def test_a_pickle_names_the_same_server(url: str, identity: str) -> None:
    ledger = Ledger(url)
    assert repr(ledger) == f"Ledger({identity!r})"
    again = pickle.loads(pickle.dumps(ledger))
    assert repr(again) == repr(ledger)
    assert again.database.url.query.get("host") == ledger.database.url.query.get("host")


def test_an_engine_cannot_be_pickled_and_says_why() -> None:
    ledger = Ledger(create_engine("sqlite://"))
    with pytest.raises(TypeError, match=r"Use Ledger\(url\)"):
        pickle.dumps(ledger)


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql://x:y:z/::", "sqlite:///a"])
def test_another_url_is_no_ledger(url: str) -> None:
    with pytest.raises(ConfigurationError, match="Example: postgresql://"):
        Ledger(url)


def test_a_database_that_was_not_set_up_says_so(postgres: str) -> None:
    emptied(postgres)
    ledger = Ledger(postgres)
    sql(ledger, "DROP TABLE oxen_migrations")
    ledger.close()
    with pytest.raises(LedgerError, match=r"setup\(\), once"):
        Ledger(postgres).entries()


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_an_older_answer_does_not_undo_a_cost(ledger: Ledger, status: str) -> None:
    """Two processes ask about a job: who was told no cost yet may be the last to write."""
    budget = Budget("1.00", name="b", ledger=ledger, release_failed_after=0)
    begun = ledger.begin(intent(), budget.reservation(ledger, Decimal("0.10"), 2))
    assert isinstance(begun, Begun)
    ledger.mark_posting(begun.entry)
    ledger.mark_accepted(begun.entry, ["a", "b"], [])
    ended = MediaItem(generation_id="a", status=status, cost=Decimal("0.04"))
    ledger.update(begun.entry, [ended])
    ledger.update(begun.entry, [replace(ended, cost=None)])
    GroupedWrites(ledger).update([Change(replace(begun.entry, items=(replace(ended, cost=None),)))])
    (entry,) = ledger.entries()
    assert [item.cost for item in entry.items] == [Decimal("0.04"), None]
    # What is held for the other one stays.
    assert (budget.spent, budget.reserved) == (Decimal("0.04"), Decimal("0.10"))


def test_a_cost_that_the_hub_corrects_is_charged_as_corrected(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    entry, _ = begin_from(budget, ledger)
    ledger.mark_accepted(entry, ["a"], [])
    for cost in ("0.04", "0.09", "0.07", "0.07"):
        done = MediaItem(generation_id="a", status="succeeded", cost=Decimal(cost))
        ledger.update(entry, [done])
        assert (budget.spent, budget.reserved) == (Decimal(cost), 0)


def test_what_has_ended_stays_so(ledger: Ledger) -> None:
    entry, _ = begin(ledger)
    ledger.mark_accepted(entry, ["a"], [])
    ledger.update(entry, [MediaItem(generation_id="a", status="succeeded", cost=Decimal("0.1"))])
    late = ledger.update(entry, [MediaItem(generation_id="a", status="processing")])
    assert (late.items[0].status, late.cost) == ("succeeded", Decimal("0.1"))


@pytest.mark.parametrize("write", ["one", "group"])
def test_an_older_answer_leaves_all_that_is_known_of_what_has_ended(
    write: str, ledger: Ledger
) -> None:
    entry, _ = begin(ledger)
    ledger.mark_accepted(entry, ["a"], [])
    done = MediaItem(
        generation_id="a", status="succeeded", url="https://cdn/1.png", path=Path("/tmp/1.png"),
        sha256="5f", size=3, seed=7, cost=Decimal("0.1"),
    )  # fmt: skip
    ledger.update(entry, [done])
    older = MediaItem(generation_id="a", status="processing")
    if write == "one":
        assert ledger.update(entry, [older]).items == (done,)
    else:
        (late,) = GroupedWrites(ledger).update([Change(replace(entry, items=(older,)))])
        assert isinstance(late, Entry)
        assert late.items == (done,)
    assert ledger.entries()[0].items == (done,)


def test_a_write_off_takes_nothing_back_that_was_learned_meanwhile(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    entry, _ = begin_from(budget, ledger, count=2)
    ledger.mark_accepted(entry, ["a", "b"], [])
    failures = [MediaItem(generation_id=each, status="failed") for each in "ab"]
    seen = ledger.update(entry, failures)
    ledger.update(seen, [replace(failures[0], cost=Decimal("0.07"), error="too late")])
    written = ledger.write_off(seen)
    assert [item.cost for item in written.items] == [Decimal("0.07"), 0]
    assert written.items[0].error == "too late"
    assert (budget.spent, budget.reserved) == (Decimal("0.07"), 0)
    assert ledger.write_off(seen) == written  # once is enough


def test_a_write_off_of_what_succeeded_meanwhile_writes_nothing(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    entry, _ = begin_from(budget, ledger, count=3)
    ledger.mark_accepted(entry, ["a"], [])
    seen = ledger.update(
        entry, [MediaItem(generation_id="a", status="succeeded", cost=Decimal("0.1"))]
    )
    assert seen.may_be_written_off
    ledger.mark_accepted(entry, ["a", "b", "c"], [])
    assert ledger.write_off(seen).notes == ()
    assert budget.reserved == Decimal("0.20")


def test_an_absurd_cost_is_not_counted(ledger: Ledger) -> None:
    budget = Budget("1.00", name="b", ledger=ledger)
    entry, _ = begin_from(budget, ledger)
    ledger.mark_accepted(entry, ["a"], [])
    ledger.update(entry, [MediaItem(generation_id="a", status="succeeded", cost=Decimal("1e30"))])
    assert (budget.spent, budget.reserved) == (0, Decimal("0.10"))


def test_a_ledger_that_another_process_is_making_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j.sqlite3"
    monkeypatch.setattr("oxen_inference.ledger.database._BUSY_SECONDS", 0.2)
    with sqlite3.connect(path, isolation_level=None, check_same_thread=False) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerError, match="database is locked"):
            Ledger(path).entries()  # and never falls back to memory
        monkeypatch.setattr("oxen_inference.ledger.database._BUSY_SECONDS", 0.0)
        monkeypatch.setattr("time.sleep", lambda _: other.execute("COMMIT"))
        monkeypatch.setattr("time.monotonic", lambda: 0.0)
        ledger = Ledger(path)
        assert ledger.durable
    other.close()


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("oxen_entries", "request", "{"),
        ("oxen_entries", "request", "[]"),
        ("oxen_entries", "notes", "no list"),
        ("oxen_entries", "defaults", ""),
        ("oxen_entries", "error", "}"),
        ("oxen_entries", "state", "accepte"),
        ("oxen_generations", "item", "{"),
        ("oxen_generations", "item", '{"generation_id": "g1", "cost": "a lot"}'),
        ("oxen_generations", "item", "7"),
    ],
)
def test_a_damaged_row_hides_no_other(ledger: Ledger, table: str, column: str, value: str) -> None:
    damaged, _ = begin(ledger, key="k0")
    ledger.mark_posting(damaged)
    ledger.mark_accepted(damaged, ["g0"], [])
    begin(ledger, key="k1")
    sql(ledger, f"UPDATE {table} SET {column} = :value WHERE entry_id = :id", value=value, id=damaged.entry_id)  # fmt: skip
    entries = ledger.entries(SCOPE)
    assert {each.key for each in entries} == {"k0", "k1"}
    read = next(each for each in entries if each.key == "k0")
    assert read.generation_ids == ("g0",)  # so the hub can still be asked about it
    assert not read.may_be_claimed
    again, mine = begin(ledger, key="k0")
    assert (again.entry_id, mine) == (damaged.entry_id, False)
    item = MediaItem(generation_id="g0", status="succeeded", cost=Decimal(1))
    assert ledger.update(read, [item]).items == (item,)


@pytest.mark.parametrize("column", ["created_at", "count", "posted_at"])
def test_a_number_that_is_none_hides_no_other(file: Ledger, column: str) -> None:
    for key in ("k0", "k1"):
        ledger_entry, _ = begin(file, key=key)
    sql(file, f"UPDATE oxen_entries SET {column} = 'x' WHERE key = 'k0'")
    by_key = {each.key: each for each in file.entries(SCOPE)}
    assert by_key["k1"] == ledger_entry
    assert by_key["k0"].notes == (f"Damaged in the ledger: {column}.",)


def test_bytes_that_are_no_text_hide_no_other(file: Ledger) -> None:
    for key in ("k0", "k1"):
        begin(file, key=key)
    sql(file, "UPDATE oxen_entries SET notes = CAST(x'80ff' AS TEXT) WHERE key = 'k0'")
    assert {each.key for each in file.entries(SCOPE)} == {"k0", "k1"}


def test_what_was_found_does_not_replace_the_hub_s_own_answer(ledger: Ledger) -> None:
    entry, _ = begin(ledger, key="k")
    ledger.mark_posting(entry)
    assert ledger.mark_accepted(entry, ["found"], [], were_found=True)
    # The sender was alive, and gets an answer after all: what was paid for is not lost.
    assert ledger.mark_accepted(entry, ["answered"], [])
    known = ledger.get(entry.entry_id)
    assert known is not None
    assert known.generation_ids == ("found", "answered")
    assert ledger.mark_accepted(entry, ["another"], [], were_found=True)
    assert ledger.get(entry.entry_id) == known


def test_an_earlier_attempt_adopts_nothing(ledger: Ledger) -> None:
    first, _ = begin(ledger, key="k")
    ledger.mark_posting(first)
    ledger.mark_rejected(first, {"message": "no"})
    rejected = ledger.get(first.entry_id)
    assert rejected is not None
    assert not ledger.mark_accepted(rejected, ["g"], [], were_found=True)
    assert ledger.claim(rejected, intent(key="k"))
    second = ledger.get(first.entry_id)
    assert second is not None
    assert ledger.mark_posting(second)
    # Whoever still looks for the first attempt's job has nothing to say any more.
    assert not ledger.mark_accepted(first, ["g"], [], were_found=True)
    ledger.mark_unknown(first, {"message": "lost"})
    ledger.mark_rejected(first, {"message": "lost"})
    known = ledger.get(first.entry_id)
    assert known is not None
    assert (known.state, known.attempt) == ("posting", 1)


def test_a_pickled_budget_is_the_one_in_its_ledger_or_none(ledger: Ledger) -> None:
    budget = Budget("1", name="studio", ledger=ledger)
    budget.record("0.25")
    if ledger.path is None:
        return  # by its URL, its credentials come from the environment: see below
    travels = pickle.dumps(budget)
    budget.change_limit("2")
    assert (pickle.loads(travels).limit, pickle.loads(travels).spent) == (2, Decimal("0.25"))
    sql(ledger, "DELETE FROM oxen_charges")
    sql(ledger, "DELETE FROM oxen_budgets")
    with pytest.raises(LedgerError, match="no longer in its ledger"):
        pickle.loads(travels)


@pytest.mark.parametrize("units", [2 * 10**9, 10**45, 10**45 + 1, -(10**45)])
def test_absurd_amounts_of_a_damaged_row_are_read(units: int) -> None:
    assert to_usd(units) == pytest.approx(Decimal(units) / 10**8)
