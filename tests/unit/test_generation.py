"""Rows of the queue as hubs may write them."""

from __future__ import annotations

from typing import Any

import pytest

from oxen_inference.errors import APIResponseError
from oxen_inference.generation_reading import (
    names_a_generation,
    read_event,
    read_generation,
    read_generations,
)


@pytest.mark.parametrize("payload", [None, [], "OK", {}, {"generation": {}}, {"generation_id": True}, {"generation_id": " "}, {"generation_id": "a\0b"}, {"generation_id": "a\ud800b"}])  # fmt: skip
def test_a_row_without_an_id_is_no_generation(payload: Any) -> None:
    with pytest.raises(APIResponseError, match="without its id"):
        read_generation(payload)


@pytest.mark.parametrize(
    ("given", "read"),
    [(5, 5.0), ("5.5", 5.5), (True, None), ("yesterday", None), (None, None), ([], None)],
)
def test_times_are_numbers_or_nothing(given: Any, read: float | None) -> None:
    row = read_generation({"generation_id": "a", "status": "QUEUED", "enqueued_at": given})
    assert (row.enqueued_at, row.status) == (read, "queued")


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"result_url": "https://a"}, "https://a"),
        ({"result_url": "", "images": [{"url": "https://b"}]}, "https://b"),
        ({"videos": [{"url": "https://c"}, {"url": "https://d"}]}, "https://c"),
        ({"result_url": "https://a", "images": [{"url": "https://b"}]}, "https://a"),
        ({"images": [{"url": None}]}, None),
        ({"images": []}, None),
        ({"images": ["https://b"]}, "https://b"),
    ],
)
def test_a_result_is_found_where_the_synchronous_endpoints_put_it(
    fields: dict[str, Any], url: str | None
) -> None:
    assert read_generation({"generation_id": "a", **fields}).result_url == url


def test_an_event_that_names_no_job_announces_none() -> None:
    assert read_event({"url": "https://a"}) is None
    told = read_event({"generation_id": 7, "url": "https://a", "model": "m", "error": "no"})
    assert told is not None
    assert (told.generation_id, told.result_url, told.model_name) == ("7", "https://a", "m")
    assert told.error_message == "no"


@pytest.mark.parametrize("payload", [None, "soon", {"generations": "soon"}, {"generations": {}}])
def test_a_list_without_rows_is_an_error(payload: Any) -> None:
    with pytest.raises(APIResponseError, match="no rows"):
        read_generations(payload)


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        ({"generation_id": "a"}, True),
        ({"generation": {"generation_id": 7}}, True),
        ({"generations": [{}, {"generation_id": "a"}]}, True),
        ({"generations": "a"}, False),
        ({"generation": "a"}, False),
        ([{"generation_id": "a"}], False),
        (None, False),
    ],
)
def test_a_body_that_names_a_generation(payload: Any, named: bool) -> None:
    assert names_a_generation(payload) is named
