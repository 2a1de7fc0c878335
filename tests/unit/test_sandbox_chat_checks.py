"""What the sandbox's chat models refuse, each beside the request that is accepted."""

from __future__ import annotations

import base64
import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oxen_sandbox.chat import chunks, complete
from oxen_sandbox.wire import Rejected

from .chat_requests import CLAUDE, DEEPSEEK, GEMINI, GPT, O_SERIES, WEATHER, body, tool, user

HELLO = user("Hello")
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(32)).decode()
PDF = base64.b64encode(b"%PDF-1.4").decode()
CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "sunny"}
TEXT = {"type": "text", "text": "What is this?"}


def part(kind: str, url: str) -> dict[str, Any]:
    return {"type": kind, kind: {"url": url}}


def file(**fields: str) -> dict[str, Any]:
    return {"type": "file", "file": fields}


IMAGE = part("image_url", f"data:image/png;base64,{PNG}")
AUDIO = part("audio_url", "data:audio/wav;base64,UklGRg==")
DOCUMENT = file(file_data=f"data:application/pdf;base64,{PDF}")
SCHEMA = {"type": "json_schema", "json_schema": {"name": "S", "schema": {"type": "object"}}}


def refusal(model: dict[str, Any], request: dict[str, Any]) -> str:
    with pytest.raises(Rejected) as caught:
        complete(request, model)
    assert caught.value.status == 400
    return caught.value.message


MESSAGES: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("Messages array cannot be empty", GPT, []),
    (
        "Supported values are: 'system', 'user', 'assistant', and 'tool'",
        GPT,
        [{"role": "robot", "content": ""}],
    ),
    ("Supported values are: 'system'", GPT, ["Hello"]),
    ("got null", GPT, [user(None)]),
    ("got null", GPT, [HELLO, {"role": "assistant", "content": None}, HELLO]),
    ("empty array", GPT, [user([])]),
    ("expected a string or an array", GPT, [user({"type": "text"})]),
    ("'input_audio'", GEMINI, [user([{"type": "input_audio"}])]),
    ("expected a string, but got null", GPT, [user([{"type": "text"}])]),
    ("must be a response to a preceding message", GPT, [HELLO, RESULT]),
    ("must be a response", GPT, [HELLO, CALLED, RESULT, HELLO, RESULT]),
    ("did not have response messages: c1", GPT, [HELLO, CALLED, HELLO]),
    ("did not have response messages: c1", GPT, [HELLO, CALLED]),
    ("`tool_use` ids were found without `tool_result`", CLAUDE, [HELLO, CALLED, HELLO]),
    ("empty array", GPT, [HELLO, {"role": "assistant", "content": "", "tool_calls": []}]),
    (
        "function.arguments': expected a string, but got an object",
        GPT,
        [HELLO, {**CALLED, "tool_calls": [{**CALL, "function": {"name": "x", "arguments": {}}}]}],
    ),
    (
        "needs an 'id' and a 'function' with a 'name'",
        GPT,
        [HELLO, {**CALLED, "tool_calls": [{"type": "function", "function": CALL["function"]}]}],
    ),
    ("system content must be a string", CLAUDE, [{"role": "system", "content": [TEXT]}, HELLO]),
    ("non-empty", CLAUDE, [user("")]),
    ("non-empty", CLAUDE, [user([{"type": "text", "text": " "}])]),
    ("at least one message", CLAUDE, [{"role": "system", "content": "Be kind."}]),
    (
        "only allowed for messages with role 'user'",
        GPT,
        [{"role": "assistant", "content": [IMAGE]}],
    ),
    (
        "only allowed for messages with role 'user'",
        GPT,
        [HELLO, CALLED, {**RESULT, "content": [IMAGE]}],
    ),
    ("does not support image input", DEEPSEEK, [user([IMAGE])]),
    ("does not support audio input", GPT, [user([AUDIO])]),
    ("does not support file input", O_SERIES, [user([DOCUMENT])]),
    ("before the text part", GEMINI, [user([TEXT, AUDIO])]),
    ("valid http(s) or data URL", GPT, [user([part("image_url", "/home/ada/ox.png")])]),
    ("base64-encoded data URL", GPT, [user([part("image_url", "data:image/png;base64,ox!")])]),
    ("base64-encoded data URL", GPT, [user([part("image_url", "data:image/png,ox")])]),
    ("unsupported image", GPT, [user([part("image_url", "data:image/png;base64,b3g=")])]),
    ("is not image data", GPT, [user([part("image_url", f"data:application/pdf;base64,{PDF}")])]),
    (
        "use wav or mp3",
        {"id": "gpt-audio"},
        [user([part("audio_url", "data:audio/flac;base64,b3g=")])],
    ),
    ("file_id is not supported", GPT, [user([file(file_id="file-1")])]),
    ("exactly one of file_data or file_url", GPT, [user([file(filename="ox.pdf")])]),
    (
        "exactly one of file_data or file_url",
        GPT,
        [
            user(
                [file(file_data=f"data:application/pdf;base64,{PDF}", file_url="https://x.example")]
            )
        ],
    ),
    ("only PDF files", GPT, [user([file(file_data="data:text/plain;base64,b3g=")])]),
    ("expected an http(s) URL", GPT, [user([file(file_url="ox.pdf")])]),
]


