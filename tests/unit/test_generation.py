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
from oxen_inference.paths import CURRENT
from oxen_inference.queue import generations_call


@pytest.mark.parametrize("payload", [None, [], "OK", {}, {"generation": {}}, {"generation_id": True}, {"generation_id": " "}, {"generation_id": "a\0b"}, {"generation_id": "a\ud800b"}])  # fmt: skip
def test_a_row_without_an_id_is_no_generation(payload: Any) -> None:
    with pytest.raises(APIResponseError, match="without its id"):
        read_generation(payload)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (5, 5.0), ("5.5", 5.5), (True, None), ("yesterday", None), (None, None), ([], None),
        (float("inf"), None), ("NaN", None), ("2026-11-29", None), ("2026-13-29T12:00:00Z", None),
        (1795953600.5, 1795953600.5), (1795953600500, 1795953600.5), ("1795953600500", 1795953600.5),
        (1795953600500000, 1795953600.5),
        ("2026-11-29T12:00:00Z", 1795953600.0), ("2026-11-29T12:00:00", 1795953600.0),
        ("2026-11-29 12:00:00.5", 1795953600.5), ("2026-11-29T12:00:00.500000Z", 1795953600.5),
        ("2026-11-29T14:00:00.5+02:00", 1795953600.5), ("2026-11-29T07:00:00-0500", 1795953600.0),
        ("2026-11-29T12:00:00.5000001z", 1795953600.5),
    ],
)  # fmt: skip
def test_times_are_unix_seconds_in_whatever_form_they_come(given: Any, read: float | None) -> None:
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


@pytest.mark.parametrize(
    ("stated", "rows", "page", "is_last"),
    [
        ({"total_pages": 3}, 4, 1, False), ({"total_pages": 3}, 4, 3, True),
        ({"total_pages": "3"}, 4, 1, False), ({"total_pages": "3"}, 4, 3, True),
        ({"total_pages": 1}, 4, 1, True), ({"total_pages": 0}, 0, 1, True),
        # Where their number is not stated.
        ({}, 4, 1, False), ({}, 4, 7, False), ({}, 3, 1, True), ({}, 0, 2, True),
        ({"total_pages": None}, 4, 1, False), ({"total_pages": "many"}, 4, 1, False),
        ({"page_size": 2}, 2, 1, False), ({"page_size": "2"}, 1, 1, True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("only", [None, {"of another page"}])
def test_a_page_is_the_last_where_the_hub_says_so_or_it_is_not_full(
    stated: dict[str, Any], rows: int, page: int, is_last: bool, only: set[str] | None
) -> None:
    call = generations_call(CURRENT, only=only, page=page, page_size=4)
    ids = [{"generation_id": ""}, *({"generation_id": str(n)} for n in range(3))]
    assert call.read({"generations": ids[:rows], **stated}).is_last is is_last
