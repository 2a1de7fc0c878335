"""A budget's account in the ledger: its limit, its reservations, and what was charged.

Every function works in the caller's transaction, so that money moves together with its entry, and
touches the budget's row last: there every payer of a budget meets. Amounts are stored as whole
hundred-millionths of a dollar; reservations are rounded up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from oxen_inference.errors import BudgetExceededError, ConfigurationError, LedgerError
from oxen_inference.ledger.leases import is_alive
from oxen_inference.ledger.schema import budgets, charges, failures, holds, leases, reservations
from oxen_inference.ledger.statements import insert_new, now
from oxen_inference.money import usd

log = logging.getLogger("oxen_inference.ledger")

# Statements are made once: to make one takes longer than to run it.
_TOTALS = select(budgets.c.amount, budgets.c.spent, budgets.c.reserved).where(
    budgets.c.name == bindparam("account")
)
# Not FOR UPDATE: that would wait for whoever has just written a row that refers to the budget.
_LOCKED_TOTALS = _TOTALS.with_for_update(key_share=True)
_HELD = (
    select(reservations.c.budget, reservations.c.unit, reservations.c.open)
    .where(reservations.c.entry_id == bindparam("entry"))
    .with_for_update()
)
_SET_RESERVATION = (
    update(reservations)
    .where(reservations.c.entry_id == bindparam("entry"))
    .values(budget=bindparam("account"), unit=bindparam("cost"), open=bindparam("number"))
)
SET_OPEN = (
    update(reservations)
    .where(reservations.c.entry_id == bindparam("entry"))
    .values(open=bindparam("number"))
)
_RESERVE = (
    update(budgets)
    .where(
        budgets.c.name == bindparam("account"),
        budgets.c.spent + budgets.c.reserved + bindparam("total") <= budgets.c.amount,
    )
    .values(reserved=budgets.c.reserved + bindparam("total"))
)
ADD = (
    update(budgets)
    .where(budgets.c.name == bindparam("account"))
    .values(
        reserved=budgets.c.reserved + bindparam("more_reserved"),
        spent=budgets.c.spent + bindparam("more_spent"),
    )
)
_CHARGED = select(charges.c.amount).where(charges.c.charge_id == bindparam("charge"))
_LOCKED_CHARGE = _CHARGED.with_for_update()
_SET_CHARGE = (
    update(charges)
    .where(charges.c.charge_id == bindparam("charge"))
    .values(amount=bindparam("cost"))
)
_NUMBER_CHARGED = (
    select(func.count())
    .select_from(charges)
    .where(charges.c.charge_id.in_(bindparam("names", expanding=True)))
)
_NUMBER_RELEASED = (
    select(func.count())
    .select_from(failures)
    .where(failures.c.charge_id.in_(bindparam("names", expanding=True)), failures.c.released == 1)
)
_INSERT_FAILURE = insert_new(failures).values(failed_at=now(), released=0)
_RELEASE_FAILURE = (
    update(failures)
    .where(failures.c.charge_id == bindparam("charge"), failures.c.released == 0)
    .values(released=1)
)
_END_FAILURE = (
    delete(failures)
    .where(failures.c.charge_id == bindparam("charge"))
    .returning(failures.c.released)
)
_HOLDS = (
    select(
        holds.c.hold_id,
        holds.c.amount,
        leases.c.identity,
        (now() - leases.c.heartbeat_at).label("age"),
    )
    .outerjoin(leases, leases.c.lease_id == holds.c.lease_id)
    .where(holds.c.budget == bindparam("account"))
    .with_for_update(of=holds, skip_locked=True)  # whoever settles one is not gone
)
_INSERT_CHARGE = insert_new(charges).values(charged_at=now())

_UNITS_PER_USD = 10**8
UNNAMED = "unnamed "
"""What the account of a budget without a name begins with."""
MOST_USD = Decimal(10) ** 9
"""More is no cost that a generation can have, and no budget."""


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


def to_units(amount: Decimal, rounding: str = ROUND_HALF_UP) -> int:
    """Return USD as it is stored. Raises `LedgerError` for more than a database can hold."""
    if amount > MOST_USD:
        raise LedgerError(f"The ledger counts up to {usd(MOST_USD)}, not {usd(amount)}.")
    return int((amount * _UNITS_PER_USD).to_integral_value(rounding))


def to_usd(units: int) -> Decimal:
    """Return what is stored as USD, without zeros at the end."""
    whole, rest = divmod(units, _UNITS_PER_USD)
    return (Decimal(units) / _UNITS_PER_USD).normalize() if rest else Decimal(whole)


def named_totals(connection: Connection) -> dict[str, Totals]:
    """Return the totals of the budgets with a name, in the order of their names."""
    rows = connection.execute(select(budgets).order_by(budgets.c.name))
    return {row.name: _read_totals(row) for row in rows if not row.name.startswith(UNNAMED)}


def open_account(connection: Connection, account: str, limit: Decimal) -> Decimal:
    """Open an account where there is none yet; return the limit that it has."""
    row = {"name": account, "amount": to_units(limit), "spent": 0, "reserved": 0}
    connection.execute(insert_new(budgets), row)
    return totals(connection, account).limit


def check_limit(account: str, known: Decimal, limit: Decimal) -> None:
    """Raise `ConfigurationError` if the account has another limit already."""
    if known != limit:
        raise ConfigurationError(
            f"The budget {account!r} is already in this ledger with a limit of {usd(known)}, not "
            f"{usd(limit)}.",
            hint="Use that limit or another name, or change it: "
            f"Budget({format(known, 'f')!r}, name={account!r}).change_limit({format(limit, 'f')!r}).",
        )


def change_limit(connection: Connection, account: str, limit: Decimal) -> None:
    connection.execute(
        update(budgets).where(budgets.c.name == account).values(amount=to_units(limit))
    )


def totals(connection: Connection, account: str, *, locked: bool = False) -> Totals:
    """Return an account's totals, `locked` so that nobody changes them before the transaction ends."""
    statement = _LOCKED_TOTALS if locked else _TOTALS
    row = connection.execute(statement, {"account": account}).one_or_none()
    if row is None:
        raise LedgerError(
            f"The budget {account!r} is no longer in its ledger, which was removed or replaced."
        )
    return _read_totals(row)


