"""A ledger that fails at the worst moment: nothing unwritten is sent, nothing paid for is lost.

SQLite triggers stand for the full disk, and for the other process.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from oxen_inference import Budget, Ledger
from oxen_inference.errors import (
    BadRequestError,
    EnqueueOutcomeUnknown,
    GenerationTimeout,
    InvalidInputError,
    LedgerError,
)
from oxen_inference.ledger import leases
from oxen_inference.ledger.groups import GroupedWrites
from oxen_inference.ledger.maintenance import prune
from oxen_inference.media import submit
from oxen_inference.result import MediaResult
from oxen_sandbox import Sandbox
from tests.e2e.media.calls import MediaCalls, quick_async_client, quick_client
from tests.support.bad_hub import BadHub
from tests.support.databases import other_machine, sql

Generate = Callable[..., MediaResult]


@pytest.fixture(params=["sync", "async"])
def generate(request: pytest.FixtureRequest, hub: BadHub, ledger: Ledger) -> Generate:
    """`media.generate` of a new client of either kind, over either transport."""
    kind, _, own = request.param.partition(", ")

    def generated(**options: Any) -> MediaResult:
        call = MediaCalls(hub, ledger, kind)
        if own:
            of_its_own = {
                "sync": openai.DefaultHttpxClient,
                "async": openai.DefaultAsyncHttpxClient,
            }
            call.options["http_client"] = of_its_own[kind]()
        return call("generate", model="bad-image", prompt="ox", **options)

    return generated


over_either_transport = pytest.mark.parametrize(
    "generate", ["sync", "async", "sync, own transport", "async, own transport"], indirect=True
)


def breaks(ledger: Ledger, event: str, when: str = "1", how: str = "ABORT") -> None:
    """From now on the file refuses such a statement, as a full disk does."""
    sql(
        ledger,
        f"CREATE TRIGGER breaks BEFORE {event} WHEN {when}"
        f" BEGIN SELECT RAISE({how}, 'disk is full'); END",
    )


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_ledger_that_answers_after_the_time_limit_is_not_waited_for_again(
    is_refused: bool, hub: BadHub, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread writes that the request is on its way once nobody waits for it any more."""
    post, slow = ledger.mark_posting, threading.Event()

    def late(*args: Any) -> bool:
        if not slow.is_set():
            slow.set()
            time.sleep(2.0)
        return post(*args)

    monkeypatch.setattr(ledger, "mark_posting", late)

    async def submit_one() -> Any:
        retries = 0 if is_refused else 2
        async with quick_async_client(hub, ledger, timeout=0.5, max_retries=retries) as client:
            return await asyncio.wait_for(client.media.submit(model="bad-image", prompt="ox"), 60)

    if is_refused:
        with pytest.raises(openai.APITimeoutError):
            asyncio.run(submit_one())
        assert [entry.state for entry in ledger.entries()] == ["rejected"]
    else:
        assert asyncio.run(submit_one()).generation_ids == tuple(hub.accepted[0].ids)
    assert hub.posts["ox"] == (0 if is_refused else 1)


def mended(ledger: Ledger) -> None:
    sql(ledger, "DROP TRIGGER breaks")


@over_either_transport
@pytest.mark.parametrize("name", ["b", None])
def test_nothing_is_sent_that_cannot_be_marked_as_sent(
    name: str | None, hub: BadHub, ledger: Ledger, generate: Generate
) -> None:
    budget = Budget("1", name=name, ledger=ledger if name else None)
    breaks(ledger, "UPDATE ON oxen_entries", "NEW.state = 'posting'")
    with pytest.raises(LedgerError, match="disk is full"):
        generate(key="k", budget=budget)
    assert not hub.posts
    assert budget.reserved == 0
    mended(ledger)
    assert generate(key="k", budget=budget).status == "succeeded"
    assert len(hub.accepted) == 1


