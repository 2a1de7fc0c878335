"""A hard limit on spending: reserved before anything is sent, settled when the cost is known."""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any

from oxen_inference.errors import ConfigurationError, InvalidInputError
from oxen_inference.ledger import accounts
from oxen_inference.ledger.accounts import Reservation, Totals
from oxen_inference.ledger.names import LONGEST_NAME, is_too_long, label_of_budget
from oxen_inference.ledger.store import Ledger, default_ledger
from oxen_inference.locks import Lock
from oxen_inference.money import read_money
from oxen_inference.price_caps import PriceCaps, read_price_caps

USD = str | Decimal | int | float
"""An amount of US dollars, such as ``"20.00"``."""


def read_amount(value: object, name: str) -> Decimal:
    """Return an amount of USD. Raises `InvalidInputError` if it is none, or negative."""
    amount = read_money(value)
    if amount is None:
        raise InvalidInputError(f'{name} must be an amount in USD such as "20.00", not {value!r}.')
    return amount


def read_limit(value: object) -> Decimal:
    """Return a limit as a ledger keeps it; what it has more digits for is left out."""
    given = read_amount(value, "limit")
    kept = accounts.to_usd(accounts.to_units(given, ROUND_DOWN))
    return given if given == kept else kept  # $2.00 stays $2.00


def as_budget(
    given: Budget | USD | None, make: Callable[[USD], Budget] | None = None
) -> Budget | None:
    """Return a budget as it is, and an amount as a new budget. Raises `ConfigurationError`."""
    if given is None or isinstance(given, Budget):
        return given
    try:
        return (make or Budget)(given)
    except InvalidInputError:
        is_saved = isinstance(given, str) and given.startswith(f"{Budget.__name__}(")
        raise ConfigurationError(
            f'budget must be a Budget, or an amount in USD such as "20.00", not {given!r}.',
            hint="A saved model holds no budget: pass it again." if is_saved else None,
        ) from None


