from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import openai
import pytest

from oxen_inference import errors
from oxen_inference.error_mapping import error_in_success, human_text, status_error


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
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_the_words_for_people_are_found_in_every_shape(body: object, text: str | None) -> None:
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
    assert "why" in str(error)
    assert "why" in error.message


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 9",
        "prompt is too long: 208310 tokens > 200000 maximum",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        "Your input exceeds the context window of this model.",
        "the request exceeds the available context size, try increasing it",
    ],
)
def test_context_overflow_is_known_by_its_texts(text: str) -> None:
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
def test_an_error_inside_a_success_is_the_error_it_speaks_of(
    payload: object, kind: type[errors.OxenError]
) -> None:
    assert type(error_in_success(payload)) is kind


@pytest.mark.parametrize("payload", [{"choices": []}, {"error": None}, [], "text", None, 3])
def test_a_success_is_left_alone(payload: object) -> None:
    assert error_in_success(payload) is None


def test_every_error_pickles_and_copies_without_the_request() -> None:
    error = status_error(
        {"error": {"message": "slow"}}, response=answer(429, **{"retry-after": "3"})
    )
    assert isinstance(error, errors.RateLimitError)
    assert error.retry_after == 3
    assert str(error) == "slow. Wait 3 seconds."
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(again) is errors.RateLimitError
        assert str(again) == str(error)
        assert again.status_code == 429
        assert again.response is None


def test_all_names_the_whole_tree() -> None:
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


def test_a_page_of_a_proxy_becomes_a_sentence() -> None:
    error = status_error("<html><body><h1>Bad</h1></body></html>", response=answer(502))
    assert str(error) == (
        "Oxen, or something before it, answered with status 502: "
        "an HTML page instead of an API answer."
    )
