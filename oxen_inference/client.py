"""The OpenAI SDK's clients pointed at Oxen, with the calls that SDK lacks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import openai

from oxen_inference import errors, paths
from oxen_inference._version import __version__
from oxen_inference.bounded_http import bounded
from oxen_inference.client_settings import apply, media_settings_of, set_media_settings
from oxen_inference.error_body import human_text
from oxen_inference.error_mapping import error_in_success, status_error
from oxen_inference.generation_reading import names_a_generation
from oxen_inference.http_clients import make_aiohttp_client, make_http_client
from oxen_inference.hub_clock import clock_of
from oxen_inference.masking import hide, mask_error, mentions, pattern_of, secrets_in
from oxen_inference.price_caps import PriceCaps, read_price_caps
from oxen_inference.settings import (
    NO_KEY,
    async_key_from_function,
    check_client_settings,
    check_may_call,
    check_timeout,
    find_api_key,
    key_from_function,
    missing_key,
    require_key,
    resolve_base_url,
    wrong_http_client,
)
from oxen_inference.transport import Call
from oxen_inference.transport_errors import to_oxen_error

if TYPE_CHECKING:
    from oxen_inference.catalog.facade import AsyncCatalog, Catalog
    from oxen_inference.events import AsyncEvents, Events
    from oxen_inference.media.facade import AsyncMedia, Media
    from oxen_inference.queue import AsyncQueue, Queue
    from oxen_inference.transcription import Transcription

T = TypeVar("T")

TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500
# What the SDK reads from OPENAI_* variables when left out. An empty string is "given, and
# nothing", so no key, organization or project meant for OpenAI is ever picked up.
_AMBIENT = ("organization", "project", "webhook_secret", "admin_api_key")  # the last since 2.34
_KNOWN = inspect.signature(openai.OpenAI).parameters
_NOTHING_AMBIENT = {name: "" for name in _AMBIENT if name in _KNOWN}


class _Shared:
    """What the sync and the async client have in common; mixed in before the SDK's class."""

    _oxen_ledger: Any
    paths: paths.Paths
    transport_is_ours: bool
    """Whether the HTTP client is the one made here, not one that the developer brought."""
    _make_http_client: Callable[[], Any]
    _media_settings: Mapping[str, Any] = MappingProxyType({})
    """What `media` gets when it is made, if not the defaults."""
    if TYPE_CHECKING:
        api_key: Any
        base_url: Any
        timeout: Any

    def __init__(
        self,
        *,
        api_key: Any = None,
        base_url: str | None = None,
        ledger: Any = ...,
        price_caps: PriceCaps | None = None,
        default_headers: Any = None,
        http_client: Any = None,
        transport_is_ours: bool | None = None,
        **sdk: Any,
    ) -> None:
        url = resolve_base_url(None if base_url is None else str(base_url))
        # The SDK's copy() hands every option back, the ambient ones included.
        sdk = {k: v for k, v in sdk.items() if k not in _NOTHING_AMBIENT}
        if isinstance(sdk.get("timeout"), int | float | str):  # or it is the SDK's own kind
            check_timeout(sdk["timeout"])
        is_async = isinstance(self, openai.AsyncOpenAI)
        own = {"async_http_client" if is_async else "http_client": http_client}
        check_client_settings(max_retries=sdk.get("max_retries"), **own)
        if transport_is_ours is None:
            transport_is_ours = http_client is None
        if http_client is None:
            http_client = bounded(self._make_http_client(), self._make_http_client)
        key = find_api_key(api_key, base_url=url)
        try:
            super().__init__(  # type: ignore[call-arg]  # the SDK's class comes after this one
                api_key=key or NO_KEY,
                base_url=url,
                default_headers=default_headers,
                http_client=http_client,
                **_NOTHING_AMBIENT,
                **sdk,
            )
        except TypeError as error:
            if "http_client" not in str(error):
                raise
            raise wrong_http_client(http_client, is_async=is_async) from error
        if key is None:
            self.api_key = NO_KEY  # the SDK made a plain string of it, and hands that to copies
        for name in _NOTHING_AMBIENT:
            setattr(self, name, None)
        # Undoes OPENAI_CUSTOM_HEADERS, which the SDK adds for any host.
        self._custom_headers: Any = dict(default_headers or {})
        self._oxen_ledger = ledger
        self.price_caps = read_price_caps(price_caps)
        self._client: Any = bounded(http_client)  # now that the SDK has checked its type
        self.transport_is_ours = transport_is_ours
        self.paths = paths.for_base_url(url)
        self.hub_clock = clock_of(url)

    @property
    def own_http_client(self) -> Any:
        """The HTTP client that the developer brought, or None."""
        return None if self.transport_is_ours else self._client

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={str(self.base_url)!r})"

    @property
    def user_agent(self) -> str:
        return f"oxen-integrations/{__version__} openai-python/{openai.__version__}"

    def platform_headers(self) -> dict[str, str]:
        # The SDK's tell the provider about the machine; Oxen has no use for that, and a dozen
        # headers are a tenth of a request's cost.
        return {}

    def copy(self, *, _extra_kwargs: Any = None, **options: Any) -> Any:
        """Return a client with the same options but for those given."""
        key = options.get("api_key")
        if key is not None and not callable(key):
            require_key(key)  # the SDK takes an empty one for one that is not given
        extra = {
            "ledger": self._oxen_ledger,
            "price_caps": self.price_caps,
            # The SDK's copy() hands the HTTP client on, and it looks like one that was given.
            "transport_is_ours": self.transport_is_ours and options.get("http_client") is None,
            **(_extra_kwargs or {}),
        }
        copied = super().copy(_extra_kwargs=extra, **options)  # type: ignore[misc]
        set_media_settings(copied, media_settings_of(self))
        return copied

    with_options = copy

    def _process_response(self, **details: Any) -> Any:
        self.hub_clock.read(details["response"])
        return super()._process_response(**details)  # type: ignore[misc]  # the SDK's

    def _make_status_error(self, err_msg: str, *, body: object, response: Any) -> Any:  # noqa: ARG002
        self.hub_clock.read(response)
        return status_error(body, response=response)

    def without_key(self, payload: Any) -> Any:
        """Return a decoded body without the key, which some servers repeat: bodies end in results
        and in the ledger.
        """
        if not mentions(payload, self.api_key):
            return payload
        pattern = pattern_of([self.api_key])
        return payload if pattern is None else hide(payload, pattern)

    def hide_key(self, error: BaseException) -> None:
        """Mask the key, and the values of the developer's own headers, in an error."""
        mask_error(error, pattern_of([self.api_key, *secrets_in(self._custom_headers)]))

    def typed_error(self, error: Exception) -> Exception:
        """Return a transport's error as an `OxenError`, and any error without secrets."""
        typed = to_oxen_error(error, self.base_url)
        if isinstance(typed, errors.AuthenticationError) and not self.has_key:
            refused, typed = typed, missing_key("the catalog of this hub")
            typed.__cause__ = refused
        if isinstance(typed, errors.NotFoundError) and typed.hint is None and not self._looks_usual:
            typed.hint = f"Check the base URL, {self.base_url}: Oxen's ends in /api/ai."
        self.hide_key(typed)
        return typed

    @property
    def _looks_usual(self) -> bool:
        """Whether the base URL has a path as Oxen's has: what is not found may not be there."""
        return str(self.base_url).rstrip("/").endswith(("/api/ai", "/api"))

    @property
    def has_key(self) -> bool:
        """Whether there is a key, or a function that returns one."""
        provider = getattr(self, "_api_key_provider", None)
        return provider is not None or self.api_key != NO_KEY

    def _check_may_send(self, options: Any) -> None:
        """Raise `MissingAPIKeyError` for a request that needs the key that is not there, and
        `ConfigurationError` for one that must not reach this hub.
        """
        check_may_call(str(self.base_url))
        if not self.has_key and not self.paths.is_public(options.method, str(options.url)):
            raise missing_key(f"{options.method.upper()} {options.url}")

    def _validate_headers(self, headers: Any, custom_headers: Any) -> None:
        """Let a request without a key pass: the SDK's own check knows no public routes."""

    def _arguments(self, call: Call[Any]) -> dict[str, Any]:
        options = call.options()
        own = getattr(self.timeout, "read", self.timeout)
        limit = options.get("timeout")
        if isinstance(limit, int | float) and isinstance(own, int | float):
            options["timeout"] = min(limit, own)
        arguments: dict[str, Any] = {"path": call.path, "cast_to": object, "options": options}
        if call.body is not None:
            arguments["body"] = dict(call.body)
        return arguments

    def _should_retry(self, response: Any) -> bool:
        if not super()._should_retry(response):  # type: ignore[misc]  # the SDK's
            return False
        if response.status_code != TOO_MANY_REQUESTS and response.status_code < SERVER_ERROR:
            return True
        try:
            body = response.json()
        except (RuntimeError, ValueError):  # not read yet, or no JSON
            return True
        # No credits, or a bad request, under a status that speaks of something passing.
        return status_error(body, response=response).is_retryable


