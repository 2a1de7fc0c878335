"""Why an answer ended, in the words of the providers behind Oxen."""

from __future__ import annotations

import re
from typing import Any

# The model ended the answer itself. Anthropic, Cohere and TGI have their own words for it.
_NATURAL = {
    "stop",
    "tool_calls",
    "tool_call",
    "function_call",
    "tool_use",
    "end_turn",
    "stop_sequence",
    "eos",
    "eos_token",
    "complete",
    "completed",
}
_TOKEN_LIMIT = {
    "length",
    "max_tokens",
    "max_output_tokens",
    "model_length",  # Mistral
    "model_context_window_exceeded",  # Anthropic
}
# The upstream, or the model, failed before the answer was complete.
_FAILURE = {
    "error",
    "failed",
    "abort",  # vLLM, SGLang (https://github.com/vllm-project/vllm/issues/57082)
    "aborted",
    "cancelled",
    "canceled",
    "network_error",  # Z.ai (https://github.com/promptfoo/promptfoo/issues/9905)
    "insufficient_system_resource",  # https://api-docs.deepseek.com/api/create-chat-completion
    # Google (https://ai.google.dev/api/generate-content#FinishReason) and Amazon
    "malformed_function_call",
    "malformed_response",
    "malformed_model_output",
    "malformed_tool_use",
    "unexpected_tool_call",
    "too_many_tool_calls",
    "missing_thought_signature",
    "function_call_filter",  # before a colon and one of these
}
_CALLS = {"tool_calls", "tool_call", "function_call", "tool_use"}
_REFUSAL = {"refusal"}  # Anthropic
_FILTERED = {
    "content_filter",
    "content_filtered",  # Amazon
    "guardrail_intervened",
    "guardrails",
    "safety",  # Google
    "prohibited_content",
    "blocklist",
    "recitation",
    "spii",
    "model_armor",
    "image_safety",
    "image_prohibited_content",
    "image_recitation",
    "error_toxic",  # Cohere
    "sensitive",  # Z.ai
    "content_policy_violation",
    "content_policy",
    "moderation",
}
_NO_REASON = {"", "null", "none"}  # DashScope writes it out in its chunks


def parse_finish_reason(value: Any) -> str | None:
    """Return the reason in a choice's ``finish_reason``; None where the answer continues."""
    if isinstance(value, dict):  # SGLang's
        value = value.get("type")
    reason = None if value is None or value is False else str(value)
    return None if reason is None or _spelled(reason) in _NO_REASON else reason


def is_failure(reason: str) -> bool:
    """Whether a reason means that the upstream failed before the answer was complete."""
    return _normalized(reason) in _FAILURE


def is_natural_end(reason: str | None) -> bool:
    """Whether the model ended the answer itself. False where that is unknown."""
    return reason is not None and _normalized(reason) in _NATURAL


def announces_calls(reason: str | None) -> bool:
    """Whether a reason says that the answer calls a tool."""
    return reason is not None and _normalized(reason) in _CALLS


def is_refusal(reason: str | None) -> bool:
    """Whether a reason says that the model refused."""
    return reason is not None and _normalized(reason) in _REFUSAL


def is_filtered(reason: str | None) -> bool:
    """Whether a provider's filter ended the answer."""
    return reason is not None and _normalized(reason) in _FILTERED


def ran_out_of_tokens(reason: object) -> bool:
    """Whether a token limit ended the answer."""
    return isinstance(reason, str) and _normalized(reason) in _TOKEN_LIMIT


def _normalized(reason: str) -> str:
    """Return the known word in a reason, spelled as above, or else all of it.

    Google's OpenAI-compatible API composes a general reason and its own, which says more:
    ``content_filter: PROHIBITED_CONTENT``.
    """
    whole = _spelled(reason)
    parts = (part.strip("_") for part in reversed(whole.split(":")))
    return next((part for part in parts if part in _KNOWN), whole)


def _spelled(reason: str) -> str:
    words = _CAMEL_CASE.sub("_", reason.strip()).lower()
    for separator in ("-", " "):
        words = words.replace(separator, "_")
    # As Google's libraries write their enumeration.
    return words.removeprefix("finish_reason.").removeprefix("finish_reason_")


_KNOWN = _NATURAL | _TOKEN_LIMIT | _FAILURE | _CALLS | _REFUSAL | _FILTERED
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
