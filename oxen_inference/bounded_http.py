"""What one answer may take, in seconds and in bytes, on any HTTP client: ours or the developer's.

The timeouts of an HTTP client hold for each read, so a server that sends a byte now and then is
waited for without end; and 0.3 MB of gzip can become 300 MB. `bounded` returns a client that ends
both. It also follows no redirect to another origin, which would get the request and its headers,
and it shares no connection with the parent of a fork.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import anyio

from oxen_inference.errors import APIResponseError, ConfigurationError

MAX_ANSWER_BYTES = 32_000_000
"""Most bytes of an answer to a `GET`, after unpacking."""
MAX_LARGE_ANSWER_BYTES = 256_000_000
"""Most bytes of an answer to any other request: it may hold images and videos."""
MAX_ERROR_BYTES = 1_000_000
"""Most bytes of an error; the rest is not read."""
MAX_EVENT_BYTES = 1_000_000
"""Most bytes of one of the completion events."""

_MAX_REDIRECTS = 5
_SLOWEST_UPLOAD = 65_536  # bytes a second: a large body gets more time than its answer
_PIECE = 4096  # bytes that are unpacked at once; gzip makes at most a thousand times as much
_SMALL_PIECE = 64  # for encodings without such a limit
_SHORTEST_READ = 0.001  # seconds
_REDIRECT, _ERROR = 300, 400
_deadline_of_thread = threading.local()


def bounded(http_client: Any, make: Callable[[], Any] | None = None) -> Any:
    """Return a client that shares the state of `http_client`, and sends within the limits.

    `make` returns another such client. It is used after a fork, where a client that was used
    before would share its connections with the parent; without it that is refused.
    """
    cls = type(http_client)
    if issubclass(cls, _Bounded):
        return http_client
    is_async = hasattr(http_client, "aclose")
    # A view on the same state: the SDK checks the type, and others may use the client meanwhile.
    kind: Any = type(
        cls.__name__, (_BoundedAsync if is_async else _BoundedSync, cls), {"__del__": _no_op}
    )
    view: Any = object.__new__(kind)
    view.__dict__ = http_client.__dict__
    view.__dict__["_oxen_make"] = make
    return view


def limit_reads(http_client: Any) -> Any:
    """Have the blocking reads of a new client end at the deadline of the request, and return it.

    Only so are slow headers noticed. For clients that nobody else uses.
    """
    transports = [getattr(http_client, "_transport", None)]
    transports += getattr(http_client, "_mounts", {}).values()  # the proxies of the environment
    for transport in transports:
        pool: Any = getattr(transport, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if backend is not None:
            pool._network_backend = _Backend(backend)
    return http_client


def send_unbounded(http_client: Any, request: Any, **options: Any) -> Any:
    """Send through a bounded client without its limits; awaitable for an asynchronous one."""
    http_client.renew_after_fork()
    kind: Any = _BoundedAsync if isinstance(http_client, _BoundedAsync) else _BoundedSync
    return super(kind, http_client).send(request, **options)


def _no_op(_: Any) -> None:
    """The view is gone, and the client it belongs to is not."""


class _Bounded:
    """What both kinds share. Mixed in before the HTTP client's own class."""

    def renew_after_fork(self) -> None:
        state = self.__dict__
        used_by = state.setdefault("_oxen_pid", os.getpid())
        if used_by == os.getpid():
            return
        make = state["_oxen_make"]
        if make is None:
            raise ConfigurationError(
                "The HTTP client given for these requests was used before this process was forked: "
                "it would share its connections with the parent process.",
                hint="Pass http_client=... with one that is made in this process.",
            )
        state.update(make().__dict__)
        state["_oxen_make"], state["_oxen_pid"] = make, os.getpid()


class _BoundedSync(_Bounded):
    def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
        self.renew_after_fork()
        follow = _follows(self, options)
        for _ in range(_MAX_REDIRECTS + 1):
            limits = _Limits(request)
            _deadline_of_thread.value = limits.deadline
            try:
                response = super().send(request, stream=True, **options)  # type: ignore[misc]
                _limit(response, limits.begin(response, stream=stream))
                if not stream or response.status_code >= _REDIRECT:
                    _read(response, limits)
            finally:
                _deadline_of_thread.value = None
            target = _next(request, response) if follow else None
            if target is None:
                break
            request = target
        return response


