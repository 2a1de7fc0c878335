"""The fixtures `oxen_sandbox` and `oxen_sandbox_env`: a hub of its own for each test."""

import json
import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oxen_sandbox.server import Sandbox


_KEY_LATER = "OXEN_KEY_AT_FIRST_USE"
"""Lets models be made without a key. Set while conftests and test modules are imported, no longer."""


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    os.environ[_KEY_LATER] = "1"


@pytest.hookimpl(hookwrapper=True)
def pytest_collection() -> Generator[None, None, None]:
    os.environ[_KEY_LATER] = "1"
    yield
    os.environ.pop(_KEY_LATER, None)


@pytest.fixture
def oxen_sandbox(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator["Sandbox"]:
    """A running `Sandbox`, forgotten after the test; skips where the extra is not installed.

    A reply that was scripted (`reply`) and never fetched fails the test. The ledger of paid jobs,
    with its budgets, is the test's own as well, whatever `OXEN_LEDGER_URL` says outside.
    """
    try:
        from oxen_sandbox import Sandbox
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("oxen_sandbox"):
            raise
        pytest.skip(str(error))
    monkeypatch.delenv("OXEN_LEDGER_URL", raising=False)
    monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path_factory.mktemp("oxen-state")))
    # Starting a hub takes a few milliseconds: a fresh one is the surest isolation.
    with Sandbox() as hub:
        yield hub
        if left := hub.replies:
            listed = "\n".join(f"  {json.dumps(reply.to_json())}" for reply in left)
            pytest.fail(f"No chat request fetched these scripted replies:\n{listed}", pytrace=False)


@pytest.fixture
def oxen_sandbox_env(oxen_sandbox: "Sandbox", monkeypatch: pytest.MonkeyPatch) -> "Sandbox":
    """`oxen_sandbox`, and the environment variables by which clients find it.

    A client or a model that was made before, as a module is imported, still has the address of
    Oxen's hub: its requests are refused (`OXEN_LOCAL_ONLY`).
    """
    monkeypatch.setenv("OXEN_API_KEY", oxen_sandbox.api_key)
    monkeypatch.setenv("OXEN_BASE_URL", oxen_sandbox.base_url)
    monkeypatch.setenv("OXEN_LOCAL_ONLY", "oxen_sandbox_env")  # errors name what set it
    return oxen_sandbox
