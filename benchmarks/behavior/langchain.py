# ruff: noqa: ARG001 - every question is asked with the hub, whether it looks at it or not
"""LangChain's questions, to `ChatOpenAI` and `ChatOpenRouter` with Oxen's base URL and to `ChatOxen`."""

from __future__ import annotations

import asyncio
import base64
import copy
import pickle
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from langchain_openrouter import ChatOpenRouter

from langchain_oxen import ChatOxen
from oxen_sandbox import Fault, Sandbox

CLAUDE, GEMINI, GPT = "claude-sonnet-4-6", "gemini-2-5-flash", "gpt-4o"
VIDEO = {"type": "video", "url": "https://example.com/ox.mp4"}
WAV = base64.b64encode(b"RIFF\0\0\0\0WAVEfmt ").decode()
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(32)).decode()


def _with(kind: Any) -> Any:
    def make(hub: Sandbox, model: str = CLAUDE, **options: Any) -> Any:
        return kind(model=model, api_key=hub.api_key, base_url=hub.base_url, **options)

    return make


TITLE = "LangChain"
CONTESTANTS = {
    "`ChatOpenAI`": _with(ChatOpenAI),
    "`ChatOpenRouter`": _with(ChatOpenRouter),
    "`ChatOxen`": _with(ChatOxen),
}


def weigh(name: str) -> str:
    """Weigh an ox by its name."""
    return f"{name}: 812 kg"


def chats(hub: Sandbox) -> list[Any]:
    """The chat requests the hub received; the catalog may be asked for beside them."""
    return [r for r in hub.requests if r.path.endswith("/chat/completions")]


def whole(stream: Any) -> Any:
    total = None
    for chunk in stream:
        total = chunk if total is None else total + chunk
    return total


def cut_off(hub: Sandbox, make: Any) -> str:
    hub.inject(Fault("cut_stream", after_chunks=5, times=None))
    answer = whole(make().stream("Name an ox."))
    return f"returned as a whole answer: “{answer.text}”"


def error_inside(hub: Sandbox, make: Any) -> str:
    hub.inject(Fault("error_in_stream", after_chunks=5, message="overloaded", status=529))
    whole(make(max_retries=0).stream("Name an ox."))
    return "returned as an answer"


def _call(hub: Sandbox, make: Any, style: str) -> str:
    hub.inject(Fault("odd_stream", style=style, times=None))
    hub.reply(tool_calls=[("weigh", {"name": "Bruno"})])
    calls = whole(make().bind_tools([weigh]).stream("How much does the ox Bruno weigh?")).tool_calls
    good = [(c["name"], c["args"]) for c in calls] == [("weigh", {"name": "Bruno"})]
    return "read" if good else "misread: " + ", ".join(f"`{c['name']}({c['args']})`" for c in calls)


def no_index(hub: Sandbox, make: Any) -> str:
    return _call(hub, make, "no_index")


def repeated(hub: Sandbox, make: Any) -> str:
    return _call(hub, make, "repeat_id_name")


def dotted_name(hub: Sandbox, make: Any) -> str:
    tool = StructuredTool.from_function(weigh, name="oxen.weigh")
    question = "Use the tool oxen.weigh for Bruno."
    calls = make(model=GPT).bind_tools([tool]).invoke(question).tool_calls
    return f"called as `{calls[0]['name']}`"


def foreign_id(hub: Sandbox, make: Any) -> str:
    call = {"name": "weigh", "args": {"name": "Bruno"}, "id": "functions.weigh:0"}
    result = ToolMessage("812 kg", tool_call_id="functions.weigh:0")
    messages = [HumanMessage("Weigh Bruno."), AIMessage("", tool_calls=[call]), result]
    return "answered" if make().bind_tools([weigh]).invoke(messages).text else "no answer"


def unknown_model(hub: Sandbox, make: Any) -> str:
    return str(make(model="claude-sonet").invoke("Hello"))


def no_credits(hub: Sandbox, make: Any) -> str:
    hub.credits = 0
    return str(make().invoke("Hello"))


def _sent(hub: Sandbox, make: Any, *messages: Any, model: str = GEMINI) -> list[Any]:
    make(model=model).invoke(list(messages))
    return list(chats(hub)[-1].json["messages"])


