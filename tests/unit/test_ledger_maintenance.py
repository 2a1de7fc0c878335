"""Moving a ledger, pruning it, and erasing prompts."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Budget, Ledger
from oxen_inference.cli.main import main
from oxen_inference.errors import LedgerError
from oxen_inference.ledger import maintenance
from oxen_inference.ledger.entries import Entry, Intent, Scope
from oxen_inference.ledger.schema import metadata
from oxen_inference.ledger.store import Begun
from oxen_inference.result import MediaItem
from tests.support.databases import emptied, other_machine, sql

SCOPE = Scope("https://hub", "me")
SECRET = "a very secret prompt"


@pytest.fixture
def file(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "old.sqlite3")


def begin(ledger: Ledger, key: str, budget: Budget | None = None, **more: Any) -> Entry:
    intent = Intent(
        scope=SCOPE, fingerprint=key, kind="queue", model="m", media_type="image", key=key,
        request={"model": "m", "prompt": f"{SECRET} {key}"}, **more,
    )  # fmt: skip
    reservation = budget.reservation(ledger, Decimal("0.10"), 1) if budget else None
    begun = ledger.begin(intent, reservation)
    assert isinstance(begun, Begun)
    return begun.entry


def fill(ledger: Ledger) -> Budget:
    """Entries in every state, under one budget."""
    budget = Budget("10", name="studio", ledger=ledger)
    for key in ("done", "running", "undelivered"):
        conversation = "c" if key == "undelivered" else None
        entry = begin(ledger, key, budget, conversation=conversation)
        ledger.mark_posting(entry)
        ledger.mark_accepted(entry, [f"g-{key}"], [])
        if key != "running":
            item = MediaItem(generation_id=f"g-{key}", status="succeeded", cost=Decimal("0.05"))
            ledger.update(entry, [item])
    for key, end in (("rejected", ledger.mark_rejected), ("unknown", ledger.mark_unknown)):
        entry = begin(ledger, key, budget)
        ledger.mark_posting(entry)
        end(entry, {"message": "no"})
    begin(ledger, "intended", budget)
    return budget


def without_tables(url: str) -> str:
    """Drop all tables of a server's ledger."""
    server = Ledger(emptied(url))
    with server.database.writing() as connection:
        metadata.drop_all(connection)
    server.close()
    return url


def keys(ledger: Ledger) -> set[str | None]:
    return {entry.key for entry in ledger.entries()}


def test_a_copy_is_the_same_ledger(file: Ledger, postgres: str, tmp_path: Path) -> None:
    budget = fill(file)
    there, back = Ledger(without_tables(postgres)), Ledger(tmp_path / "back.sqlite3")
    for source, target in ((file, there), (there, back)):
        copied = maintenance.copy(source, target)
        assert (copied.entries, copied.budgets) == (6, 1)
        assert [e.key for e in target.entries()] == [e.key for e in source.entries()]
        same = Budget("10", name="studio", ledger=target)
        assert (same.spent, same.reserved) == (budget.spent, budget.reserved)
    # Who had begun something is at work no more, as far as the new ledger knows.
    intended = there.find(SCOPE, "intended")
    assert intended is not None
    assert intended.may_be_claimed
    assert begin(there, "new").key == "new"  # its rows are numbered on
    with pytest.raises(LedgerError, match="is not empty") as refused:
        maintenance.copy(file, there)
    assert "empty database" in str(refused.value.hint)
    with pytest.raises(LedgerError, match="one and the same"):
        maintenance.copy(file, Ledger(file.path))
    there.close()


def test_a_ledger_in_use_is_not_copied(file: Ledger, tmp_path: Path) -> None:
    fill(file)
    other_machine(file, age=3)
    with pytest.raises(LedgerError, match="is at work with the ledger"):
        maintenance.copy(file, Ledger(tmp_path / "new.sqlite3"))
    sql(
        file,
        "UPDATE oxen_leases SET heartbeat_at = heartbeat_at - 100 WHERE lease_id LIKE 'lease-%'",
    )
    assert maintenance.copy(file, Ledger(tmp_path / "new.sqlite3")).entries == 6


