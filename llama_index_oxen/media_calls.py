"""The calls of the spec's tools: check the arguments, ask about money, generate, report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import ValidationError

from llama_index_oxen.events import OxenProgressEvent
from llama_index_oxen.tool_calls import MALFORMED
from llama_index_oxen.tool_result import OxenToolResult
from llama_index_oxen.workflow_context import (
    CallSite,
    ask,
    earlier_approval,
    raise_cannot_ask,
    read_call_site,
    was_asked,
)
from oxen_inference.tools import jobs, text
from oxen_inference.tools.approval import needs_approval
from oxen_inference.tools.calls import (
    check_list,
    explain_validation,
    input_arguments,
    is_for_developers,
    naming_input,
)
from oxen_inference.tools.connection import Connection
from oxen_inference.tools.media_config import (
    ROLES,
    MediaToolConfig,
    check_role,
    for_list,
    image_inputs,
    media_type_of,
    refuse_to_pickle_password,
    roles_of,
    tool_name,
)

if TYPE_CHECKING:
    from decimal import Decimal

    from llama_index.core.workflow import Context

    from oxen_inference.catalog.models import Model
    from oxen_inference.catalog.pricing import Quote
    from oxen_inference.errors import OxenError
    from oxen_inference.result import MediaResult


@dataclass(frozen=True, slots=True)
class _ProgressWriter:
    """Writes the progress of one call to the workflow's stream; `ctx` is None outside of one."""

    tool: str
    ctx: Context | None
    site: CallSite | None

    def __call__(self, progress: Any) -> None:
        if self.ctx is None:
            return
        fields = {**asdict(progress), "generation_ids": list(progress.generation_ids)}
        tool_id = self.site.tool_id if self.site else None
        self.ctx.write_event_to_stream(
            OxenProgressEvent(tool_name=self.tool, tool_id=tool_id, **fields)
        )


