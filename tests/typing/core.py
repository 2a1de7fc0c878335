"""The core as type checkers see it; never run, checked by `make types` with two of them."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import openai
from typing_extensions import assert_type

from oxen_inference import (
    AsyncOxenClient,
    Budget,
    Generation,
    Ledger,
    MediaResult,
    Model,
    ModelNotFoundError,
    OxenClient,
    OxenError,
    RateLimitError,
)
from oxen_inference.catalog.facade import AsyncCatalog, Catalog
from oxen_inference.events import EventStream
from oxen_inference.media.facade import AsyncMediaHandle, MediaHandle
from oxen_inference.queue import AsyncQueue, Queue


def a_client_is_an_openai_client() -> None:
    client = OxenClient(api_key="key", base_url="http://localhost:3000", timeout=5, max_retries=0)
    plain: openai.OpenAI = client
    assert_type(client.catalog, Catalog)
    assert_type(client.queue, Queue)
    assert_type(client.queue.get("id"), Generation)
    assert_type(client.queue.submit("flux-2-dev", prompt="an ox"), list[Generation])
    assert_type(client.catalog.get("flux-2-dev"), Model)
    answer = plain.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
    assert_type(answer.choices[0].message.content, str | None)


async def so_is_the_async_one() -> None:
    client = AsyncOxenClient(api_key=lambda: "key")
    plain: openai.AsyncOpenAI = client
    assert_type(client.catalog, AsyncCatalog)
    assert_type(client.queue, AsyncQueue)
    assert_type(await client.queue.get("id"), Generation)
    assert_type(await client.catalog.get("flux-2-dev"), Model)
    await plain.close()


def media_is_a_result(client: OxenClient) -> None:
    budget = Budget("5.00", name="videos")
    result = client.media.generate(
        model="flux-2-dev", prompt="an ox", budget=budget, save_to=Path("out")
    )
    assert_type(result, MediaResult)
    assert_type(result.cost, Decimal | None)
    handle = client.media.submit(model="flux-2-dev", prompt="an ox", key="dawn")
    assert_type(handle, MediaHandle)
    assert_type(handle.wait(timeout=60), MediaResult)
    assert_type(client.media.ledger, Ledger)


async def so_is_async_media(client: AsyncOxenClient) -> None:
    assert_type(await client.media.generate(model="flux-2-dev", prompt="an ox"), MediaResult)
    handle = await client.media.submit(model="flux-2-dev", prompt="an ox")
    assert_type(handle, AsyncMediaHandle)
    assert_type(await handle.status(), MediaResult)


def events_come_one_by_one(client: OxenClient) -> Iterator[str]:
    with client.events.listen(timeout=5) as events:
        assert_type(events, EventStream)
        for generation in events:
            assert_type(generation, Generation)
            yield generation.status


def money_is_decimal(generation: Generation) -> Decimal:
    assert_type(generation.cost, Decimal | None)
    return generation.cost or Decimal(0)


def errors_are_the_sdk_s_own(error: Exception) -> None:
    if isinstance(error, ModelNotFoundError):
        assert_type(error.suggestions, tuple[str, ...])
        as_openai: openai.NotFoundError = error
        raise as_openai
    if isinstance(error, RateLimitError):
        assert_type(error.retry_after, float | None)
    if isinstance(error, OxenError):
        assert_type(error.is_retryable, bool)
        base: openai.OpenAIError = error
        raise base
