"""The write-ahead ledger of paid generations: what was meant, sent, accepted, made and fetched.

An entry is written, durably, before its request is sent, and moves

    intended ──► posting ──► accepted ──► its generations end, one by one
        ▲  │        │  └───► unknown ──► accepted, once the job is found
        │  ▼        ▼
        └─ rejected ◄┘          nothing was bought; the same key may try anew

``intended`` is proof that nothing was sent; ``posting`` and ``unknown`` mean that something
perhaps was, and are never sent again. Every move checks the state it starts from, so that of
two processes at work on one entry only one can send. All moves are in this one module, long as
that makes it: whether they are safe shows only side by side.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import platformdirs

from oxen_inference.errors import ConfigurationError, KeyConflictError
from oxen_inference.ledger import accounts, conversations
from oxen_inference.ledger import generations as generation_rows
from oxen_inference.ledger.budgets import Reserve
from oxen_inference.ledger.entries import Entry, Intent, Scope
from oxen_inference.ledger.leases import this_process
from oxen_inference.ledger.schema import LedgerFile
from oxen_inference.result import MediaItem

__all__ = [
    "Entry",
    "Intent",
    "Ledger",
    "Scope",
    "default_ledger",
    "default_path",
]


class Ledger:
    """The ledger in a SQLite file: `path`, or the user's state directory (`OXEN_STATE_DIR`).

    Safe to share between threads and processes. Raises `LedgerError` where it cannot be opened;
    only a default one that cannot be made is kept in memory, with a `LedgerWarning`, and
    `durable` is False.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        # Absolute: a relative path would stand for another ledger in another working directory.
        whole = default_path() if path is None else Path(path).expanduser().absolute()
        self.file = LedgerFile(whole, may_be_memory=whole == default_path())

    @classmethod
    def in_memory(cls) -> Ledger:
        """Return a ledger that ends with the process: what ``ledger=None`` stands for."""
        ledger = cls.__new__(cls)
        ledger.file = LedgerFile(None)
        return ledger

    @classmethod
    def of(cls, given: object) -> Ledger:
        """Return what a client's ``ledger=`` stands for. Raises `ConfigurationError`."""
        if isinstance(given, Ledger):
            return given
        if given is None:
            return cls.in_memory()
        if isinstance(given, str | os.PathLike):
            return cls(given)
        raise ConfigurationError(
            "ledger must be a Ledger, the path of one, or None to keep it in memory; not "
            f"{type(given).__name__}."
        )

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r})" if self.path else "Ledger.in_memory()"

    def __copy__(self) -> Ledger:
        return self

    def __deepcopy__(self, _: Any) -> Ledger:
        return self

    def __reduce__(self) -> Any:
        return (Ledger, (str(self.path),)) if self.path else (Ledger.in_memory, ())

    @property
    def path(self) -> Path | None:
        """The file, or None where it is kept in memory."""
        return self.file.path

    @property
    def durable(self) -> bool:
        """Whether the ledger survives this process. Opens the file."""
        return self.file.durable

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        self.file.close()

    def entries(self, scope: Scope | None = None) -> list[Entry]:
        """Return the ledger, newest first."""
        if scope is None:
            return self._select("1 = 1")
        return self._select("hub = ? AND account = ?", scope.hub, scope.account)

    def unresolved(self, scope: Scope, *, besides: str) -> list[Entry]:
        """Return the requests that were perhaps sent and have no ids yet."""
        return self._select(
            "hub = ? AND account = ? AND state IN ('posting', 'unknown') AND entry_id <> ?",
            scope.hub,
            scope.account,
            besides,
        )

    def find(self, scope: Scope, key: str) -> Entry | None:
        found = self._select("hub = ? AND account = ? AND key = ?", scope.hub, scope.account, key)
        if found:
            return found[0]
        with self.file.reading() as connection:
            joined = conversations.entry_called(connection, scope.hub, scope.account, key)
        return self.get(joined) if joined else None

    def get(self, entry_id: str) -> Entry | None:
        found = self._select("entry_id = ?", entry_id)
        return found[0] if found else None

    def owners(self, generation_ids: Iterable[str]) -> dict[str, str]:
        """Return which entry each known generation belongs to."""
        with self.file.reading() as connection:
            rows = [
                connection.execute(
                    "SELECT generation_id, entry_id FROM generations WHERE generation_id = ?",
                    (one,),
                ).fetchone()
                for one in generation_ids
            ]
        return {row["generation_id"]: row["entry_id"] for row in rows if row is not None}

    def begin(self, intent: Intent) -> tuple[Entry, bool]:
        """Write an intent and hold its money; or return what its key already stands for, or the
        unfinished job of its conversation that it means.

        The second value says whether the entry is the caller's to send. An entry begun in a
        conversation is attended until `leave`. Raises `KeyConflictError`, `BudgetExceededError`.
        """
        known = self._begun_before(intent)
        if known is not None:
            return known, False
        entry_id = uuid.uuid4().hex
        if intent.conversation is not None:
            conversations.attend(entry_id)  # before anybody else can see it
        try:
            with _reserving(intent, self.file) as reserve, self.file.writing() as connection:
                written = connection.execute(
                    "INSERT OR IGNORE INTO entries (entry_id, hub, account, key, fingerprint, kind,"
                    " model, media_type, request, defaults, count, asked, state, owner, created_at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'intended', ?, ?)",
                    (
                        entry_id, intent.scope.hub, intent.scope.account, intent.key,
                        intent.fingerprint, intent.kind, intent.model, intent.media_type,
                        json.dumps(intent.request), json.dumps(intent.defaults), intent.count,
                        intent.asked, this_process(), time.time(),
                    ),
                ).rowcount  # fmt: skip
                if written:
                    _hold(connection, reserve, intent, entry_id)
                if written and intent.conversation is not None:
                    conversations.add(connection, intent.conversation, intent.key, entry_id)
        except BaseException:
            _leave(intent, entry_id)
            raise
        if written:
            return self._known(entry_id), True
        _leave(intent, entry_id)
        return self.begin(intent)  # a twin was faster: its row is what the key stands for

    def collected(self, entry: Entry) -> None:
        """Write that the entry's generations, which may be some of its request's, were handed over."""
        ended = [one.generation_id for one in entry.items if one.generation_id and one.is_terminal]
        with self.file.writing() as connection:
            conversations.collected(connection, entry.entry_id, ended)

    def begun(self, intent: Intent) -> Entry | None:
        """Return the entry that `begin` would return instead of a new one; writes nothing."""
        known = None if intent.key is None else self.find(intent.scope, intent.key)
        if known is not None:
            _refuse_conflict(known, intent)
            return known
        with self.file.reading() as connection:
            entry_id = _to_join(connection, intent)
        return None if entry_id is None else self.get(entry_id)

    def _begun_before(self, intent: Intent) -> Entry | None:
        """Return what an intent's key, or another call of its conversation, has begun."""
        known = None if intent.key is None else self.find(intent.scope, intent.key)
        if known is not None:
            _refuse_conflict(known, intent)
        elif intent.conversation is not None:
            with self.file.writing() as connection:
                entry_id = _to_join(connection, intent)
                if entry_id is not None:
                    conversations.add(connection, intent.conversation, intent.key, entry_id)
            known = self._known(entry_id) if entry_id is not None else None
        if known is not None and intent.conversation is not None:
            conversations.attend(known.entry_id)
        return known

    def claim(self, entry: Entry, intent: Intent) -> bool:
        """Take over an entry that surely was not sent: abandoned before, or rejected.

        It becomes what the intent will send, which may be checked by another schema by now.
        """
        with _reserving(intent, self.file) as reserve, self.file.writing() as connection:
            claimed = connection.execute(
                "UPDATE entries SET state = 'intended', owner = ?, error = NULL, decided_at = NULL,"
                " created_at = ?, attempt = attempt + 1, fingerprint = ?, asked = ?, request = ?,"
                " defaults = ?, count = ? WHERE entry_id = ? AND state = ?"
                " AND attempt = ? AND state IN ('intended', 'rejected')",
                (
                    this_process(), time.time(), intent.fingerprint, intent.asked,
                    json.dumps(intent.request), json.dumps(intent.defaults), intent.count,
                    entry.entry_id, entry.state, entry.attempt,
                ),
            ).rowcount  # fmt: skip
            if claimed:
                accounts.release(connection, entry.entry_id)
                _hold(connection, reserve, intent, entry.entry_id)
        return bool(claimed)

    def posting(self, entry: Entry) -> bool:
        """Write that the request may be on its way from now on; False if it is not the caller's."""
        with self.file.writing() as connection:
            return bool(
                connection.execute(
                    "UPDATE entries SET state = 'posting', posted_at = ? WHERE entry_id = ?"
                    " AND state = 'intended' AND owner = ? AND attempt = ?",
                    (time.time(), entry.entry_id, entry.owner, entry.attempt),
                ).rowcount
            )

    def not_sent(self, entry: Entry) -> None:
        """Write that the request surely bought nothing, and will be tried again."""
        self._move(entry, "intended", None)

    def accepted(self, entry: Entry, generation_ids: Iterable[str], notes: Iterable[str]) -> bool:
        """Write the ids that the hub gave, or that were found; False if another entry has them."""
        with self.file.writing() as connection:
            return generation_rows.accepted(connection, entry, list(generation_ids), list(notes))

    def let_go(self, entry: Entry, error: Mapping[str, Any]) -> None:
        """Give up an entry that was not sent, if it is still at that."""
        with self.file.writing() as connection:
            if connection.execute(
                "UPDATE entries SET state = 'rejected', error = ?, decided_at = ?"
                " WHERE entry_id = ? AND attempt = ? AND state = 'intended'",
                (json.dumps(error), time.time(), entry.entry_id, entry.attempt),
            ).rowcount:
                accounts.release(connection, entry.entry_id)

    def rejected(self, entry: Entry, error: Mapping[str, Any]) -> None:
        """Write that nothing was bought, and give the money back."""
        self._move(entry, "rejected", error)

    def unknown(self, entry: Entry, error: Mapping[str, Any]) -> None:
        """Write that it cannot be told; the money stays held."""
        self._move(entry, "unknown", error)

    def made(self, entry: Entry, items: Iterable[MediaItem]) -> None:
        """Write a direct request's results, which have no ids."""
        with self.file.writing() as connection:
            generation_rows.made(connection, entry, items)

    def update(self, entry: Entry, items: Iterable[MediaItem]) -> Entry:
        """Write how far the generations are, and settle those whose cost is known."""
        with self.file.writing() as connection:
            generation_rows.make_up(connection, entry)
            generation_rows.update(connection, entry, items)
        return self._known(entry.entry_id)

    def write_off(self, entry: Entry) -> Entry:
        """Write that generations which ended without a cost cost nothing."""
        items = [replace(i, cost=Decimal(0)) if i.cost is None else i for i in entry.items]
        note = "Written off: somebody saw that what ended without success was not billed."
        with self.file.writing() as connection:
            connection.execute(
                "UPDATE entries SET notes = ? WHERE entry_id = ?",
                (json.dumps([*entry.notes, note]), entry.entry_id),
            )
            generation_rows.update(connection, entry, items)
        return self._known(entry.entry_id)

    def _move(self, entry: Entry, state: str, error: Mapping[str, Any] | None) -> None:
        with self.file.writing() as connection:
            moved = connection.execute(
                "UPDATE entries SET state = ?, error = ?, decided_at = ? WHERE entry_id = ?"
                " AND attempt = ? AND state <> 'accepted'",
                (
                    state, json.dumps(error) if error else None, time.time(),
                    entry.entry_id, entry.attempt,
                ),
            ).rowcount  # fmt: skip
            if moved and state == "rejected":
                accounts.release(connection, entry.entry_id)

    def _known(self, entry_id: str) -> Entry:
        entry = self.get(entry_id)
        assert entry is not None, entry_id  # noqa: S101 - written in the same breath
        return entry

    def _select(self, where: str, *values: object) -> list[Entry]:
        with self.file.reading() as connection:
            rows = connection.execute(
                f"SELECT * FROM entries WHERE {where} ORDER BY created_at DESC, rowid DESC",  # noqa: S608 - `where` is never input
                values,
            ).fetchall()
            return [_read(connection, row) for row in rows]


