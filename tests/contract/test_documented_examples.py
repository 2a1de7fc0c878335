"""The requests of the public documentation are answered as the documentation says."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from oxen_sandbox import Sandbox
from tests.support.wire import ai, call

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get current weather",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}},
            "required": ["location"],
        },
    },
}
BASES = ["/api/ai", "/api"]


@pytest.fixture(params=["live", "documented"])
def oxen_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Both faces answer what the documentation asks."""
    with Sandbox(face=request.param) as hub:
        yield hub


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def chat(hub: Sandbox, base: str = "/api/ai", **body: Any) -> dict[str, Any]:
    answer = call(hub, "POST", f"{base}/chat/completions", body)
    assert answer.status == 200, answer.content
    content: dict[str, Any] = answer.json
    return content


@pytest.mark.parametrize("base", BASES)
def test_a_question(oxen_sandbox: Sandbox, base: str) -> None:
    answer = chat(
        oxen_sandbox,
        base,
        model="claude-sonnet-4-6",
        messages=user("What is a great name for an ox?"),
    )
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["choices"][0]["message"]["content"]
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_conversation_of_several_turns(oxen_sandbox: Sandbox) -> None:
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        *user("What is the capital of France?"),
        {"role": "assistant", "content": "The capital of France is Paris."},
        *user("What is its population?"),
    ]
    answer = chat(oxen_sandbox, model="claude-sonnet-4-6", messages=messages)
    assert answer["choices"][0]["message"]["role"] == "assistant"


def test_few_tokens_at_a_low_temperature(oxen_sandbox: Sandbox) -> None:
    answer = chat(
        oxen_sandbox,
        model="claude-sonnet-4-6",
        messages=user("Say hello in exactly 3 words."),
        max_tokens=50,
        temperature=0.1,
    )
    assert answer["usage"]["completion_tokens"] <= 50


def test_a_stream(oxen_sandbox: Sandbox) -> None:
    body = {"model": "gemini-3-1-flash-lite-preview", "messages": user("Say hello"), "stream": True}
    *chunks, done = ai(oxen_sandbox, "POST", "/chat/completions", body).chunks
    assert done == "[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ("gpt-4o", {"type": "image_url", "image_url": {"url": "https://oxen.ai/assets/images/homepage/hero-ox.png"}}),
        ("gemini-3-flash-preview", {"type": "video_url", "video_url": {"url": "https://example.com/clip.mp4"}}),
    ],
)  # fmt: skip
def test_seeing(oxen_sandbox: Sandbox, model: str, part: dict[str, Any]) -> None:
    content = [{"type": "text", "text": "What is in this?"}, part]
    assert chat(oxen_sandbox, model=model, messages=user(content))["choices"][0]["message"][
        "content"
    ]


def test_a_tool_call(oxen_sandbox: Sandbox) -> None:
    answer = chat(
        oxen_sandbox,
        model="gpt-5-4-2026-03-05",
        messages=[
            {"role": "system", "content": "Use tools when appropriate."},
            *user('What is the weather in "San Francisco"?'),
        ],
        tools=[WEATHER],
    )
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    (tool_call,) = answer["choices"][0]["message"]["tool_calls"]
    assert tool_call["id"].startswith("call_")
    assert tool_call["function"]["name"] == "get_weather"
    assert json.loads(tool_call["function"]["arguments"]) == {"location": "San Francisco"}


def test_the_answer_after_a_tool_result(oxen_sandbox: Sandbox) -> None:
    call_id = "toolu_01ABC"
    tool_call = {"id": call_id, "type": "function",
             "function": {"name": "get_weather", "arguments": '{"location": "Paris"}'}}  # fmt: skip
    answer = chat(
        oxen_sandbox,
        model="claude-sonnet-4-6",
        messages=[
            *user("What is the weather in Paris?"),
            {"role": "assistant", "content": None, "tool_calls": [tool_call]},
            {"role": "tool", "tool_call_id": call_id,
             "content": '{"temperature_c": 18, "conditions": "Partly cloudy"}'},
        ],
        tools=[WEATHER],
    )  # fmt: skip
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert "18" in answer["choices"][0]["message"]["content"]


