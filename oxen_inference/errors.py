"""Everything that can go wrong, as one tree. Each class also is the OpenAI SDK's own.

    OxenError                               openai.OpenAIError
    ├── ConfigurationError                  ValueError: unusable settings; nothing was sent
    │   └── MissingAPIKeyError
    ├── InvalidInputError                   ValueError: refused here; nothing was sent
    ├── APIConnectionError                  openai.APIConnectionError
    │   └── APITimeoutError                 openai.APITimeoutError
    ├── APIResponseError                    openai.APIError: a success nobody can read
    ├── StreamError                         openai.APIError: carries .partial
    │   ├── StreamCutOffError               ended with neither a finish reason nor [DONE]
    │   └── StreamStalledError              silent for longer than the timeout
    ├── APIStatusError                      openai.APIStatusError
    │   ├── BadRequestError            400
    │   │   ├── ContextOverflowError        the input does not fit the model
    │   │   └── ModelInactiveError          a custom model that has to be activated first
    │   ├── AuthenticationError        401
    │   ├── InsufficientCreditsError   402
    │   ├── PermissionDeniedError      403
    │   ├── NotFoundError              404
    │   │   └── ModelNotFoundError          .suggestions: the closest known ids
    │   ├── RequestTimeoutError        408
    │   ├── ConflictError              409
    │   ├── UnprocessableEntityError   422
    │   ├── RateLimitError             429
    │   └── InternalServerError        5xx
    ├── MediaError                          .result: what was paid for, as far as known
    │   ├── GenerationFailed                every generation ended without a result
    │   ├── GenerationTimeout               not finished in time; detached, nothing lost
    │   ├── EnqueueOutcomeUnknown           perhaps accepted, perhaps not: never sent again
    │   └── DownloadError                   made and paid for, but not fetched
    ├── DeploymentError                     .status: a custom model did not come up, or down
    ├── BudgetExceededError                 refused here; nothing was sent
    ├── KeyConflictError                    ValueError: one key, two different requests
    └── LedgerError                        the ledger cannot be read or written

``message`` says what went wrong, in Oxen's own words where it gave any. ``hint`` says what you can
do about it, or is None. ``str(error)`` is both in one line.

``is_retryable`` says whether sending the same request again may help. For a generation and a
transcription it is never true where the first one may have been paid for. An answer of a chat
model that was lost on its way may be paid for, and is paid for again. A status error found inside a 200 answer or a stream has
``response`` None and the status the upstream spoke of.
"""

from __future__ import annotations

import math
import time
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, ClassVar

import openai

if TYPE_CHECKING:
    from oxen_inference.result import MediaResult


__all__ = [
    "APIConnectionError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "ConfigurationError",
    "ConflictError",
    "ContextOverflowError",
    "DeploymentError",
    "DownloadError",
    "EnqueueOutcomeUnknown",
    "GenerationFailed",
    "GenerationTimeout",
    "InsufficientCreditsError",
    "InternalServerError",
    "InvalidInputError",
    "KeyConflictError",
    "LedgerError",
    "MediaError",
    "MissingAPIKeyError",
    "ModelInactiveError",
    "ModelNotFoundError",
    "NotFoundError",
    "OxenError",
    "PermissionDeniedError",
    "RateLimitError",
    "RequestTimeoutError",
    "StreamCutOffError",
    "StreamError",
    "StreamStalledError",
    "UnprocessableEntityError",
]


def end_sentence(text: str) -> str:
    """Return `text` with a full stop, unless it ends with a mark of its own."""
    text = text.rstrip()
    return text if not text or text.endswith((".", "!", "?", ":", "…")) else f"{text}."


class OxenError(openai.OpenAIError):
    """Base of every error this package raises."""

    is_retryable: bool = False
    """Whether sending the same request again may succeed."""

    hint: str | None = None
    """What you can do about it, as one or more sentences; None where there is nothing to say."""

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        return f"{end_sentence(self.message)} {self.hint}".strip()

    @property
    def message(self) -> str:
        """What went wrong, without the hint."""
        return str(self.args[0]) if self.args else ""

    @message.setter
    def message(self, value: str) -> None:
        # openai.APIError assigns it in its constructor.
        self.args = (value, *self.args[1:])


class ConfigurationError(OxenError, ValueError):
    """The settings cannot be used; nothing was sent."""


class MissingAPIKeyError(ConfigurationError):
    """There is no API key to send."""


class InvalidInputError(OxenError, ValueError):
    """The request was refused here, before anything was sent or paid for."""


class _APIError(OxenError, openai.APIError):
    def __init__(
        self, message: str, *, request: Any = None, body: object = None, hint: str | None = None
    ) -> None:
        openai.APIError.__init__(self, message, request, body=body)
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        # Requests and responses hold headers (the key) and locks: errors travel without them.
        state = {k: v for k, v in self.__dict__.items() if k not in ("request", "response")}
        return _rebuild, (type(self), self.args, state)


def _rebuild(cls: type[Exception], args: tuple[Any, ...], state: dict[str, Any]) -> Exception:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update({"request": None, "response": None, **state})
    return error


class APIConnectionError(_APIError, openai.APIConnectionError):
    """Oxen could not be reached, or the connection broke before an answer."""

    is_retryable = True


class APITimeoutError(APIConnectionError, openai.APITimeoutError):
    """No answer within the timeout."""


class APIResponseError(_APIError):
    """A success status whose body is not what the API promises."""

    is_retryable = True
    partial: Any = None
    """What the answer has, for one that lacks a tool call or a message."""


class StreamError(_APIError):
    """A stream that failed before its answer was complete; `partial` is what had arrived."""

    is_retryable = True

    def __init__(
        self,
        message: str,
        *,
        request: Any = None,
        body: object = None,
        partial: Any = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, request=request, body=body, hint=hint)
        self.partial = partial


