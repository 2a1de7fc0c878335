"""The logic of `client.catalog`, written once: `facade` runs it, blocking or on an event loop.

Every method awaits the operations of `effects` only. However many callers need the same answer,
one of them fetches it (see `cache`).
"""

from __future__ import annotations

import logging
import threading
import warnings
from dataclasses import replace
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from oxen_inference.catalog import routes
from oxen_inference.catalog.cache import (
    EVERYTHING,
    Abandoned,
    CatalogCache,
    InFlight,
    Models,
    shared_cache,
)
from oxen_inference.catalog.deployments import (
    Claim,
    WaitForStatus,
    activate,
    activate_for,
    deactivate,
    release,
)
from oxen_inference.catalog.filters import ModelList, select
from oxen_inference.catalog.models import CatalogWarning, Model
from oxen_inference.catalog.suggestions import could_be_inactive, inactive, unknown_model
from oxen_inference.effects import Work, send, shield, wait_future, within
from oxen_inference.errors import APIStatusError, NotFoundError, OxenError
from oxen_inference.settings import missing_key
from oxen_inference.transport import AsyncSender, Call, Sender

log = logging.getLogger("oxen_inference")

T = TypeVar("T")

DEFAULT_TTL = 300.0
"""Seconds for which an answer counts as fresh: prices may change."""

_WAIT_FOR_LEADER = 40.0  # seconds to wait for another caller's fetch before leading one
_WAIT_FOR_IDS = 1.0  # seconds that an error is held up for the closest ids
_EXPLAIN_TIMEOUT = 10.0  # seconds that a request for a better error text may take


