"""Find the model for a need in words: a short ranked list with prices, for agents and people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.call_fields import effective, read_seconds
from oxen_inference.catalog.model_text import page
from oxen_inference.catalog.pricing import Quote, price_hint, quote
from oxen_inference.catalog.pricing_amounts import duration_names
from oxen_inference.catalog.pricing_looks import can_have_sound, switches

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

_SAID = {
    "video": r"videos?|films?|movies?|clips?|animat\w+|footage|reels?",
    "image": r"images?|pictures?|photos?|photographs?|drawings?|draws?|illustrations?|logos?|"
    r"posters?|stills?|frames?",
    "audio": r"audio|speech|voices?|sounds?|music|songs?|narration",
    "text": r"text|chats?|answers?|writes?|words|summar\w+|translat\w+|code|prompts?",
}
_SAYS = {made: re.compile(rf"\b(?:{words})\b") for made, words in _SAID.items()}
_WITH_SOUND = re.compile(r"\bwith (?:\w+ )?(?:audio|sound|speech|voice|music)\b|\bsound ?track\b")
_WRITES_DOWN = re.compile(r"\b(transcri\w+|caption\w*|ocr)\b")
_INTO = re.compile(r"\b(?:into|to|->|→)\b")
_FROM = re.compile(r"\b(?:from|of|based on|using|given)\b")
_CHEAP = re.compile(
    r"\bcheap\w*|\blow(?:est)? (?:cost|price)|\binexpensive|\baffordable|\bbudget\b"
)
_NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"]  # fmt: skip
_LENGTH = re.compile(
    rf"\b(\d+(?:\.\d+)?|{'|'.join(_NUMBERS)}|thirty|sixty)[\s-]*(s|secs?|seconds?|mins?|minutes?)\b"
)
_AMOUNT = rf"(\d+(?:\.\d+)?|{'|'.join(_NUMBERS)}|fifty)"
_AT_MOST = r"\b(?:under|below|within|up to|at most|no(?:t)? more than|less than|cheaper than|max(?:imum)?(?: of)?)"
_MOST = re.compile(
    rf"{_AT_MOST}\s+(?:(?:us\s*)?\$|usd)\s*{_AMOUNT}\b"
    rf"|{_AT_MOST}\s+{_AMOUNT}\s*(usd|us dollars?|dollars?|bucks?|cents?|\$)(?!\w)"
)
_DULL = frozenset(
    """
    a an and any are as at be best by can cheap cost could do does find for from get give good has
    have i in into is it least less like long make makes me model models more most my need new
    nice no not of on one or our please price second seconds should show some something tell that
    the them there thing this to turn turns under use used very want was we what which will with
    would you your cheapest
    """.split()  # noqa: SIM905 - a list of them would fill a page
)


@dataclass(frozen=True, slots=True)
class Need:
    """What a text asks for."""

    output: str | None = None
    input: str | None = None
    seconds: Decimal | None = None
    sound: bool = False
    cheap: bool = False
    max_price: Decimal | None = None
    """USD for one call."""
    words: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Match:
    """A model that can do it, what that would cost, and with which parameters."""

    model: Model
    price: Quote
    params: Mapping[str, Any]
    score: float

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


def find_models(
    models: Iterable[Model],
    need: str = "",
    *,
    output: str | None = None,
    input: str | None = None,  # noqa: A002 - the API's own word
    method: str | None = None,
    max_price: Decimal | float | str | None = None,
    limit: int = 5,
) -> list[Match]:
    """Return at most `limit` models that can do what `need` says, best first.

    Understood are modalities ("turns an image into a film"), a length ("ten seconds"), "with
    sound", "cheapest" and "under 1 dollar"; other words rank by the models' descriptions. Words
    that neither name a modality nor are any model's find nothing. `output`, `input` and
    `max_price` overrule the words. `max_price`: USD for one call; leaves out models of unknown
    price.
    """
    asked = read_need(need)
    wanted = (output or asked.output, input or asked.input)
    most = asked.max_price if max_price is None else Decimal(str(max_price))
    models = list(models)
    if asked.words and not any(wanted) and not any(_is_about(asked, model) for model in models):
        return []
    found: list[Match] = []
    for model in models:
        match = _match(model, asked, *wanted)
        if match is None or (method and not (model.pricing and model.pricing.method == method)):
            continue
        if most is None or (match.price.high is not None and match.price.high <= most):
            found.append(match)
    found.sort(key=lambda match: _rank(match, cheapest_first=asked.cheap))
    return found[: max(limit, 0)]


def describe(matches: Iterable[Match]) -> str:
    """Return matches as short lines of text for a language model."""
    lines = [
        f"{number}. {row['id']}: {row['name']}; makes {', '.join(row['makes']) or 'unknown'}"
        f"{' from ' + ', '.join(row['takes']) if row['takes'] else ''}; price: {row['price']}"
        f"{' with ' + _shown(row['params']) if row['params'] else ''}"
        for number, row in enumerate((match.as_row() for match in matches), start=1)
    ]
    return "\n".join(lines) or "No model of the catalog does that."


def read_need(text: str) -> Need:
    """Read what a text asks for, as far as its words say."""
    said = text.lower()
    most = None
    if limit := _MOST.search(said):
        most = _number(limit[1] or limit[2]) / (100 if (limit[3] or "").startswith("cent") else 1)
        said = _MOST.sub(" ", said)
    seconds = None
    if length := _LENGTH.search(said):
        number = _number(length[1])
        seconds = number * 60 if length[2].startswith("m") else number
    sound = bool(_WITH_SOUND.search(said))
    bare = _WITH_SOUND.sub(" ", said)
    source, result = _sides(bare)
    if _WRITES_DOWN.search(bare) and "text" not in bare:
        source, result = bare, "text"
    rest = _CHEAP.sub(" ", _LENGTH.sub(" ", bare))
    words = frozenset(re.findall(r"[a-z0-9][a-z0-9.]+", rest)) - _DULL
    return Need(
        output=_first_said(result) or (_first_said(source) if source is not bare else None),
        input=_first_said(source) if source and _first_said(result) else None,
        seconds=seconds,
        sound=sound,
        cheap=bool(_CHEAP.search(said)),
        max_price=most,
        words=words,
    )


def _sides(text: str) -> tuple[str, str]:
    """What it is made from, and what is to come out: "an image into a film", "a film of a cow"."""
    for pattern in (_INTO, _FROM):
        for cut in pattern.finditer(text):
            before, after = text[: cut.start()], text[cut.end() :]
            source, result = (before, after) if pattern is _INTO else (after, before)
            if _first_said(source) and _first_said(result):
                return source, result
    return "", text


def _first_said(text: str) -> str | None:
    spots = ((found.start(), made) for made, says in _SAYS.items() if (found := says.search(text)))
    return min(spots, default=(0, None))[1]


def _number(word: str) -> Decimal:
    if word in _NUMBERS:
        return Decimal(_NUMBERS.index(word) + 1)
    return {"thirty": Decimal(30), "fifty": Decimal(50), "sixty": Decimal(60)}.get(word) or Decimal(
        word
    )


def _match(model: Model, need: Need, output: str | None, source: str | None) -> Match | None:
    if (output and not model.makes(output)) or (source and not _may_take(model, source)):
        return None
    fields = effective(model, {})
    params: dict[str, Any] = {}
    if need.sound and output == "video":
        if not can_have_sound(fields, model.pricing):
            return None
        params |= dict.fromkeys(switches(fields), True)
    if need.seconds is not None and output in ("video", "audio"):
        length = _length_param(model, need.seconds)
        if length is None:
            return None
        params |= length
    text = page(model).lower()
    score = sum(2 if word in model.id.lower() else 1 for word in need.words if word in text)
    return Match(model, quote(model, params), params, float(score))


def _is_about(need: Need, model: Model) -> bool:
    """Whether a word of the need begins one of the model's own."""
    text = page(model).lower()
    return any(re.search(rf"\b{re.escape(word)}", text) for word in need.words)


def _may_take(model: Model, source: str) -> bool:
    # Where the catalog says nothing of inputs, text is sure and nothing else is.
    return model.takes(source) if model.inputs else source == "text"


def _length_param(model: Model, seconds: Decimal) -> dict[str, Any] | None:
    """The parameter that asks for that many seconds, or None if the model cannot."""
    fields = effective(model, {})
    for name in duration_names(fields):
        choices = fields.choices(name)
        for choice in choices:
            if read_seconds(choice) == seconds:
                return {name: choice}
        span = fields.span(name)
        if not choices and span and span[0] <= seconds <= span[1]:
            whole = seconds == seconds.to_integral_value()
            return {name: int(seconds) if whole else float(seconds)}
    return None


def _rank(match: Match, *, cheapest_first: bool) -> tuple[Any, ...]:
    cost = match.price.high if match.price.high is not None else Decimal("Infinity")
    if cheapest_first:
        return (cost, -match.score, match.model.id)
    return (-match.score, cost, match.model.id)


def _shown(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items())


__all__ = ["Match", "Need", "describe", "find_models", "read_need"]
