"""`OxenToolSpec`: image, video and audio models as tools for LlamaIndex's agents."""

# No `from __future__ import annotations`: core finds the context by the annotation's object.
import asyncio
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.tools import ToolMetadata
from llama_index.core.tools.tool_spec.base import SPEC_FUNCTION_TYPE, BaseToolSpec
from llama_index.core.workflow import Context

from llama_index_oxen.media_calls import MediaCalls
from llama_index_oxen.tool_result import OxenFunctionTool, OxenToolResult
from oxen_inference.tools import jobs, text
from oxen_inference.tools.connection import connection_for
from oxen_inference.tools.media_config import (
    ROLES,
    check_limits,
    check_unique_names,
    image_inputs,
    roles_of,
    tool_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oxen_inference.catalog.models import Model
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.errors import OxenError
    from oxen_inference.ledger.budgets import USD, Budget
    from oxen_inference.price_caps import PriceCaps
    from oxen_inference.result import MediaResult

_NONE: Any = None
"""The context of a call outside a workflow; core looks for an annotation as `Context`."""

_JOB_TOOLS: Mapping[str, tuple[str, str, type[BaseModel]]] = {
    "submit": ("oxen_submit", jobs.SUBMIT, jobs.SubmitArguments),
    "check": ("oxen_check", jobs.CHECK, jobs.CheckArguments),
    "cancel": ("oxen_cancel", jobs.CANCEL, jobs.CancelArguments),
    "find_models": ("oxen_find_models", jobs.FIND, jobs.FindModelsInput),
}
"""Method of the spec → name, description and arguments of its tool."""

_METHODS = (*ROLES, *_JOB_TOOLS)


class OxenToolSpec(BaseToolSpec):
    """Tools for Oxen's media models: one for each of `models`, with the model's own parameters.

    `models` are ids or `Model` objects. If you name none, a call names any model of the catalog.
    With `background`, there are also tools to submit, check, cancel and find models. In a workflow,
    a call that a replay or a resumed run repeats is paid for once, and progress is on the stream.

    `save_to`: folder for results. `max_cost`: most USD that one call may cost. `budget`: a `Budget`
    that all calls are paid from, or an amount in USD. `on_interrupt`: what happens to a generation
    whose call times out or is canceled with its workflow. `inputs_from`: folder whose files the
    model may name as inputs. `inline_inputs`: earlier results are sent inside the request, for
    providers that cannot fetch them. `confirm_above`: a call that costs more USD, or an unknown amount,
    first asks a person with an `OxenSpendingRequest`; 0 always asks. `show_images`: results have
    image blocks, for models that see. `ledger`: a `Ledger`; None keeps none.

    ```python
    from llama_index_oxen import OxenToolSpec

    spec = OxenToolSpec(["flux-2-dev"], max_cost="0.10")
    print([tool.metadata.name for tool in spec.to_tool_list()])
    ```
    """

    spec_functions: list[SPEC_FUNCTION_TYPE]

    def __init__(
        self,
        models: "Sequence[str | Model] | str" = (),
        *,
        client: "OxenClient | AsyncOxenClient | None" = None,
        api_key: Any = None,
        api_base: str | None = None,
        ledger: Any = ...,
        budget: "Budget | USD | None" = None,
        max_cost: Any = None,
        allow_unknown_cost: bool = False,
        save_to: str | Path | None = None,
        timeout: float | None = None,
        on_interrupt: Literal["detach", "cancel"] = "detach",
        inputs_from: str | Path | None = None,
        price_caps: "PriceCaps | None" = None,
        inline_inputs: bool = False,
        confirm_above: Any = None,
        show_images: bool = False,
        background: bool = True,
        **unknown: Any,
    ) -> None:
        if unknown:
            from oxen_inference.media.option_names import refuse_unknown

            own = signature(OxenToolSpec.__init__).parameters.keys() - {"self", "unknown"}
            refuse_unknown(unknown, own)
        from oxen_inference.ledger.budgets import as_budget, read_amount
        from oxen_inference.price_caps import read_price_caps
        from oxen_inference.settings import results_folder

        check_limits(
            max_cost=max_cost,
            timeout=timeout,
            on_interrupt=on_interrupt,
            save_to=save_to,
            inputs_from=inputs_from,
        )
        budget = as_budget(budget)
        if show_images and save_to is None:
            # Results on the hub need its key, so a model's provider cannot fetch them by URL.
            save_to = results_folder("images")
        self._calls = MediaCalls(
            connection=connection_for(client, api_key, api_base, ledger, budget),
            given_models=[models] if isinstance(models, str) else list(models),
            settings={
                "budget": budget,
                "max_cost": max_cost,
                "allow_unknown_cost": allow_unknown_cost,
                "save_to": save_to,
                "timeout": timeout,
                "on_interrupt": on_interrupt,
                "inputs_from": inputs_from,
                "price_caps": read_price_caps(price_caps),
                "inline_inputs": inline_inputs,
            },
            confirm_above=(
                None if confirm_above is None else read_amount(confirm_above, "confirm_above")
            ),
            show_images=show_images,
        )
        names = _METHODS if background else ROLES
        self.spec_functions = [(name, f"a{name}") for name in names]

    # Methods: each takes what its tool takes, and a text in the first place as the prompt. Call the
    # sync ones only outside workflows.

    def generate_image(self, ctx: Context = _NONE, **arguments: Any) -> OxenToolResult:
        """Make images: `prompt`, parameters of the model, and `model` if there are several."""
        return self._calls.generate("generate_image", _arguments(ctx, arguments))

    async def agenerate_image(self, ctx: Context = _NONE, **arguments: Any) -> OxenToolResult:
        """Make images without blocking the running loop."""
        return await self._calls.agenerate(
            "generate_image", _arguments(ctx, arguments), _context(ctx)
        )

    def generate_many(
        self,
        inputs: "Iterable[str | Mapping[str, Any]]",
        *,
        tool: str = "generate_image",
        **options: Any,
    ) -> "list[MediaResult | OxenError]":
        """Make one request of each input, as `tool` would; errors are returned in place.

        For your own code: no model is asked, and nobody has to approve. `options` are those of
        `client.media.generate_as_completed`, such as `key_prefix` and `on_progress="bar"`; they go
        before this spec's settings, but of two `max_cost` the lower counts. Raises
        `ConfigurationError` for a budget where the spec has another, and `InvalidInputError` for an
        input or an option that does not fit, before anything is sent.
        """
        return self._calls.generate_many(tool, inputs, **options)

    async def agenerate_many(
        self,
        inputs: "Iterable[str | Mapping[str, Any]]",
        *,
        tool: str = "generate_image",
        **options: Any,
    ) -> "list[MediaResult | OxenError]":
        """Do what `generate_many` does without blocking the running loop."""
        return await self._calls.agenerate_many(tool, inputs, **options)

    def edit_image(self, ctx: Context = _NONE, **arguments: Any) -> OxenToolResult:
        """Change an image."""
        return self._calls.generate("edit_image", _arguments(ctx, arguments))

    async def aedit_image(self, ctx: Context = _NONE, **arguments: Any) -> OxenToolResult:
        """Change an image without blocking the running loop."""
        return await self._calls.agenerate("edit_image", _arguments(ctx, arguments), _context(ctx))

    def generate_video(self, ctx: Context = _NONE, **arguments: Any) -> OxenToolResult:
        """Make a video."""
        return self._calls.generate("generate_video", _arguments(ctx, arguments))

    async def agenerate_video(self, ctx: Context = _NONE, **arguments: Any) -> OxenToolResult:
        """Make a video without blocking the running loop."""
        return await self._calls.agenerate(
            "generate_video", _arguments(ctx, arguments), _context(ctx)
        )

    def generate_audio(self, ctx: Context = _NONE, **arguments: Any) -> OxenToolResult:
        """Make audio."""
        return self._calls.generate("generate_audio", _arguments(ctx, arguments))

    async def agenerate_audio(self, ctx: Context = _NONE, **arguments: Any) -> OxenToolResult:
        """Make audio without blocking the running loop."""
        return await self._calls.agenerate(
            "generate_audio", _arguments(ctx, arguments), _context(ctx)
        )

    def submit(self, ctx: Context = _NONE, **arguments: Any) -> OxenToolResult:  # noqa: ARG002 - same
        """Start a generation and return its ids: `model`, `prompt`, `parameters`."""
        return self._calls.generate("oxen_submit", arguments, wait=False)

    async def asubmit(self, ctx: Context = _NONE, **arguments: Any) -> OxenToolResult:
        """Start a generation without blocking the running loop."""
        return await self._calls.agenerate("oxen_submit", arguments, ctx, wait=False)

    def check(self, ctx: Context = _NONE, **arguments: Any) -> OxenToolResult:  # noqa: ARG002 - same
        """Say how far generations are: `generation_ids`, `wait_seconds`."""
        return self._calls.check(arguments)

    async def acheck(self, ctx: Context = _NONE, **arguments: Any) -> OxenToolResult:
        """Say how far generations are without blocking the running loop."""
        return await self._calls.acheck(arguments, ctx)

    def cancel(self, **arguments: Any) -> OxenToolResult:
        """Cancel generations that are not ready yet: `generation_ids`."""
        return self._calls.cancel(arguments)

    async def acancel(self, **arguments: Any) -> OxenToolResult:
        """Cancel generations without blocking the running loop."""
        return await self._calls.acancel(arguments)

    def find_models(self, **arguments: Any) -> OxenToolResult:
        """Find media models: see the fields of `oxen_inference.tools.jobs.FindModelsInput`."""
        return self._calls.find_models(arguments)

    async def afind_models(self, **arguments: Any) -> OxenToolResult:
        """Find media models without blocking the running loop."""
        return await self._calls.afind_models(arguments)

    # Tools

    def to_tool_list(
        self,
        spec_functions: list[SPEC_FUNCTION_TYPE] | None = None,
        func_to_metadata_mapping: dict[str, ToolMetadata] | None = None,
    ) -> list[Any]:
        """Return the tools; ids of models are looked up in the catalog now. Blocks.

        A role that only one model fills has a tool of its name, ``generate_image``. If several do,
        each has its own, ``generate_image_with_…``. Raises `ModelNotFoundError`,
        `InvalidInputError` for a model that makes no media, and `ConfigurationError` if two tools
        would have one name.
        """
        metadata = func_to_metadata_mapping or {}
        models = list(self._calls.models().values())
        roles = [roles_of(model) for model in models]
        tools: list[Any] = []
        for function in spec_functions or self.spec_functions:
            name = _method_name(function)
            if name in ROLES and models:
                suitable = [m for m, filled in zip(models, roles, strict=True) if name in filled]
                for model in suitable:
                    title = name if len(suitable) == 1 else tool_name(model, name)
                    tools.append(
                        self._model_tool(
                            model, name, metadata.get(name) or _model_metadata(model, name, title)
                        )
                    )
            else:
                methods = getattr(self, name), getattr(self, f"a{name}")
                tools.append(_tool(*methods, metadata.get(name) or _generic_metadata(name)))
        check_unique_names(
            [tool.metadata.name for tool in tools],
            "make a spec for each of their models, with names by func_to_metadata_mapping.",
        )
        return tools

    async def to_tool_list_async(
        self,
        spec_functions: list[SPEC_FUNCTION_TYPE] | None = None,
        func_to_metadata_mapping: dict[str, ToolMetadata] | None = None,
    ) -> list[Any]:
        """Return the tools without blocking the running loop; raises what `to_tool_list` does."""
        # Early versions of core lack it.
        return await asyncio.to_thread(self.to_tool_list, spec_functions, func_to_metadata_mapping)

    def _model_tool(self, model: "Model", role: str, metadata: ToolMetadata) -> Any:
        name = metadata.get_name()

        def generate(ctx: Context = _NONE, **arguments: Any) -> OxenToolResult:  # noqa: ARG001 - core looks for it here
            return self._calls.generate(name, arguments, model, role=role)

        async def agenerate(ctx: Context = _NONE, **arguments: Any) -> OxenToolResult:
            return await self._calls.agenerate(name, arguments, ctx, model, role=role)

        return _tool(generate, agenerate, metadata)


def _arguments(first: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call; what stands where core puts its context may be the prompt."""
    if not isinstance(first, str):
        return arguments
    if "prompt" in arguments:
        from oxen_inference.errors import InvalidInputError

        raise InvalidInputError("prompt was given twice.")
    return {"prompt": first, **arguments}


def _context(first: Any) -> Any:
    return None if isinstance(first, str) else first


def _tool(function: Any, coroutine: Any, metadata: ToolMetadata) -> OxenFunctionTool:
    tool = OxenFunctionTool(fn=function, async_fn=coroutine, metadata=metadata)
    if tool.ctx_param_name:
        # Core refuses to call such a tool outside a workflow unless it is given something.
        tool.partial_params = {tool.ctx_param_name: None}
    return tool


def _method_name(function: SPEC_FUNCTION_TYPE) -> str:
    given = function if isinstance(function, str) else function[0]
    name = given if given in _METHODS else given.removeprefix("a")
    if name not in _METHODS:
        from oxen_inference.errors import InvalidInputError

        raise InvalidInputError(
            f"OxenToolSpec has no function {given!r}. Choose from {', '.join(_METHODS)}."
        )
    return name


def _model_metadata(model: "Model", role: str, name: str) -> ToolMetadata:
    from oxen_inference.catalog.tool_args import arguments_model

    description = text.tool_description(model, {})
    needs = image_inputs(model) if role == "edit_image" else ()
    if role == "edit_image":
        one_of = f" Needs {' or '.join(needs)}." if len(needs) > 1 else ""
        description = f"Changes an image.{one_of} {description}"
    return ToolMetadata(description, name, arguments_model(model, needs=needs))


def _generic_metadata(name: str) -> ToolMetadata:
    """Describe a tool whose calls name the model."""
    if name in _JOB_TOOLS:
        title, description, schema = _JOB_TOOLS[name]
        return ToolMetadata(description, title, schema)
    purpose = {
        "generate_image": "Makes images with any image model on Oxen.",
        "edit_image": "Changes an image with any model on Oxen that can; the image is one of its "
        "parameters.",
        "generate_video": "Makes videos with any video model on Oxen. Takes some minutes.",
        "generate_audio": "Makes audio with any audio model on Oxen.",
    }[name]
    description = f"{purpose} oxen_find_models names models, their parameters and prices."
    return ToolMetadata(description, name, jobs.SubmitArguments)
