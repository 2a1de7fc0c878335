"""One row, one input, what must be on the wire: both adapters, sync, async, whole and streamed."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import StructuredTool
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import AudioBlock, ChatMessage, ImageBlock, TextBlock, VideoBlock
from llama_index.core.tools import FunctionTool

from langchain_oxen import ChatOxen
from llama_index_oxen import Oxen
from oxen_inference.chat.names import safe_name
from tests.support.langchain_suites import PNG, WAV
from tests.support.scripted_server import ScriptedServer, completion, delta, http, stream

Body = dict[str, Any]
Ask = Callable[[ScriptedServer, "Row"], None]

A, B, SOUND = "https://oxen.test/a.png", "https://oxen.test/b.png", "https://oxen.test/a.mp3"
PNG64 = base64.b64encode(PNG).decode()
AS_PNG = f"data:image/png;base64,{PNG64}"
WORDS = "Łódź, 京都, схватка"
LONG = "call_" + "a" * 60


@dataclass
class Row:
    name: str
    langchain: Sequence[Any]
    llama: Sequence[ChatMessage]
    read: Callable[[Body], Any]
    """What is looked at in the body."""
    sent: Any
    model: str = "gpt-4o"
    options: dict[str, Any] = field(default_factory=dict)
    """Parameters of the call."""
    tools: Sequence[str] = ()


def user(*blocks: Any) -> list[ChatMessage]:
    return [ChatMessage(role="user", blocks=list(blocks))]


def calls_of(*ids: str, name: str = "find", **arguments: Any) -> tuple[Any, list[ChatMessage]]:
    """A conversation with calls of these ids and a result for each."""
    made: list[Any] = [{"name": name, "args": arguments, "id": one} for one in ids]
    langchain = [HumanMessage("x"), AIMessage("", tool_calls=made)]
    langchain += [ToolMessage(f"r{n}", tool_call_id=one) for n, one in enumerate(ids)]
    blocks = [ToolCallBlock(tool_call_id=i, tool_name=name, tool_kwargs=arguments) for i in ids]
    llama = [ChatMessage("x"), ChatMessage(role="assistant", blocks=blocks)]
    for number, one in enumerate(ids):
        kwargs = {"tool_call_id": one}
        llama.append(ChatMessage(role="tool", content=f"r{number}", additional_kwargs=kwargs))
    return langchain, llama


def parts(body: Body) -> list[Any]:
    """The texts and URLs of the last message, in their order."""
    content = body["messages"][-1]["content"]
    return [p.get("text") or next(v for v in p.values() if isinstance(v, dict))["url"] for p in content]  # fmt: skip


def ids(body: Body) -> Any:
    """The ids of all calls, and those that the results name."""
    called = [c["id"] for m in body["messages"] for c in m.get("tool_calls") or ()]
    return called, [m["tool_call_id"] for m in body["messages"] if m["role"] == "tool"]


def arguments(body: Body) -> Any:
    return body["messages"][1]["tool_calls"][0]["function"]["arguments"]


def tool_names(body: Body) -> Any:
    return [tool["function"]["name"] for tool in body["tools"]]


def both(*ids: str) -> tuple[list[str], list[str]]:
    return list(ids), list(ids)


def named(name: str) -> tuple[Any, list[ChatMessage]]:
    llama = ChatMessage(role="user", content="hi", additional_kwargs={"name": name})
    return [HumanMessage("hi", name=name)], [llama]


def image(**fields: Any) -> list[Any]:
    return [HumanMessage([{"type": "image", **fields}])]


ROWS = [
    Row(
        "captions keep their images",
        [HumanMessage([{"type": "text", "text": "Before:"}, {"type": "image", "url": A}, "After:", {"type": "image", "url": B}])],
        user(TextBlock(text="Before:"), ImageBlock(url=A), TextBlock(text="After:"), ImageBlock(url=B)),
        parts,
        ["Before:", A, "After:", B],
    ),
    Row(
        "audio comes first, a video stays",
        [HumanMessage(["Compare", {"type": "video", "url": B}, {"type": "audio", "url": SOUND}])],
        user(TextBlock(text="Compare"), VideoBlock(url=B), AudioBlock(url=SOUND)),
        parts,
        [SOUND, "Compare", B],
    ),
    Row("a speaker with a space", *named("Flug-Assistent Süd"), lambda b: b["messages"][0]["name"], safe_name("Flug-Assistent Süd")),
    Row("a speaker in another script", *named("京子"), lambda b: b["messages"][0]["name"], safe_name("京子")),
    Row("an ordinary speaker", *named("Bo_2"), lambda b: b["messages"][0]["name"], "Bo_2"),
    Row("ordinary ids stay", *calls_of("call_1", "toolu_2"), ids, both("call_1", "toolu_2")),
    Row(
        "long ids that differ at their end",
        *calls_of(LONG + "1", LONG + "2"),
        lambda b: [len(set(i)) == 2 and max(map(len, i)) <= 40 for i in ids(b)] + [ids(b)[0] == ids(b)[1]],
        [True, True, True],
    ),
    Row("Kimi's ids elsewhere", *calls_of("functions.find:0"), lambda b: ":" in str(ids(b)) or "." in str(ids(b)), False),
    Row("Kimi's ids at Kimi's", *calls_of("functions.find:0"), ids, both("functions.find:0"), model="moonshotai-kimi-k2-5"),
    Row("others' ids at Kimi's", *calls_of("call_1", "call_2"), ids, both("functions.find:0", "functions.find:1"), model="kimi-k2"),
    Row("Mistral's ids", *calls_of("call_1"), lambda b: [len(i) == 9 and i.isalnum() for group in ids(b) for i in group], [True, True], model="mistral-large-3"),
    Row("Mistral's own ids", *calls_of("aB3dE6gH9"), ids, both("aB3dE6gH9"), model="mistral-large-3"),
    Row("ids that are given twice", *calls_of("f", "f"), lambda b: (len(set(ids(b)[0])), ids(b)[0] == ids(b)[1]), (2, True)),
    Row("a tool with a dot", [HumanMessage("x")], [ChatMessage("x")], tool_names, [safe_name("calendar.list")], tools=["calendar.list"]),
    Row("tools that differ by a dot only", [HumanMessage("x")], [ChatMessage("x")], lambda b: len(set(tool_names(b))), 3, tools=["a.b", "a_b", "a/b"]),
    Row("a tool of 70 letters", [HumanMessage("x")], [ChatMessage("x")], lambda b: len(tool_names(b)[0]) <= 64, True, tools=["t" * 70]),
    Row("a call of a tool with a dot", *calls_of("a", name="calendar.list"), lambda b: b["messages"][1]["tool_calls"][0]["function"]["name"], safe_name("calendar.list")),
    Row("arguments in other scripts", *calls_of("a", where=WORDS), arguments, f'{{"where": "{WORDS}"}}'),
    Row("half a character in arguments", *calls_of("a", where="x\ud83d"), arguments, '{"where": "x\ufffd"}'),
    Row("a PNG that is called JPEG", image(base64=PNG64, mime_type="image/jpeg"), user(ImageBlock(image=PNG, image_mimetype="image/jpeg")), parts, [AS_PNG]),
    Row("image/JPG", image(url=f"data:image/JPG;base64,{PNG64}"), user(ImageBlock(url=f"data:image/JPG;base64,{PNG64}")), parts, [AS_PNG]),
    Row(
        "base64 in lines",
        image(base64=base64.encodebytes(PNG).decode(), mime_type="image/png"),
        user(ImageBlock(url=f"data:image/png;base64,{base64.encodebytes(PNG).decode()}")),
        parts,
        [AS_PNG],
    ),
    Row(
        "base64 for URLs, without padding",
        image(base64=base64.urlsafe_b64encode(PNG).decode().rstrip("="), mime_type="image/png"),
        user(ImageBlock(url=f"data:image/png;base64,{base64.urlsafe_b64encode(PNG).decode().rstrip('=')}")),
        parts,
        [AS_PNG],
    ),
    Row(
        "audio under a wrong type",
        [HumanMessage([{"type": "audio", "base64": base64.b64encode(WAV).decode(), "mime_type": "audio/mpeg"}])],
        user(AudioBlock(audio=WAV, format="mp3")),
        lambda b: parts(b)[0].partition(",")[0],
        "data:audio/wav;base64",
    ),
    Row("an empty system message", [SystemMessage(""), HumanMessage("x")], [ChatMessage(role="system", content=""), ChatMessage("x")], lambda b: len(b["messages"]), 1),
    Row("the limit of tokens of o4", [HumanMessage("x")], [ChatMessage("x")], lambda b: (b.get("max_tokens"), b.get("max_completion_tokens")), (None, 5), model="o4-mini-2025-04-16", options={"max_tokens": 5}),
    Row("the limit of tokens of others", [HumanMessage("x")], [ChatMessage("x")], lambda b: (b.get("max_tokens"), b.get("max_completion_tokens")), (5, None), options={"max_tokens": 5}),
    Row("parallel_tool_calls=None", [HumanMessage("x")], [ChatMessage("x")], lambda b: "parallel_tool_calls" in b, False, tools=["f"], options={"parallel_tool_calls": None}),
    Row(
        "a forced tool while the model thinks",
        [HumanMessage("x")],
        [ChatMessage("x")],
        lambda b: b["tool_choice"],
        "auto",
        model="claude-sonnet-4-6",
        tools=["f"],
        options={"tool_choice": "required", "thinking": {"type": "enabled", "budget_tokens": 1024}},
    ),
    Row(
        "a forced tool without thoughts",
        [HumanMessage("x")],
        [ChatMessage("x")],
        lambda b: b["tool_choice"],
        "required",
        model="claude-sonnet-4-6",
        tools=["f"],
        options={"tool_choice": "required", "thinking": {"type": "disabled"}},
    ),
    Row(
        "a cache mark of the whole request",
        [HumanMessage("x")],
        [ChatMessage("x")],
        lambda b: (b.get("cache_control"), b["messages"][-1]["content"]),
        (None, [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]),
        options={"cache_control": {"type": "ephemeral"}},
    ),
]  # fmt: skip


def run(text: str = "") -> str:
    """Run."""
    return text


def langchain(server: ScriptedServer, row: Row) -> tuple[Any, list[Any]]:
    model: Any = ChatOxen(model=row.model, api_key="k", base_url=server.url, cost=False)
    if row.tools:
        tools = [StructuredTool.from_function(run, name=name) for name in row.tools]
        model = model.bind_tools(tools)
    return model.bind(**row.options), list(row.langchain)


def llama_index(server: ScriptedServer, row: Row) -> tuple[Oxen, Any, dict[str, Any]]:
    llm = Oxen(row.model, api_key="k", api_base=server.url, cost=False)
    options = dict(row.options)
    if row.tools:
        tools = [FunctionTool.from_defaults(run, name=name) for name in row.tools]
        given = {"tool_choice": options.pop("tool_choice")} if "tool_choice" in options else {}
        fields = llm._prepare_chat_with_tools(tools, allow_parallel_tool_calls=True, **given)
        options = {**{k: v for k, v in fields.items() if k != "messages"}, **options}
    return llm, list(row.llama), options


def invoke(server: ScriptedServer, row: Row) -> None:
    model, messages = langchain(server, row)
    model.invoke(messages)


def ainvoke(server: ScriptedServer, row: Row) -> None:
    model, messages = langchain(server, row)
    asyncio.run(model.ainvoke(messages))


def stream_of(server: ScriptedServer, row: Row) -> None:
    model, messages = langchain(server, row)
    list(model.stream(messages))


def astream(server: ScriptedServer, row: Row) -> None:
    model, messages = langchain(server, row)

    async def consume() -> None:
        _ = [chunk async for chunk in model.astream(messages)]

    asyncio.run(consume())


def chat(server: ScriptedServer, row: Row) -> None:
    llm, messages, options = llama_index(server, row)
    llm.chat(messages, **options)


def achat(server: ScriptedServer, row: Row) -> None:
    llm, messages, options = llama_index(server, row)
    asyncio.run(llm.achat(messages, **options))


def stream_chat(server: ScriptedServer, row: Row) -> None:
    llm, messages, options = llama_index(server, row)
    list(llm.stream_chat(messages, **options))


def astream_chat(server: ScriptedServer, row: Row) -> None:
    llm, messages, options = llama_index(server, row)

    async def consume() -> None:
        _ = [response async for response in await llm.astream_chat(messages, **options)]

    asyncio.run(consume())


CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
WHOLE = http(completion({"content": "ok", "tool_calls": [CALL]}))
STREAM = stream(delta(content="ok", tool_calls=[CALL]), delta("stop"), "[DONE]")
WAYS: list[tuple[Ask, bytes]] = [
    (invoke, WHOLE),
    (ainvoke, WHOLE),
    (stream_of, STREAM),
    (astream, STREAM),
    (chat, WHOLE),
    (achat, WHOLE),
    (stream_chat, STREAM),
    (astream_chat, STREAM),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_sent(row: Row) -> None:
    for ask, script in WAYS:
        with ScriptedServer(script) as server:
            ask(server, row)
            body = server.requests[-1].json
        assert row.read(body) == row.sent, ask.__name__
