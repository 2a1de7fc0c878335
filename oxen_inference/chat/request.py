"""Messages as Oxen takes them, from messages as a framework has them; shared by both adapters.

Adapters write each of their messages as an OpenAI-style dict and pass the list through
`prepare_messages`, which orders, checks and completes it. Nothing it is given is changed.
"""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from oxen_inference.chat.parts import MEDIA, Part
from oxen_inference.chat.policies import Policy, Replay
from oxen_inference.chat.reasoning import FIELDS as BLOCK_FIELDS
from oxen_inference.errors import InvalidInputError

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

Message = dict[str, Any]

MAX_AUDIO_BYTES = 20 * 1024 * 1024
MAX_PDF_BYTES = 24 * 1024 * 1024

_PER_CALL = ("timeout", "extra_headers", "extra_query")


def prepare_messages(
    messages: Iterable[Mapping[str, Any]],
    *,
    policy: Policy,
    can_see: Callable[[], bool] = lambda: True,
) -> list[Message]:
    """Return the messages in the form every provider behind Oxen accepts.

    System content is a string, media precede text, images in tool results follow as a user
    message (where the model `can_see`, which is asked only then), and reasoning goes back as
    `policy` says. Raises `InvalidInputError` for an empty list, oversized audio and PDFs, and files
    of other kinds.
    """
    prepared: list[Message] = []
    shown: list[Part] = []
    for given in messages:
        message = dict(given)
        role = message.get("role")
        if shown and role != "tool":
            prepared.append(_showing(shown))
            shown = []
        content = message.get("content")
        if role in ("system", "developer"):
            message["content"] = text_of(content)
        elif role == "tool":
            text, media = _split(content)
            if media and not can_see():
                text += ("\n" if text else "") + _UNSEEN.format(len(media))
                media = []
            message["content"] = _cached(content) or text or (_BELOW if media else "")
            shown += media
        elif isinstance(content, list):
            message["content"] = _ordered(content) or ("" if role == "user" else None)
        prepared.append(message)
    if shown:
        prepared.append(_showing(shown))
    if not prepared:
        raise InvalidInputError("There is no message to send: the list of messages is empty.")
    return _with_reasoning(prepared, policy)


def _cached(content: object) -> list[Part]:
    """Return the text as parts, where one of them carries a cache mark."""
    parts = content if isinstance(content, list) else []
    texts = [p for p in parts if isinstance(p, dict) and p.get("type") == "text"]
    return texts if any("cache_control" in p for p in texts) else []


_BELOW = "The result follows as an attachment."
_UNSEEN = "[{} attachment(s) left out: this model takes no images]"


def _showing(media: list[Part]) -> Message:
    text = {"type": "text", "text": "Attachments returned by the tool calls above."}
    return {"role": "user", "content": [*_ordered(media), text]}


def text_of(content: object) -> str:
    """Return the text of a message's content, paragraphs joined; media in it are refused."""
    text, media = _split(content)
    if media:
        raise InvalidInputError("A system message takes text only; put media in a user message.")
    return text


def _split(content: object) -> tuple[str, list[Part]]:
    if not isinstance(content, list):
        return ("" if content is None else str(content)), []
    text: list[str] = []
    media: list[Part] = []
    for part in content:
        if isinstance(part, str):
            text.append(part)
        elif part.get("type") in MEDIA:
            media.append(part)
        elif "text" in part:
            text.append(str(part["text"]))
    return "\n".join(text), media


def _ordered(parts: list[Any]) -> list[Part]:
    """Put media before text, each in its own order: providers want the question last."""
    blocks = [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]
    # An empty text part is refused by Anthropic-backed models.
    blocks = [b for b in blocks if b.get("type") != "text" or b.get("text")]
    media = [b for b in blocks if b.get("type") in MEDIA]
    for block in media:
        _check_media(block)
    return media + [b for b in blocks if b.get("type") not in MEDIA]


