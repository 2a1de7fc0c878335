"""The catalogue as LangChain documents, one a model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from oxen_inference.model_text import document_id, metadata, page

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.models import Model


class OxenModelLoader(BaseLoader):
    """Load Oxen's models, one document each, with stable ids and flat metadata.

    Filters: `search`, or those of `client.catalog.list` (developer, provider, action, input,
    output, method, deployed). Give a client, or the `api_key` and `base_url` of one; nothing is
    fetched before documents are asked for.
    """

    def __init__(
        self,
        *,
        search: str | None = None,
        developer: str | None = None,
        provider: str | None = None,
        action: str | None = None,
        input: str | None = None,  # noqa: A002 - the API's own word
        output: str | None = None,
        method: str | None = None,
        deployed: bool | None = None,
        api_key: Any = None,
        base_url: str | None = None,
        client: OxenClient | None = None,
        async_client: AsyncOxenClient | None = None,
    ) -> None:
        self._search = search
        filters = {
            "developer": developer,
            "provider": provider,
            "action": action,
            "input": input,
            "output": output,
            "method": method,
            "deployed": deployed,
        }
        self._filters: dict[str, Any] = {k: v for k, v in filters.items() if v is not None}
        if search is not None and self._filters:
            raise ValueError("Give search, or filters, not both: the hub offers one at a time.")
        self._options = {"api_key": api_key, "base_url": base_url}
        self._client = client
        self._async_client = async_client

    def lazy_load(self) -> Iterator[Document]:
        """Yield the documents. Raises `OxenError`."""
        from oxen_inference.client import OxenClient

        client = self._client or OxenClient(**self._options)
        try:
            if self._search is not None:
                models = client.catalog.search(self._search)
            else:
                models = client.catalog.list(**self._filters)
        finally:
            if self._client is None:
                client.close()
        yield from map(_document, models)

    async def alazy_load(self) -> AsyncIterator[Document]:
        """Yield the documents without blocking the event loop. Raises `OxenError`."""
        from oxen_inference.client import AsyncOxenClient

        # A client belongs to one event loop: unless one is given, each load has its own.
        client = self._async_client or AsyncOxenClient(**self._options_of_client())
        try:
            if self._search is not None:
                models = await client.catalog.search(self._search)
            else:
                models = await client.catalog.list(**self._filters)
        finally:
            if self._async_client is None:
                await client.close()
        for model in models:
            yield _document(model)

    def _options_of_client(self) -> dict[str, Any]:
        if self._client is None:
            return self._options
        return {"api_key": self._client.api_key, "base_url": str(self._client.base_url)}


def _document(model: Model) -> Document:
    return Document(page_content=page(model), metadata=metadata(model), id=document_id(model))
