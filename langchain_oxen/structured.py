"""Answers as objects: by a tool call, by a JSON schema, or as any JSON."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, cast

from langchain_core.exceptions import OutputParserException
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

if TYPE_CHECKING:
    from langchain_oxen.chat_models import ChatOxen

Method = Literal["function_calling", "json_schema", "json_mode"]
_METHODS = ("function_calling", "json_schema", "json_mode")


def with_structured_output(
    model: ChatOxen,
    schema: dict[str, Any] | type | None,
    *,
    method: Method,
    include_raw: bool,
    strict: bool | None,
    **kwargs: Any,
) -> Runnable[Any, Any]:
    """Return `model` piped into a parser; see `ChatOxen.with_structured_output`."""
    if method not in _METHODS:
        raise _invalid(f"method must be one of {', '.join(_METHODS)}, not {method!r}.")
    if schema is None and method != "json_mode":
        raise _invalid(f"method {method!r} needs a schema; only 'json_mode' does without.")
    ready = schema if method == "json_schema" else None  # as the API takes it, perhaps
    schema = cast("dict[str, Any]", _titled(_bare(schema)))
    pydantic_class: Any = schema if _is_pydantic(schema) else None
    parser: Runnable[Any, Any]
    if method == "function_calling":
        name = convert_to_openai_tool(schema)["function"]["name"]
        llm = model.bind_tools(
            [schema],
            tool_choice=name,
            strict=strict,
            parallel_tool_calls=False,
            ls_structured_output_format=_for_tracing(method, schema, strict),
            **kwargs,
        )
        if pydantic_class:
            parser = _ObjectOfCall(tools=[pydantic_class], first_tool_only=True)
        else:
            parser = _DictOfCall(key_name=name, first_tool_only=True)
    else:
        form = {"type": "json_object"} if method == "json_mode" else response_format(ready, strict)
        llm = model.bind_tools(
            kwargs.pop("tools", []),
            strict=strict,
            response_format=form,
            ls_structured_output_format=_for_tracing(method, schema, strict),
            **kwargs,
        )
        parser = _DictOfText()
        if pydantic_class:
            parser = _ObjectOfText(pydantic_object=pydantic_class)
    if not include_raw:
        return llm | parser
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")


class _Outspoken:
    """Raises `OutputParserException` where the model refused, or its answer was cut off."""

    def parse_result(self, result: list[Any], *, partial: bool = False) -> Any:
        message = result[0].message
        if getattr(message, "chunk_position", None) == "last":
            partial = False
        if not partial:
            _complain(message, wants_call=isinstance(self, JsonOutputToolsParser))
        return super().parse_result(result, partial=partial)  # type: ignore[misc]  # the parser's


class _WholeJson(JsonOutputParser):
    """Takes an answer that has ended as it is, where LangChain's parser completes half an object."""

    @override
    def parse_result(self, result: list[Any], *, partial: bool = False) -> Any:
        if partial:
            return super().parse_result(result, partial=True)
        message = result[0].message
        try:
            return parse_json_markdown(message.text, parser=_first_value)
        except ValueError as error:
            reason = message.response_metadata.get("finish_reason")
            why = f"The answer, which ended with {reason!r}, is no whole JSON: {error}."
            if ran_out_of_tokens(reason):
                why = _CUT_OFF.format(reason)
            said = f"{why} It said: {message.text[:200]!r}"
            raise OutputParserException(said, llm_output=message.text) from error


class _ObjectOfCall(_Outspoken, PydanticToolsParser):
    pass


class _DictOfCall(_Outspoken, JsonOutputKeyToolsParser):
    pass


class _ObjectOfText(_Outspoken, PydanticOutputParser[Any], _WholeJson):
    pass


class _DictOfText(_Outspoken, _WholeJson):
    pass


_LENIENT = json.JSONDecoder(strict=False)  # models write line breaks into strings


def _first_value(text: str) -> Any:
    """Return the JSON a text begins with; behind an object or a list, words may follow."""
    text = text.strip()
    value, end = _LENIENT.raw_decode(text)
    if not isinstance(value, dict | list) and end < len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


_CUT_OFF = (
    "The answer was cut off (finish_reason {!r}) before the object was whole. "
    "Raise max_tokens, or ask for less."
)


def _complain(message: AIMessage | AIMessageChunk, *, wants_call: bool) -> None:
    refusal = message.additional_kwargs.get("refusal")
    if refusal and not message.text and not message.tool_calls:
        raise OutputParserException(f"The model refused: {refusal}", llm_output=refusal)
    reason = message.response_metadata.get("finish_reason")
    if wants_call and not message.tool_calls and ran_out_of_tokens(reason):
        raise OutputParserException(_CUT_OFF.format(reason))
    if message.invalid_tool_calls and not message.tool_calls:
        call = message.invalid_tool_calls[0]
        raise OutputParserException(
            f"The call of {call['name']} cannot be read: {call['error'] or 'malformed arguments'}",
            llm_output=call["args"] or "",
        )


def response_format(schema: Any, strict: bool | None = None) -> dict[str, Any]:
    """Return ``response_format`` for a schema, or the one that was given ready-made."""
    if isinstance(schema, dict):
        if (
            schema.get("type") in ("json_object", "json_schema", "text")
            and "properties" not in schema
        ):
            return schema
        if "schema" in schema and "name" in schema:  # the inner part of a ready-made one
            return {"type": "json_schema", "json_schema": schema}
    function = convert_to_openai_tool(_titled(schema), strict=strict)["function"]
    inner = {"name": function["name"], "schema": function.get("parameters") or {}}
    if description := function.get("description"):
        inner["description"] = description
    if strict is not None:
        inner["strict"] = strict
    return {"type": "json_schema", "json_schema": inner}


def _bare(schema: Any) -> Any:
    """Return the JSON schema in one that is wrapped up for ``response_format``."""
    outer = schema if isinstance(schema, dict) and "properties" not in schema else {}
    inner = outer["json_schema"] if isinstance(outer.get("json_schema"), dict) else outer
    if not isinstance(inner.get("schema"), dict) or "name" not in inner:
        return schema
    more = {"description": inner["description"]} if inner.get("description") else {}
    return {**more, **inner["schema"], "title": inner["name"]}


def _is_pydantic(schema: Any) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def _titled(schema: Any) -> Any:
    """Return a JSON schema with a title: LangChain takes the tool's name from it."""
    is_bare = isinstance(schema, dict) and "properties" in schema and not schema.get("title")
    return {"title": "answer", **schema} if is_bare and "name" not in schema else schema


def _for_tracing(method: Method, schema: Any, strict: bool | None) -> dict[str, Any] | None:
    if schema is None:
        return None
    return {
        "kwargs": {"method": method, "strict": strict},
        "schema": convert_to_json_schema(schema),
    }


def _invalid(message: str) -> Exception:
    from langchain_oxen.errors import InvalidInputError

    return InvalidInputError(message)
