"""What is known of each job that is watched, and who wants to be told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from oxen_inference.errors import APIStatusError, ConfigurationError
from oxen_inference.generation import Generation


@dataclass(slots=True)
class Watched:
    """One job: what is known of it and who wants to be told."""

    generation_id: str
    media_type: str
    model: str
    namespace: str | None
    since: float
    due: float
    asked: float = 0.0
    """When it was last heard of, or asked for by itself."""
    row: Generation | None = None
    misses: int = 0
    denials: int = 0
    subscriptions: set[Subscription] = field(default_factory=set)


class Subscription:
    """One waiter's view: `rows` by id, filled as they come; `event` is set at every change."""

    def __init__(self, event: Any, ids: Iterable[str]) -> None:
        self.event = event
        self.pending = set(ids)
        self.rows: dict[str, Generation] = {}
        self.trouble: str | None = None
        self.denial: APIStatusError | ConfigurationError | None = None
        """What Oxen says again and again to a key that may not ask, or no longer; or why it
        cannot be asked at all.
        """

    @property
    def is_done(self) -> bool:
        return not self.pending

    def tell(self, row: Generation) -> None:
        self.rows[row.generation_id] = row
        if row.is_terminal:
            self.pending.discard(row.generation_id)
        self.event.set()

    def deny(self, error: APIStatusError | ConfigurationError) -> None:
        self.denial = error
        self.event.set()

    def __hash__(self) -> int:
        return id(self)
