"""Custom models over real HTTP: brought up, waited for, and never left running by mistake."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from typing import Any

import pytest

from oxen_inference import AsyncOxenClient, Model, OxenClient
from oxen_inference.catalog import deployments
from oxen_inference.catalog.models import CatalogWarning
from oxen_inference.errors import (
    DeploymentError,
    InvalidInputError,
    ModelNotFoundError,
    PermissionDeniedError,
)
from oxen_sandbox import Fault, Sandbox

CUSTOM = "my-custom-model"
EVERY = 0.05


@pytest.fixture
def client(oxen_sandbox: Sandbox) -> OxenClient:
    return OxenClient(api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url, max_retries=0)


@pytest.fixture
async def async_client(oxen_sandbox: Sandbox) -> AsyncOxenClient:
    return AsyncOxenClient(
        api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url, max_retries=0
    )


def posts(hub: Sandbox) -> list[str]:
    return [r.path.rsplit("/", 1)[1] for r in hub.requests if r.method == "POST"]


def status(hub: Sandbox) -> str | None:
    return hub.models.status(CUSTOM, hub.clock.now())


def test_activating_returns_at_once_or_waits(client: OxenClient, oxen_sandbox: Sandbox) -> None:
    assert client.catalog.activate(CUSTOM).deployment_status == "deploying"
    seen: list[str | None] = []
    model = client.catalog.activate(
        CUSTOM, wait=True, poll_every=EVERY, on_progress=lambda m: seen.append(m.deployment_status)
    )
    assert model.is_deployed
    assert seen[0] == "deploying"
    assert seen[-1] == "active"
    assert posts(oxen_sandbox) == ["activate"]  # the second found it on its way
    down = client.catalog.deactivate(CUSTOM, wait=True, poll_every=EVERY)
    assert down.deployment_status == "inactive"
    assert client.catalog.get(CUSTOM).deployment_status == "inactive"


@pytest.mark.parametrize("given", [{"timeout": 60.0}, {"on_progress": print}])
def test_how_to_wait_is_refused_where_nobody_waits(
    client: OxenClient, oxen_sandbox: Sandbox, given: dict[str, Any]
) -> None:
    for call in (client.catalog.activate, client.catalog.deactivate):
        with pytest.raises(InvalidInputError, match="no use where nothing is waited for"):
            call(CUSTOM, **given)
    assert not posts(oxen_sandbox)


async def test_async_too(async_client: AsyncOxenClient, oxen_sandbox: Sandbox) -> None:
    seen: list[str | None] = []

    async def on_status(model: Model) -> None:
        await asyncio.sleep(0)
        seen.append(model.deployment_status)

    async with async_client as client:
        async with client.catalog.deployed(
            CUSTOM, poll_every=EVERY, on_progress=on_status
        ) as model:
            assert model.is_deployed
            assert status(oxen_sandbox) == "active"
        assert status(oxen_sandbox) in ("deactivating", "inactive")
        assert seen[-1] == "active"
        up = await client.catalog.activate(CUSTOM, wait=True, poll_every=EVERY)
        assert up.is_deployed
        await client.catalog.deactivate(CUSTOM)


def test_a_base_model_needs_no_activation(client: OxenClient, oxen_sandbox: Sandbox) -> None:
    with pytest.raises(InvalidInputError, match="base model: it is always active"):
        client.catalog.activate("flux-2-dev")
    with pytest.raises(InvalidInputError), client.catalog.deployed("flux-2-dev"):
        pytest.fail("the block must not run")
    assert posts(oxen_sandbox) == []


def test_an_unknown_model_gets_the_closest_ids(client: OxenClient) -> None:
    with pytest.raises(ModelNotFoundError, match=f"Did you mean {CUSTOM}"):
        client.catalog.activate("my-custom-modle")
    with pytest.raises(ModelNotFoundError, match=f"Did you mean {CUSTOM}"):
        client.catalog.deactivate("my-custom-modle")


async def test_an_unknown_model_gets_the_closest_ids_asynchronously(
    async_client: AsyncOxenClient,
) -> None:
    with pytest.raises(ModelNotFoundError, match=f"Did you mean {CUSTOM}"):
        await async_client.catalog.activate("my-custom-modle")
    await async_client.close()


def test_a_deployment_that_fails_says_so(client: OxenClient, oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("fail_deployment"))
    with pytest.raises(
        DeploymentError, match="did not become active: its deployment is error"
    ) as e:
        client.catalog.activate(CUSTOM, wait=True, poll_every=EVERY)
    assert (e.value.model_id, e.value.status) == (CUSTOM, "error")
    # And is no reason not to try again.
    assert client.catalog.activate(CUSTOM, wait=True, poll_every=EVERY).is_deployed


def test_waiting_ends_at_the_timeout(client: OxenClient, oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.settings.deploy_seconds = 60
    with pytest.raises(DeploymentError, match=r"still deploying after 0\.2 seconds"):
        client.catalog.activate(CUSTOM, wait=True, poll_every=EVERY, timeout=0.2)


def test_a_failed_status_request_is_repeated(client: OxenClient, oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(
        Fault("respond", method="GET", path=f"*/{CUSTOM}", status=502, skip=1, times=2)
    )
    assert client.catalog.activate(CUSTOM, wait=True, poll_every=EVERY).is_deployed


def test_a_rejected_status_request_ends_the_waiting(
    client: OxenClient, oxen_sandbox: Sandbox
) -> None:
    oxen_sandbox.inject(Fault("respond", status=403, method="GET", path=f"*/{CUSTOM}", skip=1))
    with (
        pytest.raises(PermissionDeniedError),
        client.catalog.deployed(CUSTOM, poll_every=EVERY),
    ):
        pytest.fail("it was never seen to be up")
    assert posts(oxen_sandbox) == ["activate", "deactivate"]


# What was brought up is brought down


def test_what_a_block_activates_is_deactivated_after_it(
    client: OxenClient, oxen_sandbox: Sandbox
) -> None:
    with client.catalog.deployed(CUSTOM, poll_every=EVERY) as model:
        assert model.is_deployed
        client.chat.completions.create(model=CUSTOM, messages=[{"role": "user", "content": "x"}])
    assert posts(oxen_sandbox) == ["activate", "completions", "deactivate"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_block_deactivates_whatever_is_raised_inside(
    client: OxenClient, oxen_sandbox: Sandbox, failure: type[BaseException]
) -> None:
    with pytest.raises(failure), client.catalog.deployed(CUSTOM, poll_every=EVERY):
        raise failure
    assert posts(oxen_sandbox) == ["activate", "deactivate"]


async def test_a_canceled_block_deactivates_too(
    async_client: AsyncOxenClient, oxen_sandbox: Sandbox
) -> None:
    inside = asyncio.Event()

    async def use() -> None:
        async with async_client.catalog.deployed(CUSTOM, poll_every=EVERY):
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(use())
    await inside.wait()
    oxen_sandbox.inject(Fault("delay", path="*/deactivate", seconds=0.3))
    task.cancel()
    await asyncio.sleep(0.1)
    task.cancel()  # and somebody is impatient
    with pytest.raises(asyncio.CancelledError):
        await task
    assert posts(oxen_sandbox) == ["activate", "deactivate"]
    await async_client.close()


async def test_a_block_canceled_while_deploying_deactivates(
    async_client: AsyncOxenClient, oxen_sandbox: Sandbox
) -> None:
    oxen_sandbox.settings.deploy_seconds = 60

    async def use() -> None:
        async with async_client.catalog.deployed(CUSTOM, poll_every=EVERY):
            pytest.fail("it never came up")

    task = asyncio.create_task(use())
    while not posts(oxen_sandbox):  # noqa: ASYNC110 - the sandbox is in another thread
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert posts(oxen_sandbox) == ["activate", "deactivate"]
    await async_client.close()


@pytest.mark.parametrize("fault", ["fail", "lost answer and no look"])
def test_a_failed_activation_is_undone(
    client: OxenClient, oxen_sandbox: Sandbox, fault: str
) -> None:
    if fault == "fail":
        oxen_sandbox.inject(Fault("fail_deployment"))
    else:
        oxen_sandbox.inject(Fault("reset", path="*/activate", when="after"))
        look = Fault("respond", method="GET", path=f"*/{CUSTOM}", status=502, skip=1, times=None)
        oxen_sandbox.inject(look)
    with (
        pytest.raises(Exception, match=r"error|reach|broke"),
        client.catalog.deployed(CUSTOM, poll_every=EVERY),
    ):
        pytest.fail("it never came up")
    assert posts(oxen_sandbox) == ["activate", "deactivate"]


def _retrying(hub: Sandbox) -> OxenClient:
    return OxenClient(api_key=hub.api_key, base_url=hub.base_url, max_retries=2)


@pytest.mark.parametrize(
    "fault", [Fault("reset", when="after"), Fault("respond", status=502, when="after")]
)
def test_an_activation_whose_answer_is_lost_is_sent_once_and_undone(
    oxen_sandbox: Sandbox, fault: Fault
) -> None:
    oxen_sandbox.inject(replace(fault, path="*/activate"))
    with _retrying(oxen_sandbox).catalog.deployed(CUSTOM, poll_every=EVERY) as model:
        assert model.is_deployed
    assert posts(oxen_sandbox) == ["activate", "deactivate"]


async def test_an_async_activation_is_sent_once_too(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("respond", status=502, path="*/activate", when="after"))
    key, url = oxen_sandbox.api_key, oxen_sandbox.base_url
    async with AsyncOxenClient(api_key=key, base_url=url, max_retries=2) as client:
        async with client.catalog.deployed(CUSTOM, poll_every=EVERY) as model:
            assert model.is_deployed
    assert posts(oxen_sandbox) == ["activate", "deactivate"]


def test_an_activation_rejected_since_another_user_was_faster_waits_and_is_not_undone(
    client: OxenClient, oxen_sandbox: Sandbox
) -> None:
    # The first request brings it up for somebody else, whatever this client is on_status.
    oxen_sandbox.inject(Fault("respond", status=409, path="*/activate", when="after"))
    with client.catalog.deployed(CUSTOM, poll_every=EVERY) as model:
        assert model.is_deployed
    assert posts(oxen_sandbox) == ["activate"]


def test_a_deactivation_whose_answer_is_lost_raises_nothing(
    client: OxenClient, oxen_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oxen_inference.catalog.deployments.FIRST_RETRY", 0.01)
    with client.catalog.deployed(CUSTOM, poll_every=EVERY):
        oxen_sandbox.inject(Fault("respond", status=502, path="*/deactivate", when="after"))
        oxen_sandbox.inject(Fault("respond", status=400, path="*/deactivate"))
    assert status(oxen_sandbox) in ("deactivating", "inactive")


def test_a_deactivation_that_cannot_be_confirmed_raises(
    client: OxenClient, oxen_sandbox: Sandbox
) -> None:
    def use() -> None:
        with client.catalog.deployed(CUSTOM, poll_every=EVERY):
            oxen_sandbox.inject(Fault("respond", status=400, path="*/deactivate"))
            oxen_sandbox.inject(Fault("respond", status=502, method="GET", path=f"*/{CUSTOM}"))

    with pytest.raises(DeploymentError, match="may still be billed"):
        use()


def test_a_rejected_activation_leaves_nothing_to_undo(
    client: OxenClient, oxen_sandbox: Sandbox
) -> None:
    oxen_sandbox.inject(Fault("respond", path="*/activate", status=402))
    with pytest.raises(Exception, match="wrong"), client.catalog.deployed(CUSTOM):
        pytest.fail("it never came up")
    assert posts(oxen_sandbox) == ["activate"]


def test_a_model_that_was_active_before_stays_active(
    client: OxenClient, oxen_sandbox: Sandbox
) -> None:
    client.catalog.activate(CUSTOM, wait=True, poll_every=EVERY)
    with client.catalog.deployed(CUSTOM):
        pass
    assert status(oxen_sandbox) == "active"
    assert posts(oxen_sandbox) == ["activate"]


def test_a_model_that_another_user_activates_is_waited_for_and_stays_active(
    client: OxenClient, oxen_sandbox: Sandbox
) -> None:
    client.catalog.activate(CUSTOM)
    with client.catalog.deployed(CUSTOM, poll_every=EVERY) as model:
        assert model.is_deployed
    assert posts(oxen_sandbox) == ["activate"]


def test_a_model_that_is_deactivating_is_activated_again(
    client: OxenClient, oxen_sandbox: Sandbox
) -> None:
    client.catalog.activate(CUSTOM, wait=True, poll_every=EVERY)
    client.catalog.deactivate(CUSTOM)
    with client.catalog.deployed(CUSTOM, poll_every=EVERY) as model:
        assert model.is_deployed
    assert posts(oxen_sandbox) == ["activate", "deactivate", "activate", "deactivate"]


def test_deactivating_is_repeated_while_the_hub_is_down(
    client: OxenClient, oxen_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oxen_inference.catalog.deployments.FIRST_RETRY", 0.01)
    with client.catalog.deployed(CUSTOM, poll_every=EVERY):
        oxen_sandbox.inject(Fault("respond", path="*/deactivate", status=503, times=3))
    assert posts(oxen_sandbox) == ["activate", *["deactivate"] * 4]


@pytest.fixture
def stuck(oxen_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be deactivated."""
    monkeypatch.setattr("oxen_inference.catalog.deployments.FIRST_RETRY", 0.01)
    oxen_sandbox.inject(Fault("respond", path="*/deactivate", status=503, times=None))


