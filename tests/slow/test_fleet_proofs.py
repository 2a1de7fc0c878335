"""Several machines, one PostgreSQL, and what may happen to them, at full length."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.media.lost_databases import check_accounts, work_through_deaths
from tests.e2e.media.processes import cut_and_run_again, kill_and_run_again
from tests.support.bad_hub import BadHub
from tests.support.databases import emptied
from tests.support.machines import MortalPostgres

pytestmark = pytest.mark.slow


def test_three_hundred_kills_over_three_machines(tmp_path: Path, postgres: str) -> None:
    seen = kill_and_run_again(tmp_path, times=300, seed=5, location=emptied(postgres), hosts=3)
    print(dict(seen))
    assert seen["ok"] >= 290


def test_a_hundred_cuts_between_enqueue_and_answer(tmp_path: Path, postgres: str) -> None:
    met = cut_and_run_again(tmp_path, times=100, location=emptied(postgres), hosts=3)
    print(dict(met))
    assert met.total() == 100
    assert "ok" not in met
    assert met["EnqueueOutcomeUnknown"] >= 25


def test_fifty_deaths_of_the_database() -> None:
    database = MortalPostgres()
    with BadHub(think=0.03, seconds=0.2) as hub:
        seen = work_through_deaths(database, hub, deaths=50, workers=4, seed=2)
        print(dict(seen), len(hub.accepted))
        check_accounts(database, hub)
    assert seen["made"] > 50
    assert seen["failed"] > 10
    database.close()