def test_json_mode(oxen_sandbox: Sandbox) -> None:
    answer = chat(
        oxen_sandbox,
        model="gpt-5-4-2026-03-05",
        messages=user("List 3 colors as a JSON array"),
        response_format={"type": "json_object"},
        max_tokens=100,
    )
    json.loads(answer["choices"][0]["message"]["content"])


def test_listing_searching_and_reading_models(oxen_sandbox: Sandbox) -> None:
    listed = ai(oxen_sandbox, "GET", "/models").json["data"]
    by_id = {model["id"]: model for model in listed}
    sonnet = by_id["claude-sonnet-4-6"]
    assert sonnet["endpoint"] == "/chat/completions"
    assert sonnet["pricing"]["method"] == "token"
    assert sonnet["deployments"] == []
    assert sonnet["request_schema"] is None
    assert all(model["endpoint"] for model in listed)
    openai = ai(oxen_sandbox, "GET", "/models", developer_name="openai").json["data"]
    assert openai
    assert {model["developer"]["name"] for model in openai} == {"OpenAI"}
    found = ai(oxen_sandbox, "GET", "/models/search", search="kling").json["data"]
    assert "kling-video-o3-pro-reference-to-video" in {model["id"] for model in found}
    model = ai(oxen_sandbox, "GET", "/models/kling-video-o3-pro-reference-to-video").json
    assert model["pricing"]["method"] == "per_video_output_second"
    assert model["request_schema"]["properties"]


def test_activating_and_deactivating_a_custom_model(oxen_sandbox: Sandbox) -> None:
    path = "/models/my-custom-model"
    assert (
        ai(oxen_sandbox, "POST", f"{path}/activate").json["deployments"][0]["status"] == "deploying"
    )
    oxen_sandbox.clock.advance(60)
    live = ai(oxen_sandbox, "GET", path, deployment_status="live").json
    assert live["deployments"][0]["status"] == "active"
    stopping = ai(oxen_sandbox, "POST", f"{path}/deactivate").json
    assert stopping["deployments"][0]["status"] == "deactivating"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/chat/completions", {"messages": user("hi")}, 400, "You must specify a model to call"),
        ("POST", "/chat/completions", {"model": "gpt-4o", "messages": []}, 400, "Messages array cannot be empty"),
        ("POST", "/chat/completions", {"model": "bad-model-name", "messages": user("hi")}, 404, "Model not found: bad-model-name"),
        ("GET", "/models/bad-model-name", None, 404, "Model not found: bad-model-name"),
        ("POST", "/images/generate", {"prompt": "an ox"}, 400, "You must specify a model to call"),
        ("POST", "/images/generate", {"model": "flux-2-dev", "prompt": ""}, 400, "Prompt cannot be empty"),
        ("POST", "/queue", {"model": "flux-2-dev", "prompt": "an ox", "num_generations": 0}, 400,
         "num_generations must be an integer between 1 and 4"),
        ("POST", "/queue", {"model": "flux-2-dev", "prompt": "an ox", "num_generations": "2"}, 400,
         "num_generations must be an integer between 1 and 4"),
        ("POST", "/videos/generate",
         {"model": "kling-video-o3-pro-reference-to-video", "prompt": "a", "multi_prompt": [{"prompt": "b"}]},
         400, "Cannot provide both 'prompt' and 'multi_prompt'."),
        ("POST", "/queue", {"model": "kling-video-o3-pro-reference-to-video"}, 400,
         "Either 'prompt' or 'multi_prompt' must be provided."),
    ],
)  # fmt: skip
def test_documented_messages(
    oxen_sandbox: Sandbox, method: str, path: str, body: Any, status: int, message: str
) -> None:
    answer = ai(oxen_sandbox, method, path, body)
    error = answer.json["error"]
    assert (answer.status, error.get("detail") or error.get("message")) == (status, message)
