"""Images, videos and audio, paid for once: `client.media`, sync and async.

See docs/money.md for what is promised and what is not. The logic is in `generate`, `submit`,
`wait` and `reconcile`; here it is offered to callers, and driven.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

from oxen_inference.catalog.models import Model
from oxen_inference.catalog.parameters import validate
from oxen_inference.catalog.pricing import Quote
from oxen_inference.drivers import AsyncDriver, BlockingDriver
from oxen_inference.effects import run
from oxen_inference.errors import InvalidInputError, OxenError
from oxen_inference.events import AsyncEvents, Events
from oxen_inference.ledger.budgets import USD, Budget
from oxen_inference.ledger.entries import Entry, Scope
from oxen_inference.ledger.polls import SharedPolling
from oxen_inference.ledger.store import Ledger, default_ledger
from oxen_inference.media import generate as generating
from oxen_inference.media import reconcile as reconciling
from oxen_inference.media import report
from oxen_inference.media import submit as submitting
from oxen_inference.media.as_completed import AsCompleted, AsyncAsCompleted, collect_all
from oxen_inference.media.background import AsyncBackgroundPoller, BackgroundPoller
from oxen_inference.media.bulk import Bulk
from oxen_inference.media.bulk_run import BulkOptions
from oxen_inference.media.engine import Engine, Task, WaitOptions
from oxen_inference.media.handles import AsyncMediaHandle, MediaHandle
from oxen_inference.media.pace import Pace
from oxen_inference.media.poller import Poller
from oxen_inference.media.prepare import (
    MediaRequest,
    find_model,
    hub_of,
    merge_parameters,
    scope_of,
)
from oxen_inference.media.quotes import quote_call
from oxen_inference.media.results.download import MAX_BYTES, Source
from oxen_inference.media.results.through_client import HTTPClient
from oxen_inference.notebook import ShownList
from oxen_inference.price_caps import PriceCaps, read_price_caps
from oxen_inference.result import BulkProgress, MediaResult, Progress
from oxen_inference.settings import missing_key
from oxen_inference.transport import AsyncSender, Sender

__all__ = ["AsyncMedia", "AsyncMediaHandle", "Media", "MediaHandle", "Pace"]

OnInterrupt = Literal["detach", "cancel"]
SaveTo = str | os.PathLike[str] | None
OnProgress = Callable[[Progress], Any] | None
AsyncOnProgress = Callable[[Progress], Any | Awaitable[Any]] | None

_REQUEST_OPTIONS = frozenset(
    {
        "model",
        "key",
        "conversation",
        "max_cost",
        "budget",
        "allow_unknown_cost",
        "direct",
        "allow_paths",
        "price_caps",
        "inline_inputs",
        "key_is_derived",
    }
)
_BULK_OPTIONS = ("max_in_flight", "max_connections", "attempts", "key_prefix", "stop_after")
_WAIT_OPTIONS = frozenset({"timeout", "on_interrupt", "save_to", "on_progress", "file_name"})


class MediaClient(Sender, Protocol):
    """The client that `Media` belongs to."""

    @property
    def catalog(self) -> Any: ...
    @property
    def price_caps(self) -> Mapping[str, Decimal]: ...
    @property
    def events(self) -> Events: ...


class AsyncMediaClient(AsyncSender, Protocol):
    """The client that `AsyncMedia` belongs to."""

    @property
    def catalog(self) -> Any: ...
    @property
    def price_caps(self) -> Mapping[str, Decimal]: ...
    @property
    def events(self) -> AsyncEvents: ...


class _MediaSettings:
    """What the sync and the async form have in common: everything but the driving.

    `pace` says how long to wait between requests; `allowed_hosts` which private hosts (``name``
    or ``name:port``) results may be downloaded from; `max_download_bytes` how large one may be.
    """

    def __init__(
        self,
        client: MediaClient | AsyncMediaClient,
        ledger: Any,
        background_of: Callable[[Poller], BackgroundPoller | AsyncBackgroundPoller],
        new_event: Callable[[], Any],
    ) -> None:
        self.pace = Pace()
        self.allowed_hosts: set[str] = set()
        self.max_download_bytes = MAX_BYTES
        self._client = client
        own_ledger = Ledger.of(default_ledger() if ledger is ... else ledger)
        shared = SharedPolling(own_ledger, self._scope)
        poller = Poller(client.paths, self._effective_pace, shared)
        self._engine = Engine(
            paths=client.paths,
            catalog=client.catalog,
            ledger=own_ledger,
            scope=self._scope,
            hub_clock=client.hub_clock,
            pace=self._effective_pace,
            poller=poller,
            ensure_polling=background_of(poller).ensure,
            new_event=new_event,
            source=self._source,
            client_timeout=client.timeout,
            max_retries=client.max_retries,
            hub=lambda: hub_of(str(client.base_url)),
            price_caps=lambda: client.price_caps,
        )

    @property
    def ledger(self) -> Ledger:
        """The ledger in use."""
        return self._engine.ledger

    def _effective_pace(self) -> Pace:
        limit = self._client.timeout
        if isinstance(limit, int | float) and limit < self.pace.poll_timeout:
            return replace(self.pace, poll_timeout=float(limit))
        return self.pace

    def _scope(self) -> Scope:
        """Return whose jobs are bought. Raises `MissingAPIKeyError`."""
        if not self._client.has_key:
            raise missing_key("client.media")
        return scope_of(str(self._client.base_url), self._client.api_key)

    def _source(self) -> Source:
        return Source(
            hub=str(self._client.base_url),
            headers=self._client.auth_headers,
            allowed_hosts=self.allowed_hosts,
            max_bytes=self.max_download_bytes,
            http_client=self._own_http_client(),
        )

    def _own_http_client(self) -> HTTPClient | None:
        """Return the HTTP client that the developer brought, which knows the way to the hub."""
        own = self._client.own_http_client
        return None if own is None else HTTPClient(own, self._loop())

    def _loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the event loop that the client belongs to."""
        raise NotImplementedError

    async def _quote(
        self,
        model: str | Model,
        num_generations: int,
        params: Mapping[str, Any],
        price_caps: PriceCaps | None,
        *,
        check: bool = True,
    ) -> Quote:
        known = await find_model(self._engine, model)
        checked = validate(known, params, partial=True) if check else dict(params)
        count = checked.pop("num_generations", None) if num_generations == 1 else num_generations
        caps = read_price_caps(price_caps)
        return (await quote_call(self._engine, known, checked, 1, caps)).times(count or 1)

    async def _forget_breaches(self, model: str | None) -> int:
        return await run(self._engine.forget_breaches, model)

    async def _reconcile(self, save_to: SaveTo) -> list[Entry]:
        task = Task(options=WaitOptions(save_to=save_to))
        return await reconciling.reconcile(self._engine, task, save_to)

    async def _jobs(
        self, status: str | None, budget: str | None, key_prefix: str | None
    ) -> list[Entry]:
        scope = scope_of(str(self._client.base_url), self._client.api_key)
        # Without a key nothing says whose they are, so they are those of every key.
        whose = scope if self._client.has_key else None
        found = await run(lambda: self._engine.ledger.entries(whose, budget=budget))
        return ShownList(
            entry
            for entry in found
            if entry.hub == scope.hub
            and (status is None or status in entry.statuses)
            and (key_prefix is None or (entry.key or "").startswith(key_prefix))
        )

    async def _report(self, path: str | os.PathLike[str], filters: Mapping[str, Any]) -> Path:
        entries = await self._jobs(**filters)
        return await run(report.write, entries, path)

    def _bulk(
        self,
        start: Callable[[Any, str], None],
        requests: object,
        options: Mapping[str, Any],
        common: Mapping[str, Any],
    ) -> Bulk:
        total = len(requests) if isinstance(requests, Sized) else None

        def read(request: Mapping[str, Any]) -> tuple[MediaRequest, WaitOptions]:
            return _split({**common, **request})

        return Bulk(self._engine, BulkOptions(**options), read, start, total)

    async def _generate_many(
        self,
        start: Callable[[Any, str], None],
        requests: Iterable[Mapping[str, Any]],
        given: Mapping[str, Any],
    ) -> list[MediaResult | OxenError]:
        listed = list(requests)
        options = {name: given[name] for name in _BULK_OPTIONS if name in given}
        common = {name: value for name, value in given.items() if name not in _BULK_OPTIONS}
        options["budget"] = common.get("budget")
        if common.get("on_progress") == "bar":
            options["on_progress"] = common.pop("on_progress")
        bulk = self._bulk(start, listed, options, common)
        return ShownList(await collect_all(bulk, listed))


