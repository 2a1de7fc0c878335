"""One image, bought after asking, and followed through every promise."""

from __future__ import annotations

import tempfile
import uuid
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxen_inference.doctor.findings import Finding, Report
from oxen_inference.errors import OxenError
from oxen_inference.money import usd
from oxen_inference.queue import generations_call

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.catalog.pricing import Quote
    from oxen_inference.client import OxenClient

_PROMPT = "a plain gray square"
_TIMEOUT = 300.0  # seconds


def cheapest_image(client: OxenClient, most: Decimal) -> tuple[Model, Quote] | None:
    """Return the cheapest model that makes an image of a prompt for at most that much."""
    found: list[tuple[Decimal, str, Model, Quote]] = []
    for model in client.catalog.list(output="image"):
        required = set((model.request_schema or {}).get("required") or ())
        if not model.request_schema or not required <= {"prompt"} or not model.is_deployed:
            continue
        price = client.media.quote(model, params={"prompt": _PROMPT})
        if price.exact and price.high is not None and 0 < price.high <= most:
            found.append((price.high, model.id, model, price))
    return min(found)[2:] if found else None


def buy_image(client: OxenClient, model: Model, price: Quote, report: Report) -> None:
    """Buy one image and compare what happens with what is promised."""
    from oxen_inference.ledger.budgets import Budget

    def check(name: str, is_kept: bool, expected: str, seen: Any, means: str) -> None:
        if not is_kept:
            report.deviations.append(Finding(name, expected, str(seen), means))

    assert price.high is not None  # noqa: S101 - it was chosen by its price
    key, budget = f"oxen-doctor-{uuid.uuid4().hex}", Budget(price.high)
    with tempfile.TemporaryDirectory() as folder:
        wanted: dict[str, Any] = {"model": model, "prompt": _PROMPT, "key": key, "budget": budget}
        try:
            result = client.media.generate(**wanted, save_to=folder, timeout=_TIMEOUT)
            again = client.media.generate(**wanted, save_to=folder, timeout=_TIMEOUT)
        except OxenError as error:
            check("purchase", False, "an image", error, "oxen-inference jobs shows it.")
            return
        check(
            "one payment for a key",
            result.generation_ids == again.generation_ids,
            f"the generation {', '.join(result.generation_ids)}",
            ", ".join(again.generation_ids),
            "A repeated request was paid for again.",
        )
        check(
            "file of a result",
            bool(result.paths) and all(Path(path).is_file() for path in result.paths),
            "a file",
            result.paths,
            "Results have to be fetched again: client.media.reconcile(save_to=...).",
        )
        listed = client.send(generations_call(client.paths, model=model.id))
        ids = [row.generation_id for row in listed.generations]
        check(
            "list of generations",
            set(result.generation_ids) <= set(ids),
            f"{', '.join(result.generation_ids)} is listed",
            f"{len(ids)} others",
            "A lost request could not be found again.",
        )
        check(
            "cost of a result",
            result.cost is not None,
            "a cost soon after the end",
            "none yet",
            "Money stays reserved until client.media.reconcile() learns the cost.",
        )
        check(
            "bill and quote",
            result.cost is None or result.cost <= price.high,
            f"at most {usd(price.high)}",
            result.cost,
            "Quotes are below the bills for this model.",
        )
        check(
            "budget",
            result.cost is None or (budget.spent, budget.reserved) == (result.cost, Decimal(0)),
            f"{result.cost} spent, nothing reserved",
            f"{budget.spent} spent, {budget.reserved} reserved",
            "The budget counts wrongly.",
        )
        report.facts["bought"] = {
            "model": model.id,
            "generation_ids": list(result.generation_ids),
            "quoted": f"{price.high:f}",
            "cost": None if result.cost is None else f"{result.cost:f}",
        }
