"""One image or video job on Oxen's queue, read from any of the shapes it comes in."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from urllib.parse import urljoin, urlsplit

from oxen_inference.error_mapping import human_text
from oxen_inference.errors import APIResponseError
from oxen_inference.money import read_money

ACTIVE = frozenset({"queued", "processing"})
TERMINAL = frozenset({"succeeded", "failed", "cancelled"})

# Hubs, and the upstreams whose words they pass on, spell the same few states in many ways.
_STATUS_WORDS = {
    "succeeded": ("completed", "complete", "success", "successful", "done", "finished"),
    "failed": ("error", "errored", "failure"),
    "cancelled": ("canceled",),
    "queued": ("pending", "in_queue", "starting"),
    "processing": ("running", "in_progress", "rendering"),
}
_STATUS_OF = {word: status for status, words in _STATUS_WORDS.items() for word in words}

# A completion event names these differently from a queue row (https://docs.oxen.ai).
_EVENT_NAMES = {"url": "result_url", "error": "error_message", "model": "model_name"}
_LISTS = {"images": "image/png", "videos": "video/mp4", "audios": "audio/mpeg"}
_OWN_FIELDS = frozenset(
    {
        "generation_id", "status", "model_name", "prompt", "media_type", "result_url",
        "error_message", "error", "enqueued_at", "started_at", "completed_at", "cost",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A job as the hub last described it. Times are unix seconds; `cost` is in USD.

    `status` is ``queued``, ``processing``, ``succeeded``, ``failed`` or ``cancelled``, however the
    hub spells it, or whatever else it says of a job that has not ended. `cost` None means not known, which is not zero. `params` holds every
    other field of the row, the submitted parameters among them.
    """

    generation_id: str
    status: str
    model_name: str | None = None
    prompt: str | None = None
    media_type: str | None = None
    result_url: str | None = None
    error_message: str | None = None
    enqueued_at: float | None = None
    started_at: float | None = None
    completed_at: float | None = None
    cost: Decimal | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended; no later status will differ."""
        return self.status in TERMINAL


def read_generation(payload: object) -> Generation:
    """Read one row: flat, or wrapped under ``generation``. Raises `APIResponseError`."""
    row = payload
    if isinstance(row, Mapping) and isinstance(row.get("generation"), Mapping):
        row = row["generation"]
    generation_id = _id(row)
    if not isinstance(row, Mapping) or generation_id is None:
        raise APIResponseError("Oxen described a generation without its id.", body=payload)
    result_url = _result_url(row)
    error_message = _words(row.get("error_message")) or _words(row.get("error"))
    status = _status(row.get("status"))
    if status not in ACTIVE | TERMINAL and row.get("completed_at"):
        # A word not known here, of a job that has ended: by what it left.
        has_made = bool(_url(row.get("result_url")) or (result_url and not error_message))
        error_message = error_message or (None if has_made else f"It ended as {status!r}.")
        status = "succeeded" if has_made else "failed"
    return Generation(
        generation_id=generation_id,
        status=status,
        model_name=_text(row.get("model_name")) or _text(row.get("model")),
        prompt=_text(row.get("prompt")),
        media_type=_text(row.get("media_type")),
        result_url=result_url,
        error_message=error_message,
        enqueued_at=_number(row.get("enqueued_at")),
        started_at=_number(row.get("started_at")),
        completed_at=_number(row.get("completed_at")),
        cost=read_money(row.get("cost")),
        params={k: v for k, v in row.items() if k not in _OWN_FIELDS},
    )


def without_inputs(job: Generation, inputs: Collection[str]) -> Generation:
    """Return a job without taking a parameter of its request, by these names, for its result."""
    listed = {_url(job.params.get(name), kind) for name, kind in _LISTS.items() if name in inputs}
    if job.result_url is None or job.result_url not in listed:
        return job
    return replace(job, result_url=_result_url(job.params, inputs))


def located(job: Generation, hub: str) -> Generation:
    """Return a job with its result's whole URL: some hubs name a result by its path alone."""
    if job.result_url is None:
        return job
    try:
        if urlsplit(job.result_url).scheme:
            return job
        return replace(job, result_url=urljoin(urljoin(hub, "/"), job.result_url))
    except ValueError:  # no address at all: said when it is fetched, and no matter before
        return job


def read_generations(payload: object) -> list[Generation]:
    """Read a list of rows; a row without an id is left out, since nothing can be done with it."""
    rows = payload.get("generations") if isinstance(payload, Mapping) else payload
    if not isinstance(rows, Iterable) or isinstance(rows, str | Mapping):
        raise APIResponseError("Oxen's list of generations has no rows in it.", body=payload)
    return [read_generation(row) for row in rows if _id(row)]


def names_a_generation(payload: object) -> bool:
    """Whether a body holds a generation with its id: flat, wrapped, or in a list."""
    if not isinstance(payload, Mapping):
        return False
    listed = payload.get("generations")
    rows = [payload, payload.get("generation"), *(listed if isinstance(listed, list) else ())]
    return any(_id(row) for row in rows)


def read_event(payload: Mapping[str, Any]) -> Generation | None:
    """Read a completion event's data as the row it announces, or None if it names no job."""
    if not _id(payload):
        return None
    return read_generation({_EVENT_NAMES.get(k, k): v for k, v in payload.items()})


def _id(row: object) -> str | None:
    given = row.get("generation_id") if isinstance(row, Mapping) else None
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    text = _text(given)
    # Half a surrogate pair can neither be written down nor asked for.
    return None if text is None or re.search(r"[\ud800-\udfff]", text) else text


def _status(said: object) -> str:
    word = re.sub(r"[\s-]+", "_", (_text(said) or "unknown").strip().lower())
    return _STATUS_OF.get(word, word)


def _words(said: object) -> str | None:
    """Why it failed, for people: a text, or an object in any shape that an upstream gives it."""
    words = human_text({"error": said})
    if words is None and said and isinstance(said, Mapping | list):
        return json.dumps(said, ensure_ascii=False, default=str)
    return words


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _result_url(row: Mapping[str, Any], inputs: Collection[str] = ()) -> str | None:
    if (own := _url(row.get("result_url"))) is not None:
        return own
    # Seen where result_url is empty: the shape of the synchronous endpoints.
    for name, kind in _LISTS.items():
        if name not in inputs and (listed := _url(row.get(name), kind)) is not None:
            return listed
    return None


def _url(value: object, kind: str = "application/octet-stream") -> str | None:
    """The first URL in what may be one, an object that has one or the bytes, or a list of such."""
    if isinstance(value, list):
        return next((url for one in value if (url := _url(one, kind)) is not None), None)
    if not isinstance(value, Mapping):
        return _text(value)
    encoded = _text(value.get("b64_json"))
    if encoded is not None and not encoded.startswith("data:"):
        encoded = f"data:{kind};base64,{''.join(encoded.split())}"
    return _text(value.get("url")) or encoded
