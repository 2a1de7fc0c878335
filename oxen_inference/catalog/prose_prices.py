"""Prices that an entry's own texts give, and its price fields do not.

A sentence counts where it says that a price changes ("costs twice", "billed at a higher rate",
"$0.40 per second") and names a parameter's value ("1080p") or a parameter. A number beside no price
word, such as the "2x" of an upscaler, says nothing. What is not sure counts as dearer: a quote
may be too high, never too low.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.effective import EffectiveCall, read_quantity
from oxen_inference.catalog.models import PER_OUTPUT_SECOND
from oxen_inference.catalog.parameter_roles import Role, role_of
from oxen_inference.catalog.pricing_tiers import line_count, same_tier
from oxen_inference.catalog.prose_facts import PriceRule, Times, documented_rules
from oxen_inference.catalog.schema import alternatives, choices_of, properties_of

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

_MOST_TEXT = 20_000  # characters of one entry that are read
_LONGEST_SENTENCE = 600
_MOST_DEPTH = 6
_SAME_CLAUSE = 30  # characters

_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+|•")
_OTHER_RATES = re.compile(r"\b(?:frame|bit|sampl\w+|refresh|data|success)[ -]?rates?\b")
_NO_CHANGE = re.compile(
    r"\b(?:no|without|not?) (?:any )?(?:extra|additional|added|further|more)[\w -]{0,12}"
    r"(?:cost|charge|fee|price)s?"
    r"|\b(?:same|identical|equal|one|single|flat) (?:[\w-]+ )?(?:price|cost|rate)\b"
    r"|\b(?:regardless|irrespective) of[\w ,-]*"
    r"|\b(?:does|do)(?: not|n't) (?:affect|change|influence|increase|cost|alter)[\w -]*"
    r"|\b(?:free of charge|at no cost|for free)\b"
)
_COMPARED_WITH = re.compile(r"\b(?:than|as much as|compared (?:to|with)|relative to)\b.*")

_PRICE = r"(?:pric(?:e|es|ed|ing|ier)|cost(?:s|ing|lier)?|bill(?:ed|ing|s)|charge[sd]?|fees?|credits?|rates?)"
_TIMES = (
    r"(?:(?P<twice>twice|doubl(?:e[sd]?|ing)|two times)|(?P<thrice>thrice|tripl(?:e[sd]?|ing)|three times)"
    r"|(?P<four>quadrupl(?:e[sd]?|ing)|four times)|(?P<half>half|halve[sd]?)"
    r"|(?P<n>\d+(?:\.\d+)?) ?(?:x|×|times)(?!\w)|(?:x|×|\*) ?(?P<m>\d+(?:\.\d+)?)(?![\w.])"
    r"|(?:multiplied by|factor of) ?(?P<f>\d+(?:\.\d+)?)"
    r"|(?P<more>\d+(?:\.\d+)?) ?% (?:more|higher|extra|additional|surcharge|premium|dearer)"
    r"|(?P<less>\d+(?:\.\d+)?) ?% (?:less|lower|cheaper|off|discount))"
)
_MORE = (
    r"(?:more|higher|extra|additional(?:ly)?|greater|premium|surcharge|separately|rises?|increase[sd]?"
    r"|goes up|on top)"
)
_LESS = r"(?:less|lower|cheaper|discount(?:ed)?|reduced|decrease[sd]?)"
_VARIES = r"(?:depend(?:s|ing)?|var(?:y|ies)|according to|based on|scales?|differs?)"
# Between a price word and what is said of it.
_IS = (
    r"(?: |:|=|\(|(?:is|are|at|by|about|around|roughly|approximately|up to|goes|to|will|be|gets|a|an|the"
    r"|significantly|slightly|much|considerably|far|per|second|image|video|minute|rate|also|and|can"
    r"|exactly|with)\b)*"
)
_OF = (
    r"(?: |-|(?:the|its|of|as|base|basic|standard|normal|usual|regular|published|listed|list|default|full"
    r"|expensive|per|second|image|video|credit|many|much|number|\d+p|\dk)\b)*"
)
_CUES = (
    re.compile(rf"\b{_PRICE}\b{_IS}{_TIMES}"),
    re.compile(rf"(?<![\w.]){_TIMES}{_OF}(?:{_PRICE}|expensive)\b"),
    re.compile(
        rf"\b{_PRICE}\b{_IS}(?:(?P<up>{_MORE})|(?P<down>{_LESS})|(?P<varies>{_VARIES}))\b"
        rf"|\b(?:(?P<up2>{_MORE})|(?P<down2>{_LESS}))\b{_OF}(?:{_PRICE}|expensive)\b"
        r"|\b(?P<up3>dearer|pricier|costlier|surcharge[sd]?)\b|\b(?P<down3>cheaper)\b"
    ),
)
_COUNTS_AS = re.compile(
    r"\b(?:bill|count|charg)(?:ed|s|es)? as (?:(?P<twice>two)|(?P<thrice>three)|(?P<four>four)|(?P<n>\d+))\b"
)
_ANY_TIMES = re.compile(rf"(?<![\w.]){_TIMES}")
_DOLLARS = re.compile(r"\$ ?(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?) ?(?:usd|dollars)\b")
_LOOKS_PRICED = re.compile(
    rf"\b{_PRICE}\b|\bdearer|\bcheaper|\bexpensive|\bsurcharge|\$ ?\d|usd\b", re.IGNORECASE
)
_SIZE = re.compile(r"(?<![\w.])(?:\d{3,4}p|\d{1,2}k|\d{3,5} ?[x×] ?\d{3,5})(?!\w)")
_SECONDS = re.compile(r"(?<![\w.])(\d{1,3})[ -]?(?:s|secs?|seconds?)\b")
_ONLY_JOINS = re.compile(r"[\s,/&()-]*(?:and|or)?[\s,/&()-]*")
_BEYOND = re.compile(
    r"\b(?:above|over|beyond|exceeding|past|(?:higher|greater|more|longer|larger) than) ?$"
)
_AND_BEYOND = re.compile(
    r" ?(?:\+|(?:and|or|&) (?:above|higher|up|beyond|more|longer|larger|over)\b)"
)

# Values that are ordinary words, which a sentence may use for something else.
_PLAIN_WORDS = frozenset(
    [
        "auto",
        "none",
        "default",
        "standard",
        "low",
        "medium",
        "high",
        "higher",
        "large",
        "small",
        "fast",
        "normal",
        "true",
        "false",
        "on",
        "off",
        "yes",
        "no",
        "pro",
        "basic",
        "best",
        "good",
        "full",
        "max",
        "min",
        "a",
        "b",
    ]
)
_NEVER = frozenset(
    {Role.PROMPT, Role.PROMPT_LIST, Role.COUNT, Role.COUNT_LIMIT, Role.WIDTH, Role.HEIGHT}
)
_NEVER_NAMED = frozenset(
    [
        "model",
        "stream",
        "user",
        "seed",
        "style",
        "format",
        "name",
        "id",
        "type",
        "path",
        "url",
        "role",
        "mode",
        "task",
        "language",
        "voice",
        "size",
        "image",
        "images",
        "loop",
        "elements",
        "text",
        "scale",
        "n",
    ]
)
_ALSO_CALLED: Mapping[Role, str] = {
    Role.RESOLUTION: r"resolutions?",
    Role.QUALITY: r"quality",
    Role.AUDIO: r"audio|sound",
    Role.DURATION: r"durations?|longer|length",
    Role.FRAME_RATE: r"fps|frames per second",
    Role.TIMED_INPUT: (
        r"(?:input|source|reference) (?:video|clip|audio)s?|(?:video|audio)[ -]inputs?|video[ -]to[ -]video"
        r"|(?:continu\w+|extend\w*|edit\w*) (?:an? |the )?(?:existing |input )?(?:video|clip)s?"
    ),
}


@dataclass(frozen=True, slots=True)
class _Cue:
    """What a sentence says of a price, and where in it."""

    start: int
    end: int
    times: Times


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    role: Role | None
    choices: tuple[str, ...]
    is_switch: bool
    named: re.Pattern[str] | None


@lru_cache(maxsize=512)  # as the models, which never change
def price_rules(model: Model) -> tuple[PriceRule, ...]:
    """Return what the documentation and the entry's own texts say that no price field has."""
    parameters = list(_parameters(model))
    rules = [
        rule
        for rule in documented_rules(model.id, model.source_model)
        if not _is_priced(model, role_of(rule.parameter))
    ]
    for field, text in _texts(model):
        for sentence in _sentences(text):
            rules += _rules_of(model, sentence, field, parameters)
    return tuple(rules)


