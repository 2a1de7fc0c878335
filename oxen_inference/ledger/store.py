"""The write-ahead ledger of paid generations: every move of an entry, in one module.

An entry is written, durably, before its request is sent, and moves

    intended ──► posting ──► accepted ──► its generations end, one by one
        ▲  │        │  └───► unknown ──► accepted, once the job is found
        │  ▼        ▼
        └─ rejected ◄┘          nothing was bought; the same key may try again

``intended`` proves that nothing was sent. ``posting`` and ``unknown`` mean that something may
have been, and are never sent again. Every move checks the state it starts from, so that of two
processes at work on one entry only one can send.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import platformdirs

from oxen_inference.errors import ConfigurationError, KeyConflictError
from oxen_inference.ledger import accounts, conversations, generations
from oxen_inference.ledger.accounts import Reservation
from oxen_inference.ledger.entries import Entry, Intent, Scope
from oxen_inference.ledger.leases import this_process
from oxen_inference.ledger.schema import LedgerFile
from oxen_inference.result import MediaItem


class Ledger:
    """The ledger in a SQLite file: `path`, or the user's state directory (`OXEN_STATE_DIR`).

    Safe to share between threads and processes. Raises `LedgerError` where it cannot be opened;
    only a default one that cannot be created is kept in memory, with a `LedgerWarning`, and
    `durable` is False.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        # Absolute: a relative path would name another ledger in another working directory.
        absolute = default_path() if path is None else Path(path).expanduser().absolute()
        self.file = LedgerFile(absolute, may_be_memory=absolute == default_path())

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

    def is_same(self, other: Ledger) -> bool:
        """Whether both stand for one file, or are one object."""
        if self is other:
            return True
        if not (self.durable and other.durable):
            return False  # each ledger in memory is another one
        return os.path.realpath(str(self.path)) == os.path.realpath(str(other.path))

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        self.file.close()

    def entries(self, scope: Scope | None = None) -> list[Entry]:
        """Return the entries, newest first."""
        if scope is None:
            return self._select("1 = 1")
        return self._select("hub = ? AND account = ?", scope.hub, scope.account)

    def unresolved(self, scope: Scope, *, except_for: str) -> list[Entry]:
        """Return the requests that may have been sent and have no ids yet."""
        return self._select(
            "hub = ? AND account = ? AND state IN ('posting', 'unknown') AND entry_id <> ?",
            scope.hub,
            scope.account,
            except_for,
        )

    def find(self, scope: Scope, key: str) -> Entry | None:
        """Return the entry that a key stands for."""
        found = self._select("hub = ? AND account = ? AND key = ?", scope.hub, scope.account, key)
        if found:
            return found[0]
        with self.file.reading() as connection:
            joined = conversations.entry_of_call(connection, scope.hub, scope.account, key)
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
                    (each,),
                ).fetchone()
                for each in generation_ids
            ]
        return {row["generation_id"]: row["entry_id"] for row in rows if row is not None}

    def begin(self, intent: Intent, reservation: Reservation | None = None) -> tuple[Entry, bool]:
        """Write an intent and reserve its money; or return what its key already stands for, or
        the unfinished job of its conversation that it joins.

        The second value says whether the entry is the caller's to send. An entry begun in a
        conversation is attended until `leave`. Raises `KeyConflictError`, `BudgetExceededError`.
        """
        known = self._join(intent)
        if known is not None:
            return known, False
        entry_id = uuid.uuid4().hex
        if intent.conversation is not None:
            conversations.attend(entry_id)  # before anybody else can see it
        try:
            with self.file.writing() as connection:
                written = _insert(connection, entry_id, intent)
                if written and reservation is not None:
                    accounts.reserve(connection, entry_id, reservation)
                if written and intent.conversation is not None:
                    conversations.add_call(connection, intent.conversation, intent.key, entry_id)
        except BaseException:
            _leave(intent, entry_id)
            raise
        if written:
            return self._known(entry_id), True
        _leave(intent, entry_id)
        return self.begin(intent, reservation)  # another call was faster: join its entry

    def find_existing(self, intent: Intent) -> Entry | None:
        """Return the entry that `begin` would return instead of a new one; writes nothing."""
        known = None if intent.key is None else self.find(intent.scope, intent.key)
        if known is not None:
            _check_same_request(known, intent)
            return known
        with self.file.reading() as connection:
            entry_id = _entry_to_join(connection, intent)
        return None if entry_id is None else self.get(entry_id)

    def _join(self, intent: Intent) -> Entry | None:
        """Return what an intent's key, or another call of its conversation, has begun."""
        known = None if intent.key is None else self.find(intent.scope, intent.key)
        if known is not None:
            _check_same_request(known, intent)
        elif intent.conversation is not None:
            with self.file.writing() as connection:
                entry_id = _entry_to_join(connection, intent)
                if entry_id is not None:
                    conversations.add_call(connection, intent.conversation, intent.key, entry_id)
            known = self._known(entry_id) if entry_id is not None else None
        if known is not None and intent.conversation is not None:
            conversations.attend(known.entry_id)
        return known

    def claim(self, entry: Entry, intent: Intent, reservation: Reservation | None = None) -> bool:
        """Take over an entry that surely was not sent: abandoned before that, or rejected.

        It becomes what the intent will send, since the model's schema may have changed.
        """
        with self.file.writing() as connection:
            claimed = connection.execute(
                "UPDATE entries SET state = 'intended', owner = ?, error = NULL, decided_at = NULL,"
                " created_at = ?, attempt = attempt + 1, fingerprint = ?, caller_fingerprint = ?,"
                " request = ?, defaults = ?, count = ? WHERE entry_id = ? AND state = ?"
                " AND attempt = ? AND state IN ('intended', 'rejected')",
                (
                    this_process(), time.time(), intent.fingerprint, intent.caller_fingerprint,
                    json.dumps(intent.request), json.dumps(intent.defaults), intent.count,
                    entry.entry_id, entry.state, entry.attempt,
                ),
            ).rowcount  # fmt: skip
            if claimed:
                accounts.release(connection, entry.entry_id)
                if reservation is not None:
                    accounts.reserve(connection, entry.entry_id, reservation)
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

    def return_to_intended(self, entry: Entry) -> None:
        """Write that the request surely bought nothing, and will be tried again."""
        self._move(entry, "intended", None)

    def accepted(self, entry: Entry, generation_ids: Iterable[str], notes: Iterable[str]) -> bool:
        """Write the ids that the hub gave, or that were found; False if another entry has them."""
        with self.file.writing() as connection:
            return generations.accept(connection, entry, list(generation_ids), list(notes))

    def abandon(self, entry: Entry, error: Mapping[str, Any]) -> None:
        """Reject an entry that was not sent; any other stays as it is."""
        with self.file.writing() as connection:
            if connection.execute(
                "UPDATE entries SET state = 'rejected', error = ?, decided_at = ?"
                " WHERE entry_id = ? AND attempt = ? AND state = 'intended'",
                (json.dumps(error), time.time(), entry.entry_id, entry.attempt),
            ).rowcount:
                accounts.release(connection, entry.entry_id)

    def rejected(self, entry: Entry, error: Mapping[str, Any]) -> None:
        """Write that nothing was bought, and release the money."""
        self._move(entry, "rejected", error)

    def unknown(self, entry: Entry, error: Mapping[str, Any]) -> None:
        """Write that the outcome is unknown; the money stays reserved."""
        self._move(entry, "unknown", error)

    def delivered(self, entry: Entry) -> None:
        """Write that the entry's generations, which may be some of its request's, were delivered."""
        ended = [item.generation_id for item in entry.items if item.generation_id and item.is_terminal]  # fmt: skip
        with self.file.writing() as connection:
            conversations.mark_delivered(connection, entry.entry_id, ended)

    def record_results(self, entry: Entry, items: Iterable[MediaItem]) -> None:
        """Write a direct request's results, which have no ids."""
        with self.file.writing() as connection:
            generations.record_results(connection, entry, items)

    def update(self, entry: Entry, items: Iterable[MediaItem]) -> Entry:
        """Write how far the generations are, and settle those whose cost is known."""
        with self.file.writing() as connection:
            generations.catch_up(connection, entry)
            generations.update(connection, entry, items)
        return self._known(entry.entry_id)

    def write_off(self, entry: Entry) -> Entry:
        """Write that generations which ended without a cost cost nothing."""
        items = [replace(i, cost=Decimal(0)) if i.cost is None else i for i in entry.items]
        note = "Written off by hand: what ended without success was not billed."
        with self.file.writing() as connection:
            connection.execute(
                "UPDATE entries SET notes = ? WHERE entry_id = ?",
                (json.dumps([*entry.notes, note]), entry.entry_id),
            )
            generations.update(connection, entry, items)
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
        assert entry is not None, entry_id  # noqa: S101 - written by the caller
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
    base = _absolute(folder) if folder else platformdirs.user_state_path("oxen-integrations")
    return base / "ledger.sqlite3"


