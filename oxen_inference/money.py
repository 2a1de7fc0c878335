"""Amounts of USD: read from what a hub sends or a caller passes, and written for people. Always `Decimal`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


def read_money(value: object) -> Decimal | None:
    """Read a decimal string or number of USD; None for anything else, negatives included."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        amount = Decimal(str(value).strip().removeprefix("$"))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def usd(amount: Decimal) -> str:
    """Write an amount as people read it: cents, or three digits of what is less or finer."""
    cents = amount.quantize(Decimal("0.01")) if amount < 10**20 else amount
    if amount == cents:
        return f"${cents:.2f}"
    return f"${amount:.4f}" if amount >= 1 else f"${Decimal(f'{amount:.3g}'):f}"