class _BoundedAsync(_Bounded):
    async def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
        self.renew_after_fork()
        follow = _follows(self, options)
        for _ in range(_MAX_REDIRECTS + 1):
            limits = _Limits(request)
            with anyio.move_on_after(limits.left) as scope:
                response = await super().send(request, stream=True, **options)  # type: ignore[misc]
                _limit_async(response, limits.begin(response, stream=stream))
                if not stream or response.status_code >= _REDIRECT:
                    await _aread(response, limits)
            if scope.cancelled_caught:
                raise limits.timeout()
            target = _next(request, response) if follow else None
            if target is None:
                break
            request = target
        return response


class _Limits:
    """The limits of one request and its answer, and how much of them is used."""

    def __init__(self, request: Any) -> None:
        self._request = request
        timeouts = request.extensions.get("timeout") or {}
        seconds = timeouts.get("read")
        self.deadline: float | None = None
        if isinstance(seconds, int | float):
            length = request.headers.get("content-length", "")
            upload = int(length) / _SLOWEST_UPLOAD if length.isdecimal() and len(length) < 20 else 0
            self.deadline = time.monotonic() + seconds + upload
        is_get = request.method == "GET"
        self._max_bytes: float = MAX_ANSWER_BYTES if is_get else MAX_LARGE_ANSWER_BYTES
        self._max_event: float | None = None
        self._ends_silently = False
        self._received = self._in_event = 0
        self._piece = 0
        self.is_full = False

    @property
    def left(self) -> float | None:
        return None if self.deadline is None else max(self.deadline - time.monotonic(), 0.0)

    def begin(self, response: Any, *, stream: bool) -> _Limits:
        """Set the limits that depend on what kind of answer it is."""
        encodings = response.headers.get("content-encoding", "identity").lower().split(",")
        encodings = [each.strip() for each in encodings if each.strip() not in ("", "identity")]
        if len(encodings) > 1:
            raise APIResponseError(
                f"Oxen's answer is packed {len(encodings)} times, one in another."
            )
        if encodings:
            self._piece = _PIECE if encodings[0] in ("gzip", "deflate") else _SMALL_PIECE
        if response.status_code >= _REDIRECT:
            self._max_bytes, self._ends_silently = MAX_ERROR_BYTES, True
        elif stream:
            self.deadline = None  # the reader of the stream decides what a stall is
            if self._request.method == "GET":
                # Events come as long as somebody listens.
                self._max_bytes, self._max_event = float("inf"), MAX_EVENT_BYTES
        return self

    @property
    def is_packed(self) -> bool:
        """Whether the answer has to be unpacked."""
        return self._piece > 0

    @property
    def takes_pieces(self) -> bool:
        """Whether what arrives goes through `pieces`."""
        return self.is_packed or self.deadline is not None

    def pieces(self, chunk: bytes) -> Iterable[bytes]:
        """Return what arrived in pieces that can be unpacked without harm. Raises a timeout."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise self.timeout()
        size = self._piece
        return (chunk[at : at + size] for at in range(0, len(chunk), size)) if size else (chunk,)

    def count(self, chunk: bytes) -> None:
        """Count unpacked bytes. Raises `APIResponseError` where they are too many."""
        self._received += len(chunk)
        if self._received > self._max_bytes:
            self.is_full = True
            if not self._ends_silently:
                raise _too_large("answer", self._max_bytes)
        if self._max_event is not None:
            end = max(chunk.rfind(b"\n\n"), chunk.rfind(b"\r\n\r\n"))
            self._in_event = len(chunk) - end if end >= 0 else self._in_event + len(chunk)
            if self._in_event > self._max_event:
                raise _too_large("event", self._max_event)

    def timeout(self) -> Exception:
        """Return the HTTP client's own timeout, which the SDK reads like any other."""
        package = type(self._request).__module__.partition(".")[0]
        error: Exception = sys.modules[package].ReadTimeout(
            "The answer was not complete in time.", request=self._request
        )
        return error