class Budget:
    """A limit in USD that requests paid from it are never planned to exceed.

    With a `name` it is one budget for everything that names it in the same ledger, across
    threads, processes and runs. Without a name it is this object alone, in this process, and
    belongs to the ledger of the first client that pays from it. `price_caps` are the most that one
    generation may cost, by model id, for models without a usable price.

    `release_failed_after`: seconds, or a `timedelta`, after which a generation that failed or was
    canceled, and whose cost Oxen has not stated, holds no money any more; None: until the cost is
    stated. A cost that is stated later is charged all the same. Raises `ConfigurationError` if the
    name already stands for another limit, or the ledger does not last.
    """

    def __init__(
        self,
        limit: USD,
        *,
        name: str | None = None,
        ledger: Ledger | None = None,
        price_caps: PriceCaps | None = None,
        release_failed_after: float | timedelta | None = None,
    ) -> None:
        self.price_caps = read_price_caps(price_caps)
        self.release_failed_after = _read_seconds(release_failed_after)
        self.limit = read_limit(limit)
        if name is not None and (not isinstance(name, str) or is_too_long(name)):
            raise ConfigurationError(
                f"A budget's name must be a text of at most {LONGEST_NAME:,} bytes."
            )
        self.name = name
        self._account = f"{accounts.UNNAMED}{uuid.uuid4().hex}" if name is None else name
        self._process = os.getpid()
        self._lock = Lock(reentrant=True)
        self._recorded = Decimal(0)  # by hand, before there was a ledger to write it to
        self._ledger: Ledger | None = None
        if name is not None:
            self._bind(_durable(ledger or default_ledger(), name))

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
        settings = {
            "price_caps": self.price_caps,
            "release_failed_after": self.release_failed_after,
        }
        return _rebuild, (self.name, self._ledger, settings)

    @property
    def account(self) -> str:
        """What stands for this budget in its ledger, and in answers that it paid for."""
        return self._account

    @property
    def ledger(self) -> Ledger | None:
        """The ledger that it is kept in; None until the first payment, without a name."""
        return self._ledger

    def is_same(self, other: Budget) -> bool:
        """Whether the two are one budget: this object, or the same name in the same ledger."""
        if self is other:
            return True
        return self.name is not None and (self.name, self.ledger) == (other.name, other.ledger)

    @property
    def spent(self) -> Decimal:
        """USD known to have been spent."""
        return self._totals().spent

    @property
    def reserved(self) -> Decimal:
        """USD reserved for jobs whose cost is not known yet."""
        return self._totals().reserved

    @property
    def remaining(self) -> Decimal:
        """USD that can still be planned; never negative, though more may have been spent."""
        return max(self._totals().left, Decimal(0))

    def change_limit(self, limit: USD) -> None:
        """Set another limit: for a named budget, everywhere it is named from now on."""
        new = read_limit(limit)
        self._check_process()
        with self._lock:
            if self._ledger is not None:
                with self._ledger.database.writing() as connection:
                    accounts.change_limit(connection, self._account, new)
            self.limit = new

    def check(self, amount: USD) -> None:
        """Raise `BudgetExceededError` if `amount` does not fit in what is left."""
        needed, known = read_amount(amount, "amount"), self._totals()
        if needed > known.left and self._ledger is not None:
            with self._ledger.database.writing() as connection:
                known = accounts.free_abandoned(connection, self._account)
        accounts.check_fits(known, needed, self._label)

    def record(self, amount: USD, what: str = "") -> None:
        """Count money spent elsewhere. Never refused: the money is gone, and blocks what follows."""
        cost = read_amount(amount, "amount")
        self._check_process()
        with self._lock:
            if self._ledger is None:
                self._recorded += cost
            else:
                self._charge(self._ledger, cost, what)

    def reservation(self, ledger: Ledger, unit: Decimal, generations: int) -> Reservation:
        """Return what to reserve in `ledger` for a request, together with its entry.

        Raises `ConfigurationError` if the budget is kept in another ledger.
        """
        self._check_process()
        with self._lock:
            if self._ledger is None:
                self._bind(ledger)
            elif not self._ledger.is_same(ledger):
                raise ConfigurationError(
                    f"{self!r} is kept in {self._ledger!r}, and this client uses {ledger!r}. Money "
                    "is reserved together with its request, in one ledger. Nothing was sent.",
                    hint="Pass the client ledger=budget.ledger, or the budget "
                    "ledger=client.media.ledger.",
                )
            self._catch_up()
        return Reservation(self._account, self._label, unit, generations)

    def hold(self, ledger: Ledger, amount: Decimal) -> Hold:
        """Hold money for a chat call; in this budget's own ledger, or else in `ledger`.

        Raises `BudgetExceededError` if it does not fit, or nothing is left.
        """
        self._check_process()
        with self._lock:
            if self._ledger is None:
                self._bind(ledger)
            assert self._ledger is not None  # noqa: S101 - it was bound
            kept_in = self._ledger
            self._catch_up()
        hold = Hold(kept_in, self._account, uuid.uuid4().hex)
        lease = kept_in.lease_id
        with kept_in.database.writing() as connection:
            accounts.hold(connection, self._account, self._label, hold.hold_id, amount, lease)
        return hold

    def _bind(self, ledger: Ledger) -> None:
        with ledger.database.writing() as connection:
            known = accounts.open_account(connection, self._account, self.limit)
            accounts.check_limit(self._account, known, self.limit)
        if self._recorded:
            self._charge(ledger, self._recorded, "recorded before the first payment")
        self._ledger = ledger

    def _charge(self, ledger: Ledger, cost: Decimal, what: str) -> None:
        with ledger.database.writing() as connection:
            accounts.charge(connection, self._account, f"record:{uuid.uuid4().hex}", cost, what)

    def _totals(self) -> Totals:
        self._check_process()
        with self._lock:
            if self._ledger is None:
                return Totals(self.limit, self._recorded, Decimal(0))
            self._catch_up()
            with self._ledger.database.reading() as connection:
                known = accounts.totals(connection, self._account)
            if known.limit != self.limit:  # it was changed elsewhere
                self.limit = known.limit
            return known

    def _catch_up(self) -> None:
        """Free what generations hold that failed longer ago than `release_failed_after`."""
        seconds = self.release_failed_after
        if seconds is None or self._ledger is None:
            return
        with self._ledger.database.reading() as connection:
            if not accounts.old_failures(connection, self._account, seconds):
                return
        with self._ledger.database.writing() as connection:
            accounts.release_failures(connection, self._account, seconds)

    @property
    def _label(self) -> str:
        return "this budget" if self.name is None else label_of_budget(self.name)

    def _check_process(self) -> None:
        if self.name is None and self._process != os.getpid():
            raise ConfigurationError(
                f"{self!r} was made in another process, and a fork would have the whole limit once "
                "more.",
                hint="Give it a name, by which processes share it: "
                f"Budget({str(self.limit)!r}, name=...).",
            )


