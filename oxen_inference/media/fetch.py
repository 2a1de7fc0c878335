"""Download what finished generations made, with a fresh URL where the old one expired.

Calls of a process that collect the same result into the same folder download it once.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from oxen_inference import queue
from oxen_inference.effects import run_on_network, sleep
from oxen_inference.errors import APIResponseError, DownloadError, NotFoundError, OxenError
from oxen_inference.ledger.entries import Entry
from oxen_inference.media.engine import Engine
from oxen_inference.media.file_names import stem_of
from oxen_inference.media.results import download, files
from oxen_inference.media.results.download import Source
from oxen_inference.media.results.files import Fetched
from oxen_inference.media.results.public_connection import FetchError
from oxen_inference.media.results.remote import RemoteFolder, as_path, as_url
from oxen_inference.result import MediaItem

log = logging.getLogger("oxen_inference.media")

_TRIES = 4
_NEW_FOR = 3600.0  # seconds since the request within which a result may be late
_MOST_REMEMBERED = 4096


def usual_stem(entry: Entry, item: MediaItem, position: int) -> str:
    return stem_of(None, entry, item, position, 1)


async def fetch_items(
    engine: Engine,
    entry: Entry,
    save_to: Any,
    deadline: float | None = None,
    stem: Callable[[Entry, MediaItem, int], str] = usual_stem,
    *,
    only: Callable[[MediaItem], bool] | None = None,
) -> tuple[Entry, DownloadError | None]:
    """Save every finished item of an entry that is not yet in `save_to`, or `only` some of them.

    The ledger is the caller's to write. At `deadline`, a moment of `time.monotonic`, what is not downloaded yet counts as failed. The
    items that could be downloaded are kept in the entry, whatever became of the others.
    """
    folder = None if save_to is None else folder_of(save_to)
    source = replace(engine.source(), deadline=deadline)
    items, failures, hints, notes = [], [], [], list(entry.notes)
    for position, item in enumerate(entry.items):
        if only is not None and not only(item):
            items.append(item)
            continue
        try:
            name = stem(entry, item, position)
            saved, note = await _fetch_item(engine, entry, item, position, folder, name, source)
        except Exception as error:  # noqa: BLE001 - one item's failure is not another's
            items.append(item)
            reason = error.message if isinstance(error, FetchError) else str(error) or repr(error)
            failures.append(f"{item.generation_id or position}: {reason.rstrip('.')}")
            hints.append(getattr(error, "hint", None))
        else:
            items.append(saved)
            notes += [note] if note else []
    for note in notes[len(entry.notes) :]:
        log.warning(note)
    entry = replace(entry, items=tuple(items), notes=tuple(notes))
    if not failures:
        return entry, None
    hints.append(_how_to_fetch_again(entry))
    return entry, DownloadError(
        f"Made and paid for, but not fetched: {'; '.join(failures)}.",
        result=entry.result(),
        hint=" ".join(dict.fromkeys(filter(None, hints))),
    )


def _how_to_fetch_again(entry: Entry) -> str:
    if entry.kind != "direct":
        return (
            "To fetch it without paying, ask for the same job again: client.media.resume, attach "
            "or the same key."
        )
    if any(item.content is not None for item in entry.items):
        where = "Its bytes are in this error: result.items[…].content. "
    elif any(item.url for item in entry.items):
        attached = f"client.media.attach(entry_id={entry.entry_id!r}).wait(save_to=…)"
        where = f"Its address may work for a while: {attached} tries it. "
    else:
        where = ""
    return f"{where}A direct generation has no id: the same call would be paid for again."


async def _fetch_item(
    engine: Engine,
    entry: Entry,
    item: MediaItem,
    position: int,
    folder: Path | RemoteFolder | None,
    stem: str,
    source: Source,
) -> tuple[MediaItem, str | None]:
    """Return the item as it was saved, and a note about it."""
    if item.status != "succeeded" or folder is None:
        return item, None
    if isinstance(folder, RemoteFolder):
        return await _store(engine, entry, item, position, folder, stem, source)
    if _is_in(item, folder):
        return item, None
    if item.generation_id is None and item.url is None:
        content = await run_on_network(_bytes_of, item)
        folders = _folders(folder, engine.ledger.path)
        save = partial(_save_in_first, content, folders, stem, entry, item)
        fetched = await run_on_network(_save_once, save, entry.entry_id, str(position), folder)
        notes = [fetched.note] if fetched.note else []
        if fetched.path.parent != folder:
            notes.append(f"{folder} could not be written: saved in {fetched.path.parent} instead.")
        return _with_file(replace(item, content=None), fetched), " ".join(notes) or None
    fetched, item = await _download(engine, entry, item, folder, stem, source)
    return _with_file(item, fetched), fetched.note


async def _store(
    engine: Engine,
    entry: Entry,
    item: MediaItem,
    position: int,
    folder: RemoteFolder,
    stem: str,
    source: Source,
) -> tuple[MediaItem, str | None]:
    """Download an item, check it here, and store it in a folder elsewhere."""
    if await run_on_network(folder.has, item.saved_url):
        return item, None
    with tempfile.TemporaryDirectory(prefix="oxen-") as name:
        here = Path(name)
        saved, note = await _fetch_item(engine, entry, item, position, here, stem, source)
        if saved.path is None:
            return saved, note
        try:
            url = await run_on_network(folder.put, saved.path, saved.path.name)
        except OSError:
            if item.content is None:
                raise
            # Bytes that cannot be had again must not go with the temporary folder.
            places = _own_places(engine.ledger.path)
            save = partial(_save_in_first, item.content, places, stem, entry, item)
            kept = await run_on_network(save)
            note = f"{folder.url} could not be written: saved in {kept.path.parent} instead."
            return _with_file(replace(item, content=None), kept), note
    return replace(saved, path=item.path, saved_url=url), note


def folder_of(save_to: Any) -> Path | RemoteFolder:
    """Return where to save; a folder elsewhere is opened when it is first used."""
    url = as_url(save_to)
    return as_path(save_to) if url is None else RemoteFolder(url)


def check_folder(save_to: Any) -> None:
    """Create where results go if needed, and test it. Raises `InvalidInputError`."""
    folder = folder_of(save_to)
    if isinstance(folder, RemoteFolder):
        folder.check()
    else:
        files.folder_to_save_in(folder)


def _bytes_of(item: MediaItem) -> bytes:
    """Return the bytes of a direct result, which come once and may have been saved before."""
    if item.content is not None:
        return item.content
    if item.path is None:
        raise FetchError("Its bytes were delivered when it was made; Oxen keeps no copy.")
    return Path(item.path).read_bytes()


def _folders(folder: Path, ledger: Path | None) -> Iterator[Path]:
    """Where bytes that cannot be had again may go: the folder, or else a place of our own."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    yield folder
    yield from _own_places(ledger)


