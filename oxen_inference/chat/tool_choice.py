"""The choice between tools, in the form Oxen takes, from the forms in use."""

from __future__ import annotations

from typing import Any

WireChoice = str | dict[str, Any]

_WORDS = {"auto": "auto", "none": "none", "any": "required", "required": "required"}


def tool_choice(choice: str | dict[str, Any], names: list[str]) -> WireChoice:
    """Return a word or a tool's name, or a dict of OpenAI's or Anthropic's form, as Oxen takes it.

    A tool may be called like a word; the name goes first. `names` are those of the tools. Raises
    `InvalidInputError` for a choice that is none of them.
    """
    if isinstance(choice, str):
        if choice in names or choice not in _WORDS:
            return _by_name(choice, names)
        return _WORDS[choice]
    kind = choice.get("type")
    if kind == "tool" or (kind is None and "name" in choice):  # Anthropic's form
        return _by_name(str(choice.get("name")), names)
    if kind in _WORDS and len(choice) == 1:
        return _WORDS[str(kind)]
    function = choice.get("function")
    if kind == "function" or (kind is None and isinstance(function, dict)):
        name = (function if isinstance(function, dict) else choice).get("name")
        return choice if name is None else _by_name(str(name), names)
    return choice


def drop_empty_tools(body: dict[str, Any]) -> None:
    """Take everything about tools out of a request that has none.

    Providers refuse an empty list of tools, and a choice where there is nothing to choose.
    """
    if not body.get("tools"):
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)


def _by_name(name: str, names: list[str]) -> dict[str, Any]:
    if name not in names:
        from oxen_inference.errors import InvalidInputError

        raise InvalidInputError(
            f"tool_choice {name!r} is none of the tools: {', '.join(names)}. "
            "It may also be 'auto', 'any', 'required' or 'none'."
        )
    return {"type": "function", "function": {"name": name}}