@pytest.mark.parametrize(("text", "model", "messages"), MESSAGES)
def test_messages_upstreams_refuse(text: str, model: dict[str, Any], messages: list[Any]) -> None:
    assert text in refusal(model, body(messages, model))


ACCEPTED: list[tuple[dict[str, Any], list[Any]]] = [
    (GPT, [{"role": "system", "content": [TEXT]}, HELLO]),
    (CLAUDE, [{"role": "system", "content": "Be kind."}, HELLO]),
    (GPT, [HELLO, CALLED, RESULT]),
    (GPT, [HELLO, {**CALLED, "content": ""}, RESULT, {"role": "assistant", "content": ""}, HELLO]),
    (
        GPT,
        [
            HELLO,
            {**CALLED, "tool_calls": [CALL, {**CALL, "id": "c2"}]},
            {**RESULT, "tool_call_id": "c2"},
            RESULT,
        ],
    ),
    (CLAUDE, [HELLO, CALLED, {**RESULT, "content": [IMAGE]}]),
    (
        GPT,
        [
            HELLO,
            HELLO,
            {"role": "assistant", "content": "Yes"},
            {"role": "assistant", "content": "?"},
            HELLO,
        ],
    ),
    (GPT, [user([IMAGE, TEXT]), user([TEXT, IMAGE])]),
    (GEMINI, [user([AUDIO, TEXT])]),
    (CLAUDE, [user([{**TEXT, "cache_control": {"type": "ephemeral"}}])]),
    (CLAUDE, [user([DOCUMENT, file(file_url="https://example.com/ox.pdf")])]),
    (DEEPSEEK, [HELLO, CALLED, RESULT, {"role": "assistant", "content": "Sunny."}, HELLO]),
]


@pytest.mark.parametrize(("model", "messages"), ACCEPTED)
def test_messages_upstreams_accept(model: dict[str, Any], messages: list[Any]) -> None:
    assert complete(body(messages, model), model)["choices"][0]["finish_reason"] == "stop"


OPEN = tool("save", "Save", {"text": {"type": "string"}})
OPEN["function"]["strict"] = True


def function(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "save", **fields}}


def strict(**schema: Any) -> dict[str, Any]:
    closed = {"type": "object", "additionalProperties": False, **schema}
    return {"type": "json_schema", "json_schema": {"name": "S", "strict": True, "schema": closed}}


def nested(part: dict[str, Any]) -> dict[str, Any]:
    """A strict schema with the part in every place that can have it."""
    parts = {"list": {"type": "array", "items": part}, "either": {"anyOf": [part, {}]}}
    return strict(properties=parts, required=["list", "either"], **{"$defs": {"part": part}})


def taking(**fields: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"text": fields}}
    return {"tools": [function(parameters=parameters)]}


