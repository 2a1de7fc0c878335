"""What `Media` and `AsyncMedia` share: settings, how a request is read, everything but the driving."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sized
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

from oxen_inference.catalog.models import Model
from oxen_inference.catalog.parameters import validate
from oxen_inference.catalog.pricing import Quote
from oxen_inference.effects import run
from oxen_inference.errors import InvalidInputError, OxenError
from oxen_inference.events import AsyncEvents, Events
from oxen_inference.ledger.budgets import USD, Budget, ListBudget, as_budget, read_amount
from oxen_inference.ledger.entries import Entry, Scope
from oxen_inference.ledger.polls import SharedPolling
from oxen_inference.ledger.store import Ledger, default_ledger
from oxen_inference.media import reconcile as reconciling
from oxen_inference.media import report
from oxen_inference.media.as_completed import check_requests, collect_all
from oxen_inference.media.background import AsyncBackgroundPoller, BackgroundPoller
from oxen_inference.media.bulk import Bulk
from oxen_inference.media.bulk_run import BulkOptions
from oxen_inference.media.engine import Engine, Task, WaitOptions
from oxen_inference.media.option_names import check_names, refuse_keywords
from oxen_inference.media.pace import Pace
from oxen_inference.media.poller import Poller
from oxen_inference.media.prepare import (
    MediaRequest,
    find_model,
    hub_of,
    merge_parameters,
    read_count,
    scope_of,
)
from oxen_inference.media.quotes import quote_call
from oxen_inference.media.results.download import MAX_BYTES, Source
from oxen_inference.media.results.through_client import HTTPClient
from oxen_inference.notebook import ShownList
from oxen_inference.options import (
    ALL_OPTIONS,
    CALL_OPTIONS,
    REQUEST_OPTIONS,
    RUN_OPTIONS,
    WAIT_OPTIONS,
)
from oxen_inference.price_caps import PriceCaps, read_price_caps
from oxen_inference.result import MediaResult, Progress
from oxen_inference.settings import missing_key
from oxen_inference.transport import AsyncSender, Sender

OnInterrupt = Literal["detach", "cancel"]
SaveTo = str | os.PathLike[str] | None
OnProgress = Callable[[Progress], Any] | None
AsyncOnProgress = Callable[[Progress], Any | Awaitable[Any]] | None

STATUSES = (
    "queued",
    "processing",
    "succeeded",
    "failed",
    "cancelled",
    "intended",
    "posting",
    "unknown",
    "rejected",
    "accepted",
)
"""What a job can be: its generations' statuses, or the request's own state where it has none."""


# A download has its own, and a second one of them would spoil it.
_OF_DOWNLOADS = re.compile(
    r"accept(-encoding)?|connection|content-\w+|host|range|if-\S+|te|trailer|transfer-encoding"
    r"|upgrade|user-agent",
    re.IGNORECASE,
)


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


class MediaBase:
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
        return self._account()

    def _account(self) -> Scope:
        # A key that a function returns is known only once it was asked for, and may change: the
        # account must be the same before and after, or the same key would be paid for twice.
        is_returned = getattr(self._client, "_api_key_provider", None) is not None
        return scope_of(str(self._client.base_url), None if is_returned else self._client.api_key)

    def _source(self) -> Source:
        return Source(
            hub=str(self._client.base_url),
            headers=_headers_for_hub(self._client),
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
        params: Mapping[str, Any],
        price_caps: PriceCaps | None,
        *,
        keywords: Iterable[str] = (),
        check: bool = True,
    ) -> Quote:
        known = await find_model(self._engine, model)
        refuse_keywords(keywords, known, "params={...}")
        given = dict(params)
        # A parameter of the queue, whatever the model's schema says of that name.
        count = read_count(known, given.pop("num_generations", None))
        checked = validate(known, given, partial=True) if check else given
        caps = read_price_caps(price_caps)
        return (await quote_call(self._engine, known, checked, 1, caps)).times(count)

    async def _forget_overruns(self, model: str | None) -> int:
        return await run(self._engine.forget_overruns, model)

    async def _reconcile(
        self, save_to: SaveTo, on_progress: Callable[[int, int], Any] | None
    ) -> list[Entry]:
        task = Task(options=WaitOptions(save_to=save_to))
        return await reconciling.reconcile(self._engine, task, save_to, on_progress)

    async def _jobs(
        self, status: str | None, budget: str | None, key_prefix: str | None
    ) -> list[Entry]:
        scope = self._account()
        # Without a key nothing says whose they are, so they are those of every key.
        whose = scope if self._client.has_key else None
        found = await run(lambda: self._engine.ledger.entries(whose, budget=budget))
        if status == "canceled":  # the wire spells it with two
            status = "cancelled"
        if status not in (None, *STATUSES) and not any(status in one.statuses for one in found):
            raise InvalidInputError(
                f"No job can have the status {status!r}.", hint=f"Use one of {', '.join(STATUSES)}."
            )
        return ShownList(
            entry
            for entry in found
            if entry.hub == scope.hub
            and (status is None or status in entry.statuses)
            and (key_prefix is None or (entry.key or "").startswith(key_prefix))
        )

    async def _report(
        self,
        path: str | os.PathLike[str],
        filters: Mapping[str, Any],
        on_progress: report.OnPart | None,
    ) -> Path:
        entries = await self._jobs(**filters)
        return await run(report.write, entries, path, on_progress)

    def _bulk(
        self,
        start: Callable[[Any, str], None],
        requests: object,
        options: Mapping[str, Any],
        common: Mapping[str, Any],
    ) -> Bulk:
        total = len(requests) if isinstance(requests, Sized) else None
        # An amount is one budget for the whole list.
        budget = as_budget(options["budget"], self._make_budget(options.get("key_prefix")))
        options = {**options, "budget": budget}
        common = {**common, "budget": budget}

        def read(request: Mapping[str, Any]) -> tuple[MediaRequest, WaitOptions]:
            return read_request(with_common(request, common))

        return Bulk(self._engine, BulkOptions(**options), read, start, total)

    def _make_budget(self, key_prefix: object) -> Callable[[USD], Budget] | None:
        """Return what makes a budget of an amount; None where each list has a new one."""
        if not isinstance(key_prefix, str):
            return None
        hub = self._engine.hub()
        return lambda limit: ListBudget(limit, key_prefix, hub)

    async def _generate_many(
        self,
        start: Callable[[Any, str], None],
        requests: Iterable[str | Mapping[str, Any]],
        given: Mapping[str, Any],
    ) -> list[MediaResult | OxenError]:
        check_names(given, ALL_OPTIONS, [given.get("model")])
        check_requests(requests)
        listed = list(requests)
        options = {name: given[name] for name in RUN_OPTIONS if name in given}
        common = {name: value for name, value in given.items() if name not in RUN_OPTIONS}
        options["budget"] = common.get("budget")
        options["on_progress"] = common.pop("on_progress", None)
        bulk = self._bulk(start, listed, options, common)
        return ShownList(await collect_all(bulk, listed))


def arguments_of(given: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's own keywords and the model's parameters as one request."""
    own = {name: value for name, value in given.items() if name not in ("self", "more")}
    return {**own, **more}


