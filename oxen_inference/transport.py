"""One HTTP call as data, and what can make it: so that sync and async differ in one word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from oxen_inference.hub_clock import HubClock
from oxen_inference.paths import Paths

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """A request below the base URL and how to read its answer.

    `read` takes the decoded JSON body and returns the typed answer; it may raise `OxenError`.
    """

    method: Literal["get", "post", "put", "delete"]
    path: str
    read: Callable[[object], T]
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] | None = None
    timeout: Any = None
    """Seconds, or an `openai.Timeout`; the client's own where that is shorter, or this is None."""
    max_retries: int | None = None
    """How often the SDK sends it again; None means as often as the client does."""
    takes_text: bool = False
    """Whether the answer may be a text that is no JSON."""
    once: bool = False
    """Sent one time and to one place: no retry, no redirect. For calls that cost money."""

    may_keep_connection: bool = False
    """For one that is sent `once`: it may go over a connection that was in use a moment ago."""

    takes_bytes: bool = False
    """For one that is sent `once`: an answer that is not JSON is read as `RawContent`."""

    def options(self) -> dict[str, Any]:
        """Return the SDK's per-request options."""
        options: dict[str, Any] = {}
        if self.query:
            options["params"] = {k: v for k, v in self.query.items() if v is not None}
        if self.timeout is not None:
            options["timeout"] = self.timeout
        if self.max_retries is not None:
            options["max_retries"] = self.max_retries
        if self.once:
            options |= {"max_retries": 0, "follow_redirects": False}
        return options


@dataclass(frozen=True, slots=True)
class RawContent:
    """The bytes of an answer that is not JSON, and the type that its header states, if any."""

    content: bytes = field(repr=False)
    mime_type: str | None = None


class _Client(Protocol):
    """What both kinds of client have, beside the sending."""

    paths: Paths
    transport_is_ours: bool
    hub_clock: HubClock
    timeout: Any
    max_retries: int
    api_key: Any
    _custom_headers: Any

    @property
    def has_key(self) -> bool: ...
    @property
    def own_http_client(self) -> Any: ...
    @property
    def base_url(self) -> Any: ...
    @property
    def get(self) -> Callable[..., Any]: ...
    @property
    def auth_headers(self) -> dict[str, str]: ...
    def is_closed(self) -> bool: ...
    def with_options(self, **options: Any) -> Any: ...
    def without_key(self, payload: Any) -> Any: ...
    def typed_error(self, error: Exception) -> Exception: ...


class Sender(_Client, Protocol):
    """What makes a call and blocks until it is answered: `OxenClient`."""

    def send(self, call: Call[T]) -> T:
        """Make one call and return its typed answer. Raises `OxenError`."""
        ...


class AsyncSender(_Client, Protocol):
    """What makes a call on an event loop: `AsyncOxenClient`."""

    async def send(self, call: Call[T]) -> T:
        """Make one call and return its typed answer. Raises `OxenError`."""
        ...
