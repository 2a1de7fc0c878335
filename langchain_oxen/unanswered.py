"""Tool calls that have no result in a conversation, which every provider refuses.

A new message in place of an answer to an interrupt leaves them, and so does a run that died.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage

from oxen_inference.tools import text

if TYPE_CHECKING:
    from oxen_inference.result import MediaResult


class UnansweredCall(NamedTuple):
    """A tool call without a result."""

    message_id: str | None
    """Of the message that makes the call."""
    call: ToolCall

    @property
    def key(self) -> tuple[str | None, str | None]:
        """What tells it from calls of other messages: some models number theirs from 0 each time."""
        return self.message_id, self.call["id"]


def find_unanswered(messages: Sequence[AnyMessage]) -> list[UnansweredCall]:
    """Return the calls that no message answers before the model speaks again."""
    open_calls: list[UnansweredCall] = []
    found: list[UnansweredCall] = []
    for message in messages:
        if isinstance(message, AIMessage):
            found += open_calls
            open_calls = [UnansweredCall(message.id, call) for call in message.tool_calls]
        elif isinstance(message, ToolMessage):
            open_calls = [c for c in open_calls if c.call["id"] != message.tool_call_id]
    return found + open_calls


def insert_results(
    messages: Sequence[AnyMessage],
    results: Mapping[tuple[str | None, str | None], ToolMessage],
) -> list[AnyMessage]:
    """Return the messages with each result behind the message, and the results, of its call."""
    given = {one.key: results[one.key] for one in find_unanswered(messages) if one.key in results}
    found: list[AnyMessage] = []
    due: list[AnyMessage] = []
    for message in messages:
        if not isinstance(message, ToolMessage):
            found += due
            due = []
        found.append(message)
        if isinstance(message, AIMessage):
            keys = [(message.id, call["id"]) for call in message.tool_calls]
            due = [given[key] for key in keys if key in given]
    return found + due


def closing_message(
    call: ToolCall, *, is_asked: bool, is_paid_tool: bool, job: MediaResult | Exception | None
) -> ToolMessage:
    """Return what the model reads in place of the result of a call that nobody answered.

    `is_asked`: a person was asked about it. `job`: what was paid for, or why that is not known.
    """
    content = text.unanswered(is_asked=is_asked, is_paid_tool=is_paid_tool, job=job)
    artifact: Any = None if isinstance(job, Exception) else text.references(job)
    return ToolMessage(
        content, name=call["name"], tool_call_id=call["id"], status="error", artifact=artifact
    )
