"""Answers as objects: by a tool call, by a JSON schema, or as any JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from operator import itemgetter
from typing import Any, Literal

from langchain_core import exceptions
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.json import parse_json_markdown
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, ValidationError
from pydantic.v1 import ValidationError as ValidationErrorV1
from pydantic_core import from_json
from typing_extensions import override

from langchain_oxen.schemas import UNTITLED, describe
from oxen_inference.chat.finish_reasons import ran_out_of_tokens
from oxen_inference.chat.growth import Growth
from oxen_inference.chat.reasoning import without_thoughts
from oxen_inference.chat.schemas import unwrapped

Method = Literal["function_calling", "json_schema", "json_mode"]
_METHODS = ("function_calling", "json_schema", "json_mode")


def with_structured_output(
    model: BaseChatModel,
    schema: dict[str, Any] | type | None,
    *,
    method: Method,
    include_raw: bool,
    strict: bool | None,
    **kwargs: Any,
) -> Runnable[Any, Any]:
    """Return `model` piped into a parser; see `ChatOxen.with_structured_output`."""
    if method not in _METHODS:
        raise _invalid_input(f"method must be one of {', '.join(_METHODS)}, not {method!r}.")
    if schema is None and method != "json_mode":
        raise _invalid_input(f"method {method!r} needs a schema; only 'json_mode' does without.")
    given = schema
    schema = _unwrap(schema)
    function = None if schema is None else describe(schema)
    options: dict[str, Any] = {"strict": strict}
    if function is not None:
        options["ls_structured_output_format"] = {
            "kwargs": {"method": method, "strict": strict},
            "schema": function.to_json_schema(),
        }
    tools = kwargs.pop("tools", None) or []
    if method == "function_calling" and function is not None:
        if tools:
            raise _invalid_input(
                "method 'function_calling' makes the model call the schema itself, so it could never "
                "call other tools. Use method='json_schema' with tools."
            )
        tools = [function.to_tool(strict)]
        options["tool_choice"] = function.name
    else:
        options["response_format"] = (
            {"type": "json_object"} if method == "json_mode" else response_format(given, strict)
        )
    llm = model.bind_tools(tools, **{**options, **kwargs})
    parser: Runnable[Any, Any] = ObjectParser(
        tool=function.name if method == "function_calling" and function else None,
        object_class=schema if _is_pydantic(schema) else None,
        is_wrapped=function is not None and function.is_wrapped and method != "json_mode",
    )
    if not include_raw:
        return llm | parser
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")


class ObjectParser(BaseCumulativeTransformOutputParser[Any]):
    """Reads the object in an answer, also one that is still arriving.

    A finished answer has a whole object of the class, or an error says why not: LangChain's parsers
    complete the object that a cut-off answer began.
    """

    tool: str | None = None
    """The tool whose arguments are the object; None where the text is."""
    object_class: Any = None
    """The pydantic class of the object; None for a dict."""
    is_wrapped: bool = False
    """Whether the schema had to be put into an object."""

    @property
    @override
    def OutputType(self) -> Any:
        return self.object_class or Any

    @property
    @override
    def _type(self) -> str:
        return "oxen-object"

    @override
    def parse(self, text: str) -> Any:
        return self.parse_result([ChatGeneration(message=AIMessage(text))])

    @override
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        message: Any = getattr(result[0], "message", None) or AIMessage(result[0].text)
        if getattr(message, "chunk_position", None) == "last":
            partial = False
        if not partial:
            raise_if_refused(message)
            if self.tool is None and message.tool_calls and not message.text.strip():
                return None  # it wants a tool's result first
            value = self._called(message) if self.tool else _whole_json(message)
            return self._as_object(unwrapped(value) if self.is_wrapped else value)
        value = self._arguments(message) if self.tool else _partial_json(message.text)
        return self._partial_object(value)

    @override
    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:
        reader = _StreamReader(self)
        for chunk in input:
            yield from reader.add(chunk)
        yield from reader.finish()

    @override
    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:
        reader = _StreamReader(self)
        async for chunk in input:
            for value in reader.add(chunk):
                yield value
        for value in reader.finish():
            yield value

    def read_partial(self, text: str) -> Any:
        """Return the object in the text, or the arguments, that came so far; None if there is none."""
        return self._partial_object(_partial_json(text) if text or not self.tool else {})

    def _partial_object(self, value: Any) -> Any:
        """Return what a value that has come so far is, or None while it is no object."""
        if self.is_wrapped:
            value = value.get("value") if isinstance(value, dict) else None
        if value is None or self.object_class is None:
            return value
        try:
            return self._as_object(value)
        except OutputParserException:
            return None

    def _arguments(self, message: Any) -> Any:
        calls = (call["args"] for call in message.tool_calls if call["name"] == self.tool)
        return next(calls, None)

    def _called(self, message: Any) -> Any:
        arguments = self._arguments(message)
        if arguments is not None:
            return arguments
        reason = message.response_metadata.get("finish_reason")
        if ran_out_of_tokens(reason):
            raise OutputParserException(_CUT_OFF.format(reason))
        if message.invalid_tool_calls:
            call = message.invalid_tool_calls[0]
            problem = call["error"] or "malformed arguments"
            raise OutputParserException(
                f"The call of {call['name']} cannot be read: {problem}",
                llm_output=call["args"] or "",
            )
        called = ", ".join(call["name"] for call in message.tool_calls)
        problem = f"The model called {called}" if called else "The model called no tool"
        raise OutputParserException(
            f"{problem}, and not {self.tool}. Its text: {message.text[:200]!r}",
            llm_output=message.text,
        )

    def _as_object(self, value: Any) -> Any:
        if self.object_class is None:
            return value
        try:
            if issubclass(self.object_class, BaseModel):
                return self.object_class.model_validate(value)
            return self.object_class.parse_obj(value)
        except (ValidationError, ValidationErrorV1) as error:
            text = json.dumps(value, ensure_ascii=False, default=str)
            name = self.object_class.__name__
            raise OutputParserException(
                f"The answer is no {name}: {error}. The text: {text[:500]}", llm_output=text
            ) from error


class _StreamReader:
    """Reads the object of an answer as it arrives, and when it has ended.

    LangChain's own way adds each chunk to the message, which parses the whole text again.
    """

    def __init__(self, parser: ObjectParser) -> None:
        self._parser = parser
        self._chunks: list[AIMessageChunk] = []
        self._parts: list[str] = []
        self._length = 0
        self._call: object = None
        """Index of the call of the parser's tool, once its name has come."""
        self._growth = Growth()
        self._last: Any = None

    def add(self, chunk: str | BaseMessage) -> Iterator[Any]:
        """Take in one chunk; yield the object where it has grown."""
        message: Any = AIMessageChunk(content=chunk) if isinstance(chunk, str) else chunk
        if not isinstance(message, AIMessageChunk):  # of a model that does not stream
            yield from self._changed(self._parser.parse_result([ChatGeneration(message=message)]))
            return
        self._chunks.append(message)
        if message.chunk_position == "last":
            return
        self._parts += self._text_of(message)
        is_called = self._call is not None or self._parser.tool is None
        if is_called and (self._growth.is_due(self._length) or not self._length):
            yield from self._changed(self._parser.read_partial("".join(self._parts)))

    def finish(self) -> Iterator[Any]:
        """Yield the object of the whole answer. Raises `OutputParserException` if there is none."""
        if not self._chunks:
            return
        first, *rest = self._chunks
        message: Any = first + rest if rest else first
        partial = message.chunk_position != "last"
        result: list[Generation] = [ChatGenerationChunk(message=message)]
        yield from self._changed(self._parser.parse_result(result, partial=partial))

    def _text_of(self, chunk: AIMessageChunk) -> list[str]:
        if self._parser.tool is None:
            parts = [str(chunk.text)]
        else:
            parts = []
            for call in chunk.tool_call_chunks:
                if self._call is None and call["name"] == self._parser.tool:
                    self._call = call["index"]
                if call["index"] == self._call:
                    parts.append(call["args"] or "")
        self._length += sum(map(len, parts))
        return parts

    def _changed(self, value: Any) -> Iterator[Any]:
        if value is not None and value != self._last:
            self._last = value
            yield value


