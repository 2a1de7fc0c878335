"""`langchain-tests` for `ChatOxen`, over the sandbox."""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.filters import paths

from oxen_sandbox import Sandbox
from tests.support.langchain_suites import IntegrationSuite, UnitSuite


class TestUnit(UnitSuite):
    @pytest.fixture
    def snapshot(self, snapshot: SnapshotAssertion) -> SnapshotAssertion:
        # LangChain notes its own version in every model's metadata.
        return snapshot.with_defaults(exclude=paths("kwargs.metadata"))


class TestIntegration(IntegrationSuite):
    @pytest.fixture(autouse=True)
    def _on_the_sandbox(self, sandbox: Sandbox) -> None:
        self.hub = sandbox
