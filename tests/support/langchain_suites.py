"""LangChain's standard suites for chat models, with every capability Oxen documents switched on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests, chat_models
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_oxen import ChatOxen
from tests.support.small_files import PDF, PNG, WAV

# Sees, hears and reads PDF documents.
MODEL = "gemini-3-flash-preview"
# Tells its reasoning tokens.
THINKER = "o4-mini-2025-04-16"
# Tells what it read from and wrote to its prompt cache.
CACHER = "claude-sonnet-4-6"

Detail = Literal[
    "audio_input", "audio_output", "reasoning_output", "cache_read_input", "cache_creation_input"
]


class _Capabilities:
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOxen

    @property
    def has_tool_calling(self) -> bool:
        return True

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def has_structured_output(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_video_inputs(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def returns_usage_metadata(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "gpt-4o-mini"

    @property
    def enable_vcr_tests(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(
        self,
    ) -> dict[Literal["invoke", "stream"], list[Detail]]:
        details: list[Detail] = ["reasoning_output", "cache_read_input", "cache_creation_input"]
        return {"invoke": details, "stream": details}


class UnitSuite(_Capabilities, ChatModelUnitTests):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": MODEL, "api_key": "a-key"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"OXEN_API_KEY": "a-key", "OXEN_BASE_URL": "https://hub.oxen.ai/api/ai"},
            {"model": MODEL},
            {"api_key": "a-key", "base_url": "https://hub.oxen.ai/api/ai"},
        )


class IntegrationSuite(_Capabilities, ChatModelIntegrationTests):
    """Its subclass gives `hub`, with `base_url` and `api_key`."""

    hub: Any

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": MODEL, "api_key": self.hub.api_key, "base_url": self.hub.base_url}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return _answer(
            self._another(THINKER), [HumanMessage("How many legs have six oxen?")], stream
        )

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        return _answer(self._another(CACHER), [_LONG], stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        model = self._another(CACHER)
        first = _answer(model, [_LONG], stream)
        return _answer(model, [_LONG, first, HumanMessage("And the second thing?")], stream)

    def _another(self, model: str) -> BaseChatModel:
        return ChatOxen(**{**self.chat_model_params, "model": model})


_LONG = HumanMessage(
    [
        {
            "type": "text",
            "text": "An ox is a patient animal. " * 800,
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "text", "text": "What is the first thing to know about oxen?"},
    ]
)


def _answer(model: BaseChatModel, messages: list[Any], stream: bool) -> AIMessage:
    if not stream:
        return model.invoke(messages)
    whole: AIMessageChunk | None = None
    for chunk in model.stream(messages):
        whole = chunk if whole is None else whole + chunk  # type: ignore[assignment]
    assert whole is not None
    return whole


def bundled(url: str) -> bytes:
    """Return a small file of the kind that `url` names."""
    if url.endswith(".pdf"):
        return PDF
    return WAV if url.endswith(".wav") else PNG


def serve_media(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the suites' downloads answered from here."""

    def get(url: str, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(content=bundled(url))

    monkeypatch.setattr(chat_models, "httpx", SimpleNamespace(get=get))
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "tests")