def _too_large(what: str, limit: float) -> APIResponseError:
    return APIResponseError(f"Oxen's {what} is larger than {limit:,.0f} bytes; it was not read.")


# These wrap the reading of every chunk of a stream, so they add only the layers that are needed: what
# is not packed is not unpacked. An answer that was read already (by a transport) is only counted.


def _limit(response: Any, limits: _Limits) -> None:
    raw, unpacked = response.iter_raw, response.iter_bytes

    def iter_raw(chunk_size: int | None = None) -> Iterator[bytes]:
        for chunk in raw(chunk_size):
            yield from limits.pieces(chunk)

    if limits.takes_pieces:
        response.iter_raw = iter_raw
    if not (limits.is_packed or response.is_stream_consumed):
        unpacked = response.iter_raw

    def iter_bytes(chunk_size: int | None = None) -> Iterator[bytes]:
        for chunk in unpacked(chunk_size):
            limits.count(chunk)
            yield chunk
            if limits.is_full:
                return

    response.iter_bytes = iter_bytes


def _limit_async(response: Any, limits: _Limits) -> None:
    raw, unpacked = response.aiter_raw, response.aiter_bytes

    async def aiter_raw(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        async for chunk in raw(chunk_size):
            for piece in limits.pieces(chunk):
                yield piece

    if limits.takes_pieces:
        response.aiter_raw = aiter_raw
    if not (limits.is_packed or response.is_stream_consumed):
        unpacked = response.aiter_raw

    async def aiter_bytes(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        async for chunk in unpacked(chunk_size):
            limits.count(chunk)
            yield chunk
            if limits.is_full:
                return

    response.aiter_bytes = aiter_bytes


def _read(response: Any, limits: _Limits) -> None:
    try:
        response.read()
    except BaseException:
        response.close()
        raise
    if limits.is_full:
        response.close()
    _unlimit(response)


async def _aread(response: Any, limits: _Limits) -> None:
    try:
        await response.aread()
    except BaseException:
        # What ended the reading is raised, not what its close may say.
        with anyio.CancelScope(shield=True), suppress(Exception):
            await response.aclose()
        raise
    if limits.is_full:
        await response.aclose()
    _unlimit(response)


def _unlimit(response: Any) -> None:
    """Give a response that was read its own methods back."""
    for name in ("iter_raw", "iter_bytes", "aiter_raw", "aiter_bytes"):
        response.__dict__.pop(name, None)


def _follows(client: Any, options: dict[str, Any]) -> bool:
    """Whether redirects are to be followed. The HTTP client itself follows none."""
    given = options.pop("follow_redirects", None)
    options["follow_redirects"] = False
    return given if isinstance(given, bool) else bool(client.follow_redirects)


def _next(request: Any, response: Any) -> Any:
    """Return the request that a redirect asks for; None where it is not made."""
    target = response.next_request
    if target is None or request.method != "GET" or _origin(target) != _origin(request):
        return None
    target.extensions = dict(request.extensions)
    return target


def _origin(request: Any) -> tuple[Any, ...]:
    url = request.url
    return url.scheme, url.host, url.port


class _Backend:
    """The sockets of a connection pool (https://www.encode.io/httpcore/network-backends/)."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def connect_tcp(self, *args: Any, **kwargs: Any) -> _Stream:
        return _Stream(self._backend.connect_tcp(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class _Stream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream
        # A client that is dropped is garbage in cycles, in which its sockets may be freed first, and
        # Python warns of each that nobody closed it.
        self._closing = weakref.finalize(self, stream.close)
        self._closing.atexit = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        deadline = getattr(_deadline_of_thread, "value", None)
        if deadline is not None:
            left = max(deadline - time.monotonic(), _SHORTEST_READ)
            timeout = left if timeout is None else min(timeout, left)
        data: bytes = self._stream.read(max_bytes, timeout)
        return data

    def start_tls(self, *args: Any, **kwargs: Any) -> _Stream:
        over_tls = _Stream(self._stream.start_tls(*args, **kwargs))
        self._closing.detach()  # what is over it uses the same socket
        return over_tls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
