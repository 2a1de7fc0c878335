"""The catalog over real HTTP: which requests reach the hub, how often, and what comes back."""

from __future__ import annotations

import asyncio
import json
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from oxen_inference import AsyncOxenClient, OxenClient
from oxen_inference.catalog.cache import clear_cache
from oxen_inference.catalog.models import CatalogWarning
from oxen_inference.cli.main import main
from oxen_inference.errors import (
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    InvalidInputError,
    ModelInactiveError,
    ModelNotFoundError,
    NotFoundError,
    OxenError,
)
from oxen_sandbox import Fault, Sandbox
from tests.support.scripted_server import ScriptedServer, http

CUSTOM = "my-custom-model"
DOWN = Fault("respond", path="*/models*", status=503, times=None)


def client_of(hub: Sandbox, **options: Any) -> OxenClient:
    return OxenClient(api_key=hub.api_key, base_url=hub.base_url, max_retries=0, **options)


def async_client_of(hub: Sandbox, **options: Any) -> AsyncOxenClient:
    return AsyncOxenClient(api_key=hub.api_key, base_url=hub.base_url, max_retries=0, **options)


def requests_of(hub: Sandbox) -> list[str]:
    return [f"{r.method} {r.path.removeprefix('/api/ai')}" for r in hub.requests]


# What is in it


def test_models_are_listed_by_what_they_do(oxen_sandbox: Sandbox) -> None:
    with client_of(oxen_sandbox) as client:
        everything = client.catalog.list()
        videos = client.catalog.list(output="video", input="image")
        assert videos
        assert all(m.makes("video") and m.takes("image") for m in videos)
        assert {m.pricing.method for m in client.catalog.list(method="per_image") if m.pricing} == {
            "per_image"
        }
        assert [m.id for m in client.catalog.list(deployed=False)] == [CUSTOM]
        assert len(everything) > len(videos)
    assert requests_of(oxen_sandbox) == ["GET /models"]


def test_the_hub_applies_the_filters_that_it_has(oxen_sandbox: Sandbox) -> None:
    with client_of(oxen_sandbox) as client:
        assert {m.developer for m in client.catalog.list(developer="openai")} == {"OpenAI"}
        assert client.catalog.list(provider="fal", output="video")
        assert client.catalog.search("kling")[0].id.startswith("kling")
        assert client.catalog.featured()
    sent = [(r.path.removeprefix("/api/ai"), r.query) for r in oxen_sandbox.requests]
    assert sent == [
        ("/models", {"developer_name": "openai"}),
        ("/models", {"provider_name": "fal"}),
        ("/models/search", {"search": "kling"}),
        ("/models/featured", {}),
    ]


def test_an_empty_list_says_why(oxen_sandbox: Sandbox) -> None:
    with client_of(oxen_sandbox) as client:
        assert "Did you mean video?" in str(client.catalog.list(output="vidoe").note)
        assert "developer='nobody'" in repr(client.catalog.list(developer="nobody"))
        assert client.catalog.list(output="video").note is None


async def test_the_async_catalog_has_the_same_methods(oxen_sandbox: Sandbox) -> None:
    async with async_client_of(oxen_sandbox) as client:
        catalog = client.catalog
        assert [m.id for m in await catalog.list(deployed=False)] == [CUSTOM]
        assert (await catalog.search("kling"))[0].id.startswith("kling")
        assert await catalog.featured()
        await catalog.favorite("flux-2-dev")
        assert [m.id for m in await catalog.favorites()] == ["flux-2-dev"]
        await catalog.unfavorite("flux-2-dev")
        assert (await catalog.favorites()).reason == "no model is marked as a favorite"
        assert (await catalog.update(CUSTOM, display_name="Ox")).display_name == "Ox"
        assert (await catalog.get(CUSTOM)).display_name == "Ox"
        await catalog.delete(CUSTOM)
        with pytest.raises(ModelNotFoundError):
            await catalog.get(CUSTOM)


