"""Files on the disk: written under a temporary name, typed by their bytes, and never overwritten."""

from __future__ import annotations

import atexit
import codecs
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from oxen_inference.errors import InvalidInputError
from oxen_inference.locks import Lock
from oxen_inference.media.results.probe import Probe, probe
from oxen_inference.media.results.public_connection import FetchError

_PREFIX, _SUFFIX = ".oxen-", ".part"
_STALE_AFTER = 3600.0  # seconds without a write after which a download has surely ended


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file on the disk."""

    path: Path
    sha256: str
    size: int
    media: Probe | None
    mime_type: str | None
    note: str | None = None
    """What is odd about it, for people."""


@dataclass(frozen=True, slots=True)
class Received:
    """The bytes that arrived. `is_whole`: as many as were announced, where the size was."""

    sha256: str
    size: int
    declared: str | None
    is_whole: bool


def save(
    content: bytes, folder: Path, stem: str, media_type: str, declared: str | None = None
) -> Fetched:
    """Save bytes whatever they are, since they cannot be fetched again. Raises `OSError`."""
    with temporary_file(folder) as (temporary, file):
        file.write(content)
        sync(file)
        media = _as_requested(probe(temporary), media_type) if content else None
        # Raw audio has no header to recognize it by.
        declared = declared or ("audio/pcm" if media_type == "audio" else None)
        digest = hashlib.sha256(content).hexdigest()
        received = Received(digest, len(content), declared, is_whole=True)
        return keep(temporary, folder, stem, media_type, media, received)


@contextmanager
def temporary_file(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A file to write to, gone at the end unless it was kept."""
    handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            yield Path(name), file
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


class _Downloads:
    """Temporary files of the downloads under way, which are deleted when the process ends: that
    does not wait for the threads that write them.
    """

    def __init__(self) -> None:
        self._lock = Lock(after_fork=self._forget)
        self._files: set[Path] = set()
        self._is_over = False
        atexit.register(self.end)

    def _forget(self) -> None:
        self._files = set()  # they are the parent's

    @contextmanager
    def including(self, temporary: Path) -> Iterator[None]:
        """Count a file as one under way. Raises `FetchError` where the process ends."""
        with self._lock:
            self._check()
            self._files.add(temporary)
        try:
            yield
        finally:
            with self._lock:
                self._files.discard(temporary)

    def complete(self, temporary: Path) -> None:
        """Leave a file to its writer, which gives it its name. Raises `FetchError` as above."""
        with self._lock:
            self._check()
            self._files.discard(temporary)

    def end(self) -> None:
        """Delete all of them, and begin no more."""
        with self._lock:
            self._is_over = True
            for temporary in self._files:
                with suppress(OSError):
                    temporary.unlink()

    def _check(self) -> None:
        if self._is_over:
            raise FetchError("The process ended before the file was saved.")


downloads = _Downloads()


def sync(file: BinaryIO) -> None:
    """Have what was written on the disk."""
    file.flush()
    os.fsync(file.fileno())


def keep(
    temporary: Path,
    folder: Path,
    stem: str,
    media_type: str,
    media: Probe | None,
    received: Received,
) -> Fetched:
    """Give a finished file its place, named `stem` and by what it is."""
    suffix = media.suffix if media else _suffix_of(received.declared)
    path = _put(temporary, folder, f"{safe_name(stem)}.{suffix}", received)
    mime_type = media.mime_type if media else received.declared
    note = _mismatch_note(media, received.declared, media_type, path.name)
    return Fetched(path, received.sha256, received.size, media, mime_type, note)


def _as_requested(media: Probe | None, media_type: str) -> Probe | None:
    """Treat audio alone in a video container as audio."""
    if media is None or (media.kind, media_type) != ("video", "audio") or media.width:
        return media
    return replace(media, kind="audio", mime_type=media.mime_type.replace("video/", "audio/"))


