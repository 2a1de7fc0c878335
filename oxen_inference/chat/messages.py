"""The messages of a request, in the form every provider behind Oxen accepts.

Adapters write each message of their framework as an OpenAI-style dict, media by `media_part`,
and pass the list to `prepare_messages`, which orders, checks and completes it.
"""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote_to_bytes

from oxen_inference.chat.families import Policy, Replay
from oxen_inference.chat.reasoning import FIELDS as BLOCK_FIELDS
from oxen_inference.errors import InvalidInputError

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

Message = dict[str, Any]
Part = dict[str, Any]
MediaKind = Literal["image", "video", "audio", "file"]

MAX_AUDIO_BYTES = 20 * 1024 * 1024
MAX_PDF_BYTES = 24 * 1024 * 1024

_MEDIA_TYPES = ("image_url", "video_url", "audio_url", "file")
_KIND_OF_DATA_URL: dict[str, MediaKind] = {
    "data:image": "image",
    "data:video": "video",
    "data:audio": "audio",
}

_ATTACHED = "The result follows as an attachment."
_LEFT_OUT = "[{} attachment(s) left out: this model takes no images]"


# How files begin in base64.
_SIGNATURES = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("JVBERi0", "application/pdf"),
    ("T2dnUw", "audio/ogg"),
    ("ZkxhQ", "audio/flac"),
    ("SUQz", "audio/mpeg"),
    ("//vQ", "audio/mpeg"),
    ("GkXfo", "video/webm"),
)


def text_part(text: str) -> Part:
    """Return the content part for a text."""
    return {"type": "text", "text": text}


def media_part(
    kind: MediaKind, url: str, *, filename: str | None = None, detail: str | None = None
) -> Part:
    """Return the content part for a URL or a data URL (https://docs.oxen.ai/inference-api).

    The type of a data URL decides: an image that is given as a file becomes an image.
    """
    if url.startswith("data:image/jpg"):  # there is no such type, and some providers refuse it
        url = url.replace("image/jpg", "image/jpeg", 1)
    if kind == "file" and (actual := _KIND_OF_DATA_URL.get(url[:11].partition("/")[0])):
        kind = actual
    if kind == "file":
        field = "file_data" if url.startswith("data:") else "file_url"
        return {
            "type": "file",
            "file": {field: url, **({"filename": filename} if filename else {})},
        }
    inner = {"url": url, **({"detail": detail} if detail else {})}
    return {"type": f"{kind}_url", f"{kind}_url": inner}


def data_url(mime_type: str, data: bytes | str) -> str:
    """Return the data URL for `data`: bytes, or a str that is base64 already."""
    encoded = data if isinstance(data, str) else base64.b64encode(data).decode()
    return f"data:{mime_type};base64,{encoded}"


def sniff_mime_type(encoded: str) -> str | None:
    """Return the MIME type that the beginning of a file in base64 shows, or None."""
    if encoded.startswith("UklGR"):  # RIFF: the kind comes eight bytes later
        return "image/webp" if "V0VCU" in encoded[:24] else "audio/wav"
    return next((mime for start, mime in _SIGNATURES if encoded.startswith(start)), None)


def unsupported_document(mime_type: str) -> InvalidInputError:
    """Return the error for a document that is not a PDF."""
    return InvalidInputError(f"Oxen takes PDF documents only, not {mime_type}.", hint=_NO_PDF_HINT)


def model_takes_images(model: Model | None) -> bool:
    """Whether a model takes images. True where its catalog entry does not say."""
    return model is None or not model.inputs or model.takes("image")


def prepare_messages(
    messages: Iterable[Mapping[str, Any]],
    *,
    policy: Policy,
    takes_images: Callable[[], bool] = lambda: True,
) -> list[Message]:
    """Return the messages as they are sent. The given ones are not changed.

    System content becomes a string, and media precede text. Images in tool results follow as a
    user message if the model takes images; `takes_images` is called only then. Reasoning is sent
    back as `policy` says. Raises `InvalidInputError` for an empty list, audio and PDFs that are
    too large, and files that are no PDF.
    """
    prepared: list[Message] = []
    attachments: list[Part] = []
    for given in messages:
        message = dict(given)
        role = message.get("role")
        if attachments and role != "tool":
            prepared.append(_attachments_message(attachments))
            attachments = []
        content = message.get("content")
        if role in ("system", "developer"):
            message["content"] = _system_text(content)
        elif role == "tool":
            text, media = _split_media(content)
            if media and not takes_images():
                text += ("\n" if text else "") + _LEFT_OUT.format(len(media))
                media = []
            message["content"] = _cached_parts(content) or text or (_ATTACHED if media else "")
            attachments += media
        elif isinstance(content, list):
            message["content"] = _ordered(content) or ("" if role == "user" else None)
        prepared.append(message)
    if attachments:
        prepared.append(_attachments_message(attachments))
    if not prepared:
        raise InvalidInputError("There is no message to send: the list of messages is empty.")
    return _with_reasoning(prepared, policy)


