"""The parameters that `ChatOxen` takes, under all their names, and the tools in a request."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool

from langchain_oxen.schemas import to_tools
from oxen_inference.chat.options import WireChoice, drop_empty_tools, to_tool_choice
from oxen_inference.chat.parameter_names import CALL_ALIASES, KNOWN, ParameterNames

Tool = dict[str, Any] | type | Callable[..., Any] | BaseTool
ToolChoice = dict[str, Any] | str | bool | None

ALIASES = {
    **CALL_ALIASES,
    "oxen_api_key": "api_key",
    "oxen_api_base": "base_url",
    "api_base": "base_url",
    "headers": "default_headers",
}
"""Names that other chat models use for a parameter → its name here."""

REQUEST_FIELDS = (
    "temperature",
    "max_tokens",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "stop",
    "target_namespace",
)
"""Fields that are sent under their own names."""

_CHAT_COMPLETIONS = "Oxen has the chat-completions API, without stored answers."
_OF_OPENAI = "It is a setting of OpenAI's."
_INSTEAD = {
    "organization": "Whose credits pay is said by target_namespace.",
    "openai_organization": "Whose credits pay is said by target_namespace.",
    "use_responses_api": _CHAT_COMPLETIONS,
    "use_previous_response_id": _CHAT_COMPLETIONS,
    "store": _CHAT_COMPLETIONS,
    "truncation": _CHAT_COMPLETIONS,
    "context_management": _CHAT_COMPLETIONS,
    "include": _CHAT_COMPLETIONS,
    "tiktoken_model_name": "Token counts are estimates, unless custom_get_token_ids counts them.",
    "include_response_headers": "Read the headers in an http_client of your own.",
    "stream_chunk_timeout": "timeout is also the time between two parts of a stream.",
    "http_socket_options": "Set them in an http_client of your own.",
    "openai_proxy": "Set the proxy in an http_client of your own.",
    "openai_api_base": "The base URL is base_url.",
}
"""Settings that only other classes have → what to do instead."""

_RENAMED = {
    **dict.fromkeys(("system", "system_prompt", "instructions"), "put a system message first"),
    **dict.fromkeys(("additional_kwargs", "generate_kwargs"), "use model_kwargs"),
    **dict.fromkeys(("async_client", "async_http_client"), "use http_async_client"),
    **dict.fromkeys(("retries", "num_retries"), "use max_retries"),
    "client": "use http_client",
    "model_id": "use model",
    "context_window": "pass profile={'max_input_tokens': ...}",
}
"""Names that other classes have, and what to do here."""
_NAMES = ParameterNames("ChatOxen", _RENAMED, unchecked="model_kwargs")
_OF_A_CALL = (*ALIASES, "stream_usage")
_CALLER = 6  # stack levels from here to the caller that makes a model


def sort_arguments(given: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Return the values of `fields`: aliases are read, and the rest goes into `model_kwargs`.

    Raises `ValueError` for settings that only another class has, and for a limit that is none.
    """
    values = {name: value for name, value in given.items() if name in fields}
    model_kwargs = given.get("model_kwargs") or {}
    own = (*REQUEST_FIELDS, "model")
    unknown = {name: value for name, value in model_kwargs.items() if name not in own}
    for name, value in model_kwargs.items():
        if name in own:
            warnings.warn(
                f"{name} is a parameter of ChatOxen: pass it directly, not in model_kwargs.",
                stacklevel=_CALLER,
            )
            values.setdefault(name, value)
    for name, value in given.items():
        if (field := ALIASES.get(name)) is not None:
            values.setdefault(field, value)
        elif name not in fields and (value is not None or name not in KNOWN):
            unknown[name] = value
    unknown, problem = _without_foreign(unknown)
    if problem is not None:
        raise ValueError(problem)
    _NAMES.refuse_settings(unknown)
    _NAMES.warn(unknown.keys() - model_kwargs.keys(), [*fields, *ALIASES], stacklevel=_CALLER)
    if unknown:
        values["model_kwargs"] = unknown
    return values


def check_call(given: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Return the parameters of one call, under their names here, without those that are not set.

    Warns once of each name that nobody knows. Raises `InvalidInputError` for settings that only
    another class has, and for a limit that is none.
    """
    known = {ALIASES.get(name, name): value for name, value in given.items() if value is not None}
    if not known:
        return known
    known, problem = _without_foreign(known)
    if problem is not None:
        from oxen_inference.errors import InvalidInputError

        raise InvalidInputError(problem)
    _NAMES.check_call(known, _OF_A_CALL, settings=fields)
    return known


def bind_kwargs(
    tools: Sequence[Tool], tool_choice: ToolChoice, strict: bool | None
) -> dict[str, Any]:
    """Return what `bind` takes for these tools; an empty dict without tools.

    Raises `InvalidInputError` for a choice that names none of them.
    """
    converted = to_tools(tools, strict)
    if not converted:
        return {}
    choice = _convert_choice(tool_choice, converted)
    return {"tools": converted, **({} if choice is None else {"tool_choice": choice})}


def convert_tools(body: dict[str, Any], parallel_tool_calls: bool | None) -> None:
    """Convert the tools and the choice in a request's body; drop all about tools if it has none.

    Raises `InvalidInputError` for a choice that names none of them.
    """
    drop_empty_tools(body)
    if "tools" not in body:
        return
    body["tools"] = to_tools(body["tools"])
    if parallel_tool_calls is not None:
        body.setdefault("parallel_tool_calls", parallel_tool_calls)
    if "tool_choice" in body:
        choice = _convert_choice(body["tool_choice"], body["tools"])
        if choice is None:
            del body["tool_choice"]
        else:
            body["tool_choice"] = choice


def _without_foreign(given: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return the parameters without settings of other classes, and why one of them cannot be kept.

    Left over from a move to this class, they must not travel in every request. None and False turn
    them off, which they are.
    """
    own = {name: value for name, value in given.items() if not _is_foreign(name)}
    on = sorted(n for n, v in given.items() if n not in own and v is not None and v is not False)
    if not on:
        return own, None
    instead = " ".join(dict.fromkeys(map(_instead_of, on)))
    return own, f"ChatOxen does not take {', '.join(on)}. Remove it. {instead}"


def _instead_of(name: str) -> str:
    return "The key is api_key." if name.endswith("_api_key") else _INSTEAD.get(name, _OF_OPENAI)


def _is_foreign(name: str) -> bool:
    return name in _INSTEAD or name.startswith("openai_") or name.endswith("_api_key")


def _convert_choice(choice: ToolChoice, tools: list[dict[str, Any]]) -> WireChoice | None:
    if choice is None or choice is False:
        return None
    return "required" if choice is True else to_tool_choice(choice, [_name(tool) for tool in tools])


def _name(tool: dict[str, Any]) -> str:
    function = tool.get("function")
    return str((function if isinstance(function, dict) else tool).get("name") or tool.get("type"))
