"""Who uses a deployment in this process: the last to leave undoes what any of them did."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field

ENDING_TAKES = 90.0
"""Seconds that bringing a deployment down takes at the most; after that it was given up."""


@dataclass(slots=True)
class _Users:
    count: int = 0
    have_activated: bool = False
    end_by: float = 0.0
    """When the last of them will have brought it down."""


class _Deployments:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users: dict[tuple[str, str], _Users] = {}


_deployments = _Deployments()


def _anew() -> None:
    global _deployments  # noqa: PLW0603 - who uses what in the parent is not the child's to undo
    _deployments = _Deployments()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(after_in_child=_anew)


@dataclass(slots=True)
class Claim:
    """One user's claim on a model of a hub, and whether an activation may be theirs to undo."""

    hub: str
    model_id: str
    ours: bool = False
    _among: _Deployments | None = field(default=None, repr=False)

    def enter(self) -> bool:
        """Be counted; False while the last user before is bringing it down."""
        with _deployments.lock:
            users = _deployments.users.setdefault((self.hub, self.model_id), _Users())
            if not users.count and time.monotonic() < users.end_by:
                return False
            users.count += 1
            self._among = _deployments
        return True

    def leave(self) -> bool:
        """Be counted no more; True if it is now to be brought down, and `ended` to be called."""
        if self._among is not _deployments:
            return False  # it never entered, or did so before a fork
        with _deployments.lock:
            self._among = None
            users = _deployments.users[self.hub, self.model_id]
            users.count -= 1
            users.have_activated |= self.ours
            if users.count:
                return False
            if not users.have_activated:
                del _deployments.users[self.hub, self.model_id]
                return False
            users.end_by = time.monotonic() + ENDING_TAKES
        return True

    def ended(self) -> None:
        """Let the next user in."""
        with _deployments.lock:
            users = _deployments.users.get((self.hub, self.model_id))
            if users and not users.count:
                del _deployments.users[self.hub, self.model_id]
