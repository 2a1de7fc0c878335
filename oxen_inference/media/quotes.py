"""The one quote that everything asks for: the catalog's, and what is known beyond it.

Bills that were higher than their quote raise later quotes of the same model and parameters by the
ratio seen, for `OVERRUN_LASTS`. A model without a usable price may have the user's own cap.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Any

from oxen_inference.catalog import pricing
from oxen_inference.catalog.models import Model
from oxen_inference.catalog.pricing import Quote, price_parameters
from oxen_inference.effects import invoke, run
from oxen_inference.errors import LedgerError, OxenError
from oxen_inference.ledger.entries import Entry
from oxen_inference.ledger.overruns import Overrun
from oxen_inference.media.engine import OVERRUN_LASTS, Engine
from oxen_inference.money import usd

log = logging.getLogger("oxen_inference.media")

_TOLERANCE = Decimal("1.01")
"""How many times its quote a bill may be: the hub may round."""


async def quote_call(
    engine: Engine,
    model: Model,
    params: Mapping[str, Any],
    num_generations: int = 1,
    price_caps: Mapping[str, Decimal] | None = None,
) -> Quote:
    """Return what a call will cost at the most, by everything that is known of it."""
    listed, decisive = _priced(model, params, num_generations)
    caps = {**engine.price_caps(), **(price_caps or {})}
    if listed.high is None and model.id in caps:
        most = caps[model.id] * max(num_generations, 1)
        reason = f"at most {usd(caps[model.id])} each by price_caps; {listed.reason}"
        listed = replace(listed, low=Decimal(0), high=most, reason=reason)
    overrun = (await engine.known_overruns()).get((model.id, decisive))
    if overrun is None or listed.high is None:
        return listed
    seen = datetime.fromtimestamp(overrun.seen_at, tz=timezone.utc).date()
    return replace(
        listed,
        high=max(listed.high * overrun.ratio, overrun.billed if not overrun.quoted else Decimal(0)),
        reason=f"one cost {usd(overrun.billed)} on {seen}, and was quoted at {usd(overrun.quoted)}",
    )


def _priced(model: Model, params: Mapping[str, Any], number: int) -> tuple[Quote, str]:
    """Return the catalog's quote, and the parameters that decide the price.

    They are worked out once for all requests that differ in their prompt only.
    """
    prompt = params.get("prompt")
    # Its text decides no price; whether there is one may.
    same = {**params, "prompt": "…"} if isinstance(prompt, str) and prompt.strip() else params
    try:
        listed, decisive = _priced_as(model, json.dumps(same, sort_keys=True), number)
    except (TypeError, ValueError):  # what is no JSON is no parameter that can be sent, either
        return pricing.quote(model, params, number), price_parameters(model, params)
    if model.fetched_at is not None:
        listed = replace(listed, catalog_age=max(time.time() - model.fetched_at, 0.0))
    return listed, decisive


# A model never changes; one that was fetched later is equal if it says the same.
@lru_cache(maxsize=256)
def _priced_as(model: Model, params: str, number: int) -> tuple[Quote, str]:
    known = json.loads(params)
    return pricing.quote(model, known, number), price_parameters(model, known)


def is_above_quote(entry: Entry) -> bool:
    """Whether one of an entry's generations cost more than it was quoted at."""
    billed = _highest_bill(entry)
    return billed is not None and entry.quoted is not None and billed > entry.quoted * _TOLERANCE


def _highest_bill(entry: Entry) -> Decimal | None:
    return max((i.cost for i in entry.items if i.cost is not None), default=None)


async def watch_bill(engine: Engine, entry: Entry) -> None:
    """Keep a bill that is higher than its quote, also by the catalog as it is now."""
    billed = _highest_bill(entry)
    if billed is None or entry.quoted is None or not is_above_quote(entry):
        return
    try:
        model: Model = await invoke(engine.catalog.refresh, entry.model)
        params = {n: v for n, v in entry.request.items() if n not in ("model", "num_generations")}
        parameters = price_parameters(model, params)
        known = (await engine.known_overruns()).get((model.id, parameters))
        if known is not None and known.entry_id == entry.entry_id:
            return
        now = pricing.quote(model, params).high
        quoted = entry.quoted if now is None else now
        if billed <= quoted * _TOLERANCE:
            return  # the catalog was old, and says it by now
        overrun = Overrun(
            model=model.id,
            parameters=parameters,
            quoted=quoted,
            billed=billed,
            entry_id=entry.entry_id,
        )
        is_new = await run(engine.keep_overrun, overrun)
    except LedgerError as error:
        log.warning("Not written to the ledger (%s): a bill above its quote", error)
        return
    except OxenError as error:
        log.debug("Could not compare a bill with the catalog: %s", error)
        return
    if is_new:
        log.warning(
            "A generation by %s cost %s, and was quoted at %s. Quotes for the same settings are "
            "raised for %d days; client.media.forget_overruns() ends that.",
            entry.model, usd(billed), usd(entry.quoted), OVERRUN_LASTS / 86400,
        )  # fmt: skip
