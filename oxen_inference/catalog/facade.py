"""`client.catalog`: every model there is, fetched once for everyone, and custom ones deployed.

Answers are shared by all clients of one hub and key in the process for `ttl` seconds. When the
hub is down the last answer is used, and a `CatalogWarning` says how old it is. Nothing is fetched
before it is asked for. The logic is in `base`; here it is only run.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from oxen_inference.catalog import routes
from oxen_inference.catalog.base import DEFAULT_TTL, CatalogBase
from oxen_inference.catalog.cache import EVERYTHING
from oxen_inference.catalog.deployments import Claim, OnStatus, WaitForStatus
from oxen_inference.catalog.filters import ModelList
from oxen_inference.catalog.models import CatalogWarning, Model
from oxen_inference.drivers import AsyncDriver, BlockingDriver
from oxen_inference.errors import APIStatusError, InvalidInputError, OxenError
from oxen_inference.transport import AsyncSender, Sender


class Catalog(CatalogBase):
    """`OxenClient.catalog`."""

    _blocks = True

    def __init__(self, client: Sender, *, ttl: float = DEFAULT_TTL) -> None:
        super().__init__(client, ttl=ttl)
        self._driver = BlockingDriver(client)

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
        return self._driver.run(self._list(**_filters(locals())))

    def search(self, words: str) -> ModelList:
        """Return the models whose name fits `words`."""
        return self._driver.run(self._search(words))

    def featured(self) -> ModelList:
        """Return the models the hub puts forward."""
        return self._driver.run(self._featured())

    def favorites(self) -> ModelList:
        """Return the models that the key's owner marked."""
        return self._driver.run(self._favorites())

    def get(self, model_id: str, *, live: bool = False) -> Model:
        """Return one model; `live` asks the provider for its deployment's status.

        Raises `ModelNotFoundError`, with the closest ids in `suggestions`.
        """
        return self._driver.run(self._get(model_id, live=live))

    def refresh(self, model_id: str) -> Model:
        """Return one model as the hub describes it now, whatever is known of it."""
        return self._driver.run(self._refresh(model_id))

    def explain(self, error: APIStatusError, model_id: str) -> APIStatusError:
        """Return a better error for a refused call to `model_id`, or `error` itself.

        An unknown model gets the closest ids, an inactive custom one says how to activate it.
        May ask the hub, for ten seconds at most: for errors only, never before a success.
        """
        return self._driver.run(self._explain(error, model_id))

    def favorite(self, model_id: str) -> Model:
        """Mark a model."""
        return self._driver.run(self._change(routes.favorite_call(self._paths, model_id)))

    def unfavorite(self, model_id: str) -> Model:
        """Unmark a model."""
        return self._driver.run(self._change(routes.unfavorite_call(self._paths, model_id)))

    def update(self, model_id: str, **changes: Any) -> Model:
        """Change a custom model's fields, such as `display_name` or `description`."""
        return self._driver.run(self._change(routes.update_call(self._paths, model_id, changes)))

    def delete(self, model_id: str) -> Model:
        """Delete a custom model."""
        return self._driver.run(self._change(routes.delete_call(self._paths, model_id)))

    def activate(
        self,
        model_id: str,
        *,
        wait: bool = False,
        timeout: float = 900.0,
        poll_every: float = 2.0,
        on_progress: OnStatus | None = None,
    ) -> Model:
        """Activate a custom model, and with `wait` return when it is active.

        It is billed until `deactivate`, which `deployed` calls for you. Times in seconds. Raises
        `InvalidInputError` for a base model, `DeploymentError`.
        """
        waiting = _waiting(wait, timeout, poll_every, on_progress)
        return self._driver.run(self._activate(model_id, waiting))

    def deactivate(
        self,
        model_id: str,
        *,
        wait: bool = False,
        timeout: float = 900.0,
        poll_every: float = 2.0,
        on_progress: OnStatus | None = None,
    ) -> Model:
        """Deactivate a custom model, and with `wait` return when it is inactive.

        Raises `DeploymentError`.
        """
        waiting = _waiting(wait, timeout, poll_every, on_progress)
        return self._driver.run(self._deactivate(model_id, waiting))

    @contextmanager
    def deployed(
        self,
        model_id: str,
        *,
        timeout: float = 900.0,
        poll_every: float = 2.0,
        on_progress: OnStatus | None = None,
    ) -> Iterator[Model]:
        """Have a custom model active inside the block; what this activated is deactivated after.

        Whatever happens inside: if deactivating fails, that is raised, or warned of where another
        error is on its way. A model that was active before stays active; of several blocks at the
        same time in this process, the last one deactivates it.
        """
        claim = Claim(str(self._client.base_url), model_id)
        waiting = WaitForStatus(timeout=timeout, poll_every=poll_every, on_status=on_progress)
        try:
            yield self._driver.run(self._enter(claim, waiting))
        except BaseException:
            try:
                self._driver.run(self._leave(claim))
            except OxenError as error:
                warnings.warn(str(error), CatalogWarning, stacklevel=3)
            raise
        self._driver.run(self._leave(claim))

    def prefetch(self) -> None:
        """Fetch the whole list in the background; returns at once."""
        if self._cache.fresh(EVERYTHING, self._ttl) is None:
            self._driver.start(self._prefetch(), "oxen-catalog")


