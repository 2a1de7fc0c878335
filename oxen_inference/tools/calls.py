"""One call of a tool: what makes it the same call again, and what its model is told of errors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from oxen_inference.tools.inputs import EARLIER

# What no choice of arguments can mend: for the developer, not for the model.
_FOR_DEVELOPERS = (
    "ConfigurationError",
    "AuthenticationError",
    "PermissionDeniedError",
    "LedgerError",
)


def call_key(conversation: str, call_id: str, model_id: str, arguments: Mapping[str, Any]) -> str:
    """Return the exactly-once key: the same call, replayed or resumed, is the same generation.

    The model and the arguments are part of it: a person may edit a call, and some models count
    their calls from 0 in every turn.
    """
    said = json.dumps([model_id, arguments], sort_keys=True, default=str)
    return f"{conversation}:{call_id}:{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def is_for_developers(error: Exception) -> bool:
    """Whether a tool should raise `error` instead of telling its model about it."""
    return any(cls.__name__ in _FOR_DEVELOPERS for cls in type(error).__mro__)


def explain_validation(error: Any) -> str:
    """Say in one line what is wrong with the arguments, without quoting them all."""
    problems = []
    for one in error.errors(include_url=False, include_input=False):
        where = ".".join(str(step) for step in one["loc"])
        problems.append(f"{where}: {one['msg']}" if where else str(one["msg"]))
    said = "; ".join(problem.removeprefix("Value error, ") for problem in problems)
    said = said.replace(EARLIER, "")  # a mark of ours, which the model did not write
    return f"Error: {said}. Nothing was sent or paid for."
