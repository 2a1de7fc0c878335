"""What a language model reads of an error: what went wrong, and what it can do about it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from oxen_inference.catalog.pricing import quote
from oxen_inference.catalog.reading import read_model
from oxen_inference.errors import (
    APITimeoutError,
    BadRequestError,
    BudgetExceededError,
    DownloadError,
    EnqueueOutcomeUnknown,
    GenerationFailed,
    GenerationTimeout,
    InsufficientCreditsError,
    InvalidInputError,
    KeyConflictError,
    ModelInactiveError,
    ModelNotFoundError,
    OxenError,
    RateLimitError,
)
from oxen_inference.result import MediaItem, MediaResult
from oxen_inference.tools.media_config import media_type_of, tool_name
from oxen_inference.tools.text import asked_about, describe_parameters, explain

HINT = "Call client.media.reconcile() or pass allow_unknown_cost=True."


def made(kind: str = "image") -> MediaResult:
    item = MediaItem(generation_id="gen-1", status="succeeded")
    return MediaResult(model="m", media_type=kind, items=(item,))


def running() -> MediaResult:
    item = MediaItem(generation_id="gen-1", status="processing")
    return MediaResult(model="m", media_type="image", items=(item,))


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (
            EnqueueOutcomeUnknown("Unknown whether Oxen accepted it.", result=made(), hint=HINT),
            ["Unknown whether Oxen accepted it.", "does not pay twice"],
        ),
        (
            DownloadError("Not fetched: gen-1: status 502", result=made(), hint=HINT),
            ["Not fetched: gen-1: status 502. Call", "exactly the same arguments"],
        ),
        (
            KeyConflictError("The key 'a:b' already stands for another request.", hint=HINT),
            ["asked for something else", "Make a new call"],
        ),
        (
            BudgetExceededError("The cost of m is not known in advance.", hint=HINT),
            ["is not known in advance.", "cheaper model"],
        ),
        (
            ModelInactiveError("m is a custom model and is inactive. (Oxen: no.)", hint=HINT),
            ["not active", "another model"],
        ),
        (InvalidInputError("m makes text.", hint=HINT), ["m makes text."]),
        (GenerationFailed("m made nothing: nudity.", result=made(), hint=HINT), ["nudity."]),
        (
            GenerationTimeout("Not finished after 3 s.", result=running(), hint=HINT),
            ["is not ready (processing). Generation ids: gen-1.", "keep waiting"],
        ),
        (GenerationTimeout("Not finished after 3 s.", hint=HINT), ["after 3 s.", "keep waiting"]),
        (InsufficientCreditsError("No credits", hint=HINT), ["No credits. Tell the user."]),
        (RateLimitError("Slow down", hint=HINT), ["Slow down. Try again later"]),
        (APITimeoutError("No answer", hint=HINT), ["No answer. Try again later"]),
        (BadRequestError("duration is 4", hint=HINT), ["duration is 4."]),
    ],
)
def test_a_language_model_reads_what_it_can_do_and_no_hint(
    error: OxenError, parts: list[str]
) -> None:
    text = explain(error)
    assert text.startswith("Error: ")
    assert "client." not in text
    assert "allow_" not in text
    for part in parts:
        assert part in text


def test_a_language_model_reads_the_closest_names_of_an_unknown_model() -> None:
    error = ModelNotFoundError("Model not found: flux-2-dve", hint=HINT)
    error.suggestions = ("flux-2-dev",)
    assert explain(error) == "Error: Model not found: flux-2-dve. Did you mean flux-2-dev?"


@pytest.mark.parametrize("cls", [DownloadError, EnqueueOutcomeUnknown])
def test_audio_has_no_id_to_ask_again_with(cls: Any) -> None:
    direct = MediaResult(model="m", media_type="audio", items=(MediaItem(status="succeeded"),))
    text = explain(cls("Made and paid for, but not fetched: 0: disk full", result=direct))
    assert "exactly the same arguments" not in text
    assert "Tell the user" in text or "tell the user" in text


def test_audio_from_the_queue_has_one() -> None:
    text = explain(DownloadError("Made and paid for, but not fetched: x", result=made("audio")))
    assert "exactly the same arguments" in text


def test_oxen_s_own_text_is_kept() -> None:
    text = explain(InvalidInputError("duration must be 4; prompt: a resume of https://x.test/a."))
    assert text == "Error: duration must be 4; prompt: a resume of https://x.test/a."


def test_the_refusal_of_a_chat_model_has_its_advice_in_the_hint() -> None:
    chat = read_model({"id": "talker", "capabilities": {"output": ["text"]}})
    with pytest.raises(InvalidInputError) as caught:
        media_type_of(chat)
    assert "ChatOxen" in (caught.value.hint or "")
    assert explain(caught.value) == "Error: talker makes text, not images, video or audio."


def test_a_model_that_also_makes_text_has_the_type_of_its_media() -> None:
    row = {"id": "both", "endpoint": "/chat/completions", "capabilities": {"output": ["text", "image"]}}  # fmt: skip
    assert media_type_of(read_model(row)) == "image"


def test_a_person_is_shown_an_address_without_its_signature() -> None:
    model = read_model({"id": "m", "pricing": {"method": "per_image", "cost_per_image": 0.05}})
    arguments = {"prompt": "an ox", "input_image": "https://x.test/a.png?signature=secret"}
    assert asked_about("draw", arguments, quote(model, {})) == (
        "draw(prompt='an ox', input_image='https://x.test/a.png') costs up to $0.05. Go ahead?"
    )


def test_parameters_are_named_with_their_choices() -> None:
    properties = {
        "prompt": {"type": "string"},
        "length": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "size": {"type": "string", "enum": ["small", "large"]},
        "steps": {"type": "integer", "minimum": 1, "maximum": 50},
    }
    schema = {"type": "object", "properties": properties, "required": ["prompt"]}
    text = describe_parameters(read_model({"id": "m", "request_schema": schema}))
    assert text.startswith(
        "Parameters of m: prompt (string, required), length (integer or string), "
        "size (small | large), steps (integer 1 to 50), "
    )


def test_tools_of_different_models_have_different_names() -> None:
    def name(model_id: str, role: str | None = None) -> str:
        return tool_name(read_model({"id": model_id, "capabilities": {"output": ["image"]}}), role)

    assert name("flux-2-dev") == "generate_image_with_flux_2_dev"
    long = "x" * 44
    names = [
        name(one) for one in (f"{long}-a", f"{long}-b", "日本", "中国", "ox-日本", "ox-中国", "ox")
    ]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", one) for one in names)
    assert name(f"{long}-a") == name(f"{long}-a")
    assert len({name(f"{long}-a", role) for role in ("generate_image", "edit_image")}) == 2
