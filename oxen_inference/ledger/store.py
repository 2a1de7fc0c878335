"""The write-ahead ledger of paid generations: every move of an entry, in one module.

An entry is written, durably, before its request is sent, and moves

    intended ──► posting ──► accepted ──► its generations end, one by one
        ▲  │        │  └───► unknown ──► accepted, once the job is found
        │  ▼        ▼
        └─ rejected ◄┘          nothing was bought; the same key may try again

``intended`` proves that nothing was sent. ``posting`` and ``unknown`` mean that something may
have been, and are never sent again. Every move names the state and the attempt it starts from,
so that of two processes at work on one entry only one can send. Two calls that mean one request
are held apart by a lock on its key, or on its conversation and fingerprint.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Update,
    bindparam,
    insert,
    select,
    update,
)

from oxen_inference.errors import ConfigurationError, KeyConflictError
from oxen_inference.ledger import accounts, conversations, generations, overruns, queries
from oxen_inference.ledger.accounts import Reservation, Totals
from oxen_inference.ledger.database import Database, check_path, identity_of, read_url
from oxen_inference.ledger.entries import Entry, Intent, Scope
from oxen_inference.ledger.leases import Lease, begin_work, end_work
from oxen_inference.ledger.overruns import Overrun
from oxen_inference.ledger.schema import entries, reservations
from oxen_inference.ledger.statements import now
from oxen_inference.result import MediaItem
from oxen_inference.settings import state_folder

# Statements are made once: to make one takes longer than to run it.
_MOVE = update(entries).where(
    entries.c.entry_id == bindparam("entry"),
    entries.c.attempt == bindparam("number"),
    entries.c.state.in_(bindparam("states", expanding=True)),
)
_CLAIM = _MOVE.values(
    state="intended",
    error=None,
    decided_at=None,
    posted_at=None,
    hub_sent_at=None,
    created_at=now(),
    attempt=entries.c.attempt + 1,
    **{
        name: bindparam(f"new_{name}")
        for name in (
            "owner",
            "kind",
            "fingerprint",
            "caller_fingerprint",
            "request",
            "defaults",
            "count",
            "quoted",
        )
    },
)
_POST = (
    update(entries)
    .where(
        entries.c.entry_id == bindparam("entry"),
        entries.c.attempt == bindparam("number"),
        entries.c.owner == bindparam("from_owner"),
        entries.c.state == "intended",  # one state: a list of them takes longer to write as SQL
    )
    .values(state="posting", posted_at=now(), hub_sent_at=bindparam("by_hub"))
)
_UNPOST = _MOVE.values(state="intended", posted_at=None, hub_sent_at=None)
_DECIDE = _MOVE.values(state=bindparam("to_state"), error=bindparam("cause"), decided_at=now())
_INSERT = insert(entries).values(state="intended", attempt=0, created_at=now(), notes="[]")


@dataclass(frozen=True, slots=True)
class Begun:
    """What `Ledger.begin` did for a call: began its entry, or found the one it joins.

    `wait_id`: for `Ledger.leave`, where the call belongs to a conversation.
    """

    entry: Entry
    is_mine: bool
    """Whether the entry is the caller's to send."""
    wait_id: str | None = None


@dataclass(frozen=True, slots=True)
class Undecided:
    """A call of the same conversation waits for the job on another machine, or is dead.

    `begin` has to be asked again, with this, until each lease has ended or shows a newer heartbeat
    than at first.
    """

    heartbeats: Mapping[str, float]


