"""Tools, the choice between them, and the calls in a response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.utils import parse_partial_json
from pydantic_core import from_json

from oxen_inference.chat.tool_arguments import read_arguments
from oxen_inference.chat.tool_choice import tool_choice

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

Choice = str | dict[str, Any] | None


def request_fields(
    tools: Sequence[BaseTool], choice: Choice, *, required: bool, parallel: bool
) -> dict[str, Any]:
    """Return the fields of a request with these tools; nothing where there are none.

    Raises `InvalidInputError` for a choice that is none of them.
    """
    if not tools:
        return {}
    # OpenAI's limit on descriptions is not that of every provider, and models differ in it.
    specs = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
    fields: dict[str, Any] = {"tools": specs}
    if choice is None and required:
        choice = "required"
    if choice is not None:
        fields["tool_choice"] = tool_choice(choice, [spec["function"]["name"] for spec in specs])
    if not parallel:
        # True is every provider's default, and some of their models refuse to be told.
        fields["parallel_tool_calls"] = False
    return fields


def selections(response: ChatResponse) -> list[ToolSelection]:
    """Return the calls in a response, of a stream in whatever state it is.

    While a stream goes on, half an object is read as far as it goes. In an answer that has ended
    it is a call that was cut off: completing it would run, and perhaps pay for, what nobody asked
    for, so the tool gets its text as ``malformed_arguments``, and the model the tool's complaint.
    """
    ended = isinstance(response.raw, dict) and "finish_reason" in response.raw
    return [
        ToolSelection(
            tool_id=call_id or "",
            tool_name=name or "",
            tool_kwargs=_arguments(arguments, ended=ended),
        )
        for call_id, name, arguments in _calls(response.message)
    ]


def only_first(response: ChatResponse) -> ChatResponse:
    """Return the response with its first tool call only, for callers that can take but one."""
    message = response.message
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    more = dict(message.additional_kwargs)
    if len(more.get("tool_calls") or ()) > 1:
        more["tool_calls"] = more["tool_calls"][:1]
    kept = [block for block in message.blocks if block not in calls[1:]]
    changed = {"blocks": kept, "additional_kwargs": more}
    return response.model_copy(update={"message": message.model_copy(update=changed)})


def _calls(message: ChatMessage) -> list[tuple[str | None, str | None, Any]]:
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return [(block.tool_call_id, block.tool_name, block.tool_kwargs) for block in blocks]
    found = []
    for call in message.additional_kwargs.get("tool_calls") or []:
        plain = call if isinstance(call, dict) else call.model_dump()
        function = plain.get("function") or {}
        found.append((plain.get("id"), function.get("name"), function.get("arguments")))
    return found


def _arguments(given: Any, *, ended: bool) -> dict[str, Any]:
    if isinstance(given, dict):
        return given
    text = given if isinstance(given, str) else ""
    try:
        return read_arguments(text)
    except ValueError:
        if ended:
            return {"malformed_arguments": text}
    read = _partial(text)
    return read if isinstance(read, dict) else {}


def _partial(text: str) -> Any:
    try:
        return from_json(text, allow_partial="trailing-strings")
    except ValueError:
        pass  # a line break in a string, as some models write them
    try:
        return parse_partial_json(text)
    except ValueError:
        return None