def test_favorites_and_custom_models_change(oxen_sandbox: Sandbox) -> None:
    with client_of(oxen_sandbox) as client:
        client.catalog.favorite("flux-2-dev")
        assert [m.id for m in client.catalog.favorites()] == ["flux-2-dev"]
        client.catalog.unfavorite("flux-2-dev")
        assert client.catalog.favorites() == []
        assert client.catalog.get(CUSTOM).display_name != "Ox"
        client.catalog.update(CUSTOM, display_name="Ox")
        assert client.catalog.get(CUSTOM).display_name == "Ox"
        client.catalog.delete(CUSTOM)
        assert CUSTOM not in [m.id for m in client.catalog.list()]


# One model


def test_a_model_is_fetched_once_and_taken_from_a_full_list(
    oxen_sandbox: Sandbox,
) -> None:
    with client_of(oxen_sandbox) as client:
        assert client.catalog.cached("flux-2-dev") is None
        model = client.catalog.get("flux-2-dev")
        assert client.catalog.get("flux-2-dev") is model
        assert client.catalog.cached("flux-2-dev") is model
        client.catalog.list()
        assert client.catalog.get("google-veo-3").request_schema
        assert client.catalog.get("gpt-4o").is_chat
    assert requests_of(oxen_sandbox) == ["GET /models/flux-2-dev", "GET /models"]


async def test_live_always_sends_a_request(oxen_sandbox: Sandbox) -> None:
    with client_of(oxen_sandbox) as client:
        for _ in range(2):
            assert client.catalog.get(CUSTOM, live=True).deployment_status == "inactive"
    async with async_client_of(oxen_sandbox) as async_client:
        model = await async_client.catalog.get(CUSTOM, live=True)
        assert async_client.catalog.cached(CUSTOM) is model
    assert [r.query for r in oxen_sandbox.requests] == [{"deployment_status": "live"}] * 3


def test_an_unknown_id_gets_the_closest_ones(oxen_sandbox: Sandbox) -> None:
    with client_of(oxen_sandbox) as client:
        with pytest.raises(
            ModelNotFoundError, match=r"flux-2-dve\. Did you mean flux-2-dev"
        ) as caught:
            client.catalog.get("flux-2-dve")
        assert caught.value.suggestions[0] == "flux-2-dev"
        assert caught.value.status_code == 404
        for nothing in ("", " ", "..", None):
            with pytest.raises(InvalidInputError, match="id is needed"):
                client.catalog.get(nothing)  # type: ignore[arg-type]
    assert requests_of(oxen_sandbox) == ["GET /models/flux-2-dve", "GET /models"]


def test_the_beginning_of_an_id_suggests_the_ids_that_have_it(oxen_sandbox: Sandbox) -> None:
    with client_of(oxen_sandbox) as client:
        with pytest.raises(ModelNotFoundError) as kling:
            client.catalog.get("kling")
        with pytest.raises(ModelNotFoundError) as google:
            client.catalog.get("google-veo")
        with pytest.raises(ModelNotFoundError) as short:
            client.catalog.get("go")
    assert short.value.suggestions == ()
    assert set(kling.value.suggestions) == {
        "kling-video-o3-pro-reference-to-video", "kling-video-o3-omni"
    }  # fmt: skip
    assert set(google.value.suggestions) == {"google-veo-3", "google-veo-3-1-fast"}


async def test_a_refused_call_is_explained_where_the_model_is_the_reason(
    oxen_sandbox: Sandbox,
) -> None:
    def refusal(model: str) -> BadRequestError | NotFoundError:
        with pytest.raises((BadRequestError, NotFoundError)) as caught:
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}])
        return caught.value

    with client_of(oxen_sandbox) as client:
        unknown, inactive, other = refusal("gpt-4oo"), refusal(CUSTOM), refusal("flux-2-dev")
        explained = client.catalog.explain(unknown, "gpt-4oo")
        assert isinstance(explained, ModelNotFoundError)
        assert explained.suggestions[0] == "gpt-4o"
        better = client.catalog.explain(inactive, CUSTOM)
        assert isinstance(better, ModelInactiveError)
        assert f"client.catalog.activate('{CUSTOM}', wait=True)" in str(better)
        assert inactive.message in str(better)
        assert client.catalog.explain(other, "flux-2-dev") is other
        oxen_sandbox.inject(
            Fault("respond", path="*/chat/completions", status=404),
            Fault("respond", path="*/chat/completions", status=400),
        )
        missing, refused = refusal("gpt-4o"), refusal(CUSTOM)
        client.catalog.clear()
        assert client.catalog.explain(missing, "gpt-4o") is missing  # the model is there
        oxen_sandbox.models[CUSTOM] = {
            **oxen_sandbox.models[CUSTOM], "deployments": [{"status": "active"}]
        }  # fmt: skip
        client.catalog.clear()
        client.catalog.list()
        assert client.catalog.explain(refused, CUSTOM) is refused
        oxen_sandbox.models[CUSTOM] = {**oxen_sandbox.models[CUSTOM], "deployments": []}
    async with async_client_of(oxen_sandbox) as async_client:
        assert isinstance(await async_client.catalog.explain(inactive, CUSTOM), ModelInactiveError)
    clear_cache()
    oxen_sandbox.inject(DOWN)
    with client_of(oxen_sandbox) as client:
        assert client.catalog.explain(unknown, "gpt-4oo") is unknown


