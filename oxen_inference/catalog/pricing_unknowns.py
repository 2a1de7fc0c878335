"""Parameters that nobody knows by name, judged by their words: may they multiply what is billed?

A name is taken apart into words. Some words surely measure something else (a seed, a size, a
strength); some surely count results or seconds; a small whole number of any other name may count.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import Enum


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MEASURES = _words(
    """
    seed step guidance cfg scale height width fps rate frequency hz quality threshold strength
    weight temperature top topk topp noise denoise blur sharp sharpen sharpness pitch volume speed
    bitrate level creativity texture compression tolerance safety skip shift bucket id index offset
    order priority x y left right bottom margin padding radius angle zoom depth bit token layer
    pixel megapixel resolution ratio aspect timeout rank color color version stylize style chaos
    weird brightness contrast saturation exposure hue gamma intensity opacity alpha beta eta sigma
    factor upscale tile stride window interpolation interpolate overlap sequence focal context wave
    fade crossfade rotation crop border feather grain vignette motion camera frame beam speaker
    character face fast effort detail enhancement enhance adherence attention conditioning
    similarity stability exaggeration polyphony bpm tempo key start end penalty reference input
    """
)
_COUNTS = _words(
    """
    n num number count counts quantity qty amount batch batches sample samples repeat repeats
    repetitions loop loops copy copies variant variants variation variations take takes result
    results output outputs image images picture pictures photo photos video videos clip clips song
    songs track tracks shots scenes segments generation generations candidates alternatives seeds
    best multiplier times each iterations pages slides cycles extra additional more
    """
)
_LENGTHS = _words(
    """
    seconds second secs sec ms minutes minute mins hours hour duration durations length extend
    extended extension
    """
)
_A_COUNT_AT_MOST = 20
"""Numbers above that, of a name that says nothing, are no numbers of results."""


class Kind(Enum):
    """What an unknown parameter may do to the price."""

    NOTHING = "nothing"
    MULTIPLY = "multiply"
    """Its name counts."""
    LENGTHEN = "lengthen"
    """Its name measures time."""
    PERHAPS = "perhaps"
    """Its name says nothing."""


def snake(name: str) -> str:
    """Spell a name in lower case with underscores, as most are."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|-", "_", name).lower()


def kind_of(name: str) -> Kind:
    """Judge a parameter by its name, of which only the part after the last dot counts."""
    words = re.findall(r"[a-z]+", snake(name.rpartition(".")[2]))
    counts = any(word in _COUNTS for word in words)
    if "per" in words and counts:
        return Kind.MULTIPLY
    lengthens = {"extend", "extended", "extension"}.intersection(words)
    if lengthens or (any(word in _LENGTHS for word in words) and not _measures(words)):
        return Kind.LENGTHEN
    if _measures(words):
        return Kind.NOTHING
    return Kind.MULTIPLY if counts else Kind.PERHAPS


def is_on_top(name: str) -> bool:
    """Whether a count is of results beside the one there always is."""
    return bool({"extra", "additional", "more"}.intersection(snake(name).split("_")))


def is_a_small_count(low: Decimal, high: Decimal) -> bool:
    """Whether numbers between these could say how many."""
    return low >= 0 and 1 < high <= _A_COUNT_AT_MOST


def _measures(words: list[str]) -> bool:
    # Several seeds are several results, several steps are not.
    singular = {word if word == "seeds" else word.removesuffix("s") for word in words}
    return not _MEASURES.isdisjoint({*words, *singular})
