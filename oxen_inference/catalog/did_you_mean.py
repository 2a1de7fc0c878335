"""The names somebody may have meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

_CUTOFF = 0.65
_BESIDE_THE_BEST = 0.23  # who is much less close than the closest was not meant


def did_you_mean(name: str, known: Iterable[str], *, limit: int = 3) -> tuple[str, ...]:
    """Return the closest of `known`, best first; nothing where none is close."""
    wanted = _letters(name)
    scored = [(_closeness(wanted, _letters(other)), other) for other in known]
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


def _closeness(wanted: str, other: str) -> float:
    if not wanted or not other:
        return 0.0
    matcher = SequenceMatcher(None, wanted, other)
    alike = matcher.ratio() if matcher.quick_ratio() >= _CUTOFF else 0.0
    if len(wanted) >= 3 and (other.startswith(wanted) or wanted.startswith(other)):
        # A name cut short, or with a date or version too many, is as likely as a typing error.
        shared = min(len(wanted), len(other)) / max(len(wanted), len(other))
        return max(alike, 0.5 + 0.5 * shared)
    return alike
