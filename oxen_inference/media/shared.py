"""What the sync and the async form of `client.media` have in common: all but the running."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from oxen_inference.catalog import pricing, request_schema
from oxen_inference.catalog.models import Model
from oxen_inference.catalog.pricing import Quote
from oxen_inference.errors import InvalidInputError, OxenError
from oxen_inference.ledger.budgets import Budget
from oxen_inference.ledger.store import Entry, Ledger, Scope, default_ledger
from oxen_inference.media import engine as media_engine
from oxen_inference.media import reconcile as media_reconcile
from oxen_inference.media.download import MAX_BYTES, Source
from oxen_inference.media.pace import Pace
from oxen_inference.media.request import Asked, merge, scope_of
from oxen_inference.media.steps import GetModel, Steps, run
from oxen_inference.media.task import Engine, Task, Wishes
from oxen_inference.media.watch import Watch
from oxen_inference.result import MediaResult, Progress

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


class SharedMedia(ABC):
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
        given = client._oxen_ledger  # the client keeps it under a name of its own
        if given is _UNSET:
            given = default_ledger()
        self._client = client
        self._watch = Watch(client.paths, self._own_pace)
        self._engine = Engine(
            paths=client.paths,
            ledger=Ledger.of(given),
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
    def ledger(self) -> Ledger:
        """The ledger in use."""
        return self._engine.ledger

    @abstractmethod
    def _watching(self) -> None: ...

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
        return (yield from media_reconcile.reconcile(self._engine, task, save_to))

    def _jobs(self) -> Steps[list[Entry]]:
        return (yield from run(lambda: self._engine.ledger.entries(self._scope())))

    def _many(
        self, requests: Iterable[Mapping[str, Any]], common: Mapping[str, Any]
    ) -> Steps[list[MediaResult | OxenError]]:
        checked: list[tuple[Asked, Wishes] | OxenError] = []
        for request in requests:
            try:
                checked.append(split({**common, **request}))
            except OxenError as error:  # noqa: PERF203 - one request's failure is its own
                checked.append(error)
        return (yield from media_engine.generate_many(self._engine, checked))


def arguments_of(given: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """A call's own keywords and the model's parameters beside them, as one request."""
    own = {name: value for name, value in given.items() if name not in ("self", "more")}
    return {**own, **more}


def split(request: Mapping[str, Any]) -> tuple[Asked, Wishes]:
    """Tell apart what a request asks for, how to wait for it, and the model's parameters."""
    if not request.get("model"):
        raise InvalidInputError("model is missing: the id of a model, or a Model.")
    known = {*_ASKED, *_WISHES, "prompt", "params"}
    more = {name: value for name, value in request.items() if name not in known}
    params = merge(request.get("prompt"), request.get("params"), more)
    asked = {name: request[name] for name in _ASKED if name in request}
    if not isinstance(asked.get("budget"), Budget | None):
        raise InvalidInputError(
            f"budget must be a Budget, which keeps count from call to call, not "
            f"{asked['budget']!r}. For a limit to this call alone there is max_cost."
        )
    wishes = {name: request[name] for name in _WISHES if name in request}
    return Asked(params=params, **asked), Wishes(**wishes)
