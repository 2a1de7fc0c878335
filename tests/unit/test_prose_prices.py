"""Prices that stand only in prose: what a quote makes of an entry's texts and of documented facts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from oxen_inference.catalog.models import Model
from oxen_inference.catalog.pricing import quote
from oxen_inference.catalog.prose_prices import price_rules
from oxen_inference.catalog.reading import read_model

VIDEO = {"method": "per_video_output_second", "cost_per_second": "0.1"}
IMAGE = {"method": "per_image", "cost_per_image": "0.04"}
SIZES = {"type": "string", "enum": ["720p", "1080p", "4K"], "default": "720p"}
FIVE = {"type": "integer", "default": 5, "minimum": 5, "maximum": 10}
SWITCH = {"type": "boolean", "default": False}
LEVELS = {"type": "string", "enum": ["low", "high"], "default": "low"}
FACTOR = {"type": "string", "enum": ["2x", "4x"], "default": "2x"}
URL = {"type": "string", "format": "uri"}
FLAT = "$0.50"
OX = "https://example.com/ox.mp4"


def entry(text: str | None, pricing: Any = VIDEO, **properties: Any) -> Model:
    fields = {"prompt": {"type": "string"}, "resolution": SIZES, "duration": FIVE, **properties}
    return read_model(
        {
            "id": "ox",
            "description": text,
            "pricing": pricing,
            "request_schema": {"properties": fields},
        }
    )


def shown(model: Model, **params: Any) -> str:
    price = quote(model, params)
    return str(price) if price.known else "unknown"


@pytest.mark.parametrize(
    ("text", "at_1080p", "at_4k"),
    [
        ("A video model. 1080p costs twice.", "$0.50 to $1.00", FLAT),
        ("Renders at 720p or 1080p; 1080p is billed at twice the rate.", "$0.50 to $1.00", FLAT),
        ("1080p and 4K cost twice as much as 720p.", "$0.50 to $1.00", "$0.50 to $1.00"),
        ("At 4K, the price doubles.", FLAT, "$0.50 to $1.00"),
        ("Twice the price for 1080p, four times for 4K.", "$0.50 to $1.00", "$0.50 to $2.00"),
        ("1080p (2x cost), 4K (4x cost).", "$0.50 to $1.00", "$0.50 to $2.00"),
        ("1080p runs cost double; 4K runs cost quadruple.", "$0.50 to $1.00", "$0.50 to $2.00"),
        ("4K uses 3x credits.", FLAT, "$0.50 to $1.50"),
        ("1080p output is charged 50% more.", "$0.50 to $0.75", FLAT),
        ("1080p and above: Price * 2", "$0.50 to $1.00", "$0.50 to $1.00"),
        ("For resolutions above 720p:\nPrice × 2", "$0.50 to $1.00", "$0.50 to $1.00"),
        ("1080p requests are billed as two generations.", "$0.50 to $1.00", FLAT),
        ("Using 1080p will consume twice as many credits.", "$0.50 to $1.00", FLAT),
        ("1080p costs 0.2 USD per second", "$0.50 to $1.00", FLAT),
        (
            "720p is $0.10/second, 1080p $0.20/second, 4K $0.40/second",
            "$0.50 to $1.00",
            "$0.50 to $2.00",
        ),
        ("With 4K the cost goes up to $0.30 per second.", FLAT, "$0.50 to $1.50"),
        ("4K is dearer.", FLAT, "unknown"),
        ("1080p carries a surcharge.", "unknown", FLAT),
        ("A premium rate applies to 1080p.", "unknown", FLAT),
        ("Rendering in 4K incurs an additional charge.", FLAT, "unknown"),
        ("Higher resolutions cost more.", "unknown", "unknown"),
        ("The price depends on the resolution.", "unknown", "unknown"),
    ],
)
def test_a_price_word_near_a_value(text: str, at_1080p: str, at_4k: str) -> None:
    for model in (
        entry(text),
        entry(None, resolution={**SIZES, "description": text}),
        read_model({**entry("").raw, "pricing": {**VIDEO, "notes": text}}),
        read_model({**entry("").raw, "pricing_details": [{"text": text}]}),
    ):
        found = [shown(model, resolution=size) for size in ("720p", "1080p", "4K")]
        assert found == [FLAT, at_1080p, at_4k]


@pytest.mark.parametrize(
    "text",
    [
        "Upscales 2x or 4x. Costs $0.10 per second.",
        "4x the detail at the same price, also in 4K.",
        "The price is the same for 1080p and 4K.",
        "1080p and 4K at no extra cost.",
        "The cost does not depend on the resolution, 4K included: it does not cost more.",
        "Billed per second of output. Supports 1080p and 4K output at up to 60 fps.",
        "Renders 4K with a higher frame rate and twice the bit rate.",
        "Great 1080p video at low cost.",
        "A 4x upscaler at a price of $0.10 per second.",
        "Upscale up to 4x, costs $0.10 per second.",
        "Twice as fast as before.",
        "1080p. Prices are published elsewhere.",
    ],
)
def test_what_says_nothing_of_a_price(text: str) -> None:
    model = entry(text, upscale_factor=FACTOR)
    sizes = [shown(model, resolution=size) for size in ("720p", "1080p", "4K")]
    assert [*sizes, shown(model, upscale_factor="4x")] == [FLAT] * 4


def test_a_factor_counts_where_a_price_word_is_about_it() -> None:
    model = entry("4x upscaling costs twice as much as 2x.", IMAGE, upscale_factor=FACTOR)
    assert shown(model) == "$0.04"
    assert quote(model, {"upscale_factor": "4x"}).high >= Decimal("0.08")  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "properties", "params", "price"),
    [
        ("Generating audio doubles the price.", {"generate_audio": SWITCH}, {}, FLAT),
        (
            "Generating audio doubles the price.",
            {"generate_audio": SWITCH},
            {"generate_audio": True},
            "$0.50 to $1.00",
        ),
        (
            "Audio is charged extra.",
            {"generate_audio": {"type": "boolean", "default": True}},
            {},
            "unknown",
        ),
        ("A high thinking level costs more.", {"thinking_level": LEVELS}, {}, FLAT),
        (
            "A high thinking level costs more.",
            {"thinking_level": LEVELS},
            {"thinking_level": "high"},
            "unknown",
        ),
        (
            "Continuing a video costs more.",
            {"input_video": URL},
            {"input_video": OX},
            "unknown",
        ),
        ("Continuing a video costs more.", {"input_video": URL}, {}, FLAT),
        (
            "Video input is billed at 2x.",
            {"input_video": URL},
            {"input_video": OX},
            "$0.50 to $1.00",
        ),
        (
            "Each reference image adds $0.01.",
            {"reference_images": {"type": "array"}},
            {"reference_images": [OX]},
            "unknown",
        ),
        ("Drafts cost half.", {"draft": SWITCH}, {"draft": True}, "$0.25 to $0.50"),
    ],
)
def test_switches_levels_and_inputs(text: str, properties: Any, params: Any, price: str) -> None:
    assert shown(entry(text, **properties), **params) == price


def test_the_reason_quotes_the_sentence() -> None:
    price = quote(entry("A model. 4K is dearer."), {"resolution": "4K"})
    assert price.reason == (
        'resolution makes it dearer than the price list says (its entry says: "4K is dearer.")'
    )


def test_a_price_of_its_own_in_the_list_wins_over_prose() -> None:
    prices = {"720p": "0.1", "1080p": "0.15", "4K": "0.2"}
    model = entry("1080p costs twice.", {**VIDEO, "cost_per_second_by_resolution": prices})
    assert shown(model, resolution="1080p") == "$0.75"
    grid = {"cost_per_image_grid": {"low": {"default": "0.04"}, "high": {"default": "0.05"}}}
    model = entry("High quality costs twice.", {**IMAGE, **grid}, quality=LEVELS)
    assert shown(model, quality="high") == "$0.05"


def documented(model_id: str, pricing: Any = VIDEO, **properties: Any) -> Model:
    fields = {"prompt": {"type": "string"}, "duration": FIVE, **properties}
    schema = {"properties": fields}
    return read_model({"id": model_id, "pricing": pricing, "request_schema": schema})


def test_documented_multipliers_of_luma() -> None:
    sizes = {"type": "string", "default": "540p", "enum": ["540p", "720p", "1080p"]}
    seconds = {"type": "string", "default": "5s", "enum": ["5s", "10s"]}
    name = "luma-ray-v3-2-text-to-video"
    model = documented(name, resolution=sizes, duration=seconds)
    assert [shown(model, resolution=size) for size in sizes["enum"]] == [
        "$0.50", "$0.50 to $1.00", "$0.50 to $2.00",
    ]  # fmt: skip
    assert shown(model, resolution="1080p", duration="10s") == "$1.00 to $4.00"
    flat = documented(name, IMAGE, resolution=sizes, duration=seconds)
    assert shown(flat, resolution="1080p", duration="10s") == "$0.04 to $0.32"
    tuned = read_model({**model.raw, "id": "mine", "source_model": name})
    assert shown(tuned, resolution="720p") == "$0.50 to $1.00"


def test_what_is_documented_as_dearer_without_a_number_is_unknown() -> None:
    flux = documented(
        "flux-3-video",
        {**VIDEO, "cost_per_second": 0.221},
        resolution={"type": "string", "default": "720p", "enum": ["720p", "1080p"]},
        input_video=URL,
        draft=SWITCH,
    )
    assert quote(flux, {}).high == Decimal("1.105")
    assert quote(flux, {}).exact
    assert shown(flux, resolution="1080p") == shown(flux, input_video=OX) == "unknown"
    assert not quote(flux, {"draft": True}).exact
    banana = documented("nano-banana-2-lite", IMAGE, thinking_level=LEVELS)
    assert (shown(banana), shown(banana, thinking_level="high")) == ("$0.04", "unknown")


def test_an_edit_that_is_as_long_as_its_input() -> None:
    modes = {"type": "string", "enum": ["reference", "edit"]}
    kling = documented("kling-video-o3-omni", input_video=URL, video_mode=modes)
    assert shown(kling) == FLAT
    assert shown(kling, input_video=OX, video_mode="reference") == FLAT
    assert shown(kling, input_video=OX, video_mode="edit") == "unknown"
    assert shown(kling, input_video=OX) == "unknown"


def test_texts_are_read_once_for_each_entry_and_only_so_far() -> None:
    model = entry("1080p costs twice. " + "An ox. " * 100_000)
    assert price_rules(model) is price_rules(model)
    assert len(price_rules(entry("1080p costs twice. " * 3000))) < 2000