@dataclass(frozen=True, kw_only=True)
class MediaCalls:
    """What all tools of a spec share; each method answers one call and has an async version."""

    connection: Connection
    given_models: Sequence[str | Model]
    settings: Mapping[str, Any]
    """Fields of `MediaToolConfig`."""
    confirm_above: Decimal | None
    show_images: bool

    def __getstate__(self) -> dict[str, Any]:
        refuse_to_pickle_password(self.settings["save_to"])
        return vars(self)

    def __deepcopy__(self, _: Any) -> MediaCalls:
        return self  # nothing in it changes

    # Models

    def models(self) -> dict[str, Model]:
        """Return the given models by id; looks ids up. Raises `ModelNotFoundError`."""
        catalog = self.connection.get_client().catalog
        models = [catalog.get(m) if isinstance(m, str) else m for m in self.given_models]
        return {model.id: model for model in models}

    async def amodels(self) -> dict[str, Model]:
        """Return the given models without blocking the running loop."""
        catalog = (await self.connection.get_async_client()).catalog
        models = [await catalog.get(m) if isinstance(m, str) else m for m in self.given_models]
        return {model.id: model for model in models}

    # Generations

    def generate(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        model: Model | None = None,
        *,
        role: str | None = None,
        wait: bool = True,
    ) -> OxenToolResult:
        """Generate with `model`, or with the one that the arguments or the tool's role mean."""
        from oxen_inference.errors import OxenError

        role = role or (tool if tool in ROLES else None)

        client = self.connection.get_client()
        try:
            if model is None:
                given = self.models() if self.given_models else None
                choice = _choose_model(tool, arguments, given)
                model = choice if not isinstance(choice, str) else client.catalog.get(choice)
                arguments = _model_arguments(arguments, nested=given is None or not wait)
            config, params = self._check_arguments(model, arguments, role)
            kwargs = config.request_kwargs(
                client, params, key=None, conversation=self.connection.session
            )
            price = config.quote(client, params) if self.confirm_above is not None else None
            if self._must_ask(price) and client.media.find(**kwargs) is None:
                raise_cannot_ask(tool)
            if not wait:
                return _submitted(client.media.submit(**kwargs).result)
            result = client.media.generate(**kwargs, **config.wait_kwargs())
        except (OxenError, ValidationError) as error:
            return error_result(error)
        return self._generated(result)

    def generate_many(
        self, tool: str, inputs: Iterable[str | Mapping[str, Any]], **options: Any
    ) -> list[MediaResult | OxenError]:
        """Make one request of each input, as the tool of that name would."""
        client = self.connection.get_client()
        given = self.models() if self.given_models else None
        role, defaults = _read_run(tool, inputs, options, given)
        requests: list[dict[str, Any]] = []
        settings, how = for_list(self.settings, options)
        calls = replace(self, settings=settings)
        for index, each in enumerate(inputs):
            with naming_input(index):
                arguments = {**defaults, **input_arguments(each)}
                choice = _choose_model(role, arguments, given, _ONE_OF_SEVERAL)
                chosen = choice if not isinstance(choice, str) else client.catalog.get(choice)
                own = _model_arguments(arguments, nested=given is None)
                config, params = calls._check_arguments(chosen, own, role)
                request = config.request_kwargs(client, params, key=None, conversation=None)
                requests.append({**request, **config.wait_kwargs()})
        return client.media.generate_many(requests, **how)

    async def agenerate_many(
        self, tool: str, inputs: Iterable[str | Mapping[str, Any]], **options: Any
    ) -> list[MediaResult | OxenError]:
        """Do what `generate_many` does without blocking the running loop."""
        client = await self.connection.get_async_client()
        given = await self.amodels() if self.given_models else None
        role, defaults = _read_run(tool, inputs, options, given)
        requests: list[dict[str, Any]] = []
        settings, how = for_list(self.settings, options)
        calls = replace(self, settings=settings)
        for index, each in enumerate(inputs):
            with naming_input(index):
                arguments = {**defaults, **input_arguments(each)}
                choice = _choose_model(role, arguments, given, _ONE_OF_SEVERAL)
                chosen = choice if not isinstance(choice, str) else await client.catalog.get(choice)
                own = _model_arguments(arguments, nested=given is None)
                config, params = calls._check_arguments(chosen, own, role)
                request = await config.arequest_kwargs(client, params, key=None, conversation=None)
                requests.append({**request, **config.wait_kwargs()})
        return await client.media.generate_many(requests, **how)

    async def agenerate(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        ctx: Context | None,
        model: Model | None = None,
        *,
        role: str | None = None,
        wait: bool = True,
    ) -> OxenToolResult:
        """Do what `generate` does without blocking the loop; a replayed call is paid for once."""
        role = role or (tool if tool in ROLES else None)
        client = await self.connection.get_async_client()
        from oxen_inference.errors import OxenError

        site = None if ctx is None else await read_call_site(ctx)
        approval = None if ctx is None or site is None else await earlier_approval(ctx, site)
        try:
            if model is None:
                given = await self.amodels() if self.given_models else None
                choice = _choose_model(tool, arguments, given)
                model = choice if not isinstance(choice, str) else await client.catalog.get(choice)
                arguments = _model_arguments(arguments, nested=given is None or not wait)
            config, params = self._check_arguments(model, arguments, role)
            key, conversation = None, self.connection.session
            if site is not None:
                key, conversation = site.key(tool, model.id, params), site.conversation
            kwargs = await config.arequest_kwargs(
                client, params, key=key, conversation=conversation
            )
            if approval is not None and site is not None:
                is_same = approval.call == site.key(tool, model.id, params)
                approval = approval if is_same else None
            price = None
            if approval is None and self.confirm_above is not None:
                price = await config.aquote(client, params)
            if price is not None and self._must_ask(price):
                asked = site is not None and was_asked(site.key(tool, model.id, params))
                if asked or await client.media.find(**kwargs) is None:
                    if not asked:
                        self._check_budget(price)
                    if ctx is None or site is None:
                        raise_cannot_ask(tool)
                    approval = await ask(ctx, site, tool, model, params, price)
            if approval is not None:
                if not approval.decision.approved:
                    is_paid = await client.media.find(**kwargs) is not None
                    message = text.declined(approval.decision.reason, is_paid=is_paid)
                    return OxenToolResult(text=message, is_error=True)
                kwargs["max_cost"] = approval.limit(kwargs["max_cost"])
            if not wait:
                return _submitted((await client.media.submit(**kwargs)).result)
            result = await client.media.generate(
                **kwargs, **config.wait_kwargs(), on_progress=_ProgressWriter(tool, ctx, site)
            )
        except (OxenError, ValidationError) as error:
            return error_result(error)
        return self._generated(result)

    def _check_arguments(
        self, model: Model, arguments: Mapping[str, Any], role: str | None
    ) -> tuple[MediaToolConfig, dict[str, Any]]:
        """Return the parameters that a model's arguments mean, and the settings of the call.

        `role`: one of `ROLES`, or None for any. Raises `InvalidInputError`, ValidationError.
        """
        from oxen_inference.catalog.tool_args import arguments_model
        from oxen_inference.errors import InvalidInputError
        from oxen_inference.media.option_names import refuse_keywords

        if arguments.keys() == MALFORMED.keys():
            raise InvalidInputError("The call was cut off or is no JSON object. Nothing was sent.")
        media_type_of(model)  # raises for a model that makes no media
        refuse_keywords(arguments, model)
        if role is not None:
            check_role(model, role)
        needs = image_inputs(model) if role == "edit_image" else ()
        config = MediaToolConfig(model=model, **self.settings)
        schema = arguments_model(model, needs=needs)
        validated = schema.model_validate(config.mark_inputs(arguments, schema))
        return config, schema.to_params(validated.model_dump())

    def _must_ask(self, price: Quote | None) -> bool:
        return price is not None and needs_approval(self.confirm_above, price)

    def _check_budget(self, price: Quote) -> None:
        """Raise `BudgetExceededError` for a call that is too expensive to ask about."""
        budget = self.settings["budget"]
        if budget is not None and price.high is not None:
            budget.check(price.high)

    def _generated(self, result: MediaResult) -> OxenToolResult:
        shown = result.paths if self.show_images and result.media_type == "image" else ()
        return OxenToolResult(
            text=text.describe(result),
            data=text.references(result),
            images=[Path(path) for path in shown],
        )

    # Jobs

    def check(self, arguments: Mapping[str, Any]) -> OxenToolResult:
        """Say how far generations are, and save those that are done."""
        from oxen_inference.errors import OxenError

        try:
            kwargs = self._check_kwargs(arguments, _ProgressWriter("oxen_check", None, None))
            return _report(jobs.check(self.connection.get_client(), **kwargs))
        except (OxenError, ValidationError) as error:
            return error_result(error)

    async def acheck(self, arguments: Mapping[str, Any], ctx: Context | None) -> OxenToolResult:
        """Say how far generations are without blocking the running loop."""
        client = await self.connection.get_async_client()
        from oxen_inference.errors import OxenError

        site = None if ctx is None else await read_call_site(ctx)
        try:
            kwargs = self._check_kwargs(arguments, _ProgressWriter("oxen_check", ctx, site))
            return _report(await jobs.acheck(client, **kwargs))
        except (OxenError, ValidationError) as error:
            return error_result(error)

    def cancel(self, arguments: Mapping[str, Any]) -> OxenToolResult:
        """Cancel generations that are not ready yet."""
        from oxen_inference.errors import OxenError

        try:
            ids = jobs.CancelArguments.model_validate(arguments).generation_ids
            return _report(jobs.cancel(self.connection.get_client(), ids))
        except (OxenError, ValidationError) as error:
            return error_result(error)

    async def acancel(self, arguments: Mapping[str, Any]) -> OxenToolResult:
        """Cancel generations without blocking the running loop."""
        client = await self.connection.get_async_client()
        from oxen_inference.errors import OxenError

        try:
            ids = jobs.CancelArguments.model_validate(arguments).generation_ids
            return _report(await jobs.acancel(client, ids))
        except (OxenError, ValidationError) as error:
            return error_result(error)

    def find_models(self, arguments: Mapping[str, Any]) -> OxenToolResult:
        """Find models for a need, among those given or in the catalog."""
        from oxen_inference.errors import OxenError

        try:
            models = list(self.models().values()) or self.connection.get_client().catalog.list()
            return _search(models, arguments)
        except (OxenError, ValidationError) as error:
            return error_result(error)

    async def afind_models(self, arguments: Mapping[str, Any]) -> OxenToolResult:
        """Find models for a need without blocking the running loop."""
        client = await self.connection.get_async_client()
        from oxen_inference.errors import OxenError

        try:
            models = list((await self.amodels()).values()) or await client.catalog.list()
            return _search(models, arguments)
        except (OxenError, ValidationError) as error:
            return error_result(error)

    def _check_kwargs(self, arguments: Mapping[str, Any], on_progress: Any) -> dict[str, Any]:
        checked = jobs.CheckArguments.model_validate(arguments)
        return {
            "generation_ids": checked.generation_ids,
            "wait": checked.wait_seconds,
            "timeout": self.settings["timeout"],
            "save_to": self.settings["save_to"],
            "on_progress": on_progress,
        }


