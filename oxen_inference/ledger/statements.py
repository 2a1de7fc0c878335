"""SQL that is written in another way on SQLite and on PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Double, Insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class now(FunctionElement[float]):  # noqa: N801 - it is written as the function it is
    """The database's time in unix seconds."""

    type = Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_sqlite(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_postgresql(*_: Any, **__: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


class insert_new(Insert):  # noqa: N801 - like SQLAlchemy's insert()
    """An INSERT that does nothing where the row exists already."""

    inherit_cache = True


@compiles(insert_new, "sqlite")
@compiles(insert_new, "postgresql")
def _insert_new(statement: insert_new, compiler: Any, **options: Any) -> str:
    return f"{compiler.visit_insert(statement, **options)} ON CONFLICT DO NOTHING"
