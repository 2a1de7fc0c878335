"""Getting back what was interrupted: by another process, another day, or a person who knows."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Budget, Ledger, OxenClient
from oxen_inference.effects import StopRequest
from oxen_inference.errors import (
    EnqueueOutcomeUnknown,
    GenerationTimeout,
    InsufficientCreditsError,
    InvalidInputError,
    NotFoundError,
    OxenError,
)
from oxen_inference.media import lost_jobs
from oxen_sandbox import Fault, Sandbox
from tests.e2e.media.calls import QUICK, MediaCalls, quick_async_client, quick_client
from tests.support.bad_hub import BadHub
from tests.support.databases import sql


@pytest.fixture
def client(hub: BadHub, ledger: Ledger) -> Iterator[OxenClient]:
    with quick_client(hub, ledger) as client:
        yield client


def foreign(hub: BadHub, **changes: Any) -> dict[str, Any]:
    """A job that somebody without this ledger made."""
    return {
        "generation_id": str(uuid.uuid4()), "model_name": "bad-image", "prompt": "ox",
        "media_type": "image", "status": "succeeded", "enqueued_at": int(time.time()),
        "result_url": f"{hub.base_url}/files/x", "cost": "0.05", **changes,
    }  # fmt: skip


def test_jobs_listed_late_are_found_later(client: OxenClient, hub: BadHub, tmp_path: Path) -> None:
    hub.plan, hub.lag = (lambda *_: "reset_after"), 3600.0
    budget = Budget(1, name="b", ledger=client.media.ledger)
    with pytest.raises(EnqueueOutcomeUnknown, match="no generation on the hub matches"):
        client.media.generate(model="bad-image", prompt="ox", budget=budget)
    assert budget.reserved == Decimal("0.05")
    hub.lag = 0.0
    (entry,) = client.media.reconcile(save_to=tmp_path)
    assert entry.generation_ids == tuple(hub.accepted[0].ids)
    assert Path(entry.items[0].path or "").is_file()
    assert (budget.reserved, budget.spent) == (0, Decimal("0.05"))
    assert client.media.reconcile(save_to=tmp_path) == []


def test_somebody_elses_job_like_it_makes_it_ambiguous(client: OxenClient, hub: BadHub) -> None:
    hub.plan = lambda *_: "reset_after"
    hub.foreign_rows = [foreign(hub)]
    with pytest.raises(EnqueueOutcomeUnknown, match="2 generations match it") as doubt:
        client.media.generate(model="bad-image", prompt="ox", key="k")
    assert len(doubt.value.candidates) == 2
    (ours,) = hub.accepted[0].ids
    result = client.media.adopt(client.media.jobs()[0].entry_id, ours).wait()
    assert result.generation_ids == (ours,)
    assert client.media.generate(model="bad-image", prompt="ox", key="k") == result


@pytest.mark.parametrize(
    "changes", [{"seed": 7}, {"width": 640}, {"enqueued_at": int(time.time()) - 3600},
                {"model_name": "other"}, {"prompt": "an ox"}, {"num_generations": 2}],
)  # fmt: skip
def test_somebody_elses_other_job_is_not_taken(client: OxenClient, hub: BadHub, changes: Any) -> None:  # fmt: skip
    hub.plan = lambda *_: "reset_after"
    hub.foreign_rows = [foreign(hub, **changes)]
    result = client.media.generate(model="bad-image", prompt="ox")
    assert result.generation_ids == tuple(hub.accepted[0].ids)


def test_nothing_is_taken_while_the_hub_cannot_be_asked(client: OxenClient, hub: BadHub) -> None:
    hub.plan = lambda *_: "close_after"
    hub.fail_gets = lambda path: path.endswith("/generations")
    with pytest.raises(EnqueueOutcomeUnknown, match="could not be looked for"):
        client.media.generate(model="bad-image", prompt="ox", key="k")
    hub.fail_gets = lambda _: False
    assert client.media.resume("k").generation_ids == tuple(hub.accepted[0].ids)
    assert hub.posts["ox"] == 1


def test_reconciling_frees_the_money_of_a_request_never_sent(client: OxenClient, ledger: Ledger, hub: BadHub) -> None:  # fmt: skip
    budget = Budget(1, name="b", ledger=ledger)
    hub.plan = lambda *_: "reset_before"
    with pytest.raises(EnqueueOutcomeUnknown):
        client.media.generate(model="bad-image", prompt="ox", key="k", budget=budget)
    # As a process that died before sending left it.
    sql(ledger, "UPDATE oxen_entries SET state = 'intended', owner = 'nobody'")
    with pytest.raises(InvalidInputError, match="never sent"):
        client.media.resume("k")
    (entry,) = client.media.reconcile()
    assert entry.state == "rejected"
    assert budget.remaining == 1
    hub.plan = lambda *_: "ok"
    assert client.media.generate(model="bad-image", prompt="ox", key="k", budget=budget).succeeded


def test_a_synchronous_request_whose_process_died_can_be_forgotten(
    oxen_sandbox: Sandbox, ledger: Ledger
) -> None:
    budget = Budget(1, name="b", ledger=ledger)
    oxen_sandbox.inject(Fault("reset", when="after", method="POST", path="*/images/generate"))
    with OxenClient(
        api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url, ledger=ledger
    ) as client:
        with pytest.raises(EnqueueOutcomeUnknown):
            client.media.generate(model="flux-2-dev", prompt="ox", direct=True, budget=budget)
        # As a process that died while it was sending left it.
        sql(ledger, "UPDATE oxen_entries SET state = 'posting', owner = 'nobody'")
        (entry,) = client.media.reconcile()
        assert entry.state == "unknown"
        assert budget.reserved == Decimal("0.013")
        assert client.media.forget(entry.entry_id).state == "rejected"
    assert budget.remaining == 1


def test_an_id_named_twice_counts_once_and_is_billed_once(client: OxenClient, hub: BadHub) -> None:
    budget = Budget(1, name="b", ledger=client.media.ledger)
    hub.plan = lambda *_: "doubled_ids"
    result = client.media.generate(model="bad-image", prompt="ox", num_generations=2, budget=budget)
    assert len(result.items) == 2
    assert result.notes == ()
    assert budget.spent == Decimal("0.10")


def test_an_old_id_is_no_acceptance(client: OxenClient, hub: BadHub, ledger: Ledger) -> None:
    first = client.media.generate(model="bad-image", prompt="ox")
    hub.repeat_ids = list(first.generation_ids)
    second = client.media.generate(model="bad-image", prompt="another ox")
    assert second.generation_ids == tuple(hub.accepted[1].ids)
    assert second.generation_ids != first.generation_ids


def test_an_id_that_nobody_could_write_is_none(client: OxenClient, hub: BadHub) -> None:
    hub.repeat_ids = ["\ud800"]
    budget = Budget(1, name="b", ledger=client.media.ledger)
    result = client.media.generate(model="bad-image", prompt="ox", key="k", budget=budget)
    assert result.generation_ids == tuple(hub.accepted[0].ids)
    assert budget.spent == Decimal("0.05")
    assert len(hub.accepted) == 1


@pytest.mark.parametrize("shape", ["flat_answer", "wrapped_answer"])
def test_an_id_counts_in_whatever_shape_it_comes(client: OxenClient, hub: BadHub, shape: str) -> None:  # fmt: skip
    hub.plan, hub.lag = (lambda *_: shape), 1.0  # no list could help out
    handle = client.media.submit(model="bad-image", prompt="ox")
    assert handle.generation_ids == tuple(hub.accepted[0].ids)


@pytest.mark.parametrize("many", ["2", None, 1])
def test_a_lost_answer_is_found_however_the_envelope_is_shown(client: OxenClient, hub: BadHub, many: Any) -> None:  # fmt: skip
    hub.plan = lambda *_: "reset_after"
    hub.shown = lambda _, row: {
        **{name: value for name, value in row.items() if name != "target_namespace"},
        "namespace": "me",
        "num_generations": many,
    }
    result = client.media.generate(
        model="bad-image", prompt="ox", num_generations=2, target_namespace="me"
    )
    assert result.generation_ids == tuple(sorted(hub.accepted[0].ids))


def test_what_the_ledger_does_not_know_cannot_be_resumed(client: OxenClient) -> None:
    with pytest.raises(InvalidInputError, match="has no key 'nothing'"):
        client.media.resume("nothing")
    with pytest.raises(InvalidInputError, match="one of key"):
        client.media.attach()


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_during_the_post_keeps_the_ids(client: OxenClient, hub: BadHub, ledger: Ledger, caplog: Any) -> None:  # fmt: skip
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell has it ignored
    client.catalog.get("bad-image")
    hub.think, hub.seconds = 0.15, 60.0

    def interrupt() -> None:
        while not hub.accepted:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        client.media.generate(model="bad-image", prompt="ox", key="k")
    (entry,) = ledger.entries()
    assert entry.generation_ids == tuple(hub.accepted[0].ids)
    assert hub.accepted[0].ids[0] in caplog.text
    hub.seconds = 0.0
    assert client.media.resume("k").succeeded


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_keeps_what_was_not_begun_from_being_bought(
    hub: BadHub, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ask, asked, all_asked = StopRequest.set, [], threading.Event()

    def told(stop: StopRequest) -> None:
        ask(stop)
        asked.append(stop)
        if len(asked) == 2:
            all_asked.set()

    monkeypatch.setattr(StopRequest, "set", told)
    hub.plan = lambda *_: "ok" if all_asked.wait(60) else "status_400"

    def interrupt() -> None:
        while not hub.posts:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    with quick_client(hub, ledger, timeout=60.0) as client:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            client.media.generate_many(
                [{"prompt": "a"}, {"prompt": "b"}], model="bad-image", max_connections=1
            )  # the second waits for the first
    assert sum(hub.posts.values()) == len(hub.accepted) == 1
    assert [entry.prompt for entry in ledger.entries()] == ["a"]


async def test_waiters_that_come_and_go_are_all_served(hub: BadHub, ledger: Ledger) -> None:
    pace = replace(QUICK, image=(0.01, 0.01), gap=0.0)
    async with quick_async_client(hub, ledger, pace=pace) as client:
        for number in range(30):  # each begins as the watcher of the one before says goodbye
            job = client.media.generate(model="bad-image", prompt=f"ox {number}")
            assert (await asyncio.wait_for(job, 60)).succeeded


@pytest.mark.parametrize("fault", ["reset_after", "close_after", "hang_after", "reset_before"])
async def test_a_transport_of_ones_own_is_never_trusted_to_know(fault: str, hub: BadHub, ledger: Ledger) -> None:  # fmt: skip
    """aiohttp calls a connection that was reset after sending a failure to connect."""
    import openai

    hub.plan = lambda *_: fault
    transport = openai.DefaultAioHttpClient(timeout=0.4)
    async with quick_async_client(hub, ledger, http_client=transport, timeout=0.4) as client:
        try:
            result = await client.media.generate(model="bad-image", prompt="ox")
        except EnqueueOutcomeUnknown:
            assert not hub.accepted
        else:
            assert [list(result.generation_ids)] == [one.ids for one in hub.accepted]
    assert hub.posts["ox"] == 1


def test_a_hub_without_a_history_is_enough(client: OxenClient, hub: BadHub, tmp_path: Path) -> None:
    hub.has_history, hub.plan, hub.seconds = False, (lambda *_: "reset_after"), 0.0
    handles = [client.media.submit(model="bad-image", prompt=f"ox {number}") for number in range(4)]
    assert all(handle.wait(save_to=tmp_path).paths for handle in handles)
    assert len(hub.accepted) == sum(hub.posts.values()) == 4


def test_a_result_named_by_its_path_is_the_hubs(client: OxenClient, hub: BadHub, tmp_path: Path) -> None:  # fmt: skip
    hub.url_prefix = ""
    result = client.media.generate(model="bad-image", prompt="ox", save_to=tmp_path)
    assert result.paths
    assert result.urls[0].startswith(hub.origin)


def test_generations_made_elsewhere_are_taken_in(client: OxenClient, hub: BadHub, tmp_path: Path) -> None:  # fmt: skip
    hub.foreign_rows = rows = [foreign(hub), foreign(hub, prompt="an ox", cost="0.07")]
    ids = tuple(str(row["generation_id"]) for row in rows)
    handle = client.media.attach(generation_ids=ids)
    assert (handle.generation_ids, handle.key, handle.model) == (ids, None, "bad-image")
    assert ids[0] in repr(handle)
    result = handle.wait(save_to=tmp_path / "to")
    assert (len(result.paths), result.cost) == (2, Decimal("0.12"))
    assert client.media.attach(generation_ids=ids).entry_id == handle.entry_id
    one = client.media.attach(generation_ids=ids[:1])
    assert (one.entry_id, one.generation_ids) == (handle.entry_id, ids[:1])
    assert not hub.posts


def test_generations_nobody_made_are_not_taken_in(client: OxenClient) -> None:
    with pytest.raises(NotFoundError):
        client.media.attach(generation_ids=[str(uuid.uuid4())])
    assert client.media.jobs() == []


def test_generations_of_two_requests_are_no_one_job(client: OxenClient, hub: BadHub) -> None:
    hub.foreign_rows = [foreign(hub)]
    first, second = (client.media.submit(model="bad-image", prompt=f"ox {n}") for n in "ab")
    for ids in (
        first.generation_ids + second.generation_ids,
        (*first.generation_ids, hub.foreign_rows[0]["generation_id"]),
    ):
        with pytest.raises(InvalidInputError, match="more than one request"):
            client.media.attach(generation_ids=ids)
    assert len(client.media.jobs()) == 2


def test_only_a_request_in_doubt_adopts_and_only_what_is_free(client: OxenClient, hub: BadHub) -> None:  # fmt: skip
    done = client.media.submit(model="bad-image", prompt="ox")
    with pytest.raises(InvalidInputError, match="is accepted; only one of unknown outcome"):
        client.media.adopt(done.entry_id, ["a"])
    hub.plan = lambda *_: "reset_before"
    with pytest.raises(EnqueueOutcomeUnknown) as doubt:
        client.media.generate(model="bad-image", prompt="another ox")
    entry_id = doubt.value.result.entry_id
    with pytest.raises(InvalidInputError, match="belongs to another entry"):
        client.media.adopt(entry_id, done.generation_ids)
    with pytest.raises(InvalidInputError, match="only one of unknown outcome"):
        client.media.adopt(entry_id, [])
    assert client.media.jobs()[0].state == "unknown"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_only_what_oxen_shows_of_that_model_is_adopted(hub: BadHub, ledger: Ledger, kind: str) -> None:  # fmt: skip
    calls = MediaCalls(hub, ledger, kind, max_retries=0)
    hub.plan = lambda *_: "reset_before"
    with pytest.raises(EnqueueOutcomeUnknown) as unknown:
        calls("generate", model="bad-image", prompt="ox")
    entry_id = unknown.value.result.entry_id
    mine, other = (foreign(hub, model_name=name) for name in ("bad-image", "another"))
    hub.foreign_rows = [mine, other]
    for given, words in (
        ("nosuch-generation", "Oxen knows no generation nosuch-generation"),
        (other["generation_id"], "is of another, and entry"),
        ([mine["generation_id"], "nosuch"], "Oxen knows no generation nosuch"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            calls("adopt", entry_id, given)
    hub.fail_gets = lambda _: True
    with pytest.raises(OxenError) as refused:
        calls("adopt", entry_id, mine["generation_id"])
    assert refused.value.is_retryable
    assert calls("jobs")[0].state == "unknown"
    hub.fail_gets = lambda _: False
    calls("adopt", entry_id, mine["generation_id"])
    (entry,) = calls("jobs")
    assert (entry.statuses, entry.cost) == (("succeeded",), Decimal("0.05"))


def test_a_job_that_oxen_denies_for_long_is_not_waited_for_forever(hub: BadHub, ledger: Ledger) -> None:  # fmt: skip
    pace = replace(QUICK, unlisted=1.0)
    with quick_client(hub, ledger, pace=pace) as client:
        hub.lag = 3600.0  # accepted, and never listed
        with pytest.raises(NotFoundError, match="has known none of its jobs") as lost:
            client.media.generate(model="bad-image", prompt="ox", key="k")
        assert lost.value.result.generation_ids == tuple(hub.accepted[0].ids)
        hub.lag = 0.0
        assert client.media.resume("k").succeeded
    assert hub.posts["ox"] == 1


def test_a_request_that_is_being_sent_is_left_alone(hub: BadHub, ledger: Ledger) -> None:
    go = threading.Event()
    hub.plan = lambda *_: "ok" if go.wait(60) else "status_400"
    with quick_client(hub, ledger, timeout=60.0) as client, ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.media.generate, model="bad-image", prompt="ox", key="k")
        while not hub.posts:
            time.sleep(0.005)
        (entry,) = client.media.reconcile()
        assert entry.state == "posting"
        with pytest.raises(GenerationTimeout, match="still sending"):
            client.media.attach(key="k").wait(timeout=0.1)
        go.set()
        assert client.media.attach(key="k").wait().generation_ids == call.result().generation_ids
    assert hub.posts["ox"] == 1


def test_a_refused_request_says_so_to_whoever_asks_for_it(client: OxenClient, hub: BadHub) -> None:
    hub.plan = lambda *_: "status_402"
    with pytest.raises(InsufficientCreditsError):
        client.media.generate(model="bad-image", prompt="ox", key="k")
    with pytest.raises(InsufficientCreditsError, match="refused with 402"):
        client.media.resume("k")
    assert "rejected" in repr(client.media.attach(key="k"))
    assert hub.posts["ox"] == 1


def test_more_than_asked_for_is_said(client: OxenClient, hub: BadHub, caplog: Any) -> None:
    hub.repeat_ids = [str(uuid.uuid4()) for _ in range(3)]
    handle = client.media.submit(model="bad-image", prompt="ox")
    assert handle.generation_ids == tuple(hub.repeat_ids)
    assert handle.result.notes == ("1 generations were requested, Oxen started 3.",)
    assert handle.result.notes[0] in caplog.text


@pytest.mark.parametrize("history", ["paged", "text", "unsaid", "missing"])
def test_many_jobs_are_asked_for_in_pages(
    history: str, client: OxenClient, hub: BadHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oxen_inference.media.history.MOST_ROWS", 2)
    hub.has_history, hub.seconds = history != "missing", 0.0
    hub.state_pages = {"text": str, "unsaid": lambda _: None}.get(history, int)
    for number in range(6):
        client.media.submit(model="bad-image", prompt=f"ox {number}")
    hub.requests.clear()
    entries = client.media.reconcile()
    assert [entry.is_settled for entry in entries] == [True] * 6
    pages = [path for _, path in hub.requests if path.endswith("/generations")]
    # The last few are asked for singly; where there is no history, a second round may try it again.
    assert len(pages) in ((1, 2) if history == "missing" else (2,))


def test_a_job_that_cannot_be_asked_for_does_not_stop_the_others(
    client: OxenClient, hub: BadHub, tmp_path: Path, caplog: Any
) -> None:
    hub.seconds = 0.0
    lost, fine = (client.media.submit(model="bad-image", prompt=f"ox {n}") for n in "ab")

    def empty(connection: socket.socket, path: str) -> bool:
        if path.endswith(f"/files/{lost.generation_ids[0]}"):
            connection.sendall(b"HTTP/1.1 204 X\r\n\r\n")
            return True
        return False

    hub.take_over = empty
    entries = {entry.entry_id: entry for entry in client.media.reconcile(save_to=tmp_path)}
    assert entries[fine.entry_id].items[0].path
    assert not entries[lost.entry_id].items[0].path
    assert lost.generation_ids[0] in caplog.text
    hub.take_over = lambda *_: False
    (entry,) = client.media.reconcile(save_to=tmp_path)
    assert entry.items[0].path


async def test_the_async_client_gets_back_the_same(hub: BadHub, ledger: Ledger, tmp_path: Path) -> None:  # fmt: skip
    async with quick_async_client(hub, ledger) as client:
        hub.plan = lambda *_: "reset_before"
        with pytest.raises(EnqueueOutcomeUnknown) as doubt:
            await client.media.generate(model="bad-image", prompt="ox")
        hub.foreign_rows = [row] = [foreign(hub, prompt="made by hand")]
        entry_id, ours = doubt.value.result.entry_id, str(row["generation_id"])
        handle = await client.media.adopt(entry_id, [ours])
        assert (await handle.wait(save_to=tmp_path)).paths
        assert [entry.state for entry in await client.media.jobs()] == ["accepted"]
        with pytest.raises(InvalidInputError, match="can be written off once"):
            await client.media.forget(entry_id)


@pytest.mark.parametrize(("age", "most", "pages"), [(0, 10, 5), (9000, 10, 1), (0, 2, 4)])
def test_a_long_history_is_read_until_it_goes_past_the_request(
    age: int, most: int, pages: int, hub: BadHub, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_jobs, "_LOOKS", ((100, 1), (400, 1), (1000, most)))
    hub.states_date = True  # or nothing says what is before the request
    hub.plan = lambda *_: "reset_after"
    rows = [foreign(hub, prompt="a cow", enqueued_at=int(time.time()) - age)] * 2500
    hub.foreign_rows = rows
    pace = replace(QUICK, lookup=9.0)
    with quick_client(hub, ledger, pace=pace) as client:
        handle = client.media.submit(model="bad-image", prompt="ox")
    assert handle.generation_ids == tuple(hub.accepted[0].ids)
    asked = [path for _, path in hub.requests if path.endswith("/generations")]
    assert len(asked) == 2 * pages  # found twice before it is believed


def test_what_was_lost_long_ago_is_looked_for_briefly(hub: BadHub, ledger: Ledger) -> None:
    hub.plan = lambda *_: "reset_before"
    with quick_client(hub, ledger) as client:
        with pytest.raises(EnqueueOutcomeUnknown):
            client.media.submit(model="bad-image", prompt="ox", key="k")
        sql(ledger, "UPDATE oxen_entries SET posted_at = posted_at - 1000")
        client.media.pace = replace(QUICK, lookup=1000.0)
        with pytest.raises(EnqueueOutcomeUnknown, match="no generation on the hub matches"):
            client.media.resume("k")


def test_a_cost_that_cannot_be_asked_for_is_asked_for_later(hub: BadHub, ledger: Ledger) -> None:
    client = quick_client(hub, ledger, max_retries=0)
    hub.cost, hub.seconds = None, 0.0
    budget = Budget(1, name="b", ledger=ledger)
    handle = client.media.submit(model="bad-image", prompt="ox", budget=budget)
    assert handle.wait().status == "succeeded"
    hub.cost = "0.04"
    for path in ("/generations/", "/queue/"):
        hub.fail_gets = lambda asked, path=path: path in asked or "/generations/" in asked
        hub.has_history = path == "/generations/"
        (entry,) = client.media.reconcile()
        assert entry.cost is None
        assert budget.reserved == Decimal("0.05")
    hub.fail_gets, hub.has_history = (lambda _: False), True
    (entry,) = client.media.reconcile()
    assert entry.cost == budget.spent == Decimal("0.04")
    client.close()


def test_what_is_found_at_the_end_of_the_time_is_confirmed(hub: BadHub, ledger: Ledger) -> None:
    hub.plan = lambda *_: "reset_after"
    hub.fail_gets = lambda path: bool(time.sleep(0.3)) and "/models" not in path
    pace = replace(QUICK, lookup=0.1)
    with quick_client(hub, ledger, pace=pace) as client:
        made = client.media.submit(model="bad-image", prompt="ox", key="k")
    assert made.generation_ids == tuple(hub.accepted[0].ids)
    assert hub.posts["ox"] == 1


def test_a_refusal_is_not_believed_by_a_look_before_the_job_could_be_listed(
    hub: BadHub, ledger: Ledger
) -> None:
    """The answer to an early look may come late, from a busy hub or to a busy machine."""
    hub.plan, hub.lag = (lambda *_: "refusal_in_200_after"), 0.3
    answers: list[str] = []

    def slow_at_first(path: str) -> bool:
        if "/models" not in path:
            answers.append(path)
        return False

    hub.fail_gets = slow_at_first
    pace = replace(QUICK, lookup=0.6)
    with quick_client(hub, ledger, pace=pace) as client:
        send = client.send

        def late(call: Any) -> Any:
            answer = send(call)
            if len(answers) == 2:  # both lists of the first look
                time.sleep(0.7)
            return answer

        client.send = late  # type: ignore[method-assign]
        made = client.media.submit(model="bad-image", prompt="ox", key="k")
    assert made.generation_ids == tuple(hub.accepted[0].ids)