class Ledger:
    """A ledger in a SQLite file, or in a PostgreSQL database that many machines share.

    `location`: a path, a ``postgresql://`` URL, a SQLAlchemy engine, or nothing for
    ``OXEN_LEDGER_URL`` or else a file in the user's state directory (``OXEN_STATE_DIR``). Safe to
    share between threads and processes. A file is created when first used; a database needs
    `setup` once. Raises `LedgerError` where it cannot be opened; only a default file that cannot
    be created is kept in memory, with a `LedgerWarning`, and `durable` is False.
    """

    def __init__(self, location: str | os.PathLike[str] | Engine | None = None) -> None:
        self._start(_database(location))

    def _start(self, database: Database) -> None:
        self.database = database
        self._lease = Lease(database)

    @classmethod
    def in_memory(cls) -> Ledger:
        """Return a ledger that ends with the process: what ``ledger=None`` stands for."""
        return cls._with(Database())

    @classmethod
    def of(cls, given: object) -> Ledger:
        """Return what a client's ``ledger=`` stands for. Raises `ConfigurationError`."""
        if isinstance(given, Ledger):
            return given
        if given is None:
            return cls.in_memory()
        if isinstance(given, str | os.PathLike | Engine):
            return cls(given)
        raise ConfigurationError(
            "ledger must be a Ledger, the path or the URL of one, or None to keep it in memory; not "
            f"{type(given).__name__}."
        )

    @classmethod
    def _with(cls, database: Database) -> Ledger:
        ledger = cls.__new__(cls)
        ledger._start(database)
        return ledger

    def __repr__(self) -> str:
        if self.path is not None:
            return f"Ledger({str(self.path)!r})"
        where = str(self.database)
        return "Ledger.in_memory()" if where == "in memory" else f"Ledger({where[3:]!r})"

    def __copy__(self) -> Ledger:
        return self

    def __deepcopy__(self, _: Any) -> Ledger:
        return self

    def __reduce__(self) -> Any:
        if self.path is not None:
            # One that exists is never silently replaced by an empty one on another machine.
            exists = self.path.exists()
            return _reopen_file, (str(self.path), exists, self.database.ledger_id)
        if self.database.url is not None:
            return _reopen_url, (identity_of(self.database.url), self.database.ledger_id)
        if str(self.database) == "in memory":
            return Ledger.in_memory, ()
        raise TypeError(
            "A ledger on an engine of yours cannot be pickled: engines hold connections and "
            "credentials. Use Ledger(url), or make it where it is used."
        )

    @property
    def path(self) -> Path | None:
        """The file, or None for a database or a ledger in memory."""
        return self.database.path

    @property
    def durable(self) -> bool:
        """Whether the ledger survives this process. Opens it."""
        return self.database.durable

    @property
    def lease_id(self) -> str:
        """This process's lease in the ledger; takes it where there is none yet."""
        return self._lease.id

    def setup(self) -> None:
        """Create or update the tables; may run as another user, with the rights to do so."""
        self.database.setup()

    def is_same(self, other: Ledger) -> bool:
        """Whether both stand for one file or database, or are one object."""
        if self is other:
            return True
        if not (self.durable and other.durable):
            return False  # each ledger in memory is another one
        return self.is_at_same_place(other)

    def is_at_same_place(self, other: Ledger) -> bool:
        """Whether both name one file or database; opens none, and each may still lack its tables."""
        if self.path is not None and other.path is not None:
            return os.path.realpath(self.path) == os.path.realpath(other.path)
        return (self.path, str(self.database)) == (other.path, str(other.database))

    def close(self) -> None:
        """Close the connections; they are opened again when needed."""
        self.database.close()

    def entries(self, scope: Scope | None = None, *, budget: str | None = None) -> list[Entry]:
        """Return the entries, newest first; with a `budget`'s name only those paid from it."""
        conditions: list[ColumnElement[bool]] = []
        if scope is not None:
            conditions += queries.in_scope(scope)
        if budget is not None:
            paid = select(reservations.c.entry_id).where(reservations.c.budget == budget)
            conditions.append(entries.c.entry_id.in_(paid))
        with self.database.reading() as connection:
            return queries.select_entries(connection, *conditions)

    def budgets(self) -> dict[str, Totals]:
        """Return the totals of the budgets with a name, by name."""
        with self.database.reading() as connection:
            return accounts.named_totals(connection)

    def unresolved(self, scope: Scope, model: str, *, except_for: str) -> list[Entry]:
        """Return a model's requests that may have been sent and have no ids yet."""
        with self.database.reading() as connection:
            return queries.select_entries(
                connection,
                *queries.in_scope(scope),
                entries.c.state.in_(("posting", "unknown")),
                entries.c.model == model,
                entries.c.entry_id != except_for,
            )

    def find(self, scope: Scope, key: str) -> Entry | None:
        """Return the entry that a key stands for."""
        with self.database.reading() as connection:
            return queries.find(connection, scope, key)

    def has_keys(self, scope: Scope, beginning: str) -> bool:
        """Whether an entry stands for any key that begins like this."""
        with self.database.reading() as connection:
            return queries.has_keys(connection, scope, beginning)

    def bought_keys(self, scope: Scope, beginning: str) -> dict[str, queries.KeyState]:
        """Return what became of the requests whose keys begin like this, if anything may be
        bought: ``made``, ``failed``, or ``sent`` where that is not known yet.
        """
        with self.database.reading() as connection:
            return queries.bought_keys(connection, scope, beginning)

    def bought_key(self, scope: Scope, key: str) -> queries.KeyState | None:
        """Return what became of a key's request, if anything may be bought."""
        with self.database.reading() as connection:
            return queries.bought_key(connection, scope, key)

    def get(self, entry_id: str) -> Entry | None:
        with self.database.reading() as connection:
            return queries.get(connection, entry_id)

    def owners(self, scope: Scope, generation_ids: Iterable[str]) -> dict[str, str]:
        """Return which entry each known generation belongs to."""
        with self.database.reading() as connection:
            return generations.owners(connection, scope.hub, scope.account, generation_ids)

    def begin(
        self,
        intent: Intent,
        reservation: Reservation | None = None,
        undecided: Undecided | None = None,
    ) -> Begun | Undecided:
        """Write an intent and reserve its money; or return what its key already stands for, or
        the unfinished job of its conversation that it joins.

        Raises `KeyConflictError`, `BudgetExceededError`.
        """
        lease = self._lease.id
        with self.database.writing() as connection:
            self.database.lock(connection, *lock_names(intent))
            entry = (
                None if intent.key is None else queries.find(connection, intent.scope, intent.key)
            )
            is_known_call = entry is not None
            if entry is not None:
                _check_same_request(entry, intent)
            elif intent.conversation is not None:
                found = conversations.find_joinable(connection, intent)
                if found.free:
                    entry = queries.get_known(connection, found.free[0])
                elif still := _undecided(found.watched, undecided):
                    return still
            is_mine = entry is None
            if entry is None:
                entry = self._insert(connection, intent, lease)
            wait_id = None
            if intent.conversation is not None:
                if not is_known_call:
                    conversations.add_call(connection, intent, entry.entry_id)
                wait_id = uuid.uuid4().hex
                conversations.attend(connection, entry.entry_id, lease, wait_id)
            if is_mine and reservation is not None:
                accounts.reserve(connection, entry.entry_id, reservation)
                held = reservation.unit * reservation.generations
                entry = replace(entry, reserved=held, budget=reservation.account)
            return Begun(entry, is_mine, wait_id)

    def find_existing(self, intent: Intent) -> Entry | None:
        """Return the entry that `begin` would join; None if it would begin one. Writes nothing."""
        with self.database.reading() as connection:
            entry = (
                None if intent.key is None else queries.find(connection, intent.scope, intent.key)
            )
            if entry is not None:
                _check_same_request(entry, intent)
                return entry
            if intent.conversation is None:
                return None
            found = conversations.find_joinable(connection, intent)
            return queries.get_known(connection, found.free[0]) if found.free else None

    def attend(self, entry: Entry, wait_id: str) -> None:
        """Mark that a call waits for an entry, under an id of the caller's, for `leave`."""
        lease = self._lease.id
        with self.database.writing() as connection:
            conversations.attend(connection, entry.entry_id, lease, wait_id)

    def leave(self, wait_id: str) -> None:
        with self.database.writing() as connection:
            conversations.leave(connection, wait_id)

    def claim(self, entry: Entry, intent: Intent, reservation: Reservation | None = None) -> bool:
        """Take over an entry that surely was not sent: abandoned before that, or rejected.

        It becomes what the intent will send, since the model's schema may have changed.
        """
        if entry.state not in ("intended", "rejected"):
            return False
        lease = self._lease.id
        with self.database.writing() as connection:
            columns = {"owner": lease, **request_columns(intent)}
            new = {f"new_{name}": value for name, value in columns.items()}
            claimed = self._move(connection, entry, (entry.state,), _CLAIM, **new)
            if claimed:
                begin_work(entry.entry_id, entry.attempt + 1)
                if reservation is None:
                    accounts.release(connection, entry.entry_id)
                else:
                    accounts.reserve_again(connection, entry.entry_id, reservation)
            return claimed

    def mark_posting(self, entry: Entry, hub_time: float | None = None) -> bool:
        """Write that the request may be on its way from now on; False if it is not the caller's.

        `hub_time`: what the hub's own clock shows.
        """
        with self.database.writing() as connection:
            own = {"entry": entry.entry_id, "number": entry.attempt, "from_owner": entry.owner}
            return bool(connection.execute(_POST, {**own, "by_hub": hub_time}).rowcount)

    def mark_intended(self, entry: Entry) -> None:
        """Write that the request surely bought nothing, and will be tried again."""
        with self.database.writing() as connection:
            self._move(connection, entry, ("posting",), _UNPOST)

    def redirect(self, entry: Entry, intent: Intent, note: str) -> Entry | None:
        """Begin another attempt of a request whose route was refused, on another; None if it is
        no longer the caller's. Its money stays reserved, and nobody else can claim it between.
        """
        columns = {"owner": entry.owner, **request_columns(intent)}
        new = {f"new_{name}": value for name, value in columns.items()}
        with self.database.writing() as connection:
            if not self._move(connection, entry, ("posting",), _CLAIM, **new):
                return None
            begin_work(entry.entry_id, entry.attempt + 1)
            connection.execute(
                update(entries)
                .where(entries.c.entry_id == entry.entry_id)
                .values(notes=json.dumps([*entry.notes, note]))
            )
            moved = queries.get_known(connection, entry.entry_id)
        self.end_work(entry)
        return moved

    def mark_accepted(
        self,
        entry: Entry,
        generation_ids: Iterable[str],
        notes: Iterable[str],
        *,
        were_found: bool = False,
    ) -> bool:
        """Write the ids that the hub gave, or that `were_found`; False if another entry has them,
        or another attempt was begun.
        """
        ids = list(generation_ids)
        with self.database.writing() as connection:
            return generations.accept(connection, entry, ids, list(notes), were_found=were_found)

    @staticmethod
    def end_work(entry: Entry) -> None:
        """Say that this process sends the entry no more, in the attempt that the caller made: one
        that is open then was abandoned.
        """
        end_work(entry.entry_id, entry.attempt)

    def reject_unsent(self, entry: Entry, error: Mapping[str, Any]) -> None:
        """Reject an entry that was not sent; any other stays as it is."""
        self._decide(entry, ("intended",), "rejected", error)

    def mark_rejected(self, entry: Entry, error: Mapping[str, Any]) -> None:
        """Write that nothing was bought, and release the money."""
        self._decide(entry, ("intended", "posting", "unknown"), "rejected", error)

    def mark_unknown(self, entry: Entry, error: Mapping[str, Any]) -> None:
        """Write that the outcome is unknown; the money stays reserved."""
        self._decide(entry, ("posting", "unknown"), "unknown", error)

    def mark_delivered(self, entry: Entry) -> None:
        """Write that the entry's generations, which may be some of its request's, were delivered."""
        with self.database.writing() as connection:
            conversations.mark_delivered(connection, entry.entry_id, _ended(entry))

    def mark_undelivered(self, entry: Entry) -> None:
        """Take back that the entry's generations were delivered: their caller was interrupted."""
        with self.database.writing() as connection:
            conversations.mark_undelivered(connection, entry.entry_id, _ended(entry))

    def record_results(self, entry: Entry, items: Iterable[MediaItem]) -> None:
        """Write a direct request's results, which have no ids."""
        with self.database.writing() as connection:
            generations.record_results(connection, entry, items)

    def update(
        self, entry: Entry, items: Iterable[MediaItem], *, is_delivered: bool = False
    ) -> Entry:
        """Write how far the generations are, and settle those whose cost is known.

        `is_delivered`: the caller gets those that have ended.
        """
        with self.database.writing() as connection:
            generations.catch_up(connection, entry)
            is_one_settled = generations.update_items(connection, entry, items)
            if is_delivered:
                conversations.mark_delivered(connection, entry.entry_id, _ended(entry))
            known = queries.get_known(connection, entry.entry_id)
            return replace(known, was_just_settled=is_one_settled and known.is_settled)

    def write_later(
        self, entry: Entry, items: Iterable[MediaItem], *, is_delivered: bool = False
    ) -> None:
        """Have `update` be called once the ledger can be written again, while this process lives."""
        items = tuple(items)
        update = partial(self.update, entry, items, is_delivered=is_delivered)
        self._lease.write_later(entry.entry_id, update)

    def overruns(self, hub: str, seconds: float) -> list[Overrun]:
        """Return the bills of the last `seconds` that were higher than their quote."""
        with self.database.reading() as connection:
            return overruns.recent(connection, hub, seconds)

    def keep_overrun(self, hub: str, overrun: Overrun) -> bool:
        """Write a bill that was higher than its quote; False where it was written before."""
        with self.database.writing() as connection:
            return overruns.keep(connection, hub, overrun)

    def forget_overruns(self, hub: str, model: str | None = None) -> int:
        """Drop such bills of one model, or of all; return how many there were."""
        with self.database.writing() as connection:
            return overruns.forget(connection, hub, model)

    def write_off(self, entry: Entry) -> Entry:
        """Write that what ended without a cost, or was never named, cost nothing; as far as that is
        still so when it is written.
        """
        note = "Written off by hand: what ended without success was not billed."
        with self.database.writing() as connection:
            generations.lock(connection, entry.entry_id)
            known = queries.get_known(connection, entry.entry_id)
            if not known.may_be_written_off:
                return known
            connection.execute(
                update(entries)
                .where(entries.c.entry_id == known.entry_id)
                .values(notes=json.dumps([*known.notes, note]))
            )
            items = [replace(i, cost=Decimal(0)) if i.cost is None else i for i in known.items]
            generations.update_items(connection, known, items)
            accounts.release(connection, known.entry_id)
            return queries.get_known(connection, known.entry_id)

    @staticmethod
    def _insert(connection: Connection, intent: Intent, lease: str) -> Entry:
        entry_id = uuid.uuid4().hex
        begin_work(entry_id, 0)
        row = {
            "entry_id": entry_id,
            "hub": intent.scope.hub,
            "account": intent.scope.account,
            "key": intent.key,
            "model": intent.model,
            "media_type": intent.media_type,
            "owner": lease,
            **request_columns(intent),
        }
        connection.execute(_INSERT, row)
        return queries.get_known(connection, entry_id)

    def _decide(
        self, entry: Entry, states: Sequence[str], state: str, error: Mapping[str, Any]
    ) -> None:
        with self.database.writing() as connection:
            values = {"to_state": state, "cause": json.dumps(error)}
            moved = self._move(connection, entry, states, _DECIDE, **values)
            if moved and state == "rejected":
                accounts.release(connection, entry.entry_id)

    @staticmethod
    def _move(
        connection: Connection,
        entry: Entry,
        states: Sequence[str],
        statement: Update,
        **values: Any,
    ) -> bool:
        """Change an entry that is in one of these states, in the attempt that the caller saw."""
        known = {"entry": entry.entry_id, "number": entry.attempt, "states": list(states)}
        return bool(connection.execute(statement, {**known, **values}).rowcount)