@dataclass(frozen=True, slots=True)
class Surcharge:
    """How many times the published price a call may cost, for one of its parameters."""

    parameter: str
    low: Decimal
    high: Times
    said: str


def surcharges(model: Model, call: EffectiveCall) -> list[Surcharge]:
    """Return what the documentation and the entry's texts add to the price of a call."""
    found: dict[str, Surcharge] = {}
    for rule in price_rules(model):
        times = _times_for(rule, call)
        if times is None or times <= {Decimal(1)}:
            continue
        known = [each for each in times if each is not None]
        high = None if len(known) < len(times) else max(known)
        one = Surcharge(rule.parameter, min([*known, Decimal(1)]), high, rule.said)
        other = found.get(rule.parameter)
        if other is None or _dearer(other.high, high) == high:
            found[rule.parameter] = one
    return list(found.values())


def _times_for(rule: PriceRule, call: EffectiveCall) -> set[Times] | None:
    """Return what may apply of a rule to a call; None where nothing does."""
    if rule.only_with is not None:
        other, needed = rule.only_with
        if not any(each is None or _is_value(each, needed) for each in call.possible(other)):
            return None
    name = rule.parameter
    if rule.when_given != 1:
        is_given = call.values.get(name) not in (None, False, "", [], (), {})
        return {rule.when_given} if is_given else None
    possible = call.possible(name)
    if any(each is None or str(each).strip().lower() in ("auto", "") for each in possible):
        possible = [*possible, *call.choices(name)]
    if rule.by_value is not None:
        times: set[Times] = set()
        for each in possible:
            if each is None:
                times |= {Decimal(1), *rule.by_value.values()}
            else:
                said = [t for v, t in rule.by_value.items() if _is_value(each, v)]
                times |= set(said) or {Decimal(1)}
        return times
    least = _least(call.choices(name))
    return {
        Decimal(1) if each is not None and _is_value(each, least) else rule.above_least
        for each in possible
    }


