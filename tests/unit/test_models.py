"""Models are read from any shape they come in, and one odd model never hides the others."""

from __future__ import annotations

import copy
import html
import json
import os
import pickle
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oxen_inference.catalog.documents import metadata, page
from oxen_inference.catalog.filters import ModelList, select
from oxen_inference.catalog.models import CatalogWarning, Model
from oxen_inference.catalog.parameters import parameters
from oxen_inference.catalog.pricing import price_hint, quote
from oxen_inference.catalog.reading import normal_endpoint, read_model, read_models
from oxen_inference.catalog.tool_args import arguments_model
from oxen_inference.errors import APIResponseError, InvalidInputError

VIDEO: dict[str, Any] = {
    "id": "video-maker",
    "object": "model",
    "created": 1750000000,
    "owned_by": "oxen",
    "display_name": "Video Maker",
    "model_type": "base",
    "endpoint": "/videos/generate",
    "capabilities": {"input": ["text", "image"], "output": ["video"]},
    "pricing": {"method": "per_video_output_second", "cost_per_second": 0.1},
    "deployments": [],
    "developer": {"name": "Acme", "logo": None},
    "request_schema": {"type": "object", "properties": {"prompt": {"type": "string"}}},
    "showcase": {"tagline": "kept"},
}
CHAT: dict[str, Any] = {"id": "talker", "object": "model", "created": 1, "owned_by": "oxen"}


def quietly(payload: object) -> list[Model]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CatalogWarning)
        return read_models(payload)


def test_a_documented_model_is_read_without_complaint() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (model,) = read_models({"object": "list", "data": [VIDEO]})
    assert (model.id, model.name, model.developer, model.kind) == (
        "video-maker", "Video Maker", "Acme", "video",
    )  # fmt: skip
    assert model.pricing is not None
    assert model.pricing.cost_per_second == Decimal("0.1")
    assert model.raw == VIDEO
    assert not model.problems


@pytest.mark.parametrize(
    "envelope",
    [
        lambda row: row,
        lambda row: {"data": row},
        lambda row: {"model": row},
        lambda row: {"data": {"model": row}},
        lambda row: {"data": [row]},
        lambda row: [row],
    ],
)
def test_one_model_comes_flat_or_wrapped(envelope: Any) -> None:
    assert read_model(envelope(VIDEO)) == read_model(VIDEO)


@pytest.mark.parametrize(
    "envelope",
    [
        lambda rows: {"object": "list", "data": rows},
        lambda rows: {"models": rows},
        lambda rows: {"data": {"models": rows}},
        lambda rows: rows,
        lambda rows: {"data": {row["id"]: row for row in rows}},
        lambda rows: {row.get("id"): {k: v for k, v in row.items() if k != "id"} for row in rows},
    ],
)
def test_lists_come_in_several_envelopes(envelope: Any) -> None:
    assert [model.id for model in quietly(envelope([VIDEO, CHAT]))] == ["video-maker", "talker"]


def test_an_older_payload_reads_like_todays() -> None:
    older = copy.deepcopy(VIDEO)
    older["name"] = older.pop("id")
    older["json_request_schema"] = older.pop("request_schema")
    older["pricing"] = {
        "method": "per_video_output_second",
        "video_cost_per_second": "0.1",
        "video_cost_per_second_with_audio": 0.2,
        "video_cost_per_second_high_res": None,
    }
    (model,) = quietly({"models": [older]})
    assert model.id == "video-maker"
    assert model.request_schema == VIDEO["request_schema"]
    assert model.pricing is not None
    assert model.pricing.cost_per_second == Decimal("0.1")
    assert model.pricing.cost_per_second_with_audio == Decimal("0.2")
    assert model.pricing.cost_per_second_high_res is None


@pytest.mark.parametrize(
    ("spelled", "normal"),
    [
        ("/images/generate", "/images/generate"),
        ("images/generate", "/images/generate"),
        ("/api/ai/images/generate", "/images/generate"),
        ("ai/images/generate/", "/images/generate"),
        ("https://hub.oxen.ai/api/ai/images/edit", "/images/edit"),
        ("https://hub.oxen.ai/api/chat/completions", "/chat/completions"),
        ("/audio/generate?x=1", "/audio/generate"),
    ],
)
def test_an_endpoint_is_the_same_in_every_spelling(spelled: str, normal: str) -> None:
    assert normal_endpoint(spelled) == normal


