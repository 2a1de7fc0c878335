"""From finished generations to files: a fresh URL where the old one is spent, no job ever lost."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oxen_inference import queue
from oxen_inference.errors import DownloadError, NotFoundError, OxenError
from oxen_inference.ledger.store import Entry
from oxen_inference.media import download, files
from oxen_inference.media.download import Source
from oxen_inference.media.files import Fetched
from oxen_inference.media.public_connection import FetchError
from oxen_inference.media.saving import save_once
from oxen_inference.media.steps import Steps, run_slow, sleep
from oxen_inference.result import MediaItem

if TYPE_CHECKING:
    from oxen_inference.media.task import Engine

log = logging.getLogger("oxen_inference.media")

_TRIES = 4
_FIRST_PAUSE = 0.3


def fetch_items(
    engine: Engine, entry: Entry, save_to: Any, deadline: float | None = None
) -> Steps[tuple[Entry, DownloadError | None]]:
    """Save every finished item of an entry that is not yet in `save_to`.

    At `deadline`, a moment of `time.monotonic`, what is not fetched yet counts as failed. The
    items that could be fetched are kept in the entry, whatever became of the others.
    """
    folder = None if save_to is None else Path(save_to).expanduser()
    source = replace(engine.source(), deadline=deadline)
    items, failures, notes = [], [], list(entry.notes)
    for position, item in enumerate(entry.items):
        try:
            saved, note = yield from _fetch_item(engine, entry, item, position, folder, source)
        except (FetchError, OSError) as error:  # noqa: PERF203 - one item's failure is its own
            items.append(item)
            failures.append(f"{item.generation_id or position}: {error}")
        else:
            items.append(saved)
            notes += [note] if note else []
    for note in notes[len(entry.notes) :]:
        log.warning(note)
    entry = yield from engine.write(replace(entry, items=tuple(items), notes=tuple(notes)))
    if not failures:
        return entry, None
    return entry, DownloadError(_not_fetched(entry, failures), result=entry.result())


def _not_fetched(entry: Entry, failures: list[str]) -> str:
    what = f"Made and paid for, but not fetched: {'; '.join(failures)}"
    if entry.kind != "direct":
        return (
            f"{what} Asking again for the same job (resume, attach or the same key) fetches it "
            "without paying."
        )
    if any(item.content is not None for item in entry.items):
        then = " Its bytes are in this error: result.items[…].content."
    elif not any(item.url for item in entry.items):
        then = ""
    else:
        attached = f"client.media.attach(entry_id={entry.entry_id!r}).wait(save_to=…)"
        then = f" Its address may work for a while: {attached} tries it."
    return f"{what}{then} A direct generation has no id: the same call would be paid for anew."


def _fetch_item(
    engine: Engine,
    entry: Entry,
    item: MediaItem,
    position: int,
    folder: Path | None,
    source: Source,
) -> Steps[tuple[MediaItem, str | None]]:
    """The item as it is saved, and what is odd about that."""
    if item.status != "succeeded" or folder is None or _is_there(item, folder):
        return item, None
    stem = f"{entry.model}-{(item.generation_id or f'{entry.entry_id}-{position}')[:8]}"
    if item.generation_id is None and item.url is None:
        content = yield from run_slow(_bytes_of, item)
        places = _places(folder, engine.ledger.path)
        save = partial(_save_somewhere, content, places, stem, entry, item)
        fetched = yield from run_slow(save_once, save, entry.entry_id, str(position), folder)
        notes = [fetched.note] if fetched.note else []
        if fetched.path.parent != folder:
            notes.append(f"{folder} could not be written: saved in {fetched.path.parent} instead.")
        return _described(replace(item, content=None), fetched), " ".join(notes) or None
    fetched, item = yield from _fetch(engine, entry, item, folder, stem, source)
    return _described(item, fetched), fetched.note


def _bytes_of(item: MediaItem) -> bytes:
    """The bytes of a direct result, which were handed over once, and may have been saved."""
    if item.content is not None:
        return item.content
    if item.path is None:
        raise FetchError("Its bytes were handed over when it was made; Oxen keeps no copy.")
    return Path(item.path).read_bytes()


def _places(folder: Path, ledger: Path | None) -> Iterator[Path]:
    """Where bytes that cannot be had again may go: the folder, if need be made once more."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    yield folder
    if ledger is not None:
        beside = ledger.absolute().parent / "results"
        with suppress(OSError):
            beside.mkdir(exist_ok=True)
        yield beside
    yield Path(tempfile.mkdtemp(prefix="oxen-results-"))


def _save_somewhere(
    content: bytes, places: Iterator[Path], stem: str, entry: Entry, item: MediaItem
) -> Fetched:
    failure: OSError | None = None
    for folder in places:
        try:
            return files.save(content, folder, stem, entry.media_type, item.mime_type)
        except OSError as error:  # noqa: PERF203 - the next place may do
            failure = failure or error
    raise failure or FetchError("There is no place to save it in.")


def _fetch(
    engine: Engine, entry: Entry, item: MediaItem, folder: Path, stem: str, source: Source
) -> Steps[tuple[Fetched, MediaItem]]:
    renewed = False
    for attempt in range(_TRIES):
        if item.url is None:
            item = yield from _refreshed(engine, entry, item, source)
        if item.url is None:
            yield from _pause(attempt, source)
            continue
        try:
            save = partial(download.fetch, item.url, folder, stem, entry.media_type, source)
            name = item.generation_id or item.url
            fetched = yield from run_slow(
                save_once, save, entry.entry_id, name, folder, source.deadline
            )
        except FetchError as error:
            if error.is_expired and not renewed and item.generation_id:
                renewed, item = True, replace(item, url=None)
                continue
            if not error.again or attempt == _TRIES - 1 or source.is_over:
                raise
            yield from _pause(attempt, source)
        else:
            return fetched, item
    raise FetchError(f"Oxen names no URL for {item.generation_id}.")


def _pause(attempt: int, source: Source) -> Steps[None]:
    pause = _FIRST_PAUSE * 2.0**attempt
    if source.deadline is not None:
        pause = min(pause, max(source.left or 0.0, 0.0))
    yield from sleep(pause)


def _refreshed(engine: Engine, entry: Entry, item: MediaItem, source: Source) -> Steps[MediaItem]:
    """The item with the URL that the hub gives now."""
    assert item.generation_id is not None  # noqa: S101 - one without has its URL, or bytes
    for make in (queue.get_call, queue.generation_call):
        try:
            row = yield from engine.get(make(engine.paths, item.generation_id), source.left)
        except NotFoundError:
            continue
        except OxenError as error:
            raise FetchError(f"A fresh URL could not be had: {error}", again=True) from error
        return item.updated(engine.located(row, entry))
    return item


def _is_there(item: MediaItem, folder: Path) -> bool:
    path = Path(item.path) if item.path else None
    return path is not None and path.is_file() and path.parent == folder.absolute()


def _described(item: MediaItem, fetched: Fetched) -> MediaItem:
    media = fetched.media
    return replace(
        item,
        path=str(fetched.path.absolute()),
        mime_type=fetched.mime_type,
        sha256=fetched.sha256,
        size=fetched.size,
        width=media.width if media else None,
        height=media.height if media else None,
        duration=media.duration if media else None,
    )
