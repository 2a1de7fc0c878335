"""Why an answer ended, in the words of the providers behind Oxen."""

from __future__ import annotations

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


def ended_of_itself(reason: str | None) -> bool:
    """Whether the model had said all it had to say, as far as is known."""
    return reason is not None and _plain(reason) in _OF_ITSELF


def ran_out_of_tokens(reason: object) -> bool:
    """Whether an answer was cut off for want of tokens."""
    return isinstance(reason, str) and _plain(reason) in _OUT_OF_TOKENS


def _plain(reason: str) -> str:
    return reason.strip().lower().replace("-", "_")
