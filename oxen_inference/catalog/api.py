"""The catalog: every model there is, fetched once for everyone, and custom ones deployed.

Answers are shared by all clients of one hub and key in the process for `ttl` seconds. When the
hub is down the last answer is used, and a `CatalogWarning` says how old it is. Nothing is
fetched before it is asked for.
"""

from __future__ import annotations

import builtins
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from oxen_inference.catalog import calls
from oxen_inference.catalog.async_api import AsyncCatalog
from oxen_inference.catalog.cache import EVERYTHING, Abandoned, Flight, Models, clear_cache
from oxen_inference.catalog.claims import Claim
from oxen_inference.catalog.deployments import (
    Progress,
    Waiting,
    activation,
    deactivation,
    occupation,
    release,
)
from oxen_inference.catalog.model_list import ModelList, select
from oxen_inference.catalog.models import CatalogWarning, Model
from oxen_inference.catalog.shared import (
    DEFAULT_TTL,
    HURRY,
    LOG,
    PATIENCE,
    SharedCatalog,
    as_list,
    hurried,
    key_of,
    waiting_for,
)
from oxen_inference.catalog.unknown_model import could_be_inactive, inactive, unknown_model
from oxen_inference.drivers import BlockingDriver
from oxen_inference.effects import Work, shield
from oxen_inference.errors import APIStatusError, APITimeoutError, NotFoundError, OxenError
from oxen_inference.transport import Call

if TYPE_CHECKING:
    from oxen_inference.client import OxenClient

__all__ = ["DEFAULT_TTL", "AsyncCatalog", "Catalog", "clear_cache"]


