"""Whatever a hub sends: it is read, or is an error of the documented tree."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oxen_inference.catalog.reading import read_models
from oxen_inference.chat.completions import read_completion
from oxen_inference.error_mapping import status_error
from oxen_inference.errors import APIStatusError, OxenError
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
