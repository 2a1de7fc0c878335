"""Jobs on the sandbox's clock: what moves, what it costs, who sees it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from oxen_sandbox import Fault, Sandbox
from tests.support.wire import ai, call, enqueue


@pytest.fixture
def hub() -> Any:
    """A hub whose clock stands still: 10 seconds an image, 100 a video."""
    with Sandbox(speed=0, image_seconds=10, video_seconds=100) as hub:
        yield hub


def row(hub: Sandbox, generation_id: str) -> Any:
    return ai(hub, "GET", f"/queue/{generation_id}").json


def cost(hub: Sandbox, generation_id: str) -> Any:
    return ai(hub, "GET", f"/generations/{generation_id}").json["generation"]["cost"]


def test_a_job_is_queued_then_processed_then_done(hub: Sandbox) -> None:
    (job,) = enqueue(hub)
    seen = []
    for seconds in (0, 3, 6.9, 0.2):
        hub.clock.advance(seconds)
        current = row(hub, job)
        seen.append((current["status"], bool(current["started_at"]), bool(current["result_url"])))
    assert seen == [
        ("queued", False, False),
        ("processing", True, False),
        ("processing", True, False),
        ("succeeded", True, True),
    ]
    done = row(hub, job)
    assert done["completed_at"] - done["enqueued_at"] == 10


def test_the_clock_can_run_faster() -> None:
    with Sandbox(speed=1000, video_seconds=100) as hub:
        (job,) = enqueue(hub, "google-veo-3")
        started = time.monotonic()
        while row(hub, job)["status"] != "succeeded":
            assert time.monotonic() - started < 60
        assert time.monotonic() - started >= 0.09


def test_the_queue_lists_active_jobs_unless_asked_for_others(hub: Sandbox) -> None:
    (done,) = enqueue(hub)
    hub.clock.advance(11)
    (failed,) = enqueue(hub, output_format="gif")
    hub.clock.advance(11)
    (active,) = enqueue(hub)

    def listed(**query: Any) -> list[str]:
        rows = ai(hub, "GET", "/queue", **query).json
        assert rows["count"] == len(rows["generations"])
        return [generation["generation_id"] for generation in rows["generations"]]

    assert listed() == [active]
    assert listed(status="succeeded") == [done]
    assert listed(status="failed") == [failed]
    assert listed(status="cancelled") == []


def test_filters(hub: Sandbox) -> None:
    (image,) = enqueue(hub, target_namespace="farm", target_repo="oxen", target_directory="dawn")
    (video,) = enqueue(hub, "google-veo-3")
    expected = {
        ("media_type", "video"): [video], ("model", "flux-2-dev"): [image],
        ("namespace", "farm"): [image], ("namespace", "ox-lab"): [video],
        ("repo", "oxen"): [image], ("folder", "dawn"): [image], ("folder", "dusk"): [],
    }  # fmt: skip
    for path in ("/queue", "/generations"):
        for (name, value), ids in expected.items():
            rows = ai(hub, "GET", path, **{name: value}).json["generations"]
            assert [generation["generation_id"] for generation in rows] == ids, (path, name)


def test_history_is_paged_newest_first_and_sums_every_page(hub: Sandbox) -> None:
    ids = [enqueue(hub, prompt=f"ox {number}")[0] for number in range(5)]
    hub.clock.advance(11)
    pages = [ai(hub, "GET", "/generations", page=page, page_size=2).json for page in (1, 2, 3, 4)]
    seen = [generation["generation_id"] for page in pages for generation in page["generations"]]
    assert seen == ids[::-1]
    assert [page["count"] for page in pages] == [2, 2, 1, 0]
    assert {(page["total_entries"], page["total_pages"]) for page in pages} == {(5, 3)}
    assert {page["total_cost"] for page in pages} == {"0.065"}


@pytest.mark.parametrize("number", ["0", "-1", "two", "²", ""])
@pytest.mark.parametrize("name", ["page", "page_size"])
def test_a_page_has_a_positive_number(hub: Sandbox, name: str, number: str) -> None:
    assert ai(hub, "GET", "/generations", **{name: number}).status == 400


def test_nothing_charged_is_null_not_zero(hub: Sandbox) -> None:
    (job,) = enqueue(hub)
    assert ai(hub, "GET", "/generations").json["total_cost"] is None
    assert cost(hub, job) is None


def test_parameters_are_merged_but_never_override_the_row(hub: Sandbox) -> None:
    (job,) = enqueue(
        hub, seed=7, status="succeeded", generation_id="mine", cost="0", result_url="x"
    )
    current = row(hub, job)
    assert (current["seed"], current["prompt"]) == (7, "an ox")
    assert (current["status"], current["generation_id"], current["result_url"]) == (
        "queued",
        job,
        None,
    )
    assert cost(hub, job) is None


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        ("flux-2-dev", {"aspect_ratio": "5:1"}, "aspect_ratio"),
        ("flux-2-dev", {"num_inference_steps": 51}, "num_inference_steps"),
        ("flux-2-dev", {"seed": "seven"}, "seed"),
        ("google-veo-3-1-fast", {"duration": 5}, "duration"),
        ("luma-ray-v3-2-image-to-video", {}, "input_image"),
        ("luma-ray-v3-2-image-to-video", {"input_image": "/home/me/ox.png"}, "input_image"),
        ("flux-2-dev", {"input_image": ["ox.png"]}, "input_image"),
        (
            "flux-2-dev",
            {"input_image": ["http://[ox/ox.png"]},
            "Forbidden for url: http://[ox/ox.png",
        ),
    ],
)
def test_bad_parameters_fail_when_the_job_runs(
    hub: Sandbox, model: str, params: dict[str, Any], message: str
) -> None:
    (job,) = enqueue(hub, model, **params)
    hub.clock.advance(1)
    assert row(hub, job)["status"] == "queued"
    hub.clock.advance(200)
    failed = row(hub, job)
    assert (failed["status"], failed["result_url"]) == ("failed", None)
    assert message in failed["error_message"]
    assert cost(hub, job) is None
    assert hub.charges == []


@pytest.mark.parametrize("duration", ["auto", "4", 4, "30"])
def test_numbers_spelt_as_the_schema_spells_them(hub: Sandbox, duration: object) -> None:
    (job,) = enqueue(hub, "bytedance-seedance-2-5-text-to-video", duration=duration)
    hub.clock.advance(101)
    assert row(hub, job)["status"] == "succeeded"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "bytedance-seed-audio-1-0", "prompt": "x"}, 200),
        ({"model": "flux-2-dev", "prompt": "x", "num_generations": 5}, 400),
        ({"model": "flux-2-dev", "prompt": "x", "num_generations": True}, 400),
        ({"model": "flux-2-dev"}, 400),
        ({"model": "google-veo-3"}, 400),
        ({"prompt": "x"}, 400),
        ({"model": "topazlabs-image-upscale", "input_image": "https://example.com/a.png"}, 200),
        (
            {"model": "kling-video-o3-pro-reference-to-video", "multi_prompt": [{"prompt": "x"}]},
            200,
        ),
    ],
)
def test_what_is_checked_before_a_job_is_accepted(hub: Sandbox, body: Any, status: int) -> None:
    assert ai(hub, "POST", "/queue", body).status == status
    assert len(hub.jobs) == (1 if status == 200 else 0)


def test_a_prompt_with_a_default_may_be_left_out(hub: Sandbox) -> None:
    hub.models["flux-2-dev"]["request_schema"]["properties"]["prompt"]["default"] = "an ox"
    assert ai(hub, "POST", "/queue", {"model": "flux-2-dev"}).status == 200
    assert ai(hub, "POST", "/queue", {"model": "flux-2-dev", "prompt": ""}).status == 400


def test_parameters_no_schema_keeps_out(hub: Sandbox) -> None:
    hub.models["sketch"] = {"id": "sketch", "capabilities": {"output": ["image"]}}
    nonsense = {"width": "wide", "height": "tall"}
    (job,) = enqueue(hub, "sketch", **nonsense)
    hub.clock.advance(11)
    assert row(hub, job)["status"] == "failed"
    assert row(hub, job)["error_message"].startswith("These parameters cannot be used")
    hub.settings.image_seconds = 0
    body = {"model": "sketch", "prompt": "an ox", **nonsense}
    assert ai(hub, "POST", "/images/generate", body).status == 400
    assert hub.charges == []


def test_a_synchronous_call_waits_for_the_clock(hub: Sandbox) -> None:
    body, before = {"model": "flux-2-dev", "prompt": "an ox"}, hub.clock.now()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ai, hub, "POST", "/images/generate", body)
        while not answer.done():
            hub.clock.advance(0.5)
            time.sleep(0.005)
    assert answer.result().json["images"][0]["url"]
    assert hub.clock.now() - before >= 10


@pytest.mark.parametrize(
    ("pricing", "expected"),
    [
        (None, None),
        ({"method": "barter"}, None),
        ({"method": "per_image"}, None),
        ({"method": "per_image", "cost_per_image": "0.02",
          "cost_per_image_grid": {"low": {"1k": "0.01"}, "high": {"1k": "0.04"}}}, "0.02"),
        ({"method": "per_video_output_second", "cost_per_second": "0.1",
          "cost_per_second_by_resolution": {"4k": "0.5"}}, "0.4"),
    ],
)  # fmt: skip
def test_prices_that_do_not_cover_everything(
    hub: Sandbox, pricing: Any, expected: str | None
) -> None:
    hub.models["google-veo-3"]["pricing"] = pricing
    (job,) = enqueue(hub, "google-veo-3", duration=4)
    hub.clock.advance(101)
    assert row(hub, job)["status"] == "succeeded"
    assert cost(hub, job) == expected


@pytest.mark.parametrize(
    ("model", "params", "expected"),
    [
        ("flux-2-dev", {}, "0.013"),
        ("google-nano-banana-pro", {"resolution": "4K"}, "0.22"),
        ("black-forest-labs-flux-2-klein-4b", {"output_quality": "high"}, "0.011"),
        ("google-veo-3", {"duration": 4}, "0.84"),
        ("google-veo-3", {"duration": 4, "generate_audio": True}, "1.68"),
        ("google-veo-3-1-fast", {"duration": 6, "resolution": "4k"}, "1.86"),
        ("openai-sora-2-pro", {"seconds": "12"}, "3.36"),
        ("openai-sora-2-pro", {"seconds": "12", "resolution": "high"}, "5.76"),
        ("wan-v2-7-text-to-video", {"duration": 15, "resolution": "720P"}, "1.5"),
        ("luma-ray-v3-2-image-to-video",
         {"duration": "10s", "input_image": "data:image/png;base64,AAAA"}, "0.6"),
        ("bytedance-seedance-2-5-text-to-video", {"resolution": "480p"}, "0.35"),
        ("ltx-2-3-quality-text-to-video", {"num_frames": 48, "frames_per_second": 24}, "0.1"),
        ("wan-ai-wan2-1-t2v-1-3b-diffusers", {}, "0.13"),
    ],
)  # fmt: skip
def test_every_pricing_method(hub: Sandbox, model: str, params: Any, expected: str) -> None:
    (job,) = enqueue(hub, model, **params)
    hub.clock.advance(101)
    assert row(hub, job)["error_message"] is None
    assert cost(hub, job) == expected
    assert [(charge.kind, charge.cost) for charge in hub.charges] == [("queue", Decimal(expected))]


def test_a_cost_may_appear_later_than_the_result(hub: Sandbox) -> None:
    hub.settings.cost_delay_seconds = 5
    (job,) = enqueue(hub)
    hub.clock.advance(11)
    assert (row(hub, job)["status"], cost(hub, job)) == ("succeeded", None)
    hub.clock.advance(5)
    assert cost(hub, job) == "0.013"


def test_canceling(hub: Sandbox) -> None:
    done, active = enqueue(hub)[0], enqueue(hub, "google-veo-3")[0]
    hub.clock.advance(11)
    for job in (done, active):
        answer = ai(hub, "DELETE", f"/queue/{job}")
        assert (answer.status, answer.json) == (200, {"status": "success", "generation_id": job})
    hub.clock.advance(200)
    assert [row(hub, job)["status"] for job in (done, active)] == ["succeeded", "cancelled"]
    assert cost(hub, active) is None
    hub.settings.strict_cancel = True
    assert ai(hub, "DELETE", f"/queue/{done}").status == 400


def test_a_canceled_job_can_be_billed(hub: Sandbox) -> None:
    hub.settings.bill_canceled = True
    (job,) = enqueue(hub)
    ai(hub, "DELETE", f"/queue/{job}")
    assert cost(hub, job) == "0.013"


def test_credits(hub: Sandbox) -> None:
    hub.credits = Decimal("0.02")
    first, second = enqueue(hub)[0], enqueue(hub)[0]
    hub.clock.advance(11)
    assert row(hub, first)["status"] == "succeeded"
    assert (row(hub, second)["status"], row(hub, second)["error_message"]) == (
        "failed",
        "Insufficient credits",
    )
    assert hub.credits == Decimal("0.007")
    hub.credits = Decimal(0)
    for path in ("/queue", "/images/generate"):
        refused = ai(hub, "POST", path, {"model": "flux-2-dev", "prompt": "x"})
        assert (refused.status, refused.json["error"]["type"]) == (402, "insufficient_credits")
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    assert ai(hub, "POST", "/chat/completions", body).status == 402


def test_another_account_sees_nothing_of_it(hub: Sandbox) -> None:
    (job,) = enqueue(hub)
    other = hub.add_account("neighbour")
    assert call(hub, "GET", "/api/ai/queue", key=other).json["count"] == 0
    assert call(hub, "GET", f"/api/ai/queue/{job}", key=other).status == 404
    assert call(hub, "DELETE", f"/api/ai/queue/{job}", key=other).status == 404
    call(hub, "POST", "/api/ai/models/flux-2-dev/favorite", key=other)
    assert ai(hub, "GET", "/models/favorites").json["data"] == []
    assert row(hub, job)["status"] == "queued"


def test_job_faults(hub: Sandbox) -> None:
    hub.inject(
        Fault("fail_job", message="Content policy"),
        Fault("stall_job"),
        Fault("slow_job", seconds=50),
        Fault("price_job", cost="9.99"),
        Fault("price_job"),
        Fault("nest_result"),
    )
    failed, stalled, slow, dear, unpriced, nested = [enqueue(hub)[0] for _ in range(6)]
    hub.clock.advance(11)
    assert row(hub, failed)["error_message"] == "Content policy"
    assert row(hub, slow)["status"] == "processing"
    assert (cost(hub, dear), cost(hub, unpriced)) == ("9.99", None)
    assert row(hub, nested)["result_url"] is None
    assert row(hub, nested)["images"][0]["url"].startswith(hub.origin)
    hub.clock.advance(1_000_000)
    assert [row(hub, job)["status"] for job in (slow, stalled)] == ["succeeded", "processing"]


def test_a_row_can_be_late_in_the_lists(hub: Sandbox) -> None:
    hub.inject(Fault("hide_rows", path="*/generations", seconds=5, times=None))
    (job,) = enqueue(hub)
    assert ai(hub, "GET", "/generations").json["total_entries"] == 0
    assert ai(hub, "GET", "/queue").json["count"] == 1
    hub.clock.advance(5)
    assert ai(hub, "GET", "/generations").json["generations"][0]["generation_id"] == job
    hub.inject(Fault("hide_rows", path="*/queue"))
    assert [ai(hub, "GET", "/queue").json["count"] for _ in range(2)] == [0, 1]


def test_a_thousand_jobs_at_once() -> None:
    with Sandbox(speed=0) as hub:

        def fifty() -> None:
            for _ in range(13):
                enqueue(hub, num_generations=4)

        threads = [threading.Thread(target=fifty) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({job.generation_id for job in hub.jobs}) == 20 * 13 * 4
        hub.clock.advance(10)
        assert {job.status for job in hub.jobs} == {"succeeded"}
        assert hub.credits == Decimal(1_000_000) - Decimal("0.013") * 1040
