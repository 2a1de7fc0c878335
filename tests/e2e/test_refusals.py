"""What an error shows, and what is sent again, when a request is refused."""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import Any

import openai
import pytest
from llama_index.core.llms import ChatMessage

from langchain_oxen import ChatOxen, errors
from llama_index_oxen import Oxen
from oxen_inference import AsyncOxenClient, OxenClient
from oxen_inference import errors as core_errors
from oxen_sandbox import Sandbox
from tests.support.routed_hub import Response, RoutedHub, listed
from tests.support.scripted_server import SSE_HEAD, ScriptedServer, delta, http, sse

KEY = "sk-a-key-that-must-not-show"
REFUSED = {"error": {"message": f"Incorrect API key provided: {KEY}", "param": KEY}}
CALLS = ["invoke", "ainvoke", "stream", "astream"]


async def call(model: ChatOxen, llm: Oxen, way: str) -> None:
    if way == "chat":
        llm.chat([ChatMessage("hi")])
    elif way == "astream_chat":
        _ = [part async for part in await llm.astream_chat([ChatMessage("hi")])]
    elif way == "invoke":
        model.invoke("hi")
    elif way == "ainvoke":
        await model.ainvoke("hi")
    elif way == "stream":
        list(model.stream("hi"))
    else:
        _ = [chunk async for chunk in model.astream("hi")]


def refused(server: ScriptedServer | RoutedHub, way: str, **options: Any) -> errors.OxenError:
    model = ChatOxen(model="ox-1", api_key=KEY, base_url=server.url, cost=False, **options)
    llm = Oxen("ox-1", api_key=KEY, api_base=server.url, cost=False, **options)
    with pytest.raises(errors.OxenError) as caught:
        asyncio.run(call(model, llm, way))
    return caught.value


@pytest.mark.parametrize("way", CALLS)
@pytest.mark.parametrize(
    "script",
    [
        http(REFUSED, status="401 Unauthorized"),
        http(REFUSED),
        SSE_HEAD + sse(delta(content="hi"), REFUSED),
        http(f"no such key: {KEY}", content_type="text/plain"),
    ],
    ids=["status", "success", "stream", "text"],
)
def test_a_key_that_the_server_repeats_is_not_shown(way: str, script: bytes) -> None:
    with ScriptedServer(script) as server:
        error = refused(server, way, max_retries=0)
    assert "***" in str(error)
    assert KEY not in f"{error!r} {error} {vars(error)}"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_repeated_key_is_not_shown_by_the_catalog(asynchronous: bool) -> None:
    async def alist() -> None:
        async with AsyncOxenClient(api_key=KEY, base_url=server.url) as client:
            await client.catalog.list()

    with ScriptedServer(http(REFUSED)) as server:
        with pytest.raises(errors.OxenError, match=r"\*\*\*") as caught:
            if asynchronous:
                asyncio.run(alist())
            else:
                OxenClient(api_key=KEY, base_url=server.url).catalog.list()
    assert KEY not in f"{caught.value!r} {vars(caught.value)}"


@pytest.mark.parametrize("way", CALLS)
@pytest.mark.parametrize(
    ("status", "error", "sent"),
    [
        ("429 Too Many Requests", {"message": "x", "type": "insufficient_quota"}, 1),
        ("500 Internal Server Error", {"title": "x", "type": "insufficient_credits"}, 1),
        ("500 Internal Server Error", {"title": "x", "type": "invalid_params"}, 1),
        ("429 Too Many Requests", {"message": "slow down"}, 2),
        ("500 Internal Server Error", {"message": "broken"}, 2),
    ],
)
def test_what_waiting_cannot_help_is_not_sent_again(
    way: str, status: str, error: dict[str, str], sent: int
) -> None:
    script = http({"error": error}, status=status, headers=["retry-after-ms: 1"])
    with ScriptedServer(script) as server:
        found = refused(server, way, max_retries=1)
        assert len(server.requests) == sent
    assert found.is_retryable is (sent > 1)


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_what_waiting_cannot_help_is_not_sent_again_with_your_own_client(way: str) -> None:
    script = http({"error": {"message": "x", "type": "insufficient_quota"}}, status="429 No")
    with ScriptedServer(script) as server, openai.DefaultHttpxClient() as own:
        refused(server, way, max_retries=1, http_client=own)
        assert len(server.requests) == 1


@pytest.mark.parametrize("way", ["invoke", "astream"])
@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        ("503 Service Unavailable", "Down.", "behind it failed \\(status 503\\). Try again"),
        ("403 Forbidden", "Not for you.", "Check what the API key may do"),
        (
            "404 Not Found",
            "No route.",
            "The request went to http://127.0.0.1.*: check the base URL",
        ),
        (
            "400 Bad Request",
            "messages.2: `tool_use` ids were found without `tool_result` blocks",
            "resume it before you send the next message",
        ),
        (
            "400 Bad Request",
            "An assistant message with 'tool_calls' must be followed by tool messages",
            "resume it before you send the next message",
        ),
    ],
)
def test_a_refusal_has_a_hint(way: str, status: str, message: str, hint: str) -> None:
    answer = http({"error": {"message": message}}, status=status)
    with ScriptedServer(answer, answer, answer) as server:
        error = refused(server, way, max_retries=0)
    assert error.message == message
    assert re.search(hint, error.hint or "")