class Media(_MediaSettings):
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
        request, options = _split(_arguments(locals(), more))
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
        """Enqueue as `generate` does, and return at once with a handle on the job."""
        request, options = _split(_arguments(locals(), more))
        entry = self._driver.run(generating.enqueue(self._engine, request, options))
        return MediaHandle(self._engine, self._driver, entry)

    def find(self, **request: Any) -> MediaHandle | None:
        """Return the job that `generate` with these arguments would join, by its key or its
        conversation; None if it would be paid for again. Sends nothing paid.
        """
        wanted, _ = _split(request)
        entry = self._driver.run(submitting.find_existing(self._engine, wanted))
        return None if entry is None else MediaHandle(self._engine, self._driver, entry)

    def generate_many(
        self, requests: Iterable[Mapping[str, Any]], **common: Any
    ) -> list[MediaResult | OxenError]:
        """Make many, each given by the arguments of `generate`; errors are returned in place.

        `common` are arguments for all, and options of `generate_as_completed`; `on_progress` is
        told of each request by itself, and "bar" shows how far all are.
        """
        return self._driver.run(self._generate_many(self._driver.start, requests, common))

    def generate_as_completed(
        self,
        requests: Iterable[Mapping[str, Any]],
        *,
        max_in_flight: int = 64,
        max_connections: int = 16,
        attempts: int = 1,
        key_prefix: str | None = None,
        stop_after: int | None = 10,
        budget: Budget | None = None,
        max_cost: USD | None = None,
        timeout: float | None = None,
        save_to: SaveTo = None,
        on_progress: Callable[[BulkProgress], Any] | Literal["bar"] | None = None,
        **common: Any,
    ) -> AsCompleted:
        """Make any number and yield `(index, MediaResult | OxenError)` as each ends.

        Each request is a mapping of the arguments of `generate`; `common` are arguments for all,
        `max_cost` and `timeout` are for each. Requests are taken one by one, so that at most
        `max_in_flight` are held, and sent on at most `max_connections` connections.

        With a `key_prefix` each request gets a key of its content, and the same requests in
        another run pay for nothing that was paid for before. `attempts`: how often to buy what
        Oxen confirmed as failed, where another try may help. `stop_after` equal failures in a row
        end the run, and so does a used-up budget: the last error says so, and so does `.stopped`.
        `on_progress` is told how far the run is; "bar" shows it on stderr or in the notebook.
        A context manager: leaving it sends no more, and detaches from what runs.
        """
        given = _for_all(locals(), common)
        bulk = self._bulk(self._driver.start, requests, *given)
        return AsCompleted(bulk, self._driver, requests)

    def quote(
        self,
        model: str | Model,
        *,
        num_generations: int = 1,
        params: Mapping[str, Any] | None = None,
        price_caps: PriceCaps | None = None,
        **more: Any,
    ) -> Quote:
        """Return what `generate` would cost; free. It needs no key."""
        merged = merge_parameters(None, params, more)
        return self._driver.run(self._quote(model, num_generations, merged, price_caps))

    def quote_unchecked(
        self, model: Model, params: Mapping[str, Any], price_caps: PriceCaps | None = None
    ) -> Quote:
        """Do what `quote` does for parameters that were checked, and may hold files."""
        return self._driver.run(self._quote(model, 1, params, price_caps, check=False))

    def forget_breaches(self, model: str | None = None) -> int:
        """Forget the bills that were higher than their quote, of one model or all; return how many.

        They raise later quotes for thirty days.
        """
        return self._driver.run(self._forget_breaches(model))

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

    def reconcile(self, *, save_to: SaveTo = None) -> list[Entry]:
        """Bring every unsettled job in the ledger up to date; return them as they are now.

        Looks for the jobs of requests of unknown outcome; with `save_to`, downloads what was paid
        for and never collected.
        """
        return self._driver.run(self._reconcile(save_to))

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
    ) -> Path:
        """Write one web page about these jobs: what was made, what it cost, and when.

        Takes all from the ledger and the files; asks the hub nothing. Raises `OSError`.
        """
        filters = {"status": status, "budget": budget, "key_prefix": key_prefix}
        return self._driver.run(self._report(path, filters))

    def forget(self, entry_id: str) -> Entry:
        """Declare that a request of unknown outcome made nothing, or that one whose generations
        all ended without success and without a cost was not billed: its money is released.
        """
        return self._driver.run(reconciling.forget(self._engine, entry_id))

    def adopt(self, entry_id: str, generation_ids: Sequence[str]) -> MediaHandle:
        """Declare which generations a request of unknown outcome became."""
        entry = self._driver.run(reconciling.adopt(self._engine, entry_id, generation_ids))
        return MediaHandle(self._engine, self._driver, entry)


