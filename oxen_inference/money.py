"""Amounts of USD: read from what a hub sends or a caller passes, and written for people. Always `Decimal`."""

from __future__ import annotations

import re
from decimal import Decimal

# A small amount may come as "1.2E-7"; "1e3", "1_000", "+5", "5 EUR" and digits of other scripts
# are not how anybody writes dollars.
_TEXT = re.compile(r"\$?(\d{1,15}(?:\.\d{0,30})?(?:[eE]-\d{1,2})?)", re.ASCII)
_TOO_MUCH = 10**15
_DOLLARS = frozenset(
    {"", "usd", "$", "us$", "usd$", "dollar", "dollars", "us dollar", "us dollars"}
)


class BudgetWarning(UserWarning):
    """Something that cost money could not be counted."""


def read_currency(value: object) -> str:
    """Return the name of a currency: "USD" for all names of US dollars, and where it has none."""
    name = "" if value is None else str(value).strip()
    return "USD" if name.lower() in _DOLLARS else name


def read_money(value: object) -> Decimal | None:
    """Read a decimal string or number of USD; None for anything else, negatives included."""
    if isinstance(value, str):
        found = _TEXT.fullmatch(value.strip())
        return Decimal(found[1]) if found else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if isinstance(value, Decimal) and not value.is_finite():
        return None
    return Decimal(str(value)) if 0 <= value < _TOO_MUCH else None


def usd(amount: Decimal) -> str:
    """Write an amount as people read it: cents, or three digits of what is less or finer."""
    cents = amount.quantize(Decimal("0.01")) if amount < 10**20 else amount
    if amount == cents:
        return f"${cents:.2f}"
    return f"${amount:.4f}".rstrip("0") if amount >= 1 else f"${Decimal(f'{amount:.3g}'):f}"
