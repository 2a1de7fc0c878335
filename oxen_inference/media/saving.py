"""One file for all calls of a process that collect the same result into the same folder."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from oxen_inference.media.files import Fetched
from oxen_inference.media.public_connection import FetchError

_REMEMBERED = 4096


@dataclass(slots=True)
class _Place:
    """Where one result goes in one folder, and what was saved there."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    fetched: Fetched | None = None


class _Places:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str, str], _Place] = OrderedDict()

    def of(self, entry_id: str, item: str, folder: Path) -> _Place:
        key = (entry_id, item, str(folder.absolute()))
        with self._lock:
            place = self._known.setdefault(key, _Place())
            self._known.move_to_end(key)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return place


_places = _Places()


def _anew() -> None:
    global _places  # noqa: PLW0603 - a lock held by another thread stays held in the child
    _places = _Places()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(after_in_child=_anew)


def save_once(
    save: Callable[[], Fetched],
    entry_id: str,
    item: str,
    folder: Path,
    deadline: float | None = None,
) -> Fetched:
    """Return the file that another call has saved, or is saving, or else what `save` does.

    At `deadline`, a moment of `time.monotonic`, nobody is waited for any longer. Raises what
    `save` does, and `FetchError`.
    """
    place = _places.of(entry_id, item, folder)
    patience = -1 if deadline is None else max(deadline - time.monotonic(), 0.0)
    if not place.lock.acquire(timeout=patience):
        raise FetchError("Another call is still fetching it; the time given for it is over.")
    try:
        known = place.fetched
        # In its folder, that is: another is only used while that one cannot be written.
        if known is not None and known.path.parent == folder and known.path.is_file():
            return known
        place.fetched = fetched = save()
        return fetched
    finally:
        place.lock.release()
