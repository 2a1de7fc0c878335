from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import openai
import pytest

from oxen_inference import errors
from oxen_inference.error_body import human_text
from oxen_inference.error_mapping import error_in_success, status_error


def answer(status: int, **headers: str) -> SimpleNamespace:
    return SimpleNamespace(status_code=status, headers=headers, request=SimpleNamespace(url="u"))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": {"type": "t", "title": "Title", "detail": "Detail"}}, "Detail"),
        ({"error": {"message": "Model not found: x"}}, "Model not found: x"),
        ({"error": {"title": "Title", "detail": None}}, "Title"),
        ({"error": "text"}, "text"),
        ({"status": "error", "status_message": "unauthenticated"}, "unauthenticated"),
        ({"error": "", "error_message": "later"}, "later"),
        ({"status_message": ":unsupported_media_type"}, "unsupported_media_type"),
        ({"message": "m"}, "m"),
        ({"error": {"type": "only_type"}}, "only_type"),
        ("  plain  ", "plain"),
        ("<!DOCTYPE html><html><head><title>502 Bad Gateway</title>", "502 Bad Gateway"),
        ([{"error": {"message": "of Gemini", "status": "INVALID_ARGUMENT"}}], "of Gemini"),
        (
            {"detail": [{"loc": ["body", "top_k"], "msg": "must be an integer", "type": "int"}]},
            "body.top_k: must be an integer",
        ),
        ({"errors": ["one", {}, None, "two"]}, "one; two"),
        ({"msg": "GLM's"}, "GLM's"),
        ({"error": {"msg": "GLM's", "code": "1301"}}, "GLM's"),
        ({"detail": {"message": "FastAPI's"}}, "FastAPI's"),
        ({"error": {"error": {"message": "wrapped"}}}, "wrapped"),
        ({"type": "about:blank", "title": "of RFC 9457"}, "of RFC 9457"),
        ({"Message": "of AWS"}, "of AWS"),
        ({"error": "invalid_token", "error_description": "of OAuth"}, "of OAuth"),
        ({"base_resp": {"status_code": 1008, "status_msg": "of MiniMax"}}, "of MiniMax"),
        ({"errors": [{"message": "one"}]}, "one"),
        (
            {
                "error": {
                    "message": "Provider returned error",
                    "metadata": {"raw": '{"error": {"message": "the real reason"}}'},
                }
            },
            "Provider returned error: the real reason",
        ),
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": "plain words"}}},
            "Provider returned error: plain words",
        ),
        ({"error": {"metadata": {"raw": {"message": "decoded already"}}}}, "decoded already"),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_the_text_of_an_error_is_found_in_every_shape(body: object, text: str | None) -> None:
    assert human_text(body) == text


@pytest.mark.parametrize(
    ("status", "kind", "sdk", "retryable"),
    [
        (400, errors.BadRequestError, openai.BadRequestError, False),
        (401, errors.AuthenticationError, openai.AuthenticationError, False),
        (402, errors.InsufficientCreditsError, openai.APIStatusError, False),
        (403, errors.PermissionDeniedError, openai.PermissionDeniedError, False),
        (404, errors.NotFoundError, openai.NotFoundError, False),
        (408, errors.RequestTimeoutError, openai.APIStatusError, True),
        (409, errors.ConflictError, openai.ConflictError, False),
        (422, errors.UnprocessableEntityError, openai.UnprocessableEntityError, False),
        (429, errors.RateLimitError, openai.RateLimitError, True),
        (500, errors.InternalServerError, openai.InternalServerError, True),
        (502, errors.InternalServerError, openai.InternalServerError, True),
        (529, errors.InternalServerError, openai.InternalServerError, True),
        (418, errors.APIStatusError, openai.APIStatusError, False),
    ],
)
def test_each_status_has_its_class(
    status: int, kind: type[errors.OxenError], sdk: type[Exception], retryable: bool
) -> None:
    error = status_error({"error": {"message": "why"}}, response=answer(status))
    assert type(error) is kind
    assert isinstance(error, sdk)
    assert error.status_code == status
    assert error.is_retryable is retryable
    assert error.message == "why"
    assert str(error).startswith("why")


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 9",
        "prompt is too long: 208310 tokens > 200000 maximum",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        "Your input exceeds the context window of this model.",
        "Request too large: prompt tokens limit exceeded",
        "对话长度超过上限",
        "the request exceeds the available context size, try increasing it",
        "The decoder prompt (length 9001) is longer than the maximum model length of 8192.",
        "Total number of tokens in the prompt exceeds the limit (9001 > 8192)",
    ],
)
def test_context_overflow_is_recognized_by_its_texts(text: str) -> None:
    assert isinstance(
        status_error({"error": {"message": text}}, response=answer(400)),
        errors.ContextOverflowError,
    )
    inside_a_stream = status_error({"error": {"message": text}})
    assert isinstance(inside_a_stream, errors.ContextOverflowError)
    assert inside_a_stream.response is None


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"generations": [], "error": "Insufficient credits"}, errors.InsufficientCreditsError),
        ({"error": {"code": 429, "message": "slow down"}}, errors.RateLimitError),
        ({"error": {"type": "overloaded_error", "message": "busy"}}, errors.InternalServerError),
        ({"status": "error", "status_message": "unauthenticated"}, errors.AuthenticationError),
        ({"error": {"message": "Model not found: x"}}, errors.ModelNotFoundError),
        ({"error": "something odd"}, errors.InternalServerError),
    ],
)
def test_an_error_inside_a_success_has_the_class_of_its_code_or_type(
    payload: object, kind: type[errors.OxenError]
) -> None:
    assert type(error_in_success(payload)) is kind


