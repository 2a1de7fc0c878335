"""Which names of request parameters are known, and what is said of one that is not.

A misspelled parameter is sent like any other, and means nothing: `max_tokns` limits no answer. The
adapters import this at once, so it must not import openai.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

KNOWN = frozenset(
    {
        "model", "temperature", "max_tokens", "max_completion_tokens", "top_p", "top_k", "min_p",
        "seed", "stop", "frequency_penalty", "presence_penalty", "repetition_penalty",
        "logit_bias", "logprobs", "top_logprobs", "n", "tools", "tool_choice",
        "parallel_tool_calls", "functions", "function_call", "strict", "response_format",
        "reasoning_effort", "reasoning", "thinking", "enable_thinking", "verbosity", "modalities",
        "audio", "prediction", "stream", "stream_options", "user", "metadata", "service_tier",
        "provider", "cache_control", "prompt_cache_key", "safety_identifier", "target_namespace",
        "timeout", "extra_headers", "extra_query", "extra_body",
    }
)  # fmt: skip
"""Parameters of the API, of its models and of the SDK, which need no warning."""

CALL_ALIASES = {
    "model_name": "model",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "stop_sequences": "stop",
    "request_timeout": "timeout",
}
"""Names that other chat models use for a parameter of a call → its name here."""

_SETTINGS_ONLY = {"budget": "budget", "max_cost": "budget", "max_retries": "max_retries"}
"""Names that a request refuses, since they look like a limit and would be none → the setting."""

NEEDS_MODEL = (
    "{} needs a model: pass model=..., such as 'claude-sonnet-4-6'. `oxen-inference models "
    "--output text` lists the chat models."
)
"""The text of the error for a chat model without a name, with its class to be filled in."""

_warned: set[tuple[str, str]] = set()
"""Classes and unknown parameters of their calls that a warning named already."""
_MOST_WARNED = 1000
_CALLER = 8  # stack levels from a call's check to its caller; the ways of calling differ by a few


@dataclass(frozen=True)
class ParameterNames:
    """The names that a class of chat models knows, for the warning of one that it does not."""

    owner: str
    """The name of the class."""
    instead: Mapping[str, str]
    """Names that other classes have → what to do here."""
    unchecked: str
    """Where a parameter goes that is to be sent without a warning."""

    def refuse_settings(self, given: Collection[str]) -> None:
        """Raise `InvalidInputError` for a setting that would be no limit in a request."""
        for name, setting in _SETTINGS_ONLY.items():
            if name in given:
                from oxen_inference.errors import InvalidInputError

                raise InvalidInputError(
                    f"{name} is no parameter of a call: pass it where the model is made, "
                    f"{self.owner}({setting}=...)."
                )

    def warn(self, given: Iterable[str], own: Collection[str] = (), *, stacklevel: int) -> None:
        """Warn of each name that is neither in `KNOWN` nor in `own`."""
        for name in sorted(set(given) - KNOWN - set(own)):
            warnings.warn(self._text(name, own), stacklevel=stacklevel + 1)

    def check_call(
        self, given: Collection[str], own: Collection[str] = (), *, settings: Collection[str]
    ) -> None:
        """Warn of each unknown name in a call, of each once in this process.

        `settings`: what the class takes when an object of it is made, and no call does. Raises
        `InvalidInputError` for those of them that would limit a call.
        """
        self.refuse_settings(given)
        for name in sorted(set(given) - KNOWN - set(own)):
            if (self.owner, name) in _warned or len(_warned) >= _MOST_WARNED:
                continue
            _warned.add((self.owner, name))
            text = self._text_of_setting(name) if name in settings else self._text(name, own)
            warnings.warn(text, stacklevel=_CALLER)

    def _text(self, name: str, own: Collection[str]) -> str:
        instead = self.instead.get(name)
        near = [] if instead else get_close_matches(name, {*own, *KNOWN}, n=1)
        ending = f"; did you mean {near[0]}?" if near else f"; {instead}." if instead else "."
        return (
            f"{name} is not a parameter of {self.owner} and is sent to the API unchanged{ending} "
            f"If it is intended, put it into {self.unchecked}."
        )

    def _text_of_setting(self, name: str) -> str:
        return (
            f"{name} is a setting of {self.owner} and not of a call: it is sent to the API "
            f"unchanged, and changes nothing here. Pass it to {self.owner}(...)."
        )
