"""Inputs that a model's provider cannot fetch or does not take, and what is said and done about it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_oxen import OxenMediaTool
from llama_index_oxen import OxenToolSpec
from oxen_inference import Ledger, OxenClient
from oxen_inference.errors import BadRequestError, GenerationFailed, InvalidInputError
from oxen_inference.media import inputs
from oxen_sandbox import Fault, Sandbox
from tests.e2e.media.calls import MediaCalls

FACES = "bytedance-seedance-2-5-reference-to-video"
INLINE = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture
def hub() -> Iterator[Sandbox]:
    with Sandbox(image_seconds=0.05, video_seconds=0.05, private_results=True) as hub:
        yield hub


def sent(hub: Sandbox) -> dict[str, Any]:
    return dict(next(r.json for r in reversed(hub.requests) if r.method == "POST"))


def test_an_input_that_is_not_public_is_named(media: MediaCalls) -> None:
    first = media("generate", model="flux-2-dev", prompt="an ox")
    edit = {"model": "xai-grok-imagine-image-edit", "prompt": "older", "input_image": first}
    with pytest.raises(GenerationFailed) as caught:
        media("generate", **edit)
    assert "Forbidden for url" in caught.value.message
    assert "input_image could not be fetched by the model's provider" in caught.value.message
    assert "inline_inputs=True" in (caught.value.hint or "")
    with pytest.raises(BadRequestError) as direct:
        media("generate", **edit, direct=True)
    assert "input_image could not be fetched" in direct.value.message
    assert "inline_inputs=True" in (direct.value.hint or "")
    assert len(media.hub.charges) == 1


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("form", ["result", "item", "id", "url"])
def test_an_own_result_is_sent_inside(media: MediaCalls, form: str, direct: bool) -> None:
    first = media("generate", model="flux-2-dev", prompt="an ox", output_format="png")
    given = {
        "result": first, "item": first.items[0], "id": first.generation_ids[0], "url": first.urls[0]
    }[form]  # fmt: skip
    made = media(
        "generate", model="flux-2-dev", prompt="older", input_image=[given], inline_inputs=True,
        direct=direct,
    )  # fmt: skip
    assert made.succeeded
    (image,) = sent(media.hub)["input_image"]
    head, _, content = image.partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(content).startswith(b"\x89PNG")


def test_an_id_is_an_input_under_any_name(media: MediaCalls, ledger: Ledger) -> None:
    """Also where only the schema, or the parameter around it, says that a file is meant."""
    hub, text = media.hub, {"type": "string"}
    hub.models["flux-2-dev"]["request_schema"]["properties"] |= {
        "mask_url": text | {"format": "uri"},
        "mask": text,
        "source": text | {"renderType": "image-url"},
        "image_style_references": {"type": "array", "items": {"type": "object"}},
    }
    first = media("generate", model="flux-2-dev", prompt="an ox").generation_ids[0]
    given = {"mask_url": first, "mask": first, "source": first, "image_style_references": [{"url": first}]}  # fmt: skip
    request = {"model": "flux-2-dev", "prompt": "older", **given, "inline_inputs": True}
    made = media("generate", **request, key="edit")
    assert media("generate", **request, key="edit").generation_ids == made.generation_ids
    client = OxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger)
    tool = OxenMediaTool.for_model("flux-2-dev", client=client, inline_inputs=True)
    assert tool.invoke({"prompt": "younger", **given}).startswith("Made 1 image")
    spec = OxenToolSpec("flux-2-dev", client=client, inline_inputs=True)
    assert not spec.generate_image(prompt="brown", **given).is_error
    bodies = [r.json for r in hub.requests if r.method == "POST" and "source" in (r.json or {})]
    assert len(bodies) == 3
    for body in bodies:
        (style,) = body["image_style_references"]
        images = [body["mask_url"], body["mask"], body["source"], style["url"]]
        assert all(image.startswith("data:image/webp;base64,") for image in images)


def test_how_it_is_sent_makes_it_no_other_request(media: MediaCalls) -> None:
    first = media("generate", model="flux-2-dev", prompt="an ox")
    for given in (first, first.urls[0]):
        request = {"model": "flux-2-dev", "prompt": "older", "input_image": [given]}
        key = f"edit {type(given).__name__}"
        made = media("generate", **request, key=key, inline_inputs=True)
        again = media("generate", **request, key=key)
        assert again.generation_ids == made.generation_ids
    assert len(media.hub.charges) == 3


def test_a_lost_answer_to_a_request_with_a_file_inside_is_found(media: MediaCalls) -> None:
    first = media("generate", model="flux-2-dev", prompt="an ox")
    media.hub.inject(Fault("reset", when="after", method="POST", path="*/queue"))
    made = media(
        "generate", model="flux-2-dev", prompt="older", input_image=[first], inline_inputs=True
    )
    assert made.succeeded
    assert len(media.hub.jobs) == 2


def test_only_the_hub_s_own_files_are_fetched(media: MediaCalls) -> None:
    media.hub.settings.private_results = False
    url = "https://example.com/ox.png"
    media("generate", model="flux-2-dev", prompt="older", input_image=[url], inline_inputs=True)
    assert sent(media.hub)["input_image"] == [url]


def test_a_large_result_is_not_sent_inside(
    media: MediaCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = media("generate", model="flux-2-dev", prompt="an ox")
    monkeypatch.setattr(inputs, "MAX_INLINE_RESULT_BYTES", 100)
    with pytest.raises(InvalidInputError, match="input_image: the earlier result") as caught:
        media("generate", model="flux-2-dev", prompt="x", input_image=[first], inline_inputs=True)
    assert "100 bytes" in (caught.value.hint or "")
    assert len(media.hub.jobs) == 1


@pytest.mark.parametrize("name", ["input_face_images", "input_face_videos"])
def test_a_face_is_never_sent_inside(media: MediaCalls, name: str, tmp_path: Path) -> None:
    file = tmp_path / "ox.png"
    file.write_bytes(b"\x89PNG")
    for given in (INLINE, file):
        with pytest.raises(InvalidInputError, match=f"{name} takes public URLs only"):
            media("generate", model=FACES, prompt="x", **{name: [given]}, allow_paths=True)
    assert media.hub.jobs == []
    media("generate", model=FACES, prompt="x", **{name: ["https://example.com/ox.png"]})
    assert len(media.hub.jobs) == 1


def test_an_own_result_cannot_be_a_face_inside(media: MediaCalls) -> None:
    first = media("generate", model="flux-2-dev", prompt="an ox")
    with pytest.raises(InvalidInputError, match="input_face_images takes public URLs only"):
        media("generate", model=FACES, prompt="x", input_face_images=[first], inline_inputs=True)
    assert len(media.hub.jobs) == 1


@pytest.mark.parametrize(
    ("message", "params", "addition", "hint"),
    [
        ("unsupported_url_scheme", {"input_image": [INLINE]}, "input_image takes public URLs only", "public URL"),
        ("403 Client Error: Forbidden for url: https://a.test/x.png?sig=1",
         {"input_image": ["https://a.test/x.png"]}, "input_image could not be fetched", "inline_inputs"),
        ("Forbidden for url", {"input_image": ["https://a.test/x.png"]}, "input_image", "inline_inputs"),
        ("Timed out while downloading https://a.test/x.png", {"input_image": ["https://a.test/x.png"]},
         "input_image could not be fetched", "inline_inputs"),
        ("The job timed out.", {"input_image": ["https://a.test/x.png"]}, None, None),
        ("DataInspectionFailed - Input data may contain inappropriate content.", {}, None, "content check"),
        ("It broke.", {}, None, None),
    ],
)  # fmt: skip
def test_what_a_failed_job_says_of_its_inputs(
    media: MediaCalls, message: str, params: Any, addition: str | None, hint: str | None
) -> None:
    media.hub.inject(Fault("fail_job", message=message))
    with pytest.raises(GenerationFailed) as caught:
        media("generate", model="flux-2-dev", prompt="x", **params)
    assert message.rstrip(".") in caught.value.message
    if addition is None:
        assert "input_image" not in caught.value.message
    else:
        assert addition in caught.value.message
    assert (hint is None and caught.value.hint is None) or hint in str(caught.value.hint)


async def test_tools_of_both_frameworks_send_results_inside(hub: Sandbox, ledger: Ledger) -> None:
    from langchain_oxen import OxenToolkit

    options = {"ledger": ledger, "api_key": hub.api_key, "inline_inputs": True}
    draw = OxenMediaTool.for_model("flux-2-dev", base_url=hub.base_url, **options)
    first = draw.connection.get_client().media.generate(model="flux-2-dev", prompt="an ox")
    arguments = {"prompt": "older", "input_image": [first.generation_ids[0]]}
    assert draw.invoke(arguments).startswith("Made 1 image")
    assert (await draw.ainvoke({**arguments, "prompt": "younger"})).startswith("Made 1 image")
    (tool, *_) = OxenToolkit(models=["flux-2-dev"], base_url=hub.base_url, **options).get_tools()
    assert tool.invoke({**arguments, "prompt": "white"}).startswith("Made 1 image")
    spec = OxenToolSpec(["flux-2-dev"], api_base=hub.base_url, **options)
    assert not spec.edit_image(**arguments, model="flux-2-dev").is_error
    assert not (
        await spec.aedit_image(**{**arguments, "prompt": "brown"}, model="flux-2-dev")
    ).is_error
    edits = [r.json for r in hub.requests if r.method == "POST" and r.json.get("input_image")]
    assert len(edits) >= 4
    assert all(edit["input_image"][0].startswith("data:image/") for edit in edits)


async def test_audio_of_tools_has_a_key(hub: Sandbox, ledger: Ledger) -> None:
    from langchain_oxen import OxenMediaTool

    speak = OxenMediaTool.for_model(
        "bytedance-seed-audio-1-0", base_url=hub.base_url, api_key=hub.api_key, ledger=ledger
    )
    call = {"type": "tool_call", "name": speak.name, "id": "call_1", "args": {"prompt": "Moo."}}
    config = {"configurable": {"thread_id": "barn"}}
    texts = [speak.invoke(call, config).text, (await speak.ainvoke(call, config)).text]
    assert len(hub.charges) == 1
    assert all(text.startswith("Made 1 audio") for text in texts)


async def test_a_file_of_another_kind_is_refused_before_it_is_paid_for(
    hub: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "ox.pdf"
    file.write_bytes(b"%PDF-1.7\n" + b"\0" * 40)
    said = "input_image takes an image, and what was given is a PDF document"
    client = OxenClient(base_url=hub.base_url, api_key=hub.api_key)
    own: dict[str, Any] = {"model": "flux-2-dev", "prompt": "an ox", "allow_paths": True}
    for given in (file, [file]):
        with pytest.raises(InvalidInputError, match=said):
            client.media.generate(**own, input_image=given)
    spec = OxenToolSpec("flux-2-dev", client=client, inputs_from=tmp_path)
    tool = OxenMediaTool.for_model("flux-2-dev", client=client, inputs_from=tmp_path)
    arguments = {"prompt": "an ox", "input_image": file.name}
    assert said in (await spec.aedit_image(**arguments)).text
    assert said in await tool.ainvoke(arguments)
    assert not hub.jobs