@pytest.mark.parametrize("payload", [{"choices": []}, {"error": None}, [], "text", None, 3])
def test_a_success_is_no_error(payload: object) -> None:
    assert error_in_success(payload) is None


def test_every_error_pickles_and_copies_without_the_request() -> None:
    error = status_error(
        {"error": {"message": "slow"}}, response=answer(429, **{"retry-after": "3"})
    )
    assert isinstance(error, errors.RateLimitError)
    assert error.retry_after == 3
    assert str(error) == "slow. Wait 3 seconds, as Oxen asks."
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(again) is errors.RateLimitError
        assert str(again) == str(error)
        assert again.status_code == 429
        assert again.response is None


def test_all_lists_the_whole_tree() -> None:
    tree = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type)
        and issubclass(value, errors.OxenError)
        and not name.startswith("_")
    }
    assert set(errors.__all__) == tree
    for name in tree:
        assert name in (errors.__doc__ or "")


def test_a_proxy_s_page_becomes_a_sentence() -> None:
    error = status_error("<html><body><h1>Bad</h1></body></html>", response=answer(502))
    assert str(error) == (
        "Oxen, or a proxy before it, answered with status 502: "
        "an HTML page instead of an API answer. Try again."
    )


@pytest.mark.parametrize(
    "error",
    [
        {"message": "too much", "code": "context_length_exceeded"},
        {"message": "too much", "type": "context_length_exceeded", "code": 400},
        {
            "message": "Provider returned error",
            "metadata": {"raw": '{"error": {"message": "?", "code": "context_length_exceeded"}}'},
        },
        {
            "message": "Provider returned error",
            "metadata": {"raw": "prompt is too long: 208310 tokens > 200000 maximum"},
        },
    ],
)
def test_context_overflow_is_recognized_by_its_code_and_behind_a_gateway(error: object) -> None:
    found = status_error({"error": error}, response=answer(400))
    assert type(found) is errors.ContextOverflowError


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"message": "x", "type": "insufficient_quota"}, errors.InsufficientCreditsError),
        (429, {"message": "x", "code": "insufficient_quota"}, errors.InsufficientCreditsError),
        (500, {"title": "x", "type": "insufficient_credits"}, errors.InsufficientCreditsError),
        (400, {"title": "x", "type": "insufficient_credits"}, errors.InsufficientCreditsError),
        (400, {"message": "Insufficient credits"}, errors.InsufficientCreditsError),
        (500, {"title": "x", "type": "invalid_params"}, errors.BadRequestError),
        (429, {"message": "x", "type": "rate_limit_error"}, errors.RateLimitError),
        (503, {"message": "x", "type": "overloaded_error"}, errors.InternalServerError),
    ],
)
def test_the_stated_type_wins_over_a_status_that_does_not_fit(
    status: int, error: object, kind: type[errors.OxenError]
) -> None:
    found = status_error({"error": error}, response=answer(status))
    assert type(found) is kind
    assert found.status_code == status, "what was really answered decides whether a job may exist"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("2.5", 2.5),
        ("-1", None),
        ("inf", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_a_plausible_number_or_date(header: str, seconds: float | None) -> None:
    response = SimpleNamespace(status_code=429, headers={"retry-after": header}, request=None)
    error = status_error({"error": {"message": "slow down"}}, response=response)
    assert isinstance(error, errors.RateLimitError)
    assert error.retry_after == seconds


def test_a_list_of_errors_is_read_by_its_first() -> None:
    error = status_error([{"error": {"code": 400, "message": "bad key"}}, {}], status=400)
    assert isinstance(error, errors.BadRequestError)
    assert "bad key" in str(error)
