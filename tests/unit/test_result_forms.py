"""A result is found under every name that hubs and the providers behind them give it."""

from __future__ import annotations

from typing import Any

import pytest

from oxen_inference.generation_reading import read_generation, without_inputs
from oxen_inference.media.queue_decision import read_direct_answer

URL = "https://oxen.test/made.bin"
FORMS: list[Any] = [
    {"audios": [{"url": URL}]}, {"audio": {"url": URL}}, {"audio_url": URL}, {"result": {"url": URL}},
    {"video": {"url": URL}}, {"image": {"url": URL}}, {"videos": [{"url": URL}]}, {"output": [URL]},
    {"output": URL}, {"outputs": [{"url": URL}]}, {"results": [{"url": URL}]}, {"url": URL},
    {"result": {"video": {"url": URL}}}, {"output": {"images": [{"url": URL}]}}, {"data": [{"url": URL}]},
    {"audio": URL}, {"audio_urls": [URL]}, {"result": URL},
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("media_type", ["audio", None])
def test_in_a_finished_row(form: dict[str, Any], media_type: str | None) -> None:
    row = {"generation_id": "a", "status": "succeeded", "media_type": media_type, **form}
    assert read_generation(row).result_url == URL
    assert read_generation({**row, "result_url": ""}).result_url == URL


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_in_the_answer_of_a_synchronous_route(form: dict[str, Any]) -> None:
    (item,) = read_direct_answer({"model": "m", "created": 1, **form}, "audio")  # type: ignore[misc]
    assert (item.url, item.status) == (URL, "succeeded")


@pytest.mark.parametrize(
    ("media_type", "form"),
    [
        ("image", {"image_url": URL}),
        ("video", {"video_url": URL}),
        ("video", {"video": {"url": URL}}),
    ],
)
def test_each_kind_has_its_own_names(media_type: str, form: dict[str, Any]) -> None:
    row = {"generation_id": "a", "status": "succeeded", "media_type": media_type, **form}
    assert read_generation(row).result_url == URL
    assert [item.url for item in read_direct_answer(form, media_type)] == [URL]  # type: ignore[union-attr]


def test_several_results_of_one_answer() -> None:
    answer = {"output": [URL, f"{URL}?2", {"url": f"{URL}?3"}]}
    assert [item.url for item in read_direct_answer(answer, "video")] == [
        URL,
        f"{URL}?2",
        f"{URL}?3",
    ]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["image_url", "audio_url", "image", "audio"])
@pytest.mark.parametrize("media_type", ["video", "image", "audio"])
def test_an_input_is_no_result_of_a_row_that_has_not_ended(media_type: str, name: str) -> None:
    words = ("processing", "In Progress", "in_progress", "rendering", "running", "starting", "IN_QUEUE")  # fmt: skip
    for status in words:
        row = {"generation_id": "a", "status": status, "media_type": media_type, name: URL}
        job = read_generation(row)
        assert (job.result_url, job.is_terminal) == (None, False), status


def test_a_text_under_another_kind_s_name_is_an_input() -> None:
    row = {"generation_id": "a", "status": "succeeded", "media_type": "video", "audio_url": URL}
    assert read_generation(row).result_url is None
    beside = read_generation({**row, "result": {"url": f"{URL}?made"}})
    assert beside.result_url == f"{URL}?made"


def test_an_unknown_word_for_the_end_needs_more_than_a_text_that_may_be_an_input() -> None:
    row = {"generation_id": "a", "status": "rendered", "completed_at": 5, "media_type": "image"}
    assert read_generation({**row, "image_url": URL}).status == "failed"
    assert read_generation({**row, "image": {"url": URL}}).status == "succeeded"


@pytest.mark.parametrize("name", ["image_url", "image", "output", "images"])
def test_what_the_request_named_is_never_its_result(name: str) -> None:
    row = {"generation_id": "a", "status": "succeeded", "media_type": "image", name: URL}
    job = read_generation(row)
    assert job.result_url == URL
    assert without_inputs(job, {name: URL}).result_url is None
    made = read_generation({**row, "result": {"url": f"{URL}?made"}})
    assert without_inputs(made, {name: URL}).result_url == f"{URL}?made"


@pytest.mark.parametrize(
    "value", ["mp4", "", 5, True, None, [], {}, [[]], {"url": None}, {"x": "y"}]
)
def test_what_is_no_result(value: Any) -> None:
    for name in ("output", "audio", "result", "url"):
        row = {"generation_id": "a", "status": "succeeded", "media_type": "audio", name: value}
        assert read_generation(row).result_url is None


def test_objects_inside_each_other_end_somewhere() -> None:
    deep: Any = {"url": URL}
    for _ in range(1_000):
        deep = {"result": deep}
    row = {"generation_id": "a", "status": "succeeded", "result": deep}
    assert read_generation(row).result_url is None
