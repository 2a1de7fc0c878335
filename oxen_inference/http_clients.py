"""The HTTP clients behind `OxenClient` and `AsyncOxenClient`: the SDK's, set up for Oxen."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any
from urllib.request import getproxies

import openai

from oxen_inference.bounded_http import limit_reads
from oxen_inference.errors import ConfigurationError
from oxen_inference.kept_sockets import keep_sockets

# aiohttp refuses a header line beyond 8,190 bytes and, lately, more than 128 headers. Gateways
# exceed both with security policies and cookies (https://github.com/aio-libs/aiohttp/issues/2988),
# in answers that have been paid for.
_HEADER_LIMITS = {"max_line_size": 65536, "max_field_size": 65536, "max_headers": 1000}


def make_http_client(**options: Any) -> Any:
    """Return a new blocking client. Raises `ConfigurationError` for an unusable proxy."""
    return limit_reads(_make(openai.DefaultHttpxClient, options))


def make_async_http_client(**options: Any) -> Any:
    """Return a new asynchronous client that is no aiohttp one; raises as `make_http_client` does."""
    return keep_sockets(_make(openai.DefaultAsyncHttpxClient, options))


def make_aiohttp_client() -> Any:
    """Return a new client. It accepts all response headers that the synchronous one does.

    Measured at 100 requests in flight: httpx's pool costs about 10 ms of CPU a request, aiohttp
    about 0.6 ms. Only httpx knows SOCKS: aiohttp would send the request, with the key, to the
    SOCKS port in plain HTTP.
    """
    if any(address.lower().startswith("socks") for address in getproxies().values()):
        return make_async_http_client()
    client = _make(openai.DefaultAioHttpClient, {})
    proxies = getattr(client, "_mounts", {}).values()  # for the proxies in the environment
    for transport in (getattr(client, "_transport", None), *proxies):
        if hasattr(transport, "get_client") and getattr(transport, "client", transport) is None:
            transport.client = _session_factory(transport)
    return client


def _make(cls: Callable[..., Any], options: dict[str, Any]) -> Any:
    try:
        return cls(**options)
    except (ImportError, ValueError) as error:
        if not getproxies():
            raise
        missing = isinstance(error, ImportError)
        why = "SOCKS needs the package socksio" if missing else "its address cannot be used"
        raise ConfigurationError(
            f"The proxy that the environment names (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY): {why}.",
            hint="pip install socksio" if missing else "Correct it, or unset the variable.",
        ) from None  # the error may show the proxy's password


def _session_factory(transport: Any) -> Callable[[], Any]:
    def make_session() -> Any:
        transport.client = None  # so that it makes the session it would make without this
        plain = transport.get_client()
        cls = type(plain)
        supported = signature(cls).parameters
        limits = {name: value for name, value in _HEADER_LIMITS.items() if name in supported}
        session = cls(connector=plain.connector, **limits)
        plain.detach()
        return session

    return make_session
