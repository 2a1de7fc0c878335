"""The arguments of a tool call: JSON text that should hold an object, as models write it."""

from __future__ import annotations

import json
from typing import Any


def read_arguments(text: str) -> dict[str, Any]:
    """Return the object that arguments hold; none at all are an empty one. Raises ValueError.

    A line break inside a string, as some models write it, is read as meant.
    """
    if not text.strip():
        return {}
    try:
        arguments = json.loads(text, strict=False)
    except ValueError as error:
        raise ValueError(f"The arguments are not valid JSON: {error}.") from error
    if not isinstance(arguments, dict):
        raise ValueError("The arguments are not a JSON object.")  # noqa: TRY004 - of the text, not of a type
    return arguments


def is_object(text: str) -> bool:
    """Whether `text` is one whole JSON object."""
    if not text.rstrip().endswith("}"):
        return False
    try:
        return isinstance(json.loads(text, strict=False), dict)
    except ValueError:
        return False


def whole_object(arguments: str | None) -> str:
    """Return arguments that providers can read: some parse them, and fail on half an object."""
    try:
        whole = isinstance(json.loads(arguments or "{}"), dict)
    except ValueError:
        whole = False
    return arguments or "{}" if whole else json.dumps({"malformed_arguments": arguments})
