"""What a call will cost, before it is made. USD, in `Decimal`.

A quote never says less than the call may cost: where the price list or the parameters leave
something open it is a range, and where the range has no end it is unknown, with the reason. What only
prose says of a price counts too (`prose_prices`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from oxen_inference import notebook
from oxen_inference.catalog.effective import EffectiveCall, effective
from oxen_inference.catalog.models import PER_OUTPUT_SECOND
from oxen_inference.catalog.parameter_roles import Role, role_of
from oxen_inference.catalog.pricing_quantities import (
    Quantity,
    prompt_count,
    result_count,
    result_seconds,
)
from oxen_inference.catalog.pricing_tiers import image_prices, second_prices
from oxen_inference.catalog.prose_prices import price_rules, surcharges
from oxen_inference.money import usd

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model, Pricing

_DECIDE_PRICE = (
    Role.RESOLUTION, Role.WIDTH, Role.HEIGHT, Role.QUALITY, Role.AUDIO, Role.FRAME_RATE,
    Role.FOLLOWS_INPUT, Role.TIMED_INPUT,
)  # fmt: skip
_UNITS = {
    "time": "second of compute",
    "per_image": "image",
    **dict.fromkeys(PER_OUTPUT_SECOND, "second"),
}


@dataclass(frozen=True, slots=True)
class Quote:
    """What a call will cost: between `low` and `high` USD, or unknown for `reason`."""

    low: Decimal | None = None
    high: Decimal | None = None
    reason: str | None = None
    """Why the price is unknown, or is a range."""
    catalog_age: float | None = field(default=None, compare=False)
    """How many seconds ago the hub sent the price list; None for one that was made by hand."""

    @property
    def known(self) -> bool:
        """Whether there is an upper limit to the cost."""
        return self.high is not None

    @property
    def exact(self) -> bool:
        """Whether the cost is one known amount."""
        return self.high is not None and self.low == self.high

    def times(self, number: int) -> Quote:
        """Return what that many such calls will cost."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=self.low * number, high=self.high * number)

    def _repr_html_(self) -> str:
        reason = None if self.high is None else self.reason
        return notebook.table((("price", self), ("why", reason)))

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"unknown: {self.reason}"
        if self.exact:
            return usd(self.low)
        return f"{usd(self.low)} to {usd(self.high)}"


def quote(model: Model, params: Mapping[str, Any], num_generations: int = 1) -> Quote:
    """Return the price of `num_generations` calls of `model` with `params`, by its price list and
    what is documented or said in its texts.

    Parameters left out have the defaults of the model's `request_schema`. Tokens are taken from
    `prompt_tokens` and `completion_tokens`, or `max_tokens` as the most there can be. Does not
    validate: a call that the schema forbids is priced as if it did not (`parameters.validate`
    checks; `client.media.quote` does both, and knows the caps and earlier bills).
    """
    price = _quote(model, params, num_generations)
    if model.fetched_at is None:
        return price
    return replace(price, catalog_age=max(time.time() - model.fetched_at, 0.0))


def price_parameters(model: Model, params: Mapping[str, Any]) -> str:
    """Return the parameters of a call that decide its price beside length and number, as JSON."""
    call = effective(model, params)
    names = {*call.all_named(*_DECIDE_PRICE), *(rule.parameter for rule in price_rules(model))}
    found: dict[str, str] = {}
    for name in sorted(names):
        value = call.values.get(name)
        if value is None:
            continue
        if role_of(name) is Role.TIMED_INPUT or not isinstance(value, str | int | float):
            value = bool(value)
        found[name] = str(value).strip().lower()
    return json.dumps(found, sort_keys=True)


def _quote(model: Model, params: Mapping[str, Any], num_generations: int) -> Quote:
    pricing = model.pricing
    if pricing is None:
        return Quote(reason=f"{model.id} has no published price")
    method = pricing.method or ""
    if pricing.currency != "USD":
        return Quote(reason=f"{model.id} is priced in {pricing.currency}, not in USD")
    if method == "token":
        once = _tokens(pricing, params)
    elif method == "per_image":
        call = effective(model, params)
        once = _with_surcharges(_images(pricing, call), model, call)
    elif method in PER_OUTPUT_SECOND:
        call = effective(model, params)
        once = _with_surcharges(_seconds(pricing, call), model, call)
    elif method == "time":
        once = _compute_time(pricing)
    elif method == "per_provider_credit":
        once = _credits(pricing)
    else:
        named = f"is priced {method!r}, a method" if method else "names no pricing method"
        once = Quote(reason=f"{model.id} {named} this version does not know")
    times = _generations(params, num_generations)
    if times is None:
        return Quote(reason="num_generations is not a whole number of 1 or more")
    return _times(once, Quantity(Decimal(times), Decimal(times)))


def _generations(params: Mapping[str, Any], num_generations: int) -> int | None:
    count = params.get("num_generations") if num_generations == 1 else num_generations
    count = 1 if count is None else count
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else None


def _times(once: Quote, times: Quantity) -> Quote:
    if once.low is None or once.high is None:
        return once
    return Quote(once.low * times.low, once.high * times.high, once.reason or times.reason)


