"""Which tool fits which part of a request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oxen_sandbox import chat_words as words
from oxen_sandbox.chat_clues import Clues
from oxen_sandbox.chat_synth import synthesise

_THEN = re.compile(
    r"(?:\s*[,;.]\s*|\s+)(?:and\s+)?(?:then|after that|afterwards?|next|finally)\b,?\s+|\n+|(?<=[.!?;])\s+",
    re.IGNORECASE,
)
_AND = re.compile(r",?\s+and\s+(?:also\s+)?|;\s*", re.IGNORECASE)
_TO = re.compile(
    r"\b(?:text|image|audio|reference|video)s?[ _-](?:to|2)[ _-](?=image|video|audio|music)",
    re.IGNORECASE,
)
_MEDIA = ("image", "video", "music")
_ENOUGH = 2.0
_NAMED = 100.0
_LONG = 4000


@dataclass(frozen=True)
class Tool:
    """A tool offered with the request."""

    name: str
    description: str
    parameters: dict[str, Any]
    known_as: str = ""
    """Words that count like its name."""

    @property
    def hands_off(self) -> bool:
        """Whether it gives control to another agent (LlamaIndex's `handoff`)."""
        return "to_agent" in (self.parameters.get("properties") or {})


def best(tools: Sequence[Tool], clause: str, clues: Clues | None = None) -> Tool | None:
    """Return the tool that fits a clause best, or None where none fits.

    With clues, several that fit are told apart by how much of what they require is known.
    """
    scored = [(fit(tool, clause), -index, tool) for index, tool in enumerate(tools)]
    fitting = [item for item in scored if item[0] >= _ENOUGH]
    if clues and len(fitting) > 1:
        fitting = [
            (score + 3 * synthesise(tool.parameters, clues)[1], index, tool)
            for score, index, tool in fitting
        ]
    return max(fitting, key=lambda item: item[:2])[2] if fitting else None


def fit(tool: Tool, clause: str) -> float:
    """Score how well a tool fits a clause: its name first, then its description and enums."""
    if re.search(rf"(?<!\w){re.escape(tool.name)}(?!\w)", clause):
        return _NAMED
    asked = words.stems(clause)
    named = words.stems(
        _TO.sub("", f"{tool.name} {tool.known_as}".replace("_", " ").replace("-", " "))
    )
    described = words.stems(_TO.sub("", tool.description[:600]))
    made = _medium(tool)
    wanted = next(
        (
            stem
            for word in re.findall(r"\w+", clause.lower())
            if (stem := words.stem(word)) in _MEDIA
        ),
        None,
    )
    if made and wanted:
        return 10.0 + len(asked & described) / 10 if made == wanted else -10.0
    told = len(asked & described)
    score = 3.0 * len(asked & named) + min(told, 3) * (1.0 if told > 1 else 0.6)
    for part in (tool.parameters.get("properties") or {}).values():
        if isinstance(part, dict) and "enum" in part:
            score += any(str(option).lower() in clause.lower().split() for option in part["enum"])
    return score + 0.5 * bool(score and named <= asked)


def _medium(tool: Tool) -> str | None:
    """Return the medium a tool makes, by its name, else by the first words about it."""
    for text in (_TO.sub("", tool.name.replace("_", " ")), _TO.sub("", tool.description[:160])):
        for word in re.findall(r"[A-Za-z]+", text):
            if (stem := words.stem(word.lower())) in _MEDIA:
                return stem
    return None


def clauses_of(request: str, tools: Sequence[Tool]) -> list[tuple[str, bool]]:
    """Cut a request into clauses, each with whether it comes after the one before."""
    request = words.gist(request, _LONG)
    clauses: list[tuple[str, bool]] = []
    position, then = 0, False
    for cut in [*_THEN.finditer(request), None]:
        text = request[position : cut.start() if cut else len(request)].strip()
        if re.search(r"\w", text):
            halves = _halves(text, tools)
            clauses += [(half, then and not index) for index, half in enumerate(halves)]
        if cut:
            position, then = cut.end(), bool(re.search(r"\w", cut.group()))
    # "Write a report. Search the web first."
    return sorted(clauses, key=lambda clause: not re.search(r"\bfirst\b\W*$", clause[0]))


def _halves(clause: str, tools: Sequence[Tool]) -> list[str]:
    """Split at "and" where each side asks for something by itself."""
    parts = _AND.split(clause)
    fitting = [best(tools, part) for part in parts]
    if len(parts) < 2 or not all(fitting):
        return [clause]
    apart = len({tool.name for tool in fitting if tool}) > 1
    alike = all(map(words.arithmetic, parts)) or all(map(words.orders, parts))
    return parts if apart or alike else [clause]
