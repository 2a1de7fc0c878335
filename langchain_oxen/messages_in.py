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
    for call in answer.tool_calls:
        arguments, problem = _arguments(call)
        if problem is None:
            calls.append(ToolCall(name=call.name, args=arguments, id=call.id, type="tool_call"))
        else:
            invalid.append(
                InvalidToolCall(
                    type="invalid_tool_call",
                    name=call.name,
                    args=call.arguments,
                    id=call.id,
                    error=problem,
                )
            )
    more: dict[str, Any] = _last_kwargs(answer)
    if answer.reasoning:
        more["reasoning_content"] = answer.reasoning
    if answer.refusal:
        more["refusal"] = answer.refusal
    about = {"model_provider": PROVIDER, **_about(answer)}
    if answer.logprobs:
        about["logprobs"] = answer.logprobs
    return AIMessage(
        content=answer.text,
        additional_kwargs=more,
        response_metadata=about,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=to_usage(answer.usage),
    )


def to_chunk(delta: Delta) -> ChatGenerationChunk:
    """Return the chunk for one step of a stream, other than the last."""
    more: dict[str, Any] = {}
    if delta.reasoning:
        more["reasoning_content"] = delta.reasoning
    if delta.refusal:
        more["refusal"] = delta.refusal
    about: dict[str, Any] = {"model_provider": PROVIDER}
    if delta.logprobs:
        about["logprobs"] = delta.logprobs
    if delta.tools:
        message = AIMessageChunk(
            content=delta.text,
            additional_kwargs=more,
            response_metadata=about,
            tool_call_chunks=_tool_chunks(delta),
        )
        return ChatGenerationChunk(message=message)
    return _text_chunk(delta.text, more, about)


def to_last_chunk(delta: Delta, answer: Answer) -> ChatGenerationChunk:
    """Return the last chunk of a stream, the only one with usage and what else is said once."""
    message = AIMessageChunk(
        content=delta.text,
        additional_kwargs=_last_kwargs(answer),
        response_metadata={"model_provider": PROVIDER, **_about(answer)},
        tool_call_chunks=[*_tool_chunks(delta), *_spoilers(answer.tool_calls)],
        usage_metadata=to_usage(answer.usage),
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message)