def _with_surcharges(once: Quote, model: Model, call: EffectiveCall) -> Quote:
    """Return a quote that has what the price list leaves out and texts about the model say."""
    if once.low is None or once.high is None:
        return once
    low, high, reason = once.low, once.high, once.reason
    for extra in surcharges(model, call):
        if extra.high is None:
            return Quote(
                reason=f"{extra.parameter} makes it dearer than the price list says ({extra.said})"
            )
        low, high = low * extra.low, high * max(extra.high, Decimal(1))
        reason = f"{extra.parameter} changes the listed price ({extra.said})"
    return Quote(low, high, reason)


def _range(prices: Iterable[Decimal | None], reason: str | None) -> Quote:
    known = list(prices)
    amounts = [price for price in known if price is not None]
    if not amounts or len(amounts) < len(known):
        return Quote(reason="the price list leaves out what this call may cost")
    low, high = min(amounts), max(amounts)
    return Quote(low, high, reason if low != high else None)


def _compute_time(pricing: Pricing) -> Quote:
    rate = pricing.cost_per_second
    shown = f" at {usd(rate)} a second" if rate is not None else ""
    return Quote(reason=f"billed by compute time{shown}, and how long it takes is not known before")


def _credits(pricing: Pricing) -> Quote:
    price = pricing.cost_per_credit
    shown = f" at {usd(price)} each" if price is not None else ""
    return Quote(
        reason=f"billed by the provider's credits{shown}, and how many it takes is not published"
    )


def _tokens(pricing: Pricing, params: Mapping[str, Any]) -> Quote:
    into, out = pricing.input_cost_per_token, pricing.output_cost_per_token
    if into is None or out is None:
        return Quote(reason="billed by token, and the price of a token is not published")

    def count(*names: str) -> int | None:
        found = (params.get(name) for name in names)
        return next((n for n in found if isinstance(n, int) and not isinstance(n, bool)), None)

    prompt = count("prompt_tokens", "input_tokens")
    exact = count("completion_tokens", "output_tokens")
    most = count("max_completion_tokens", "max_tokens")
    if prompt is None or (exact is None and most is None) or min(prompt, exact or most or 0) < 0:
        per_million = f"{usd(into * 1_000_000)} in and {usd(out * 1_000_000)} out per million"
        return Quote(
            reason=f"billed by token ({per_million}), and their number is not known before"
        )
    if exact is not None:
        price = prompt * into + exact * out
        return Quote(price, price)
    return Quote(prompt * into, prompt * into + (most or 0) * out, "the answer may be shorter")


def _images(pricing: Pricing, call: EffectiveCall) -> Quote:
    prices = image_prices(pricing, call)
    if prices == {None} and not pricing.cost_per_image_grid:
        return Quote(reason="billed by image, and the price of an image is not published")
    count = _count(call)
    if isinstance(count, str):
        return Quote(reason=count)
    price = _range(prices, "the price depends on quality and resolution")
    return _times(_times(price, count), prompt_count(call))


def _seconds(pricing: Pricing, call: EffectiveCall) -> Quote:
    rates = second_prices(pricing, call)
    if not rates:
        return Quote(reason="billed by second, and the price of a second is not published")
    length = result_seconds(call)
    if isinstance(length, str):
        at = _range(rates, None)
        shown = f" ({at} a second)" if at.known else ""
        return Quote(reason=f"billed by second{shown}, and {length}")
    count = _count(call)
    if isinstance(count, str):
        return Quote(reason=count)
    price = _range(rates, "the price depends on resolution and audio")
    return _times(_times(price, length), count)


def _count(call: EffectiveCall) -> Quantity | str:
    """Return how many results a call makes, or in words why its price cannot be known."""
    if call.unread is not None:
        return f"{call.unread}, which this version does not read"
    unknown = call.unknown_number()
    if unknown is not None:
        return f"{unknown} may multiply the price: this version does not know what it means"
    return result_count(call)


def price_hint(model: Model) -> str | None:
    """Return a model's price list in a few words, or None where there is none that can be read."""
    pricing = model.pricing
    if pricing is None:
        return None
    if pricing.method == "token":
        into, out = pricing.input_cost_per_token, pricing.output_cost_per_token
        if into is None or out is None:
            return None
        return f"{usd(into * 1_000_000)} in, {usd(out * 1_000_000)} out per million tokens"
    per_image = [pricing.cost_per_image]
    per_image += [cell for row in pricing.cost_per_image_grid.values() for cell in row.values()]
    per_second = [
        pricing.cost_per_second,
        pricing.cost_per_second_high_res,
        pricing.cost_per_second_with_audio,
        *pricing.cost_per_second_by_resolution.values(),
    ]
    unit = _UNITS.get(pricing.method or "")
    prices = [p for p in (per_image if unit == "image" else per_second) if p is not None]
    if unit is None or not prices:
        return None
    low, high = min(prices), max(prices)
    return f"{usd(low)} per {unit}" if low == high else f"{usd(low)} to {usd(high)} per {unit}"
