"""What most tests of paid media begin with; a file of the sandbox's has a `hub` of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oxen_inference import Ledger
from tests.e2e.media.calls import MediaCalls
from tests.support.bad_hub import BadHub


@pytest.fixture
def hub() -> Iterator[BadHub]:
    with BadHub() as hub:
        yield hub


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger" / "j.sqlite3")


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def media(hub: Any, ledger: Ledger, kind: str) -> MediaCalls:
    return MediaCalls(hub, ledger, kind)
