"""What a transport raised, as an `OxenError`. No transport is imported to tell them apart.

This decides texts, and whether a chat call counts as sent. Whether a paid request may be sent again
is decided by stricter rules (`oxen_inference.media.queue_decision`).
"""

from __future__ import annotations

import json

import openai

from oxen_inference import errors

# The names of failures to connect, on each transport.
_NOT_CONNECTED = {"ConnectError", "ConnectTimeout", "ProxyError", "ClientConnectorError"}

# Packages whose errors the SDK lets through, as aiohttp's for an answer that is not HTTP.
_TRANSPORTS = {"aiohttp", "httpx", "httpx2", "httpcore", "httpcore2", "h11", "anyio"}


def closed_client() -> errors.ConfigurationError:
    """Return the error for a request on an HTTP client that its owner has closed."""
    return errors.ConfigurationError(
        "The HTTP client given for these requests has been closed.",
        hint="Pass http_client=... with one that is open, or leave it out.",
    )


def to_oxen_error(error: Exception, base_url: object) -> Exception:
    """Return a transport's error as an `OxenError` caused by it, and any other as it is."""
    if not isinstance(error, errors.OxenError) and isinstance(error.__cause__, errors.OxenError):
        return error.__cause__  # of our limits, which the SDK takes for a lost connection
    typed = None if isinstance(error, errors.OxenError) else _typed(error, base_url)
    if typed is None:
        return error
    typed.__cause__ = error
    return typed


def _typed(error: Exception, base_url: object) -> errors.OxenError | None:
    request = getattr(error, "request", None)
    target = f"{getattr(request, 'method', '')} {getattr(request, 'url', base_url)}".strip()
    if any(_is_closed_client(each) for each in (error, error.__cause__)):
        return closed_client()
    if isinstance(error, openai.APITimeoutError) and not _is_lost_connection(error):
        return errors.APITimeoutError(
            f"No answer in time: {target}.",
            hint="Allow more time with timeout=..., or try again later.",
            request=request,
        )
    is_other_loop = isinstance(error, RuntimeError) and "loop is closed" in str(error)
    is_connection = isinstance(error, openai.APIConnectionError) or is_other_loop
    if is_connection or _is_from_transport(error):
        reason = _root_reason(error)
        if never_connected(error):
            return errors.APIConnectionError(
                f"Could not reach Oxen: {target}: {reason}.",
                hint="Check the network, and the base URL: OXEN_BASE_URL or base_url, which is "
                "api_base in LlamaIndex.",
                request=request,
            )
        return errors.APIConnectionError(
            f"The connection to Oxen broke before an answer: {target}: {reason}.", request=request
        )
    is_undecodable = isinstance(error, UnicodeError) and not isinstance(error, UnicodeEncodeError)
    if is_undecodable or _is_unreadable(error):
        return errors.APIResponseError(f"Oxen's answer is not valid JSON: {error}.")
    if isinstance(error, openai.APIResponseValidationError):
        return errors.APIResponseError(str(error), request=request, body=error.body)
    return None


def _is_unreadable(error: Exception) -> bool:
    """Whether a body is no JSON, is too deep, or has a number of more digits than Python reads."""
    has_absurd_number = isinstance(error, ValueError) and str(error).startswith("Exceeds the limit")
    return has_absurd_number or isinstance(error, json.JSONDecodeError | RecursionError)


def _is_closed_client(error: BaseException | None) -> bool:
    # Raised before anything is sent; openai 2.x wraps it, 3.x does not.
    return isinstance(error, RuntimeError) and "client has been closed" in str(error)


def _is_lost_connection(error: openai.APITimeoutError) -> bool:
    # The SDK's aiohttp transport reports a connection that was closed or reset as a
    # ConnectTimeout; aiohttp's own error is one step further down.
    root = error.__cause__ and error.__cause__.__cause__
    return root is not None and "Timeout" not in type(root).__name__


def _root_reason(error: Exception) -> str:
    """Return the text of the first cause that has one."""
    cause: BaseException | None = error.__cause__
    while cause is not None and not str(cause) and cause.__cause__ is not None:
        cause = cause.__cause__
    text = str(cause or error).rstrip(". ")  # it ends up inside a sentence
    return text or type(cause or error).__name__


def never_connected(error: BaseException) -> bool:
    """Whether the transport's error says that there was no connection to send a request on."""
    link: BaseException | None = error
    if isinstance(error, openai.APITimeoutError) and error.__cause__:
        link = error.__cause__.__cause__  # below the ConnectTimeout that aiohttp's transport made
    while link is not None:
        if any(base.__name__ in _NOT_CONNECTED for base in type(link).__mro__):
            return True
        link = link.__cause__
    return False


def _is_from_transport(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] in _TRANSPORTS or isinstance(error, OSError)