def error_result(error: Exception) -> OxenToolResult:
    """Return an error as a result the model can act on, or raise it."""
    if isinstance(error, ValidationError):
        return OxenToolResult(text=explain_validation(error), is_error=True)
    if is_for_developers(error):
        raise error
    paid = text.references(getattr(error, "result", None))
    return OxenToolResult(text=text.explain(error), data=paid, is_error=True)


_ONE_OF_SEVERAL = 'Name the model in each input, {"prompt": …, "model": …}'


def _choose_model(
    tool: str,
    arguments: Mapping[str, Any],
    given: Mapping[str, Model] | None,
    how_to_name_one: str = "Name one of the models, model='…'",
) -> Model | str:
    """Return the model that a call means, or its id. Raises `InvalidInputError`."""
    from oxen_inference.errors import InvalidInputError

    model_id = arguments.get("model")
    if given is None:
        if not model_id:
            raise InvalidInputError("Name a model: model='…'; oxen_find_models finds one.")
        return str(model_id)
    if model_id:
        jobs.check_allowed(str(model_id), given)
        return given[str(model_id)]
    suitable = [model for model in given.values() if tool not in ROLES or tool in roles_of(model)]
    if not suitable:
        filled = dict.fromkeys(role for model in given.values() for role in roles_of(model))
        raise InvalidInputError(
            f"No model given to this tool spec is for {tool}: {', '.join(given)}. They are for "
            f"{', '.join(filled)}."
        )
    if len(suitable) > 1:
        ids = ", ".join(model.id for model in suitable)
        names = ", ".join(tool_name(model, tool) for model in suitable) if tool in ROLES else ""
        or_tool = f", or the tool: {names}" if names and how_to_name_one is _ONE_OF_SEVERAL else ""
        raise InvalidInputError(f"{how_to_name_one}: {ids}{or_tool}.")
    return suitable[0]


