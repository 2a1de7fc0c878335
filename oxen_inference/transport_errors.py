"""What a transport raised, as one of our errors, told apart without importing any transport.

Words for people only: whether a paid request may be sent again is decided by stricter rules
(`oxen_inference.media.enqueue`).
"""

from __future__ import annotations

import json
from typing import NoReturn

import openai

from oxen_inference import errors

CLOSED = "The HTTP client given for these requests has been closed. Pass one that is open, or none."

# What names a failure to connect on each transport.
_NOT_CONNECTED = {"ConnectError", "ConnectTimeout", "ProxyError", "ClientConnectorError"}

# What may be raised that the SDK does not know, as aiohttp does for an answer that is no HTTP;
# told by where it comes from.
_TRANSPORTS = {"aiohttp", "httpx", "httpx2", "httpcore", "httpcore2", "h11", "anyio"}


def translate(error: Exception, base_url: object) -> NoReturn:
    """Raise `error` as one of ours, in words that say what to do; one that is none of a
    transport's as it is.
    """
    if isinstance(error, errors.OxenError):
        raise error
    request = getattr(error, "request", None)
    where = f"{getattr(request, 'method', '')} {getattr(request, 'url', base_url)}".strip()
    if any(_is_closed_client(each) for each in (error, error.__cause__)):
        raise errors.ConfigurationError(CLOSED) from error
    if isinstance(error, openai.APITimeoutError) and not _is_lost_connection(error):
        raise errors.APITimeoutError(
            f"No answer in time: {where}. Give it longer with timeout=..., or try again later.",
            request=request,
        ) from error
    of_other_loop = isinstance(error, RuntimeError) and "loop is closed" in str(error)
    connection_failed = isinstance(error, openai.APIConnectionError) or of_other_loop
    if connection_failed or _is_of_transport(error):
        cause = _told(error)
        told = (
            f"Could not reach Oxen: {where}: {cause}. "
            "Check the network, and base_url or OXEN_BASE_URL."
            if _never_connected(error)
            else f"The connection to Oxen broke before an answer: {where}: {cause}."
        )
        raise errors.APIConnectionError(told, request=request) from error
    unreadable = isinstance(error, UnicodeError) and not isinstance(error, UnicodeEncodeError)
    if unreadable or isinstance(error, json.JSONDecodeError):
        raise errors.APIResponseError(
            f"Oxen's answer says it is JSON but cannot be read as such: {error}."
        ) from error
    if isinstance(error, openai.APIResponseValidationError):
        raise errors.APIResponseError(str(error), request=request, body=error.body) from error
    raise error


def _is_closed_client(error: BaseException | None) -> bool:
    # Said before anything is sent; openai 2.x wraps it, 3.x does not.
    return isinstance(error, RuntimeError) and "client has been closed" in str(error)


def _is_lost_connection(error: openai.APITimeoutError) -> bool:
    # The SDK's aiohttp transport passes a connection that was closed or reset on as a
    # ConnectTimeout; what aiohttp itself said is one step further down.
    root = error.__cause__ and error.__cause__.__cause__
    return root is not None and "Timeout" not in type(root).__name__


def _told(error: Exception) -> str:
    """Return the first words there are about what went wrong underneath."""
    cause: BaseException | None = error.__cause__
    while cause is not None and not str(cause) and cause.__cause__ is not None:
        cause = cause.__cause__
    return str(cause or error) or type(cause or error).__name__


def _never_connected(error: BaseException) -> bool:
    link: BaseException | None = error
    if isinstance(error, openai.APITimeoutError) and error.__cause__:
        link = error.__cause__.__cause__  # past the ConnectTimeout that it is not
    while link is not None:
        if any(base.__name__ in _NOT_CONNECTED for base in type(link).__mro__):
            return True
        link = link.__cause__
    return False


def _is_of_transport(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] in _TRANSPORTS or isinstance(error, OSError)
