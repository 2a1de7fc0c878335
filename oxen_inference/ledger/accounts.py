"""A budget's account in the ledger: its limit, its reservations, and what was charged.

Every function works in the caller's transaction, so that money moves together with its entry.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from oxen_inference.errors import BudgetExceededError, ConfigurationError, LedgerError
from oxen_inference.money import usd


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money to hold for each generation of a request, until its cost is known. USD."""

    account: str
    label: str
    """What errors call the budget."""
    unit: Decimal
    generations: int


class Totals(NamedTuple):
    """USD: the limit, what was spent, and what is reserved for jobs of unknown cost."""

    limit: Decimal
    spent: Decimal
    reserved: Decimal

    @property
    def left(self) -> Decimal:
        return self.limit - self.spent - self.reserved


def open_account(connection: sqlite3.Connection, account: str, limit: Decimal) -> Decimal:
    """Open an account where there is none yet; return the limit that it has."""
    connection.execute(
        "INSERT OR IGNORE INTO budgets (name, amount) VALUES (?, ?)", (account, str(limit))
    )
    return totals(connection, account).limit


def check_limit(account: str, known: Decimal, limit: Decimal) -> None:
    """Raise `ConfigurationError` if the account has another limit already."""
    if known != limit:
        raise ConfigurationError(
            f"The budget {account!r} is already in this ledger with a limit of {usd(known)}, not "
            f"{usd(limit)}. Use that limit or another name, or change it: "
            f"Budget({str(known)!r}, name={account!r}).change_limit({str(limit)!r})."
        )


def change_limit(connection: sqlite3.Connection, account: str, limit: Decimal) -> None:
    connection.execute("UPDATE budgets SET amount = ? WHERE name = ?", (str(limit), account))


def totals(connection: sqlite3.Connection, account: str) -> Totals:
    """Return an account's totals, in one statement: consistent outside a transaction, too."""
    rows = connection.execute(
        "SELECT amount, spent, unit, open FROM budgets"
        " LEFT JOIN reservations ON budget = name AND open > 0 WHERE name = ?",
        (account,),
    ).fetchall()
    if not rows:
        raise LedgerError(
            f"The budget {account!r} is no longer in its ledger: the file was removed or replaced."
        )
    reserved = (Decimal(row["unit"]) * int(row["open"]) for row in rows if row["unit"] is not None)
    return Totals(Decimal(rows[0]["amount"]), Decimal(rows[0]["spent"]), sum(reserved, Decimal(0)))


def check_fits(known: Totals, amount: Decimal, label: str) -> None:
    """Raise `BudgetExceededError` if `amount` is more than what is left."""
    if amount > known.left:
        raise BudgetExceededError(
            f"This may cost {usd(amount)}, and of the {usd(known.limit)} in {label} "
            f"{usd(max(known.left, Decimal(0)))} is left ({usd(known.spent)} spent, "
            f"{usd(known.reserved)} reserved). Nothing was sent."
        )


def reserve(connection: sqlite3.Connection, entry_id: str, reservation: Reservation) -> None:
    """Hold an entry's money in place of what it held before. Raises `BudgetExceededError`."""
    release(connection, entry_id)
    known = totals(connection, reservation.account)
    check_fits(known, reservation.unit * reservation.generations, reservation.label)
    connection.execute(
        "INSERT OR REPLACE INTO reservations VALUES (?, ?, ?, ?)",
        (entry_id, reservation.account, str(reservation.unit), reservation.generations),
    )


def release(connection: sqlite3.Connection, entry_id: str) -> None:
    """Free all that is still reserved for an entry."""
    connection.execute("UPDATE reservations SET open = 0 WHERE entry_id = ?", (entry_id,))


def resize(connection: sqlite3.Connection, entry_id: str, generation_ids: Iterable[str]) -> None:
    """Reserve for the generations that the hub names, more or fewer than were requested."""
    charges = [f"{entry_id}:{each}" for each in dict.fromkeys(generation_ids)]
    settled = sum(
        connection.execute("SELECT 1 FROM charges WHERE charge_id = ?", (each,)).fetchone()
        is not None
        for each in charges
    )
    connection.execute(
        "UPDATE reservations SET open = ? WHERE entry_id = ?", (len(charges) - settled, entry_id)
    )


def settle(
    connection: sqlite3.Connection, entry_id: str, generation_id: str, cost: Decimal, label: str
) -> None:
    """Replace one generation's reservation by its cost; a second call changes nothing."""
    row = connection.execute(
        "SELECT budget FROM reservations WHERE entry_id = ?", (entry_id,)
    ).fetchone()
    if row is not None and charge(
        connection, row["budget"], f"{entry_id}:{generation_id}", cost, label
    ):
        connection.execute(
            "UPDATE reservations SET open = max(open - 1, 0) WHERE entry_id = ?", (entry_id,)
        )


def reserved_for(connection: sqlite3.Connection, entry_id: str) -> Decimal:
    """Return what is still reserved for an entry."""
    row = connection.execute(
        "SELECT unit, open FROM reservations WHERE entry_id = ?", (entry_id,)
    ).fetchone()
    return Decimal(0) if row is None else Decimal(row["unit"]) * int(row["open"])


def charge(
    connection: sqlite3.Connection, account: str, charge_id: str, amount: Decimal, label: str
) -> bool:
    """Add a charge to what the account has spent; False if it was added before."""
    added = connection.execute(
        "INSERT OR IGNORE INTO charges VALUES (?, ?, ?, ?, ?)",
        (charge_id, account, str(amount), label, time.time()),
    ).rowcount
    if not added:
        return False
    row = connection.execute("SELECT spent FROM budgets WHERE name = ?", (account,)).fetchone()
    connection.execute(
        "UPDATE budgets SET spent = ? WHERE name = ?",
        (str(Decimal(row["spent"]) + amount), account),
    )
    return True
