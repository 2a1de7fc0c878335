"""A tool with which an agent finds the model for a need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from langchain_oxen.tool_base import Answer, OxenTool, ToolRequest
from oxen_inference.tools import jobs
from oxen_inference.tools.connection import Connection

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient, OxenClient


class OxenFindModelsTool(OxenTool):
    """Find models by need: text for the language model, rows of plain data as the artifact.

    Give a client, or the `api_key` and `base_url` of one. Costs nothing.
    """

    name: str = "find_models"
    description: str = (
        "Find AI models on Oxen.ai for a need described in words. Returns a short ranked list "
        "with ids, prices and the parameters to use."
    )
    args_schema: Any = jobs.FindModelsInput
    only: Sequence[Any] = Field(default=(), repr=False)
    """The `Model` objects to choose among; none means the catalog's."""
    media_only: bool = False
    """Whether only models that make images, videos or audio count."""

    def __init__(
        self,
        *,
        api_key: Any = None,
        base_url: str | None = None,
        client: OxenClient | AsyncOxenClient | None = None,
        **fields: Any,
    ) -> None:
        reached = Connection(client=client, api_key=api_key, base_url=base_url)
        super().__init__(**{"connection": reached, **fields})

    def _call(self, client: OxenClient, request: ToolRequest) -> Answer:
        return self._found(self.only or client.catalog.list(), request)

    async def _acall(self, client: AsyncOxenClient, request: ToolRequest) -> Answer:
        return self._found(self.only or await client.catalog.list(), request)

    def _found(self, models: Sequence[Any], request: ToolRequest) -> Answer:
        return jobs.found(models, request.arguments, media_only=self.media_only)