class AsyncMedia(_MediaSettings):
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
        request, options = _split(_arguments(locals(), more))
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
        request, options = _split(_arguments(locals(), more))
        entry = await self._driver.run(generating.enqueue(self._engine, request, options))
        return AsyncMediaHandle(self._engine, self._driver, entry)

    async def find(self, **request: Any) -> AsyncMediaHandle | None:
        """See `Media.find`."""
        wanted, _ = _split(request)
        entry = await self._driver.run(submitting.find_existing(self._engine, wanted))
        return None if entry is None else AsyncMediaHandle(self._engine, self._driver, entry)

    async def generate_many(
        self, requests: Iterable[Mapping[str, Any]], **common: Any
    ) -> list[MediaResult | OxenError]:
        """See `Media.generate_many`."""
        work = self._generate_many(self._driver.start, requests, common)
        return await self._driver.run(work)

    def generate_as_completed(
        self,
        requests: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
        *,
        max_in_flight: int = 64,
        max_connections: int = 16,
        attempts: int = 1,
        key_prefix: str | None = None,
        stop_after: int | None = 10,
        budget: Budget | None = None,
        max_cost: USD | None = None,
        timeout: float | None = None,
        save_to: SaveTo = None,
        on_progress: Callable[[BulkProgress], Any | Awaitable[Any]] | Literal["bar"] | None = None,
        **common: Any,
    ) -> AsyncAsCompleted:
        """See `Media.generate_as_completed`; use it with `async with` and `async for`."""
        given = _for_all(locals(), common)
        bulk = self._bulk(self._driver.start, requests, *given)
        return AsyncAsCompleted(bulk, self._driver, requests)

    async def quote(
        self,
        model: str | Model,
        *,
        num_generations: int = 1,
        params: Mapping[str, Any] | None = None,
        price_caps: PriceCaps | None = None,
        **more: Any,
    ) -> Quote:
        """See `Media.quote`."""
        merged = merge_parameters(None, params, more)
        return await self._driver.run(self._quote(model, num_generations, merged, price_caps))

    async def quote_unchecked(
        self, model: Model, params: Mapping[str, Any], price_caps: PriceCaps | None = None
    ) -> Quote:
        """See `Media.quote_unchecked`."""
        return await self._driver.run(self._quote(model, 1, params, price_caps, check=False))

    async def forget_breaches(self, model: str | None = None) -> int:
        """See `Media.forget_breaches`."""
        return await self._driver.run(self._forget_breaches(model))

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

    async def reconcile(self, *, save_to: SaveTo = None) -> list[Entry]:
        """See `Media.reconcile`."""
        return await self._driver.run(self._reconcile(save_to))

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
    ) -> Path:
        """See `Media.report`."""
        filters = {"status": status, "budget": budget, "key_prefix": key_prefix}
        return await self._driver.run(self._report(path, filters))

    async def forget(self, entry_id: str) -> Entry:
        """See `Media.forget`."""
        return await self._driver.run(reconciling.forget(self._engine, entry_id))

    async def adopt(self, entry_id: str, generation_ids: Sequence[str]) -> AsyncMediaHandle:
        """See `Media.adopt`."""
        entry = await self._driver.run(reconciling.adopt(self._engine, entry_id, generation_ids))
        return AsyncMediaHandle(self._engine, self._driver, entry)


