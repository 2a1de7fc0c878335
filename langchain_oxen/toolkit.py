"""`OxenToolkit`: a tool for each media model, and tools to submit, check, cancel and find models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.tools import BaseTool, BaseToolkit
from pydantic import ConfigDict, Field, PrivateAttr, field_validator
from typing_extensions import Self

from langchain_oxen.media_tool import OxenMediaTool
from langchain_oxen.tool_base import ContentAndArtifact, OxenTool, ToolRequest
from oxen_inference.money import read_money
from oxen_inference.tools import jobs, text
from oxen_inference.tools.connection import Connection, connection_for
from oxen_inference.tools.media_config import (
    check_single_budget,
    check_unique_names,
    refuse_to_pickle_password,
)

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.catalog.pricing import Quote
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.ledger.budgets import Budget
    from oxen_inference.result import MediaResult

_TOOL_OPTIONS = (
    "save_to",
    "max_cost",
    "budget",
    "allow_unknown_cost",
    "timeout",
    "on_interrupt",
    "inputs_from",
    "price_caps",
    "inline_inputs",
)


class OxenToolkit(BaseToolkit):
    """A tool for each of `models`, and with `background` tools to submit, check, cancel and find.

    `models` are ids, `Model` objects, or `OxenMediaTool` objects with settings of their own. All
    other options are those of `OxenMediaTool.for_model`. For a tool that you give, `budget` and
    `save_to` count where it has none, and of two `max_cost` the lower; a tool with another budget
    is a `ConfigurationError` of `get_tools`. An agent may use only these models. If you name none,
    it may use any media model of the catalog through ``oxen_submit``.

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
    save_to: str | Path | None = Field(default=None, repr=False)
    max_cost: Any = None
    budget: Any = None
    allow_unknown_cost: bool = False
    timeout: float | None = None
    on_interrupt: Literal["detach", "cancel"] = "detach"
    inputs_from: str | Path | None = None
    price_caps: Any = None
    inline_inputs: bool = False
    background: bool = True
    """Whether to add the tools to submit, check, cancel and find models."""

    _shared_connection: Connection | None = PrivateAttr(default=None)
    model_config = ConfigDict(arbitrary_types_allowed=True)

    def __init__(self, **options: Any) -> None:
        from oxen_inference.media.option_names import refuse_unknown

        refuse_unknown(options, type(self).model_fields.keys())
        super().__init__(**options)

    @field_validator("budget")
    @classmethod
    def _one_budget(cls, budget: Any) -> Any:
        from oxen_inference.ledger.budgets import as_budget

        return as_budget(budget)  # here, so that an amount is one budget for all tools

    @field_validator("models", mode="before")
    @classmethod
    def _list_of_models(cls, models: Any) -> Any:
        return [models] if isinstance(models, str) else models

    def __getstate__(self) -> dict[Any, Any]:
        refuse_to_pickle_password(self.save_to)
        self._connection()  # which is pickled without its key, and names its ledger
        state = super().__getstate__()
        given = {"client": None, "api_key": None, "base_url": None, "ledger": ...}
        return {**state, "__dict__": {**state["__dict__"], **given}}

    def get_tools(self) -> list[BaseTool]:
        """Return the tools; ids are looked up in the catalog now. Blocks."""
        connection = self._connection()
        catalog = connection.get_client().catalog
        models = [catalog.get(m) if isinstance(m, str) else m for m in self.models]
        return self._build_tools(connection, models)

    async def aget_tools(self) -> list[BaseTool]:
        """Return the tools without blocking the running loop."""
        connection = await asyncio.to_thread(self._connection)
        catalog = (await connection.get_async_client()).catalog
        models = [await catalog.get(m) if isinstance(m, str) else m for m in self.models]
        return await asyncio.to_thread(self._build_tools, connection, models)

    def _connection(self) -> Connection:
        if self._shared_connection is None:
            self._shared_connection = connection_for(
                self.client, self.api_key, self.base_url, self.ledger, self.budget
            )
        return self._shared_connection

    def _build_tools(self, connection: Connection, models: list[Any]) -> list[BaseTool]:
        options = {name: getattr(self, name) for name in _TOOL_OPTIONS}
        media_tools = [
            self._limited(model)
            if isinstance(model, OxenMediaTool)
            else OxenMediaTool(model=model, connection=connection, **options)
            for model in models
        ]
        check_unique_names(
            [tool.name for tool in media_tools],
            "give one of them another name, OxenMediaTool.for_model(..., name=...).",
        )
        if not self.background:
            return list(media_tools)
        return [
            *media_tools,
            OxenSubmitTool(
                connection=connection,
                media_tools={tool.model.id: tool for tool in media_tools},
                any_model=not media_tools,
                tool_options=options,
            ),
            OxenCheckTool(connection=connection, save_to=self.save_to, timeout=self.timeout),
            OxenCancelTool(connection=connection),
            OxenFindModelsTool(
                name="oxen_find_models",
                description=jobs.FIND,
                connection=connection,
                only=[tool.model for tool in media_tools],
                media_only=True,
            ),
        ]

    def _limited(self, tool: OxenMediaTool) -> OxenMediaTool:
        """Return a tool that was given, within this toolkit's limits. Raises `ConfigurationError`."""
        from oxen_inference.ledger.budgets import read_amount

        if self.budget is not None:
            tool = tool.with_budget(self.budget)
        if self.max_cost is not None:
            tool = tool.capped(read_amount(self.max_cost, "max_cost"))
        if self.save_to is not None and tool.save_to is None:
            tool = tool.model_copy(update={"save_to": self.save_to})
        return tool


