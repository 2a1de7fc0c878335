"""What a client without a key can do: read the catalog, quote, read the ledger. Nothing else is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from langchain_oxen import OxenFindModelsTool, OxenModelLoader
from llama_index_oxen import OxenModelReader
from oxen_inference import AsyncOxenClient, Ledger, MissingAPIKeyError, OxenClient
from oxen_inference.catalog import CatalogWarning, find_models
from oxen_inference.cli.main import main
from tests.support.routed_hub import Response, RoutedHub, listed

IMAGE = {
    "id": "ox-image",
    "endpoint": "/images/generate",
    "capabilities": {"input": ["text"], "output": ["image"]},
    "pricing": {"method": "per_image", "cost_per_image": "0.04"},
    "request_schema": {
        "type": "object",
        "required": ["prompt"],
        "properties": {"prompt": {"type": "string"}},
    },
}


@pytest.fixture(autouse=True)
def no_key_but_openais(openai_variables: dict[str, str]) -> None:
    """What the OpenAI SDK would pick up is there, and must not be sent."""


@pytest.fixture
def hub() -> Iterator[RoutedHub]:
    routes = {
        "GET /models": listed(IMAGE),
        "GET /models/search": listed(IMAGE),
        "GET /models/ox-image": IMAGE,
        "GET /models/ox-video": Response({"error": {"type": "resource_not_found"}}, 404),
    }
    with RoutedHub(routes) as routed:
        yield routed
    for sent in routed.requests:
        assert "authorization" not in sent.headers
        assert "for-openai-only" not in json.dumps(dict(sent.headers))


@pytest.fixture
def client(hub: RoutedHub) -> Iterator[OxenClient]:
    with OxenClient(base_url=hub.url) as keyless:
        yield keyless


def test_the_catalog_and_quotes(hub: RoutedHub, client: OxenClient) -> None:
    assert not client.has_key
    assert [model.id for model in client.catalog.list(output="image")] == ["ox-image"]
    assert [model.id for model in client.catalog.search("ox")] == ["ox-image"]
    assert client.catalog.get("ox-image", live=True).id == "ox-image"
    assert find_models(client.catalog.list(), max_price=1)[0].model.id == "ox-image"
    assert client.media.quote("ox-image", num_generations=2).high == Decimal("0.08")
    assert [model.id for model in client.models.list()] == ["ox-image"]
    assert client.with_options(timeout=3).catalog.get("ox-image").id == "ox-image"
    assert {sent.path for sent in hub.requests} == {
        "/models", "/models/search", "/models/ox-image",
    }  # fmt: skip


async def test_the_catalog_and_quotes_awaited(hub: RoutedHub) -> None:
    async with AsyncOxenClient(base_url=hub.url) as client:
        assert [model.id for model in await client.catalog.list()] == ["ox-image"]
        assert [model.id for model in await client.catalog.search("ox")] == ["ox-image"]
        assert (await client.media.quote("ox-image")).high == Decimal("0.04")
        assert await client.media.jobs() == []
        with pytest.raises(MissingAPIKeyError):
            await client.media.generate(model="ox-image", prompt="an ox")
        with pytest.raises(MissingAPIKeyError):
            await client.queue.list()
    assert {sent.method for sent in hub.requests} == {"GET"}


NEED_A_KEY: list[Callable[[OxenClient], Any]] = [
    lambda client: client.catalog.favorites(),
    lambda client: client.catalog.featured(),
    lambda client: client.catalog.favorite("ox-image"),
    lambda client: client.catalog.update("ox-image", summary="x"),
    lambda client: client.catalog.activate("ox-image"),
    lambda client: client.queue.list(),
    lambda client: client.queue.get("gen-1"),
    lambda client: client.events.listen().__enter__(),
    lambda client: client.media.generate(model="ox-image", prompt="an ox"),
    lambda client: client.media.generate(model="ox-image", prompt="an ox", direct=True),
    lambda client: client.media.submit(model="ox-image", prompt="an ox", key="k"),
    lambda client: client.media.attach("k"),
    lambda client: client.media.reconcile(),
    lambda client: client.chat.completions.create(model="ox", messages=[]),
    lambda client: client.post("/queue", cast_to=object, body={}),
    lambda client: client.get("/models/ox-image/deployments", cast_to=object),
    lambda client: client.get("http://127.0.0.1:9/other", cast_to=object),
]


@pytest.mark.parametrize("number", range(len(NEED_A_KEY)))
def test_anything_else_raises_before_it_sends(
    hub: RoutedHub, client: OxenClient, number: int
) -> None:
    with pytest.raises(MissingAPIKeyError, match=r"no Oxen API key.*needs one.*OXEN_API_KEY"):
        NEED_A_KEY[number](client)
    assert not hub.requests
    assert client.media.jobs() == []


def test_a_hub_that_wants_a_key_for_its_catalog(hub: RoutedHub, client: OxenClient) -> None:
    hub.routes["GET /models"] = Response({"status": "error", "status_message": "x"}, 401)
    with pytest.raises(MissingAPIKeyError, match="the catalog of this hub needs one"):
        client.catalog.list()


def test_the_ledger_is_read_whoever_paid(hub: RoutedHub, tmp_path: Path) -> None:
    hub.routes["POST /queue"] = {"generations": [{"generation_id": "g1", "status": "queued"}]}
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    with RoutedHub(hub.routes) as other:
        for url, prompt in ((other.url, "a calf"), (hub.url, "an ox")):
            client = OxenClient(base_url=url, api_key="some-key-1", ledger=ledger)
            client.media.submit(model="ox-image", prompt=prompt)
            client.close()
    hub.requests.clear()
    with OxenClient(base_url=hub.url, ledger=ledger) as client:
        (entry,) = client.media.jobs()
    assert (entry.prompt, entry.generation_ids) == ("an ox", ("g1",))
    assert not hub.requests


def test_the_command_line(hub: RoutedHub, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["--base-url", hub.url, *arguments])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    assert "ox-image" in run("models")[1]
    assert "ox-image" in run("find", "--output", "image")[1]
    assert run("quote", "ox-image") == (0, "ox-image: $0.04\n", "")
    assert run("jobs")[0] == 0
    status, _, error = run("reconcile")
    assert status == 1
    assert "OXEN_API_KEY" in error
    assert {sent.path for sent in hub.requests} <= {"/models", "/models/ox-image"}


async def test_the_adapters_read_the_catalog(hub: RoutedHub) -> None:
    assert [d.metadata["model_id"] for d in OxenModelLoader(base_url=hub.url).load()] == [
        "ox-image"
    ]
    found = [d async for d in OxenModelLoader(base_url=hub.url).alazy_load()]
    assert [d.metadata["model_id"] for d in found] == ["ox-image"]
    documents = OxenModelReader(api_base=hub.url).load_data()
    assert [d.metadata["model_id"] for d in documents] == ["ox-image"]
    assert "ox-image" in OxenFindModelsTool(base_url=hub.url).invoke({"output": "image"})


def test_list_returns_what_can_be_read(hub: RoutedHub, client: OxenClient) -> None:
    entries = [
        None, 7, [], "ox-by-name", {}, {"id": None}, {"id": "ox", "pricing": "cheap"},
        {"id": "calf", "created": 10**400, "request_schema": [1]}, {"id": {"a": 1}, "name": "herd"},
    ]  # fmt: skip
    hub.routes["GET /models"] = {"data": entries}
    with pytest.warns(CatalogWarning, match="could not be read"):
        models = client.catalog.list()
    assert [model.id for model in models] == ["ox-by-name", "ox", "calf", "herd"]
