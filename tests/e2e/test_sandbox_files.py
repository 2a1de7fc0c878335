"""What the sandbox makes are real files, in the requested length, ratio and format."""

import base64
import io
import time
import wave
from typing import Any

import av
import pytest
from PIL import Image

from oxen_sandbox import Sandbox
from tests.support.wire import Answer, ai, enqueue, fetch


def made(hub: Sandbox, path: str, **body: Any) -> bytes:
    body = {"prompt": "an ox at dawn", "response_format": "b64_json", **body}
    answer = ai(hub, "POST", path, body)
    assert answer.status == 200, answer.content
    (results,) = (value for value in answer.json.values() if isinstance(value, list))
    return base64.b64decode(results[0]["b64_json"])


@pytest.mark.parametrize(
    ("params", "kind", "size"),
    [
        ({"model": "flux-2-dev"}, "WEBP", (1365, 768)),
        ({"model": "flux-2-dev", "output_format": "png", "aspect_ratio": "1:1"}, "PNG", (1024, 1024)),
        ({"model": "flux-2-dev", "output_format": "jpg", "aspect_ratio": "9:16"}, "JPEG", (768, 1365)),
        ({"model": "flux-2-dev", "resolution": "2 MP", "aspect_ratio": "3:2"}, "WEBP", (1774, 1182)),
        ({"model": "google-nano-banana-pro", "resolution": "4K", "aspect_ratio": "21:9"}, "PNG", (6257, 2682)),
        ({"model": "flux-1-dev", "size": "300x200", "output_format": "png"}, "PNG", (300, 200)),
    ],
)  # fmt: skip
def test_images(oxen_sandbox: Sandbox, params: Any, kind: str, size: tuple[int, int]) -> None:
    content = made(oxen_sandbox, "/images/generate", **params)
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert image.format == kind
        assert image.width == pytest.approx(size[0], abs=3)
        assert image.height == pytest.approx(size[1], abs=3)


def test_the_prompt_is_written_on_the_image(oxen_sandbox: Sandbox) -> None:
    """Two prompts, two images; the same prompt, the same image; and there is ink on it."""
    first, same, other = (
        made(
            oxen_sandbox, "/images/generate", model="flux-2-dev", prompt=prompt, output_format="png"
        )
        for prompt in ("an ox at dawn", "an ox at dawn", "two oxen at dusk")
    )
    assert first == same
    assert first != other
    with Image.open(io.BytesIO(first)) as image:
        colors = image.getcolors(maxcolors=1_000_000)
    assert colors is not None
    assert (255, 255, 255) in {color for _, color in colors}


@pytest.mark.parametrize(
    ("params", "seconds", "ratio"),
    [
        ({"model": "google-veo-3-1-fast", "duration": 4}, 4, 16 / 9),
        ({"model": "google-veo-3-1-fast", "aspect_ratio": "9:16"}, 8, 9 / 16),
        ({"model": "openai-sora-2-pro", "seconds": "12", "aspect_ratio": "portrait"}, 12, 9 / 16),
        ({"model": "bytedance-seedance-2-5-text-to-video", "duration": "20"}, 20, 16 / 9),
        ({"model": "bytedance-seedance-2-5-text-to-video", "aspect_ratio": "1:1"}, 5, 1),
        ({"model": "luma-ray-v3-2-image-to-video", "duration": "10s", "aspect_ratio": "21:9",
          "input_image": "https://example.com/ox.png"}, 10, 21 / 9),
        ({"model": "ltx-2-3-quality-text-to-video", "num_frames": 121,
          "resolution": "portrait_16_9"}, 121 / 24, 9 / 16),
        ({"model": "wan-ai-wan2-1-t2v-1-3b-diffusers", "width": 320, "height": 240}, 81 / 16, 4 / 3),
    ],
)  # fmt: skip
def test_videos(oxen_sandbox: Sandbox, params: Any, seconds: float, ratio: float) -> None:
    content = made(oxen_sandbox, "/videos/generate", **params)
    with av.open(io.BytesIO(content)) as video:
        stream = video.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.duration is not None
        assert stream.time_base is not None
        assert float(stream.duration * stream.time_base) == pytest.approx(seconds, abs=0.05)
        assert stream.width / stream.height == pytest.approx(ratio, rel=0.01)
        frames = [frame.to_ndarray(format="gray") for frame in video.decode(stream)]
        assert len(frames) == stream.frames
    assert frames[0][-4:].mean() < frames[-1][-4:].mean()  # the bar has moved


def test_audio_when_requested(oxen_sandbox: Sandbox) -> None:
    for wanted in (True, False):
        content = made(
            oxen_sandbox,
            "/videos/generate",
            model="google-veo-3",
            duration=4,
            generate_audio=wanted,
        )
        with av.open(io.BytesIO(content)) as video:
            assert len(video.streams.audio) == wanted
            assert video.duration == pytest.approx(4_000_000, abs=60_000)


