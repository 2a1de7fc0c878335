"""A chat model's profile, true to the catalog by the time somebody reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from langchain_oxen.profile import model_profile
from oxen_inference.catalog.profiles import profile_for

if TYPE_CHECKING:
    from oxen_inference.catalog.models import Model

_TIMEOUT = 5.0  # seconds that reading a profile may take, where nothing else is held up by it


class _Owner(Protocol):
    model: str

    def _catalog_entry(self, model_id: str, timeout: float) -> Model | None: ...


class CatalogProfile(Mapping[str, Any]):
    """LangChain's `ModelProfile` as a mapping that is filled when it is first read.

    Reading it fetches the catalog. Inside a running event loop, which that would block, it
    gives what is known by then, and the fetch goes on beside.
    """

    def __init__(self, owner: _Owner) -> None:
        self._owner = owner

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __bool__(self) -> bool:
        return True  # LangChain asks while the model is being made, when nothing may be fetched

    # Those of the dict that LangChain says it is.

    def copy(self) -> dict[str, Any]:
        return dict(self._read())

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._read(), **other} if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**other, **self._read()} if isinstance(other, Mapping) else NotImplemented

    def __eq__(self, other: object) -> bool:
        if isinstance(other, CatalogProfile):
            return self._owner.model == other._owner.model
        return dict(self) == dict(other) if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # what it holds changes when the catalog comes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._owner.model!r})"

    def _read(self) -> dict[str, Any]:
        model = self._owner._catalog_entry(self._owner.model, _TIMEOUT)
        return dict(model_profile(profile_for(self._owner.model, model)))
