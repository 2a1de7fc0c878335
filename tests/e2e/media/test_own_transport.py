"""Results are fetched the way the developer's HTTP client goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from oxen_inference import AsyncOxenClient, DownloadError, Ledger, OxenClient
from tests.e2e.media.calls import QUICK
from tests.e2e.media.test_result_urls import show
from tests.support.bad_hub import BadHub


class Way:
    """Notes which URLs an HTTP client of the developer's is asked for, and with which headers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.options = {"headers": {"X-Gateway": "token-of-the-gateway"}}

    def note(self, request: Any) -> None:
        self.seen.append((str(request.url), dict(request.headers)))

    async def anote(self, request: Any) -> None:
        self.note(request)

    def headers_of(self, part: str) -> dict[str, str]:
        return next(headers for url, headers in self.seen if part in url)


def blocking(way: Way, hub: BadHub, ledger: Ledger, save_to: Path) -> Any:
    own = openai.DefaultHttpxClient(event_hooks={"request": [way.note]}, **way.options)
    client = OxenClient(api_key="k", base_url=hub.base_url, ledger=ledger, http_client=own)
    client.media.pace = QUICK
    return client.media.generate(model="bad-image", prompt="ox", save_to=save_to)


def awaited(way: Way, hub: BadHub, ledger: Ledger, save_to: Path) -> Any:
    async def run() -> Any:
        own = openai.DefaultAsyncHttpxClient(event_hooks={"request": [way.anote]}, **way.options)
        made = AsyncOxenClient(api_key="k", base_url=hub.base_url, ledger=ledger, http_client=own)
        async with made as client:
            client.media.pace = QUICK
            return await client.media.generate(model="bad-image", prompt="ox", save_to=save_to)

    return asyncio.run(run())


Call = Callable[[Way, BadHub, Ledger, Path], Any]


@pytest.mark.parametrize("call", [blocking, awaited])
def test_the_own_client_fetches_the_result(
    call: Call, hub: BadHub, ledger: Ledger, tmp_path: Path
) -> None:
    way = Way()
    result = call(way, hub, ledger, tmp_path)
    assert [path.parent for path in result.paths] == [tmp_path]
    url = result.items[0].url
    assert way.headers_of(url)["authorization"] == "Bearer k"
    assert way.headers_of(url)["x-gateway"] == "token-of-the-gateway"


@pytest.mark.parametrize("call", [blocking, awaited])
def test_a_private_address_stays_refused(
    call: Call, hub: BadHub, ledger: Ledger, tmp_path: Path
) -> None:
    way = Way()
    show(hub, result_url="http://127.0.0.1:9/secret.png")
    with pytest.raises(DownloadError, match="private address"):
        call(way, hub, ledger, tmp_path)
    assert not [url for url, _ in way.seen if "secret" in url]
