"""One field of a payload, read as what it should be; what it is instead goes to `problems`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]


def text_in(row: Row, name: str, problems: list[str]) -> str | None:
    """Return a field's text, trimmed; None where it is missing, empty or something else."""
    value = row.get(name)
    if value is None or isinstance(value, str):
        return value.strip() or None if value else None
    problems.append(f"{name} is {kind_of(value)}, not a string")
    return None


def number_in(row: Row, name: str, problems: list[str]) -> float | None:
    """Return a field's number, also where it is written as a string."""
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(value) if isinstance(value, str) else _not_a_number(value)
    except ValueError:
        problems.append(f"{name} is {kind_of(value)}, not a number")
        return None


def _not_a_number(value: object) -> float:
    raise ValueError(value)


def kind_of(value: object) -> str:
    """Return in words what a value is."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "odd")
