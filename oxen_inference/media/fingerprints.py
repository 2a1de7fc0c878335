"""Whether two requests are the same one: on another day, from another process, as the hub lists it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_LONGEST_STORED = 1_000  # characters of a data URL


def fingerprint(body: Mapping[str, Any]) -> str:
    """Return the same text for requests that mean the same."""
    canonical = json.dumps(_canonical(storable(body)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def caller_parameters(model: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request as the caller passed it, without what makes no difference."""
    given = {name: value for name, value in params.items() if value is not None}
    return {"model": model, "num_generations": 1, **given}


def storable(value: Any) -> Any:
    """Return a value for the ledger: long data URLs as digests, everything else as it is."""
    if isinstance(value, Mapping):
        return {name: storable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [storable(each) for each in value]
    if isinstance(value, str) and value.startswith("data:") and len(value) > _LONGEST_STORED:
        return f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"
    return value


def is_same_value(first: Any, second: Any) -> bool:
    """Whether two values mean the same parameter, however they are spelled."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        same_names = first.keys() == second.keys()
        return same_names and all(is_same_value(first[name], second[name]) for name in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(is_same_value, first, second))
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    numbers = (int, float, str)  # hubs store 5 as "5" and 5.0, too
    if isinstance(first, numbers) and isinstance(second, numbers):
        return first == second or str(first) == str(second)
    return bool(first == second)


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _canonical(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_canonical(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