def _is_value(value: object, said: str | None) -> bool:
    """Whether a parameter's value is the one that a text says, or beyond it for ">" and ">="."""
    if said is None:
        return False
    text = str(value).strip().lower()
    if said.startswith(">"):
        bound = said.lstrip(">=")
        for rank in (line_count, read_quantity):
            own, other = rank(text), rank(bound)
            if own is not None and other is not None:
                return own > other or (own == other and said.startswith(">="))
        return True  # they cannot be compared
    seconds = read_quantity(text)
    return same_tier(text, said) or (seconds is not None and seconds == read_quantity(said))


_RANKS = ("none", "off", "minimal", "low", "draft", "fast", "basic", "standard", "normal", "medium")


def _least(choices: list[Any]) -> str | None:
    """Return the value that surely is the least of those listed, or the first of them."""
    texts = [str(choice).strip().lower() for choice in choices if choice is not None]
    if not texts:
        return None
    sizes = [(lines, text) for text in texts if (lines := line_count(text))]
    if len(sizes) == len(texts):
        return min(sizes)[1]
    numbers = [(number, text) for text in texts if (number := read_quantity(text)) is not None]
    if len(numbers) == len(texts):
        return min(numbers)[1]
    return next((rank for rank in _RANKS if rank in texts), texts[0])


def _parameters(model: Model) -> Iterator[_Parameter]:
    for name, spec in properties_of(model.request_schema).items():
        role = role_of(str(name))
        if role in _NEVER or not isinstance(spec, Mapping):
            continue
        listed = [choices_of(rules) for rules in alternatives(spec)]
        choices = tuple(str(c) for choices in listed for c in choices or () if c is not None)
        words = str(name).lower().replace("_", " ").removesuffix("s")
        names = [_ALSO_CALLED[role]] if role is not None and role in _ALSO_CALLED else []
        if str(name).lower() not in _NEVER_NAMED:
            names += [re.escape(words), re.escape(str(name).lower())]
            short = re.sub(r"^(?:enable|use|with|add|include|generate) ", "", words)
            names += [re.escape(short)] if short not in _NEVER_NAMED and len(short) > 3 else []
            if words.startswith("input "):
                names.append(re.escape(f"{words[6:].removesuffix(' url')} input"))
        yield _Parameter(
            name=str(name),
            role=role,
            choices=choices,
            is_switch=any(rules.get("type") == "boolean" for rules in alternatives(spec)),
            named=re.compile(rf"\b(?:{'|'.join(names)})s?\b") if names else None,
        )


