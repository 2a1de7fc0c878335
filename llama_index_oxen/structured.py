"""Answers as objects: by a tool call, or by a JSON schema for models that keep to one better.

Core's programs read what a stream has brought so far, and give that for the object when the stream
ends in the middle of it. Here the last object is one of its class, or an error says why not.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.bridge.pydantic import ValidationError
from llama_index.core.output_parsers.pydantic import PydanticOutputParser
from llama_index.core.program.function_program import FunctionCallingProgram, get_function_tool
from llama_index.core.program.utils import create_flexible_model, get_program_for_llm
from llama_index.core.types import BasePydanticProgram, PydanticProgramMode

from llama_index_oxen import tool_calls

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
        return ToolProgram(llm, output_cls, prompt)
    return get_program_for_llm(
        output_cls, prompt, llm, pydantic_program_mode=llm.pydantic_program_mode
    )


class _Program(BasePydanticProgram[Any]):
    """Streams objects; how one is asked for and read is the subclass's."""

    def __init__(self, llm: Oxen, output_cls: type[BaseModel], prompt: BasePromptTemplate) -> None:
        self._llm = llm
        self._output_cls = output_cls
        self._prompt = prompt

    @property
    def output_cls(self) -> type[Any]:
        return self._output_cls

    def stream_call(
        self, *_: Any, llm_kwargs: dict[str, Any] | None = None, **variables: Any
    ) -> Generator[Any, None, None]:
        """Yield the object as far as it is there; fields that are not yet are None or missing.

        Raises ValueError at the end where there is none, or half of one.
        """
        for response in self._llm.stream_chat(**self._request(variables, llm_kwargs)):
            yield self._grown(response)

    async def astream_call(
        self, *_: Any, llm_kwargs: dict[str, Any] | None = None, **variables: Any
    ) -> AsyncGenerator[Any, None]:
        """Return a generator of the object as far as it is there."""
        responses = await self._llm.astream_chat(**self._request(variables, llm_kwargs))

        async def partials() -> AsyncGenerator[Any, None]:
            async for response in responses:
                yield self._grown(response)

        return partials()

    @abstractmethod
    def _request(self, variables: dict[str, Any], given: dict[str, Any] | None) -> dict[str, Any]:
        """Return what `chat` takes to ask for the object."""

    @abstractmethod
    def _whole(self, response: ChatResponse) -> Any:
        """Return the object of an answer that has ended. Raises ValueError where there is none."""

    @abstractmethod
    def _so_far(self, response: ChatResponse) -> Any:
        """Return the data of an object that is still on its way."""

    def _messages(self, variables: dict[str, Any]) -> list[ChatMessage]:
        return self._llm._extend_messages(self._prompt.format_messages(llm=self._llm, **variables))

    def _grown(self, response: ChatResponse) -> Any:
        if tool_calls.has_ended(response):
            return self._whole(response)
        data = self._so_far(response)
        try:
            return self._output_cls.model_validate(data)
        except ValidationError:
            # The class with every field optional, as core streams it.
            return create_flexible_model(self._output_cls).model_validate(data)


class ToolProgram(_Program):
    """Asks for a call of a tool whose arguments are the object."""

    def __call__(self, *_: Any, llm_kwargs: dict[str, Any] | None = None, **variables: Any) -> Any:
        """Return an object. Raises `OxenError`, and ValueError for an answer that is none."""
        return self._core()(llm_kwargs=llm_kwargs, **variables)

    async def acall(
        self, *_: Any, llm_kwargs: dict[str, Any] | None = None, **variables: Any
    ) -> Any:
        """Do what a call does, without blocking the running loop."""
        return await self._core().acall(llm_kwargs=llm_kwargs, **variables)

    def _core(self) -> FunctionCallingProgram[Any]:
        return FunctionCallingProgram.from_defaults(
            self._output_cls, prompt=self._prompt, llm=self._llm, tool_choice="required"
        )

    def _request(self, variables: dict[str, Any], given: dict[str, Any] | None) -> dict[str, Any]:
        return self._llm._prepare_chat_with_tools(
            [get_function_tool(self._output_cls)],
            chat_history=self._messages(variables),
            tool_choice="required",
            **{k: v for k, v in (given or {}).items() if k not in ("tool_required", "tool_choice")},
        )

    def _whole(self, response: ChatResponse) -> Any:
        call = self._llm.get_tool_calls_from_response(response)[0]
        return self._output_cls.model_validate(call.tool_kwargs)

    def _so_far(self, response: ChatResponse) -> Any:
        calls = tool_calls.selections(response)
        return calls[0].tool_kwargs if calls else {}


class SchemaProgram(_Program):
    """Asks for an answer that follows the JSON schema of a class, and reads it as one of it."""

    def __call__(self, *_: Any, llm_kwargs: dict[str, Any] | None = None, **variables: Any) -> Any:
        """Return an object. Raises `OxenError`, and ValueError for an answer that is none."""
        return self._whole(self._llm.chat(**self._request(variables, llm_kwargs)))

    async def acall(
        self, *_: Any, llm_kwargs: dict[str, Any] | None = None, **variables: Any
    ) -> Any:
        """Do what a call does, without blocking the running loop."""
        return self._whole(await self._llm.achat(**self._request(variables, llm_kwargs)))

    def _request(self, variables: dict[str, Any], given: dict[str, Any] | None) -> dict[str, Any]:
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", self._output_cls.__name__)
        schema = {"name": name, "schema": self._output_cls.model_json_schema()}
        form = {"type": "json_schema", "json_schema": schema}
        return {**(given or {}), "messages": self._messages(variables), "response_format": form}

    def _whole(self, response: ChatResponse) -> Any:
        said = response.message.content or ""
        refusal = response.message.additional_kwargs.get("refusal")
        if refusal and not said:
            raise ValueError(f"The model refused: {refusal}")
        try:
            return PydanticOutputParser(self._output_cls).parse(said)
        except ValueError as error:
            if cut := tool_calls.cut_off(response):
                raise ValueError(f"{cut} It said: {said[:200]!r}") from error
            raise

    def _so_far(self, response: ChatResponse) -> Any:
        _, brace, rest = (response.message.content or "").partition("{")
        read = tool_calls.partial_json(brace + rest) if brace else None
        return read if isinstance(read, dict) else {}
