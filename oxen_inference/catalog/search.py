"""Find models by what they must make, take, last and cost: a short ranked list with prices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.documents import page
from oxen_inference.catalog.effective import EffectiveCall, effective, read_quantity
from oxen_inference.catalog.filters import modality
from oxen_inference.catalog.parameter_roles import Role
from oxen_inference.catalog.pricing import Quote, price_hint, quote
from oxen_inference.catalog.pricing_tiers import audio_switches, can_have_audio

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model


@dataclass(frozen=True, slots=True)
class Match:
    """A model that fits, the parameters that make it fit, and what such a call costs."""

    model: Model
    price: Quote
    params: Mapping[str, Any]
    score: int
    """How many of the words its description has; a word of its id counts twice."""

    def as_row(self) -> dict[str, Any]:
        """Return plain data for a tool's answer."""
        low, high = self.price.low, self.price.high
        return {
            "id": self.model.id,
            "name": self.model.name,
            "makes": list(self.model.outputs),
            "takes": list(self.model.inputs),
            "params": dict(self.params),
            "price": str(self.price) if self.price.known else price_hint(self.model) or "unknown",
            "price_low": None if low is None else str(low),
            "price_high": None if high is None else str(high),
        }

    def as_line(self) -> str:
        """Return one line of text for people and language models."""
        row = self.as_row()
        takes = f" from {', '.join(row['takes'])}" if row["takes"] else ""
        params = ", ".join(f"{name}={value}" for name, value in row["params"].items())
        return (
            f"{row['id']}: {row['name']}; makes {', '.join(row['makes']) or 'unknown'}{takes}; "
            f"price: {row['price']}{f' with {params}' if params else ''}"
        )


def find_models(
    models: Iterable[Model],
    words: str = "",
    *,
    output: str | None = None,
    input: str | None = None,  # noqa: A002 - the API's own word
    seconds: float | None = None,
    with_audio: bool = False,
    max_price: Decimal | float | str | None = None,
    cheapest: bool = False,
    limit: int = 5,
) -> list[Match]:
    """Return at most `limit` models that pass every filter, best first.

    `output`, `input`: a modality; `seconds`: how long the result must be; `with_audio`: only
    videos with audio; `max_price`: USD for one call, which leaves out models of unknown price.
    Models are ranked by how many of `words` their descriptions have, then by price; with
    `cheapest`, by price first.
    """
    most = None if max_price is None else Decimal(str(max_price))
    wanted = frozenset(re.findall(r"[^\W_]+", words.lower()))
    found: list[Match] = []
    for model in models:
        if output and not model.makes(modality(output)):
            continue
        if input and not _may_take(model, modality(input)):
            continue
        params = _params_for(model, seconds=seconds, with_audio=with_audio)
        if params is None:
            continue
        price = quote(model, params)
        if most is None or (price.high is not None and price.high <= most):
            found.append(Match(model, price, params, _score(model, wanted)))
    found.sort(key=lambda match: _rank(match, cheapest=cheapest))
    return found[: max(limit, 0)]


def numbered_lines(matches: Iterable[Match]) -> str:
    """Return matches as numbered lines of text, or a sentence where there are none."""
    lines = [f"{number}. {match.as_line()}" for number, match in enumerate(matches, start=1)]
    return "\n".join(lines) or "No model of the catalog does that."


def _may_take(model: Model, source: str) -> bool:
    # Where the catalog says nothing of inputs, text is sure and nothing else is.
    return model.takes(source) if model.inputs else source == "text"


def _params_for(model: Model, *, seconds: float | None, with_audio: bool) -> dict[str, Any] | None:
    """Return the parameters that ask for what is wanted, or None if the model cannot do it."""
    call = effective(model, {})
    params: dict[str, Any] = {}
    if with_audio:
        if not (model.makes("video") and can_have_audio(call, model.pricing)):
            return None
        params |= dict.fromkeys(audio_switches(call), True)
    if seconds is not None:
        duration = _duration_param(call, Decimal(str(seconds)))
        if duration is None:
            return None
        params |= duration
    return params


def _duration_param(call: EffectiveCall, seconds: Decimal) -> dict[str, Any] | None:
    for name in call.named(Role.DURATION):
        choices = call.choices(name)
        for choice in choices:
            if read_quantity(choice) == seconds:
                return {name: choice}
        span = call.span(name)
        if not choices and span and span[0] <= seconds <= span[1]:
            is_whole = seconds == seconds.to_integral_value()
            return {name: int(seconds) if is_whole else float(seconds)}
    return None


def _score(model: Model, words: frozenset[str]) -> int:
    text = page(model).lower() if words else ""
    return sum(2 if word in model.id.lower() else 1 for word in words if word in text)


def _rank(match: Match, *, cheapest: bool) -> tuple[Any, ...]:
    cost = match.price.high if match.price.high is not None else Decimal("Infinity")
    order = (cost, -match.score) if cheapest else (-match.score, cost)
    return (*order, match.model.id)
