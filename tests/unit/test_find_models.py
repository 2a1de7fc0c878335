"""A need in words becomes a short ranked list with prices."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from oxen_inference.catalog.did_you_mean import did_you_mean, suggestion
from oxen_inference.catalog.find_models import describe, find_models, read_need
from oxen_inference.catalog.model_reading import read_model
from oxen_inference.catalog.model_text import document_id, metadata, page
from oxen_inference.catalog.models import Model


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
SOUND = {"type": "boolean", "default": False}
MODELS = [
    model("talker", "text", "text", "image"),
    model("painter", "image", "text", price="0.02"),
    model("sketcher", "image", "text", "image", price="0.01"),
    model("mystery-painter", "image", "text"),
    model("silent-film", "video", "text", "image", price="0.01", duration=UP_TO_TEN),
    model("loud-film", "video", "text", "image", price="0.05", duration=UP_TO_TEN, generate_audio=SOUND),
    model("loud-luxury", "video", "text", "image", price="0.5", duration={"enum": ["5s", "10s"]}, generate_audio=SOUND),
    model("loud-short", "video", "text", "image", price="0.001", duration={"enum": [4, 8]}, generate_audio=SOUND),
    model("loud-text", "video", "text", price="0.001", duration=UP_TO_TEN, generate_audio=SOUND),
]  # fmt: skip


def ids(need: str = "", **filters: Any) -> list[str]:
    return [match.model.id for match in find_models(MODELS, need, **filters)]


def test_the_cheapest_model_that_turns_an_image_into_a_ten_second_film_with_sound() -> None:
    matches = find_models(
        MODELS, "cheapest model that turns an image into a ten-second film with sound"
    )
    assert [match.model.id for match in matches] == ["loud-film", "loud-luxury"]
    assert matches[0].price.high == Decimal("0.50")
    assert matches[0].params == {"duration": 10, "generate_audio": True}
    assert matches[1].params["duration"] == "10s"
    assert describe(matches).startswith(
        "1. loud-film: loud-film; makes video from text, image; price: $0.50 with"
    )


@pytest.mark.parametrize(
    ("text", "output", "source"),
    [
        ("draw a logo", "image", None),
        ("a film of a cow", "video", None),
        ("turn a photo into a clip", "video", "image"),
        ("image to video", "video", "image"),
        ("a clip from a picture", "video", "image"),
        ("text to speech", "audio", "text"),
        ("transcribe this recording of a voice", "text", "audio"),
        ("chat about things", "text", None),
        ("something nice", None, None),
    ],
)
def test_words_say_what_goes_in_and_what_comes_out(
    text: str, output: str | None, source: str | None
) -> None:
    need = read_need(text)
    assert (need.output, need.input) == (output, source)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10 s", 10), ("a ten-second film", 10), ("2.5 seconds", Decimal("2.5")), ("one minute", 60),
     ("twenty secs", 20), ("a film", None)],
)  # fmt: skip
def test_a_length_in_words(text: str, seconds: Any) -> None:
    assert read_need(text).seconds == seconds


def test_filters_overrule_the_words() -> None:
    assert ids("a film", output="image", input="image") == ["sketcher"]
    assert ids(output="image", max_price="0.015") == ["sketcher"]
    assert ids(method="per_image", limit=1) == ["sketcher"]
    assert ids("film", max_price=0) == []
    assert describe([]) == "No model of the catalog does that."


@pytest.mark.parametrize(
    "need", ["asdfgh qwerty", "cheapest zzxxyy", "an opera", "zz", "a ten second wlkjw"]
)
def test_words_that_are_about_no_model_find_none(need: str) -> None:
    assert ids(need) == []
    assert ids(need, output="image") == ids(output="image")


@pytest.mark.parametrize(
    "need", ["", "cheapest", "the best model, please", "luxury", "for 10 seconds"]
)
def test_words_that_rule_nothing_out_leave_all(need: str) -> None:
    assert sorted(ids(need, limit=20)) == sorted(ids(limit=20))


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("a film under 1 dollar", "1"), ("a film below $0.50", "0.5"), ("a film for at most 2 USD", "2"),
        ("a film for no more than 50 cents", "0.5"), ("less than one dollar", "1"), ("up to 3$", "3"),
        ("a film under 10 seconds", None), ("up to 4k", None), ("a $5 logo", None),
    ],
)  # fmt: skip
def test_a_price_in_words_is_a_limit(text: str, most: str | None) -> None:
    assert read_need(text).max_price == (None if most is None else Decimal(most))


def test_a_price_in_words_leaves_out_what_costs_more() -> None:
    assert ids("an image for at most 1.5 cents") == ["sketcher"]
    assert set(ids("under 0.9 cents")) == {"loud-short", "loud-text"}
    assert ids("an image below $0.01", max_price="0.015") == ["sketcher"]


def test_what_is_unpriced_comes_last_and_over_no_limit() -> None:
    assert ids("cheap painting", output="image") == ["sketcher", "painter", "mystery-painter"]
    assert "mystery-painter" not in ids(output="image", max_price=100)


def test_rows_are_plain_data() -> None:
    row = find_models(MODELS, "film 5 s", limit=1)[0].as_row()
    assert row["price_low"] == row["price_high"]
    assert all(isinstance(row[key], str) for key in ("id", "name", "price"))


def test_a_document_says_what_a_model_does_takes_makes_and_costs() -> None:
    film = MODELS[5]
    text = page(film)
    for part in (
        "loud-film", "makes videos (films) from text, image", "image to video",
        "Length: 3 to 10 seconds", "Can have sound", "Price: $0.05 per second",
        "- duration: optional, integer, 3 to 10, default 5",
    ):  # fmt: skip
        assert part in text
    assert document_id(film) == document_id(MODELS[5]) == "oxen-model:loud-film"
    facts = metadata(film)
    assert facts["makes_video"] == 1
    assert facts["takes_audio"] == 0
    assert facts["longest_seconds"] == 10.0
    assert facts["can_have_sound"] == 1
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
    films = [
        "kling-video-o3-pro-reference-to-video",
        "kling-video-v3-standard",
        "google-veo-3-1-fast",
    ]
    assert set(did_you_mean("kling", films)) == set(films[:2])
    assert did_you_mean("veo-3", films) == ("google-veo-3-1-fast",)
    assert did_you_mean("generate_audio", ["num_generations", "prompt"]) == ()
    assert did_you_mean("audio", ["num_generations", "generate_audio"]) == ("generate_audio",)
    assert did_you_mean("", known) == ()
    assert suggestion(()) == ""
    assert suggestion(("a",)) == "Did you mean a?"
    assert suggestion(("a", "b", "c")) == "Did you mean a, b or c?"
