"""The API key, the base URL, the folders of the ledger and of results, and timeouts.

Key: the argument, which must not be empty, then ``OXEN_API_KEY``, then the ``auth_config.toml``
that Oxen's own command line writes (in ``$OXEN_CONFIG_DIR``, else ``~/.config/oxen``).
Base URL: the argument, then ``OXEN_BASE_URL``, then ``OXEN_HOST``, then Oxen's hub.
"""

from __future__ import annotations

import inspect
import ipaddress
import math
import os
import re
import sys
import warnings
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - Python 3.10
    import tomli as tomllib

HUB_URL = "https://hub.oxen.ai/api/ai"
"""Base URL of Oxen's hosted inference API (https://docs.oxen.ai)."""

API_PATH = "/api/ai"
LEGACY_PATH = "/api"
KEYS_PAGE = "https://oxen.ai/settings/profile"

_SET_BY_FIXTURE = "oxen_sandbox_env"
"""The value that the sandbox's pytest fixture of that name gives ``OXEN_LOCAL_ONLY``."""
_MADE_BEFORE_FIXTURE = (
    "This model or client was made before the sandbox's pytest fixture set the environment, perhaps "
    "when its module was imported. Make it in a function that the test calls, or in the test."
)

ApiKey = str | Callable[[], str]


class _NoKey(str):
    """The type of `NO_KEY`: an empty string that somebody gives as a key is not of it."""

    __slots__ = ()


NO_KEY = _NoKey()
"""The `api_key` of a client without one, which can read the catalog and the ledger."""


class OxenKeyWarning(UserWarning):
    """An environment key meant for Oxen is about to be sent to another host."""


def resolve_base_url(base_url: str | None = None, *, name: str = "base_url") -> str:
    """Return the base URL to call, without a trailing slash.

    A bare host (``OXEN_HOST=localhost:3000``) gets ``/api/ai`` appended, over plain HTTP where
    the host is local or the port is not 443. Errors call the argument `name`. Raises `ConfigurationError`
    if it is not a URL.
    """
    for value, origin in (
        (base_url, name),
        (os.environ.get("OXEN_BASE_URL"), "OXEN_BASE_URL"),
        (os.environ.get("OXEN_HOST"), "OXEN_HOST"),
    ):
        if value is not None and value.strip():
            return _normalize(value.strip(), origin)
    return HUB_URL


def resolve_api_key(api_key: Any = None, *, base_url: str) -> ApiKey:
    """Return the API key for `base_url`: a string, or the callable that was given.

    Raises `MissingAPIKeyError` when there is none anywhere, or the one given is empty. With
    ``OXEN_KEY_AT_FIRST_USE`` set, a key that is not there yet is looked for at each request.
    """
    key = find_api_key(api_key, base_url=base_url)
    if key is not None:
        return key
    if os.environ.get("OXEN_KEY_AT_FIRST_USE"):
        return partial(_key_at_use, base_url)
    raise missing_key()


def _key_at_use(base_url: str) -> str:
    key = find_api_key(base_url=base_url)
    if not isinstance(key, str):
        raise missing_key()
    return key


def find_api_key(api_key: Any = None, *, base_url: str) -> ApiKey | None:
    """Do what `resolve_api_key` does, and return None when there is no key anywhere."""
    if api_key is not None and not isinstance(api_key, _NoKey):
        if callable(api_key):
            return api_key  # type: ignore[no-any-return]  # a key provider, called per request
        return require_key(api_key)
    key = _read_key(os.environ.get("OXEN_API_KEY"), "OXEN_API_KEY")
    if key:
        _warn_if_foreign(base_url)
        return key
    return _read_key(_key_from_config(urlsplit(base_url).netloc), "auth_config.toml")


def require_key(api_key: object) -> str:
    """Return a key that the caller gave. Raises `MissingAPIKeyError` for an empty one.

    It was meant to be somebody's key: the environment's may be another account's, which would pay.
    """
    key = _read_key(api_key, "api_key")
    if key:
        return key

    from oxen_inference.errors import MissingAPIKeyError

    raise MissingAPIKeyError(
        "The api_key is empty. Nothing was sent.",
        hint="Pass the key, or leave api_key out to use OXEN_API_KEY.",
    )


