"""The names under which `ChatOxen` takes a parameter, and what becomes of those it does not know."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

ALIASES = {
    "model_name": "model",
    "oxen_api_key": "api_key",
    "oxen_api_base": "base_url",
    "api_base": "base_url",
    "max_completion_tokens": "max_tokens",
    "stop_sequences": "stop",
    "request_timeout": "timeout",
    "headers": "default_headers",
}
"""Names other chat models use for a parameter → its name here."""

SENT = (
    "temperature",
    "max_tokens",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "stop",
    "target_namespace",
)
"""Fields that go into a request under their own names."""

_FOREIGN = {"organization", "use_responses_api", "use_previous_response_id", "tiktoken_model_name", "include_response_headers"}  # fmt: skip
# Of the API or its models, and known to be meant.
_COMMON = {"reasoning_effort", "reasoning", "thinking", "top_k", "min_p", "logprobs", "top_logprobs", "logit_bias", "user", "metadata", "service_tier", "verbosity", "repetition_penalty", "prediction", "modalities", "audio", "tools", "tool_choice", "n", "stream", "stream_options"}  # fmt: skip
_CALLER = 6  # stack levels from here to whoever makes a model


def sort_arguments(given: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Return the values of `fields`: other names read as theirs, the rest put in `model_kwargs`.

    Raises `ValueError` for settings that only another class has.
    """
    values = {name: value for name, value in given.items() if name in fields}
    meant = given.get("model_kwargs") or {}
    own = (*SENT, "model")
    unknown = {name: value for name, value in meant.items() if name not in own}
    for name, value in meant.items():
        if name in own:
            warnings.warn(
                f"{name} is a parameter of ChatOxen: pass it directly, not in model_kwargs.",
                stacklevel=_CALLER,
            )
            values.setdefault(name, value)
    for name, value in given.items():
        if (field := ALIASES.get(name)) is not None:
            values.setdefault(field, value)
        elif name not in fields:
            unknown[name] = value
    # Another class's settings, left over from a move, must not travel in every request.
    if foreign := sorted(name for name in unknown if _is_foreign(name)):
        raise ValueError(
            f"ChatOxen has no {', '.join(foreign)}: the key is api_key, the base URL base_url, and a "
            "proxy goes with an http_client; nothing stands for the rest."
        )
    for name in unknown.keys() - meant.keys() - _COMMON:
        _warn_of(name, [*fields, *ALIASES])
    if unknown:
        values["model_kwargs"] = unknown
    return values


def _is_foreign(name: str) -> bool:
    return name in _FOREIGN or name.startswith("openai_") or name.endswith("_api_key")


def _warn_of(name: str, known: Collection[str]) -> None:
    near = get_close_matches(name, known, n=1)
    warnings.warn(
        f"{name} is no parameter of ChatOxen and goes to the API as it is"
        + (f"; did you mean {near[0]}?" if near else ".")
        + " To say that this is meant, put it into model_kwargs.",
        stacklevel=_CALLER + 1,
    )
