"""What a run of the command `generate` may spend: a budget of its own, or one that is shared."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from oxen_inference.cli.generate.plan import Plan
from oxen_inference.cli.generate.state import Run
from oxen_inference.cli.generate.summary import NOTHING_SENT, SOME_FAILED, STOPPED
from oxen_inference.cli.models import read_usd
from oxen_inference.cli.output import counted
from oxen_inference.money import read_money

if TYPE_CHECKING:
    from oxen_inference.client import OxenClient
    from oxen_inference.ledger.budgets import Budget


class BudgetOption(NamedTuple):
    """The option --budget: a name where it is shared, and USD unless the ledger tells."""

    name: str | None
    amount: Decimal | None


def read_budget(text: str) -> BudgetOption:
    """Read AMOUNT, NAME=AMOUNT, or NAME. Raises `argparse.ArgumentTypeError`."""
    if "=" in text:
        return BudgetOption(*read_limit_of(text))
    amount = read_money(text)
    if amount is None and not text.strip():
        raise argparse.ArgumentTypeError("not an amount of USD, nor a budget's name: it is empty")
    return BudgetOption(text.strip() if amount is None else None, amount)


def read_limit_of(text: str) -> tuple[str, Decimal]:
    """Read NAME=AMOUNT. Raises `argparse.ArgumentTypeError`."""
    name, _, amount = text.rpartition("=")
    if not name.strip():
        raise argparse.ArgumentTypeError(f"not a name and an amount of USD: {text!r}")
    return name.strip(), read_usd(amount)


def budget_of(client: OxenClient, options: argparse.Namespace, run: Run) -> Budget | None:
    """Return the budget of a run; its own has the limit that was given last.

    Raises `ConfigurationError` where a shared one has another limit, and `LedgerError`.
    """
    from oxen_inference.ledger.budgets import Budget

    check_budget(client, options)
    given: BudgetOption | None = options.budget
    if given is None:
        return None
    ledger, amount = client.media.ledger, _limit(client, given)
    if given.name is not None:
        return Budget(amount, name=given.name, ledger=ledger)
    known = ledger.budgets().get(run.key_prefix)
    budget = Budget(amount if known is None else known.limit, name=run.key_prefix, ledger=ledger)
    if budget.limit != amount:
        budget.change_limit(amount)
    return budget


def _limit(client: OxenClient, given: BudgetOption) -> Decimal:
    """Return the amount that was given, or that the ledger has for a name alone.

    Raises `ConfigurationError` for the name of no budget.
    """
    from oxen_inference.errors import ConfigurationError

    if given.amount is not None:
        return given.amount
    known = client.media.ledger.budgets().get(given.name or "")
    if known is None:
        raise ConfigurationError(
            f"The ledger has no budget {given.name!r}. Nothing was sent.",
            hint="`oxen-inference budgets` lists those it has, and --budget NAME=USD makes one. An "
            "amount for this run alone is written as in --budget 5.00.",
        )
    return known.limit


def check_budget(client: OxenClient, options: argparse.Namespace) -> None:
    """Raise `ConfigurationError` where nothing lasts, a shared budget has another limit, or one
    that is named alone is not there.
    """
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
    known, amount = ledger.budgets().get(given.name), _limit(client, given)
    if given.amount is not None and known is not None and known.limit != read_limit(amount):
        raise ConfigurationError(
            f"The budget {given.name!r} has a limit of {usd(known.limit)} in this ledger, not "
            f"{usd(amount)}. Nothing was sent.",
            hint=f"Give --budget {given.name}, which takes it as it is, or another name. "
            f"`oxen-inference budgets --change {given.name}={amount:f}` changes it for all.",
        )


class Obstacle(NamedTuple):
    """Why a part of the plan will not be sent, and the exit status of a run that meets it."""

    text: str
    status: int


def limits_in_the_way(
    client: OxenClient, options: argparse.Namespace, run: Run, plan: Plan
) -> Iterator[Obstacle]:
    """Yield why a part of the plan will not be sent, as far as the limits tell."""
    from oxen_inference.money import usd

    given: BudgetOption | None = options.budget
    is_limited = given is not None or options.max_cost is not None
    unknown = sum(plan.unknown.values())
    if not is_limited or options.allow_unknown_cost:
        unknown = 0
    is_anything_left = len(plan.too_dear) + unknown < plan.count
    status = SOME_FAILED if is_anything_left else NOTHING_SENT
    if plan.too_dear:
        low, high = usd(min(plan.too_dear)), usd(max(plan.too_dear))
        each = high if low == high else f"{low} to {high}"
        yield Obstacle(
            f"{counted(len(plan.too_dear), 'request')} above --max-cost: not sent, since each may "
            f"cost {each}",
            status,
        )
    if unknown:
        yield Obstacle(
            f"{unknown:,} of unknown price: not sent, since no limit can be kept for them; "
            "--allow-unknown-cost sends them",
            status,
        )
    if given is None:
        return
    known = client.media.ledger.budgets().get(given.name or run.key_prefix)
    left = _limit(client, given)
    if known is not None:
        left -= known.spent + known.reserved
    left = max(left, Decimal(0))
    if plan.high > left:
        whose = "the budget" if given.name is None else f"the budget {given.name!r}"
        yield Obstacle(f"{whose} has {usd(left)} left, and this may cost {usd(plan.high)}", STOPPED)
