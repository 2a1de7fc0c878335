"""Downloading a result: from where, with which key, and how much.

The URL comes from a hub, and may have passed through a language model or a redirect:
`public_connection` refuses private addresses.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import time
import zlib
from base64 import b64decode
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import SplitResult, quote, unquote_to_bytes, urljoin, urlsplit

from oxen_inference._version import __version__
from oxen_inference.masking import mask_error, pattern_of, secrets_in
from oxen_inference.media.results.files import (
    Fetched,
    Received,
    checked,
    downloads,
    keep,
    sync,
    temporary_file,
)
from oxen_inference.media.results.public_connection import (
    FetchError,
    TransferLimits,
    check_address,
    connect,
    default_port,
    text_of,
)
from oxen_inference.media.results.through_client import HTTPClient, proxy_client

_HEADER_DIGITS = re.compile(r"\d{1,18}", re.ASCII)
MAX_BYTES = 2_000_000_000
MAX_REDIRECTS = 5
_CHUNK = 1 << 18
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_GZIP = b"\x1f\x8b"
_SPENT_URL = (401, 403, 404, 410)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where results may come from: the hub's own origin, which gets the headers, and others."""

    hub: str
    headers: Mapping[str, str]
    allowed_hosts: Collection[str] = ()
    """Hosts (``name`` or ``name:port``) that may be private addresses."""
    timeout: float = 60.0
    """Seconds without a byte; a file that comes too slowly is given up, too."""
    max_bytes: int = MAX_BYTES
    http_client: HTTPClient | None = None
    """The developer's own HTTP client, through which everything is fetched."""
    deadline: float | None = None
    """The moment of `time.monotonic` at which the download ends, complete or not."""

    @property
    def left(self) -> float | None:
        """Seconds until the download ends, complete or not."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    @property
    def is_over(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline


def fetch(url: str, folder: Path, stem: str, media_type: str, source: Source) -> Fetched:
    """Save what is at `url` as a new file in `folder`, named by `stem` and its type.

    A data URL is decoded. Raises `FetchError`, and `OSError` where the disk is at fault; nothing
    is left behind then.
    """
    if _HALF_CHARACTER.search(url):
        raise FetchError("The file's address has half a character in it.")
    with temporary_file(folder) as (temporary, file), downloads.including(temporary):
        inside = url[:5].lower() == "data:"
        try:
            received = (_unpack if inside else _receive)(url, source, file)
        except FetchError as error:
            mask_error(error, pattern_of(secrets_in(source.headers)))
            raise
        sync(file)
        media = checked(temporary, media_type, received)
        downloads.complete(temporary)
        return keep(temporary, folder, stem, media_type, media, received)


def _unpack(url: str, source: Source, file: BinaryIO) -> Received:
    head, comma, data = url.partition(",")
    try:
        content = unquote_to_bytes(data)
        if head.lower().endswith(";base64"):
            content = b64decode(content, validate=True)
    except ValueError as error:  # binascii's own, or half a surrogate pair
        raise FetchError(f"The data URL cannot be read: {error}.") from error
    if not comma:
        raise FetchError("The data URL has no data.")
    if len(content) > source.max_bytes:
        raise FetchError(f"{_too_large(source.max_bytes)}.")
    file.write(content)
    declared = head[5:].partition(";")[0].strip().lower()
    digest = hashlib.sha256(content).hexdigest()
    return Received(digest, len(content), declared or None, is_whole=True)


def _receive(url: str, source: Source, file: BinaryIO) -> Received:
    limits = TransferLimits(idle_timeout=source.timeout, deadline=source.deadline)
    for _ in range(MAX_REDIRECTS + 1):
        connection, response = _open(url, source, limits)
        try:
            if response.status in (301, 302, 303, 307, 308):
                url = _redirected(url, response.getheader("location"))
                continue
            _check_status(response)
            return _copy(response, file, source.max_bytes)
        except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
            # ValueError: a chunk size or a length that is no number
            raise FetchError(
                f"The download broke off: {text_of(error)}.", may_retry=True
            ) from error
        finally:
            response.close()
            connection.close()
    raise FetchError(f"The download was redirected more than {MAX_REDIRECTS} times.")


def _redirected(url: str, location: str | None) -> str:
    if not location:
        raise FetchError("The download was redirected to nowhere.")
    with suppress(UnicodeError):  # sent as UTF-8, and decoded as Latin-1
        location = location.encode("latin-1").decode()
    try:
        target = urljoin(url, location)
        is_open = urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https"
    except ValueError as error:
        raise FetchError(f"The download was redirected to an invalid address: {error}.") from error
    if is_open:
        raise FetchError("The download was redirected from https to a connection anyone can read.")
    return target


def _check_status(response: Any) -> None:
    status = response.status
    if status == 200:
        return
    what = f"The file's address answered with status {status}"
    if status in _SPENT_URL:
        raise FetchError(f"{what}; it may have expired.", is_expired=True)
    raise FetchError(f"{what}.", may_retry=status == 429 or status >= 500)


def _copy(response: Any, file: BinaryIO, limit: int) -> Received:
    encoding = response.getheader("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise FetchError(f"The file came encoded as {encoding}, which was not requested.")
    # Not requested, but stores that keep a file compressed send it so to everyone.
    packed = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in encoding else None
    declared = response.getheader("content-length")
    expected = int(declared) if declared and _HEADER_DIGITS.fullmatch(declared) else None
    if expected is not None and expected > limit:
        raise FetchError(f"{_too_large(limit)}: {expected:,}.")
    digest, received, size = hashlib.sha256(), 0, 0
    while chunk := response.read(_CHUNK):
        if packed and not received and not chunk.startswith(_GZIP):
            packed = None  # labeled gzip, and is not
        received += len(chunk)
        content = packed.decompress(chunk, limit - size + 1) if packed else chunk
        size += len(content)
        if size > limit:
            raise FetchError(f"{_too_large(limit)}.")
        digest.update(content)
        file.write(content)
    if expected is not None and received != expected:
        raise FetchError(f"Only {received:,} of {expected:,} bytes arrived.", may_retry=True)
    if packed and not packed.eof:
        raise FetchError("The downloaded file ends too early.", may_retry=True)
    kind = (response.getheader("content-type") or "").partition(";")[0].strip().lower()
    is_whole = expected is not None or response.chunked or packed is not None
    return Received(digest.hexdigest(), size, kind or None, is_whole)


def _too_large(limit: int) -> str:
    return f"The file is larger than {limit:,} bytes"


def _open(url: str, source: Source, limits: TransferLimits) -> tuple[Any, Any]:
    parts = _readable(url)
    own = _origin(parts) == _origin(urlsplit(source.hub))
    headers = {
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "User-Agent": f"oxen-integrations/{__version__}",
        # The key is for the hub alone, and an object store refuses a second kind of credentials.
        **(source.headers if own else {}),
    }
    trusted = own or _is_allowed(parts, source.allowed_hosts)
    http_client = source.http_client or proxy_client(parts)
    if http_client is not None:
        check_address(parts, trusted=trusted)
        try:
            response = http_client.get(url, headers, limits, is_hub=own)
        except OSError as error:
            raise FetchError(
                f"{parts.hostname} could not be reached: {text_of(error)}.", may_retry=True
            ) from error
        return response, response
    target = _encoded(parts.path or "/") + (f"?{_encoded(parts.query)}" if parts.query else "")
    try:
        connection = connect(parts, trusted=trusted, limits=limits)
    except TimeoutError as error:
        raise FetchError(
            f"{parts.hostname} was not asked: {text_of(error)}.", may_retry=True
        ) from error
    try:
        connection.request("GET", target, headers=headers)
        return connection, connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise FetchError(f"{parts.hostname} could not be reached: {text_of(error)}.", may_retry=True) from error  # fmt: skip
    except ValueError as error:  # a host name or a header that HTTP does not take
        connection.close()
        raise FetchError(f"The file's address cannot be used: {error}.") from error


def _readable(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise FetchError(f"The file's address cannot be read: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError(f"The file's address is not on the web: {parts.scheme or 'no scheme'}.")
    if parts.username is not None or parts.password is not None:
        raise FetchError("The file's address contains credentials.")
    return parts


def _encoded(text: str) -> str:
    """Percent-encode what an address may not contain; what is encoded already stays."""
    return quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text), safe="/?:@!$&'()*+,;=~%")


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    # A hub on this machine uses either name in its URLs.
    host = "localhost" if parts.hostname == "127.0.0.1" else parts.hostname
    return parts.scheme, host, parts.port or default_port(parts)


def _is_allowed(parts: SplitResult, allowed: Collection[str]) -> bool:
    host, port = (parts.hostname or "").lower(), parts.port or default_port(parts)
    return any(one.lower() in (host, f"{host}:{port}", f"[{host}]:{port}") for one in allowed)