PARAMETERS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("Expected a value <= 2, but got 2.5", GPT, {"temperature": 2.5}),
    ("Expected a value >= 0", GPT, {"temperature": -1}),
    ("expected a decimal, but got a string", GPT, {"temperature": "hot"}),
    ("Expected a value <= 1", GPT, {"top_p": 1.5}),
    ("integer below minimum", GPT, {"max_tokens": 0}),
    ("expected an integer", GPT, {"max_tokens": 1.5}),
    ("'stop'", GPT, {"stop": 3}),
    ("'stream_options'", GPT, {"stream_options": True}),
    ("'temperature' is not supported", O_SERIES, {"temperature": 0.5}),
    ("cannot both be specified", CLAUDE, {"temperature": 0.5, "top_p": 0.5}),
    ("frequency_penalty: Extra inputs", CLAUDE, {"frequency_penalty": 0.5}),
    ("Penalty is not enabled", GEMINI, {"presence_penalty": 0.5}),
    ("empty array", GPT, {"tools": []}),
    ("does not match pattern", GPT, {"tools": [tool("get weather", "", {})]}),
    ("does not match pattern", GPT, {"tools": [tool("x" * 65, "", {})]}),
    ("names must be unique", GPT, {"tools": [WEATHER, WEATHER]}),
    ("type 'function'", GPT, {"tools": [{"name": "get_weather", "input_schema": {}}]}),
    (
        "JSON Schema of 'type: \"object\"'",
        GPT,
        {
            "tools": [
                {"type": "function", "function": {"name": "x", "parameters": {"type": "string"}}}
            ]
        },
    ),
    ("'additionalProperties' is required", GPT, {"tools": [OPEN]}),
    ("Missing 'a'", GPT, {"response_format": strict(properties={"a": {}})}),
    (
        "In context=('properties', 'list', 'items'), 'additionalProperties'",
        GPT,
        {"response_format": nested({"type": "object"})},
    ),
    ("description of function 'save'", GPT, {"tools": [function(description=7)]}),
    ("In context=('properties', 'text'), '[' is not valid for 'pattern'", GPT, taking(pattern="[")),
    ("7 is not valid for 'pattern'", GPT, taking(pattern=7)),
    ("'text' is not valid for 'items'", GPT, taking(prefixItems=[{}], items="text")),
    ("'anyOf', '0'), 7 is not a schema", GPT, taking(anyOf=[7])),
    (
        "Invalid schema for response_format 'S'",
        GPT,
        {"response_format": strict(properties={"a": {"type": "text"}})},
    ),
    ("Use 'max_completion_tokens' instead", O_SERIES, {"max_tokens": 5}),
    (
        "'parallel_tool_calls' is not supported",
        O_SERIES,
        {"tools": [WEATHER], "parallel_tool_calls": False},
    ),
    (
        "'response_format.json_schema.name': string does not match",
        GPT,
        {"response_format": {"type": "json_schema", "json_schema": {"name": "Reading[int]"}}},
    ),
    ("'oneOf' is not permitted", GPT, {"response_format": nested({"oneOf": [{"type": "null"}]})}),
    ("only allowed when 'tools' are specified", GPT, {"tool_choice": "auto"}),
    ("only allowed when 'tools' are specified", GPT, {"parallel_tool_calls": True}),
    ("'none', 'auto', and 'required'", GPT, {"tools": [WEATHER], "tool_choice": "any"}),
    (
        "'draw' is not among 'tools'",
        GPT,
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "draw"}}},
    ),
    (
        "Thinking may not be enabled",
        CLAUDE,
        {"tools": [WEATHER], "tool_choice": "required", "thinking": {"type": "enabled"}},
    ),
    (
        "Thinking may not be enabled",
        CLAUDE,
        {"tools": [WEATHER], "tool_choice": "required", "reasoning": True},
    ),
    ("'text', 'json_object', and 'json_schema'", GPT, {"response_format": {"type": "xml"}}),
    (
        "'json_schema' is not supported with this model: deepseek-v4-pro",
        DEEPSEEK,
        {"response_format": SCHEMA},
    ),
    ("json_schema.name", GPT, {"response_format": {"type": "json_schema", "json_schema": {}}}),
    ("must contain the word 'json'", GPT, {"response_format": {"type": "json_object"}}),
]


@pytest.mark.parametrize(("text", "model", "extra"), PARAMETERS)
def test_parameters_upstreams_refuse(
    text: str, model: dict[str, Any], extra: dict[str, Any]
) -> None:
    assert text in refusal(model, body("Hello", model, **extra))


