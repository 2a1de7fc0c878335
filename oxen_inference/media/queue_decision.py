"""What became of a paid request, decided by what came back. Pure: nothing is sent here.

Only one kind of request may be sent again: one that surely bought nothing.
"""

from __future__ import annotations

import base64
import binascii
import random
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from oxen_inference import errors
from oxen_inference.error_body import human_text, normalize_code
from oxen_inference.error_mapping import (
    REFUSALS,
    STATUS_OF_TYPE,
    error_in_success,
    has_detail_alone,
)
from oxen_inference.errors import APIResponseError, OxenError
from oxen_inference.generation_reading import read_generation, read_ids
from oxen_inference.media.results.files import is_text
from oxen_inference.result import MediaItem
from oxen_inference.result_forms import Form, find_results
from oxen_inference.transport import RawContent

# 408, 409 and 5xx are not among the refusals: the job may exist. Nor are redirects, which say
# nothing about what was done before.
# Inside a 200 only a refusal that the body names counts, and it is confirmed before it is believed.
REJECTIONS_IN_SUCCESS = frozenset({400, 401, 402, 403, 404, 415, 422})
TOO_MANY = 429

# A transport's exceptions for a request of which no byte was sent, by name, since no transport
# is imported here: httpx's (https://www.python-httpx.org/exceptions/) and httpcore's.
_BEFORE_SENDING = frozenset(
    {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"}
)
_TRANSPORTS = frozenset({"httpx", "httpx2", "httpcore", "httpcore2"})
# What may be below those in a chain of causes. With any other library there (aiohttp above all,
# which reports a reset after sending as a failure to connect) the name proves nothing.
_KNOWN_CAUSES = _TRANSPORTS | {"anyio", "asyncio", "builtins", "concurrent", "openai", "oxen_inference", "socket", "ssl", "_ssl"}  # fmt: skip

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 8.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """The hub gave ids: these jobs exist and will be billed."""

    generation_ids: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was bought. `may_retry`: the same request may succeed later."""

    error: OxenError
    may_retry: bool = False


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """Something may have been bought.

    `is_refusal`: the hub named a refusal, but in an answer with a success status.
    """

    error: Exception
    is_refusal: bool = False


Outcome = Accepted | Refused | OutcomeUnknown


def read_queue_answer(payload: object, requested: int) -> Outcome:
    """Decide by the body of a 2xx answer to a queue request for `requested` generations."""
    unreadable: OxenError | None = None
    ids: Collection[str] = ()
    try:
        ids = read_ids(payload)
    except OxenError as error:
        unreadable = error
    if not ids:
        with suppress(OxenError):  # a single row, as the other routes answer
            ids = [read_generation(payload).generation_id]
    if ids:
        # Even beside an error: a job with an id exists.
        return Accepted(tuple(ids), tuple(_notes(len(ids), requested, payload)))
    refusal = error_in_success(payload)
    if refusal is None:
        return OutcomeUnknown(
            unreadable or APIResponseError("Oxen's answer names no generation.", body=payload)
        )
    return OutcomeUnknown(refusal, is_refusal=refusal.status_code in REJECTIONS_IN_SUCCESS)


def read_direct_answer(payload: object, media_type: str) -> Outcome | list[MediaItem]:
    """Return the items of a 2xx answer of a synchronous endpoint, or decide what else it is.

    Some routes answer with the result itself.
    """
    if isinstance(payload, RawContent):
        if _is_result(payload):
            stated = payload.mime_type or ""
            mime_type = stated if stated.startswith(("image/", "video/", "audio/")) else None
            return [MediaItem(status="succeeded", content=payload.content, mime_type=mime_type)]
        payload = payload.content.decode(errors="replace")
    found = find_results(payload, media_type) if isinstance(payload, Mapping) else []
    items = [item for item in map(_read_item, found) if item is not None]
    if items:
        return items
    error = error_in_success(payload)
    if error is None:
        return OutcomeUnknown(APIResponseError("Oxen's answer holds no result.", body=payload))
    # There is no list to confirm it by: only a refusal that has a name is believed.
    is_named = not has_detail_alone(payload) or normalize_code(error.message) in STATUS_OF_TYPE
    is_rejected = error.status_code in REJECTIONS_IN_SUCCESS and is_named
    return Refused(error) if is_rejected else OutcomeUnknown(error)


def _is_result(answer: RawContent) -> bool:
    """Whether bytes are a file; by themselves, since servers state types that are not true."""
    if answer.mime_type == "image/svg+xml":
        return bool(answer.content.strip())
    return not is_text(answer.content[:512])


def _read_item(form: Form) -> MediaItem | None:
    if form.base64 is not None:
        mime_type, encoded = _without_prefix(form.base64)
        try:
            content = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            return None
        return MediaItem(status="succeeded", content=content, mime_type=mime_type)
    return MediaItem(status="succeeded", url=form.url)


def _without_prefix(encoded: str) -> tuple[str | None, str]:
    """Return the type and the base64 of a data URL, which some upstreams send as `b64_json`."""
    found = re.match(r"data:([^;,]*)[^,]*,", encoded)
    text = encoded[found.end() :] if found else encoded
    return (found[1] or None) if found else None, re.sub(r"\s+", "", text)


def read_failure(error: Exception) -> Outcome:
    """Decide by the error that was raised instead of an answer."""
    if isinstance(error, errors.APIStatusError):
        if error.status_code == TOO_MANY:
            # Waiting helps against too many requests, not against a used-up quota. What the
            # provider said is believed, but only the hub's own word is reason to send again.
            is_own = getattr(error.response, "status_code", TOO_MANY) == TOO_MANY
            return Refused(error, may_retry=error.is_retryable and is_own)
        return Refused(error) if error.status_code in REFUSALS else OutcomeUnknown(error)
    if isinstance(error, errors.APIConnectionError) and surely_not_sent(error):
        return Refused(error, may_retry=True)
    return OutcomeUnknown(error)


def surely_not_sent(error: BaseException) -> bool:
    """Whether no byte of the request can have reached the hub."""
    chain = list(_causes(error))
    if any(_root(type(link)) not in _KNOWN_CAUSES for link in chain):
        return False
    return any(
        base.__name__ in _BEFORE_SENDING and _root(base) in _TRANSPORTS
        for link in chain
        for base in type(link).__mro__
    )


def retry_delay(error: OxenError, attempt: int) -> float:
    """Return the seconds to wait before attempt number `attempt` + 1 (from 0)."""
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        return float(retry_after)
    spread = random.uniform(0.75, 1.0)  # noqa: S311 - spreads load, guards nothing
    return min(_FIRST_DELAY * 2.0**attempt, _LONGEST_DELAY) * spread


def error_record(error: BaseException) -> dict[str, Any]:
    """Return an error as data for the ledger."""
    record: dict[str, Any] = {
        "type": type(error).__name__,
        "message": error.message if isinstance(error, OxenError) else str(error),
        "hint": getattr(error, "hint", None),
        "status_code": getattr(error, "status_code", None),
    }
    return {name: value for name, value in record.items() if value is not None}


def error_of(record: Mapping[str, Any] | None) -> OxenError:
    """Return the error that a record of the ledger describes."""
    record = record or {}
    message = str(record.get("message") or "The request failed; the ledger has no reason.")
    hint = record.get("hint")
    cls = getattr(errors, str(record.get("type")), OxenError)
    if not (isinstance(cls, type) and issubclass(cls, OxenError)):
        return OxenError(message, hint=hint)
    if issubclass(cls, errors.APIStatusError):
        return cls(message, status_code=record.get("status_code"), hint=hint)
    return cls(message, hint=hint)


def _notes(got: int, requested: int, payload: object) -> Iterator[str]:
    if got != requested:
        only = "only " if got < requested else ""
        text = human_text(payload) if isinstance(payload, Mapping) and "error" in payload else None
        reason = f': "{text}"' if text else ""
        yield f"{requested} generations were requested, Oxen started {only}{got}{reason}."


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _root(cls: type) -> str:
    return cls.__module__.partition(".")[0]