def for_all(
    given: Mapping[str, Any], common: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of a run, and the arguments that all its requests have in common.

    Raises `InvalidInputError` for a misspelled option.
    """
    check_names(common, ALL_OPTIONS, [common.get("model")])
    options = {name: given[name] for name in (*RUN_OPTIONS, "budget", "on_progress")}
    for_each = {name: given[name] for name in ("max_cost", "timeout", "save_to")}
    known = {name: value for name, value in for_each.items() if value is not None}
    return options, {**known, **common}


def read_submission(request: Mapping[str, Any]) -> tuple[MediaRequest, WaitOptions]:
    """Do what `read_request` does for a call that does not wait, and so saves nothing."""
    for name in ("save_to", "on_interrupt", "file_name"):
        if request.get(name) is not None:
            where = (
                "generate" if name == "file_name" else "wait() of the handle that submit returns"
            )
            raise InvalidInputError(
                f"submit does not wait for a result, and so has no use for {name}. Nothing was sent.",
                hint=f"Give it to {where}.",
            )
    return read_request(request)


def with_count(more: Mapping[str, Any], num_generations: int | None) -> dict[str, Any]:
    """Return parameters with the number of generations, where one was given."""
    given = {} if num_generations is None else {"num_generations": num_generations}
    return {**more, **given}


def with_common(request: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request with the arguments that all have in common; its own go before them.

    An option that is None in it, as in a row of a table, is one that it does not give. Of two
    `max_cost` the lower counts. Raises `InvalidInputError` for a second budget.
    """
    given = {n: v for n, v in request.items() if v is not None or n not in CALL_OPTIONS}
    merged = {**common, **given}
    shared, own = common.get("budget"), given.get("budget")
    if isinstance(shared, Budget) and isinstance(own, Budget) and not own.is_same(shared):
        raise InvalidInputError(
            f"A request has the budget {own!r}, and its list has {shared!r}. Nothing was sent.",
            hint="Give the budget to the list, or to each of its requests.",
        )
    limits = [each["max_cost"] for each in (common, given) if each.get("max_cost") is not None]
    if len(limits) > 1:
        merged["max_cost"] = min(read_amount(limit, "max_cost") for limit in limits)
    return merged


def read_request(request: Mapping[str, Any]) -> tuple[MediaRequest, WaitOptions]:
    """Separate what a request wants, how to wait for it, and the model's parameters."""
    if not request.get("model"):
        raise InvalidInputError("model is missing: it is the id of a model, or a Model.")
    more = {name: value for name, value in request.items() if name not in CALL_OPTIONS}
    check_names(more, CALL_OPTIONS)
    params = merge_parameters(request.get("prompt"), request.get("params"), more)
    wanted = {name: request[name] for name in REQUEST_OPTIONS if name in request}
    if not isinstance(wanted.get("budget"), Budget | None):
        raise InvalidInputError(
            f"budget must be a Budget, which counts from call to call, not {wanted['budget']!r}.",
            hint="To limit this call alone, pass max_cost. To limit several, make one Budget for them.",
        )
    options = {name: request[name] for name in WAIT_OPTIONS if name in request}
    return MediaRequest(params=params, keywords=tuple(more), **wanted), WaitOptions(**options)


def _headers_for_hub(client: MediaClient | AsyncMediaClient) -> dict[str, str]:
    """Return what a download from the hub itself is sent: the key, and the developer's headers."""
    given = {
        name: value
        for name, value in client._custom_headers.items()
        # Only some HTTP clients send other kinds, or more than ASCII: a paid file must not fail.
        if isinstance(name, str) and isinstance(value, str) and (name + value).isascii()
        if not _OF_DOWNLOADS.fullmatch(name)
    }
    names = {name.lower() for name in given}
    key = {name: value for name, value in client.auth_headers.items() if name.lower() not in names}
    return {**key, **given}
