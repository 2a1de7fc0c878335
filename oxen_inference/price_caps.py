"""The user's own upper bounds: the most that one generation of a model may cost, in USD."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from oxen_inference.money import read_money

PriceCaps = Mapping[str, Any]
"""Amounts of USD by the id of a model, such as ``{"topazlabs-bloom-2-image": "0.40"}``."""


def read_price_caps(given: PriceCaps | None) -> dict[str, Decimal]:
    """Return the caps by model id. Raises `InvalidInputError` for one that is no amount of USD."""
    from oxen_inference.errors import InvalidInputError

    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InvalidInputError(
            'price_caps must be amounts in USD by the id of a model, such as {"flux-2-dev": "0.40"}, '
            f"not {given!r}."
        )
    caps: dict[str, Decimal] = {}
    for model_id, value in given.items():
        amount = read_money(value)
        if amount is None or not isinstance(model_id, str):
            raise InvalidInputError(
                f'price_caps[{model_id!r}] must be an amount in USD such as "0.40", not {value!r}.'
            )
        caps[model_id] = amount
    return caps
