"""What became of a paid request, decided from what came back."""

from __future__ import annotations

from typing import Any

import pytest

from oxen_inference import errors, paid_transport
from oxen_inference.error_mapping import status_error
from oxen_inference.media.queue_decision import (
    Accepted,
    OutcomeUnknown,
    Refused,
    error_of,
    error_record,
    read_direct_answer,
    read_failure,
    read_queue_answer,
    retry_delay,
    surely_not_sent,
)


def ids(*names: str) -> dict[str, Any]:
    return {"generations": [{"generation_id": name, "status": "queued"} for name in names]}


@pytest.mark.parametrize(
    ("payload", "asked", "expected"),
    [
        (ids("a"), 1, ("a",)),
        (ids("a", "b"), 2, ("a", "b")),
        (ids("a", "a"), 1, ("a",)),
        (ids("a"), 3, ("a",)),
        (ids("a", "b"), 1, ("a", "b")),
        ({**ids("a"), "error": {"type": "unknown_error"}}, 1, ("a",)),
        ({"generations": [{"generation_id": "a"}, {"status": "queued"}]}, 2, ("a",)),
        (ids("a")["generations"], 1, ("a",)),
        ({"generation_id": "a", "status": "queued"}, 1, ("a",)),
        ({"status": "success", "generation": {"generation_id": "a"}}, 2, ("a",)),
        ({"generations": [], "generation_id": "a"}, 1, ("a",)),
    ],
)
def test_what_has_an_id_was_accepted(payload: Any, asked: int, expected: tuple[str, ...]) -> None:
    outcome = read_queue_answer(payload, asked)
    assert isinstance(outcome, Accepted)
    assert outcome.generation_ids == expected
    assert bool(outcome.notes) == (len(expected) != asked)


@pytest.mark.parametrize(
    "payload",
    [
        {"generations": []}, {}, None, "", "OK", [], 7, {"generations": [{"status": "queued"}]},
        {"generations": [{"generation_id": ""}]}, {"generations": "soon"},
        {"generations": [], "error": {"type": "unknown_error", "detail": "?"}},
        {"generations": [], "error": {"type": "rate_limit_exceeded"}},
        {"error": "something"}, {"status": "error", "status_message": "oops"},
    ],
)  # fmt: skip
def test_a_success_without_ids_has_an_unknown_outcome(payload: Any) -> None:
    assert isinstance(read_queue_answer(payload, 1), OutcomeUnknown)


@pytest.mark.parametrize(
    ("error", "cls"),
    [
        ({"type": "insufficient_credits", "detail": "Insufficient credits"}, errors.InsufficientCreditsError),
        ({"type": "invalid_params", "detail": "bad"}, errors.BadRequestError),
        ({"message": "Model not found: x"}, errors.ModelNotFoundError),
    ],
)  # fmt: skip
def test_a_refusal_inside_a_success_is_not_simply_believed(
    error: Any, cls: type[Exception]
) -> None:
    outcome = read_queue_answer({"generations": [], "error": error}, 1)
    assert isinstance(outcome, OutcomeUnknown)
    assert isinstance(outcome.error, cls)
    assert outcome.is_refusal


def test_a_direct_refusal_without_media_is_one() -> None:
    error = {"type": "insufficient_credits", "detail": "Insufficient credits"}
    outcome = read_direct_answer({"images": [], "error": error}, "image")
    assert isinstance(outcome, Refused)
    assert not outcome.may_retry


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 415, 422])
def test_a_rejection_bought_nothing(status: int) -> None:
    outcome = read_failure(errors.APIStatusError("no", status_code=status))
    assert isinstance(outcome, Refused)
    assert not outcome.may_retry


def test_too_many_requests_may_be_sent_again() -> None:
    outcome = read_failure(errors.RateLimitError("slow down"))
    assert isinstance(outcome, Refused)
    assert outcome.may_retry


def test_a_quota_that_is_used_up_is_not_waited_for() -> None:
    body = {"error": {"code": "insufficient_quota", "message": "You exceeded your quota."}}
    error = status_error(body, status=429)
    assert isinstance(error, errors.InsufficientCreditsError)
    outcome = read_failure(error)
    assert isinstance(outcome, Refused)
    assert not outcome.may_retry


@pytest.mark.parametrize(
    "status", [301, 307, 308, 408, 409, 410, 425, 499, 500, 502, 503, 504, 529]
)
def test_every_other_status_has_an_unknown_outcome(status: int) -> None:
    assert isinstance(read_failure(errors.APIStatusError("?", status_code=status)), OutcomeUnknown)


@pytest.mark.parametrize("error", [errors.APIResponseError("?"), ValueError("?"), KeyError("?")])
def test_whatever_else_is_raised_has_an_unknown_outcome(error: Exception) -> None:
    assert isinstance(read_failure(error), OutcomeUnknown)


