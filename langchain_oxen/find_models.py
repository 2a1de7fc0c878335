"""A tool with which an agent finds the model for a need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from langchain_core.tools import BaseTool
from pydantic import BaseModel, Field

from oxen_inference.find_models import describe, find_models

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.models import Model

_Modality = Literal["text", "image", "video", "audio"]


class FindModelsInput(BaseModel):
    """What the model is needed for."""

    need: str = Field(
        description="What is needed, in words, e.g. 'cheapest model that turns an image into a "
        "ten-second film with sound'."
    )
    output: _Modality | None = Field(default=None, description="What it must make.")
    input: _Modality | None = Field(default=None, description="What it must take.")
    max_price: float | None = Field(default=None, ge=0, description="Most USD for one call.")
    limit: int = Field(default=5, ge=1, le=20, description="How many to name at most.")


class OxenFindModelsTool(BaseTool):
    """Find models by need: text for the language model, rows of plain data as the artifact."""

    name: str = "find_models"
    description: str = (
        "Find AI models on Oxen.ai for a need described in words. Returns a short ranked list "
        "with ids, prices and the parameters to use."
    )
    args_schema: Any = FindModelsInput
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    client: Any = Field(default=None, exclude=True, repr=False)
    async_client: Any = Field(default=None, exclude=True, repr=False)
    api_key: Any = Field(default=None, exclude=True, repr=False)
    base_url: str | None = None

    def _run(self, need: str, **arguments: Any) -> tuple[str, list[dict[str, Any]]]:
        return _found(self._sync_client().catalog.list(), need, arguments)

    async def _arun(self, need: str, **arguments: Any) -> tuple[str, list[dict[str, Any]]]:
        if self.async_client is not None:
            return _found(await self.async_client.catalog.list(), need, arguments)
        from oxen_inference.client import AsyncOxenClient

        client: AsyncOxenClient = AsyncOxenClient(**self._options())
        try:
            return _found(await client.catalog.list(), need, arguments)
        finally:
            await client.close()

    def _sync_client(self) -> OxenClient:
        from oxen_inference.client import OxenClient

        if self.client is None:
            self.client = OxenClient(**self._options())
        client: OxenClient = self.client
        return client

    def _options(self) -> dict[str, Any]:
        if self.client is not None:
            return {"api_key": self.client.api_key, "base_url": str(self.client.base_url)}
        return {"api_key": self.api_key, "base_url": self.base_url}


def _found(
    models: list[Model], need: str, arguments: dict[str, Any]
) -> tuple[str, list[dict[str, Any]]]:
    matches = find_models(models, need, **arguments)
    return describe(matches), [match.as_row() for match in matches]
