"""`client.media` from the call to the file, sync and async alike, on the sandbox."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import AsyncOxenClient, Budget, Ledger, MediaResult, OxenClient
from oxen_inference.catalog.cache import clear_cache
from oxen_inference.catalog.reading import read_model
from oxen_inference.errors import (
    BudgetExceededError,
    ConfigurationError,
    DownloadError,
    EnqueueOutcomeUnknown,
    GenerationFailed,
    GenerationTimeout,
    InsufficientCreditsError,
    InvalidInputError,
    ModelNotFoundError,
    RateLimitError,
)
from oxen_inference.media.pace import Pace
from oxen_inference.result import BulkProgress, MediaItem, Progress
from oxen_sandbox import Fault, Sandbox
from tests.e2e.media.calls import THOROUGH, MediaCalls
from tests.support.small_files import PNG

QUEUE = {"method": "POST", "path": "*/queue"}


@pytest.fixture
def hub() -> Iterator[Sandbox]:
    with Sandbox(image_seconds=0.1, video_seconds=0.2) as hub:
        yield hub


@pytest.fixture
def media(media: MediaCalls) -> MediaCalls:
    media.pace = THOROUGH
    return media


async def until(happened: Callable[[], object]) -> None:
    while not happened():  # noqa: ASYNC110 - the hub is in another thread
        await asyncio.sleep(0.01)


def _states(ledger: Ledger) -> list[str]:
    return [entry.state for entry in ledger.entries()]


def paid(hub: Sandbox) -> int:
    return sum(r.method == "POST" and r.path.endswith("/queue") for r in hub.requests)


def test_an_image_is_made_saved_and_settled(media: MediaCalls, tmp_path: Path) -> None:
    budget = Budget("1", name="b", ledger=media.ledger)
    result = media(
        "generate", model="flux-2-dev", prompt="an ox", save_to=tmp_path / "out", budget=budget
    )
    (item,) = result.items
    assert result.status == "succeeded"
    assert Path(item.path).read_bytes()
    assert Path(item.path).parent == tmp_path / "out"
    assert min(item.width, item.height) > 0
    assert item.mime_type.startswith("image/")
    assert item.cost == media.hub.jobs[0].cost == budget.spent
    assert budget.reserved == 0
    assert MediaResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    assert "data:image" in result._repr_mimebundle_()["text/html"]


def test_a_video_says_how_long_it_is(media: MediaCalls, tmp_path: Path) -> None:
    model = next(m for m in media.hub.models if "video" in media.hub.models[m]["capabilities"]["output"] and "duration" in media.hub.models[m]["request_schema"]["properties"])  # fmt: skip
    result = media(
        "generate", model=model, prompt="an ox walks", save_to=tmp_path, allow_unknown_cost=True
    )
    (item,) = result.items
    assert item.mime_type == "video/mp4"
    assert min(item.duration, item.width, item.height) > 0


def test_two_files_never_share_a_name(media: MediaCalls, tmp_path: Path) -> None:
    result = media("generate", model="flux-2-dev", prompt="a", num_generations=3, save_to=tmp_path)
    assert len({item.path for item in result.items}) == 3
    again = media("generate", model="flux-2-dev", prompt="a", save_to=tmp_path)
    assert all(Path(path).is_file() for path in (*result.paths, *again.paths))


def test_progress_is_told_in_order(media: MediaCalls, tmp_path: Path) -> None:
    events: list[Any] = []
    media("generate", model="flux-2-dev", prompt="x", save_to=tmp_path, on_progress=events.append)
    phases = list(dict.fromkeys(event.phase for event in events))
    assert phases == ["quoted", "enqueued", "waiting", "fetching", "done"]
    assert events[-1].done == events[-1].total == 1


def test_nothing_bad_is_paid_for(media: MediaCalls, tmp_path: Path) -> None:
    text_model = next(m for m in media.hub.models if media.hub.models[m]["capabilities"]["output"] == ["text"])  # fmt: skip
    bad: list[tuple[type[Exception], dict[str, Any]]] = [
        (InvalidInputError, {"num_generations": 5}),
        (InvalidInputError, {"num_generations": 0}),
        (InvalidInputError, {"prompt": ""}),
        (InvalidInputError, {"widht": 512}),
        (InvalidInputError, {"width": "wide"}),
        (InvalidInputError, {"model": text_model}),
        (ModelNotFoundError, {"model": "flux-2-devv"}),
        (InvalidInputError, {"max_cost": "lots"}),
        (BudgetExceededError, {"max_cost": "0.001"}),
        (BudgetExceededError, {"budget": Budget("0.001")}),
        (InvalidInputError, {"budget": "0.50"}),
        (InvalidInputError, {"on_interrupt": "explode"}),
        (InvalidInputError, {"timeout": -1}),
        (InvalidInputError, {"save_to": __file__}),
        (InvalidInputError, {"input_image": tmp_path / "x.png"}),
        (InvalidInputError, {"params": {"prompt": "two"}, "prompt": "one"}),
        (InvalidInputError, {"model": ""}),
        (ConfigurationError, {"direct": True, "conversation": "c"}),
    ]
    for expected, change in bad:
        with pytest.raises(expected):
            media("generate", **{"model": "flux-2-dev", "prompt": "an ox", **change})
    assert paid(media.hub) == 0
    assert not media.ledger.entries()


def test_a_budget_refusal_names_every_figure(media: MediaCalls) -> None:
    budget = Budget("0.02", name="tiny", ledger=media.ledger)
    media("generate", model="flux-2-dev", prompt="an ox", budget=budget)
    with pytest.raises(BudgetExceededError) as refused:
        media("generate", model="flux-2-dev", prompt="an ox", budget=budget)
    assert str(refused.value) == (
        "This may cost $0.013, and of the $0.02 in the budget 'tiny' $0.007 is left "
        "($0.013 spent, $0.00 reserved). Nothing was sent."
    )


def test_a_cost_above_the_quote_is_recorded_and_blocks(media: MediaCalls) -> None:
    media.hub.inject(Fault("price_job", cost="0.90"))
    budget = Budget("0.50", name="b", ledger=media.ledger)
    media("generate", model="flux-2-dev", prompt="an ox", budget=budget)
    assert budget.spent == Decimal("0.90")
    assert budget.remaining == 0
    with pytest.raises(BudgetExceededError):
        media("generate", model="flux-2-dev", prompt="an ox", budget=budget)


def test_an_unknown_cost_keeps_its_reservation_until_it_is_known(media: MediaCalls) -> None:
    media.hub.settings.cost_delay_seconds = 1000
    budget = Budget("0.50", name="b", ledger=media.ledger)
    result = media("generate", model="flux-2-dev", prompt="an ox", budget=budget)
    assert result.cost is None
    assert (budget.spent, budget.reserved) == (0, Decimal("0.013"))
    media.hub.clock.advance(2000)
    (entry,) = media("reconcile")
    assert entry.is_settled
    assert (budget.spent, budget.reserved) == (Decimal("0.013"), 0)


def test_an_unnamed_budget_is_settled_too(media: MediaCalls) -> None:
    budget = Budget("0.50")
    media("generate", model="flux-2-dev", prompt="an ox", budget=budget)
    assert (budget.spent, budget.reserved) == (Decimal("0.013"), 0)
    media.hub.inject(Fault("respond", status=400, message="no", **QUEUE))
    with pytest.raises(Exception, match="no"):
        media("generate", model="flux-2-dev", prompt="an ox", budget=budget)
    assert (budget.spent, budget.reserved) == (Decimal("0.013"), 0)


def test_a_failed_job_speaks_in_oxens_words(media: MediaCalls) -> None:
    media.hub.inject(Fault("fail_job", message="The image was not safe."))
    with pytest.raises(GenerationFailed, match=r"The image was not safe\.") as failed:
        media("generate", model="flux-2-dev", prompt="an ox", key="k")
    assert failed.value.result.status == "failed"
    with pytest.raises(GenerationFailed, match=r"The image was not safe\."):
        media("generate", model="flux-2-dev", prompt="an ox", key="k")
    assert paid(media.hub) == 1


def test_a_partial_failure_is_a_result(media: MediaCalls) -> None:
    media.hub.inject(Fault("fail_job", message="bad luck"))
    result = media("generate", model="flux-2-dev", prompt="an ox", num_generations=3)
    assert result.status == "partial"
    assert len(result.succeeded) == 2
    assert [item.error for item in result.failures] == ["bad luck"]


def test_a_refusal_gives_the_money_back(media: MediaCalls) -> None:
    budget = Budget("1", name="b", ledger=media.ledger)
    media.hub.inject(Fault("respond", status=402, type="insufficient_credits", **QUEUE))
    with pytest.raises(InsufficientCreditsError):
        media("generate", model="flux-2-dev", prompt="an ox", budget=budget)
    assert budget.remaining == 1
    assert paid(media.hub) == 1


def test_too_many_requests_are_retried_within_one_budget(media: MediaCalls) -> None:
    media.hub.inject(Fault("respond", status=429, retry_after=0, times=2, **QUEUE))
    assert media("generate", model="flux-2-dev", prompt="an ox").succeeded
    assert paid(media.hub) == 3
    media.hub.inject(Fault("respond", status=429, retry_after=0, times=None, **QUEUE))
    with pytest.raises(RateLimitError, match=r"It was tried 3 times\."):
        media("generate", model="flux-2-dev", prompt="another ox")
    assert paid(media.hub) == 6
    assert len(media.hub.jobs) == 1


@pytest.mark.parametrize(("after", "timeout", "why"), [
    (200, None, r"The next try would come in 200 s, and 120 s are waited at most\."),
    (100, 50, r"The next try would come in 100 s, and [45]\S* s of the timeout are left\."),
])  # fmt: skip
def test_a_refusal_that_asks_for_a_long_pause_is_raised_with_the_reason(
    after: float, timeout: float | None, why: str, media: MediaCalls
) -> None:
    media.hub.inject(Fault("respond", status=429, retry_after=after, **QUEUE))
    with pytest.raises(RateLimitError, match=why):
        media("generate", model="flux-2-dev", prompt="an ox", timeout=timeout)
    assert paid(media.hub) == 1


def test_what_was_never_delivered_is_sent_again(media: MediaCalls, tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    media.options |= {"base_url": f"http://127.0.0.1:{port}/api/ai", "max_retries": 1}
    from oxen_inference.errors import APIConnectionError

    model = read_model(media.hub.models["flux-2-dev"])
    started = time.monotonic()
    with pytest.raises(APIConnectionError, match="Could not reach") as refused:
        media("generate", model=model, prompt="an ox", key="k")
    assert not isinstance(refused.value, EnqueueOutcomeUnknown)
    assert time.monotonic() - started > 0.3  # it waited and tried again
    (entry,) = media.ledger.entries()
    assert entry.state == "rejected"
    assert entry.posted_at is None  # it never came so far


def test_a_lost_answer_is_found_again(media: MediaCalls) -> None:
    for action in ("reset", "truncate", "respond"):
        media.hub.inject(Fault(action, when="after", after_bytes=5, **QUEUE))
        result = media("generate", model="flux-2-dev", prompt=action, num_generations=2)
        assert len(result.succeeded) == 2
    assert len(media.hub.jobs) == 6
    assert paid(media.hub) == 3


def test_two_lost_answers_to_the_same_request_are_never_mixed_up(media: MediaCalls) -> None:
    media.hub.inject(Fault("reset", when="before", times=1, **QUEUE))
    with pytest.raises(EnqueueOutcomeUnknown):
        media("generate", model="flux-2-dev", prompt="twin")
    media.hub.inject(Fault("reset", when="after", times=1, **QUEUE))
    with pytest.raises(EnqueueOutcomeUnknown, match="another request of unknown outcome") as doubt:
        media("generate", model="flux-2-dev", prompt="twin")
    assert [one.generation_id for one in doubt.value.candidates] == [
        job.generation_id for job in media.hub.jobs
    ]
    assert not doubt.value.is_retryable
    newest, oldest = media.ledger.entries()
    media("forget", oldest.entry_id)
    (settled,) = media("reconcile")
    assert settled.entry_id == newest.entry_id
    assert settled.generation_ids == (media.hub.jobs[0].generation_id,)


def test_a_timeout_detaches_and_names_the_job(media: MediaCalls) -> None:
    media.hub.inject(Fault("slow_job", seconds=3600.0))
    with pytest.raises(GenerationTimeout) as late:
        media("generate", model="flux-2-dev", prompt="an ox", key="k", timeout=0.3)
    (job,) = media.hub.jobs
    assert job.generation_id in str(late.value)
    assert late.value.result.generation_ids == (job.generation_id,)
    media.hub.clock.advance(3600)
    assert media("resume", "k").succeeded
    assert paid(media.hub) == 1


def test_a_timeout_can_cancel(media: MediaCalls) -> None:
    media.hub.inject(Fault("stall_job"))
    with pytest.raises(GenerationFailed, match="cancelled"):
        media("generate", model="flux-2-dev", prompt="x", timeout=0.3, on_interrupt="cancel")
    assert media.hub.jobs[0].status == "cancelled"


def test_poll_errors_delay_and_never_fail(media: MediaCalls) -> None:
    media.hub.inject(
        Fault("respond", status=500, method="GET", path="*/queue/*", times=2),
        Fault("respond", status=429, retry_after=0.1, method="GET", path="*/queue/*", times=1),
        Fault("reset", method="GET", path="*/generations/*", times=1),
        Fault("respond", status=404, method="GET", path="*/queue/*", times=1),
        Fault("reset", method="GET", path="/api/events", times=None),
    )
    assert media("generate", model="flux-2-dev", prompt="an ox").succeeded


def test_an_expired_url_is_renewed_once(media: MediaCalls, tmp_path: Path) -> None:
    media.hub.inject(Fault("respond", status=403, method="GET", path="*/files/*"))
    assert media("generate", model="flux-2-dev", prompt="an ox", save_to=tmp_path).paths


def test_a_failed_download_loses_nothing(media: MediaCalls, tmp_path: Path) -> None:
    media.hub.inject(Fault("respond", status=403, method="GET", path="*/files/*", times=None))
    with pytest.raises(DownloadError) as failed:
        media("generate", model="flux-2-dev", prompt="an ox", key="k", save_to=tmp_path / "out")
    assert failed.value.result.urls
    assert not list((tmp_path / "out").iterdir())
    media.hub.faults.clear()
    assert media("resume", "k", save_to=tmp_path / "out").paths
    assert paid(media.hub) == 1


def test_a_download_cut_short_is_fetched_again(media: MediaCalls, tmp_path: Path) -> None:
    media.hub.inject(Fault("truncate", after_bytes=100, method="GET", path="*/files/*"))
    result = media("generate", model="flux-2-dev", prompt="an ox", save_to=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == list(result.paths)


def test_presigned_storage_elsewhere_gets_no_key(media: MediaCalls, tmp_path: Path) -> None:
    media.hub.settings.presigned_urls = True  # it answers 400 to any request with a key
    with pytest.raises(DownloadError, match="private address"):
        media("generate", model="flux-2-dev", prompt="an ox", key="k", save_to=tmp_path)
    media.hosts = {"127.0.0.1"}
    assert media("generate", model="flux-2-dev", prompt="an ox", key="k", save_to=tmp_path).paths


def test_many_keep_their_order_and_their_failures(media: MediaCalls, tmp_path: Path) -> None:
    media.hub.inject(Fault("fail_job", message="unlucky", skip=1))
    outcomes = media(
        "generate_many",
        [{"prompt": "a"}, {"prompt": "b", "width": "x"}, {"prompt": "c"}, {"model": "none"}],
        model="flux-2-dev",
        save_to=tmp_path,
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds[1] is InvalidInputError
    assert issubclass(kinds[3], ModelNotFoundError)
    assert sorted(kind.__name__ for kind in (kinds[0], kinds[2])) == [
        "GenerationFailed", "MediaResult",
    ]  # fmt: skip


def test_an_earlier_result_is_an_input(media: MediaCalls) -> None:
    model = "qwen-image-edit"
    first = media("generate", model="flux-2-dev", prompt="an ox")
    listed = media.hub.models[model]["request_schema"]["properties"]["input_image"].get("type") == "array"  # fmt: skip
    for given in (first, first.items[0], first.generation_ids[0]):
        value = [given] if listed else given
        result = media(
            "generate", model=model, prompt="older", input_image=value, key="edit",
            allow_unknown_cost=True,
        )  # fmt: skip
        assert result.succeeded
    assert paid(media.hub) == 2


def test_direct_results_are_saved_or_in_hand(media: MediaCalls, tmp_path: Path) -> None:
    budget = Budget("1", name="b", ledger=media.ledger)
    saved = media(
        "generate", model="flux-2-dev", prompt="x", direct=True, save_to=tmp_path, budget=budget
    )
    assert Path(saved.items[0].path).is_file()
    in_hand = media("generate", model="flux-2-dev", prompt="x", direct=True)
    assert in_hand.items[0].content
    assert "content" not in in_hand.to_dict()["items"][0]
    assert budget.reserved == Decimal("0.013")  # no id, so its cost is never known
    media.hub.inject(Fault("reset", when="after", method="POST", path="*/images/generate"))
    with pytest.raises(EnqueueOutcomeUnknown, match="no id"):
        media("generate", model="flux-2-dev", prompt="x", direct=True, budget=budget)
    assert budget.reserved == Decimal("0.026")


def test_direct_bytes_that_nobody_saved_are_gone_and_that_is_said_at_once(
    hub: Sandbox, ledger: Ledger, tmp_path: Path
) -> None:
    with OxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as client:
        client.media.pace = Pace(download_pause=1000.0)
        made = client.media.generate(model="flux-2-dev", prompt="x", direct=True)
        handle = client.media.attach(entry_id=made.entry_id)
        with pytest.raises(
            DownloadError, match=r"Oxen keeps no copy\. A direct generation has no id"
        ):
            handle.wait(save_to=tmp_path / "out")


def test_audio_is_saved_like_the_rest(media: MediaCalls, tmp_path: Path) -> None:
    model = next(m for m in media.hub.models if media.hub.models[m]["capabilities"]["output"] == ["audio"])  # fmt: skip
    result = media("generate", model=model, prompt="moo", save_to=tmp_path, allow_unknown_cost=True)
    assert result.media_type == "audio"
    assert Path(result.paths[0]).is_file()


@pytest.mark.parametrize(
    ("name", "said"),
    [("save_to", r"wait\(\)"), ("on_interrupt", r"wait\(\)"), ("file_name", "generate")],
)
def test_what_only_waiting_needs_is_refused_by_submit(
    media: MediaCalls, name: str, said: str
) -> None:
    with pytest.raises(InvalidInputError, match=f"no use for {name}.*Give it to {said}"):
        media("submit", model="flux-2-dev", prompt="an ox", **{name: "cancel"})
    assert paid(media.hub) == 0


OPTIONS_OF_OTHER_CALLS = {
    "attempts": "generate_many",
    "key_prefix": "generate_many",
    "max_in_flight": "generate_many",
    "retries": "Did you mean attempts",
    "max_retries": "Did you mean attempts",
    "concurrency": "Did you mean max_in_flight",
    "confirm_above": "OxenToolSpec; .*OxenBudgetMiddleware",
    "ask_above": "OxenBudgetMiddleware",
    "api_key": "OxenClient",
}


def test_an_option_of_another_call_is_not_sent_to_a_model_without_a_schema(
    media: MediaCalls,
) -> None:
    model = media.hub.models["flux-2-dev"]
    model["request_schema"] = None
    call: dict[str, Any] = {"model": "flux-2-dev", "prompt": "an ox"}
    for name, where in OPTIONS_OF_OTHER_CALLS.items():
        for method in ("generate", "submit", "find", "quote"):
            with pytest.raises(InvalidInputError, match=f"{name} is no option of this.*{where}"):
                media(method, **call, **{name: 0})
        (listed,) = media("generate_many", [{**call, name: 0}])
        assert isinstance(listed, InvalidInputError)
    for limit in ("max_cost", "budget", "timeout", "key"):
        with pytest.raises(InvalidInputError, match=f"{limit} is no option"):
            media("quote", **call, **{limit: 1})
    assert paid(media.hub) == 0
    # The model may have a parameter of that name: so it is sent.
    media("generate", **call, params={"attempts": 0})
    fields = {"prompt": {"type": "string"}, "attempts": {"type": "integer"}}
    model["request_schema"] = {"type": "object", "properties": fields}
    clear_cache()
    media("generate", **call, attempts=1)
    assert [job.params["attempts"] for job in media.hub.jobs] == [0, 1]


def test_a_handle_tells_and_cancels(hub: Sandbox, tmp_path: Path) -> None:
    with OxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=None) as client:
        client.media.pace = THOROUGH
        hub.inject(Fault("stall_job"))
        handle = client.media.submit(model="flux-2-dev", prompt="an ox")
        assert handle.status().status == "running"
        assert handle.cancel().status == "cancelled"
        done = client.media.submit(model="flux-2-dev", prompt="an ox")
        assert done.wait(save_to=tmp_path).paths
        assert done.cancel().status == "succeeded"
        other = client.media.attach(generation_ids=done.generation_ids)
        assert other.wait().succeeded
        (one,) = done.generation_ids
        assert client.media.attach(generation_ids=one).generation_ids == (one,)
        assert client.media.attach(generation_ids=[one, one]).generation_ids == (one,)
        assert paid(hub) == 2


def test_a_quote_is_free(media: MediaCalls) -> None:
    quote = media("quote", "flux-2-dev", num_generations=3)
    assert quote.high == Decimal("0.039")
    assert media("quote", "flux-2-dev", params={"num_generations": 3}).high == quote.high
    with pytest.raises(InvalidInputError, match="num_generations was given twice"):
        media("quote", "flux-2-dev", num_generations=2, params={"num_generations": 3})
    assert paid(media.hub) == 0


async def test_a_cancelled_task_detaches_and_says_the_ids(hub: Sandbox, ledger: Ledger, caplog: Any) -> None:  # fmt: skip
    async with AsyncOxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as client:
        client.media.pace = THOROUGH
        hub.inject(Fault("slow_job", seconds=3600.0))
        task = asyncio.create_task(
            client.media.generate(model="flux-2-dev", prompt="an ox", key="k")
        )
        await until(lambda: hub.jobs)
        await asyncio.sleep(0.1)  # until it waits, too
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert hub.jobs[0].generation_id in caplog.text
        assert hub.jobs[0].status != "cancelled"
        hub.clock.advance(3600)
        assert (await client.media.resume("k")).succeeded
    assert paid(hub) == 1


@pytest.mark.parametrize("fault", [None, "stall_job"])
async def test_a_cancelled_task_can_cancel_the_job(hub: Sandbox, fault: str | None, caplog: Any) -> None:  # fmt: skip
    async with AsyncOxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=None) as client:
        client.media.pace = replace(THOROUGH, image=(5, 5))
        if fault:
            hub.inject(Fault(fault))
        hub.inject(Fault("lose_event", times=None))
        task = asyncio.create_task(
            client.media.generate(model="flux-2-dev", prompt="an ox", on_interrupt="cancel")
        )
        await until(lambda: hub.jobs and (fault or hub.jobs[0].status == "succeeded"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    what = "cancelled" if fault else "succeeded"
    assert f"{hub.jobs[0].generation_id} is {what}" in caplog.text


async def test_a_post_that_is_under_way_is_recorded_before_the_cancellation(hub: Sandbox, ledger: Ledger) -> None:  # fmt: skip
    async with AsyncOxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as client:
        client.media.pace = THOROUGH
        await client.catalog.get("flux-2-dev")
        hub.inject(Fault("delay", when="after", seconds=0.4, **QUEUE))
        task = asyncio.create_task(
            client.media.generate(model="flux-2-dev", prompt="an ox", key="k")
        )
        await until(lambda: hub.jobs)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (entry,) = ledger.entries()
        assert (entry.state, entry.generation_ids) == ("accepted", (hub.jobs[0].generation_id,))


async def test_who_leaves_between_two_tries_buys_nothing(hub: Sandbox, ledger: Ledger) -> None:
    budget = Budget("1", name="b", ledger=ledger)
    async with AsyncOxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as client:
        hub.inject(Fault("respond", status=429, retry_after=60, **QUEUE))
        task = asyncio.create_task(
            client.media.generate(model="flux-2-dev", prompt="an ox", budget=budget)
        )
        await until(lambda: budget.reserved and paid(hub) and _states(ledger) == ["intended"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert _states(ledger) == ["rejected"]
    assert budget.remaining == budget.limit
    assert paid(hub) == 1


async def test_what_is_made_at_once_is_on_record_when_its_caller_has_left(
    hub: Sandbox, ledger: Ledger, tmp_path: Path, caplog: Any
) -> None:
    made = asyncio.Event()

    async def stay(event: Any) -> None:
        if event.phase == "fetching":
            made.set()
            await asyncio.sleep(60)

    async with AsyncOxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as client:
        direct = {"model": "flux-2-dev", "prompt": "an ox", "direct": True, "save_to": tmp_path}
        task = asyncio.create_task(client.media.generate(**direct, on_progress=stay))
        await made.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert _states(ledger) == ["accepted"]
    assert "Interrupted" not in caplog.text  # nothing goes on without him


@pytest.mark.parametrize("on_interrupt", ["detach", "cancel"])
def test_ctrl_c_says_what_goes_on(hub: Sandbox, on_interrupt: Any, caplog: Any) -> None:
    with OxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=None) as client:
        client.media.pace = THOROUGH
        hub.inject(Fault("stall_job"))
        # A test run in the background of a shell inherits that Ctrl-C is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def interrupt() -> None:
            while not hub.jobs:
                time.sleep(0.01)
            time.sleep(0.2)  # until it waits
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            client.media.generate(model="flux-2-dev", prompt="an ox", on_interrupt=on_interrupt)
    (job,) = hub.jobs
    assert job.generation_id in caplog.text
    assert (job.status == "cancelled") == (on_interrupt == "cancel")


def test_an_input_that_cannot_be_used_is_refused_for_free(
    media: MediaCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = media("generate", model="flux-2-dev", prompt="an ox", num_generations=2)
    media.hub.inject(Fault("stall_job"))
    (running,) = _submitted(media, "flux-2-dev")
    monkeypatch.setattr("oxen_inference.media.inputs.MAX_INLINE_BYTES", 10)
    (tmp_path / "large.png").write_bytes(bytes(11))
    before = paid(media.hub)
    bad: list[tuple[str, dict[str, Any]]] = [
        ("exactly one finished item", {"input_image": two}),
        ("has no URL", {"input_image": MediaItem(status="succeeded")}),
        ("is unknown to Oxen", {"input_image": MediaItem(generation_id="none")}),
        ("it is (queued|processing)", {"input_image": running}),
        ("has 11 bytes; at most 10", {"input_image": tmp_path / "large.png"}),
        ("cannot be read: No such file", {"input_image": tmp_path / "none.png"}),
        ("cannot be written as JSON", {"seed": float("nan")}),
        ("cannot be written as JSON", {"seed": object()}),
        ("key must be a text", {"key": " "}),
        ("key must be a text", {"key": 7}),
        ("at most 1,000 bytes, and has 600 characters", {"key": 600 * "ß"}),
        ("must be a function", {"on_progress": "print"}),
        ("make one Budget for them", {"budget": "1.00"}),  # it would be a new one in each call
    ]
    for message, change in bad:
        with pytest.raises(InvalidInputError, match=message):
            media(
                "generate",
                **{"model": "qwen-image-edit", "prompt": "older", "allow_paths": True, **change},
            )
    assert paid(media.hub) == before


def _submitted(media: MediaCalls, model: str) -> tuple[str, ...]:
    return media("submit", model=model, prompt="an ox").generation_ids


def test_inputs_are_sent_as_the_hub_takes_them(media: MediaCalls, tmp_path: Path) -> None:
    model = "qwen-image-edit"
    schema = media.hub.models[model]["request_schema"]["properties"]["input_image"]
    (tmp_path / "ox.png").write_bytes(PNG)
    is_list = schema.get("type") == "array"
    given = {
        "data:image/png;base64," + base64.b64encode(PNG).decode(): tmp_path / "ox.png",
        "https://files/a.png": MediaItem(url="https://files/a.png", status="succeeded"),
    }
    for sent, value in given.items():
        media(
            "submit", model=model, prompt="older", allow_paths=True, allow_unknown_cost=True,
            input_image=[value] if is_list else value,
        )  # fmt: skip
        posted = [one.json for one in media.hub.requests if one.method == "POST"][-1]
        assert posted["input_image"] == ([sent] if is_list else sent)


def test_what_costs_nobody_knows_what_is_kept_from_a_limit(media: MediaCalls) -> None:
    hub_model = {**media.hub.models["flux-2-dev"], "pricing": None}
    model = read_model(hub_model)
    with pytest.raises(BudgetExceededError, match="not known in advance"):
        media("generate", model=model, prompt="an ox", max_cost="1")
    with pytest.raises(BudgetExceededError, match="not known in advance"):
        media("generate", model=model, prompt="an ox", budget=Budget("1"))
    assert paid(media.hub) == 0
    budget = Budget("1", name="b", ledger=media.ledger)
    media.hub.settings.cost_delay_seconds = 1000
    media(
        "generate", model=model, prompt="an ox", budget=budget, max_cost="0.10",
        num_generations=2, allow_unknown_cost=True,
    )  # fmt: skip
    assert budget.reserved == Decimal("0.10")  # the most that the caller allows


def test_a_model_that_makes_several_kinds_makes_the_first_of_media(media: MediaCalls) -> None:
    known = media.hub.models["flux-2-dev"]
    able = {"input": ["text"], "output": ["text", "image"]}
    model = read_model({**known, "endpoint": "/chat/completions", "capabilities": able})
    assert model.kind not in ("image", "video", "audio")
    assert media("generate", model=model, prompt="an ox").media_type == "image"


def test_one_video_a_direct_call(media: MediaCalls) -> None:
    model = next(name for name, row in media.hub.models.items() if row["capabilities"]["output"] == ["video"])  # fmt: skip
    with pytest.raises(InvalidInputError, match="one video a call, not 2"):
        media(
            "generate", model=model, prompt="x", direct=True, num_generations=2,
            allow_unknown_cost=True,
        )  # fmt: skip
    assert all(request.method == "GET" for request in media.hub.requests)


def test_of_many_each_has_its_own_end(media: MediaCalls) -> None:
    media.hub.inject(Fault("stall_job", times=1))
    late, nothing, made = media(
        "generate_many",
        [{"model": "flux-2-dev", "prompt": "a", "timeout": 0.4}, {"prompt": "b"},
         {"model": "flux-2-dev", "prompt": "c", "direct": True}],
    )  # fmt: skip
    assert isinstance(late, GenerationTimeout)
    assert isinstance(nothing, InvalidInputError)
    assert made.succeeded


class Leave(BaseException):
    """As an interrupt, or the end of a worker, is one."""


@pytest.mark.parametrize("breaking", [ZeroDivisionError, Leave])
def test_a_listener_that_breaks_is_no_failure_of_one_request(
    breaking: type[BaseException], media: MediaCalls
) -> None:
    def breaks(_: object) -> None:
        raise breaking

    with pytest.raises(breaking):
        request = {"model": "flux-2-dev", "prompt": "a", "on_progress": breaks}
        media("generate_many", [request])
    assert paid(media.hub) == 0
    with pytest.raises(breaking):
        media("generate_many", [{"model": "flux-2-dev", "prompt": "a"}], on_progress=breaks)


def test_a_list_is_told_how_far_it_is_and_a_request_how_far_it_is(media: MediaCalls) -> None:
    whole: list[BulkProgress] = []
    one: list[Progress] = []
    requests: list[dict[str, Any]] = [{"prompt": "a"}, {"prompt": "b", "on_progress": one.append}]
    media("generate_many", requests, model="flux-2-dev", on_progress=whole.append)
    assert {type(event) for event in whole} == {BulkProgress}
    assert (whole[-1].done, whole[-1].total) == (2, 2)
    assert {type(event) for event in one} == {Progress}


def test_an_amount_is_one_budget_for_the_list(media: MediaCalls) -> None:
    requests = [{"model": "flux-2-dev", "prompt": str(number)} for number in range(5)]
    made = media("generate_many", requests, budget="0.03")
    assert sum(isinstance(each, MediaResult) for each in made) == paid(media.hub) == 2
