"""Evidence for a parameter's value: what the user's words and the earlier results say about it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from oxen_sandbox import chat_words as words
from oxen_sandbox.chat_conversation import Media

_FORMATS = {
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?",
    "date": r"\b\d{4}-\d\d-\d\d\b",
    "time": r"\b\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?",
    "email": r"[\w.+-]+@[\w-]+\.[\w.]*\w",
    "uuid": r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
    "ipv4": r"\b\d{1,3}(?:\.\d{1,3}){3}\b",
}
_ID = re.compile(r"\b(?=[\w-]*\d)[A-Za-z]+[-_][\w-]+\b|\b[0-9a-f]{8,}[0-9a-f-]*\b|#\d+|\b\d{4,}\b")
_STYLE = re.compile(
    r"\bin (?:the |an? )?(?:style of |)(?:an? |the )?([\w' -]{3,30}?)(?:[- ]style| style|$|[.,!?])|\b([\w-]+) style\b",
    re.IGNORECASE,
)
_STYLE_OF = re.compile(r"\bstyle of (?:an? |the )?([\w' -]{3,30})", re.IGNORECASE)
_COLOURS = re.compile(
    r"\b(red|green|blue|yellow|orange|purple|pink|brown|black|white|gr[ae]y|gold|silver|teal|violet)\b",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"\b(?:named|called|name is|i am|i'm|mr\.?|ms\.?|mrs\.?|dr\.?)\s+([A-Z][\w'-]+(?: [A-Z][\w'-]+)*)"
    r"|\b(?!I\b|It\b|What\b|Who\b|This\b|That\b|There\b)([A-Z][\w'-]*(?: [A-Z][\w'-]+)*)(?= (?:is|was|lives|works|has|aged)\b)"
)
_EXPRESSION = re.compile(r"[-\d(][\d\s.+*/()^-]*[-+*/^][\d\s.+*/()^-]*\d\)?")
_EXTENSIONS = {
    "image": ("png", "jpg", "jpeg", "webp", "gif"),
    "video": ("mp4", "webm", "mov"),
    "audio": ("wav", "mp3", "ogg", "flac", "m4a"),
}


@dataclass
class Clues:
    """What there is to fill a schema from; strings and numbers are handed out once each."""

    clause: str
    """The part of the request the values are for."""
    request: str = ""
    results: Sequence[str] = ()
    """Tool results, the newest first."""
    media: Sequence[Media] = ()
    said: str = ""
    """What "it" in the clause stands for."""
    choice: int | None = None
    """The number picked from a numbered list of choices."""
    prose: Callable[[], str] = str
    """Answers the request in words."""
    _taken: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.request = self.request or self.clause
        texts = map(words.without_addresses, (self.clause, self.request, *self.results))
        found = ((text, words.numbers(text)) for text in texts)
        self._source, self._numbers = next((pair for pair in found if pair[1]), ("", []))
        self._quoted = words.quoted(self.clause) or words.quoted(self.request)

    @property
    def subject(self) -> str:
        """What the clause is about, a pronoun replaced by what it stands for."""
        subject = words.subject(self.clause)
        if self.said and words.refers_back(subject):
            return words.resolved(subject, self.said)
        if subject:
            return subject
        opening = next(iter(words.sentences(self.request)), "")
        return self.said or words.subject(opening) or words.plain(self.clause)

    def told(self, name: str) -> Any:
        """Find a value a tool's JSON result gives under the parameter's own name."""
        for result in self.results:
            if f'"{name}"' in result:
                try:
                    value = json.loads(result)
                except ValueError:
                    continue
                if isinstance(value, dict) and name in value:
                    return value[name]
        return None

    def string(self, name: str, schema: dict[str, Any], *, required: bool) -> str | None:
        """Find a string for a parameter; a weak match counts for a required one only."""
        if pattern := _FORMATS.get(schema.get("format", "")):
            return self._match(pattern)
        low = name.lower()
        if kind := url_kind(low, schema):
            return self._url(kind)
        spoken = re.escape(low).replace("_", "[_ ]")
        if labelled := re.search(
            rf"\b{spoken}(?:\s*[:=]\s*|\s+(?=\d))([\w.:/-]*\w)", self.clause, re.IGNORECASE
        ):
            return labelled[1]
        for pattern, finder in _BY_NAME:
            if re.search(pattern, low):
                return finder(self, low)
        if pattern := schema.get("pattern"):
            return self._match(f"(?:{pattern})") if required else None
        return self._take(self._quoted) or self._proper() if required else None

    def number(self, name: str, fits: Callable[[Any], bool], *, required: bool) -> Any:
        """Find a number: by its unit, by the word beside it, else (if required) the next one."""
        low = name.lower()
        if self.choice is not None and re.search(r"index|choice|ind$|selection|number|option", low):
            return self.choice
        if re.search(r"duration|seconds|length", low):
            return words.seconds(self.clause) or words.seconds(self.request)
        wanted = words.stems(low.replace("_", " ").replace("num ", ""))
        for words_around in (_word_before, _words_around):  # "width 5" beats "5 wide"
            for number in self._numbers:
                beside = words.stems(words_around(self._source, number))
                if wanted & beside and fits(number.value):
                    self._numbers.remove(number)
                    return number.value
        if required:
            for number in self._numbers:
                if fits(number.value):
                    self._numbers.remove(number)
                    return number.value
        return None

    def boolean(self, name: str) -> bool | None:
        """Find whether the words ask for a thing, or for doing without it."""
        wanted = words.stems(name.replace("_", " ")) - {"enabl", "includ", "generat", "with"}
        for match in re.finditer(r"\w+", self.request):
            if words.stem(match.group().lower()) in wanted:
                before = self.request[max(0, match.start() - 20) : match.start()].lower()
                return not re.search(r"\b(no|not|without|don't|never)\b[\w\s]*$", before)
        return None

    def items(self, name: str) -> list[str]:
        """Find the list a parameter asks for: places, quoted strings, names, or URLs."""
        low = name.lower()
        if kind := url_kind(low, {}):
            return [found] if (found := self._url(kind)) else []
        if re.search(_PLACE, low):
            return words.places(self.clause)
        return list(self._quoted) or words.names(self.clause)

    def amount(self, name: str) -> int | None:
        """Find how many of a thing are wanted: "three colors"."""
        wanted = words.stems(name.replace("_", " "))
        request = words.without_addresses(self.request)
        for number in words.numbers(request):
            following = " ".join(request[number.end :].split()[:2])
            if wanted & words.stems(following) and isinstance(number.value, int):
                return number.value
        return None

    def mentioned(self, options: Sequence[Any], name: str) -> Any:
        """Find the enum value the words mention, else the nearest number at or above one."""
        text = f" {self.clause} \n {self.request} ".lower()
        for option in sorted((o for o in options if isinstance(o, str)), key=len, reverse=True):
            spoken = re.escape(option.lower()).replace("_", "[_ -]").replace(r"\-", "[_ -]")
            if option and re.search(rf"(?<![\w:]){spoken}(?![\w:])", text) and not option.isdigit():
                return option
        numeric = {
            float(str(o).rstrip("s")): o for o in options if re.fullmatch(r"\d+(\.\d+)?s?", str(o))
        }
        wanted = self.number(name, lambda _: True, required=False) if numeric else None
        if wanted is None:
            return None
        return numeric[min(numeric, key=lambda option: (option < wanted, abs(option - wanted)))]

    def _match(self, pattern: str) -> str | None:
        for text in (self.clause, self.request, *self.results):
            if found := re.search(pattern, text):
                return found.group()
        return None

    def _url(self, kind: str) -> str | None:
        attached = [media.url for media in self.media if kind in ("any", media.kind)]
        fresh = [url for result in self.results for url in words.urls(result)]
        candidates = [*words.urls(self.request), *attached, *fresh]
        if kind == "any":
            return candidates[0] if candidates else None
        wanted = _EXTENSIONS[kind]
        others = {e for k, extensions in _EXTENSIONS.items() if k != kind for e in extensions}
        known = [
            url
            for url in candidates
            if url in attached or _extension(url) in wanted or url.startswith(f"data:{kind}")
        ]
        unknown = [
            url
            for url in candidates
            if _extension(url) not in others and not url.startswith("data:")
        ]
        return next(iter(known or unknown), None)

    def _take(self, supply: list[str]) -> str | None:
        return supply.pop(0) if supply else None

    def _proper(self) -> str | None:
        for name in words.names(self.clause) or words.names(self.request):
            if name not in self._taken:
                self._taken.add(name)
                return name
        return None

    def _place(self, _name: str) -> str | None:
        for place in words.places(self.clause) or words.places(self.request):
            if place not in self._taken:
                self._taken.add(place)
                return place
        return self._proper() or self._take(self._quoted)

    def _name(self, _name: str) -> str | None:
        if self._quoted:
            return self._take(self._quoted)
        for match in (*_NAMED.finditer(self.clause), *_NAMED.finditer(self.request)):
            named = match[1] or match[2]
            if named not in self._taken:
                self._taken.add(named)
                return named
        return self._proper() or self._title(_name)

    def _id(self, name: str) -> str | None:
        kind = name.removesuffix("_id").removesuffix("id").rstrip("_")
        labelled = self._match(rf"(?<=\"{re.escape(name)}\": \")[^\"]+") if name else None
        beside = self._match(rf"(?i:(?<=\b{re.escape(kind)} )[\w-]*\d[\w-]*)") if kind else None
        return labelled or beside or self._match(_ID.pattern)

    def _email(self, _name: str) -> str | None:
        return self._match(_FORMATS["email"])

    def _date(self, _name: str) -> str | None:
        return self._match(_FORMATS["date"])

    def _style(self, name: str) -> str | None:
        found = _STYLE_OF.search(self.request) or _STYLE.search(self.request)
        if found:
            return next(group for group in found.groups() if group).strip()
        return self._proper() if "style" in name else None

    def _colour(self, _name: str) -> str | None:
        found = _COLOURS.search(self.request)
        return found.group().lower() if found else None

    def _measure(self, _name: str) -> str | None:
        return self._match(r"\b\d+:\d+\b|\b\d{3,4}p\b|\b\d+[x×]\d+\b|\b[248]k\b")

    def _expression(self, _name: str) -> str | None:
        found = self._match(_EXPRESSION.pattern)
        return found.strip() if found else None

    def _period(self, _name: str) -> str | None:
        wanted = words.seconds(self.clause)
        return None if wanted is None else f"{wanted:g}"

    def _reason(self, _name: str) -> str | None:
        return f"It fits the request: {_short(self.clause)}"

    def _title(self, _name: str) -> str | None:
        title = _short(self.subject[:1].upper() + self.subject[1:])
        made = sum(taken.startswith(title) for taken in self._taken)
        self._taken.add(title if not made else f"{title} ({made + 1})")
        return self._take(self._quoted) or (title if not made else f"{title} ({made + 1})")

    def _query(self, _name: str) -> str | None:
        return self._take(self._quoted) or (
            self.subject if words.orders(self.clause) else words.plain(self.clause)
        )

    def _subject(self, _name: str) -> str | None:
        return self.subject or None

    def _whole(self, _name: str) -> str | None:
        return self._take(self._quoted) or words.plain(self.clause) or None

    def _answer(self, _name: str) -> str | None:
        return self.prose() or None

    def _never(self, _name: str) -> str | None:
        return None


_PLACE = r"(^|_)(city|cities|locations?|places?|countr(y|ies)|town|region|destination|origin|where|state)($|_)"
_BY_NAME: tuple[tuple[str, Callable[[Clues, str], str | None]], ...] = (
    (_PLACE, Clues._place),
    (r"negative|system|model|seed|namespace|repo|director", Clues._never),
    (r"prompt$|^(description|caption|scene|topic|theme|about|item)$", Clues._subject),
    (r"mail", Clues._email),
    (r"(^|_)date($|_)", Clues._date),
    (r"(^|_)(id|ids|uuid|identifier)$", Clues._id),
    (r"style|tone|mood|genre", Clues._style),
    (r"colou?r", Clues._colour),
    (r"ratio$|resolution|^size$|_size$", Clues._measure),
    (r"expression|formula|equation|calculation", Clues._expression),
    (r"duration|seconds", Clues._period),
    (r"reason|rationale|explanation|thought|justification", Clues._reason),
    (r"title|heading|headline", Clues._title),
    (
        r"^(answer|response|summary|report|result|output|conclusion|notes?|content|body)(_|$)|_(summary|answer|notes|content|report)$",
        Clues._answer,
    ),
    (r"^(q|search)$|query$|keywords?$|^search_", Clues._query),
    (
        r"^(question|input|text|message|request|task|instructions?|sentence|command)$|question$",
        Clues._whole,
    ),
    (r"name$|person|customer|author|^user|recipient|company|character|artist", Clues._name),
)


def url_kind(name: str, schema: dict[str, Any]) -> str | None:
    """Tell which kind of media a string parameter takes by URL: image, video, audio, any; or None."""
    if rendered := re.fullmatch(r"(image|video|audio)-url", schema.get("renderType") or ""):
        return rendered[1]
    says_url = schema.get("format") in ("uri", "url") or re.search(r"ur[il]s?$", name)
    if not says_url and not re.search(
        r"^(input|reference|start|end|tail|source|init|first_frame|last_frame)_?(image|video|audio)s?$",
        name,
    ):
        return None
    found = re.search(r"image|photo|picture|frame|video|clip|audio|sound", name)
    kinds = {"video": "video", "clip": "video", "audio": "audio", "sound": "audio"}
    return kinds.get(found.group(), "image") if found else "any"


def _word_before(text: str, number: words.Number) -> str:
    return " ".join(text[max(0, number.start - 24) : number.start].split()[-1:])


def _words_around(text: str, number: words.Number) -> str:
    before = text[max(0, number.start - 24) : number.start].split()[-2:]
    return " ".join([*before, *text[number.end : number.end + 24].split()[:2]])


def _extension(url: str) -> str:
    path = re.split(r"[?#]", url)[0]
    return path.rsplit(".", 1)[-1].lower() if "." in path.rsplit("/", 1)[-1] else ""


def _short(text: str, limit: int = 80) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[:limit].rsplit(" ", 1)[0] + "…"