_CUT_OFF = (
    "The answer was cut off (finish_reason {!r}) before the object was complete. "
    "Raise max_tokens, or ask for less."
)


def _whole_json(message: Any) -> Any:
    text = message.text
    try:
        return parse_json_markdown(without_thoughts(text), parser=_first_value)
    except (ValueError, RecursionError) as error:
        reason = message.response_metadata.get("finish_reason")
        problem = f"The answer, which ended with {reason!r}, is not valid JSON: {error}."
        if ran_out_of_tokens(reason):
            problem = _CUT_OFF.format(reason)
        raise OutputParserException(
            f"{problem} The text: {text[:200]!r}", llm_output=text
        ) from error


def _partial_json(text: str) -> Any:
    """Return the beginning of a JSON text as far as it goes, or None."""
    text = without_thoughts(text).lstrip()
    if text.startswith(("{", "[")):
        try:
            return from_json(text, allow_partial="trailing-strings")
        except ValueError:
            pass  # a line break in a string, or prose after the object
    try:
        return parse_json_markdown(text)
    except (ValueError, RecursionError):
        return None


_LENIENT = json.JSONDecoder(strict=False)  # models write line breaks into strings


def _first_value(text: str) -> Any:
    """Return the JSON that a text begins with; prose may follow an object or a list."""
    text = text.strip()
    value, end = _LENIENT.raw_decode(text)
    if not isinstance(value, dict | list) and end < len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def raise_if_refused(message: Any) -> None:
    """Raise for an answer that is only a refusal: LangChain's `ModelRefusalError`, if it has one."""
    refusal = message.additional_kwargs.get("refusal")
    if refusal is None or message.text or message.tool_calls:
        return
    error = getattr(exceptions, "ModelRefusalError", None)
    problem = f"The model refused: {refusal}" if refusal else "The model refused."
    if error is None:  # before langchain-core 1.7.5
        raise OutputParserException(problem, llm_output=refusal)
    raise error(problem, raw_message=message)


