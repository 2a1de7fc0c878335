"""What is said in an audio file: `client.transcribe`.

The request is documented (https://docs.oxen.ai), its answer is not: the text is taken from wherever
such answers have it, and the whole body is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oxen_inference.error_body import human_text, is_page
from oxen_inference.error_mapping import error_in_success
from oxen_inference.errors import APIResponseError, InvalidInputError
from oxen_inference.paths import Paths
from oxen_inference.transport import Call

# Under which names, in the order of trust, a text stands, or an object or a list that has it.
_NAMES = (
    "text", "transcript", "transcription", "content", "result", "results", "output", "data",
    "message", "choices", "segments", "utterances", "transcripts",
)  # fmt: skip
_MAX_DEPTH = 5  # objects and lists inside each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcription:
    """The words of an audio file. `duration` is in seconds; None means that Oxen does not say.

    `raw` is the answer as it came; an answer that is a text alone stands there as ``{"text": …}``.
    """

    text: str
    model: str
    language: str | None = None
    duration: float | None = None
    usage: Mapping[str, Any] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return self.text


def transcribe_call(
    paths: Paths, model: str, audio_url: str, params: Mapping[str, Any]
) -> Call[Transcription]:
    """Return the request for the words of one file. Raises `InvalidInputError`.

    It is sent once: it is paid for, and nothing on the hub tells whether it arrived.
    """
    if not isinstance(audio_url, str) or not audio_url.startswith(("https://", "http://", "data:")):
        raise InvalidInputError(
            "audio_url must be a public URL or a data URL.",
            hint="A file of yours becomes a data URL: data:audio/mpeg;base64,...",
        )
    return Call(
        method="post",
        path=paths.audio_transcriptions,
        body={"model": model, "audio_url": audio_url, **params},
        read=lambda payload: read_transcription(payload, model),
        takes_text=True,
        once=True,
    )


def read_transcription(payload: object, model: str) -> Transcription:
    """Read the words in an answer of any shape. Raises `APIResponseError`, `APIStatusError`."""
    error = error_in_success(payload)
    if error is not None:
        raise error
    body = _decoded(payload)
    text = None if is_page(body) else _text(body, 0)
    if text is None:
        shown = human_text(payload) or "an empty body"
        raise APIResponseError(f"Oxen's answer holds no transcription: {shown[:300]}", body=payload)
    raw = body if isinstance(body, Mapping) else {"text": text}
    language, duration, usage = raw.get("language"), raw.get("duration"), raw.get("usage")
    has_duration = isinstance(duration, int | float) and not isinstance(duration, bool)
    return Transcription(
        text=text,
        model=model,
        language=language if isinstance(language, str) else None,
        duration=float(duration) if has_duration else None,  # type: ignore[arg-type]  # checked
        usage=usage if isinstance(usage, Mapping) else None,
        raw=raw,
    )


def _decoded(payload: object) -> object:
    """Return JSON that came as a text; anything else as it is."""
    if isinstance(payload, str) and payload.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(payload)
        except (ValueError, RecursionError):
            return payload
    return payload


def _text(body: object, depth: int) -> str | None:
    """Return the first text; an empty one is the words of a silent file."""
    if isinstance(body, str):
        return body.strip() if depth or body.strip() else None
    if depth >= _MAX_DEPTH:
        return None
    if isinstance(body, list):
        texts = [text for each in body if (text := _text(each, depth + 1)) is not None]
        return " ".join(texts) if texts else None
    if not isinstance(body, Mapping):
        return None
    found = (_text(body[name], depth + 1) for name in _NAMES if name in body)
    return next((text for text in found if text is not None), None)