def _ended(entry: Entry) -> list[str]:
    return [item.generation_id for item in entry.items if item.generation_id and item.is_terminal]


def default_path() -> Path:
    """Return where the ledger's file is by default."""
    return state_folder() / "ledger.sqlite3"


def default_ledger() -> Ledger:
    """Return the ledger at the default place; one object for all who use it."""
    return _ledger_at(_default_url() or str(default_path()))


def _default_url() -> str | None:
    return os.environ.get("OXEN_LEDGER_URL", "").strip() or None


@lru_cache(maxsize=16)
def _ledger_at(location: str) -> Ledger:
    return Ledger(location)


def _database(location: str | os.PathLike[str] | Engine | None) -> Database:
    if isinstance(location, Engine):
        return Database(engine=location)
    given = location if location is not None else _default_url()
    if isinstance(given, str) and "://" in given:
        return Database(url=read_url(given))
    if isinstance(given, str):
        check_path(given)
    # Absolute: a relative path would name another ledger in another working directory.
    path = default_path() if given is None else Path(given).expanduser().absolute()
    return Database(path=path, may_be_memory=path == default_path())


def _reopen_file(path: str, must_exist: bool, ledger_id: str | None) -> Ledger:
    return Ledger._with(Database(path=Path(path), must_exist=must_exist, ledger_id=ledger_id))


