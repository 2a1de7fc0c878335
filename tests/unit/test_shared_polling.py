"""Who of several pollers asks the hub, decided in the ledger."""

from __future__ import annotations

from decimal import Decimal

from oxen_inference import Ledger
from oxen_inference.generation import Generation
from oxen_inference.ledger.entries import Scope
from oxen_inference.ledger.polls import SharedPolling, Turn, WantedJob
from tests.support.databases import other_machine, sql

SCOPE = Scope("https://hub", "me")
JOB = WantedJob("g1", "image", "m", None)


def take(shared: SharedPolling, *jobs: WantedJob, hold: float = 60, may_ask: bool = True) -> Turn:
    turn = shared.take_turn(jobs, hold, may_ask=may_ask)
    assert turn is not None
    return turn


def test_one_asks_and_the_others_read(ledger: Ledger) -> None:
    first, second = SharedPolling(ledger, lambda: SCOPE), SharedPolling(ledger, lambda: SCOPE)
    assert take(first, JOB).is_mine
    other = take(second, JOB, WantedJob("g2", "video", "n", "org"))
    assert (other.is_mine, other.is_anothers, other.rows, other.ages) == (False, True, {}, {})
    turn = take(first, JOB)
    assert turn.is_mine
    assert [(job.generation_id, job.model, job.namespace) for job in turn.others] == [
        ("g2", "n", "org")
    ]
    done = Generation(
        generation_id="g1", status="succeeded", prompt="secret", cost=Decimal("0.05"),
        result_url="https://x/y", params={"seed": 3, "negative_prompt": "secret"},
    )  # fmt: skip
    first.publish(["g1", "g2"], {"g1": done})
    read = take(second, JOB, WantedJob("g2", "video", "n", "org"))
    assert read.rows is not None
    assert read.ages is not None
    row = read.rows["g1"]
    assert (row.status, row.cost, row.result_url) == ("succeeded", Decimal("0.05"), "https://x/y")
    assert row.params == {"seed": 3}
    assert "secret" not in str(sql(ledger, "SELECT row FROM oxen_polls"))
    assert set(read.rows) == {"g1"}
    assert all(0 <= age < 5 for age in read.ages.values())
    assert set(read.ages) == {"g1", "g2"}
    # What has ended is asked for no more.
    assert [job.generation_id for job in take(first).others] == ["g2"]


def test_a_turn_is_left_ends_and_is_never_two_pollers_at_once(ledger: Ledger) -> None:
    first, second = SharedPolling(ledger, lambda: SCOPE), SharedPolling(ledger, lambda: SCOPE)
    assert take(first).is_mine
    first.resign()
    assert not take(second, may_ask=False).is_mine  # it has reasons of its own not to ask
    assert take(second).is_mine
    assert not take(first).is_mine
    second.resign()
    assert take(first, hold=-1).is_mine
    assert take(second).is_mine  # the first one's time was over
    first.resign()  # which is not its own to leave any more
    assert not take(first).is_mine


def test_the_turn_of_a_process_known_to_be_dead_is_over_at_once(ledger: Ledger) -> None:
    first, second = SharedPolling(ledger, lambda: SCOPE), SharedPolling(ledger, lambda: SCOPE)
    assert take(first).is_mine
    fresh, stale = other_machine(ledger, age=1), other_machine(ledger, age=100)
    sql(ledger, "UPDATE oxen_pollers SET lease_id = :lease", lease=fresh)
    assert not take(second).is_mine
    sql(ledger, "UPDATE oxen_pollers SET lease_id = :lease", lease=stale)
    assert take(second).is_mine


def test_accounts_do_not_share_a_poller(ledger: Ledger) -> None:
    mine = SharedPolling(ledger, lambda: SCOPE)
    yours = SharedPolling(ledger, lambda: Scope("https://hub", "you"))
    assert take(mine, JOB).is_mine
    turn = take(yours)
    assert turn.is_mine
    assert turn.others == ()


def test_the_rest_that_the_hub_wants_is_for_all(ledger: Ledger) -> None:
    first, second = SharedPolling(ledger, lambda: SCOPE), SharedPolling(ledger, lambda: SCOPE)
    assert take(first).is_mine
    first.rest(30)
    assert 25 < take(second).rest <= 30


def test_a_damaged_row_is_as_none(ledger: Ledger) -> None:
    first, second = SharedPolling(ledger, lambda: SCOPE), SharedPolling(ledger, lambda: SCOPE)
    take(first)
    take(second, JOB)
    for damage in (
        "{",
        "[]",
        '{"cost": "x"}',
        '{"cost": null, "generation_id": "other", "status": "failed"}',
    ):
        sql(ledger, "UPDATE oxen_polls SET row = :row", row=damage)
        assert take(second, JOB).rows == {}


def test_jobs_that_nobody_waits_for_are_forgotten(ledger: Ledger) -> None:
    first, second = SharedPolling(ledger, lambda: SCOPE), SharedPolling(ledger, lambda: SCOPE)
    take(first)
    take(second, JOB)
    sql(ledger, "UPDATE oxen_polls SET wanted_until = 1")
    assert take(first).others == ()
    assert sql(ledger, "SELECT count(*) FROM oxen_polls")[0][0] == 0


def test_a_ledger_in_memory_is_not_shared() -> None:
    assert SharedPolling(Ledger.in_memory(), lambda: SCOPE).take_turn([JOB], 1) is None
