"""Whatever a hub sends or a ledger holds: it is read, or is an error of the documented tree."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oxen_inference.catalog.parameters import validate
from oxen_inference.catalog.reading import read_model, read_models
from oxen_inference.catalog.tool_args import arguments_model
from oxen_inference.chat.completions import read_completion
from oxen_inference.error_mapping import status_error
from oxen_inference.errors import APIStatusError, OxenError
from oxen_inference.ledger.entry_rows import read_entry
from oxen_inference.ledger.generations import read_item
from oxen_inference.media.queue_decision import Accepted, read_queue_answer

NAMES = st.sampled_from(
    [
        "id", "data", "error", "message", "detail", "status", "code", "type", "choices", "delta",
        "content", "usage", "cost", "generations", "generation_id", "result_url", "enqueued_at",
        "pricing", "method", "request_schema", "properties", "capabilities", "output", "tool_calls",
    ]
)  # fmt: skip
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([10**400, "1e99999999", "\ud800", "succeeded", "$5", "per_image"])
)  # fmt: skip
BODIES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=30,
)

# What a SQLite file may hold in any column.
CELLS = (
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary(max_size=8)
    | st.text(max_size=12) | st.sampled_from(["[" * 20_000, '{"a": NaN}', "accepted", "posting", "[1]"])
)  # fmt: skip
COLUMNS = (
    "entry_id", "hub", "account", "key", "fingerprint", "caller_fingerprint", "kind", "model",
    "media_type", "request", "defaults", "count", "state", "attempt", "owner", "created_at",
    "posted_at", "posted_ago", "hub_sent_at", "decided_at", "error", "notes", "quoted", "budget",
    "unit", "open", "lease_identity", "lease_age",
)  # fmt: skip
ROWS = st.fixed_dictionaries(dict.fromkeys(COLUMNS, CELLS))
SCHEMA_NAMES = st.sampled_from(
    [
        "type", "properties", "required", "items", "enum", "const", "default", "minimum", "maximum",
        "pattern", "anyOf", "oneOf", "allOf", "$ref", "$defs", "format", "prompt", "duration", "n",
    ]
)  # fmt: skip
SCHEMA_LEAVES = LEAVES | st.sampled_from(
    ["object", "string", "integer", "array", "#/$defs/n", "#", "(a+)+$", 1e308, -1, 10**30]
)
SCHEMAS = st.recursive(
    SCHEMA_LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCHEMA_NAMES, inner, max_size=5),
    max_leaves=25,
)


@given(BODIES)
@settings(deadline=None)
def test_error_reader(body: Any) -> None:
    error = status_error(body, status=500)
    assert isinstance(error, APIStatusError)
    assert str(error)


@pytest.mark.filterwarnings("ignore::oxen_inference.catalog.models.CatalogWarning")
@given(BODIES)
@settings(deadline=None)
def test_catalog_reader(body: Any) -> None:
    with suppress(OxenError):
        read_models(body)


@given(BODIES)
@settings(deadline=None)
def test_answer_reader(body: Any) -> None:
    with suppress(OxenError):
        read_completion(body)


@given(BODIES)
@settings(deadline=None)
def test_stream_reader(body: Any) -> None:
    with suppress(OxenError):
        read_completion(b"data: " + json.dumps(body).encode() + b"\n\n")


@given(BODIES, st.text(min_size=1, alphabet="abc", max_size=5))
@settings(deadline=None)
def test_an_id_that_can_be_read_is_kept(body: Any, name: str) -> None:
    fields = body if isinstance(body, dict) else {"x": body}
    outcome = read_queue_answer({"generations": [{**fields, "generation_id": name}]}, 1)
    assert isinstance(outcome, Accepted)
    assert outcome.generation_ids == (name,)


@given(ROWS)
@settings(deadline=None)
def test_ledger_rows(row: dict[str, Any]) -> None:
    entry = read_entry(row, (read_item("g", row["notes"]),))
    assert entry.state in {"intended", "posting", "accepted", "rejected", "unknown"}
    assert entry.count >= 0


@given(st.dictionaries(SCHEMA_NAMES, SCHEMAS, max_size=5), BODIES)
@settings(deadline=None)
def test_schema_to_arguments(schema: dict[str, Any], given_value: Any) -> None:
    with suppress(OxenError):
        model = read_model({"id": "m", "request_schema": schema})
        arguments_model(model).model_json_schema()
        validate(model, {"prompt": given_value, "n": given_value})