# Once for everyone


def test_nothing_is_fetched_before_it_is_asked_for(oxen_sandbox: Sandbox) -> None:
    with client_of(oxen_sandbox) as client:
        catalog = client.catalog
        assert catalog.cached("gpt-4o") is None
        assert oxen_sandbox.api_key not in repr(catalog)
    assert not oxen_sandbox.requests


def test_100_threads_and_100_tasks_cost_one_get(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("delay", path="*/models", seconds=0.3))
    clients = [client_of(oxen_sandbox) for _ in range(4)]
    counts: list[int] = []
    start = threading.Barrier(102)

    def in_a_thread(number: int) -> None:
        start.wait()
        counts.append(len(clients[number % 4].catalog.list()))

    async def in_tasks() -> None:
        async with async_client_of(oxen_sandbox) as client:
            answers = await asyncio.gather(*(client.catalog.list() for _ in range(50)))
            counts.extend(map(len, answers))

    def in_a_loop() -> None:
        start.wait()
        asyncio.run(in_tasks())

    threads = [threading.Thread(target=in_a_thread, args=(n,)) for n in range(100)]
    threads += [threading.Thread(target=in_a_loop) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(counts) == 200
    assert len(set(counts)) == 1
    assert requests_of(oxen_sandbox) == ["GET /models"]


async def test_a_cancelled_task_leaves_the_fetch_to_those_who_wait(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("hang", path="*/models", seconds=20))
    async with async_client_of(oxen_sandbox) as client:
        first = asyncio.create_task(client.catalog.list())
        await asyncio.sleep(0.1)
        others = [asyncio.create_task(client.catalog.list()) for _ in range(5)]
        await asyncio.sleep(0.1)
        first.cancel()
        answers = await asyncio.wait_for(asyncio.gather(*others), 10)
        assert all(answers)
        assert first.cancelled()
    assert len(oxen_sandbox.requests) == 2


def test_a_caller_that_waited_too_long_fetches_itself(
    oxen_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oxen_inference.catalog.base._WAIT_FOR_LEADER", 0.01)
    oxen_sandbox.inject(Fault("delay", path="*/models", seconds=0.3))
    with client_of(oxen_sandbox) as client, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.catalog.list)
        wait_until(lambda: oxen_sandbox.requests)
        assert client.catalog.list() == slow.result(10)


async def test_a_sync_call_does_not_wait_for_the_loop_it_blocks(oxen_sandbox: Sandbox) -> None:
    async with async_client_of(oxen_sandbox) as client:
        oxen_sandbox.inject(Fault("delay", path="*/models", seconds=0.2))
        task = asyncio.create_task(client.catalog.list())
        await asyncio.sleep(0.05)
        with client_of(oxen_sandbox) as blocking:
            assert blocking.catalog.list()
        assert await task


async def test_the_loop_goes_on_while_a_thread_fetches(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("delay", path="*/models", seconds=0.5))
    thread = threading.Thread(target=client_of(oxen_sandbox).catalog.list)
    thread.start()
    await asyncio.sleep(0.1)
    async with async_client_of(oxen_sandbox) as client:
        waiting = asyncio.create_task(client.catalog.list())
        ticks = 0
        while not waiting.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert await waiting
    assert ticks > 10
    assert requests_of(oxen_sandbox) == ["GET /models"]
    thread.join()


def test_all_callers_get_the_same_error(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("respond", path="*/models", status=500, seconds=0.3))
    failures: list[OxenError] = []

    def ask() -> None:
        try:
            client_of(oxen_sandbox).catalog.list()
        except OxenError as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) == 10
    assert all(isinstance(failure, InternalServerError) for failure in failures)
    assert len(oxen_sandbox.requests) == 1


