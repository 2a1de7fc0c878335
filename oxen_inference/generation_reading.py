"""Reading a `Generation` from any of the shapes it comes in."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import timezone
from typing import Any
from urllib.parse import urljoin, urlsplit

from pydantic_core import SchemaValidator, ValidationError

from oxen_inference.error_body import human_text
from oxen_inference.errors import APIResponseError
from oxen_inference.generation import ACTIVE, MEDIA_TYPES, TERMINAL, Generation, read_status
from oxen_inference.money import read_money
from oxen_inference.result_forms import find_results, kind_of_name, result_names

# A completion event names these fields differently from a queue row (https://docs.oxen.ai).
_EVENT_NAMES = {"url": "result_url", "error": "error_message", "model": "model_name"}
_LONGEST_ERROR = 2000  # characters
_LARGEST_ID = 10**40
_LARGEST_TIME = 1e11  # seconds: the year 5138; in milliseconds it was 1973
_DATETIME = SchemaValidator({"type": "datetime"})
_OWN_FIELDS = frozenset(
    {
        "generation_id", "status", "model_name", "prompt", "media_type", "result_url",
        "error_message", "error", "enqueued_at", "started_at", "completed_at", "cost",
    }
)  # fmt: skip


def read_generation(payload: object) -> Generation:
    """Read one row: flat, or wrapped under ``generation``. Raises `APIResponseError`."""
    row = payload
    if isinstance(row, Mapping) and isinstance(row.get("generation"), Mapping):
        row = row["generation"]
    generation_id = _id(row)
    if not isinstance(row, Mapping) or generation_id is None:
        raise APIResponseError("Oxen described a generation without its id.", body=payload)
    result_url = _result_url(row)
    error_message = _error_text(row.get("error_message")) or _error_text(row.get("error"))
    status = read_status(row.get("status"))
    own_url = _url(row.get("result_url"))
    if status not in ACTIVE | TERMINAL and (row.get("completed_at") or error_message or own_url):
        # An unknown word for a job that has ended: decide by what it left.
        # A text under a name like `image_url` may be what the request was given.
        has_object = bool(find_results({**row, "status": "processing"}, None, is_row=True))
        has_result = bool(own_url or (has_object and not error_message))
        error_message = error_message or (None if has_result else f"It ended as {status!r}.")
        status = "succeeded" if has_result else "failed"
    return Generation(
        generation_id=generation_id,
        status=status,
        model_name=_text(row.get("model_name")) or _text(row.get("model")),
        prompt=_text(row.get("prompt")),
        media_type=_text(row.get("media_type")),
        result_url=result_url,
        error_message=error_message,
        enqueued_at=_time(row.get("enqueued_at")),
        started_at=_time(row.get("started_at")),
        completed_at=_time(row.get("completed_at")),
        cost=read_money(row.get("cost")),
        params={k: v for k, v in row.items() if k not in _OWN_FIELDS},
    )


def without_inputs(job: Generation, inputs: Collection[str]) -> Generation:
    """Return a job whose result URL is not one of its request's own parameters, by these names."""
    if job.result_url is None:
        return job
    row = {**job.params, "media_type": job.media_type, "status": job.status}
    given = {name: row[name] for name in result_names() if name in inputs and name in row}
    urls = {
        form.as_url(kind_of_name(name))
        for name in given
        for form in find_results({name: given[name]}, None)
    }
    return replace(job, result_url=_result_url(row, inputs)) if job.result_url in urls else job


def with_absolute_url(job: Generation, hub: str) -> Generation:
    """Return a job with an absolute result URL: some hubs send the path alone."""
    if job.result_url is None:
        return job
    try:
        if urlsplit(job.result_url).scheme:
            return job
        return replace(job, result_url=urljoin(urljoin(hub, "/"), job.result_url))
    except ValueError:  # not a URL: the download says so
        return job


def read_generations(payload: object, only: Collection[str] | None = None) -> list[Generation]:
    """Read a list of rows, or `only` those with these ids; a row without an id is left out.

    Raises `APIResponseError`.
    """
    ids = ((row, _id(row)) for row in _rows(payload))
    return [read_generation(row) for row, id_ in ids if id_ and (only is None or id_ in only)]


def read_ids(payload: object) -> list[str]:
    """Read the ids of a list of rows, each once. Raises `APIResponseError`."""
    return list(dict.fromkeys(id_ for row in _rows(payload) if (id_ := _id(row)) is not None))


def count_rows(payload: object) -> int:
    """Return how many rows a list has, also those without an id. Raises `APIResponseError`."""
    return sum(1 for _ in _rows(payload))


def _rows(payload: object) -> Iterable[object]:
    rows = payload.get("generations") if isinstance(payload, Mapping) else payload
    if not isinstance(rows, Iterable) or isinstance(rows, str | Mapping):
        raise APIResponseError("Oxen's list of generations has no rows in it.", body=payload)
    return rows


def names_a_generation(payload: object) -> bool:
    """Whether a body holds a generation with its id: flat, wrapped, or in a list."""
    if not isinstance(payload, Mapping):
        return False
    listed = payload.get("generations")
    rows = [payload, payload.get("generation"), *(listed if isinstance(listed, list) else ())]
    return any(_id(row) for row in rows)


def read_event(payload: Mapping[str, Any]) -> Generation | None:
    """Read a completion event's data as a row, or None if it names no job."""
    if not _id(payload):
        return None
    return read_generation({_EVENT_NAMES.get(k, k): v for k, v in payload.items()})


def _id(row: object) -> str | None:
    given = row.get("generation_id") if isinstance(row, Mapping) else None
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given) if abs(given) < _LARGEST_ID else None
    text = _text(given)
    # Half a surrogate pair can neither be stored nor sent, and a NUL not in every database.
    return None if text is None or re.search(r"[\0\ud800-\udfff]", text) else text


def _error_text(value: object) -> str | None:
    """Return why a job failed, from a text or an object in any known shape."""
    if not value:
        return None
    text = human_text({"error": value})
    if text is None and isinstance(value, Mapping | list):
        try:
            return json.dumps(value, ensure_ascii=False, default=str)[:_LONGEST_ERROR]
        except (ValueError, RecursionError):
            return "An error that cannot be read."
    return text


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _time(value: object) -> float | None:
    """Return unix seconds, of those, of milliseconds, or of ISO 8601 (without a zone: UTC)."""
    seconds = _number(value)
    if seconds is not None:
        while seconds > _LARGEST_TIME:
            seconds /= 1000
        return seconds
    if not isinstance(value, str) or ":" not in value:
        return None
    try:
        moment = _DATETIME.validate_python(value)
    except ValidationError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return float(moment.timestamp())


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _result_url(row: Mapping[str, Any], inputs: Collection[str] = ()) -> str | None:
    if (own := _url(row.get("result_url"))) is not None:
        return own
    kind = row.get("media_type")
    found = find_results(row, kind if kind in MEDIA_TYPES else None, without=inputs, is_row=True)
    return found[0].as_url(kind) if found else None


def _url(value: object) -> str | None:
    """Return the first URL in a text, an object with a URL or base64, or a list of these."""
    if isinstance(value, str):
        return _text(value)
    found = find_results({"results": value}, None)
    return found[0].as_url(None) if found else None