class OxenClient(_Shared, openai.OpenAI):
    """A synchronous client: everything `openai.OpenAI` does, and Oxen's own endpoints.

    `api_key` and `base_url` come from the environment when left out (see
    `oxen_inference.settings`). Without a key it reads the catalog, quotes prices and reads the
    ledger; anything else raises `MissingAPIKeyError` before it sends. `ledger` is the ledger that makes paid generations safe: a
    `Ledger`, or None to keep none; by default the one in the user's state directory. `price_caps`
    are the most that one generation may cost, by model id, for models without a usable price.
    """

    _make_http_client = staticmethod(make_http_client)

    def _refresh_api_key(self) -> str:
        if self._api_key_provider is not None:
            self.api_key = key_from_function(self._api_key_provider)
        return str(self.api_key)

    def request(self, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        self._check_may_send(options)
        try:
            return self.without_key(super().request(cast_to, options, **kwargs))
        except Exception as error:  # noqa: BLE001 - all of it is raised again
            typed = _with_tries(self.typed_error(error))
        try:
            raise typed  # out here, since an error's context may show what its cause does not
        finally:
            del typed

    def send(self, call: Call[T]) -> T:
        """Make one call and return its typed answer. Raises `OxenError`."""
        try:
            payload = getattr(self, call.method)(**self._arguments(call))
            return call.read(_checked(payload, takes_text=call.takes_text))
        except Exception as error:  # noqa: BLE001 - all of it is raised again
            typed = _of_call(self.typed_error(error), call)
        try:
            raise typed  # out here, since an error's context may show what its cause does not
        finally:
            del typed

    def transcribe(self, *, model: str, audio_url: str, **params: Any) -> Transcription:
        """Return what is said in the audio at a public URL or in a data URL.

        Sent once, and paid for by each call. Raises `InvalidInputError`, `APIResponseError` for an
        answer without words, and the errors that the hub answers with.
        """
        from oxen_inference.transcription import transcribe_call

        return self.send(transcribe_call(self.paths, model, audio_url, params))

    @cached_property
    def catalog(self) -> Catalog:
        """The models: what there is, what it costs, what it takes."""
        from oxen_inference.catalog.facade import Catalog

        return Catalog(self)

    @cached_property
    def queue(self) -> Queue:
        """The raw queue: every submit is a new paid job. `media` is the safe way."""
        from oxen_inference.queue import Queue

        return Queue(self)

    @cached_property
    def media(self) -> Media:
        """Images, videos and audio, paid for once."""
        from oxen_inference.media.facade import Media

        media = Media(self, self._oxen_ledger)
        apply(self._media_settings, media)
        return media

    @cached_property
    def events(self) -> Events:
        """Completion events as the hub sends them."""
        from oxen_inference.events import Events

        return Events(self)


class AsyncOxenClient(_Shared, openai.AsyncOpenAI):
    """The asynchronous twin of `OxenClient`; belongs to the event loop it is first used on."""

    _make_http_client = staticmethod(make_aiohttp_client)

    async def _refresh_api_key(self) -> str:
        if self._api_key_provider is not None:
            self.api_key = await async_key_from_function(self._api_key_provider)
        return str(self.api_key)

    async def request(self, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        self._check_may_send(options)
        try:
            return self.without_key(await super().request(cast_to, options, **kwargs))
        except Exception as error:  # noqa: BLE001 - all of it is raised again
            typed = _with_tries(self.typed_error(error))
        try:
            raise typed  # out here, since an error's context may show what its cause does not
        finally:
            del typed

    async def send(self, call: Call[T]) -> T:
        """Make one call and return its typed answer. Raises `OxenError`."""
        try:
            payload = await getattr(self, call.method)(**self._arguments(call))
            return call.read(_checked(payload, takes_text=call.takes_text))
        except Exception as error:  # noqa: BLE001 - all of it is raised again
            typed = _of_call(self.typed_error(error), call)
        try:
            raise typed  # out here, since an error's context may show what its cause does not
        finally:
            del typed

    async def transcribe(self, *, model: str, audio_url: str, **params: Any) -> Transcription:
        """See `OxenClient.transcribe`."""
        from oxen_inference.transcription import transcribe_call

        return await self.send(transcribe_call(self.paths, model, audio_url, params))

    @cached_property
    def catalog(self) -> AsyncCatalog:
        """The models: what there is, what it costs, what it takes."""
        from oxen_inference.catalog.facade import AsyncCatalog

        return AsyncCatalog(self)

    @cached_property
    def queue(self) -> AsyncQueue:
        """The raw queue: every submit is a new paid job. `media` is the safe way."""
        from oxen_inference.queue import AsyncQueue

        return AsyncQueue(self)

    @cached_property
    def media(self) -> AsyncMedia:
        """Images, videos and audio, paid for once."""
        from oxen_inference.media.facade import AsyncMedia

        media = AsyncMedia(self, self._oxen_ledger)
        apply(self._media_settings, media)
        return media

    @cached_property
    def events(self) -> AsyncEvents:
        """Completion events as the hub sends them."""
        from oxen_inference.events import AsyncEvents

        return AsyncEvents(self)


def _with_tries(error: Exception) -> Exception:
    """Return a request's error, whose hint says how often it was tried, where that is not once."""
    headers = getattr(getattr(error, "request", None), "headers", None) or {}
    retries = str(headers.get("x-stainless-retry-count", 0))  # the SDK counts them there
    if isinstance(error, errors.OxenError) and retries.isdecimal() and int(retries):
        error.hint = f"It was tried {int(retries) + 1} times. {error.hint or ''}".strip()
    return error


def _of_call(error: Exception, call: Call[Any]) -> Exception:
    """Return a call's error; one that costs money says that it may be made and paid for."""
    if not (call.once and isinstance(error, errors.OxenError) and error.is_retryable):
        return error
    if not isinstance(error, errors.RateLimitError):
        error.is_retryable = False
        hint = "It may have been carried out: look at Oxen before you send it again."
        error.hint = f"{hint} {error.hint or ''}".strip()
    return error


def _checked(payload: object, *, takes_text: bool) -> object:
    """Return a JSON body, or raise the error it is: a text body, or an error inside a 200."""
    error = error_in_success(payload)
    # A failed generation's row may state why under `error`: that is its data, not the call's error.
    if error is not None and not names_a_generation(payload):
        raise error
    if not isinstance(payload, Mapping | list) and not (takes_text and isinstance(payload, str)):
        shown = human_text(payload) or "an empty body"
        raise errors.APIResponseError(
            f"Oxen answered with something that is not JSON: {shown[:300]}.",
            hint="If this is another server's page, check the base URL.",
            body=payload,
        )
    return payload
