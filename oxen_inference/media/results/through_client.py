"""Downloads through an HTTP client: the developer's own, or one for the proxy of the environment.

Only that client knows its certificates, proxies and transport. An asynchronous client belongs to
its event loop, so a download in a thread has the loop do each step.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult
from urllib.request import getproxies

from oxen_inference.bounded_http import bounded, send_unbounded
from oxen_inference.http_clients import make_http_client
from oxen_inference.media.results.public_connection import (
    TransferLimits,
    needs_client,
    text_of,
)


@dataclass(frozen=True, slots=True)
class HTTPClient:
    """An HTTP client, and the event loop it belongs to where it is an asynchronous one."""

    client: Any
    loop: asyncio.AbstractEventLoop | None = None

    def get(
        self, url: str, headers: Mapping[str, str], limits: TransferLimits, *, is_hub: bool
    ) -> ClientResponse:
        """Request a URL; `is_hub` keeps the client's own headers. Raises `OSError`."""
        request = self.client.build_request("GET", url, timeout=limits.left())
        if not is_hub:  # its headers and cookies are for the hub
            for name in [name for name in request.headers if name.lower() != "host"]:
                del request.headers[name]
        request.headers.update(headers)
        options = {"stream": True, "follow_redirects": False, **({} if is_hub else {"auth": None})}
        try:
            response = self.finished(send_unbounded(self.client, request, **options), limits)
        except OSError:
            raise
        except Exception as error:  # of any transport
            raise OSError(text_of(error)) from error
        return ClientResponse(response, self, limits)

    def finished(self, step: Any, limits: TransferLimits) -> Any:
        """Return what a step returns, which the event loop does where there is one."""
        if self.loop is None:
            return step
        future = asyncio.run_coroutine_threadsafe(step, self.loop)
        try:
            return future.result(limits.left())
        except FutureTimeoutError:
            future.cancel()
            limits.left()  # raises with the reason, where a limit was reached
            raise TimeoutError("timed out") from None


def proxy_client(parts: SplitResult) -> HTTPClient | None:
    """Return a client for the environment's proxy, where the address needs one that only it knows."""
    if not needs_client(parts):
        return None
    return HTTPClient(_client_for(os.getpid(), tuple(sorted(getproxies().items()))))


@lru_cache(maxsize=4)
def _client_for(_process: int, _proxies: tuple[tuple[str, str], ...]) -> Any:
    return bounded(make_http_client(), make_http_client)


class ClientResponse:
    """What `download` uses of `http.client.HTTPResponse`. Raises `OSError`."""

    chunked = False

    def __init__(self, response: Any, client: HTTPClient, limits: TransferLimits) -> None:
        self._response = response
        self._client = client
        self._limits = limits
        is_async = client.loop is not None
        self._chunks = response.aiter_raw() if is_async else response.iter_raw()
        self.status: int = response.status_code

    def getheader(self, name: str, default: str | None = None) -> Any:
        return self._response.headers.get(name, default)

    def read(self, _: int) -> bytes:
        """Return the next bytes, as many as there are; none at the end."""
        self._limits.left()
        try:
            if self._client.loop is None:
                chunk = next(self._chunks, b"")
            else:
                chunk = self._client.finished(_next(self._chunks), self._limits)
        except OSError:
            raise
        except Exception as error:  # of any transport
            raise OSError(text_of(error)) from error
        self._limits.received += len(chunk)
        return bytes(chunk)

    def close(self) -> None:
        if self._client.loop is None:
            self._response.close()
        else:
            asyncio.run_coroutine_threadsafe(self._response.aclose(), self._client.loop)


async def _next(chunks: Any) -> bytes:
    async for chunk in chunks:
        if chunk:
            return bytes(chunk)
    return b""
