"""A server repeats the key and a header in every place it can: no error shows them."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_oxen import ChatOxen
from llama_index_oxen import Oxen
from oxen_inference import AsyncOxenClient, Ledger, OxenClient
from tests.e2e.media.calls import QUICK
from tests.support.scripted_server import SSE_HEAD, Reset, ScriptedServer, http, sse

KEY = "sk-Oxen-Canary-0123456789"
HEADER = "header-Canary-9876543210"
ECHO = f"{KEY} {HEADER}"
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def raw(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


FAULTS: dict[str, Any] = {
    "status line": raw(f"{ECHO}\n\n"),
    "version": raw(f"HTTP/{KEY} 200 OK\n\n"),
    "reason": raw(f"HTTP/1.1 503 {ECHO}\nContent-Length: 0\n\n"),
    "header without a colon": raw(f"HTTP/1.1 200 OK\n{ECHO}\n\n"),
    "content length": raw(f"HTTP/1.1 200 OK\nContent-Length: {ECHO}\n\n"),
    "content encoding": http({}, headers=[f"Content-Encoding: {KEY}"]),
    "content type": http({"error": ECHO}, content_type=KEY),
    "chunk size": JSON_HEAD + raw(f"Transfer-Encoding: chunked\n\n{KEY}\n"),
    "transfer encoding": JSON_HEAD + raw(f"Transfer-Encoding: {KEY}\n\n"),
    "broken gzip": JSON_HEAD + raw("Content-Encoding: gzip\nContent-Length: 60\n\n") + ECHO.encode().ljust(60),
    "packed error": http(gzip.compress(json.dumps({"error": ECHO}).encode(), mtime=0).decode("latin-1"), status="400 No"),
    "cut body": JSON_HEAD + raw(f'Content-Length: 999\nConnection: close\n\n{{"error": "{ECHO}'),
    "cut body with a reset": [JSON_HEAD + raw(f'Content-Length: 999\n\n{{"error": "{ECHO}'), Reset()],
    "invalid JSON": http(f'{{"error": "{ECHO}', content_type="application/json"),
    "invalid UTF-8": JSON_HEAD + raw("Content-Length: 60\n\n") + ECHO.encode().ljust(59) + b"\xff",
    "text": http(ECHO, content_type="text/plain"),
    "page": http(f"<html><title>{ECHO}</title>{ECHO}", status="403 No", content_type="text/html"),
    "refused key": http({"error": {"message": ECHO, "type": ECHO}}, status="401 No"),
    "unknown model": http({"error": {"message": f"Model not found: {ECHO}"}}, status="404 No"),
    "rate limit": http({"error": ECHO}, status="429 No", headers=[f"Retry-After: {ECHO}"]),
    "server error": http({"error": {"detail": ECHO, ECHO: [ECHO]}}, status="500 No"),
    "error in a success": http({"error": {"message": ECHO, "code": ECHO}}),
    "host of a redirect": http("", status="302 F", headers=[f"Location: http://{KEY}.invalid/"]),
    "path of a redirect": http("", status="307 F", headers=[f"Location: /{KEY}"]),
    "scheme of a redirect": http("", status="302 F", headers=[f"Location: {KEY}://x/"]),
    "invalid redirect": http("", status="302 F", headers=[f"Location: http://[{KEY}/"]),
    "event": SSE_HEAD + sse({"error": {"message": ECHO, "code": ECHO}}),
    "text in a stream": [SSE_HEAD + raw(f"{ECHO}\n\n"), Reset()],
}  # fmt: skip

Call = Callable[[str, Path], Any]


def client(url: str, folder: Path) -> OxenClient:
    made = OxenClient(**settings(url, folder))
    made.media.pace = QUICK
    return made


def settings(url: str, folder: Path) -> dict[str, Any]:
    return {
        "api_key": KEY, "base_url": url, "timeout": 1.0, "max_retries": 0,
        "default_headers": {"X-Canary": HEADER}, "ledger": Ledger(folder / "ledger.sqlite3"),
    }  # fmt: skip


def chat(url: str) -> ChatOxen:
    return ChatOxen(model="m", api_key=KEY, base_url=url, timeout=1.0, max_retries=0, default_headers={"X-Canary": HEADER})  # fmt: skip


def llm(url: str) -> Oxen:
    return Oxen(
        "m",
        api_key=KEY,
        api_base=url,
        timeout=1.0,
        max_retries=0,
        default_headers={"X-Canary": HEADER},
    )


def in_loop(call: Callable[[AsyncOxenClient], Any]) -> Call:
    async def run(url: str, folder: Path) -> Any:
        async with AsyncOxenClient(**settings(url, folder)) as made:
            made.media.pace = QUICK
            return await call(made)

    return lambda url, folder: asyncio.run(run(url, folder))


async def listen(made: AsyncOxenClient) -> None:
    async with made.events.listen(timeout=1) as jobs:
        async for _ in jobs:
            pass


def listen_blocking(url: str, folder: Path) -> None:
    with client(url, folder).events.listen(timeout=1) as jobs:
        list(jobs)


async def astream(url: str) -> None:
    async for _ in chat(url).astream("hi"):
        pass


MEDIA = {"model": "m", "prompt": "an ox", "timeout": 1.0}
CALLS: dict[str, Call] = {
    "catalog.list": lambda url, folder: client(url, folder).catalog.list(),
    "catalog.get": lambda url, folder: client(url, folder).catalog.get("m"),
    "catalog.activate": lambda url, folder: client(url, folder).catalog.activate("m"),
    "queue.list": lambda url, folder: client(url, folder).queue.list(),
    "queue.get": lambda url, folder: client(url, folder).queue.get("g"),
    "queue.cancel": lambda url, folder: client(url, folder).queue.cancel("g"),
    "queue.submit": lambda url, folder: client(url, folder).queue.submit(model="m", prompt="an ox"),
    "media.generate": lambda url, folder: client(url, folder).media.generate(**MEDIA),
    "media.attach": lambda url, folder: client(url, folder).media.attach(generation_ids=["g"]),
    "media.reconcile": lambda url, folder: client(url, folder).media.reconcile(),
    "events.listen": listen_blocking,
    "ChatOxen.invoke": lambda url, folder: chat(url).invoke("hi"),
    "ChatOxen.stream": lambda url, folder: list(chat(url).stream("hi")),
    "ChatOxen.ainvoke": lambda url, folder: asyncio.run(chat(url).ainvoke("hi")),
    "ChatOxen.astream": lambda url, folder: asyncio.run(astream(url)),
    "Oxen.complete": lambda url, folder: llm(url).complete("hi"),
    "Oxen.stream_complete": lambda url, folder: list(llm(url).stream_complete("hi")),
    "Oxen.acomplete": lambda url, folder: asyncio.run(llm(url).acomplete("hi")),
    "async catalog.list": in_loop(lambda made: made.catalog.list()),
    "async queue.get": in_loop(lambda made: made.queue.get("g")),
    "async media.generate": in_loop(lambda made: made.media.generate(**MEDIA)),
    "async events.listen": in_loop(listen),
}


def chain(error: BaseException) -> Iterator[BaseException]:
    pending, seen = [error], set()
    while pending:
        link = pending.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        pending += [link.__cause__, link.__context__, *getattr(link, "exceptions", ())]  # type: ignore[list-item]


def everything_shown(error: BaseException) -> Iterator[str]:
    yield from traceback.format_exception(error)
    yield pickle.dumps(error).decode("latin-1")
    for link in chain(error):
        yield f"{link} {link!r} {link.args!r} {vars(link)!r}"


@pytest.mark.parametrize("name", CALLS)
def test_no_secret_comes_out(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: Any, capfd: Any
) -> None:
    caplog.set_level(logging.DEBUG, "oxen_inference")
    leaks: list[str] = []
    raised = 0
    for number, (fault, script) in enumerate(FAULTS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        shown: list[str] = []
        with ScriptedServer(script) as server:
            try:
                CALLS[name](server.url, folder)
            except Exception as error:  # noqa: BLE001 - whatever is raised is looked at
                raised += 1
                shown += everything_shown(error)
        ours = [record for record in caplog.records if record.name.startswith("oxen_inference")]
        shown += [record.getMessage() for record in ours]
        shown += [str(warning.message) for warning in recwarn]
        shown += capfd.readouterr()
        shown += [path.read_bytes().decode("latin-1") for path in folder.iterdir()]
        text = "\n".join(shown).lower()
        found = [at for secret in (KEY, HEADER) if (at := text.find(secret.lower())) >= 0]
        leaks += [f"{fault}: …{text[max(at - 80, 0) : at + 30]}…" for at in found]
        caplog.clear()
        recwarn.clear()
    assert not leaks, "\n".join(leaks)
    assert raised >= len(FAULTS) // 2 or name == "media.reconcile"


@pytest.mark.parametrize("kind", [ChatOxen, Oxen])
def test_a_pickle_holds_no_secret_header(kind: Any) -> None:
    headers = {"X-Gateway-Token": HEADER, "Authorization": f"Basic {HEADER}", "X-Team": "herders"}
    model = kind(model="openai-gpt-5-4-mini", api_key=KEY, default_headers=headers)
    packed = pickle.dumps(model)
    assert KEY.encode() not in packed
    assert HEADER.encode() not in packed
    assert pickle.loads(packed).default_headers == {"X-Team": "herders"}
    assert model.default_headers == headers
