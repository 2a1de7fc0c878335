"""Many requests: taken lazily, resumed by their content, tried again, stopped, and left."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import AsyncOxenClient, Budget, Ledger, OxenClient, progress_bar
from oxen_inference.drivers import BlockingDriver
from oxen_inference.effects import sleep
from oxen_inference.errors import (
    BudgetExceededError,
    DownloadError,
    GenerationFailed,
    GenerationTimeout,
    InvalidInputError,
    LedgerError,
    OxenError,
    RateLimitError,
)
from oxen_inference.media.bulk import Bulk
from oxen_inference.media.bulk_run import BulkOptions, BulkRun, Job
from oxen_inference.media.bulk_workers import Workers
from oxen_inference.media.engine import WaitOptions
from oxen_inference.media.pause import SharedPause
from oxen_inference.media.poller import Poller
from oxen_inference.media.prepare import MediaRequest
from oxen_inference.result import BulkProgress, MediaResult
from oxen_sandbox import Fault, Sandbox
from tests.e2e.media.calls import QUICK

MODEL = "flux-2-dev"
Outcomes = list[tuple[int, MediaResult | OxenError]]


@pytest.fixture
def hub() -> Iterator[Sandbox]:
    with Sandbox(image_seconds=0.05) as hub:
        yield hub


class Run:
    """Runs `generate_as_completed` of a new client to its end, sync or async."""

    def __init__(self, hub: Sandbox, ledger: Ledger | None, kind: str) -> None:
        self.hub, self.ledger, self.kind = hub, ledger, kind
        self.results: Any = None

    def __call__(self, requests: Any, **options: Any) -> Outcomes:
        given = {"base_url": self.hub.base_url, "api_key": self.hub.api_key, "ledger": self.ledger}
        if self.kind == "async":

            async def run() -> Outcomes:
                async with AsyncOxenClient(**given) as client:
                    client.media.pace = QUICK
                    self.results = client.media.generate_as_completed(requests, **options)
                    async with self.results as results:
                        return [outcome async for outcome in results]

            return asyncio.run(run())
        with OxenClient(**given) as client:
            client.media.pace = QUICK
            self.results = client.media.generate_as_completed(requests, **options)
            with self.results as results:
                return list(results)

    @property
    def paid(self) -> int:
        return len(self.hub.jobs)


@pytest.fixture
def run(hub: Sandbox, ledger: Ledger, kind: str) -> Run:
    return Run(hub, ledger, kind)


def prompts(*texts: object, **more: Any) -> list[dict[str, Any]]:
    return [{"model": MODEL, "prompt": str(text), **more} for text in texts]


def made(outcomes: Outcomes) -> dict[int, str | None]:
    return {i: each.prompt for i, each in outcomes if isinstance(each, MediaResult)}


def errors(outcomes: Outcomes) -> dict[int, OxenError]:
    return {i: each for i, each in outcomes if isinstance(each, OxenError)}


def test_every_request_has_its_index_and_its_own_end(run: Run, tmp_path: Path) -> None:
    requests = [*prompts("a", "b"), {"prompt": "no model"}, *prompts("c", width="x"), 4]
    outcomes = run(requests, save_to=tmp_path / "out")
    assert made(outcomes) == {0: "a", 1: "b"}
    assert {i: type(each) for i, each in errors(outcomes).items()} == dict.fromkeys(
        (2, 3, 4), InvalidInputError
    )
    assert run.paid == 2
    results = [each for _, each in outcomes if isinstance(each, MediaResult)]
    assert sorted(path for each in results for path in each.paths) == sorted(
        (tmp_path / "out").iterdir()
    )


def test_a_request_may_be_a_prompt_where_all_have_one_model(run: Run) -> None:
    outcomes = run(["a", {"prompt": "b", "model": "flux-1-dev"}], model=MODEL)
    assert made(outcomes) == {0: "a", 1: "b"}
    assert sorted(job.model for job in run.hub.jobs) == ["flux-1-dev", MODEL]
    ((_, error),) = run(["a"])
    assert "model is missing" in str(error)


def test_requests_are_taken_as_there_is_room(run: Run) -> None:
    taken: list[int] = []
    run.hub.settings.image_seconds = 0.3
    most = 0

    def source() -> Iterator[Mapping[str, Any]]:
        nonlocal most
        for number in range(12):
            taken.append(number)
            most = max(most, len(taken) - seen)
            yield prompts(number)[0]

    seen = 0

    def count(progress: BulkProgress) -> None:
        nonlocal seen
        seen = progress.done

    outcomes = run(source(), max_in_flight=3, max_connections=2, on_progress=count)
    assert len(made(outcomes)) == 12
    assert most <= 4  # three in flight, and the one that is being taken


async def test_an_asynchronous_source_holds_no_result_up(hub: Sandbox, ledger: Ledger) -> None:
    release = asyncio.Event()

    async def source() -> AsyncIterator[Mapping[str, Any]]:
        yield prompts("first")[0]
        await asyncio.wait_for(release.wait(), 20)  # set when the first is made
        yield prompts("second")[0]

    given = {"base_url": hub.base_url, "api_key": hub.api_key, "ledger": ledger}
    async with AsyncOxenClient(**given) as client:
        client.media.pace = QUICK
        found = []
        async with client.media.generate_as_completed(source()) as results:
            async for index, _ in results:
                found.append(index)
                release.set()
    assert found == [0, 1]


def test_the_blocking_client_refuses_an_asynchronous_source(hub: Sandbox) -> None:
    async def source() -> AsyncIterator[Mapping[str, Any]]:
        yield {}

    with OxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=None) as client:
        with pytest.raises(InvalidInputError, match="AsyncOxenClient"):
            client.media.generate_as_completed(source())  # type: ignore[arg-type]


def test_an_error_of_the_source_is_raised(run: Run) -> None:
    def source() -> Iterator[Mapping[str, Any]]:
        yield prompts("a")[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(source())


@pytest.mark.parametrize(
    "options",
    [
        {"max_in_flight": 0},
        {"max_connections": True},
        {"attempts": 1.5},
        {"key_prefix": " "},
        {"stop_after": 0},
        {"stop_after": "3"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], run: Run) -> None:
    with pytest.raises(InvalidInputError):
        run(prompts("a"), **options)
    assert run.paid == 0


def test_the_same_requests_are_paid_for_once_in_any_order(run: Run) -> None:
    first = run(prompts("a", "b", "a"), key_prefix="herd")
    assert run.paid == 3  # the second "a" is wanted, too
    again = run(prompts("a", "a", "new", "b"), key_prefix="herd")
    assert run.paid == 4
    ids = {each.generation_ids for _, each in (*first, *again) if isinstance(each, MediaResult)}
    assert len(ids) == 4
    run(prompts("a"), key_prefix="another herd")
    run(prompts("a"))  # without a prefix nothing is resumed
    assert run.paid == 6


def test_a_failure_that_may_pass_is_bought_again(run: Run) -> None:
    run.hub.inject(Fault("fail_job", message="The provider is overloaded.", times=1))
    outcomes = run(prompts("a"), attempts=2, key_prefix="p")
    assert made(outcomes) == {0: "a"}
    assert run.paid == 2
    # Fewer attempts find what more of them bought.
    assert made(run(prompts("a"), key_prefix="p")) == {0: "a"}
    assert run.paid == 2


def test_the_longest_key_may_be_tried_again(run: Run) -> None:
    run.hub.inject(Fault("fail_job", message="The provider is overloaded.", times=1))
    requests = prompts("a", key="k" * 1_000)
    assert made(run(requests, attempts=2)) == {0: "a"}
    assert made(run(requests, attempts=2)) == {0: "a"}
    assert run.paid == 2


@pytest.mark.parametrize(
    "message",
    [
        "Flagged by content moderation.",
        "Insufficient credits",
        "Getting model response error: 422 - Value error, bad steps",
    ],
)
def test_what_would_fail_again_is_not_bought_again(message: str, run: Run) -> None:
    run.hub.inject(Fault("fail_job", message=message, times=1))
    outcomes = run(prompts("a"), attempts=3)
    assert [type(each) for _, each in outcomes] == [GenerationFailed]
    assert run.paid == 1


def test_many_failures_release_their_money_where_that_is_asked_for(
    run: Run, ledger: Ledger
) -> None:
    run.hub.inject(Fault("fail_job", times=None), Fault("price_job", times=None))
    held = Budget(1, name="failures", ledger=ledger)
    outcomes = run(prompts(*range(8)), budget=held)
    assert {type(each) for _, each in outcomes} == {GenerationFailed}
    assert (held.spent, held.reserved) == (0, 8 * Decimal("0.013"))
    eager = Budget(1, name="failures", ledger=ledger, release_failed_after=0)
    assert (eager.spent, eager.reserved) == (0, 0)


def test_nothing_is_bought_again_after_a_timeout(run: Run) -> None:
    run.hub.inject(Fault("stall_job", times=1))
    (outcome,) = run(prompts("a"), attempts=3, timeout=0.4)
    assert isinstance(outcome[1], GenerationTimeout)
    assert run.paid == 1


def test_equal_failures_in_a_row_end_the_run(run: Run) -> None:
    run.hub.inject(Fault("fail_job", message="No GPU 17 is left.", times=None))
    outcomes = run(prompts(*range(40)), max_in_flight=4)
    assert 10 <= run.paid <= 14  # those in flight had been sent
    last = outcomes[-1][1]
    assert last is run.results.stopped
    assert "10 equal failures in a row" in str(last)
    assert "No GPU 17" in str(last)
    assert len(outcomes) == run.paid + 1


def test_failures_of_an_earlier_run_end_no_run(run: Run) -> None:
    run.hub.inject(Fault("fail_job", message="Flagged by content moderation.", times=12))
    run(prompts(*range(12)), key_prefix="p", stop_after=None)
    outcomes = run(prompts(*range(16)), key_prefix="p", max_in_flight=2)
    assert sorted(made(outcomes)) == [12, 13, 14, 15]
    assert {type(error) for error in errors(outcomes).values()} == {GenerationFailed}
    assert (run.paid, run.results.stopped) == (16, None)


@pytest.mark.parametrize("number", [6, 10**9], ids=["for a moment", "for good"])
def test_a_run_waits_for_its_ledger(run: Run, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of a ledger restarts: nothing is sent meanwhile, and nothing is lost."""
    monkeypatch.setattr("oxen_inference.media.bulk_workers.LEDGER_PAUSE", 0.05)
    monkeypatch.setattr("oxen_inference.media.bulk_run._LONGEST_WITHOUT_LEDGER", 0.5)
    restart = range(4, 4 + number)
    calls = itertools.count()
    writing = run.ledger.database.writing

    def write() -> Any:
        if next(calls) not in restart:
            return writing()
        error = LedgerError("The ledger is away.")
        error.is_retryable = True
        raise error

    monkeypatch.setattr(run.ledger.database, "writing", write)
    outcomes = run(prompts(*range(20)), key_prefix="p", max_in_flight=4, max_connections=2)
    if number == 6:
        assert sorted(made(outcomes)) == list(range(20))
        assert run.paid == 20
    else:
        assert "10 equal failures in a row: The ledger is away" in str(outcomes[-1][1])
        assert run.paid < 10


