"""`OxenToolkit`: media models as tools, and the tools to work while they render."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from langchain_core.tools import BaseTool, BaseToolkit
from pydantic import ConfigDict, Field, PrivateAttr, field_validator

from langchain_oxen.find_models import OxenFindModelsTool
from langchain_oxen.job_tools import OxenCancelTool, OxenCheckTool, OxenSubmitTool
from langchain_oxen.media_tool import OxenMediaTool
from oxen_inference.tools import jobs
from oxen_inference.tools.connection import Connection
from oxen_inference.tools.settings import connection_for, refuse_twins


class OxenToolkit(BaseToolkit):
    """A tool for each of `models`, and with `background` those to submit, check, cancel and find.

    `models` are ids, `Model` objects, or `OxenMediaTool` objects with settings of their own; all
    other options are as in `OxenMediaTool.for_model`. An agent may use these models and no
    others, or where none are named any media model of the catalog, through ``oxen_submit``.

    ```python
    from langchain_oxen import OxenToolkit

    toolkit = OxenToolkit(models=["flux-2-dev", "google-veo-3-1-fast"], max_cost="1.00")
    print([tool.name for tool in toolkit.get_tools()])
    ```
    """

    models: Sequence[Any] = ()
    client: Any = Field(default=None, exclude=True, repr=False)
    api_key: Any = Field(default=None, exclude=True, repr=False)
    base_url: str | None = None
    # Pydantic takes a default of ... to mean "required".
    ledger: Any = Field(default_factory=lambda: ..., exclude=True, repr=False)
    save_to: str | Path | None = None
    max_cost: Any = None
    budget: Any = None
    allow_unknown_cost: bool = False
    timeout: float | None = None
    on_interrupt: Literal["detach", "cancel"] = "detach"
    inputs_from: str | Path | None = None
    background: bool = True
    """Whether the tools to submit, check, cancel and find models are there, too."""

    _connection: Connection | None = PrivateAttr(default=None)
    model_config = ConfigDict(arbitrary_types_allowed=True)

    @field_validator("budget")
    @classmethod
    def _one_budget(cls, budget: Any) -> Any:
        from oxen_inference.ledger.budgets import as_budget

        return as_budget(budget)  # here, so that an amount is one for all tools together

    @field_validator("models", mode="before")
    @classmethod
    def _one_or_several(cls, models: Any) -> Any:
        return [models] if isinstance(models, str) else models

    def get_tools(self) -> list[BaseTool]:
        """Return the tools; ids are looked up in the catalog now. Blocks."""
        shared = self._shared()
        catalog = shared.sync().catalog
        known = [catalog.get(one) if isinstance(one, str) else one for one in self.models]
        return self._tools(shared, known)

    async def aget_tools(self) -> list[BaseTool]:
        """Return the tools without blocking the running loop."""
        shared = await asyncio.to_thread(self._shared)
        catalog = (await shared.running()).catalog
        known = [await catalog.get(one) if isinstance(one, str) else one for one in self.models]
        return await asyncio.to_thread(self._tools, shared, known)

    def _shared(self) -> Connection:
        if self._connection is None:
            self._connection = connection_for(
                self.client, self.api_key, self.base_url, self.ledger, self.budget
            )
        return self._connection

    def _tools(self, shared: Connection, known: list[Any]) -> list[BaseTool]:
        options = {name: getattr(self, name) for name in _HANDED_ON}
        makers = [
            one if isinstance(one, OxenMediaTool) else OxenMediaTool(
                model=one, connection=shared, **options
            )
            for one in known
        ]  # fmt: skip
        refuse_twins(
            [maker.name for maker in makers],
            "give one of them a name of its own, OxenMediaTool.for_model(..., name=...).",
        )
        if not self.background:
            return list(makers)
        by_id = {maker.model.id: maker for maker in makers}
        return [
            *makers,
            OxenSubmitTool(
                connection=shared, makers=by_id, any_model=not makers, template=options
            ),
            OxenCheckTool(connection=shared, save_to=self.save_to),
            OxenCancelTool(connection=shared),
            OxenFindModelsTool(
                name="oxen_find_models", description=jobs.FIND, connection=shared,
                only=[maker.model for maker in makers], media_only=True,
            ),
        ]  # fmt: skip


_HANDED_ON = (
    "save_to",
    "max_cost",
    "budget",
    "allow_unknown_cost",
    "timeout",
    "on_interrupt",
    "inputs_from",
)
