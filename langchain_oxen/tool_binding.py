"""Tools and the choice between them, in the form Oxen takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from oxen_inference.chat.options import WireChoice, drop_empty_tools, to_tool_choice

Tool = dict[str, Any] | type | Callable[..., Any] | BaseTool
Choice = dict[str, Any] | str | bool | None


def bound(tools: Sequence[Tool], tool_choice: Choice, strict: bool | None) -> dict[str, Any]:
    """Return what `bind` takes for these tools; nothing where there are none.

    Raises `InvalidInputError` for a choice that is none of them.
    """
    converted = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
    if not converted:
        return {}
    choice = _choice(tool_choice, [_name(tool) for tool in converted])
    return {"tools": converted, **({} if choice is None else {"tool_choice": choice})}


def settle(body: dict[str, Any], parallel_tool_calls: bool | None) -> None:
    """Make a request's tools, choice and parallelism agree; without tools, all three are left out."""
    drop_empty_tools(body)
    if "tools" not in body:
        return
    body["tools"] = [convert_to_openai_tool(tool) for tool in body["tools"]]
    if parallel_tool_calls is not None:
        body.setdefault("parallel_tool_calls", parallel_tool_calls)
    if "tool_choice" in body:
        choice = _choice(body["tool_choice"], [_name(tool) for tool in body["tools"]])
        if choice is None:
            del body["tool_choice"]
        else:
            body["tool_choice"] = choice


def _name(tool: dict[str, Any]) -> str:
    function = tool.get("function")
    return str((function if isinstance(function, dict) else tool).get("name") or tool.get("type"))


def _choice(choice: Choice, names: list[str]) -> WireChoice | None:
    if choice is None or choice is False:
        return None
    return "required" if choice is True else to_tool_choice(choice, names)
