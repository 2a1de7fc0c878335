"""The raw queue of both clients: what is asked, and what is read from the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import openai
import pytest

from oxen_inference import AsyncOxenClient, OxenClient
from oxen_inference.errors import (
    APIConnectionError,
    APIStatusError,
    InternalServerError,
    InvalidInputError,
    NotFoundError,
    OxenError,
    RateLimitError,
)
from oxen_sandbox import Fault, Sandbox
from tests.support.scripted_server import ScriptedServer, http

Queue = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def queue(request: pytest.FixtureRequest, oxen_sandbox: Sandbox) -> Queue:
    """Calls a method of a new client's queue, of either kind; `older` is the older base URL."""

    async def awaited(method: str, args: Any, kwargs: Any, options: Any) -> Any:
        async with AsyncOxenClient(**options) as client:
            return await getattr(client.queue, method)(*args, **kwargs)

    def call(method: str, *args: Any, older: bool = False, **kwargs: Any) -> Any:
        base_url = f"{oxen_sandbox.origin}/api" if older else oxen_sandbox.base_url
        options = {"base_url": base_url, "api_key": oxen_sandbox.api_key}
        if request.param == "async":
            return asyncio.run(awaited(method, args, kwargs, options))
        with OxenClient(**options) as client:
            return getattr(client.queue, method)(*args, **kwargs)

    return call


def test_a_job_from_the_submit_to_the_receipt(queue: Queue, oxen_sandbox: Sandbox) -> None:
    made = queue("submit", "flux-2-dev", prompt="an ox", num_generations=2)
    assert len(made) == 2
    assert {job.generation_id for job in queue("list")} <= {job.generation_id for job in made}
    oxen_sandbox.clock.advance(600)
    for job in made:
        assert queue("get", job.generation_id).status == "succeeded"
        assert queue("receipt", job.generation_id).cost == Decimal("0.013")
    page = queue("history", page=1, page_size=1)
    assert [job.generation_id for job in page] == [page.generations[0].generation_id]
    assert not page.is_last
    assert (page.page_number, page.total_pages, page.total_cost) == (1, 2, Decimal("0.026"))
    assert sum(one.method == "POST" for one in oxen_sandbox.requests) == 1


@pytest.mark.parametrize(
    ("fault", "error", "retryable"),
    [
        (Fault("reset", path="*/queue"), APIConnectionError, False),
        (Fault("respond", path="*/queue", status=503), InternalServerError, False),
        (Fault("respond", path="*/queue", status=429), RateLimitError, True),
    ],
)
def test_a_job_that_may_be_bought_is_not_to_be_sent_again(
    queue: Queue, oxen_sandbox: Sandbox, fault: Fault, error: type[OxenError], retryable: bool
) -> None:
    oxen_sandbox.inject(fault)
    with pytest.raises(error) as caught:
        queue("submit", "flux-2-dev", prompt="an ox")
    assert caught.value.is_retryable is retryable
    assert ("look at Oxen before you send it again" in str(caught.value)) is not retryable
    assert sum(one.method == "POST" for one in oxen_sandbox.requests) == 1


@pytest.mark.parametrize("name", ["timeout", "max_cost", "key", "max_retries"])
def test_an_option_is_not_sent_as_a_parameter(
    queue: Queue, oxen_sandbox: Sandbox, name: str
) -> None:
    with pytest.raises(InvalidInputError, match=f"{name} is no option of this call"):
        queue("submit", "flux-2-dev", prompt="an ox", **{name: 1})
    assert not oxen_sandbox.jobs


def test_a_cancelled_job_is_cancelled(queue: Queue, oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("stall_job"))
    (job,) = queue("submit", "flux-2-dev", prompt="an ox")
    assert queue("cancel", job.generation_id) is None
    assert oxen_sandbox.jobs[0].status == "cancelled"


def test_a_job_nobody_has_is_not_found(queue: Queue) -> None:
    for method in ("get", "cancel", "receipt"):
        with pytest.raises(NotFoundError):
            queue(method, "none")


def test_a_hub_of_the_older_api_is_asked_by_namespace(queue: Queue, oxen_sandbox: Sandbox) -> None:
    namespace = oxen_sandbox.hub.account.namespace
    oxen_sandbox.inject(Fault("stall_job"))
    (job,) = queue("submit", "flux-2-dev", prompt="an ox", target_namespace=namespace)
    oxen_sandbox.inject(Fault("respond", status=404, path="/api/ai/queue/*", times=None))
    for method in ("get", "cancel"):
        with pytest.raises(NotFoundError):
            queue(method, job.generation_id, older=True)
    found = queue("get", job.generation_id, namespace=namespace, model="flux-2-dev", older=True)
    assert found.generation_id == job.generation_id
    queue("cancel", job.generation_id, namespace=namespace, older=True)
    assert oxen_sandbox.jobs[0].status == "cancelled"


SOON = ["retry-after-ms: 1"]


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    ("body", "status", "sent"),
    [
        ({"error": {"message": "busy"}}, "409 Conflict", 2),
        ({"error": {"message": "late"}}, "408 Request Timeout", 2),
        ("<html>Bad gateway</html>", "502 Bad Gateway", 2),
        ("", "304 Not Modified", 1),
    ],
)
async def test_a_list_is_asked_for_again_where_that_may_help(
    body: Any, status: str, sent: int, own: bool
) -> None:
    first = http(body, status=status, headers=SOON)
    refused = contextlib.nullcontext() if sent > 1 else pytest.raises(APIStatusError)
    with ScriptedServer(first, http({"generations": []})) as server:
        options = {"http_client": openai.DefaultHttpxClient()} if own else {}
        with OxenClient(base_url=server.url, api_key="k", **options) as client, refused:
            assert client.queue.list() == []
        assert len(server.requests) == sent
    with ScriptedServer(first, http({"generations": []})) as server:
        options = {"http_client": openai.DefaultAsyncHttpxClient()} if own else {}
        async with AsyncOxenClient(base_url=server.url, api_key="k", **options) as aclient:
            with refused:
                assert await aclient.queue.list() == []
        assert len(server.requests) == sent