@pytest.mark.usefixtures("stuck")
def test_a_model_that_cannot_be_deactivated_raises(client: OxenClient) -> None:
    with (
        pytest.raises(DeploymentError, match="may still be billed"),
        client.catalog.deployed(CUSTOM, poll_every=EVERY),
    ):
        pass


@pytest.mark.usefixtures("stuck")
def test_a_failed_deactivation_hides_no_error_from_inside(client: OxenClient) -> None:
    def use() -> None:
        with client.catalog.deployed(CUSTOM, poll_every=EVERY):
            raise ValueError("inside")

    with (
        pytest.warns(CatalogWarning, match="may still be billed"),
        pytest.raises(ValueError, match="inside"),
    ):
        use()


@pytest.mark.usefixtures("stuck")
async def test_a_failed_async_deactivation_hides_no_error_from_inside(
    async_client: AsyncOxenClient,
) -> None:
    with (
        pytest.warns(CatalogWarning, match="may still be billed"),
        pytest.raises(ValueError, match="inside"),
    ):
        async with async_client.catalog.deployed(CUSTOM, poll_every=EVERY):
            raise ValueError("inside")
    await async_client.close()


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_model_that_another_user_deactivates_too_early_is_activated_again(
    is_ours: bool, client: OxenClient, oxen_sandbox: Sandbox
) -> None:
    if not is_ours:
        client.catalog.activate(CUSTOM)

    def down(model: Model) -> None:
        if model.deployment_status == "deploying" and not posts(oxen_sandbox).count("deactivate"):
            client.catalog.deactivate(CUSTOM)

    with client.catalog.deployed(CUSTOM, poll_every=EVERY, on_progress=down) as model:
        assert model.is_deployed
    assert posts(oxen_sandbox) == ["activate", "deactivate", "activate", "deactivate"]


