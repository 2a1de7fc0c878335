"""The catalog as LangChain documents, one for each model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from oxen_inference.tools.catalog_access import CatalogAccess, checked_filters

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.client import AsyncOxenClient, OxenClient


class OxenModelLoader(BaseLoader):
    """Loads Oxen's models, one document each, with stable ids and flat metadata.

    Filters are `search`, or those of `client.catalog.list`: developer, provider, action, input,
    output, method, deployed. Give a client, or the `api_key` and `base_url` of one. Nothing is
    fetched before the documents are loaded.
    """

    def __init__(
        self,
        *,
        api_key: Any = None,
        base_url: str | None = None,
        client: OxenClient | None = None,
        async_client: AsyncOxenClient | None = None,
        **filters: Any,
    ) -> None:
        checked_filters(filters)
        self._filters = filters
        self._catalog = CatalogAccess(
            api_key=api_key, base_url=base_url, client=client, async_client=async_client
        )

    def lazy_load(self) -> Iterator[Document]:
        """Yield the documents. Raises `OxenError`."""
        yield from map(_document, self._catalog.select(self._filters))

    async def alazy_load(self) -> AsyncIterator[Document]:
        """Yield the documents without blocking the event loop. Raises `OxenError`."""
        for model in await self._catalog.aselect(self._filters):
            yield _document(model)


def _document(model: Model) -> Document:
    from oxen_inference.catalog.documents import document_id, metadata, page

    return Document(page_content=page(model), metadata=metadata(model), id=document_id(model))
