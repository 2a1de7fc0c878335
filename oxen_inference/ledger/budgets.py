"""A hard limit on spending: reserved before anything is sent, settled when the cost is known."""

from __future__ import annotations

import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from oxen_inference.errors import BudgetExceededError, ConfigurationError, InvalidInputError
from oxen_inference.ledger import accounts
from oxen_inference.ledger.accounts import Totals
from oxen_inference.ledger.schema import LedgerFile, is_same
from oxen_inference.money import usd

if TYPE_CHECKING:
    from oxen_inference.ledger.store import Ledger

Amount = str | Decimal | int | float
Reserve = Callable[[sqlite3.Connection, str, Decimal, int], None]
"""Holds a unit for each of some generations of an entry. Raises `BudgetExceededError`."""


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

    With a `name` it is one budget for everything that names it in the same ledger, across
    threads, processes and runs, and pays for clients with that ledger; without, it is this
    object alone, in this process, for any client. Raises `ConfigurationError` if the name already
    stands for another limit, or the ledger does not last.
    """

    def __init__(
        self, limit: Amount, *, name: str | None = None, ledger: Ledger | None = None
    ) -> None:
        from oxen_inference.ledger.store import default_ledger

        self.limit = read_amount(limit, "limit")
        self.name = name
        self.ledger = None if name is None else ledger or default_ledger()
        if self.ledger is not None and not self.ledger.durable:
            raise ConfigurationError(
                f"The budget {name!r} needs a ledger that outlives the process, as its name does: "
                "pass ledger=Ledger(path) with a path that can be written, or leave the name out."
            )
        # Without a name the first is for what is recorded by hand; those of clients join it, since
        # a reservation is written where its entry is.
        self._files: tuple[LedgerFile, ...] = (
            LedgerFile(None) if self.ledger is None else self.ledger.file,
        )
        self._account = f"unnamed {uuid.uuid4().hex}" if name is None else name
        self._joins_other_files = name is None
        self._process = os.getpid()
        self._reserving = threading.Lock()
        with self.file.writing() as connection:
            known = accounts.open_account(connection, self._account, self.limit)
            accounts.refuse_other_limit(self._account, known, self.limit)

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
        return _rebuild, (str(self.limit), self.name, self.ledger)

    @property
    def file(self) -> LedgerFile:
        """Where it is kept; without a name, where what is recorded by hand is."""
        return self._files[0]

    @property
    def spent(self) -> Decimal:
        """USD known to have been spent."""
        return self._totals().spent

    @property
    def reserved(self) -> Decimal:
        """USD held for jobs whose cost is not known yet."""
        return self._totals().reserved

    @property
    def remaining(self) -> Decimal:
        """USD that can still be planned; never negative, though more may have been spent."""
        return max(self._totals().left, Decimal(0))

    def change_limit(self, limit: Amount) -> None:
        """Set another limit: for a named budget, everywhere it is named from now on."""
        new = read_amount(limit, "limit")
        self._refuse_a_fork()
        with self.file.writing() as connection:
            accounts.change_limit(connection, self._account, new)
        self.limit = new

    def check(self, amount: Amount) -> None:
        """Raise `BudgetExceededError` if `amount` does not fit in what is left."""
        self._check(self._totals(), read_amount(amount, "amount"))

    def record(self, amount: Amount, what: str = "") -> None:
        """Count money spent elsewhere. Never refused: the money is gone, and blocks what follows."""
        cost = read_amount(amount, "amount")
        self._refuse_a_fork()
        with self.file.writing() as connection:
            accounts.charge(connection, self._account, f"record:{uuid.uuid4().hex}", cost, what)

    @contextmanager
    def reserving(self, file: LedgerFile) -> Iterator[Reserve]:
        """Give what reserves money in a transaction of `file`, where the entry is written, too.

        Raises `ConfigurationError` if the budget is kept in another file.
        """
        if not self._joins_other_files:
            self._refuse_another(file)
            yield self._reserve_beside(Totals(self.limit, Decimal(0), Decimal(0)))
            return
        # Not inside the transaction: of two threads each would hold a file the other waits for.
        # Nothing else is reserved meanwhile, and what is settled was reserved before.
        self._refuse_a_fork()
        with self._reserving:
            _ = file.durable  # opens it, which says where it really is
            if not any(is_same(file, one) for one in self._files):
                with file.writing() as connection:
                    accounts.open_account(connection, self._account, self.limit)
                self._files = (*self._files, file)
            yield self._reserve_beside(self._totals(besides=file))

    def _reserve_beside(self, elsewhere: Totals) -> Reserve:
        def reserve(connection: sqlite3.Connection, entry_id: str, unit: Decimal, n: int) -> None:
            here = accounts.totals(connection, self._account)
            known = Totals(
                elsewhere.limit if self._joins_other_files else here.limit,
                here.spent + elsewhere.spent,
                here.reserved + elsewhere.reserved,
            )
            self._check(known, unit * n)
            accounts.hold(connection, self._account, entry_id, unit, n)

        return reserve

    def _totals(self, besides: LedgerFile | None = None) -> Totals:
        self._refuse_a_fork()
        limit, spent, reserved = self.limit, Decimal(0), Decimal(0)
        for file in self._files:
            with file.reading() as connection:
                part = accounts.totals(connection, self._account)
            if file is self.file and self.name is not None:
                limit = part.limit
            if besides is None or not is_same(file, besides):
                spent, reserved = spent + part.spent, reserved + part.reserved
        return Totals(limit, spent, reserved)

    def _check(self, known: Totals, amount: Decimal) -> None:
        if amount > known.left:
            what = "this budget" if self.name is None else f"the budget {self.name!r}"
            raise BudgetExceededError(
                f"This may cost {usd(amount)}, and of the {usd(known.limit)} in {what} "
                f"{usd(max(known.left, Decimal(0)))} is left ({usd(known.spent)} spent, "
                f"{usd(known.reserved)} reserved). Nothing was sent."
            )

    def _refuse_another(self, file: LedgerFile) -> None:
        if file.durable and is_same(file, self.file):
            return
        raise ConfigurationError(
            f"The budget {self.name!r} is kept in the ledger at {self.file.path}, and this client's "
            f"is {f'at {file.path}' if file.path else 'in memory'}: money is reserved together with "
            "what it is for, in one file. Pass the client ledger=budget.ledger, or the budget "
            "ledger=client.media.ledger. Nothing was sent."
        )

    def _refuse_a_fork(self) -> None:
        if self.name is None and self._process != os.getpid():
            raise ConfigurationError(
                f"{self!r} was made in another process, and a fork would have the whole limit once "
                "more. Give it a name, by which processes share it: "
                f"Budget({str(self.limit)!r}, name=...)."
            )


class RunBudget(Budget):
    """The named budget of an agent's run, which pays for clients with any ledger.

    What they spend from other ledgers than its own counts while this object lasts.
    """

    def __init__(self, limit: Amount, *, name: str, ledger: Ledger) -> None:
        super().__init__(limit, name=name, ledger=ledger)
        self._joins_other_files = True


def _rebuild(limit: str, name: str, ledger: Ledger) -> Budget:
    return Budget(limit, name=name, ledger=ledger)
