"""The catalog in both frameworks, as a tool and in a terminal, over real HTTP."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import pickle
import subprocess
import sys
from typing import Any

import pytest

from oxen_inference import AsyncOxenClient, OxenClient
from oxen_inference.catalog.models import CatalogWarning
from oxen_inference.errors import ConfigurationError, InvalidInputError, ModelNotFoundError
from oxen_sandbox import Sandbox
from tests.conftest import REPOSITORY

NEED = {
    "output": "video", "input": "image", "seconds": 10, "with_audio": True, "cheapest": True,
}  # fmt: skip


@pytest.fixture
def options(oxen_sandbox: Sandbox) -> dict[str, str]:
    return {"api_key": oxen_sandbox.api_key, "base_url": oxen_sandbox.base_url}


def flat(metadata: dict[str, Any]) -> bool:
    return all(type(value) in (str, int, float) for value in metadata.values())


# LangChain


def test_langchain_loads_one_document_a_model(
    options: dict[str, str], oxen_sandbox: Sandbox
) -> None:
    langchain_oxen = pytest.importorskip("langchain_oxen")
    loader = langchain_oxen.OxenModelLoader(**options, output="video")
    assert not oxen_sandbox.requests
    documents = loader.load()
    with OxenClient(**options) as client:
        assert [d.id for d in documents] == [
            f"oxen-model:{m.id}" for m in client.catalog.list(output="video")
        ]
    assert all(document.metadata["makes_video"] for document in documents)
    assert all(flat(document.metadata) for document in documents)
    assert "Price: " in documents[0].page_content
    assert loader.load() == documents
    assert len(oxen_sandbox.requests) == 1


async def test_langchain_loads_asynchronously(options: dict[str, str]) -> None:
    langchain_oxen = pytest.importorskip("langchain_oxen")
    expected = langchain_oxen.OxenModelLoader(**options, search="kling").load()
    assert await langchain_oxen.OxenModelLoader(**options, search="kling").aload() == expected
    with OxenClient(**options) as client:
        own = langchain_oxen.OxenModelLoader(client=client, search="kling")
        assert await own.aload() == expected
    async with AsyncOxenClient(**options) as async_client:
        own = langchain_oxen.OxenModelLoader(async_client=async_client, search="kling")
        assert [document async for document in own.alazy_load()] == expected
        assert not async_client.is_closed()


def test_langchain_refuses_filters_there_are_not(options: dict[str, str]) -> None:
    langchain_oxen = pytest.importorskip("langchain_oxen")
    with pytest.raises(TypeError, match="not a filter: outputs"):
        langchain_oxen.OxenModelLoader(**options, outputs="video")
    with pytest.raises(ValueError, match="not both"):
        langchain_oxen.OxenModelLoader(**options, search="x", output="video")


def test_neither_keys_nor_clients_travel(options: dict[str, str], oxen_sandbox: Sandbox) -> None:
    langchain_oxen = pytest.importorskip("langchain_oxen")
    with OxenClient(**options) as client:
        for loader in (
            langchain_oxen.OxenModelLoader(**options),
            langchain_oxen.OxenModelLoader(client=client),
        ):
            before = pickle.dumps(loader)
            loader.load()
            assert copy.deepcopy(loader).load()
            for packed in (before, pickle.dumps(loader)):
                assert oxen_sandbox.api_key.encode() not in packed
                os.environ["OXEN_API_KEY"] = oxen_sandbox.api_key
                try:
                    assert pickle.loads(packed).load()
                finally:
                    del os.environ["OXEN_API_KEY"]


async def test_an_agent_finds_models(options: dict[str, str], oxen_sandbox: Sandbox) -> None:
    langchain_oxen = pytest.importorskip("langchain_oxen")
    tool = langchain_oxen.OxenFindModelsTool(**options)
    call = {"type": "tool_call", "id": "1", "name": tool.name, "args": NEED}
    message = tool.invoke(call)
    assert message.content.startswith("1. kling-video-o3-pro-reference-to-video")
    assert message.artifact[0]["params"] == {"generate_audio": True, "duration": 10}
    assert (await tool.ainvoke(call)).content == message.content
    assert tool.invoke({"output": "text", "max_price": 0}) == ("No model of the catalog does that.")
    assert oxen_sandbox.api_key not in repr(tool) + str(tool.model_dump())
    assert copy.deepcopy(tool).invoke(NEED) == message.content


def test_finding_models_refuses_options_there_are_not(options: dict[str, str]) -> None:
    langchain_oxen = pytest.importorskip("langchain_oxen")
    for unknown in ({"bogus": 3}, {"limit": 3}, {"output": "video"}, {"ledger": None}):
        with pytest.raises(InvalidInputError, match=f"{next(iter(unknown))} is not an option"):
            langchain_oxen.OxenFindModelsTool(**options, **unknown)
    with pytest.raises(InvalidInputError, match="Did you mean base_url"):
        langchain_oxen.OxenFindModelsTool(api_base=options["base_url"])


# LlamaIndex


def test_llama_index_reads_one_document_a_model(
    options: dict[str, str], oxen_sandbox: Sandbox
) -> None:
    llama_index_oxen = pytest.importorskip("llama_index_oxen")
    reader = llama_index_oxen.OxenModelReader(
        api_key=options["api_key"], api_base=options["base_url"]
    )
    assert not oxen_sandbox.requests
    documents = reader.load_data(output="image")
    assert all(document.metadata["makes_image"] for document in documents)
    assert all(flat(document.metadata) for document in documents)
    assert documents[0].id_ == f"oxen-model:{documents[0].metadata['model_id']}"
    ids = reader.list_resources(output="image")
    assert ids == [document.metadata["model_id"] for document in documents]
    assert reader.load_resource(ids[0])[0].text == documents[0].text
    assert len(reader.load_resources(ids[:2])) == 2
    assert reader.get_resource_info(ids[0]) == documents[0].metadata
    assert set(reader.list_resources_with_info(search="kling")) == set(
        reader.list_resources(search="kling")
    )
    with pytest.raises(ModelNotFoundError, match="Did you mean"):
        reader.load_resource("flux-2-dve")
    with pytest.raises(TypeError, match="not a filter"):
        reader.load_data(outputs="image")


def test_llama_index_serializes_without_the_key(
    options: dict[str, str], oxen_sandbox: Sandbox
) -> None:
    llama_index_oxen = pytest.importorskip("llama_index_oxen")
    reader = llama_index_oxen.OxenModelReader(
        api_key=options["api_key"], api_base=options["base_url"]
    )
    reader.load_data()
    data = reader.to_dict()
    shown = f"{data} {reader!r} {reader.to_json()}".encode() + pickle.dumps(reader)
    assert oxen_sandbox.api_key.encode() not in shown
    again = llama_index_oxen.OxenModelReader.from_dict(data)
    assert again.api_base == oxen_sandbox.base_url


def test_llama_index_refuses_fields_there_are_not(options: dict[str, str]) -> None:
    llama_index_oxen = pytest.importorskip("llama_index_oxen")
    with pytest.raises(TypeError, match="does not take base_url; the base URL is api_base"):
        llama_index_oxen.OxenModelReader(**options)


async def test_llama_index_refuses_filters_without_a_name(options: dict[str, str]) -> None:
    llama_index_oxen = pytest.importorskip("llama_index_oxen")
    reader = llama_index_oxen.OxenModelReader(
        api_key=options["api_key"], api_base=options["base_url"]
    )
    names = ("load_data", "lazy_load_data", "list_resources", "list_resources_with_info")
    for name in names:
        with pytest.raises(InvalidInputError, match="search='kling'"):
            getattr(reader, name)("kling")
        with pytest.raises(InvalidInputError, match="search='kling'"):
            await getattr(reader, f"a{name}")("kling")


async def test_llama_index_reads_asynchronously(options: dict[str, str]) -> None:
    llama_index_oxen = pytest.importorskip("llama_index_oxen")
    reader = llama_index_oxen.OxenModelReader(
        api_key=options["api_key"], api_base=options["base_url"]
    )
    documents = reader.load_data(output="video")
    assert await reader.aload_data(output="video") == documents
    assert list(await reader.alazy_load_data(output="video")) == documents
    ids = await reader.alist_resources(output="video")
    assert (await reader.aload_resource(ids[0]))[0] == documents[0]
    assert await reader.aget_resource_info(ids[0]) == documents[0].metadata
    with OxenClient(**options) as client:
        own = llama_index_oxen.OxenModelReader(client=client)
        assert await own.aget_resource_info(ids[0]) == documents[0].metadata


async def test_no_documents_are_warned_of(options: dict[str, str]) -> None:
    langchain_oxen = pytest.importorskip("langchain_oxen")
    loader = langchain_oxen.OxenModelLoader(**options, developer="nobody")
    with pytest.warns(CatalogWarning, match="No models: "):
        assert loader.load() == []
    with pytest.warns(CatalogWarning, match="No models: "):
        assert await loader.aload() == []


def test_reading_works_from_one_event_loop_after_another(options: dict[str, str]) -> None:
    llama_index_oxen = pytest.importorskip("llama_index_oxen")
    reader = llama_index_oxen.OxenModelReader(
        api_key=options["api_key"], api_base=options["base_url"]
    )
    counts = {len(asyncio.run(reader.aload_data())) for _ in range(3)}
    assert len(counts) == 1


def test_a_client_and_its_settings_are_not_given_both(options: dict[str, str]) -> None:
    langchain_oxen = pytest.importorskip("langchain_oxen")
    llama_index_oxen = pytest.importorskip("llama_index_oxen")
    with OxenClient(**options) as client:
        for make in (
            lambda: langchain_oxen.OxenFindModelsTool(client=client, api_key="k"),
            lambda: langchain_oxen.OxenModelLoader(client=client, base_url=options["base_url"]),
            lambda: llama_index_oxen.OxenModelReader(client=client, api_base=options["base_url"]),
        ):
            with pytest.raises(ConfigurationError, match="give either"):
                make()


@pytest.mark.parametrize("way", ["client", "async_client"])
async def test_a_reader_keeps_to_the_hub_of_its_client(
    way: str, options: dict[str, str], oxen_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    langchain_oxen = pytest.importorskip("langchain_oxen")
    llama_index_oxen = pytest.importorskip("llama_index_oxen")
    monkeypatch.setenv("OXEN_BASE_URL", "http://localhost:1/api/ai")
    sent = {"default_headers": {"X-Team": "oxen"}, "max_retries": 0}
    given = (OxenClient if way == "client" else AsyncOxenClient)(**options, **sent)
    for made in (
        llama_index_oxen.OxenModelReader(**{way: given}),
        langchain_oxen.OxenModelLoader(**{way: given}),
    ):
        packed = pickle.dumps(made)
        monkeypatch.setenv("OXEN_API_KEY", options["api_key"])
        for one in (made, pickle.loads(packed)):
            load = getattr(one, "load_data", None) or one.load
            assert await asyncio.to_thread(load)
            load = getattr(one, "aload_data", None) or one.aload
            assert await load()
    assert {request.headers.get("x-team") for request in oxen_sandbox.requests} == {"oxen"}
    await given.close() if way == "async_client" else given.close()


# A terminal


def run(hub: Sandbox | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OXEN_API")}
    if hub:
        environment |= {"OXEN_BASE_URL": hub.base_url, "OXEN_API_KEY": hub.api_key}
    return subprocess.run(
        [sys.executable, "-m", "oxen_inference", *arguments],
        check=False, capture_output=True, text=True, env=environment, cwd=REPOSITORY,
    )  # fmt: skip


def test_a_terminal_shows_models_and_quotes(oxen_sandbox: Sandbox) -> None:
    done = run(oxen_sandbox, "models", "--output", "video")
    assert done.returncode == 0
    assert "kling-video-o3-pro-reference-to-video" in done.stdout
    assert "flux-2-dev" not in done.stdout
    listed = json.loads(run(oxen_sandbox, "models", "--output", "audio", "--json").stdout)
    assert [row["id"] for row in listed] == ["bytedance-seed-audio-1-0"]
    priced = run(oxen_sandbox, "quote", "google-veo-3", "duration=8", "generate_audio=true")
    assert priced.stdout == (
        "google-veo-3: $3.36\nassumed, by default: aspect_ratio=16:9 resolution=1080p\n"
    )
    silent = run(oxen_sandbox, "quote", "google-veo-3", "duration=8").stdout
    assert silent.endswith("resolution=1080p generate_audio=false\n")
    exact = json.loads(
        run(oxen_sandbox, "quote", "openai-sora-2-pro", "seconds=8", "--num-generations=2", "--json").stdout
    )  # fmt: skip
    assert (exact["low"], exact["params"]["seconds"]) == ("4.48", "8")
    assert exact["assumed"] == {"aspect_ratio": "landscape", "resolution": "standard"}
    wanted = "--output video --input image --seconds 10 --with-audio --cheapest"
    found = run(oxen_sandbox, "find", *wanted.split())
    assert found.stdout.startswith("1. kling-video-o3-pro-reference-to-video")
    refused = run(oxen_sandbox, "find", "--max-price", "cheap")
    assert (refused.returncode, "not an amount of USD: 'cheap'" in refused.stderr) == (2, True)
    refused = run(oxen_sandbox, "quote", "google-veo-3", "duration")
    assert (refused.returncode, "'duration' is not name=value" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("quote", "flux-2-dve"), "error: Model not found: flux-2-dve. Did you mean flux-2-dev"),
        (("quote", "google-veo-3", "duration=7"), "duration must be one of 4, 6, 8, not 7"),
        (("quote", "google-veo-3", "durations=8"), "did you mean duration?"),
        (("quote", "flux-2-dev", "--num-generations", "9"), "must be between 1 and 4"),
        (
            ("quote", "flux-2-dev", "-n", "3", "num_generations=2"),
            "num_generations was given twice",
        ),
        (("models", "--search", "x", "--output", "video"), "not both"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    oxen_sandbox: Sandbox, arguments: tuple[str, ...], text: str
) -> None:
    done = run(oxen_sandbox, *arguments)
    assert done.returncode == 1
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


def test_no_key_is_one_sentence() -> None:
    done = run(None, "reconcile")
    assert done.returncode == 1
    assert done.stderr.startswith("error: There is no Oxen API key")