def default_path() -> Path:
    """Return where the ledger is by default."""
    folder = os.environ.get("OXEN_STATE_DIR", "").strip()
    base = _from_here(folder) if folder else platformdirs.user_state_path("oxen-integrations")
    return base / "ledger.sqlite3"


@lru_cache(maxsize=16)
def _from_here(folder: str) -> Path:
    """A relative folder stays what it was when it was first asked for, wherever the process goes."""
    return Path(folder).expanduser().absolute()


def default_ledger() -> Ledger:
    """Return the ledger at the default path; one object for all who use it."""
    return _ledger_at(str(default_path()))


@lru_cache(maxsize=16)
def _ledger_at(path: str) -> Ledger:
    return Ledger(path)


def _to_join(connection: sqlite3.Connection, intent: Intent) -> str | None:
    if intent.conversation is None:
        return None
    scope = intent.scope
    return conversations.to_join(
        connection, intent.conversation, scope.hub, scope.account, intent.fingerprint
    )


@contextmanager
def _reserving(intent: Intent, file: LedgerFile) -> Iterator[Reserve | None]:
    if intent.budget is None:
        yield None
        return
    with intent.budget.reserving(file) as reserve:
        yield reserve


def _hold(
    connection: sqlite3.Connection, reserve: Reserve | None, intent: Intent, entry_id: str
) -> None:
    if reserve is not None:
        reserve(connection, entry_id, intent.unit_cost or Decimal(0), intent.count)


