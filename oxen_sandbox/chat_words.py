"""What a text says, by regular expressions: words, numbers, names, places, durations, URLs."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import NamedTuple

_STOP = frozenset(
    "a an and any are as at be been being but by can could did do does for from get give given had has"
    " have he her here him his how i if in into is it its just let like may me might more most my no"
    " not of on only or other our out please she should so some than that the their them then there"
    " these they this those to us use using very was we were what when where which who whom why will"
    " with would you your tool tools call value make want need about also tell show each return".split()
)

# Different words for one idea, so that "draw" finds the tool that says "image".
_IDEAS = {
    word: idea
    for idea, words in {
        "image": "draw drawing paint painting picture image illustrate illustration sketch photo"
        " photograph portrait poster logo",
        "video": "video film movie animate animation clip footage shoot",
        "music": "music song melody sound audio",
        "weather": "weather forecast temperature rain raining sunny climate",
        "add": "add sum plus addition adder",
        "multiply": "multiply multiplied times product multiplication",
        "subtract": "subtract minus subtraction difference",
        "divide": "divide divided division quotient",
        "search": "search find lookup google browse retrieve research",
        "email": "email mail",
        "time": "time clock oclock",
        "price": "price cost budget quote",
        "ox": "ox oxen",
        "write": "write writer compose",
        "review": "review reviewer critique",
    }.items()
    for word in words.split()
}
_OPERATORS = {"+": "add", "*": "multiply", "×": "multiply", "/": "divide", "÷": "divide"}

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
ARITHMETIC = re.compile(r"(-?\d+(?:\.\d+)?)\s*([-+*×/÷])\s*(-?\d+(?:\.\d+)?)")
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\S)[^.!?\n]+)*[.!?]*")
_QUOTED = re.compile(
    r"\"([^\"\n]+)\"|“([^”\n]+)”|「([^」\n]+)」|`([^`\n]+)`|(?<!\w)['‘]([^'’\n]+)['’](?!\w)"
)
_URL = re.compile(r"https?://[^\s\"'<>)\]}]+[^\s\"'<>)\]}.,;:!?]|data:[\w/+.-]+;base64,[\w+/=]+")
_UUID = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE)
_NAME = r"[A-Z][\w’'-]*(?:[ ](?:(?:de|of|la|le|the|al)[ ])?[A-Z][\w’'-]*)*"
_NAMES = re.compile(rf"(?<![\w’']){_NAME}(?:,[ ][A-Z]{{2}}\b)?")
_PLACES = re.compile(
    rf"\b(?:in|for|at|of|from|to|near|around|visit)[ ]((?:{_NAME})(?:(?:,[ ]?and[ ]|,[ ]|[ ]and[ ]|[ ]or[ ])(?:{_NAME}))*)"
)
_LIST = re.compile(r",\s?and\s|,\s|\sand\s|\sor\s")
_STATE = re.compile(r",\s(?=[A-Z]{2}\b)")
_UNITS = {"second": 1, "sec": 1, "s": 1, "minute": 60, "min": 60, "hour": 3600}
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen twenty".split()
)
_NUMBER_WORDS = {word: value for value, word in enumerate(_SMALL)} | {
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "hundred": 100,
    "dozen": 12,
}
_NUMBER = re.compile(
    rf"(?<![\w.])(-?\d+(?:,\d{{3}})+(?:\.\d+)?|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?!\d)"
    rf"|\b({'|'.join(_NUMBER_WORDS)})\b",
    re.IGNORECASE,
)
_DURATION = re.compile(r"[-\s]?(seconds?|secs?|s|minutes?|mins?|hours?)\b", re.IGNORECASE)
_POLITE = re.compile(
    r"^(?:(?:hi|hello|hey)[,!.\s]+)?(?:please|kindly|can you|could you|would you|will you|i want you to|i would like you to|i'd like you to|i want to|i'd like to|help me to?|let's|now|first)[,\s]+",
    re.IGNORECASE,
)
_PRONOUN = re.compile(
    r"\b(it|that|this|them|the (?:image|picture|photo|result|video))\b", re.IGNORECASE
)
_VERB = re.compile(
    r"^(?:draw|paint|sketch|illustrate|photograph|film|animate|shoot|make|create|generate|render"
    r"|produce|write|compose|describe|show|give|tell|find|look up|research|get|fetch|send"
    r"|search(?: (?:the )?(?:web|internet)| online)?|summari[sz]e|explain|list|extract|translate)\b"
    r"(?:\s+(?:me|us))?(?:\s+(?:up|for|about))?\s*",
    re.IGNORECASE,
)
_WORK = re.compile(
    r"^(?:an?|the)\s+(?:[\w-]+\s+){0,2}?(?:image|picture|photo|video|film|movie|clip|drawing|painting"
    r"|illustration|joke|story|poem|haiku)\s+(?:of|about|showing|with)\s+",
    re.IGNORECASE,
)
_LASTING = re.compile(
    r"\s*\b(?:(?:for|in|lasting)\s+)?[\w.]+[-\s](?:seconds?|secs?|minutes?|mins?)(?:\s+long)?\b",
    re.IGNORECASE,
)
_FIRST = re.compile(r"\s*\bfirst\W*$", re.IGNORECASE)


class Number(NamedTuple):
    """A number of the text, with where it ends and how it was written."""

    value: int | float
    start: int
    end: int


def stem(word: str) -> str:
    """Reduce a lower-case word to its idea, or to itself without its ending."""
    if word in _IDEAS:
        return _IDEAS[word]
    for ending in ("ies", "ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) > 2:
            root = word[: -len(ending)]
            return _IDEAS.get(root) or _IDEAS.get(root + "e") or root.rstrip("e")
    return word.rstrip("e") if len(word) > 3 else word


def stems(text: str) -> frozenset[str]:
    """Return the ideas a text mentions, without the words every text has."""
    return _short_stems(text) if len(text) < 2000 else _stems(text)


def _stems(text: str) -> frozenset[str]:
    words = (word.lower() for word in _WORD.findall(_CAMEL.sub(" ", text)))
    found = {stem(word) for word in words if word not in _STOP}
    found.update(
        _OPERATORS[match[1]] for match in ARITHMETIC.findall(text) if match[1] in _OPERATORS
    )
    return frozenset(found)


_short_stems = lru_cache(maxsize=4096)(_stems)


def sentences(text: str) -> list[str]:
    """Cut a text into trimmed sentences; a line break ends one too."""
    return [cut for match in _SENTENCE.findall(text) if len(cut := match.strip(" \t-*#>")) > 1]


def numbers(text: str) -> list[Number]:
    """Return digits and number words in reading order."""
    found = []
    for match in _NUMBER.finditer(text):
        digits, word = match.groups()
        value = _NUMBER_WORDS[word.lower()] if word else _parse(digits.replace(",", ""))
        found.append(Number(value, match.start(), match.end()))
    return found


def _parse(digits: str) -> int | float:
    return int(digits) if re.fullmatch(r"-?\d+", digits) else float(digits)


def quoted(text: str) -> list[str]:
    """Return the strings given in quotation marks."""
    return ["".join(groups) for groups in _QUOTED.findall(text)]


def urls(text: str) -> list[str]:
    """Return the URLs (and data URLs) of a text."""
    return _URL.findall(text)


def without_addresses(text: str) -> str:
    """Return a text with its URLs and ids blanked, whose digits and words mean nothing."""
    for address in (_URL, _UUID):
        text = address.sub(lambda match: "_" * len(match.group()), text)
    return text


def names(text: str) -> list[str]:
    """Return capitalised names; a capital that only opens a sentence does not count."""
    starts = {match.end() for match in re.finditer(r"(?:^|[.!?:\n])\s*", text)}
    return [
        match.group()
        for match in _NAMES.finditer(text)
        if match.group() != "I" and (match.start() not in starts or " " in match.group())
    ]


def places(text: str) -> list[str]:
    """Return the names after in, for, at, of…, each item of a list by itself."""
    found: list[str] = []
    for group in _PLACES.findall(_STATE.sub("\0", text)):
        found.extend(item.replace("\0", ", ") for item in _LIST.split(group))
    if not found:
        return []
    # A place followed by its state ("San Francisco, CA") stays one name.
    return [
        match.group() if (match := re.search(re.escape(name) + r", [A-Z]{2}\b", text)) else name
        for name in found
    ]


def seconds(text: str) -> int | float | None:
    """Return the first duration of a text in seconds."""
    for number in numbers(text):
        if unit := _DURATION.match(text, number.end):
            return number.value * _UNITS[unit[1].lower().rstrip("s") or "s"]
    return None


def plain(text: str) -> str:
    """Drop the politeness around a request."""
    return _POLITE.sub("", text.strip()).strip()


def refers_back(text: str) -> bool:
    """Tell whether a clause speaks of an earlier one ("film it")."""
    return bool(_PRONOUN.search(text))


def orders(text: str) -> bool:
    """Tell whether a text opens with a verb that asks for something ("film it")."""
    return bool(_VERB.match(plain(text)))


def subject(text: str) -> str:
    """Return what a request is about: its words without verb, politeness and duration."""
    cut = _FIRST.sub("", _LASTING.sub("", plain(text)))
    if about := re.search(r"\babout\s+(.+)", cut, re.IGNORECASE | re.DOTALL):
        cut = about[1]
    return _WORK.sub("", _VERB.sub("", cut)).strip(" .,;:!?\n")


def resolved(text: str, said: str) -> str:
    """Put what was said before in the place of "it": "film it running" films the ox running."""
    return _PRONOUN.sub(lambda _: said, text, count=1)


def overlap(question: frozenset[str], text: str) -> float:
    """Score how much of a question a text speaks of; longer texts pay a little."""
    shared = question & stems(text)
    return len(shared) - min(len(text), 1000) / 4000 if shared else 0.0


def arithmetic(text: str) -> str | None:
    """Work out the first `a + b` of a text: "1 + 2 = 3"; there is no answer to a division by 0."""
    if not (match := ARITHMETIC.search(text)):
        return None
    left, operator, right = float(match[1]), match[2], float(match[3])
    if operator == "+":
        result = left + right
    elif operator == "-":
        result = left - right
    elif operator in "*×":
        result = left * right
    else:
        result = left / right if right else math.inf
    return f"{match[1]} {operator} {match[3]} = {result:.12g}"


def gist(text: str, limit: int = 60_000) -> str:
    """Keep the two ends of a very long text, which is all the model reads of it."""
    return text if len(text) <= limit else f"{text[: limit // 2]}\n{text[-limit // 2 :]}"