def _read_totals(row: Any) -> Totals:
    return Totals(to_usd(row.amount), to_usd(row.spent), to_usd(row.reserved))


def check_fits(known: Totals, amount: Decimal, label: str) -> None:
    """Raise `BudgetExceededError` if `amount` is more than what is left."""
    if amount > known.left:
        raise BudgetExceededError(
            f"This may cost {usd(amount)}, and of the {usd(known.limit)} in {label} "
            f"{usd(max(known.left, Decimal(0)))} is left ({usd(known.spent)} spent, "
            f"{usd(known.reserved)} reserved). Nothing was sent.",
            left=max(known.left, Decimal(0)),
        )


def used_up(known: Totals, label: str) -> BudgetExceededError:
    """Return the error for a budget of which nothing is left."""
    return BudgetExceededError(
        f"Nothing is left of the {usd(known.limit)} in {label} ({usd(known.spent)} spent, "
        f"{usd(known.reserved)} reserved). Nothing was sent.",
        hint="Raise its limit (Budget.change_limit), or use another budget.",
    )


def reserve(connection: Connection, entry_id: str, reservation: Reservation) -> None:
    """Hold money for a new entry. Raises `BudgetExceededError`."""
    unit, count = to_units(reservation.unit, ROUND_CEILING), reservation.generations
    account = reservation.account
    connection.execute(
        insert(reservations),
        {"entry_id": entry_id, "budget": account, "unit": unit, "open": count},
    )
    take(connection, account, reservation.label, unit * count)


def reserve_again(connection: Connection, entry_id: str, reservation: Reservation) -> None:
    """Hold money for an entry in place of what it held before. Raises `BudgetExceededError`."""
    release(connection, entry_id)
    unit, count = to_units(reservation.unit, ROUND_CEILING), reservation.generations
    values = {"entry": entry_id, "account": reservation.account, "cost": unit, "number": count}
    if connection.execute(_SET_RESERVATION, values).rowcount:
        take(connection, reservation.account, reservation.label, unit * count)
    else:
        reserve(connection, entry_id, reservation)


