"""What a hub may put into an answer: read, or left out, and never an error of another kind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oxen_inference.errors import APIResponseError
from oxen_inference.generation_reading import read_generation, read_generations
from oxen_inference.media.queue_decision import Accepted, read_queue_answer
from oxen_inference.paths import for_base_url
from oxen_inference.queue import generation_call, get_call

DEEP: Any = "x"
for _ in range(5000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "odd",
    [
        {"enqueued_at": 10**400}, {"completed_at": "1e999"}, {"cost": 10**400}, {"cost": "1_000"},
        {"started_at": float("nan")}, {"error": DEEP}, {"seed": 10**400}, {"params": DEEP},
        {"status": DEEP}, {"result_url": DEEP},
    ],
)  # fmt: skip
def test_an_odd_value_costs_nothing_but_itself(odd: dict[str, Any]) -> None:
    answer = {"generations": [{"generation_id": "a", "status": "queued", **odd}]}
    outcome = read_queue_answer(answer, 1)
    assert isinstance(outcome, Accepted)
    assert outcome.generation_ids == ("a",)
    row = read_generation({"generation_id": "a", "status": "queued", **odd})
    assert (row.enqueued_at, row.cost) == (None, None)


def test_a_row_with_an_absurd_id_is_left_out() -> None:
    rows = read_generations([{"generation_id": 10**5000}, {"generation_id": 7}])
    assert [row.generation_id for row in rows] == ["7"]


@pytest.mark.parametrize("make", [get_call, generation_call])
def test_the_row_of_another_job_is_refused(make: Any) -> None:
    call = make(for_base_url("https://hub.oxen.ai/api/ai"), "mine")
    assert call.read({"generation_id": "MINE", "status": "queued"}).generation_id == "MINE"
    with pytest.raises(APIResponseError, match="about another"):
        call.read({"generation_id": "theirs", "status": "succeeded", "cost": "3.33"})


@pytest.mark.parametrize(
    ("word", "fields", "status"),
    [
        ("Succeed", {}, "succeeded"),
        ("Content Moderated", {}, "failed"),
        ("timed out", {}, "failed"),
        ("aborted", {}, "cancelled"),
        ("evaporated", {"error": "too hot"}, "failed"),
        ("evaporated", {"result_url": "https://a/b.png"}, "succeeded"),
        ("evaporated", {"completed_at": 1}, "failed"),
        ("evaporated", {}, "evaporated"),
        ("evaporated", {"images": ["https://a/input.png"]}, "evaporated"),
    ],
)
def test_an_unknown_word_beside_an_end_has_ended(
    word: str, fields: dict[str, Any], status: str
) -> None:
    row = read_generation({"generation_id": "a", "status": word, **fields})
    assert row.status == status
    json.dumps(row.error_message)
