"""Which process is at work on an entry, and whether it can still be.

Every process that pays has a lease in the ledger: a row with a heartbeat, written by one thread
of the process. On the same machine the process itself is looked up instead, which tells at once.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import uuid
import weakref
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, delete, update

from oxen_inference.errors import LedgerError
from oxen_inference.ledger.database import Database
from oxen_inference.ledger.schema import leases
from oxen_inference.ledger.statements import insert_new, now
from oxen_inference.locks import Lock

log = logging.getLogger("oxen_inference.ledger")

HEARTBEAT = 5.0
"""Seconds between two heartbeats."""
STALE = 30.0
"""Seconds after its last heartbeat, by the database's clock, at which a lease has ended."""
_FORGOTTEN = 7 * 86_400.0  # seconds after which nothing refers to a lease any more


class Lease:
    """This process's lease in one ledger, taken when first needed and kept until it ends."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._id = ""
        self._taken_by = 0
        self._late: dict[str, Callable[[], object]] = {}

    @property
    def id(self) -> str:
        """Its id; takes the lease where this process has none yet."""
        if self._taken_by != os.getpid():
            self._take()
        return self._id

    def _take(self) -> None:
        with self._lock:
            if self._taken_by == os.getpid():
                return
            lease_id = uuid.uuid4().hex
            with self._database.writing() as connection:
                connection.execute(delete(leases).where(leases.c.heartbeat_at < now() - _FORGOTTEN))
                _insert(connection, lease_id)
            self._id, self._taken_by = lease_id, os.getpid()
            self._late = {}  # in a fork's child: they are the parent's
        _keep(self)

    def beat(self) -> None:
        """Write a heartbeat, and the lease anew where it was deleted. Raises `LedgerError`."""
        with self._database.writing() as connection:
            beat = update(leases).where(leases.c.lease_id == self._id).values(heartbeat_at=now())
            if not connection.execute(beat).rowcount:
                _insert(connection, self._id)

    def write_later(self, entry_id: str, write: Callable[[], object]) -> None:
        """Have the thread of the heartbeats write what could not be written of an entry: others may
        wait for it as long as this process lives. The last write of an entry counts.
        """
        with self._lock:
            if self._taken_by == os.getpid():
                self._late[entry_id] = write

    def write_late(self) -> None:
        """Write what could not be written before. Raises `LedgerError`, and then tries the others
        first the next time.
        """
        with self._lock:
            late = dict(self._late)
        for entry_id, write in late.items():
            try:
                write()
            except Exception as error:
                # What the ledger will never take is left to `reconcile`.
                self._end_late(entry_id, write, is_kept=isinstance(error, LedgerError))
                raise
            self._end_late(entry_id, write, is_kept=False)

    def _end_late(self, entry_id: str, write: Callable[[], object], *, is_kept: bool) -> None:
        with self._lock:
            if self._late.get(entry_id) is not write:
                return  # it is older than what came meanwhile
            del self._late[entry_id]
            if is_kept:
                self._late[entry_id] = write


def _insert(connection: Connection, lease_id: str) -> None:
    row = insert_new(leases).values(lease_id=lease_id, identity=this_process(), heartbeat_at=now())
    connection.execute(row)


def is_alive(identity: str | None, age: float | None) -> bool | None:
    """Whether the process of a lease is at work; None for one that may have died just now.

    `identity`: what `this_process` returned there; `age`: seconds since its last heartbeat. Both
    are None for a lease that is gone.
    """
    running = _is_running_here(identity)
    if running is None and (not isinstance(age, int | float) or age > STALE):
        return False
    return running


_at_work: set[tuple[str, int]] = set()


def begin_work(entry_id: str, attempt: int) -> None:
    """Note that this process is about to send an entry; before another thread can read so."""
    _at_work.add((entry_id, attempt))


def end_work(entry_id: str, attempt: int) -> None:
    """Note that this process has made that attempt, or will not."""
    _at_work.discard((entry_id, attempt))


def has_left(entry_id: str, attempt: int, identity: str | None) -> bool:
    """Whether an attempt is this process's, which is not at work on it."""
    return identity == this_process() and (entry_id, attempt) not in _at_work


class _Heart:
    """The one thread of a process that writes the heartbeats of its leases."""

    def __init__(self) -> None:
        self._leases: weakref.WeakSet[Lease] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def keep(self, lease: Lease) -> None:
        with self._lock:
            self._leases.add(lease)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="oxen-lease", daemon=True)
                self._thread.start()

    def _beat(self) -> None:
        rest = threading.Event()
        while True:
            rest.wait(HEARTBEAT)
            with self._lock:
                kept = list(self._leases)
                if not kept:
                    self._thread = None
                    return
            for lease in kept:
                try:
                    lease.beat()
                    lease.write_late()
                except LedgerError as error:  # noqa: PERF203 - the next heartbeat may succeed
                    log.debug("No heartbeat: %s", error)
                except Exception as error:  # noqa: BLE001 - a thread without a caller to tell
                    log.debug("No heartbeat, unexpectedly: %r", error)
            del kept


_heart = _Heart()


def _keep(lease: Lease) -> None:
    _heart.keep(lease)


def _renew_heart() -> None:
    global _heart  # noqa: PLW0603 - threads and their locks do not survive a fork
    _heart = _Heart()
    _at_work.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(after_in_child=_renew_heart)


@lru_cache(maxsize=4)
def _identity(pid: int) -> str:
    return json.dumps({**_place(), "pid": pid, "started": _started(pid)})


def this_process() -> str:
    """Return this process's identity as text to store."""
    return _identity(os.getpid())


def _is_running_here(identity: str | None) -> bool | None:
    """Whether a process of this machine is running; None for another machine's, or if unknown."""
    try:
        process = json.loads(identity or "")
    except (ValueError, TypeError, RecursionError):  # a damaged row
        return None
    if not isinstance(process, dict):
        return None
    here = _place()
    # A process id means nothing on another machine, nor in another container on this one, nor
    # before a restart: machines may share their names, so another start may be another machine's.
    if not here["boot"] or any(process.get(name) != here[name] for name in here):
        return None
    if process.get("started") is None:
        return None
    return bool(_started(process.get("pid", 0)) == process["started"])


@lru_cache(maxsize=1)
def _place() -> dict[str, str | None]:
    """Return what tells machines, and containers on one machine, apart."""
    return {"host": platform.node(), "boot": _boot_id(), "space": _pid_namespace()}


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # pragma: no cover - where there is no /proc
        return None


def _pid_namespace() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # pragma: no cover - where there is no /proc
        return None


def _started(pid: int) -> str | None:
    """Clock ticks from boot to the start of a process; None where it is gone or cannot be seen."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name in parentheses may contain anything
    # A zombie keeps its pid until its parent reads its status, but it never writes again.
    return None if fields[0] in ("Z", "X") else fields[19]
