"""One media model with the settings of its tool: what a call of it asks `client.media` for."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from oxen_inference.tools import inputs
from oxen_inference.tools.settings import kind_of

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.ledger.budgets import Budget
    from oxen_inference.ledger.entries import Entry
    from oxen_inference.result import MediaItem


@dataclass(frozen=True, kw_only=True)
class Maker:
    """A model and how it may be used; the fields are those of the adapters' media tools."""

    model: Model = field(repr=False)
    save_to: str | Path | None = None
    max_cost: Any = None
    budget: Budget | None = None
    allow_unknown_cost: bool = False
    timeout: float | None = None
    on_interrupt: Literal["detach", "cancel"] = "detach"
    inputs_from: str | Path | None = None

    def marked(self, arguments: Mapping[str, Any], schema: Any) -> dict[str, Any]:
        """Return arguments as they come from a model, in a form that `schema` can validate."""
        names = getattr(schema, "oxen_wire_names", {})
        return inputs.mark(arguments, self.model.request_schema, names)

    def order(
        self,
        client: OxenClient,
        params: Mapping[str, Any],
        *,
        key: str | None,
        conversation: str | None,
    ) -> dict[str, Any]:
        """Return what `client.media` is to pay for, its inputs resolved, and under which key."""
        if names := inputs.marked(params):
            jobs = client.media.jobs() if _any_path(names) else []
            params = inputs.resolved(params, self._named(names, jobs))
        return self._order(params, key, conversation, durable=client.media.ledger.durable)

    async def aorder(
        self,
        client: AsyncOxenClient,
        params: Mapping[str, Any],
        *,
        key: str | None,
        conversation: str | None,
    ) -> dict[str, Any]:
        """Do what `order` does, without blocking the running loop."""
        if names := inputs.marked(params):
            jobs = await client.media.jobs() if _any_path(names) else []
            known = await asyncio.to_thread(self._named, names, jobs)
            params = inputs.resolved(params, known)
        durable = await asyncio.to_thread(lambda: client.media.ledger.durable)
        return self._order(params, key, conversation, durable=durable)

    def waiting(self) -> dict[str, Any]:
        """Return how `client.media` is to wait for it."""
        return {
            "timeout": self.timeout,
            "on_interrupt": self.on_interrupt,
            "save_to": self.save_to or self._rescue,
        }

    def _order(
        self, params: Mapping[str, Any], key: str | None, conversation: str | None, *, durable: bool
    ) -> dict[str, Any]:
        inputs.refuse_unsendable(params, self.model.request_schema)
        # Audio comes in the answer itself and has no id to be found by; without a ledger that
        # outlives the process a key would promise too much.
        keyed = durable and kind_of(self.model) != "audio"
        return {
            "model": self.model,
            "params": params,
            "key": key if keyed else None,
            "conversation": conversation,
            "max_cost": self.max_cost,
            "budget": self.budget,
            "allow_unknown_cost": self.allow_unknown_cost,
            "allow_paths": self.inputs_from is not None,
        }

    @property
    def _rescue(self) -> Path | None:
        """Where audio goes that nobody said a folder for: it has no URL, and would be lost."""
        is_audio = kind_of(self.model) == "audio"
        return Path(tempfile.gettempdir()) / "oxen-audio" if is_audio else None

    def _named(self, names: list[str], jobs: list[Entry]) -> dict[str, Path | MediaItem]:
        """Return what the names stand for: allowed files, and results of earlier calls."""
        from oxen_inference.result import MediaItem

        saved = {str(item.path): item for job in jobs for item in job.items if item.path}
        return {
            name: inputs.allowed_file(name, self.inputs_from)
            or saved.get(name)
            or MediaItem(generation_id=name)
            for name in names
        }


def _any_path(names: list[str]) -> bool:
    return any(mark in name for name in names for mark in "./\\")