@over_either_transport
def test_what_another_process_took_over_is_not_sent(
    hub: BadHub, ledger: Ledger, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = ledger.mark_posting
    refusal = '{"type": "BadRequestError", "message": "refused over there"}'

    def taken_over(*arguments: Any) -> bool:
        statement = "UPDATE oxen_entries SET state = 'rejected', attempt = attempt + 1, error = :it"
        sql(ledger, statement, it=refusal)
        return post(*arguments)

    monkeypatch.setattr(ledger, "mark_posting", taken_over)
    with pytest.raises(BadRequestError, match="refused over there"):
        generate(key="k")
    assert not hub.posts


@pytest.mark.parametrize("when", ["it is claimed", "it is waited for"])
def test_a_key_that_is_pruned_meanwhile_is_sent_anew(
    when: str, hub: BadHub, ledger: Ledger, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(ledger, "UPDATE ON oxen_entries", "NEW.state = 'posting'")
    with pytest.raises(LedgerError, match="disk is full"):
        generate(key="k")
    mended(ledger)
    if when == "it is waited for":
        owner = other_machine(ledger, age=0)
        sql(ledger, "UPDATE oxen_entries SET state = 'intended', owner = :owner", owner=owner)
    name = "claim" if when == "it is claimed" else "get"
    move = getattr(ledger, name)

    def prune_first(*arguments: Any) -> Any:
        monkeypatch.undo()
        sql(ledger, "UPDATE oxen_entries SET state = 'rejected'")
        assert prune(ledger, 0) == 1
        return move(*arguments)

    monkeypatch.setattr(ledger, name, prune_first)
    assert generate(key="k", timeout=60).status == "succeeded"
    assert hub.posts == {"ox": 1}
    assert [entry.state for entry in ledger.entries()] == ["accepted"]


@pytest.mark.parametrize("how", ["ABORT", "ROLLBACK"])
def test_an_acceptance_that_cannot_be_written_is_still_the_callers(
    how: str, hub: BadHub, ledger: Ledger, generate: Generate, caplog: Any
) -> None:
    breaks(ledger, "UPDATE ON oxen_entries", "NEW.state = 'accepted'", how)
    result = generate(key="k")
    (ours,) = hub.accepted[0].ids
    assert (result.status, result.generation_ids) == ("succeeded", (ours,))
    told = [one.message for one in caplog.records if one.levelno == logging.ERROR]
    assert any(ours in one for one in told)
    assert all("disk is full" in one for one in told)
    assert len(hub.accepted) == 1


def test_an_acceptance_that_the_ledger_cannot_hold_is_still_the_callers(
    hub: BadHub, generate: Generate, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def refuse(*_: Any) -> Any:
        raise InvalidInputError("A text with a NUL cannot be written.")

    monkeypatch.setattr(GroupedWrites, "accept", refuse)
    assert generate(key="k").generation_ids == tuple(hub.accepted[0].ids)
    assert hub.accepted[0].ids[0] in caplog.text


@pytest.mark.parametrize("what", ["close_after", "refusal_in_200", "refusal_in_200_after"])
def test_a_ledger_that_is_lost_after_the_post_leaves_the_outcome_unknown(
    what: str, hub: BadHub, ledger: Ledger, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.plan, post = lambda *_: what, ledger.mark_posting

    def lost(*_: Any, **__: Any) -> Any:
        raise LedgerError("The server closed the connection.")

    def post_and_lose(*args: Any) -> bool:
        is_mine = post(*args)
        for name in ("owners", "get", "mark_unknown", "reject_unsent"):
            monkeypatch.setattr(ledger, name, lost)
        return is_mine

    monkeypatch.setattr(ledger, "mark_posting", post_and_lose)
    with pytest.raises(EnqueueOutcomeUnknown, match="the ledger is lost: The server") as unknown:
        generate(key="k")
    assert unknown.value.result is not None
    assert hub.posts["ox"] == 1
    monkeypatch.undo()
    if what != "refusal_in_200":
        hub.plan = lambda *_: "ok"
        assert generate(key="k").generation_ids == tuple(hub.accepted[0].ids)
        assert hub.posts["ox"] == 1


@pytest.mark.parametrize("is_refused", [True, False])
def test_what_is_not_sent_is_written_off_the_event_loop_and_once(
    is_refused: bool, hub: BadHub, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    reject, writers = ledger.reject_unsent, []

    def noted(*args: Any) -> None:
        writers.append(threading.current_thread())
        reject(*args)

    monkeypatch.setattr(ledger, "reject_unsent", noted)
    hub.plan = lambda *_: "status_400"
    if not is_refused:
        breaks(ledger, "UPDATE ON oxen_entries", "NEW.state = 'posting'")
    with pytest.raises(BadRequestError if is_refused else LedgerError):
        MediaCalls(hub, ledger, "async")("generate", model="bad-image", prompt="ox", key="k")
    assert [entry.state for entry in ledger.entries()] == ["rejected"]
    assert len(writers) == (0 if is_refused else 1)
    assert threading.current_thread() not in writers


def test_what_is_made_at_once_and_cannot_be_written_is_still_the_callers(
    ledger: Ledger, kind: str, tmp_path: Path, caplog: Any
) -> None:
    breaks(ledger, "UPDATE ON oxen_entries", "NEW.state = 'accepted'")
    with Sandbox(image_seconds=0.05) as hub:
        call = MediaCalls(hub, ledger, kind)
        made = call("generate", model="flux-2-dev", prompt="ox", direct=True, save_to=tmp_path)
    assert Path(made.paths[0]).is_file()
    assert "Made and paid for, but not written to the ledger" in caplog.text


def test_what_another_process_claimed_first_is_not_sent_again(
    hub: BadHub, ledger: Ledger, generate: Generate
) -> None:
    hub.plan = lambda _, attempt: "status_400" if attempt == 0 else "ok"
    with pytest.raises(BadRequestError):
        generate(key="k")
    with ledger.database.writing() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER taken BEFORE UPDATE ON oxen_entries WHEN OLD.state = 'rejected'"
            " AND NEW.state = 'intended' BEGIN UPDATE oxen_entries SET state = 'rejected', attempt = 7,"
            """ error = '{"type": "BadRequestError", "message": "refused over there"}'"""
            " WHERE entry_id = OLD.entry_id; SELECT RAISE(IGNORE); END"
        )
    with pytest.raises(BadRequestError, match="refused over there"):
        generate(key="k")
    assert hub.posts["ox"] == 1


def test_a_result_that_cannot_be_written_is_still_the_callers(
    hub: BadHub, ledger: Ledger, generate: Generate, tmp_path: Path, caplog: Any
) -> None:
    breaks(ledger, "UPDATE ON oxen_generations")
    result = generate(key="k", save_to=tmp_path / "to")
    assert Path(result.paths[0]).is_file()
    assert f"disk is full.): {hub.accepted[0].ids[0]};" in caplog.text
    mended(ledger)
    assert generate(key="k").cost == result.cost
    assert len(hub.accepted) == 1


def test_many_results_that_cannot_be_written_take_two_lines(
    hub: BadHub, ledger: Ledger, caplog: Any
) -> None:
    breaks(ledger, "UPDATE ON oxen_generations")
    with quick_client(hub, ledger) as client:
        requests = [{"model": "bad-image", "prompt": f"ox {n}"} for n in range(8)]
        results = client.media.generate_many(requests)
        assert all(isinstance(each, MediaResult) for each in results)
        said = [each for each in caplog.messages if "Not written to the ledger" in each]
        assert len(said) == 1
        mended(ledger)
        client.media.reconcile()
    said = [each for each in caplog.messages if "can be written again" in each]
    assert len(said) == 1
    assert "7 more generations" in said[0]


@pytest.mark.parametrize("is_direct", [False, True])
def test_what_could_not_be_written_is_written_later_and_others_go_on(
    ledger: Ledger, kind: str, is_direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a process that waits for this one's request would wait as long as this one lives."""
    monkeypatch.setattr(leases, "HEARTBEAT", 0.05)
    breaks(ledger, "UPDATE ON oxen_entries", "NEW.state = 'accepted'")
    with Sandbox(image_seconds=0.05) as hub:
        budget = Budget("1", name="herd", ledger=ledger)
        call = MediaCalls(hub, ledger, kind)
        request = {"model": "flux-2-dev", "prompt": "ox", "direct": is_direct, "budget": budget}
        made = call("generate", **request)
        assert made.status == "succeeded"
        assert [entry.state for entry in ledger.entries()] == ["posting"]
        mended(ledger)
        until = time.monotonic() + 60
        while ledger.entries()[0].state == "posting" and time.monotonic() < until:
            time.sleep(0.02)
        (entry,) = ledger.entries()
        assert (entry.state, entry.result().status) == ("accepted", "succeeded")
        assert budget.spent == (made.cost or 0)
        assert budget.spent or is_direct  # whose cost nobody states


def test_a_collection_that_cannot_be_written_is_still_one(
    hub: BadHub, ledger: Ledger, generate: Generate, caplog: Any
) -> None:
    breaks(ledger, "UPDATE ON oxen_calls")
    assert generate(conversation="c").status == "succeeded"
    assert "Not written to the ledger" in caplog.text


def test_a_request_another_process_is_sending_is_not_waited_for_beyond_the_timeout(
    hub: BadHub, ledger: Ledger, generate: Generate
) -> None:
    breaks(ledger, "UPDATE ON oxen_entries", "NEW.state = 'posting'")
    with pytest.raises(LedgerError):
        generate(key="k")
    mended(ledger)
    lease = other_machine(ledger, age=1)
    sql(ledger, "UPDATE oxen_entries SET state = 'intended', owner = :lease", lease=lease)
    with pytest.raises(GenerationTimeout, match="still sending this request"):
        generate(key="k", timeout=0.3)
    assert not hub.posts


def test_a_call_that_takes_an_abandoned_request_over_leaves_it_to_be_joined(
    hub: BadHub, ledger: Ledger, media: MediaCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    ox = {"model": "bad-image", "prompt": "ox", "conversation": "c"}
    breaks(ledger, "UPDATE ON oxen_entries", "NEW.state = 'posting'")
    with pytest.raises(LedgerError):
        media("submit", **ox, key="k")
    mended(ledger)
    lease = other_machine(ledger, age=1)
    sql(ledger, "UPDATE oxen_entries SET state = 'intended', owner = :lease", lease=lease)

    async def abandoned(*_: object) -> None:
        sql(ledger, "UPDATE oxen_leases SET heartbeat_at = 0 WHERE lease_id = :lease", lease=lease)

    monkeypatch.setattr(submit, "sleep", abandoned)
    media("submit", **ox, key="k")
    joined = media("generate", **ox)
    assert joined.generation_ids == tuple(hub.accepted[0].ids)
    assert hub.posts["ox"] == 1


def test_a_loop_that_ends_before_the_post_buys_nothing(hub: BadHub, ledger: Ledger) -> None:
    budget = Budget("0.05", name="b", ledger=ledger)
    with quick_client(hub, ledger) as client:
        model = client.catalog.get("bad-image")
    asked: list[int] = []

    async def never_again() -> str:
        asked.append(1)
        if len(asked) > 1:  # the first is for the catalog
            await asyncio.sleep(60)
        return "k"

    async def leaves() -> None:
        client = quick_async_client(hub, ledger, api_key=never_again)
        waiting = asyncio.create_task(
            client.media.generate(model=model, prompt="ox", key="k", budget=budget)
        )
        while len(asked) < 2:  # noqa: ASYNC110 - the hub is in another thread
            await asyncio.sleep(0.01)
        assert not waiting.done()  # asyncio.run cancels it, and what shields it

    asyncio.run(leaves())
    assert [entry.state for entry in ledger.entries()] == ["rejected"]
    assert budget.remaining == budget.limit
    assert not hub.posts


def test_a_loop_that_ends_during_the_post_leaves_the_doubt_on_record(
    hub: BadHub, ledger: Ledger
) -> None:
    hub.think = 0.2

    async def leaves() -> None:
        client = quick_async_client(hub, ledger)
        waiting = asyncio.create_task(
            client.media.generate(model="bad-image", prompt="ox", key="k")
        )
        while not hub.posts:  # noqa: ASYNC110 - the hub is in another thread
            await asyncio.sleep(0.01)
        assert not waiting.done()  # asyncio.run cancels it, and what shields it

    asyncio.run(leaves())
    (entry,) = ledger.entries()
    assert entry.state == "unknown"
    with quick_client(hub, ledger) as client:
        assert client.media.resume("k").generation_ids == tuple(hub.accepted[0].ids)
    assert hub.posts["ox"] == 1
