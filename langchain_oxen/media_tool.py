"""`OxenMediaTool`: one image, video or audio model as a tool that pays once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.tools import ToolException
from pydantic import Field
from typing_extensions import Self

from langchain_oxen.tool_base import ContentAndArtifact, OxenTool, ToolRequest
from oxen_inference.money import read_money
from oxen_inference.tools import inputs, text
from oxen_inference.tools.calls import check_list, input_arguments, naming_input
from oxen_inference.tools.connection import Connection, connection_for
from oxen_inference.tools.media_config import (
    MediaToolConfig,
    check_limits,
    check_single_budget,
    for_list,
    media_type_of,
    refuse_to_pickle_password,
    tool_name,
)

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.catalog.pricing import Quote
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.errors import OxenError
    from oxen_inference.ledger.budgets import Budget
    from oxen_inference.result import MediaResult


class OxenMediaTool(OxenTool):
    """Makes images, videos or audio with one model, whose parameters are the tool's arguments.

    Make it with `for_model` or `afor_model`. In a LangGraph thread, the key of a call is the
    thread's id and the tool call's id: a run that is resumed, replayed or repeated finds the
    generation it paid for. The model reads a short text. Your program gets an artifact: the
    `MediaResult` as plain data with URLs, paths and ids, never bytes.

    ```python
    from langchain_oxen import OxenMediaTool

    draw = OxenMediaTool.for_model("flux-2-dev", max_cost="0.10", aspect_ratio="1:1")
    print(draw.invoke({"prompt": "an ox at dawn"}))
    ```
    """

    model: Any = Field(repr=False)
    """The `Model` it calls."""
    pinned: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Parameters that are always sent and that the model does not see. A `Path` is read when the
    tool is made."""
    save_to: str | Path | None = Field(default=None, repr=False)  # a URL may hold a password
    """Folder that results are saved in. With None they stay at their URLs; audio, which may have
    no URL, is saved all the same, in ``results/audio`` of the state directory (``OXEN_STATE_DIR``)."""
    max_cost: Any = None
    """Most USD that one call may cost."""
    budget: Any = None
    """A `Budget` that all calls are paid from, or an amount in USD for a budget of this tool."""
    allow_unknown_cost: bool = False
    """Whether a model without a price may run under `max_cost` or `budget`."""
    timeout: float | None = None
    """Seconds that a call waits. What is not ready then goes on; the same call again finds it."""
    on_interrupt: Literal["detach", "cancel"] = "detach"
    """What happens to a generation whose call times out or is canceled."""
    inputs_from: str | Path | None = None
    """Folder whose files the model may name as inputs; by default it may name none."""
    price_caps: Any = None
    """Most USD that one generation may cost, by model id, for a model without a usable price."""
    inline_inputs: bool = False
    """Whether earlier results are sent inside the request, for providers that cannot fetch them."""

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
        """Make the tool for a model; an id is looked up in the catalog.

        `pinned` are parameters of the model, except for names of this class's own fields, such as
        `description`, `allow_unknown_cost` and `inputs_from`; ``pinned={...}`` takes a parameter
        whose name is one of those. ``ledger=None`` keeps no ledger. Raises `ModelNotFoundError`,
        `InvalidInputError` and `ConfigurationError`, before anything is paid.
        """
        connection = connection_for(client, api_key, base_url, ledger, budget)
        if isinstance(model, str):
            model = connection.get_client().catalog.get(model)
        return cls._build(
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
            model = await (await connection.get_async_client()).catalog.get(model)
        return cls._build(model, connection, options, budget=budget)

    @classmethod
    def _build(
        cls, model: Model, connection: Connection, rest: dict[str, Any], **fields: Any
    ) -> Self:
        """Make the tool; a name in `rest` that is not a field of the class is a pinned parameter."""
        from oxen_inference.catalog.models import Model
        from oxen_inference.catalog.parameters import parameters
        from oxen_inference.media.option_names import check_names, refuse_keywords

        own = cls.model_fields.keys() - {"model", "connection", "args_schema", "response_format"}
        fields |= {name: rest[name] for name in rest.keys() & own}
        pinned = {**fields.pop("pinned", {}), **{n: v for n, v in rest.items() if n not in own}}
        known = parameters(model).fields if isinstance(model, Model) else {}
        check_names(pinned.keys() - known.keys(), own)
        refuse_keywords(rest.keys() - own, model, "pinned={...}")
        given = {name: value for name, value in fields.items() if value is not None}
        return cls(model=model, connection=connection, pinned=pinned, **given)

    def __init__(self, **fields: Any) -> None:
        from oxen_inference.catalog.parameters import validate
        from oxen_inference.catalog.tool_args import arguments_model
        from oxen_inference.errors import InvalidInputError
        from oxen_inference.ledger.budgets import as_budget
        from oxen_inference.media.option_names import refuse_unknown
        from oxen_inference.price_caps import read_price_caps

        model = fields.get("model")
        if model is None or isinstance(model, str):
            model_id = model or "flux-2-dev"
            raise InvalidInputError(
                f"OxenMediaTool takes a Model, not an id: use OxenMediaTool.for_model({model_id!r})."
            )
        media_type_of(model)  # raises for a model that makes no media
        refuse_unknown(fields, type(self).model_fields.keys())
        limits = ("max_cost", "timeout", "on_interrupt", "save_to", "inputs_from")
        read_price_caps(fields.get("price_caps"))
        check_limits(**{name: fields[name] for name in limits if name in fields})
        budget = as_budget(fields.get("budget"))
        pinned = inputs.inline_files(fields.get("pinned") or {})
        pinned = validate(model, pinned, partial=True)
        super().__init__(
            **{
                "name": tool_name(model),
                "description": text.tool_description(model, pinned),
                "args_schema": arguments_model(model, pinned=pinned),
                **fields,
                "budget": budget,
                "pinned": pinned,
            }
        )

    def __getstate__(self) -> dict[Any, Any]:
        refuse_to_pickle_password(self.save_to)
        state = super().__getstate__()
        # A class made at run time cannot be found by its name.
        return {**state, "__dict__": {**state["__dict__"], "args_schema": None}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        from oxen_inference.catalog.tool_args import arguments_model

        super().__setstate__(state)
        self.args_schema = arguments_model(self.model, pinned=self.pinned)

    def quote(self, arguments: Mapping[str, Any], *, budget: Budget | None = None) -> Quote:
        """Return what a call with these arguments will cost, or that it is unknown. Free.

        `budget`: whose price caps count, in place of this tool's. Raises `ValueError` for arguments that the model does not take.
        """
        params = self.parameters(self.read_request(arguments, None, {}).arguments)
        config = replace(self.media_config, budget=budget or self.budget)
        return config.quote(self.connection.get_client(), params)

    async def aquote(self, arguments: Mapping[str, Any], *, budget: Budget | None = None) -> Quote:
        """Do what `quote` does without blocking the running loop."""
        params = self.parameters(self.read_request(arguments, None, {}).arguments)
        config = replace(self.media_config, budget=budget or self.budget)
        return await config.aquote(await self.connection.get_async_client(), params)

    def generate_many(
        self, inputs: Iterable[str | Mapping[str, Any]], **options: Any
    ) -> list[MediaResult | OxenError]:
        """Make one request of each input, with this tool's settings; errors are returned in place.

        For your own code: no model is asked, and nobody has to approve. `options` are those of
        `client.media.generate_as_completed`, such as `key_prefix` and `on_progress="bar"`; they go
        before this tool's settings, but of two `max_cost` the lower counts. Raises
        `ConfigurationError` for a budget where the tool has another, and `InvalidInputError` for an
        input or an option that does not fit, before anything is sent.
        """
        self._check_options(inputs, options)
        client = self.connection.get_client()
        settings, how = for_list(self._settings, options)
        config = MediaToolConfig(model=self.model, **settings)
        requests = []
        for index, each in enumerate(inputs):
            with naming_input(index):
                fields = self._request_fields(self._read_input(each))
                request = config.request_kwargs(client, **fields)
                requests.append({**request, **config.wait_kwargs()})
        made: list[MediaResult | OxenError] = client.media.generate_many(requests, **how)
        return made

    async def agenerate_many(
        self, inputs: Iterable[str | Mapping[str, Any]], **options: Any
    ) -> list[MediaResult | OxenError]:
        """Do what `generate_many` does without blocking the running loop."""
        client = await self.connection.get_async_client()
        self._check_options(inputs, options)
        settings, how = for_list(self._settings, options)
        config = MediaToolConfig(model=self.model, **settings)
        requests = []
        for index, each in enumerate(inputs):
            with naming_input(index):
                fields = self._request_fields(self._read_input(each))
                request = await config.arequest_kwargs(client, **fields)
                requests.append({**request, **config.wait_kwargs()})
        made: list[MediaResult | OxenError] = await client.media.generate_many(requests, **how)
        return made

    def _read_input(self, given: str | Mapping[str, Any]) -> ToolRequest:
        try:
            return self.read_request(input_arguments(given), None, {})
        except ToolException as error:  # with handle_tool_error=False, of the class's own checks
            raise error.__cause__ or error from None

    def _check_options(self, inputs: object, options: Mapping[str, Any]) -> None:
        """Raise `InvalidInputError` for inputs or options that `generate_many` does not take."""
        check_list(inputs, options, [self.model])
        if options.get("model", self.model.id) not in (self.model, self.model.id):
            from oxen_inference.errors import InvalidInputError

            raise InvalidInputError(
                f"{self.name} calls {self.model.id} only. Nothing was sent.",
                hint="Make a tool for the other model: OxenMediaTool.for_model(...).",
            )

    def with_budget(self, budget: Budget) -> Self:
        """Return this tool paid from `budget`. Raises `ConfigurationError` if it has another."""
        check_single_budget(self.name, self.budget, budget)
        return self.model_copy(update={"budget": budget})

    def capped(self, max_cost: Decimal | None) -> Self:
        """Return this tool with `max_cost` USD as the most that a call may cost, if it had more."""
        own = read_money(self.max_cost)
        limits = [limit for limit in (own, max_cost) if limit is not None]
        return self.model_copy(update={"max_cost": min(limits, default=None)})

    def paid_job(self, request: ToolRequest) -> MediaResult | None:
        """Return the job, already paid for, that this call would join; None if there is none."""
        client = self.connection.get_client()
        job = client.media.find(**self.request_kwargs(client, request))
        return None if job is None else job.result

    async def apaid_job(self, request: ToolRequest) -> MediaResult | None:
        client = await self.connection.get_async_client()
        job = await client.media.find(**await self.arequest_kwargs(client, request))
        return None if job is None else job.result

    def parameters(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of the request that a call with these arguments makes."""
        to_params = getattr(self.args_schema, "to_params", dict)
        return {**to_params(arguments), **self.pinned}

    def request_kwargs(self, client: OxenClient, request: ToolRequest) -> dict[str, Any]:
        """Return what `client.media` takes for a call: parameters, key, limits."""
        return self.media_config.request_kwargs(client, **self._request_fields(request))

    async def arequest_kwargs(
        self, client: AsyncOxenClient, request: ToolRequest
    ) -> dict[str, Any]:
        return await self.media_config.arequest_kwargs(client, **self._request_fields(request))

    @property
    def media_config(self) -> MediaToolConfig:
        """The model and the settings of this tool, as the core takes them."""
        return MediaToolConfig(model=self.model, **self._settings)

    @property
    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SETTINGS}

    def _request_fields(self, request: ToolRequest) -> dict[str, Any]:
        from oxen_inference.media.option_names import refuse_keywords

        refuse_keywords(request.arguments, self.model, "pinned={...} of for_model")
        return {
            "params": self.parameters(request.arguments),
            "key": request.key_for(self.model.id),
            "conversation": request.conversation,
        }

    def _parse_input(
        self, tool_input: str | dict[str, Any], tool_call_id: str | None
    ) -> str | dict[str, Any]:
        assert isinstance(tool_input, dict)  # noqa: S101 - `_to_args_and_kwargs` makes one of a str
        marked = self.media_config.mark_inputs(tool_input, self.args_schema)
        return super()._parse_input(marked, tool_call_id)

    def _call(self, client: OxenClient, request: ToolRequest) -> ContentAndArtifact:
        result = client.media.generate(
            **self.request_kwargs(client, request),
            **self.media_config.wait_kwargs(),
            on_progress=request.on_progress,
        )
        return text.describe(result), text.references(result)

    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> ContentAndArtifact:
        result = await client.media.generate(
            **await self.arequest_kwargs(client, request),
            **self.media_config.wait_kwargs(),
            on_progress=request.on_progress,
        )
        return text.describe(result), text.references(result)


_SETTINGS = [field.name for field in fields(MediaToolConfig) if field.name != "model"]
