"""The asynchronous twin of `api.Media`; nothing but the awaiting differs."""

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
from oxen_inference.media.handles import AsyncMediaHandle
from oxen_inference.media.request import merge
from oxen_inference.media.runner import AsyncRunner
from oxen_inference.media.shared import (
    AsyncListener,
    OnInterrupt,
    SaveTo,
    SharedMedia,
    arguments_of,
    split,
)
from oxen_inference.media.watchers import AsyncWatcher
from oxen_inference.result import MediaResult

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient


class AsyncMedia(SharedMedia):
    """`AsyncOxenClient.media`."""

    def __init__(self, client: AsyncOxenClient) -> None:
        self._runner = AsyncRunner(client)
        super().__init__(client, self._runner.event)
        self._watcher = AsyncWatcher(client, self._runner, self._watch)

    def _watching(self) -> None:
        self._watcher.ensure()

    async def generate(
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
        on_progress: AsyncListener = None,
        **more: Any,
    ) -> MediaResult:
        """See `Media.generate`. A cancelled call detaches unless `on_interrupt` is "cancel"."""
        return await self._runner.run(
            media_engine.generate(self._engine, *split(arguments_of(locals(), more)))
        )

    async def submit(
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
    ) -> AsyncMediaHandle:
        """See `Media.submit`."""
        asked, wishes = split(arguments_of(locals(), more))
        entry = await self._runner.run(media_engine.submit(self._engine, asked, wishes))
        return AsyncMediaHandle(self, entry)

    async def begun(self, **request: Any) -> AsyncMediaHandle | None:
        """See `Media.begun`."""
        asked, _ = split(request)
        entry = await self._runner.run(sending.begun(self._engine, asked))
        return None if entry is None else AsyncMediaHandle(self, entry)

    async def generate_many(
        self, requests: Iterable[Mapping[str, Any]], **common: Any
    ) -> list[MediaResult | OxenError]:
        """See `Media.generate_many`."""
        return await self._runner.run(self._many(requests, common))

    async def quote(
        self,
        model: str | Model,
        *,
        num_generations: int = 1,
        params: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Quote:
        """See `Media.quote`."""
        merged = merge(None, params, more)
        return await self._runner.run(self._quote(model, num_generations, merged))

    async def attach(
        self,
        key: str | None = None,
        *,
        entry_id: str | None = None,
        generation_ids: Sequence[str] | None = None,
    ) -> AsyncMediaHandle:
        """See `Media.attach`."""
        steps = media_reconcile.find(self._engine, key, entry_id, generation_ids)
        return AsyncMediaHandle(self, await self._runner.run(steps))

    async def resume(
        self,
        key: str,
        *,
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "detach",
        save_to: SaveTo = None,
        on_progress: AsyncListener = None,
    ) -> MediaResult:
        """See `Media.resume`."""
        wishes = {"timeout": timeout, "on_interrupt": on_interrupt, "save_to": save_to}
        handle = await self.attach(key)
        return await handle.wait(**wishes, on_progress=on_progress)  # type: ignore[arg-type]

    async def reconcile(self, *, save_to: SaveTo = None) -> list[Entry]:
        """See `Media.reconcile`."""
        return await self._runner.run(self._reconcile(save_to))

    async def jobs(self) -> list[Entry]:
        """See `Media.jobs`."""
        return await self._runner.run(self._jobs())

    async def forget(self, entry_id: str) -> Entry:
        """See `Media.forget`."""
        return await self._runner.run(media_reconcile.forget(self._engine, entry_id))

    async def adopt(self, entry_id: str, generation_ids: Sequence[str]) -> AsyncMediaHandle:
        """See `Media.adopt`."""
        steps = media_reconcile.adopt(self._engine, entry_id, generation_ids)
        return AsyncMediaHandle(self, await self._runner.run(steps))