class OxenSubmitTool(OxenTool):
    """Starts a generation and returns its ids at once, with one of `media_tools`.

    With `any_model`, any media model of the catalog may be used, by a tool with `tool_options`.
    """

    name: str = "oxen_submit"
    description: str = jobs.SUBMIT
    args_schema: Any = jobs.SubmitArguments
    media_tools: dict[str, OxenMediaTool] = Field(default_factory=dict, repr=False)
    """Model id → tool."""
    any_model: bool = False
    tool_options: dict[str, Any] = Field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[Any, Any]:
        refuse_to_pickle_password(self.tool_options.get("save_to"))
        return super().__getstate__()

    def quote(self, arguments: Mapping[str, Any], *, budget: Budget | None = None) -> Quote:
        """Return what a call with these arguments will cost, or that it is unknown."""
        from oxen_inference.catalog.pricing import Quote

        tool = self.media_tools.get(str(arguments.get("model")))
        if tool is None:
            return Quote(reason=f"{arguments.get('model')} is not one of this tool's models")
        return tool.quote(jobs.model_arguments(arguments), budget=budget)

    async def aquote(self, arguments: Mapping[str, Any], *, budget: Budget | None = None) -> Quote:
        """Do what `quote` does without blocking the running loop."""
        tool = self.media_tools.get(str(arguments.get("model")))
        if tool is None:
            return self.quote(arguments)
        return await tool.aquote(jobs.model_arguments(arguments), budget=budget)

    def paid_job(self, request: ToolRequest) -> MediaResult | None:
        """Return the job, already paid for, that this call would join; None if there is none."""
        tool = self.media_tools.get(request.arguments["model"])
        if tool is None and self.any_model:
            client = self.connection.get_client()
            tool = self._build_tool(client.catalog.get(request.arguments["model"]))
        wanted = None if tool is None else _read_model_request(tool, request)
        return None if tool is None or wanted is None else tool.paid_job(wanted)

    async def apaid_job(self, request: ToolRequest) -> MediaResult | None:
        tool = self.media_tools.get(request.arguments["model"])
        if tool is None and self.any_model:
            client = await self.connection.get_async_client()
            tool = self._build_tool(await client.catalog.get(request.arguments["model"]))
        wanted = None if tool is None else _read_model_request(tool, request)
        return None if tool is None or wanted is None else await tool.apaid_job(wanted)

    def with_budget(self, budget: Budget) -> Self:
        """Return this tool paid from `budget`. Raises `ConfigurationError` if it has another."""
        check_single_budget(self.name, self.tool_options.get("budget"), budget)
        media_tools = {id_: tool.with_budget(budget) for id_, tool in self.media_tools.items()}
        tool_options = {**self.tool_options, "budget": budget}
        return self.model_copy(update={"media_tools": media_tools, "tool_options": tool_options})

    def capped(self, max_cost: Decimal | None) -> Self:
        """Return this tool with `max_cost` USD as the most that a call may cost, if it had more."""
        media_tools = {id_: tool.capped(max_cost) for id_, tool in self.media_tools.items()}
        own = read_money(self.tool_options.get("max_cost"))
        limits = [limit for limit in (own, max_cost) if limit is not None]
        tool_options = {**self.tool_options, "max_cost": min(limits, default=None)}
        return self.model_copy(update={"media_tools": media_tools, "tool_options": tool_options})

    def _call(self, client: OxenClient, request: ToolRequest) -> ContentAndArtifact:
        tool = self._allowed_tool(request)
        if tool is None:
            tool = self._build_tool(client.catalog.get(request.arguments["model"]))
        kwargs = tool.request_kwargs(client, _model_request(tool, request))
        return _submitted(client.media.submit(**kwargs).result)

    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> ContentAndArtifact:
        tool = self._allowed_tool(request)
        if tool is None:
            tool = self._build_tool(await client.catalog.get(request.arguments["model"]))
        kwargs = await tool.arequest_kwargs(client, _model_request(tool, request))
        return _submitted((await client.media.submit(**kwargs)).result)

    def _allowed_tool(self, request: ToolRequest) -> OxenMediaTool | None:
        model_id = request.arguments["model"]
        if not self.any_model:
            jobs.check_allowed(model_id, self.media_tools)
        return self.media_tools.get(model_id)

    def _build_tool(self, model: Model) -> OxenMediaTool:
        return OxenMediaTool(model=model, connection=self.connection, **self.tool_options)


