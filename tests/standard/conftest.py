"""The suites' media come from here, and their calls go to a sandbox: no network."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from oxen_sandbox import Sandbox
from tests.support.langchain_suites import serve_media


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as hub:
        yield hub


@pytest.fixture(autouse=True)
def served_media(monkeypatch: pytest.MonkeyPatch) -> None:
    serve_media(monkeypatch)


@pytest.fixture
def vcr() -> SimpleNamespace:
    """What `test_stream_time` waits for; here it measures live, over HTTP on this machine."""
    return SimpleNamespace(responses=["live"])
