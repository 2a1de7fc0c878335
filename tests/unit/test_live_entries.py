"""Facts of entries as the hub sends them: what they cost, take and are limited to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from langchain_oxen.profile import model_profile
from oxen_inference.catalog import arguments_model, profile_for, quote
from oxen_inference.catalog.parameters import validate
from oxen_inference.catalog.reading import read_model

GRID = {
    "high": {"1K": 0.13, "2K": 0.29, "4K": 1.13},
    "low": {"1K": 0.004, "2K": 0.009, "4K": 0.035},
}
URLS = {"type": "array", "items": {"type": "string", "format": "uri"}, "nullable": True}
PROMPT = {"type": "string"}


def entry(
    model_id: str, pricing: Any, required: tuple[str, ...] = ("prompt",), **properties: Any
) -> Any:
    schema = {
        "title": "Input",
        "type": "object",
        "required": list(required),
        "properties": properties,
    }
    return read_model(
        {
            "id": model_id,
            "endpoint": "/images/generate",
            "pricing": pricing,
            "request_schema": schema,
        }
    )


def test_a_grid_counts_where_the_flat_price_is_null() -> None:
    model = entry(
        "gpt-image-2",
        {"method": "per_image", "cost_per_image": None, "cost_per_image_grid": GRID},
        prompt=PROMPT,
        quality={"type": "string", "default": "high", "enum": ["low", "high"]},
        resolution={"type": "string", "default": "2K", "enum": ["1K", "2K", "4K"]},
        mask_url={"type": "string", "format": "uri", "nullable": True, "x-order": 2},
    )
    assert str(quote(model, {})) == "$0.29"
    assert quote(model, {"quality": "low", "resolution": "1K"}).high == Decimal("0.004")


@pytest.mark.parametrize("hidden", [{}, {"maximum": 6, "minimum": 1, "x-hidden": True}])
def test_each_image_is_billed_and_a_default_counts_without_a_maximum(hidden: Any) -> None:
    model = entry(
        "qwen-image-3",
        {"method": "per_image", "cost_per_image": 0.039},
        prompt=PROMPT,
        num_images={"type": "integer", "default": 1, **hidden},
    )
    assert quote(model, {}).exact
    assert quote(model, {"num_images": 6}).high == Decimal("0.234")


def test_a_price_in_credits_is_unknown_and_says_what_a_credit_costs() -> None:
    model = entry(
        "topazlabs-bloom-2-image",
        {"method": "per_provider_credit", "cost_per_credit": 0.08},
        ("input_image",),
        input_image={"type": "string", "format": "uri"},
        prompt={"type": "string", "default": ""},
    )
    price = quote(model, {})
    assert not price.known
    assert "credits at $0.08 each" in str(price)
    url = "https://example.com/ox.png"
    assert validate(model, {"input_image": url}) == {"input_image": url}
    assert arguments_model(model)(input_image=url)


def test_what_an_entry_says_of_its_limits_wins_over_the_shipped_facts() -> None:
    row = {"id": "gpt-4o", "context_length": 1_000_000, "max_output_tokens": 64_000}
    profile = profile_for("gpt-4o", read_model(row))
    assert (profile.max_input_tokens, profile.max_output_tokens) == (1_000_000, 64_000)
    told = model_profile(profile)
    assert (told["max_input_tokens"], told["max_output_tokens"]) == (1_000_000, 64_000)


@pytest.mark.parametrize("limit", [None, 0, -1, "many", True, 1e300, [], "1e400"])
def test_a_limit_that_is_none_is_left_to_the_shipped_facts(limit: Any) -> None:
    row = {"id": "gpt-4o", "context_length": limit, "max_output_tokens": limit}
    profile = profile_for("gpt-4o", read_model(row))
    assert (profile.max_input_tokens, profile.max_output_tokens) == (128_000, None)


def test_keywords_that_nobody_knows_break_nothing() -> None:
    odd = {"x-bounding-boxes": {"a": 1}, "x-next-to": "prompt", "x-workbench-default": [3]}
    model = read_model(
        {
            "id": "ox",
            "pricing": {"method": "per_image", "cost_per_image": 0.04},
            "request_schema": {
                "properties": {"prompt": {**PROMPT, **odd}, "size": {"type": "string", **odd}},
                "x-image-to-image-endpoint": "/images/edit",
                "x-who-knows": {"y": [None]},
            },
        }
    )
    assert quote(model, {}).exact
    assert '"x-' not in str(arguments_model(model).model_json_schema())


def described(references: Any) -> str:
    model = entry(
        "ox",
        None,
        prompt={"type": "string", "description": "What to make.", "x-media-references": references},
        input_images=URLS,
        audio_urls=URLS,
    )
    field = arguments_model(model).model_json_schema()["properties"]["prompt"]
    return str(field.get("description"))


def test_a_model_is_told_how_a_prompt_names_the_media() -> None:
    said = described({"groups": [{"field": "input_images", "pattern": "Image {n}"}]})
    assert said == (
        "What to make. @Image1, @Image2 and so on stand for the items of input_images, in their order."
    )
    groups = [
        {"field": "input_face_images", "pattern": "Image {n}"},
        {"field": "audio_urls", "pattern": "@Audio{n}"},
        {"field": "input_images", "pattern": "Image {n}"},
    ]
    said = described({"groups": groups})
    assert (
        "@Image1, @Image2 and so on stand for the items of input_face_images, then of input_images,"
        in said
    )
    assert "@Audio1, @Audio2 and so on stand for the items of audio_urls, in their order." in said


@pytest.mark.parametrize(
    "odd",
    [
        None,
        7,
        [],
        {},
        {"groups": None},
        {"groups": [1, {}, {"field": "a"}, {"field": 1, "pattern": "{n}"}]},
    ],
)
def test_odd_references_are_left_out(odd: Any) -> None:
    assert described(odd) == "What to make."


def test_audio_whose_length_no_parameter_says_is_of_unknown_price() -> None:
    model = entry(
        "seed-audio",
        {"method": "per_audio_output_second", "cost_per_second": 0.003125},
        prompt=PROMPT,
        audio_urls={**URLS, "maxItems": 3},
        speed={"type": "number", "default": 1, "minimum": 0.5, "maximum": 2},
        sample_rate={"type": "integer", "default": 24000, "enum": [8000, 24000, 48000]},
    )
    for params in ({}, {"speed": 2, "sample_rate": 48000}):
        assert "billed by second ($0.00312 a second)" in str(quote(model, params))
