"""The catalog as LlamaIndex documents, one for each model."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.readers.base import BasePydanticReader, ResourcesReaderMixin
from llama_index.core.schema import Document
from llama_index.core.vector_stores import MetadataInfo, VectorStoreInfo

from oxen_inference.catalog.models import MODALITIES
from oxen_inference.tools.catalog_access import CatalogAccess

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model
    from oxen_inference.client import AsyncOxenClient, OxenClient


class OxenModelReader(BasePydanticReader, ResourcesReaderMixin):
    """Reads Oxen's models, one document each, with stable ids and flat metadata.

    Loading and listing take `search`, or the filters of `client.catalog.list`: developer,
    provider, action, input, output, method, deployed. A resource is a model, by its id. Give a
    client, or the `api_key` and `api_base` of one. The key is never serialized. Nothing is fetched
    before the documents are loaded.
    """

    is_remote: bool = True
    api_base: str | None = Field(default=None, description="Base URL; OXEN_BASE_URL if not given.")
    _catalog: CatalogAccess = PrivateAttr()

    def __init__(
        self,
        *,
        api_key: Any = None,
        api_base: str | None = None,
        client: "OxenClient | None" = None,
        async_client: "AsyncOxenClient | None" = None,
        **fields: Any,
    ) -> None:
        unknown = sorted(fields.keys() - {*type(self).model_fields, "class_name"})
        if unknown:
            raise TypeError(
                f"OxenModelReader does not take {', '.join(unknown)}; the base URL is api_base, and "
                "filters go to load_data()"
            )
        super().__init__(**{"api_base": api_base, **fields})
        self._catalog = CatalogAccess(
            api_key=api_key, base_url=api_base, client=client, async_client=async_client
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # makes it anew of its fields, which a client is not
        self._catalog = (state.get("__pydantic_private__") or {}).get("_catalog", self._catalog)

    @classmethod
    def vector_store_info(cls) -> VectorStoreInfo:
        """Return what the documents are and can be filtered by, for `VectorIndexAutoRetriever`."""
        return VectorStoreInfo(
            content_info="AI models on Oxen.ai: what they make, take and cost",
            metadata_info=[MetadataInfo(name=n, type=t, description=d) for n, t, d in _FILTERS],
        )

    @classmethod
    def class_name(cls) -> str:
        return "OxenModelReader"

    def lazy_load_data(self, *texts: Any, **filters: Any) -> Iterable[Document]:
        """Yield the documents. Raises `OxenError`."""
        _refuse(texts)
        return self._documents(filters)

    def _documents(self, filters: dict[str, Any]) -> Iterable[Document]:
        yield from map(_document, self._catalog.select(filters))

    async def alazy_load_data(self, *texts: Any, **filters: Any) -> Iterable[Document]:
        """Return the documents without blocking the event loop. Raises `OxenError`."""
        _refuse(texts)
        return map(_document, await self._catalog.aselect(filters))

    async def aload_data(self, *texts: Any, **filters: Any) -> list[Document]:
        """Return the documents without blocking the event loop. Raises `OxenError`."""
        return list(await self.alazy_load_data(*texts, **filters))

    def list_resources(self, *texts: Any, **filters: Any) -> list[str]:
        """Return the ids of the models."""
        _refuse(texts)
        return [model.id for model in self._catalog.select(filters)]

    async def alist_resources(self, *texts: Any, **filters: Any) -> list[str]:
        """Return the ids of the models without blocking the event loop."""
        _refuse(texts)
        return [model.id for model in await self._catalog.aselect(filters)]

    def get_resource_info(self, resource_id: str, *_: Any, **__: Any) -> dict[str, Any]:
        """Return a model's metadata. Raises `ModelNotFoundError`."""
        return _document(self._catalog.get(resource_id)).metadata

    async def aget_resource_info(self, resource_id: str, *_: Any, **__: Any) -> dict[str, Any]:
        """Return a model's metadata without blocking the event loop."""
        return _document(await self._catalog.aget(resource_id)).metadata

    def load_resource(self, resource_id: str, *_: Any, **__: Any) -> list[Document]:
        """Return one model's document, in a list. Raises `ModelNotFoundError`."""
        return [_document(self._catalog.get(resource_id))]

    async def aload_resource(self, resource_id: str, *_: Any, **__: Any) -> list[Document]:
        """Return one model's document, in a list, without blocking the event loop."""
        return [_document(await self._catalog.aget(resource_id))]


_FILTERS = (
    ("model_id", "str", "id of the model"),
    ("name", "str", "name of the model"),
    ("developer", "str", "who developed it, such as Google"),
    ("kind", "str", "what it mainly makes: text, image, video or audio"),
    ("model_type", "str", "base, or custom for one that somebody trained"),
    ("pricing_method", "str", "what is paid for: token, per_image, per_video_output_second, time"),
    *((f"makes_{m}", "int", f"1 if it makes {m}, else 0") for m in MODALITIES),
    *((f"takes_{m}", "int", f"1 if it takes {m} as input, else 0") for m in MODALITIES),
    ("takes_file", "int", "1 if it takes documents such as PDFs, else 0"),
    ("can_have_audio", "int", "1 if its videos can have audio, else 0"),
    ("longest_seconds", "float", "longest video it makes, in seconds"),
)


def _refuse(texts: tuple[Any, ...]) -> None:
    """Raise `InvalidInputError` for arguments without a name, which LlamaIndex's signature allows."""
    if texts:
        from oxen_inference.errors import InvalidInputError

        raise InvalidInputError(
            f"OxenModelReader takes its filters by name, not {texts[0]!r} alone. Nothing was sent.",
            hint=f"Did you mean search={texts[0]!r}?",
        )


def _document(model: "Model") -> Document:
    from oxen_inference.catalog.documents import document_id, metadata, page

    facts = metadata(model)
    return Document(
        text=page(model),
        metadata=facts,
        id_=document_id(model),
        # The page says all of it in words; numbers and ids would blur what is searched for.
        excluded_embed_metadata_keys=list(facts),
        excluded_llm_metadata_keys=[name for name in facts if name != "model_id"],
    )
