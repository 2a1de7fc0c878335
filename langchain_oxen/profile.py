"""A model's profile in LangChain's terms, filled from the catalog when it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.language_models.model_profile import ModelProfile

from oxen_inference.catalog.profiles import Profile, profile_for

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

_TIMEOUT = 5.0  # seconds that reading a profile may take, where it blocks no event loop

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
_FIELDS = {
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
        key: value for key, name in _FIELDS.items() if (value := getattr(profile, name)) is not None
    }
    if profile.released_at:
        translated["release_date"] = profile.released_at[:10]
    for table, modalities in ((_INPUTS, profile.inputs), (_OUTPUTS, profile.outputs)):
        if modalities is not None:
            translated |= {
                key: not set(modalities).isdisjoint(names) for key, names in table.items()
            }
    if profile.tool_calling is not None:
        for key in ("tool_choice", "tool_call_streaming"):
            translated[key] = profile.tool_calling
        # Every message is sent where the developer put it.
        translated["mid_conversation_system_messages"] = profile.tool_calling
    # Media in a tool's result is sent again as a user message, which every such model reads.
    for key in ("image", "pdf"):
        if f"{key}_inputs" in translated:
            translated[f"{key}_tool_message"] = translated[f"{key}_inputs"]
            translated["attachment"] = translated.get("attachment") or translated[f"{key}_inputs"]
    # An older langchain-core warns of keys that it does not know.
    known = ModelProfile.__annotations__.keys()
    return {key: value for key, value in translated.items() if key in known}  # type: ignore[return-value]  # a TypedDict built from tables


class _ChatModel(Protocol):
    model: str

    def _catalog_entry(self, model_id: str, timeout: float) -> Model | None: ...

    def _known_entry(self, model_id: str) -> Model | None: ...


class CatalogProfile(Mapping[str, Any]):
    """LangChain's `ModelProfile` as a mapping that is filled when it is read.

    Reading it fetches the catalog. Inside a running event loop, which that would block, it returns
    what is known so far, and the fetch goes on in the background.
    """

    def __init__(self, chat_model: _ChatModel) -> None:
        self._chat_model = chat_model

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __bool__(self) -> bool:
        return True  # LangChain asks while the model is being made, when nothing may be fetched

    # LangChain says that a profile is a dict; these are the methods of one.

    def copy(self) -> dict[str, Any]:
        return dict(self._read())

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._read(), **other} if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**other, **self._read()} if isinstance(other, Mapping) else NotImplemented

    def __eq__(self, other: object) -> bool:
        if isinstance(other, CatalogProfile):
            return self._chat_model.model == other._chat_model.model
        return dict(self) == dict(other) if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # the content changes when the catalog arrives

    def __repr__(self) -> str:
        # What is known by now: to show a model, as a debugger does, must fetch nothing.
        model_id = self._chat_model.model
        known = model_profile(profile_for(model_id, self._chat_model._known_entry(model_id)))
        return f"{type(self).__name__}({model_id!r}, {known!r})"

    def _read(self) -> dict[str, Any]:
        model_id = self._chat_model.model
        entry = self._chat_model._catalog_entry(model_id, _TIMEOUT)
        return dict(model_profile(profile_for(model_id, entry)))
