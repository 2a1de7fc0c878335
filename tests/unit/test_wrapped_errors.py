"""Errors of models as the hub passes them on: inside its own failure, or inside a success."""

from __future__ import annotations

from typing import Any

import pytest

from oxen_inference import errors
from oxen_inference.error_mapping import error_in_success, status_error
from oxen_inference.media.queue_decision import (
    OutcomeUnknown,
    Refused,
    read_direct_answer,
    read_failure,
    read_queue_answer,
)

BOTH = "Getting model response error: 422 - Value error, Cannot provide both 'prompt' and 'multi_prompt'."


class Response:
    """As much of an answer as an error looks at."""

    request = None

    def __init__(self, status: int) -> None:
        self.status_code, self.headers = status, {}


def error_of(status: int, body: Any) -> errors.APIStatusError:
    return status_error(body, response=Response(status))


@pytest.mark.parametrize("outer", [500, 502, 503, 400, 422])
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": BOTH}}, {"error": BOTH}, {"message": BOTH}, BOTH,
        {"error": {"type": "unknown_error", "title": "It failed.", "detail": BOTH}, "status": "error"},
        {"error": {"type": "upstream", "detail": BOTH}, "status": 502},
    ],
)  # fmt: skip
def test_the_status_of_the_provider_counts(outer: int, body: Any) -> None:
    error = error_of(outer, body)
    assert isinstance(error, errors.UnprocessableEntityError)
    assert (error.status_code, error.is_retryable) == (422, False)
    assert "multi_prompt" in error.message
    assert read_failure(error) == Refused(error)


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (400, errors.BadRequestError), (404, errors.NotFoundError), (422, errors.UnprocessableEntityError),
        # Of Oxen's own key and account at the provider: the caller's are fine.
        (401, errors.BadRequestError), (402, errors.BadRequestError), (403, errors.BadRequestError),
    ],
)  # fmt: skip
def test_what_a_provider_refuses_bought_nothing(status: int, cls: type) -> None:
    error = error_of(500, {"error": {"message": f"Getting model response error: {status} - no"}})
    assert type(error) is cls
    assert (error.status_code, error.is_retryable) == (status, False)
    assert read_failure(error) == Refused(error)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422, 429])
@pytest.mark.parametrize(
    "fields", [{}, {"type": "authentication_error"}, {"code": 402}, {"code": "insufficient_quota"}]
)
def test_a_provider_s_refusal_is_the_same_inside_a_success(
    status: int, fields: dict[str, Any]
) -> None:
    text = f"Getting model response error: {status} - Insufficient credits, or an invalid x-api-key"
    failed = error_of(500, {"error": {"message": text}})
    hidden = error_in_success({"generations": [], "error": {"message": text, **fields}})
    assert hidden is not None
    assert type(hidden) is type(failed)
    assert (hidden.status_code, hidden.hint) == (status, failed.hint)
    assert "key" not in str(hidden.hint)
    outcome = read_queue_answer({"generations": [], "error": {"message": text, **fields}}, 1)
    assert isinstance(outcome, OutcomeUnknown)
    assert outcome.is_refusal is (status != 429)


@pytest.mark.parametrize(("status", "read"), [(408, 500), (500, 500), (504, 504), (529, 529)])
def test_a_provider_s_failure_inside_a_success(status: int, read: int) -> None:
    error = error_in_success({"error": f"Getting model response error: {status} - oh"})
    assert isinstance(error, errors.InternalServerError)
    assert error.status_code == read


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504, 529])
def test_a_provider_that_failed_may_have_made_it(status: int) -> None:
    error = error_of(500, {"error": {"message": f"Getting model response error: {status} - oh"}})
    assert isinstance(read_failure(error), OutcomeUnknown)


def test_a_provider_s_limit_is_no_reason_to_send_again_unasked() -> None:
    error = error_of(500, {"error": {"message": "Getting model response error: 429 - slow down"}})
    assert isinstance(error, errors.RateLimitError)
    assert (error.is_retryable, read_failure(error)) == (True, Refused(error, may_retry=False))
    plain = error_of(429, {"error": {"message": "slow down"}})
    assert read_failure(plain) == Refused(plain, may_retry=True)


@pytest.mark.parametrize(
    "text",
    [
        "404 Client Error: Not Found for url: https://provider.test/jobs/1",
        "We got 422 - words",
        "Value error, code 422",
    ],
)
def test_other_numbers_in_a_failure_say_nothing(text: str) -> None:
    error = error_of(500, {"error": {"message": text}})
    assert error.status_code == 500
    assert isinstance(read_failure(error), OutcomeUnknown)


def test_a_number_beside_the_error_is_its_status() -> None:
    body = {"error": {"type": "upstream", "title": "The model provider returned an error."}}
    failed = error_of(502, {**body, "status": 502})
    assert (failed.status_code, failed.message) == (502, "The model provider returned an error.")
    assert isinstance(failed, errors.InternalServerError)
    hidden = error_in_success({**body, "status": 422})
    assert isinstance(hidden, errors.UnprocessableEntityError)
    assert error_of(502, {**body, "status": 422}).status_code == 422


def test_a_title_alone_is_a_message() -> None:
    title = "You have run out of credits."
    for body in (
        {"error": {"type": "insufficient_credits", "title": title}},
        {"error": {"title": title}},
    ):
        error = error_of(402, {**body, "status": "error"})
        assert (type(error), error.message) == (errors.InsufficientCreditsError, title)
        assert isinstance(error_in_success(body), errors.InsufficientCreditsError)


@pytest.mark.parametrize("generations", [{"generations": []}, {}, {"generations": None}])
@pytest.mark.parametrize("detail", ["unsupported_media_type", "This model is not for the queue."])
def test_a_detail_alone_inside_a_success_is_a_refusal_to_be_confirmed(
    generations: dict[str, Any], detail: str
) -> None:
    outcome = read_queue_answer({**generations, "error": {"detail": detail}}, 1)
    assert isinstance(outcome, OutcomeUnknown)
    assert outcome.is_refusal
    assert isinstance(outcome.error, errors.APIStatusError)
    assert (outcome.error.message, outcome.error.is_retryable) == (detail, False)


def test_a_kind_of_failure_beside_the_detail_is_no_refusal() -> None:
    for kind in ("unknown_error", "upstream", "overloaded_error"):
        body = {"generations": [], "error": {"type": kind, "detail": "It went wrong."}}
        outcome = read_queue_answer(body, 1)
        assert isinstance(outcome, OutcomeUnknown)
        assert not outcome.is_refusal


def test_without_a_list_to_look_in_only_a_named_refusal_is_believed() -> None:
    named = read_direct_answer({"error": {"detail": "unsupported_media_type"}}, "audio")
    assert isinstance(named, Refused)
    free = read_direct_answer({"error": {"detail": "It went wrong."}}, "audio")
    assert isinstance(free, OutcomeUnknown)


def test_an_input_that_is_not_public() -> None:
    text = "Error: 403 Client Error: Forbidden for url: https://hub.test/x.png"
    error = error_of(500, {"error": {"message": text}})
    assert (type(error), error.status_code) == (errors.BadRequestError, 403)
    assert read_failure(error) == Refused(error)
