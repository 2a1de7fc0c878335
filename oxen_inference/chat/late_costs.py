"""Costs of answers that a ledger cannot take at once: they are kept, and written later.

An answer that was paid for is not lost because its cost cannot be written. The next call that is
paid from the same budget writes it first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from oxen_inference.errors import LedgerError
from oxen_inference.locks import Lock

_LOG = logging.getLogger("oxen_inference")
Write = Callable[[], object]


class _LateCosts:
    def __init__(self) -> None:
        # A child of a fork leaves them to its parent.
        self._lock = Lock(after_fork=self._forget)
        self._forget()

    def _forget(self) -> None:
        self._by_account: dict[str, list[Write]] = {}

    def keep(self, account: str, writes: list[Write]) -> None:
        with self._lock:
            self._by_account.setdefault(account, []).extend(writes)

    def take(self, account: str) -> list[Write]:
        with self._lock:
            return self._by_account.pop(account, [])


_late = _LateCosts()


def write_cost(account: str, write: Write) -> None:
    """Write what an answer cost a budget's account, or keep it for `write_late_costs`."""
    try:
        write()
    except LedgerError as error:
        _LOG.warning(
            "The ledger could not take the cost of an answer, which is written before the next "
            "call from its budget: %s",
            error,
        )
        _late.keep(account, [write])


def write_late_costs(account: str) -> None:
    """Write what was kept. Raises `LedgerError` where the ledger still cannot take it."""
    late = _late.take(account)
    try:
        while late:
            late[0]()
            del late[0]
    finally:
        if late:
            _late.keep(account, late)
