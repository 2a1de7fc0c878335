"""Images, videos and audio, paid for once: `client.media`, sync and async.

See docs/money.md for what is promised and what is not. The logic is in `generate`, `submit`,
`wait` and `reconcile`; here it is offered to callers, and driven.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from oxen_inference.catalog.models import Model
from oxen_inference.catalog.pricing import Quote
from oxen_inference.drivers import AsyncDriver, BlockingDriver
from oxen_inference.errors import OxenError
from oxen_inference.ledger.budgets import USD, Budget
from oxen_inference.ledger.entries import Entry
from oxen_inference.media import generate as generating
from oxen_inference.media import reconcile as reconciling
from oxen_inference.media import submit as submitting
from oxen_inference.media.api import (
    AsyncMediaClient,
    AsyncOnProgress,
    MediaBase,
    MediaClient,
    OnInterrupt,
    OnProgress,
    SaveTo,
    arguments_of,
    for_all,
    read_request,
    read_submission,
    with_count,
)
from oxen_inference.media.as_completed import AsCompleted, AsyncAsCompleted
from oxen_inference.media.background import AsyncBackgroundPoller, BackgroundPoller
from oxen_inference.media.handles import AsyncMediaHandle, MediaHandle
from oxen_inference.media.prepare import (
    merge_parameters,
)
from oxen_inference.price_caps import PriceCaps
from oxen_inference.result import BulkProgress, MediaResult

__all__ = ["AsyncMedia", "AsyncMediaHandle", "Media", "MediaHandle"]


class Media(MediaBase):
    """`OxenClient.media`."""

    def _loop(self) -> None:
        return None

    def __init__(self, client: MediaClient, ledger: Any = ...) -> None:
        self._driver = BlockingDriver(client)
        super().__init__(
            client,
            ledger,
            lambda poller: BackgroundPoller(client.events, self._driver, poller),
            self._driver.event,
        )

    def generate(
        self,
        *,
        model: str | Model,
        prompt: str | None = None,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
        conversation: str | None = None,
        max_cost: USD | None = None,
        budget: Budget | None = None,
        allow_unknown_cost: bool = False,
        allow_paths: bool = False,
        price_caps: PriceCaps | None = None,
        inline_inputs: bool = False,
        direct: bool = False,
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "detach",
        save_to: SaveTo = None,
        on_progress: OnProgress = None,
        **more: Any,
    ) -> MediaResult:
        """Make something and return it, paid for once.

        The model's parameters, `num_generations` among them, go in `params` or as keywords.
        With a `key` it is paid for once, whatever happens and whoever calls again with it; in the
        same `conversation` the same request joins one whose result nobody got. `inline_inputs` sends
        inputs that lie on the hub inside the request, for providers that cannot fetch them there.
        `timeout` is in seconds. Raises `GenerationFailed` when nothing succeeded, `GenerationTimeout`,
        `EnqueueOutcomeUnknown`, `DownloadError`, `BudgetExceededError`, `KeyConflictError`,
        `InvalidInputError`, and the errors that the hub answers with.
        """
        request, options = read_request(arguments_of(locals(), more))
        return self._driver.run(generating.generate(self._engine, request, options))

    def submit(
        self,
        *,
        model: str | Model,
        prompt: str | None = None,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
        conversation: str | None = None,
        max_cost: USD | None = None,
        budget: Budget | None = None,
        allow_unknown_cost: bool = False,
        allow_paths: bool = False,
        price_caps: PriceCaps | None = None,
        inline_inputs: bool = False,
        **more: Any,
    ) -> MediaHandle:
        """Enqueue as `generate` does, and return at once with a handle on the job.

        `timeout` and `on_progress` are for the sending. How to wait and where to save is said to
        the handle's `wait`.
        """
        request, options = read_submission(arguments_of(locals(), more))
        entry = self._driver.run(generating.enqueue(self._engine, request, options))
        return MediaHandle(self._engine, self._driver, entry)

    def find(self, **request: Any) -> MediaHandle | None:
        """Return the job that `generate` with these arguments would join, by its key or its
        conversation; None if it would be paid for again. Sends nothing paid.
        """
        wanted, _ = read_request(request)
        entry = self._driver.run(submitting.find_existing(self._engine, wanted))
        return None if entry is None else MediaHandle(self._engine, self._driver, entry)

    def generate_many(
        self, requests: Iterable[str | Mapping[str, Any]], **common: Any
    ) -> list[MediaResult | OxenError]:
        """Make many, each given by its prompt, or by the arguments of `generate`; errors are
        returned in place.

        `common` are arguments for all, and options of `generate_as_completed`; its `on_progress` is
        told how far all are, and that of a request how far this one is.
        """
        return self._driver.run(self._generate_many(self._driver.start, requests, common))

    def generate_as_completed(
        self,
        requests: Iterable[str | Mapping[str, Any]],
        *,
        max_in_flight: int = 64,
        max_connections: int = 16,
        attempts: int = 1,
        key_prefix: str | None = None,
        stop_after: int | None = 10,
        budget: Budget | USD | None = None,
        max_cost: USD | None = None,
        timeout: float | None = None,
        save_to: SaveTo = None,
        on_progress: Callable[[BulkProgress], Any] | Literal["bar"] | None = None,
        **common: Any,
    ) -> AsCompleted:
        """Make any number and yield `(index, MediaResult | OxenError)` as each ends.

        Each request is a prompt, or a mapping of the arguments of `generate`; `common`, such as
        the model, are arguments for all, `max_cost` and `timeout` are for each. Requests are taken
        one by one, so that at most `max_in_flight` are held, and sent on at most `max_connections`
        connections.

        With a `key_prefix` each request gets a key of its content, and the same requests in
        another run pay for nothing that was paid for before. `attempts`: how often to buy what
        Oxen confirmed as failed, where another try may help. `stop_after` equal failures in a row
        end the run, and so does a used-up budget: the last error says so, and so does `.stopped`.
        A `budget` given as an amount is one for this run, and with a `key_prefix` for all runs with
        that prefix: what they paid for before counts.
        `on_progress` is told how far the run is; "bar" shows it on stderr or in the notebook.
        A context manager: leaving it sends no more, and detaches from what runs.
        """
        given = for_all(locals(), common)
        bulk = self._bulk(self._driver.start, requests, *given)
        return AsCompleted(bulk, self._driver, requests)

    def quote(
        self,
        model: str | Model,
        *,
        num_generations: int | None = None,
        params: Mapping[str, Any] | None = None,
        price_caps: PriceCaps | None = None,
        **more: Any,
    ) -> Quote:
        """Return what `generate` would cost; free. It needs no key.

        `num_generations`: 1 if left out.
        """
        merged = merge_parameters(None, params, with_count(more, num_generations))
        return self._driver.run(self._quote(model, merged, price_caps, keywords=more))

    def quote_unchecked(
        self, model: Model, params: Mapping[str, Any], price_caps: PriceCaps | None = None
    ) -> Quote:
        """Do what `quote` does for parameters that were checked, and may hold files."""
        return self._driver.run(self._quote(model, params, price_caps, check=False))

    def forget_overruns(self, model: str | None = None) -> int:
        """Forget the bills that were higher than their quote, of one model or all; return how many.

        They raise later quotes for thirty days.
        """
        return self._driver.run(self._forget_overruns(model))

    def attach(
        self,
        key: str | None = None,
        *,
        entry_id: str | None = None,
        generation_ids: Sequence[str] | None = None,
    ) -> MediaHandle:
        """Return a handle on a job that was submitted before, here or elsewhere."""
        entry = self._driver.run(reconciling.find(self._engine, key, entry_id, generation_ids))
        return MediaHandle(self._engine, self._driver, entry)

    def resume(
        self,
        key: str,
        *,
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "detach",
        save_to: SaveTo = None,
        on_progress: OnProgress = None,
    ) -> MediaResult:
        """Return what `generate` with that key made, waiting if needed; sends nothing paid."""
        return self.attach(key).wait(
            timeout, on_interrupt=on_interrupt, save_to=save_to, on_progress=on_progress
        )

    def reconcile(
        self, *, save_to: SaveTo = None, on_progress: Callable[[int, int], Any] | None = None
    ) -> list[Entry]:
        """Bring every unsettled job in the ledger up to date; return them as they are now.

        Looks for the jobs of requests of unknown outcome; with `save_to`, downloads what was paid
        for and never collected. `on_progress` is told how many requests of how many are done.
        """
        return self._driver.run(self._reconcile(save_to, on_progress))

    def jobs(
        self,
        *,
        status: str | None = None,
        budget: str | None = None,
        key_prefix: str | None = None,
    ) -> list[Entry]:
        """Return this account's jobs on this hub from the ledger, newest first.

        Without a key, those of every account.
        """
        return self._driver.run(self._jobs(status, budget, key_prefix))

    def report(
        self,
        path: str | os.PathLike[str] = "oxen-report.html",
        *,
        status: str | None = None,
        budget: str | None = None,
        key_prefix: str | None = None,
        on_progress: Callable[[int, int], Any] | None = None,
    ) -> Path:
        """Write one web page about these jobs: what was made, what it cost, and when.

        Takes all from the ledger and the files; asks the hub nothing. The newest images are inside
        the page, later ones beside it. `on_progress` is told how many requests of how many are
        done. Raises `OSError`.
        """
        filters = {"status": status, "budget": budget, "key_prefix": key_prefix}
        return self._driver.run(self._report(path, filters, on_progress))

    def forget(self, entry_id: str) -> Entry:
        """Declare that a request of unknown outcome made nothing, or that one whose generations
        all ended without success and without a cost was not billed: its money is released.
        """
        return self._driver.run(reconciling.forget(self._engine, entry_id))

    def adopt(self, entry_id: str, generation_ids: Sequence[str]) -> MediaHandle:
        """Declare which generations a request of unknown outcome became."""
        entry = self._driver.run(reconciling.adopt(self._engine, entry_id, generation_ids))
        return MediaHandle(self._engine, self._driver, entry)


class AsyncMedia(MediaBase):
    """`AsyncOxenClient.media`: the asynchronous twin of `Media`."""

    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def __init__(self, client: AsyncMediaClient, ledger: Any = ...) -> None:
        self._driver = AsyncDriver(client)
        super().__init__(
            client,
            ledger,
            lambda poller: AsyncBackgroundPoller(client.events, self._driver, poller),
            self._driver.event,
        )
        self._driver.has_one_writer = self._engine.ledger.database.has_one_writer

    async def generate(
        self,
        *,
        model: str | Model,
        prompt: str | None = None,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
        conversation: str | None = None,
        max_cost: USD | None = None,
        budget: Budget | None = None,
        allow_unknown_cost: bool = False,
        allow_paths: bool = False,
        price_caps: PriceCaps | None = None,
        inline_inputs: bool = False,
        direct: bool = False,
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "detach",
        save_to: SaveTo = None,
        on_progress: AsyncOnProgress = None,
        **more: Any,
    ) -> MediaResult:
        """See `Media.generate`. A canceled call detaches unless `on_interrupt` is "cancel"."""
        request, options = read_request(arguments_of(locals(), more))
        return await self._driver.run(generating.generate(self._engine, request, options))

    async def submit(
        self,
        *,
        model: str | Model,
        prompt: str | None = None,
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
        conversation: str | None = None,
        max_cost: USD | None = None,
        budget: Budget | None = None,
        allow_unknown_cost: bool = False,
        allow_paths: bool = False,
        price_caps: PriceCaps | None = None,
        inline_inputs: bool = False,
        **more: Any,
    ) -> AsyncMediaHandle:
        """See `Media.submit`."""
        request, options = read_submission(arguments_of(locals(), more))
        entry = await self._driver.run(generating.enqueue(self._engine, request, options))
        return AsyncMediaHandle(self._engine, self._driver, entry)

    async def find(self, **request: Any) -> AsyncMediaHandle | None:
        """See `Media.find`."""
        wanted, _ = read_request(request)
        entry = await self._driver.run(submitting.find_existing(self._engine, wanted))
        return None if entry is None else AsyncMediaHandle(self._engine, self._driver, entry)

    async def generate_many(
        self, requests: Iterable[str | Mapping[str, Any]], **common: Any
    ) -> list[MediaResult | OxenError]:
        """See `Media.generate_many`."""
        work = self._generate_many(self._driver.start, requests, common)
        return await self._driver.run(work)

    def generate_as_completed(
        self,
        requests: Iterable[str | Mapping[str, Any]] | AsyncIterable[str | Mapping[str, Any]],
        *,
        max_in_flight: int = 64,
        max_connections: int = 16,
        attempts: int = 1,
        key_prefix: str | None = None,
        stop_after: int | None = 10,
        budget: Budget | USD | None = None,
        max_cost: USD | None = None,
        timeout: float | None = None,
        save_to: SaveTo = None,
        on_progress: Callable[[BulkProgress], Any | Awaitable[Any]] | Literal["bar"] | None = None,
        **common: Any,
    ) -> AsyncAsCompleted:
        """See `Media.generate_as_completed`; use it with `async with` and `async for`."""
        given = for_all(locals(), common)
        bulk = self._bulk(self._driver.start, requests, *given)
        return AsyncAsCompleted(bulk, self._driver, requests)

    async def quote(
        self,
        model: str | Model,
        *,
        num_generations: int | None = None,
        params: Mapping[str, Any] | None = None,
        price_caps: PriceCaps | None = None,
        **more: Any,
    ) -> Quote:
        """See `Media.quote`."""
        merged = merge_parameters(None, params, with_count(more, num_generations))
        return await self._driver.run(self._quote(model, merged, price_caps, keywords=more))

    async def quote_unchecked(
        self, model: Model, params: Mapping[str, Any], price_caps: PriceCaps | None = None
    ) -> Quote:
        """See `Media.quote_unchecked`."""
        return await self._driver.run(self._quote(model, params, price_caps, check=False))

    async def forget_overruns(self, model: str | None = None) -> int:
        """See `Media.forget_overruns`."""
        return await self._driver.run(self._forget_overruns(model))

    async def attach(
        self,
        key: str | None = None,
        *,
        entry_id: str | None = None,
        generation_ids: Sequence[str] | None = None,
    ) -> AsyncMediaHandle:
        """See `Media.attach`."""
        entry = await self._driver.run(
            reconciling.find(self._engine, key, entry_id, generation_ids)
        )
        return AsyncMediaHandle(self._engine, self._driver, entry)

    async def resume(
        self,
        key: str,
        *,
        timeout: float | None = None,
        on_interrupt: OnInterrupt = "detach",
        save_to: SaveTo = None,
        on_progress: AsyncOnProgress = None,
    ) -> MediaResult:
        """See `Media.resume`."""
        handle = await self.attach(key)
        return await handle.wait(
            timeout, on_interrupt=on_interrupt, save_to=save_to, on_progress=on_progress
        )

    async def reconcile(
        self,
        *,
        save_to: SaveTo = None,
        on_progress: Callable[[int, int], Any | Awaitable[Any]] | None = None,
    ) -> list[Entry]:
        """See `Media.reconcile`."""
        return await self._driver.run(self._reconcile(save_to, on_progress))

    async def jobs(
        self,
        *,
        status: str | None = None,
        budget: str | None = None,
        key_prefix: str | None = None,
    ) -> list[Entry]:
        """See `Media.jobs`."""
        return await self._driver.run(self._jobs(status, budget, key_prefix))

    async def report(
        self,
        path: str | os.PathLike[str] = "oxen-report.html",
        *,
        status: str | None = None,
        budget: str | None = None,
        key_prefix: str | None = None,
        on_progress: Callable[[int, int], Any] | None = None,
    ) -> Path:
        """See `Media.report`."""
        filters = {"status": status, "budget": budget, "key_prefix": key_prefix}
        return await self._driver.run(self._report(path, filters, on_progress))

    async def forget(self, entry_id: str) -> Entry:
        """See `Media.forget`."""
        return await self._driver.run(reconciling.forget(self._engine, entry_id))

    async def adopt(self, entry_id: str, generation_ids: Sequence[str]) -> AsyncMediaHandle:
        """See `Media.adopt`."""
        entry = await self._driver.run(reconciling.adopt(self._engine, entry_id, generation_ids))
        return AsyncMediaHandle(self._engine, self._driver, entry)
