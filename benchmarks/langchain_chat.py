"""What `ChatOxen` costs beside ChatOpenAI, ChatDeepSeek and the OpenAI SDK by itself."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import openai

from benchmarks.harness import Case, Contestant, Hub, control
from langchain_oxen import ChatOxen

TITLE = "LangChain chat"
ABOUT = (
    "A whole answer, a streamed one of 500 chunks, a hundred answers at once, a cold start, the "
    "import and the memory: ChatOxen, ChatOpenAI 1.7 and ChatDeepSeek 1.1 at the same local hub, "
    "and the OpenAI SDK without LangChain. ChatOxen also fetches the catalog, to price every "
    "answer; the others do not."
)
MODEL = "claude-sonnet-4-6"
LONG, SHORT = "Tell me all about oxen.", "What is an ox?"
REPLIES = [
    {"text": " ".join(["ox"] * 500), "when": {"stream": True}, "times": None},
    {"text": " ".join(["ox"] * 20), "times": None},
]
INVOKES, STREAMS, AT_ONCE = 20, 4, 100


def chat_oxen(hub: Hub) -> ChatOxen:
    return ChatOxen(model=MODEL, api_key=hub.api_key, base_url=hub.base_url)


def chat_openai(hub: Hub) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=MODEL, api_key=hub.api_key, base_url=hub.base_url, stream_usage=True)


def chat_deepseek(hub: Hub) -> Any:
    from langchain_deepseek import ChatDeepSeek

    return ChatDeepSeek(model=MODEL, api_key=hub.api_key, api_base=hub.base_url, stream_usage=True)


Make = Callable[[Hub], Any]
PEERS: dict[str, Make] = {
    "ChatOxen": chat_oxen,
    "ChatOpenAI": chat_openai,
    "ChatDeepSeek": chat_deepseek,
}


def invoke_of(make: Make) -> Contestant:
    def setup(hub: Hub) -> Callable[[], str]:
        model = make(hub)
        return lambda: [str(model.invoke(SHORT).text) for _ in range(INVOKES)][-1]

    return setup


def stream_of(make: Make) -> Contestant:
    def setup(hub: Hub) -> Callable[[], tuple[str, int]]:
        model = make(hub)

        def run() -> tuple[str, int]:
            texts = [str(chunk.text) for _ in range(STREAMS) for chunk in model.stream(LONG)]
            return "".join(texts), sum(1 for text in texts if text)

        return run

    return setup


def astream_of(make: Make, *, chunk_by_chunk: bool = False) -> Contestant:
    def setup(hub: Hub) -> Callable[[], Any]:
        if chunk_by_chunk:
            send_chunk_by_chunk(hub)
        model = make(hub)

        async def one() -> str:
            return "".join([str(chunk.text) async for chunk in model.astream(LONG)])

        async def run() -> list[str]:
            return await asyncio.gather(*(one() for _ in range(STREAMS)))

        return run

    return setup


def abatch_of(make: Make) -> Contestant:
    def setup(hub: Hub) -> Callable[[], Any]:
        let_it_think(hub)
        model = make(hub)

        async def run() -> list[str]:
            return [str(m.text) for m in await model.abatch([SHORT] * AT_ONCE)]

        return run

    return setup


def let_it_think(hub: Hub) -> None:
    """Have every answer take half a second, so that a hundred are in flight as they would be."""
    fault = {"action": "delay", "path": "*/chat/completions", "seconds": 0.5, "times": None}
    control(hub, "faults", fault)


def send_chunk_by_chunk(hub: Hub) -> None:
    """Have every chunk arrive by itself, as from a model, and not with those that came meanwhile."""
    fault = {"action": "slow_stream", "path": "*/chat/completions", "seconds": 0.002, "times": None}
    control(hub, "faults", fault)


def messages(text: str) -> Any:
    return [{"role": "user", "content": text}]


def sdk_invoke(hub: Hub) -> Callable[[], str]:
    client = openai.OpenAI(api_key=hub.api_key, base_url=hub.base_url)

    def one() -> str:
        answer = client.chat.completions.create(model=MODEL, messages=messages(SHORT))
        return answer.choices[0].message.content or ""

    return lambda: [one() for _ in range(INVOKES)][-1]


def sdk_stream(hub: Hub) -> Callable[[], tuple[str, int]]:
    client = openai.OpenAI(api_key=hub.api_key, base_url=hub.base_url)

    def run() -> tuple[str, int]:
        texts = []
        for _ in range(STREAMS):
            chunks = client.chat.completions.create(
                model=MODEL,
                messages=messages(LONG),
                stream=True,
                stream_options={"include_usage": True},
            )
            texts += [c.choices[0].delta.content or "" for c in chunks if c.choices]
        return "".join(texts), sum(1 for text in texts if text)

    return run


def program(code: str) -> Contestant:
    """A fresh interpreter that runs `code` and prints a line."""

    def setup(hub: Hub) -> Callable[[], str]:
        variables = {"OXEN_BASE_URL": hub.base_url, "OXEN_API_KEY": hub.api_key}
        return lambda: _python(code, variables)

    return setup


def _python(code: str, variables: dict[str, str]) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def _construct(kind: str, module: str, base: str = "base_url") -> str:
    return (
        f"import os\nfrom {module} import {kind}\n"
        f"model = {kind}(model={MODEL!r}, api_key=os.environ['OXEN_API_KEY'], "
        f"{base}=os.environ['OXEN_BASE_URL'])\n"
    )


MODELS = {
    "ChatOxen": _construct("ChatOxen", "langchain_oxen"),
    "ChatOpenAI": _construct("ChatOpenAI", "langchain_openai"),
    "ChatDeepSeek": _construct("ChatDeepSeek", "langchain_deepseek", "api_base"),
}
FIRST_TOKEN = f"print(next(c.text for c in model.stream({SHORT!r}) if c.text))"
PEAK = (
    f"for _ in range(10): model.invoke({SHORT!r})\n"
    # Not getrusage, whose figure on Linux includes that of the process which started this one.
    "words = open('/proc/self/status').read().split()\n"
    "print(int(words[words.index('VmHWM:') + 1]) / 1024)"
)


def memory(code: str) -> Contestant:
    def setup(hub: Hub) -> Callable[[], float]:
        run = program(code)(hub)
        return lambda: float(run())

    return setup


CASES = [
    Case(
        name="stream an answer of 500 chunks",
        contestants={**{n: stream_of(m) for n, m in PEERS.items()}, "OpenAI SDK": sdk_stream},
        baseline="ChatOpenAI",
        repeat=STREAMS,
    ),
    Case(
        name=f"stream {STREAMS} answers of 500 chunks, asynchronously",
        contestants={n: astream_of(m) for n, m in PEERS.items()},
        baseline="ChatOpenAI",
        repeat=STREAMS,
    ),
    Case(
        name=f"stream {STREAMS} such answers, a chunk each 2 ms, asynchronously",
        contestants={n: astream_of(m, chunk_by_chunk=True) for n, m in PEERS.items()},
        baseline="ChatOpenAI",
        repeat=STREAMS,
        rounds=9,
    ),
    Case(
        name="invoke",
        contestants={**{n: invoke_of(m) for n, m in PEERS.items()}, "OpenAI SDK": sdk_invoke},
        baseline="ChatOpenAI",
        repeat=INVOKES,
    ),
    Case(
        name=f"a batch of {AT_ONCE} at once, half a second each",
        contestants={n: abatch_of(m) for n, m in PEERS.items()},
        baseline="ChatOpenAI",
        rounds=9,
    ),
    Case(
        name="cold start to the first token",
        contestants={n: program(code + FIRST_TOKEN) for n, code in MODELS.items()},
        baseline="ChatOpenAI",
        measure="wall",
        rounds=7,
        warmups=1,
    ),
    Case(
        name="import",
        contestants={
            "langchain_oxen.ChatOxen": program("from langchain_oxen import ChatOxen"),
            "BaseChatModel": program("from langchain_core.language_models import BaseChatModel"),
            "ChatOpenAI": program("from langchain_openai import ChatOpenAI"),
        },
        baseline="BaseChatModel",
        measure="wall",
        rounds=9,
        warmups=1,
    ),
    Case(
        name="peak memory after ten answers",
        contestants={n: memory(code + PEAK) for n, code in MODELS.items()},
        baseline="ChatOpenAI",
        measure="value",
        unit="MiB",
        rounds=5,
        warmups=1,
    ),
]
