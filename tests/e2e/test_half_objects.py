"""Objects of answers in every state: a whole one is never lost, half of one never passes for it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, ValidationError
from typing_extensions import TypedDict

from langchain_oxen import ChatOxen
from langchain_oxen.errors import InvalidInputError
from llama_index_oxen import Oxen
from tests.support.scripted_server import SSE_HEAD, ScriptedServer, completion, delta, http, sse


class Herd(BaseModel):
    """A herd of oxen."""

    oxen: list[int]
    note: str | None = None


class HerdDict(TypedDict, total=False):
    """A herd of oxen."""

    oxen: list[int]
    note: str


HALVES = [
    ("length", '{"oxen": [1, 2'),
    ("length", '{"oxen": [1, 2]'),
    ("length", '{"oxen": [1, 2], "note": "a}'),
    ("MAX_TOKENS", '{"oxen": [1, 2], "note": "a'),
    ("model_context_window_exceeded", '{"oxen": [1, 2], "note"'),
    ("content_filter", '{"oxen": [1, 2], "note": "a'),
    (None, '{"oxen": [1, 2'),
    ("stop", '{"oxen": [1, 2'),
    ("length", '```json\n{"oxen": [1, 2]\n```'),
    ("stop", "There are two oxen."),
    ("stop", "2 oxen"),
    ("length", ""),
    ("length", '{"oxen": ' + "[" * 20_000),
]
WHOLE = [
    ("stop", '{"oxen": [1, 2]}'),
    ("length", '{"oxen": [1, 2]}'),
    (None, '{"oxen": [1, 2]}\n'),
    ("stop", '```json\n{"oxen": [1, 2]}\n```'),
    ("stop", '```\n{"oxen": [1, 2]}```'),
    ("stop", '1. Here it is:\n```json\n{"oxen": [1, 2]}\n```\nAnything else?'),
]
CALLS = [
    ("length", '{"oxen": [1, 2], "note": "a'),
    ("length", ""),
    ("content_filter", '{"oxen": [1, 2]'),
    ("tool_calls", '{"oxen": [1, 2'),
    ("length", '{"oxen": ' + "[" * 20_000),
]


def as_text(reason: str | None, text: str) -> tuple[bytes, bytes]:
    return answers(reason, content=text)


def as_call(reason: str | None, text: str) -> tuple[bytes, bytes]:
    call = {"index": 0, "id": "a", "function": {"name": "Herd", "arguments": text}}
    return answers(reason, content=None, tool_calls=[call])


def answers(reason: str | None, **said: Any) -> tuple[bytes, bytes]:
    """The same answer in one piece and as a stream."""
    body = completion(said)
    body["choices"][0]["finish_reason"] = reason
    return http(body), SSE_HEAD + sse(delta(**said), delta(reason), "[DONE]")


def chat(server: ScriptedServer) -> ChatOxen:
    return ChatOxen(model="m", api_key="k", base_url=server.url, max_retries=0, cost=False)


def oxen(server: ScriptedServer, mode: Any) -> Oxen:
    options: Any = {"api_key": "k", "max_retries": 0, "cost": False}
    return Oxen(model="m", api_base=server.url, structured_mode=mode, **options)


def langchain_ways(server: ScriptedServer, schema: Any, method: Any) -> Any:
    model = chat(server).with_structured_output(schema, method=method)
    return {
        "invoke": lambda: model.invoke("hi"),
        "ainvoke": lambda: model.ainvoke("hi"),
        "stream": lambda: list(model.stream("hi"))[-1],
        "astream": lambda: last(model.astream("hi")),
    }


async def last(stream: Any) -> Any:
    return [one async for one in stream][-1]


async def value(made: Any) -> Any:
    return await made if hasattr(made, "__await__") else made


WAYS = ("invoke", "ainvoke", "stream", "astream")


def script(way: str, pair: tuple[bytes, bytes]) -> bytes:
    return pair["stream" in way]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("schema", "method"),
    [
        (Herd, "json_schema"),
        (Herd, "json_mode"),
        (HerdDict, "json_schema"),
        (None, "json_mode"),
    ],
)
async def test_langchain_text(way: str, schema: Any, method: Any) -> None:
    for half in HALVES:
        with ScriptedServer(script(way, as_text(*half))) as server:
            ask = langchain_ways(server, schema, method)[way]
            with pytest.raises(OutputParserException) as caught:
                await value(ask())
        assert repr(half[0]) in str(caught.value), half
    for whole in WHOLE:
        with ScriptedServer(script(way, as_text(*whole))) as server:
            made = await value(langchain_ways(server, schema, method)[way]())
        assert (made if isinstance(made, dict) else made.model_dump(exclude_none=True)) == {
            "oxen": [1, 2]
        }, whole


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("schema", [Herd, {"title": "Herd", **Herd.model_json_schema()}])
async def test_langchain_calls(way: str, schema: Any) -> None:
    for half in CALLS:
        with ScriptedServer(script(way, as_call(*half))) as server:
            ask = langchain_ways(server, schema, "function_calling")[way]
            with pytest.raises(OutputParserException):
                await value(ask())


def test_include_raw_says_what_was_wrong() -> None:
    with ScriptedServer(as_text("length", '{"oxen": [1, 2]')[0]) as server:
        model = chat(server).with_structured_output(Herd, method="json_schema", include_raw=True)
        said: Any = model.invoke("hi")
    assert said["parsed"] is None
    assert "Raise max_tokens" in str(said["parsing_error"])
    assert said["raw"].text == '{"oxen": [1, 2]'


PROMPT = PromptTemplate("A herd.")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("mode", "pairs"),
    [
        ("json_schema", [as_text(*one) for one in HALVES]),
        ("tool", [as_call(*one) for one in CALLS]),
    ],
)
async def test_llama_index_halves(way: str, mode: str, pairs: list[Any]) -> None:
    for pair in pairs:
        with ScriptedServer(script(way, pair)) as server:
            llm = oxen(server, mode)
            with pytest.raises(ValueError, match=r"\S"):
                await llama_index(llm, way)
            await llm.aclose()


@pytest.mark.parametrize("way", WAYS)
async def test_llama_index_whole(way: str) -> None:
    for whole in WHOLE:
        with ScriptedServer(script(way, as_text(*whole))) as server:
            llm = oxen(server, "json_schema")
            assert await llama_index(llm, way) == Herd(oxen=[1, 2]), whole
            await llm.aclose()


async def llama_index(llm: Oxen, way: str) -> Any:
    if way == "invoke":
        return llm.structured_predict(Herd, PROMPT)
    if way == "ainvoke":
        return await llm.astructured_predict(Herd, PROMPT)
    if way == "stream":
        return list(llm.stream_structured_predict(Herd, PROMPT))[-1]
    return await last(await llm.astream_structured_predict(Herd, PROMPT))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
async def test_an_object_that_does_not_fit_is_one_error_with_every_method(
    way: str, method: str
) -> None:
    said = '{"oxen": ["many"]}'
    pair = as_call("tool_calls", said) if method == "function_calling" else as_text("stop", said)
    with ScriptedServer(script(way, pair)) as server:
        with pytest.raises(OutputParserException, match="no Herd") as caught:
            await value(langchain_ways(server, Herd, method)[way]())
        assert isinstance(caught.value.__cause__, ValidationError)
        assert caught.value.llm_output == said
    with ScriptedServer(pair[0]) as server:
        options: Any = {"method": method, "include_raw": True}
        raw = chat(server).with_structured_output(Herd, **options).invoke("hi")
    assert raw["parsed"] is None
    assert isinstance(raw["parsing_error"], OutputParserException)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_tools_beside_an_object(way: str) -> None:
    def weigh(name: str) -> str:
        """Weigh an ox."""
        return name

    call = {"index": 0, "id": "a", "function": {"name": "weigh", "arguments": '{"name": "Bo"}'}}
    calls, _ = answers("tool_calls", content=None, tool_calls=[call])
    whole, _ = as_text("stop", '{"oxen": [1, 2]}')
    with ScriptedServer(calls, whole, whole) as server:
        model = chat(server)
        with pytest.raises(InvalidInputError, match="method='json_schema'"):
            model.with_structured_output(Herd, tools=[weigh])
        assert server.requests == []
        options: Any = {"method": "json_schema", "tools": [weigh], "include_raw": True}
        both = model.with_structured_output(Herd, **options)
        first, second = [await value(getattr(both, way)("hi")) for _ in range(2)]
        assert first["parsed"] is first["parsing_error"] is None
        assert first["raw"].tool_calls[0]["name"] == "weigh"
        assert second["parsed"] == Herd(oxen=[1, 2])
        model.with_structured_output(Herd, tools=[], method="json_mode", temperature=0).invoke("hi")
        sent = [request.json for request in server.requests]
    assert [one["function"]["name"] for one in sent[0]["tools"]] == ["weigh"]
    assert sent[0]["response_format"]["type"] == "json_schema"
    assert "tools" not in sent[2]
