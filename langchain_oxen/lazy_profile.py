"""A chat model's profile, true to the catalogue by the time somebody reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from langchain_oxen.profile import model_profile
from oxen_inference.profiles import profile_for

if TYPE_CHECKING:
    from oxen_inference.client import OxenClient

class CatalogueProfile(Mapping[str, Any]):
    """LangChain's `ModelProfile` as a mapping that is filled when it is first read.

    Reading it fetches the catalogue. Inside a running event loop, which that would block, it
    gives what is known by then, and the fetch goes on beside.
    """

    def __init__(self, source: Callable[[], tuple[str, OxenClient]]) -> None:
        self._source = source

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __bool__(self) -> bool:
        return True  # LangChain asks while the model is being made, when nothing may be fetched

    def __eq__(self, other: object) -> bool:
        return dict(self) == dict(other) if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # what it holds changes when the catalogue comes

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _read(self) -> dict[str, Any]:
        from oxen_inference.chat.catalogue_peek import CataloguePeek

        model_id, client = self._source()
        peek = CataloguePeek.of(client)
        model = peek.known(model_id)
        if model is None:
            peek.start()
            if not _in_running_loop():
                model = peek.model(model_id, patience=10.0)
        return dict(model_profile(profile_for(model_id, model)))


def _in_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
