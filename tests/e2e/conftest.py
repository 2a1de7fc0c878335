"""What the end-to-end tests share, unless a file or a folder has its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oxen_sandbox import Sandbox


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox whose clock runs fast, and which the environment names."""
    with Sandbox(speed=20) as sandbox:
        monkeypatch.setenv("OXEN_API_KEY", sandbox.api_key)
        monkeypatch.setenv("OXEN_BASE_URL", sandbox.base_url)
        yield sandbox