def test_a_model_that_another_user_deactivates_repeatedly_raises(
    client: OxenClient, oxen_sandbox: Sandbox
) -> None:
    def down(model: Model) -> None:
        if model.deployment_status == "deploying":
            client.catalog.deactivate(CUSTOM)

    with (
        pytest.raises(DeploymentError, match="did not become active"),
        client.catalog.deployed(CUSTOM, poll_every=EVERY, on_progress=down),
    ):
        pytest.fail("it never came up")
    assert posts(oxen_sandbox).count("activate") == 3
    assert posts(oxen_sandbox)[-1] == "deactivate"


# Several users of one process


@pytest.mark.parametrize("first_out", [0, 1])
def test_the_last_block_deactivates(
    first_out: int, client: OxenClient, oxen_sandbox: Sandbox
) -> None:
    other = OxenClient(api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url)
    stays = [ExitStack(), ExitStack()]
    for stay, user in zip(stays, (client, other), strict=True):
        stay.enter_context(user.catalog.deployed(CUSTOM, poll_every=EVERY))
    stays.pop(first_out).close()
    assert status(oxen_sandbox) == "active"
    stays.pop().close()
    assert posts(oxen_sandbox) == ["activate", "deactivate"]


async def test_sync_and_async_users_are_counted_together(
    client: OxenClient, async_client: AsyncOxenClient, oxen_sandbox: Sandbox
) -> None:
    async with AsyncExitStack() as stay:
        with client.catalog.deployed(CUSTOM, poll_every=EVERY):
            await stay.enter_async_context(async_client.catalog.deployed(CUSTOM, poll_every=EVERY))
        assert status(oxen_sandbox) == "active"
    assert posts(oxen_sandbox) == ["activate", "deactivate"]
    await async_client.close()


