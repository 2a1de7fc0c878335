"""A streamed answer as LangChain's protocol events: what ``stream_events(version="v3")`` reads.

One message is ``message-start``, then for each block a start, its deltas and its finish, then
``message-finish``. LangChain would make the same from message chunks, at several times the cost:
https://docs.langchain.com/oss/python/langchain/streaming.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from langchain_oxen import answer_blocks
from langchain_oxen.messages_in import PROVIDER, to_call, to_message

if TYPE_CHECKING:
    from oxen_inference.chat.answer import Answer, Delta, ToolDelta

Event = dict[str, Any]


class EventWriter:
    """Writes the events of one answer, delta by delta."""

    def __init__(self, run_id: object = None) -> None:
        self._message_id = "" if run_id is None else f"lc_run--{run_id}"
        self._blocks: dict[str | int, int] = {}  # what a block is of → its index
        self._is_started = False

    def add(self, delta: Delta) -> Iterator[Event]:
        """Yield the events of one delta; of the last one, also those that end the message."""
        if not self._is_started:
            self._is_started = True
            yield {
                "event": "message-start",
                "role": "ai",
                "id": self._message_id,
                "metadata": {"provider": PROVIDER},
            }
        if delta.reasoning:
            yield from self._extend("reasoning", "reasoning", delta.reasoning)
        if delta.text:
            yield from self._extend("text", "text", delta.text)
        for tool in delta.tools:
            yield from self._extend_call(tool)
        if delta.end is not None:
            yield from self._finish(delta.end)

    def _extend(self, block: str, field: str, text: str) -> Iterator[Event]:
        if block not in self._blocks:
            yield self._start(block, {"type": block, field: ""})
        yield self._delta(block, {"type": f"{block}-delta", field: text})

    def _extend_call(self, tool: ToolDelta) -> Iterator[Event]:
        if tool.index not in self._blocks:
            chunk = {"type": "tool_call_chunk", "id": tool.id, "name": tool.name, "args": ""}
            yield self._start(tool.index, {**chunk, "index": tool.index})
        if tool.arguments:
            yield self._delta(tool.index, {"type": "tool-call-delta", "args": tool.arguments})

    def _finish(self, answer: Answer) -> Iterator[Event]:
        message = to_message(answer)
        whole: dict[str | int, Event] = {}
        if answer.reasoning:
            whole["reasoning"] = {"type": "reasoning", "reasoning": answer.reasoning}
        citations = answer_blocks.citations(message.additional_kwargs, message.response_metadata)
        if answer.text or citations:
            text: Event = {"type": "text", "text": answer.text}
            whole["text"] = {**text, "annotations": citations} if citations else text
        for index, call in enumerate(answer.tool_calls):
            whole[index] = {**to_call(call)}
        for number, block in enumerate(answer_blocks.media(message.additional_kwargs)):
            whole[f"media {number}"] = block
        if answer.refused:
            whole["refusal"] = answer_blocks.refusal(answer.refusal)
        for block_of, block in whole.items():
            if block_of not in self._blocks:
                yield self._start(block_of, _without_content(block))
            yield {
                "event": "content-block-finish",
                "index": self._blocks[block_of],
                "content": block,
            }
        finish: Event = {"event": "message-finish", "metadata": message.response_metadata}
        if message.usage_metadata is not None:
            finish["usage"] = message.usage_metadata
        if message.additional_kwargs:
            finish["additional_kwargs"] = message.additional_kwargs
        yield finish

    def _start(self, block_of: str | int, content: Event) -> Event:
        index = self._blocks[block_of] = len(self._blocks)
        return {"event": "content-block-start", "index": index, "content": content}

    def _delta(self, block_of: str | int, delta: Event) -> Event:
        return {
            "event": "content-block-delta",
            "index": self._blocks[block_of],
            "delta": delta,
        }


_EMPTY = {"text": "", "reasoning": "", "args": {}}
_LARGE = ("base64", "annotations")


def _without_content(block: Event) -> Event:
    """Return a block as its start event shows it: what is long comes when it is finished."""
    return {name: _EMPTY.get(name, value) for name, value in block.items() if name not in _LARGE}
