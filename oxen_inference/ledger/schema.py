"""The ledger's tables, and the SQLite file that holds them: opened once per process, one
transaction at a time.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oxen_inference.errors import InvalidInputError, LedgerError

_BUSY_SECONDS = 30.0

_VERSION = 1
_SCHEMA = """
    CREATE TABLE entries (
        entry_id    TEXT PRIMARY KEY,
        hub         TEXT NOT NULL,
        account     TEXT NOT NULL,
        key         TEXT,
        fingerprint TEXT NOT NULL,
        caller_fingerprint TEXT,
        kind        TEXT NOT NULL,
        model       TEXT NOT NULL,
        media_type  TEXT NOT NULL,
        request     TEXT NOT NULL,
        defaults    TEXT NOT NULL,
        count       INTEGER NOT NULL,
        state       TEXT NOT NULL,
        attempt     INTEGER NOT NULL DEFAULT 0,
        owner       TEXT,
        created_at  REAL NOT NULL,
        posted_at   REAL,
        decided_at  REAL,
        error       TEXT,
        notes       TEXT NOT NULL DEFAULT '[]'
    );
    CREATE UNIQUE INDEX entries_by_key ON entries (hub, account, key) WHERE key IS NOT NULL;
    CREATE INDEX entries_by_state ON entries (hub, account, state);
    CREATE TABLE generations (
        entry_id      TEXT NOT NULL REFERENCES entries,
        position      INTEGER NOT NULL,
        generation_id TEXT NOT NULL,
        item          TEXT NOT NULL,
        delivered     INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (entry_id, position)
    );
    CREATE INDEX generations_by_id ON generations (generation_id);
    CREATE TABLE calls (
        conversation TEXT NOT NULL,
        key          TEXT,
        entry_id     TEXT NOT NULL REFERENCES entries,
        delivered    INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX calls_by_conversation ON calls (conversation) WHERE delivered = 0;
    CREATE INDEX calls_by_key ON calls (key) WHERE key IS NOT NULL;
    CREATE INDEX calls_by_entry ON calls (entry_id);
    CREATE TABLE budgets (
        name   TEXT PRIMARY KEY,
        amount TEXT NOT NULL,
        spent  TEXT NOT NULL DEFAULT '0'
    );
    CREATE TABLE reservations (
        entry_id TEXT PRIMARY KEY,
        budget   TEXT NOT NULL REFERENCES budgets,
        unit     TEXT NOT NULL,
        open     INTEGER NOT NULL
    );
    CREATE INDEX open_reservations ON reservations (budget) WHERE open > 0;
    CREATE TABLE charges (
        charge_id TEXT PRIMARY KEY,
        budget    TEXT NOT NULL REFERENCES budgets,
        amount    TEXT NOT NULL,
        what      TEXT NOT NULL,
        at        REAL NOT NULL
    )
"""


class LedgerWarning(UserWarning):
    """The ledger is kept in memory, because its file cannot be created."""


class LedgerFile:
    """A database at `path`, or in memory where that is None.

    Raises `LedgerError` for a file that is no ledger, cannot be opened, or is of another version:
    paying without its records would not be safe. Only where it `may_be_memory`, and there is no
    ledger yet, one that cannot be created is kept in memory.
    """

    def __init__(self, path: Path | None, *, may_be_memory: bool = False) -> None:
        self.path = path
        self._may_be_memory = may_be_memory
        self._opened_by: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._close_it: weakref.finalize[..., LedgerFile] | None = None
        self._lock = threading.RLock()

    @property
    def durable(self) -> bool:
        """Whether what is written survives this process. Opens the file."""
        with self.reading():
            return self.path is not None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection outside of any transaction."""
        with self._guard() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection in a transaction that excludes every other writer.

        It is committed, durably, at the end; rolled back if anything is raised.
        """
        with self._guard() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file, which is opened again when needed; one in memory stays."""
        with self._lock:
            if self.path is None:
                return
            if self._close_it is not None:
                self._close_it()
            self._connection = None

    @contextmanager
    def _guard(self) -> Iterator[sqlite3.Connection]:
        if self._opened_by != os.getpid() and self._opened_by is not None:
            # After a fork: neither the lock's owner nor SQLite's file locks came along.
            self._lock = threading.RLock()
            if self.path is not None:
                self._connection = None
            self._opened_by = os.getpid()
        with self._lock:
            try:
                yield self._connection or self._open()
            except sqlite3.Error as error:
                raise LedgerError(f"The ledger {self._shown} cannot be used: {error}.") from error
            except UnicodeEncodeError as error:
                raise InvalidInputError(f"The ledger cannot hold that text: {error}.") from error

    @property
    def _shown(self) -> str:
        return "in memory" if self.path is None else f"at {self.path}"

    def _open(self) -> sqlite3.Connection:
        is_new = self.path is None or not _may_exist(self.path)
        if is_new and self.path is not None:
            _check_no_older_ledger(self.path)
        try:
            connection = _connect_with_retries(self.path)
        except (OSError, sqlite3.OperationalError) as error:
            if _is_locked(error):
                raise
            if not (is_new and self._may_be_memory):
                raise LedgerError(
                    f"The ledger of paid generations at {self.path} cannot be opened ({error}). "
                    "Nothing is paid without it. Make that file and its folder writable, point "
                    "OXEN_STATE_DIR or Ledger(path) elsewhere, or keep none with ledger=None."
                ) from error
            connection = self._fall_back(error)
        except sqlite3.DatabaseError as error:
            raise LedgerError(
                f"The file {self.path} is not a ledger ({error}). Move it away, or point "
                "OXEN_STATE_DIR or Ledger(path) elsewhere."
            ) from error
        self._connection, self._opened_by = connection, os.getpid()
        # A ledger that nobody refers to closes its file; at exit the system does.
        self._close_it = weakref.finalize(self, _close_unless_forked, connection, os.getpid())
        self._close_it.atexit = False
        return connection

    def _fall_back(self, error: Exception) -> sqlite3.Connection:
        warnings.warn(
            f"The ledger of paid generations cannot be written at {self.path} ({error}). It is "
            "kept in memory: what a crash interrupts cannot be found again, and keys and budgets "
            "with a name are refused. Set OXEN_STATE_DIR or pass Ledger(path) to move it.",
            LedgerWarning,
            stacklevel=8,
        )
        self.path = None
        return _connect(None)


def _check_no_older_ledger(path: Path) -> None:
    """Raise `LedgerError` where an empty ledger would silently replace an older version's."""
    older = path.with_name("journal.sqlite3")
    if path.name == "ledger.sqlite3" and _may_exist(older):
        raise LedgerError(
            f"{older} is a ledger of an earlier, unreleased version, which this version cannot "
            "read. Jobs and budgets in it are unknown here. Move the file away to start a new "
            "ledger."
        )


def _may_exist(path: Path) -> bool:
    """Whether there is a ledger already; an empty file is none yet."""
    try:
        return path.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # unknown, so it is not replaced


def _connect_with_retries(path: Path | None) -> sqlite3.Connection:
    # Switching a new file to WAL is refused at once, without the busy timeout, while another
    # process does the same (https://sqlite.org/wal.html).
    give_up = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return _connect(path)
        except sqlite3.OperationalError as error:  # noqa: PERF203 - waits, in any case
            if not _is_locked(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.02)


def _is_locked(error: Exception) -> bool:
    return "locked" in str(error) or "busy" in str(error)


def _close_unless_forked(connection: sqlite3.Connection, opened_by: int) -> None:
    if os.getpid() == opened_by:  # closing it in a child would drop the parent's locks
        connection.close()


def _connect(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Prompts and result URLs are in it: made before SQLite would, for this user only.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit has reached the disk, so that no intent is lost with the power.
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path | None) -> None:
    def version() -> int:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return found

    if version() == 0:
        connection.execute("BEGIN IMMEDIATE")
        if version() == 0:  # pragma: no branch - another process may have been faster
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    if version() > _VERSION:
        raise LedgerError(
            f"The ledger {path} was written by a newer version of oxen-integrations. Upgrade, or "
            "point OXEN_STATE_DIR or Ledger(path) elsewhere."
        )
