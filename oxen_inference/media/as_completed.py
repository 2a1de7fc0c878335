"""Results in the order in which they end: what `generate_as_completed` returns."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import suppress
from types import TracebackType
from typing import Any

from typing_extensions import Self

from oxen_inference.drivers import AsyncDriver, BlockingDriver
from oxen_inference.effects import Work, shield
from oxen_inference.errors import InvalidInputError, OxenError
from oxen_inference.media.bulk import Bulk
from oxen_inference.media.bulk_run import Outcome
from oxen_inference.result import BulkProgress, MediaResult

Request = str | Mapping[str, Any]


class _AsCompleted:
    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk
        self._is_entered = False

    @property
    def progress(self) -> BulkProgress:
        """How far the run is."""
        return self._bulk.run.progress

    @property
    def stopped(self) -> OxenError | None:
        """Why the run ended before its requests did: a used-up budget, or equal failures in a row."""
        return self._bulk.run.stopped

    @property
    def not_sent(self) -> int:
        """How many requests were taken and not sent, because the run ended before."""
        return self._bulk.run.not_sent


class AsCompleted(_AsCompleted):
    """Pairs of a request's index and its `MediaResult` or `OxenError`, as each ends.

    A context manager: leaving it sends no more, and detaches from what runs. Requests are taken
    in your thread, one by one, as you iterate.
    """

    def __init__(self, bulk: Bulk, driver: BlockingDriver, requests: Iterable[Request]) -> None:
        super().__init__(bulk)
        self._driver = driver
        self._take = taking(bulk, requests)

    def __enter__(self) -> Self:
        self._is_entered = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        interrupted = error is not None and not isinstance(error, Exception | GeneratorExit)
        leaving = self._bulk.give_up(interrupted=interrupted)
        # To its end on a second interrupt, too.
        self._driver.run(_shielded(leaving) if interrupted else leaving)

    def __iter__(self) -> Iterator[Outcome]:
        if self._is_entered:
            yield from self._outcomes()
            return
        with self:
            yield from self._outcomes()

    def _outcomes(self) -> Iterator[Outcome]:
        while (outcome := self._driver.run(self._bulk.next_outcome(self._take))) is not None:
            self._bulk.run.untaken.pop(outcome[0], None)
            yield outcome


class AsyncAsCompleted(_AsCompleted):
    """The asynchronous twin of `AsCompleted`."""

    def __init__(
        self, bulk: Bulk, driver: AsyncDriver, requests: Iterable[Request] | AsyncIterable[Request]
    ) -> None:
        super().__init__(bulk)
        self._driver = driver
        self._feeder: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._take: Callable[[], Awaitable[None]] | None = None
        self._later: AsyncIterable[Request] | None = None
        if isinstance(requests, AsyncIterable):
            self._later = requests
        else:
            self._take = taking(bulk, requests)

    async def __aenter__(self) -> Self:
        self._is_entered = True
        if self._later is not None:
            self._feeder = asyncio.get_running_loop().create_task(self._feed(self._later))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._feeder is not None:
            self._feeder.cancel()
            await asyncio.wait({self._feeder})
        interrupted = error is not None and not isinstance(error, Exception | GeneratorExit)
        await self._driver.run(_shielded(self._bulk.give_up(interrupted=interrupted)))

    async def __aiter__(self) -> AsyncIterator[Outcome]:
        if self._is_entered:
            async for outcome in self._outcomes():
                yield outcome
            return
        async with self:
            async for outcome in self._outcomes():
                yield outcome

    async def _outcomes(self) -> AsyncIterator[Outcome]:
        while (outcome := await self._driver.run(self._bulk.next_outcome(self._take))) is not None:
            self._room.set()
            self._bulk.run.untaken.pop(outcome[0], None)
            yield outcome

    async def _feed(self, requests: AsyncIterable[Request]) -> None:
        """Take requests as they come, so that a slow source holds no result up."""
        iterator = aiter(requests)
        try:
            while True:
                while not self._bulk.run.has_room:
                    self._room.clear()
                    if self._bulk.run.is_exhausted:
                        return
                    with suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._room.wait(), 0.2)
                await self._driver.run(self._bulk.take(await anext(iterator)))
        except StopAsyncIteration:
            self._bulk.run.say_exhausted()
        except Exception as error:  # noqa: BLE001 - raised where the outcomes are read
            self._bulk.run.crash(error)
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()


def check_requests(
    requests: object,
    name: str = "request",
    hint: str | None = "AsyncOxenClient takes asynchronous ones, too.",
) -> None:
    """Raise `InvalidInputError` for what is no list of requests, such as a single one.

    `name`: what one of them is called; `hint`: what to say of something else.
    """
    is_one = isinstance(requests, str | bytes | Mapping)
    if not is_one and (hasattr(requests, "__iter__") or hasattr(requests, "__getitem__")):
        return
    raise InvalidInputError(
        f"{name}s must be a list or another iterable, not {type(requests).__name__}.",
        hint=f"Put a single {name} into a list." if is_one else hint,
    )


def taking(bulk: Bulk, requests: Iterable[Request]) -> Callable[[], Awaitable[None]]:
    """Return what takes the next request into a run, or says that there is none."""
    check_requests(requests)
    iterator = iter(requests)

    async def take() -> None:
        try:
            request = next(iterator)
        except StopIteration:
            bulk.run.say_exhausted()
        else:
            await bulk.take(request)

    return take


async def _shielded(work: Work[None]) -> None:
    await shield(work)


async def collect_all(bulk: Bulk, requests: list[Request]) -> list[MediaResult | OxenError]:
    """Return the outcome of every request, in order."""
    take = taking(bulk, requests)
    found: dict[int, MediaResult | OxenError] = {}
    try:
        while (outcome := await bulk.next_outcome(take)) is not None:
            found[outcome[0]] = outcome[1]
        await bulk.leave()
    except GeneratorExit:  # nothing can be awaited any more
        bulk.abandon()
        raise
    except BaseException as error:
        await shield(bulk.give_up(interrupted=not isinstance(error, Exception)))
        raise
    rest = bulk.run.stopped or OxenError("Not sent.")
    return [found.get(index, rest) for index in range(len(requests))]