def transport_error(name: str, module: str, cause: BaseException | None = None) -> Exception:
    """An exception as a transport raises it, on either major of the SDK."""
    base = type("TransportError", (Exception,), {"__module__": module})
    error: Exception = type(name, (base,), {"__module__": module})("broken")
    error.__cause__ = cause
    return error


def connection_error(cause: BaseException) -> errors.APIConnectionError:
    error = errors.APIConnectionError("no connection")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("module", ["httpx", "httpx2"])
@pytest.mark.parametrize("name", ["ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"])
def test_what_failed_before_sending_is_sent_again(module: str, name: str) -> None:
    below = transport_error(name, module.replace("httpx", "httpcore"), OSError("refused"))
    error = connection_error(transport_error(name, f"{module}._exceptions", below))
    assert surely_not_sent(error)
    assert isinstance(read_failure(error), Refused)


@pytest.mark.parametrize(
    "name", ["ReadError", "ReadTimeout", "WriteError", "WriteTimeout", "RemoteProtocolError",
             "CloseError", "LocalProtocolError", "DecodingError"],
)  # fmt: skip
def test_what_failed_later_has_an_unknown_outcome(name: str) -> None:
    error = connection_error(transport_error(name, "httpx"))
    assert not surely_not_sent(error)
    assert isinstance(read_failure(error), OutcomeUnknown)


def test_a_name_proves_nothing_where_another_library_stands_below() -> None:
    lie = transport_error("ServerTimeoutError", "aiohttp.client_exceptions")
    error = connection_error(transport_error("ConnectTimeout", "httpx", lie))
    assert isinstance(read_failure(error), OutcomeUnknown)
    unknown = connection_error(transport_error("ConnectError", "my_transport"))
    assert isinstance(read_failure(unknown), OutcomeUnknown)


def test_a_connection_error_without_a_cause_has_an_unknown_outcome() -> None:
    assert isinstance(read_failure(errors.APIConnectionError("?")), OutcomeUnknown)
    assert isinstance(read_failure(errors.APITimeoutError("?")), OutcomeUnknown)


def test_delays_grow_and_obey_the_hub() -> None:
    error = errors.APIConnectionError("?")
    assert 0.3 < retry_delay(error, 0) <= 0.5
    assert 6 <= retry_delay(error, 9) <= 8


def test_an_error_survives_the_ledger() -> None:
    kept = error_of(error_record(errors.BadRequestError("bad prompt")))
    assert isinstance(kept, errors.BadRequestError)
    assert (str(kept), kept.status_code) == ("bad prompt", 400)
    assert isinstance(error_of({"type": "SystemExit", "message": "m"}), errors.OxenError)
    assert "no reason" in str(error_of(None))


@pytest.mark.parametrize(
    "payload",
    [
        {"images": []}, {"images": ["a.png"]}, {"images": [{}]}, {"images": [{"url": ""}]}, "OK",
        {"images": [{"b64_json": "no base64!"}]}, {"data": [{"b64_json": "%%%"}]}, None,
    ],
)  # fmt: skip
def test_a_direct_success_without_media_has_an_unknown_outcome(payload: Any) -> None:
    outcome = read_direct_answer(payload, "image")
    assert isinstance(outcome, OutcomeUnknown)
    assert not outcome.is_refusal


def test_direct_media_comes_as_bytes_or_by_its_address() -> None:
    rows = [{"b64_json": "b3g="}, {"b64_json": "bad!"}, {"url": "https://files/ox.png"},
            {"b64_json": "data:image/png;base64,b3\ng="}]  # fmt: skip
    made = read_direct_answer({"data": rows}, "image")
    assert isinstance(made, list)
    assert [(item.content, item.url, item.mime_type) for item in made] == [
        (b"ox", None, None),
        (None, "https://files/ox.png", None),
        (b"ox", None, "image/png"),
    ]


@pytest.mark.parametrize("name", ["OxenError", "Any", "annotations", "nothing", ""])
def test_a_record_that_names_no_error_is_a_plain_one(name: str) -> None:
    error = error_of({"type": name, "message": "it broke"})
    assert type(error) is errors.OxenError
    assert str(error) == "it broke"


def test_a_request_is_marked_as_sent_once_though_a_tunnel_is_asked_for_first() -> None:
    marked: list[bool] = []

    def mark() -> bool:
        marked.append(not marked)  # as the ledger: only one may send
        return marked[-1]

    gate = paid_transport._Gate(mark)
    gate.ask()  # before the CONNECT to a proxy
    gate.ask()  # before the request through it
    assert (marked, gate.refused) == ([True], False)
