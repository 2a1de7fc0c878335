"""Clients and loops, abandoned streams, prices and profiles that nobody waits for."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import openai
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from pydantic import BaseModel, ValidationError

from langchain_oxen import ChatOxen, errors
from oxen_inference.clients import LoopClients
from oxen_sandbox import Sandbox
from oxen_sandbox.faults import Fault
from tests.support.scripted_server import (
    SSE_HEAD,
    Hold,
    ScriptedServer,
    completion,
    delta,
    http,
    sse,
)

OK = http(completion())
KEY = "sk-a-key-that-must-not-show"
MODEL = "claude-sonnet-4-6"


def chat(server: ScriptedServer, **options: Any) -> ChatOxen:
    return ChatOxen(
        base_url=server.url, **{"model": "ox-1", "api_key": KEY, "cost": False, **options}
    )


def on(hub: Sandbox, **options: Any) -> ChatOxen:
    return ChatOxen(base_url=hub.base_url, api_key=hub.api_key, **{"model": MODEL, **options})


# Clients and loops


def test_repeated_asyncio_run_opens_one_connection_each_and_closes_it() -> None:
    gc.collect()  # what other tests left lying about is not this one's
    with ScriptedServer(OK) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        model = chat(server)

        async def twice() -> None:
            await model.ainvoke("hi")
            await model.ainvoke("hi")

        for _ in range(3):
            asyncio.run(twice(), debug=True)
        gc.collect()
        assert len(server.requests) == 6
        assert server.connections == 3


def test_a_loop_that_is_only_closed_makes_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedServer(OK) as server:
        model = chat(server)
        for _ in range(2):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(model.ainvoke("hi"))
            loop.close()
        del model, loop
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # asyncio's own, of its transport
            gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_threads_with_loops_of_their_own() -> None:
    with ScriptedServer(OK) as server, ThreadPoolExecutor(8) as pool:
        model = chat(server)
        answers = pool.map(lambda _: asyncio.run(model.ainvoke("hi")).content, range(8))
        assert list(answers) == ["hello"] * 8
        assert len(server.requests) == 8


def test_threads_share_the_synchronous_client() -> None:
    with ScriptedServer(OK) as server, ThreadPoolExecutor(8) as pool:
        model = chat(server)
        list(pool.map(lambda _: model.invoke("hi"), range(16)))
        assert len(server.requests) == 16
        assert server.connections <= 8


async def test_a_dropped_model_closes_its_connections() -> None:
    with ScriptedServer(OK) as server:
        model = chat(server)
        await model.ainvoke("hi")
        del model
        gc.collect()
        await _until(lambda: not server.open_connections)


async def test_close_and_use_again() -> None:
    with ScriptedServer(OK) as server:
        async with chat(server) as model:
            await model.ainvoke("hi")
            model.invoke("hi")
        await _until(lambda: not server.open_connections)
        assert (await model.ainvoke("hi")).content == "hello"
        await model.aclose()
        await model.aclose()
        with chat(server) as other:
            other.invoke("hi")
        await _until(lambda: not server.open_connections)


def test_clients_of_your_own_are_used_and_left_open() -> None:
    mine = openai.DefaultHttpxClient(headers={"x-mine": "1"})
    with ScriptedServer(OK) as server:
        with chat(server, http_client=mine) as model:
            model.invoke("hi")
        assert server.requests[0].headers["x-mine"] == "1"
        assert not mine.is_closed
        mine.close()

        async def run() -> None:
            own = openai.DefaultAsyncHttpxClient(headers={"x-mine": "2"})
            await chat(server, http_async_client=own).ainvoke("hi")
            assert not own.is_closed
            await own.aclose()

        asyncio.run(run())
        assert server.requests[1].headers["x-mine"] == "2"


def test_copies_and_pickles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXEN_API_KEY", "of-the-other-process")
    mine = openai.DefaultHttpxClient()
    with ScriptedServer(OK) as server:
        model = chat(server, temperature=0.5)
        model.invoke("hi")
        asyncio.run(model.ainvoke("hi"))
        packed = pickle.dumps(model)
        assert KEY.encode() not in packed
        unpacked = pickle.loads(packed)
        assert unpacked.api_key is None
        assert unpacked.invoke("hi").content == "hello"
        assert server.requests[-1].headers["authorization"] == "Bearer of-the-other-process"
        for twin in (copy.deepcopy(model), model.model_copy()):
            assert twin.invoke("hi").content == "hello"
            assert twin.asdict() == model.asdict()
            assert twin == model
        owner = chat(server, http_client=mine)
        assert copy.deepcopy(owner).http_client is mine
        assert pickle.loads(pickle.dumps(owner)).http_client is None
    mine.close()


def test_a_model_may_be_a_field_of_another() -> None:
    class Holder(BaseModel):
        llm: ChatOxen

    model = ChatOxen(model="ox-1", api_key=KEY)
    assert Holder(llm=model).llm is model
    with pytest.raises(ValidationError, match="ChatOxen"):
        Holder(llm="ox-1")  # type: ignore[arg-type]


def test_an_error_travels_without_the_key() -> None:
    with ScriptedServer(http({"error": "no"}, status="401 Unauthorized")) as server:
        with pytest.raises(errors.AuthenticationError) as caught:
            chat(server).invoke("hi")
    data = pickle.dumps(caught.value)
    assert KEY.encode() not in data
    assert type(pickle.loads(data)) is errors.AuthenticationError


def test_the_key_is_in_no_trace() -> None:
    seen: list[str] = []

    class Tracer(BaseCallbackHandler):
        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            seen.append(repr((args, kwargs)))

        def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
            seen.append(repr((args, kwargs)))

    with ScriptedServer(http({"error": "no"}, status="401 Unauthorized")) as server:
        with pytest.raises(errors.AuthenticationError):
            chat(server).invoke("hi", config={"callbacks": [Tracer()]})
    assert len(seen) == 2
    assert KEY not in "".join(seen)


async def test_a_thousand_calls_at_once() -> None:
    with Sandbox() as hub:
        async with on(hub) as model:
            answers = await model.abatch(["hi"] * 1000)
        assert len(answers) == 1000
        posts = [r for r in hub.requests if r.method == "POST"]
        assert len(posts) == 1000


async def test_a_client_made_for_one_loop_stays_there() -> None:
    made: list[Any] = []

    class Client:
        closed = False

        async def close(self) -> None:
            self.closed = True

    def make() -> Client:
        made.append(Client())
        return made[-1]

    clients = LoopClients(make)
    assert clients.get() is clients.get()
    thread = threading.Thread(target=lambda: asyncio.run(_get(clients)))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert len(made) == 2
    assert [client.closed for client in made] == [False, True]
    await clients.aclose()
    assert made[0].closed


async def _get(clients: LoopClients[Any]) -> None:
    clients.get()


async def _until(condition: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.01)


# Abandoned streams

ENDLESS = [SSE_HEAD + sse(delta(content="hi")), Hold()]


def test_an_abandoned_stream_closes_its_connection() -> None:
    with ScriptedServer(ENDLESS) as server:
        chunks = chat(server).stream("hi")
        next(chunks)
        chunks.close()
        assert server.requests[0].closed.wait(30)


def test_breaking_out_of_a_stream_closes_its_connection() -> None:
    with ScriptedServer(ENDLESS) as server:
        for _ in chat(server).stream("hi"):
            break
        assert server.requests[0].closed.wait(30)


async def test_an_abandoned_asynchronous_stream_closes_its_connection() -> None:
    with ScriptedServer(ENDLESS) as server:
        chunks = chat(server).astream("hi")
        await anext(chunks)
        await chunks.aclose()
        await _until(server.requests[0].closed.is_set)


async def test_a_cancelled_stream_closes_its_connection() -> None:
    with ScriptedServer(ENDLESS) as server:
        model = chat(server)

        async def consume() -> None:
            async for _ in model.astream("hi"):
                pass

        task = asyncio.create_task(consume())
        await _until(lambda: server.requests)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _until(server.requests[0].closed.is_set)


def test_streams_share_connections_though_they_end_before_the_body_does() -> None:
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    events = sse(delta(content="hi"), delta("stop"), "[DONE]")
    script = [head + b"%x\r\n%s\r\n" % (len(events), events), 0.002, b"0\r\n\r\n"]
    with ScriptedServer(script) as server:
        model = chat(server)
        for _ in range(3):
            list(model.stream("hi"))
        assert server.connections == 1

        async def run() -> None:
            async with model:
                for _ in range(3):
                    [c async for c in model.astream("hi")]

        asyncio.run(run())
        assert server.connections == 2


def test_a_server_that_lingers_after_the_end_holds_nobody_up() -> None:
    with ScriptedServer(
        [SSE_HEAD + sse(delta(content="hi"), delta("stop"), "[DONE]"), Hold()]
    ) as server:
        began = time.monotonic()
        list(chat(server).stream("hi"))
        assert time.monotonic() - began < 30


# Prices


def catalog(seconds: float | None = None, **fault: Any) -> Fault:
    action = "delay" if seconds else "respond"
    return Fault(action, path="*/models*", seconds=seconds, times=None, **fault)


@pytest.fixture
def hub() -> Any:
    with Sandbox() as sandbox:
        yield sandbox


def sent_to_catalog(hub: Sandbox) -> int:
    return len([r for r in hub.requests if r.method == "GET" and r.path.endswith("/models")])


def cost_of(message: Any, hub: Sandbox) -> Decimal:
    pricing = hub.models.get(MODEL)["pricing"]
    usage = message.usage_metadata
    inputs = usage["input_tokens"] * Decimal(str(pricing["input_cost_per_token"]))
    return inputs + usage["output_tokens"] * Decimal(str(pricing["output_cost_per_token"]))


def test_the_first_answer_has_its_price_and_the_catalog_is_fetched_once(hub: Sandbox) -> None:
    model = on(hub)
    first = model.invoke("What is an ox?")
    assert isinstance(first.response_metadata["cost"], str)
    assert Decimal(first.response_metadata["cost"]) == cost_of(first, hub)
    *_, last = model.stream("What is an ox?")
    assert Decimal(last.response_metadata["cost"]) == cost_of(last, hub)
    answer = asyncio.run(model.ainvoke("What is an ox?"))
    assert Decimal(answer.response_metadata["cost"]) == cost_of(answer, hub)
    assert sent_to_catalog(hub) == 1


async def test_the_first_of_many_asynchronous_answers_has_its_price(hub: Sandbox) -> None:
    async with on(hub) as model:
        answers = await model.abatch(["hi"] * 20)
    assert all("cost" in a.response_metadata for a in answers)
    assert sent_to_catalog(hub) == 1


def test_a_catalog_that_is_a_little_slow_is_waited_for(hub: Sandbox) -> None:
    hub.inject(catalog(seconds=0.4))
    assert "cost_computed" in on(hub).invoke("hi").response_metadata


@pytest.mark.parametrize("fault", [catalog(seconds=60.0), catalog(status=500)])
def test_a_catalog_that_fails_or_hangs_costs_a_second_at_most(hub: Sandbox, fault: Fault) -> None:
    hub.inject(fault)
    model = on(hub)
    began = time.monotonic()
    assert "cost_computed" not in model.invoke("hi").response_metadata
    assert "cost_computed" not in list(model.stream("hi"))[-1].response_metadata
    assert time.monotonic() - began < 30
    began = time.monotonic()
    answer = asyncio.run(on(hub).ainvoke("hi"))
    assert "cost_computed" not in answer.response_metadata
    assert time.monotonic() - began < 30


def test_prices_can_be_turned_off(hub: Sandbox) -> None:
    assert "cost_computed" not in on(hub, cost=False).invoke("hi").response_metadata
    assert sent_to_catalog(hub) == 0


def test_a_model_without_a_price_has_no_cost(hub: Sandbox) -> None:
    assert (
        "cost_computed" not in on(hub, model="qwen3-vl-4b-instruct").invoke("hi").response_metadata
    )


# Profiles


def test_making_a_model_sends_nothing_and_its_profile_is_the_catalogs(hub: Sandbox) -> None:
    model = on(hub)
    shown = repr(model.profile)
    assert shown.startswith(f"CatalogProfile('{MODEL}', {{'tool_calling': True")
    assert "image_inputs" not in shown
    assert shown in repr(model)
    assert hub.requests == []
    assert model.profile is not None
    assert model.profile["image_inputs"] is True
    assert model.profile["max_input_tokens"] == 1_000_000
    assert model.profile.get("tool_calling") is True
    assert repr(model.profile) == f"CatalogProfile('{MODEL}', {dict(model.profile)!r})"
    assert json.loads(json.dumps(dict(model.profile)))["image_inputs"] is True
    assert dict(on(hub, model="deepseek-v4-pro").profile or {})["image_inputs"] is False
    assert sent_to_catalog(hub) == 1


def test_a_profile_of_ones_own_stays() -> None:
    model = ChatOxen(model="ox-1", api_key=KEY, profile={"max_input_tokens": 5})
    assert model.profile == {"max_input_tokens": 5}
    assert model.model_copy(update={"model": "ox-2"}).profile == {"max_input_tokens": 5}


async def test_reading_a_profile_never_blocks_the_loop(hub: Sandbox) -> None:
    hub.inject(catalog(seconds=3.0))
    model = on(hub)
    assert model.profile is not None
    assert model.profile["max_input_tokens"] == 1_000_000  # known without a catalog
    assert "image_inputs" not in model.profile
    await _until(lambda: "image_inputs" in (model.profile or {}))


def test_a_hub_that_is_down_leaves_what_is_known_offline() -> None:
    model = ChatOxen(model=MODEL, api_key=KEY, base_url="http://127.0.0.1:9/api/ai", max_retries=0)
    assert dict(model.profile or {})["max_input_tokens"] == 1_000_000


# Unknown models


@pytest.mark.parametrize("call", ["invoke", "stream", "ainvoke", "astream"])
def test_an_unknown_model_is_told_the_closest_ones(hub: Sandbox, call: str) -> None:
    model = on(hub, model="claude-sonet-4-6")

    async def asynchronously() -> None:
        if call == "ainvoke":
            await model.ainvoke("hi")
        else:
            [c async for c in model.astream("hi")]

    with pytest.raises(
        errors.ModelNotFoundError, match=r"claude-sonet-4-6.*claude-sonnet-4-6"
    ) as caught:
        if call.startswith("a"):
            asyncio.run(asynchronously())
        else:
            list(model.stream("hi")) if call == "stream" else model.invoke("hi")
    assert MODEL in caught.value.suggestions
