"""What can be seen of a hub with a key, still for nothing: errors, lists, events, the clock."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from oxen_inference.doctor.findings import Finding, Report, some
from oxen_inference.error_mapping import error_in_success
from oxen_inference.errors import APIStatusError, APITimeoutError, OxenError
from oxen_inference.paths import absolute, fill

if TYPE_CHECKING:
    from oxen_inference.client import OxenClient

_NOBODYS_MODEL = "oxen-doctor-no-such-model"
_KEEP_ALIVE = 25.0  # seconds; the hub sends one every 15
_CLOCK_OFF = 60.0  # seconds
_JOB_STATUSES = frozenset({"queued", "processing", "succeeded", "failed", "cancelled"})
_SPEECH = ("/audio/speech", "/audio/transcriptions")
_LIST_FIELDS = {"queue": {"count", "generations"}, "generations": {"generations"}}


def check_account(client: OxenClient, report: Report, *, keep_alive: float = _KEEP_ALIVE) -> None:
    """Send what costs nothing: requests that must be refused, lists, and the stream of events."""
    _check_refusals(client, report)
    if _is_refused(report):
        report.skipped.append("lists, events and clock: the hub refuses the key")
        return
    _check_lists(client, report)
    _check_clock(client, report)
    _check_events(client, report, keep_alive)
    report.skipped.append(
        "whether audio can be queued, chat states its cost and a model's errors are wrapped: "
        "seeing it costs money"
    )


def _check_refusals(client: OxenClient, report: Report) -> None:
    paths, nobody = client.paths, str(uuid.uuid4())
    asked = {"role": "user", "content": "an ox"}
    unknown = {"model": _NOBODYS_MODEL, "prompt": "an ox"}
    # Method, path, body, statuses, words of the error; nothing here can be bought.
    requests: tuple[tuple[str, str, Any, tuple[int, ...], str], ...] = (
        ("post", paths.chat, {"messages": [asked]}, (400,), "specify a model"),
        ("post", paths.chat, {"model": _NOBODYS_MODEL, "messages": [asked]}, (404,), "not found"),
        ("post", paths.queue, unknown, (404,), "not found"),
        ("post", paths.images_generate, unknown, (404,), "not found"),
        ("get", fill(paths.queue_item, generation_id=nobody), None, (404,), ""),
        ("delete", fill(paths.queue_item, generation_id=nobody), None, (404,), ""),
        ("get", fill(paths.generation, generation_id=nobody), None, (404,), ""),
    )
    for method, path, body, statuses, words in requests:
        shown = path.replace(nobody, "<unknown id>")
        _check_refusal(client, report, method, path, body, statuses, words, shown)
    _check_speech(client, report)


def _check_refusal(
    client: OxenClient,
    report: Report,
    method: str,
    path: str,
    body: Any,
    statuses: tuple[int, ...],
    words: str,
    shown: str,
) -> None:
    expected = f"{' or '.join(map(str, statuses))}" + (f" that says {words!r}" if words else "")
    try:
        _request(client, method, path, body)
    except APIStatusError as error:
        if error.status_code in statuses and words in error.message.lower():
            return
        seen = f"{error.status_code}: {error.message}"
    except OxenError as error:
        seen = f"{type(error).__name__}: {error.message}"
    else:
        seen = "an answer that is no error"
    report.deviations.append(
        Finding(
            f"{method.upper()} {shown}",
            expected,
            seen,
            "Such an error may be read as another, so a call may be retried or given up wrongly.",
        )
    )


def _check_speech(client: OxenClient, report: Report) -> None:
    missing = [path for path in _SPEECH if not _is_there(client, path)]
    if missing:
        report.deviations.append(
            Finding(
                "routes of speech",
                f"{' and '.join(_SPEECH)} are there",
                f"{some(missing)}: no such route",
                "Speech goes by another route, and transcription not at all.",
            )
        )


def _is_there(client: OxenClient, path: str) -> bool:
    """Whether a route is there, by a request without a model, which it has to refuse."""
    try:
        _request(client, "post", path, {})
    except APIStatusError as error:
        return error.status_code not in (404, 405) or "model" in error.message.lower()
    except OxenError:
        return True
    return True


def _is_refused(report: Report) -> bool:
    return any(each.seen.startswith(("401", "403")) for each in report.deviations)


def _check_lists(client: OxenClient, report: Report) -> None:
    paths = client.paths
    for name, path in (("queue", paths.queue), ("generations", paths.generations)):
        try:
            payload = client.get(path, cast_to=object, options={"max_retries": 0})
        except OxenError as error:
            _add_list(report, path, f"{type(error).__name__}: {error.message}")
            continue
        fields = _LIST_FIELDS[name]
        if not isinstance(payload, Mapping) or not fields <= payload.keys():
            _add_list(report, path, f"an answer without {some(sorted(fields))}")
            continue
        rows = payload["generations"]
        if not isinstance(rows, list):
            _add_list(report, path, "generations that are no list")
            continue
        statuses = {str(row.get("status")) for row in rows if isinstance(row, Mapping)}
        if unknown := sorted(statuses - _JOB_STATUSES):
            _add_list(report, path, f"the status {some(unknown)}")
        report.facts[f"rows of {path}"] = len(rows)


def _add_list(report: Report, path: str, seen: str) -> None:
    report.deviations.append(
        Finding(
            f"GET {path}",
            "generations with a documented status",
            seen,
            "A lost request may not be found there, and a job's end may not be seen.",
        )
    )


def _check_clock(client: OxenClient, report: Report) -> None:
    now = client.hub_clock.now()
    if now is None:
        report.skipped.append("clock: the hub states no time")
        return
    off = time.time() - now
    report.facts["clock difference in seconds"] = round(off, 1)
    if abs(off) > _CLOCK_OFF:
        report.deviations.append(
            Finding(
                "clock",
                f"this machine's clock within {_CLOCK_OFF:.0f} s of the hub's",
                f"{off:+.0f} s",
                "Times that are shown are off; requests are matched by the hub's own clock.",
            )
        )


def _check_events(client: OxenClient, report: Report, seconds: float) -> None:
    """Wait for the first bytes of the stream: an event, or a keep-alive."""
    began, heard = time.monotonic(), threading.Event()
    url = absolute(str(client.base_url), client.paths.events)
    error: list[Exception] = []

    def listen() -> None:
        from oxen_inference.events import _RawEvents

        try:
            stream = client.get(
                url, cast_to=object, options={"timeout": seconds, "max_retries": 0},
                stream=True, stream_cls=_RawEvents,
            )  # fmt: skip
            try:
                next(stream.response.iter_raw(), None)
            finally:
                stream.close()
        except Exception as failure:  # noqa: BLE001 - told below
            error.append(failure)
        heard.set()

    threading.Thread(target=listen, name="oxen-doctor", daemon=True).start()
    heard.wait(seconds + 1)
    took = time.monotonic() - began
    failure = error[0] if error else None
    if heard.is_set() and failure is None:
        report.facts["seconds to the first keep-alive"] = round(took, 1)
        return
    is_silent = failure is None or isinstance(failure, APITimeoutError)
    is_silent = is_silent or "timed out" in str(failure).lower()
    seen = f"nothing in {seconds:.0f} s" if is_silent else f"{type(failure).__name__}: {failure}"
    report.deviations.append(
        Finding(
            "stream of events",
            "a keep-alive every 15 s",
            seen,
            "Jobs are polled instead, so that their end is seen some seconds later.",
        )
    )


def _request(client: OxenClient, method: str, path: str, body: Any) -> object:
    options = {"max_retries": 0, "timeout": 20.0}
    arguments: dict[str, Any] = {"cast_to": object, "options": options}
    if body is not None:
        arguments["body"] = body
    payload: object = getattr(client, method)(path, **arguments)
    refusal = error_in_success(payload)
    if refusal is not None:
        raise refusal
    return payload