def test_outputs_say_what_a_model_makes_and_the_endpoint_breaks_ties() -> None:
    row = {**VIDEO, "capabilities": {"output": ["image"]}, "endpoint": "/videos/generate"}
    assert read_model(row).kind == "image"
    both = {"output": ["image", "video"]}
    assert read_model({**VIDEO, "capabilities": both}).kind == "video"
    unsaid = {"id": "x", "endpoint": "https://hub.oxen.ai/api/ai/images/edit"}
    assert read_model(unsaid).outputs == ("image",)
    assert read_model({"id": "x", "pricing": {"method": "per_image"}}).outputs == ("image",)
    assert read_model({"id": "x"}).kind is None
    assert read_model({"id": "x", "capabilities": both}).kind == "image"
    assert "It makes" not in page(read_model({"id": "x"}))


def test_a_document_says_first_what_a_model_makes() -> None:
    """Or a chat model that sees videos is found for a question about making them."""
    row = {"id": "x", "summary": "Small, sees"}
    sees = {"input": ["text", "video"], "output": ["text"]}
    lines = page(read_model({**row, "capabilities": sees})).splitlines()
    assert lines[1] == "It is a chat model that writes text, and reads text, video."
    assert not any(line.startswith("Turns") for line in lines)
    makes = {"input": ["text", "image"], "output": ["video"]}
    lines = page(read_model({**row, "capabilities": makes})).splitlines()
    assert lines[1] == "It makes videos from text, image."
    assert "Turns image into video (image to video)." in lines


def test_only_what_answers_to_chat_is_chat() -> None:
    text = {"output": ["text"]}
    assert read_model({"id": "x", "capabilities": text}).is_chat
    assert read_model({"id": "x", "endpoint": "api/ai/chat/completions"}).is_chat
    assert not read_model(
        {"id": "x", "capabilities": text, "endpoint": "/audio/transcriptions"}
    ).is_chat
    assert not read_model(VIDEO).is_chat


def test_unknown_words_and_fields_are_kept() -> None:
    model = read_model(
        {
            **VIDEO,
            "pricing": {"method": "per_megapixel", "cost_per_megapixel": 1},
            "deployments": [{"status": "thawing", "gpu": "h100"}],
        }
    )
    assert model.pricing is not None
    assert model.pricing.method == "per_megapixel"
    assert model.pricing.raw["cost_per_megapixel"] == 1
    assert model.deployments[0].status == "thawing"
    assert model.deployments[0].raw["gpu"] == "h100"
    assert model.raw["showcase"] == {"tagline": "kept"}


@pytest.mark.parametrize(
    ("statuses", "status", "deployed"),
    [
        ([], None, True),
        (["inactive", "active"], "active", True),
        (["error", "deploying"], "deploying", False),
        (["inactive"], "inactive", False),
        (["thawing"], "unknown", False),
    ],
)
def test_the_best_deployment_counts(
    statuses: list[str], status: str | None, deployed: bool
) -> None:
    model = read_model({**CHAT, "deployments": [{"status": one} for one in statuses]})
    assert (model.deployment_status, model.is_deployed) == (status, deployed)


def test_a_custom_model_without_deployments_is_inactive() -> None:
    model = read_model({**CHAT, "model_type": "custom", "deployments": []})
    assert model.deployment_status == "inactive"
    assert not model.is_deployed


