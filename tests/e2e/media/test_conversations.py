"""The core's conversations: a request repeated in one joins the job whose result nobody got."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from oxen_inference import Budget, Ledger, OxenClient
from oxen_inference.errors import GenerationFailed, GenerationTimeout
from oxen_inference.media.pace import Pace
from oxen_sandbox import Sandbox
from tests.e2e.media.calls import quick_client
from tests.support.bad_hub import BadHub

OX = {"model": "flux-2-dev", "prompt": "an ox"}


@pytest.fixture
def client(oxen_sandbox: Sandbox) -> Iterator[OxenClient]:
    oxen_sandbox.settings.image_seconds = 1
    with OxenClient(api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url) as client:
        client.media.pace = Pace(image=(0.05, 0.1))
        yield client


def test_a_job_under_way_is_joined_until_it_is_collected(
    client: OxenClient, oxen_sandbox: Sandbox
) -> None:
    handle = client.media.submit(**OX, conversation="a", key="first")
    assert client.media.find(**OX, conversation="a", key="second") is not None
    assert client.media.find(**OX, conversation="b") is None
    assert client.media.find(**OX, key="first") is not None
    assert client.media.find(**{**OX, "seed": 1}, conversation="a") is None
    result = client.media.generate(**OX, conversation="a", key="second")
    assert result.generation_ids == handle.generation_ids
    # Its own key now stands for it, too, and the conversation is free for another one.
    assert client.media.attach("second").generation_ids == handle.generation_ids
    assert client.media.find(**OX, conversation="a") is None
    assert len(oxen_sandbox.jobs) == 1


def test_nothing_is_reserved_twice(client: OxenClient, oxen_sandbox: Sandbox) -> None:
    budget = Budget("0.015", name="tight", ledger=Ledger())
    for _ in range(2):
        with pytest.raises(GenerationTimeout):
            client.media.generate(**OX, conversation="a", budget=budget, timeout=0.2)
    assert budget.reserved == Decimal("0.013")
    client.media.generate(**OX, conversation="a", budget=budget)
    assert (budget.spent, budget.reserved) == (Decimal("0.013"), 0)
    assert len(oxen_sandbox.jobs) == 1


def test_another_process_sees_it(client: OxenClient, oxen_sandbox: Sandbox) -> None:
    client.media.submit(**OX, conversation="a")
    with OxenClient(
        api_key=oxen_sandbox.api_key,
        base_url=oxen_sandbox.base_url,
        ledger=Ledger(client.media.ledger.path),
    ) as other:
        other.media.generate(**OX, conversation="a")
    assert len(oxen_sandbox.jobs) == 1


def test_a_cancelled_job_is_not_joined(client: OxenClient, oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.settings.image_seconds = 30
    client.media.submit(**OX, conversation="a").cancel()
    assert client.media.find(**OX, conversation="a") is None


def test_a_job_that_one_of_two_calls_left_is_still_the_other_s(ledger: Ledger) -> None:
    ox = {"model": "bad-image", "prompt": "ox", "conversation": "a"}
    with BadHub(seconds=60) as hub, quick_client(hub, ledger) as client:
        with ThreadPoolExecutor(1) as threads:
            patient = threads.submit(client.media.generate, **ox, key="k")
            while not hub.accepted:
                time.sleep(0.005)
            with pytest.raises(GenerationTimeout):
                client.media.generate(**ox, key="k", timeout=0.1)
            assert client.media.find(**ox) is None  # another call means another image
            hub.seconds = 0
            assert patient.result().succeeded
    assert hub.posts["ox"] == 1


@pytest.mark.parametrize("ending", ["succeeded", "failed"])
def test_a_part_that_was_handed_over_does_not_stand_for_the_whole(
    ending: str, ledger: Ledger
) -> None:
    ended: set[str] = set()

    def shown(_: str, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "status": ending if row["generation_id"] in ended else "processing"}

    two = {"model": "bad-image", "prompt": "ox", "num_generations": 2, "conversation": "a"}
    with BadHub(shown=shown) as hub:
        with quick_client(hub, ledger) as client:
            with pytest.raises(GenerationTimeout):
                client.media.generate(**two, timeout=0.2)
            for one in hub.accepted[0].ids:
                assert client.media.find(**two) is not None
                ended.add(one)
                with suppress(GenerationFailed):
                    client.media.attach(generation_ids=[one]).wait(timeout=30)
            assert client.media.find(**two) is None  # both were handed over, one by one
    assert hub.posts["ox"] == 1