def _reopen_url(identity: str, ledger_id: str | None) -> Ledger:
    """Return the ledger of that identity, with the credentials of this process's environment."""
    known = _default_url()
    is_known = known is not None and "://" in known and identity_of(read_url(known)) == identity
    url = read_url(known if is_known and known else identity)
    return Ledger._with(Database(url=url, ledger_id=ledger_id))


def lock_names(intent: Intent) -> list[str]:
    """Return what calls that mean the same request lock."""
    scope = f"{intent.scope.hub}\n{intent.scope.account}"
    names = [] if intent.key is None else [f"key\n{scope}\n{intent.key}"]
    if intent.conversation is not None:
        names.append(f"conversation\n{scope}\n{intent.conversation}\n{intent.fingerprint}")
    return names


def _undecided(watched: Mapping[str, float], before: Undecided | None) -> Undecided | None:
    """Return what is still to be waited for; None where all who wait have shown to be alive."""
    known = {} if before is None else before.heartbeats
    first = {lease: known.get(lease, beat) for lease, beat in watched.items()}
    if all(first[lease] < beat for lease, beat in watched.items()):
        return None
    return Undecided(first)


def request_columns(intent: Intent) -> dict[str, Any]:
    """Return the columns of an entry that say what is sent."""
    return {
        "kind": intent.kind,
        "fingerprint": intent.fingerprint,
        "caller_fingerprint": intent.caller_fingerprint,
        "request": json.dumps(intent.request),
        "defaults": json.dumps(intent.defaults),
        "count": intent.count,
        "quoted": None if intent.quoted is None else accounts.to_units(intent.quoted),
    }


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
        f"{', '.join(names) or 'parameters'}).",
        hint="Use a new key for a different request.",
    )