def test_what_cannot_be_read_is_named_with_its_model() -> None:
    rows = [{**VIDEO, "pricing": "cheap", "created": [], "capabilities": 3}, CHAT, 17, {}]
    with pytest.warns(CatalogWarning) as caught:
        models = read_models({"data": rows})
    text = str(caught[0].message)
    assert [model.id for model in models] == ["video-maker", "talker"]
    for part in ("video-maker: pricing is a string", "video-maker: created", "row 3", "row 4"):
        assert part in text


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"id": 7}, "its id is not a string"),
        ({"deployments": 3}, "deployments is a number, not a list"),
        ({"request_schema": "{half"}, "request_schema is a string that is not JSON"),
        ({"request_schema": []}, "request_schema is a list, not an object"),
        ({"pricing": {"cost_per_image_grid": 3}}, "cost_per_image_grid is a number, not an object"),
        (
            {"pricing": {"cost_per_second_by_resolution": [1]}},
            "cost_per_second_by_resolution is a list, not an object",
        ),
    ],
)
def test_what_is_of_another_type_is_left_out_and_named(fields: Any, problem: str) -> None:
    model = read_model({**CHAT, **fields})
    assert model.id == str(fields.get("id", "talker"))
    assert problem in " ".join(model.problems)
    assert (model.deployments, model.request_schema) == ((), None)


def test_a_schema_may_come_as_text() -> None:
    schema = {"properties": {"prompt": {"type": "string"}}}
    model = read_model({**CHAT, "request_schema": json.dumps(schema)})
    assert model.request_schema == schema
    assert not model.problems


@pytest.mark.parametrize(
    ("pricing", "method"),
    [
        ({"video_cost_per_second": "0.1"}, "per_video_output_second"),
        ({"cost_per_image": "0.1"}, "per_image"),
        ({"input_cost_per_token": "0.1"}, "token"),
        ({"cost_per_moo": "0.1"}, None),
    ],
)
def test_prices_say_how_they_are_billed_where_nothing_else_does(
    pricing: Any, method: str | None
) -> None:
    read = read_model({**CHAT, "pricing": pricing}).pricing
    assert read is not None
    assert read.method == method


def test_a_price_that_is_no_price_is_unknown_and_not_free() -> None:
    for odd in ("free", -1, True, [], {}, "NaN", "1e999999"):
        model = read_model({**VIDEO, "pricing": {"method": "per_image", "cost_per_image": odd}})
        assert quote(model, {}).low in (None, Decimal("1e999999"))


def test_a_payload_wrapped_without_end_is_given_up() -> None:
    endless: Any = VIDEO
    for _ in range(20):
        endless = {"data": endless}
    with pytest.raises(APIResponseError, match="without its id"):
        read_model(endless)
    assert "video-maker" not in [model.id for model in quietly(endless)]


def test_a_payload_that_names_no_model() -> None:
    for nothing in ({}, {"data": None}, None, 3, [], {"id": None}, {"id": ""}, {"id": True}):
        with pytest.raises(APIResponseError, match="without its id"):
            read_model(nothing)
    assert read_model({}, fallback_id="asked-for").id == "asked-for"


def test_a_list_that_is_none_is_empty_and_says_so() -> None:
    for nothing in (None, 3, "models", {}, {"data": None}, {"data": 7}):
        with pytest.warns(CatalogWarning, match=r"no list of models|names no model"):
            assert read_models(nothing) in ([], [read_model("models")])


def test_models_travel_and_hash() -> None:
    model = read_model(VIDEO)
    assert pickle.loads(pickle.dumps(model)) == model
    assert copy.deepcopy(model) == model
    assert {model: 1}[read_model(VIDEO)] == 1
    with pytest.raises(AttributeError):
        model.id = "other"  # type: ignore[misc]


def test_an_empty_selection_says_why() -> None:
    models = quietly([VIDEO, CHAT])
    assert select(models, {"output": "vidoe"}).note == (
        "none of the 2 models has output='vidoe'; there are video. Did you mean video?"
    )
    assert [m.id for m in select(models, {"output": "videos", "developer": "ACME"})] == [
        "video-maker"
    ]
    assert select([], {}, {"provider": "x"}).note == "the hub lists no models with provider='x'"


