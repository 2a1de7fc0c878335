"""One call of a tool: its exactly-once key, and what its language model reads of an error."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

from pydantic import ValidationError

from oxen_inference.ledger.names import shortened
from oxen_inference.locks import Lock
from oxen_inference.tools.inputs import REFERENCE

# Errors that no choice of arguments can fix: for the developer, not for the language model.
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
    request = json.dumps([model_id, arguments], sort_keys=True, default=str)
    digest = hashlib.sha256(request.encode()).hexdigest()[:12]
    return shortened(f"{conversation}:{call_id}:{digest}")


class CallNumbers:
    """Numbers the calls with the same request that one run of a program's step makes, from 0.

    A step that runs again makes the same calls again: the n-th one then is the n-th one before.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._taken: dict[str, set[int]] = {}

    def take(self, request: str) -> int:
        """Return the lowest number that no call with this request has."""
        with self._lock:
            taken = self._taken.setdefault(request, set())
            number = next(n for n in count() if n not in taken)
            taken.add(number)
            return number

    def give_back(self, request: str, number: int) -> None:
        """Let the next call with this request have the number."""
        with self._lock:
            self._taken[request].discard(number)


def is_for_developers(error: Exception) -> bool:
    """Whether a tool should raise `error` instead of returning it to its language model."""
    return any(cls.__name__ in _FOR_DEVELOPERS for cls in type(error).__mro__)


def explain_validation(error: Any) -> str:
    """Say in one line what is wrong with the arguments, without quoting them all."""
    return f"Error: {problems_in(error)}. Nothing was sent or paid for."


_OF_REQUESTS = "Give it to each request: client.media.generate_many([{...}, ...])."
_NOT_FOR_LISTS = {
    "prompt": "Give each input its prompt.",
    "params": "Give each input its parameters, or pass them by name.",
    "allow_paths": "Make the tool with inputs_from, the folder of the files.",
    "key": "Pass key_prefix, which gives each request a key of its own.",
    "conversation": _OF_REQUESTS,
    "direct": _OF_REQUESTS,
    "key_is_derived": _OF_REQUESTS,
}


def check_list(inputs: object, options: Mapping[str, Any], models: Iterable[object]) -> None:
    """Raise `InvalidInputError` for what is no list of inputs, or an option that lists do not have."""
    from oxen_inference.errors import InvalidInputError
    from oxen_inference.media.as_completed import check_requests
    from oxen_inference.media.option_names import check_names
    from oxen_inference.options import ALL_OPTIONS

    check_requests(inputs, "input", hint="Pass them as a list.")
    check_names(options, ALL_OPTIONS, models)
    for name in options:
        if name in _NOT_FOR_LISTS:
            raise InvalidInputError(
                f"{name} is not an option of a tool's list. Nothing was sent.",
                hint=_NOT_FOR_LISTS[name],
            )


def input_arguments(given: Any) -> Mapping[str, Any]:
    """Return the arguments that an input of a list means: a text is a prompt.

    Raises `InvalidInputError`.
    """
    if isinstance(given, str):
        return {"prompt": given}
    if isinstance(given, Mapping):
        return given
    from oxen_inference.errors import InvalidInputError

    raise InvalidInputError(
        f"an input is a prompt, or a mapping of the tool's arguments, not {type(given).__name__}."
    )


@contextmanager
def naming_input(index: int) -> Iterator[None]:
    """Raise what is wrong with the input at `index` as an `InvalidInputError` that names it."""
    from oxen_inference.errors import InvalidInputError

    try:
        yield
    except ValidationError as error:
        problem = f"inputs[{index}]: {problems_in(error)}. Nothing was sent or paid for."
        raise InvalidInputError(problem) from error
    except InvalidInputError as error:
        raise InvalidInputError(f"inputs[{index}]: {error.message}", hint=error.hint) from error


def problems_in(error: Any) -> str:
    """Name what a `ValidationError` holds against the arguments, without quoting them all."""
    problems = "; ".join(map(_problem, error.errors(include_url=False, include_input=False)))
    # The scheme of a reference is ours: the language model did not write it.
    return problems.replace(REFERENCE, "")


def _problem(details: Mapping[str, Any]) -> str:
    # Pydantic's own text puts "Value error, " before that of an exception.
    raised = details.get("ctx", {}).get("error")
    message = str(raised) if isinstance(raised, Exception) else str(details["msg"])
    path = ".".join(str(step) for step in details["loc"])
    return f"{path}: {message}" if path else message