@pytest.mark.parametrize("held", ["_try_again", "wait"], ids=["between attempts", "in a pause"])
def test_a_run_that_has_stopped_buys_nothing_more(
    run: Run, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request is held where it is about to be sent, until another has ended the run."""
    lasting = Fault("fail_job", message="Flagged by content moderation.")
    run.hub.inject(lasting, Fault("fail_job", message="The provider is overloaded.", times=None))
    place: Any = Workers if held == "_try_again" else SharedPause
    go_on, arrivals = getattr(place, held), itertools.count()

    async def hold(self: Any, *arguments: Any) -> Any:
        is_held = next(arrivals) > 0 if held == "wait" else "overloaded" in str(arguments[1])
        while is_held and run.results.stopped is None:
            await sleep(0.01)
        return await go_on(self, *arguments)

    monkeypatch.setattr(place, held, hold)
    outcomes = run(prompts("a", "b"), attempts=2, stop_after=1, max_connections=2)
    assert len(outcomes) == 2
    if held == "wait":
        assert run.paid == 1
        assert outcomes[-1][1] is run.results.stopped
        assert run.results.not_sent == 1
    else:  # what was bought ends with its own failure
        assert run.paid == 2
        assert {type(each) for _, each in outcomes} == {GenerationFailed}
        assert run.results.not_sent == 0


def test_a_failure_is_not_lost_where_money_lacks_for_another_attempt(run: Run) -> None:
    run.hub.inject(Fault("fail_job", message="The provider is overloaded.", times=None))
    run.hub.inject(Fault("price_job", times=None))
    budget = Budget("0.013", name="one", ledger=run.ledger)
    again = {"budget": budget, "attempts": 2, "key_prefix": "p"}
    for requests in (["a"], ["new", "a"]):
        outcomes = run(prompts(*requests), **again, max_in_flight=1)
        failure = outcomes[-1][1]
        assert isinstance(failure, GenerationFailed)
        assert failure.result is not None
        assert failure.result.generation_ids
        assert isinstance(run.results.stopped, BudgetExceededError)
    assert outcomes[0] == (0, run.results.stopped)
    assert run.paid == 1


def test_failures_of_the_disk_do_not_end_the_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("oxen_inference.media.results.download.sync", full)
    outcomes = run(prompts(*range(12)), save_to=tmp_path)
    assert [type(each) for _, each in outcomes] == [DownloadError] * 12
    assert run.results.stopped is None
    assert run.paid == 12


def test_an_amount_is_one_budget_for_the_run(run: Run) -> None:
    outcomes = run(prompts(*range(8)), budget="0.03", max_in_flight=2)
    assert run.paid == 2
    assert {type(each) for each in errors(outcomes).values()} == {BudgetExceededError}


def test_an_amount_is_one_budget_for_all_runs_with_its_prefix(run: Run) -> None:
    """An image costs $0.013."""
    for limit, paid in (("0.03", 2), ("0.03", 2), ("0.06", 4), ("0.01", 4)):
        outcomes = run(prompts(*range(8)), budget=limit, key_prefix="herd", max_in_flight=2)
        assert run.paid == paid
        assert len(made(outcomes)) == paid
        assert {type(each) for each in errors(outcomes).values()} == {BudgetExceededError}
    run(prompts(*range(8)), budget="0.03", key_prefix="another", max_in_flight=2)
    assert run.paid == 6
    given = {"base_url": run.hub.base_url, "api_key": run.hub.api_key, "ledger": run.ledger}
    with OxenClient(**given) as client:
        both = client.media.generate_many(prompts(*range(8)), budget="0.03", key_prefix="another")
    assert (run.paid, sum(isinstance(each, MediaResult) for each in both)) == (6, 2)


def test_a_used_up_budget_ends_the_rest_with_one_error(run: Run) -> None:
    (first,) = run(prompts("price"))
    assert isinstance(first[1], MediaResult)
    price = first[1].cost
    assert price
    budget = Budget(price * 3, name="three", ledger=run.ledger)
    outcomes = run(prompts(*range(30)), budget=budget, max_in_flight=5, key_prefix="p")
    assert len(made(outcomes)) == 3
    (error,) = errors(outcomes).values()
    assert isinstance(error, BudgetExceededError)
    assert (run.paid, budget.spent, run.results.not_sent) == (4, price * 3, 26)
    # What was bought is there again, and costs nothing.
    again = run(prompts(*reversed(range(30))), budget=budget, key_prefix="p")
    assert sorted(str(text) for text in made(again).values()) == sorted(
        str(text) for text in made(outcomes).values()
    )
    assert (run.paid, budget.spent) == (4, price * 3)


def test_what_changes_while_the_consumer_looks_is_not_slept_through() -> None:
    """A worker drops the last job just after the consumer saw that there is no room."""

    class Racing:
        crashed, outcomes, is_over = None, (), False
        changed = threading.Event()
        looks = 0

        @property
        def has_room(self) -> bool:
            self.looks += 1
            if self.looks == 1:
                self.changed.set()
                return False
            raise TimeoutError  # it looked again

    async def nothing() -> None: ...

    driver: Any = BlockingDriver(OxenClient(api_key="k"))
    bulk: Any = object.__new__(Bulk)
    bulk.run, bulk._on_progress = Racing(), None

    def consume() -> None:
        with pytest.raises(TimeoutError):
            driver.run(bulk.next_outcome(nothing))

    consumer = threading.Thread(target=consume, daemon=True)
    consumer.start()
    consumer.join(20)
    assert bulk.run.looks == 2


def test_nobody_waits_for_money_in_a_run_that_has_stopped() -> None:
    budget = Budget(1)
    options = BulkOptions(budget=budget, key_prefix="p")
    run = BulkRun(options, 4, threading.Event(), lambda: None)
    error = BudgetExceededError("Too dear.", left=Decimal(0))

    def begun() -> Job:
        request = MediaRequest(model=MODEL, params={}, budget=budget)
        run.add(run.next_index(), request, WaitOptions())
        job = run.next_to_send()
        assert job is not None
        return job

    run.lacks_money(first := begun(), error)
    assert run.stopped is error
    assert list(run.outcomes) == [(first.index, error)]
    # These were bought before, and then it turned out that they were not.
    both = [begun(), begun()]
    run.lacks_money(both[0], BudgetExceededError("Too dear as well.", left=Decimal(0)))
    run.skip(both[1])
    run.say_exhausted()
    run.outcomes.clear()
    assert (run.stopped, run.not_sent, run.is_over) == (error, 2, True)


def test_a_reservation_above_the_cost_ends_no_run(run: Run) -> None:
    """What is reserved for jobs under way comes back, so it is waited for."""
    (first,) = run(prompts("price"))
    assert isinstance(first[1], MediaResult)
    price = first[1].cost
    assert price
    run.hub.inject(Fault("price_job", cost=Decimal(0), times=None))
    budget = Budget(price * 2, name="two", ledger=run.ledger)
    outcomes = run(prompts(*range(8)), budget=budget)
    assert len(made(outcomes)) == 8


def test_a_limit_on_one_request_is_a_failure_of_that_one(run: Run) -> None:
    outcomes = run([*prompts("dear", max_cost="0.0000001"), *prompts("b")])
    assert made(outcomes) == {1: "b"}
    assert isinstance(errors(outcomes)[0], BudgetExceededError)


@pytest.mark.parametrize(
    ("own", "common"),
    [
        ({"budget": None, "max_cost": None}, {"budget": "0.001"}),
        ({"budget": None, "max_cost": None}, {"max_cost": "0.001"}),
        ({"max_cost": "5"}, {"max_cost": "0.001"}),
        ({"budget": Budget("5")}, {"budget": Budget("0.001")}),
    ],
)
def test_a_request_does_not_switch_a_limit_of_its_list_off(
    run: Run, own: dict[str, Any], common: dict[str, Any]
) -> None:
    outcomes = run(prompts("a", "b", **own), **common)
    assert not made(outcomes)
    with OxenClient(base_url=run.hub.base_url, api_key=run.hub.api_key) as client:
        listed = client.media.generate_many(prompts("a", **own), **common)
    is_second = "budget" in own and own["budget"] is not None
    expected = InvalidInputError if is_second else BudgetExceededError
    assert {type(each) for each in (*errors(outcomes).values(), *listed)} == {expected}
    assert run.paid == 0


def test_a_request_may_name_the_budget_of_its_list(run: Run) -> None:
    budget = Budget("1")
    outcomes = run(prompts("a", budget=budget, max_cost="0.5", timeout=None), budget=budget)
    assert made(outcomes) == {0: "a"}
    assert budget.spent > 0


def test_requests_above_their_limit_end_no_run(run: Run) -> None:
    dear = prompts(*range(12), max_cost="0.0000001")
    outcomes = run([*dear, *prompts("cheap")], stop_after=10)
    assert made(outcomes) == {12: "cheap"}
    assert len(errors(outcomes)) == 12
    assert run.results.stopped is None


def test_all_senders_pause_when_one_is_told_to(run: Run) -> None:
    run.hub.inject(
        Fault("respond", status=429, method="POST", path="*/queue", retry_after=2, skip=4)
    )
    outcomes = run(prompts(*range(30)), max_connections=4)
    assert len(made(outcomes)) == 30
    times = [each.time for each in run.hub.requests if each.method == "POST"]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    pauses = [at for at, gap in enumerate(gaps) if gap >= 1.5]
    assert pauses
    assert pauses[0] <= 4 + 4  # at most one each was on its way


@pytest.mark.parametrize(
    ("retry_after", "options", "said"),
    [(7200, {}, RateLimitError), (60, {"timeout": 0.5}, GenerationTimeout)],
)
def test_a_long_pause_holds_nobody_up(
    run: Run,
    retry_after: float,
    options: dict[str, Any],
    said: type,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = replace(QUICK, longest_retry_after=0.3 if retry_after > 60 else 60.0)
    monkeypatch.setattr("tests.e2e.media.test_as_completed.QUICK", quick)
    assert made(run(prompts("so that the model is known")))
    run.hub.inject(
        Fault("respond", status=429, retry_after=retry_after, method="POST", path="*/queue")
    )
    outcomes = run(prompts("a", "b"), max_connections=1, **options)
    assert isinstance(outcomes[0][1], RateLimitError)
    if said is RateLimitError:
        assert made(outcomes) == {1: "b"}
    else:
        assert type(outcomes[1][1]) is said
        assert run.paid == 1
        with OxenClient(
            base_url=run.hub.base_url, api_key=run.hub.api_key, ledger=run.ledger
        ) as client:
            states = [entry.state for entry in client.media.jobs()]
        assert states == ["rejected", "rejected", "accepted"]


def test_leaving_sends_no_more_and_loses_nothing(run: Run, kind: str) -> None:
    run.hub.settings.image_seconds = 0.4
    if kind == "async":

        async def leave() -> None:
            async with AsyncOxenClient(**given) as client:
                client.media.pace = QUICK
                async with client.media.generate_as_completed(endless(), **options) as results:
                    async for _ in results:
                        break

    given = {"base_url": run.hub.base_url, "api_key": run.hub.api_key, "ledger": run.ledger}
    options = {"max_in_flight": 4, "key_prefix": "p"}

    def endless() -> Iterator[Mapping[str, Any]]:
        number = 0
        while True:
            yield prompts(number)[0]
            number += 1

    if kind == "async":
        asyncio.run(leave())
    else:
        with OxenClient(**given) as client:
            client.media.pace = QUICK
            with client.media.generate_as_completed(endless(), **options) as results:
                for _ in results:
                    break
    paid = run.paid
    assert 1 <= paid <= 8
    time.sleep(0.3)
    assert run.paid == paid
    states = {entry.state for entry in run.ledger.entries()}  # type: ignore[union-attr]
    assert states <= {"accepted", "rejected"}  # none is left half sent
    assert len(made(run(prompts(*range(paid)), key_prefix="p"))) == paid
    assert run.paid <= paid + 1  # what was taken and not sent yet


async def test_a_canceled_consumer_leaves_the_run(hub: Sandbox, ledger: Ledger) -> None:
    hub.settings.image_seconds = 30
    given = {"base_url": hub.base_url, "api_key": hub.api_key, "ledger": ledger}
    async with AsyncOxenClient(**given) as client:

        async def consume() -> None:
            async with client.media.generate_as_completed(prompts(*range(3))) as results:
                async for _ in results:
                    pass

        task = asyncio.create_task(consume())
        while len(hub.jobs) < 3:  # noqa: ASYNC110 - the hub sets no event
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert {entry.state for entry in ledger.entries()} == {"accepted"}
    assert {job.status for job in hub.jobs} <= {"queued", "processing"}


def test_progress_counts_and_the_last_event_is_complete(run: Run) -> None:
    seen: list[BulkProgress] = []
    run(prompts(*range(5)), on_progress=seen.append)
    last = seen[-1]
    assert (last.total, last.taken, last.succeeded, last.failed, last.done) == (5, 5, 5, 0, 5)
    assert last.spent > 0
    assert last.reserved == last.running == 0
    assert all(earlier.done <= later.done for earlier, later in pairwise(seen))


def test_a_bar_is_shown_when_asked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal has
    run(prompts(*range(3)), on_progress="bar")
    assert "3/3" in capsys.readouterr().err
    monkeypatch.delenv("FORCE_COLOR")  # as a log has not
    monkeypatch.setattr(progress_bar, "_FIRST_LINE", 0.0)
    run(prompts(*range(3)), on_progress="bar")
    assert capsys.readouterr().err.endswith("3 of 3 done, $0.039 spent\n")
    with pytest.raises(InvalidInputError, match="on_progress"):
        run(prompts(1), on_progress="bars")


def test_many_senders_keep_few_connections(
    hub: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0
    with OxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as client:
        client.media.pace = QUICK
        with client.media.generate_as_completed(prompts(*range(40)), max_connections=3) as results:
            for _ in results:
                most = max(most, sum(t.name == "oxen-bulk" for t in threading.enumerate()))
    assert 1 <= most <= 3
    posts = [each for each in hub.requests if each.method == "POST"]
    assert {each.headers.get("connection") for each in posts} != {"close"}


def test_the_poller_may_speak_while_a_job_is_added(
    hub: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds its own lock then, and takes that of the run."""
    subscribe = Poller.subscribe
    free: list[bool] = []

    def watched(self: Poller, event: Any, *args: Any, **options: Any) -> Any:
        lock = event._ended.__self__.lock._lock

        def try_it() -> None:
            free.append(lock.acquire(timeout=30))
            if free[-1]:
                lock.release()

        other = threading.Thread(target=try_it)
        other.start()
        other.join()
        return subscribe(self, event, *args, **options)

    monkeypatch.setattr(Poller, "subscribe", watched)
    with OxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as client:
        client.media.generate_many(prompts(1, 2))
    assert free == [True, True]


def test_two_runs_of_the_same_keys_at_once_pay_once(
    hub: Sandbox, ledger: Ledger, kind: str
) -> None:
    both = [Run(hub, ledger, kind), Run(hub, ledger, kind)]
    is_begun = threading.Barrier(2)

    def requests() -> Iterator[dict[str, Any]]:
        yield from prompts(0)  # each has asked for known keys, in vain or not
        is_begun.wait()
        yield from prompts(*range(1, 12))

    found: list[Outcomes] = []
    threads = [
        threading.Thread(target=lambda run=run: found.append(run(requests(), key_prefix="same")))
        for run in both
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert both[0].paid == 12
    assert [len(made(outcomes)) for outcomes in found] == [12, 12]


@pytest.mark.parametrize(
    ("requests", "options", "said"),
    [
        (
            [{"model": MODEL}],
            {"key_prefx": "a"},
            r"key_prefx is neither .*Did you mean key_prefix\?",
        ),
        ([{"model": MODEL}], {"max_workers": 4}, r"Did you mean max_connections\?"),
        ([{"model": MODEL}], {"save_too": "x"}, r"Did you mean save_to\?"),
        (
            {"model": MODEL, "prompt": "x"},
            {},
            r"requests must be a list.*single request into a list",
        ),
        ("an ox", {}, "requests must be a list"),
    ],
)
def test_a_misspelled_option_is_told_at_once(
    hub: Sandbox, requests: Any, options: dict[str, Any], said: str
) -> None:
    given: dict[str, Any] = {"base_url": hub.base_url, "api_key": hub.api_key}

    async def run() -> None:
        async with AsyncOxenClient(**given) as client:
            with pytest.raises(InvalidInputError, match=said):
                client.media.generate_as_completed(requests, **options)
            with pytest.raises(InvalidInputError, match=said):
                await client.media.generate_many(requests, **options)

    asyncio.run(run())
    with OxenClient(**given) as client:
        with pytest.raises(InvalidInputError, match=said):
            list(client.media.generate_as_completed(requests, **options))
        with pytest.raises(InvalidInputError, match=said):
            client.media.generate_many(requests, **options)
        # A parameter of the model may be given for all.
        assert not isinstance(
            client.media.generate_many([{"model": MODEL, "prompt": "x"}], seed=3)[0], OxenError
        )
    assert [job.params["seed"] for job in hub.jobs] == [3]
