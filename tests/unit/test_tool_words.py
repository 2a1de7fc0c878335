"""What a tool tells its model of an error: what happened and what it can do, nothing it cannot."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from oxen_inference.catalog.model_reading import read_model
from oxen_inference.catalog.pricing import quote
from oxen_inference.errors import (
    BudgetExceededError,
    DownloadError,
    EnqueueOutcomeUnknown,
    GenerationTimeout,
    InvalidInputError,
    KeyConflictError,
    ModelInactiveError,
)
from oxen_inference.result import MediaItem, MediaResult
from oxen_inference.tools.settings import kind_of, tool_name
from oxen_inference.tools.text import asked_about, describe_parameters, explain

DEVELOPERS = re.compile(
    r"client\.|reconcile|resume|attach|allow_\w+|ChatOxen|pathlib|Ledger|[Uu]se a new key"
)


def made(kind: str = "image") -> MediaResult:
    item = MediaItem(generation_id="gen-1", status="succeeded")
    return MediaResult(model="m", media_type=kind, items=(item,))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            EnqueueOutcomeUnknown(
                "Whether Oxen accepted the request to m cannot be told (reset), and none matches "
                "exactly. It was not sent again, since that could be a second bill: "
                "client.media.reconcile() looks again; until then its money stays reserved. "
                "(Ledger entry 7.)",
                result=made(),
                candidates=(SimpleNamespace(generation_id="gen-2"),),
            ),
            ["cannot be told", "gen-2", "does not pay twice"],
        ),
        (
            DownloadError(
                "Made and paid for, but not fetched: gen-1: 502 Asking again for the same job "
                "(resume, attach or the same key) fetches it without paying.",
                result=made(),
            ),
            ["not fetched", "gen-1: 502", "exactly the same arguments"],
        ),
        (
            KeyConflictError("The key 'a:b' already stands for another request. Use a new key for it."),
            ["asked for something else", "Make a new call"],
        ),
        (
            BudgetExceededError(
                "The cost of m is not known before (billed by token), so it cannot be kept within "
                "a limit. Nothing was sent. allow_unknown_cost=True lets it run all the same."
            ),
            ["is not known before (billed by token)", "Nothing was sent.", "cheaper model"],
        ),
        (
            ModelInactiveError(
                "m is a custom model and is inactive: client.catalog.activate('m', wait=True), or "
                "`with client.catalog.deployed('m')`, which also ends its billing. (Oxen: no.)"
            ),
            ["not active", "another model"],
        ),
        (
            InvalidInputError("m makes text. Find a model with client.catalog.list(output='image')."),
            ["m makes text."],
        ),
        (
            GenerationTimeout("it goes on as gen-1; client.media.resume('k') gets it back."),
            ["it goes on as gen-1.", "keep waiting"],
        ),
    ],
)  # fmt: skip
def test_a_model_is_told_only_what_it_can_do(error: Any, told: list[str]) -> None:
    said = explain(error)
    assert not DEVELOPERS.search(said), said
    for part in told:
        assert part in said
    assert said.count("again") <= 3


@pytest.mark.parametrize("cls", [DownloadError, EnqueueOutcomeUnknown])
def test_sound_has_no_id_to_ask_again_with(cls: Any) -> None:
    said = explain(cls("Made and paid for, but not fetched: 0: disk full", result=made("audio")))
    assert "exactly the same arguments" not in said
    assert "Tell the user" in said or "tell the user" in said


def test_the_hubs_own_words_are_kept() -> None:
    said = explain(InvalidInputError("duration must be 4; prompt: a resume of https://x.test/a."))
    assert said == "Error: duration must be 4; prompt: a resume of https://x.test/a."


def test_a_chat_model_is_refused_without_what_only_developers_use() -> None:
    chat = read_model({"id": "talker", "capabilities": {"output": ["text"]}})
    with pytest.raises(InvalidInputError, match="ChatOxen") as caught:
        kind_of(chat)
    assert explain(caught.value) == "Error: talker makes text, not images, video or audio."


def test_a_model_that_makes_words_too_is_known_by_the_media_it_makes() -> None:
    row = {"id": "both", "endpoint": "/chat/completions", "capabilities": {"output": ["text", "image"]}}  # fmt: skip
    assert kind_of(read_model(row)) == "image"


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
    said = describe_parameters(read_model({"id": "m", "request_schema": schema}))
    assert said.startswith(
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
