"""How the tests of paid media call it: at a quick pace, sync and async alike."""

from __future__ import annotations

import asyncio
from typing import Any

from oxen_inference import AsyncOxenClient, Ledger, OxenClient
from oxen_inference.media.pace import Pace

QUICK = Pace(
    image=(0.05, 0.2), gap=0.02, lookup=0.6, lookup_interval=0.03, settle=(), poll_timeout=2.0,
    download_pause=0.01, late_file=0.0,
)  # fmt: skip
THOROUGH = Pace(
    image=(0.05, 0.2), video=(0.05, 0.2), gap=0.02, lookup=0.5, lookup_interval=0.05,
    settle=(0.05, 0.1), longest_backoff=0.3, download_pause=0.01, late_file=0.0,
)  # fmt: skip
"""One that waits for a cost, too."""


def settings(hub: Any, ledger: Ledger | None, **more: Any) -> dict[str, Any]:
    """A client's settings for this hub, where `more` does not say else."""
    return {
        "base_url": hub.base_url, "api_key": "k", "ledger": ledger, "timeout": 30.0,
        "max_retries": 2, **more,
    }  # fmt: skip


class MediaCalls:
    """Calls methods of `media`, each of a new client of this kind ("sync" or "async").

    `options` are the client's; change them, and `pace` and `hosts`, between calls.
    """

    def __init__(self, hub: Any, ledger: Ledger, kind: str, **options: Any) -> None:
        self.hub, self.ledger, self.kind = hub, ledger, kind
        self.pace = QUICK
        self.hosts: set[str] = set()
        key = getattr(hub, "api_key", "k")
        self.options = {"base_url": hub.base_url, "api_key": key, "ledger": ledger, **options}

    def warm_up(self) -> None:
        """Read the model, so that a short timeout is over after the request was sent."""
        with OxenClient(**self.options) as client:
            client.catalog.get("bad-image")

    def __call__(self, method: str, *args: Any, **kwargs: Any) -> Any:
        def call(client: Any) -> Any:
            client.media.pace, client.media.allowed_hosts = self.pace, self.hosts
            return getattr(client.media, method)(*args, **kwargs)

        async def awaited() -> Any:
            async with AsyncOxenClient(**self.options) as client:
                return await call(client)

        if self.kind == "async":
            return asyncio.run(awaited())
        with OxenClient(**self.options) as client:
            return call(client)


def quick_client(hub: Any, ledger: Ledger | None, *, pace: Pace = QUICK, **more: Any) -> OxenClient:
    client = OxenClient(**settings(hub, ledger, **more))
    client.media.pace = pace
    return client


def quick_async_client(
    hub: Any, ledger: Ledger, *, pace: Pace = QUICK, **more: Any
) -> AsyncOxenClient:
    client = AsyncOxenClient(**settings(hub, ledger, **more))
    client.media.pace = pace
    return client
