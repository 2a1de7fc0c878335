"""The cache alone: how fresh answers are, and who fetches while others wait."""

from __future__ import annotations

import threading

import pytest

from oxen_inference.catalog import cache as catalog_cache
from oxen_inference.catalog.cache import (
    EVERYTHING,
    Abandoned,
    CatalogCache,
    clear_cache,
    shared_cache,
)
from oxen_inference.catalog.models import Model

OX = Model(id="ox")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> CatalogCache:
    return CatalogCache(clock)


def fetch(cache: CatalogCache, *models: Model, key: str = EVERYTHING) -> None:
    ticket = cache.join(key, 60)
    assert ticket.is_leader
    assert ticket.in_flight is not None
    cache.complete(ticket.in_flight, models)


def test_an_answer_is_fresh_until_it_is_not(cache: CatalogCache, clock: Clock) -> None:
    assert cache.fresh(EVERYTHING, 60) is None
    fetch(cache, OX)
    clock.now += 59
    assert cache.fresh(EVERYTHING, 60) == (OX,)
    assert cache.join(EVERYTHING, 60).models == (OX,)
    clock.now += 1
    assert cache.fresh(EVERYTHING, 60) is None
    assert cache.join(EVERYTHING, 60).is_leader
    assert cache.peek("ox") == OX


def test_the_first_caller_leads_and_all_get_its_answer(cache: CatalogCache) -> None:
    leader, waiter = cache.join(EVERYTHING, 60), cache.join(EVERYTHING, 60)
    assert leader.in_flight is not None
    assert leader.in_flight is waiter.in_flight
    assert (leader.is_leader, waiter.is_leader) == (True, False)
    assert cache.join("/models?x=1", 60).is_leader
    cache.complete(leader.in_flight, [OX])
    assert leader.in_flight.result.result(0) == (OX,)


def test_all_who_wait_get_the_error(cache: CatalogCache) -> None:
    ticket = cache.join(EVERYTHING, 60)
    assert ticket.in_flight is not None
    assert cache.fail(ticket.in_flight, ValueError("down"), may_be_stale=True) is None
    with pytest.raises(ValueError, match="down"):
        ticket.in_flight.result.result(0)
    assert cache.join(EVERYTHING, 60).is_leader


def test_a_stale_answer_serves_while_the_hub_is_down(cache: CatalogCache, clock: Clock) -> None:
    fetch(cache, OX)
    clock.now += 100
    ticket = cache.join(EVERYTHING, 60)
    assert ticket.in_flight is not None
    answer = cache.fail(ticket.in_flight, ValueError("down"), may_be_stale=True)
    assert answer is not None
    assert (answer.models, cache.age(answer)) == ((OX,), 100)
    assert ticket.in_flight.result.result(0) == (OX,)
    clock.now += 14
    assert cache.join(EVERYTHING, 60).models == (OX,)
    clock.now += 2
    assert cache.join(EVERYTHING, 60).is_leader


def test_a_lasting_error_is_not_hidden_by_an_old_answer(cache: CatalogCache, clock: Clock) -> None:
    fetch(cache, OX)
    clock.now += 100
    ticket = cache.join(EVERYTHING, 60)
    assert ticket.in_flight is not None
    assert cache.fail(ticket.in_flight, ValueError("no such key"), may_be_stale=False) is None


def test_a_waiter_takes_over_from_a_leader_that_left(cache: CatalogCache) -> None:
    ticket = cache.join(EVERYTHING, 60)
    assert ticket.in_flight is not None
    assert not ticket.in_flight.result.cancel()
    cache.abandon(ticket.in_flight)
    with pytest.raises(Abandoned):
        ticket.in_flight.result.result(0)
    assert cache.join(EVERYTHING, 60).is_leader
    cache.abandon(ticket.in_flight)  # late, and of no effect
    assert not cache.join(EVERYTHING, 60).is_leader


def test_a_late_answer_of_an_abandoned_leader_is_kept(cache: CatalogCache) -> None:
    late = cache.join(EVERYTHING, 60)
    assert late.in_flight is not None
    cache.abandon(late.in_flight)
    assert cache.complete(late.in_flight, [OX]) == (OX,)
    assert cache.fresh(EVERYTHING, 60) == (OX,)
    lost = cache.join("/models?search=ox", 60)
    assert lost.in_flight is not None
    cache.abandon(lost.in_flight)
    assert cache.fail(lost.in_flight, ValueError("no answer"), may_be_stale=True) is None


def test_a_fetch_from_before_a_clear_is_not_kept(cache: CatalogCache) -> None:
    ticket = cache.join(EVERYTHING, 60)
    assert ticket.in_flight is not None
    cache.forget()
    assert cache.complete(ticket.in_flight, [OX]) == (OX,)
    assert cache.fresh(EVERYTHING, 60) is None
    assert cache.peek("ox") is None


def test_an_empty_catalog_does_not_replace_a_full_one(cache: CatalogCache, clock: Clock) -> None:
    fetch(cache, OX)
    clock.now += 100
    fetch(cache)
    assert cache.ids() == ["ox"]
    fetch(cache, key="/models?developer_name=nobody")
    assert cache.fresh("/models?developer_name=nobody", 60) == ()


def test_the_fuller_description_of_a_model_is_kept(cache: CatalogCache) -> None:
    full = Model(id="ox", request_schema={"properties": {}})
    cache.put(full)
    fetch(cache, OX)
    assert cache.peek("ox") is full


def test_answers_are_bounded(cache: CatalogCache) -> None:
    fetch(cache, OX)
    for number in range(2000):
        cache.put(Model(id=f"m{number}"))
    assert cache.fresh(EVERYTHING, 60) == (OX,)
    assert len(cache._answers) <= 512


def test_caches_are_per_hub_and_key_and_hold_no_key() -> None:
    one = shared_cache("http://hub/api/ai", "sk-secret")
    assert shared_cache("http://hub/api/ai/", "sk-secret") is one
    assert shared_cache("http://hub/api/ai", "sk-other") is not one
    assert shared_cache("http://other/api/ai", "sk-secret") is not one

    def key() -> str:
        return "sk-secret"

    assert shared_cache("http://hub/api/ai", key) is shared_cache("http://hub/api/ai", key)
    assert "sk-secret" not in repr(catalog_cache._caches)
    clear_cache()
    assert shared_cache("http://hub/api/ai", "sk-secret") is not one


def test_caches_are_bounded() -> None:
    first = shared_cache("http://hub/api/ai", "0")
    for number in range(1, 64):
        shared_cache("http://hub/api/ai", str(number))
    assert shared_cache("http://hub/api/ai", "0") is first
    shared_cache("http://hub/api/ai", "64")  # the 65th; the one longest not asked for goes
    assert shared_cache("http://hub/api/ai", "0") is first
    assert len(catalog_cache._caches) == 64


def test_one_of_many_threads_leads(cache: CatalogCache) -> None:
    pilots: list[bool] = []
    start = threading.Barrier(50)

    def ask() -> None:
        start.wait()
        pilots.append(cache.join(EVERYTHING, 60).is_leader)

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pilots.count(True) == 1
