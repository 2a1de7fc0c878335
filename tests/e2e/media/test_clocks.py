"""Clocks that are off or jump: when a job was enqueued is compared with the hub's clock alone."""

from __future__ import annotations

import time

import pytest

from oxen_inference import EnqueueOutcomeUnknown
from oxen_inference.errors import APIStatusError
from oxen_inference.hub_clock import HubClock, clock_of
from tests.e2e.media.calls import MediaCalls
from tests.support.bad_hub import BadHub
from tests.support.databases import sql

HOUR = 3600.0


@pytest.fixture(params=[-HOUR, 0.0, HOUR], ids=["an hour behind", "right", "an hour ahead"])
def off(request: pytest.FixtureRequest) -> float:
    """How far the hub's clock is from this machine's."""
    return float(request.param)


def test_a_refusal_is_not_believed_where_the_job_is_listed(
    hub: BadHub, media: MediaCalls, off: float
) -> None:
    hub.clock, hub.states_date = lambda: time.time() + off, True
    hub.plan = lambda _prompt, _attempt: "refusal_in_200_after"
    result = media("generate", model="bad-image", prompt="an ox", key="k", timeout=20)
    assert result.succeeded  # found by its parameters and its time
    assert len(hub.submissions_of("an ox")) == 1


def test_without_a_date_a_listed_job_is_no_refusal_either(
    hub: BadHub, media: MediaCalls, off: float
) -> None:
    hub.clock = lambda: time.time() + off
    hub.plan = lambda _prompt, _attempt: "refusal_in_200_after"
    for _ in range(2):
        if not off:
            assert media("generate", model="bad-image", prompt="an ox", key="k").succeeded
            continue
        with pytest.raises(EnqueueOutcomeUnknown) as raised:
            media("generate", model="bad-image", prompt="an ox", key="k")
        found = [each.generation_id for each in raised.value.candidates]
        assert found == hub.submissions_of("an ox")[0].ids
    assert len(hub.submissions_of("an ox")) == 1


def test_a_lost_job_is_found_whatever_the_clocks_show(
    hub: BadHub, media: MediaCalls, off: float
) -> None:
    hub.clock, hub.states_date = lambda: time.time() + off, True
    hub.plan = lambda _prompt, _attempt: "close_after"
    assert media("generate", model="bad-image", prompt="an ox", key="k", timeout=20).succeeded


def test_an_older_job_alike_is_not_taken_for_a_refused_one(
    hub: BadHub, media: MediaCalls, off: float
) -> None:
    hub.clock, hub.states_date = lambda: time.time() + off, True
    hub.foreign_rows = [
        {
            "generation_id": "old", "model_name": "bad-image", "prompt": "an ox",
            "media_type": "image", "status": "succeeded", "enqueued_at": int(hub.clock() - 120),
        }
    ]  # fmt: skip
    hub.plan = lambda _prompt, _attempt: "refusal_in_200"
    with pytest.raises(APIStatusError):
        media("generate", model="bad-image", prompt="an ox", key="k", timeout=20)
    entry = media.ledger.entries()[0]
    assert entry.state == "rejected"


def test_a_jump_of_the_ledger_s_clock_rejects_nothing(hub: BadHub, media: MediaCalls) -> None:
    """The process dies after sending; by the time another looks, the machine's clock jumped."""
    hub.states_date, hub.lag = True, HOUR
    hub.plan = lambda _prompt, _attempt: "close_after"
    media.pace = type(media.pace)(lookup=0.01, lookup_interval=0.01)
    with pytest.raises(EnqueueOutcomeUnknown):
        media("generate", model="bad-image", prompt="an ox", key="k")
    for jump in (-HOUR, HOUR):
        sql(media.ledger, "UPDATE oxen_entries SET posted_at = posted_at + :jump", jump=jump)
        assert media.ledger.entries()[0].state == "unknown"
    sql(media.ledger, "UPDATE oxen_entries SET posted_at = posted_at + :jump", jump=-HOUR)
    hub.lag = 0.0
    (entry,) = media("reconcile")
    assert entry.state == "accepted"
    assert list(entry.generation_ids) == hub.submissions_of("an ox")[0].ids


class Response:
    def __init__(self, **headers: str) -> None:
        self.headers = headers


def test_the_hub_s_clock_is_read_from_its_answers() -> None:
    clock = HubClock()
    assert clock.now() is None
    for odd in ({}, {"date": ""}, {"date": "yesterday"}, {"date": "Thu, 99 Jan 1970 00:00:00 GMT"}):
        clock.read(Response(**odd))
        assert clock.now() is None
    clock.read(Response(date="Thu, 01 Jan 1970 00:10:00 GMT"))
    assert clock.now() == pytest.approx(600, abs=1)
    clock.read(Response(date="Thu, 01 Jan 1970 00:10:00 GMT", age="60"))
    assert clock.now() == pytest.approx(660, abs=1)
    assert clock_of("https://a/api") is clock_of("https://a/api/ai")
    assert clock_of("https://a/api") is not clock_of("https://b/api")
