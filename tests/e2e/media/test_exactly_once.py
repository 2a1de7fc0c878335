"""One key, one job: from threads, tasks, processes, and after being killed."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from oxen_inference import Budget, Ledger
from oxen_inference.errors import (
    BadRequestError,
    BudgetExceededError,
    ConfigurationError,
    EnqueueOutcomeUnknown,
    KeyConflictError,
)
from oxen_inference.ledger.entries import Entry
from tests.e2e.media.calls import quick_async_client, quick_client
from tests.e2e.media.processes import kill_and_run_again, race
from tests.support.bad_hub import BadHub


def test_a_killed_process_run_again_buys_nothing_twice(tmp_path: Path) -> None:
    seen = kill_and_run_again(tmp_path, times=5, seed=3)
    assert seen["ok"] >= 4


def test_twins_in_processes_make_one_job(tmp_path: Path) -> None:
    hub, outcomes = race(tmp_path, processes=5, each=1)
    assert len(hub.accepted) == 1
    assert {kind for _, (kind, _) in outcomes} == {"ok"}
    assert {what[0] for _, (_, what) in outcomes} == {tuple(hub.accepted[0].ids)}


def test_twenty_twins_in_threads_make_one_job(ledger: Ledger) -> None:
    with BadHub(think=0.05) as hub, quick_client(hub, ledger) as client:
        with ThreadPoolExecutor(20) as threads:
            calls = [
                threads.submit(client.media.generate, model="bad-image", prompt="ox", key="k")
                for _ in range(20)
            ]
        results = {call.result().generation_ids for call in calls}
    assert len(hub.accepted) == 1
    assert results == {tuple(hub.accepted[0].ids)}


async def test_twenty_twins_in_tasks_make_one_job(ledger: Ledger) -> None:
    with BadHub(think=0.05) as hub:
        async with quick_async_client(hub, ledger) as client:
            results = await asyncio.gather(
                *(client.media.generate(model="bad-image", prompt="ox", key="k") for _ in range(20))
            )
    assert len(hub.accepted) == 1
    assert {result.generation_ids for result in results} == {tuple(hub.accepted[0].ids)}


def test_twins_share_a_lost_answer(ledger: Ledger) -> None:
    with BadHub(plan=lambda *_: "reset_after", lag=0.1) as hub:
        with quick_client(hub, ledger) as client, ThreadPoolExecutor(8) as threads:
            calls = [
                threads.submit(client.media.generate, model="bad-image", prompt="ox", key="k")
                for _ in range(8)
            ]
            results = {call.result().generation_ids for call in calls}
    assert len(hub.accepted) == 1
    assert len(results) == 1


class WatchedLedger(Ledger):
    """A ledger that knows when `expected` threads wait for what another one is sending."""

    def __init__(self, path: Path, expected: int) -> None:
        super().__init__(path)
        self.all_wait = threading.Event()
        self._expected, self._waiting = expected, set[int]()

    def get(self, entry_id: str) -> Entry | None:
        self._waiting.add(threading.get_ident())
        if len(self._waiting) == self._expected:
            self.all_wait.set()
        return super().get(entry_id)


def test_twins_share_a_refusal_and_a_later_call_tries_anew(tmp_path: Path) -> None:
    ledger = WatchedLedger(tmp_path / "j.sqlite3", expected=7)

    def refuse_when_all_wait(*_: object) -> str:
        assert ledger.all_wait.wait(60)
        return "status_400"

    with BadHub(plan=refuse_when_all_wait) as hub:
        with quick_client(hub, ledger, timeout=60) as client, ThreadPoolExecutor(8) as threads:
            calls = [
                threads.submit(client.media.generate, model="bad-image", prompt="ox", key="k")
                for _ in range(8)
            ]
            errors = [call.exception() for call in calls]
            assert {(type(error), str(error)) for error in errors} == {
                (BadRequestError, "refused with 400")
            }
            assert hub.posts["ox"] == 1
            hub.plan = lambda *_: "ok"
            assert client.media.generate(model="bad-image", prompt="ox", key="k").succeeded
    assert len(hub.accepted) == 1


class LateReadingLedger(Ledger):
    """A ledger whose first reading of what is being sent comes late: the sender has ended by then."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.was_read, self.is_decided = threading.Event(), threading.Event()

    def get(self, entry_id: str) -> Entry | None:
        entry = super().get(entry_id)
        if entry is None or entry.state != "posting":
            return entry
        self.was_read.set()
        assert self.is_decided.wait(60)
        return replace(entry, is_abandoned=True)