def _model_request(tool: OxenMediaTool, request: ToolRequest) -> ToolRequest:
    """Return the request to a model's own tool that a submission means."""
    arguments = jobs.model_arguments(request.arguments)
    parsed = tool._parse_input(arguments, request.tool_call_id)
    assert isinstance(parsed, dict)  # noqa: S101 - a dict went in
    return request.with_arguments(parsed)


def _read_model_request(tool: OxenMediaTool, request: ToolRequest) -> ToolRequest | None:
    """Return what `_model_request` does, or None for arguments that the model does not take."""
    try:
        return _model_request(tool, request)
    except ValueError:
        return None


def _submitted(result: MediaResult) -> ContentAndArtifact:
    return jobs.describe_submitted(result), text.references(result)


class OxenCheckTool(OxenTool):
    """Says how far generations are, and saves finished ones to `save_to`."""

    name: str = "oxen_check"
    description: str = jobs.CHECK
    args_schema: Any = jobs.CheckArguments
    save_to: str | Path | None = Field(default=None, repr=False)
    timeout: float | None = None
    """Seconds that fetching a result may take where the call does not say how long to wait."""

    def __getstate__(self) -> dict[Any, Any]:
        refuse_to_pickle_password(self.save_to)
        return super().__getstate__()

    def _call(self, client: OxenClient, request: ToolRequest) -> ContentAndArtifact:
        return _report(jobs.check(client, **self._check_kwargs(request)))

    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> ContentAndArtifact:
        return _report(await jobs.acheck(client, **self._check_kwargs(request)))

    def _check_kwargs(self, request: ToolRequest) -> dict[str, Any]:
        return {
            "generation_ids": request.arguments["generation_ids"],
            "wait": request.arguments["wait_seconds"],
            "timeout": self.timeout,
            "save_to": self.save_to,
            "on_progress": request.on_progress,
        }


class OxenCancelTool(OxenTool):
    """Asks the hub to cancel generations, and says which state they are in."""

    name: str = "oxen_cancel"
    description: str = jobs.CANCEL
    args_schema: Any = jobs.CancelArguments

    def _call(self, client: OxenClient, request: ToolRequest) -> ContentAndArtifact:
        return _report(jobs.cancel(client, request.arguments["generation_ids"]))

    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> ContentAndArtifact:
        return _report(await jobs.acancel(client, request.arguments["generation_ids"]))


def _report(results: list[jobs.Job]) -> ContentAndArtifact:
    return jobs.describe_jobs(results), jobs.jobs_as_data(results)


class OxenFindModelsTool(OxenTool):
    """Finds models by filters: text for the language model, rows of plain data as the artifact.

    Give a client, or the `api_key` and `base_url` of one. Costs nothing.
    """

    name: str = "find_models"
    description: str = (
        "Find AI models on Oxen.ai by what they must make, take, last and cost. Returns a short "
        "ranked list with ids, prices and the parameters to use."
    )
    args_schema: Any = jobs.FindModelsInput
    only: Sequence[Any] = Field(default=(), repr=False)
    """The `Model` objects to choose from; empty means the catalog's."""
    media_only: bool = False
    """Whether to find only models that make images, videos or audio."""

    def __init__(
        self,
        *,
        api_key: Any = None,
        base_url: str | None = None,
        client: OxenClient | AsyncOxenClient | None = None,
        **fields: Any,
    ) -> None:
        from oxen_inference.client_settings import refuse_beside_client
        from oxen_inference.media.option_names import refuse_unknown

        own = {"api_key", "base_url", "client", *type(self).model_fields}
        refuse_unknown(fields, own)
        if client is not None:
            refuse_beside_client(api_key, base_url)
        connection = Connection(client=client, api_key=api_key, base_url=base_url)
        super().__init__(**{"connection": connection, **fields})

    def _call(self, client: OxenClient, request: ToolRequest) -> ContentAndArtifact:
        return self._search(self.only or client.catalog.list(), request)

    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> ContentAndArtifact:
        return self._search(self.only or await client.catalog.list(), request)

    def _search(self, models: Sequence[Any], request: ToolRequest) -> ContentAndArtifact:
        return jobs.search_models(models, request.arguments, media_only=self.media_only)
