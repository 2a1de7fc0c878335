"""The database under a ledger: opened when first needed, once a process, on SQLite or PostgreSQL."""

from __future__ import annotations

import os
import re
import time
import warnings
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from oxen_inference.errors import ConfigurationError, InvalidInputError, LedgerError
from oxen_inference.ledger import schema
from oxen_inference.ledger.forks import close_before_forks, using_sqlite
from oxen_inference.locks import Lock

_URL_HINT = "Example: postgresql://user@host/database"
_ENCODE_HINT = (
    "Percent-encode the user and the password: @ is %40, / is %2F, : is %3A, # is %23, ? is %3F."
)
_SCHEME_AND_USER = re.compile(r"[^:/?#@]+://(?:[^:/]*(?::[^@]*)?@)?")
_HOST = re.compile(r"localhost|\[[0-9a-fA-F:]+\]|[\w-]+(?:\.[\w-]+)+")
# host:port, a scheme without its slashes, and libpq's own form.
_SERVER = re.compile(
    r"[\w.-]+:\d+(?:/|$)|postgres(?:ql)?(?:\+\w+)?:|(?:.*\s)?(?:host|user|password|dbname)\s*=",
    re.IGNORECASE,
)
_BUSY_SECONDS = 30.0
_STATEMENT_SECONDS = 30
_IDLE_SECONDS = 60  # after which the server ends the transaction of a process that stands still
_CONNECT_OPTIONS = {
    "connect_timeout": 10,
    # A server that is gone without a word is noticed within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
    # pgbouncer's transaction mode keeps no prepared statements between transactions.
    "prepare_threshold": None,
}
_PLACE_OPTIONS = ("host", "hostaddr", "port", "service")
_seen_ids: dict[str, str] = {}
"""The id of the ledger that was opened last, by where it is."""
_SETUP_LOCK = "oxen ledger setup"
_WAITED_TOO_LONG = ("57014", "55P03", "25P03")  # query canceled, lock not available, idle
_NO_RIGHT = "42501"
# Lost connections, conflicts between transactions, too few resources, and a server that starts or
# ends: https://www.postgresql.org/docs/current/errcodes-appendix.html
_PASSING = ("08", "40", "53", "57P")
_RIGHTS_HINT = (
    'GRANT SELECT, INSERT, UPDATE, DELETE on its tables to this user, as the page "Operate the ledger" '
    "of the docs shows; only setup() needs more, and is run by their owner."
)
_OWNER_HINT = (
    "A ledger's tables are made and updated by their owner, or by a user with CREATE on their schema: "
    'run `oxen-inference ledger setup --ledger URL` with the URL of that user. The page "Operate the '
    'ledger" of the docs has the SQL.'
)
# What a server refuses: its SQLSTATE, its words, and what to do.
_REFUSALS = (
    (
        "28P01",
        re.compile(r"password authentication failed|no password supplied"),
        "The server refuses the user or the password. Check both in the ledger's URL. "
        + _ENCODE_HINT,
    ),
    (
        "3D000",
        re.compile(r'database ".*" does not exist'),
        "Create that database (CREATE DATABASE), and run `oxen-inference ledger setup --ledger URL` "
        "once, as its owner.",
    ),
    (
        "28000",
        re.compile(r'role ".*" does not exist|is not permitted to log in|no pg_hba\.conf entry'),
        "The server does not let this user in: create it (CREATE ROLE … LOGIN), or allow it in "
        "pg_hba.conf.",
    ),
    (_NO_RIGHT, re.compile(r"permission denied"), _RIGHTS_HINT),
    (
        "",  # the driver reads the URL itself, and there is no such state
        re.compile(r"invalid (connection option|URI query parameter|integer value|\w+ value)"),
        "Correct the options behind the ? in the ledger's URL. They are libpq's: sslmode=require, "
        "connect_timeout=5.",
    ),
)
_LIMIT_WAITS = text(
    "SELECT set_config('statement_timeout', :statement, true),"
    " set_config('idle_in_transaction_session_timeout', :idle, true)"
)


class LedgerWarning(UserWarning):
    """The ledger is kept in memory, because its file cannot be created."""


