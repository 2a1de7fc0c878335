"""Answers from `oxen_inference.chat` as LlamaIndex's responses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from oxen_inference.chat.tool_calls import read_arguments

if TYPE_CHECKING:
    from oxen_inference.chat.answer import Answer, Delta, ToolCall, ToolDelta

_ASSISTANT = MessageRole.ASSISTANT


def to_message(answer: Answer) -> ChatMessage:
    """Return the message of an answer: thinking, text, images and tool calls, in this order."""
    blocks: list[Any] = []
    if answer.reasoning or answer.reasoning_details:
        details = answer.reasoning_details
        blocks.append(
            ThinkingBlock(
                content=answer.reasoning or None,
                num_tokens=answer.usage.reasoning if answer.usage else None,
                additional_information={answer.reasoning_field: details} if details else {},
            )
        )
    more: dict[str, Any] = dict(answer.extras)
    images = _take_images(more)
    if answer.text or not (blocks or images or answer.tool_calls):
        blocks.append(TextBlock(text=answer.text))
    blocks += images
    blocks += [_tool_block(call.id, call.name, _arguments(call)) for call in answer.tool_calls]
    if answer.tool_calls:
        more["tool_calls"] = [_wire(c.id, c.name, c.arguments, c.extra) for c in answer.tool_calls]
    if answer.refusal:
        more["refusal"] = answer.refusal
    return ChatMessage(role=_ASSISTANT, blocks=blocks, additional_kwargs=more)


def to_response(answer: Answer, *, delta: str | None = None) -> ChatResponse:
    """Return the response for a whole answer; of a stream it is the last, and `delta` its text.

    ``raw`` is plain data: ``usage`` in OpenAI's names, where `TokenCountingHandler` looks for it,
    ``cost`` in USD as a decimal string where it is known, else ``cost_estimate`` where that is,
    ``finish_reason``, ``model``, ``id``.
    """
    return ChatResponse(
        message=to_message(answer),
        delta=delta,
        raw=_raw(answer),
        logprobs=_logprobs(answer.logprobs),
        additional_kwargs=_counts(answer),
    )


class Growing:
    """The responses of a stream: each has what is new, and the whole message so far."""

    __slots__ = ("_calls", "_reasoning", "_refusal", "_text")

    def __init__(self) -> None:
        self._text = self._reasoning = self._refusal = ""
        self._calls: list[list[str]] = []

    def add(self, delta: Delta) -> ChatResponse:
        """Return the response for one step of the stream."""
        if delta.end is not None:
            return to_response(delta.end, delta=delta.text)
        blocks: list[Any] = []
        news: dict[str, Any] = {}
        more: dict[str, Any] = {}
        if delta.text:
            self._text += delta.text
        if delta.reasoning:
            self._reasoning += delta.reasoning
            news["thinking_delta"] = delta.reasoning
        if self._reasoning:
            blocks.append(ThinkingBlock(content=self._reasoning))
        if self._text or not (self._reasoning or self._calls or delta.tools):
            blocks.append(TextBlock(text=self._text))
        if delta.tools or self._calls:
            self._hear(delta.tools)
            blocks += [_tool_block(*call) for call in self._calls]
            more["tool_calls"] = [_wire(*call) for call in self._calls]
        if delta.refusal or self._refusal:
            self._refusal += delta.refusal
            more["refusal"] = self._refusal
        return ChatResponse(
            message=ChatMessage(role=_ASSISTANT, blocks=blocks, additional_kwargs=more),
            delta=delta.text,
            logprobs=_logprobs(delta.logprobs) if delta.logprobs else None,
            additional_kwargs=news,
        )

    def _hear(self, pieces: Iterable[ToolDelta]) -> None:
        for piece in pieces:
            if piece.index == len(self._calls):
                self._calls.append(["", "", ""])
            call = self._calls[piece.index]
            call[0] = piece.id or call[0]
            call[1] += piece.name or ""
            call[2] += piece.arguments


def to_completion(response: ChatResponse) -> CompletionResponse:
    """Return a chat's response as that of a completion."""
    more = {**response.message.additional_kwargs, **response.additional_kwargs}
    if images := [block for block in response.message.blocks if isinstance(block, ImageBlock)]:
        more["images"] = images
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs=more,
    )


def _take_images(more: dict[str, Any]) -> list[ImageBlock]:
    """Take the images out of an answer's extras; what is none of a known form stays.

    Core takes a message's ``images`` for documents of its own, and fails on anything else
    (`ChatMessage.legacy_additional_kwargs_image`).
    """
    given = more.pop("images", None) or []
    read = [(_image(one), one) for one in (given if isinstance(given, list) else [given])]
    if unknown := [one for block, one in read if block is None]:
        more["other_images"] = unknown
    return [block for block, _ in read if block is not None]


def _image(given: Any) -> ImageBlock | None:
    """Return the block for an image an answer has, or None for one in no known form.

    https://openrouter.ai/docs/guides/overview/multimodal/image-generation
    """
    place = given.get("image_url") if isinstance(given, dict) else given
    url = place.get("url") if isinstance(place, dict) else place
    if not isinstance(url, str):
        return None
    try:
        return ImageBlock(url=url)
    except ValueError:
        return None


def _tool_block(call_id: str, name: str, arguments: Any) -> ToolCallBlock:
    return ToolCallBlock(tool_call_id=call_id, tool_name=name, tool_kwargs=arguments)


def _wire(call_id: Any, name: str, arguments: str, extra: Any = None) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    call = {"id": call_id, "type": "function", "function": function}
    return {**call, "extra_content": extra} if extra else call


def _arguments(call: ToolCall) -> dict[str, Any] | str:
    try:
        return read_arguments(call.arguments)
    except ValueError:
        return call.arguments


def _raw(answer: Answer) -> dict[str, Any]:
    raw = {
        **answer.metadata,
        "id": answer.id,
        "model": answer.model,
        "finish_reason": answer.finish_reason,
    }
    if answer.usage is not None:
        raw["usage"] = answer.usage.as_openai()
    for name in ("cost", "cost_estimate"):
        if (amount := getattr(answer, name)) is not None:
            raw[name] = f"{amount:f}"
    return raw


def _counts(answer: Answer) -> dict[str, Any]:
    if answer.usage is None:
        return {}
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    counts = answer.usage.as_openai()
    return {name: counts[name] for name in names}


def _logprobs(said: dict[str, Any] | None) -> list[list[LogProb]] | None:
    tokens = (said or {}).get("content")
    if not isinstance(tokens, list):
        return None
    return [_alternatives(token) for token in tokens if isinstance(token, dict)]


def _alternatives(token: dict[str, Any]) -> list[LogProb]:
    top = token.get("top_logprobs")
    every = top if isinstance(top, list) and top else [token]
    return [_logprob(one) for one in every if isinstance(one, dict)]


def _logprob(token: dict[str, Any]) -> LogProb:
    """Return one of them; a value that is none of its kind is left out."""
    logprob, bytes_ = token.get("logprob"), token.get("bytes")
    is_number = isinstance(logprob, int | float)
    are_bytes = isinstance(bytes_, list) and all(isinstance(each, int) for each in bytes_)
    return LogProb(
        token=str(token.get("token") or ""),
        logprob=float(logprob) if is_number and logprob is not None else 0.0,
        bytes=bytes_ if are_bytes and bytes_ is not None else [],
    )
