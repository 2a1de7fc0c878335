"""What could not be written to the ledger, said in few lines however many results there are."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Sequence

from oxen_inference.errors import LedgerError
from oxen_inference.locks import Lock

log = logging.getLogger("oxen_inference.media")

_LINE_EVERY = 60.0  # seconds


class Unwritten:
    """Counts the generations whose state could not be written; says it at once, and then once a
    minute, when the ledger can be written again, and at the end of the process.
    """

    def __init__(self) -> None:
        self._counted = _Counted()
        weakref.finalize(self, _say_rest, self._counted)

    def add(self, error: LedgerError, generation_ids: Sequence[str]) -> None:
        """Count the generations of a write that failed."""
        counted = self._counted
        with counted.lock:
            is_first, counted.fails = not counted.fails, True
            new = set(generation_ids) - counted.said  # each is written several times
            counted.more |= new
            if not new or (not is_first and time.monotonic() < counted.quiet_until):
                return
            counted.said |= counted.more
            number = len(counted.more)
            counted.more.clear()
            counted.quiet_until = time.monotonic() + _LINE_EVERY
        if is_first:
            what = f"{', '.join(generation_ids)}; those that follow are counted"
        else:
            what = f"{number:,} more"
        log.error(
            "Not written to the ledger (%s): %s. The results reach their callers. They are written "
            "once the ledger can be again, or by client.media.reconcile().", error, what,
        )  # fmt: skip

    def end(self) -> None:
        """Note that the ledger could be written."""
        if self._counted.fails:
            number = self._counted.clear()
            log.warning(
                "The ledger can be written again. What was not is written now, %s more generations "
                "since it was said last.", f"{number:,}",
            )  # fmt: skip


class _Counted:
    def __init__(self) -> None:
        self.lock = Lock()
        self.fails = False
        self.said: set[str] = set()
        self.more: set[str] = set()
        self.quiet_until = 0.0

    def clear(self) -> int:
        """Forget all; return how many nobody was told of."""
        with self.lock:
            number, self.fails = len(self.more), False
            self.more.clear()
            self.said.clear()
            return number


def _say_rest(counted: _Counted) -> None:
    if number := counted.clear():
        log.warning(
            "Not written to the ledger, %s more. client.media.reconcile() writes what is missing.",
            f"{number:,}",
        )
