"""The work behind the tools: arguments in, money asked about, generation made, result in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import ValidationError

from llama_index_oxen.events import OxenProgressEvent
from llama_index_oxen.run_context import Place, place_of
from llama_index_oxen.spending import asked_first, must_ask, refuse_unasked
from llama_index_oxen.tool_calls import MALFORMED
from llama_index_oxen.tool_result import OxenToolResult
from oxen_inference.tools import jobs, running, text
from oxen_inference.tools.calls import explain_validation, is_for_developers
from oxen_inference.tools.connection import Connection
from oxen_inference.tools.inputs import required_media
from oxen_inference.tools.maker import Maker
from oxen_inference.tools.settings import kind_of

if TYPE_CHECKING:
    from decimal import Decimal

    from llama_index.core.workflow import Context

    from oxen_inference.catalog.models import Model
    from oxen_inference.result import MediaResult

ROLES = ("generate_image", "edit_image", "generate_video", "generate_audio")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool, and where it comes from; `ctx` is None outside a workflow."""

    tool: str
    ctx: Context | None = None
    place: Place | None = None

    def tell(self, progress: Any) -> None:
        """Put a step of a generation on the workflow's stream."""
        if self.ctx is None:
            return
        told = {**asdict(progress), "generation_ids": list(progress.generation_ids)}
        tool_id = self.place.tool_id if self.place else None
        event = OxenProgressEvent(tool_name=self.tool, tool_id=tool_id, **told)
        self.ctx.write_event_to_stream(event)


@dataclass(frozen=True, kw_only=True)
class MediaCalls:
    """What all tools of a spec share; each method answers one call, and has an async twin."""

    connection: Connection
    given: Sequence[str | Model]
    settings: Mapping[str, Any]
    """Fields of `Maker`."""
    confirm_above: Decimal | None
    show_images: bool

    # Models

    def models(self) -> dict[str, Model]:
        """Return the models given, by id; looks ids up. Raises `ModelNotFoundError`."""
        catalog = self.connection.sync().catalog
        found = [catalog.get(one) if isinstance(one, str) else one for one in self.given]
        return _by_id(found)

    async def amodels(self) -> dict[str, Model]:
        """Return the models given without blocking the running loop."""
        catalog = (await self.connection.running()).catalog
        return _by_id(
            [await catalog.get(one) if isinstance(one, str) else one for one in self.given]
        )

    # Generations

    def make(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        model: Model | None = None,
        *,
        wait: bool = True,
    ) -> OxenToolResult:
        """Make something, by `model` or the one that the arguments and the tool's role name."""
        from oxen_inference.errors import OxenError

        client = self.connection.sync()
        try:
            if model is None:
                name = _choice(tool, arguments, self.models() if self.given else None)
                model = name if not isinstance(name, str) else client.catalog.get(name)
                arguments = _own(arguments, generic=not self.given or not wait)
            maker, params = self._prepared(model, arguments)
            order = maker.order(client, params, key=None, conversation=self.connection.session)
            if must_ask(self.confirm_above, model, params) and client.media.find(**order) is None:
                refuse_unasked(tool)
            if not wait:
                return _submitted(client.media.submit(**order).result)
            result = client.media.generate(**order, **maker.waiting())
        except (OxenError, ValidationError) as error:
            return refused(error)
        return self._made(result)

    async def amake(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        ctx: Context | None,
        model: Model | None = None,
        *,
        wait: bool = True,
    ) -> OxenToolResult:
        """Do what `make` does without blocking the running loop; once, however often replayed."""
        client = await self.connection.running()
        from oxen_inference.errors import OxenError

        call = Call(tool, ctx, None if ctx is None else await place_of(ctx))
        try:
            if model is None:
                name = _choice(tool, arguments, await self.amodels() if self.given else None)
                model = name if not isinstance(name, str) else await client.catalog.get(name)
                arguments = _own(arguments, generic=not self.given or not wait)
            maker, params = self._prepared(model, arguments)
            key, conversation = None, self.connection.session
            if call.place is not None:
                key, conversation = call.place.key(tool, model.id, params), call.place.conversation
            order = await maker.aorder(client, params, key=key, conversation=conversation)
            if (
                must_ask(self.confirm_above, model, params)
                and await client.media.find(**order) is None
            ):
                self._check_budget(model, params)
                if ctx is None or call.place is None:
                    refuse_unasked(tool)
                elif refusal := await asked_first(ctx, call.place, tool, model, params):
                    return refusal
            if not wait:
                return _submitted((await client.media.submit(**order)).result)
            result = await client.media.generate(**order, **maker.waiting(), on_progress=call.tell)
        except (OxenError, ValidationError) as error:
            return refused(error)
        return self._made(result)

    def _prepared(self, model: Model, arguments: Mapping[str, Any]) -> tuple[Maker, dict[str, Any]]:
        """Check arguments as a model wrote them. Raises `InvalidInputError`, ValidationError."""
        from oxen_inference.catalog.request_schema import arguments_model
        from oxen_inference.errors import InvalidInputError

        if arguments.keys() == MALFORMED.keys():
            raise InvalidInputError("The call was cut off or is no JSON object. Nothing was sent.")
        kind_of(model)
        maker, schema = Maker(model=model, **self.settings), arguments_model(model)
        checked = schema.model_validate(maker.marked(arguments, schema))
        return maker, schema.to_params(checked.model_dump())

    def _check_budget(self, model: Model, params: Mapping[str, Any]) -> None:
        """Raise `BudgetExceededError` for a call that does not fit: nobody need be asked."""
        from oxen_inference.catalog.pricing import quote

        budget, high = self.settings["budget"], quote(model, params).high
        if budget is not None and high is not None:
            budget.check(high)

    def _made(self, result: MediaResult) -> OxenToolResult:
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
            asked = self._asked(arguments)
            return _report(running.check(self.connection.sync(), **asked, on_progress=_ignored))
        except (OxenError, ValidationError) as error:
            return refused(error)

    async def acheck(self, arguments: Mapping[str, Any], ctx: Context | None) -> OxenToolResult:
        """Say how far generations are without blocking the running loop."""
        client = await self.connection.running()
        from oxen_inference.errors import OxenError

        call = Call("oxen_check", ctx, None if ctx is None else await place_of(ctx))
        try:
            asked = self._asked(arguments)
            return _report(await running.acheck(client, **asked, on_progress=call.tell))
        except (OxenError, ValidationError) as error:
            return refused(error)

    def cancel(self, arguments: Mapping[str, Any]) -> OxenToolResult:
        """Cancel generations that are not ready yet."""
        from oxen_inference.errors import OxenError

        try:
            asked = jobs.CancelArguments.model_validate(arguments)
            return _report(running.cancel(self.connection.sync(), asked.generation_ids))
        except (OxenError, ValidationError) as error:
            return refused(error)

    async def acancel(self, arguments: Mapping[str, Any]) -> OxenToolResult:
        """Cancel generations without blocking the running loop."""
        client = await self.connection.running()
        from oxen_inference.errors import OxenError

        try:
            asked = jobs.CancelArguments.model_validate(arguments)
            return _report(await running.acancel(client, asked.generation_ids))
        except (OxenError, ValidationError) as error:
            return refused(error)

    def find(self, arguments: Mapping[str, Any]) -> OxenToolResult:
        """Find the model for a need, among those given or in the catalog."""
        from oxen_inference.errors import OxenError

        try:
            known = list(self.models().values()) or self.connection.sync().catalog.list()
            return _found(known, arguments)
        except (OxenError, ValidationError) as error:
            return refused(error)

    async def afind(self, arguments: Mapping[str, Any]) -> OxenToolResult:
        """Find the model for a need without blocking the running loop."""
        client = await self.connection.running()
        from oxen_inference.errors import OxenError

        try:
            known = list((await self.amodels()).values()) or await client.catalog.list()
            return _found(known, arguments)
        except (OxenError, ValidationError) as error:
            return refused(error)

    def _asked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked = jobs.CheckArguments.model_validate(arguments)
        return {
            "generation_ids": asked.generation_ids,
            "wait": asked.wait_seconds,
            "save_to": self.settings["save_to"],
        }