class Database:
    """Connections and transactions. Raises `LedgerError` for whatever the database says.

    One of `path`, `url` and `engine`, or none for a database in memory. A file that
    `may_be_memory` and cannot be created is kept in memory; one that `must_exist` is never
    created. One whose id is not `ledger_id` is refused.
    """

    def __init__(
        self,
        *,
        path: Path | None = None,
        url: URL | None = None,
        engine: Engine | None = None,
        may_be_memory: bool = False,
        must_exist: bool = False,
        ledger_id: str | None = None,
    ) -> None:
        self.path = path
        self.url = url
        self._ledger_id = ledger_id
        self._may_be_memory = may_be_memory
        self._must_exist = must_exist
        self._given = engine
        self._engine: Engine | None = None
        self._has_tables = False
        self._file_id: tuple[int, int] | None = None
        self._lock = Lock(reentrant=True, after_fork=self._leave_connections)

    @property
    def durable(self) -> bool:
        """Whether what is written survives this process. Opens the database."""
        with self._errors():
            self._open()
        return not self._is_memory

    @property
    def ledger_id(self) -> str | None:
        """What tells this ledger from any other at its place. Opens a file that exists; a server's
        is the one that this process saw there last, or None.
        """
        if self._ledger_id is None and self.path is not None and self.path.exists():
            with self._errors():
                self._open()
        return self._ledger_id or _seen_ids.get(str(self))

    @property
    def has_one_writer(self) -> bool:
        """Whether only one transaction at a time can write, as on SQLite."""
        return self.url is None and (self._given is None or self._given.dialect.name == "sqlite")

    @property
    def _is_memory(self) -> bool:
        return self.path is None and self.url is None and self._given is None

    def __str__(self) -> str:
        if self.path is not None:
            return f"at {self.path}"
        url = self.url if self._given is None else self._given.url
        return "in memory" if url is None else f"at {identity_of(url)}"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database."""
        with self._errors():
            engine = self._open()
            if engine.dialect.name == "sqlite":
                # One in memory is one connection for all threads.
                held = self._lock if self._is_memory else nullcontext()
                with held, using_sqlite(), self._transaction(engine, "BEGIN") as connection:
                    yield connection
            else:
                with engine.connect() as connection:
                    _limit_waits(connection)
                    yield connection

    @contextmanager
    def writing(self, *, has_tables: bool = True) -> Iterator[Connection]:
        """Give a connection in a transaction: committed, durably, at the end, or rolled back."""
        with self._errors(no_right=_RIGHTS_HINT if has_tables else _OWNER_HINT):
            engine = self._open(has_tables=has_tables)
            if engine.dialect.name == "sqlite":
                self._check_file()
                begin = "BEGIN IMMEDIATE"
                # SQLite has one writer: threads of this process wait here, not in its busy loop.
                with self._lock, using_sqlite(), self._transaction(engine, begin) as connection:
                    yield connection
            else:
                with engine.begin() as connection:
                    _limit_waits(connection)
                    yield connection

    @contextmanager
    def overwriting(self) -> Iterator[None]:
        """Leave no trace in a SQLite file of what is deleted or replaced meanwhile."""
        with self._errors():
            engine = self._open()
            if engine.dialect.name != "sqlite" or self._is_memory:
                yield
                return
            event.listen(engine, "checkout", _overwrite)
            try:
                yield
            finally:
                event.remove(engine, "checkout", _overwrite)
            with using_sqlite(), engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def _transaction(self, engine: Engine, begin: str) -> AbstractContextManager[Connection]:
        is_ours = self._given is None
        return _transaction(engine if is_ours else _autocommit(engine), begin)

    def lock(self, connection: Connection, *names: str) -> None:
        """Hold these names until the transaction ends; SQLite's transactions exclude each other."""
        if connection.dialect.name == "postgresql":
            for number in sorted(_lock_number(name) for name in set(names)):
                connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": number})

    def setup(self) -> None:
        """Create or update the tables."""
        with self.writing(has_tables=False) as connection:
            self.lock(connection, _SETUP_LOCK)
            schema.migrate(connection, f"ledger {self}")

    def close(self) -> None:
        """Close the connections, which are opened again when needed; one in memory stays open."""
        with self._lock:
            if self._engine is not None and self._given is None and not self._is_memory:
                _dispose(self._engine)
                self._engine, self._has_tables = None, False

    def close_idle(self) -> None:
        """Close the connections to a file that nobody uses; others are opened when needed."""
        if self._engine is not None and self.path is not None:
            self._engine.dispose()

    def _open(self, *, has_tables: bool = True) -> Engine:
        if self._engine is None or not self._has_tables:
            with self._lock, using_sqlite() if self.has_one_writer else nullcontext():
                if self._engine is None:
                    self._engine = self._connect()
                if has_tables and not self._has_tables:
                    with self._engine.connect() as connection:
                        schema.check_is_ledger(connection, f"ledger {self}")
                        self._check_id(schema.read_id(connection))
                    self._has_tables = True
        return self._engine

    def _leave_connections(self) -> None:
        """Leave a server's connections to the parent process: two may not share one."""
        if self._engine is not None and not self.has_one_writer:
            self._engine.dispose(close=False)

    def _connect(self) -> Engine:
        if self._given is not None:
            is_sqlite = self._given.dialect.name == "sqlite"
            return self._given if is_sqlite else _read_committed(self._given)
        if self.url is not None:
            return _postgresql(self.url)
        engine = self._connect_sqlite()
        if self.path is not None:
            self._must_exist, self._file_id = True, _file_id(self.path)
        close_before_forks(self)
        # Nobody has to close a ledger: its file is closed with it. At exit the system does that.
        weakref.finalize(self, _dispose, engine).atexit = False
        return engine

    def _connect_sqlite(self) -> Engine:
        path = self.path
        is_new = path is None or not _may_exist(path)
        if path is not None and is_new:
            self._check_may_be_new(path)
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                # Prompts and result URLs are in it: created before SQLite would, for this user only.
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            return _prepared_sqlite(path)
        except (OSError, DBAPIError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if _is_locked(cause):
                raise
            if path is not None and is_new and self._may_be_memory:
                return self._fall_back(path, cause)
            if "not a database" in str(cause) or "malformed" in str(cause):
                raise LedgerError(
                    f"The file {path} is not a ledger ({cause}).",
                    hint="Move it away, or point OXEN_STATE_DIR or Ledger(path) elsewhere.",
                ) from error
            raise LedgerError(
                f"The ledger of paid generations at {path} cannot be opened ({cause}). "
                "Nothing is paid without it.",
                hint="Make that file and its folder writable, point OXEN_STATE_DIR or Ledger(path) "
                "elsewhere, or keep none with ledger=None.",
            ) from error

    def _check_id(self, found: str | None) -> None:
        """Raise `LedgerError` if another ledger has taken the place of the one that is meant."""
        if self._ledger_id not in (None, found):
            raise LedgerError(
                f"The ledger {self} is not the one that was used before: it was emptied or replaced, "
                "or is another machine's. What was paid for and what is left of its budgets is not "
                "known here, so nothing is paid.",
                hint="Name the right ledger here, or make the budget or the tool anew to use this one.",
            )
        self._ledger_id = found
        if found is not None and not self._is_memory:
            _seen_ids[str(self)] = found

    def _check_file(self) -> None:
        """Raise `LedgerError` if the file was removed or replaced while it was open."""
        if self.path is not None and _file_id(self.path) != self._file_id:
            raise LedgerError(
                f"The ledger {self.path} was removed or replaced while it was in use. What is written "
                "now would be lost, so nothing is paid.",
                hint="Restart the process once the file is back.",
            )

    def _check_may_be_new(self, path: Path) -> None:
        """Raise `LedgerError` where an empty ledger would silently replace another one."""
        if self._must_exist:
            raise LedgerError(
                f"The ledger {path} is missing: it was removed, or is on another machine. What was "
                "paid for and what is left of its budgets is not known here."
            )
        older = path.with_name("journal.sqlite3")
        if path.name == "ledger.sqlite3" and _may_exist(older):
            raise LedgerError(
                f"{older} is a ledger of an earlier, unreleased version, which this version cannot "
                "read. Jobs and budgets in it are unknown here.",
                hint="Move the file away to start a new ledger.",
            )

    def _fall_back(self, path: Path, cause: object) -> Engine:
        warnings.warn(
            f"The ledger of paid generations cannot be written at {path} ({cause}). It is kept in "
            "memory: what a crash interrupts cannot be found again, and keys and budgets with a "
            "name are refused. Set OXEN_STATE_DIR or pass Ledger(path) to move it.",
            LedgerWarning,
            stacklevel=8,
        )
        self.path = None
        return _prepared_sqlite(None)

    @contextmanager
    def _errors(self, *, no_right: str = _RIGHTS_HINT) -> Iterator[None]:
        """Raise what the database says as the library's errors; `no_right`: the hint where a right
        is missing.
        """
        try:
            yield
        except DBAPIError as error:
            if isinstance(error.orig, UnicodeEncodeError) or _is_bad_text(error.orig):
                raise InvalidInputError(
                    f"The ledger cannot hold that text: {error.orig}."
                ) from error
            failure = LedgerError(
                f"The ledger {self} cannot be used: {self._said(error.orig)}.",
                hint=self._hint(error.orig, no_right),
            )
            failure.is_retryable = self._may_pass(error.orig)
            raise failure from error
        except SQLAlchemyError as error:
            raise LedgerError(f"The ledger {self} cannot be used: {self._said(error)}.") from error
        except UnicodeEncodeError as error:
            raise InvalidInputError(f"The ledger cannot hold that text: {error}.") from error

    def _may_pass(self, error: object) -> bool:
        """Whether a server may answer again in a moment, as after its restart."""
        if self.has_one_writer:
            return False
        state, said = getattr(error, "sqlstate", None), str(error)
        if state is None:  # no answer of the server's, or it refuses a connection
            return not any(words.search(said) for _, words, _ in _REFUSALS)
        return state in _WAITED_TOO_LONG or state.startswith(_PASSING)

    def _hint(self, error: object, no_right: str) -> str | None:
        """Return what to do about what a server says."""
        if self.has_one_writer:
            return None
        state, said = getattr(error, "sqlstate", None), str(error)
        if state in _WAITED_TOO_LONG:
            return (
                f"It did not finish within {_STATEMENT_SECONDS} s: another transaction holds what it "
                "needs (see pg_stat_activity), or the server is overloaded. Call again; a request "
                "with a key is not paid twice."
            )
        for sqlstate, words, hint in _REFUSALS:
            # A server that refuses a connection states its reason in words alone.
            if state == sqlstate or (state is None and words.search(said)):
                return no_right if sqlstate == _NO_RIGHT else hint
        if state is None:  # no answer of the server's
            return "Check that the database runs and can be reached from here."
        return None

    def _said(self, error: object) -> str:
        """Return what a database says in one line, without the password."""
        url = self.url if self._given is None else self._given.url
        secrets = [] if url is None else [url.password, url.query.get("password")]
        if url is not None and url.get_backend_name() != "sqlite" and _may_show_password(url):
            secrets += [url.database, url.host]
        text = _line(error)
        for secret in secrets:
            text = text.replace(str(secret), "***") if secret else text
        return text


def read_url(given: str) -> URL:
    """Return the URL of a PostgreSQL database. Raises `ConfigurationError` for another one, which
    shows nothing of a password.
    """
    found = _SCHEME_AND_USER.match(given)
    if found is None or "@" in given[found.end() :]:
        raise ConfigurationError(
            "The ledger's URL cannot be read: its user or password has characters that mean something in a "
            "URL.",
            hint=f"{_ENCODE_HINT} {_URL_HINT}",
        )
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        raise ConfigurationError("The ledger's URL cannot be read.", hint=_URL_HINT) from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise ConfigurationError(
            f"A ledger is a path or a PostgreSQL URL, not {url.get_backend_name()}://.",
            hint=_URL_HINT,
        )
    return url.set(drivername="postgresql+psycopg")


def check_path(given: str) -> None:
    """Raise `ConfigurationError` for a server without its scheme, which would be a new file."""
    if given.startswith((".", "~")) or (Path(given).is_absolute() and not given.startswith("//")):
        return
    first, _, rest = given.lstrip("/").partition("/")
    is_host = _HOST.fullmatch(first) and rest and "/" not in rest and not Path(first).is_dir()
    if "@" in given or _SERVER.match(given) or (is_host and "." not in rest):
        raise ConfigurationError(
            "The ledger's place is neither a path nor a URL: it looks like a server without its scheme.",
            hint=f"A server is postgresql://user:password@host/database. {_ENCODE_HINT} "
            "A file of such a name is ./NAME.",
        )


def identity_of(url: URL) -> str:
    """Return what names a database in errors and pickles: without user, password and options."""
    if url.get_backend_name() != "sqlite" and _may_show_password(url):
        return f"{url.get_backend_name()}://***"
    where = {name: it for name, it in url.query.items() if name in _PLACE_OPTIONS}
    return URL.create(
        url.get_backend_name(),
        host=url.host or (None if where or url.get_backend_name() == "sqlite" else "localhost"),
        port=url.port,
        database=url.database,
        query=where,
    ).render_as_string()


def _may_show_password(url: URL) -> bool:
    """Whether a URL was cut at the wrong place, since its password was not percent-encoded."""
    options = (text for name, value in url.query.items() for text in (name, *_texts(value)))
    return any("@" in text for text in (url.host or "", url.database or "", *options))


def _texts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _postgresql(url: URL) -> Engine:
    try:
        options = {name: it for name, it in _CONNECT_OPTIONS.items() if name not in url.query}
        engine = create_engine(url, pool_pre_ping=True, connect_args=options)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigurationError(
            "A ledger on PostgreSQL needs psycopg.",
            hint="pip install 'oxen-integrations[postgres]'",
        ) from error
    return _read_committed(engine)


def _read_committed(engine: Engine) -> Engine:
    """Return an engine whose transactions are as this package's locks need them, whatever the default."""
    return engine.execution_options(isolation_level="READ COMMITTED")


def _prepared_sqlite(path: Path | None) -> Engine:
    options: dict[str, Any] = {
        "isolation_level": "AUTOCOMMIT",  # transactions are begun by hand, to choose their kind
        "connect_args": {"timeout": _BUSY_SECONDS, "check_same_thread": False},
        **({"poolclass": StaticPool} if path is None else {"max_overflow": 64}),
    }
    url = URL.create("sqlite", database=None if path is None else str(path))
    engine = create_engine(url, **options)
    event.listen(engine, "connect", _make_durable)
    try:
        _migrate_with_retries(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _make_durable(driver_connection: Any, _: object) -> None:
    # Bytes that are no text damage their own row, not every list with it.
    driver_connection.text_factory = lambda data: data.decode("utf-8", "replace")
    driver_connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a commit has reached the disk, so that no intent is lost with the power.
    driver_connection.execute("PRAGMA synchronous = FULL")
    driver_connection.execute("PRAGMA fullfsync = ON")  # what FULL means on macOS


def _overwrite(driver_connection: Any, *_: object) -> None:
    driver_connection.execute("PRAGMA secure_delete = ON")


def _migrate_with_retries(engine: Engine) -> None:
    # Switching a new file to WAL is refused at once, without the busy timeout, while another
    # process does the same (https://sqlite.org/wal.html).
    give_up = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            with engine.connect() as connection:
                version = schema.version_of(connection)
            if version != len(schema.MIGRATIONS):
                with _transaction(engine, "BEGIN IMMEDIATE") as connection:
                    schema.migrate(connection)
        except DBAPIError as error:  # noqa: PERF203 - waits, in any case
            if not _is_locked(error.orig) or time.monotonic() > give_up:
                raise
            time.sleep(0.02)
        else:
            return


@contextmanager
def _transaction(engine: Engine, begin: str) -> Iterator[Connection]:
    with engine.connect() as connection:
        _run_plain(connection, begin)
        try:
            yield connection
            _run_plain(connection, "COMMIT")
        except BaseException:
            if _in_transaction(connection):
                _run_plain(connection, "ROLLBACK")
            raise


def _run_plain(connection: Connection, statement: str) -> None:
    """Run a statement without values on the driver: through SQLAlchemy it takes twice as long."""
    driver: Any = connection.connection.dbapi_connection
    try:
        driver.execute(statement)
    except connection.dialect.loaded_dbapi.Error as error:
        raise DBAPIError(statement, None, error) from error


def _autocommit(engine: Engine) -> Engine:
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def _dispose(engine: Engine) -> None:
    with using_sqlite():
        engine.dispose()


def _limit_waits(connection: Connection) -> None:
    """Let the server end what takes too long in this transaction, in one statement."""
    connection.execute(
        _LIMIT_WAITS, {"statement": f"{_STATEMENT_SECONDS}s", "idle": f"{_IDLE_SECONDS}s"}
    )


def _in_transaction(connection: Connection) -> bool:
    driver: Any = connection.connection.dbapi_connection
    return bool(driver.in_transaction)


def _lock_number(name: str) -> int:
    return int.from_bytes(sha256(name.encode(errors="replace")).digest()[:8], "big", signed=True)


def _is_locked(error: object) -> bool:
    return "locked" in str(error) or "busy" in str(error)


def _is_bad_text(error: object) -> bool:
    return "NUL" in str(error) or "0x00" in str(error)


def _line(error: object) -> str:
    """Return the first line of what a database says, which may quote the statement below."""
    return str(error).strip().split("\n")[0].rstrip(".")


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _may_exist(path: Path) -> bool:
    """Whether there is a ledger already; an empty file is none yet."""
    try:
        return path.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # unknown, so it is not replaced
