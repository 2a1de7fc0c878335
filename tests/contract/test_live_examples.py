"""The examples of the hub as it is, where they are at hand, mean to us what they say they mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import errors
from oxen_inference.catalog.reading import read_model
from oxen_inference.error_mapping import error_in_success, status_error
from oxen_inference.generation_reading import read_generation
from oxen_inference.media.input_errors import read_complaint, takes_public_urls_only
from oxen_inference.media.queue_decision import (
    OutcomeUnknown,
    Refused,
    read_direct_answer,
    read_failure,
    read_queue_answer,
)
from oxen_inference.media.routes import first_route
from oxen_inference.paths import CURRENT
from oxen_inference.queue import submit_call

URL = "https://oxen.test/made.bin"


@pytest.fixture
def live(published_contract: Path) -> Path:
    folder = published_contract / "live"
    if not folder.is_dir():
        pytest.skip("the examples of the hub are not part of the repository")
    return folder


def load(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text())


class Response:
    request = None

    def __init__(self, status: int) -> None:
        self.status_code, self.headers = status, {}


def with_url(value: Any) -> Any:
    """The example with a URL of ours in place of those that it leaves out."""
    if isinstance(value, dict):
        return {name: with_url(each) for name, each in value.items()}
    if isinstance(value, list):
        return [with_url(each) for each in value]
    return URL


def test_results_of_synchronous_routes(live: Path) -> None:
    for body in load(live, "wire_result_urls")["synchronous_bodies"]:
        items = read_direct_answer(with_url(body), "video" if "video" in str(body) else "image")
        assert [item.url for item in items] == [URL], body  # type: ignore[union-attr]


def test_results_of_queued_audio(live: Path) -> None:
    example = load(live, "wire_audio_through_the_queue")
    assert read_queue_answer(example["response"]["json"], 1).generation_ids == ("gen-1",)  # type: ignore[union-attr]
    for name, value in example["finished_row_may_have"].items():
        row = {"generation_id": "g", "status": "succeeded", "media_type": "audio"}
        assert read_generation({**row, name: with_url(value)}).result_url == URL, name


def test_errors(live: Path) -> None:
    for case in load(live, "wire_errors")["cases"]:
        if "row" in case:
            request = {"input_face_images": ["data:image/png;base64,AAAA"]}
            complaint = read_complaint(case["row"]["error_message"], request)
            assert complaint is not None
            assert "input_face_images" in complaint.hint or "prompt" in complaint.hint
            continue
        body = case.get("json", case.get("text"))
        if case.get("status") == 200:
            outcome = read_queue_answer(body, 1)
            assert isinstance(outcome, OutcomeUnknown)
            assert outcome.is_refusal  # to be confirmed by looking
            continue
        outers = [case["status"]] if "status" in case else [400, 422, 500, 502]
        for outer in outers:
            error = status_error(body, response=Response(outer))
            named = case["expect"].partition(";")[0]
            if named.endswith("Error"):
                assert isinstance(error, getattr(errors, named)), case
            if "status" not in case:
                assert read_failure(error) == Refused(error), case
                assert not error.is_retryable


def test_titles_and_numbers(live: Path) -> None:
    cases = load(live, "wire_errors")["cases"]
    upstream = next(c for c in cases if (c.get("json") or {}).get("status") == 502)
    hidden = error_in_success(upstream["json"])
    assert isinstance(hidden, errors.InternalServerError)
    assert hidden.message == upstream["json"]["error"]["title"]


def test_an_edit_only_model_is_sent_to_the_edit_route(live: Path) -> None:
    example = load(live, "live_model_xai-grok-imagine-image-edit")
    model = read_model(example["model"])
    body = {"model": model.id, "prompt": "x", "input_image": "https://example.com/ox.png"}
    assert first_route(model, "image", body, "https://hub.test") == "images_edit"
    assert getattr(CURRENT, "images_edit") in example["expect"]["synchronous_path"]  # noqa: B009


def test_faces(live: Path) -> None:
    for name in load(live, "wire_seedance_face_slots")["schema"]["properties"]:
        assert takes_public_urls_only(name) is ("face" in name)


def test_a_request_without_a_prompt(live: Path) -> None:
    request = load(live, "wire_topaz_queue_without_prompt")["request"]
    call = submit_call(CURRENT, **request["json"])
    assert call.body == request["json"]
    row = {"generation_id": "g", "status": "succeeded", "media_type": "video", "result_url": URL}
    assert read_generation(row).prompt is None


def test_requests_go_where_they_are_documented(live: Path) -> None:
    for name, path in (
        ("wire_audio_speech", CURRENT.audio_speech),
        ("wire_audio_transcriptions", CURRENT.audio_transcriptions),
        ("wire_audio_through_the_queue", CURRENT.queue),
    ):
        assert load(live, name)["request"]["path"] == f"/api/ai{path}"
