"""Bills that were higher than their quote, by model and the parameters that decide its price.

Every function works in its caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from sqlalchemy import Connection, bindparam, delete, insert, select

from oxen_inference.ledger.accounts import to_units, to_usd
from oxen_inference.ledger.schema import overruns
from oxen_inference.ledger.statements import now

_RECENT = select(overruns).where(
    overruns.c.hub == bindparam("of_hub"), overruns.c.seen_at > now() - bindparam("seconds")
)
_ONE = (
    overruns.c.hub == bindparam("of_hub"),
    overruns.c.model == bindparam("of_model"),
    overruns.c.parameters == bindparam("of_parameters"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrun:
    """A generation that cost more than it was quoted at. Money is USD."""

    model: str
    parameters: str
    """Those that decide the price, as JSON."""
    quoted: Decimal
    billed: Decimal
    entry_id: str = ""
    seen_at: float = 0.0
    """Unix seconds."""

    @property
    def ratio(self) -> Decimal:
        """How many times its quote it cost; 1 where the quote was nothing."""
        return self.billed / self.quoted if self.quoted else Decimal(1)


def recent(connection: Connection, hub: str, seconds: float) -> list[Overrun]:
    """Return the overruns seen in the last `seconds`."""
    rows = connection.execute(_RECENT, {"of_hub": hub, "seconds": seconds}).all()
    return [
        Overrun(
            model=row.model,
            parameters=row.parameters,
            quoted=to_usd(row.quoted),
            billed=to_usd(row.billed),
            entry_id=row.entry_id,
            seen_at=row.seen_at,
        )
        for row in rows
    ]


def keep(connection: Connection, hub: str, overrun: Overrun) -> bool:
    """Keep an overrun in place of a lesser or older one; False where it is known already."""
    values = {"of_hub": hub, "of_model": overrun.model, "of_parameters": overrun.parameters}
    known = connection.execute(
        select(overruns).where(*_ONE).with_for_update(), values
    ).one_or_none()
    if known is not None and known.entry_id == overrun.entry_id:
        return False
    connection.execute(delete(overruns).where(*_ONE), values)
    row = {
        "hub": hub,
        "model": overrun.model,
        "parameters": overrun.parameters,
        "quoted": to_units(overrun.quoted),
        "billed": to_units(overrun.billed, ROUND_CEILING),
        "entry_id": overrun.entry_id,
    }
    connection.execute(insert(overruns).values(seen_at=now()), row)
    return True


def forget(connection: Connection, hub: str, model: str | None) -> int:
    """Drop the overruns of one model, or of all; return how many there were."""
    statement = delete(overruns).where(overruns.c.hub == hub)
    if model is not None:
        statement = statement.where(overruns.c.model == model)
    return connection.execute(statement).rowcount