class CatalogBase:
    """The logic of both catalogs, over the operations of `effects`."""

    _blocks: ClassVar[bool]
    """Whether its driver blocks the thread, and an event loop that may run there."""

    def __init__(self, client: Sender | AsyncSender, *, ttl: float = DEFAULT_TTL) -> None:
        self._client = client
        self._paths = client.paths
        self._ttl = ttl

    @property
    def _cache(self) -> CatalogCache:
        # The key is read each time: openai's clients let it be assigned.
        key = getattr(self._client, "_api_key_provider", None) or self._client.api_key
        return shared_cache(str(self._client.base_url), key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._client!r})"

    def cached(self, model_id: str) -> Model | None:
        """Return what is known of a model, however old, or None. Never fetches, never blocks."""
        return self._cache.peek(model_id)

    def clear(self) -> None:
        """Forget what was fetched with this client's hub and key."""
        self._cache.forget()

    async def _list(self, **filters: Any) -> ModelList:
        by_hub = routes.filters_of_hub(self._paths, filters)
        models = await self._fetch(_key(EVERYTHING, by_hub), routes.list_call(self._paths, by_hub))
        return select(models, routes.other_filters(self._paths, filters), by_hub)

    async def _search(self, words: str) -> ModelList:
        filters = {"search": words}
        call = routes.search_call(self._paths, words)
        models = await self._fetch(_key("/models/search", filters), call)
        return select(models, routes.other_filters(self._paths, filters), filters)

    async def _featured(self) -> ModelList:
        return select(await self._fetch("/models/featured", routes.featured_call(self._paths)), {})

    async def _favorites(self) -> ModelList:
        models = await send(routes.favorites_call(self._paths))
        return ModelList(models, None if models else "no model is marked as a favorite")

    async def _get(self, model_id: str, *, live: bool) -> Model:
        model_id = routes.checked_id(model_id)
        call = routes.get_call(self._paths, model_id, live=live)
        known = None if live else self._known(model_id)
        if known is not None:
            return known
        try:
            if live:
                model = await send(call)
                self._cache.put(model)
                return model
            return (await self._fetch(f"{EVERYTHING}/{model_id}", _as_list(call)))[0]
        except NotFoundError as error:
            raise await self._explain(error, model_id) from None

    async def _refresh(self, model_id: str) -> Model:
        model = await send(routes.get_call(self._paths, routes.checked_id(model_id)))
        self._cache.put(model)
        return model

    async def _explain(self, error: APIStatusError, model_id: str) -> APIStatusError:
        try:
            if isinstance(error, NotFoundError) and self.cached(model_id) is None:
                known = self._cache.ids() or await within(_WAIT_FOR_IDS, self._fetch_ids())
                return unknown_model(error, model_id, known)
            if could_be_inactive(error, self.cached(model_id)):
                call = routes.get_call(self._paths, model_id, live=True)
                return inactive(error, await send(_for_error(call)))
        except (OxenError, TimeoutError) as other:
            log.debug("no better text for %r: %r", error, other)
        return error

    async def _fetch_ids(self) -> list[str]:
        call = _for_error(routes.list_call(self._paths))
        return [model.id for model in await self._fetch(EVERYTHING, call)]

    async def _prefetch(self) -> None:
        try:
            await self._fetch(EVERYTHING, routes.list_call(self._paths))
        except OxenError as error:
            # Whoever needs the catalog asks again, and gets the error.
            log.debug("the catalog could not be fetched ahead: %s", error)

    async def _change(self, call: Call[Model]) -> Model:
        self._cache.forget()
        try:
            return await send(call)
        finally:
            self._cache.forget()

    async def _deploy(self, model_id: str, work: Work[Model]) -> Model:
        try:
            if not self._client.has_key:
                work.close()
                raise missing_key(f"the deployment of {model_id}")
            return await work
        except NotFoundError as error:
            raise await self._explain(error, model_id) from None
        finally:
            self._cache.forget()

    async def _activate(self, model_id: str, waiting: WaitForStatus | None) -> Model:
        model_id = routes.checked_id(model_id)
        return await self._deploy(model_id, activate(self._paths, model_id, waiting))

    async def _deactivate(self, model_id: str, waiting: WaitForStatus | None) -> Model:
        model_id = routes.checked_id(model_id)
        return await self._deploy(model_id, deactivate(self._paths, model_id, waiting))

    async def _enter(self, claim: Claim, waiting: WaitForStatus) -> Model:
        model_id = routes.checked_id(claim.model_id)
        return await self._deploy(model_id, activate_for(self._paths, waiting, claim))

    async def _leave(self, claim: Claim) -> None:
        if claim.leave():
            await shield(release(self._paths, claim))
            self._cache.forget()

    async def _fetch(self, key: str, call: Call[list[Model]]) -> Models:
        """Return a fresh answer: the known one, another caller's, or the hub's."""
        while True:
            ticket = self._cache.join(key, self._ttl)
            in_flight = ticket.in_flight
            if in_flight is None:
                return ticket.models or ()
            if ticket.is_leader:
                return await self._lead(in_flight, call)
            if self._blocks and in_flight.thread == threading.get_ident():
                # Its leader is a task of the event loop that this call is blocking.
                own = await send(call)
                return tuple(own)
            try:
                return await wait_future(in_flight.result, _WAIT_FOR_LEADER)
            except (Abandoned, TimeoutError):
                self._cache.abandon(in_flight)

    async def _lead(self, in_flight: InFlight, call: Call[list[Model]]) -> Models:
        try:
            models = await send(call)
        except Exception as error:  # noqa: BLE001 - raised again, here and to those who wait
            return self._stale(in_flight, error)
        except BaseException:
            self._cache.abandon(in_flight)
            raise
        return self._cache.complete(in_flight, models)

    def _stale(self, in_flight: InFlight, error: Exception) -> Models:
        """Return the last answer in place of a failed fetch's. Raises `error` without one."""
        may_pass = isinstance(error, OxenError) and error.is_retryable
        answer = self._cache.fail(in_flight, error, may_be_stale=may_pass)
        if answer is None:
            raise error
        minutes = self._cache.age(answer) / 60
        warnings.warn(
            f"Oxen's catalog is {minutes:.0f} minutes old, since the hub does not answer: {error}",
            CatalogWarning,
            stacklevel=4,
        )
        return answer.models

    def _known(self, model_id: str) -> Model | None:
        """Return a fresh description, as full as the hub's answer for the one model would be."""
        single = self._cache.fresh(f"{EVERYTHING}/{model_id}", self._ttl)
        if single:
            return single[0]
        listed = self._cache.fresh(EVERYTHING, self._ttl) or ()
        found = next((model for model in listed if model.id == model_id), None)
        return found if found and (found.request_schema or found.is_chat) else None


def _as_list(call: Call[Model]) -> Call[list[Model]]:
    read = call.read
    return Call(
        method=call.method,
        path=call.path,
        query=call.query,
        timeout=call.timeout,
        read=lambda payload: [read(payload)],
    )


def _for_error(call: Call[T]) -> Call[T]:
    """Return a call that is worth less than the error it is to explain."""
    return replace(call, timeout=_EXPLAIN_TIMEOUT, max_retries=0)


def _key(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(sorted(query.items()))}" if query else path