def missing_key(what: str | None = None) -> Exception:
    """Return the `MissingAPIKeyError` for `what`, which needs a key."""
    from oxen_inference.errors import MissingAPIKeyError

    because = f", and {what} needs one" if what else ""
    hint = f"Set the environment variable OXEN_API_KEY, or pass api_key=... Find it at {KEYS_PAGE}"
    if os.environ.get("OXEN_LOCAL_ONLY") == _SET_BY_FIXTURE and os.environ.get("OXEN_API_KEY"):
        hint = _MADE_BEFORE_FIXTURE
    return MissingAPIKeyError(
        f"There is no Oxen API key{because}; OPENAI_API_KEY is never used.", hint=hint
    )


def key_from_function(function: Callable[[], object]) -> str:
    """Call the function given as ``api_key`` and return the key.

    Raises `MissingAPIKeyError` if it returns none, `ConfigurationError` if it fails or returns
    something that no key can be.
    """
    try:
        value = function()
    except Exception as error:
        raise _failed_key_function(error) from error
    if inspect.iscoroutine(value):
        value.close()  # it is refused, and would warn that nobody awaited it
    return _require_key(value)


async def async_key_from_function(function: Callable[[], Any]) -> str:
    """Do what `key_from_function` does, for a function that may also be asynchronous."""
    try:
        value = function()
        if inspect.isawaitable(value):
            value = await value
    except Exception as error:
        raise _failed_key_function(error) from error
    return _require_key(value)


def _require_key(value: object) -> str:
    key = _read_key(value, "the function given as api_key")
    if key:
        return key

    from oxen_inference.errors import MissingAPIKeyError

    raise MissingAPIKeyError(
        "The function given as api_key returned no key.",
        hint=f"It must return the key as a string. Find the key at {KEYS_PAGE}",
    )


def _failed_key_function(error: Exception) -> Exception:
    from oxen_inference.errors import ConfigurationError, OxenError

    if isinstance(error, OxenError):
        return error
    return ConfigurationError(
        f"The function given as api_key failed: {type(error).__name__}: {error}"
    )


def is_loopback(host: str | None) -> bool:
    """Whether `host` names this machine."""
    if not host:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_may_call(base_url: str) -> None:
    """Raise `ConfigurationError` for another machine's URL where ``OXEN_LOCAL_ONLY`` is set.

    Tests set it, so that nothing they forgot about costs money.
    """
    local_only = os.environ.get("OXEN_LOCAL_ONLY")
    if not local_only:
        return
    host = urlsplit(base_url).hostname
    if is_loopback(host):
        return
    from oxen_inference.errors import ConfigurationError

    refused = f"A request to {host} was refused, because OXEN_LOCAL_ONLY allows only this machine"
    if local_only == _SET_BY_FIXTURE:
        raise ConfigurationError(
            f"{refused}, and the sandbox's pytest fixture set it. Nothing was sent.",
            hint=_MADE_BEFORE_FIXTURE,
        )
    raise ConfigurationError(
        f"{refused}. Nothing was sent.",
        hint="Remove OXEN_LOCAL_ONLY from the environment to call another machine, or set "
        "OXEN_BASE_URL to a hub on this one.",
    )


def results_folder(kind: str) -> Path:
    """Return the user's own folder for results that name no other; nobody else can read it."""
    folder = state_folder() / "results" / kind
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def state_folder() -> Path:
    """Return the folder of the ledger: ``OXEN_STATE_DIR``, or else the user's state directory."""
    import platformdirs

    given = os.environ.get("OXEN_STATE_DIR", "").strip()
    return _absolute(given) if given else platformdirs.user_state_path("oxen-integrations")


@lru_cache(maxsize=16)
def _absolute(folder: str) -> Path:
    """A relative folder keeps its first meaning, wherever the process changes to."""
    return Path(folder).expanduser().absolute()


def _read_key(value: Any, origin: str) -> str | None:
    """Return a key without the white space around it, or None if it is empty.

    Raises `ConfigurationError` if it is not a string, or has characters that no key has: they fail
    deep inside the transport, in an error that quotes the whole header.
    """
    reveal = getattr(value, "get_secret_value", None)
    key = reveal() if callable(reveal) else value
    if key is None:
        return None
    if not isinstance(key, str):
        from oxen_inference.errors import ConfigurationError

        raise ConfigurationError(
            f"The API key from {origin} must be a string, not {type(key).__name__}."
        )
    key = key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        from oxen_inference.errors import ConfigurationError

        raise ConfigurationError(
            f"The API key from {origin} has characters that no key has: a space, a line break or "
            "a non-ASCII character.",
            hint=f"Copy it again from {KEYS_PAGE}",
        )
    return key or None