def _cached_parts(content: object) -> list[Part]:
    """Return the text as parts, if one of them has a cache mark."""
    parts = content if isinstance(content, list) else []
    texts = [p for p in parts if isinstance(p, dict) and p.get("type") == "text"]
    return texts if any("cache_control" in p for p in texts) else []


def _attachments_message(media: list[Part]) -> Message:
    text = {"type": "text", "text": "Attachments returned by the tool calls above."}
    return {"role": "user", "content": [*_ordered(media), text]}


def _system_text(content: object) -> str:
    text, media = _split_media(content)
    if media:
        raise InvalidInputError(
            "A system message takes text only.", hint="Put images and files in a user message."
        )
    return text


def _split_media(content: object) -> tuple[str, list[Part]]:
    """Return the text of a message's content, one part per line, and its media parts."""
    if not isinstance(content, list):
        return ("" if content is None else str(content)), []
    text: list[str] = []
    media: list[Part] = []
    for part in content:
        if isinstance(part, str):
            text.append(part)
        elif part.get("type") in _MEDIA_TYPES:
            media.append(part)
        elif "text" in part:
            text.append(str(part["text"]))
    return "\n".join(text), media


def _ordered(parts: list[Any]) -> list[Part]:
    """Put media before text, each in its own order: providers want the question last."""
    blocks = [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]
    # Anthropic-backed models refuse an empty text part.
    blocks = [b for b in blocks if b.get("type") != "text" or b.get("text")]
    media = [b for b in blocks if b.get("type") in _MEDIA_TYPES]
    for block in media:
        _check_media(block)
    return media + [b for b in blocks if b.get("type") not in _MEDIA_TYPES]


def _check_media(part: Part) -> None:
    kind = part["type"]
    if kind == "audio_url":
        _check_size(_url(part[kind]), MAX_AUDIO_BYTES, "Audio")
    elif kind == "file":
        file = part["file"]
        data, url = file.get("file_data"), file.get("file_url")
        if bool(data) == bool(url):
            raise InvalidInputError(
                "A file needs exactly one of file_data (a data URL) and file_url; uploaded "
                "files (file_id) are not supported by Oxen."
            )
        if data:
            _check_pdf(data, str(file.get("filename") or ""))


_NO_PDF_HINT = "Convert it, or send its text."


def _check_pdf(data: str, filename: str) -> None:
    if data.startswith("data:") and not data.lower().startswith("data:application/pdf"):
        mime_type = data[5:].partition(";")[0].partition(",")[0] or "unknown"
        raise unsupported_document(mime_type)
    # Frameworks label a file without a type as PDF, so its first bytes decide.
    if b"%PDF" not in _first_bytes(data):
        guess = mimetypes.guess_type(filename)[0]
        has_other_type = guess is not None and guess != "application/pdf"
        problem = (
            f"{filename} is {guess}" if has_other_type else f"{filename or 'the file'} is no PDF"
        )
        raise InvalidInputError(f"Oxen takes PDF documents only, and {problem}.", hint=_NO_PDF_HINT)
    _check_size(data, MAX_PDF_BYTES, "A PDF")


_URL_SAFE = str.maketrans("-_", "+/")
_PDF_HEADER_WITHIN = 1024  # bytes; readers accept a header that comes that late


def _first_bytes(data: str) -> bytes:
    head, _, encoded = data.partition(",") if data.startswith("data:") else ("base64", "", data)
    if not head.lower().endswith("base64"):
        return unquote_to_bytes(encoded[: _PDF_HEADER_WITHIN * 3])[:_PDF_HEADER_WITHIN]
    text = "".join(encoded[: _PDF_HEADER_WITHIN * 2].split()).rstrip("=")
    plain = text.translate(_URL_SAFE).encode("ascii", "ignore")
    return base64.b64decode(plain[: len(plain) // 4 * 4])[:_PDF_HEADER_WITHIN]


def _check_size(data_url: str, limit: int, label: str) -> None:
    if not data_url.startswith("data:"):
        return
    encoded = data_url.partition(",")[2]
    size = len(encoded) * 3 // 4 - encoded[-2:].count("=")
    if size > limit:
        raise InvalidInputError(
            f"{label} of {size:,} bytes is too large: Oxen takes up to {limit:,} "
            f"({limit // 2**20} MB).",
            hint="Send a shorter one, or a public URL.",
        )


def _url(value: Any) -> str:
    return str(value.get("url", "")) if isinstance(value, Mapping) else str(value)


def _with_reasoning(messages: list[Message], policy: Policy) -> list[Message]:
    """Remove the reasoning that the policy does not send back."""
    roles = [m.get("role") for m in messages]
    last_user = len(roles) - 1 - roles[::-1].index("user") if "user" in roles else -1
    for position, message in enumerate(messages):
        if message.get("role") == "assistant":
            in_turn = position > last_user and bool(message.get("tool_calls"))
            for field, replay in (
                ("reasoning_content", policy.reasoning_text),
                *((field, policy.reasoning_blocks) for field in BLOCK_FIELDS),
            ):
                if field in message and not _is_replayed(replay, in_turn=in_turn):
                    del message[field]
    return messages


def _is_replayed(replay: Replay, *, in_turn: bool) -> bool:
    return replay == "always" or (replay == "turn" and in_turn)