def _read_run(
    tool: str, inputs: object, options: dict[str, Any], given: Mapping[str, Model] | None
) -> tuple[str, dict[str, Any]]:
    """Return the role that a tool's name means, and the arguments of inputs that name no other.

    A model among the `options` is taken out of them. Raises `InvalidInputError`.
    """
    models = list((given or {}).values())
    check_list(inputs, options, models)
    filling = {role: [m for m in models if role in roles_of(m)] for role in ROLES}
    of_models = {tool_name(m, role): (role, m) for role, filled in filling.items() for m in filled}
    name = tool if tool in ROLES or tool in of_models else str(tool).removeprefix("a")
    if name not in ROLES and name not in of_models:
        from oxen_inference.catalog.suggestions import did_you_mean, suggestion
        from oxen_inference.errors import InvalidInputError

        roles = [role for role in ROLES if filling[role] or not models]
        several = [n for n, (role, _) in of_models.items() if len(filling[role]) > 1]
        raise InvalidInputError(
            f"OxenToolSpec has no tool {tool!r} that makes something. Choose from "
            f"{', '.join([*roles, *several])}. Nothing was sent.",
            hint=suggestion(did_you_mean(name, [*roles, *several])) or None,
        )
    role, model = of_models.get(name, (name, None))
    named = options.pop("model", None) or model
    return role, {} if named is None else {"model": getattr(named, "id", named)}


def _model_arguments(arguments: Mapping[str, Any], *, nested: bool) -> dict[str, Any]:
    """Return the model's own arguments; `nested` ones are in ``parameters``."""
    if nested:
        return jobs.model_arguments(jobs.SubmitArguments.model_validate(arguments).model_dump())
    return {name: value for name, value in arguments.items() if name != "model"}


def _submitted(result: MediaResult) -> OxenToolResult:
    return OxenToolResult(text=jobs.describe_submitted(result), data=text.references(result))


def _report(results: list[jobs.Job]) -> OxenToolResult:
    return OxenToolResult(text=jobs.describe_jobs(results), data=jobs.jobs_as_data(results))


def _search(models: Sequence[Model], arguments: Mapping[str, Any]) -> OxenToolResult:
    checked = jobs.FindModelsInput.model_validate(arguments).model_dump()
    found, rows = jobs.search_models(models, checked)
    return OxenToolResult(text=found, data=rows)