@pytest.mark.parametrize("way", [*CALLS, "chat", "astream_chat"])
@pytest.mark.parametrize("is_event", [False, True])
def test_a_refusal_inside_a_success_is_explained_as_any_other(way: str, is_event: bool) -> None:
    def error_after(text: str, error: dict[str, Any]) -> core_errors.OxenError:
        events = sse(*([delta(content=text)] if text else []), {"error": error})
        event_stream = Response(events, content_type="text/event-stream")
        refusal = event_stream if is_event or text else Response({"error": error})
        routes = {"POST /chat/completions": refusal, "GET /models": listed({"id": "ox-12"})}
        with RoutedHub(routes) as hub:
            found = refused(hub, way, max_retries=0)
            asked.append(len(hub.sent_to("/models")))
        return found

    asked: list[int] = []
    unknown = error_after("", {"message": "Model not found: ox-1"})
    assert isinstance(unknown, core_errors.ModelNotFoundError)
    assert (unknown.suggestions, unknown.hint) == (("ox-12",), "Did you mean ox-12?")
    unpaired = {"message": "`tool_use` ids were found without `tool_result`", "code": 400}
    assert "resume it before you send" in (error_after("", unpaired).hint or "")
    late = error_after("An ox", {"message": "Model not found: ox-1"})
    assert isinstance(late, core_errors.ModelNotFoundError)
    assert late.suggestions == ()
    assert late.partial is not None
    assert asked == [1, 0, 0]


@pytest.mark.parametrize("path", ["", "/api/ai/v1", "/api/ai/chat/completions"])
def test_a_base_url_with_a_wrong_path_is_named(oxen_sandbox: Sandbox, path: str) -> None:
    wrong = {"api_key": oxen_sandbox.api_key, "base_url": f"{oxen_sandbox.origin}{path}"}
    client = OxenClient(**wrong, ledger=None)
    asked = [
        client.catalog.list,
        lambda: client.media.generate(model="flux-2-dev", prompt="an ox"),
        lambda: ChatOxen(model="gpt-4o", **wrong).invoke("hi"),
    ]
    for ask in asked:
        with pytest.raises(errors.OxenError) as caught:
            ask()
        assert f"Check the base URL, {oxen_sandbox.origin}{path}" in str(caught.value)
    assert oxen_sandbox.jobs == []


def test_what_is_not_found_under_a_usual_base_url_says_nothing_of_it(oxen_sandbox: Sandbox) -> None:
    client = OxenClient(api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url)
    with pytest.raises(errors.OxenError) as caught:
        client.queue.get("00000000-0000-0000-0000-000000000000")
    assert "base URL" not in str(caught.value)


class TestChatsThatCannotBeAnswered:
    """Refused here, or explained, alike in both adapters, sync, async and streamed."""

    @staticmethod
    async def errors(model: str, text: str) -> list[core_errors.OxenError]:
        chat, llm = ChatOxen(model=model), Oxen(model)
        messages = [ChatMessage(text)]
        calls: list[Any] = [
            lambda: chat.invoke(text),
            lambda: chat.ainvoke(text),
            lambda: list(chat.stream(text)),
            lambda: llm.complete(text),
            lambda: llm.achat(messages),
            lambda: list(llm.stream_chat(messages)),
        ]
        found = []
        for call in calls:
            with pytest.raises(core_errors.OxenError) as caught:
                answer = call()
                if inspect.isawaitable(answer):
                    await answer
            found.append(caught.value)
        return found

    @pytest.mark.parametrize("text", ["", " \n"])
    async def test_an_empty_chat_is_not_sent(self, hub: Sandbox, text: str) -> None:
        for error in await self.errors("claude-sonnet-4-6", text):
            assert isinstance(error, core_errors.InvalidInputError)
            assert "nothing to answer" in error.message
            assert "Give a prompt" in (error.hint or "")
        assert not [each for each in hub.requests if each.method == "POST"]
        with pytest.raises(core_errors.InvalidInputError, match="Give a prompt"):
            ChatOxen(model="claude-sonnet-4-6").invoke([("system", "Be short.")])

    async def test_models_whose_family_takes_it_are_asked(self, hub: Sandbox) -> None:
        assert ChatOxen(model="gpt-4o").invoke("").text
        assert Oxen("gpt-4o").chat([ChatMessage("Say ox.", role="system")]).message.content

    async def test_a_model_of_images_says_what_makes_them(self, hub: Sandbox) -> None:
        for error in await self.errors("flux-2-dev", "an ox"):
            assert "OxenToolSpec" in (error.hint or "")
            assert "OxenMediaTool" in (error.hint or "")
            assert "client.media.generate" in (error.hint or "")
