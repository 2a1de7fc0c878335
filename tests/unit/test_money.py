"""Amounts are read as written, or not at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from oxen_inference.money import read_money


@pytest.mark.parametrize(
    ("given", "amount"),
    [
        ("0.05", "0.05"), (" $3 ", "3"), ("1.2E-7", "0.00000012"), (0.00001, "0.00001"),
        (7, "7"), (Decimal("0.5"), "0.5"), ("0", "0"), (0, "0"), ("4.", "4"),
    ],
)  # fmt: skip
def test_an_amount_is_read(given: Any, amount: str) -> None:
    assert read_money(given) == Decimal(amount)


@pytest.mark.parametrize(
    "given",
    [
        "1_000", "1e3", "1e999999999", "1E-999999999", "+5", "-5", "--5", "5 EUR", "€5", "$-5",
        "$$5", "1,000", "1.2.3", "", " ", "$", "NaN", "Infinity", "0x10", "\u0661\u0662", "5\u00a0USD",
        "9" * 5000, 10**5000, -1, -0.1, float("nan"), float("inf"), Decimal("NaN"), Decimal("sNaN"),
        Decimal("1e999999"), True, None, [], {}, b"5",
    ],
    ids=lambda given: type(given).__name__,
)  # fmt: skip
def test_nothing_else_is_an_amount(given: Any) -> None:
    assert read_money(given) is None
