"""Which route a request takes, and what becomes of it where a hub has not that route."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Ledger
from oxen_inference.catalog.cache import clear_cache
from oxen_inference.errors import (
    BadRequestError,
    ConfigurationError,
    EnqueueOutcomeUnknown,
    GenerationFailed,
    NotFoundError,
    OxenError,
)
from oxen_inference.ledger.budgets import Budget
from oxen_inference.media import routes
from oxen_sandbox import Fault, Sandbox
from tests.e2e.media.calls import MediaCalls

OX = "https://example.com/ox.png"
SPEECH = "bytedance-seed-audio-1-0"
PAID = ("/queue", "/images/generate", "/images/edit", "/audio/generate", "/audio/speech")


@pytest.fixture
def hub() -> Iterator[Sandbox]:
    with Sandbox(image_seconds=0.05, audio_seconds=0.05) as hub:
        yield hub


@pytest.fixture
def older() -> Iterator[Sandbox]:
    """A hub that keeps audio out of its queue."""
    with Sandbox(audio_seconds=0.05, face="documented") as hub:
        yield hub


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_missing", {})


def posts(hub: Sandbox) -> list[str]:
    sent = [
        request.path.removeprefix("/api/ai") for request in hub.requests if request.method == "POST"
    ]
    return [path for path in sent if path in PAID]


def no_route(path: str, status: int = 404, **fault: Any) -> Fault:
    return Fault("respond", status=status, path=f"*{path}", method="POST", times=None, **fault)


@pytest.mark.parametrize(
    ("model", "params", "path"),
    [
        ("flux-2-dev", {}, "/images/generate"),
        ("flux-2-dev", {"input_image": [OX]}, "/images/edit"),
        ("flux-2-dev", {"input_image": ["data:image/png;base64,AAAA"]}, "/images/edit"),
        ("xai-grok-imagine-image-edit", {"input_image": OX}, "/images/edit"),
        ("gpt-image-2", {"mask_url": OX, "input_image": [OX]}, "/images/edit"),
        ("qwen-image-3", {"input_images": [OX, OX]}, "/images/edit"),
        ("topazlabs-image-upscale", {"prompt": None, "input_image": OX}, "/images/edit"),
        ("gpt-image-2", {"prompt": f"an ox like {OX}"}, "/images/generate"),
        ("gpt-image-2", {"prompt": OX}, "/images/generate"),
    ],
)
def test_the_inputs_choose_the_route(
    media: MediaCalls, model: str, params: dict[str, Any], path: str
) -> None:
    media("generate", model=model, **{"prompt": "an ox", **params}, direct=True)
    assert posts(media.hub) == [path]


@pytest.mark.parametrize("endpoint", ["/images/edit", "/images/generate", None])
def test_whatever_the_entry_s_endpoint_says(media: MediaCalls, endpoint: str | None) -> None:
    media.hub.models["flux-2-dev"]["endpoint"] = endpoint
    media("generate", model="flux-2-dev", prompt="an ox", direct=True)
    media("generate", model="flux-2-dev", prompt="an ox", input_image=[OX], direct=True)
    assert posts(media.hub) == ["/images/generate", "/images/edit"]


@pytest.mark.parametrize("status", [404, 405])
def test_a_route_that_is_not_there_is_remembered(media: MediaCalls, status: int) -> None:
    media.hub.inject(
        no_route("/images/generate", status, message="No route for POST /api/ai/images/generate")
    )
    made = media("generate", model="flux-2-dev", prompt="an ox", direct=True)
    assert posts(media.hub) == ["/images/generate", "/images/edit"]
    assert "/images/generate refused it" in made.notes[0]
    (entry,) = media("jobs")
    assert (entry.state, entry.attempt) == ("accepted", 1)
    media("generate", model="flux-2-dev", prompt="a cow", direct=True)
    assert posts(media.hub)[2:] == ["/images/edit"]
    assert len(media.hub.charges) == 2


def test_images_are_never_sent_where_they_may_be_ignored(media: MediaCalls) -> None:
    media.hub.inject(no_route("/images/edit", message="Not Found"))
    with pytest.raises(NotFoundError):
        media("generate", model="flux-2-dev", prompt="an ox", input_image=[OX], direct=True)
    assert posts(media.hub) == ["/images/edit"]
    assert media.hub.charges == []
    clear_cache()
    schema = media.hub.models["flux-2-dev"]["request_schema"]
    schema["x-image-to-image-endpoint"] = "/images/generate"
    media("generate", model="flux-2-dev", prompt="an ox", input_image=[OX], direct=True)
    assert posts(media.hub)[1:] == ["/images/edit", "/images/generate"]


@pytest.mark.parametrize(
    "message",
    ["Model not found: flux-2-dev", "The model has no such version", "Input file not found",
     "Namespace not found", "input_image could not be fetched", "No such prompt"],
)  # fmt: skip
def test_an_answer_about_something_else_is_no_missing_route(
    media: MediaCalls, message: str
) -> None:
    media.hub.inject(no_route("/images/generate", message=message))
    with pytest.raises(NotFoundError):
        media("generate", model="flux-2-dev", prompt="an ox", direct=True)
    assert posts(media.hub) == ["/images/generate"]


def test_two_routes_that_are_not_there_end_it(media: MediaCalls) -> None:
    media.hub.inject(no_route("/images/*", message="Not Found"))
    budget = Budget("1", name="b", ledger=media.ledger)
    with pytest.raises(NotFoundError):
        media("generate", model="flux-2-dev", prompt="an ox", direct=True, budget=budget)
    assert posts(media.hub) == ["/images/generate", "/images/edit"]
    assert (budget.reserved, media("jobs")[0].state) == (0, "rejected")


# Audio


def test_audio_goes_through_the_queue(media: MediaCalls, tmp_path: Path) -> None:
    request = {"model": SPEECH, "prompt": "Good morning, ox.", "key": "greeting"}
    made = media("generate", **request, save_to=tmp_path)
    assert posts(media.hub) == ["/queue"]
    assert (made.media_type, made.paths[0].suffix) == ("audio", ".mp3")
    assert made.generation_ids
    again = media("generate", **request, save_to=tmp_path)
    assert again.generation_ids == made.generation_ids
    assert media("resume", "greeting").generation_ids == made.generation_ids
    assert len(media.hub.charges) == 1


def test_audio_whose_answer_was_lost_is_found(media: MediaCalls) -> None:
    media.hub.inject(Fault("reset", when="after", method="POST", path="*/queue"))
    made = media("generate", model=SPEECH, prompt="Good morning, ox.", key="greeting")
    assert made.succeeded
    assert len(media.hub.jobs) == 1


def test_several_at_once(media: MediaCalls) -> None:
    made = media("generate", model=SPEECH, prompt="Moo.", num_generations=2)
    assert len(set(made.urls)) == 2


@pytest.fixture
def older_media(older: Sandbox, ledger: Ledger, kind: str) -> MediaCalls:
    return MediaCalls(older, ledger, kind)


def test_a_queue_without_audio_gives_way_to_the_synchronous_route(
    older_media: MediaCalls, tmp_path: Path
) -> None:
    budget = Budget("1", name="b", ledger=older_media.ledger)
    request = {"model": SPEECH, "prompt": "Good morning, ox.", "budget": budget}
    made = older_media("generate", **request, save_to=tmp_path, allow_unknown_cost=True)
    assert posts(older_media.hub) == ["/queue", "/audio/generate"]
    assert made.paths[0].is_file()
    (entry,) = older_media("jobs")
    assert (entry.kind, entry.attempt, entry.state) == ("direct", 1, "accepted")
    # Remembered: the queue is not asked again.
    older_media("generate", **request, save_to=tmp_path, allow_unknown_cost=True)
    assert posts(older_media.hub)[2:] == ["/audio/generate"]
    assert len(older_media.hub.charges) == 2


def test_a_key_of_the_caller_s_needs_the_queue(older_media: MediaCalls) -> None:
    with pytest.raises(
        ConfigurationError, match="only a queued generation can have a key"
    ) as caught:
        older_media("generate", model=SPEECH, prompt="Moo.", key="greeting")
    assert caught.value.hint is not None
    assert posts(older_media.hub) == ["/queue"]
    assert older_media.hub.charges == []
    assert older_media("jobs")[0].state == "rejected"


def test_a_run_gives_keys_only_with_a_prefix(older_media: MediaCalls) -> None:
    requests = [{"model": SPEECH, "prompt": "Moo."}]
    (refused,) = older_media("generate_many", requests, key_prefix="herd")
    assert isinstance(refused, ConfigurationError)
    assert "a run without key_prefix" in str(refused.hint)
    assert older_media.hub.charges == []
    (made,) = older_media("generate_many", requests)
    assert made.succeeded
    assert len(older_media.hub.charges) == 1


def test_a_derived_key_does_not(older_media: MediaCalls, tmp_path: Path) -> None:
    request = {"model": SPEECH, "prompt": "Moo.", "key": "thread:1", "key_is_derived": True}
    made = older_media("generate", **request, save_to=tmp_path)
    assert posts(older_media.hub) == ["/queue", "/audio/generate"]
    again = older_media("generate", **request, save_to=tmp_path)
    assert again.paths == made.paths
    assert len(older_media.hub.charges) == 1


def test_the_last_route_takes_what_is_said_as_input(media: MediaCalls) -> None:
    refusal = {"generations": [], "error": {"detail": "unsupported_media_type"}}
    media.hub.inject(
        no_route("/queue", 200, body=refusal), no_route("/audio/generate", message="Not Found")
    )
    made = media("generate", model=SPEECH, prompt="Welcome, ox.", voice="calm")
    assert posts(media.hub) == ["/queue", "/audio/generate", "/audio/speech"]
    said = next(r.json for r in media.hub.requests if r.path.endswith("/audio/speech"))
    assert (said["input"], said["voice"], said["model"]) == ("Welcome, ox.", "calm", SPEECH)
    assert made.urls
    assert [charge.kind for charge in media.hub.charges] == ["direct"]
    assert media("jobs")[0].attempt == 2


WAV = (
    b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x08\0\0\0"
    + b"\x80" * 8
)
PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x03\x08\x02\0\0\0"
    + b"\0" * 8
    + b"IEND\xaeB`\x82"
)


def answer_of(path: str, content: Any, content_type: str | None) -> Fault:
    """The request is carried out, and answered with this."""
    return no_route(path, 200, when="after", body=content, content_type=content_type)


@pytest.mark.parametrize(
    ("path", "content", "stated", "suffix"),
    [
        ("/audio/speech", b"ID3\x04\0\0" + b"\xff\xfb\x90" * 40, "audio/mpeg", "mp3"),
        ("/audio/speech", WAV, "application/octet-stream", "wav"),
        ("/audio/generate", WAV, "application/json", "wav"),
        ("/audio/generate", WAV, "text/html; charset=utf-8", "wav"),
        ("/audio/speech", b"\x01\x80\xfe\0" * 50, "audio/pcm", "pcm"),
        ("/images/generate", PNG, "binary/octet-stream", "png"),
    ],
)
def test_an_answer_that_is_the_file_itself_is_the_result(
    media: MediaCalls, tmp_path: Path, path: str, content: bytes, stated: str, suffix: str
) -> None:
    if path == "/audio/speech":
        media.hub.inject(no_route("/audio/generate", message="Not Found"))
    media.hub.inject(answer_of(path, content, stated))
    model = "flux-2-dev" if "images" in path else SPEECH
    made = media("generate", model=model, prompt="Moo.", direct=True, save_to=tmp_path)
    assert made.paths[0].read_bytes() == content
    assert made.paths[0].suffix == f".{suffix}"
    assert made.items[0].sha256
    (entry,) = media("jobs")
    assert (entry.state, len(media.hub.charges)) == ("accepted", 1)


def test_without_a_folder_its_bytes_are_in_the_result(media: MediaCalls) -> None:
    media.hub.inject(answer_of("/audio/generate", WAV, "audio/wav"))
    made = media("generate", model=SPEECH, prompt="Moo.", direct=True)
    assert (made.items[0].content, made.items[0].mime_type) == (WAV, "audio/wav")


@pytest.mark.parametrize(
    ("content", "stated"),
    [(b"<html><title>Gateway</title></html>", "audio/mpeg"), (b"", "audio/mpeg"),
     ("The audio is being made.", "audio/wav"), (b"[" * 200_000, "application/json")],
)  # fmt: skip
def test_a_text_where_a_file_should_be_is_an_unknown_outcome(
    media: MediaCalls, content: Any, stated: str
) -> None:
    media.hub.inject(answer_of("/audio/generate", content, stated))
    with pytest.raises(EnqueueOutcomeUnknown):
        media("generate", model=SPEECH, prompt="Moo.", direct=True)
    assert media("jobs")[0].state == "unknown"


def test_json_under_another_type_is_read(media: MediaCalls) -> None:
    answer = b'{"audio": {"url": "https://example.com/moo.mp3"}}'
    media.hub.inject(answer_of("/audio/generate", answer, "application/octet-stream"))
    made = media("generate", model=SPEECH, prompt="Moo.", direct=True)
    assert made.urls == ("https://example.com/moo.mp3",)


def test_a_refusal_inside_a_success_is_not_believed_where_a_job_is_listed(
    media: MediaCalls,
) -> None:
    refusal = {"generations": [], "error": {"detail": "unsupported_media_type"}}
    media.hub.inject(no_route("/queue", 200, body=refusal, when="after"))
    made = media("generate", model=SPEECH, prompt="Welcome, ox.")
    assert posts(media.hub) == ["/queue"]
    assert made.succeeded
    assert len(media.hub.charges) == 1


def test_a_failed_job_is_never_made_again_elsewhere(media: MediaCalls) -> None:
    media.hub.inject(Fault("fail_job", message="unsupported_media_type"))
    with pytest.raises(GenerationFailed):
        media("generate", model=SPEECH, prompt="Moo.")
    assert posts(media.hub) == ["/queue"]


@pytest.mark.parametrize(
    ("status", "message"),
    [(400, "speed must be at most 2"), (402, "Insufficient credits"), (404, f"Model not found: {SPEECH}"),
     (500, "unsupported_media_type"), (403, "This audio is not for you.")],
)  # fmt: skip
def test_any_other_refusal_ends_it(media: MediaCalls, status: int, message: str) -> None:
    media.hub.inject(no_route("/queue", status, message=message))
    with pytest.raises(OxenError):
        media("generate", model=SPEECH, prompt="Moo.")
    assert set(posts(media.hub)) == {"/queue"}
    assert media.hub.charges == []


def test_an_unknown_outcome_is_never_sent_elsewhere(media: MediaCalls) -> None:
    media.hub.inject(Fault("reset", method="POST", path="*/audio/generate"))
    with pytest.raises(EnqueueOutcomeUnknown):
        media("generate", model=SPEECH, prompt="Moo.", direct=True)
    assert posts(media.hub) == ["/audio/generate"]


def test_a_refusal_that_the_hub_wraps_is_the_caller_s(media: MediaCalls) -> None:
    budget = Budget("1", name="b", ledger=media.ledger)
    media.hub.models["flux-2-dev"]["request_schema"]["properties"]["output_format"].pop("enum")
    media.hub.inject(
        Fault("respond", path="*/images/generate",
              message="Getting model response error: 422 - Value error, no such format")
    )  # fmt: skip
    with pytest.raises(OxenError, match="no such format") as caught:
        media("generate", model="flux-2-dev", prompt="x", direct=True, budget=budget)
    assert not isinstance(caught.value, EnqueueOutcomeUnknown)
    assert (caught.value.is_retryable, budget.reserved, len(posts(media.hub))) == (False, 0, 1)
    assert not isinstance(caught.value, BadRequestError) or caught.value.status_code == 422


@pytest.mark.parametrize("lost", [False, True])
def test_a_job_without_a_prompt(media: MediaCalls, lost: bool, tmp_path: Path) -> None:
    media.hub.settings.video_seconds = 0.05
    if lost:
        media.hub.inject(Fault("reset", when="after", method="POST", path="*/queue"))
    made = media(
        "generate", model="topazlabs-upscale-starlight-2-5-video", resolution="4k", key="upscale",
        input_video="https://example.com/ox.mp4", save_to=tmp_path,
    )  # fmt: skip
    assert (made.prompt, len(made.paths), len(media.hub.jobs)) == (None, 1, 1)
    sent = next(r.json for r in media.hub.requests if r.method == "POST")
    assert "prompt" not in sent
