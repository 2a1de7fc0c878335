"""Quotes and argument schemas of real models, compared with figures recorded earlier.

A quote may rise, or become unknown for a reason that `newly_unknown.json` lists; it never falls.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oxen_inference.catalog.parameter_roles import role_of
from oxen_inference.catalog.pricing import Quote, quote
from oxen_inference.catalog.prose_facts import documented_rules
from oxen_inference.catalog.reading import read_model
from oxen_inference.catalog.schema import unread_keywords
from oxen_inference.catalog.tool_args import arguments_model
from tests.contract import golden_cases

_ROWS = golden_cases.media_rows()
_UNKNOWN = json.loads(Path(__file__).with_name("newly_unknown.json").read_text(encoding="utf-8"))
"""The parameters that make a price unknown which was known when the figures were recorded."""

pytestmark = pytest.mark.skipif(
    not _ROWS, reason="the published contract is not part of the repository"
)


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return golden_cases.load()


@pytest.fixture(params=_ROWS or [None], ids=lambda row: row["id"] if row else "absent")
def row(request: pytest.FixtureRequest) -> dict[str, Any]:
    value: dict[str, Any] = request.param
    return value


def test_the_golden_file_is_about_the_models_and_calls_of_the_contract(
    golden: dict[str, Any],
) -> None:
    assert golden["calls"] == {row["id"]: golden_cases.calls_of(row) for row in _ROWS}
    assert len(_ROWS) == 79
    assert sum(len(prices) for m in golden["quotes"].values() for prices in m.values()) > 60_000


def test_the_arguments_of_every_model_stay_as_they_were(
    golden: dict[str, Any], row: dict[str, Any]
) -> None:
    schema = arguments_model(read_model(row)).model_json_schema()
    assert golden_cases.structure(schema) == golden["arguments"][row["id"]]


def test_no_quote_falls(golden: dict[str, Any], row: dict[str, Any]) -> None:
    """Also where it was unknown: it stays unknown."""
    for name, numbers in golden["quotes"][row["id"]].items():
        model = read_model({**row, "pricing": golden_cases.pricings_of(row)[name]})
        calls = golden["calls"][row["id"]]
        if name in golden_cases.BY_DEFAULTS_ONLY:
            calls = calls[:1]
        for call, number in zip(calls, numbers, strict=True):
            low, high, _ = golden["outcomes"][number]
            now = quote(model, call)
            where = f"{row['id']} priced {name}: {call} was {low} to {high}, is {now}"
            if high is None or now.high is None:
                assert now.high is None, where
                assert high is None or _is_listed(call, now) or _is_documented(row, now), where
            else:
                assert now.low is not None, where
                assert now.low <= now.high, where
                assert now.high >= Decimal(high), where


def test_nothing_documented_is_in_the_list_of_what_became_unknown() -> None:
    assert not {name for row in _ROWS for name in row["request_schema"]["properties"]} & {*_UNKNOWN}
    assert _UNKNOWN


def test_nine_in_ten_models_keep_an_upper_limit_at_their_defaults(golden: dict[str, Any]) -> None:
    limited = kept = 0
    for row in _ROWS:
        pricings = golden_cases.pricings_of(row)
        for name, numbers in golden["quotes"][row["id"]].items():
            if golden["outcomes"][numbers[0]][1] is not None:
                limited += 1
                model = read_model({**row, "pricing": pricings[name]})
                kept += quote(model, {}).known
    assert limited > 500
    assert kept >= 0.9 * limited


def test_every_documented_parameter_has_a_role_in_the_price() -> None:
    names = {name for row in _ROWS for name in row["request_schema"]["properties"]}
    assert len(names) > 100
    assert not {name for name in names if role_of(name) is None}


def test_every_documented_keyword_is_read() -> None:
    for row in _ROWS:
        schema = row["request_schema"]
        assert not unread_keywords(schema, is_root=True), row["id"]
        for name, spec in schema["properties"].items():
            inner = (spec, spec.get("items", {}))
            assert not [k for part in inner for k in unread_keywords(part)], (row["id"], name)


def _is_listed(call: dict[str, Any], now: Quote) -> bool:
    return any(now.reason == reason for name, reason in _UNKNOWN.items() if name in call)


def _is_documented(row: dict[str, Any], now: Quote) -> bool:
    """Whether Oxen's pages say in prose that such a call is dearer, and not by how much."""
    return any(
        str(now.reason).startswith(f"{rule.parameter} makes it dearer")
        and rule.said in str(now.reason)
        for rule in documented_rules(row["id"])
    )
