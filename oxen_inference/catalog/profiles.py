"""What a chat model can do, in neutral terms that both adapters translate.

Modalities and limits come from the catalog where it is loaded. Where the entry gives no context length,
it comes from a table of facts shipped with this version (`context_lengths.json`, with its date). Tool
calling is assumed of every chat model. Every field can be overridden. Nothing is fetched, and
openai is not imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.schema import number_of

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

DEFAULT_CONTEXT_WINDOW = 32_768
"""Tokens assumed where a framework insists on a number and none is known: the shortest context
in the shipped table, since too small a guess costs a little and too large a one fails."""

# Not in the published OpenAPI file, but seen in the hub's entries.
_LENGTH_FIELDS = ("context_length", "context_window", "max_context_length", "max_input_tokens")
_OUTPUT_FIELDS = ("max_output_tokens", "max_completion_tokens")
_MOST_TOKENS = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A model's abilities; None means not known. Lengths are in tokens."""

    model_id: str
    name: str | None = None
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    tool_calling: bool | None = None
    structured_output: bool | None = None
    reasoning: bool | None = None
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    released_at: str | None = None

    @property
    def context_window(self) -> int:
        """The context length, or `DEFAULT_CONTEXT_WINDOW` where it is not known."""
        return self.max_input_tokens or DEFAULT_CONTEXT_WINDOW


def profile_for(model_id: str, model: Model | None = None, **overrides: Any) -> Profile:
    """Return the profile of `model_id`; `model` is its catalog entry, where that is loaded.

    `overrides` are fields of `Profile`; those that are None change nothing.
    """
    unknown = set(overrides) - {field.name for field in fields(Profile)}
    if unknown:
        raise TypeError(f"not a field of a model's profile: {', '.join(sorted(unknown))}")
    profile = Profile(
        model_id=model_id,
        tool_calling=True,
        max_input_tokens=context_length(model_id),
    )
    if model is not None:
        profile = replace(
            profile,
            name=model.display_name,
            inputs=model.inputs or None,
            outputs=model.outputs or None,
            tool_calling=model.is_chat or not model.outputs,
            max_input_tokens=_length_of(model),
            max_output_tokens=_first_limit(model, _OUTPUT_FIELDS),
            released_at=model.released_at,
        )
    return replace(profile, **{k: v for k, v in overrides.items() if v is not None})


def context_length(model_id: str) -> int | None:
    """Return the shipped fact of how many tokens fit a model, or None."""
    lengths: Mapping[str, int] = shipped_facts()["context_lengths"]
    return lengths.get(model_id)


@cache
def shipped_facts() -> Mapping[str, Any]:
    """Return the shipped table: `as_of` (year and month), `source`, `context_lengths` by id."""
    text = (
        files("oxen_inference.catalog").joinpath("context_lengths.json").read_text(encoding="utf-8")
    )
    table: Mapping[str, Any] = json.loads(text)
    return table


def _length_of(model: Model) -> int | None:
    # A fine-tuned model has the context of what it was made from.
    return (
        _first_limit(model, _LENGTH_FIELDS)
        or context_length(model.id)
        or (context_length(model.source_model) if model.source_model else None)
    )


def _first_limit(model: Model, names: tuple[str, ...]) -> int | None:
    """Return the first of these fields of a model's entry that is a number of tokens."""
    limits = (number_of(model.raw.get(name)) for name in names)
    return next((int(n) for n in limits if n is not None and 1 <= n <= _MOST_TOKENS), None)
