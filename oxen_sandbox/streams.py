"""Server-sent events: those of `/api/events`, the chunks of chat, and what can go wrong with them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from typing import Any

from anyio import move_on_after
from starlette.types import Receive, Scope, Send

from oxen_sandbox.faults import Fault
from oxen_sandbox.state import Account

Chunk = dict[str, Any]
_DONE = b"data: [DONE]\n\n"
_KEEP_ALIVE = b": keep-alive\n\n"


def encode(chunk: Chunk) -> bytes:
    """One chunk as a server-sent event."""
    return f"data: {json.dumps(chunk, separators=(',', ':'), ensure_ascii=False)}\n\n".encode()


async def encoded(chunks: Iterable[Chunk], *, done: bool) -> AsyncGenerator[bytes, None]:
    """A chat model's chunks as they go over the wire, ending in `[DONE]` if `done`."""
    for chunk in chunks:
        yield encode(chunk)
        await asyncio.sleep(0)
    if done:
        yield _DONE


class Events:
    """The listeners of each account's event stream; safe to use from any thread."""

    def __init__(self) -> None:
        self._listeners: set[tuple[Account, asyncio.AbstractEventLoop, asyncio.Queue[bytes | None]]]
        self._listeners = set()

    def __len__(self) -> int:
        return len(self._listeners)

    def publish(self, event: str, data: Any, account: Account | None = None) -> None:
        """Send one event to the account's listeners, or to everyone's."""
        text = f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()
        self._send(text, account)

    def drop(self) -> None:
        """End every open event stream."""
        self._send(None, None)

    async def listen(self, account: Account, keepalive: float) -> AsyncGenerator[bytes, None]:
        """The account's stream: events as they happen, a comment every `keepalive` seconds."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        entry = (account, asyncio.get_running_loop(), queue)
        self._listeners.add(entry)
        try:
            while True:
                item: bytes | None = _KEEP_ALIVE
                with move_on_after(keepalive):
                    item = await queue.get()
                if item is None:
                    return
                yield item
        finally:
            self._listeners.discard(entry)

    def _send(self, item: bytes | None, account: Account | None) -> None:
        for owner, loop, queue in tuple(self._listeners):
            if account is None or owner is account:
                with contextlib.suppress(RuntimeError):  # closed meanwhile, in its own thread
                    loop.call_soon_threadsafe(queue.put_nowait, item)


class EventStream:
    """An ASGI response that sends each item at once and applies the given stream faults."""

    def __init__(self, items: AsyncGenerator[bytes, None], faults: list[Fault]) -> None:
        self.items = items
        self.faults = {fault.action: fault for fault in faults}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream until it ends, is cut by a fault, or the client goes away."""
        await send({
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"text/event-stream; charset=utf-8"),
                (b"cache-control", b"no-cache"),
            ],
        })  # fmt: skip
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        pump = asyncio.ensure_future(self._pump(scope, send))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
        finally:
            for task in (pump, gone):
                task.cancel()
            await asyncio.gather(pump, gone, return_exceptions=True)

    async def _pump(self, scope: Scope, send: Send) -> None:
        cut = self.faults.get("cut_stream") or self.faults.get("reset_stream")
        error = self.faults.get("error_in_stream")
        slow = self.faults.get("slow_stream")
        sent = 0
        items = self.items
        try:
            while True:
                if cut and sent >= cut.after_chunks:
                    break
                if error and sent >= error.after_chunks:
                    await _send(send, encode(_error(error)))
                    break
                try:
                    item = await items.__anext__()
                except StopAsyncIteration:
                    break
                if slow:
                    await asyncio.sleep(slow.seconds or 0.0)
                await _send(send, item)
                sent += 1
        finally:
            await items.aclose()
        if cut and cut.action == "reset_stream":
            await asyncio.sleep(0.02)  # let what was sent arrive before the reset overtakes it
            scope["oxen.reset"]()
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _error(fault: Fault) -> Chunk:
    if isinstance(fault.body, dict):
        return fault.body
    return {"error": {"message": fault.message, "type": fault.type, "code": fault.status}}


def odd(chunks: Iterator[Chunk], styles: tuple[str, ...]) -> Iterator[Chunk]:
    """The same answer in a shape that some upstreams send."""
    for style in styles:
        mutate = _STYLES.get(style)
        chunks = mutate(chunks) if mutate else chunks
    return chunks


def _deltas(chunk: Chunk) -> Iterator[Chunk]:
    for choice in chunk.get("choices") or []:
        if choice.get("delta"):
            yield choice["delta"]


def _calls_in_one_chunk(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Every tool call whole, all of them in one chunk before the one that finishes."""
    calls: dict[Any, Chunk] = {}
    for chunk in chunks:
        for delta in _deltas(chunk):
            for part in delta.pop("tool_calls", None) or []:
                call = calls.setdefault(
                    part.get("index"), {**part, "function": {"name": "", "arguments": ""}}
                )
                for key, text in (part.get("function") or {}).items():
                    call["function"][key] += text or ""
        finishing = any(choice.get("finish_reason") for choice in chunk.get("choices") or [])
        if finishing and calls:
            delta = {"tool_calls": list(calls.values())}
            choice = {**chunk["choices"][0], "delta": delta, "finish_reason": None}
            yield {**chunk, "choices": [choice]}
            calls = {}
        if finishing or not chunk.get("choices") or any(_deltas(chunk)):
            yield chunk


def _parts(chunks: Iterator[Chunk], change: Callable[[Chunk], None]) -> Iterator[Chunk]:
    for chunk in chunks:
        for delta in _deltas(chunk):
            for part in delta.get("tool_calls") or []:
                change(part)
        yield chunk


def _null_index(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    return _parts(chunks, lambda part: part.update(index=None))


def _no_index(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    return _parts(chunks, lambda part: part.pop("index", None))


def _repeat_id_name(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Every fragment says again which call it belongs to."""
    known: dict[Any, tuple[str, str]] = {}

    def change(part: Chunk) -> None:
        function = part.setdefault("function", {})
        if part.get("id"):
            known[part.get("index")] = (part["id"], function.get("name"))
        part["id"], function["name"] = known[part.get("index")]

    return _parts(chunks, change)


def _repeat_usage(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The usage chunk twice."""
    for chunk in chunks:
        yield chunk
        if chunk.get("usage"):
            yield chunk


def _repeat_finish(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The chunk that finishes twice."""
    for chunk in chunks:
        yield chunk
        if any(choice.get("finish_reason") for choice in chunk.get("choices") or []):
            yield {**chunk, "choices": [{**choice, "delta": {}} for choice in chunk["choices"]]}


def _no_finish(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """No finish reason anywhere."""
    for chunk in chunks:
        for choice in chunk.get("choices") or []:
            choice["finish_reason"] = None
        yield chunk


def _reasoning_first(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """A first chunk of null content and reasoning only."""
    for number, chunk in enumerate(chunks):
        if number == 0 and chunk.get("choices"):
            delta = {"role": "assistant", "content": None, "reasoning_content": "Let me think."}
            yield {
                **chunk,
                "choices": [{**chunk["choices"][0], "delta": delta, "finish_reason": None}],
            }
        yield chunk


_STYLES: dict[str, Callable[[Iterator[Chunk]], Iterator[Chunk]]] = {
    "calls_in_one_chunk": _calls_in_one_chunk,
    "null_index": _null_index,
    "no_index": _no_index,
    "repeat_id_name": _repeat_id_name,
    "repeat_usage": _repeat_usage,
    "repeat_finish": _repeat_finish,
    "no_finish": _no_finish,
    "reasoning_first": _reasoning_first,
}