def _part(hub: Sandbox, make: Any, block: dict[str, Any]) -> str:
    question = HumanMessage([{"type": "text", "text": "What is this?"}, block])
    parts = _sent(hub, make, question)[-1]["content"]
    return "sent as " + ", then ".join(f"`{part['type']}`" for part in parts)


def video(hub: Sandbox, make: Any) -> str:
    return _part(hub, make, VIDEO)


def audio(hub: Sandbox, make: Any) -> str:
    return _part(hub, make, {"type": "audio", "base64": WAV, "mime_type": "audio/wav"})


def image_of_a_tool(hub: Sandbox, make: Any) -> str:
    call = AIMessage("", tool_calls=[{"name": "draw", "args": {}, "id": "call_1"}])
    image = {"type": "image", "base64": PNG, "mime_type": "image/png"}
    result = ToolMessage([{"type": "text", "text": "Done."}, image], tool_call_id="call_1")
    return where_it_went(_sent(hub, make, HumanMessage("Draw."), call, result, model=GPT))


def where_it_went(messages: list[Any]) -> str:
    roles = [
        message["role"]
        for message in messages
        if isinstance(message["content"], list)
        and any(part["type"] == "image_url" for part in message["content"])
    ]
    return f"sent in a `{roles[-1]}` message" if roles else "left out"


def system_parts(hub: Sandbox, make: Any) -> str:
    text = SystemMessage([{"type": "text", "text": "Be brief."}])
    system = _sent(hub, make, text, HumanMessage("Hello"), model=CLAUDE)[0]
    return "sent as text" if isinstance(system["content"], str) else "sent as parts"


def reasoning(hub: Sandbox, make: Any) -> str:
    hub.inject(Fault("odd_stream", style="reasoning_first"))
    blocks = whole(make().stream("Name an ox.")).content_blocks
    return "kept" if any(block["type"] == "reasoning" for block in blocks) else "dropped"


def usage(hub: Sandbox, make: Any) -> str:
    return "yes" if whole(make().stream("Name an ox.")).usage_metadata else "no"


def cost(hub: Sandbox, make: Any) -> str:
    return "yes" if make().invoke("Name an ox.").response_metadata.get("cost") else "no"


def context_length(hub: Sandbox, make: Any) -> str:
    known = (make().profile or {}).get("max_input_tokens")
    return f"{known:,}" if known else "unknown"


def loops(hub: Sandbox, make: Any) -> str:
    model = make()
    for _ in range(3):
        asyncio.run(model.ainvoke("Hello"))
    return f"{len(chats(hub))} requests sent, {len(hub.charges)} charged"


def copies(hub: Sandbox, make: Any) -> str:
    model = make()
    model.invoke("Hello")
    copy.deepcopy(model)
    pickle.loads(pickle.dumps(model))
    return "yes"


def key_shown(hub: Sandbox, make: Any) -> str:
    return "yes" if hub.api_key in repr(make()) else "no"


def organization(hub: Sandbox, make: Any) -> str:
    make().invoke("Hello")
    sent = {name.lower() for name in dict(chats(hub)[0].headers)}
    return "sent" if "openai-organization" in sent else "not sent"


QUESTIONS = {
    "A stream ends half-way, without finish reason or `[DONE]`": cut_off,
    "An error arrives inside a stream": error_inside,
    "Tool-call fragments without an index": no_index,
    "Tool-call fragments that repeat id and name": repeated,
    "A tool with a dot in its name": dotted_name,
    "A tool call whose id another provider gave": foreign_id,
    "A model that does not exist": unknown_model,
    "No credits left": no_credits,
    "A video in a message": video,
    "Audio in a message": audio,
    "An image in a tool's result": image_of_a_tool,
    "A system message made of parts, to Claude": system_parts,
    "Streamed reasoning": reasoning,
    "Token counts in streams, unless asked otherwise": usage,
    "What an answer cost": cost,
    "Context length of the model": context_length,
    "One model, three `asyncio.run`, three answers": loops,
    "`deepcopy` and `pickle` of a model in use": copies,
    "The key shows in `repr`": key_shown,
    "`OPENAI_ORG_ID` of the environment": organization,
}