def test_another_key_has_another_catalog(oxen_sandbox: Sandbox) -> None:
    client_of(oxen_sandbox).catalog.list()
    other = OxenClient(api_key=oxen_sandbox.add_account("somebody"), base_url=oxen_sandbox.base_url)
    other.catalog.list()
    assert len(oxen_sandbox.requests) == 2
    client_of(oxen_sandbox).with_options(timeout=5).catalog.list()
    OxenClient(api_key=lambda: oxen_sandbox.api_key, base_url=oxen_sandbox.base_url).catalog.list()
    assert len(oxen_sandbox.requests) == 3


def wait_until(true: Callable[[], object]) -> None:
    deadline = threading.Event()
    for _ in range(500):
        if true():
            return
        deadline.wait(0.01)
    raise AssertionError("it did not happen within five seconds")


async def test_prefetching_is_in_the_background(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(Fault("delay", path="*/models", seconds=0.2))
    client = client_of(oxen_sandbox)
    client.catalog.prefetch()
    assert client.catalog.cached("gpt-4o") is None
    wait_until(lambda: client.catalog.cached("gpt-4o"))
    client.catalog.prefetch()
    assert len(oxen_sandbox.requests) == 1
    client.catalog.clear()
    async with async_client_of(oxen_sandbox) as async_client:
        async_client.catalog.prefetch()
        assert async_client.catalog.cached("gpt-4o") is None
        assert await async_client.catalog.list()
        async_client.catalog.prefetch()
        await asyncio.sleep(0)
    assert len(oxen_sandbox.requests) == 2


async def test_a_failed_prefetch_raises_nothing(
    oxen_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    oxen_sandbox.inject(Fault("respond", path="*/models", status=500, times=2))
    client = client_of(oxen_sandbox)
    client.catalog.prefetch()
    wait_until(lambda: oxen_sandbox.requests)
    wait_until(lambda: not any(t.name == "oxen-catalog" for t in threading.enumerate()))
    async with async_client_of(oxen_sandbox) as async_client:
        async_client.catalog.prefetch()
        (prefetching,) = asyncio.all_tasks() - {asyncio.current_task()}
        assert await prefetching is None
    assert client.catalog.list()
    assert not [record for record in caplog.records if record.name == "asyncio"]


# When the hub is down


async def test_the_last_answer_serves_while_the_hub_is_down_and_says_so(
    oxen_sandbox: Sandbox,
) -> None:
    from oxen_inference.catalog.facade import AsyncCatalog, Catalog

    client, async_client = client_of(oxen_sandbox), async_client_of(oxen_sandbox)
    known = Catalog(client, ttl=0.0).list()
    oxen_sandbox.inject(DOWN)
    with pytest.warns(CatalogWarning, match=r"minutes old.*does not answer"):
        assert Catalog(client, ttl=0.0).list() == known
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert await AsyncCatalog(async_client, ttl=0.0).list() == known
    assert len(oxen_sandbox.requests) == 2  # the hub is left alone for a while
    await async_client.close()


def test_without_an_earlier_answer_a_failure_is_an_error(oxen_sandbox: Sandbox) -> None:
    oxen_sandbox.inject(DOWN)
    with pytest.raises(InternalServerError):
        client_of(oxen_sandbox).catalog.list()


def test_a_key_that_is_refused_is_not_answered_from_memory(oxen_sandbox: Sandbox) -> None:
    from oxen_inference.catalog.facade import Catalog

    client = client_of(oxen_sandbox)
    Catalog(client, ttl=0.0).list()
    oxen_sandbox.inject(Fault("respond", path="*/models", status=401))
    with pytest.raises(AuthenticationError):
        Catalog(client, ttl=0.0).list()


# What a hub may send


@pytest.mark.parametrize(
    "body", ['{"object":"list","data":null}', "{}", '{"data":"soon"}', '{"data":[{}]}']
)
def test_an_answer_without_a_list_is_empty_with_a_warning_and_not_kept(body: str) -> None:
    good = json.dumps({"data": [{"id": "ox", "object": "model"}]})
    with ScriptedServer(http(body), http(good)) as server:
        client = OxenClient(api_key="k", base_url=server.url, max_retries=0)
        with pytest.warns(CatalogWarning):
            assert client.catalog.list() == []
        assert [model.id for model in client.catalog.list()] == ["ox"]


@pytest.mark.parametrize(
    "answer",
    [
        http("<html><title>502 Bad Gateway</title></html>", content_type="text/html"),
        http("{not json"),
        http('{"error":"catalog is being rebuilt"}'),
    ],
)
def test_an_answer_that_is_no_catalog_at_all_is_a_typed_error(answer: bytes) -> None:
    with ScriptedServer(answer) as server:
        client = OxenClient(api_key="k", base_url=server.url, max_retries=0)
        with pytest.raises(OxenError):
            client.catalog.list()


def test_a_404_of_the_route_names_no_models() -> None:
    with ScriptedServer(
        http("Not Found", status="404 Not Found", content_type="text/plain")
    ) as server:
        client = OxenClient(api_key="k", base_url=server.url, max_retries=0)
        with pytest.raises(OxenError, match="Not Found") as caught:
            client.catalog.get("gpt-4o")
        assert not isinstance(caught.value, ModelNotFoundError)


def test_filters_that_the_hub_ignores_are_applied_here() -> None:
    body = json.dumps(
        {"data": [{"id": "a", "developer": {"name": "Dev"}}, {"id": "b", "developer": "Other"}]}
    )
    with ScriptedServer(http(body), http(body)) as server:
        client = OxenClient(api_key="k", base_url=server.url, max_retries=0)
        assert [model.id for model in client.catalog.list(developer="dev")] == ["a"]
        assert "there are Dev, Other" in str(client.catalog.list(developer="nobody").reason)


def test_an_empty_catalog_says_why_in_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OXEN_API_KEY", "k")
    with ScriptedServer(http('{"data":[]}'), http('{"data":[]}')) as server:
        for command in (["models"], ["models", "--json"]):
            assert main(["--base-url", server.url, *command]) == 0
            assert "no models: the hub lists no models" in capsys.readouterr().err


def test_a_quote_in_a_terminal_reads_parameters_of_an_any_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OXEN_API_KEY", "k")
    duration = {"anyOf": [{"type": "integer", "maximum": 12}, {"const": "auto"}]}
    video = {
        "id": "video",
        "pricing": {"method": "per_video_output_second", "cost_per_second": "0.1"},
        "request_schema": {"properties": {"duration": duration}},
    }
    with ScriptedServer(http(json.dumps(video))) as server:
        assert main(["--base-url", server.url, "quote", "video", "duration=10"]) == 0
    assert capsys.readouterr().out == "video: $1.00\n"


# The older base URL


async def test_the_older_base_url_has_the_same_catalog(oxen_sandbox: Sandbox) -> None:
    base_url = f"{oxen_sandbox.origin}/api"
    with OxenClient(api_key=oxen_sandbox.api_key, base_url=base_url) as client:
        older = client.catalog.list()
        assert {m.id for m in older} == {m.id for m in client_of(oxen_sandbox).catalog.list()}
        for model in older:
            today = client_of(oxen_sandbox).catalog.get(model.id)
            assert (model.kind, model.request_schema) == (today.kind, today.request_schema)
            assert model.pricing == today.pricing or model.pricing is not None
        assert client.catalog.list(developer="openai", output="video")
        assert client.catalog.search("kling")[0].id.startswith("kling")
        with pytest.raises(ModelNotFoundError, match="Did you mean flux-2-dev"):
            client.catalog.get("flux-2-dve")
        with pytest.raises(InvalidInputError, match="by provider"):
            client.catalog.list(provider="fal")
    paths = {r.path for r in oxen_sandbox.requests if not r.path.startswith("/api/ai")}
    assert paths == {"/api/evaluations/models", "/api/evaluations/models/flux-2-dve"}
    async with AsyncOxenClient(api_key=oxen_sandbox.api_key, base_url=base_url) as async_client:
        assert (await async_client.catalog.get("flux-2-dev")).id == "flux-2-dev"