class StreamCutOffError(StreamError):
    """The stream ended with neither a finish reason nor ``[DONE]``."""


class StreamStalledError(StreamError):
    """The stream fell silent for longer than the timeout."""


class APIStatusError(_APIError, openai.APIStatusError):
    """Oxen, or the upstream behind it, answered with an error."""

    default_status: ClassVar[int | None] = None
    partial: Any = None
    """What had been streamed before the error, for one that came inside a stream."""
    result: MediaResult | None = None
    """What was paid for, for one that ended the waiting for it."""

    def __init__(
        self,
        message: str,
        *,
        response: Any = None,
        body: object = None,
        status_code: int | None = None,
        request: Any = None,
        hint: str | None = None,
    ) -> None:
        request = getattr(response, "request", None) or request
        super().__init__(message, request=request, body=body, hint=hint)
        self.response = response
        self.status_code = (
            getattr(response, "status_code", None) or status_code or self.default_status or 500
        )
        headers = getattr(response, "headers", None) or {}
        self.request_id = headers.get("x-request-id")


class BadRequestError(APIStatusError, openai.BadRequestError):
    """The request is not one Oxen or the model accepts."""

    default_status: ClassVar[int | None] = 400


class ContextOverflowError(BadRequestError):
    """The input is longer than the model's context."""


class ModelInactiveError(BadRequestError):
    """The model is a custom one whose deployment is not active."""


class AuthenticationError(APIStatusError, openai.AuthenticationError):
    """The API key is missing or wrong."""

    default_status: ClassVar[int | None] = 401


class InsufficientCreditsError(APIStatusError):
    """The account has no credits left."""

    default_status: ClassVar[int | None] = 402


class PermissionDeniedError(APIStatusError, openai.PermissionDeniedError):
    """The key may not do this."""

    default_status: ClassVar[int | None] = 403


class NotFoundError(APIStatusError, openai.NotFoundError):
    """There is no such thing on this hub."""

    default_status: ClassVar[int | None] = 404


class ModelNotFoundError(NotFoundError):
    """There is no model of that name; `suggestions` holds the closest known ids."""

    suggestions: tuple[str, ...] = ()


class RequestTimeoutError(APIStatusError):
    """Oxen gave up waiting for the request or the upstream."""

    is_retryable = True
    default_status: ClassVar[int | None] = 408


class ConflictError(APIStatusError, openai.ConflictError):
    """The request contradicts the present state."""

    default_status: ClassVar[int | None] = 409


class UnprocessableEntityError(APIStatusError, openai.UnprocessableEntityError):
    """The request is well formed but cannot be processed."""

    default_status: ClassVar[int | None] = 422


_LONGEST_RETRY_AFTER = 86_400.0


def _plausible(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and 0 <= seconds <= _LONGEST_RETRY_AFTER else None


class RateLimitError(APIStatusError, openai.RateLimitError):
    """Too many requests; `retry_after` seconds, where Oxen said how long to wait.

    A value that is no waiting time (negative, not finite, more than a day) counts as none.
    """

    is_retryable = True
    default_status: ClassVar[int | None] = 429

    @property
    def retry_after(self) -> float | None:
        headers = getattr(self.response, "headers", None) or {}
        value = str(headers.get("retry-after", "")).strip()
        try:  # OpenAI's own header is the more exact one
            return _plausible(float(str(headers.get("retry-after-ms", "")).strip()) / 1000)
        except ValueError:
            pass
        try:
            seconds = float(value)
        except ValueError:
            try:  # the header's other form is a date
                moment = parsedate_to_datetime(value).timestamp()
            except (TypeError, ValueError, OverflowError, OSError):
                return None
            seconds = max(moment - time.time(), 0.0)
        return _plausible(seconds)


class InternalServerError(APIStatusError, openai.InternalServerError):
    """Oxen or the upstream behind it failed."""

    is_retryable = True
    default_status: ClassVar[int | None] = 500


class MediaError(OxenError):
    """A paid generation did not end as asked; `result` keeps what was paid for."""

    def __init__(
        self, message: str, *, result: MediaResult | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.result = result


class GenerationFailed(MediaError):  # noqa: N818 - reads as what happened, as in the docs
    """No generation of the request succeeded."""


class GenerationTimeout(MediaError):  # noqa: N818 - same
    """Not finished in time: the job goes on, and its ids are in the message and the result."""


class EnqueueOutcomeUnknown(MediaError):  # noqa: N818 - same
    """The job may or may not have been accepted; it is never sent again on its own.

    `candidates` are the generations on the hub that it may have become.
    """

    def __init__(
        self,
        message: str,
        *,
        result: MediaResult | None = None,
        candidates: tuple[Any, ...] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, result=result, hint=hint)
        self.candidates = candidates


class DownloadError(MediaError):
    """The result was made and paid for but could not be fetched; its generation id still works."""


class DeploymentError(OxenError):
    """A custom model did not reach the state asked for; `status` is its last one."""

    def __init__(
        self,
        message: str,
        *,
        model_id: str = "",
        status: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.model_id = model_id
        self.status = status


class BudgetExceededError(OxenError):
    """The request would, or might, cost more than is left; nothing was sent.

    `left` is what is left of the budget, in USD; None where it was another limit.
    """

    def __init__(
        self, message: str = "", *, hint: str | None = None, left: Decimal | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.left = left


class KeyConflictError(OxenError, ValueError):
    """The key already stands for a different request."""


class LedgerError(OxenError):
    """The ledger of paid generations cannot be read or written; nothing was sent.

    `is_retryable` is True where its server may answer again in a moment.
    """
