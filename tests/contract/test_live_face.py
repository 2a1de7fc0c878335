"""The live face of the sandbox: what programs in production meet, and the documentation leaves out."""

import time
from decimal import Decimal
from typing import Any

import pytest

from oxen_sandbox import Fault, Sandbox
from tests.support.wire import ai, enqueue, fetch

SPEECH = "bytedance-seed-audio-1-0"
WRAPPED = "Getting model response error: 422 - Value error, "


@pytest.fixture
def documented() -> Any:
    with Sandbox(face="documented") as hub:
        yield hub


def finished(hub: Sandbox, model: str, **params: Any) -> dict[str, Any]:
    """The full row of one generation, once it has ended."""
    (generation,) = enqueue(hub, model, **params)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        row = ai(hub, "GET", f"/generations/{generation}").json["generation"]
        if row["status"] in ("succeeded", "failed"):
            return dict(row)
        time.sleep(0.02)
    raise AssertionError(row)


def test_a_face_nobody_knows() -> None:
    with pytest.raises(ValueError, match="live, documented"):
        Sandbox(face="private")  # type: ignore[arg-type]


def test_the_catalog_needs_no_key(oxen_sandbox: Sandbox, documented: Sandbox) -> None:
    paths = ("/models", "/models/search?search=flux", "/models/featured", "/models/flux-2-dev")
    for path in paths:
        assert fetch(f"{oxen_sandbox.base_url}{path}").status == 200
        assert fetch(f"{documented.base_url}{path}").status == 401
    for path in ("/models/favorites", "/queue", "/generations"):
        assert fetch(f"{oxen_sandbox.base_url}{path}").status == 401
    assert fetch(f"{oxen_sandbox.base_url}/models/flux-2-dev/favorite", "POST").status == 401
    assert fetch(f"{oxen_sandbox.base_url}/models", key="wrong").status == 401


def test_no_live_entry_names_the_edit_route(oxen_sandbox: Sandbox, documented: Sandbox) -> None:
    entries = ai(oxen_sandbox, "GET", "/models").json["data"]
    assert {entry["endpoint"] for entry in entries} == {
        "/chat/completions", "/images/generate", "/videos/generate", "/audio/generate"
    }  # fmt: skip
    assert documented.models["qwen-image-edit"]["endpoint"] == "/images/edit"
    assert not [name for entry in entries for name in entry if name.startswith("_")]
    known = {entry["id"]: entry for entry in entries}
    assert known["claude-opus-4-8"]["context_length"] == 1_000_000
    assert known["topazlabs-bloom-2-image"]["pricing"]["method"] == "per_provider_credit"


def test_an_answer_states_its_cost(oxen_sandbox: Sandbox, documented: Sandbox) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Name an ox."}]}
    usage = ai(oxen_sandbox, "POST", "/chat/completions", body).json["usage"]
    assert usage["currency"] == "USD"
    assert Decimal(str(usage["cost"])) == oxen_sandbox.charges[-1].cost
    streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
    *_, last, _ = ai(oxen_sandbox, "POST", "/chat/completions", streamed).chunks
    assert last["usage"]["cost"] > 0
    oxen_sandbox.reply("Bruno", usage={"cost": 0.5})
    ai(oxen_sandbox, "POST", "/chat/completions", body)
    assert oxen_sandbox.charges[-1].cost == Decimal("0.5")
    assert "cost" not in ai(documented, "POST", "/chat/completions", body).json["usage"]


def test_a_model_s_refusal_is_wrapped(oxen_sandbox: Sandbox, documented: Sandbox) -> None:
    row = finished(oxen_sandbox, "flux-2-dev", output_format="gif")
    assert (row["status"], row["error_message"].startswith(WRAPPED)) == ("failed", True)
    assert "Getting" not in finished(documented, "flux-2-dev", output_format="gif")["error_message"]
    body = {"model": "flux-2-dev", "prompt": "an ox", "output_format": "gif"}
    answer = ai(oxen_sandbox, "POST", "/images/generate", body)
    assert (answer.status, answer.json["error"]["detail"].startswith(WRAPPED)) == (500, True)
    assert oxen_sandbox.charges == []


def test_the_queue_refuses_what_it_cannot_make_inside_a_success(oxen_sandbox: Sandbox) -> None:
    answer = ai(oxen_sandbox, "POST", "/queue", {"model": "gpt-4o", "prompt": "an ox"})
    refusal = {"generations": [], "error": {"detail": "unsupported_media_type"}}
    assert (answer.status, answer.json) == (200, refusal)


