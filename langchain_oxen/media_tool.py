"""`OxenMediaTool`: one image, video or audio model as a tool that pays once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from typing_extensions import Self

from langchain_oxen.tool_base import Answer, OxenTool, ToolRequest
from oxen_inference.tools import inputs, text
from oxen_inference.tools.connection import Connection
from oxen_inference.tools.maker import Maker
from oxen_inference.tools.settings import (
    check_limits,
    connection_for,
    kind_of,
    refuse_second_budget,
    tool_name,
)

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.catalog.pricing import Quote
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.ledger.budgets import Budget


class OxenMediaTool(OxenTool):
    """Makes images, videos or audio with one model; arguments, name and description are its own.

    Make it with `for_model` or `afor_model`. In a LangGraph thread the key of a call is its
    thread and tool-call id: a run that is resumed, replayed or repeated finds the generation it
    paid for. The model gets a short text, the program an artifact: the `MediaResult` as plain
    data with URLs, paths and ids, never bytes.

    ```python
    from langchain_oxen import OxenMediaTool

    draw = OxenMediaTool.for_model("flux-2-dev", max_cost="0.10", aspect_ratio="1:1")
    print(draw.invoke({"prompt": "an ox at dawn"}))
    ```
    """

    model: Any = Field(repr=False)
    """The `Model` it calls."""
    pinned: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Parameters that are always sent and that the model does not see; a `Path` is read when the
    tool is made."""
    save_to: str | Path | None = None
    """Folder that results are saved in; None leaves them where their URLs say, and audio, which
    has none, in the system's folder for temporary files."""
    max_cost: Any = None
    """Most USD that one call may cost."""
    budget: Any = None
    """A `Budget` that all calls are paid from, or an amount for one of this tool's own."""
    allow_unknown_cost: bool = False
    """Whether a model without a price may run under `max_cost` or `budget`."""
    timeout: float | None = None
    """Seconds a call waits; what is not ready then goes on, and is found by the next same call."""
    on_interrupt: Literal["detach", "cancel"] = "detach"
    """What becomes of a generation whose call times out or is cancelled."""
    inputs_from: str | Path | None = None
    """Folder whose files the model may name as inputs; none by default."""

    @classmethod
    def for_model(
        cls,
        model: str | Model,
        *,
        client: OxenClient | AsyncOxenClient | None = None,
        api_key: Any = None,
        base_url: str | None = None,
        name: str | None = None,
        save_to: str | Path | None = None,
        max_cost: Any = None,
        budget: Any = None,
        ledger: Any = ...,
        timeout: float | None = None,
        on_interrupt: Literal["detach", "cancel"] = "detach",
        **pinned: Any,
    ) -> Self:
        """Make the tool of a model; an id is looked up, a `Model` in hand is taken as it is.

        `pinned` are parameters of the model, but for the names of this class's own fields:
        `description`, `allow_unknown_cost`, `inputs_from`, … and ``pinned={...}`` for a parameter
        whose name is taken. `ledger` is the ledger; None keeps none. Raises `ModelNotFoundError`,
        `InvalidInputError`, `ConfigurationError`, before anything is paid.
        """
        connection = connection_for(client, api_key, base_url, ledger, budget)
        if isinstance(model, str):
            model = connection.sync().catalog.get(model)
        return cls._of(
            model, connection, pinned, name=name, save_to=save_to, max_cost=max_cost, budget=budget,
            timeout=timeout, on_interrupt=on_interrupt,
        )  # fmt: skip

    @classmethod
    async def afor_model(
        cls,
        model: str | Model,
        *,
        client: OxenClient | AsyncOxenClient | None = None,
        api_key: Any = None,
        base_url: str | None = None,
        ledger: Any = ...,
        budget: Any = None,
        **options: Any,
    ) -> Self:
        """Do what `for_model` does, with the same arguments, without blocking the running loop."""
        connection = await asyncio.to_thread(
            connection_for, client, api_key, base_url, ledger, budget
        )
        if isinstance(model, str):
            model = await (await connection.running()).catalog.get(model)
        return cls._of(model, connection, options, budget=budget)

    @classmethod
    def _of(cls, model: Model, connection: Connection, rest: dict[str, Any], **fields: Any) -> Self:
        """Make the tool; whatever in `rest` is no field of the class is a pinned parameter."""
        own = cls.model_fields.keys() - {"model", "connection", "args_schema", "response_format"}
        fields |= {name: rest[name] for name in rest.keys() & own}
        pinned = {**fields.pop("pinned", {}), **{n: v for n, v in rest.items() if n not in own}}
        given = {name: value for name, value in fields.items() if value is not None}
        return cls(model=model, connection=connection, pinned=pinned, **given)

    def __init__(self, **fields: Any) -> None:
        from oxen_inference.catalog import request_schema
        from oxen_inference.errors import InvalidInputError
        from oxen_inference.ledger.budgets import as_budget

        model = fields.get("model")
        if model is None or isinstance(model, str):
            wanted = model or "flux-2-dev"
            raise InvalidInputError(f"Models are looked up by OxenMediaTool.for_model({wanted!r}).")
        kind_of(model)
        limits = ("max_cost", "timeout", "on_interrupt", "save_to")
        check_limits(**{name: fields[name] for name in limits if name in fields})
        budget = as_budget(fields.get("budget"))
        pinned = inputs.inlined(fields.get("pinned") or {})
        pinned = request_schema.validate(model, pinned, partial=True)
        super().__init__(
            **{
                "name": tool_name(model),
                "description": text.tool_description(model, pinned),
                "args_schema": request_schema.arguments_model(model, pinned=pinned),
                **fields,
                "budget": budget,
                "pinned": pinned,
            }
        )

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        # A class made at run time cannot be found by its name.
        return {**state, "__dict__": {**state["__dict__"], "args_schema": None}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        from oxen_inference.catalog.request_schema import arguments_model

        super().__setstate__(state)
        self.args_schema = arguments_model(self.model, pinned=self.pinned)

    def quote(self, arguments: Mapping[str, Any]) -> Quote:
        """Return what a call with these arguments will cost, or that it is unknown. Sends nothing.

        Raises `ValueError` for arguments that the model would not take.
        """
        from oxen_inference.catalog.pricing import quote

        return quote(self.model, self.parameters(self.placed(arguments, None, {}).arguments))

    def paid_from(self, budget: Budget) -> Self:
        """Return the tool paying from `budget`. Raises `ConfigurationError` if it has another."""
        refuse_second_budget(self.name, self.budget, budget)
        return self.model_copy(update={"budget": budget})

    def is_begun(self, request: ToolRequest) -> bool:
        """Whether this call would attach to a job that is paid for already."""
        client = self.connection.sync()
        return client.media.find(**self.order(client, request)) is not None

    async def ais_begun(self, request: ToolRequest) -> bool:
        client = await self.connection.running()
        return await client.media.find(**await self.aorder(client, request)) is not None

    def parameters(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of the request that a call with these arguments makes."""
        to_params = getattr(self.args_schema, "to_params", dict)
        return {**to_params(arguments), **self.pinned}

    def _parse_input(
        self, tool_input: str | dict[str, Any], tool_call_id: str | None
    ) -> str | dict[str, Any]:
        assert isinstance(tool_input, dict)  # noqa: S101 - `_to_args_and_kwargs` makes one of a text
        marked = self.maker.marked(tool_input, self.args_schema)
        return super()._parse_input(marked, tool_call_id)

    def _call(self, client: OxenClient, request: ToolRequest) -> Answer:
        order = self.order(client, request)
        result = client.media.generate(**order, **self.maker.waiting(), on_progress=request.tell)
        return text.describe(result), text.references(result)

    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> Answer:
        order = await self.aorder(client, request)
        result = await client.media.generate(
            **order, **self.maker.waiting(), on_progress=request.tell
        )
        return text.describe(result), text.references(result)

    def order(self, client: OxenClient, request: ToolRequest) -> dict[str, Any]:
        """Return what `client.media` is to pay for, its inputs resolved, and under which key."""
        params, key = self.parameters(request.arguments), request.key_for(self.model.id)
        return self.maker.order(client, params, key=key, conversation=request.conversation)

    async def aorder(self, client: AsyncOxenClient, request: ToolRequest) -> dict[str, Any]:
        params, key = self.parameters(request.arguments), request.key_for(self.model.id)
        return await self.maker.aorder(client, params, key=key, conversation=request.conversation)

    @property
    def maker(self) -> Maker:
        """The model with these settings, as the core takes it."""
        return Maker(model=self.model, **{name: getattr(self, name) for name in _SETTINGS})


_SETTINGS = [one.name for one in fields(Maker) if one.name != "model"]