@dataclass(frozen=True, slots=True)
class Hold:
    """Money that is held for one call."""

    ledger: Ledger
    account: str
    hold_id: str

    def settle(self, cost: Decimal, what: str) -> None:
        """Charge what the call cost in place of what is held."""
        with self.ledger.database.writing() as connection:
            accounts.settle_hold(connection, self.account, self.hold_id, cost, what)


class RunBudget(Budget):
    """The named budget of an agent's run, which moves to the ledger of the first client that pays.

    What the ledger that it was given counts until then is charged there, as one sum.
    """

    def __init__(
        self, limit: USD, *, name: str, ledger: Ledger, price_caps: PriceCaps | None = None
    ) -> None:
        self._may_move = True
        self._earlier: Ledger | None = None  # that it moved from, while calls hold money there
        super().__init__(limit, name=name, ledger=ledger, price_caps=price_caps)

    def reservation(self, ledger: Ledger, unit: Decimal, generations: int) -> Reservation:
        with self._lock:
            if self._may_move:
                self._move(ledger)
            reservation = super().reservation(ledger, unit, generations)
            self._may_move = False
        return reservation

    def _move(self, ledger: Ledger) -> None:
        given = self._ledger
        if given is not None and not given.is_same(ledger):
            self._totals()  # its limit may have been changed
            self._bind(ledger)
            self._earlier = given

    def _catch_up(self) -> None:
        super()._catch_up()
        if self._earlier is None or self._ledger is None:
            return
        with self._earlier.database.writing() as earlier:
            accounts.free_abandoned(earlier, self._account)
        account, charge_id = self._account, f"moved:{self._account}"
        with (
            self._ledger.database.writing() as connection,
            self._earlier.database.reading() as earlier,
        ):
            # Locked before the other ledger is read: of several processes the last to write knows
            # the most.
            before = accounts.lock_charge(connection, account, charge_id, "another ledger")
            known = accounts.totals(earlier, account)
            # What calls hold there counts as spent until they end.
            amount = known.spent + known.reserved
            accounts.change_charge(connection, account, charge_id, before, amount)
        if not known.reserved:
            self._earlier = None


class ListBudget(Budget):
    """The budget of a list of requests with a key prefix, in the ledger of the client that pays.

    What was paid for under the prefix before counts, and the limit that was given last.
    """

    def __init__(self, limit: USD, key_prefix: str, hub: str) -> None:
        super().__init__(limit)
        self._account = f"list:{key_prefix} at {hub}"

    def _bind(self, ledger: Ledger) -> None:
        with ledger.database.writing() as connection:
            if accounts.open_account(connection, self._account, self.limit) != self.limit:
                accounts.change_limit(connection, self._account, self.limit)
        self._ledger = ledger


def _durable(ledger: Ledger, name: str) -> Ledger:
    if not ledger.durable:
        raise ConfigurationError(
            f"The budget {name!r} needs a ledger that outlives the process, as its name does.",
            hint="Pass ledger=Ledger(path) with a path that can be written, or leave the name out.",
        )
    return ledger


def _read_seconds(given: float | timedelta | None) -> float | None:
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (is_number and 0 <= seconds < math.inf):
        raise ConfigurationError(
            f"release_failed_after must be seconds or a timedelta, not {given!r}."
        )
    return seconds


def _rebuild(name: str, ledger: Ledger, settings: dict[str, Any]) -> Budget:
    """Return a pickled budget as its ledger has it; one that is gone never starts anew."""
    with ledger.database.reading() as connection:
        known = accounts.totals(connection, name)
    return Budget(known.limit, name=name, ledger=ledger, **settings)
