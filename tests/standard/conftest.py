"""The suites' media come from here, and their calls go to a sandbox: no network."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_tests.integration_tests import chat_models as suite

from oxen_sandbox import Sandbox
from tests.support.langchain_suites import bundled


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as hub:
        yield hub


@pytest.fixture(autouse=True)
def served_media(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(url: str, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(content=bundled(url))

    monkeypatch.setattr(suite, "httpx", SimpleNamespace(get=get))
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "tests")


@pytest.fixture
def vcr() -> SimpleNamespace:
    """What `test_stream_time` waits for; here it measures live, over HTTP on this machine."""
    return SimpleNamespace(responses=["live"])
