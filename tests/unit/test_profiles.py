"""Profiles: shipped facts until the catalog is there, and what it says from then on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from oxen_inference.catalog.profiles import (
    DEFAULT_CONTEXT_WINDOW,
    Profile,
    context_length,
    profile_for,
    shipped_facts,
)
from oxen_inference.catalog.reading import read_model

SEES = {"id": "gpt-4o", "capabilities": {"input": ["text", "image"], "output": ["text"]}}


def test_facts_come_with_their_date() -> None:
    assert shipped_facts()["as_of"] == "2026-08"
    assert context_length("gpt-4o") == 128_000
    assert context_length("no-such-model") is None
    assert min(shipped_facts()["context_lengths"].values()) == DEFAULT_CONTEXT_WINDOW


def test_the_facts_are_those_published(published_contract: Path) -> None:
    rows = json.loads((published_contract / "catalog-facts.json").read_text(encoding="utf-8"))
    published = {row["id"]: row["context_length"] for row in rows if row["context_length"]}
    assert shipped_facts()["context_lengths"] == published


def test_without_the_catalog_there_are_the_shipped_facts() -> None:
    profile = profile_for("gpt-4o")
    assert (profile.max_input_tokens, profile.tool_calling) == (128_000, True)
    assert (profile.inputs, profile.outputs, profile.structured_output) == (None, None, None)
    unknown = profile_for("somebodys-own")
    assert (unknown.max_input_tokens, unknown.context_window) == (None, DEFAULT_CONTEXT_WINDOW)


def test_the_catalog_adds_what_it_knows() -> None:
    profile = profile_for("gpt-4o", read_model(SEES))
    assert (profile.inputs, profile.outputs) == (("text", "image"), ("text",))
    assert profile.max_input_tokens == 128_000
    video = read_model({"id": "video-maker", "capabilities": {"output": ["video"]}})
    assert profile_for("video-maker", video).tool_calling is False
    silent = read_model({"id": "x"})
    assert profile_for("x", silent).tool_calling is True


def test_a_fine_tuned_model_has_the_context_of_its_source() -> None:
    tuned = read_model({"id": "mine", "source_model": "gpt-4o"})
    assert profile_for("mine", tuned).max_input_tokens == 128_000
    model = read_model({"id": "mine", "source_model": "gpt-4o", "context_length": 9000})
    assert profile_for("mine", model).max_input_tokens == 9000


def test_everything_can_be_overridden() -> None:
    profile = profile_for(
        "gpt-4o", read_model(SEES), tool_calling=False, structured_output=True, max_input_tokens=5,
        reasoning=None,
    )  # fmt: skip
    assert (profile.tool_calling, profile.structured_output, profile.max_input_tokens) == (
        False, True, 5,
    )  # fmt: skip
    with pytest.raises(TypeError, match="context_size"):
        profile_for("gpt-4o", context_size=5)


def test_both_frameworks_get_it_in_their_terms() -> None:
    langchain = pytest.importorskip("langchain_oxen.profile")
    llama_index = pytest.importorskip("llama_index_oxen")
    profile = profile_for("gpt-4o", read_model(SEES))
    translated = langchain.model_profile(profile)
    assert translated["max_input_tokens"] == 128_000
    assert translated["image_inputs"] is True
    assert translated["audio_inputs"] is False
    assert translated["tool_calling"] is True
    for key in langchain.ModelProfile.__annotations__.keys() & {
        "mid_conversation_system_messages", "attachment",
    }:  # fmt: skip
        assert translated[key] is True
    assert translated.keys() <= langchain.ModelProfile.__annotations__.keys()
    assert "structured_output" not in translated
    assert langchain.model_profile(Profile(model_id="x")) == {}
    metadata = llama_index.Oxen("gpt-4o", api_key="k").metadata
    assert (metadata.context_window, metadata.is_function_calling_model) == (128_000, True)


def test_openai_is_not_imported() -> None:
    source = "import sys, oxen_inference.catalog.profiles as p; p.profile_for('gpt-4o'); print('openai' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
