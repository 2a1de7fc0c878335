"""What to do about a refused chat request, where the refusal alone does not say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from oxen_inference.errors import (
    APIStatusError,
    BadRequestError,
    InvalidInputError,
    ModelNotFoundError,
    NotFoundError,
)

_FORMAT = re.compile(r"response_?format|json_?schema|json_?object|structured", re.IGNORECASE)
# OpenAI's models take json_object only where the messages speak of JSON, and say so themselves.
_WANTS_THE_WORD = re.compile(r"must contain the word|word 'json'", re.IGNORECASE)


# A conversation in which a call of a tool has no result, as an interrupted agent leaves one.
_NO_RESULT = re.compile(
    r"tool_use.{0,60}without.{0,20}tool_result"  # Anthropic
    r"|tool_calls?\b.{0,60}must be followed by tool messages"  # OpenAI
    r"|tool_call_ids? did not have response"
    r"|number of function response parts",  # Google
    re.IGNORECASE | re.DOTALL,
)


def with_advice(error: APIStatusError, body: Mapping[str, Any], url: str) -> APIStatusError:
    """Return the error with a sentence on what to do added to its words, where there is one."""
    if isinstance(error, NotFoundError) and not isinstance(error, ModelNotFoundError):
        error.message = f"{error.message.rstrip('.')}. It was sent to {url}: check the base URL."
    if isinstance(error, BadRequestError) and _NO_RESULT.search(error.message):
        error.message = (
            f"{error.message.rstrip('.')}. A run that was interrupted leaves its tool calls without "
            "results: resume it before the next message."
        )
    form = body.get("response_format")
    refused = isinstance(error, BadRequestError) and _FORMAT.search(error.message)
    if form and refused and not _WANTS_THE_WORD.search(error.message):
        kind = form.get("type") if isinstance(form, Mapping) else form
        error.message = (
            f"{error.message.rstrip('.')}. If {body.get('model')} does not support "
            f"response_format {kind!r}, have the object made by a tool call, which works with every "
            "provider: method='function_calling' or, in an agent, ToolStrategy in LangChain, "
            "structured_mode='tool' in LlamaIndex."
        )
    return error


def unsendable(error: Exception) -> InvalidInputError:
    """Return the error for a request that cannot be written as JSON."""
    return InvalidInputError(
        f"The request cannot be sent, for a parameter or a message in it is not JSON: {error}."
    )
