"""Answers as objects: by a tool call, or by a JSON schema.

Core's programs parse what a stream has delivered so far, and return that as the object when the
stream ends in the middle of it. Here the last object is a valid instance, or an error says why not.

No method is abstract: core wraps implementations of abstract methods in spans, and these would be
internal ones.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core import instrumentation
from llama_index.core.base.llms.types import TextBlock, ToolCallBlock
from llama_index.core.bridge.pydantic import Field, ValidationError
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.output_parsers.pydantic import PydanticOutputParser
from llama_index.core.program.llm_program import LLMTextCompletionProgram
from llama_index.core.program.utils import create_flexible_model, get_program_for_llm
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import BasePydanticProgram, PydanticProgramMode

from llama_index_oxen import tool_calls
from oxen_inference.chat.growth import Growth
from oxen_inference.chat.reasoning import without_thoughts
from oxen_inference.chat.schemas import VALUE, class_schema, object_schema, unwrapped
from oxen_inference.chat.strict_schemas import strict_schema

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatMessage, ChatResponse
    from llama_index.core.bridge.pydantic import BaseModel
    from llama_index.core.prompts.base import BasePromptTemplate

Mode = Literal["tool", "json_schema"]
dispatcher: Any = instrumentation.get_dispatcher(__name__)  # type: ignore[attr-defined]  # core re-exports it for all its users


class StructuredOutputLLM(FunctionCallingLLM):
    """An LLM that makes objects with this module's programs; core's do not know JSON schemas."""

    structured_mode: Mode = Field(
        default="tool", description="How objects are requested: by a tool call or a JSON schema."
    )
    strict: bool = Field(
        default=False,
        description="Whether objects and the arguments of tools follow their schemas exactly, where "
        "the provider can enforce it. A schema that cannot be strict is an `InvalidInputError`.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # as in core: the signature that type checkers see

    @dispatcher.span  # type: ignore[untyped-decorator]  # core leaves it untyped
    def structured_predict(
        self,
        output_cls: Any,
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Return an object of `output_cls`, a pydantic class. Raises `OxenError`, ValueError."""
        _send_start_event(output_cls, prompt, prompt_args)
        program = self._program(output_cls, prompt)
        output = program(llm_kwargs=llm_kwargs, **prompt_args)
        dispatcher.event(LLMStructuredPredictEndEvent(output=output))
        return output

    @dispatcher.span  # type: ignore[untyped-decorator]  # core leaves it untyped
    async def astructured_predict(
        self,
        output_cls: Any,
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Return an object of `output_cls` without blocking the running loop."""
        _send_start_event(output_cls, prompt, prompt_args)
        program = self._program(output_cls, prompt)
        output = await program.acall(llm_kwargs=llm_kwargs, **prompt_args)
        dispatcher.event(LLMStructuredPredictEndEvent(output=output))
        return output

    def _structured_stream_call(
        self,
        output_cls: Any,
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        program = self._program(output_cls, prompt)
        objects: Generator[Any, None, None] = program.stream_call(
            llm_kwargs=llm_kwargs, **prompt_args
        )
        return objects

    async def _structured_astream_call(
        self,
        output_cls: Any,
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        program: Any = self._program(output_cls, prompt)
        objects: AsyncGenerator[Any, None] = await program.astream_call(
            llm_kwargs=llm_kwargs, **prompt_args
        )
        return objects

    def _program(self, output_cls: Any, prompt: PromptTemplate) -> Any:
        mode, strict = self.structured_mode, self.strict
        return program_for(self, output_cls, prompt, mode=mode, strict=strict)


def _send_start_event(output_cls: Any, prompt: PromptTemplate, prompt_args: dict[str, Any]) -> None:
    event = LLMStructuredPredictStartEvent(
        output_cls=output_cls, template=prompt, template_args=prompt_args
    )
    dispatcher.event(event)


def program_for(
    llm: FunctionCallingLLM,
    output_cls: type[BaseModel],
    prompt: BasePromptTemplate,
    *,
    mode: Mode,
    strict: bool = False,
) -> BasePydanticProgram[Any]:
    """Return the program that makes objects of `output_cls` with `llm`."""
    is_default = llm.pydantic_program_mode == PydanticProgramMode.DEFAULT
    if is_default and mode == "json_schema":
        return SchemaProgram(llm, output_cls, prompt, strict=strict)
    if is_default and llm.metadata.is_function_calling_model:
        return ToolProgram(llm, output_cls, prompt, strict=strict)
    if is_default:
        return LLMTextCompletionProgram.from_defaults(
            output_parser=_TextParser(output_cls), llm=llm, prompt=prompt
        )
    return get_program_for_llm(
        output_cls, prompt, llm, pydantic_program_mode=llm.pydantic_program_mode
    )


class _TextParser(PydanticOutputParser[Any]):
    """Finds the object in a text, which may begin with the model's thoughts."""

    def parse(self, text: str) -> Any:
        return super().parse(without_thoughts(text))


class _Program(BasePydanticProgram[Any]):
    """Streams objects; a subclass says how one is requested and read."""

    def __init__(
        self,
        llm: FunctionCallingLLM,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        *,
        strict: bool,
    ) -> None:
        self._llm = llm
        self._output_cls = output_cls
        self._prompt = prompt
        self._strict = strict
        schema, self._is_wrapped = object_schema(class_schema(output_cls), generated=True)
        self._schema = strict_schema(schema, owner=output_cls.__name__) if strict else schema

    @property
    def output_cls(self) -> type[Any]:
        return self._output_cls

    def __call__(self, *_: Any, llm_kwargs: dict[str, Any] | None = None, **variables: Any) -> Any:
        """Return an object. Raises `OxenError`, and ValueError for an answer without one."""
        return self._read_object(self._llm.chat(**self._chat_kwargs(variables, llm_kwargs)))

    async def acall(
        self, *_: Any, llm_kwargs: dict[str, Any] | None = None, **variables: Any
    ) -> Any:
        """Do what a call does, without blocking the running loop."""
        return self._read_object(await self._llm.achat(**self._chat_kwargs(variables, llm_kwargs)))

    def stream_call(
        self, *_: Any, llm_kwargs: dict[str, Any] | None = None, **variables: Any
    ) -> Generator[Any, None, None]:
        """Yield the object as it grows; fields that have not arrived are None or missing.

        Raises ValueError at the end if there is no complete object.
        """
        growth = Growth()
        for response in self._llm.stream_chat(**self._chat_kwargs(variables, llm_kwargs)):
            if _is_due(response, growth):
                yield self._object_so_far(response)

    async def astream_call(
        self, *_: Any, llm_kwargs: dict[str, Any] | None = None, **variables: Any
    ) -> AsyncGenerator[Any, None]:
        """Return a generator of the object as it grows."""
        responses = await self._llm.astream_chat(**self._chat_kwargs(variables, llm_kwargs))

        async def objects() -> AsyncGenerator[Any, None]:
            growth = Growth()
            async for response in responses:
                if _is_due(response, growth):
                    yield self._object_so_far(response)

        return objects()

    def _chat_kwargs(
        self, variables: dict[str, Any], llm_kwargs: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Return what `chat` takes to request the object."""
        raise NotImplementedError

    def _data(self, response: ChatResponse) -> Any:
        """Return the data in a finished answer. Raises ValueError if there is none."""
        raise NotImplementedError

    def _partial_data(self, response: ChatResponse) -> dict[str, Any]:
        """Return the data of an object that is still growing."""
        raise NotImplementedError

    def _read_object(self, response: ChatResponse) -> Any:
        message = response.message
        refusal = message.additional_kwargs.get("refusal")
        calls = any(isinstance(block, ToolCallBlock) for block in message.blocks)
        if refusal is not None and not (message.content or calls):
            raise ValueError(f"The model refused: {refusal or 'it did not say why'}")
        data = self._data(response)
        return self._output_cls.model_validate(unwrapped(data) if self._is_wrapped else data)

    def _messages(self, variables: dict[str, Any]) -> list[ChatMessage]:
        return self._llm._extend_messages(self._prompt.format_messages(llm=self._llm, **variables))

    def _object_so_far(self, response: ChatResponse) -> Any:
        if tool_calls.has_ended(response):
            return self._read_object(response)
        data: Any = self._partial_data(response)
        if self._is_wrapped:
            data = data.get(VALUE)
        try:
            return self._output_cls.model_validate(data)
        except ValidationError:
            # The class with every field optional, as core streams it.
            fields = {"root": data} if self._is_wrapped else data
            return self._flexible_class.model_validate(fields)

    @cached_property
    def _flexible_class(self) -> Any:
        return create_flexible_model(self._output_cls)


class ToolProgram(_Program):
    """Requests a call of a tool whose arguments are the object."""

    def _chat_kwargs(
        self, variables: dict[str, Any], llm_kwargs: dict[str, Any] | None
    ) -> dict[str, Any]:
        own = ("tool_required", "tool_choice", "allow_parallel_tool_calls")
        return {
            **{name: value for name, value in (llm_kwargs or {}).items() if name not in own},
            "messages": self._messages(variables),
            "tools": [tool_calls.object_tool(self._output_cls, self._schema, strict=self._strict)],
            "tool_choice": "required",
        }

    def _data(self, response: ChatResponse) -> Any:
        return self._llm.get_tool_calls_from_response(response)[0].tool_kwargs

    def _partial_data(self, response: ChatResponse) -> dict[str, Any]:
        calls = tool_calls.selections(response)
        return calls[0].tool_kwargs if calls else {}


class SchemaProgram(_Program):
    """Requests an answer that follows the JSON schema of a class."""

    def _chat_kwargs(
        self, variables: dict[str, Any], llm_kwargs: dict[str, Any] | None
    ) -> dict[str, Any]:
        schema: dict[str, Any] = {"name": self._output_cls.__name__, "schema": self._schema}
        if self._strict:
            schema["strict"] = True
        return {
            **(llm_kwargs or {}),
            "messages": self._messages(variables),
            "response_format": {"type": "json_schema", "json_schema": schema},
        }

    def _data(self, response: ChatResponse) -> Any:
        text = response.message.content or ""
        try:
            return _first_json(without_thoughts(text))
        except (ValueError, RecursionError) as error:
            reason = tool_calls.cut_off_reason(response) or f"The answer is no JSON: {error}."
            raise ValueError(f"{reason} The text: {text[:200]!r}") from error

    def _partial_data(self, response: ChatResponse) -> dict[str, Any]:
        text = without_thoughts(response.message.content or "")
        _, brace, rest = text.partition("{")
        data = tool_calls.partial_json(brace + rest) if brace else None
        return data if isinstance(data, dict) else {}


def _is_due(response: ChatResponse, growth: Growth) -> bool:
    """Whether to read the object in a response of a stream: at its end, and as it grows."""
    if tool_calls.has_ended(response):
        return True
    length = 0
    for block in response.message.blocks:
        if isinstance(block, TextBlock):
            length += len(block.text)
        elif isinstance(block, ToolCallBlock):
            length += len(block.tool_kwargs)
    return growth.is_due(length)


_LENIENT = json.JSONDecoder(strict=False)  # models write line breaks into strings


def _first_json(text: str) -> Any:
    """Return the first object or list in a text, which may have prose around it."""
    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=0)
    return _LENIENT.raw_decode(text[start:])[0]
