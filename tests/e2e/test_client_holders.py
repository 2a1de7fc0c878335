"""Whose connections a model uses: its own settings', and never closing what was brought."""

from __future__ import annotations

import asyncio
import copy
import gc
import warnings
from typing import Any

import openai
import pytest
from llama_index.core.base.llms.types import ChatMessage

from langchain_oxen import ChatOxen
from llama_index_oxen import Oxen
from oxen_inference import errors
from tests.support.scripted_server import ScriptedServer, completion, http

OK = http(completion())
HELLO = [ChatMessage(role="user", content="hi")]


def langchain(server: ScriptedServer, own: Any = None, **options: Any) -> ChatOxen:
    given = {"api_key": "first", "cost": False, "max_retries": 0, **options}
    return ChatOxen(model="ox-1", base_url=server.url, http_async_client=own, **given)


def llama(server: ScriptedServer, own: Any = None, **options: Any) -> Oxen:
    given = {"api_key": "first", "cost": False, "max_retries": 0, **options}
    return Oxen("ox-1", api_base=server.url, async_http_client=own, **given)


def ask(model: Any) -> Any:
    return model.invoke("hi") if isinstance(model, ChatOxen) else model.chat(HELLO)


async def aask(model: Any) -> Any:
    if isinstance(model, ChatOxen):
        return await model.ainvoke("hi")
    return await model.achat(HELLO)


MODELS = pytest.mark.parametrize("make", [langchain, llama])


@MODELS
def test_an_asynchronous_client_of_your_own_is_never_closed(make: Any) -> None:
    async def run() -> None:
        own = openai.DefaultAsyncHttpxClient()
        model = make(server, own)
        await aask(model)
        await model.aclose()
        assert not own.is_closed
        await aask(model)
        del model
        gc.collect()
        await asyncio.sleep(0.05)
        assert not own.is_closed
        await aask(make(server, own))
        await own.aclose()

    with ScriptedServer(OK) as server:
        asyncio.run(run())


@MODELS
def test_the_end_of_a_loop_closes_no_client_of_your_own(make: Any) -> None:
    own = openai.DefaultAsyncHttpxClient()
    with ScriptedServer(http(completion(), headers=["connection: close"])) as server:
        asyncio.run(aask(make(server, own)))
    assert not own.is_closed
    asyncio.run(own.aclose())


@MODELS
def test_a_closed_client_of_your_own_is_a_typed_error(make: Any) -> None:
    async def run() -> None:
        own = openai.DefaultAsyncHttpxClient()
        await own.aclose()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await aask(make(server, own))

    with ScriptedServer(OK) as server:
        asyncio.run(run())


@MODELS
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("way", ["model_copy", "copy", "assigned"])
def test_each_request_goes_where_its_model_says(make: Any, asynchronous: bool, way: str) -> None:
    field = "base_url" if make is langchain else "api_base"

    def call(model: Any) -> Any:
        return aask(model) if asynchronous else asyncio.to_thread(ask, model)

    async def run() -> None:
        model = make(old)
        await call(model)
        if way == "model_copy":
            other = model.model_copy(update={field: new.url, "api_key": "second"})
        else:
            other = copy.copy(model) if way == "copy" else model
            setattr(other, field, new.url)
            other.api_key = "second"
        await call(other)
        await call(other)
        if way != "assigned":
            await call(model)

    with ScriptedServer(OK) as old, ScriptedServer(OK) as new:
        asyncio.run(run())
        keys = [request.headers["authorization"] for request in new.requests]
        assert keys == ["Bearer second"] * 2
        assert len(old.requests) == (1 if way == "assigned" else 2)
        assert (old.connections, new.connections) == (1, 1)


@MODELS
def test_a_model_that_is_dropped_closes_its_sockets(make: Any) -> None:
    with ScriptedServer(OK) as server:
        port = server.url.split(":")[2].split("/")[0]
        gc.collect()
        model = make(server)
        ask(model)
        model.model_copy(update={"model": "ox-2"})  # it shares them
        gc.collect()
        ask(model)
        assert server.connections == 1
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", ResourceWarning)
            del model
            gc.collect()
        assert [each for each in warned if port in str(each.message)] == []


def test_a_copy_with_another_model_has_that_ones_profile() -> None:
    with ScriptedServer(OK) as server:
        model = langchain(server)
        assert repr(model.model_copy(update={"model": "ox-2"}).profile).startswith(
            "CatalogProfile('ox-2', {"
        )
        assert repr(model.profile).startswith("CatalogProfile('ox-1', {")


@MODELS
def test_a_client_of_another_loop_is_a_typed_error(make: Any) -> None:
    own = openai.DefaultAsyncHttpxClient()
    with ScriptedServer(OK) as server:
        model = make(server, own)
        asyncio.run(aask(model))
        with pytest.raises(errors.APIConnectionError, match="loop is closed"):
            asyncio.run(aask(model))
