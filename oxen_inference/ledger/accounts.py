"""What a ledger holds of a budget: its limit, what is reserved for which entry, what was charged.

Every function works in the caller's transaction, so that money moves with the entry it is for.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from oxen_inference.errors import ConfigurationError, LedgerError
from oxen_inference.money import usd


class Totals(NamedTuple):
    """USD: what may be spent, what was, and what is held for jobs of unknown cost."""

    limit: Decimal
    spent: Decimal
    reserved: Decimal

    @property
    def left(self) -> Decimal:
        return self.limit - self.spent - self.reserved


def open_account(connection: sqlite3.Connection, budget: str, limit: Decimal) -> Decimal:
    """Begin a budget's account where there is none yet; return the limit it has."""
    connection.execute(
        "INSERT OR IGNORE INTO budgets (name, amount) VALUES (?, ?)", (budget, str(limit))
    )
    return totals(connection, budget).limit


def refuse_other_limit(budget: str, known: Decimal, limit: Decimal) -> None:
    """Raise `ConfigurationError` if a budget of that name has another limit already."""
    if known != limit:
        raise ConfigurationError(
            f"The budget {budget!r} is already in this ledger with a limit of {usd(known)}, not "
            f"{usd(limit)}. Use that limit or another name, or change it: "
            f"Budget({str(known)!r}, name={budget!r}).change_limit({str(limit)!r})."
        )


def change_limit(connection: sqlite3.Connection, budget: str, limit: Decimal) -> None:
    connection.execute("UPDATE budgets SET amount = ? WHERE name = ?", (str(limit), budget))


def totals(connection: sqlite3.Connection, budget: str) -> Totals:
    """Return an account as it is, in one statement: also outside of a transaction all fits."""
    rows = connection.execute(
        "SELECT amount, spent, unit, open FROM budgets"
        " LEFT JOIN reservations ON budget = name AND open > 0 WHERE name = ?",
        (budget,),
    ).fetchall()
    if not rows:
        raise LedgerError(
            f"The budget {budget!r} is no longer in its ledger: has the file been removed or replaced?"
        )
    held = (Decimal(row["unit"]) * int(row["open"]) for row in rows if row["unit"] is not None)
    return Totals(Decimal(rows[0]["amount"]), Decimal(rows[0]["spent"]), sum(held, Decimal(0)))


def hold(
    connection: sqlite3.Connection, budget: str, entry_id: str, unit: Decimal, generations: int
) -> None:
    """Hold `unit` for each generation of an entry, and nothing else for it any more."""
    connection.execute(
        "INSERT OR REPLACE INTO reservations VALUES (?, ?, ?, ?)",
        (entry_id, budget, str(unit), generations),
    )


def release(connection: sqlite3.Connection, entry_id: str) -> None:
    """Give back all that is still held for an entry."""
    connection.execute("UPDATE reservations SET open = 0 WHERE entry_id = ?", (entry_id,))


def hold_for(connection: sqlite3.Connection, entry_id: str, generation_ids: Iterable[str]) -> None:
    """Hold for the generations that the hub says there are, more or fewer than were asked for."""
    charges = [f"{entry_id}:{one}" for one in dict.fromkeys(generation_ids)]
    settled = sum(
        connection.execute("SELECT 1 FROM charges WHERE charge_id = ?", (one,)).fetchone()
        is not None
        for one in charges
    )
    connection.execute(
        "UPDATE reservations SET open = ? WHERE entry_id = ?", (len(charges) - settled, entry_id)
    )


def settle(
    connection: sqlite3.Connection, entry_id: str, generation_id: str, cost: Decimal, what: str
) -> None:
    """Turn one generation's reservation into its actual cost; once, however often it is called."""
    row = connection.execute(
        "SELECT budget FROM reservations WHERE entry_id = ?", (entry_id,)
    ).fetchone()
    if row is not None and charge(
        connection, row["budget"], f"{entry_id}:{generation_id}", cost, what
    ):
        connection.execute(
            "UPDATE reservations SET open = max(open - 1, 0) WHERE entry_id = ?", (entry_id,)
        )


def held(connection: sqlite3.Connection, entry_id: str) -> Decimal:
    """Return what is still held for an entry."""
    row = connection.execute(
        "SELECT unit, open FROM reservations WHERE entry_id = ?", (entry_id,)
    ).fetchone()
    return Decimal(0) if row is None else Decimal(row["unit"]) * int(row["open"])


def charge(
    connection: sqlite3.Connection, budget: str, charge_id: str, amount: Decimal, what: str
) -> bool:
    """Add a charge to what the budget has spent, unless it already was."""
    added = connection.execute(
        "INSERT OR IGNORE INTO charges VALUES (?, ?, ?, ?, ?)",
        (charge_id, budget, str(amount), what, time.time()),
    ).rowcount
    if not added:
        return False
    row = connection.execute("SELECT spent FROM budgets WHERE name = ?", (budget,)).fetchone()
    connection.execute(
        "UPDATE budgets SET spent = ? WHERE name = ?", (str(Decimal(row["spent"]) + amount), budget)
    )
    return True
