"""The core's errors, each of which is also the matching LangChain error.

Each of these catches the same error:

    except langchain_oxen.errors.RateLimitError
    except oxen_inference.errors.RateLimitError
    except langchain_core.exceptions.ModelRateLimitError
    except openai.RateLimitError

The tree is the core's: a class below `APIStatusError` there is also below it here. `KINDS` is the
whole mapping. ``partial``, where an error has one, is an `AIMessage` with what was streamed before
the error.
"""

from __future__ import annotations

from typing import Any

from langchain_core import exceptions as langchain

from oxen_inference import errors as core

__all__ = [
    "KINDS",
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
    "InsufficientCreditsError",
    "InternalServerError",
    "InvalidInputError",
    "LedgerError",
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
    "to_langchain",
]

OxenError = core.OxenError


class ConfigurationError(core.ConfigurationError, langchain.ModelInvalidRequestError):
    """The settings cannot be used; nothing was sent."""


class MissingAPIKeyError(
    core.MissingAPIKeyError, ConfigurationError, langchain.ModelAuthenticationError
):
    """There is no API key to send."""


class InvalidInputError(core.InvalidInputError, langchain.ModelInvalidRequestError):
    """The request was refused here, before anything was sent."""


class APIConnectionError(core.APIConnectionError, langchain.ModelConnectionError):
    """Oxen could not be reached, or the connection broke before an answer."""


class APITimeoutError(core.APITimeoutError, APIConnectionError, langchain.ModelTimeoutError):
    """No answer within the timeout."""


class APIResponseError(core.APIResponseError, langchain.ModelAPIError):
    """A success status whose body is not what the API promises."""


class StreamError(core.StreamError, langchain.ModelAPIError):
    """A stream that failed before its answer was complete."""


class StreamCutOffError(core.StreamCutOffError, StreamError, langchain.ModelConnectionError):
    """The stream ended with neither a finish reason nor ``[DONE]``."""


class StreamStalledError(core.StreamStalledError, StreamError, langchain.ModelTimeoutError):
    """The stream fell silent for longer than the timeout."""


class APIStatusError(core.APIStatusError, langchain.ModelError):
    """Oxen, or the upstream behind it, answered with an error."""


class BadRequestError(core.BadRequestError, APIStatusError, langchain.ModelInvalidRequestError):
    """The request is not one Oxen or the model accepts."""


class ContextOverflowError(
    core.ContextOverflowError, BadRequestError, langchain.ContextOverflowError
):
    """The input is longer than the model's context."""


class ModelInactiveError(core.ModelInactiveError, BadRequestError):
    """The model is a custom one whose deployment is not active."""


class AuthenticationError(
    core.AuthenticationError, APIStatusError, langchain.ModelAuthenticationError
):
    """The API key is missing or wrong."""


class InsufficientCreditsError(
    core.InsufficientCreditsError, APIStatusError, langchain.ModelPermissionDeniedError
):
    """The account has no credits left."""


class PermissionDeniedError(
    core.PermissionDeniedError, APIStatusError, langchain.ModelPermissionDeniedError
):
    """The key may not do this."""


class NotFoundError(core.NotFoundError, APIStatusError, langchain.ModelInvalidRequestError):
    """There is no such thing on this hub."""


class ModelNotFoundError(core.ModelNotFoundError, NotFoundError, langchain.ModelNotFoundError):
    """There is no model of that name; `suggestions` holds the closest known ids."""


class RequestTimeoutError(core.RequestTimeoutError, APIStatusError, langchain.ModelTimeoutError):
    """Oxen gave up waiting for the request or the upstream."""


class ConflictError(core.ConflictError, APIStatusError, langchain.ModelInvalidRequestError):
    """The request contradicts the present state."""


class UnprocessableEntityError(
    core.UnprocessableEntityError, APIStatusError, langchain.ModelInvalidRequestError
):
    """The request is well formed but cannot be processed."""


class RateLimitError(core.RateLimitError, APIStatusError, langchain.ModelRateLimitError):
    """Too many requests; `retry_after` seconds, where Oxen said how long to wait."""


class InternalServerError(core.InternalServerError, APIStatusError, langchain.ModelAPIError):
    """Oxen or the upstream behind it failed."""


class BudgetExceededError(core.BudgetExceededError, langchain.ModelError):
    """The request would, or might, cost more than is left; nothing was sent."""


class LedgerError(core.LedgerError, langchain.ModelError):
    """The ledger that keeps the budget cannot be read or written."""


KINDS: dict[type[core.OxenError], type[core.OxenError]] = {
    core.ConfigurationError: ConfigurationError,
    core.MissingAPIKeyError: MissingAPIKeyError,
    core.InvalidInputError: InvalidInputError,
    core.APIConnectionError: APIConnectionError,
    core.APITimeoutError: APITimeoutError,
    core.APIResponseError: APIResponseError,
    core.StreamError: StreamError,
    core.StreamCutOffError: StreamCutOffError,
    core.StreamStalledError: StreamStalledError,
    core.APIStatusError: APIStatusError,
    core.BadRequestError: BadRequestError,
    core.ContextOverflowError: ContextOverflowError,
    core.ModelInactiveError: ModelInactiveError,
    core.AuthenticationError: AuthenticationError,
    core.InsufficientCreditsError: InsufficientCreditsError,
    core.PermissionDeniedError: PermissionDeniedError,
    core.NotFoundError: NotFoundError,
    core.ModelNotFoundError: ModelNotFoundError,
    core.RequestTimeoutError: RequestTimeoutError,
    core.ConflictError: ConflictError,
    core.UnprocessableEntityError: UnprocessableEntityError,
    core.RateLimitError: RateLimitError,
    core.InternalServerError: InternalServerError,
    core.BudgetExceededError: BudgetExceededError,
    core.LedgerError: LedgerError,
}
"""The core's class → this adapter's."""


def to_langchain(error: core.OxenError) -> core.OxenError:
    """Return `error` as an instance of this adapter's class, with all its attributes."""
    cls = next((KINDS[base] for base in type(error).__mro__ if base in KINDS), None)
    if cls is None or isinstance(error, langchain.ModelError):
        return error
    converted = cls.__new__(cls, *error.args)
    converted.args = error.args
    converted.__dict__.update(error.__dict__)
    converted.__cause__ = error.__cause__
    partial: Any = getattr(error, "partial", None)
    if partial is not None:
        from langchain_oxen.messages_in import to_message

        converted.partial = to_message(partial)  # type: ignore[attr-defined]  # of errors that have one
    return converted.with_traceback(error.__traceback__)
