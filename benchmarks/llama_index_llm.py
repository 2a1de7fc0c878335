"""What `Oxen` costs beside the usual way to an OpenAI-compatible API, and beside no API at all."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.tools import FunctionTool

from benchmarks.harness import Case, Contestant, Hub
from llama_index_oxen import Oxen

TITLE = "LlamaIndex LLM"
ABOUT = (
    "A streamed answer of 500 chunks, a whole one, an agent's, a cold start and the import: Oxen, "
    "OpenAILike 0.8 at the same local hub, and core's MockLLM, which makes chunks up without any "
    "network and so shows what LlamaIndex itself costs. OpenAILike gets the model's real context "
    "window and no token counting of its own."
)
MODEL = "claude-sonnet-4-6"
CHUNKS = 500
LONG, SHORT = [ChatMessage("Tell me all about oxen.")], [ChatMessage("What is an ox?")]
REPLIES = [
    {"text": " ".join(["ox"] * CHUNKS), "when": {"stream": True}, "times": None},
    {"text": " ".join(["ox"] * 20), "times": None},
]
AT_ONCE = 20


def oxen(hub: Hub) -> Oxen:
    return Oxen(MODEL, api_key=hub.api_key, api_base=hub.base_url)


def openai_like(hub: Hub) -> Any:
    from llama_index.llms.openai_like import OpenAILike

    return OpenAILike(
        model=MODEL,
        api_key=hub.api_key,
        api_base=hub.base_url,
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=1_000_000,
        additional_kwargs={"stream_options": {"include_usage": True}},
    )


def mock(_: Hub) -> MockLLM:
    return MockLLM(messages_to_prompt=lambda _: "x" * CHUNKS)


Make = Callable[[Hub], Any]


def stream_of(make: Make) -> Contestant:
    def setup(hub: Hub) -> Callable[[], int]:
        llm = make(hub)
        return lambda: sum(1 for response in llm.stream_chat(LONG) if response.delta)

    return setup


def astream_of(make: Make) -> Contestant:
    def setup(hub: Hub) -> Callable[[], Any]:
        llm = make(hub)

        async def one() -> int:
            return sum([1 async for response in await llm.astream_chat(LONG) if response.delta])

        async def run() -> int:
            return sum(await asyncio.gather(*(one() for _ in range(AT_ONCE))))

        return run

    return setup


def chat_of(make: Make) -> Contestant:
    def setup(hub: Hub) -> Callable[[], str]:
        llm = make(hub)
        return lambda: [str(llm.chat(SHORT)) for _ in range(20)][-1]

    return setup


def agent_of(make: Make) -> Contestant:
    def setup(hub: Hub) -> Callable[[], Any]:
        def weigh(name: str) -> str:
            """Weigh an animal."""
            return f"{name}: 800 kg"

        agent = FunctionAgent(tools=[FunctionTool.from_defaults(weigh)], llm=make(hub))

        async def run() -> int:
            handler = agent.run("Tell me all about oxen.")
            deltas = 0
            async for event in handler.stream_events():
                deltas += isinstance(event, AgentStream) and bool(event.delta)
            await handler
            return deltas

        return run

    return setup


def cold_start_of(import_line: str, expression: str) -> Contestant:
    def setup(hub: Hub) -> Callable[[], str]:
        code = (
            "import os\nfrom llama_index.core.llms import ChatMessage\n"
            f"{import_line}\nllm = {expression}\n"
            "print(llm.chat([ChatMessage('What is an ox?')]))"
        )
        variables = {"OXEN_BASE_URL": hub.base_url, "OXEN_API_KEY": hub.api_key}
        return lambda: _python(code, variables)

    return setup


def import_of(code: str) -> Contestant:
    return lambda _: lambda: _python(code, {})


def _python(code: str, variables: dict[str, str]) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


OXEN_LINE = "from llama_index_oxen import Oxen"
LIKE_LINE = "from llama_index.llms.openai_like import OpenAILike"
LIKE = (
    f"OpenAILike(model={MODEL!r}, api_key=os.environ['OXEN_API_KEY'], "
    "api_base=os.environ['OXEN_BASE_URL'], is_chat_model=True)"
)

CASES = [
    Case(
        name="stream_chat, 500 chunks",
        contestants={
            "Oxen": stream_of(oxen),
            "OpenAILike": stream_of(openai_like),
            "MockLLM (floor)": stream_of(mock),
        },
        baseline="OpenAILike",
    ),
    Case(
        name=f"astream_chat, 500 chunks, {AT_ONCE} at once",
        contestants={
            "Oxen": astream_of(oxen),
            "OpenAILike": astream_of(openai_like),
            "MockLLM (floor)": astream_of(mock),
        },
        baseline="OpenAILike",
        repeat=AT_ONCE,
        rounds=7,
    ),
    Case(
        name="chat",
        contestants={"Oxen": chat_of(oxen), "OpenAILike": chat_of(openai_like)},
        baseline="OpenAILike",
        repeat=20,
    ),
    Case(
        name="FunctionAgent, per token",
        contestants={"Oxen": agent_of(oxen), "OpenAILike": agent_of(openai_like)},
        baseline="OpenAILike",
        unit="µs",
        repeat=CHUNKS,
        rounds=9,
    ),
    Case(
        name="cold start: import to the first answer",
        contestants={
            "Oxen": cold_start_of(OXEN_LINE, f"Oxen({MODEL!r})"),
            "OpenAILike": cold_start_of(LIKE_LINE, LIKE),
        },
        baseline="OpenAILike",
        measure="wall",
        unit="s",
        rounds=7,
        warmups=1,
    ),
    Case(
        name="import",
        contestants={
            "Oxen": import_of(OXEN_LINE + "\nimport llama_index.core"),
            "llama_index.core alone": import_of("import llama_index.core"),
            "OpenAILike": import_of(LIKE_LINE),
        },
        baseline="llama_index.core alone",
        measure="wall",
        unit="s",
        rounds=11,
        warmups=1,
    ),
]
