"""The report: complete, escaped, and readable in a real browser; and folders elsewhere."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from oxen_inference import Ledger, OxenClient
from oxen_inference.errors import InvalidInputError
from oxen_inference.media import report
from oxen_inference.result import MediaResult
from oxen_sandbox import Fault, Sandbox
from tests.e2e.media.calls import MediaCalls

ODD = "<script>document.title = 'broken'</script> & \"quotes\""
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def hub() -> Iterator[Sandbox]:
    with Sandbox(image_seconds=0.05) as hub:
        yield hub


@pytest.fixture
def page(media: MediaCalls, tmp_path: Path) -> Path:
    requests = [{"model": "flux-2-dev", "prompt": prompt} for prompt in (ODD, "an ox", "a calf")]
    media("generate_many", requests, save_to=tmp_path / "images")
    path: Path = media("report", tmp_path / "out.html")
    return path


def test_the_sum_is_the_hubs_and_nothing_is_raw(page: Path, hub: Sandbox) -> None:
    text = page.read_text(encoding="utf-8")
    spent = sum((charge.cost or Decimal(0) for charge in hub.charges), Decimal(0))
    assert f'data-total="{spent:f}"' in text
    assert ODD not in text
    assert text.count("<article") == 3
    assert "http" not in text.replace('http-equiv="Content', "")  # nothing is loaded from outside


def test_a_url_is_shown_without_what_opens_it(media: MediaCalls, tmp_path: Path) -> None:
    url = "https://me:hunter22@Herd.example/a.png?X-Amz-Signature=Canary&x=1#Canary"
    media(
        "generate", model="qwen-image-edit", prompt=f"an ox like ({url}), at dawn",
        input_image=url, allow_unknown_cost=True,
    )  # fmt: skip
    text = media("report", tmp_path / "out.html").read_text(encoding="utf-8")
    assert "an ox like (https://Herd.example/a.png), at dawn" in text
    assert "input_image=https://Herd.example/a.png" in text
    assert "hunter22" not in text
    assert "canary" not in text.lower()


def test_what_failed_is_no_result(media: MediaCalls, hub: Sandbox, tmp_path: Path) -> None:
    hub.inject(Fault("fail_job", times=1))
    requests = [{"model": "flux-2-dev", "prompt": prompt} for prompt in ("an ox", "a calf")]
    media("generate_many", requests)
    text = media("report", tmp_path / "out.html").read_text(encoding="utf-8")
    assert "2 requests, 1 results, 1 failed." in text
    assert text.count("<td>1</td><td>1</td>") == 2  # by model, by day


def test_later_images_are_loaded_from_their_files(
    media: MediaCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_MOST_THUMBNAILS", 1)
    requests = [{"model": "flux-2-dev", "prompt": prompt} for prompt in ("an ox", "a calf")]
    media("generate_many", requests, save_to=tmp_path / "images")
    told: list[tuple[int, int]] = []
    path = media("report", tmp_path / "out.html", on_progress=lambda *far: told.append(far))
    text = path.read_text(encoding="utf-8")
    assert (text.count('src="data:'), text.count('src="images/')) == (1, 1)
    assert told == [(1, 2), (2, 2)]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_shows_all_and_runs_no_prompt(page: Path) -> None:
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000",
        "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout
    assert "<title>Made with Oxen</title>" in shown
    assert shown.count("<article") == 3


def test_results_go_to_a_folder_elsewhere(hub: Sandbox, ledger: Ledger) -> None:
    fsspec = pytest.importorskip("fsspec")
    with OxenClient(base_url=hub.base_url, api_key=hub.api_key, ledger=ledger) as client:
        result = client.media.generate(
            model="flux-2-dev", prompt="an ox", key="k", save_to="memory://herd/images",
            file_name="{prompt}-{number}",
        )  # fmt: skip
        again = client.media.resume("k", save_to="memory://herd/images")
    item = result.items[0]
    assert item.saved_url == "memory://herd/images/an-ox-1.webp"
    assert item.path is None
    files = fsspec.filesystem("memory")
    assert [each["size"] for each in files.ls("/herd/images")] == [item.size]
    assert isinstance(again, MediaResult)
    assert again.items[0].saved_url == item.saved_url


@pytest.mark.parametrize("save_to", ["nosuchstore://bucket/x", "s3:///"])
def test_a_store_that_cannot_be_used_is_refused_before_paying(
    save_to: str, media: MediaCalls
) -> None:
    with pytest.raises(InvalidInputError, match="sav"):
        media("generate", model="flux-2-dev", prompt="an ox", save_to=save_to)
    assert media.hub.jobs == []
