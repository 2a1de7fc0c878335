"""What to do about a refused chat request, where the refusal does not say it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from oxen_inference.errors import (
    APIStatusError,
    BadRequestError,
    InvalidInputError,
    ModelNotFoundError,
    NotFoundError,
)
from oxen_inference.generation import MEDIA_TYPES

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

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


# A model of images, videos or audio that was asked to chat.
_DOES_NOT_CHAT = re.compile(
    r"does not (?:answer in text|chat|support (?:chat|text))|not a (?:chat|text) model"
    r"|chat.?completions?.{0,40}not (?:supported|available)",
    re.IGNORECASE,
)
_USE_MEDIA = (
    "It makes media: use client.media.generate, OxenMediaTool or OxenToolkit in LangChain, "
    "OxenToolSpec in LlamaIndex. client.catalog.list(output='text') lists the models that chat."
)


def with_hint(
    error: APIStatusError, body: Mapping[str, Any], url: str, model: Model | None = None
) -> APIStatusError:
    """Return the error of a request, with a hint where one is known.

    `body` is the request's, `url` where it was sent, `model` what is known of its model.
    """
    if _needs_media(error, model):
        error.hint = f"{error.hint} {_USE_MEDIA}" if error.hint else _USE_MEDIA
    elif hint := _hint(error, body, url):
        error.hint = f"{error.hint} {hint}" if error.hint else hint
    return error


def _needs_media(error: APIStatusError, model: Model | None) -> bool:
    if isinstance(error, ModelNotFoundError) or error.status_code not in (400, 404, 405, 422):
        return False
    if model is not None and (model.outputs or model.is_chat):
        return not model.is_chat and any(map(model.makes, MEDIA_TYPES))
    return bool(_DOES_NOT_CHAT.search(error.message))


def _hint(error: APIStatusError, body: Mapping[str, Any], url: str) -> str | None:
    if isinstance(error, NotFoundError) and not isinstance(error, ModelNotFoundError):
        if error.hint is not None or error.response is None:
            return None  # inside a success: the URL was right
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
