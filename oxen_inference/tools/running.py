"""Generations that were started before: how far each is, and cancelling them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from oxen_inference.tools import text
from oxen_inference.tools.calls import is_for_developers

if TYPE_CHECKING:
    from typing import TypeAlias

    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.errors import OxenError
    from oxen_inference.result import MediaResult

    Found: TypeAlias = "MediaResult | Unknown"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A generation of which nothing could be found out, and why, in words."""

    generation_id: str
    error: str

    def __str__(self) -> str:
        return f"{self.generation_id}: {self.error}"


def check(
    client: OxenClient,
    generation_ids: Sequence[str],
    *,
    wait: float,
    save_to: Any,
    on_progress: Callable[[Any], Any] | None,
) -> list[Found]:
    """Return how far generations are, waiting up to `wait` seconds for each."""
    from oxen_inference.errors import OxenError

    def one(generation_id: str) -> Found:
        try:
            handle = client.media.attach(generation_ids=[generation_id])
            if not wait and not (snapshot := handle.status()).is_terminal:
                return snapshot
            return handle.wait(wait or None, save_to=save_to, on_progress=on_progress)
        except OxenError as error:
            return _known(generation_id, error)

    return _any_of([one(generation_id) for generation_id in generation_ids])


async def acheck(
    client: AsyncOxenClient,
    generation_ids: Sequence[str],
    *,
    wait: float,
    save_to: Any,
    on_progress: Callable[[Any], Any] | None,
) -> list[Found]:
    """Return how far generations are, waiting for all of them at once."""
    from oxen_inference.errors import OxenError

    async def one(generation_id: str) -> Found:
        try:
            handle = await client.media.attach(generation_ids=[generation_id])
            if not wait and not (snapshot := await handle.status()).is_terminal:
                return snapshot
            return await handle.wait(wait or None, save_to=save_to, on_progress=on_progress)
        except OxenError as error:
            return _known(generation_id, error)

    return _any_of(list(await asyncio.gather(*map(one, generation_ids))))


def cancel(client: OxenClient, generation_ids: Sequence[str]) -> list[Found]:
    """Cancel generations, and return what really became of them."""
    from oxen_inference.errors import OxenError

    def one(generation_id: str) -> Found:
        try:
            return client.media.attach(generation_ids=[generation_id]).cancel()
        except OxenError as error:
            return _known(generation_id, error)

    return _any_of([one(generation_id) for generation_id in generation_ids])


async def acancel(client: AsyncOxenClient, generation_ids: Sequence[str]) -> list[Found]:
    """Cancel generations without blocking the running loop."""
    from oxen_inference.errors import OxenError

    async def one(generation_id: str) -> Found:
        try:
            handle = await client.media.attach(generation_ids=[generation_id])
            return await handle.cancel()
        except OxenError as error:
            return _known(generation_id, error)

    return _any_of([await one(generation_id) for generation_id in generation_ids])


def report(results: Iterable[Found]) -> str:
    """Say how far several jobs are, a line or more for each."""
    return "\n".join(
        str(one) if isinstance(one, Unknown) else text.describe_job(one) for one in results
    )


def references(results: Iterable[Found]) -> dict[str, Any]:
    """Return several jobs as plain data."""
    rows = [asdict(r) if isinstance(r, Unknown) else text.references(r) for r in results]
    return {"results": rows}


def _known(generation_id: str, error: OxenError) -> Found:
    """What is known of a generation in spite of an error, which only developers may mend."""
    if is_for_developers(error):
        raise error
    result: MediaResult | None = getattr(error, "result", None)
    if result is not None:
        return result
    is_unknown = type(error).__name__ == "NotFoundError"
    said = "Oxen knows no generation of this id." if is_unknown else text.for_models(error)
    return Unknown(generation_id, said)


def _any_of(results: list[Found]) -> list[Found]:
    """Return `results`. Raises `InvalidInputError` if nothing is known of any."""
    if all(isinstance(one, Unknown) for one in results):
        from oxen_inference.errors import InvalidInputError

        raise InvalidInputError(report(results))
    return results
