"""Why an answer ended, in the words of the providers behind Oxen."""

from __future__ import annotations

from typing import Any

# The model came to its own end. Anthropic, Cohere and TGI say it in words of their own.
_OF_ITSELF = {
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
# It was given no more tokens.
_OUT_OF_TOKENS = {
    "length",
    "max_tokens",
    "max_output_tokens",
    "model_length",  # Mistral
    "model_context_window_exceeded",  # Anthropic
}

# The upstream, or the model, failed on the way.
_FAILED = {
    "error",
    "failed",
    "abort",  # vLLM, SGLang (https://github.com/vllm-project/vllm/issues/57082)
    "aborted",
    "cancelled",
    "canceled",
    "network_error",  # Z.ai (https://github.com/promptfoo/promptfoo/issues/9905)
    "insufficient_system_resource",  # https://api-docs.deepseek.com/api/create-chat-completion
    "malformed_function_call",  # Google
}
_NONE = {"", "null", "none"}  # as DashScope's chunks say it


def read_reason(said: Any) -> str | None:
    """Return the reason in a choice's ``finish_reason``; None where the answer goes on."""
    if isinstance(said, dict):  # SGLang's
        said = said.get("type")
    reason = None if said is None or said is False else str(said)
    return None if reason is None or _plain(reason) in _NONE else reason


def has_failed(reason: str) -> bool:
    """Whether a reason says that the answer is not whole for a fault."""
    return _plain(reason) in _FAILED


def ended_of_itself(reason: str | None) -> bool:
    """Whether the model had said all it had to say, as far as is known."""
    return reason is not None and _plain(reason) in _OF_ITSELF


def ran_out_of_tokens(reason: object) -> bool:
    """Whether an answer was cut off for want of tokens."""
    return isinstance(reason, str) and _plain(reason) in _OUT_OF_TOKENS


def _plain(reason: str) -> str:
    return reason.strip().lower().replace("-", "_")
