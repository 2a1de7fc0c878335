"""The sandbox as a server in a thread: a free port in, a clean stop out."""

import asyncio
import contextlib
import os
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import Self
from uvicorn.server import ServerState

from oxen_sandbox.app import App
from oxen_sandbox.chat_replies import Reply, When
from oxen_sandbox.clock import Clock
from oxen_sandbox.faces import FaceName, face_called
from oxen_sandbox.faults import Fault, Faults
from oxen_sandbox.hub import Hub, Recorded
from oxen_sandbox.models import Catalog
from oxen_sandbox.state import Charge, Job, Settings
from oxen_sandbox.streams import Events

_START_SECONDS = 10


class Sandbox:
    """A local Oxen, serving while entered; `settings` are those of `Settings`.

    `face`: "live", as programs in production meet the hub, or "documented", as its pages describe it.
    Safe to use from any thread, and from async code with either `with` or `async with`.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        api_key: str | None = None,
        face: FaceName = "live",
        **settings: Any,
    ) -> None:
        self._host, self._port = host, port
        self.hub = Hub(Settings(**settings), Clock(speed), api_key, face_called(face))
        self._thread: threading.Thread | None = None
        self._stop: Any = None
        self._up = threading.Event()
        self._failure: BaseException | None = None

    def __repr__(self) -> str:
        return f"Sandbox({self.hub.origin or 'not running'})"

    @property
    def base_url(self) -> str:
        """What to give a client: `http://host:port/api/ai`."""
        return f"{self.hub.origin}/api/ai"

    @property
    def origin(self) -> str:
        """`http://host:port`."""
        return self.hub.origin

    @property
    def api_key(self) -> str:
        """The key of the sandbox's first account; the same in every sandbox, unless told otherwise."""
        return self.hub.account.key

    @property
    def requests(self) -> list[Recorded]:
        """Every request since the last reset, in order of arrival."""
        return list(self.hub.requests)

    @property
    def jobs(self) -> list[Job]:
        """Every generation ever accepted by the queue, as it stands now: what double bills are counted by."""
        self.hub.state.advance()
        return list(self.hub.state.jobs.values())

    @property
    def charges(self) -> list[Charge]:
        """Everything that was paid for, through the queue, synchronously or by chat."""
        self.hub.state.advance()
        return list(self.hub.state.charges)

    @property
    def models(self) -> Catalog:
        """The catalog by id; change it to serve other models."""
        return self.hub.models

    @property
    def faults(self) -> Faults:
        """The injected faults."""
        return self.hub.faults

    @property
    def replies(self) -> list[Reply]:
        """The scripted replies that no chat request has fetched yet."""
        return self.hub.replies.left()

    @property
    def events(self) -> Events:
        """The event streams: `publish` an event of your own, `drop` all connections."""
        return self.hub.events

    @property
    def settings(self) -> Settings:
        """How the hub behaves; change it while it runs."""
        return self.hub.settings

    @property
    def clock(self) -> Clock:
        """The hub's time: `advance` it, or change its `speed`."""
        return self.hub.clock

    @property
    def credits(self) -> Decimal:
        """What the first account has left."""
        self.hub.state.advance()
        return self.hub.account.credits

    @credits.setter  # noqa: A003 - the money, not the interpreter's
    def credits(self, amount: Decimal) -> None:
        self.hub.account.credits = Decimal(amount)

    def inject(self, *faults: Fault) -> None:
        """Add faults: what goes wrong, for which requests, how often."""
        self.hub.faults.inject(*faults)

    def reply(
        self,
        text: str = "",
        *,
        tool_calls: Sequence[tuple[str, Mapping[str, Any] | str]] = (),
        reasoning: str | None = None,
        refusal: str | None = None,
        finish_reason: str | None = None,
        usage: Mapping[str, Any] | None = None,
        when: When | None = None,
        times: int | None = 1,
    ) -> None:
        """Script the next answer of the chat models; several are given in the order they came.

        `tool_calls` are pairs of a name and its arguments. `when` is a function of the request
        body, or members the body must have. It answers `times` requests (None: any number).
        """
        reply = Reply(
            text, tuple(tool_calls), reasoning, refusal, finish_reason, usage or {}, when, times
        )
        self.hub.replies.add([reply])

    def add_account(self, namespace: str) -> str:
        """Add another user of the hub; returns the key."""
        return self.hub.add_account(namespace).key

    def reset(self) -> None:
        """Forget everything since the start, for the next test."""
        self.hub.reset()

    def start(self) -> Self:
        """Serve in a thread; returns once requests are answered. Raises OSError for a taken port."""
        if self._thread is not None:
            raise RuntimeError("this sandbox is already running")
        listeners = [_listen(self._host, self._port), _listen(self._host, 0)]
        shown = "127.0.0.1" if self._host in {"0.0.0.0", ""} else self._host  # noqa: S104 - compared only
        self.hub.files.hub_origin, self.hub.files.storage_origin = (
            f"http://{shown}:{listener.getsockname()[1]}" for listener in listeners
        )
        self._up.clear()
        self._failure = None
        self._thread = threading.Thread(
            target=self._run, args=(listeners,), name="oxen-sandbox", daemon=True
        )
        self._thread.start()
        if not self._up.wait(_START_SECONDS) or self._failure:
            self._thread = None
            for listener in listeners:
                listener.close()
            raise RuntimeError("the sandbox did not start") from self._failure
        return self

    def stop(self) -> None:
        """Stop serving; connections that hang are closed."""
        thread = self._thread
        if thread is None:
            return
        self._stop()
        thread.join()
        self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)

    def _run(self, listeners: list[socket.socket]) -> None:
        try:
            with contextlib.closing(asyncio.new_event_loop()) as loop:
                loop.run_until_complete(self._serve(listeners))
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self._failure = error
        finally:
            self._up.set()

    async def _serve(self, listeners: list[socket.socket]) -> None:
        """Serve until told to stop.

        uvicorn's protocols without its `Server`, which answers a stop after 0.2 s at best and,
        from Python 3.12 on, never while a connection hangs.
        """
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        config = uvicorn.Config(
            App(self.hub), ws="none", proxy_headers=False, lifespan="off", access_log=False, log_config=None,
            log_level="error", timeout_keep_alive=75,
        )  # fmt: skip
        config.load()
        connections: set[asyncio.Transport] = set()
        protocol = _tracking(config.http_protocol_class, connections)
        state = ServerState()
        servers = [
            await loop.create_server(
                lambda: protocol(config=config, server_state=state, app_state={}, _loop=loop),
                sock=listener,
                backlog=2048,
            )
            for listener in listeners
        ]
        clock = loop.create_task(self.hub.run_clock())
        self._up.set()
        try:
            await stopped.wait()
        finally:
            for server in servers:
                server.close()
            for transport in tuple(connections):
                transport.abort()
            await asyncio.sleep(0)  # the protocols learn that their peers are gone
            leftover = {clock, *state.tasks}
            for task in leftover:
                task.cancel()
            await asyncio.gather(*leftover, return_exceptions=True)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only where it is: 40 ms a request.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _tracking(base: Any, connections: set[asyncio.Transport]) -> Any:
    """uvicorn's protocol, knowing its open connections, and letting the application break them."""

    class TrackingProtocol(base):  # type: ignore[misc]  # the base depends on what is installed
        app: ASGIApp

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            connections.add(transport)
            application = self.app

            async def breakable(scope: Scope, receive: Receive, send: Send) -> None:
                scope["oxen.reset"] = lambda: _reset(transport)
                scope["oxen.close"] = transport.close
                with contextlib.suppress(asyncio.CancelledError):  # stopping: the peer is gone
                    await application(scope, receive, send)

            self.app = breakable

        def connection_lost(self, exc: Exception | None) -> None:
            connections.discard(self.transport)
            super().connection_lost(exc)

    return TrackingProtocol


def _reset(transport: asyncio.Transport) -> None:
    """End the connection with a TCP reset instead of a goodbye."""
    held = transport.get_extra_info("socket")
    # The option belongs to the open socket, so a duplicate can set it under every event loop.
    with contextlib.closing(socket.socket(fileno=os.dup(held.fileno()))) as duplicate:
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