def _mismatch_note(
    media: Probe | None, declared: str | None, media_type: str, name: str
) -> str | None:
    if media is None and not (declared or "").startswith(f"{media_type}/"):
        return f"Unrecognized {media_type} format; saved unchanged as {name}."
    if media is not None and media.kind != media_type:
        return f"Oxen sent {media.mime_type} where {media_type} was requested: {name}."
    if media is not None and not media.complete:
        return f"{name} seems to end too early; saved unchanged."
    return None


def folder_to_save_in(save_to: str | os.PathLike[str]) -> Path:
    """Return the folder, created if needed and tested. Raises `InvalidInputError`."""
    folder = Path(save_to).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=folder):
            pass
        _sweep(folder.absolute())
    except OSError as error:
        raise InvalidInputError(
            f"save_to must be a folder that can be written; {folder}: {error.strerror}."
        ) from error
    return folder


@lru_cache(maxsize=256)  # once in a process: to list a large folder takes a while
def _sweep(folder: Path) -> None:
    """Delete the temporary files of processes that were killed while they wrote."""
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_AFTER:
                path.unlink()


def safe_name(stem: str) -> str:
    """Return a file name that every system accepts and that leads to no other folder."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-")[:80]
    reserved = re.fullmatch(r"(?i)con|prn|aux|nul|com\d|lpt\d", name.partition(".")[0])
    return f"media-{name}" if reserved or not name else name


def checked(path: Path, media_type: str, received: Received) -> Probe | None:
    """Return what a downloaded file is.

    Raises `FetchError` for a page, for a file that ends early, and for an image that cannot be
    shown to its end.
    """
    media = _as_requested(probe(path), media_type) if received.size else None
    if media is None and (not received.size or _holds_text(path, received.declared)):
        shown = f" ({received.declared})" if received.declared else ""
        raise FetchError(f"The download is not {media_type}{shown}.", is_expired=True)
    if media is not None and not media.complete and not received.is_whole:
        raise FetchError("The downloaded file ends too early.", may_retry=True)
    if media is not None and not media.complete and media.kind == "image":
        # All announced bytes arrived, but a store or a cache between may have had a bad copy.
        raise FetchError(
            f"The downloaded image is damaged: its {received.size:,} bytes end too early, or are "
            "not those that were written.",
            is_damaged=True,
            hint="Its address, items[…].url of the result, gives the bytes as they are.",
        )
    return media


def _holds_text(path: Path, declared: str | None) -> bool:
    with path.open("rb") as file:
        return is_text(file.read(512), declared)


def is_text(head: bytes, declared: str | None = None) -> bool:
    """Whether bytes begin a page, an error or nothing, where a file should be."""
    head = head.removeprefix(codecs.BOM_UTF8)
    if b"\0" in head:
        return False
    if head.lstrip()[:1] in (b"", b"<", b"{", b"[") or (declared or "").startswith("text/"):
        return True
    return declared is None and _is_readable(head)


def _is_readable(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(one.isprintable() or one.isspace() for one in text)


def _suffix_of(mime_type: str | None) -> str:
    if mime_type in (None, "application/octet-stream"):
        return "bin"
    return re.sub(r"[^a-z0-9]", "", (mime_type or "").partition("/")[2].partition("+")[0]) or "bin"


def _put(temporary: Path, folder: Path, name: str, received: Received) -> Path:
    """Give the finished file its name, and never replace another file.

    One with that name and the same bytes is the file: it was saved before a run was killed.
    """
    stem, _, suffix = name.rpartition(".")
    number = 0
    while True:
        path = folder / (f"{stem}-{number}.{suffix}" if number else name)
        if _holds(path, received):
            return path
        try:
            os.link(temporary, path)
        except FileExistsError:
            number += 1
            continue
        except OSError:  # a file system without links: reserve the name, then replace it
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                number += 1
                continue
            temporary.replace(path)
        _sync_folder(folder)
        return path


def _holds(path: Path, received: Received) -> bool:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size != received.size:
            return False
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest() == received.sha256
    except OSError:
        return False


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # pragma: no branch - elsewhere a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
