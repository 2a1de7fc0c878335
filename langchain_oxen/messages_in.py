"""Answers from `oxen_inference.chat` as LangChain's messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.tool import ToolCallChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.json import parse_partial_json
from pydantic import BaseModel

from langchain_oxen import answer_blocks
from oxen_inference.chat.tool_calls import read_arguments

if TYPE_CHECKING:
    from langchain_core.messages import content as blocks

    from oxen_inference.chat.answer import Answer, Delta
    from oxen_inference.chat.answer import ToolCall as WireCall
    from oxen_inference.chat.usage import Usage

PROVIDER = "oxen"
M = TypeVar("M", bound=BaseModel)


def to_message(answer: Answer) -> AIMessage:
    """Return the message for a whole answer."""
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for wire_call in answer.tool_calls:
        call = to_call(wire_call)
        if call["type"] == "tool_call":
            calls.append(call)
        else:
            invalid.append(call)
    kwargs = _final_kwargs(answer)
    if answer.reasoning:
        kwargs["reasoning_content"] = answer.reasoning
    if answer.refused:
        kwargs["refusal"] = answer.refusal
    metadata = {"model_provider": PROVIDER, **_final_metadata(answer)}
    if answer.logprobs:
        metadata["logprobs"] = answer.logprobs
    return AIMessage(
        content=answer.text,
        additional_kwargs=kwargs,
        response_metadata=metadata,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=to_usage(answer.usage),
    )


def to_call(call: WireCall) -> ToolCall | InvalidToolCall:
    """Return a tool call, or what is wrong with it."""
    arguments, error = _parse_arguments(call)
    if error is None:
        return ToolCall(name=call.name, args=arguments, id=call.id, type="tool_call")
    return InvalidToolCall(
        type="invalid_tool_call", name=call.name, args=call.arguments, id=call.id, error=error
    )


def to_chunk(delta: Delta) -> ChatGenerationChunk:
    """Return the chunk for one step of a stream."""
    if delta.end is not None:
        return _last_chunk(delta, delta.end)
    kwargs: dict[str, Any] = {}
    if delta.reasoning:
        kwargs["reasoning_content"] = delta.reasoning
    if delta.refusal:
        kwargs["refusal"] = delta.refusal
    metadata: dict[str, Any] = {"model_provider": PROVIDER}
    if delta.logprobs:
        metadata["logprobs"] = delta.logprobs
    if delta.tools:
        message = AIMessageChunk(
            content=delta.text,
            additional_kwargs=kwargs,
            response_metadata=metadata,
            tool_call_chunks=_tool_chunks(delta),
        )
        return ChatGenerationChunk(message=message)
    return _text_chunk(delta.text, kwargs, metadata)


def _last_chunk(delta: Delta, answer: Answer) -> ChatGenerationChunk:
    """Return the last chunk of a stream, the only one with usage, cost and finish reason."""
    kwargs = _final_kwargs(answer)
    if delta.reasoning:
        kwargs["reasoning_content"] = delta.reasoning
    if answer.refused and not answer.refusal:
        kwargs["refusal"] = ""
    message = AIMessageChunk(
        content=delta.text,
        additional_kwargs=kwargs,
        response_metadata={"model_provider": PROVIDER, **_final_metadata(answer)},
        tool_call_chunks=[*_tool_chunks(delta), *_invalidating_chunks(answer.tool_calls)],
        usage_metadata=to_usage(answer.usage),
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message)


def to_usage(usage: Usage | None) -> UsageMetadata | None:
    """Return LangChain's form of token counts."""
    if usage is None:
        return None
    metadata = UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
    )
    inputs = {
        "audio": usage.input_audio,
        "cache_creation": usage.cache_creation,
        "cache_read": usage.cache_read,
    }
    outputs = {"audio": usage.output_audio, "reasoning": usage.reasoning}
    if details := {name: count for name, count in inputs.items() if count is not None}:
        metadata["input_token_details"] = InputTokenDetails(**details)  # type: ignore[typeddict-item]  # keys are its own
    if details := {name: count for name, count in outputs.items() if count is not None}:
        metadata["output_token_details"] = OutputTokenDetails(**details)  # type: ignore[typeddict-item]  # same
    return metadata


def _final_metadata(answer: Answer) -> dict[str, Any]:
    """Return what a message's `response_metadata` says once, in the last chunk of a stream."""
    fields = {"id": answer.id, "model_name": answer.model, "finish_reason": answer.finish_reason}
    known = {name: value for name, value in fields.items() if value is not None}
    return {**known, **answer.cost_fields(), **answer.metadata}


def _final_kwargs(answer: Answer) -> dict[str, Any]:
    """Return what a message's `additional_kwargs` have once, in the last chunk of a stream."""
    kwargs: dict[str, Any] = dict(answer.extras)
    if answer.reasoning_details:
        kwargs[answer.reasoning_field] = answer.reasoning_details
    if extras := {c.id: c.extra for c in answer.tool_calls if c.extra}:
        kwargs["tool_call_extras"] = extras
    return kwargs


def _parse_arguments(call: WireCall) -> tuple[dict[str, Any], str | None]:
    """Return a call's arguments, and what is wrong with them or None."""
    if not call.name:
        return {}, "The model named no tool."
    try:
        return read_arguments(call.arguments), None
    except ValueError as error:
        return {}, str(error)


def _tool_chunks(delta: Delta) -> list[ToolCallChunk]:
    return [
        ToolCallChunk(type="tool_call_chunk", name=t.name, args=t.arguments, id=t.id, index=t.index)
        for t in delta.tools
    ]


