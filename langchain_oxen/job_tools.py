"""Tools to work while a film renders: submit, check, cancel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field
from typing_extensions import Self

from langchain_oxen.media_tool import OxenMediaTool
from langchain_oxen.tool_base import Answer, OxenTool, ToolRequest
from oxen_inference.tools import jobs, running, text
from oxen_inference.tools.settings import refuse_second_budget

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.catalog.pricing import Quote
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.ledger.budgets import Budget
    from oxen_inference.result import MediaResult


class OxenSubmitTool(OxenTool):
    """Starts a generation and returns its ids at once; `makers` are the models it may use.

    With `any_model`, any media model of the catalog may be used, made like `template`.
    """

    name: str = "oxen_submit"
    description: str = jobs.SUBMIT
    args_schema: Any = jobs.SubmitArguments
    makers: dict[str, OxenMediaTool] = Field(default_factory=dict, repr=False)
    any_model: bool = False
    template: dict[str, Any] = Field(default_factory=dict, repr=False)

    def quote(self, arguments: Mapping[str, Any]) -> Quote:
        """Return what a call with these arguments will cost, or that it is unknown."""
        from oxen_inference.catalog.pricing import Quote

        maker = self.makers.get(str(arguments.get("model")))
        if maker is None:
            return Quote(reason=f"{arguments.get('model')} is not one of the models in hand")
        return maker.quote(jobs.own_arguments(arguments))

    def is_begun(self, request: ToolRequest) -> bool:
        """Whether this call would attach to a job that is paid for already."""
        maker = self.makers.get(request.arguments["model"])
        return maker is not None and maker.is_begun(_for(maker, request))

    async def ais_begun(self, request: ToolRequest) -> bool:
        maker = self.makers.get(request.arguments["model"])
        return maker is not None and await maker.ais_begun(_for(maker, request))

    def paid_from(self, budget: Budget) -> Self:
        """Return the tool paying from `budget`. Raises `ConfigurationError` if it has another."""
        refuse_second_budget(self.name, self.template.get("budget"), budget)
        makers = {model_id: maker.paid_from(budget) for model_id, maker in self.makers.items()}
        template = {**self.template, "budget": budget}
        return self.model_copy(update={"makers": makers, "template": template})

    def _call(self, client: OxenClient, request: ToolRequest) -> Answer:
        maker = self._known(request)
        if maker is None:
            maker = self._made(client.catalog.get(request.arguments["model"]))
        handle = client.media.submit(**maker.order(client, _for(maker, request)))
        return _submitted(handle.result)

    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> Answer:
        maker = self._known(request)
        if maker is None:
            maker = self._made(await client.catalog.get(request.arguments["model"]))
        handle = await client.media.submit(**await maker.aorder(client, _for(maker, request)))
        return _submitted(handle.result)

    def _known(self, request: ToolRequest) -> OxenMediaTool | None:
        model_id = request.arguments["model"]
        if not self.any_model:
            jobs.refuse_stranger(model_id, self.makers)
        return self.makers.get(model_id)

    def _made(self, model: Model) -> OxenMediaTool:
        return OxenMediaTool(model=model, connection=self.connection, **self.template)


class OxenCheckTool(OxenTool):
    """Says how far generations are, and saves those that are done to `save_to`."""

    name: str = "oxen_check"
    description: str = jobs.CHECK
    args_schema: Any = jobs.CheckArguments
    save_to: str | Path | None = None

    def _call(self, client: OxenClient, request: ToolRequest) -> Answer:
        return _report(running.check(client, **self._asked(request), on_progress=request.tell))

    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> Answer:
        asked = self._asked(request)
        return _report(await running.acheck(client, **asked, on_progress=request.tell))

    def _asked(self, request: ToolRequest) -> dict[str, Any]:
        return {
            "generation_ids": request.arguments["generation_ids"],
            "wait": request.arguments["wait_seconds"],
            "save_to": self.save_to,
        }


class OxenCancelTool(OxenTool):
    """Asks the hub to cancel generations, and says what really became of them."""

    name: str = "oxen_cancel"
    description: str = jobs.CANCEL
    args_schema: Any = jobs.CancelArguments

    def _call(self, client: OxenClient, request: ToolRequest) -> Answer:
        return _report(running.cancel(client, request.arguments["generation_ids"]))

    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> Answer:
        return _report(await running.acancel(client, request.arguments["generation_ids"]))


def _for(maker: OxenMediaTool, request: ToolRequest) -> ToolRequest:
    given = maker._parse_input(jobs.own_arguments(request.arguments), request.tool_call_id)
    assert isinstance(given, dict)  # noqa: S101 - a dict went in
    return request.of(given)


def _submitted(result: MediaResult) -> Answer:
    return jobs.submitted(result), text.references(result)


def _report(results: list[running.Found]) -> Answer:
    return running.report(results), running.references(results)
