"""Images, audio, video, PDFs and texts in messages, each under the type that its bytes show.

Providers refuse a file whose type is not the one it is sent under. Names, extensions and frameworks
often give a wrong one, so the first bytes decide.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from typing import Any, Literal
from urllib.parse import unquote, unquote_to_bytes

from oxen_inference.errors import InvalidInputError
from oxen_inference.media.input_kinds import is_surely_text

Part = dict[str, Any]
MediaKind = Literal["image", "video", "audio", "file"]

MEDIA_TYPES = ("image_url", "video_url", "audio_url", "file")
"""The types of content parts that are not text."""
MAX_AUDIO_BYTES = 20 * 1024 * 1024
MAX_PDF_BYTES = 24 * 1024 * 1024

_PDF = "application/pdf"
_PDF_HEADER_WITHIN = 1024  # bytes; readers accept a header that comes that late
_NO_PDF_HINT = "Convert it, or send its text."
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/yaml", "application/x-yaml")  # fmt: skip
_SENDABLE = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+:", re.IGNORECASE)

# Containers of audio and of video begin alike: "*" is the kind that the block says.
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF", _PDF),
    (b"OggS", "*/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"\xff\xf1", "audio/aac"),
    (b"\xff\xf9", "audio/aac"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"\x00\x00\x01\xb3", "video/mpeg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"avif": "image/avif",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
}
_OTHER_NAMES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/x-flac": "audio/flac",
    "video/x-m4v": "video/mp4",
}
_URL_SAFE = str.maketrans("-_", "+/")


def media_part(
    kind: MediaKind, url: str, *, filename: str | None = None, detail: str | None = None
) -> Part:
    """Return the content part for a URL or a data URL (https://docs.oxen.ai/inference-api).

    A data URL is sent in its plain form, and its bytes decide what it is: an image that is given
    as a file becomes an image, and a text file becomes its text, under its name. Raises
    `InvalidInputError` for one that is empty or not base64, and for a path.
    """
    if url[:5].lower() == "data:":
        kind, url, text = _plain_data_url(kind, url)
        if text is not None:
            return {"type": "text", "text": titled(text, filename)}
    elif not _SENDABLE.match(url):
        raise InvalidInputError(
            f"The {kind} block has no URL." if not url else f"{url[:100]!r} is not a URL.",
            hint=PATH_HINT,
        )
    if kind == "file":
        field = "file_data" if url.startswith("data:") else "file_url"
        return {
            "type": "file",
            "file": {field: url, **({"filename": filename} if filename else {})},
        }
    inner = {"url": url, **({"detail": detail} if detail else {})}
    return {"type": f"{kind}_url", f"{kind}_url": inner}


def titled(text: str, *titles: str | None) -> str:
    """Return a document's text under its titles, those that it has."""
    lines = "\n".join(title for title in titles if title)
    return f"{lines}:\n\n{text}" if lines else text


PATH_HINT = "Give a public URL, a data URL, or the bytes in base64."


def data_url(mime_type: str | None, data: bytes | str) -> str:
    """Return the data URL for `data`: bytes, or a str that is base64 already."""
    encoded = data if isinstance(data, str) else base64.b64encode(data).decode()
    return f"data:{mime_type or ''};base64,{encoded}"


def mime_type_of(head: bytes, kind: MediaKind) -> str | None:
    """Return the MIME type that the beginning of a file shows, or None."""
    found = next((mime for start, mime in _SIGNATURES if head.startswith(start)), None)
    if head.startswith(b"RIFF"):
        found = _RIFF.get(head[8:12])
    elif head[4:8] == b"ftyp":
        found = _BRANDS.get(head[8:12], "*/mp4")
    elif head.startswith(b"\x1aE\xdf\xa3"):
        found = "*/webm" if b"webm" in head[:64] else "video/x-matroska"
    elif kind == "image" and head.startswith(b"BM"):
        found = "image/bmp"
    elif kind == "file" and found is None and b"%PDF" in head[:_PDF_HEADER_WITHIN]:
        found = _PDF
    if found and found.startswith("*"):
        is_audio = kind == "audio" or (kind != "video" and found == "*/ogg")
        found = ("audio" if is_audio else "video") + found[1:]
    return found


def unsupported_document(mime_type: str) -> InvalidInputError:
    """Return the error for a document that is not a PDF."""
    return InvalidInputError(f"Oxen takes PDF documents only, not {mime_type}.", hint=_NO_PDF_HINT)


def kind_of_type(mime_type: Any, declared: MediaKind) -> MediaKind:
    """Return the kind of a file that is said to be of a type; `declared` where that says nothing."""
    main = str(mime_type or "").partition("/")[0]
    of_type: dict[str, MediaKind] = {"image": "image", "video": "video", "audio": "audio"}
    return of_type.get(main, declared)


def check_document_type(mime_type: Any) -> None:
    """Raise `InvalidInputError` for the stated type of a document by URL that is not a PDF."""
    if mime_type and mime_type != _PDF:
        raise unsupported_document(str(mime_type))


def check_media(part: Part) -> None:
    """Raise `InvalidInputError` for a part that is too large, or for a file that is no PDF."""
    kind = part["type"]
    if kind == "audio_url":
        value = part[kind]
        url = value.get("url", "") if isinstance(value, dict) else value
        _check_size(str(url), MAX_AUDIO_BYTES, "Audio")
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


def _plain_data_url(kind: MediaKind, url: str) -> tuple[MediaKind, str, str | None]:
    """Return the kind that a data URL is, its plain form, and its text if it is a text file."""
    head, _, payload = url.partition(",")
    declared, *options = [part.strip().lower() for part in head[5:].split(";")]
    declared = _declared_type(declared, options, kind)
    if "base64" in options:
        payload = _plain_base64(payload, kind)
    else:
        payload = base64.b64encode(unquote_to_bytes(payload)).decode()
    if not payload:
        raise InvalidInputError(f"The {kind} is empty.")
    try:
        first_bytes = base64.b64decode(payload[:2732], validate=True)  # two times what a PDF needs
    except binascii.Error as error:
        raise InvalidInputError(f"The {kind} is not valid base64: {error}.") from error
    shown = mime_type_of(first_bytes, kind)
    if kind == "file" and _may_be_text(first_bytes, shown, declared):
        if (text := _decoded(payload)) is not None:
            return kind, url, text
        if declared:
            raise unsupported_document(f"{declared} in an unknown encoding")
    if kind == "image":
        _check_is_image(first_bytes, shown, declared)
    mime_type = shown or _OTHER_NAMES.get(declared, declared)
    if declared.startswith("audio/") and _OTHER_NAMES.get(declared) == shown:
        mime_type = declared  # models that take "mp3" and "wav" only may mean these words
    if not mime_type:
        raise InvalidInputError(f"The {kind} block needs a mime_type beside its base64 data.")
    main = mime_type.partition("/")[0]
    if main in ("image", "audio", "video") and (shown or kind == "file"):
        kind = main  # type: ignore[assignment]  # one of the kinds, as was just checked
    elif mime_type == _PDF:
        kind = "file"
    return kind, f"data:{mime_type};base64,{payload}", None


def _may_be_text(head: bytes, shown: str | None, declared: str) -> bool:
    """Whether a file is text if it can be read as such: a text may also speak of ``%PDF``."""
    if declared and not declared.startswith(_TEXT_TYPES):
        return False
    return shown is None or (shown == _PDF and not head.lstrip().startswith(b"%PDF"))


def _decoded(payload: str) -> str | None:
    try:
        text = base64.b64decode(payload, validate=True).decode("utf-8-sig")
    except binascii.Error as error:
        raise InvalidInputError(f"The file is not valid base64: {error}.") from error
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _check_is_image(head: bytes, shown: str | None, declared: str) -> None:
    """Raise `InvalidInputError` for a document that is given as an image."""
    is_document = shown == _PDF or (shown is None and is_surely_text(head, declared))
    if is_document:
        what = "a PDF document" if shown == _PDF else "text"
        raise InvalidInputError(
            f"The image block holds {what}, not an image. Nothing was sent.",
            hint="Give a document as one: DocumentBlock in LlamaIndex, a block of type 'file' (or "
            "its text as a text block) in LangChain.",
        )


def _declared_type(declared: str, options: list[str], kind: MediaKind) -> str:
    """Return the MIME type that a data URL states; an extension in its place becomes one."""
    if declared and "/" not in declared and declared not in options:
        return mimetypes.guess_type(f"x.{declared}")[0] or f"{kind}/{declared}"
    return declared if "/" in declared else ""


def _plain_base64(encoded: str, kind: MediaKind) -> str:
    """Return base64 in the standard alphabet, on one line, with its padding."""
    if "%" in encoded:
        encoded = unquote(encoded)
    if any(space in encoded for space in " \n\r\t"):
        encoded = "".join(encoded.split())
    if "-" in encoded or "_" in encoded:
        encoded = encoded.translate(_URL_SAFE)
    stripped = encoded.rstrip("=")
    if len(stripped) % 4 == 1:
        raise InvalidInputError(f"The {kind} is not valid base64: it is cut off.")
    return stripped + "=" * (-len(stripped) % 4)


def _check_pdf(data: str, filename: str) -> None:
    declared = data[5:].partition(";")[0] if data.startswith("data:") else _PDF
    if declared not in (_PDF, "application/octet-stream"):
        raise unsupported_document(declared or "unknown")
    # Frameworks label a file without a type as PDF, so its first bytes decide.
    encoded = data.partition(",")[2] if data.startswith("data:") else data
    if mime_type_of(base64.b64decode(encoded[:2732]), "file") != _PDF:
        guess = mimetypes.guess_type(filename)[0]
        has_other_type = guess is not None and guess != _PDF
        problem = (
            f"{filename} is {guess}" if has_other_type else f"{filename or 'the file'} is no PDF"
        )
        raise InvalidInputError(f"Oxen takes PDF documents only, and {problem}.", hint=_NO_PDF_HINT)
    _check_size(data, MAX_PDF_BYTES, "A PDF")


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
