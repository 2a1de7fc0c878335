"""Answers as objects by a JSON schema, for models that keep to one better than to a tool."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.output_parsers.pydantic import PydanticOutputParser
from llama_index.core.program.function_program import FunctionCallingProgram
from llama_index.core.program.utils import get_program_for_llm, process_streaming_objects
from llama_index.core.types import BasePydanticProgram, PydanticProgramMode

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatMessage, ChatResponse
    from llama_index.core.bridge.pydantic import BaseModel
    from llama_index.core.prompts.base import BasePromptTemplate

    from llama_index_oxen.llm import Oxen

Mode = Literal["tool", "json_schema"]


def program_for(
    llm: Oxen, output_cls: type[BaseModel], prompt: BasePromptTemplate
) -> BasePydanticProgram[Any]:
    """Return what makes objects of `output_cls` with `llm`, in the mode it is set to."""
    default = llm.pydantic_program_mode == PydanticProgramMode.DEFAULT
    if default and llm.structured_mode == "json_schema":
        return SchemaProgram(llm, output_cls, prompt)
    if default and llm.metadata.is_function_calling_model:
        # Core requires the tool when it asks for a whole object, and forgets to in streams.
        return FunctionCallingProgram.from_defaults(
            output_cls, prompt=prompt, llm=llm, tool_choice="required"
        )
    return get_program_for_llm(
        output_cls, prompt, llm, pydantic_program_mode=llm.pydantic_program_mode
    )


class SchemaProgram(BasePydanticProgram[Any]):
    """Asks for an answer that follows the JSON schema of a class, and reads it as one of it."""

    def __init__(self, llm: Oxen, output_cls: type[BaseModel], prompt: BasePromptTemplate) -> None:
        self._llm = llm
        self._output_cls = output_cls
        self._prompt = prompt

    @property
    def output_cls(self) -> type[Any]:
        return self._output_cls

    def __call__(self, *_: Any, llm_kwargs: dict[str, Any] | None = None, **variables: Any) -> Any:
        """Return an object. Raises `OxenError`, and ValueError for an answer that is none."""
        return self._read(self._llm.chat(self._messages(variables), **self._options(llm_kwargs)))

    async def acall(
        self, *_: Any, llm_kwargs: dict[str, Any] | None = None, **variables: Any
    ) -> Any:
        """Do what a call does, without blocking the running loop."""
        messages = self._messages(variables)
        return self._read(await self._llm.achat(messages, **self._options(llm_kwargs)))

    def stream_call(
        self, *_: Any, llm_kwargs: dict[str, Any] | None = None, **variables: Any
    ) -> Generator[Any, None, None]:
        """Yield the object as far as it is there; fields that are not yet are None or missing."""
        messages, so_far = self._messages(variables), None
        for response in self._llm.stream_chat(messages, **self._options(llm_kwargs)):
            so_far = self._partial(response, so_far)
            yield so_far

    async def astream_call(
        self, *_: Any, llm_kwargs: dict[str, Any] | None = None, **variables: Any
    ) -> AsyncGenerator[Any, None]:
        """Return a generator of the object as far as it is there."""
        options = self._options(llm_kwargs)
        responses = await self._llm.astream_chat(self._messages(variables), **options)

        async def partials() -> AsyncGenerator[Any, None]:
            so_far = None
            async for response in responses:
                so_far = self._partial(response, so_far)
                yield so_far

        return partials()

    def _messages(self, variables: dict[str, Any]) -> list[ChatMessage]:
        return self._llm._extend_messages(self._prompt.format_messages(llm=self._llm, **variables))

    def _options(self, given: dict[str, Any] | None) -> dict[str, Any]:
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", self._output_cls.__name__)
        schema = {"name": name, "schema": self._output_cls.model_json_schema()}
        return {**(given or {}), "response_format": {"type": "json_schema", "json_schema": schema}}

    def _read(self, response: ChatResponse) -> Any:
        _check_refusal(response)
        return PydanticOutputParser(self._output_cls).parse(response.message.content or "")

    def _partial(self, response: ChatResponse, so_far: Any) -> Any:
        _check_refusal(response)
        before = None if so_far is None else [so_far]
        return process_streaming_objects(response, self._output_cls, before, llm=self._llm)


def _check_refusal(response: ChatResponse) -> None:
    message = response.message
    refusal = message.additional_kwargs.get("refusal")
    ended = isinstance(response.raw, dict)  # of a stream, only the last one
    if refusal and ended and not message.content:
        raise ValueError(f"The model refused: {refusal}")