def check_timeout(timeout: Any) -> None:
    """Raise `InvalidInputError` unless it is a number of seconds above 0, or None."""
    if timeout is None:
        return
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not (is_number and 0 < timeout < math.inf):
        from oxen_inference.errors import InvalidInputError

        raise InvalidInputError(
            f"timeout must be a number of seconds above 0, or None, not {timeout!r}."
        )


def check_client_settings(
    *, max_retries: Any = None, http_client: Any = None, async_http_client: Any = None
) -> None:
    """Raise `ConfigurationError` for settings with which no client can be made; None is not set."""
    if max_retries is not None and not max_retries >= 0:
        from oxen_inference.errors import ConfigurationError

        raise ConfigurationError(
            f"max_retries must be 0 or more, not {max_retries!r}.", hint="0 means: never again."
        )
    for client, is_async in ((http_client, False), (async_http_client, True)):
        is_client = hasattr(client, "build_request") and hasattr(client, "send")
        if client is not None and not (is_client and hasattr(client, "aclose") is is_async):
            raise wrong_http_client(client, is_async=is_async)


def wrong_http_client(client: Any, *, is_async: bool) -> Exception:
    """Return the `ConfigurationError` for an HTTP client of another kind than is needed."""
    from oxen_inference.errors import ConfigurationError

    kind = "an asynchronous" if is_async else "a synchronous"
    return ConfigurationError(
        f"A {type(client).__module__}.{type(client).__name__} is not {kind} HTTP client of the SDK.",
        hint=f"Give openai.Default{'Async' if is_async else ''}HttpxClient(), or {kind} client of the "
        "httpx that your openai stands on (httpx2 for openai 3).",
    )


def _normalize(value: str, origin: str) -> str:
    bare_host = "://" not in value and re.match(r"[^/@]*:(/|$)", value) is None  # as in https:/hub
    url = _with_scheme(value) if bare_host else value
    parts = _parse(url, value, origin)
    path = parts.path.rstrip("/")
    # A host alone cannot be the base of the API; only a custom gateway may live at its root.
    hub_root = parts.hostname == urlsplit(HUB_URL).hostname
    if not path and (bare_host or hub_root or origin == "OXEN_HOST"):
        path = API_PATH
    return f"{parts.scheme.lower()}://{parts.netloc}{path}"


def _with_scheme(host: str) -> str:
    try:
        parts = urlsplit(f"//{host}")
        plain = is_loopback(parts.hostname) or parts.port not in (None, 443)
    except ValueError:
        plain = False  # reported by _parse, with the value as it was given
    return f"{'http' if plain else 'https'}://{host}"


def _parse(url: str, given: str, origin: str) -> SplitResult:
    def refuse(problem: str, shown: str = given, hint: str = f"Example: {HUB_URL}") -> Exception:
        from oxen_inference.errors import ConfigurationError

        return ConfigurationError(
            f"{origin} is not a usable base URL: {shown!r}: {problem}.", hint=hint
        )

    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is not a number
    except ValueError as error:
        raise refuse(str(error)) from None
    if parts.username is not None or parts.password is not None:
        raise refuse(
            "it must not contain credentials", shown="***", hint="Pass the API key as api_key=..."
        )
    if parts.scheme.lower() not in ("http", "https"):
        raise refuse("it must start with http:// or https://")
    if not parts.hostname or re.search(r"[\s<>\"\\]", url):
        raise refuse("it has no readable host name")
    if parts.query or parts.fragment:
        raise refuse("it must end with the path, without ? or #")
    return parts


def _warn_if_foreign(base_url: str) -> None:
    host = urlsplit(base_url).hostname
    if host == urlsplit(HUB_URL).hostname or is_loopback(host):
        return
    warnings.warn(
        f"OXEN_API_KEY from the environment is being sent to {host}, which is not Oxen's hub. "
        "If that is intended, pass api_key explicitly.",
        OxenKeyWarning,
        stacklevel=4,
    )


def _key_from_config(netloc: str) -> str | None:
    folder = os.environ.get("OXEN_CONFIG_DIR")
    path = (Path(folder) if folder else Path.home() / ".config" / "oxen") / "auth_config.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    try:
        entries = tomllib.loads(text).get("host_configs", [])
    except tomllib.TOMLDecodeError as error:
        from oxen_inference.errors import ConfigurationError

        # `from None`: the decoder's error carries the whole document, keys included.
        raise ConfigurationError(
            f"{path} is not valid TOML: {error.args[0]}",
            hint="Log in again with Oxen's command line, or set OXEN_API_KEY.",
        ) from None
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("host") == netloc:
            token = entry.get("auth_token")
            if isinstance(token, str) and token.strip():
                return token.strip()
    return None
