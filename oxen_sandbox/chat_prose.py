"""What the model says in words: deterministic, from what the conversation holds."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from typing import Any

from oxen_sandbox import chat_words as words
from oxen_sandbox.chat_conversation import Call, Conversation
from oxen_sandbox.chat_failures import is_error
from oxen_sandbox.chat_media import describe

_SAY_WORDS = re.compile(
    r"\b(?:say|write|answer (?:with|in)|reply with|give me|exactly)\s+(?:exactly\s+)?(\d+) words\b",
    re.IGNORECASE,
)
_REPEAT = re.compile(
    r"^(?:please\s+)?(?:say|repeat|echo|reply with|respond with|answer with)(?: after me| exactly| the word| just| only)*:?\s+(.{1,200}?)\s*(?:\bin exactly\b.*)?[.!]?$",
    re.IGNORECASE | re.DOTALL,
)
_CREATIVE = re.compile(
    r"\b(?:write|tell|compose|make up|give|create|invent)\b.{0,40}?\b(story|poem|haikus?|song|joke|essay|limerick)\b(?:.*?\b(?:about|of|on)\s+(?:an?\s+|the\s+)?([^.!?\n]{1,60}))?",
    re.IGNORECASE,
)
_LENGTH_FILLER = "the ox walks on over the wide field at dawn and the day is still young".split()

_TALES = {
    "story": 'Once there was {a}. Every morning {it} went out before the sun was up, walked the long way round the field, and came home with something nobody had asked for. One day {it} came home with nothing at all, and sat by the door, content. "What did you find?" they asked. "The way back," it seemed to say, and from that day on nobody asked again.',
    "poem": "Slowly over the morning hill\ncomes {a}, unhurried, still;\nthe light is low, the field is wide,\nand all the day walks at its side.",
    "haiku": "Mist over the field\n{a} waits for the sun\nthe day takes a breath",
    "joke": "Why did {a} cross the field? Because the benchmark was on the other side.",
}


def answer(talk: Conversation) -> str:
    """Answer a request that needs no tool."""
    if talk.media:
        return _seen(talk)
    request = talk.request.strip()
    for pattern, reply in _REPLIES:
        if match := pattern.search(request):
            return reply(match)
    return _remembered(talk) or _openly(request)


def said_words(number: int) -> str:
    """Say exactly this many words, each a token: the control for benchmarks."""
    size = len(_LENGTH_FILLER)
    return " ".join(_LENGTH_FILLER[index % size] for index in range(number))


def after_tools(talk: Conversation) -> str:
    """Answer from the results of the tools called for this request."""
    called = [call for call in talk.calls if call.result is not None and not call.hands_off]
    if not called:
        return answer(talk)
    # A failure that a later call of the same tool made good is not worth telling.
    told = [
        call
        for index, call in enumerate(called)
        if not is_error(call.result or "")
        or all(later.name != call.name for later in called[index + 1 :])
    ]
    lines = [_told(call) for call in told]
    failed = all(is_error(call.result or "") for call in told)
    text = lines[0] if len(lines) == 1 else "\n".join(["Done:", *(f"- {line}" for line in lines)])
    if failed:
        text = f"I could not finish this. {' '.join(lines)}"
    if talk.media:
        text += f" I can see {_listed([describe(m.kind, m.url) for m in talk.media])}."
    return text


def _told(call: Call) -> str:
    result = (call.result or "").strip()
    what = _what(call)
    if is_error(result):
        return f"{what} failed: {flat(result)}"
    said = flat(result) or "done, with nothing to report"
    return f"{what}: {said}" + ("" if said[-1:] in ".!?" or said.startswith("http") else ".")


def _what(call: Call) -> str:
    """Name a call for people: get_weather(city=Paris) is "Weather (Paris)"."""
    name = re.sub(r"^(get|fetch|run|do|call)_", "", call.name).replace("_", " ").replace("-", " ")
    given = [
        str(value)
        for value in call.arguments.values()
        if isinstance(value, (str, int, float)) and not str(value).startswith(("http", "data:"))
    ]
    given = [value for value in given if len(value) <= 60][:3]
    return f"{name[:1].upper()}{name[1:]}" + (f" ({', '.join(given)})" if given else "")


def flat(result: str) -> str:
    """Say a JSON result in words; leave any other as it is."""
    try:
        value: Any = json.loads(result)
    except ValueError:
        return result[:1500]
    return _say(value)[:1500]


def _say(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{key.replace('_', ' ')} is {_say(item)}"
            for key, item in value.items()
            if item is not None
        )
    if isinstance(value, list):
        return "; ".join(_say(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)


def thoughts(talk: Conversation, doing: str) -> str:
    """Think aloud before an answer or a call."""
    asked = " ".join(talk.request.split())[:160]
    done = (
        f" So far I have called {_listed([call.name for call in talk.calls])}."
        if talk.calls
        else ""
    )
    return f"The user asks: “{asked}”.{done} {doing}"


def _seen(talk: Conversation) -> str:
    seen = _listed([describe(media.kind, media.url) for media in talk.media])
    asked = " ".join(talk.request.split())
    about = f" You asked: “{asked[:160]}”." if asked else ""
    return f"I see {seen}.{about} The sandbox reads its format, not what it shows."


def _tale(kind: str, about: str | None) -> str:
    thing = (about or "an ox").strip(" .,")
    if not re.match(r"(?i)(an?|the|my|some)\b", thing) and not thing.endswith("s"):
        thing = f"{'an' if thing[:1].lower() in 'aeiou' else 'a'} {thing}"
    tale = _TALES.get(kind, _TALES["story"]).format(a=thing, it="it")
    return "\n".join(line[:1].upper() + line[1:] for line in tale.split("\n"))


def _remembered(talk: Conversation) -> str | None:
    """Answer from what was said before, where something fits the question."""
    question = words.stems(talk.request)
    told = [
        s
        for text in (*talk.earlier, talk.system)
        for s in words.sentences(text)
        if not s.endswith("?")
    ]
    scored = [
        (words.overlap(question, sentence), -index, sentence) for index, sentence in enumerate(told)
    ]
    top = max(scored, default=(0.0, 0, ""))
    if top[0] < 0.9 or not re.search(
        r"\?|^(what|who|where|when|which|do you)\b", talk.request.lower()
    ):
        return None
    sentence = top[2].rstrip(".! ")
    return f"{_turned(sentence)}."


def _turned(sentence: str) -> str:
    """Turn the user's "my name is" into "your name is"."""
    swaps = {
        "my": "your",
        "i": "you",
        "am": "are",
        "i'm": "you're",
        "mine": "yours",
        "me": "you",
        "your": "my",
        "you": "I",
    }
    turned = re.sub(
        r"[\w']+", lambda match: swaps.get(match.group().lower(), match.group()), sentence
    )
    return turned[:1].upper() + turned[1:]


