"""Quotes and argument schemas of real models, compared with figures recorded earlier.

A quote may rise, or become unknown for a reason that `newly_unknown.json` lists; it never falls.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oxen_inference.catalog.model_reading import read_model
from oxen_inference.catalog.pricing import Quote, quote
from oxen_inference.catalog.request_schema import arguments_model
from tests.contract import golden_cases

_ROWS = golden_cases.media_rows()
_UNKNOWN = Path(__file__).with_name("newly_unknown.json")

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
    allowed = json.loads(_UNKNOWN.read_text(encoding="utf-8"))
    for name, numbers in golden["quotes"][row["id"]].items():
        model = read_model({**row, "pricing": golden_cases.pricings_of(row)[name]})
        for call, number in zip(golden["calls"][row["id"]], numbers, strict=False):
            low, high, _ = golden["outcomes"][number]
            now = quote(model, call)
            where = f"{row['id']} priced {name}: {call} was {low} to {high}, is {now}"
            if high is None or now.high is None:
                assert now.high is None, where
                assert high is None or _is_listed(now, allowed), where
            else:
                assert now.low is not None, where
                assert now.low <= now.high, where
                assert now.high >= Decimal(high), where


def _is_listed(now: Quote, allowed: dict[str, str]) -> bool:
    return any(now.reason == reason for reason in allowed.values())
