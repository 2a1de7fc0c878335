"""What an Oxen tool returns: text for the model, data for the program."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.bridge.pydantic import BaseModel, Field
from llama_index.core.tools import FunctionTool, ToolOutput

from llama_index_oxen.tracing import current_span
from oxen_inference.tools.spans import write_cost

if TYPE_CHECKING:
    from oxen_inference.result import MediaResult


class OxenToolResult(BaseModel):
    """The ``raw_output`` of an Oxen tool; its ``str`` is what the model reads.

    `data` is plain data without bytes: a `MediaResult` as `to_dict` writes it, several of them
    under ``results``, or rows of the models that were found.
    """

    text: str
    data: Any = None
    is_error: bool = False
    images: list[Path] = Field(default_factory=list)
    """Saved images that the model is shown."""

    def __str__(self) -> str:
        return self.text

    @property
    def media(self) -> MediaResult | None:
        """The result of a generation, with ids, URLs, paths and cost."""
        from oxen_inference.result import MediaResult

        is_media = isinstance(self.data, dict) and "items" in self.data
        return MediaResult.from_dict(self.data) if is_media else None


class OxenFunctionTool(FunctionTool):
    """A `FunctionTool` whose output is marked as an error where it is one, and has image blocks.

    Core turns any result of a tool into text, and calls it a success.
    """

    # Core wraps each of these in a span. What they call is not, so that a call is one span.

    def __call__(self, *args: Any, **kwargs: Any) -> ToolOutput:
        given = self._by_name(args, {**self.partial_params, **kwargs})
        return _complete(_CALL(self, **given))

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        return _complete(_CALL(self, **self._by_name(args, kwargs)))

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        return _complete(await _ACALL(self, **self._by_name(args, kwargs)))

    def _by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call; the one without a name is the prompt."""
        if not args:
            return kwargs
        takes_prompt = "prompt" in getattr(self.metadata.fn_schema, "model_fields", {})
        is_prompt = takes_prompt and "prompt" not in kwargs and isinstance(args[0], str)
        if len(args) > 1 or not is_prompt:  # core then tries it with names
            raise TypeError(f"{self.metadata.get_name()} takes its arguments by name.")
        return {"prompt": args[0], **kwargs}


_CALL: Any = inspect.unwrap(FunctionTool.call)
_ACALL: Any = inspect.unwrap(FunctionTool.acall)


def _complete(output: ToolOutput) -> ToolOutput:
    result: OxenToolResult = output.raw_output
    output.is_error = result.is_error
    if result.media is not None:
        write_cost(current_span(), result.media.cost)
    output.blocks += [ImageBlock(path=path) for path in result.images if path.is_file()]
    return output
