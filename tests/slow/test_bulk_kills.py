"""A run from the command line that is killed again and again buys each item once."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Ledger
from oxen_inference.cli.main import main
from oxen_sandbox import Sandbox

pytestmark = pytest.mark.slow

ITEMS, KILLS = 2_000, 10
_LONGEST = 900.0  # seconds until a run has bought what it is killed at


def test_a_run_that_is_killed_ten_times_buys_each_item_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path / "state"))
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(f"{json.dumps(f'ox {n}')}\n" for n in range(ITEMS)), "utf-8")
    folder = tmp_path / "images"
    command = [
        sys.executable, "-m", "oxen_inference", "generate", "flux-2-dev", "--from", str(prompts),
        "--save-to", str(folder), "--budget", "1000", "--yes", "--json",
    ]  # fmt: skip
    chance = random.Random(14)
    moments = sorted(chance.sample(range(1, ITEMS), KILLS))

    with Sandbox(image_seconds=0.2) as hub:
        for name, value in (("OXEN_BASE_URL", hub.base_url), ("OXEN_API_KEY", hub.api_key)):
            monkeypatch.setenv(name, value)
        at = [_killed_at(moment, command, hub, chance.uniform(0, 0.2)) for moment in moments]
        summary = _run(command)
        # What died right before its first byte is never sent again unasked: nobody can know.
        unknown = [entry for entry in Ledger().entries() if entry.state == "unknown"]
        assert set(summary["errors"]) <= {"EnqueueOutcomeUnknown"}
        assert len(hub.jobs) == ITEMS - len(unknown) == ITEMS - summary["failed"]
        if unknown:
            assert [main(["forget", entry.entry_id]) for entry in unknown] == [0] * len(unknown)
            summary = _run(command)
        assert summary["status"] == 0
        page = tmp_path / "report.html"
        assert main(["report", str(page)]) == 0
        bought, billed = len(hub.jobs), sum(charge.cost or Decimal(0) for charge in hub.charges)

    found = re.search(r'data-total="([\d.]+)"', page.read_text("utf-8"))
    assert found is not None
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text("utf-8").splitlines()]
    print(
        f"killed at {at} of {ITEMS}, {len(unknown)} of unknown outcome: {bought} bought, {billed} billed, {found[1]} in the report"
    )
    assert bought == ITEMS
    assert Decimal(found[1]) == Decimal(summary["spent"]) == billed
    assert sorted(row["row"] for row in rows) == list(range(1, ITEMS + 1))
    assert all(Path(name).is_file() for row in rows for name in row["files"])
    assert len({row["generation_ids"][0] for row in rows}) == ITEMS


def _run(command: list[str]) -> dict[str, Any]:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    summary: dict[str, Any] = json.loads(finished.stdout)
    assert summary["status"] == finished.returncode
    return summary


def _killed_at(moment: int, command: list[str], hub: Sandbox, later: float) -> int:
    """Run the command until so many are bought, kill it a bit later, and return how many were."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ
    ) as process:
        give_up = time.monotonic() + _LONGEST
        while len(hub.jobs) < moment and process.poll() is None and time.monotonic() < give_up:
            time.sleep(0.01)
        time.sleep(later)  # so that it dies at any step
        is_running = process.poll() is None
        process.kill()
        if not is_running:
            assert process.stderr is not None
            raise AssertionError(process.stderr.read().decode())
    return len(hub.jobs)
