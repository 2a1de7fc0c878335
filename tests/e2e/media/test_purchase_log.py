"""What the log says of a purchase: when it was accepted, and what became of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oxen_inference.errors import OxenError
from oxen_sandbox import Fault, Sandbox
from tests.e2e.media.calls import QUICK, MediaCalls

PROMPT = "a secret ox"
MODEL = "flux-2-dev"
ACCEPTED = r"Accepted: entry \w{32}, model flux-2-dev, generations \S+, at most \$0\.013"
SETTLED = r"Settled: entry \w{32}, succeeded, cost \$0\.013"
ONE = {"model": MODEL, "prompt": PROMPT}


@pytest.fixture
def hub() -> Iterator[Sandbox]:
    with Sandbox(image_seconds=0.05, audio_seconds=0.05, face="documented") as hub:
        yield hub


@pytest.mark.parametrize(
    ("fault", "calls", "expected"),
    [
        (None, [("generate", ONE)], [ACCEPTED, SETTLED]),
        (None, [("submit", {**ONE, "key": "k"})], [ACCEPTED]),
        (
            None,
            [("generate_many", {"requests": [ONE, ONE]})],
            [ACCEPTED, ACCEPTED, SETTLED, SETTLED],
        ),
        (
            None,
            [("generate", {**ONE, "num_generations": 2})],
            [
                r"Accepted: \S+ \w+, model \S+, generations \S+, \S+, at most \$0\.026",
                r"Settled: entry \w{32}, succeeded, cost \$0\.026",
            ],
        ),
        (
            None,
            [("generate", {"model": "bytedance-seed-audio-1-0", "prompt": PROMPT})],
            [
                r"Sent by the route \w+, since queue refused it",
                r"Accepted: entry \w{32}, model \S+, generations without ids, at most .*",
                r"(Settled|Ended): entry \w{32}, succeeded, cost .*",
            ],
        ),
        (
            Fault("fail_job", message=f"{PROMPT} failed"),
            [("generate", ONE)],
            [ACCEPTED, r"(Settled|Ended): entry \w{32}, failed, cost .*"],
        ),
        (
            Fault("respond", status=400, method="POST", path="*/queue", message=PROMPT),
            [("generate", ONE)],
            [r"Not bought: entry \w{32}, model flux-2-dev, BadRequestError, status 400"],
        ),
        (
            Fault("reset", when="after", method="POST", path="*/queue"),
            [("generate", ONE)],
            [ACCEPTED, SETTLED],
        ),
        (
            Fault("reset", method="POST", path="*/queue"),
            [("generate", ONE), ("reconcile", {})],
            [r"Outcome unknown: entry \w{32}, model flux-2-dev"],
        ),
    ],
)
def test_a_purchase_has_a_line_at_each_end(
    hub: Sandbox,
    media: MediaCalls,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    fault: Fault | None,
    calls: list[tuple[str, dict[str, Any]]],
    expected: list[str],
) -> None:
    caplog.set_level(logging.INFO, "oxen_inference.media")
    media.pace = replace(QUICK, settle=(0.02,))
    if fault is not None:
        hub.inject(fault)
    for method, arguments in calls:
        more = {} if method in ("submit", "reconcile") else {"save_to": tmp_path}
        with suppress(OxenError):
            media(method, **arguments, **more)
    records = [record for record in caplog.records if record.levelno == logging.INFO]
    assert {record.name for record in records} <= {"oxen_inference.media"}
    said = [record.getMessage() for record in records]
    assert [bool(re.fullmatch(*pair)) for pair in zip(expected, said, strict=True)] == [
        True for _ in expected
    ], said
    for text in said:
        assert not any(secret in text for secret in (PROMPT, hub.api_key, "http", str(tmp_path)))


def test_the_job_of_another_process_is_settled_once(
    hub: Sandbox, media: MediaCalls, caplog: pytest.LogCaptureFixture
) -> None:
    media("submit", **ONE, key="k")  # by a client that is gone
    caplog.set_level(logging.INFO, "oxen_inference.media")
    for _ in range(2):
        media("resume", "k")
    media("reconcile")
    (said,) = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(SETTLED, said)