class Catalog(SharedCatalog):
    """`OxenClient.catalog`."""

    _client: OxenClient

    def list(
        self,
        *,
        developer: str | None = None,
        provider: str | None = None,
        action: str | None = None,
        input: str | None = None,  # noqa: A002 - the API's own word
        output: str | None = None,
        method: str | None = None,
        deployed: bool | None = None,
    ) -> ModelList:
        """Return the models that pass every filter given.

        `action`: a kind of fine-tuning; `input`, `output`: a modality; `method`: of pricing;
        `deployed`: custom models that are, or are not, active. An empty list says why.
        """
        filters = {
            "developer": developer,
            "provider": provider,
            "action": action,
            "input": input,
            "output": output,
            "method": method,
            "deployed": deployed,
        }
        asked = calls.known_filters(self._client.paths, filters)
        models = self._fetch(key_of(EVERYTHING, asked), calls.list_call(self._client.paths, asked))
        return select(models, calls.filters_here(self._client.paths, filters), asked)

    def search(self, words: str) -> ModelList:
        """Return the models whose name fits `words`."""
        asked = {"search": words}
        call = calls.search_call(self._client.paths, words)
        models = self._fetch(key_of("/models/search", asked), call)
        return select(models, calls.filters_here(self._client.paths, asked), asked)

    def featured(self) -> ModelList:
        """Return the models the hub puts forward."""
        return select(self._fetch("/models/featured", calls.featured_call(self._client.paths)), {})

    def favorites(self) -> ModelList:
        """Return the models the key's owner marked."""
        models = self._client.send(calls.favorites_call(self._client.paths))
        return ModelList(models, None if models else "no model is marked as a favorite")

    def get(self, model_id: str, *, live: bool = False) -> Model:
        """Return one model; `live` asks the provider for its deployment's status.

        Raises `ModelNotFoundError`, with the closest ids in `suggestions`.
        """
        model_id = calls.checked_id(model_id)
        call = calls.get_call(self._client.paths, model_id, live=live)
        known = None if live else self._known(model_id)
        if known is not None:
            return known
        try:
            if live:
                model = self._client.send(call)
                self._cache.put(model)
                return model
            return self._fetch(f"{EVERYTHING}/{model_id}", as_list(call))[0]
        except NotFoundError as error:
            raise self.explain(error, model_id) from None

    def explain(self, error: APIStatusError, model_id: str) -> APIStatusError:
        """Return the error that says what a refused call to `model_id` lacks, or `error` itself.

        An unknown model gets the closest ids, an inactive custom one says how to activate it.
        May ask the hub, for ten seconds at most: for errors only, never on the way of a success.
        """
        try:
            if isinstance(error, NotFoundError) and self.cached(model_id) is None:
                known = self._cache.ids() or self._ids_in_a_hurry()
                return unknown_model(error, model_id, known)
            if could_be_inactive(error, self.cached(model_id)):
                call = calls.get_call(self._client.paths, model_id, live=True)
                return inactive(error, self._client.send(hurried(call)))
        except OxenError as other:
            LOG.debug("no better words for %r: %s", error, other)
        return error

    def favorite(self, model_id: str) -> Model:
        """Mark a model."""
        return self._change(calls.favorite_call(self._client.paths, model_id))

    def unfavorite(self, model_id: str) -> Model:
        """Unmark a model."""
        return self._change(calls.unfavorite_call(self._client.paths, model_id))

    def update(self, model_id: str, **changes: Any) -> Model:
        """Change a custom model's fields, as `display_name` or `description`."""
        return self._change(calls.update_call(self._client.paths, model_id, changes))

    def delete(self, model_id: str) -> Model:
        """Delete a custom model."""
        return self._change(calls.delete_call(self._client.paths, model_id))

    def activate(
        self,
        model_id: str,
        *,
        wait: bool = False,
        timeout: float = 900.0,
        poll_every: float = 2.0,
        on_progress: Progress | None = None,
    ) -> Model:
        """Bring a custom model up, and with `wait` return when it is active. It bills until
        `deactivate`; `deployed` does not forget that.

        Seconds. Raises `InvalidInputError` for a base model, `DeploymentError`.
        """
        waiting = waiting_for(wait, timeout, poll_every, on_progress)
        return self._deploy(model_id, activation(self._client.paths, model_id, waiting))

    def deactivate(
        self,
        model_id: str,
        *,
        wait: bool = False,
        timeout: float = 900.0,
        poll_every: float = 2.0,
        on_progress: Progress | None = None,
    ) -> Model:
        """Bring a custom model down, and with `wait` return when it is. Raises `DeploymentError`."""
        waiting = waiting_for(wait, timeout, poll_every, on_progress)
        return self._deploy(model_id, deactivation(self._client.paths, model_id, waiting))

    @contextmanager
    def deployed(
        self,
        model_id: str,
        *,
        timeout: float = 900.0,
        poll_every: float = 2.0,
        on_progress: Progress | None = None,
    ) -> Iterator[Model]:
        """Have a custom model active inside the block; what this activated is deactivated after.

        Whatever happens inside: if deactivating fails, that is raised, or warned of where
        another error is on its way. A model that was active before stays so; of several blocks
        at the same time in this process, the last deactivates it.
        """
        claim = Claim(str(self._client.base_url), model_id)
        waiting = Waiting(timeout=timeout, poll_every=poll_every, on_progress=on_progress)
        try:
            yield self._deploy(model_id, occupation(self._client.paths, waiting, claim))
        except BaseException:
            try:
                self._release(claim)
            except OxenError as error:
                warnings.warn(str(error), CatalogWarning, stacklevel=3)
            raise
        self._release(claim)

    def prefetch(self) -> None:
        """Fetch the whole list in the background; returns at once."""
        if self._cache.fresh(EVERYTHING, self._ttl) is None:
            threading.Thread(target=self._fetch_quietly, name="oxen-catalog", daemon=True).start()

    def _fetch(self, key: str, call: Call[builtins.list[Model]]) -> Models:
        while True:
            seat = self._cache.board(key, self._ttl)
            if seat.flight is None:
                return seat.models or ()
            if seat.is_pilot:
                return self._pilot(seat.flight, call)
            if seat.flight.thread == threading.get_ident():
                # Its pilot is a task of the event loop that this call is blocking.
                own = self._client.send(call)
                return tuple(own)
            try:
                return seat.flight.landing.result(PATIENCE)
            except (Abandoned, FutureTimeoutError):
                self._cache.abandon(seat.flight)

    def _pilot(self, flight: Flight, call: Call[builtins.list[Model]]) -> Models:
        try:
            models = self._client.send(call)
        except Exception as error:  # noqa: BLE001 - raised again, here and to those waiting
            return self._stale(flight, error)
        except BaseException:
            self._cache.abandon(flight)
            raise
        return self._cache.land(flight, models)

    def _fetch_quietly(self) -> None:
        try:
            self._fetch(EVERYTHING, calls.list_call(self._client.paths))
        except OxenError as error:
            # Whoever needs the catalog will ask again, and be told.
            LOG.debug("the catalog could not be fetched ahead: %s", error)

    def _ids_in_a_hurry(self) -> builtins.list[str]:
        # In a thread: a fetch already on its way, which this joins, may be in no hurry at all.
        found: Future[Models] = Future()

        def fetch() -> None:
            try:
                found.set_result(
                    self._fetch(EVERYTHING, hurried(calls.list_call(self._client.paths)))
                )
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                found.set_exception(error)

        threading.Thread(target=fetch, name="oxen-catalog-ids", daemon=True).start()
        try:
            return [model.id for model in found.result(HURRY)]
        except FutureTimeoutError:
            raise APITimeoutError("The catalog took too long for an error.") from None

    def _change(self, call: Call[Model]) -> Model:
        self._cache.forget()
        try:
            return self._client.send(call)
        finally:
            self._cache.forget()

    def _deploy(self, model_id: str, work: Work[Model]) -> Model:
        model_id = calls.checked_id(model_id)
        try:
            return BlockingDriver(self._client).run(work)
        except NotFoundError as error:
            raise self.explain(error, model_id) from None
        finally:
            self._cache.forget()

    def _release(self, claim: Claim) -> None:
        if claim.leave():
            BlockingDriver(self._client).run(_shielded(release(self._client.paths, claim)))
            self._cache.forget()


async def _shielded(work: Work[None]) -> None:
    await shield(work)