def roles_of(model: Model) -> tuple[str, ...]:
    """Return which of `ROLES` a model plays. Raises `InvalidInputError` if it makes no media."""
    kind = kind_of(model)
    if kind != "image" or not model.takes("image"):
        return (f"generate_{kind}",)
    if required_media(model.request_schema):
        return ("edit_image",)
    return ("generate_image", "edit_image")


def refused(error: Exception) -> OxenToolResult:
    """Return an error as something the model can act on, or raise it."""
    if isinstance(error, ValidationError):
        return OxenToolResult(text=explain_validation(error), is_error=True)
    if is_for_developers(error):
        raise error
    paid = text.references(getattr(error, "result", None))
    return OxenToolResult(text=text.explain(error), data=paid, is_error=True)


def _choice(
    tool: str, arguments: Mapping[str, Any], given: Mapping[str, Model] | None
) -> Model | str:
    """Return the model that a call means, or its id. Raises `InvalidInputError`."""
    from oxen_inference.errors import InvalidInputError

    named = arguments.get("model")
    if given is None:
        if not named:
            raise InvalidInputError("Name a model: model='…'; oxen_find_models finds one.")
        return str(named)
    if named:
        jobs.refuse_stranger(str(named), given)
        return given[str(named)]
    fitting = [model for model in given.values() if tool not in ROLES or tool in roles_of(model)]
    if not fitting:
        raise InvalidInputError(
            f"No model given to this tool spec is for {tool}: {', '.join(given)}."
        )
    if len(fitting) > 1:
        ids = ", ".join(model.id for model in fitting)
        raise InvalidInputError(f"Name one of the models, model='…': {ids}.")
    return fitting[0]


def _own(arguments: Mapping[str, Any], *, generic: bool) -> dict[str, Any]:
    """Return the arguments of the model's own, from a call that names the model."""
    if generic:
        return jobs.own_arguments(jobs.SubmitArguments.model_validate(arguments).model_dump())
    return {name: value for name, value in arguments.items() if name != "model"}


def _by_id(models: list[Model]) -> dict[str, Model]:
    return {model.id: model for model in models}


def _submitted(result: MediaResult) -> OxenToolResult:
    return OxenToolResult(text=jobs.submitted(result), data=text.references(result))


def _report(results: list[running.Found]) -> OxenToolResult:
    return OxenToolResult(text=running.report(results), data=running.references(results))


def _found(models: Sequence[Model], arguments: Mapping[str, Any]) -> OxenToolResult:
    asked = jobs.FindModelsInput.model_validate(arguments).model_dump()
    words, rows = jobs.found(models, asked)
    return OxenToolResult(text=words, data=rows)


def _ignored(_: object) -> None:
    """Nobody listens to a call outside a workflow."""
