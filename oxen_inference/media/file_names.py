"""Names of saved files, by a template of the caller's or in the usual form."""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import Any

from oxen_inference.errors import InvalidInputError
from oxen_inference.ledger.entries import Entry
from oxen_inference.result import MediaItem

_FIELDS = ("index", "model", "id", "seed", "prompt", "key", "number")
_LONGEST_PROMPT = 40  # characters
_LARGE = 0x110000  # is no character, which {seed:c} would ask for


def check_template(template: object) -> None:
    """Raise `InvalidInputError` for a template that cannot be used."""
    problem = _problem(template)
    if problem is not None:
        raise InvalidInputError(
            f"file_name {template!r} cannot be used: {problem}.",
            hint=f"Its fields are {', '.join(f'{{{name}}}' for name in _FIELDS)}.",
        )


def _problem(template: object) -> str | None:
    if not isinstance(template, str):
        return "it is no text"
    try:
        if unknown := sorted(set(_fields_of(template)) - set(_FIELDS)):
            return f"it has no field {', '.join(unknown) or 'without a name'}"
        for seed in (_LARGE, _NO_SEED):
            numbers = {"index": _LARGE, "number": 4, "seed": seed}
            template.format(**(dict.fromkeys(_FIELDS, "x") | numbers))
    except (ValueError, TypeError, OverflowError) as error:
        return str(error)
    return None


def _fields_of(template: str) -> Iterator[str]:
    """Yield the fields of a template, also those within a field's format."""
    for _, name, spec, _ in string.Formatter().parse(template):
        if name is not None:
            yield name
            yield from _fields_of(spec or "")


class _Word(str):
    """A word in place of a number: also where the template has a format of numbers."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        try:
            return super().__format__(spec)
        except ValueError:
            return str(self)


_NO_SEED = _Word("none")


def stem_of(template: str | None, entry: Entry, item: MediaItem, position: int, index: int) -> str:
    """Return a file's name without its suffix. `index` is the request's, from 1."""
    short = (item.generation_id or f"{entry.entry_id}-{position}")[:8]
    if template is None:
        return f"{entry.model}-{short}"
    values: dict[str, Any] = {
        "index": index,
        "model": entry.model,
        "id": short,
        "seed": _NO_SEED if item.seed is None else item.seed,
        "prompt": (entry.prompt or "")[:_LONGEST_PROMPT],
        "key": entry.key or "",
        "number": position + 1,
    }
    return template.format(**values)
