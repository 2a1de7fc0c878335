"""What to do about a refused chat request, where the refusal does not say it."""

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

_RESPONSE_FORMAT = re.compile(
    r"response_?format|json_?schema|json_?object|structured", re.IGNORECASE
)
# OpenAI's models accept json_object only if a message mentions JSON; their error says so itself.
_MUST_MENTION_JSON = re.compile(r"must contain the word|word 'json'", re.IGNORECASE)
# A tool call without a result, which an interrupted agent leaves in the conversation.
_MISSING_RESULT = re.compile(
    r"tool_use.{0,60}without.{0,20}tool_result"  # Anthropic
    r"|tool_calls?\b.{0,60}must be followed by tool messages"  # OpenAI
    r"|tool_call_ids? did not have response"
    r"|number of function response parts",  # Google
    re.IGNORECASE | re.DOTALL,
)
# A tool that is forced while the model thinks, which many of them do without being asked.
_FORCED_WHILE_THINKING = re.compile(
    r"tool_choice.{0,120}(?:thinking|reasoning)|(?:thinking|reasoning).{0,80}tool_choice",
    re.IGNORECASE | re.DOTALL,
)


def with_hint(error: APIStatusError, body: Mapping[str, Any], url: str) -> APIStatusError:
    """Return the error of a request, with a hint where one is known.

    `body` is the request's, `url` where it was sent.
    """
    if hint := _hint(error, body, url):
        error.hint = f"{error.hint} {hint}" if error.hint else hint
    return error


def _hint(error: APIStatusError, body: Mapping[str, Any], url: str) -> str | None:
    if isinstance(error, NotFoundError) and not isinstance(error, ModelNotFoundError):
        if error.hint is not None:
            return None
        return f"The request went to {url}: check the base URL."
    if not isinstance(error, BadRequestError):
        return None
    if _MISSING_RESULT.search(error.message):
        return (
            "An interrupted run leaves tool calls without results: resume it before you send the "
            "next message. Where it cannot be resumed, take the message with the calls out of the "
            "conversation: in LangGraph, "
            "agent.update_state(config, {'messages': [RemoveMessage(id=...)]})."
        )
    if _FORCED_WHILE_THINKING.search(error.message):
        return (
            "A tool cannot be forced while this model thinks: turn thinking off, or leave the "
            "choice to it (tool_choice='auto')."
        )
    response_format = body.get("response_format")
    if (
        response_format
        and _RESPONSE_FORMAT.search(error.message)
        and not _MUST_MENTION_JSON.search(error.message)
    ):
        is_object = isinstance(response_format, Mapping)
        kind = response_format.get("type") if is_object else response_format
        return (
            f"If {body.get('model')} does not support response_format {kind!r}, let the model "
            "return the object by a tool call, which works with every provider: "
            "method='function_calling' or, in an agent, ToolStrategy in LangChain, "
            "structured_mode='tool' in LlamaIndex."
        )
    return None


def unserializable(error: Exception) -> InvalidInputError:
    """Return the error for a request that cannot be written as JSON."""
    return InvalidInputError(
        f"The request cannot be sent: a parameter or a message in it is not JSON: {error}."
    )
