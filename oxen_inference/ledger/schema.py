"""The ledger's tables, the same on SQLite and PostgreSQL, and the migrations that make them.

Money is in units of a hundred-millionth of a dollar (see `accounts`), times are unix seconds by
the database's clock, JSON is text.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    select,
)

from oxen_inference.errors import LedgerError

metadata = MetaData()

_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows of this type by itself

migrations = Table(
    "oxen_migrations",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
)
identity = Table("oxen_ledger", metadata, Column("ledger_id", Text, primary_key=True))
"""One row: what tells this ledger from any other that may take its place."""
leases = Table(
    "oxen_leases",
    metadata,
    Column("lease_id", Text, primary_key=True),
    Column("identity", Text, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
)
entries = Table(
    "oxen_entries",
    metadata,
    Column("id", _Id, Identity(), primary_key=True),
    Column("entry_id", Text, nullable=False, unique=True),
    Column("hub", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("key", Text),
    Column("fingerprint", Text, nullable=False),
    Column("caller_fingerprint", Text),
    Column("kind", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("defaults", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("owner", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("posted_at", Double),
    Column("hub_sent_at", Double),
    Column("decided_at", Double),
    Column("error", Text),
    Column("notes", Text, nullable=False),
    Column("quoted", BigInteger),
    Index("oxen_entries_by_key", "hub", "account", "key", unique=True),
    Index("oxen_entries_by_state", "hub", "account", "state"),
    Index("oxen_entries_by_fingerprint", "hub", "account", "fingerprint"),
)
generations = Table(
    "oxen_generations",
    metadata,
    Column("entry_id", Text, ForeignKey(entries.c.entry_id), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("hub", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("generation_id", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("delivered", Integer, nullable=False),
    Index("oxen_generations_by_id", "hub", "account", "generation_id", unique=True),
)
calls = Table(
    "oxen_calls",
    metadata,
    Column("id", _Id, Identity(), primary_key=True),
    Column("conversation", Text, nullable=False),
    Column("key", Text),
    Column("entry_id", Text, ForeignKey(entries.c.entry_id), nullable=False),
    Column("delivered", Integer, nullable=False),
    Index("oxen_calls_by_conversation", "conversation"),
    Index("oxen_calls_by_key", "key"),
    Index("oxen_calls_by_entry", "entry_id"),
)
waits = Table(
    "oxen_waits",
    metadata,
    Column("wait_id", Text, primary_key=True),
    Column("entry_id", Text, ForeignKey(entries.c.entry_id), nullable=False),
    Column("lease_id", Text, nullable=False),
    Index("oxen_waits_by_entry", "entry_id"),
)
budgets = Table(
    "oxen_budgets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
)
reservations = Table(
    "oxen_reservations",
    metadata,
    Column("entry_id", Text, ForeignKey(entries.c.entry_id), primary_key=True),
    Column("budget", Text, ForeignKey(budgets.c.name), nullable=False),
    Column("unit", BigInteger, nullable=False),
    Column("open", Integer, nullable=False),
)
holds = Table(
    "oxen_holds",
    metadata,
    Column("hold_id", Text, primary_key=True),
    Column("budget", Text, ForeignKey(budgets.c.name), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("lease_id", Text, nullable=False),
    Index("oxen_holds_by_budget", "budget"),
)
charges = Table(
    "oxen_charges",
    metadata,
    Column("charge_id", Text, primary_key=True),
    Column("budget", Text, ForeignKey(budgets.c.name), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("label", Text, nullable=False),
    Column("charged_at", Double, nullable=False),
)
failures = Table(
    "oxen_failures",
    metadata,
    Column("charge_id", Text, primary_key=True),
    Column("entry_id", Text, ForeignKey(entries.c.entry_id), nullable=False),
    Column("budget", Text, ForeignKey(budgets.c.name), nullable=False),
    Column("failed_at", Double, nullable=False),
    Column("released", Integer, nullable=False),
    Index("oxen_failures_by_budget", "budget", "released"),
)
"""Generations that ended without success and without a cost."""
pollers = Table(
    "oxen_pollers",
    metadata,
    Column("hub", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("lease_id", Text, nullable=False),
    Column("held_until", Double, nullable=False),
    Column("rest_until", Double, nullable=False),
)
polls = Table(
    "oxen_polls",
    metadata,
    Column("hub", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("generation_id", Text, primary_key=True),
    Column("media_type", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("namespace", Text),
    Column("since", Double, nullable=False),
    Column("wanted_until", Double, nullable=False),
    Column("asked_at", Double),
    Column("row", Text),
    Column("ended", Integer, nullable=False),
)
overruns = Table(
    "oxen_overruns",
    metadata,
    Column("hub", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("parameters", Text, primary_key=True),
    Column("quoted", BigInteger, nullable=False),
    Column("billed", BigInteger, nullable=False),
    Column("entry_id", Text, nullable=False),
    Column("seen_at", Double, nullable=False),
)


def name_ledger(connection: Connection) -> None:
    """Give the ledger an id of its own."""
    connection.execute(insert(identity).values(ledger_id=uuid.uuid4().hex))


def _create_tables(connection: Connection) -> None:
    metadata.create_all(connection)
    name_ledger(connection)


MIGRATIONS: Sequence[Callable[[Connection], None]] = (_create_tables,)
"""Entry n brings a database of version n to version n + 1. A released one is never edited."""


def version_of(connection: Connection) -> int:
    """Return the version of the tables; 0 where there are none."""
    if not connection.dialect.has_table(connection, migrations.name):
        return 0
    found = connection.execute(select(migrations.c.version)).scalars().all()
    return max(found, default=0)


def read_id(connection: Connection) -> str | None:
    """Return the ledger's id; None where its row was deleted."""
    return connection.execute(select(identity.c.ledger_id)).scalars().first()


def migrate(connection: Connection, name: str = "ledger") -> None:
    """Bring the tables to this version, in the caller's transaction, which excludes others."""
    version = version_of(connection)
    check_version(version, name)
    for number in range(version, len(MIGRATIONS)):
        MIGRATIONS[number](connection)
        connection.execute(insert(migrations).values(version=number + 1))


def check_version(version: int, name: str = "ledger") -> None:
    """Raise `LedgerError` for tables of a newer version of this package."""
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"The {name} was written by a newer version of oxen-integrations.",
            hint="Upgrade, or use another ledger.",
        )


def check_is_ledger(connection: Connection, name: str) -> None:
    """Raise `LedgerError` where the tables have not been set up, and what the database says."""
    version = version_of(connection)
    check_version(version, name)
    if version < len(MIGRATIONS):
        raise LedgerError(
            f"The tables of the {name} are missing or old.",
            hint="Run `oxen-inference ledger setup --ledger URL`, or Ledger(url).setup(), once, with the URL "
            "of a user who may create tables; a user who may not see them needs USAGE on their schema.",
        )
