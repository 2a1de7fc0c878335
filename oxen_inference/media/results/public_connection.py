"""Connections to public addresses only: resolved once, checked, and opened to what was checked.

A name cannot resolve to another address in between. That is why this uses `http.client`: the
SDK's transports resolve names by themselves.
"""

from __future__ import annotations

import base64
import http.client
import io
import ipaddress
import socket
import ssl
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from oxen_inference.errors import OxenError

# Prefixes before an IPv4 address in the last 32 bits: compatible, mapped, translated (RFC 2765),
# and NAT64 (RFC 6052).
_BEFORE_IPV4 = tuple(
    map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_ISATAP = 0x5EFE  # RFC 5214: the third quarter of the address, but for its universal bit


class FetchError(OxenError):
    """The file could not be fetched. `is_expired`: a fresh URL may work; `may_retry`:
    trying again may; `is_damaged`: trying once more may.
    """

    def __init__(
        self,
        message: str,
        *,
        is_expired: bool = False,
        may_retry: bool = False,
        is_damaged: bool = False,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.is_expired = is_expired
        self.is_damaged = is_damaged
        self.may_retry = may_retry


@dataclass(kw_only=True)
class TransferLimits:
    """How long a download may take: seconds without a byte, an average rate, and a deadline.

    `deadline` is one of `time.monotonic`; `least_rate` bytes a second on average after `grace`.
    """

    idle_timeout: float
    deadline: float | None = None
    least_rate: float = 4096.0
    grace: float = 60.0
    received: int = 0
    begun: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Return how long the next bytes may take. Raises `TimeoutError`."""
        now = time.monotonic()
        if self.received < (now - self.begun - self.grace) * self.least_rate:
            raise TimeoutError(f"it came too slowly, {self.received:,} bytes in all")
        if self.deadline is None:
            return self.idle_timeout
        if now >= self.deadline:
            raise TimeoutError("the time given for it is over")
        return min(self.idle_timeout, self.deadline - now)


class _LimitedReader(io.RawIOBase):
    """What a socket receives within the limits, checked between any two reads."""

    def __init__(self, sock: socket.socket, limits: TransferLimits) -> None:
        self._socket = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._limits = limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._limits.left())
        try:
            count = self._raw.readinto(buffer)
        except TimeoutError:
            self._limits.left()  # raises with the reason, where a limit was reached
            raise
        self._limits.received += count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def connect(
    parts: SplitResult, *, trusted: bool, limits: TransferLimits
) -> http.client.HTTPConnection:
    """Return a connection to `parts`, refused unless `trusted` or all its addresses are public."""
    connection = _connection(parts, trusted, limits.left())

    def answer(sock: socket.socket, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, *args, **kwargs)
        response.fp.close()
        response.fp = io.BufferedReader(_LimitedReader(sock, limits))
        return response

    connection.response_class = answer  # type: ignore[assignment]  # called, never inherited from
    return connection


def _connection(parts: SplitResult, trusted: bool, timeout: float) -> http.client.HTTPConnection:
    host, port = parts.hostname or "", parts.port or default_port(parts)
    proxy = _proxy(parts) if parts.scheme == "https" else None
    if proxy is None:
        return _Pinned(host, port, _addresses(host, port, trusted), parts.scheme, timeout)
    # Behind a proxy names are the proxy's to resolve, and often cannot be here.
    if _is_literal(host):
        _addresses(host, port, trusted)
    tunnel = http.client.HTTPSConnection(
        proxy.hostname or "", proxy.port or 3128, timeout=timeout, context=_tls()
    )
    tunnel.set_tunnel(host, port, _credentials(proxy))
    return tunnel


def check_address(parts: SplitResult, *, trusted: bool) -> None:
    """Refuse a private address before another HTTP client connects.

    A name that cannot be resolved here is left to that client: a proxy may resolve it.
    """
    host, port = parts.hostname or "", parts.port or default_port(parts)
    try:
        _addresses(host, port, trusted)
    except FetchError as error:
        if not error.may_retry:
            raise


def needs_client(parts: SplitResult) -> bool:
    """Whether the environment names a proxy for an address that `connect` cannot go through."""
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return False
    proxies = urllib.request.getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all") or ""
    return address.lower().startswith("socks") or (bool(address) and parts.scheme == "http")


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    both = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(both.encode()).decode()}"}


def _proxy(parts: SplitResult) -> SplitResult | None:
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    proxies = urllib.request.getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all") or ""
    found = urlsplit(address if "://" in address else f"http://{address}")
    return found if found.hostname else None


def _addresses(host: str, port: int, trusted: bool) -> list[tuple[int, tuple[str, int]]]:
    """Resolve once; refuse the host if any of its addresses is not a public one."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError(f"{host} has no address: {text_of(error)}.", may_retry=True) from error
    if not trusted:
        private = next((to[0] for *_, to in found if not is_public(str(to[0]))), None)
        if private is not None:
            raise FetchError(
                f"{host} is a private address ({private}), from which no result is fetched.",
                hint="If it is yours, add it to client.media.allowed_hosts.",
            )
    return [(family, to) for family, _, _, _, to in found]  # type: ignore[misc]  # any family's


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, however it is wrapped."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = _embedded(ip)
        if not all(is_public(str(inner)) for inner in embedded):
            return False
        if not embedded and ip not in _GLOBAL_UNICAST:
            return False
        if any(ip in network for network in _BEFORE_IPV4):
            return True  # as its IPv4 address is
    return ip.is_global and not ip.is_multicast


def _embedded(ip: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address leads to or through."""
    found = [ip.sixtofour, *(ip.teredo or ())]
    last = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    is_isatap = (int(ip) >> 32) & 0xFFFFFFFF & ~0x02000000 == _ISATAP
    if is_isatap or any(ip in network for network in _BEFORE_IPV4):
        found.append(last)
    return [each for each in found if each is not None]


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Pinned(http.client.HTTPConnection):
    """A connection to addresses that were checked before, under the name they were found by."""

    def __init__(
        self,
        host: str,
        port: int,
        addresses: list[tuple[int, tuple[str, int]]],
        scheme: str,
        timeout: float,
    ) -> None:
        super().__init__(host, port, timeout=timeout)
        self.default_port = 443 if scheme == "https" else 80  # left out of the Host header
        self._addresses = addresses
        self._secure = scheme == "https"

    def connect(self) -> None:
        failure: OSError | None = None
        for family, address in self._addresses:
            plain = socket.socket(family, socket.SOCK_STREAM)
            try:
                plain.settimeout(self.timeout)
                plain.connect(address)
                secure = (
                    _tls().wrap_socket(plain, server_hostname=self.host) if self._secure else plain
                )
            except OSError as error:
                plain.close()
                failure = error
            else:
                self.sock = secure
                return
        raise failure or OSError("no address")


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # Some Python builds ship without the system's certificates.
    with suppress(ImportError):
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def default_port(parts: SplitResult) -> int:
    return 443 if parts.scheme == "https" else 80


def text_of(error: Exception) -> str:
    return str(error) or type(error).__name__