def _arguments(given: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's own keywords and the model's parameters as one request."""
    own = {name: value for name, value in given.items() if name not in ("self", "more")}
    return {**own, **more}


def _for_all(
    given: Mapping[str, Any], common: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of a run, and the arguments that all its requests have in common."""
    options = {name: given[name] for name in (*_BULK_OPTIONS, "budget", "on_progress")}
    for_each = {name: given[name] for name in ("budget", "max_cost", "timeout", "save_to")}
    known = {name: value for name, value in for_each.items() if value is not None}
    return options, {**known, **common}


def _split(request: Mapping[str, Any]) -> tuple[MediaRequest, WaitOptions]:
    """Separate what a request wants, how to wait for it, and the model's parameters."""
    if not request.get("model"):
        raise InvalidInputError("model is missing: it is the id of a model, or a Model.")
    known = {*_REQUEST_OPTIONS, *_WAIT_OPTIONS, "prompt", "params"}
    more = {name: value for name, value in request.items() if name not in known}
    params = merge_parameters(request.get("prompt"), request.get("params"), more)
    wanted = {name: request[name] for name in _REQUEST_OPTIONS if name in request}
    if not isinstance(wanted.get("budget"), Budget | None):
        raise InvalidInputError(
            f"budget must be a Budget, which counts from call to call, not {wanted['budget']!r}.",
            hint="To limit this call alone, pass max_cost.",
        )
    options = {name: request[name] for name in _WAIT_OPTIONS if name in request}
    return MediaRequest(params=params, **wanted), WaitOptions(**options)
