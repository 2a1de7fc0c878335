"""Handles on paid jobs under way, as `client.media.submit` and `attach` return them."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from oxen_inference.drivers import AsyncDriver, BlockingDriver
from oxen_inference.ledger.entries import Entry
from oxen_inference.media.engine import Engine, Task, WaitOptions
from oxen_inference.media.generate import collect
from oxen_inference.media.submit import when_decided
from oxen_inference.media.wait import cancel
from oxen_inference.result import MediaResult, Progress


class _Handle:
    """A job in the ledger, as it was when it was last asked for."""

    def __init__(self, engine: Engine, entry: Entry) -> None:
        self._engine = engine
        self._entry = entry

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.generation_ids) or self._entry.state})"

    def _repr_html_(self) -> str:
        return self._entry.result()._repr_html_()

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

    async def _collect(self, options: WaitOptions) -> MediaResult:
        result = await collect(self._engine, self._entry, options)
        self._entry = await self._engine.reload(self._entry)
        return result

    async def _refresh(self) -> MediaResult:
        self._entry = await self._engine.refresh(await self._decided())
        return self.result

    async def _cancel(self) -> MediaResult:
        self._entry = await cancel(self._engine, await self._decided())
        return self.result

    async def _decided(self) -> Entry:
        self._entry = await when_decided(self._engine, self._entry, Task(options=WaitOptions()))
        return self._entry


class MediaHandle(_Handle):
    """A paid job under way: ask for it, wait for it, or cancel it."""

    def __init__(self, engine: Engine, driver: BlockingDriver, entry: Entry) -> None:
        super().__init__(engine, entry)
        self._driver = driver

    def status(self) -> MediaResult:
        """Ask the hub, once, how far the job is."""
        return self._driver.run(self._refresh())

    def wait(
        self,
        timeout: float | None = None,
        *,
        on_interrupt: Literal["detach", "cancel"] = "detach",
        save_to: str | os.PathLike[str] | None = None,
        on_progress: Callable[[Progress], Any] | None = None,
    ) -> MediaResult:
        """Wait until it has ended and download it. Raises what `Media.generate` raises."""
        options = WaitOptions(
            timeout=timeout, on_interrupt=on_interrupt, save_to=save_to, on_progress=on_progress
        )
        return self._driver.run(self._collect(options))

    def cancel(self) -> MediaResult:
        """Ask the hub to cancel it; return what really happened, since it may have finished."""
        return self._driver.run(self._cancel())


class AsyncMediaHandle(_Handle):
    """A paid job under way: ask for it, wait for it, or cancel it."""

    def __init__(self, engine: Engine, driver: AsyncDriver, entry: Entry) -> None:
        super().__init__(engine, entry)
        self._driver = driver

    async def status(self) -> MediaResult:
        """Ask the hub, once, how far the job is."""
        return await self._driver.run(self._refresh())

    async def wait(
        self,
        timeout: float | None = None,
        *,
        on_interrupt: Literal["detach", "cancel"] = "detach",
        save_to: str | os.PathLike[str] | None = None,
        on_progress: Callable[[Progress], Any | Awaitable[Any]] | None = None,
    ) -> MediaResult:
        """Wait until it has ended and download it. Raises what `Media.generate` raises."""
        options = WaitOptions(
            timeout=timeout, on_interrupt=on_interrupt, save_to=save_to, on_progress=on_progress
        )
        return await self._driver.run(self._collect(options))

    async def cancel(self) -> MediaResult:
        """Ask the hub to cancel it; return what really happened, since it may have finished."""
        return await self._driver.run(self._cancel())
