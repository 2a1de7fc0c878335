"""What was made and paid for is saved: whatever it is, and in another folder if need be."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_oxen import OxenMediaTool
from oxen_inference import Ledger, OxenClient
from oxen_inference.errors import DownloadError
from oxen_inference.media import fetch as fetching
from oxen_inference.tools.text import explain
from oxen_sandbox import Fault, Sandbox
from tests.e2e.media.calls import THOROUGH, MediaCalls

AUDIO = "bytedance-seed-audio-1-0"
WEBM = b"\x1a\x45\xdf\xa3" + bytes(20) + b"webm" + bytes(80)


@pytest.fixture
def hub() -> Iterator[Sandbox]:
    with Sandbox(image_seconds=0.1, video_seconds=0.2) as hub:
        yield hub


@pytest.fixture
def media(media: MediaCalls) -> MediaCalls:
    media.pace = THOROUGH
    return media


def answer(hub: Sandbox, path: str, name: str, **item: str) -> None:
    """Let a synchronous endpoint answer with this one item."""
    body = {"model": "m", "created": 1, name: [item]}
    hub.inject(Fault("respond", status=200, path=path, body=body, times=None))


def answer_sound(hub: Sandbox, content: bytes) -> None:
    answer(hub, "*/audio/generate", "audios", b64_json=base64.b64encode(content).decode())


def test_audio_in_a_video_container_is_audio(media: MediaCalls, tmp_path: Path) -> None:
    answer_sound(media.hub, WEBM)
    made = media("generate", model=AUDIO, prompt="moo", direct=True, save_to=tmp_path / "to")
    (item,) = made.items
    assert Path(item.path).read_bytes() == WEBM
    assert (item.mime_type, made.notes) == ("audio/webm", ())


@pytest.mark.parametrize("content", [b"GIF89a" + bytes(80) + b";", b"<html>?</html>", b"\x89PNG\r\n\x1a\n"])  # fmt: skip
def test_bytes_in_hand_are_kept_whatever_they_are(
    content: bytes, media: MediaCalls, tmp_path: Path
) -> None:
    encoded = base64.b64encode(content).decode()
    answer(media.hub, "*/videos/generate", "videos", b64_json=encoded)
    video = next(
        one for one, model in media.hub.models.items() if "video" in model["capabilities"]["output"]
    )
    options: dict[str, Any] = {"direct": True, "allow_unknown_cost": True, "prompt": "an ox"}
    made = media("generate", model=video, save_to=tmp_path / "to", **options)
    assert [path.read_bytes() for path in (tmp_path / "to").iterdir()] == [content]
    assert len(made.notes) == 1
    assert Path(made.paths[0]).name in made.notes[0]


def test_a_folder_that_cannot_be_written_any_more_is_replaced(
    media: MediaCalls, tmp_path: Path
) -> None:
    folder = tmp_path / "to"

    def spoil(*_: Any) -> None:  # between the payment and the saving
        shutil.rmtree(folder)
        folder.write_text("somebody's file now")

    answer_sound(media.hub, b"fLaC" + bytes(80))
    made = media("generate", model=AUDIO, prompt="moo", direct=True, save_to=folder, on_progress=_at("fetching", spoil))  # fmt: skip
    (path,) = map(Path, made.paths)
    assert path.parent == tmp_path / "ledger" / "results"
    assert path.read_bytes().startswith(b"fLaC")
    assert str(path.parent) in made.notes[0]
    folder.unlink()
    again = _wait(media, made.entry_id, folder)
    assert Path(again.paths[0]).parent == folder


@pytest.mark.parametrize("kept", ["on disk", "in memory"])
def test_where_nothing_beside_the_ledger_can_be_written_there_is_a_place_of_the_systems(
    kept: str, media: MediaCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, beside = tmp_path / "to", tmp_path / "ledger" / "results"
    if kept == "in memory":
        media.options["ledger"] = None
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def spoil(*_: Any) -> None:
        for place in (folder, beside):
            shutil.rmtree(place, ignore_errors=True)
            place.parent.mkdir(exist_ok=True)
            place.write_text("somebody's file now")

    answer_sound(media.hub, b"fLaC" + bytes(80))
    made = media("generate", model=AUDIO, prompt="moo", direct=True, save_to=folder, on_progress=_at("fetching", spoil))  # fmt: skip
    (path,) = map(Path, made.paths)
    assert path.parent.name.startswith("oxen-results-")
    assert path.read_bytes().startswith(b"fLaC")
    assert str(path.parent) in made.notes[0]


def test_a_folder_that_vanished_is_made_again(media: MediaCalls, tmp_path: Path) -> None:
    folder = tmp_path / "to"
    answer_sound(media.hub, b"fLaC" + bytes(80))
    made = media("generate", model=AUDIO, prompt="moo", direct=True, save_to=folder, on_progress=_at("fetching", lambda: shutil.rmtree(folder)))  # fmt: skip
    assert Path(made.paths[0]).parent == folder
    assert made.notes == ()


def test_without_any_place_the_bytes_are_in_the_error(
    media: MediaCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_folders", lambda *_: iter([tmp_path / "nowhere"]))
    answer_sound(media.hub, b"fLaC" + bytes(80))
    with pytest.raises(DownloadError, match="would be paid for again") as failed:
        media("generate", model=AUDIO, prompt="moo", direct=True, save_to=tmp_path / "to")
    assert failed.value.result is not None
    assert failed.value.result.items[0].content == b"fLaC" + bytes(80)
    assert "same arguments" not in explain(failed.value)
    assert "pays for another one" in explain(failed.value)


def test_a_direct_result_s_address_is_what_is_left(media: MediaCalls, tmp_path: Path) -> None:
    answer(media.hub, "*/images/generate", "images", url=f"{media.hub.origin}/files/none.png")
    with pytest.raises(DownloadError, match=r"attach\(entry_id=") as failed:
        media("generate", model="flux-2-dev", prompt="x", direct=True, save_to=tmp_path / "to")
    assert "same key" not in str(failed.value)


def test_a_tool_keeps_odd_sound(hub: Sandbox, tmp_path: Path) -> None:
    answer_sound(hub, WEBM)
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    with OxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as client:
        tool = OxenMediaTool.for_model(AUDIO, client=client, save_to=tmp_path / "to")
        said = tool.invoke({"prompt": "moo"})
    (saved,) = (tmp_path / "to").iterdir()
    assert saved.name in str(said)


def _at(phase: str, act: Callable[[], Any]) -> Callable[[Any], None]:
    def listen(event: Any) -> None:
        if event.phase == phase:
            act()

    return listen


def _wait(media: MediaCalls, entry_id: str, folder: Path) -> Any:
    with OxenClient(
        base_url=media.hub.base_url, api_key=media.hub.api_key, ledger=media.ledger
    ) as client:
        return client.media.attach(entry_id=entry_id).wait(save_to=folder)


@pytest.mark.parametrize("times", [1, None])
def test_a_damaged_image_is_fetched_once_more(
    times: int | None, media: MediaCalls, tmp_path: Path
) -> None:
    damaged = b"\x89PNG\r\n\x1a\n" + bytes(90)
    hub = media.hub
    hub.inject(
        Fault("respond", method="GET", path="*/files/*", status=200, body=damaged,
              content_type="image/png", times=times)
    )  # fmt: skip
    wanted = {"model": "flux-2-dev", "prompt": "an ox", "key": "k", "save_to": tmp_path / "to"}
    if times is None:
        with pytest.raises(DownloadError, match="damaged") as failed:
            media("generate", **wanted)
        assert failed.value.result is not None
        assert not list((tmp_path / "to").iterdir())
        media.hub.hub.faults.clear()
    (item,) = media("generate", **wanted).items  # the second time by its key, for free
    assert Path(item.path).read_bytes() != damaged
    assert len(hub.jobs) == 1