def test_no_credits_is_a_title_alone(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.credits = Decimal(0)
    answer = ai(oxen_sandbox, "POST", "/queue", {"model": "flux-2-dev", "prompt": "an ox"})
    assert answer.status == 402
    assert answer.json["error"].keys() == {"type", "title"}


def test_audio_goes_through_the_queue(oxen_sandbox: Sandbox, documented: Sandbox) -> None:
    row = finished(oxen_sandbox, SPEECH, prompt="Good morning, ox.")
    assert (row["media_type"], row["result_url"]) == ("audio", None)
    file = fetch(row["audio"]["url"], key=oxen_sandbox.api_key)
    assert (file.status, file.headers["content-type"]) == (200, "audio/mpeg")
    assert [charge.kind for charge in oxen_sandbox.charges] == ["queue"]
    refused = ai(documented, "POST", "/queue", {"model": SPEECH, "prompt": "Good morning."})
    assert refused.status == 400


@pytest.mark.parametrize(
    ("under", "expected"),
    [("audio_url", str), ("video.url", dict), ("output[]", list), ("images[].url", list)],
)
def test_a_result_under_any_name(oxen_sandbox: Sandbox, under: str, expected: type) -> None:
    oxen_sandbox.inject(Fault("nest_result", under=under))
    row = finished(oxen_sandbox, "flux-2-dev")
    assert row["result_url"] is None
    assert isinstance(row[under.partition(".")[0].removesuffix("[]")], expected)


def test_the_speech_routes(oxen_sandbox: Sandbox, documented: Sandbox) -> None:
    said = {"model": SPEECH, "input": "Welcome, ox."}
    assert ai(oxen_sandbox, "POST", "/audio/speech", said).json["audios"][0]["url"]
    heard = {"model": "gpt-audio", "audio_url": "https://example.com/moo.mp3"}
    oxen_sandbox.reply("Moo.")
    assert ai(oxen_sandbox, "POST", "/audio/transcriptions", heard).json == {"text": "Moo."}
    assert [charge.kind for charge in oxen_sandbox.charges] == ["direct", "chat"]
    for path, body in (("/audio/speech", said), ("/audio/transcriptions", heard)):
        assert ai(documented, "POST", path, body).status == 404
    for wrong in ({"model": "gpt-4o"}, {"audio_url": "moo.mp3"}):
        assert ai(oxen_sandbox, "POST", "/audio/transcriptions", {**heard, **wrong}).status == 400


CLIP = "https://example.com/ox.mp4"


@pytest.mark.parametrize(
    ("model", "params", "dearer", "times"),
    [
        ("luma-ray-v3-2-text-to-video", {}, {"resolution": "720p"}, 2),
        ("luma-ray-v3-2-text-to-video", {}, {"resolution": "1080p"}, 4),
        ("luma-ray-v3-2-text-to-video", {}, {"duration": "10s"}, 2),
        ("flux-3-video", {}, {"resolution": "1080p"}, Decimal("1.8")),
        ("flux-3-video", {}, {"input_video": CLIP}, Decimal("1.4")),
        ("flux-3-video", {}, {"draft": True}, Decimal("0.5")),
        ("nano-banana-2-lite", {}, {"thinking_level": "high"}, Decimal("1.6")),
        ("qwen-image-3", {}, {"num_images": 6}, 6),
        ("kling-video-o3-omni", {"video_mode": "edit", "input_video": CLIP},
         {"duration": 10}, 1),
    ],
)  # fmt: skip
def test_bills_follow_prices_in_prose(
    oxen_sandbox: Sandbox, model: str, params: dict[str, Any], dearer: dict[str, Any], times: Any
) -> None:
    first = Decimal(finished(oxen_sandbox, model, **params)["cost"])
    second = Decimal(finished(oxen_sandbox, model, **params, **dearer)["cost"])
    assert second == first * times


def test_an_edit_is_billed_by_the_length_of_its_input(oxen_sandbox: Sandbox) -> None:
    model = "kling-video-o3-omni"
    plain = Decimal(finished(oxen_sandbox, model, duration=5)["cost"])
    edit = finished(oxen_sandbox, model, duration=5, video_mode="edit", input_video=CLIP)
    assert Decimal(edit["cost"]) > 2 * plain


def test_credits_of_a_provider_are_billed(oxen_sandbox: Sandbox) -> None:
    row = finished(
        oxen_sandbox, "topazlabs-bloom-2-image", input_image="https://example.com/ox.png"
    )
    assert Decimal(row["cost"]) > 0


def test_faces_are_taken_as_public_urls_only(oxen_sandbox: Sandbox) -> None:
    model = "bytedance-seedance-2-5-reference-to-video"
    inline = finished(oxen_sandbox, model, input_face_images=["data:image/png;base64,AAAA"])
    assert inline["error_message"] == "unsupported_url_scheme"
    public = finished(oxen_sandbox, model, input_face_images=["https://example.com/ox.png"])
    assert public["status"] == "succeeded"


def test_a_provider_without_a_key_cannot_fetch_the_hub_s_files(oxen_sandbox: Sandbox) -> None:
    made = finished(oxen_sandbox, "flux-2-dev")["result_url"]
    assert finished(oxen_sandbox, "flux-2-dev", input_image=[made])["status"] == "succeeded"
    oxen_sandbox.settings.private_results = True
    refused = finished(oxen_sandbox, "flux-2-dev", input_image=[made])
    assert f"403 Client Error: Forbidden for url: {made}" in refused["error_message"]


def test_an_upscaler_needs_no_prompt(oxen_sandbox: Sandbox) -> None:
    body = {
        "model": "topazlabs-upscale-starlight-2-5-video",
        "input_video": CLIP,
        "resolution": "4k",
    }
    answer = ai(oxen_sandbox, "POST", "/queue", body)
    assert answer.status == 200
    (generation,) = answer.json["generations"]
    assert "prompt" not in ai(oxen_sandbox, "GET", f"/queue/{generation['generation_id']}").json