async def test_a_canceled_block_deactivates_nothing_that_another_waits_for(
    async_client: AsyncOxenClient, oxen_sandbox: Sandbox
) -> None:
    oxen_sandbox.settings.deploy_seconds = 0.6
    used: list[bool] = []
    looked = asyncio.Event()

    async def use() -> None:
        looking = lambda _: looked.set() if posts(oxen_sandbox) else None  # noqa: E731
        async with async_client.catalog.deployed(CUSTOM, poll_every=EVERY, on_progress=looking) as model:  # fmt: skip
            used.append(model.is_deployed)

    first = asyncio.create_task(use())
    await looked.wait()
    looked.clear()
    second = asyncio.create_task(use())
    await looked.wait()
    first.cancel()
    await second
    assert used == [True]
    assert posts(oxen_sandbox) == ["activate", "deactivate"]
    await async_client.close()


def test_a_block_that_begins_while_the_last_one_ends_activates_again(
    client: OxenClient, oxen_sandbox: Sandbox
) -> None:
    leaving = ExitStack()
    leaving.enter_context(client.catalog.deployed(CUSTOM, poll_every=EVERY))
    oxen_sandbox.inject(Fault("delay", path="*/deactivate", when="before", seconds=0.5))
    with ThreadPoolExecutor(1) as threads:
        left = threads.submit(leaving.close)
        while "deactivate" not in posts(oxen_sandbox):
            time.sleep(0.01)
        with client.catalog.deployed(CUSTOM, poll_every=EVERY):
            left.result(10)
            assert status(oxen_sandbox) == "active"
    assert posts(oxen_sandbox) == ["activate", "deactivate"] * 2