def test_a_refusal_is_known_to_a_twin_that_read_the_ledger_right_before_it(tmp_path: Path) -> None:
    ledger = LateReadingLedger(tmp_path / "j.sqlite3")

    def refuse_when_read(*_: object) -> str:
        assert ledger.was_read.wait(60)
        return "status_400"

    with BadHub(plan=refuse_when_read) as hub, quick_client(hub, ledger, timeout=60) as client:
        with ThreadPoolExecutor(2) as threads:
            calls = [
                threads.submit(client.media.generate, model="bad-image", prompt="ox", key="k")
                for _ in range(2)
            ]
            wait(calls, return_when=FIRST_COMPLETED)  # the sender's
            ledger.is_decided.set()
            assert [type(call.exception()) for call in calls] == [BadRequestError] * 2
        assert hub.posts["ox"] == 1


def test_a_key_with_other_parameters_is_refused_for_free(ledger: Ledger) -> None:
    with BadHub() as hub, quick_client(hub, ledger) as client:
        client.media.generate(model="bad-image", prompt="ox", key="k", params={"width": 512})
        with pytest.raises(KeyConflictError, match="different: width"):
            client.media.generate(model="bad-image", prompt="ox", key="k", params={"width": 640})
        same = client.media.generate(model="bad-image", prompt="ox", key="k", width=512.0)
    assert len(hub.accepted) == 1
    assert same.succeeded


def test_another_account_has_keys_of_its_own(ledger: Ledger) -> None:
    with BadHub() as hub:
        for api_key in ("one", "two"):
            with quick_client(hub, ledger, api_key=api_key) as client:
                client.media.generate(model="bad-image", prompt="ox", key="k")
    assert len(hub.accepted) == 2


def test_the_same_failure_again_for_the_same_key(ledger: Ledger) -> None:
    with BadHub(plan=lambda *_: "status_500_before") as hub:
        with quick_client(hub, ledger) as client:
            for _ in range(2):
                with pytest.raises(EnqueueOutcomeUnknown):
                    client.media.generate(model="bad-image", prompt="ox", key="k")
            assert hub.posts["ox"] == 1
            (entry,) = client.media.jobs()
            assert entry.state == "unknown"
            client.media.forget(entry.entry_id)
            hub.plan = lambda *_: "ok"
            assert client.media.generate(model="bad-image", prompt="ox", key="k").succeeded
    assert hub.posts["ox"] == 2


def test_a_key_needs_a_ledger_that_lasts(tmp_path: Path) -> None:
    with BadHub() as hub:
        with quick_client(hub, None) as client:
            with pytest.raises(ConfigurationError, match="ledger"):
                client.media.generate(model="bad-image", prompt="ox", key="k")
    assert not hub.posts


def test_a_direct_call_takes_no_key(tmp_path: Path) -> None:
    with BadHub() as hub, quick_client(hub, Ledger(tmp_path / "j")) as client:
        with pytest.raises(ConfigurationError, match="direct"):
            client.media.generate(model="bad-image", prompt="ox", key="k", direct=True)
    assert not hub.posts


def test_a_budget_raced_by_fifty_workers_is_never_exceeded(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "j.sqlite3")
    with BadHub(seconds=0.01) as hub, quick_client(hub, ledger) as client:

        def buy(number: int) -> bool:
            mine = Budget("1.02", name="shared", ledger=Ledger(tmp_path / "j.sqlite3"))
            try:
                client.media.submit(model="bad-image", prompt=f"ox {number}", budget=mine)
            except BudgetExceededError:
                return False
            return True

        with ThreadPoolExecutor(50) as threads:
            bought = sum(threads.map(buy, range(50)))
        budget = Budget("1.02", name="shared", ledger=ledger)
    assert bought == len(hub.accepted) == 20
    assert budget.reserved == Decimal("1.00")
    assert budget.remaining == Decimal("0.02")
