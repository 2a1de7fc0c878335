"""Answers from `oxen_inference.chat` as LlamaIndex's responses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CitationBlock,
    CompletionResponse,
    ImageBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from oxen_inference.chat.answer_images import image_url
from oxen_inference.chat.citations import Citation, citations_of
from oxen_inference.chat.tool_calls import read_arguments, wire_tool_call

if TYPE_CHECKING:
    from oxen_inference.chat.answer import Answer, Delta, ToolCall, ToolDelta

_ASSISTANT = MessageRole.ASSISTANT


def to_message(answer: Answer) -> ChatMessage:
    """Return the message of an answer: thinking, text, images, citations and tool calls, in this order."""
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
    kwargs: dict[str, Any] = dict(answer.extras)
    images = _pop_images(kwargs)
    if answer.text or not (blocks or images or answer.tool_calls):
        blocks.append(TextBlock(text=answer.text))
    blocks += images
    blocks += [_citation_block(each) for each in citations_of(answer.extras, answer.metadata)]
    blocks += [_tool_block(call.id, call.name, _arguments(call)) for call in answer.tool_calls]
    if answer.tool_calls:
        kwargs["tool_calls"] = [
            wire_tool_call(call.id, call.name, call.arguments, call.extra)
            for call in answer.tool_calls
        ]
    if answer.refused:
        kwargs["refusal"] = answer.refusal
    return ChatMessage(role=_ASSISTANT, blocks=blocks, additional_kwargs=kwargs)


def to_response(answer: Answer, *, delta: str | None = None) -> ChatResponse:
    """Return the response for a whole answer, or with `delta` the last response of a stream.

    ``raw`` is plain data: ``usage`` in OpenAI's names, where `TokenCountingHandler` looks for it,
    ``cost`` or else ``cost_estimate`` in USD as a decimal string, where one is known,
    ``finish_reason``, ``model``, ``id``.
    """
    return ChatResponse(
        message=to_message(answer),
        delta=delta,
        raw=_raw(answer),
        logprobs=_logprobs(answer.logprobs),
        additional_kwargs=_token_counts(answer),
    )


class StreamedResponse:
    """Makes the responses of a stream: each has what is new, and the whole message so far."""

    __slots__ = ("_calls", "_reasoning", "_refusal", "_text")

    def __init__(self) -> None:
        self._text = self._reasoning = self._refusal = ""
        self._calls: list[list[str]] = []

    def add(self, delta: Delta) -> ChatResponse:
        """Return the response for one step of the stream."""
        if delta.end is not None:
            return to_response(delta.end, delta=delta.text)
        blocks: list[Any] = []
        response_kwargs: dict[str, Any] = {}
        message_kwargs: dict[str, Any] = {}
        if delta.text:
            self._text += delta.text
        if delta.reasoning:
            self._reasoning += delta.reasoning
            response_kwargs["thinking_delta"] = delta.reasoning
        if self._reasoning:
            blocks.append(ThinkingBlock(content=self._reasoning))
        if self._text or not (self._reasoning or self._calls or delta.tools):
            blocks.append(TextBlock(text=self._text))
        if delta.tools or self._calls:
            self._add_fragments(delta.tools)
            blocks += [_tool_block(*call) for call in self._calls]
            message_kwargs["tool_calls"] = [wire_tool_call(*call) for call in self._calls]
        if delta.refusal or self._refusal:
            self._refusal += delta.refusal
            message_kwargs["refusal"] = self._refusal
        return ChatResponse(
            message=ChatMessage(role=_ASSISTANT, blocks=blocks, additional_kwargs=message_kwargs),
            delta=delta.text,
            logprobs=_logprobs(delta.logprobs) if delta.logprobs else None,
            additional_kwargs=response_kwargs,
        )

    def _add_fragments(self, fragments: Iterable[ToolDelta]) -> None:
        for fragment in fragments:
            if fragment.index == len(self._calls):
                self._calls.append(["", "", ""])
            call = self._calls[fragment.index]
            call[0] = fragment.id or call[0]
            call[1] += fragment.name or ""
            call[2] += fragment.arguments


def to_completion(response: ChatResponse) -> CompletionResponse:
    """Return the response of a chat as that of a completion."""
    kwargs = {**response.message.additional_kwargs, **response.additional_kwargs}
    if images := [block for block in response.message.blocks if isinstance(block, ImageBlock)]:
        kwargs["images"] = images
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs=kwargs,
    )


def _pop_images(kwargs: dict[str, Any]) -> list[ImageBlock]:
    """Remove the images from an answer's extras and return them; unknown forms stay as other_images.

    Core takes a message's ``images`` for documents of its own, and fails on anything else
    (`ChatMessage.legacy_additional_kwargs_image`).
    """
    images = kwargs.pop("images", None) or []
    images = images if isinstance(images, list) else [images]
    blocks = [_image_block(image) for image in images]
    unknown = [image for image, block in zip(images, blocks, strict=True) if block is None]
    if unknown:
        kwargs["other_images"] = unknown
    return [block for block in blocks if block is not None]


def _image_block(image: Any) -> ImageBlock | None:
    """Return the block for an image in an answer, or None for an unknown form."""
    url = image_url(image)
    try:
        return ImageBlock(url=url) if url else None
    except ValueError:
        return None


def _citation_block(citation: Citation) -> CitationBlock:
    positions = {"start_index": citation.start_index, "end_index": citation.end_index}
    shown = citation.cited_text or citation.title or citation.url or ""
    return CitationBlock(
        cited_content=TextBlock(text=shown),
        source=citation.url or "",
        title=citation.title or "",
        additional_location_info={k: v for k, v in positions.items() if v is not None},
    )


def _tool_block(call_id: str, name: str, arguments: Any) -> ToolCallBlock:
    return ToolCallBlock(tool_call_id=call_id, tool_name=name, tool_kwargs=arguments)


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
    return {**raw, **answer.cost_fields()}


def _token_counts(answer: Answer) -> dict[str, Any]:
    if answer.usage is None:
        return {}
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    counts = answer.usage.as_openai()
    return {name: counts[name] for name in names}


def _logprobs(logprobs: dict[str, Any] | None) -> list[list[LogProb]] | None:
    tokens = (logprobs or {}).get("content")
    if not isinstance(tokens, list):
        return None
    return [_alternatives(token) for token in tokens if isinstance(token, dict)]


def _alternatives(token: dict[str, Any]) -> list[LogProb]:
    top = token.get("top_logprobs")
    alternatives = top if isinstance(top, list) and top else [token]
    return [_logprob(each) for each in alternatives if isinstance(each, dict)]


def _logprob(token: dict[str, Any]) -> LogProb:
    """Return one alternative; a value of the wrong type is left out."""
    logprob, bytes_ = token.get("logprob"), token.get("bytes")
    is_number = isinstance(logprob, int | float)
    are_bytes = isinstance(bytes_, list) and all(isinstance(each, int) for each in bytes_)
    return LogProb(
        token=str(token.get("token") or ""),
        logprob=float(logprob) if is_number and logprob is not None else 0.0,
        bytes=bytes_ if are_bytes and bytes_ is not None else [],
    )
