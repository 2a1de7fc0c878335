"""`GET /api/events`: completions as server-sent events, neither buffered nor replayed."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any

from anyio import move_on_after

from oxen_sandbox.state import Account

_KEEP_ALIVE = b": keep-alive\n\n"


class Events:
    """The listeners of each account, told from any thread."""

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
