"""A tool with which an agent finds the model for a need."""

from __future__ import annotations

from typing import Any, Literal

from langchain_core.tools import BaseTool
from pydantic import PrivateAttr

from oxen_inference.catalog.access import CatalogAccess
from oxen_inference.tools.jobs import FindModelsInput

_Answer = tuple[str, list[dict[str, Any]]]


class OxenFindModelsTool(BaseTool):
    """Find models by need: text for the language model, rows of plain data as the artifact.

    Give a client, or the `api_key` and `base_url` of one.
    """

    name: str = "find_models"
    description: str = (
        "Find AI models on Oxen.ai for a need described in words. Returns a short ranked list "
        "with ids, prices and the parameters to use."
    )
    args_schema: Any = FindModelsInput
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    _catalog: CatalogAccess = PrivateAttr()

    def __init__(
        self,
        *,
        api_key: Any = None,
        base_url: str | None = None,
        client: Any = None,
        async_client: Any = None,
        **fields: Any,
    ) -> None:
        super().__init__(**fields)
        self._catalog = CatalogAccess(
            api_key=api_key, base_url=base_url, client=client, async_client=async_client
        )

    def _run(self, need: str, **arguments: Any) -> _Answer:
        return _found(self._catalog.select({}), need, arguments)

    async def _arun(self, need: str, **arguments: Any) -> _Answer:
        return _found(await self._catalog.aselect({}), need, arguments)


def _found(models: list[Any], need: str, arguments: dict[str, Any]) -> _Answer:
    from oxen_inference.catalog.find_models import describe, find_models

    matches = find_models(models, need, **arguments)
    return describe(matches), [match.as_row() for match in matches]
