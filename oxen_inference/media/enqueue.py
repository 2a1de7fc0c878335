"""What became of a paid request, decided from what came back. Pure: nothing is sent here.

Only one thing may be sent again: a request that certainly bought nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from oxen_inference import errors
from oxen_inference.error_mapping import error_in_success, human_text
from oxen_inference.errors import APIResponseError, OxenError
from oxen_inference.generation import read_generation, read_generations

# What HTTP and the hub's documentation define as "not done". 408, 409 and 5xx are not here: the
# job may exist. Nor are redirects, which say nothing about what was done before.
REJECTIONS = frozenset({400, 401, 402, 403, 404, 405, 406, 411, 413, 414, 415, 422, 431})
# Inside a 200 only what the body itself names as a refusal counts, and is not simply believed.
SPOKEN_REJECTIONS = frozenset({400, 401, 402, 403, 404, 422})
TOO_MANY = 429

# A transport's exceptions for a request of which no byte was sent, by name, since no transport
# is imported here: httpx's (https://www.python-httpx.org/exceptions/) and httpcore's.
_BEFORE_SENDING = frozenset(
    {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"}
)
_TRANSPORTS = frozenset({"httpx", "httpx2", "httpcore", "httpcore2"})
# What may stand below those in a chain of causes. Any other library there (aiohttp above all,
# which calls a reset after sending a failure to connect) means that the name proves nothing.
_KNOWN_BELOW = _TRANSPORTS | {"anyio", "asyncio", "builtins", "concurrent", "openai", "oxen_inference", "socket", "ssl", "_ssl"}  # fmt: skip

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 8.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """The hub gave ids: these jobs exist and will be billed."""

    generation_ids: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was bought. `again`: the same request may do better later."""

    error: OxenError
    again: bool = False


@dataclass(frozen=True, slots=True)
class Doubtful:
    """It cannot be told: something may have been bought.

    `is_refusal`: the hub named a refusal, but in an answer that says success.
    """

    error: Exception
    is_refusal: bool = False


Outcome = Accepted | Refused | Doubtful


def read_answer(payload: object, asked: int) -> Outcome:
    """Decide by the body of a 2xx answer to a queue request for `asked` generations."""
    try:
        rows = read_generations(payload)
    except OxenError as error:
        rows, unreadable = [], error
    else:
        unreadable = APIResponseError("Oxen's answer names no generation.", body=payload)
    if not rows:
        with suppress(OxenError):  # a row by itself, as the other routes answer
            rows = [read_generation(payload)]
    ids = tuple(dict.fromkeys(row.generation_id for row in rows))
    if ids:
        # Even beside an error: what has an id exists.
        return Accepted(ids, tuple(_notes(len(ids), asked, payload)))
    said = error_in_success(payload)
    if said is None:
        return Doubtful(unreadable)
    return Doubtful(said, is_refusal=said.status_code in SPOKEN_REJECTIONS)


def read_failure(error: Exception) -> Outcome:
    """Decide by what was raised instead of an answer."""
    if isinstance(error, errors.APIStatusError):
        if error.status_code == TOO_MANY:
            # Waiting helps against too many requests, not against a quota that is used up.
            return Refused(error, again=error.is_retryable)
        return Refused(error) if error.status_code in REJECTIONS else Doubtful(error)
    if isinstance(error, errors.APIConnectionError) and certainly_not_sent(error):
        return Refused(error, again=True)
    return Doubtful(error)


def certainly_not_sent(error: BaseException) -> bool:
    """Whether no byte of the request can have reached the hub."""
    chain = list(_causes(error))
    if any(_root(type(link)) not in _KNOWN_BELOW for link in chain):
        return False
    return any(
        base.__name__ in _BEFORE_SENDING and _root(base) in _TRANSPORTS
        for link in chain
        for base in type(link).__mro__
    )


def retry_delay(error: OxenError, attempt: int) -> float:
    """Return the seconds to wait before attempt number `attempt` + 1 (from 0)."""
    asked = getattr(error, "retry_after", None)
    if asked is not None:
        return float(asked)
    spread = random.uniform(0.75, 1.0)  # noqa: S311 - spreads load, guards nothing
    return min(_FIRST_DELAY * 2.0**attempt, _LONGEST_DELAY) * spread


def error_record(error: BaseException) -> dict[str, Any]:
    """Return an error as data for the ledger."""
    record: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    status = getattr(error, "status_code", None)
    return record if status is None else {**record, "status_code": status}


def error_of(record: Mapping[str, Any] | None) -> OxenError:
    """Return the error that a record in the ledger stands for."""
    record = record or {}
    message = str(record.get("message") or "The request failed; the ledger does not say how.")
    cls = getattr(errors, str(record.get("type")), OxenError)
    if not (isinstance(cls, type) and issubclass(cls, OxenError)):
        return OxenError(message)
    if issubclass(cls, errors.APIStatusError):
        return cls(message, status_code=record.get("status_code"))
    return cls(message)


def _notes(got: int, asked: int, payload: object) -> Iterator[str]:
    if got != asked:
        verb = "only " if got < asked else ""
        said = human_text(payload) if isinstance(payload, Mapping) and "error" in payload else None
        because = f': "{said}"' if said else ""
        yield f"Asked for {asked} generations, Oxen made {verb}{got}{because}."


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _root(cls: type) -> str:
    return cls.__module__.partition(".")[0]
