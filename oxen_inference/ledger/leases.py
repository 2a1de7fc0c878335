"""Which process wrote a ledger row, and whether it can still be at work on it."""

from __future__ import annotations

import json
import os
import platform
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=4)
def _of(pid: int) -> str:
    return json.dumps(
        {"host": platform.node(), "boot": _boot_id(), "pid": pid, "started": _started(pid)}
    )


def this_process() -> str:
    """Return this process's identity as text to store."""
    return _of(os.getpid())


def is_surely_dead(identity: str | None) -> bool:
    """Whether the process with that identity has ended; False where that cannot be known."""
    try:
        owner = json.loads(identity or "")
    except ValueError:
        return False
    here = json.loads(this_process())
    # A pid says nothing across hosts, or across containers, which differ in host name.
    if owner.get("host") != here["host"] or not here["boot"]:
        return False
    if owner.get("boot") != here["boot"]:
        return True  # the machine has been restarted since
    return owner.get("started") is not None and _started(owner["pid"]) != owner["started"]


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
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