def take(connection: Connection, account: str, label: str, total: int) -> None:
    """Hold `total` units in an account. Raises `BudgetExceededError`.

    What processes that are gone held for chat calls is freed where it stands in the way.
    """
    values = {"account": account, "total": total}
    if connection.execute(_RESERVE, values).rowcount:
        return
    # Locked by now: what does not fit by these totals is refused, and what fits is surely taken.
    check_fits(free_abandoned(connection, account), to_usd(total), label)
    connection.execute(_RESERVE, values)


def release(connection: Connection, entry_id: str) -> None:
    """Free all that is still reserved for an entry."""
    resize(connection, entry_id, ())


def resize(
    connection: Connection, entry_id: str, generation_ids: Iterable[str], *, at_least: int = 0
) -> None:
    """Reserve for the generations that the hub names, and for `at_least` so many altogether."""
    held = _held(connection, entry_id)
    if held is None:
        return
    names = [f"{entry_id}:{each}" for each in dict.fromkeys(generation_ids)]
    settled = 0
    if names:
        settled += connection.execute(_NUMBER_CHARGED, {"names": names}).scalar_one()
        settled += connection.execute(_NUMBER_RELEASED, {"names": names}).scalar_one()
    still_open = max(len(names), at_least) - settled
    _set_open(connection, entry_id, held, still_open, spent=0)


def settle(
    connection: Connection, entry_id: str, generation_id: str, cost: Decimal, label: str
) -> None:
    """Replace one generation's reservation by its cost. A cost that the hub corrects later
    replaces the first; the same cost again changes nothing.
    """
    held = _held(connection, entry_id)
    if held is None:
        return
    if cost > MOST_USD:
        log.warning("Ignored: a cost of %s for generation %s.", usd(cost), generation_id)
        return
    charge_id, amount = f"{entry_id}:{generation_id}", to_units(cost)
    before = connection.execute(_CHARGED, {"charge": charge_id}).scalar_one_or_none()
    if before is None:
        released = connection.execute(_END_FAILURE, {"charge": charge_id}).scalar_one_or_none()
        _insert_charge(connection, held.budget, charge_id, amount, label)
        still_open = held.open if released else max(held.open - 1, 0)
        _set_open(connection, entry_id, held, still_open, spent=amount)
    elif before != amount:
        connection.execute(_SET_CHARGE, {"charge": charge_id, "cost": amount})
        _set_open(connection, entry_id, held, held.open, spent=amount - before)


def add_failure(connection: Connection, entry_id: str, generation_id: str) -> None:
    """Write that a generation ended without success and without a cost, once."""
    held = _held(connection, entry_id)
    if held is not None:
        charge_id = f"{entry_id}:{generation_id}"
        row = {"charge_id": charge_id, "entry_id": entry_id, "budget": held.budget}
        connection.execute(_INSERT_FAILURE, row)


def old_failures(connection: Connection, account: str, seconds: float) -> list[tuple[str, str]]:
    """Return the charge ids, with their entries, of failures so long ago that still hold money."""
    rows = connection.execute(
        select(failures.c.charge_id, failures.c.entry_id)
        .where(
            failures.c.budget == account,
            failures.c.released == 0,
            failures.c.failed_at <= now() - seconds,
        )
        .order_by(failures.c.entry_id)
    )
    return [(row.charge_id, row.entry_id) for row in rows]


def release_failures(connection: Connection, account: str, seconds: float) -> None:
    """Free what such failures hold, and charge nothing: their costs may still be stated."""
    freed = 0
    for charge_id, entry_id in old_failures(connection, account, seconds):
        held = _held(connection, entry_id)
        is_held = connection.execute(_RELEASE_FAILURE, {"charge": charge_id}).rowcount
        if held is not None and is_held and held.open > 0:
            connection.execute(SET_OPEN, {"entry": entry_id, "number": held.open - 1})
            freed += held.unit
    _free(connection, account, freed)