def test_entries_that_contradict_a_filter_are_left_out() -> None:
    rows = [
        {"id": "theirs", "developer": {"name": "Other"}, "provider": "P", "fine_tuning": None},
        {"id": "ours", "developer_name": "ACME Labs", "provider_name": "Q",
         "fine_tuning": {"actions": ["lora"]}},
        {"id": "silent"},
    ]  # fmt: skip
    models = quietly(rows)

    def left(**filters: str) -> list[str]:
        return [model.id for model in select(models, {}, filters)]

    assert left(developer="acme labs") == ["ours", "silent"]
    assert left(provider="q") == ["ours", "silent"]
    assert left(action="LoRA") == ["ours", "silent"]
    empty = select(models[:1], {}, {"developer": "acme"})
    assert empty.reason == "none of the 1 models has developer='acme'; there are Other."
    assert [model.id for model in select(models, {"provider": "p"})] == ["theirs"]
    with pytest.raises(InvalidInputError, match="by provider"):
        select(models[2:], {"provider": "p"})


def test_an_empty_list_gives_its_reason_wherever_it_is_shown() -> None:
    empty = select([], {}, {"developer": "[red]x"})
    assert empty.reason == "the hub lists no models with developer='[red]x'"
    for shown in (repr(empty), str(empty), html.unescape(empty._repr_html_())):
        assert empty.reason in shown
    from rich.console import Console

    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=120, file=nowhere)
        console.print(empty)
    assert empty.reason in console.export_text()
    assert ModelList(quietly([VIDEO]), note="old").reason is None


def test_a_list_shows_itself_as_a_table_and_trusts_no_markup() -> None:
    evil = read_model({**CHAT, "id": "<script>[red]x[/nope]"})
    shown = ModelList([evil])
    assert "<script>" not in shown._repr_html_()
    assert "&lt;script&gt;" in shown._repr_html_()
    from rich.console import Console

    console = Console(record=True, width=120, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(shown)
    assert "<script>[red]x[/nope]" in console.export_text()


# What a hub, or what stands between it and us, may do to a payload.
_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A model's payload with some of its fields dropped, retyped, renamed or nested."""
    row = copy.deepcopy(VIDEO)
    for _ in range(draw(st.integers(1, 6))):
        holder = draw(st.sampled_from([row, *(v for v in row.values() if isinstance(v, dict))]))
        names = [name for name in holder if holder is not row or name != "id"]
        if not names:
            continue
        name = draw(st.sampled_from(names))
        match draw(st.sampled_from(["drop", "retype", "rename", "nest", "string"])):
            case "drop":
                del holder[name]
            case "retype":
                holder[name] = draw(_JUNK)
            case "rename":
                holder[draw(st.text(max_size=10))] = holder.pop(name)
            case "nest":
                holder[name] = draw(st.sampled_from([[holder[name]], {"value": holder[name]}]))
            case "string":
                holder[name] = str(holder[name])
    row["id"] = "video-maker"
    return row


@given(rows=st.lists(mutated() | _JUNK, max_size=3), spot=st.integers(0, 3))
@settings(max_examples=120, deadline=None)
def test_no_malformed_model_hides_a_readable_one(rows: list[Any], spot: int) -> None:
    models = quietly({"data": [*rows[:spot], CHAT, *rows[spot:]]})
    assert "talker" in [model.id for model in models]
    readable = {
        row["id"] for row in rows if isinstance(row, dict) and row.get("id") == "video-maker"
    }
    assert readable <= {model.id for model in models}


@given(row=mutated())
@settings(max_examples=120, deadline=None)
def test_whatever_was_read_can_be_used(row: dict[str, Any]) -> None:
    """Priced, shown, described, filtered and made into arguments, without an error."""
    (model,) = quietly([row])
    quote(model, {"prompt": "x", "duration": 5})
    price_hint(model)
    page(model)
    parameters(model)
    arguments_model(model).model_json_schema()
    listed = ModelList([model])
    listed._repr_html_()
    assert all(type(value) in (str, int, float) for value in metadata(model).values())
    for filters in ({"output": "video"}, {"developer": "acme"}, {"action": "x"}, {"search": "f"}):
        select(listed, filters)


@given(payload=_JUNK)
@settings(max_examples=120, deadline=None)
def test_reading_a_list_never_raises(payload: object) -> None:
    assert isinstance(quietly(payload), list)
