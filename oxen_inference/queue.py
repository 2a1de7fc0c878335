"""The queue as the hub offers it. Every submit is a new paid job.

`client.media` is the safe way to pay: it records, budgets, waits and downloads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from oxen_inference.errors import APIResponseError, NotFoundError
from oxen_inference.generation import Generation
from oxen_inference.generation_reading import count_rows, read_generation, read_generations
from oxen_inference.money import read_money
from oxen_inference.options import refuse_options
from oxen_inference.paths import Paths, fill
from oxen_inference.transport import AsyncSender, Call, Sender


@dataclass(frozen=True, slots=True)
class GenerationsPage:
    """One page of `/generations`, newest state of each row, with what the whole filter cost.

    Iterating it gives its generations.
    """

    generations: list[Generation]
    page_number: int
    total_pages: int | None
    """None where the hub does not say."""
    total_cost: Decimal | None
    is_last: bool
    """Whether no page follows. Where the hub states no number of pages, a full one is not the last."""

    def __iter__(self) -> Iterator[Generation]:
        return iter(self.generations)


def submit_call(paths: Paths, model: str, **params: Any) -> Call[list[Generation]]:
    """Enqueue a paid job; sent once, never retried, since the queue has no idempotency key.

    Raises `InvalidInputError` for an option of other calls, which would be sent as a parameter.
    """
    refuse_options(params)
    body = {"model": model, **params}
    return Call(method="post", path=paths.queue, body=body, read=read_generations, once=True)


def get_call(paths: Paths, generation_id: str) -> Call[Generation]:
    path = fill(paths.queue_item, generation_id=generation_id)
    return Call(method="get", path=path, read=_reader_of(generation_id))


def older_get_call(
    paths: Paths, generation_id: str, *, namespace: str | None, model: str | None
) -> Call[Generation] | None:
    """Ask the way of the older API, by namespace and model; None where there is no such way."""
    if paths.older_status is None or namespace is None or model is None:
        return None

    def read(payload: object) -> Generation:
        try:
            rows = read_generations(payload)
        except APIResponseError:
            rows = [read_generation(payload)]
        for row in rows:
            if row.generation_id == generation_id:
                return row
        raise NotFoundError(f"Oxen lists no generation {generation_id}.")

    path = fill(paths.older_status, namespace=namespace, model_name=model)
    return Call(method="get", path=path, read=read)


def list_call(
    paths: Paths, *, only: Collection[str] | None = None, **filters: Any
) -> Call[list[Generation]]:
    """List the active jobs, or those of a `status`; `only` the rows with these ids are read."""
    read = partial(read_generations, only=only)
    return Call(method="get", path=paths.queue, query=filters, read=read)


def cancel_call(paths: Paths, generation_id: str) -> Call[None]:
    path = fill(paths.queue_item, generation_id=generation_id)
    return Call(method="delete", path=path, read=lambda _: None)


def older_cancel_call(
    paths: Paths, generation_id: str, *, namespace: str | None
) -> Call[None] | None:
    """Cancel the way of the older API, by namespace; None where there is no such way."""
    if paths.older_cancel is None or namespace is None:
        return None
    path = fill(paths.older_cancel, namespace=namespace, generation_id=generation_id)
    return Call(method="delete", path=path, read=lambda _: None)


def generations_call(
    paths: Paths, *, only: Collection[str] | None = None, **filters: Any
) -> Call[GenerationsPage]:
    """List one page of all jobs; `only` the rows with these ids are read."""
    read = partial(_read_page, only=only, asked=filters)
    return Call(method="get", path=paths.generations, query=filters, read=read)


def generation_call(paths: Paths, generation_id: str) -> Call[Generation]:
    path = fill(paths.generation, generation_id=generation_id)
    return Call(method="get", path=path, read=_reader_of(generation_id))


def _reader_of(generation_id: str) -> Callable[[object], Generation]:
    """Return a reader that refuses the row of another job: a cache may mix up its answers."""

    def read(payload: object) -> Generation:
        row = read_generation(payload)
        if row.generation_id.lower() != generation_id.lower():
            raise APIResponseError(
                f"Oxen was asked for generation {generation_id} and answered about another.",
                body=payload,
            )
        return row

    return read


def _read_page(
    payload: object, only: Collection[str] | None, asked: Mapping[str, Any]
) -> GenerationsPage:
    body = payload if isinstance(payload, Mapping) else {}
    total_pages = _int(body.get("total_pages"))
    if total_pages is not None:
        is_last = (_int(asked.get("page")) or 1) >= total_pages
    else:
        sizes = (_int(asked.get("page_size")), _int(body.get("page_size")))
        full = min((size for size in sizes if size), default=1)
        is_last = count_rows(payload) < full
    return GenerationsPage(
        generations=read_generations(payload, only),
        page_number=_int(body.get("page_number")) or 1,
        total_pages=total_pages,
        total_cost=read_money(body.get("total_cost")),
        is_last=is_last,
    )


def _int(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


class Queue:
    """`OxenClient.queue`."""

    def __init__(self, client: Sender) -> None:
        self._client = client

    def submit(self, model: str, **params: Any) -> list[Generation]:
        """Enqueue `num_generations` (1-4) paid jobs. Calling twice pays twice."""
        return self._client.send(submit_call(self._client.paths, model, **params))

    def get(
        self, generation_id: str, *, namespace: str | None = None, model: str | None = None
    ) -> Generation:
        """Return the job's present state. Raises `NotFoundError`.

        `namespace` and `model` help a hub that speaks only the older API.
        """
        paths = self._client.paths
        try:
            return self._client.send(get_call(paths, generation_id))
        except NotFoundError:
            older = older_get_call(paths, generation_id, namespace=namespace, model=model)
            if older is None:
                raise
        return self._client.send(older)

    def list(self, **filters: Any) -> list[Generation]:
        """Return the active jobs, or those of one `status`; also namespace, model, media_type,
        repo, folder.
        """
        return self._client.send(list_call(self._client.paths, **filters))

    def cancel(self, generation_id: str, *, namespace: str | None = None) -> None:
        """Ask the hub to cancel; a finished job is not affected.

        `namespace` helps a hub that speaks only the older API.
        """
        paths = self._client.paths
        try:
            return self._client.send(cancel_call(paths, generation_id))
        except NotFoundError:
            older = older_cancel_call(paths, generation_id, namespace=namespace)
            if older is None:
                raise
        return self._client.send(older)

    def history(self, **filters: Any) -> GenerationsPage:
        """Return one page of past generations with their costs: `page` from 1, `page_size` up to
        1,000, and the filters of `list`. Until `is_last`, another page follows.
        """
        return self._client.send(generations_call(self._client.paths, **filters))

    def receipt(self, generation_id: str) -> Generation:
        """Return the full row with its cost. Raises `NotFoundError`."""
        return self._client.send(generation_call(self._client.paths, generation_id))


class AsyncQueue:
    """`AsyncOxenClient.queue`."""

    def __init__(self, client: AsyncSender) -> None:
        self._client = client

    async def submit(self, model: str, **params: Any) -> list[Generation]:
        """Enqueue `num_generations` (1-4) paid jobs. Calling twice pays twice."""
        return await self._client.send(submit_call(self._client.paths, model, **params))

    async def get(
        self, generation_id: str, *, namespace: str | None = None, model: str | None = None
    ) -> Generation:
        """Return the job's present state. Raises `NotFoundError`.

        `namespace` and `model` help a hub that speaks only the older API.
        """
        paths = self._client.paths
        try:
            return await self._client.send(get_call(paths, generation_id))
        except NotFoundError:
            older = older_get_call(paths, generation_id, namespace=namespace, model=model)
            if older is None:
                raise
        return await self._client.send(older)

    async def list(self, **filters: Any) -> list[Generation]:
        """Return the active jobs, or those of one `status`; also namespace, model, media_type,
        repo, folder.
        """
        return await self._client.send(list_call(self._client.paths, **filters))

    async def cancel(self, generation_id: str, *, namespace: str | None = None) -> None:
        """Ask the hub to cancel; a finished job is not affected.

        `namespace` helps a hub that speaks only the older API.
        """
        paths = self._client.paths
        try:
            return await self._client.send(cancel_call(paths, generation_id))
        except NotFoundError:
            older = older_cancel_call(paths, generation_id, namespace=namespace)
            if older is None:
                raise
        return await self._client.send(older)

    async def history(self, **filters: Any) -> GenerationsPage:
        """Return one page of past generations with their costs: `page` from 1, `page_size` up to
        1,000, and the filters of `list`. Until `is_last`, another page follows.
        """
        return await self._client.send(generations_call(self._client.paths, **filters))

    async def receipt(self, generation_id: str) -> Generation:
        """Return the full row with its cost. Raises `NotFoundError`."""
        return await self._client.send(generation_call(self._client.paths, generation_id))