def charge(
    connection: Connection, account: str, charge_id: str, amount: Decimal, label: str
) -> bool:
    """Add a charge to what the account has spent; False if it was added before."""
    if not _insert_charge(connection, account, charge_id, to_units(amount), label):
        return False
    values = {"account": account, "more_reserved": 0, "more_spent": to_units(amount)}
    connection.execute(ADD, values)
    return True


def lock_charge(connection: Connection, account: str, charge_id: str, label: str) -> int:
    """Return the units of a charge that may change, 0 for a new one; locked, for `change_charge`."""
    _insert_charge(connection, account, charge_id, 0, label)
    return int(connection.execute(_LOCKED_CHARGE, {"charge": charge_id}).scalar_one())


def change_charge(
    connection: Connection, account: str, charge_id: str, before: int, amount: Decimal
) -> None:
    """Make a charge of `before` units another amount."""
    more = to_units(amount) - before
    if more:
        connection.execute(_SET_CHARGE, {"charge": charge_id, "cost": before + more})
        connection.execute(ADD, {"account": account, "more_reserved": 0, "more_spent": more})


def hold(
    connection: Connection, account: str, label: str, hold_id: str, amount: Decimal, lease_id: str
) -> None:
    """Hold money for a call that has no entry, until `settle_hold`. Raises `BudgetExceededError`.

    What processes that are gone held is freed where it stands in the way.
    """
    units = to_units(amount, ROUND_CEILING)
    if totals(connection, account).left <= 0:
        known = free_abandoned(connection, account)
        if known.left <= 0:
            raise used_up(known, label)
    take(connection, account, label, units)
    row = {"hold_id": hold_id, "budget": account, "amount": units, "lease_id": lease_id}
    connection.execute(insert(holds), row)


def settle_hold(
    connection: Connection, account: str, hold_id: str, cost: Decimal, label: str
) -> None:
    """Replace what is held by what a call cost; once, however often it is tried."""
    units = to_units(min(cost, MOST_USD))
    held = connection.execute(
        delete(holds).where(holds.c.hold_id == hold_id).returning(holds.c.amount)
    ).scalar_one_or_none()
    is_new = units > 0 and _insert_charge(connection, account, f"hold:{hold_id}", units, label)
    spent = units if is_new else 0
    values = {"account": account, "more_reserved": -(held or 0), "more_spent": spent}
    connection.execute(ADD, values)


def free_abandoned(connection: Connection, account: str) -> Totals:
    """Free what processes that are gone held for chat calls; return the totals, which are locked."""
    known = totals(connection, account, locked=True)
    rows = connection.execute(_HOLDS, {"account": account}).all()
    dead = [row for row in rows if is_alive(row.identity, row.age) is False]
    if not dead:
        return known
    connection.execute(delete(holds).where(holds.c.hold_id.in_([row.hold_id for row in dead])))
    _free(connection, account, sum(row.amount for row in dead))
    return totals(connection, account)


def _free(connection: Connection, account: str, units: int) -> None:
    if units:
        values = {"account": account, "more_reserved": -units, "more_spent": 0}
        connection.execute(ADD, values)


class _Held(NamedTuple):
    budget: str
    unit: int
    open: int


def _held(connection: Connection, entry_id: str) -> _Held | None:
    """Return an entry's reservation, locked until the transaction ends."""
    row = connection.execute(_HELD, {"entry": entry_id}).one_or_none()
    return None if row is None else _Held(row.budget, row.unit, row.open)


def _set_open(
    connection: Connection, entry_id: str, held: _Held, still_open: int, *, spent: int
) -> None:
    if still_open != held.open:
        connection.execute(SET_OPEN, {"entry": entry_id, "number": still_open})
    change = (still_open - held.open) * held.unit
    if change or spent:
        values = {"account": held.budget, "more_reserved": change, "more_spent": spent}
        connection.execute(ADD, values)


def _insert_charge(
    connection: Connection, account: str, charge_id: str, amount: int, label: str
) -> bool:
    row = {"charge_id": charge_id, "budget": account, "amount": amount, "label": label}
    return bool(connection.execute(_INSERT_CHARGE, row).rowcount)
