"""What `ChatOxen` sends, how often, and what it gives back."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import warnings
from typing import Any

import langchain_core.exceptions as langchain
import openai
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.exceptions import OutputParserException
from langchain_core.load import dumps, loads
from langchain_core.load.load import ALL_SERIALIZABLE_MAPPINGS
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import tool
from pydantic import BaseModel, ValidationError
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import TypedDict

import oxen_inference.errors as core
from langchain_oxen import ChatOxen, errors
from oxen_inference.chat import parameter_names
from tests.support.scripted_server import ScriptedServer, completion, delta, http, stream

OK = http(completion())
STREAM = stream(delta(content="hel"), delta(content="lo"), delta("stop"), "[DONE]")
KEY = "sk-a-key-that-must-not-show"


def chat(server: ScriptedServer, **options: Any) -> ChatOxen:
    defaults: dict[str, Any] = {"model": "ox-1", "api_key": KEY, "cost": False}
    return ChatOxen(base_url=server.url, **{**defaults, **options})


def body_of(script: bytes = OK, call: Any = None, **options: Any) -> dict[str, Any]:
    """The body that one call sends."""
    with ScriptedServer(script) as server:
        (call or (lambda model: model.invoke("hi")))(chat(server, **options))
        assert len(server.requests) == 1
        sent: dict[str, Any] = server.requests[0].json
    return sent


HI = [{"role": "user", "content": "hi"}]


# Parameters


def test_what_is_not_set_is_not_sent() -> None:
    assert body_of() == {"model": "ox-1", "messages": HI}


def test_a_stream_asks_for_usage_unless_told_not_to() -> None:
    def consume(model: ChatOxen) -> None:
        list(model.stream("hi"))

    expected = {"model": "ox-1", "messages": HI, "stream": True}
    assert body_of(STREAM, consume) == {**expected, "stream_options": {"include_usage": True}}
    assert body_of(STREAM, consume, stream_usage=False) == expected


def test_every_parameter() -> None:
    options = {
        "temperature": 0.5,
        "max_tokens": 10,
        "top_p": 0.9,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "seed": 7,
        "stop": ["end"],
        "target_namespace": "herd",
    }
    more = {"model_kwargs": {"logprobs": True}, "extra_body": {"route": "fast"}}
    sent = body_of(**options, **more)
    assert sent == {
        "model": "ox-1",
        "messages": HI,
        **options,
        "logprobs": True,
        "route": "fast",
    }


def test_extra_body_in_model_kwargs_is_part_of_the_request() -> None:
    more = {"extra_body": {"target_namespace": "herd", "route": "slow"}}
    sent = body_of(model_kwargs=more, extra_body={"route": "fast"})
    assert sent == {"model": "ox-1", "messages": HI, "target_namespace": "herd", "route": "fast"}


def test_a_model_in_extra_body_is_the_model_of_the_request() -> None:
    """Its family decides the names of options, and its price what is reserved."""
    sent = body_of(extra_body={"model": "gpt-5-mini"}, max_tokens=5)
    assert sent == {"model": "gpt-5-mini", "messages": HI, "max_completion_tokens": 5}


def test_zero_is_a_value() -> None:
    assert body_of(temperature=0, seed=0)["temperature"] == 0


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"model_name": "ox-2", "model": None}, "model", "ox-2"),
        ({"max_completion_tokens": 5}, "max_tokens", 5),
        ({"stop_sequences": ["x"]}, "stop", ["x"]),
        ({"reasoning_effort": "high"}, "reasoning_effort", "high"),
        ({"reasoning": {"effort": "high"}}, "reasoning", {"effort": "high"}),
    ],
)
def test_other_names(given: dict[str, Any], name: str, value: Any) -> None:
    with ScriptedServer(OK) as server:
        given = {"model": "ox-1", "api_key": KEY, "cost": False, **given}
        options = {k: v for k, v in given.items() if v is not None}
        ChatOxen(base_url=server.url, **options).invoke("hi")
        assert server.requests[0].json[name] == value


def test_a_field_inside_model_kwargs_is_read_as_the_field() -> None:
    with pytest.warns(UserWarning, match="seed is a parameter of ChatOxen") as warned:
        model = ChatOxen(model="ox-1", api_key=KEY, model_kwargs={"seed": 1, "top_k": 2})
    assert warned[0].filename == __file__
    assert (model.seed, model.model_kwargs) == (1, {"top_k": 2})


def test_no_other_model_hides_in_model_kwargs() -> None:
    with pytest.warns(UserWarning, match="model is a parameter of ChatOxen"):
        assert ChatOxen(model="ox-1", api_key=KEY, model_kwargs={"model": "ox-2"}).model == "ox-1"


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("openai_api_key", "The key is api_key."),
        ("deepseek_api_key", "The key is api_key."),
        ("openai_api_base", "The base URL is base_url."),
        ("openai_proxy", "in an http_client of your own"),
        ("use_responses_api", "Oxen has the chat-completions API"),
        ("store", "Oxen has the chat-completions API"),
        ("organization", "target_namespace"),
    ],
)
def test_settings_of_other_classes_never_travel(name: str, instead: str) -> None:
    refused = pytest.raises(
        ValueError, match=rf"ChatOxen does not take {name}. Remove it. .*{instead}"
    )
    with refused as caught:
        ChatOxen(model="ox-1", api_key=KEY, **{name: "sk-for-somebody-else"})
    assert "sk-for-somebody-else" not in str(caught.value)
    with ScriptedServer(OK) as server:
        with refused:
            chat(server).invoke("hi", **{name: "sk-for-somebody-else"})
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            for off in (None, False):  # as it is here
                chat(server, **{name: off}, reasoning_effort=None).invoke("hi", **{name: off})
        for request in server.requests:
            assert request.json.keys() == {"model", "messages"}


def test_parameters_of_a_call_go_over_those_of_the_model() -> None:
    def call(model: ChatOxen) -> None:
        model.bind(max_tokens=1).invoke("hi", stop=["now"], temperature=0.1, model="ox-2")

    sent = body_of(call=call, temperature=0.9, stop=["later"])
    assert (sent["model"], sent["temperature"], sent["stop"], sent["max_tokens"]) == ("ox-2", 0.1, ["now"], 1)  # fmt: skip


def test_headers_and_query() -> None:
    with ScriptedServer(OK) as server:
        model = chat(server, default_headers={"x-herd": "1"}, default_query={"trace": "on"})
        model.invoke("hi", extra_headers={"x-call": "2"})
        (request,) = server.requests
    assert request.headers["x-herd"] == "1"
    assert request.headers["x-call"] == "2"
    assert request.path.endswith("?trace=on")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert not [name for name in request.headers if "stainless-os" in name]


@pytest.mark.parametrize("options", [{"n": 2}, {"model_kwargs": {"n": 3}}])
def test_several_answers_are_refused(options: dict[str, Any]) -> None:
    with ScriptedServer(OK) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(errors.InvalidInputError, match="one answer"):
            chat(server, **options).invoke("hi")
        assert server.requests == []


def test_what_is_no_json_is_a_typed_error() -> None:
    with ScriptedServer(OK) as server, pytest.raises(errors.InvalidInputError, match="not JSON"):
        chat(server).invoke("hi", extra=object())


# Keys and settings


def test_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    with pytest.raises(core.MissingAPIKeyError, match=r"OXEN_API_KEY.*api_key=") as caught:
        ChatOxen(model="ox-1")
    assert isinstance(caught.value, langchain.ModelAuthenticationError)


def test_a_key_function_is_asked_for_every_request() -> None:
    keys = iter(["one", "two", "three"])
    with ScriptedServer(OK) as server:
        model = chat(server, api_key=lambda: next(keys))
        model.invoke("hi")
        model.invoke("hi")
        asyncio.run(model.ainvoke("hi"))
        sent = [r.headers["authorization"] for r in server.requests]
    assert sent == ["Bearer one", "Bearer two", "Bearer three"]


@pytest.mark.parametrize("cause", [LookupError("no vault"), FileNotFoundError(2, "no vault")])
def test_an_error_of_a_key_function_is_a_configuration_error(cause: Exception) -> None:
    def broken() -> str:
        raise cause

    with ScriptedServer(OK) as server:
        with pytest.raises(errors.ConfigurationError, match="no vault") as caught:
            chat(server, api_key=broken).invoke("hi")
        assert server.requests == []
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize("end", ["\n", "\r\n", " "])
def test_white_space_around_the_answer_of_a_key_function_is_not_sent(end: str) -> None:
    with ScriptedServer(OK) as server:
        model = chat(server, api_key=lambda: f"{KEY}{end}")
        model.invoke("hi")
        asyncio.run(model.ainvoke("hi"))
        assert {request.headers["authorization"] for request in server.requests} == {
            f"Bearer {KEY}"
        }


def test_the_key_shows_nowhere() -> None:
    with ScriptedServer(http({"error": "nope"}, status="401 Unauthorized")) as server:
        model = chat(server, default_headers={"x-other-key": KEY})
        with pytest.raises(errors.AuthenticationError) as caught:
            model.invoke("hi")
        shown = [repr(model), str(model), dumps(model), str(model.asdict()), repr(caught.value)]
        shown += [str(caught.value), str(caught.value.__dict__), str(model._identifying_params)]
    assert not [text for text in shown if KEY in text]
    with pytest.raises(ValidationError) as invalid:
        ChatOxen(model="ox-1", api_key=KEY, temperature="hot")
    assert KEY not in str(invalid.value)


def test_serialized_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXEN_API_KEY", KEY)
    model = ChatOxen(model="ox-1", temperature=0.5, max_tokens=7, base_url="http://localhost:1/api")
    text = dumps(model)
    assert KEY not in text
    options: dict[str, Any] = {"valid_namespaces": ["langchain_oxen"], "secrets_from_env": True}
    backs = [loads(text, allowed_objects="all", **options)]
    monkeypatch.delitem(ALL_SERIALIZABLE_MAPPINGS, tuple(ChatOxen.lc_id()))
    backs.append(loads(text, allowed_objects=[ChatOxen], **options))
    for back in backs:
        assert back.asdict() == model.asdict()
        assert (back.base_url, back.max_tokens) == (model.base_url, 7)


def test_nothing_is_imported_before_it_is_used() -> None:
    program = (
        "import sys; from langchain_core.language_models import BaseChatModel; before = set(sys.modules);"
        "import langchain_oxen; langchain_oxen.ChatOxen(model='x', api_key='k');"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    new = set(run.stdout.split())
    assert "langchain_oxen" in new
    assert not new & {"openai", "httpx", "httpx2", "aiohttp", "langchain_openai", "llama_index"}


# One retry budget


@pytest.mark.parametrize(("max_retries", "requests"), [(0, 1), (2, 3), (None, 3)])
def test_max_retries_is_what_comes_after_the_first(max_retries: Any, requests: int) -> None:
    busy = http({"error": "busy"}, status="503 Service Unavailable", headers=["retry-after-ms: 1"])
    with ScriptedServer(busy) as server:
        with pytest.raises(errors.InternalServerError) as caught:
            chat(server, max_retries=max_retries).invoke("hi")
        assert len(server.requests) == requests
    hint = caught.value.hint or ""
    assert hint.startswith("It was tried 3 times. ") is (requests == 3)
    assert "status 503" in hint


def test_a_stream_that_has_begun_is_not_sent_again() -> None:
    with ScriptedServer(stream(delta(content="hel"))) as server:
        with pytest.raises(errors.StreamCutOffError):
            list(chat(server, max_retries=5).stream("hi"))
        assert len(server.requests) == 1


def test_with_retry_and_fallbacks() -> None:
    with ScriptedServer(stream(delta(content="hel")), STREAM) as server:
        model = chat(server, streaming=True)
        retried = model.with_retry(
            retry_if_exception_type=(errors.StreamError,), wait_exponential_jitter=False
        )
        assert retried.invoke("hi").content == "hello"
    with (
        ScriptedServer(http({"error": "x"}, status="400 Bad Request")) as bad,
        ScriptedServer(OK) as good,
    ):
        assert chat(bad).with_fallbacks([chat(good)]).invoke("hi").content == "hello"


# Tools


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return city


class Ox(BaseModel):
    """An ox."""

    name: str
    age: int


class OxV1(BaseModelV1):
    """An ox."""

    name: str
    age: int


class OxDict(TypedDict):
    """An ox."""

    name: str
    age: int


OX_SCHEMA = {"title": "Ox", "type": "object", "description": "An ox.", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}  # fmt: skip
NAMED = {"type": "function", "function": {"name": "weather"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        (False, None),
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        (True, "required"),
        ("weather", NAMED),
        (NAMED, NAMED),
        ({"type": "tool", "name": "weather"}, NAMED),
        ({"type": "any"}, "required"),
        ({"type": "auto"}, "auto"),
        (ALLOWED, ALLOWED),
    ],
)
def test_tool_choice(choice: Any, sent: Any) -> None:
    body = body_of(call=lambda m: m.bind_tools([weather], tool_choice=choice).invoke("hi"))
    assert body.get("tool_choice") == sent
    assert body["tools"][0]["function"]["name"] == "weather"


def test_a_choice_that_is_no_tool_is_refused() -> None:
    with ScriptedServer(OK) as server, pytest.raises(errors.InvalidInputError, match="weather"):
        chat(server).bind_tools([weather], tool_choice="wether")


def test_no_tools_are_left_out() -> None:
    body = body_of(
        call=lambda m: m.bind_tools([], tool_choice="any", parallel_tool_calls=False).invoke("hi"),
        parallel_tool_calls=True,
    )
    assert body == {"model": "ox-1", "messages": HI}


def function(city: str) -> str:
    """Tell the weather of a city."""
    return city


@pytest.mark.parametrize("given", [weather, function, Ox, OxV1, OxDict, OX_SCHEMA])
def test_everything_that_can_be_a_tool(given: Any) -> None:
    body = body_of(call=lambda m: m.bind_tools([given], strict=True).invoke("hi"))
    (sent,) = body["tools"]
    assert sent["type"] == "function"
    assert sent["function"]["strict"] is True
    assert sent["function"]["parameters"]["properties"]


def test_parallel_tool_calls() -> None:
    call = lambda m: m.bind_tools([weather], parallel_tool_calls=False).invoke("hi")  # noqa: E731
    assert body_of(call=call)["parallel_tool_calls"] is False
    bound = lambda m: m.bind_tools([weather]).invoke("hi")  # noqa: E731
    assert body_of(call=bound, parallel_tool_calls=True)["parallel_tool_calls"] is True


# Structured output


def called(name: str, arguments: str) -> bytes:
    function = {"name": name, "arguments": arguments}
    return http(
        completion(
            {"content": None, "tool_calls": [{"id": "a", "type": "function", "function": function}]}
        )
    )


@pytest.mark.parametrize("schema", [Ox, OxV1, OxDict, OX_SCHEMA])
@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
def test_structured_output(schema: Any, method: Any) -> None:
    text = '{"name": "Bo", "age": 4}'
    name = getattr(schema, "__name__", "Ox")
    answer = (
        called(name, text) if method == "function_calling" else http(completion({"content": text}))
    )
    with ScriptedServer(answer) as server:
        found = chat(server).with_structured_output(schema, method=method).invoke("hi")
        body = server.requests[0].json
    assert (found if isinstance(found, dict) else vars(found)) == {"name": "Bo", "age": 4}
    if schema in (Ox, OxV1):
        assert isinstance(found, schema)
    form = body.get("response_format", {}).get("type")
    assert (
        form
        == {"function_calling": None, "json_schema": "json_schema", "json_mode": "json_object"}[
            method
        ]
    )
    if method == "function_calling":
        assert body["tool_choice"]["function"]["name"] == name
        assert "parallel_tool_calls" not in body  # some models refuse it


def test_raw_and_parsing_error() -> None:
    with ScriptedServer(called("Ox", '{"name": "Bo"}')) as server:
        found = chat(server).with_structured_output(Ox, include_raw=True).invoke("hi")
    assert isinstance(found["raw"], AIMessage)
    assert found["parsed"] is None
    assert isinstance(found["parsing_error"], Exception)


def test_partial_objects() -> None:
    fragments = ['{"name"', ': "B', 'o", ', '"age": 4}']
    first = {"index": 0, "id": "a", "function": {"name": "Ox", "arguments": ""}}
    chunks = [delta(tool_calls=[first])]
    chunks += [delta(tool_calls=[{"index": 0, "function": {"arguments": f}}]) for f in fragments]
    with ScriptedServer(stream(*chunks, delta("tool_calls"), "[DONE]")) as server:
        found = list(chat(server).with_structured_output(OX_SCHEMA).stream("hi"))
    assert {"name": "B"} in found
    assert found[-1] == {"name": "Bo", "age": 4}


def test_a_refused_format_names_the_method_that_works() -> None:
    refusal = {"error": {"message": "response_format json_schema is not supported by this model"}}
    with ScriptedServer(http(refusal, status="400 Bad Request")) as server:
        with pytest.raises(errors.BadRequestError, match="'function_calling'"):
            chat(server).with_structured_output(Ox, method="json_schema").invoke("hi")


REFUSAL = completion({"content": None, "refusal": "I cannot help with that."})
CUT_OFF = completion(
    {
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "Ox", "arguments": '{"name": "B'}}
        ],
    }
)
CUT_OFF["choices"][0]["finish_reason"] = "length"


READY = {
    "name": "Ox",
    "strict": True,
    "schema": {k: v for k, v in OX_SCHEMA.items() if k != "title"},
}


@pytest.mark.parametrize("schema", [READY, {"type": "json_schema", "json_schema": READY}])
@pytest.mark.parametrize("strict", [None, True])
def test_a_schema_may_be_ready_made(schema: dict[str, Any], strict: bool | None) -> None:
    ox = {"name": "Bruno", "age": 7}
    function = {"name": "Ox", "arguments": json.dumps(ox)}
    called = completion({"content": None, "tool_calls": [{"id": "a", "function": function}]})
    for method, answer in (
        ("function_calling", called),
        ("json_schema", completion({"content": json.dumps(ox)})),
    ):
        with ScriptedServer(http(answer)) as server:
            model = chat(server).with_structured_output(schema, method=method, strict=strict)  # type: ignore[arg-type]  # of a loop
            assert model.invoke("hi") == ox
            sent = server.requests[0].json
        if method == "json_schema":
            assert sent["response_format"] == {"type": "json_schema", "json_schema": READY}
        else:
            (tool,) = sent["tools"]
            assert tool["function"]["name"] == "Ox"
            assert tool["function"]["parameters"]["properties"] == OX_SCHEMA["properties"]


# What LangChain has for a refusal since langchain-core 1.7.5.
REFUSED: type[Exception] = getattr(langchain, "ModelRefusalError", OutputParserException)


@pytest.mark.parametrize("schema", [Ox, OX_SCHEMA])
@pytest.mark.parametrize(
    ("method", "answer", "error", "words"),
    [
        ("json_schema", REFUSAL, REFUSED, "cannot help with that"),
        ("json_mode", REFUSAL, REFUSED, "cannot help with that"),
        ("function_calling", REFUSAL, REFUSED, "cannot help with that"),
        ("function_calling", CUT_OFF, OutputParserException, "'length'"),
    ],
)
async def test_an_object_that_did_not_come_says_why(
    schema: Any, method: Any, answer: dict[str, Any], error: type[Exception], words: str
) -> None:
    with ScriptedServer(http(answer)) as server:
        model = chat(server).with_structured_output(schema, method=method)
        with pytest.raises(error, match=words):
            model.invoke("hi")
        with pytest.raises(error, match=words):
            await model.ainvoke("hi")
        with pytest.raises(error, match=words):
            list(model.stream("hi"))
        raw = chat(server).with_structured_output(schema, method=method, include_raw=True)
        found = raw.invoke("hi")
    assert isinstance(found["raw"], AIMessage)
    assert found["parsed"] is None
    assert words in str(found["parsing_error"])


def test_a_choice_without_a_type_gets_one() -> None:
    choice = {"function": {"name": "ox"}}
    tool = {"type": "function", "function": {"name": "ox", "parameters": {"type": "object"}}}
    with ScriptedServer(OK) as server:
        chat(server).bind_tools([tool], tool_choice=choice).invoke("hi")
        assert server.requests[0].json["tool_choice"] == {"type": "function", **choice}


def test_a_method_that_is_none() -> None:
    with ScriptedServer(OK) as server, pytest.raises(errors.InvalidInputError, match="json_mode"):
        chat(server).with_structured_output(Ox, method="magic")  # type: ignore[arg-type]


@pytest.mark.parametrize("form", [Ox, OX_SCHEMA, {"type": "json_object"}])
def test_response_format(form: Any) -> None:
    for options, call in (
        ({"response_format": form}, None),
        ({}, lambda m: m.bind_tools([], response_format=form).invoke("hi")),
    ):
        sent = body_of(http(completion({"content": "{}"})), call, **options)["response_format"]
        assert sent["type"] == ("json_object" if form == {"type": "json_object"} else "json_schema")


# What works everywhere in LangChain


def test_cache() -> None:
    with ScriptedServer(OK) as server:
        model = chat(server, cache=InMemoryCache())
        assert model.invoke("hi").content == model.invoke("hi").content
        assert len(server.requests) == 1
        model.invoke("hi", temperature=1)
        assert len(server.requests) == 2


def test_configurable_fields() -> None:
    with ScriptedServer(OK) as server:
        model = chat(server).configurable_fields(model=ConfigurableField(id="model"))
        model.with_config(configurable={"model": "ox-2"}).invoke("hi")
        assert server.requests[0].json["model"] == "ox-2"


async def test_events_of_both_versions() -> None:
    with ScriptedServer(STREAM) as server:
        model = chat(server)
        async with model:
            events = [e async for e in model.astream_events("hi", version="v2")]
        text = "".join(
            e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"
        )
        assert text == "hello"
        assert events[-1]["data"]["output"].content == "hello"
        v3 = chat(server).stream_events("hi", version="v3")
        assert "".join(v3.text) == "hello"


@pytest.mark.parametrize("streaming", [True, False])
def test_v1_content(streaming: bool) -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x": 1}'}}
    message = {"content": "So:", "reasoning_content": "hm", "tool_calls": [call]}
    streamed = [delta(reasoning_content="h"), delta(reasoning_content="m"), delta(content="So:")]
    streamed += [delta(tool_calls=[call]), delta("tool_calls")]
    with ScriptedServer(stream(*streamed) if streaming else http(completion(message))) as server:
        model = chat(server, output_version="v1", streaming=streaming)
        content: Any = model.invoke([HumanMessage("hi")]).content
    assert [(b["type"], b.get("reasoning") or b.get("text") or b.get("args")) for b in content] == [
        ("reasoning", "hm"),
        ("text", "So:"),
        ("tool_call", {"x": 1}),
    ]


def test_v1_content_goes_back_as_it_came() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    first = http(completion({"content": "So:", "reasoning_content": "hm", "tool_calls": [call]}))
    with ScriptedServer(first, OK) as server:
        model = chat(server, output_version="v1", model="kimi-k2")
        said = model.invoke("hi")
        model.invoke(["hi", said, {"role": "tool", "tool_call_id": "a", "content": "done"}])
        replayed = server.requests[1].json["messages"][1]
    call["id"] = "functions.f:0"  # the form that Kimi's models were trained on
    assert replayed == {
        "role": "assistant",
        "content": "So:",
        "reasoning_content": "hm",
        "tool_calls": [call],
    }


def test_ls_params() -> None:
    model = ChatOxen(model="ox-1", api_key=KEY, temperature=0.5, max_tokens=5, stop="end")
    assert model._get_ls_params() == {
        "ls_provider": "oxen",
        "ls_model_name": "ox-1",
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
        "ls_max_tokens": 5,
        "ls_stop": ["end"],
    }
    assert model._get_ls_params(model="ox-2", temperature=0)["ls_model_name"] == "ox-2"


def test_tokens_are_counted_offline() -> None:
    model = ChatOxen(model="ox-1", api_key=KEY)
    assert model.get_num_tokens("four by four is") == 4
    few = model.get_num_tokens_from_messages([HumanMessage("hi")])
    assert 0 < few < model.get_num_tokens_from_messages([HumanMessage("hi")], tools=[weather])
    exact = ChatOxen(
        model="ox-1", api_key=KEY, custom_get_token_ids=lambda text: list(range(len(text)))
    )
    assert exact.get_num_tokens("ox") == 2
    with pytest.raises(NotImplementedError, match="custom_get_token_ids"):
        model.get_token_ids("ox")


def test_both_habits_of_catching() -> None:
    slow = http({"error": "slow down"}, status="429 Too Many Requests", headers=["retry-after: 3"])
    with ScriptedServer(slow) as server:
        for kind in (
            errors.RateLimitError,
            core.RateLimitError,
            langchain.ModelRateLimitError,
            openai.RateLimitError,
        ):
            with pytest.raises(kind) as caught:
                chat(server, max_retries=0).invoke("hi")
            assert caught.value.retry_after == 3  # type: ignore[attr-defined]
            assert str(caught.value) == "slow down. Wait 3 seconds, as Oxen asks."


def test_an_unknown_parameter_is_sent_with_a_warning() -> None:
    with ScriptedServer(OK) as server:
        with pytest.warns(
            UserWarning, match="temperatur is not a parameter.*did you mean temperature"
        ):
            model = chat(server, temperatur=0.2)
        model.invoke("hi")
        assert server.requests[0].json["temperatur"] == 0.2


async def test_so_is_one_of_a_call_with_one_warning_for_each_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parameter_names, "_warned", set())
    with ScriptedServer(OK) as server, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model = chat(server)
        for _ in range(2):
            model.invoke("hi", temprature=1)
            await model.bind(max_token=1).ainvoke("hi", top_k=4, stop=["x"], timeout=3)
        assert [request.json.get("temprature") for request in server.requests] == [1, None] * 2
    first, second = [str(one.message) for one in warned if one.category is UserWarning]
    assert first.startswith("temprature is not a parameter")
    assert "did you mean temperature?" in first
    assert second.startswith("max_token is not a parameter")
    assert "did you mean max_tokens?" in second


def test_a_setting_of_the_model_is_none_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameter_names, "_warned", set())
    said = r"streaming is a setting of ChatOxen and not of a call.*Pass it to ChatOxen"
    with ScriptedServer(OK) as server, pytest.warns(UserWarning, match=said):
        chat(server).invoke("hi", streaming=False)


async def test_output_beyond_text_is_kept() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
    extras = {
        "images": [image],
        "audio": {"id": "a", "data": "AAAA", "transcript": "moo moo"},
        "annotations": [{"type": "url_citation"}],
    }
    whole = http(completion({"content": "look", **extras}))
    pieces = stream(
        delta(content="look", images=[image]),
        delta(audio={"id": "a", "data": "AA", "transcript": "moo "}),
        delta(content=None, audio={"data": "AA", "transcript": "moo"}),
        delta(content=None, annotations=[{"type": "url_citation"}]),
        delta("stop"),
        "[DONE]",
    )
    for script in (whole, pieces):
        with ScriptedServer(script) as server:
            messages = [
                chat(server, streaming=script is pieces).invoke("hi"),
                await chat(server, streaming=script is pieces).ainvoke("hi"),
            ]
        for message in messages:
            assert message.text == "look"
            assert {k: message.additional_kwargs.get(k) for k in extras} == extras


def test_a_profile_adds_up_like_the_dict_it_stands_for() -> None:
    profile: Any = ChatOxen(
        model="ox-1", api_key="k", base_url="http://127.0.0.1:1/api/ai", max_retries=0
    ).profile
    known = profile.copy()
    assert type(known) is dict
    assert profile | {"extra": 1} == {**known, "extra": 1}
    assert {"extra": 1} | profile == {"extra": 1, **known}
    assert len(profile) == len(known)
