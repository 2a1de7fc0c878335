"""Images, videos and audio, paid for once: `OxenClient.media`.

See docs/money.md for what is promised and what is not. The logic is in `engine`; here it is
offered to people, and run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog.models import Model
from oxen_inference.catalog.pricing import Quote
from oxen_inference.errors import OxenError
from oxen_inference.ledger.budgets import Amount, Budget
from oxen_inference.ledger.store import Entry
from oxen_inference.media import engine as media_engine
from oxen_inference.media import reconcile as media_reconcile
from oxen_inference.media import sending
from oxen_inference.media.async_api import AsyncMedia
from oxen_inference.media.handles import AsyncMediaHandle, MediaHandle
from oxen_inference.media.pace import Pace
from oxen_inference.media.request import merge
from oxen_inference.media.runner import Runner
from oxen_inference.media.shared import (
    Listener,
    OnInterrupt,
    SaveTo,
    SharedMedia,
    arguments_of,
    split,
)
from oxen_inference.media.watchers import Watcher
from oxen_inference.result import MediaResult

if TYPE_CHECKING:
    from oxen_inference.client import OxenClient

__all__ = ["AsyncMedia", "AsyncMediaHandle", "Media", "MediaHandle", "Pace"]


class Media(SharedMedia):
    """`OxenClient.media`."""

    def __init__(self, client: OxenClient) -> None:
        self._runner = Runner(client)
        super().__init__(client, self._runner.event)
        self._watcher = Watcher(client, self._runner, self._watch)

    def _watching(self) -> None:
        self._watcher.ensure()

    def generate(
        self,
        *,
        model: str | Model,
        prompt: str | None = None,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
        conversation: str | None = None,
        max_cost: Amount | None = None,
        budget: Budget | None = None,
        allow_unknown_cost: bool = False,
        allow_paths: bool = False,
        direct: bool = False,
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "detach",
        save_to: SaveTo = None,
        on_progress: Listener = None,
        **more: Any,
    ) -> MediaResult:
        """Make something and return it, paid for once.

        The model's parameters, `num_generations` among them, go in `params` or as keywords.
        `key` makes it exactly once, whatever happens and whoever calls again with it; in the
        same `conversation` the same request joins one whose result nobody got. `timeout` is in
        seconds. Raises `GenerationFailed` when nothing succeeded, `GenerationTimeout`,
        `EnqueueOutcomeUnknown`, `DownloadError`, `BudgetExceededError`, `KeyConflictError`,
        `InvalidInputError`, and what the hub refuses with.
        """
        return self._runner.run(
            media_engine.generate(self._engine, *split(arguments_of(locals(), more)))
        )

    def submit(
        self,
        *,
        model: str | Model,
        prompt: str | None = None,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
        conversation: str | None = None,
        max_cost: Amount | None = None,
        budget: Budget | None = None,
        allow_unknown_cost: bool = False,
        allow_paths: bool = False,
        **more: Any,
    ) -> MediaHandle:
        """Enqueue as `generate` does, and return at once with a handle on the job."""
        asked, wishes = split(arguments_of(locals(), more))
        return MediaHandle(self, self._runner.run(media_engine.submit(self._engine, asked, wishes)))

    def begun(self, **request: Any) -> MediaHandle | None:
        """Return the job that `generate` with these arguments would attach to, by its key or its
        conversation; None if it would be paid for anew. Sends nothing paid.
        """
        asked, _ = split(request)
        entry = self._runner.run(sending.begun(self._engine, asked))
        return None if entry is None else MediaHandle(self, entry)

    def generate_many(
        self, requests: Iterable[Mapping[str, Any]], **common: Any
    ) -> list[MediaResult | OxenError]:
        """Make many, each given by the arguments of `generate`; errors are returned in place."""
        return self._runner.run(self._many(requests, common))

    def quote(
        self,
        model: str | Model,
        *,
        num_generations: int = 1,
        params: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Quote:
        """Return what `generate` would cost; free."""
        merged = merge(None, params, more)
        return self._runner.run(self._quote(model, num_generations, merged))

    def attach(
        self,
        key: str | None = None,
        *,
        entry_id: str | None = None,
        generation_ids: Sequence[str] | None = None,
    ) -> MediaHandle:
        """Return a handle on a job that was submitted before, here or anywhere."""
        steps = media_reconcile.find(self._engine, key, entry_id, generation_ids)
        return MediaHandle(self, self._runner.run(steps))

    def resume(
        self,
        key: str,
        *,
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "detach",
        save_to: SaveTo = None,
        on_progress: Listener = None,
    ) -> MediaResult:
        """Return what `generate` with that key made, waiting if need be; sends nothing paid."""
        wishes = {"timeout": timeout, "on_interrupt": on_interrupt, "save_to": save_to}
        return self.attach(key).wait(**wishes, on_progress=on_progress)  # type: ignore[arg-type]

    def reconcile(self, *, save_to: SaveTo = None) -> list[Entry]:
        """Bring every unsettled job in the ledger up to date; return them as they are now.

        Looks for the jobs of requests of unknown outcome; with `save_to`, fetches what was paid
        for and never collected.
        """
        return self._runner.run(self._reconcile(save_to))

    def jobs(self) -> list[Entry]:
        """Return this account's jobs on this hub from the ledger, newest first."""
        return self._runner.run(self._jobs())

    def forget(self, entry_id: str) -> Entry:
        """Say that a request of unknown outcome made nothing, or that one whose generations all
        ended without success and without a cost was not billed: its money is given back.
        """
        return self._runner.run(media_reconcile.forget(self._engine, entry_id))

    def adopt(self, entry_id: str, generation_ids: Sequence[str]) -> MediaHandle:
        """Say which generations a request of unknown outcome became."""
        steps = media_reconcile.adopt(self._engine, entry_id, generation_ids)
        return MediaHandle(self, self._runner.run(steps))
