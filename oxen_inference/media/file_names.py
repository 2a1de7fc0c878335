"""Names of saved files, by a template of the caller's or in the usual form."""

from __future__ import annotations

import string
from typing import Any

from oxen_inference.errors import InvalidInputError
from oxen_inference.ledger.entries import Entry
from oxen_inference.result import MediaItem

_FIELDS = ("index", "model", "id", "seed", "prompt", "key", "number")
_LONGEST_PROMPT = 40  # characters


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
        names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
        if unknown := sorted(names - set(_FIELDS)):
            return f"it has no field {', '.join(unknown) or 'without a name'}"
        template.format(**(dict.fromkeys(_FIELDS, "x") | {"index": 1, "number": 1}))
    except (ValueError, TypeError) as error:
        return str(error)
    return None


def stem_of(template: str | None, entry: Entry, item: MediaItem, position: int, index: int) -> str:
    """Return a file's name without its suffix. `index` is the request's, from 1."""
    short = (item.generation_id or f"{entry.entry_id}-{position}")[:8]
    if template is None:
        return f"{entry.model}-{short}"
    values: dict[str, Any] = {
        "index": index,
        "model": entry.model,
        "id": short,
        "seed": "none" if item.seed is None else item.seed,
        "prompt": (entry.prompt or "")[:_LONGEST_PROMPT],
        "key": entry.key or "",
        "number": position + 1,
    }
    return template.format(**values)