class AsyncCatalog(CatalogBase):
    """`AsyncOxenClient.catalog`: the asynchronous twin of `Catalog`."""

    _blocks = False

    def __init__(self, client: AsyncSender, *, ttl: float = DEFAULT_TTL) -> None:
        super().__init__(client, ttl=ttl)
        self._driver = AsyncDriver(client)

    async def list(
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
        """See `Catalog.list`."""
        return await self._driver.run(self._list(**_filters(locals())))

    async def search(self, words: str) -> ModelList:
        """See `Catalog.search`."""
        return await self._driver.run(self._search(words))

    async def featured(self) -> ModelList:
        """See `Catalog.featured`."""
        return await self._driver.run(self._featured())

    async def favorites(self) -> ModelList:
        """See `Catalog.favorites`."""
        return await self._driver.run(self._favorites())

    async def get(self, model_id: str, *, live: bool = False) -> Model:
        """See `Catalog.get`."""
        return await self._driver.run(self._get(model_id, live=live))

    async def refresh(self, model_id: str) -> Model:
        """See `Catalog.refresh`."""
        return await self._driver.run(self._refresh(model_id))

    async def explain(self, error: APIStatusError, model_id: str) -> APIStatusError:
        """See `Catalog.explain`."""
        return await self._driver.run(self._explain(error, model_id))

    async def favorite(self, model_id: str) -> Model:
        """See `Catalog.favorite`."""
        return await self._driver.run(self._change(routes.favorite_call(self._paths, model_id)))

    async def unfavorite(self, model_id: str) -> Model:
        """See `Catalog.unfavorite`."""
        return await self._driver.run(self._change(routes.unfavorite_call(self._paths, model_id)))

    async def update(self, model_id: str, **changes: Any) -> Model:
        """See `Catalog.update`."""
        call = routes.update_call(self._paths, model_id, changes)
        return await self._driver.run(self._change(call))

    async def delete(self, model_id: str) -> Model:
        """See `Catalog.delete`."""
        return await self._driver.run(self._change(routes.delete_call(self._paths, model_id)))

    async def activate(
        self,
        model_id: str,
        *,
        wait: bool = False,
        timeout: float = 900.0,
        poll_every: float = 2.0,
        on_progress: OnStatus | None = None,
    ) -> Model:
        """See `Catalog.activate`."""
        waiting = _waiting(wait, timeout, poll_every, on_progress)
        return await self._driver.run(self._activate(model_id, waiting))

    async def deactivate(
        self,
        model_id: str,
        *,
        wait: bool = False,
        timeout: float = 900.0,
        poll_every: float = 2.0,
        on_progress: OnStatus | None = None,
    ) -> Model:
        """See `Catalog.deactivate`."""
        waiting = _waiting(wait, timeout, poll_every, on_progress)
        return await self._driver.run(self._deactivate(model_id, waiting))

    @asynccontextmanager
    async def deployed(
        self,
        model_id: str,
        *,
        timeout: float = 900.0,
        poll_every: float = 2.0,
        on_progress: OnStatus | None = None,
    ) -> AsyncIterator[Model]:
        """See `Catalog.deployed`."""
        claim = Claim(str(self._client.base_url), model_id)
        waiting = WaitForStatus(timeout=timeout, poll_every=poll_every, on_status=on_progress)
        try:
            yield await self._driver.run(self._enter(claim, waiting))
        except BaseException:
            try:
                await self._driver.run(self._leave(claim))
            except OxenError as error:
                warnings.warn(str(error), CatalogWarning, stacklevel=3)
            raise
        await self._driver.run(self._leave(claim))

    def prefetch(self) -> None:
        """Fetch the whole list in the background; returns at once. Needs a running event loop."""
        if self._cache.fresh(EVERYTHING, self._ttl) is None:
            self._driver.start(self._prefetch(), "oxen-catalog")


def _filters(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != "self"}


def _waiting(
    wait: bool, timeout: float, poll_every: float, on_status: OnStatus | None
) -> WaitForStatus | None:
    if not wait:
        given = {
            "timeout": timeout != 900.0,
            "poll_every": poll_every != 2.0,
            "on_progress": on_status,
        }
        if said := [name for name, is_given in given.items() if is_given]:
            raise InvalidInputError(
                f"{said[0]} has no use where nothing is waited for. Nothing was sent.",
                hint="Pass wait=True, or leave it out.",
            )
        return None
    return WaitForStatus(timeout=timeout, poll_every=poll_every, on_status=on_status)
