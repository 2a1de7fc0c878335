"""Several machines and one PostgreSQL: a dead process, a dead database, a cut network."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import EnqueueOutcomeUnknown, Ledger, LedgerError
from oxen_inference.ledger import leases
from tests.e2e.media.calls import MediaCalls
from tests.e2e.media.lost_databases import PACE, check_accounts, work_through_deaths
from tests.e2e.media.processes import cut_and_run_again, kill_and_run_again
from tests.support.bad_hub import BadHub
from tests.support.databases import emptied, sql
from tests.support.machines import MortalPostgres


@pytest.fixture
def mortal() -> Iterator[MortalPostgres]:
    database = MortalPostgres()
    yield database
    database.close()


def test_what_was_killed_on_one_machine_is_run_again_on_another(
    tmp_path: Path, postgres: str
) -> None:
    seen = kill_and_run_again(tmp_path, times=6, seed=9, location=emptied(postgres), hosts=3)
    assert seen["ok"] >= 3  # of the rest a slow machine may not know the outcome


def test_what_was_cut_off_on_one_machine_is_found_on_another(tmp_path: Path, postgres: str) -> None:
    met = cut_and_run_again(tmp_path, times=2, location=emptied(postgres), hosts=3)
    assert met.total() == 2
    assert "ok" not in met


def test_workers_live_through_the_deaths_of_their_database(mortal: MortalPostgres) -> None:
    with BadHub(think=0.03, seconds=0.2) as hub:
        seen = work_through_deaths(mortal, hub, deaths=3, workers=3, seed=1)
        assert seen["made"] > 3
        check_accounts(mortal, hub)


def test_without_its_database_nothing_is_sent(
    mortal: MortalPostgres, hub: BadHub, kind: str
) -> None:
    ledger = Ledger(mortal.url)
    ledger.setup()
    media = MediaCalls(hub, ledger, kind)
    media("generate", model="bad-image", prompt="before", key="before")
    mortal.kill()
    with pytest.raises(LedgerError):
        media("generate", model="bad-image", prompt="an ox", key="k")
    assert hub.posts == {"before": 1}
    mortal.start()
    assert media("generate", model="bad-image", prompt="an ox", key="k").succeeded


@pytest.mark.parametrize("answer", ["ok", "close_after"])
def test_a_request_whose_database_died_after_it_was_sent_is_found_again(
    mortal: MortalPostgres, hub: BadHub, kind: str, answer: str
) -> None:
    ledger = Ledger(mortal.url)
    ledger.setup()
    media = MediaCalls(hub, ledger, kind)
    media.pace = PACE

    def die(_prompt: str, _attempt: int) -> str:
        mortal.kill()
        return answer

    hub.plan, hub.seconds = die, 0.3
    bought: list[Any] = []
    if answer == "ok":
        bought.append(media("generate", model="bad-image", prompt="an ox", key="k"))
    else:
        with pytest.raises(EnqueueOutcomeUnknown, match="the ledger is lost"):
            media("generate", model="bad-image", prompt="an ox", key="k")
    mortal.start()
    result = media("generate", model="bad-image", prompt="an ox", key="k", timeout=30)
    (submission,) = hub.submissions_of("an ox")
    assert list(result.generation_ids) == submission.ids
    assert all(one.generation_ids == result.generation_ids for one in bought)


def test_after_a_pod_s_death_a_new_ask_waits_for_its_heartbeat_and_joins(
    postgres: str, hub: BadHub, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The framework asks again at once, on another machine, in the same conversation."""
    monkeypatch.setattr(leases, "STALE", 3.0)
    hub.seconds = 8.0
    ledger = Ledger(emptied(postgres))
    first = MediaCalls(hub, ledger, kind)
    request = {"model": "bad-image", "prompt": "an ox", "conversation": "thread 1"}
    caller = threading.Thread(
        target=lambda: first("generate", **request, key="call 1", timeout=30), daemon=True
    )
    caller.start()
    while not hub.submissions_of("an ox"):
        time.sleep(0.02)
    time.sleep(0.3)
    # That process was another machine's, and has just died.
    identity = '{"host": "another", "boot": "b", "space": "s", "pid": 1, "started": "1"}'
    lease = sql(ledger, "SELECT lease_id FROM oxen_waits")[0][0]
    sql(
        ledger,
        "INSERT INTO oxen_leases SELECT 'dead', :identity, heartbeat_at FROM oxen_leases "
        "WHERE lease_id = :lease",
        identity=identity, lease=lease,
    )  # fmt: skip
    sql(ledger, "UPDATE oxen_waits SET lease_id = 'dead'")
    age = sql(ledger, "SELECT extract(epoch FROM clock_timestamp()) - heartbeat_at FROM oxen_leases WHERE lease_id = 'dead'")[0][0]  # fmt: skip
    started = time.monotonic()
    again = MediaCalls(hub, Ledger(postgres), kind)
    result = again("generate", **request, key="call 2", timeout=30)
    assert time.monotonic() - started > 3.0 - float(age) - 0.1
    assert list(result.generation_ids) == hub.submissions_of("an ox")[0].ids
    assert len(hub.submissions_of("an ox")) == 1
    caller.join(30)
