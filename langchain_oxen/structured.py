"""Answers as objects: by a tool call, by a JSON schema, or as any JSON."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import Any, Literal, cast

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    JsonOutputToolsParser,
    PydanticToolsParser,
)
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.json import parse_json_markdown
from langchain_core.utils.pydantic import is_basemodel_subclass
from typing_extensions import override

from oxen_inference.chat.finish_reasons import ran_out_of_tokens

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
    schema = cast("dict[str, Any]", _with_title(_unwrap(schema)))
    pydantic_class: Any = schema if _is_pydantic(schema) else None
    parser: Runnable[Any, Any]
    if method == "function_calling":
        name = convert_to_openai_tool(schema)["function"]["name"]
        llm = model.bind_tools(
            [schema],
            tool_choice=name,
            strict=strict,
            parallel_tool_calls=False,
            ls_structured_output_format=_tracing_format(method, schema, strict),
            **kwargs,
        )
        if pydantic_class:
            parser = _CallToObject(tools=[pydantic_class], first_tool_only=True)
        else:
            parser = _CallToDict(key_name=name, first_tool_only=True)
    else:
        is_json_mode = method == "json_mode"
        llm = model.bind_tools(
            kwargs.pop("tools", []),
            strict=strict,
            response_format={"type": "json_object"}
            if is_json_mode
            else response_format(given, strict),
            ls_structured_output_format=_tracing_format(method, schema, strict),
            **kwargs,
        )
        parser = _TextToDict()
        if pydantic_class:
            parser = _TextToObject(pydantic_object=pydantic_class)
    if not include_raw:
        return llm | parser
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")


class StrictParser:
    """Raises `OutputParserException` where the model refused, or its answer was cut off."""

    def parse_result(self, result: list[Any], *, partial: bool = False) -> Any:
        message = result[0].message
        if getattr(message, "chunk_position", None) == "last":
            partial = False
        if not partial:
            raise_if_refused(message, needs_call=isinstance(self, JsonOutputToolsParser))
        return super().parse_result(result, partial=partial)  # type: ignore[misc]  # the parser's


class _WholeJson(JsonOutputParser):
    """Parses a finished answer as it is; LangChain's parser would complete a partial object."""

    @override
    def parse_result(self, result: list[Any], *, partial: bool = False) -> Any:
        if partial:
            return super().parse_result(result, partial=True)
        message = result[0].message
        try:
            return parse_json_markdown(message.text, parser=_first_value)
        except ValueError as error:
            reason = message.response_metadata.get("finish_reason")
            problem = f"The answer, which ended with {reason!r}, is not valid JSON: {error}."
            if ran_out_of_tokens(reason):
                problem = _CUT_OFF.format(reason)
            text = message.text
            raise OutputParserException(
                f"{problem} The text: {text[:200]!r}", llm_output=text
            ) from error


class _CallToObject(StrictParser, PydanticToolsParser):
    pass


class _CallToDict(StrictParser, JsonOutputKeyToolsParser):
    pass


class _TextToObject(StrictParser, PydanticOutputParser[Any], _WholeJson):
    pass


class _TextToDict(StrictParser, _WholeJson):
    pass


_LENIENT = json.JSONDecoder(strict=False)  # models write line breaks into strings


def _first_value(text: str) -> Any:
    """Return the JSON that a text begins with; prose may follow an object or a list."""
    text = text.strip()
    value, end = _LENIENT.raw_decode(text)
    if not isinstance(value, dict | list) and end < len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


_CUT_OFF = (
    "The answer was cut off (finish_reason {!r}) before the object was complete. "
    "Raise max_tokens, or ask for less."
)


def raise_if_refused(message: AIMessage | AIMessageChunk, *, needs_call: bool) -> None:
    """Raise `OutputParserException` for a refusal, a missing call, or a call with bad arguments."""
    refusal = message.additional_kwargs.get("refusal")
    if refusal and not message.text and not message.tool_calls:
        raise OutputParserException(f"The model refused: {refusal}", llm_output=refusal)
    reason = message.response_metadata.get("finish_reason")
    if needs_call and not message.tool_calls and ran_out_of_tokens(reason):
        raise OutputParserException(_CUT_OFF.format(reason))
    if message.invalid_tool_calls and not message.tool_calls:
        call = message.invalid_tool_calls[0]
        raise OutputParserException(
            f"The call of {call['name']} cannot be read: {call['error'] or 'malformed arguments'}",
            llm_output=call["args"] or "",
        )


def response_format(schema: Any, strict: bool | None = None) -> dict[str, Any]:
    """Return ``response_format`` for a schema; one that is complete already stays unchanged."""
    if isinstance(schema, dict):
        if (
            schema.get("type") in ("json_object", "json_schema", "text")
            and "properties" not in schema
        ):
            return schema
        if "schema" in schema and "name" in schema:  # the inner part of a complete one
            return {"type": "json_schema", "json_schema": schema}
    function = convert_to_openai_tool(_with_title(schema), strict=strict)["function"]
    inner = {"name": function["name"], "schema": function.get("parameters") or {}}
    if description := function.get("description"):
        inner["description"] = description
    if strict is not None:
        inner["strict"] = strict
    return {"type": "json_schema", "json_schema": inner}


def _unwrap(schema: Any) -> Any:
    """Return the JSON schema inside a ``response_format``, or `schema` itself."""
    outer = schema if isinstance(schema, dict) and "properties" not in schema else {}
    inner = outer["json_schema"] if isinstance(outer.get("json_schema"), dict) else outer
    if not isinstance(inner.get("schema"), dict) or "name" not in inner:
        return schema
    description = {"description": inner["description"]} if inner.get("description") else {}
    return {**description, **inner["schema"], "title": inner["name"]}


def _is_pydantic(schema: Any) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def _with_title(schema: Any) -> Any:
    """Return a JSON schema with a title: LangChain takes the tool's name from it."""
    has_none = isinstance(schema, dict) and "properties" in schema and not schema.get("title")
    return {"title": "answer", **schema} if has_none and "name" not in schema else schema


def _tracing_format(method: Method, schema: Any, strict: bool | None) -> dict[str, Any] | None:
    if schema is None:
        return None
    return {
        "kwargs": {"method": method, "strict": strict},
        "schema": convert_to_json_schema(schema),
    }


def _invalid_input(message: str) -> Exception:
    from langchain_oxen.errors import InvalidInputError

    return InvalidInputError(message)
