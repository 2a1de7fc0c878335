"""The options of a request, checked and in the form Oxen takes.

The adapters import this at once, so it must not import openai, which the errors need.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WireChoice = str | dict[str, Any]

_SDK_OPTIONS = ("timeout", "extra_headers", "extra_query")
_CHOICES = {"auto": "auto", "none": "none", "any": "required", "required": "required"}


def split_parameters(
    *layers: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the parameters of a request, the SDK's options for it, and its ``extra_body``.

    Later layers win. Wherever a developer put ``extra_body``, it means fields of the request; a
    model in it is the model of the request, whose family and price count.
    """
    parameters: dict[str, Any] = {}
    extra_body: dict[str, Any] = {}
    for layer in layers:
        parameters.update(layer)
        extra_body.update(parameters.pop("extra_body", None) or {})
    if "model" in extra_body:
        parameters["model"] = extra_body.pop("model")
    options = {name: parameters.pop(name) for name in _SDK_OPTIONS if name in parameters}
    return parameters, options, extra_body


def check_parameters(body: Mapping[str, Any]) -> None:
    """Raise `InvalidInputError` for parameters that no model on Oxen accepts."""
    if body.get("n") not in (None, 1):
        raise _invalid("n must be 1: Oxen's models give one answer per request.")
    if not body.get("model"):
        raise _invalid("You must specify a model to call.", hint="Pass model=...")


def drop_empty_tools(body: dict[str, Any]) -> None:
    """Remove the fields about tools from a request without tools, and what is not set.

    Providers refuse an empty list of tools, and a choice between no tools.
    """
    if body.get("parallel_tool_calls", ...) is None:
        del body["parallel_tool_calls"]
    if not body.get("tools"):
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)


def to_tool_choice(choice: Any, names: list[str]) -> WireChoice:
    """Return the choice between tools as Oxen takes it.

    `choice`: ``"auto"``, ``"none"``, ``"any"``, ``"required"``, the name of a tool, or a dict in
    OpenAI's or Anthropic's form. `names`: the names of the tools; where a tool is called "auto" or
    the like, its name is meant. Raises `InvalidInputError` for a tool that is not among them, and
    for a choice that is neither text nor a dict.
    """
    if isinstance(choice, str):
        if choice in names or choice not in _CHOICES:
            return _choice_of(choice, names)
        return _CHOICES[choice]
    if not isinstance(choice, Mapping):
        raise _invalid(
            f"tool_choice is a string or a dict, not {type(choice).__name__}.",
            hint="Give the name of a tool, 'auto', 'any', 'required' or 'none'.",
        )
    form: dict[str, Any] = dict(choice)
    kind = form.get("type")
    if kind == "tool" or (kind is None and "name" in form):  # Anthropic's form
        return _choice_of(str(form.get("name")), names)
    if kind in _CHOICES and len(form) == 1:
        return _CHOICES[str(kind)]
    function = form.get("function")
    if kind == "function" or (kind is None and isinstance(function, dict)):
        name = (function if isinstance(function, dict) else form).get("name")
        return form if name is None else _choice_of(str(name), names)
    return form


def _choice_of(name: str, names: list[str]) -> dict[str, Any]:
    if name not in names:
        raise _invalid(
            f"tool_choice {name!r} is not one of the tools: {', '.join(names)}.",
            hint="It may also be 'auto', 'any', 'required' or 'none'.",
        )
    return {"type": "function", "function": {"name": name}}


def _invalid(message: str, *, hint: str | None = None) -> Exception:
    from oxen_inference.errors import InvalidInputError

    return InvalidInputError(message, hint=hint)