def _openly(request: str) -> str:
    """Answer a question the conversation holds nothing about, without pretending to know."""
    subject = words.subject(request)[:160].rstrip("?") or "that"
    openings = ("You asked about “{s}”.", "Let me take “{s}” as you put it.", "About “{s}”:")
    opening = openings[zlib.crc32(request.encode()) % len(openings)].format(s=subject)
    return (
        f"{opening} I am the sandbox's stand-in for a chat model: I know only what this conversation"
        " holds, and it does not say more yet. Give me some context or a tool, and I will answer from it."
    )


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _echo(match: re.Match[str]) -> str:
    return match[1].strip(" \"'“”")


_REPLIES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_SAY_WORDS, lambda match: said_words(int(match[1]))),
    (words.ARITHMETIC, lambda match: f"{words.arithmetic(match.group())}."),
    (_REPEAT, _echo),
    (
        re.compile(
            r"^\W*(?:hello|hi|hey|good (?:morning|day|evening)|greetings)\b(?:\W+\w+){0,4}\W*$",
            re.IGNORECASE,
        ),
        lambda _: "Hello! How can I help you today?",
    ),
    (
        re.compile(r"^\W*how are you", re.IGNORECASE),
        lambda _: "I am well, thank you. How can I help you?",
    ),
    (
        re.compile(r"^\W*(?:thanks|thank you|well, thanks)", re.IGNORECASE),
        lambda _: "You are welcome. What would you like to do next?",
    ),
    (_CREATIVE, lambda match: _tale(match[1].lower().rstrip("s"), match[2])),
)