def response_format(schema: Any, strict: bool | None = None) -> dict[str, Any]:
    """Return ``response_format`` for a schema; one that is complete already stays unchanged."""
    if (inner := _inner_format(schema)) is not None:
        return {"type": "json_schema", "json_schema": {"name": _name_of(inner), **inner}}
    is_format = isinstance(schema, dict) and "properties" not in schema
    if is_format and schema.get("type") in ("json_object", "json_schema", "text"):
        return schema  # type: ignore[no-any-return]  # a dict, as was just checked
    return describe(schema).to_response_format(strict)


def _unwrap(schema: Any) -> Any:
    """Return the JSON schema inside a ``response_format``, or `schema` itself."""
    inner = _inner_format(schema)
    if inner is None:
        return schema
    description = {"description": inner["description"]} if inner.get("description") else {}
    return {**description, **inner["schema"], "title": _name_of(inner)}


def _inner_format(schema: Any) -> dict[str, Any] | None:
    """Return what is in ``json_schema`` of a ``response_format``, which may be flat or that alone."""
    if not isinstance(schema, dict) or "properties" in schema:
        return None
    is_format = schema.get("type") == "json_schema"
    inner = schema.get("json_schema")
    if not isinstance(inner, dict):
        inner = {name: value for name, value in schema.items() if name != "type" or not is_format}
    has_schema = isinstance(inner.get("schema"), dict)
    return inner if has_schema and (is_format or "name" in inner) else None


def _name_of(inner: dict[str, Any]) -> str:
    return str(inner.get("name") or inner["schema"].get("title") or UNTITLED)


def _is_pydantic(schema: Any) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def _invalid_input(message: str) -> Exception:
    from langchain_oxen.errors import InvalidInputError

    return InvalidInputError(message)
