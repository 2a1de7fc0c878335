# ruff: noqa: ARG001 - every question is asked with the hub, whether it looks at it or not
"""LlamaIndex's questions, to `OpenAILike` with Oxen's base URL and to `Oxen`."""

from __future__ import annotations

import asyncio
import base64
import copy
import pickle
from typing import Any

from llama_index.core.base.llms.types import ThinkingBlock, ToolCallBlock
from llama_index.core.llms import AudioBlock, ChatMessage, ImageBlock, TextBlock, VideoBlock
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

from benchmarks.behavior.langchain import (
    CLAUDE,
    GEMINI,
    GPT,
    PNG,
    WAV,
    chats,
    weigh,
    where_it_went,
)
from llama_index_oxen import Oxen
from oxen_sandbox import Fault, Sandbox


def _with(kind: Any, **always: Any) -> Any:
    def make(hub: Sandbox, model: str = CLAUDE, **options: Any) -> Any:
        return kind(model=model, api_key=hub.api_key, api_base=hub.base_url, **always, **options)

    return make


TITLE = "LlamaIndex"
CONTESTANTS = {
    "`OpenAILike`": _with(OpenAILike, is_chat_model=True, is_function_calling_model=True),
    "`Oxen`": _with(Oxen),
}
HELLO = [ChatMessage("Name an ox.")]


def last(stream: Any) -> Any:
    response = None
    for response in stream:  # noqa: B007 - the last one is the answer
        pass
    return response


def cut_off(hub: Sandbox, make: Any) -> str:
    hub.inject(Fault("cut_stream", after_chunks=5, times=None))
    answer = last(make().stream_chat(HELLO))
    return f"returned as a whole answer: “{answer.message.content}”"


def error_inside(hub: Sandbox, make: Any) -> str:
    hub.inject(Fault("error_in_stream", after_chunks=5, message="overloaded", status=529))
    last(make(max_retries=0).stream_chat(HELLO))
    return "returned as an answer"


def _call(hub: Sandbox, make: Any, style: str) -> str:
    hub.inject(Fault("odd_stream", style=style, times=None))
    hub.reply(tool_calls=[("weigh", {"name": "Bruno"})])
    llm, tools = make(), [FunctionTool.from_defaults(weigh)]
    answer = last(llm.stream_chat_with_tools(tools, user_msg="How much does the ox Bruno weigh?"))
    calls = llm.get_tool_calls_from_response(answer)
    good = [(c.tool_name, c.tool_kwargs) for c in calls] == [("weigh", {"name": "Bruno"})]
    shown = ", ".join(f"`{c.tool_name}({c.tool_kwargs})`" for c in calls)
    return "read" if good else f"misread: {shown}"


def no_index(hub: Sandbox, make: Any) -> str:
    return _call(hub, make, "no_index")


def repeated(hub: Sandbox, make: Any) -> str:
    return _call(hub, make, "repeat_id_name")


def unknown_model(hub: Sandbox, make: Any) -> str:
    return str(make(model="claude-sonet").chat(HELLO))


def no_money(hub: Sandbox, make: Any) -> str:
    hub.credits = 0
    return str(make().chat(HELLO))


def _part(hub: Sandbox, make: Any, block: Any) -> str:
    blocks = [TextBlock(text="What is this?"), block]
    make(model=GEMINI).chat([ChatMessage(role="user", blocks=blocks)])
    parts = chats(hub)[-1].json["messages"][-1]["content"]
    return "sent as " + ", then ".join(f"`{part['type']}`" for part in parts)


def video(hub: Sandbox, make: Any) -> str:
    return _part(hub, make, VideoBlock(url="https://example.com/ox.mp4"))


def audio(hub: Sandbox, make: Any) -> str:
    return _part(hub, make, AudioBlock(audio=base64.b64decode(WAV), format="wav"))


def image_of_a_tool(hub: Sandbox, make: Any) -> str:
    function = {"name": "draw", "arguments": "{}"}
    call = ChatMessage(
        role="assistant",
        blocks=[ToolCallBlock(tool_call_id="call_1", tool_name="draw", tool_kwargs={})],
        additional_kwargs={
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}]
        },
    )
    image = ImageBlock(image=PNG.encode(), image_mimetype="image/png")
    result = ChatMessage(
        role="tool",
        blocks=[TextBlock(text="Done."), image],
        additional_kwargs={"tool_call_id": "call_1"},
    )
    make(model=GPT).chat([ChatMessage("Draw."), call, result])
    return where_it_went(chats(hub)[-1].json["messages"])


def reasoning(hub: Sandbox, make: Any) -> str:
    hub.inject(Fault("odd_stream", style="reasoning_first"))
    blocks = last(make().stream_chat(HELLO)).message.blocks
    return "kept" if any(isinstance(block, ThinkingBlock) for block in blocks) else "dropped"


def cost(hub: Sandbox, make: Any) -> str:
    raw = make().chat(HELLO).raw
    return "yes" if isinstance(raw, dict) and raw.get("cost") else "no"


def usage(hub: Sandbox, make: Any) -> str:
    raw = last(make().stream_chat(HELLO)).raw
    found = raw.get("usage") if isinstance(raw, dict) else raw.usage
    return "yes" if found else "no"


def context_length(hub: Sandbox, make: Any) -> str:
    return f"{make().metadata.context_window:,}"


def loops(hub: Sandbox, make: Any) -> str:
    llm = make()
    for _ in range(3):
        asyncio.run(llm.achat(HELLO))
    return f"{len(chats(hub))} requests sent, {len(hub.charges)} charged"


def copies(hub: Sandbox, make: Any) -> str:
    llm = make()
    llm.chat(HELLO)
    copy.deepcopy(llm)
    pickle.loads(pickle.dumps(llm))
    return "yes"


def key_shown(hub: Sandbox, make: Any) -> str:
    llm = make()
    shown = {"`repr`": repr(llm), "`to_dict`": str(llm.to_dict())}
    return " and ".join(name for name, text in shown.items() if hub.api_key in text) or "no"


def header(hub: Sandbox, make: Any) -> str:
    make().chat(HELLO)
    sent = {name.lower() for name in dict(chats(hub)[0].headers)}
    return "sent" if "openai-organization" in sent else "not sent"


QUESTIONS = {
    "A stream ends half-way, without finish reason or `[DONE]`": cut_off,
    "An error arrives inside a stream": error_inside,
    "Tool-call fragments without an index": no_index,
    "Tool-call fragments that repeat id and name": repeated,
    "A model that does not exist": unknown_model,
    "No credits left": no_money,
    "A video in a message": video,
    "Audio in a message": audio,
    "An image in a tool's result": image_of_a_tool,
    "Streamed reasoning": reasoning,
    "Token counts in streams, unless asked otherwise": usage,
    "What an answer cost": cost,
    "Context length of the model, unless given": context_length,
    "One LLM, three `asyncio.run`, three answers": loops,
    "`deepcopy` and `pickle` of an LLM in use": copies,
    "The key shows in": key_shown,
    "`OPENAI_ORG_ID` of the environment": header,
}