def _own_places(ledger: Path | None) -> Iterator[Path]:
    """Where they go if the folder cannot be written: beside the ledger, or else a system's place."""
    if ledger is not None:
        beside = ledger.absolute().parent / "results"
        with suppress(OSError):
            beside.mkdir(exist_ok=True)
        yield beside
    yield Path(tempfile.mkdtemp(prefix="oxen-results-"))


def _save_in_first(
    content: bytes, folders: Iterator[Path], stem: str, entry: Entry, item: MediaItem
) -> Fetched:
    failure: OSError | None = None
    for folder in folders:
        try:
            return files.save(content, folder, stem, entry.media_type, item.mime_type)
        except OSError as error:  # noqa: PERF203 - the next folder may work
            failure = failure or error
    raise failure or FetchError("There is no folder to save it in.")


async def _download(
    engine: Engine, entry: Entry, item: MediaItem, folder: Path, stem: str, source: Source
) -> tuple[Fetched, MediaItem]:
    renewed, again, attempt = False, False, 0
    late_until = _late_until(engine, entry, source)
    while True:
        if item.url is None:
            item = await _with_fresh_url(engine, entry, item, source)
        if item.url is None:
            if attempt >= _TRIES - 1 or source.is_over:
                raise FetchError(f"Oxen names no URL for {item.generation_id}.")
            await _pause(engine, attempt, source)
            attempt += 1
            continue
        try:
            save = partial(download.fetch, item.url, folder, stem, entry.media_type, source)
            name = item.generation_id or item.url
            fetched = await run_on_network(
                _save_once, save, entry.entry_id, name, folder, source.deadline
            )
        except FetchError as error:
            if error.is_expired and not renewed and item.generation_id:
                renewed, item = True, replace(item, url=None)
                continue
            if error.is_damaged and not again and not source.is_over:
                again = True
                # A fresh address may lead past a bad copy.
                item = replace(item, url=None) if item.generation_id else item
                continue
            is_late = error.is_expired and time.monotonic() < late_until
            is_last = attempt >= _TRIES - 1 or not error.may_retry
            if source.is_over or (is_last and not is_late):
                raise
            if is_late and item.generation_id:
                item = replace(item, url=None)  # the next address may be another
            await _pause(engine, min(attempt, _TRIES - 1), source)
            attempt += 1
        else:
            return fetched, item


