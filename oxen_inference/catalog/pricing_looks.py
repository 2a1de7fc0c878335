"""How large, how good and how loud a result is to be: the parameters that choose among prices.

Real schemas and price tables spell the same resolution in many ways. Nothing here knows a price.
"""

from __future__ import annotations

import re

from oxen_inference.catalog.call_fields import Fields

_QUALITY = re.compile(r"((image|output|render|rendering|video)_)?quality")
_SIZE = re.compile(r"((image|video|output|target|frame)_)?(resolution|size|megapixels?|definition)")
_SOUND = re.compile(
    r"((generate|with|enable|add|include|use|produce)_)?(native_)?(audio|sound|sfx)"
    r"(_(enabled|on|generation))?"
)
LOOKS = (_QUALITY, _SIZE, _SOUND)
"""The names of such parameters."""

_WORDS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
_LINES = {"sd": 480, "hd": 720, "fhd": 1080, "full hd": 1080, "qhd": 1440, "uhd": 2160}
_THOUSANDS = {"2": 1440, "4": 2160, "8": 4320}
# Whatever a model's other resolutions are, these are its plain ones; 720 lines are only where
# the model has a higher one.
_PLAIN = frozenset({"standard", "low", "normal", "360p", "480p", "512p", "540p"})
_HIGH = frozenset({"high", "ultra", "2160p", "4320p"})
_LEFT_OPEN = frozenset({"", "auto", "automatic", "default"})


def qualities(fields: Fields) -> frozenset[str] | None:
    """Return the qualities the call may have, spelled alike; None if there is no such choice."""
    return _spelled(fields, fields.named(_QUALITY))


def resolutions(fields: Fields) -> frozenset[str] | None:
    """Return the resolutions the call may have, spelled alike; None if there is no such choice."""
    sizes = _spelled(fields, fields.named(_SIZE))
    width, height = fields.values.get("width"), fields.values.get("height")
    if isinstance(width, int) and isinstance(height, int):
        return (sizes or frozenset()) | {f"{width}x{height}"}
    if sizes is None and ({"width", "height"} & (fields.values.keys() | fields.schema.keys())):
        return frozenset({""})
    return sizes


def is_high_resolution(fields: Fields) -> bool | None:
    """Whether the call surely is of high resolution, surely is not, or either (None)."""
    sizes = {_as_lines(size) for size in resolutions(fields) or ()}
    offered = {
        _as_lines(_spell(choice)) for name in fields.named(_SIZE) for choice in fields.choices(name)
    }
    more_than_720 = any((lines := _line_count(size)) and lines > 768 for size in offered)
    plain = _PLAIN | ({"720p", "768p"} if more_than_720 else set())
    if sizes and sizes <= _HIGH:
        return True
    return False if sizes and sizes <= plain else None


def can_have_sound(fields: Fields, pricing: object) -> bool:
    """Whether a parameter asks for sound, or sound has a price."""
    has_price = getattr(pricing, "cost_per_second_with_audio", None) is not None
    return has_price or bool(switches(fields))


def switches(fields: Fields) -> list[str]:
    """Return the parameters that turn sound on and off."""
    return [name for name in fields.named(_SOUND) if fields.may_be("boolean", name)]


def audio_switch(fields: Fields) -> bool | None:
    """Whether the result surely has sound, surely has none, or either (None)."""
    states: set[bool | None] = set()
    for name in fields.named(_SOUND):
        for value in fields.possible(name):
            word = _WORDS.get(str(value).strip().lower()) if value is not None else None
            if word is not None or fields.may_be("boolean", name):
                states.add(word)
    return states.pop() if len(states) == 1 else None


def is_left_open(value: str) -> bool:
    """Whether a quality or resolution is whatever the model chooses."""
    return _spell(value) in _LEFT_OPEN


def is_no_larger(value: str, key: str) -> bool:
    """Whether a resolution surely has no more pixels than a price table's `key`."""
    value, key = _spell(value), _spell(key)
    if "x" in value and "x" in key:
        sizes = [re.fullmatch(r"(\d+)x(\d+)", size) for size in (value, key)]
        areas = [int(size[1]) * int(size[2]) for size in sizes if size]
        return len(areas) == 2 and areas[0] <= areas[1]
    lines, listed = _line_count(value), _line_count(key)
    return lines is not None and listed is not None and lines <= listed


def means(key: str, value: str) -> bool:
    """Whether a price table's `key` names the same quality or resolution as `value`."""
    key, value = _spell(key), _spell(value)
    if key == value:
        return True
    both_sizes = "x" in key and "x" in value
    return not both_sizes and _as_lines(key) == _as_lines(value)


def _spelled(fields: Fields, names: list[str]) -> frozenset[str] | None:
    if not names:
        return None
    spelled: set[str] = set()
    for name in names:
        values = set(map(_spell, fields.possible(name)))
        if values & _LEFT_OPEN:
            values |= set(map(_spell, fields.choices(name)))
        spelled |= values
    return frozenset(spelled)


def _spell(value: object) -> str:
    text = re.sub(r"[\s_-]+", " ", str("" if value is None else value)).strip().lower()
    text = re.sub(r"(?<=\d) (?=(mp|k|p|megapixels?)\b)", "", text)
    return re.sub(r"(?<=\d{3})\s?[x*×:]\s?(?=\d{3})", "x", text)


def _as_lines(size: str) -> str:
    """Spell a resolution by its lines (``1080p``) where it is one of those."""
    lines = _line_count(size)
    return f"{lines}p" if lines else size


def _line_count(size: str) -> int | None:
    pixels = re.fullmatch(r"(\d+)x(\d+)", size)
    if pixels:
        return min(int(pixels[1]), int(pixels[2]))
    plain = re.fullmatch(r"(\d+)(p|i)", size)
    if plain:
        return int(plain[1])
    thousands = re.fullmatch(r"(\d)k( uhd)?", size)
    return _LINES.get(size) or (_THOUSANDS.get(thousands[1]) if thousands else None)
