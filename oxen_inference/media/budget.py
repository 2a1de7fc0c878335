"""A hard limit on spending: reserved before anything is sent, settled when the cost is known."""

from __future__ import annotations

import sqlite3
import time
import uuid
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.pricing import usd
from oxen_inference.errors import BudgetExceededError, ConfigurationError, InvalidInputError
from oxen_inference.media.ledger_file import LedgerFile

if TYPE_CHECKING:
    from oxen_inference.media.journal import Journal

Amount = str | Decimal | int | float


def read_amount(value: object, name: str) -> Decimal:
    """Return an amount of USD. Raises `InvalidInputError` if it is none, or negative."""
    is_number = isinstance(value, str | Decimal | int | float) and not isinstance(value, bool)
    try:
        amount = Decimal(str(value).strip().removeprefix("$") if is_number else "NaN")
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise InvalidInputError(f'{name} must be an amount in USD such as "20.00", not {value!r}.')
    return amount


def as_budget(given: Budget | Amount | None) -> Budget | None:
    """Return a budget as it is, and an amount as one of its own. Raises `ConfigurationError`."""
    if given is None or isinstance(given, Budget):
        return given
    try:
        return Budget(given)
    except InvalidInputError:
        raise ConfigurationError(
            f'budget must be a Budget, or an amount in USD such as "20.00", not {given!r}.'
        ) from None


class Budget:
    """A limit in USD that spending through it can never be planned to exceed.

    With a `name` it is one budget for everything that names it in the same journal, across
    threads, processes and runs; without, it is this object alone. Raises `ConfigurationError`
    if the name already stands for another limit.
    """

    def __init__(
        self, limit: Amount, *, name: str | None = None, journal: Journal | None = None
    ) -> None:
        from oxen_inference.media.journal import default_journal

        self.limit = read_amount(limit, "limit")
        self.name = name
        if name is None:
            self.journal = None
            self.file = LedgerFile(None)
        else:
            self.journal = journal or default_journal()
            self.file = self.journal.file
        self._row = name or "this budget"
        with self.file.writing() as connection:
            _open(connection, self._row, self.limit)

    def __repr__(self) -> str:
        named = "" if self.name is None else f", name={self.name!r}"
        return f"Budget({format(self.limit, 'f')!r}{named})"

    def __copy__(self) -> Budget:
        return self

    def __deepcopy__(self, _: Any) -> Budget:
        return self  # frameworks copy their tools; a copied limit would be twice the limit

    def __reduce__(self) -> Any:
        if self.name is None:
            raise TypeError("A budget without a name lives in one process; name it to send it.")
        return _rebuild, (str(self.limit), self.name, self.journal)

    @property
    def spent(self) -> Decimal:
        """USD known to have been spent."""
        return self._totals()[1]

    @property
    def reserved(self) -> Decimal:
        """USD held for jobs whose cost is not known yet."""
        return self._totals()[2]

    @property
    def remaining(self) -> Decimal:
        """USD that can still be planned; never negative, though more may have been spent."""
        limit, spent, reserved = self._totals()
        return max(limit - spent - reserved, Decimal(0))

    def change_limit(self, limit: Amount) -> None:
        """Set another limit: for a named budget, everywhere it is named from now on."""
        new = read_amount(limit, "limit")
        with self.file.writing() as connection:
            connection.execute(
                "UPDATE budgets SET amount = ? WHERE name = ?", (str(new), self._row)
            )
        self.limit = new

    def check(self, amount: Amount) -> None:
        """Raise `BudgetExceededError` if `amount` does not fit in what is left."""
        with self.file.reading() as connection:
            _check(connection, self._row, read_amount(amount, "amount"))

    def record(self, amount: Amount, what: str = "") -> None:
        """Count money spent elsewhere. Never refused: the money is gone, and blocks what follows."""
        cost = read_amount(amount, "amount")
        with self.file.writing() as connection:
            _charge(connection, self._row, f"record:{uuid.uuid4().hex}", cost, what)

    def reserve(self, connection: sqlite3.Connection, entry_id: str, unit: Decimal, n: int) -> None:
        """Hold `unit` for each of `n` generations, in the caller's transaction.

        Raises `BudgetExceededError`; nothing is held then.
        """
        _check(connection, self._row, unit * n)
        connection.execute(
            "INSERT OR REPLACE INTO reservations VALUES (?, ?, ?, ?)",
            (entry_id, self._row, str(unit), n),
        )

    def _totals(self) -> tuple[Decimal, Decimal, Decimal]:
        with self.file.reading() as connection:
            return _totals(connection, self._row)


def release(connection: sqlite3.Connection, entry_id: str) -> None:
    """Give back all that is still held for an entry."""
    connection.execute("UPDATE reservations SET open = 0 WHERE entry_id = ?", (entry_id,))


def hold_at_least(connection: sqlite3.Connection, entry_id: str, generations: int) -> None:
    """Hold for as many generations as the hub says it made, even if it was asked for fewer."""
    connection.execute(
        "UPDATE reservations SET open = max(open, ?) WHERE entry_id = ?", (generations, entry_id)
    )


def settle(
    connection: sqlite3.Connection, entry_id: str, generation_id: str, cost: Decimal, what: str
) -> None:
    """Turn one generation's reservation into its actual cost; once, however often it is called."""
    row = connection.execute(
        "SELECT budget FROM reservations WHERE entry_id = ?", (entry_id,)
    ).fetchone()
    if row is not None and _charge(
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


def _rebuild(limit: str, name: str, journal: Journal) -> Budget:
    return Budget(limit, name=name, journal=journal)


def _open(connection: sqlite3.Connection, name: str, limit: Decimal) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO budgets (name, amount) VALUES (?, ?)", (name, str(limit))
    )
    row = connection.execute("SELECT amount FROM budgets WHERE name = ?", (name,)).fetchone()
    if Decimal(row["amount"]) != limit:
        raise ConfigurationError(
            f"The budget {name!r} is already in this journal with a limit of "
            f"{usd(Decimal(row['amount']))}, not {usd(limit)}. Use that limit or another name, or "
            f"change it: Budget({row['amount']!r}, name={name!r}).change_limit({str(limit)!r})."
        )


def _totals(connection: sqlite3.Connection, name: str) -> tuple[Decimal, Decimal, Decimal]:
    row = connection.execute("SELECT amount, spent FROM budgets WHERE name = ?", (name,)).fetchone()
    open_rows = connection.execute(
        "SELECT unit, open FROM reservations WHERE budget = ? AND open > 0", (name,)
    )
    reserved = sum((Decimal(unit) * int(n) for unit, n in open_rows), Decimal(0))
    return Decimal(row["amount"]), Decimal(row["spent"]), reserved


def _check(connection: sqlite3.Connection, name: str, amount: Decimal) -> None:
    limit, spent, reserved = _totals(connection, name)
    left = limit - spent - reserved
    if amount > left:
        raise BudgetExceededError(
            f"This may cost {usd(amount)}, and of the {usd(limit)} in "
            f"{name if name == 'this budget' else f'the budget {name!r}'} "
            f"{usd(max(left, Decimal(0)))} is left ({usd(spent)} spent, {usd(reserved)} reserved). "
            "Nothing was sent."
        )


def _charge(
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
