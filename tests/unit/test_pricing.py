"""Quotes are exact where everything is known, and never below what a call may cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oxen_inference.catalog.chat_cost import chat_cost, chat_cost_estimate
from oxen_inference.catalog.effective import read_quantity
from oxen_inference.catalog.models import Model
from oxen_inference.catalog.pricing import Quote, price_hint, quote
from oxen_inference.catalog.pricing_tiers import same_tier
from oxen_inference.catalog.reading import read_model
from oxen_inference.money import usd

NO_PARAMS: dict[str, Any] = {}


def model_of(pricing: Any, **properties: Any) -> Model:
    schema = {"type": "object", "properties": properties}
    return read_model({"id": "m", "pricing": pricing, "request_schema": schema})


def video(properties: dict[str, Any], **pricing: Any) -> Model:
    return model_of(
        {"method": "per_video_output_second", "cost_per_second": "0.1", **pricing}, **properties
    )


def image(properties: dict[str, Any], **pricing: Any) -> Model:
    return model_of({"method": "per_image", **pricing}, **properties)


def between(low: str, high: str) -> tuple[Decimal, Decimal]:
    return Decimal(low), Decimal(high)


def ends(price: Quote) -> tuple[Decimal | None, Decimal | None]:
    return price.low, price.high


INT = {"type": "integer"}
BOOL = {"type": "boolean"}
FIVE = {"type": "integer", "default": 5, "minimum": 3, "maximum": 15}
SIZES = {"type": "string", "enum": ["480p", "720p", "1080p"], "default": "720p"}


# Images


def test_images_cost_their_number() -> None:
    model = image({}, cost_per_image=0.013)
    assert quote(model, NO_PARAMS) == Quote(Decimal("0.013"), Decimal("0.013"))
    assert quote(model, NO_PARAMS, 4).high == Decimal("0.052")
    assert quote(model, {"num_generations": 3}).high == Decimal("0.039")
    assert quote(model, {"num_generations": 3}, 2).high == Decimal("0.026")
    assert str(quote(model, NO_PARAMS, 4)) == "$0.052"


@pytest.mark.parametrize(
    "name", ["n", "num_images", "num_outputs", "number_of_images", "batch_size"]
)
def test_a_models_own_count_multiplies(name: str) -> None:
    model = image({name: {**INT, "default": 2, "maximum": 4}}, cost_per_image="0.01")
    assert ends(quote(model, NO_PARAMS)) == between("0.02", "0.02")
    assert ends(quote(model, {name: "3"}, 2)) == between("0.06", "0.06")
    open_count = image({name: {**INT, "minimum": 1, "maximum": 4}}, cost_per_image="0.01")
    assert ends(quote(open_count, NO_PARAMS)) == between("0.01", "0.04")
    unbounded = image({name: INT}, cost_per_image="0.01")
    assert "how many results" in (quote(unbounded, NO_PARAMS).reason or "")
    assert not quote(model, {name: "lots"}).known


def test_a_count_limit_is_a_range() -> None:
    model = image({"max_images": {**INT, "default": 6}}, cost_per_image="0.01")
    assert ends(quote(model, NO_PARAMS)) == between("0.01", "0.06")


@pytest.mark.parametrize(
    ("properties", "params", "low", "high"),
    [
        ({"num_images": INT, "batch_size": {**INT, "default": 4}}, {"num_images": 1}, "4", "4"),
        ({"num_images": INT, "batch_size": {**INT, "default": 4}}, {"num_images": 2}, "4", "8"),
        ({"n": {**INT, "default": 1}, "num_outputs": {**INT, "maximum": 4}}, {}, "1", "4"),
        ({"n": {**INT, "default": 1}, "num_outputs": {**INT, "maximum": 4}}, {"n": 2}, "2", "8"),
    ],
)
def test_counts_of_two_names_multiply(properties: Any, params: Any, low: str, high: str) -> None:
    price = quote(image(properties, cost_per_image=1), params)
    assert ends(price) == between(low, high)


def test_a_second_count_without_an_end_leaves_the_price_unknown() -> None:
    properties = {"num_images": {**INT, "default": 1}, "batch_size": INT}
    assert not quote(image(properties, cost_per_image=1), {"num_images": 1}).known


def test_a_null_that_is_sent_leaves_the_choice_to_the_model() -> None:
    count = {"anyOf": [{**INT, "maximum": 4}, {"type": "null"}], "default": 1}
    images = image({"num_images": count}, cost_per_image="0.1")
    assert ends(quote(images, {"num_images": None})) == between("0.1", "0.4")
    assert ends(quote(images, NO_PARAMS)) == between("0.1", "0.1")
    seconds = {"type": ["integer", "null"], "default": 5, "minimum": 5, "maximum": 10}
    assert ends(quote(video({"duration": seconds}), {"duration": None})) == between("0.5", "1")
    audio = {"type": ["boolean", "null"], "default": False}
    with_audio = video(
        {"generate_audio": audio, "duration": FIVE}, cost_per_second_with_audio="0.2"
    )
    assert ends(quote(with_audio, {"generate_audio": None})) == between("0.5", "1")
    size = {"type": ["string", "null"], "enum": ["480p", "1080p", None], "default": "480p"}
    sized = video({"resolution": size, "duration": FIVE}, cost_per_second_by_resolution=BY_SIZE)
    assert ends(quote(sized, {"resolution": None}))[1] == 1
    inside = {"settings": {"properties": {"num_images": {**INT, "default": 1, "maximum": 3}}}}
    nested = image(inside, cost_per_image=1)
    assert ends(quote(nested, {"settings": {"num_images": None}})) == between("1", "3")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompts", ["a", "b", "c", "d"]),
        ("multi_prompt", ["a", "b", "c", "d"]),
        ("seeds", [1, 2, 3, 4]),
        ("tasks", [{"prompt": "a"}] * 4),
        ("shots", [{"text": "a"}] * 4),
    ],
)
def test_a_list_of_prompts_may_make_one_result_each(name: str, value: Any) -> None:
    model = image({name: {"type": "array"}}, cost_per_image=1)
    assert ends(quote(model, {name: value})) == between("1", "4")
    assert quote(image({name: {"type": "array", "default": value}}, cost_per_image=1), {}).high == 4
    assert ends(quote(model, NO_PARAMS)) == between("1", "1")


@pytest.mark.parametrize("name", ["input_images", "image_urls", "loras", "negative_prompts"])
def test_a_list_of_inputs_multiplies_nothing(name: str) -> None:
    model = image({name: {"type": "array"}}, cost_per_image=1)
    assert ends(quote(model, {name: ["a", "b"]})) == between("1", "1")
    assert ends(quote(model, {name: [{"path": "a", "scale": 2}] * 2})) == between("1", "1")


def test_inputs_and_steps_are_no_counts() -> None:
    properties = {"num_inference_steps": {**INT, "default": 30}, "input_images": {"type": "array"}}
    assert quote(image(properties, cost_per_image=1), {"num_frames": 9}).high == 1


def of_schema(pricing: dict[str, Any], schema: dict[str, Any]) -> Model:
    return read_model({"id": "m", "pricing": pricing, "request_schema": schema})


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"numImages": {**INT, "default": 4}}},
        {"properties": {"settings": {"properties": {"num_images": {**INT, "default": 4}}}}},
        {"properties": {"settings": {"type": "object", "default": {"num_images": 4}}}},
        {"properties": {"num_images": {"anyOf": [INT, {"type": "null"}], "default": 4}}},
    ],
)
def test_a_count_is_found_wherever_the_schema_has_it(schema: dict[str, Any]) -> None:
    price = quote(of_schema({"method": "per_image", "cost_per_image": 1}, schema), NO_PARAMS)
    assert price.high == 4


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"allOf": [{"properties": {"num_images": {**INT, "default": 4}}}]}, "allOf"),
        ({"$ref": "#/$defs/In", "$defs": {"In": {"properties": {"n": {**INT, "default": 4}}}}}, "$ref"),
        ({"properties": {"n": {"$ref": "#/$defs/N"}}, "$defs": {"N": {"default": 4}}}, "$ref"),
        ({"properties": {"n": {**INT, "default": 1, "multipleOf": 4}}}, "multipleOf"),
        ({"properties": {"quality": {"type": "string", "pattern": "^(a+)+$"}}}, "pattern"),
        ({"properties": {"settings": {"properties": {"n": {"oneOf": [INT]}}}}}, "oneOf"),
        ({"properties": {"n": {**INT, "default": 1}}, "anyOf": [{"required": ["n"]}]}, "anyOf"),
    ],
)  # fmt: skip
def test_a_keyword_that_is_not_read_leaves_the_price_unknown(
    schema: dict[str, Any], keyword: str
) -> None:
    model = of_schema({"method": "per_image", "cost_per_image": 1}, schema)
    for params in ({}, {"n": 1, "quality": "a"}):
        price = quote(model, params)
        assert not price.known
        assert f"has the keyword {keyword}, which this version does not read" in str(price)


def test_a_keyword_that_is_not_read_of_a_prompt_changes_no_price() -> None:
    prompt = {"type": "string", "maxLength": 2000, "pattern": "."}
    assert quote(image({"prompt": prompt}, cost_per_image=1), {"prompt": "an ox"}).exact


@pytest.mark.parametrize(
    "name", ["images_per_prompt", "quantity", "count", "samples", "batch_size", "num_samples", "variants", "imagesPerPrompt"]
)  # fmt: skip
def test_what_counts_results_is_never_undercounted(name: str) -> None:
    default = image({name: {**INT, "default": 4}}, cost_per_image=1)
    assert quote(default, NO_PARAMS).high == 4
    assert quote(default, {name: 3}).high == 3
    assert quote(default, {name: 1}).exact
    at_most = image({name: {**INT, "maximum": 6}}, cost_per_image=1)
    assert ends(quote(at_most, NO_PARAMS)) == between("1", "6")
    per_video = video({name: {**INT, "default": 4}, "duration": {**INT, "default": 5}})
    assert quote(per_video, NO_PARAMS).high == 2


@pytest.mark.parametrize("name", ["mysteries", "best_of", "takes_per_seed", "extend_seconds"])
@pytest.mark.parametrize(
    "spec",
    [
        {**INT, "default": 4}, {"type": "number"}, {"enum": ["2", "4"]}, {"type": ["string", "integer"]},
        {"anyOf": [INT, {"type": "null"}]}, {},
    ],
)  # fmt: skip
def test_a_number_under_a_name_nobody_knows_leaves_the_price_unknown(name: str, spec: Any) -> None:
    price = quote(image({name: spec}, cost_per_image=1), NO_PARAMS)
    assert not price.known
    assert f"{name} may multiply the price" in str(price)
    inside = image({"settings": {"type": "object", "properties": {name: spec}}}, cost_per_image=1)
    assert f"settings.{name} may" in str(quote(inside, NO_PARAMS))


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"mysteries": 4}, "mysteries"),
        ({"mysteries": "4"}, "mysteries"),
        ({"mysteries": [1, 2]}, "mysteries"),
        ({"mysteries": ["an ox", "a cow"]}, "mysteries"),
        ({"camera": {"zoom": {"by": 2.5}}}, "camera.zoom.by"),
        ({"elements": [{"image_url": "https://x.test/a", "repeat": 3}]}, "elements[].repeat"),
        ({"shots": [{"prompt": "a", "num_images": 3}]}, "shots[].num_images"),
        ({"deep": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"n": 2}}}}}}}}}}}, "deep.a"),
    ],
)  # fmt: skip
def test_a_number_that_a_call_gives_under_such_a_name_does_too(params: Any, name: str) -> None:
    model = image({"prompt": {"type": "string"}}, cost_per_image=1)
    assert str(quote(model, params)).startswith(f"unknown: {name}")


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ({"type": "string"}, "the 4 oxen"), ({"type": "string"}, "4"), (BOOL, True),
        ({"enum": ["2x", "fast"]}, "2x"), ({"type": "array"}, ["https://x.test/a", "https://x.test/b"]),
        ({"type": "object"}, {"mode": "fast"}),
    ],
)  # fmt: skip
def test_what_is_no_number_under_such_a_name_changes_no_price(spec: Any, value: Any) -> None:
    model = image({"mystery": spec}, cost_per_image=1)
    assert quote(model, NO_PARAMS).exact
    assert quote(model, {"mystery": value}).exact


@pytest.mark.parametrize(
    "name",
    ["seed", "steps", "num_inference_steps", "guidance_scale", "height", "width", "fps", "quality",
     "safety_tolerance", "max_sequence_length", "top_k", "sample_rate", "sample_steps",
     "image_strength", "frames_per_second", "num_frames"],
)  # fmt: skip
def test_what_measures_something_else_leaves_the_quote_exact(name: str) -> None:
    model = image({name: {**INT, "default": 8, "maximum": 12}}, cost_per_image=1)
    assert ends(quote(model, NO_PARAMS)) == between("1", "1")
    assert ends(quote(model, {name: 3})) == between("1", "1")


GRID = {"low": {"1K": 0.01, "4K": 0.02}, "high": {"1K": 0.1, "4K": 1.47}}
CHOICES = {
    "quality": {"type": "string", "enum": ["low", "high"], "default": "low"},
    "resolution": {"type": "string", "enum": ["1K", "4K"], "default": "1K"},
}


@pytest.mark.parametrize(
    ("params", "low", "high"),
    [
        ({}, "0.01", "0.01"),
        ({"quality": "HIGH", "resolution": "4k"}, "1.47", "1.47"),
        ({"quality": "auto", "resolution": "4K"}, "0.01", "1.47"),
    ],
)
def test_the_grid_is_read_by_quality_and_size(params: Any, low: str, high: str) -> None:
    model = image(CHOICES, cost_per_image=0.01, cost_per_image_grid=GRID)
    assert ends(quote(model, params)) == between(low, high)


def test_a_parameter_the_grid_needs_and_nobody_gives_is_a_range() -> None:
    model = image({"size": {"enum": ["1K", "4K"]}}, cost_per_image_grid={"standard": GRID["high"]})
    assert ends(quote(model, NO_PARAMS)) == between("0.1", "1.47")
    assert quote(model, {"size": "1 K"}).exact
    nothing = image({}, cost_per_image_grid=GRID)
    assert ends(quote(nothing, NO_PARAMS)) == between("0.01", "1.47")


def test_a_grid_with_one_row_or_a_default_tier_needs_no_parameter() -> None:
    model = image({"size": CHOICES["resolution"]}, cost_per_image_grid={"standard": GRID["low"]})
    assert ends(quote(model, {"size": "4K"})) == between("0.02", "0.02")
    tiers = {"standard": {"default": 0.006}, "high": {"default": 0.011}}
    quality = {"output_quality": {"type": "string", "enum": ["standard", "high"]}}
    graded = image(quality, cost_per_image=0.006, cost_per_image_grid=tiers)
    assert ends(quote(graded, {"output_quality": "high", "aspect_ratio": "1:1"})) == between(
        "0.011", "0.011"
    )
    assert ends(quote(graded, NO_PARAMS)) == between("0.006", "0.011")


def test_pixels_do_not_pass_for_a_tier() -> None:
    grid = {"high": {"1024x1024": 0.1, "1536x1024": 0.2}}
    model = image({"size": {"type": "string"}}, cost_per_image_grid=grid)
    assert quote(model, {"size": "1024 x 1024"}).high == Decimal("0.1")
    assert not quote(model, {"size": "1024x2048"}).known


@pytest.mark.parametrize(
    "params", [{"quality": "ultra"}, {"quality": "high", "resolution": "9K"}, {"quality": "ultra", "resolution": "9K"}]
)  # fmt: skip
@pytest.mark.parametrize("flat", [None, "0.01"])
def test_what_the_grid_leaves_out_is_unknown(params: Any, flat: str | None) -> None:
    model = image(CHOICES, cost_per_image=flat, cost_per_image_grid=GRID)
    price = quote(model, params)
    assert not price.known
    assert "the price list leaves out" in (price.reason or "")


def test_a_choice_left_to_the_model_may_be_one_that_the_grid_leaves_out() -> None:
    some = {"quality": {"enum": ["auto", "low", "high", "ultra"], "default": "auto"}}
    assert not quote(image(some, cost_per_image_grid=GRID), NO_PARAMS).known
    left_out = {"quality": {"enum": ["low", "ultra"]}}
    assert not quote(image(left_out, cost_per_image_grid=GRID), NO_PARAMS).known


def test_a_tier_for_all_others_stands_beside_the_listed_ones() -> None:
    grid = {"low": {"any": 0.01}, "default": {"any": 0.3}}
    open_choice = image({"quality": {"enum": ["low", "high"]}}, cost_per_image_grid=grid)
    assert ends(quote(open_choice, NO_PARAMS)) == between("0.01", "0.3")
    assert ends(quote(open_choice, {"quality": "high"})) == between("0.3", "0.3")


def test_a_cell_without_a_price_is_unknown_not_free() -> None:
    model = image(CHOICES, cost_per_image_grid={"low": {"1K": None, "4K": 1}})
    assert not quote(model, {"resolution": "1K"}).known
    assert quote(model, {"resolution": "4K"}).high == 1


# Videos: how long


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (8, "8"), (8.0, "8"), ("8", "8"), ("5s", "5"), (" 5 Seconds", "5"), ("2.5s", "2.5"),
        ("1m", "60"), ("0:10", "10"), ("1:00:01", "3601"), ("500ms", "0.5"), (-1, "-1"),
        ("auto", None), ("", None), (True, None), (None, None), ([], None), ("NaN", None),
        ("5 apples", None), (float("inf"), None),
    ],
)  # fmt: skip
def test_durations_in_every_spelling(value: object, seconds: str | None) -> None:
    assert read_quantity(value) == (None if seconds is None else Decimal(seconds))


@pytest.mark.parametrize("name", ["duration", "seconds", "video_length", "duration_seconds"])
def test_videos_cost_their_seconds(name: str) -> None:
    model = video({name: FIVE})
    assert ends(quote(model, NO_PARAMS)) == between("0.5", "0.5")
    assert ends(quote(model, {name: 10}, 2)) == between("2", "2")
    assert ends(quote(model, {name: "10s"})) == between("1", "1")
    assert ends(quote(model, {name: None})) == between("0.5", "0.5")


@pytest.mark.parametrize("auto", [-1, 0, "auto", "whatever"])
def test_an_open_duration_is_whatever_the_schema_allows(auto: object) -> None:
    listed = video({"duration": {"enum": [-1, 0, "auto", "4", 15, "30s"], "default": auto}})
    assert ends(quote(listed, NO_PARAMS)) == between("0.4", "3")
    bounded = video({"duration": {"type": "integer", "minimum": 3, "maximum": 15, "default": auto}})
    assert ends(quote(bounded, NO_PARAMS)) == between("0.3", "1.5")
    assert ends(quote(video({"duration": {**INT, "maximum": 10}}), {"duration": auto})) == between(
        "0.1", "1"
    )
    assert not quote(video({"duration": {"default": auto}}), NO_PARAMS).known


def test_a_duration_nobody_gives_is_a_range() -> None:
    model = video({"duration": {"type": "integer", "minimum": 1, "maximum": 15}})
    price = quote(model, NO_PARAMS)
    assert ends(price) == between("0.1", "1.5")
    assert (str(price), price.exact, price.known) == ("$0.10 to $1.50", False, True)
    assert price.reason == "the length is open"


@pytest.mark.parametrize(
    ("duration", "low", "high"),
    [
        ({"anyOf": [{**INT, "maximum": 12}, {"const": "auto"}], "default": "auto"}, "0.1", "1.2"),
        ({"anyOf": [{"enum": ["4s", "8s"]}, {"const": "auto"}]}, "0.4", "0.8"),
        ({"anyOf": [{**INT, "maximum": 10}, {"type": "null"}], "default": None}, "0.1", "1.0"),
        ({"anyOf": [{**INT, "default": 5}, {"type": "null"}], "default": 7}, "0.7", "0.7"),
    ],
)
def test_a_duration_is_read_through_unions(duration: dict[str, Any], low: str, high: str) -> None:
    assert ends(quote(video({"duration": duration}), NO_PARAMS)) == between(low, high)


def test_a_union_with_an_open_branch_is_unknown() -> None:
    union = {"anyOf": [{**INT, "maximum": 12}, {"type": "number"}]}
    assert not quote(video({"duration": union}), NO_PARAMS).known


def test_frames_are_seconds_where_their_rate_is_known() -> None:
    frames = {"num_frames": {**INT, "default": 121, "minimum": 9, "maximum": 481}}
    rate = {"frames_per_second": {"type": "number", "default": 24}}
    price = quote(video({**frames, **rate}), NO_PARAMS)
    assert price.low == Decimal(121) / 24 / 10  # a part of a second may be billed as a whole one
    assert price.high == Decimal("0.6")
    assert ends(quote(video({**frames, **rate}), {"num_frames": 48})) == between("0.2", "0.2")
    assert not quote(video(frames), NO_PARAMS).known
    with_duration = video({**frames, **rate, "duration": FIVE})
    assert quote(with_duration, {"duration": 7}).high == Decimal("0.7")


@pytest.mark.parametrize(
    "properties",
    [
        {"input_video": {"type": "string"}},
        {"video_url": {"type": "string"}, "resolution": SIZES},
        {"match_audio_length": {"type": "boolean", "default": True}, "duration": FIVE},
        {"input_video": {}, "start_time": {"type": "number"}, "duration": FIVE},
        {"retake_start_time": {"default": 0}, "retake_duration": {"default": 2}},
        {},
    ],
)
def test_a_length_that_depends_on_something_else_is_unknown(properties: Any) -> None:
    price = quote(video(properties), NO_PARAMS)
    assert ends(price) == (None, None)
    assert "billed by second ($0.10 a second)" in str(price)


def test_shots_add_up_and_the_duration_beside_them_leaves_it_open() -> None:
    model = video({"duration": FIVE, "multi_prompt": {"type": "array"}})
    shots = [{"prompt": "a", "duration": 3}, {"prompt": "b", "duration": "9s"}]
    assert ends(quote(model, {"multi_prompt": shots})) == between("0.5", "1.2")
    assert ends(quote(model, {"multi_prompt": [{"prompt": "a"}] * 2})) == between("0.5", "3")


@pytest.mark.parametrize("duration", [{}, {"duration": INT}])
def test_shots_of_no_known_length_leave_the_price_unknown(duration: Any) -> None:
    model = video({**duration, "multi_prompt": {"type": "array"}})
    price = quote(model, {"multi_prompt": [{"prompt": "a"}]})
    assert "how long the result can be" in str(price)


def test_shots_of_any_name_add_up() -> None:
    model = video({"duration": {**INT, "default": 5, "maximum": 10}, "shots": {"type": "array"}})
    shots = [{"duration": 10}, {"duration": 10}]
    assert ends(quote(model, {"shots": shots})) == between("0.5", "2")
    assert quote(model, {"shots": [{"duration_ms": 1500}] * 4}).high == Decimal("0.8")
    assert quote(model, {"prompts": ["a", "b", "c"]}).high == 3


def test_a_part_of_a_second_may_be_billed_as_a_whole_one() -> None:
    model = video({"duration": {"type": "number", "default": 5}})
    price = quote(model, {"duration": 5.2})
    assert ends(price) == between("0.52", "0.6")
    assert price.reason == "a part of a second may be billed as a whole one"
    assert quote(model, {"duration": 5.0}).exact
    assert quote(
        video({"duration": {"type": "number", "maximum": 7.5}}), NO_PARAMS
    ).high == Decimal("0.8")


def test_a_default_counts_beside_a_length_of_another_name() -> None:
    model = video({"duration": FIVE, "video_length": {**INT, "default": 30}})
    assert ends(quote(model, {"duration": 5})) == between("0.5", "3")
    frames = {"num_frames": {**INT, "default": 240}, "fps": {**INT, "default": 24}}
    assert quote(video({"duration": FIVE, **frames}), {"duration": 5}).high == 1
    only_possible = video({"duration": FIVE, "num_frames": INT})
    assert quote(only_possible, {"duration": 5}).exact


def test_lengths_inside_and_outside_an_object_may_add_up() -> None:
    intro = {"type": "object", "properties": {"seconds": {**INT, "default": 10}}}
    price = quote(video({"duration": FIVE, "intro": intro}), NO_PARAMS)
    assert "nothing says whether duration and intro.seconds add up" in str(price)
    assert ends(quote(video({"intro": intro}), NO_PARAMS)) == between("1", "1")


# Videos: which rate

BY_SIZE = {"480p": 0.05, "720p": 0.1, "1080p": 0.2}


@pytest.mark.parametrize(
    ("params", "low", "high"),
    [
        ({}, "0.1", "0.1"),
        ({"resolution": "1080P"}, "0.2", "0.2"),
        ({"resolution": "480 p"}, "0.05", "0.05"),
        ({"resolution": "1920x1080"}, "0.2", "0.2"),
        ({"resolution": "1080x1920"}, "0.2", "0.2"),
        ({"resolution": "FHD"}, "0.2", "0.2"),
        ({"resolution": "600p"}, "0.05", "0.2"),
        ({"resolution": "auto"}, "0.05", "0.2"),
        ({"width": 1280, "height": 720}, "0.1", "0.1"),
    ],
)
def test_the_rate_follows_the_resolution(params: Any, low: str, high: str) -> None:
    properties = {"duration": {"default": 1}, "resolution": SIZES}
    model = video(properties, cost_per_second_by_resolution=BY_SIZE)
    assert ends(quote(model, params)) == between(low, high)


def test_a_resolution_nobody_gives_is_a_range_over_what_there_is() -> None:
    some = {"resolution": {"enum": ["720p", "1080p"]}, "duration": {"default": 1}}
    model = video(some, cost_per_second=None, cost_per_second_by_resolution=BY_SIZE)
    assert ends(quote(model, NO_PARAMS)) == between("0.1", "0.2")
    none_at_all = video({"duration": {"default": 1}}, cost_per_second_by_resolution=BY_SIZE)
    assert ends(quote(none_at_all, NO_PARAMS)) == between("0.05", "0.2")


@pytest.mark.parametrize("listed", [{"480p": 0.05}, {"480p": 0.05, "720p": 0.1}])
@pytest.mark.parametrize("base", [None, "0.08"])
def test_a_resolution_that_the_list_leaves_out_is_unknown(listed: Any, base: str | None) -> None:
    sizes = {"enum": ["480p", "720p", "4k"], "default": "480p"}
    properties = {"duration": {"default": 5}, "resolution": sizes}
    model = video(properties, cost_per_second=base, cost_per_second_by_resolution=listed)
    assert not quote(model, {"resolution": "4k"}).known
    assert quote(model, NO_PARAMS).high == Decimal("0.25")


def test_less_than_what_is_listed_has_the_plain_price() -> None:
    properties = {"duration": {"default": 1}, "resolution": {"enum": ["720p", "1080p"]}}
    listed = {"1080p": 0.2}
    model = video(properties, cost_per_second_by_resolution=listed)
    assert ends(quote(model, {"resolution": "720p"})) == between("0.1", "0.2")
    alone = video(properties, cost_per_second=None, cost_per_second_by_resolution=listed)
    assert not quote(alone, {"resolution": "720p"}).known


def test_two_names_for_the_resolution_or_audio_leave_them_open() -> None:
    sizes = {"enum": ["720p", "1080p"]}
    properties = {
        "duration": {"default": 1},
        "size": sizes,
        "resolution": {**sizes, "default": "1080p"},
    }
    model = video(properties, cost_per_second_by_resolution=BY_SIZE)
    assert ends(quote(model, {"size": "720p"})) == between("0.1", "0.2")
    with_audio = {
        "generate_audio": {**BOOL, "default": True},
        "sound": BOOL,
        "duration": {"default": 1},
    }
    both = video(with_audio, cost_per_second_with_audio="0.2")
    assert ends(quote(both, {"sound": False})) == between("0.1", "0.2")


@pytest.mark.parametrize(
    ("offered", "given", "low", "high"),
    [
        (["standard", "high"], "standard", "0.1", "0.1"),
        (["standard", "high"], "high", "0.4", "0.4"),
        (["720p", "1080p", "4k"], "4K", "0.4", "0.4"),
        (["720p", "1080p", "4k"], "720p", "0.1", "0.1"),
        (["720p", "1080p", "4k"], "1080p", "0.1", "0.4"),
        (["480p", "720p"], "720p", "0.1", "0.4"),
        (["480p", "720p"], "480p", "0.1", "0.1"),
        (["landscape", "square"], "square", "0.1", "0.4"),
    ],
)
def test_the_high_resolution_rate_applies_where_it_surely_does(
    offered: list[str], given: str, low: str, high: str
) -> None:
    properties = {"resolution": {"enum": offered}, "duration": {"default": 1}}
    model = video(properties, cost_per_second_high_res=0.4)
    assert ends(quote(model, {"resolution": given})) == between(low, high)
    assert ends(quote(model, NO_PARAMS))[1] in (Decimal("0.4"), Decimal("0.1"))


AUDIO = {"generate_audio": {**BOOL, "default": False}, "duration": {"default": 1}}


def test_audio_has_its_own_rate() -> None:
    model = video(AUDIO, cost_per_second_with_audio=0.3)
    assert ends(quote(model, NO_PARAMS)) == between("0.1", "0.1")
    assert ends(quote(model, {"generate_audio": True})) == between("0.3", "0.3")
    with_audio = video(
        {**AUDIO, "generate_audio": {**BOOL, "default": True}}, cost_per_second_with_audio=0.3
    )
    assert ends(quote(with_audio, NO_PARAMS)) == between("0.3", "0.3")
    unsaid = video({**AUDIO, "generate_audio": BOOL}, cost_per_second_with_audio=0.3)
    assert ends(quote(unsaid, NO_PARAMS)) == between("0.1", "0.3")
    switchless = video({"duration": {"default": 1}}, cost_per_second_with_audio=0.3)
    assert ends(quote(switchless, NO_PARAMS)) == between("0.1", "0.3")
    about_the_input = video({"keep_audio": {**BOOL, "default": True}, "duration": {"default": 1}})
    assert quote(about_the_input, NO_PARAMS).exact
    given = video(
        {"audio": {"type": "string"}, "duration": {"default": 1}}, cost_per_second_with_audio=0.3
    )
    assert ends(quote(given, {"audio": "https://x.test/moo.mp3"})) == between("0.1", "0.3")


def test_audio_and_resolution_together_are_never_undercounted() -> None:
    properties = {**AUDIO, "resolution": SIZES}
    model = video(
        properties, cost_per_second_by_resolution=BY_SIZE, cost_per_second_with_audio=0.15
    )
    assert ends(quote(model, {"generate_audio": True})) == between("0.15", "0.15")
    params = {"generate_audio": True, "resolution": "1080p"}
    assert ends(quote(model, params)) == between("0.15", "0.3")


@pytest.mark.parametrize("base", [None, "0.1"])
def test_audio_does_not_make_an_unlisted_resolution_known(base: str | None) -> None:
    model = video(
        {**AUDIO, "resolution": {"enum": ["480p", "4k"]}}, cost_per_second=base,
        cost_per_second_by_resolution={"480p": 0.05}, cost_per_second_with_audio=0.15,
    )  # fmt: skip
    for audio in (True, False):
        assert not quote(model, {"generate_audio": audio, "resolution": "4k"}).known


def test_audio_itself_is_billed_by_its_length() -> None:
    pricing = {"method": "per_audio_output_second", "cost_per_second": "0.01"}
    assert quote(model_of(pricing, duration=FIVE), NO_PARAMS).high == Decimal("0.05")
    song = model_of(pricing, music_length_ms={"type": "integer", "default": 30000})
    assert quote(song, NO_PARAMS).high == Decimal("0.3")
    assert "how long the result is" in str(quote(model_of(pricing), {"prompt": "hello"}))


# What is not known


@pytest.mark.parametrize(
    ("pricing", "reason"),
    [
        (None, "no published price"),
        ({}, "names no pricing method"),
        ({"method": "per_megapixel", "cost_per_megapixel": 1}, "'per_megapixel'"),
        ({"method": "per_image"}, "not published"),
        ({"method": "per_video_output_second"}, "not published"),
        ({"method": "token"}, "not published"),
        ({"method": "time", "cost_per_second": 0.0013}, "$0.0013 a second"),
        ({"method": "time"}, "compute time"),
    ],
)
def test_an_unknown_price_has_a_reason(pricing: Any, reason: str) -> None:
    price = quote(model_of(pricing), {"duration": 5})
    assert (price.low, price.high, price.known, price.exact) == (None, None, False, False)
    assert reason in str(price)


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "many"])
def test_a_number_of_generations_that_is_none_is_unknown(count: Any) -> None:
    assert not quote(image({}, cost_per_image=1), {"num_generations": count}).known


def test_tokens_are_quoted_where_their_number_is_known() -> None:
    model = model_of(
        {"method": "token", "input_cost_per_token": 3e-6, "output_cost_per_token": "1.5e-5"}
    )
    assert quote(model, {"prompt_tokens": 1000, "completion_tokens": 100}).high == Decimal("0.0045")
    assert ends(quote(model, {"prompt_tokens": 1000, "max_tokens": 100})) == between(
        "0.003", "0.0045"
    )
    assert "$3.00 in and $15.00 out per million" in str(quote(model, {"max_tokens": 5}))


# What a chat answer cost

TOKENS = {"method": "token", "input_cost_per_token": "0.000003", "output_cost_per_token": 1.5e-5}


def test_where_tokens_have_prices_of_their_own_there_is_an_estimate() -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 900},
    }
    model = model_of(TOKENS)
    assert chat_cost(model, usage) is None
    plain = {name: usage[name] for name in ("prompt_tokens", "completion_tokens")}
    assert chat_cost_estimate(model, usage) == chat_cost(model, plain)
    assert chat_cost_estimate(model_of(None), usage) is None
    assert chat_cost_estimate(model, {"prompt_tokens": 1}) is None


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}, "0.0045"),
        ({"input_tokens": 1000, "output_tokens": 100}, "0.0045"),
        ({"prompt_tokens": 0, "completion_tokens": 0}, "0"),
        (
            {"prompt_tokens": 1000, "completion_tokens": 100,
             "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": None},
             "completion_tokens_details": {"reasoning_tokens": 60}},
            "0.0045",
        ),
        (  # upstreams that leave the reasoning out of the completion
            {"prompt_tokens": 1000, "completion_tokens": 40, "total_tokens": 1100,
             "completion_tokens_details": {"reasoning_tokens": 60}},
            "0.0045",
        ),
        ({"prompt_tokens": 1000, "completion_tokens": 40, "total_tokens": 1100}, None),
        ({"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}}, None),
        ({"prompt_tokens": 1, "completion_tokens": 1, "cache_read_input_tokens": 5}, None),
        ({"prompt_tokens": 1, "completion_tokens": 1, "cache_creation_input_tokens": 5}, None),
        ({"prompt_tokens": 1, "completion_tokens": 1, "completion_tokens_details": {"audio_tokens": 9}}, None),
        ({"prompt_tokens": 1}, None),
        ({"prompt_tokens": -1, "completion_tokens": 1}, None),
        ({"prompt_tokens": True, "completion_tokens": 1}, None),
        ({"prompt_tokens": "1", "completion_tokens": 1}, None),
        ({}, None),
        (None, None),
    ],
)  # fmt: skip
def test_chat_costs_what_its_tokens_cost(usage: Any, cost: str | None) -> None:
    answer = chat_cost(model_of(TOKENS), usage)
    assert answer == (None if cost is None else Decimal(cost))


@pytest.mark.parametrize(
    "pricing",
    [
        None,
        {"method": "time", "cost_per_second": 1},
        {"method": "token", "input_cost_per_token": 1},
        {"method": "token", "output_cost_per_token": 1},
    ],
)
def test_a_chat_without_token_prices_is_unknown_not_free(pricing: Any) -> None:
    assert chat_cost(model_of(pricing), {"prompt_tokens": 1, "completion_tokens": 1}) is None


# For people


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.00"), ("1.5", "$1.50"), ("0.13", "$0.13"), ("0.013", "$0.013"), ("7", "$7.00"),
        ("0.0000029", "$0.0000029"), ("0.25208333333", "$0.252"), ("12.34567", "$12.3457"),
    ],
)  # fmt: skip
def test_money_is_written_as_people_read_it(amount: str, shown: str) -> None:
    assert usd(Decimal(amount)) == shown


def test_a_price_list_in_a_few_words() -> None:
    assert price_hint(model_of(TOKENS)) == "$3.00 in, $15.00 out per million tokens"
    assert price_hint(image({}, cost_per_image=0.5)) == "$0.50 per image"
    assert price_hint(video({}, cost_per_second_high_res=0.4)) == "$0.10 to $0.40 per second"
    assert price_hint(model_of({"method": "per_image"})) is None
    assert price_hint(model_of({"method": "per_character", "cost_per_second": 0.1})) is None
    assert price_hint(model_of({"method": "token"})) is None
    assert price_hint(model_of(None)) is None


@pytest.mark.parametrize(
    ("key", "value", "same"),
    [
        ("4k", "2160p", True), ("4K", "UHD", True), ("2K", "1440p", True), ("1080P", "1080p", True),
        ("720p", "1280x720", True), ("1 MP", "1mp", True), ("standard", "Standard", True),
        ("1K", "2K", False), ("1024x1024", "1536x1024", False), ("high", "4k", False),
    ],
)  # fmt: skip
def test_resolutions_have_many_names(key: str, value: str, same: bool) -> None:
    assert same_tier(key, value) is same


_VALUE = (
    st.none() | st.booleans() | st.integers(-2, 20) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["auto", "5s", "4k", "1080p", "high", "720P", "1:00", "9" * 400, "1e999"])
)  # fmt: skip
_PARAM_NAMES = st.sampled_from(
    ["duration", "seconds", "resolution", "size", "quality", "n", "num_images", "generate_audio",
     "num_frames", "fps", "width", "height", "multi_prompt", "num_generations", "max_tokens"]
)  # fmt: skip
_PRICE = st.none() | st.decimals(0, 10, places=4).map(str) | st.floats(0, 5)


@given(
    method=st.sampled_from(["token", "time", "per_image", "per_video_output_second"]),
    prices=st.dictionaries(
        st.sampled_from(
            ["cost_per_image", "cost_per_second", "cost_per_second_high_res",
             "cost_per_second_with_audio", "input_cost_per_token", "output_cost_per_token"]
        ),
        _PRICE,
    ),
    schema=st.dictionaries(
        _PARAM_NAMES,
        st.fixed_dictionaries(
            {}, optional={"default": _VALUE, "enum": st.lists(_VALUE), "minimum": _VALUE, "maximum": _VALUE}
        ),
    ),
    params=st.dictionaries(_PARAM_NAMES, _VALUE | st.lists(_VALUE, max_size=2)),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_every_call_gets_a_quote(method: str, prices: Any, schema: Any, params: Any) -> None:
    price = quote(model_of({"method": method, **prices}, **schema), params)
    assert (price.low is None) == (price.high is None)
    assert price.known or price.reason
    if price.low is not None and price.high is not None:
        assert 0 <= price.low <= price.high
    str(price)