def _leave(intent: Intent, entry_id: str) -> None:
    if intent.conversation is not None:
        conversations.leave(entry_id)


def _refuse_conflict(known: Entry, intent: Intent) -> None:
    is_same = known.fingerprint == intent.fingerprint
    if is_same or (known.asked is not None and known.asked == intent.asked):
        return
    names = sorted(
        name
        for name in {*known.request, *intent.request}
        if known.request.get(name) != intent.request.get(name)
    )
    raise KeyConflictError(
        f"The key {intent.key!r} already stands for another request to {known.model} (different: "
        f"{', '.join(names) or 'parameters'}). Use a new key for a new generation."
    )


def _read(connection: sqlite3.Connection, row: sqlite3.Row) -> Entry:
    items = connection.execute(
        "SELECT item FROM generations WHERE entry_id = ? ORDER BY position", (row["entry_id"],)
    )
    values = dict(row)
    for name in ("request", "defaults"):
        values[name] = json.loads(values[name])
    values["error"] = json.loads(values["error"]) if values["error"] else None
    values["notes"] = tuple(json.loads(values["notes"]))
    return Entry(
        **values,
        items=tuple(MediaItem.from_dict(json.loads(item["item"])) for item in items),
        reserved=accounts.held(connection, row["entry_id"]),
    )
