"""Tools and the choice between them, in the form Oxen takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

Tool = dict[str, Any] | type | Callable[..., Any] | BaseTool
Choice = dict[str, Any] | str | bool | None

_WORDS = {"auto": "auto", "none": "none", "any": "required", "required": "required"}


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
    """Make a request's tools, choice and parallelism agree; without tools, all three are left out.

    Providers refuse an empty list of tools, and a choice where there is nothing to choose.
    """
    if not body.get("tools"):
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)
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


def _choice(choice: Choice, names: list[str]) -> dict[str, Any] | str | None:
    if choice is None or choice is False:
        return None
    if choice is True:
        return "required"
    if isinstance(choice, str):
        return _WORDS.get(choice) or _by_name(choice, names)
    kind = choice.get("type")
    if kind == "tool" or (kind is None and "name" in choice):  # Anthropic's form
        return _by_name(str(choice.get("name")), names)
    if kind in _WORDS and len(choice) == 1:
        return _WORDS[str(kind)]
    function = choice.get("function")
    if kind == "function" or (kind is None and isinstance(function, dict)):
        return _by_name(
            str((function if isinstance(function, dict) else choice).get("name")), names
        )
    return choice


def _by_name(name: str, names: list[str]) -> dict[str, Any]:
    if name not in names:
        from langchain_oxen.errors import InvalidInputError

        raise InvalidInputError(
            f"tool_choice {name!r} is none of the tools: {', '.join(names)}. "
            "It may also be 'auto', 'any', 'none' or True."
        )
    return {"type": "function", "function": {"name": name}}
