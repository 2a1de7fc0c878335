"""A catalog that hangs holds up neither errors nor, more than once, answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from langchain_oxen import ChatOxen, errors
from tests.support.scripted_server import completion

NO_MODEL = {"error": {"message": "Model not found: ox-9"}}


@contextlib.contextmanager
def hub(status: int, answer: dict[str, Any]) -> Iterator[str]:
    """Serve one answer to every chat, and nothing to whoever asks for the catalog."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            over.wait(120)
            self.close_connection = True

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/ai"
    finally:
        over.set()
        server.shutdown()
        server.server_close()


async def ask(model: ChatOxen, asynchronous: bool) -> float:
    began = time.monotonic()
    if asynchronous:
        await model.ainvoke("hi")
    else:
        model.invoke("hi")
    return time.monotonic() - began


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("cost", [False, True])
def test_an_error_about_an_unknown_model_waits_a_second_at_most(
    asynchronous: bool, cost: bool
) -> None:
    with hub(404, NO_MODEL) as url:
        model = ChatOxen(model="ox-9", base_url=url, api_key="k", cost=cost, max_retries=0)
        began = time.monotonic()
        with pytest.raises(errors.ModelNotFoundError, match="ox-9"):
            asyncio.run(ask(model, asynchronous))
        assert time.monotonic() - began < 60


@pytest.mark.parametrize("asynchronous", [False, True])
def test_only_the_first_answer_waits_for_its_price(asynchronous: bool) -> None:
    async def run() -> list[float]:
        model = ChatOxen(model="ox-1", base_url=url, api_key="k", max_retries=0)
        return [await ask(model, asynchronous) for _ in range(6)]

    with hub(200, completion()) as url:
        first, *rest = asyncio.run(run())
    assert first < 60
    assert statistics.median(rest) < first / 2
