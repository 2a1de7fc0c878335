"""What makes a second client do as a first one does: a copy, one of the other kind, a pickled one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from oxen_inference.masking import without_secrets

_TRAVEL = ("base_url", "timeout", "max_retries", "price_caps", "default_headers", "default_query")


def refuse_beside_client(*given: Any) -> None:
    """Raise `ConfigurationError` if settings that a client has itself are given with one."""
    if any(value is not None for value in given):
        from oxen_inference.errors import ConfigurationError

        raise ConfigurationError(
            "A client has its own api_key, base_url and ledger: give either the client or these."
        )


def settings_of(client: Any) -> dict[str, Any]:
    """Return the arguments for a client of either kind with the settings of `client`.

    All but its HTTP client, which the other kind cannot use.
    """
    provider = getattr(client, "_api_key_provider", None)  # the SDK's, for a callable key
    is_usable = provider is not None and not inspect.iscoroutinefunction(provider)
    return {
        "api_key": provider if is_usable else client.api_key,
        "base_url": str(client.base_url),
        "ledger": client._oxen_ledger,
        "timeout": client.timeout,
        "max_retries": client.max_retries,
        "price_caps": client.price_caps,
        "default_headers": client._custom_headers,
        "default_query": client._custom_query,
    }


def without_key_or_ledger(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that may be pickled: no key, no secret in a header or in the query."""
    kept = {name: settings[name] for name in _TRAVEL if name in settings}
    for name in ("default_headers", "default_query"):
        if name in kept:
            kept[name] = without_secrets(kept[name])
    if "timeout" in kept and _is_default(kept["timeout"]):
        del kept["timeout"]  # an object of the HTTP library, which may be another one there
    return kept


def _is_default(timeout: Any) -> bool:
    if timeout is None or isinstance(timeout, int | float):
        return False
    from openai import DEFAULT_TIMEOUT

    return bool(timeout == DEFAULT_TIMEOUT)


def media_settings_of(client: Any) -> dict[str, Any]:
    """Return what was set on ``client.media``; nothing if that was not used yet."""
    media = vars(client).get("media")
    if media is None:
        return dict(client._media_settings)
    return {
        "pace": media.pace,
        "allowed_hosts": set(media.allowed_hosts),
        "max_download_bytes": media.max_download_bytes,
    }


def set_media_settings(client: Any, settings: Mapping[str, Any]) -> None:
    """Set what `media_settings_of` returned, also for a ``client.media`` that is not used yet."""
    client._media_settings = settings
    media = vars(client).get("media")
    if media is not None:
        apply(settings, media)


def apply(settings: Mapping[str, Any], media: Any) -> None:
    """Set them on ``client.media`` itself."""
    for name, value in settings.items():
        setattr(media, name, value)