def _late_until(engine: Engine, entry: Entry, source: Source) -> float:
    """Return until when a missing file may be one that is not there yet, by `time.monotonic`."""
    if time.time() - (entry.posted_at or entry.created_at) > _NEW_FOR:
        return 0.0
    return min(time.monotonic() + engine.pace().late_file, source.deadline or math.inf)


async def _pause(engine: Engine, attempt: int, source: Source) -> None:
    pause = engine.pace().download_pause * 2.0**attempt
    if source.deadline is not None:
        pause = min(pause, max(source.left or 0.0, 0.0))
    await sleep(pause)


async def _with_fresh_url(
    engine: Engine, entry: Entry, item: MediaItem, source: Source
) -> MediaItem:
    """Return the item with the URL that the hub names now."""
    assert item.generation_id is not None  # noqa: S101 - one without has its URL, or bytes
    for make in (queue.get_call, queue.generation_call):
        try:
            row = await engine.get(make(engine.paths, item.generation_id), source.left)
        except (NotFoundError, APIResponseError):
            continue
        except OxenError as error:
            raise FetchError(
                f"A fresh URL could not be had: {error.message}", may_retry=True, hint=error.hint
            ) from error
        return item.updated(engine.readable(row, entry))
    return item


def _is_in(item: MediaItem, folder: Path) -> bool:
    path = Path(item.path) if item.path else None
    return path is not None and path.is_file() and path.parent == folder.absolute()


def _with_file(item: MediaItem, fetched: Fetched) -> MediaItem:
    media = fetched.media
    return replace(
        item,
        path=fetched.path.absolute(),
        mime_type=fetched.mime_type,
        sha256=fetched.sha256,
        size=fetched.size,
        width=media.width if media else None,
        height=media.height if media else None,
        duration=media.duration if media else None,
    )


@dataclass(slots=True)
class _Slot:
    """Where one result goes in one folder, and what was saved there."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    fetched: Fetched | None = None


class _Slots:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str, str], _Slot] = OrderedDict()

    def of(self, entry_id: str, item: str, folder: Path) -> _Slot:
        key = (entry_id, item, str(folder.absolute()))
        with self._lock:
            slot = self._known.setdefault(key, _Slot())
            self._known.move_to_end(key)
            if len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)
        return slot


_slots = _Slots()


def _renew_slots() -> None:
    global _slots  # noqa: PLW0603 - a lock held by another thread stays held in the child
    _slots = _Slots()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(after_in_child=_renew_slots)


def _save_once(
    save: Callable[[], Fetched],
    entry_id: str,
    item: str,
    folder: Path,
    deadline: float | None = None,
) -> Fetched:
    """Return the file that another call saved, or is saving, or else what `save` returns.

    Waits for another call until `deadline`, a moment of `time.monotonic`. Raises what `save`
    does, and `FetchError`.
    """
    slot = _slots.of(entry_id, item, folder)
    timeout = -1 if deadline is None else max(deadline - time.monotonic(), 0.0)
    if not slot.lock.acquire(timeout=timeout):
        raise FetchError("Another call was still downloading it at the end of the timeout.")
    try:
        known = slot.fetched
        # Only a file in its folder counts: another folder is used while that cannot be written.
        if known is not None and known.path.parent == folder and known.path.is_file():
            return known
        slot.fetched = fetched = save()
        return fetched
    finally:
        slot.lock.release()
