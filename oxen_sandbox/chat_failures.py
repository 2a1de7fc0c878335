"""Failed tool calls: how to know one, and what its text says to do differently."""

from __future__ import annotations

import re
from typing import Any

from oxen_sandbox.chat_fit import Tool

_ERROR = re.compile(
    r"^\W*(?:\w*error\b(?=\s*[:(]|\s+(?:\w+ing|while|in|code)\b)|(?:failed|failure|traceback|exception|cannot)\b|invalid)"
    r"|[\"']error[\"']\s*:(?!\s*(?:null|None))|\bvalidation error",
    re.IGNORECASE,
)
_QUOTED = r"(?:'[^'\n]+'|\"[^\"\n]+\")"
_OPTIONS = re.compile(
    r"(?:one of|must be|allowed|options?|choose from|either|expected)[^\[\('\"\n]{0,30}[\[\(]?\s*"
    rf"({_QUOTED}(?:(?:,| or|,? and)\s*{_QUOTED})*)",
    re.IGNORECASE,
)
_MOST = re.compile(
    r"(?:at most|maximum(?: is| of)?|less than or equal to|<=|no more than|up to|and)\s*(-?\d+(?:\.\d+)?)",
    re.IGNORECASE,
)
_LEAST = re.compile(
    r"(?:at least|minimum(?: is| of)?|greater than or equal to|>=|between)\s*(-?\d+(?:\.\d+)?)",
    re.IGNORECASE,
)


def is_error(result: str) -> bool:
    """Tell whether a tool's result reports a failure."""
    return bool(_ERROR.search(result[:300]))


def corrected(arguments: dict[str, Any], error: str, tool: Tool) -> dict[str, Any]:
    """Apply what an error says of a parameter: its bounds, its options, or that it is unknown."""
    known = tool.parameters.get("properties") or {}
    better = {name: value for name, value in arguments.items() if not known or name in known}
    options, most, least = _OPTIONS.search(error), _MOST.search(error), _LEAST.search(error)
    for name, value in better.items():
        if not re.search(rf"\b{re.escape(name)}\b", error):
            continue
        if options and isinstance(value, str):
            allowed = re.findall(r"['\"]([^'\"\n]+)['\"]", options[1])
            better[name] = value if value in allowed else allowed[0]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            high = type(value)(float(most[1])) if most else value
            low = type(value)(float(least[1])) if least else value
            better[name] = max(min(value, high), low) if low <= high else min(value, high)
    return better
