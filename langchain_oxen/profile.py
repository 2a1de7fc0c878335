"""A model's profile in LangChain's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.profiles import Profile

if TYPE_CHECKING:
    from langchain_core.language_models.model_profile import ModelProfile

_INPUTS = {
    "text_inputs": ("text",),
    "image_inputs": ("image",),
    "image_url_inputs": ("image",),
    "pdf_inputs": ("file", "pdf", "document"),
    "audio_inputs": ("audio",),
    "video_inputs": ("video",),
}
_OUTPUTS = {
    "text_outputs": ("text",),
    "image_outputs": ("image",),
    "audio_outputs": ("audio",),
    "video_outputs": ("video",),
}
_AS_THEY_ARE = {
    "name": "name",
    "release_date": "released_at",
    "tool_calling": "tool_calling",
    "structured_output": "structured_output",
    "reasoning_output": "reasoning",
    "max_input_tokens": "max_input_tokens",
    "max_output_tokens": "max_output_tokens",
}


def model_profile(profile: Profile) -> ModelProfile:
    """Return `profile` as LangChain's `ModelProfile`; what is not known is left out."""
    translated: dict[str, Any] = {
        key: value
        for key, name in _AS_THEY_ARE.items()
        if (value := getattr(profile, name)) is not None
    }
    if profile.released_at:
        translated["release_date"] = profile.released_at[:10]
    for table, modalities in ((_INPUTS, profile.inputs), (_OUTPUTS, profile.outputs)):
        if modalities is not None:
            translated |= {
                key: not set(modalities).isdisjoint(names) for key, names in table.items()
            }
    for key in ("tool_choice", "tool_call_streaming"):
        if profile.tool_calling is not None:
            translated[key] = profile.tool_calling
    # In a tool's result they are sent on as a user's message, which every model that sees reads.
    for key in ("image", "pdf"):
        if f"{key}_inputs" in translated:
            translated[f"{key}_tool_message"] = translated[f"{key}_inputs"]
    return translated  # type: ignore[return-value]  # a TypedDict built from tables