def _invalidating_chunks(calls: Iterable[WireCall]) -> list[ToolCallChunk]:
    """Return fragments that keep calls with broken arguments from looking complete.

    LangChain completes a partial object when it adds chunks up. A call that was cut off at
    ``{"prompt": "an ox in a`` would be run, and might be paid for, as if the model had meant it.
    """
    chunks = []
    for index, call in enumerate(calls):
        if _parse_arguments(call)[1] is not None:
            suffix = next(s for s in _INVALID_SUFFIXES if not _parses(call.arguments + s))
            chunks.append(
                ToolCallChunk(type="tool_call_chunk", name=None, args=suffix, id=None, index=index)
            )
    return chunks


# Nothing where the text is invalid already; else a bracket that closes nothing, after the end of
# an open string if there is one.
_INVALID_SUFFIXES = ("", "]", "}", '"]', '"}', '""]', '""}')


def _parses(text: str) -> bool:
    try:
        return isinstance(parse_partial_json(text), dict)
    except (ValueError, RecursionError):
        return False


_CHUNK = AIMessageChunk(content="", additional_kwargs={}, response_metadata={}).__dict__
_GENERATION = ChatGenerationChunk(message=AIMessageChunk(content="")).__dict__
_FRESH = ("additional_kwargs", "response_metadata", "tool_calls", "invalid_tool_calls", "tool_call_chunks")  # fmt: skip
# Whether this LangChain's chunks have just the fields that the shortcut below fills.
_SHAPE_IS_KNOWN = {k for k, v in _CHUNK.items() if isinstance(v, list | dict | set)} == set(
    _FRESH
) and _GENERATION.keys() == {"text", "generation_info", "type", "message"}


def _text_chunk(text: str, kwargs: dict[str, Any], metadata: dict[str, Any]) -> ChatGenerationChunk:
    """Return the chunk that the constructors would, in a third of the time.

    One is made for every token, and validating what needs no validation was a quarter of a
    stream's cost (``make bench``).
    """
    if not _SHAPE_IS_KNOWN:
        message = AIMessageChunk(content=text, additional_kwargs=kwargs, response_metadata=metadata)
        return ChatGenerationChunk(message=message)
    message = _construct(
        AIMessageChunk,
        {
            **_CHUNK,
            "content": text,
            "additional_kwargs": kwargs,
            "response_metadata": metadata,
            "tool_calls": [],
            "invalid_tool_calls": [],
            "tool_call_chunks": [],
        },
        {"content", "additional_kwargs", "response_metadata"},
        {},
    )
    return _construct(
        ChatGenerationChunk,
        {**_GENERATION, "text": text, "message": message},
        {"message", "text"},
        None,
    )


_new = object.__new__
_set = object.__setattr__


def _construct(
    cls: type[M], values: dict[str, Any], fields_set: set[str], extra: dict[str, Any] | None
) -> M:
    instance = _new(cls)
    _set(instance, "__dict__", values)
    _set(instance, "__pydantic_fields_set__", fields_set)
    _set(instance, "__pydantic_extra__", extra)
    _set(instance, "__pydantic_private__", None)
    return instance


# Standard content blocks (``message.content_blocks``)


def _message_blocks(message: AIMessage) -> list[blocks.ContentBlock]:
    """Return the standard content blocks of a whole message."""
    content = _text_blocks(message, indexed=False)
    for call in message.tool_calls:
        content.append(
            {"type": "tool_call", "id": call["id"], "name": call["name"], "args": call["args"]}
        )
    content += [{**call, "type": "invalid_tool_call"} for call in message.invalid_tool_calls]
    return content


def _chunk_blocks(chunk: AIMessageChunk) -> list[blocks.ContentBlock]:
    """Return the standard content blocks of a chunk, each with the index of what it extends.

    LangChain merges string indices only if they start with ``lc_``. With numbers, a tool call and
    a text of the same index would be merged.
    """
    is_sum = chunk.chunk_position == "last" and all(c["name"] for c in chunk.tool_call_chunks)
    if is_sum and chunk.tool_call_chunks:
        return _message_blocks(chunk)
    content = _text_blocks(chunk, indexed=True)
    for call in chunk.tool_call_chunks:
        content.append({**call, "type": "tool_call_chunk", "index": f"lc_tc_{call['index']}"})
    return content


def _text_blocks(message: AIMessage, *, indexed: bool) -> list[Any]:
    """Return the blocks of everything but tool calls."""
    if not isinstance(message.content, str):
        raise NotImplementedError  # blocks already: LangChain reads them by itself
    content: list[Any] = []
    kwargs = message.additional_kwargs
    if reasoning := kwargs.get("reasoning_content"):
        content.append({"type": "reasoning", "reasoning": reasoning, "index": "lc_rs_0"})
    citations = answer_blocks.citations(kwargs, message.response_metadata)
    if message.content or citations:
        text: dict[str, Any] = {"type": "text", "text": message.content, "index": "lc_txt_0"}
        content.append({**text, "annotations": citations} if citations else text)
    for position, block in enumerate(answer_blocks.media(kwargs)):
        content.append({**block, "index": f"lc_med_{position}"})
    if (refusal := kwargs.get("refusal")) is not None:
        content.append({**answer_blocks.refusal(refusal), "index": "lc_rf_0"})
    if not indexed:
        for block in content:
            del block["index"]
    return content


register_translator(PROVIDER, _message_blocks, _chunk_blocks)