def _check_media(part: Part) -> None:
    kind = part["type"]
    if kind == "audio_url":
        _check_size(_url(part[kind]), MAX_AUDIO_BYTES, "Audio")
    elif kind == "file":
        file = part["file"]
        data, url = file.get("file_data"), file.get("file_url")
        if bool(data) == bool(url):
            raise InvalidInputError(
                "A file needs exactly one of file_data (a data URL) and file_url; "
                "uploaded files (file_id) are not supported by Oxen."
            )
        if data:
            _check_pdf(data, str(file.get("filename") or ""))


def _check_pdf(data: str, filename: str) -> None:
    if data.startswith("data:") and not data.lower().startswith("data:application/pdf"):
        kind = data[5:].partition(";")[0].partition(",")[0] or "unknown"
        raise InvalidInputError(
            f"Oxen takes PDF documents only, not {kind}. Convert it, or send its text."
        )
    # Frameworks label as PDF whatever comes without a type, so its own first bytes decide.
    if b"%PDF" not in _first_bytes(data):
        guess = mimetypes.guess_type(filename)[0]
        is_other = guess is not None and guess != "application/pdf"
        what = f"{filename} is {guess}" if is_other else f"{filename or 'the file'} is no PDF"
        raise InvalidInputError(
            f"Oxen takes PDF documents only, and {what}. Convert it, or send its text."
        )
    _check_size(data, MAX_PDF_BYTES, "A PDF")


_URL_SAFE = str.maketrans("-_", "+/")
_MAGIC_WITHIN = 1024  # bytes; readers allow a PDF to begin that late


def _first_bytes(data: str) -> bytes:
    head, _, encoded = data.partition(",") if data.startswith("data:") else ("base64", "", data)
    if not head.lower().endswith("base64"):
        return unquote_to_bytes(encoded[: _MAGIC_WITHIN * 3])[:_MAGIC_WITHIN]
    text = "".join(encoded[: _MAGIC_WITHIN * 2].split()).rstrip("=")
    plain = text.translate(_URL_SAFE).encode("ascii", "ignore")
    return base64.b64decode(plain[: len(plain) // 4 * 4])[:_MAGIC_WITHIN]


def _check_size(data_url: str, limit: int, what: str) -> None:
    if not data_url.startswith("data:"):
        return
    encoded = data_url.partition(",")[2]
    size = len(encoded) * 3 // 4 - encoded[-2:].count("=")
    if size > limit:
        raise InvalidInputError(
            f"{what} of {size:,} bytes is too large: Oxen takes up to {limit:,} "
            f"({limit // 2**20} MB). Send a shorter one, or a public URL."
        )


def _url(value: Any) -> str:
    return str(value.get("url", "")) if isinstance(value, Mapping) else str(value)


def _with_reasoning(messages: list[Message], policy: Policy) -> list[Message]:
    """Drop what the policy does not replay of the reasoning the adapters wrote out."""
    roles = [m.get("role") for m in messages]
    turn = len(roles) - 1 - roles[::-1].index("user") if "user" in roles else -1
    for place, message in enumerate(messages):
        if message.get("role") == "assistant":
            in_turn = place > turn and bool(message.get("tool_calls"))
            for field, replay in (
                ("reasoning_content", policy.reasoning_text),
                *((field, policy.reasoning_blocks) for field in BLOCK_FIELDS),
            ):
                if field in message and not _goes_back(replay, in_turn=in_turn):
                    del message[field]
    return messages


def _goes_back(replay: Replay, *, in_turn: bool) -> bool:
    return replay == "always" or (replay == "turn" and in_turn)


def can_see(model: Model | None) -> bool:
    """Whether a model takes images, as far as its catalog entry, if there is one, says."""
    return model is None or not model.inputs or model.takes("image")


def taken_options(given: dict[str, Any]) -> dict[str, Any]:
    """Take the SDK's per-request options out of a call's keywords, and return them."""
    return {name: given.pop(name) for name in _PER_CALL if name in given}


def check_parameters(body: Mapping[str, Any]) -> None:
    """Refuse what Oxen cannot do before it is asked for it."""
    if body.get("n") not in (None, 1):
        raise InvalidInputError("n must be 1: Oxen's models give one answer per request.")
    if not body.get("model"):
        raise InvalidInputError("You must specify a model to call: pass model=...")
