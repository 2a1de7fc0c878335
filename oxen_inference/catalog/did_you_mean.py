"""The names somebody may have meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

_CUTOFF = 0.7
_BESIDE_THE_BEST = 0.23  # who is much less close than the closest was not meant
_SHORTEST_PART = 3  # letters of a name that may stand for all of it


def did_you_mean(name: str, known: Iterable[str], *, limit: int = 3) -> tuple[str, ...]:
    """Return the closest of `known`, best first; nothing where none is close."""
    scored = [(_closeness(name, other), other) for other in known]
    best = max((closeness for closeness, _ in scored), default=0.0)
    near = [pair for pair in scored if pair[0] >= max(_CUTOFF, best - _BESIDE_THE_BEST)]
    near.sort(key=lambda pair: (-pair[0], pair[1]))
    return tuple(other for _, other in near[:limit])


def suggestion(names: tuple[str, ...]) -> str:
    """Return the sentence "Did you mean …?", or nothing."""
    if not names:
        return ""
    *first, last = names
    return f"Did you mean {', '.join(first)} or {last}?" if first else f"Did you mean {last}?"


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.lower())


def _closeness(name: str, known: str) -> float:
    wanted, other = _letters(name), _letters(known)
    if not wanted or not other:
        return 0.0
    matcher = SequenceMatcher(None, wanted, other)
    alike = matcher.ratio() if matcher.quick_ratio() >= _CUTOFF else 0.0
    if len(wanted) < _SHORTEST_PART:
        return alike
    shared = min(len(wanted), len(other)) / max(len(wanted), len(other))
    if other.startswith(wanted) or _is_among(_words(name), _words(known)):
        # The beginning of a name, or some of its words, were said of it, however long it is.
        return max(alike, _CUTOFF + (1 - _CUTOFF) * shared)
    if wanted.startswith(other):
        # A name with a date or version too many is as likely as a typing error.
        return max(alike, 0.57 + 0.43 * shared)
    return alike


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())


def _is_among(words: list[str], others: list[str]) -> bool:
    spots = range(len(others) - len(words) + 1)
    return any(others[spot : spot + len(words)] == words for spot in spots)
