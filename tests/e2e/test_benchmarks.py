"""The benchmark harness is fair: same work, taking turns, ratios to a named baseline."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.harness import Case, Hub, load_suite, measure, sandbox
from tests.conftest import REPOSITORY

NOWHERE = Hub("http://nowhere.invalid", "key")


def returns(value: Any) -> Callable[[Hub], Callable[[], Any]]:
    return lambda hub: lambda: value


def test_figures_are_ratios_to_the_baseline() -> None:
    case = Case(
        "requests", {"Oxen": returns(2), "peer": returns(6)}, baseline="peer",
        measure="value", unit="requests", rounds=4,
    )  # fmt: skip
    figures = measure(case, NOWHERE)["contestants"]
    assert figures["Oxen"]["times_lower"] == 3
    assert figures["Oxen"]["quartiles"] == [2, 2]
    assert figures["peer"]["times_lower"] == 1


@pytest.mark.parametrize("clock", ["cpu", "wall"])
def test_contestants_must_do_the_same_work(clock: Any) -> None:
    case = Case("chat", {"Oxen": returns("a"), "peer": returns("ab")}, "peer", measure=clock)
    with pytest.raises(ValueError, match="not the same work"):
        measure(case, NOWHERE)


def test_everybody_gets_to_be_first() -> None:
    order: list[str] = []

    def noting(name: str) -> Callable[[Hub], Callable[[], None]]:
        return lambda hub: lambda: order.append(name)

    names = ("a", "b", "c")
    measure(Case("turns", {n: noting(n) for n in names}, "a", rounds=3, warmups=1), NOWHERE)
    assert order == ["a", "b", "c", *"abc", *"bca", *"cab"]


def test_async_contestants_share_one_loop() -> None:
    import asyncio

    loops = set()

    def contestant(hub: Hub) -> Callable[[], Any]:
        async def run() -> None:
            loops.add(asyncio.get_running_loop())

        return run

    measure(Case("loop", {"a": contestant, "b": contestant}, "a", rounds=2), NOWHERE)
    assert len(loops) == 1


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [({"baseline": "nobody"}, "no contestant"), ({"unit": "miles"}, "no unit of time")],
)
def test_a_case_that_makes_no_sense_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Case(**{"name": "c", "contestants": {"a": returns(1)}, "baseline": "a", **changes})


def test_the_server_is_a_sandbox_in_another_process() -> None:
    with sandbox(["--image-seconds", "1"]) as hub:
        request = urllib.request.Request(
            f"{hub.base_url}/models", headers={"Authorization": f"Bearer {hub.api_key}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["data"]


def test_the_page_names_machine_versions_and_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "PAGE", tmp_path / "benchmarks.md")
    monkeypatch.setattr(report, "PLOTS", tmp_path / "plots")
    monkeypatch.setattr(report, "plot", lambda result, path: None)
    case = Case("stream", {"Oxen": returns(1), "peer": returns(4)}, "peer", "value", "requests")
    result = {
        "title": "Chat", "about": "Streams.", "date": "2026-01-02", "server": "a sandbox",
        "machine": {"processor": "abacus", "cores": 2, "system": "Linux", "python": "3.11"},
        "versions": {"openai": "2.54.0"}, "cases": [measure(case, NOWHERE)],
    }  # fmt: skip
    (tmp_path / "chat.json").write_text(json.dumps(result), encoding="utf-8")
    report.write(tmp_path)
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "| stream | Oxen | 1.00 [1.00-1.00] requests | value | **4.0×** |" in page
    for fact in ("2026-01-02", "abacus", "2 cores", "openai 2.54.0", "a sandbox"):
        assert fact in page


def test_every_suite_can_be_loaded_where_its_peers_are_installed() -> None:
    helpers = {"__init__", "harness", "report", "run"}
    for path in (REPOSITORY / "benchmarks").glob("*.py"):
        if path.stem not in helpers:
            # Peers are imported when a contestant is set up, so that this needs none of them.
            assert load_suite(path.stem).CASES, path.stem
