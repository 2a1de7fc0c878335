"""`langchain-tests` for `ChatOxen`, replayed."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest

from tests.support.langchain_suites import IntegrationSuite, serve_media

pytestmark = pytest.mark.vcr


class TestIntegration(IntegrationSuite):
    @pytest.fixture
    def vcr_markers(self, vcr_markers: list[Any], request: pytest.FixtureRequest) -> list[Any]:
        # It replays its one recording many times; everywhere else that would hide a request.
        timed = request.node.name == "test_stream_time"
        return [*vcr_markers, *([pytest.mark.vcr(allow_playback_repeats=True).mark] * timed)]

    @pytest.fixture(autouse=True)
    def _recorded(self, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hub = hub
        serve_media(monkeypatch)
        # The ids of few-shot examples are made up by LangChain, and part of the request.
        chance = random.Random(0)
        monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=chance.getrandbits(128)))

    @property
    def chat_model_params(self) -> dict[str, Any]:
        # The price list has cassettes of its own; here it would be most of every file.
        return {**super().chat_model_params, "cost": False}
