"""Filters become a short ranked list with prices; a model becomes a document."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from oxen_inference.catalog.documents import document_id, metadata, page
from oxen_inference.catalog.models import Model
from oxen_inference.catalog.reading import read_model
from oxen_inference.catalog.search import find_models, numbered_lines
from oxen_inference.catalog.suggestions import did_you_mean, suggestion


def model(name: str, makes: str, *takes: str, price: Any = None, **properties: Any) -> Model:
    methods = {"image": "per_image", "video": "per_video_output_second"}
    units = {"image": "cost_per_image", "video": "cost_per_second"}
    pricing = {"method": methods.get(makes, "token"), units.get(makes, "x"): price}
    return read_model(
        {
            "id": name,
            "object": "model",
            "capabilities": {"input": list(takes), "output": [makes]},
            "pricing": pricing if price is not None else None,
            "request_schema": {"properties": properties},
        }
    )


UP_TO_TEN = {"type": "integer", "minimum": 3, "maximum": 10, "default": 5}
AUDIO = {"type": "boolean", "default": False}
MODELS = [
    model("talker", "text", "text", "image"),
    model("painter", "image", "text", price="0.02"),
    model("sketcher", "image", "text", "image", price="0.01"),
    model("mystery-painter", "image", "text"),
    model("silent-video", "video", "text", "image", price="0.01", duration=UP_TO_TEN),
    model("loud-video", "video", "text", "image", price="0.05", duration=UP_TO_TEN, generate_audio=AUDIO),
    model("loud-luxury", "video", "text", "image", price="0.5", duration={"enum": ["5s", "10s"]}, generate_audio=AUDIO),
    model("loud-short", "video", "text", "image", price="0.001", duration={"enum": [4, 8]}, generate_audio=AUDIO),
    model("loud-text", "video", "text", price="0.001", duration=UP_TO_TEN, generate_audio=AUDIO),
]  # fmt: skip


def ids(words: str = "", **filters: Any) -> list[str]:
    return [match.model.id for match in find_models(MODELS, words, **filters)]


def test_the_cheapest_model_that_turns_an_image_into_a_ten_second_video_with_audio() -> None:
    matches = find_models(
        MODELS, output="video", input="image", seconds=10, with_audio=True, cheapest=True
    )
    assert [match.model.id for match in matches] == ["loud-video", "loud-luxury"]
    assert matches[0].price.high == Decimal("0.50")
    assert matches[0].params == {"duration": 10, "generate_audio": True}
    assert matches[1].params["duration"] == "10s"
    assert numbered_lines(matches).startswith(
        "1. loud-video: loud-video; makes video from text, image; price: $0.50 with generate_audio"
    )


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"output": "image", "input": "image"}, ["sketcher"]),
        ({"output": "Images"}, ["sketcher", "painter", "mystery-painter"]),
        ({"output": "image", "max_price": "0.015"}, ["sketcher"]),
        ({"output": "image", "max_price": 100}, ["sketcher", "painter"]),
        ({"output": "image", "limit": 1}, ["sketcher"]),
        ({"output": "image", "limit": -1}, []),
        ({"output": "text", "input": "image"}, ["talker"]),
        ({"max_price": 0}, []),
        ({"seconds": 2.5}, []),
        ({"seconds": 8}, ["loud-short", "loud-text", "silent-video", "loud-video"]),
        ({"with_audio": True, "limit": 2}, ["loud-text", "loud-short"]),
        ({"output": "image", "with_audio": True}, []),
        ({"output": "image", "seconds": 5}, []),
    ],
)
def test_a_model_passes_every_filter_and_the_cheapest_comes_first(
    filters: dict[str, Any], found: list[str]
) -> None:
    assert ids(**filters) == found


def test_a_part_of_a_second_is_asked_for_where_a_model_takes_it() -> None:
    half = model("half", "video", duration={"type": "number", "minimum": 1, "maximum": 5})
    assert find_models([half], seconds=2.5)[0].params == {"duration": 2.5}


def test_words_rank_and_rule_nothing_out() -> None:
    assert ids("luxury", limit=20)[0] == "loud-luxury"
    assert ids("mystery painter", output="image")[0] == "mystery-painter"
    assert ids("mystery painter", output="image", cheapest=True)[0] == "sketcher"
    assert sorted(ids("asdfgh qwerty", limit=20)) == sorted(ids(limit=20))
    assert numbered_lines([]) == "No model of the catalog does that."


def test_a_model_whose_inputs_are_not_known_takes_text_only() -> None:
    unsaid = [model("unsaid", "image")]
    assert find_models(unsaid, input="text")
    assert not find_models(unsaid, input="image")


def test_rows_are_plain_data() -> None:
    row = find_models(MODELS, output="video", seconds=5, limit=1)[0].as_row()
    assert row["price_low"] == row["price_high"]
    assert all(isinstance(row[key], str) for key in ("id", "name", "price"))


def test_a_document_says_what_a_model_does_takes_makes_and_costs() -> None:
    video = MODELS[5]
    text = page(video)
    for part in (
        "loud-video", "makes videos from text, image", "image to video",
        "Length: 3 to 10 seconds", "Can have audio", "Price: $0.05 per second",
        "- duration: optional, integer, 3 to 10, default 5",
    ):  # fmt: skip
        assert part in text
    assert document_id(video) == document_id(MODELS[5]) == "oxen-model:loud-video"
    facts = metadata(video)
    assert facts["makes_video"] == 1
    assert facts["takes_audio"] == 0
    assert facts["longest_seconds"] == 10.0
    assert facts["can_have_audio"] == 1
    assert None not in facts.values()
    assert facts["takes_file"] == 0
    for name in ("file", "pdf", "documents"):
        assert metadata(model("reader", "text", "text", name))["takes_file"] == 1
    assert "takes_file" not in metadata(model("unsaid", "text"))


def test_names_somebody_may_have_meant() -> None:
    known = ["flux-2-dev", "flux-1-dev", "gpt-4o", "gpt-4o-mini", "claude-sonnet-4-6"]
    assert did_you_mean("flux-2-dve", known)[0] == "flux-2-dev"
    assert did_you_mean("GPT4o", known) == ("gpt-4o", "gpt-4o-mini")
    assert did_you_mean("claude-sonnet", known) == ("claude-sonnet-4-6",)
    assert did_you_mean("gpt-4o-2024-08-06", known)[0] == "gpt-4o"
    assert did_you_mean("zebra", known) == ()
    videos = [
        "kling-video-o3-pro-reference-to-video",
        "kling-video-v3-standard",
        "google-veo-3-1-fast",
    ]
    assert set(did_you_mean("kling", videos)) == set(videos[:2])
    assert did_you_mean("veo-3", videos) == ("google-veo-3-1-fast",)
    assert did_you_mean("generate_audio", ["num_generations", "prompt"]) == ()
    assert did_you_mean("audio", ["num_generations", "generate_audio"]) == ("generate_audio",)
    assert did_you_mean("", known) == ()
    assert suggestion(()) == ""
    assert suggestion(("a",)) == "Did you mean a?"
    assert suggestion(("a", "b", "c")) == "Did you mean a, b or c?"
