"""Handles on paid jobs under way, as `client.media.submit` and `attach` return them."""

from __future__ import annotations

from typing import Any

from oxen_inference.ledger.store import Entry
from oxen_inference.media import engine as media_engine
from oxen_inference.media import sending, waiting
from oxen_inference.media.shared import AsyncListener, Listener, OnInterrupt, SaveTo
from oxen_inference.media.steps import Steps, run
from oxen_inference.media.task import Engine, Task, Wishes
from oxen_inference.result import MediaResult


class _SharedHandle:
    """A job in the ledger, as it was when last looked at."""

    def __init__(self, media: Any, entry: Entry) -> None:
        self._media = media
        self._entry = entry

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
        result = yield from media_engine.collect(engine, self._entry, wishes)
        self._entry = (yield from run(self._media.ledger.get, self.entry_id)) or self._entry
        return result

    def _refresh(self, *, cancel: bool = False) -> Steps[MediaResult]:
        engine: Engine = self._media._engine
        self._entry = yield from sending.decided(engine, self._entry, Task(wishes=Wishes()))
        steps = waiting.cancel(engine, self._entry) if cancel else engine.refresh(self._entry)
        self._entry = yield from steps
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