def to_usage(usage: Usage | None) -> UsageMetadata | None:
    """Return LangChain's form of token counts."""
    if usage is None:
        return None
    found = UsageMetadata(
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
    if any(count is not None for count in inputs.values()):
        found["input_token_details"] = InputTokenDetails(**_known(inputs))  # type: ignore[typeddict-item]  # keys are its own
    if any(count is not None for count in outputs.values()):
        found["output_token_details"] = OutputTokenDetails(**_known(outputs))  # type: ignore[typeddict-item]  # same
    return found


def _known(counts: dict[str, int | None]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count is not None}


def _about(answer: Answer) -> dict[str, Any]:
    said = {"id": answer.id, "model_name": answer.model, "finish_reason": answer.finish_reason}
    for name in ("cost", "cost_estimate"):
        if (amount := getattr(answer, name)) is not None:
            said[name] = f"{amount:f}"
    return {**{k: v for k, v in said.items() if v is not None}, **answer.metadata}


def _last_kwargs(answer: Answer) -> dict[str, Any]:
    more: dict[str, Any] = dict(answer.extras)
    if answer.reasoning_details:
        more[answer.reasoning_field] = answer.reasoning_details
    if extras := {c.id: c.extra for c in answer.tool_calls if c.extra}:
        more["tool_call_extras"] = extras
    return more


def _arguments(call: WireCall) -> tuple[dict[str, Any], str | None]:
    """Return a call's arguments, or what is wrong with them."""
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


def _spoilers(calls: Iterable[WireCall]) -> list[ToolCallChunk]:
    """Return fragments that keep calls with broken arguments from looking whole.

    LangChain completes half an object when it adds chunks up, so a call that was cut off at
    ``{"prompt": "an ox in a`` would be run, and might be paid for, as if it had been meant.
    """
    spoilers = []
    for place, call in enumerate(calls):
        if _arguments(call)[1] is not None:
            spoiler = next(s for s in _SPOILERS if not _passes(call.arguments + s))
            spoilers.append(
                ToolCallChunk(type="tool_call_chunk", name=None, args=spoiler, id=None, index=place)
            )
    return spoilers


# None where the text is invalid as it is; else a bracket that closes nothing, behind the end of
# the string that is open, if one is.
_SPOILERS = ("", "]", "}", '"]', '"}', '""]', '""}')


def _passes(text: str) -> bool:
    try:
        return isinstance(parse_partial_json(text), dict)
    except ValueError:
        return False


_CHUNK = AIMessageChunk(content="", additional_kwargs={}, response_metadata={}).__dict__
_GENERATION = ChatGenerationChunk(message=AIMessageChunk(content="")).__dict__
_FRESH = ("additional_kwargs", "response_metadata", "tool_calls", "invalid_tool_calls", "tool_call_chunks")  # fmt: skip
# Whether this version of LangChain has in its chunks what the short cut below knows of.
_KNOWN_SHAPE = {k for k, v in _CHUNK.items() if isinstance(v, list | dict | set)} == set(
    _FRESH
) and _GENERATION.keys() == {"text", "generation_info", "type", "message"}


def _text_chunk(text: str, more: dict[str, Any], about: dict[str, Any]) -> ChatGenerationChunk:
    """Return the chunk that the constructors would, in a third of the time.

    It is what is made for every token: validating what needs no validation was a quarter of a
    stream's cost (``make bench``).
    """
    if not _KNOWN_SHAPE:
        message = AIMessageChunk(content=text, additional_kwargs=more, response_metadata=about)
        return ChatGenerationChunk(message=message)
    message = _made(
        AIMessageChunk,
        {
            **_CHUNK,
            "content": text,
            "additional_kwargs": more,
            "response_metadata": about,
            "tool_calls": [],
            "invalid_tool_calls": [],
            "tool_call_chunks": [],
        },
        {"content", "additional_kwargs", "response_metadata"},
        {},
    )
    return _made(
        ChatGenerationChunk,
        {**_GENERATION, "text": text, "message": message},
        {"message", "text"},
        None,
    )


_new = object.__new__
_set = object.__setattr__


def _made(cls: type[M], values: dict[str, Any], given: set[str], extra: dict[str, Any] | None) -> M:
    made = _new(cls)
    _set(made, "__dict__", values)
    _set(made, "__pydantic_fields_set__", given)
    _set(made, "__pydantic_extra__", extra)
    _set(made, "__pydantic_private__", None)
    return made


def _blocks(message: AIMessage) -> list[blocks.ContentBlock]:
    """Return the standard content blocks of a whole message."""
    found = _said(message, indexed=False)
    for call in message.tool_calls:
        found.append(
            {"type": "tool_call", "id": call["id"], "name": call["name"], "args": call["args"]}
        )
    found += [{**call, "type": "invalid_tool_call"} for call in message.invalid_tool_calls]
    return found


def _chunk_blocks(chunk: AIMessageChunk) -> list[blocks.ContentBlock]:
    """Return the standard content blocks of a chunk, each with the index of what it extends.

    Of string indices LangChain merges only those that start with ``lc_``; with numbers, a tool
    call and a text that happen to have the same one would run into each other.
    """
    is_sum = chunk.chunk_position == "last" and all(c["name"] for c in chunk.tool_call_chunks)
    if is_sum and chunk.tool_call_chunks:
        return _blocks(chunk)
    found = _said(chunk, indexed=True)
    for call in chunk.tool_call_chunks:
        found.append({**call, "type": "tool_call_chunk", "index": f"lc_tc_{call['index']}"})
    return found


def _said(message: AIMessage, *, indexed: bool) -> list[Any]:
    if not isinstance(message.content, str):
        raise NotImplementedError  # blocks already: LangChain reads them by itself
    found: list[Any] = []
    more = message.additional_kwargs
    if reasoning := more.get("reasoning_content"):
        found.append({"type": "reasoning", "reasoning": reasoning, "index": "lc_rs_0"})
    if message.content:
        found.append({"type": "text", "text": message.content, "index": "lc_txt_0"})
    if refusal := more.get("refusal"):
        value = {"type": "refusal", "refusal": refusal}
        found.append({"type": "non_standard", "value": value, "index": "lc_rf_0"})
    if not indexed:
        for block in found:
            del block["index"]
    return found


register_translator(PROVIDER, _blocks, _chunk_blocks)