@lru_cache(maxsize=16)
def _absolute(folder: str) -> Path:
    """A relative folder keeps its first meaning, wherever the process changes to."""
    return Path(folder).expanduser().absolute()


def default_ledger() -> Ledger:
    """Return the ledger at the default path; one object for all who use it."""
    return _ledger_at(str(default_path()))


@lru_cache(maxsize=16)
def _ledger_at(path: str) -> Ledger:
    return Ledger(path)


def _insert(connection: sqlite3.Connection, entry_id: str, intent: Intent) -> bool:
    """Write a new entry; False where its key is taken."""
    return bool(
        connection.execute(
            "INSERT OR IGNORE INTO entries (entry_id, hub, account, key, fingerprint,"
            " caller_fingerprint, kind, model, media_type, request, defaults, count, state, owner,"
            " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'intended', ?, ?)",
            (
                entry_id, intent.scope.hub, intent.scope.account, intent.key, intent.fingerprint,
                intent.caller_fingerprint, intent.kind, intent.model, intent.media_type,
                json.dumps(intent.request), json.dumps(intent.defaults), intent.count,
                this_process(), time.time(),
            ),
        ).rowcount
    )  # fmt: skip


def _entry_to_join(connection: sqlite3.Connection, intent: Intent) -> str | None:
    if intent.conversation is None:
        return None
    scope = intent.scope
    return conversations.entry_to_join(
        connection, intent.conversation, scope.hub, scope.account, intent.fingerprint
    )


def _leave(intent: Intent, entry_id: str) -> None:
    if intent.conversation is not None:
        conversations.leave(entry_id)


def _check_same_request(known: Entry, intent: Intent) -> None:
    """Raise `KeyConflictError` if a key stands for another request."""
    is_same = known.fingerprint == intent.fingerprint
    from_caller = known.caller_fingerprint
    if is_same or (from_caller is not None and from_caller == intent.caller_fingerprint):
        return
    names = sorted(
        name
        for name in {*known.request, *intent.request}
        if known.request.get(name) != intent.request.get(name)
    )
    raise KeyConflictError(
        f"The key {intent.key!r} already stands for another request to {known.model} (different: "
        f"{', '.join(names) or 'parameters'}). Use a new key for a different request."
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
        reserved=accounts.reserved_for(connection, row["entry_id"]),
    )