def _texts(model: Model) -> Iterator[tuple[str | None, str]]:
    """Yield the entry's texts that speak of a price, each with the parameter it describes, if any."""
    left = _MOST_TEXT
    outside = {
        n: v for n, v in model.raw.items() if n not in ("request_schema", "json_request_schema")
    }
    given = {"description": model.description, "summary": model.summary}
    sources: list[tuple[str | None, Any]] = [(None, outside or given)]
    sources += [(str(name), spec) for name, spec in properties_of(model.request_schema).items()]
    root = model.request_schema
    sources.append((None, root.get("description") if isinstance(root, Mapping) else None))
    for field, source in sources:
        for text in _strings(source, is_schema=field is not None):
            left -= len(text)
            if left < 0:
                return
            if _LOOKS_PRICED.search(text):
                yield field, text


def _strings(value: Any, depth: int = 0, *, is_schema: bool = False) -> Iterator[str]:
    if isinstance(value, str):
        if " " in value:
            yield value
    elif depth < _MOST_DEPTH and isinstance(value, Mapping):
        for name, inner in value.items():
            if not (is_schema and name in ("enum", "default", "examples", "const")):
                yield from _strings(inner, depth + 1, is_schema=is_schema)
    elif depth < _MOST_DEPTH and isinstance(value, list | tuple):
        for inner in value[:100]:
            yield from _strings(inner, depth + 1, is_schema=is_schema)


def _sentences(text: str) -> Iterator[str]:
    for sentence in _SENTENCE_END.split(re.sub(r":\s*\n\s*", ": ", text)):
        if _LOOKS_PRICED.search(sentence):
            yield sentence.strip()[:_LONGEST_SENTENCE]


def _rules_of(
    model: Model, sentence: str, field: str | None, parameters: list[_Parameter]
) -> Iterator[PriceRule]:
    """Yield what one sentence, perhaps of the description of `field`, says of prices."""
    text = _OTHER_RATES.sub("", re.sub(r"\s+", " ", sentence.lower()))
    text = _NO_CHANGE.sub(" ", text)
    cues = _without_repeated(text, list(_cues(model, text)))
    if not cues:
        return
    for parameter in parameters:
        if _is_priced(model, parameter.role):
            continue
        is_own = field == parameter.name
        is_named = is_own or bool(parameter.named and parameter.named.search(text))
        by_value: dict[str, Times] = {}
        for cue in cues:
            for value in _values_near(text, cue, parameter, is_named=is_named):
                by_value[value] = _dearer(by_value.get(value, cue.times), cue.times)
        if by_value:
            yield PriceRule(parameter=parameter.name, by_value=by_value, said=_quoted(sentence))
        elif is_named:
            times = cues[0].times
            for cue in cues[1:]:
                times = _dearer(times, cue.times)
            is_ranked = bool(parameter.choices) and not parameter.is_switch
            effect = {"above_least" if is_ranked else "when_given": times}
            yield PriceRule(parameter=parameter.name, said=_quoted(sentence), **effect)  # type: ignore[arg-type]  # one of the two


def _cues(model: Model, text: str) -> Iterator[_Cue]:
    has_cue = False
    for pattern in (*_CUES, _COUNTS_AS):
        for found in pattern.finditer(text):
            has_cue = True
            yield _Cue(found.start(), found.end(), _times_in(found.groupdict()))
    # "Twice the price for 1080p, four times for 4K": the second says no price word again.
    for found in _ANY_TIMES.finditer(text) if has_cue else ():
        yield _Cue(found.start(), found.end(), _times_in(found.groupdict()))
    for found in _DOLLARS.finditer(text):
        amount = Decimal(found[1] or found[2])
        yield _Cue(found.start(), found.end(), _times_of(model, amount, text))


def _without_repeated(text: str, cues: list[_Cue]) -> list[_Cue]:
    """Leave out a "costs more" where the same clause says how much more."""
    exact = [cue for cue in cues if cue.times is not None]
    return [
        cue
        for cue in cues
        if cue.times is not None
        or not any(
            other.end >= cue.start
            and other.start - cue.end < _SAME_CLAUSE
            and "," not in text[cue.end : other.start]
            for other in exact
        )
    ]


def _times_in(said: Mapping[str, str | None]) -> Times:
    fixed = {"twice": 2, "thrice": 3, "four": 4}
    for name, times in fixed.items():
        if said.get(name):
            return Decimal(times)
    if said.get("half"):
        return Decimal("0.5")
    if said.get("less") or any(said.get(n) for n in ("down", "down2", "down3")):
        return 1 - min(Decimal(said.get("less") or 100) / 100, Decimal(1))
    if said.get("more"):
        return 1 + Decimal(str(said["more"])) / 100
    number = next((said[n] for n in ("n", "m", "f") if said.get(n)), None)
    return None if number is None else Decimal(number)


