"""The words of an audio file, from answers of any shape: none is documented."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from oxen_inference import AsyncOxenClient, OxenClient, Transcription
from oxen_inference.errors import (
    APIResponseError,
    BadRequestError,
    InternalServerError,
    InvalidInputError,
    OxenError,
)
from oxen_sandbox import Fault, Sandbox

MOO = "https://example.com/moo.mp3"
DEEP: Any = "moo"
for _ in range(500):
    DEEP = [DEEP]


def transcribe(hub: Sandbox, kind: str, **params: Any) -> Transcription:
    request = {"model": "gpt-audio", "audio_url": MOO, **params}

    async def awaited() -> Transcription:
        async with AsyncOxenClient(api_key=hub.api_key, base_url=hub.base_url) as client:
            return await client.transcribe(**request)

    if kind == "async":
        return asyncio.run(awaited())
    with OxenClient(api_key=hub.api_key, base_url=hub.base_url) as client:
        return client.transcribe(**request)


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def answer(hub: Sandbox, body: Any, status: int = 200) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    given = "application/json" if not isinstance(body, str) else "text/plain"
    hub.inject(
        Fault("respond", status=status, body=text, content_type=given, path="*/transcriptions")
    )


def test_what_is_sent_and_what_comes_back(oxen_sandbox: Sandbox, kind: str) -> None:
    oxen_sandbox.reply("Moo, said the ox.")
    heard = transcribe(oxen_sandbox, kind, language="en")
    assert (str(heard), heard.model) == ("Moo, said the ox.", "gpt-audio")
    assert heard.raw == {"text": "Moo, said the ox."}
    (request,) = oxen_sandbox.requests
    assert request.path == "/api/ai/audio/transcriptions"
    assert request.json == {"model": "gpt-audio", "audio_url": MOO, "language": "en"}


@pytest.mark.parametrize(
    "body",
    [
        {"text": "moo"}, {"transcript": "moo"}, {"transcription": {"text": "moo"}}, {"result": "moo"},
        {"output": {"text": "moo"}}, {"data": [{"text": "moo"}]}, "moo", '{"text": "moo"}',
        {"choices": [{"message": {"role": "assistant", "content": "moo"}}]}, ["moo"],
        {"segments": [{"text": "moo"}]}, {"model": "gpt-audio", "created": 1, "text": "moo"},
    ],
)  # fmt: skip
def test_every_shape(oxen_sandbox: Sandbox, kind: str, body: Any) -> None:
    answer(oxen_sandbox, body)
    heard = transcribe(oxen_sandbox, kind)
    assert heard.text == "moo"
    assert isinstance(heard.raw, Mapping)


def test_what_else_an_answer_may_say(oxen_sandbox: Sandbox) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 1}
    answer(oxen_sandbox, {"text": "moo", "language": "en", "duration": 3, "usage": usage, "x": 1})
    heard = transcribe(oxen_sandbox, "sync")
    assert (heard.language, heard.duration, heard.usage) == ("en", 3.0, usage)
    assert heard.raw["x"] == 1


def test_segments_are_joined_and_silence_is_empty(oxen_sandbox: Sandbox) -> None:
    answer(oxen_sandbox, {"segments": [{"text": " moo "}, {"text": "baa"}]})
    assert transcribe(oxen_sandbox, "sync").text == "moo baa"
    answer(oxen_sandbox, {"text": ""})
    assert transcribe(oxen_sandbox, "sync").text == ""


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"words": 5},
        {"text": None},
        "",
        "<html><title>Login</title></html>",
        {"result": DEEP},
    ],
)
def test_an_answer_without_words_is_an_error(oxen_sandbox: Sandbox, kind: str, body: Any) -> None:
    answer(oxen_sandbox, body)
    with pytest.raises(APIResponseError):
        transcribe(oxen_sandbox, kind)
    assert len(oxen_sandbox.requests) == 1


@pytest.mark.parametrize(
    ("status", "body", "cls"),
    [
        (200, {"error": {"detail": "This is no audio."}}, BadRequestError),
        (
            500,
            {"error": {"message": "Getting model response error: 400 - no audio"}},
            BadRequestError,
        ),
        (503, {"error": {"message": "busy"}}, InternalServerError),
    ],
)
def test_errors_are_raised_and_nothing_is_sent_again(
    oxen_sandbox: Sandbox, kind: str, status: int, body: Any, cls: type[OxenError]
) -> None:
    answer(oxen_sandbox, body, status)
    with pytest.raises(cls):
        transcribe(oxen_sandbox, kind)
    assert len(oxen_sandbox.requests) == 1


@pytest.mark.parametrize("audio", ["moo.mp3", "", "file:///moo.mp3", None])
def test_a_file_s_name_is_refused_before_it_is_sent(oxen_sandbox: Sandbox, audio: Any) -> None:
    with pytest.raises(InvalidInputError, match="audio_url"):
        transcribe(oxen_sandbox, "sync", audio_url=audio)
    assert oxen_sandbox.requests == []