def test_a_forked_child_counts_its_own_blocks(client: OxenClient, oxen_sandbox: Sandbox) -> None:
    with client.catalog.deployed(CUSTOM, poll_every=EVERY):
        deployments._start_empty()
        assert not deployments.Claim(str(client.base_url), CUSTOM).leave()
        client.catalog.deactivate(CUSTOM, wait=True, poll_every=EVERY)
        with client.catalog.deployed(CUSTOM, poll_every=EVERY):
            pass
    assert posts(oxen_sandbox) == ["activate", "deactivate"] * 2


def test_a_deactivation_that_was_given_up_blocks_no_one(
    client: OxenClient, oxen_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployments, "ENDING_TAKES", 0.05)
    first = deployments.Claim(str(client.base_url), CUSTOM)
    first.enter()
    first.has_activated = True
    client.catalog.activate(CUSTOM, wait=True, poll_every=EVERY)
    assert first.leave()  # and its process is interrupted before it does anything
    with client.catalog.deployed(CUSTOM, poll_every=EVERY):
        first.ended()
    assert posts(oxen_sandbox) == ["activate", "deactivate"]


def test_two_threads_may_share_a_deployment(client: OxenClient, oxen_sandbox: Sandbox) -> None:
    used: list[bool] = []

    def use() -> None:
        with client.catalog.deployed(CUSTOM, poll_every=EVERY) as model:
            used.append(model.is_deployed)

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert used == [True, True]
    assert posts(oxen_sandbox).count("deactivate") >= 1
