"""Images, videos and audio, paid for once: `OxenClient.media` and its asynchronous twin.

See docs/money.md for what is promised and what is not. The logic is in `media_engine`; here it
is offered to people, and run.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from oxen_inference.catalog import pricing, request_schema
from oxen_inference.catalog.models import Model
from oxen_inference.catalog.pricing import Quote
from oxen_inference.errors import InvalidInputError, OxenError
from oxen_inference.media import engine as media_engine
from oxen_inference.media import ledger as media_ledger
from oxen_inference.media import sending, waiting
from oxen_inference.media.budget import Amount, Budget
from oxen_inference.media.download import MAX_BYTES, Source
from oxen_inference.media.journal import Entry, Journal, Scope, default_journal
from oxen_inference.media.request import Asked, merge, scope_of
from oxen_inference.media.result import MediaResult, Progress
from oxen_inference.media.runner import AsyncRunner, Runner
from oxen_inference.media.steps import GetModel, Steps, run
from oxen_inference.media.task import Engine, Task, Wishes
from oxen_inference.media.watch import Pace, Watch
from oxen_inference.media.watchers import AsyncWatcher, Watcher

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient, OxenClient

__all__ = ["AsyncMedia", "AsyncMediaHandle", "Media", "MediaHandle", "Pace"]

OnInterrupt = Literal["detach", "cancel"]
SaveTo = str | os.PathLike[str] | None
Listener = Callable[[Progress], Any] | None
AsyncListener = Callable[[Progress], Any | Awaitable[Any]] | None

_ASKED = frozenset(
    {
        "model",
        "key",
        "conversation",
        "max_cost",
        "budget",
        "allow_unknown_cost",
        "direct",
        "allow_paths",
    }
)
_WISHES = frozenset({"timeout", "on_interrupt", "save_to", "on_progress"})


class _Shared:
    """What the sync and the async form have in common.

    `pace` says how patient to be; `allowed_hosts` which private hosts (``name`` or
    ``name:port``) results may be fetched from; `max_download_bytes` how large one may be.
    """

    pace: Pace
    allowed_hosts: set[str]
    max_download_bytes: int
    _engine: Engine

    def __init__(self, client: Any, new_event: Callable[[], Any]) -> None:
        from oxen_inference.client import _UNSET

        self.pace = Pace()
        self.allowed_hosts = set()
        self.max_download_bytes = MAX_BYTES
        given = client._oxen_journal  # the client keeps it under a name of its own
        if given is _UNSET:
            given = default_journal()
        self._client = client
        self._watch = Watch(client.paths, self._own_pace)
        self._engine = Engine(
            paths=client.paths,
            journal=Journal.of(given),
            scope=self._scope,
            pace=self._own_pace,
            watch=self._watch,
            watching=self._watching,
            new_event=new_event,
            source=self._source,
            client_timeout=client.timeout,
            max_retries=client.max_retries,
        )

    @property
    def journal(self) -> Journal:
        """The ledger in use."""
        return self._engine.journal

    def _watching(self) -> None:
        raise NotImplementedError

    def _own_pace(self) -> Pace:
        limit = self._client.timeout
        if isinstance(limit, int | float) and limit < self.pace.poll_timeout:
            return replace(self.pace, poll_timeout=float(limit))
        return self.pace

    def _scope(self) -> Scope:
        return scope_of(str(self._client.base_url), self._client.api_key)

    def _source(self) -> Source:
        return Source(
            hub=str(self._client.base_url),
            headers=self._client.auth_headers,
            allowed_hosts=self.allowed_hosts,
            max_bytes=self.max_download_bytes,
        )

    def _quote(
        self, model: str | Model, num_generations: int, params: Mapping[str, Any]
    ) -> Steps[Quote]:
        known = model if isinstance(model, Model) else (yield GetModel(model))
        checked = request_schema.validate(known, params, partial=True)
        return pricing.quote(known, checked, num_generations)

    def _reconcile(self, save_to: SaveTo) -> Steps[list[Entry]]:
        task = Task(wishes=Wishes(save_to=save_to))
        return (yield from media_ledger.reconcile(self._engine, task, save_to))

    def _jobs(self) -> Steps[list[Entry]]:
        return (yield from run(lambda: self._engine.journal.entries(self._scope())))

    def _many(
        self, requests: Iterable[Mapping[str, Any]], common: Mapping[str, Any]
    ) -> Steps[list[MediaResult | OxenError]]:
        checked: list[tuple[Asked, Wishes] | OxenError] = []
        for request in requests:
            try:
                checked.append(_split({**common, **request}))
            except OxenError as error:  # noqa: PERF203 - one request's failure is its own
                checked.append(error)
        return (yield from media_engine.generate_many(self._engine, checked))


class Media(_Shared):
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
            media_engine.generate(self._engine, *_split(_arguments(locals(), more)))
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
        asked, wishes = _split(_arguments(locals(), more))
        return MediaHandle(
            self, self._runner.run(media_engine.submit(self._engine, asked, wishes)), budget
        )

    def begun(self, **request: Any) -> MediaHandle | None:
        """Return the job that `generate` with these arguments would attach to, by its key or its
        conversation; None if it would be paid for anew. Sends nothing paid.
        """
        asked, _ = _split(request)
        entry = self._runner.run(sending.begun(self._engine, asked))
        return None if entry is None else MediaHandle(self, entry, asked.budget)

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
        steps = media_ledger.find(self._engine, key, entry_id, generation_ids)
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
        """Say that a request of unknown outcome made nothing: its money is given back."""
        return self._runner.run(media_ledger.forget(self._engine, entry_id))

    def adopt(self, entry_id: str, generation_ids: Sequence[str]) -> MediaHandle:
        """Say which generations a request of unknown outcome became."""
        steps = media_ledger.adopt(self._engine, entry_id, generation_ids)
        return MediaHandle(self, self._runner.run(steps))


class AsyncMedia(_Shared):
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
            media_engine.generate(self._engine, *_split(_arguments(locals(), more)))
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
        asked, wishes = _split(_arguments(locals(), more))
        entry = await self._runner.run(media_engine.submit(self._engine, asked, wishes))
        return AsyncMediaHandle(self, entry, budget)

    async def begun(self, **request: Any) -> AsyncMediaHandle | None:
        """See `Media.begun`."""
        asked, _ = _split(request)
        entry = await self._runner.run(sending.begun(self._engine, asked))
        return None if entry is None else AsyncMediaHandle(self, entry, asked.budget)

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
        steps = media_ledger.find(self._engine, key, entry_id, generation_ids)
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
        return await self._runner.run(media_ledger.forget(self._engine, entry_id))

    async def adopt(self, entry_id: str, generation_ids: Sequence[str]) -> AsyncMediaHandle:
        """See `Media.adopt`."""
        steps = media_ledger.adopt(self._engine, entry_id, generation_ids)
        return AsyncMediaHandle(self, await self._runner.run(steps))


class _SharedHandle:
    """A job in the ledger, as it was when last looked at."""

    def __init__(self, media: Any, entry: Entry, budget: Budget | None = None) -> None:
        self._media = media
        self._entry = entry
        self._budget = budget

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.generation_ids) or self._entry.state})"

    @property
    def entry_id(self) -> str:
        return self._entry.entry_id

    @property
    def key(self) -> str | None:
        return self._entry.key

    @property
    def model(self) -> str:
        return self._entry.model

    @property
    def generation_ids(self) -> tuple[str, ...]:
        return self._entry.generation_ids

    @property
    def result(self) -> MediaResult:
        """What was known when it was last asked for; sends nothing."""
        return self._entry.result()

    def _collect(self, wishes: Wishes) -> Steps[MediaResult]:
        engine: Engine = self._media._engine
        result = yield from media_engine.collect(engine, self._entry, wishes, self._budget)
        self._entry = (yield from run(self._media.journal.get, self.entry_id)) or self._entry
        return result

    def _refresh(self, *, cancel: bool = False) -> Steps[MediaResult]:
        engine: Engine = self._media._engine
        self._entry = yield from sending.decided(engine, self._entry, Task(wishes=Wishes()))
        steps = waiting.cancel(engine, self._entry) if cancel else engine.refresh(self._entry)
        self._entry = yield from steps
        self._entry = yield from engine.write(
            self._entry, Task(wishes=Wishes(), budget=self._budget)
        )
        return self.result


class MediaHandle(_SharedHandle):
    """A paid job under way: ask for it, wait for it, or stop it."""

    def status(self) -> MediaResult:
        """Ask the hub, once, how far the job is."""
        result: MediaResult = self._media._runner.run(self._refresh())
        return result

    def wait(
        self,
        timeout: float | None = None,
        *,
        on_interrupt: OnInterrupt = "detach",
        save_to: SaveTo = None,
        on_progress: Listener = None,
    ) -> MediaResult:
        """Wait until it has ended and fetch it. Raises what `Media.generate` raises."""
        wishes = Wishes(
            timeout=timeout, on_interrupt=on_interrupt, save_to=save_to, on_progress=on_progress
        )
        result: MediaResult = self._media._runner.run(self._collect(wishes))
        return result

    def cancel(self) -> MediaResult:
        """Ask the hub to stop it; return what really happened, since it may have finished."""
        result: MediaResult = self._media._runner.run(self._refresh(cancel=True))
        return result


class AsyncMediaHandle(_SharedHandle):
    """A paid job under way: ask for it, wait for it, or stop it."""

    async def status(self) -> MediaResult:
        """Ask the hub, once, how far the job is."""
        result: MediaResult = await self._media._runner.run(self._refresh())
        return result

    async def wait(
        self,
        timeout: float | None = None,
        *,
        on_interrupt: OnInterrupt = "detach",
        save_to: SaveTo = None,
        on_progress: AsyncListener = None,
    ) -> MediaResult:
        """Wait until it has ended and fetch it. Raises what `Media.generate` raises."""
        wishes = Wishes(
            timeout=timeout, on_interrupt=on_interrupt, save_to=save_to, on_progress=on_progress
        )
        result: MediaResult = await self._media._runner.run(self._collect(wishes))
        return result

    async def cancel(self) -> MediaResult:
        """Ask the hub to stop it; return what really happened, since it may have finished."""
        result: MediaResult = await self._media._runner.run(self._refresh(cancel=True))
        return result


def _arguments(given: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """A call's own keywords and the model's parameters beside them, as one request."""
    own = {name: value for name, value in given.items() if name not in ("self", "more")}
    return {**own, **more}


def _split(request: Mapping[str, Any]) -> tuple[Asked, Wishes]:
    """Tell apart what a request asks for, how to wait for it, and the model's parameters."""
    if not request.get("model"):
        raise InvalidInputError("model is missing: the id of a model, or a Model.")
    known = {*_ASKED, *_WISHES, "prompt", "params"}
    more = {name: value for name, value in request.items() if name not in known}
    params = merge(request.get("prompt"), request.get("params"), more)
    asked = {name: request[name] for name in _ASKED if name in request}
    wishes = {name: request[name] for name in _WISHES if name in request}
    return Asked(params=params, **asked), Wishes(**wishes)
