"""Moving a ledger to another database, and taking out of it what is no longer needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, false, func, insert, select, update

from oxen_inference.errors import LedgerError
from oxen_inference.ledger.generations import read_item
from oxen_inference.ledger.leases import STALE, is_alive, this_process
from oxen_inference.ledger.schema import (
    MIGRATIONS,
    budgets,
    calls,
    charges,
    entries,
    failures,
    generations,
    identity,
    leases,
    metadata,
    migrations,
    pollers,
    polls,
    reservations,
    version_of,
    waits,
)
from oxen_inference.ledger.statements import now
from oxen_inference.ledger.store import Ledger
from oxen_inference.result import MediaItem

_AT_ONCE = 500
# A copy is another ledger, and who is at work means nothing there.
_NOT_COPIED = (migrations, identity, leases, waits, pollers, polls)


@dataclass(frozen=True, slots=True)
class Copied:
    """What `copy` wrote."""

    entries: int
    budgets: int


def setup(ledger: Ledger) -> tuple[int, int]:
    """Create or update the tables; return their version before, 0 for none, and after."""
    before = 0
    if ledger.path is None or ledger.path.exists():
        with ledger.database.writing(has_tables=False) as connection:
            before = version_of(connection)
    ledger.setup()
    return before, len(MIGRATIONS)


def check_rights(ledger: Ledger) -> None:
    """Change no row of each table. Raises `LedgerError` where a right to write is missing."""
    with ledger.database.writing() as connection:
        for table in metadata.sorted_tables:
            if table in (migrations, identity):
                continue
            names = [column.name for column in table.columns]
            nothing = select(table).where(false())
            connection.execute(insert(table).from_select(names, nothing))
            connection.execute(update(table).where(false()).values({names[-1]: table.c[names[-1]]}))
            connection.execute(delete(table).where(false()))


def copy(source: Ledger, target: Ledger) -> Copied:
    """Copy a ledger into an empty one, in one transaction; the source stays as it is. Tables that
    the target lacks are made first.

    Raises `LedgerError` where a process is still at work with the source, since it would go on
    paying there, where the target is not empty, or where its tables may not be made.
    """
    if source.is_at_same_place(target):
        raise LedgerError("That is one and the same ledger.")
    with source.database.reading():
        pass  # nothing is made for a source that cannot be read
    target.setup()
    # A transaction that writes: nobody pays with the source meanwhile.
    with source.database.writing() as old, target.database.writing() as new:
        _check_unused(old, source)
        if (
            new.execute(select(entries.c.id).limit(1)).first() is not None
            or new.execute(select(budgets.c.name).limit(1)).first()
        ):
            raise LedgerError(
                f"The ledger {target.database} is not empty, and two ledgers cannot be joined.",
                hint="Copy into a new, empty database, or a path where there is no file yet. Nothing was "
                "changed.",
            )
        for table in metadata.sorted_tables:
            if table not in _NOT_COPIED:
                _copy_table(old, new, table)
        return Copied(_count(new, entries), _count(new, budgets))


def _check_unused(connection: Connection, ledger: Ledger) -> None:
    age = (now() - leases.c.heartbeat_at).label("age")
    rows = connection.execute(
        select(leases.c.identity, age).where(leases.c.identity != this_process())
    ).all()
    if any(is_alive(row.identity, row.age) is not False for row in rows):
        raise LedgerError(
            f"A process is at work with the ledger {ledger.database}, or was a moment ago: it would go "
            "on paying there.",
            hint=f"Stop all of them, wait {STALE:.0f} seconds, and copy again.",
        )


def _copy_table(old: Connection, new: Connection, table: Table) -> None:
    # Numbers only order the rows of their table. The target gives its own: to set where its
    # numbering goes on would take more rights than to write rows.
    number = table.autoincrement_column
    columns = [column for column in table.columns if column is not number]
    rows = select(*columns) if number is None else select(*columns).order_by(number)
    for some in old.execute(rows).mappings().partitions(_AT_ONCE):
        new.execute(insert(table), [dict(row) for row in some])


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def prune(ledger: Ledger, seconds: float, *, dry_run: bool = False) -> int:
    """Delete requests that ended so long ago, with all their costs known; return how many. With
    `dry_run` they are only counted.

    Budgets keep what was spent. A pruned key is forgotten: a call with it pays again. What is of
    unknown outcome, has reserved money, or was not delivered to its conversation stays.
    """

    def delete_all(connection: Connection, found: Sequence[_Ended]) -> int:
        gone = [each for each in found if each.is_settled and each.is_delivered]
        if dry_run:
            return len(gone)
        names = [f"{each.entry_id}:{one}" for each in gone for one in each.generation_ids]
        connection.execute(delete(charges).where(charges.c.charge_id.in_(names)))
        for table in (failures, reservations, calls, waits, generations, entries):
            ids = [each.entry_id for each in gone]
            connection.execute(delete(table).where(table.c.entry_id.in_(ids)))
        return len(gone)

    return _for_ended(ledger, seconds, delete_all)


def erase_prompts(ledger: Ledger, seconds: float = 0.0, *, dry_run: bool = False) -> int:
    """Erase prompts and parameters of requests that ended so long ago; return how many. With
    `dry_run` they are only counted.

    Keys still stand for their requests. What has not ended keeps its prompt: its job could not be
    found without it.
    """

    def erase(connection: Connection, found: Sequence[_Ended]) -> int:
        prompts = [each for each in found if each.request != _without_prompt(each.model)]
        for each in () if dry_run else prompts:
            connection.execute(
                update(entries)
                .where(entries.c.entry_id == each.entry_id)
                .values(request=_without_prompt(each.model), defaults="{}")
            )
        return len(prompts)

    with ledger.database.overwriting():
        return _for_ended(ledger, seconds, erase)


def _without_prompt(model: str) -> str:
    return json.dumps({"model": model})


@dataclass(frozen=True, slots=True)
class _Ended:
    """An entry whose generations have all ended, or that bought nothing."""

    entry_id: str
    model: str
    request: str
    generation_ids: tuple[str, ...]
    is_settled: bool
    is_delivered: bool


def _for_ended(
    ledger: Ledger, seconds: float, change: Callable[[Connection, Sequence[_Ended]], int]
) -> int:
    """Do something to the entries that ended so long ago, some in each transaction."""
    changed, last = 0, 0
    while True:
        with ledger.database.writing() as connection:
            rows = connection.execute(
                select(entries)
                .where(
                    entries.c.id > last,
                    entries.c.state.in_(("accepted", "rejected")),
                    func.coalesce(entries.c.decided_at, entries.c.created_at) <= now() - seconds,
                )
                .order_by(entries.c.id)
                .limit(_AT_ONCE)
                .with_for_update()
            ).all()
            if not rows:
                return changed
            last = rows[-1].id
            changed += change(connection, list(_ended(connection, rows)))


def _ended(connection: Connection, rows: Sequence[Row[Any]]) -> Iterator[_Ended]:
    ids = [row.entry_id for row in rows]
    items: dict[str, list[MediaItem]] = {}
    names: dict[str, list[str]] = {}
    for one in connection.execute(select(generations).where(generations.c.entry_id.in_(ids))):
        items.setdefault(one.entry_id, []).append(read_item(one.generation_id, one.item))
        names.setdefault(one.entry_id, []).append(one.generation_id)
    reserved = set(
        connection.execute(
            select(reservations.c.entry_id).where(
                reservations.c.entry_id.in_(ids), reservations.c.open > 0
            )
        ).scalars()
    )
    undelivered = set(
        connection.execute(
            select(calls.c.entry_id).where(calls.c.entry_id.in_(ids), calls.c.delivered == 0)
        ).scalars()
    )
    for row in rows:
        made = items.get(row.entry_id, [])
        if row.state == "accepted" and not (made and all(item.is_terminal for item in made)):
            continue
        yield _Ended(
            entry_id=row.entry_id,
            model=row.model,
            request=row.request,
            generation_ids=tuple(names.get(row.entry_id, ())),
            is_settled=row.entry_id not in reserved and all(item.is_settled for item in made),
            is_delivered=row.entry_id not in undelivered
            or not any(item.status == "succeeded" for item in made),
        )
