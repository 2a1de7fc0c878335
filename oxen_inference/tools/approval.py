"""Which calls a person has to approve before they spend money."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oxen_inference.catalog.pricing import Quote


def needs_approval(above: Decimal | None, price: Quote) -> bool:
    """Whether a price is more than `above` USD, or unknown; 0 means that everything is asked about."""
    if above is None:
        return False
    return price.high is None or price.high > above or above == 0
