"""Tools to work while a film renders: find a model, submit, check, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Self

from langchain_oxen import media_text
from langchain_oxen.find_models import FindModelsInput
from langchain_oxen.media_tool import OxenMediaTool
from langchain_oxen.tool_base import Answer, OxenTool, ToolRequest
from langchain_oxen.tool_settings import MEDIA, refuse_second_budget

if TYPE_CHECKING:
    from oxen_inference.budget import Budget
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.media_result import MediaResult
    from oxen_inference.models import Model
    from oxen_inference.pricing import Quote

_LONGEST_WAIT = 600  # seconds; a model that wants more can ask again


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class SubmitArguments(_Arguments):
    model: str = Field(description="Id of the model.")
    prompt: str | None = Field(default=None, description="What to make, in words.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Further parameters of the model, by name."
    )
    num_generations: int = Field(default=1, ge=1, le=4, description="How many; each is paid for.")


class CheckArguments(_Arguments):
    generation_ids: list[str] = Field(min_length=1, description="Ids as submitting returned them.")
    wait_seconds: float = Field(
        default=0, ge=0, le=_LONGEST_WAIT, description="How long to wait if it is not ready."
    )


class CancelArguments(_Arguments):
    generation_ids: list[str] = Field(min_length=1, description="Ids as submitting returned them.")


class OxenSubmitTool(OxenTool):
    """Starts a generation and returns its ids at once; `makers` are the models it may use.

    With `any_model`, any media model of the catalogue may be used, made like `template`.
    """

    name: str = "oxen_submit"
    description: str = (
        "Starts generating an image or a video with a model on Oxen and returns generation ids at "
        "once, without waiting. It is paid for when it is started. Use oxen_check to get the "
        "result."
    )
    args_schema: Any = SubmitArguments
    makers: dict[str, OxenMediaTool] = Field(default_factory=dict, repr=False)
    any_model: bool = False
    template: dict[str, Any] = Field(default_factory=dict, repr=False)

    def quote(self, arguments: Mapping[str, Any]) -> Quote:
        """Return what a call with these arguments will cost, or that it is unknown."""
        from oxen_inference.pricing import Quote

        maker = self.makers.get(str(arguments.get("model")))
        if maker is None:
            return Quote(reason=f"{arguments.get('model')} is not one of the models in hand")
        return maker.quote(_given(arguments))

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
        if model_id not in self.makers and not self.any_model:
            from oxen_inference.did_you_mean import did_you_mean, suggestion
            from oxen_inference.errors import InvalidInputError

            near = suggestion(did_you_mean(model_id, self.makers))
            raise InvalidInputError(
                f"{model_id!r} may not be used here. {near} Allowed are: {', '.join(self.makers)}."
            )
        return self.makers.get(model_id)

    def _made(self, model: Model) -> OxenMediaTool:
        return OxenMediaTool(model=model, connection=self.connection, **self.template)


class OxenCheckTool(OxenTool):
    """Says how far generations are, and saves those that are done to `save_to`."""

    name: str = "oxen_check"
    description: str = (
        "Tells whether generations that were started with oxen_submit, or are still rendering, "
        "are ready, and where their results are. Can wait for them."
    )
    args_schema: Any = CheckArguments
    save_to: str | Path | None = None

    def _call(self, client: OxenClient, request: ToolRequest) -> Answer:
        from oxen_inference.errors import MediaError

        wait = request.arguments["wait_seconds"]

        def check(generation_id: str) -> MediaResult:
            handle = client.media.attach(generation_ids=[generation_id])
            if not wait and not (snapshot := handle.status()).is_terminal:
                return snapshot
            try:
                return handle.wait(wait or None, save_to=self.save_to, on_progress=request.tell)
            except MediaError as error:
                return _known_result(error)

        return _report([check(one) for one in request.arguments["generation_ids"]])

    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> Answer:
        from oxen_inference.errors import MediaError

        wait = request.arguments["wait_seconds"]

        async def check(generation_id: str) -> MediaResult:
            handle = await client.media.attach(generation_ids=[generation_id])
            if not wait and not (snapshot := await handle.status()).is_terminal:
                return snapshot
            try:
                return await handle.wait(
                    wait or None, save_to=self.save_to, on_progress=request.atell
                )
            except MediaError as error:
                return _known_result(error)

        ids = request.arguments["generation_ids"]
        return _report(list(await asyncio.gather(*map(check, ids))))


class OxenCancelTool(OxenTool):
    """Asks the hub to cancel generations, and says what really became of them."""

    name: str = "oxen_cancel"
    description: str = (
        "Cancels generations that are not ready yet. One that has finished stays as it is. "
        "Whether a cancelled one is billed is not known."
    )
    args_schema: Any = CancelArguments

    def _call(self, client: OxenClient, request: ToolRequest) -> Answer:
        ids = request.arguments["generation_ids"]
        return _report([client.media.attach(generation_ids=[one]).cancel() for one in ids])

    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> Answer:
        results = []
        for one in request.arguments["generation_ids"]:
            handle = await client.media.attach(generation_ids=[one])
            results.append(await handle.cancel())
        return _report(results)


class OxenFindMediaTool(OxenTool):
    """Finds media models in the catalogue, or among `only` if it is given."""

    name: str = "oxen_find_models"
    description: str = (
        "Finds models on Oxen that make images, videos or audio, for a need described in words. "
        "Returns a short ranked list with ids, prices and parameters. Costs nothing."
    )
    args_schema: Any = FindModelsInput
    only: list[Any] = Field(default_factory=list, repr=False)

    def _call(self, client: OxenClient, request: ToolRequest) -> Answer:
        return _found(self.only or client.catalog.list(), request.arguments)

    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> Answer:
        return _found(self.only or await client.catalog.list(), request.arguments)


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a submission's arguments as those of the model's own tool."""
    own = {name: arguments.get(name) for name in ("prompt", "num_generations")}
    return {
        **(arguments.get("parameters") or {}),
        **{n: v for n, v in own.items() if v is not None},
    }


def _for(maker: OxenMediaTool, request: ToolRequest) -> ToolRequest:
    given = maker._parse_input(_given(request.arguments), request.tool_call_id)
    assert isinstance(given, dict)  # noqa: S101 - a dict went in
    return request.of(given)


def _submitted(result: MediaResult) -> Answer:
    if result.is_terminal:  # the same call, replayed
        return media_text.describe_job(result), media_text.references(result)
    ids = ", ".join(result.generation_ids)
    text = f"Started: {result.media_type} by {result.model}. Generation ids: {ids}."
    return text, media_text.references(result)


def _report(results: list[MediaResult]) -> Answer:
    text = "\n".join(map(media_text.describe_job, results))
    return text, {"results": [media_text.references(result) for result in results]}


def _known_result(error: Any) -> MediaResult:
    if error.result is None:
        raise error
    result: MediaResult = error.result
    return result


def _found(models: Sequence[Model], arguments: Mapping[str, Any]) -> Answer:
    from oxen_inference.find_models import describe, find_models

    media = [model for model in models if any(model.makes(kind) for kind in MEDIA)]
    matches = find_models(media, **arguments)
    parameters = [media_text.describe_parameters(match.model) for match in matches]
    return "\n".join([describe(matches), *parameters]), [match.as_row() for match in matches]
