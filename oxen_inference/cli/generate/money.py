"""What a run of the command `generate` may spend: a budget of its own, or one that is shared."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from oxen_inference.cli.generate.plan import Plan
from oxen_inference.cli.generate.state import Run
from oxen_inference.cli.models import read_usd
from oxen_inference.cli.output import counted

if TYPE_CHECKING:
    from oxen_inference.client import OxenClient
    from oxen_inference.ledger.budgets import Budget


class BudgetOption(NamedTuple):
    """The option --budget: a name where it is shared, and USD."""

    name: str | None
    amount: Decimal


def read_budget(text: str) -> BudgetOption:
    """Read AMOUNT or NAME=AMOUNT. Raises `argparse.ArgumentTypeError`."""
    name, is_named, amount = text.rpartition("=")
    if is_named and not name.strip():
        raise argparse.ArgumentTypeError(f"not a name and an amount of USD: {text!r}")
    return BudgetOption(name.strip() or None, read_usd(amount))


def budget_of(client: OxenClient, options: argparse.Namespace, run: Run) -> Budget | None:
    """Return the budget of a run; its own has the limit that was given last.

    Raises `ConfigurationError` where a shared one has another limit, and `LedgerError`.
    """
    from oxen_inference.ledger.budgets import Budget

    check_budget(client, options)
    given: BudgetOption | None = options.budget
    if given is None:
        return None
    ledger = client.media.ledger
    if given.name is not None:
        return Budget(given.amount, name=given.name, ledger=ledger)
    known = ledger.budgets().get(run.key_prefix)
    limit = given.amount if known is None else known.limit
    budget = Budget(limit, name=run.key_prefix, ledger=ledger)
    if budget.limit != given.amount:
        budget.change_limit(given.amount)
    return budget


def check_budget(client: OxenClient, options: argparse.Namespace) -> None:
    """Raise `ConfigurationError` where a shared budget has another limit, or nothing lasts."""
    from oxen_inference.errors import ConfigurationError
    from oxen_inference.ledger.budgets import read_limit
    from oxen_inference.money import usd

    ledger, given = client.media.ledger, options.budget
    if not ledger.durable:
        raise ConfigurationError(
            "A run needs a ledger that outlives it. Nothing was sent.",
            hint="Set OXEN_STATE_DIR to a folder that can be written, or OXEN_LEDGER_URL.",
        )
    if given is None or given.name is None:
        return
    known = ledger.budgets().get(given.name)
    if known is not None and known.limit != read_limit(given.amount):
        raise ConfigurationError(
            f"The budget {given.name!r} has a limit of {usd(known.limit)} in this ledger, not "
            f"{usd(given.amount)}. Nothing was sent.",
            hint=f"Give --budget {given.name}={known.limit:f}, or another name, or change it for all: "
            f"`oxen-inference budgets --change {given.name}={given.amount:f}`.",
        )


def limits_in_the_way(
    client: OxenClient, options: argparse.Namespace, run: Run, plan: Plan
) -> Iterator[str]:
    """Yield why a part of the plan will not be sent, as far as the limits tell."""
    from oxen_inference.money import usd

    given: BudgetOption | None = options.budget
    if plan.too_dear:
        low, high = usd(min(plan.too_dear)), usd(max(plan.too_dear))
        each = high if low == high else f"{low} to {high}"
        yield (
            f"{counted(len(plan.too_dear), 'request')} above --max-cost: not sent, since each may "
            f"cost {each}"
        )
    is_limited = given is not None or options.max_cost is not None
    if is_limited and plan.unknown and not options.allow_unknown_cost:
        count = sum(plan.unknown.values())
        yield (
            f"{count:,} of unknown price: not sent, since no limit can be kept for them; "
            "--allow-unknown-cost sends them"
        )
    if given is None:
        return
    known = client.media.ledger.budgets().get(given.name or run.key_prefix)
    left = given.amount if known is None else given.amount - known.spent - known.reserved
    if plan.high > left:
        whose = "the budget" if given.name is None else f"the budget {given.name!r}"
        yield f"{whose} has {usd(max(left, Decimal(0)))} left, and this may cost {usd(plan.high)}"
