"""The body of a chat request, in the form that the model's family takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from oxen_inference.chat.answer import Expected
from oxen_inference.chat.families import Policy, ReplaySetting, policy_for
from oxen_inference.chat.messages import Message, prepare_messages, text_part
from oxen_inference.chat.names import NameMap, rename_calls, safe_name
from oxen_inference.chat.options import drop_empty_tools

Body = dict[str, Any]


def prepare_body(
    body: Body,
    messages: list[Message],
    *,
    replay: ReplaySetting = "auto",
    takes_images: Callable[[], bool] = lambda: True,
) -> Expected:
    """Put the messages into the body, and change it to what the model takes.

    `messages` are an adapter's; see `prepare_messages`. The caller's own tools and messages are not
    changed. Returns how the answer is to be read.
    """
    policy = policy_for(str(body.get("model") or ""), replay)
    drop_empty_tools(body)
    names = _rename_tools(body)
    _rename_schema(body)
    if (limit := body.pop("max_tokens", None)) is not None:
        body.setdefault(policy.max_tokens, limit)
    needs_call = _unforced(body, policy)
    mark = body.pop("cache_control", None)
    body["messages"] = prepare_messages(messages, policy=policy, takes_images=takes_images)
    rename_calls(body["messages"], names, policy.call_ids)
    if mark is not None:
        _mark_last(body["messages"], mark)
    return Expected(
        tool_names=names.originals, is_object=_wants_object(body), needs_call=needs_call
    )


def _rename_tools(body: Body) -> NameMap:
    tools = [tool for tool in body.get("tools") or () if isinstance(tool, Mapping)]
    functions = [f for tool in tools if isinstance(f := tool.get("function"), Mapping)]
    names = NameMap(str(f["name"]) for f in functions if f.get("name"))
    if tools:
        body["tools"] = [_tool_to_wire(tool, names) for tool in body["tools"]]
    choice = body.get("tool_choice")
    if isinstance(choice, Mapping) and isinstance(function := choice.get("function"), Mapping):
        name = names.to_wire(str(function.get("name")))
        body["tool_choice"] = {**choice, "function": {**function, "name": name}}
    return names


def _tool_to_wire(tool: Any, names: NameMap) -> Any:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not function.get("name"):
        return tool
    function = {**function, "name": names.to_wire(str(function["name"]))}
    parameters = function.get("parameters")
    if isinstance(parameters, Mapping) and "type" not in parameters:
        function["parameters"] = {"type": "object", "properties": {}, **parameters}
    return {**tool, "function": function}


def _rename_schema(body: Body) -> None:
    form = body.get("response_format")
    inner = form.get("json_schema") if isinstance(form, Mapping) else None
    if isinstance(inner, Mapping) and isinstance(name := inner.get("name"), str):
        body["response_format"] = {**form, "json_schema": {**inner, "name": safe_name(name)}}  # type: ignore[dict-item]  # it is a mapping


def _wants_object(body: Mapping[str, Any]) -> bool:
    form = body.get("response_format")
    return isinstance(form, Mapping) and form.get("type") in ("json_object", "json_schema")


def _unforced(body: Body, policy: Policy) -> bool:
    """Leave the choice of a tool to a model that cannot be forced while it thinks.

    Returns whether that was done: then the answer has to be checked.
    """
    choice = body.get("tool_choice")
    if not (choice == "required" or isinstance(choice, Mapping)):
        return False
    if isinstance(choice, Mapping) and choice.get("type") != "function":
        return False
    asked = _is_on(body.get("thinking")) or body.get("enable_thinking") is True
    if policy.forces_tools_while_thinking is False:
        effort = body.get("reasoning_effort")
        asked = asked or _is_on(body.get("reasoning")) or effort not in (None, "none")
    elif policy.forces_tools_while_thinking:
        return False
    if asked:
        body["tool_choice"] = "auto"
    return asked


def _is_on(setting: Any) -> bool:
    """Whether a setting, in any provider's form, makes the model think."""
    if not isinstance(setting, Mapping):
        return bool(setting)
    return (
        setting.get("type") != "disabled"
        and setting.get("enabled") is not False
        and setting.get("effort") != "none"
    )


def _mark_last(messages: list[Message], mark: Any) -> None:
    """Put a cache mark on the end of the conversation, as ``cache_control`` of a request asks."""
    message = messages[-1]
    content = message.get("content")
    if message.get("role") == "system" or not content:
        return
    parts = [text_part(content)] if isinstance(content, str) else list(content)
    parts[-1] = {"cache_control": mark, **parts[-1]}
    message["content"] = parts