def test_pruning_keeps_what_may_still_matter(ledger: Ledger) -> None:
    budget = fill(ledger)
    assert maintenance.prune(ledger, 3600) == 0
    sql(ledger, "UPDATE oxen_entries SET decided_at = decided_at - 7200")
    before = (budget.spent, budget.reserved)
    assert maintenance.prune(ledger, 3600) == 2
    assert keys(ledger) == {"running", "undelivered", "unknown", "intended"}
    assert (budget.spent, budget.reserved) == before
    assert maintenance.prune(ledger, 0) == 0
    undelivered = ledger.find(SCOPE, "undelivered")
    assert undelivered is not None
    ledger.mark_delivered(undelivered)
    assert maintenance.prune(ledger, 0) == 1


def test_erased_prompts_are_gone_and_keys_still_stand(ledger: Ledger) -> None:
    fill(ledger)
    assert maintenance.erase_prompts(ledger) == 3
    assert maintenance.erase_prompts(ledger) == 0
    shown = {entry.key: entry.prompt for entry in ledger.entries()}
    assert {key for key, prompt in shown.items() if prompt is None} == {
        "done", "undelivered", "rejected",
    }  # fmt: skip
    again = begin(ledger, "done")
    assert again.generation_ids == ("g-done",)
    if ledger.path is not None:
        ledger.close()
        kept = b"".join(each.read_bytes() for each in ledger.path.parent.iterdir())
        assert f"{SECRET} running".encode() in kept
        assert f"{SECRET} done".encode() not in kept


def test_setup_in_the_terminal_says_what_it_did(
    tmp_path: Path, postgres: str, capsys: pytest.CaptureFixture[str]
) -> None:
    without_tables(postgres)
    for where in (str(tmp_path / "l.sqlite3"), postgres):
        for said in ("created the tables", "are up to date"):
            assert main(["ledger", "setup", "--ledger", where]) == 0
            assert said in capsys.readouterr().out
        maintenance.check_rights(Ledger(where))
        assert Ledger(where).entries() == []


def test_the_commands(
    file: Ledger,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(file)
    new = tmp_path / "new.sqlite3"
    assert main(["ledger", "copy", str(file.path), str(new)]) == 0
    assert "copied 6 requests and 1 budget;" in capsys.readouterr().out
    erase = ["ledger", "erase-prompts", "--older-than", "0d"]
    erase += ["--ledger", str(new)]
    assert main([*erase, "--dry-run"]) == 0
    assert (
        capsys.readouterr().out == "nothing was changed; it would erase the prompts of 3 requests\n"
    )
    assert main(erase) == 2
    assert "Erase the prompts and parameters of 3 requests?" in capsys.readouterr().err
    assert sum(entry.prompt is not None for entry in Ledger(new).entries()) == 6
    assert main([*erase, "--json", "--yes"]) == 0
    assert json.loads(capsys.readouterr().out) == {"requests": 3}
    prune = ["ledger", "prune", "--older-than", "0d", "--ledger", str(new)]
    assert main([*prune, "--dry-run"]) == 0
    assert capsys.readouterr().out == "nothing was changed; it would prune 2 requests\n"
    assert main(prune) == 2
    assert "Delete 2 requests? A call with one of their keys pays again." in capsys.readouterr().err
    assert len(Ledger(new).entries()) == 6
    assert main([*prune, "--yes"]) == 0
    assert capsys.readouterr().out == "pruned 2 requests\n"
    assert len(Ledger(new).entries()) == 4
    assert main(["ledger", "copy", str(tmp_path / "none"), str(new)]) == 1
    assert "there is no ledger at" in capsys.readouterr().err
    for command in (["ledger", "erase-prompts"], ["ledger", "prune"]):
        assert main([*command, "--older-than", "1d", "--ledger", str(tmp_path / "none")]) == 1
        assert "there is no ledger at" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    ages = ("soon", "90", "30s")
    for wrong in (
        ["ledger"],
        ["ledger", "erase-prompts"],
        *(["ledger", "prune", "--older-than", age] for age in ages),
    ):
        with pytest.raises(SystemExit):
            main(wrong)
