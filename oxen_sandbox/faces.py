"""The two faces of the hub: as its documentation describes it, and as programs in production meet it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FaceName = Literal["live", "documented"]

_WITHOUT_KEY = ("/api/ai/models", "/api/evaluations/models")


@dataclass(frozen=True)
class Face:
    """What differs between the two; everything else is the same."""

    name: str
    live_entries: bool
    """Entries of the catalog as they are on the hub: prices in prose, limits, one endpoint."""
    keyless_catalog: bool
    states_cost: bool
    """A chat answer says what it cost."""
    wraps_errors: bool
    """A model's refusal comes inside the hub's own failure."""
    queues_audio: bool
    has_speech_routes: bool
    """`/audio/speech` and `/audio/transcriptions`."""

    def needs_key(self, method: str, path: str) -> bool:
        """Whether a request below `/api` is refused without a key."""
        if not self.keyless_catalog or method != "GET" or path.endswith("/favorites"):
            return True
        return not any(path == route or path.startswith(f"{route}/") for route in _WITHOUT_KEY)


_FACES = {
    "live": Face("live", True, True, True, True, True, True),
    "documented": Face("documented", False, False, False, False, False, False),
}


def face_called(name: str) -> Face:
    """The face of that name; raises ValueError for another."""
    if name not in _FACES:
        raise ValueError(f"face must be one of {', '.join(_FACES)}, not {name!r}")
    return _FACES[name]
