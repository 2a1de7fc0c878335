"""A model's profile in LlamaIndex's terms."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import LLMMetadata

from oxen_inference.catalog.profiles import Profile


def llm_metadata(profile: Profile, *, num_output: int | None = None) -> LLMMetadata:
    """Return `profile` as LlamaIndex's `LLMMetadata`, which insists on a context window.

    Where the length is not known, the window is `oxen_inference.catalog.profiles.DEFAULT_CONTEXT_WINDOW`.
    `num_output`: tokens that an answer may have; LlamaIndex's default where it is not given.
    """
    limit = num_output or profile.max_output_tokens
    options: dict[str, Any] = {"num_output": limit} if limit else {}
    return LLMMetadata(
        model_name=profile.model_id,
        context_window=profile.context_window,
        is_chat_model=True,
        is_function_calling_model=bool(profile.tool_calling),
        **options,
    )
