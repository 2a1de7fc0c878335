"""The tools in a request, the choice between them, and the calls in a response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.utils import parse_partial_json
from pydantic_core import from_json

from oxen_inference.chat.families import policy_for
from oxen_inference.chat.finish_reasons import ran_out_of_tokens
from oxen_inference.chat.options import to_tool_choice
from oxen_inference.chat.schemas import class_schema, object_schema
from oxen_inference.chat.strict_schemas import strict_schema
from oxen_inference.chat.tool_calls import read_arguments

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

ToolChoice = str | dict[str, Any] | None

# Two fields: core passes a single value to a tool with one parameter as if it were that parameter.
MALFORMED = {"malformed_arguments": "", "problem": "The call was cut off or is no JSON object."}


class ToolRequests:
    """How an LLM with tools is asked; mixed in before core's class.

    Core wraps implementations of abstract methods in spans, and these would be internal ones. It
    does not see those of a class that is not its own.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        model: str
        strict: bool

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,  # noqa: ARG002 - core's signature
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return what `chat` takes for a conversation with tools.

        `tool_choice`: the name of a tool, ``"auto"``, ``"required"``, ``"none"`` or a dict as the
        API takes it; it takes precedence over `tool_required`.
        """
        messages = list(chat_history or [])
        if isinstance(user_msg, str):
            user_msg = ChatMessage(role=MessageRole.USER, content=user_msg)
        if user_msg is not None:
            messages.append(user_msg)
        fields = request_fields(
            tools,
            tool_choice,
            required=tool_required,
            parallel=allow_parallel_tool_calls,
            model=str(kwargs.get("model") or self.model),
            strict=self.strict,
        )
        return {"messages": messages, **fields, **kwargs}

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],  # noqa: ARG002 - core's signature
        allow_parallel_tool_calls: bool = False,
        **_: Any,
    ) -> ChatResponse:
        return response if allow_parallel_tool_calls else only_first_call(response)


def request_fields(
    tools: Sequence[BaseTool],
    choice: ToolChoice,
    *,
    required: bool,
    parallel: bool,
    model: str,
    strict: bool = False,
) -> dict[str, Any]:
    """Return the fields of a request with these tools; an empty dict without tools.

    Raises `InvalidInputError` for a choice that names none of them, and for arguments that are no
    object, or, with `strict`, cannot be described strictly.
    """
    if not tools:
        return {}
    specs = [_spec(tool, strict) for tool in tools]
    fields: dict[str, Any] = {"tools": specs}
    if choice is None and required:
        choice = "required"
    if choice is not None:
        fields["tool_choice"] = to_tool_choice(choice, [spec["function"]["name"] for spec in specs])
    # True is every provider's default. False is core's, so nobody may have asked for it.
    if not parallel and policy_for(model).parallel_tool_calls:
        fields["parallel_tool_calls"] = False
    return fields


def _spec(tool: BaseTool, strict: bool) -> dict[str, Any]:
    """Return a tool as Oxen takes it, under its own name; core's conversion drops what it does not
    know, and changes names that are never changed back."""
    metadata = tool.metadata
    if isinstance(metadata.fn_schema, type):
        schema = class_schema(metadata.fn_schema)
    else:
        schema = metadata.get_parameters_dict()
    parameters, is_wrapped = object_schema(schema, generated=True)
    if is_wrapped:
        from oxen_inference.errors import InvalidInputError

        raise InvalidInputError(f"The arguments of the tool {metadata.name} are not an object.")
    parameters = {k: v for k, v in parameters.items() if k not in ("title", "description")}
    if strict:
        parameters = strict_schema(parameters, owner=metadata.get_name())
    return _tool(metadata.get_name(), metadata.description, parameters, strict)


def object_tool(cls: type[Any], schema: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    """Return the tool whose arguments are an object of a class with that `object_schema`."""
    about = ("title", "description")
    parameters = {k: v for k, v in schema.items() if k not in about}
    name = schema.get("title") or cls.__name__
    return _tool(name, schema.get("description") or "", parameters, strict)


def _tool(name: str, description: str, parameters: dict[str, Any], strict: bool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": name, "description": description, "parameters": parameters}
    if strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def has_ended(response: ChatResponse) -> bool:
    """Whether a response is a whole answer, or the last of a stream."""
    return isinstance(response.raw, dict) and "finish_reason" in response.raw


def cut_off_reason(response: ChatResponse) -> str | None:
    """Return why an answer that ran out of tokens is incomplete and what to do, or None."""
    reason = response.raw.get("finish_reason") if isinstance(response.raw, dict) else None
    if not ran_out_of_tokens(reason):
        return None
    return (
        f"The answer was cut off (finish_reason {reason!r}) before it was complete: raise "
        "max_tokens, or ask for less."
    )


def selections(response: ChatResponse) -> list[ToolSelection]:
    """Return the tool calls in a response, which may be one of a stream.

    While a stream goes on, a partial object is read as far as it goes. In a finished answer it is a
    call that was cut off. Completing it would run, and perhaps pay for, what nobody asked for, so
    the tool gets the text as ``malformed_arguments``, and the model reads the tool's error.
    """
    ended = has_ended(response)
    return [
        ToolSelection(
            tool_id=call_id or "",
            tool_name=name or "",
            tool_kwargs=_parse_arguments(arguments, ended=ended),
        )
        for call_id, name, arguments in _calls(response.message)
    ]


def raise_if_malformed(response: ChatResponse, calls: Sequence[ToolSelection]) -> None:
    """Raise ValueError for a call whose arguments cannot be read, with what to do about it."""
    for call in calls:
        if call.tool_kwargs.keys() == MALFORMED.keys():
            hint = cut_off_reason(response) or (
                "Its arguments are not a JSON object; asking again may help."
            )
            text = call.tool_kwargs["malformed_arguments"]
            raise ValueError(f"The call of {call.tool_name} cannot be read: {text[:200]!r}. {hint}")


def only_first_call(response: ChatResponse) -> ChatResponse:
    """Return the response with its first tool call only."""
    message = response.message
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    kwargs = dict(message.additional_kwargs)
    if len(kwargs.get("tool_calls") or ()) > 1:
        kwargs["tool_calls"] = kwargs["tool_calls"][:1]
    blocks = [block for block in message.blocks if block not in calls[1:]]
    update = {"blocks": blocks, "additional_kwargs": kwargs}
    return response.model_copy(update={"message": message.model_copy(update=update)})


def _calls(message: ChatMessage) -> list[tuple[str | None, str | None, Any]]:
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return [(block.tool_call_id, block.tool_name, block.tool_kwargs) for block in blocks]
    calls = []
    for call in message.additional_kwargs.get("tool_calls") or []:
        fields = call if isinstance(call, dict) else call.model_dump()
        function = fields.get("function") or {}
        calls.append((fields.get("id"), function.get("name"), function.get("arguments")))
    return calls


def _parse_arguments(arguments: Any, *, ended: bool) -> dict[str, Any]:
    if isinstance(arguments, dict):
        return arguments
    text = arguments if isinstance(arguments, str) else ""
    try:
        return read_arguments(text)
    except ValueError:
        if ended:
            return {**MALFORMED, "malformed_arguments": text}
    partial = partial_json(text)
    return partial if isinstance(partial, dict) else {}


def partial_json(text: str) -> Any:
    """Return the beginning of a JSON text, parsed as far as it goes, or None."""
    try:
        return from_json(text, allow_partial="trailing-strings")
    except ValueError:
        pass  # a line break in a string, as some models write them
    try:
        return parse_partial_json(text)
    except (ValueError, RecursionError):
        return None
