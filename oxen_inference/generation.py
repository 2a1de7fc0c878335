"""One image, video or audio job of Oxen's queue, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

MEDIA_TYPES = ("image", "video", "audio")
ACTIVE = frozenset({"queued", "processing"})
TERMINAL = frozenset({"succeeded", "failed", "cancelled"})

# Hubs, and the upstreams behind them, spell the same few states in many ways.
_STATUS_WORDS = {
    "succeeded": ("completed", "complete", "success", "successful", "succeed", "done", "finished", "ready", "ok"),
    "failed": (
        "error", "errored", "failure", "fail", "rejected", "refused", "expired", "timeout",
        "timed_out", "blocked", "moderated", "content_moderated", "content_filtered", "nsfw",
    ),
    "cancelled": ("canceled", "cancel", "aborted", "stopped", "killed", "terminated", "revoked"),
    "queued": ("pending", "in_queue", "starting"),
    "processing": ("running", "in_progress", "rendering"),
}  # fmt: skip
_STATUS_OF = {word: status for status, words in _STATUS_WORDS.items() for word in words}


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A job as the hub last described it. Times are unix seconds; `cost` is in USD.

    `status` is ``queued``, ``processing``, ``succeeded``, ``failed`` or ``cancelled``, however the
    hub spells it; an unknown word of a job that has not ended stays as it is. `cost` None means
    not known, which is not zero. `params` holds every other field of the row, the submitted
    parameters among them.
    """

    generation_id: str
    status: str
    model_name: str | None = None
    prompt: str | None = None
    media_type: str | None = None
    result_url: str | None = None
    error_message: str | None = None
    enqueued_at: float | None = None
    started_at: float | None = None
    completed_at: float | None = None
    cost: Decimal | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended; no later status will differ."""
        return self.status in TERMINAL


def read_status(value: object) -> str:
    """Return a status in the words of `Generation`; one that is unknown in lower case."""
    text = value if isinstance(value, str) and value.strip() else "unknown"
    word = re.sub(r"[\s-]+", "_", text.strip().lower())
    return _STATUS_OF.get(word, word)
