"""Makes the asynchronous transport take response headers that the synchronous one takes."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

# aiohttp refuses a line beyond 8,190 bytes and, lately, more than 128 headers, which gateways exceed
# with security policies and cookies (https://github.com/aio-libs/aiohttp/issues/2988). The answer
# has been paid for by then.
_LIMITS = {"max_line_size": 65536, "max_field_size": 65536, "max_headers": 1000}


def take_long_headers(http_client: Any) -> Any:
    """Return the SDK's aiohttp client with the limits on response headers raised."""
    mounts = getattr(http_client, "_mounts", {}).values()  # those of a proxy in the environment
    for transport in (getattr(http_client, "_transport", None), *mounts):
        if hasattr(transport, "get_client") and getattr(transport, "client", transport) is None:
            transport.client = _session_of(transport)
    return http_client


def _session_of(transport: Any) -> Callable[[], Any]:
    def make() -> Any:
        transport.client = None  # so that it makes the session it would make by itself
        plain = transport.get_client()
        cls = type(plain)
        known = signature(cls).parameters
        limits = {name: limit for name, limit in _LIMITS.items() if name in known}
        session = cls(connector=plain.connector, **limits)
        plain.detach()
        return session

    return make
