"""A ledger on a server: locks that are not given back, users with few rights, a pooler between."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import OperationalError

from oxen_inference import Budget, ConfigurationError, Ledger, LedgerError
from oxen_inference.ledger import database, maintenance
from oxen_inference.ledger.schema import metadata
from oxen_inference.ledger.store import Begun, lock_names
from oxen_inference.result import MediaItem
from tests.support.databases import emptied, sql
from tests.unit.test_ledger import intent

_POOLER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest.fixture
def server(postgres: str) -> str:
    return emptied(postgres)


def pay(ledger: Ledger, key: str) -> Decimal:
    """Do every move of a paid request; return what its budget has spent."""
    budget = Budget("1.00", name="b", ledger=ledger)
    begun = ledger.begin(intent(key=key), budget.reservation(ledger, Decimal("0.10"), 1))
    assert isinstance(begun, Begun)
    assert ledger.mark_posting(begun.entry)
    assert ledger.mark_accepted(begun.entry, [f"g-{key}"], [])
    item = MediaItem(generation_id=f"g-{key}", status="succeeded", cost=Decimal("0.05"))
    ledger.update(begun.entry, [item])
    return budget.spent


def test_a_lock_that_is_not_given_back_is_an_error(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, waiter = Ledger(server), Ledger(server)
    waiter.begin(intent(key="before"))
    with holder.database.writing() as connection:
        holder.database.lock(connection, *lock_names(intent(key="k")))
        monkeypatch.setattr(database, "_STATEMENT_SECONDS", 1)
        with pytest.raises(LedgerError, match="statement timeout") as caught:
            waiter.begin(intent(key="k"))
    assert "Call again" in str(caught.value.hint)
    monkeypatch.undo()
    assert isinstance(waiter.begin(intent(key="k")), Begun)
    holder.close()
    waiter.close()


def test_so_is_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be used") as caught:
        Ledger(f"postgresql://me@/x?host={tmp_path}").entries()
    assert "can be reached" in str(caught.value.hint)


@pytest.mark.parametrize(
    "given",
    [
        "worker:s3cr3t-pw@127.0.0.1/oxen",
        "//worker:s3cr3t-pw@127.0.0.1/oxen",
        "postgresql:worker:s3cr3t-pw@h/oxen",
        "localhost/oxen",
        "db.example.com:5432/oxen",
        "10.0.0.7/oxen",
        "host=h password=s3cr3t-pw dbname=oxen",
        "postgresql://worker:s3cr3t-pw@ss/w#rd@127.0.0.1:54391/oxen",
        "postgresql://worker:p@s3cr3t-pw?b@127.0.0.1/oxen",
        "postgresql://worker:p@s3cr3t-pw@127.0.0.1/oxen",
    ],
)
def test_what_looks_like_a_server_is_no_path_and_shows_no_password(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as refused:
        Ledger(given)
    assert "postgresql://" in str(refused.value)
    assert "s3cr3t" not in f"{refused.value!r} {refused.value} {refused.value.hint}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", ["state/l.sqlite3", "l.sqlite3", "./a@b/oxen", "{}/a@b.sqlite3"])
def test_a_plain_path_is_a_path(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = Ledger(given.format(tmp_path))
    assert ledger.entries() == []
    assert ledger.path is not None
    assert ledger.path.is_file()


def test_an_engine_with_a_password_cut_in_two_shows_neither_half() -> None:
    engine = create_engine("postgresql+psycopg://worker:p@s3cr3t/w#rd@127.0.0.1:1/oxen")
    ledger = Ledger(engine)
    with pytest.raises(LedgerError) as refused, ledger.database._errors():
        raise OperationalError("", None, psycopg.OperationalError("cannot resolve host 's3cr3t'"))
    assert "s3cr3t" not in str(refused.value)
    assert repr(ledger) == "Ledger('postgresql://***')"


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ('FATAL:  password authentication failed for user "w"', "refuses the user or the password"),
        ('FATAL:  database "oxen" does not exist', "CREATE DATABASE"),
        ('FATAL:  role "w" does not exist', "CREATE ROLE"),
        ("permission denied for table oxen_entries", "GRANT SELECT"),
        ('invalid connection option "bogus"', "options behind the ?"),
        ('invalid sslmode value: "on"', "options behind the ?"),
        ('invalid integer value "x" for connection option "port"', "options behind the ?"),
        ("connection refused", "can be reached"),
    ],
)
def test_the_hint_fits_what_the_server_refuses(said: str, hint: str) -> None:
    ledger = Ledger("postgresql://w:s3cr3t-pw@h/oxen")
    with pytest.raises(LedgerError) as refused, ledger.database._errors():
        raise OperationalError("", None, psycopg.OperationalError(f"{said}: s3cr3t-pw"))
    assert hint in str(refused.value.hint)
    assert "s3cr3t" not in str(refused.value)
    assert refused.value.is_retryable == (said == "connection refused")


def test_a_worker_needs_no_right_to_make_tables(server: str, tmp_path: Path) -> None:
    owner, name = Ledger(server), f"worker_{os.getpid()}"
    sql(owner, f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    as_worker = make_url(server).set(username=name, password="secret")
    try:
        with pytest.raises(LedgerError, match="permission denied") as denied:
            Ledger(as_worker.render_as_string(hide_password=False)).entries()
        assert "GRANT SELECT" in str(denied.value.hint)
        nowhere = as_worker.set(database="nowhere").render_as_string(hide_password=False)
        with pytest.raises(LedgerError, match="does not exist") as missing:
            Ledger(nowhere).entries()
        assert "CREATE DATABASE" in str(missing.value.hint)
        sql(owner, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        sql(owner, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
        with Ledger(server).database.writing() as connection:
            metadata.drop_all(connection)
        worker = Ledger(as_worker.render_as_string(hide_password=False))
        source = Ledger(tmp_path / "old.sqlite3")
        pay(source, "before")
        needs_owner: tuple[Callable[[], object], ...] = (
            worker.setup, partial(maintenance.copy, source, worker),
        )  # fmt: skip
        for call in needs_owner:
            with pytest.raises(LedgerError, match="permission denied for schema") as denied:
                call()
            assert "ledger setup --ledger URL" in str(denied.value.hint)
            assert "GRANT" not in str(denied.value.hint)
            assert str(as_worker.database) in str(denied.value)
            assert "secret" not in str(denied.value)
        with pytest.raises(LedgerError, match="The tables of the ledger at postgresql"):
            worker.entries()
        Ledger(server).setup()
        sql(owner, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}")
        worker = Ledger(as_worker.render_as_string(hide_password=False))
        maintenance.check_rights(worker)
        assert maintenance.copy(source, worker).entries == 1
        sql(owner, f"REVOKE UPDATE ON oxen_budgets FROM {name}")
        with pytest.raises(LedgerError, match="permission denied for table oxen_budgets"):
            maintenance.check_rights(worker)
        with pytest.raises(LedgerError, match=r"terminat|closed") as ended:
            sql(worker, "SELECT pg_terminate_backend(pg_backend_pid())")
        assert (ended.value.is_retryable, denied.value.is_retryable) == (True, False)
        sql(owner, f"GRANT UPDATE ON oxen_budgets TO {name}")
        assert sql(worker, "SELECT current_user")[0][0] == name
        assert pay(worker, "k") == Decimal("0.10")
        worker.close()
    finally:
        sql(owner, f"DROP OWNED BY {name}")
        sql(owner, f"DROP ROLE {name}")
        owner.close()


@pytest.fixture
def pooler(server: str) -> Iterator[str]:
    """The URL of a pgbouncer that gives each transaction one of two connections."""
    if _POOLER is None:
        pytest.skip("needs pgbouncer")
    url = make_url(server)
    where = {"host": url.host or url.query.get("host"), "port": url.port, "password": url.password}
    target = " ".join(f"{name}={it}" for name, it in where.items() if it)
    # Not in pytest's folder, which only its own user may enter: the pooler's is another.
    folder = Path(tempfile.mkdtemp(prefix="oxen-pooler-"))
    folder.chmod(0o777)
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n{url.database} = {target} user={url.username or 'postgres'}\n"
        f"[pgbouncer]\nlisten_addr =\nunix_socket_dir = {folder}\n"
        "auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n"
    )
    # It refuses to run as root, and has to reach the server's own folder.
    at = Path(str(where["host"]))
    owner = at.owner() if at.is_dir() else "nobody"
    as_user = ["-u", owner] if os.getuid() == 0 else []
    process = subprocess.Popen([_POOLER, *as_user, str(settings)], stderr=subprocess.PIPE)
    try:
        give_up = time.monotonic() + 60
        while not (folder / ".s.PGSQL.6432").exists():
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < give_up
            time.sleep(0.02)
        yield f"postgresql://{url.username or 'postgres'}@:6432/{url.database}?host={folder}"
    finally:
        process.terminate()
        process.communicate(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_pooler_may_change_the_connection_with_each_transaction(pooler: str) -> None:
    ledgers = [Ledger(pooler) for _ in range(3)]
    for number in range(9):
        assert pay(ledgers[number % 3], f"k{number}") == Decimal("0.05") * (number + 1)
    assert len(ledgers[0].entries()) == 9
    for ledger in ledgers:
        ledger.close()