@pytest.mark.parametrize(
    ("model", "extra"),
    [
        (GPT, {"temperature": 2, "top_p": 0.5, "frequency_penalty": -2, "presence_penalty": 2}),
        (CLAUDE, {"temperature": 0.5, "top_p": None, "frequency_penalty": None}),
        (O_SERIES, {"temperature": 1}),
        (DEEPSEEK, {"tools": [OPEN]}),
        (GPT, {"response_format": SCHEMA}),
        (GPT, {"response_format": nested({"type": "object", "additionalProperties": False})}),
        (GPT, {"response_format": strict(properties={"any": True}, required=["any"])}),
        (GPT, {"tools": [function()]}),
        (GPT, taking(type="string", pattern="^ox")),
        (GEMINI, {"response_format": {"type": "json_object"}}),
        (GPT, {"seed": 7, "n": 1, "user": "ada", "logprobs": False}),
    ],
)
def test_parameters_upstreams_accept(model: dict[str, Any], extra: dict[str, Any]) -> None:
    assert complete(body("Hello", model, **extra), model)["choices"]


def test_a_missing_model_is_named() -> None:
    assert refusal(GPT, {"messages": [HELLO]}) == "You must specify a model to call"


def test_tool_turns_of_models_that_need_their_reasoning_back() -> None:
    request = body([HELLO, CALLED, RESULT], DEEPSEEK, tools=[WEATHER])
    assert "Missing `reasoning_content`" in refusal(DEEPSEEK, request)
    kimi = {"id": "kimi-k3"}
    assert "reasoning_content is missing" in refusal(kimi, {**request, "model": "kimi-k3"})
    assert complete({**request, "thinking": {"type": "disabled"}}, DEEPSEEK)["choices"]


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (GPT, "maximum context length is 100 tokens"),
        (CLAUDE, "prompt is too long: 410 tokens > 100 maximum"),
        (GEMINI, "exceeds the maximum number of tokens allowed (100)"),
    ],
)
def test_a_prompt_longer_than_the_context(model: dict[str, Any], text: str) -> None:
    short = {**model, "context_length": 100}
    assert text in refusal(short, body("ox " * 405, model))


@pytest.mark.parametrize(("kind", "limit"), [("audio_url", 20), ("file", 24)])
def test_attachments_above_their_limit(kind: str, limit: int) -> None:
    data = base64.b64encode(b"%PDF-" + bytes(limit * 1024 * 1024)).decode()
    audio = part("audio_url", f"data:audio/wav;base64,{data}")
    document = file(file_data=f"data:application/pdf;base64,{data}")
    attached = audio if kind == "audio_url" else document
    assert f"limited to {limit} MB" in refusal(GEMINI, body([user([attached])], GEMINI))


KEYS = st.sampled_from(["type", "text", "url", "function", "name", "properties", "enum", "id"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4) | st.just("text"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(spoiled=st.data(), model=st.sampled_from([GPT, CLAUDE, GEMINI, DEEPSEEK]))
def test_a_spoiled_request_is_answered_or_refused(spoiled: st.DataObject, model: Any) -> None:
    request: Any = copy.deepcopy(
        body(
            [user([TEXT, IMAGE]), CALLED, RESULT, user("Draw an ox")],
            model,
            tools=[tool("draw", "Draw", {"prompt": {"type": "string"}})],
            response_format=SCHEMA,
            stream_options={"include_usage": True},
        )
    )
    place, key = request, spoiled.draw(st.sampled_from(sorted(request)))
    while spoiled.draw(st.booleans()) and isinstance(place[key], (dict, list)) and place[key]:
        place = place[key]
        choices = sorted(place) if isinstance(place, dict) else range(len(place))
        key = spoiled.draw(st.sampled_from(choices))
    place[key] = spoiled.draw(JSON)
    with contextlib.suppress(Rejected):
        assert list(chunks(complete(request, model), request))


@pytest.mark.parametrize(
    ("text", "model", "call_id"),
    [
        ("[0].id'", GPT, "c" * 41),
        ("[0].id'", CLAUDE, "functions.f:0"),
        ("[0].id'", {"id": "mistral-large-3"}, "call_1"),
    ],
)
def test_call_ids_upstreams_refuse(text: str, model: dict[str, Any], call_id: str) -> None:
    call = {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": call_id, "content": "r"}
    turns = [user("x"), {"role": "assistant", "content": None, "tool_calls": [call]}, result]
    assert text in refusal(model, body(turns, model))


def test_a_speaker_whose_name_is_refused() -> None:
    turns = [{**user("x"), "name": "Flug-Assistent Süd"}]
    assert "messages[0].name" in refusal(GPT, body(turns, GPT))
