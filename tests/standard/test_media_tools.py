"""`langchain-tests` for every tool of the adapter: alone, and over the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from langchain_oxen import OxenFindModelsTool, OxenMediaTool
from langchain_oxen.toolkit import OxenCancelTool, OxenCheckTool, OxenSubmitTool
from oxen_inference import Model, OxenClient
from oxen_inference.catalog.reading import read_model
from oxen_inference.tools.connection import Connection
from oxen_sandbox import Sandbox
from oxen_sandbox.models import Catalog


def model(model_id: str) -> Model:
    return read_model(Catalog()[model_id])


class Alone(ToolsUnitTests):
    """Made without a network: from a model in hand."""

    tool_class: type[BaseTool]
    params: dict[str, Any] = {}
    example: dict[str, Any]

    @property
    def tool_constructor(self) -> type[BaseTool]:
        return self.tool_class

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {**self.params, "connection": Connection(api_key="k", base_url="http://localhost")}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return self.example


class TestImagesAlone(Alone):
    tool_class = OxenMediaTool
    params = {"model": model("flux-2-dev")}
    example = {"prompt": "an ox at dawn", "aspect_ratio": "1:1"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"OXEN_API_KEY": "k"}, self.params, {"name": "generate_image_with_flux_2_dev"}


class TestVideosAlone(Alone):
    tool_class = OxenMediaTool
    params = {"model": model("kling-video-o3-pro-reference-to-video")}
    example = {"multi_prompt": [{"prompt": "an ox", "duration": 3}], "generate_audio": True}


class TestAudioAlone(Alone):
    tool_class = OxenMediaTool
    params = {"model": model("bytedance-seed-audio-1-0")}
    example = {"prompt": "an ox says good morning"}


class TestSubmitAlone(Alone):
    tool_class = OxenSubmitTool
    example = {"model": "flux-2-dev", "prompt": "an ox", "parameters": {"seed": 1}}


class TestCheckAlone(Alone):
    tool_class = OxenCheckTool
    example = {"generation_ids": ["1"], "wait_seconds": 5}


class TestCancelAlone(Alone):
    tool_class = OxenCancelTool
    example = {"generation_ids": ["1"]}


class TestFindAlone(Alone):
    tool_class = OxenFindModelsTool
    example = {"output": "image", "words": "ox", "max_price": 0.5}


class OverHTTP(ToolsIntegrationTests):
    """Called over the sandbox."""

    example: dict[str, Any]
    client: OxenClient

    @pytest.fixture(autouse=True)
    def reach(self, sandbox: Sandbox) -> Iterator[None]:
        with OxenClient(api_key=sandbox.api_key, base_url=sandbox.base_url) as self.client:
            yield

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return self.example

    def media(self, model_id: str) -> OxenMediaTool:
        return OxenMediaTool.for_model(model_id, client=self.client)


class TestImages(OverHTTP):
    example = {"prompt": "an ox at dawn"}

    @property
    def tool_constructor(self) -> BaseTool:
        return self.media("flux-2-dev")


class TestVideos(OverHTTP):
    example = {"prompt": "an ox at dawn", "duration": 5}

    @property
    def tool_constructor(self) -> BaseTool:
        return self.media("wan-v2-7-text-to-video")


class TestAudio(OverHTTP):
    example = {"prompt": "an ox says good morning"}

    @property
    def tool_constructor(self) -> BaseTool:
        return self.media("bytedance-seed-audio-1-0")


class TestSubmit(OverHTTP):
    example = {"model": "flux-2-dev", "prompt": "an ox"}

    @property
    def tool_constructor(self) -> BaseTool:
        return OxenSubmitTool(connection=Connection(client=self.client), any_model=True)


class OnAJob(OverHTTP):
    """Tools that are given the id of something on the queue."""

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        handle = self.client.media.submit(model="flux-2-dev", prompt="an ox")
        return {"generation_ids": list(handle.generation_ids)}


class TestCheck(OnAJob):
    @property
    def tool_constructor(self) -> BaseTool:
        return OxenCheckTool(connection=Connection(client=self.client))


class TestCancel(OnAJob):
    @property
    def tool_constructor(self) -> BaseTool:
        return OxenCancelTool(connection=Connection(client=self.client))


class TestFind(OverHTTP):
    example = {"output": "image", "cheapest": True}

    @property
    def tool_constructor(self) -> BaseTool:
        return OxenFindModelsTool(connection=Connection(client=self.client))