def _times_of(model: Model, amount: Decimal, text: str) -> Times:
    """Return how many times the published price an amount is, where both are of one unit."""
    pricing = model.pricing
    if pricing is None:
        return None
    by_unit = {"image": pricing.cost_per_image, "second": pricing.cost_per_second}
    if pricing.cost_per_second_by_resolution or pricing.cost_per_image_grid:
        return None
    if re.search(r"\b(?:adds?|plus|extra|additional(?:ly)?|on top)\b|\+ ?\$", text):
        return None
    for unit, published in by_unit.items():
        if published and re.search(rf"(?:per|/|a|an|each) ?(?:output |generated )?{unit}", text):
            return max(amount / published, Decimal(0))
    return None


def _values_near(text: str, cue: _Cue, parameter: _Parameter, *, is_named: bool) -> Iterator[str]:
    """Yield the values of a parameter that a sentence's cue is about."""
    mentions = sorted(_mentions(text, parameter, is_named=is_named))
    compared = _COMPARED_WITH.search(text, cue.start)
    end = compared.start() if compared else len(text)
    mentions = [m for m in mentions if m[0] < end or m[0] < cue.start]
    before = [m for m in mentions if m[1] <= cue.start + 1]
    after = [m for m in mentions if m[0] >= cue.start and m not in before]
    chosen = before[-1:] or after[:1]
    if re.match(r"[\s,]*(?:for|at|in|with|when|on|if)\b", text[cue.end :]) and after:
        chosen = after[:1]
    if not chosen:
        return
    # "1080p, 1440p and 4K cost twice" is about all three.
    index = mentions.index(chosen[0])
    first = last = index
    while first and _ONLY_JOINS.fullmatch(text[mentions[first - 1][1] : mentions[first][0]]):
        first -= 1
    while last + 1 < len(mentions) and _ONLY_JOINS.fullmatch(
        text[mentions[last][1] : mentions[last + 1][0]]
    ):
        last += 1
    for start, stop, value in mentions[first : last + 1]:
        if _BEYOND.search(text[:start]):
            yield f">{value}"
        elif _AND_BEYOND.match(text, stop):
            yield f">={value}"
        else:
            yield value


def _mentions(
    text: str, parameter: _Parameter, *, is_named: bool
) -> Iterator[tuple[int, int, str]]:
    """Yield where a text names a value of a parameter."""
    seen: set[int] = set()
    for choice in sorted(parameter.choices, key=len, reverse=True):
        value = choice.strip().lower()
        if not value or (value in _PLAIN_WORDS and not is_named):
            continue
        if value.replace(".", "").isdigit():
            if not is_named:
                continue
            written = rf"{re.escape(value)}(?: ?(?:s|secs?|seconds?))?"
        else:
            written = re.escape(value).replace("_", "[_ -]")
        for found in re.finditer(rf"(?<![\w.]){written}(?!\w)", text):
            if found.start() not in seen:
                seen.add(found.start())
                yield found.start(), found.end(), value
    patterns = {Role.RESOLUTION: _SIZE, Role.DURATION: _SECONDS}
    if not parameter.choices and parameter.role in patterns:
        for size in patterns[parameter.role].finditer(text):
            yield size.start(), size.end(), size[0]


def _dearer(one: Times, other: Times) -> Times:
    return None if one is None or other is None else max(one, other)


def _is_priced(model: Model, role: Role | None) -> bool:
    """Whether the price list has its own prices for what a parameter changes."""
    pricing = model.pricing
    if pricing is None:
        return True  # there is no price to change
    grid = pricing.cost_per_image_grid
    if role in (Role.RESOLUTION, Role.WIDTH, Role.HEIGHT):
        has_tiers = any(len(tiers) > 1 for tiers in grid.values())
        return bool(
            has_tiers
            or pricing.cost_per_second_by_resolution
            or pricing.cost_per_second_high_res is not None
        )
    if role is Role.QUALITY:
        return len(grid) > 1
    if role is Role.AUDIO:
        return pricing.cost_per_second_with_audio is not None
    return role in (Role.DURATION, Role.FRAMES) and pricing.method in PER_OUTPUT_SECOND


def _quoted(sentence: str) -> str:
    text = " ".join(sentence.split())
    return f'its entry says: "{text[:117] + "…" if len(text) > 118 else text}"'
