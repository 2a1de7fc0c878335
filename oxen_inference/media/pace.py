"""How patient paid media is: with the queue, with the hub, and with itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How patient the engine is, in seconds. The pairs are a young and an old job's interval."""

    image: tuple[float, float] = (2.0, 5.0)
    video: tuple[float, float] = (10.0, 30.0)
    grown_after: float = 60.0
    """A job of this age is polled at the longer interval."""
    gap: float = 0.25
    """Least time between two rounds, however many events arrive."""
    longest_backoff: float = 60.0
    longest_image_backoff: float = 15.0
    """How long polling rests after failures while an image is waited for."""
    poll_timeout: float = 30.0
    enqueue_timeout: float = 60.0
    lookup: float = 20.0
    """How long a job of unknown outcome is looked for: it may be listed late."""
    lookup_interval: float = 0.5
    unlisted: float = 600.0
    """How long a job that Oxen no longer knows by any route is still waited for."""
    settle: tuple[float, ...] = (0.4, 1.2)
    """When to ask again for a cost that is not there yet."""
    download_pause: float = 0.3
    """Pause before a failed download is tried again, at first; it doubles each time."""
    late_file: float = 20.0
    """How long a result's missing file is asked for: a store may show it a moment later."""
    longest_retry_after: float = 120.0
    follow: float = 0.1
    """How often a twin looks whether the request it shares has been decided."""

    def interval(self, media_type: str, age: float) -> float:
        young, old = self.video if media_type == "video" else self.image
        grown = min(max(age, 0.0) / self.grown_after, 1.0)
        return young + (old - young) * grown
