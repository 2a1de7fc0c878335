"""Small requests to the sandbox's chat models, without a server."""

from __future__ import annotations

import json
from typing import Any

from oxen_sandbox.chat import complete
from oxen_sandbox.chat_replies import Replies, Reply

GPT = {"id": "gpt-4o", "capabilities": {"input": ["text", "image", "file"]}}
CLAUDE = {"id": "claude-sonnet-4-6", "capabilities": {"input": ["text", "image", "file"]}}
GEMINI = {
    "id": "gemini-3-flash-preview",
    "capabilities": {"input": ["text", "image", "video", "audio", "file"]},
}
DEEPSEEK = {"id": "deepseek-v4-pro", "capabilities": {"input": ["text"]}}
O_SERIES = {"id": "o4-mini-2025-04-16", "capabilities": {"input": ["text", "image"]}}

Messages = list[dict[str, Any]]


def user(content: Any) -> dict[str, Any]:
    """A user message."""
    return {"role": "user", "content": content}


def body(messages: Messages | str, model: dict[str, Any] = GPT, **extra: Any) -> dict[str, Any]:
    """A request body; a string stands for one user message."""
    turns = [user(messages)] if isinstance(messages, str) else messages
    return {"model": model["id"], "messages": turns, **extra}


def ask(messages: Messages | str, model: dict[str, Any] = GPT, **extra: Any) -> dict[str, Any]:
    """The assistant message a request is answered with."""
    answer = complete(body(messages, model, **extra), model)
    message: dict[str, Any] = answer["choices"][0]["message"]
    return message


def say(messages: Messages | str, model: dict[str, Any] = GPT, **extra: Any) -> str:
    """The text a request is answered with."""
    content = ask(messages, model, **extra)["content"]
    assert isinstance(content, str)
    return content


def script(*replies: Reply) -> Replies:
    """Scripted replies, in order."""
    scripted = Replies()
    scripted.add(replies)
    return scripted


def calls(message: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The tool calls of an assistant message, as (name, arguments)."""
    return [
        (call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls", ())
    ]


def tool(
    name: str, description: str, properties: dict[str, Any], required: list[str] | None = None
) -> dict[str, Any]:
    """A tool of a request; all its parameters are required unless `required` is given."""
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def answered(message: dict[str, Any], *results: str) -> Messages:
    """An assistant message with the results of its tool calls."""
    made = zip(message["tool_calls"], results, strict=True)
    return [
        message,
        *({"role": "tool", "tool_call_id": c["id"], "content": r} for c, r in made),
    ]


WEATHER = tool("get_weather", "Get the current weather of a city", {"city": {"type": "string"}})
ADD = tool("add", "Add two numbers", {"a": {"type": "integer"}, "b": {"type": "integer"}})
IMAGE = tool(
    "generate_image",
    "Make an image.",
    {"prompt": {"type": "string"}, "width": {"type": "integer"}},
    ["prompt"],
)
VIDEO = tool(
    "generate_video",
    "Make a video from a prompt, and from an image where its URL is given.",
    {
        "prompt": {"type": "string"},
        "image_url": {"type": "string", "format": "uri"},
        "duration": {"type": "integer", "enum": [5, 10]},
    },
    ["prompt"],
)
