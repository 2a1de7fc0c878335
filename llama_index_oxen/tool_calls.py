"""Tools, the choice between them, and the calls in a response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.utils import parse_partial_json
from pydantic_core import from_json

from oxen_inference.chat.finish_reasons import ran_out_of_tokens
from oxen_inference.chat.options import to_tool_choice
from oxen_inference.chat.tool_calls import read_arguments

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

Choice = str | dict[str, Any] | None

# Two of them: a lone value core would hand to a tool with one parameter as if it were meant for it.
MALFORMED = {"malformed_arguments": "", "problem": "The call was cut off or is no JSON object."}


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
        fields["tool_choice"] = to_tool_choice(choice, [spec["function"]["name"] for spec in specs])
    if not parallel:
        # True is every provider's default, and some of their models refuse to be told.
        fields["parallel_tool_calls"] = False
    return fields


def has_ended(response: ChatResponse) -> bool:
    """Whether a response is a whole answer, or the last of a stream."""
    return isinstance(response.raw, dict) and "finish_reason" in response.raw


def cut_off(response: ChatResponse) -> str | None:
    """Say that an answer ended for want of tokens, and what to do; None where it did not."""
    reason = response.raw.get("finish_reason") if isinstance(response.raw, dict) else None
    if not ran_out_of_tokens(reason):
        return None
    return (
        f"The answer was cut off (finish_reason {reason!r}) before it was whole: raise max_tokens, "
        "or ask for less."
    )


def selections(response: ChatResponse) -> list[ToolSelection]:
    """Return the calls in a response, of a stream in whatever state it is.

    While a stream goes on, half an object is read as far as it goes. In an answer that has ended
    it is a call that was cut off: completing it would run, and perhaps pay for, what nobody asked
    for, so the tool gets its text as ``malformed_arguments``, and the model the tool's complaint.
    """
    ended = has_ended(response)
    return [
        ToolSelection(
            tool_id=call_id or "",
            tool_name=name or "",
            tool_kwargs=_arguments(arguments, ended=ended),
        )
        for call_id, name, arguments in _calls(response.message)
    ]


def refuse_broken(response: ChatResponse, found: Sequence[ToolSelection]) -> None:
    """Raise ValueError for a call that cannot be read, and say what to do about it."""
    for call in found:
        if call.tool_kwargs.keys() == MALFORMED.keys():
            why = cut_off(response) or "Its arguments are no JSON object; asking again may help."
            text = call.tool_kwargs["malformed_arguments"]
            raise ValueError(f"The call of {call.tool_name} cannot be read: {text[:200]!r}. {why}")


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
            return {**MALFORMED, "malformed_arguments": text}
    read = partial_json(text)
    return read if isinstance(read, dict) else {}


def partial_json(text: str) -> Any:
    """Return the beginning of a JSON text, read as far as it goes, or None."""
    try:
        return from_json(text, allow_partial="trailing-strings")
    except ValueError:
        pass  # a line break in a string, as some models write them
    try:
        return parse_partial_json(text)
    except ValueError:
        return None
