"""One paid request as the ledger has it: what was intended, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from oxen_inference.result import MediaItem, MediaResult


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose jobs: the hub's address, and the account as a hash of its key."""

    hub: str
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A paid request that is about to be made."""

    scope: Scope
    fingerprint: str
    """Of what is sent."""
    kind: str
    """``queue``, or ``direct`` for a synchronous endpoint."""
    model: str
    media_type: str
    request: Mapping[str, Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    count: int = 1
    key: str | None = None
    conversation: str | None = None
    caller_fingerprint: str | None = None
    """Of what the caller passed."""
    quoted: Decimal | None = None
    """The most that one generation was to cost, in USD; None: unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One paid request in the ledger. Times are unix seconds by its clock, money is USD.

    `state`: ``intended``, ``posting``, ``accepted``, ``unknown`` or ``rejected``. `request` is what
    was sent, with long data URLs as digests; `error` is the refusal, or why the outcome is unknown,
    with its type.
    """

    entry_id: str
    hub: str
    account: str
    key: str | None
    fingerprint: str
    caller_fingerprint: str | None = None
    kind: str
    model: str
    media_type: str
    request: Mapping[str, Any]
    defaults: Mapping[str, Any]
    count: int
    state: str
    attempt: int
    owner: str
    """The lease of the process that is, or was, at work on it."""
    created_at: float
    posted_at: float | None
    posted_ago: float | None = field(default=None, compare=False)
    """Seconds from then until it was read."""
    hub_sent_at: float | None = None
    """When it was sent by the hub's own clock; None where the hub had stated no time."""
    decided_at: float | None
    error: Mapping[str, Any] | None
    notes: tuple[str, ...]
    items: tuple[MediaItem, ...]
    reserved: Decimal
    budget: str | None = None
    """The account of the budget that it is paid from; see `Budget.account`."""
    quoted: Decimal | None = None
    """The most that one generation was to cost when it was sent; None: unknown."""
    is_abandoned: bool = False
    """Whether its owner could no longer be at work on it when it was read."""
    was_just_settled: bool = field(default=False, compare=False)
    """Whether it was settled by the very write that returned it."""

    @property
    def prompt(self) -> str | None:
        prompt = self.request.get("prompt")
        return prompt if isinstance(prompt, str) else None

    @property
    def generation_ids(self) -> tuple[str, ...]:
        return tuple(item.generation_id for item in self.items if item.generation_id)

    @property
    def statuses(self) -> tuple[str, ...]:
        """The statuses of its generations, each once; its own state where there are none."""
        found = {item.status for item in self.items}
        return tuple(sorted(found)) or (self.state,)

    @property
    def cost(self) -> Decimal | None:
        return self.result().cost

    @property
    def is_settled(self) -> bool:
        """Whether nothing about it can change any more: ended with known costs, or never bought."""
        if self.state == "accepted":
            return all(item.is_settled for item in self.items)
        return self.state == "rejected"

    @property
    def may_be_written_off(self) -> bool:
        """Whether its generations have all ended without success, some without a cost, or it was
        never told of all of them and knows what the others cost.
        """
        if 0 < len(self.items) < self.count:
            return all(item.is_settled for item in self.items)
        ended = all(item.is_terminal and item.status != "succeeded" for item in self.items)
        return ended and any(item.cost is None for item in self.items)

    @property
    def may_be_claimed(self) -> bool:
        """Whether it surely bought nothing, so that the next call with its key may send it."""
        return self.state == "rejected" or (self.state == "intended" and self.is_abandoned)

    def _repr_html_(self) -> str:
        return self.result()._repr_html_()

    def result(self) -> MediaResult:
        params = {k: v for k, v in self.request.items() if k not in ("model", "prompt")}
        return MediaResult(
            model=self.model,
            media_type=self.media_type,
            prompt=self.prompt,
            key=self.key,
            entry_id=self.entry_id,
            items=self.items,
            params=params,
            notes=self.notes,
        )
