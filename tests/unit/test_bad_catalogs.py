"""Catalogs that no hub should send: whatever is in them, they are listed, and no sum is wrong."""

from __future__ import annotations

import itertools
import json
import time
import warnings
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oxen_inference.catalog import arguments_model, find_models, price_hint, profile_for, quote
from oxen_inference.catalog.documents import metadata, page
from oxen_inference.catalog.models import CatalogWarning, Model
from oxen_inference.catalog.reading import read_model, read_models

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["1e999999", "-1", "free", "$0.05", "0.05 EUR", 10**400, "NaN", "1_000"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=8) | st.sampled_from(["id", "type", "enum"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
_PRICE_FIELDS = [
    "method", "currency", "cost_per_image", "cost_per_second", "cost_per_second_high_res",
    "cost_per_second_with_audio", "cost_per_second_by_resolution", "cost_per_image_grid",
    "input_cost_per_token", "output_cost_per_token", "cost_per_credit",
]  # fmt: skip
_METHODS = ["token", "time", "per_image", "per_video_output_second", "per_provider_credit", "odd"]
_SPEC = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(["type", "enum", "default", "minimum", "maximum", "items", "properties", "anyOf", "description", "x-order", "x-hidden", "x-media-references", "x-anything", "anything"], _JSON),
)  # fmt: skip
_ENTRY = st.fixed_dictionaries(
    {"id": st.just("ox") | _JSON},
    optional={
        "name": _JSON, "created": _JSON, "description": _JSON, "summary": _JSON, "endpoint": _JSON,
        "capabilities": _JSON, "deployments": _JSON, "developer": _JSON, "released_at": _JSON,
        "context_length": _JSON, "max_output_tokens": _JSON,
        "pricing": _JSON
        | st.dictionaries(
            st.sampled_from(_PRICE_FIELDS), _JSON | st.sampled_from(_METHODS), max_size=5
        ),
        "request_schema": _JSON
        | st.fixed_dictionaries(
            {
                "properties": st.dictionaries(
                    st.sampled_from(["prompt", "duration", "num_images", "resolution", "seed"])
                    | st.text(max_size=5),
                    _SPEC | _JSON,
                    max_size=4,
                )
            },
            optional={"required": _JSON, "basic": _JSON, "type": _JSON},
        ),
    },
)  # fmt: skip


def use(model: Model) -> None:
    """Do everything with a model that a client does before it calls it."""
    for params in ({}, {"duration": 8, "num_images": 2, "resolution": "4k"}):
        price = quote(model, params, 2)
        assert (price.low is None) == (price.high is None)
        assert price.high is None or 0 <= price.low <= price.high  # type: ignore[operator]
        assert str(price)
    assert price_hint(model) is None or price_hint(model)
    assert page(model)
    assert all(isinstance(value, str | int | float) for value in metadata(model).values())
    assert arguments_model(model).model_json_schema()
    assert profile_for(model.id, model).context_window > 0
    find_models([model], "an ox", max_price=5, seconds=8)


@given(entries=st.lists(_ENTRY | _JSON, max_size=4))
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_list_of_anything(entries: list[Any]) -> None:
    # As it comes off the wire, where a number may have any number of digits.
    sent = json.loads(json.dumps({"object": "list", "data": entries}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CatalogWarning)
        for model in read_models(sent):
            use(model)


@pytest.mark.parametrize(
    "price", ["free", "on request", -0.04, "-0.04", "NaN", True, [0.04], {"usd": 1}, 1e300, "1e99"]
)
@pytest.mark.parametrize(
    "pricing",
    [
        {"method": "per_image", "cost_per_image": ...},
        {"method": "per_image", "cost_per_image_grid": {"default": {"default": ...}}},
        {"method": "per_video_output_second", "cost_per_second": ...},
        {"method": "token", "input_cost_per_token": ..., "output_cost_per_token": 1e-6},
    ],
)
def test_what_is_no_price_makes_a_call_of_unknown_price(
    pricing: dict[str, Any], price: Any
) -> None:
    given = json.loads(json.dumps(pricing, default=lambda _: "PRICE"), parse_constant=str)
    text = json.dumps(given).replace('"PRICE"', json.dumps(price))
    schema = {"properties": {"duration": {"type": "integer", "default": 5}}}
    model = read_model(
        {
            "id": "ox",
            "pricing": json.loads(text.replace("Ellipsis", "null")),
            "request_schema": schema,
        }
    )
    priced = quote(model, {"prompt_tokens": 10, "completion_tokens": 10})
    assert not priced.known
    assert any("not a price" in problem for problem in model.problems)


@pytest.mark.parametrize("currency", ["EUR", "cny", "credits", 7])
def test_a_price_list_in_another_currency_is_not_read_as_dollars(currency: Any) -> None:
    pricing = {"method": "per_image", "cost_per_image": 0.04, "currency": currency}
    model = read_model({"id": "ox", "pricing": pricing})
    assert quote(model, {}).reason == f"ox is priced in {currency}, not in USD"
    assert price_hint(model) is None
    assert "cost_per_image" not in metadata(model)
    for name in ("usd", "$", "US dollars", " ", None):
        dollars = read_model({"id": "ox", "pricing": {**pricing, "currency": name}})
        assert quote(dollars, {}).high == Decimal("0.04")


def test_an_endless_list_ends() -> None:
    began = time.monotonic()
    with pytest.warns(CatalogWarning, match="only the first 20000 models"):
        models = read_models({"data": ({"id": f"ox-{n}"} for n in itertools.count())})
    assert len(models) == 20_000
    assert time.monotonic() - began < 20


def test_a_minimum_above_the_maximum_makes_an_unknown_price() -> None:
    pricing = {"method": "per_video_output_second", "cost_per_second": 0.1}
    schema = {"properties": {"duration": {"type": "integer", "minimum": 2, "maximum": 1}}}
    model = read_model({"id": "ox", "pricing": pricing, "request_schema": schema})
    assert not quote(model, {}).known
    assert quote(model, {"duration": 5}).high == Decimal("0.5")