@pytest.mark.parametrize("container", ["wav", "mp3", "ogg_opus"])
def test_audio(oxen_sandbox: Sandbox, container: str) -> None:
    body = {"model": "bytedance-seed-audio-1-0", "prompt": "x" * 50, "speed": 2.0}
    content = made(oxen_sandbox, "/audio/generate", output_format=container, **body)
    with av.open(io.BytesIO(content)) as audio:
        samples = sum(frame.samples for frame in audio.decode(audio=0))
        assert samples / audio.streams.audio[0].rate == pytest.approx(1.5, abs=0.1)
    if container == "wav":
        with wave.open(io.BytesIO(content)) as file:
            assert (file.getframerate(), file.getnchannels()) == (24000, 1)


def test_raw_samples(oxen_sandbox: Sandbox) -> None:
    body = {"model": "bytedance-seed-audio-1-0", "prompt": "x" * 50, "speed": 2.0}
    assert len(made(oxen_sandbox, "/audio/generate", output_format="pcm", **body)) == 72_000


def test_a_video_is_cheap_to_make(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.settings.video_seconds = 0
    before = time.process_time()
    made(oxen_sandbox, "/videos/generate", model="wan-v2-7-text-to-video", prompt="first")
    first = time.process_time() - before
    before = time.process_time()
    made(oxen_sandbox, "/videos/generate", model="wan-v2-7-text-to-video", prompt="first")
    assert time.process_time() - before < first / 2
    assert first < 1.5  # well under 0.5 s alone; the machine may be busy


def result(hub: Sandbox, job: str) -> str:
    hub.clock.advance(10)
    url: str = ai(hub, "GET", f"/queue/{job}").json["result_url"]
    return url


def test_a_result_on_the_hub_needs_the_key_and_expires(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    (job,) = enqueue(hub, output_format="png")
    url = result(hub, job)
    assert url.startswith(f"{hub.origin}/api/repos/ox-lab/")

    def get(address: str, key: str | None) -> Answer:
        return fetch(address, key=key)

    assert get(url, None).status == 401
    answer = get(url, hub.api_key)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content.startswith(b"\x89PNG")
    assert get(url.replace("signature=", "signature=0"), hub.api_key).status == 404
    hub.clock.advance(3601)
    assert get(url, hub.api_key).status == 403
    fresh = result(hub, job)
    assert fresh != url
    assert get(fresh, hub.api_key).content == answer.content


@pytest.mark.parametrize(
    ("part", "instead"),
    [("signature=", "signature=%C3%A9"), ("expires=", "expires=%C2%B2"), ("signature=", "s=")],
)
def test_a_url_that_was_made_up_leads_nowhere(
    oxen_sandbox: Sandbox, part: str, instead: str
) -> None:
    url = result(oxen_sandbox, enqueue(oxen_sandbox)[0])
    assert fetch(url.replace(part, instead), key=oxen_sandbox.api_key).status == 404


def test_a_result_is_forgotten_with_its_job(oxen_sandbox: Sandbox) -> None:
    url = result(oxen_sandbox, enqueue(oxen_sandbox)[0])
    oxen_sandbox.reset()
    assert fetch(url, key=oxen_sandbox.api_key).status == 404


def test_a_presigned_result_is_elsewhere_and_refuses_the_key(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    hub.settings.presigned_urls = True
    url = result(hub, enqueue(hub)[0])
    assert not url.startswith(hub.origin)
    assert fetch(url).status == 200
    assert fetch(url, key=hub.api_key).status == 400
    hub.clock.advance(3601)
    assert fetch(url).status == 403


def test_an_earlier_result_can_be_an_input(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    url = result(hub, enqueue(hub)[0])
    body = {"model": "qwen-image-edit", "prompt": "greener"}
    assert ai(hub, "POST", "/images/edit", {**body, "image": url}).status == 200
    hub.clock.advance(3601)
    stale = ai(hub, "POST", "/images/edit", {**body, "image": url})
    assert (stale.status, "Forbidden for url" in stale.json["error"]["detail"]) == (500, True)


def test_synchronous_results_are_charged_and_served(oxen_sandbox: Sandbox) -> None:
    hub = oxen_sandbox
    answer = ai(hub, "POST", "/images/generate", {"model": "flux-2-dev", "prompt": "x", "n": 2})
    urls = [image["url"] for image in answer.json["images"]]
    assert len(set(urls)) == 2
    assert all(fetch(url, key=hub.api_key).status == 200 for url in urls)
    assert [(charge.kind, str(charge.cost)) for charge in hub.charges] == [("direct", "0.013")] * 2
    assert hub.jobs == []


def test_results_come_as_urls_or_as_base64_only(oxen_sandbox: Sandbox) -> None:
    body = {"model": "flux-2-dev", "prompt": "x", "response_format": "bytes"}
    assert ai(oxen_sandbox, "POST", "/images/generate", body).status == 400
    assert oxen_sandbox.charges == []
