"""How LlamaIndex asks an LLM for objects, whole or as far as they have come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

from llama_index.core import instrumentation
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.prompts import PromptTemplate

dispatcher: Any = instrumentation.get_dispatcher(__name__)  # type: ignore[attr-defined]  # core re-exports it for all its users


class StructuredPrediction:
    """Mixed into `Oxen` before core's class, whose ways of asking know no schema mode."""

    __slots__ = ()

    @dispatcher.span  # type: ignore[untyped-decorator]  # core leaves it untyped
    def structured_predict(
        self,
        output_cls: Any,
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Return an object of `output_cls`, a pydantic class. Raises `OxenError`, ValueError."""
        _structured_start(output_cls, prompt, prompt_args)
        made = self._program(output_cls, prompt)(llm_kwargs=llm_kwargs, **prompt_args)
        dispatcher.event(LLMStructuredPredictEndEvent(output=made))
        return made

    @dispatcher.span  # type: ignore[untyped-decorator]  # core leaves it untyped
    async def astructured_predict(
        self,
        output_cls: Any,
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Return an object of `output_cls` without blocking the running loop."""
        _structured_start(output_cls, prompt, prompt_args)
        program = self._program(output_cls, prompt)
        made = await program.acall(llm_kwargs=llm_kwargs, **prompt_args)
        dispatcher.event(LLMStructuredPredictEndEvent(output=made))
        return made

    def _structured_stream_call(
        self,
        output_cls: Any,
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        program = self._program(output_cls, prompt)
        partials: Generator[Any, None, None] = program.stream_call(
            llm_kwargs=llm_kwargs, **prompt_args
        )
        return partials

    async def _structured_astream_call(
        self,
        output_cls: Any,
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        program: Any = self._program(output_cls, prompt)
        partials: AsyncGenerator[Any, None] = await program.astream_call(
            llm_kwargs=llm_kwargs, **prompt_args
        )
        return partials

    def _program(self, output_cls: Any, prompt: PromptTemplate) -> Any:
        from llama_index_oxen.structured import program_for

        return program_for(self, output_cls, prompt)  # type: ignore[arg-type]  # it is mixed into Oxen


def _structured_start(output_cls: Any, prompt: PromptTemplate, given: dict[str, Any]) -> None:
    event = LLMStructuredPredictStartEvent(
        output_cls=output_cls, template=prompt, template_args=given
    )
    dispatcher.event(event)
