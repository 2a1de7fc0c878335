"""The catalog's calls, replayed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from oxen_inference import AsyncOxenClient, ModelNotFoundError, OxenClient
from oxen_inference.catalog.pricing import quote

pytestmark = pytest.mark.vcr


def test_a_model_is_read_priced_and_found_missing(hub: SimpleNamespace) -> None:
    with OxenClient(api_key=hub.api_key, base_url=hub.base_url) as client:
        model = client.catalog.get("flux-2-dev")
        assert model.kind == "image"
        assert quote(model, {}).known
        assert [m.id for m in client.catalog.search("flux-2-dev")] == ["flux-2-dev"]
        with pytest.raises(ModelNotFoundError) as caught:
            client.catalog.get("flux-2-dve")
        assert "flux-2-dev" in caught.value.suggestions


async def test_a_list_filtered_by_the_hub(hub: SimpleNamespace) -> None:
    async with AsyncOxenClient(api_key=hub.api_key, base_url=hub.base_url) as client:
        models = await client.catalog.list(developer="Anthropic")
        assert models
        assert all(model.is_chat for model in models)
        assert all(model.problems == () for model in models)
