"""How an answer of the sandbox's chat models is cut, counted and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oxen_sandbox.chat import chunks, complete
from oxen_sandbox.chat_replies import Reply

from .chat_requests import (
    CLAUDE,
    DEEPSEEK,
    GEMINI,
    GPT,
    O_SERIES,
    WEATHER,
    ask,
    body,
    script,
    user,
)


def answer(request: dict[str, Any], reply: Reply, model: dict[str, Any] = GPT) -> dict[str, Any]:
    return complete(request, model, script(reply))


@pytest.mark.parametrize("stop", ["help", ["nothing", "help"]])
def test_stop_cuts_the_text_before_it(stop: Any) -> None:
    reply = Reply("Hello! How can I help you?")
    choice = answer(body("Hello", stop=stop), reply)["choices"][0]
    assert choice["message"]["content"] == "Hello! How can I "
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_token_limit_ends_the_text(name: str) -> None:
    completion = answer(body("Hello", **{name: 10}), Reply("ox " * 50))
    choice = completion["choices"][0]
    assert choice["finish_reason"] == "length"
    assert len(choice["message"]["content"].split()) == 10
    assert completion["usage"]["completion_tokens"] == 10


def test_the_token_limit_cuts_arguments_as_upstreams_do() -> None:
    reply = Reply(tool_calls=[("get_weather", {"city": "Oslo"})])
    choice = answer(body("Hello", tools=[WEATHER], max_tokens=11), reply)["choices"][0]
    assert choice["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])


@pytest.mark.parametrize(
    ("model", "extra", "field"),
    [
        (DEEPSEEK, {}, "reasoning_content"),
        (DEEPSEEK, {"thinking": {"type": "disabled"}}, None),
        (CLAUDE, {}, None),
        (CLAUDE, {"reasoning": {"effort": "high"}}, "reasoning_content"),
        (O_SERIES, {}, None),
        ({"id": "gpt-oss-120b"}, {}, "reasoning"),
        (GPT, {"reasoning_effort": "high"}, None),
    ],
)
def test_models_reason_as_their_family_does(
    model: dict[str, Any], extra: dict[str, Any], field: str | None
) -> None:
    message = ask("Why is the sky blue?", model, **extra)
    shown = [name for name in ("reasoning", "reasoning_content") if message.get(name)]
    assert shown == ([field] if field else [])
    assert message["content"]


def test_hidden_reasoning_is_billed() -> None:
    usage = complete(body("Why?", O_SERIES), O_SERIES)["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] > 0
    assert usage["completion_tokens"] > usage["completion_tokens_details"]["reasoning_tokens"]


def test_usage_adds_up_and_grows_with_the_prompt() -> None:
    short, long = (complete(body("ox " * n), GPT)["usage"] for n in (1, 100))
    assert short["total_tokens"] == short["prompt_tokens"] + short["completion_tokens"]
    assert long["prompt_tokens"] > short["prompt_tokens"] + 90


def test_a_long_prefix_is_read_from_the_cache() -> None:
    turns = [user("ox " * 3000), {"role": "assistant", "content": "Yes."}, user("And now?")]
    details = complete(body(turns, GEMINI), GEMINI)["usage"]["prompt_tokens_details"]
    assert 2900 < details["cached_tokens"] < 3100


def test_marked_prefixes_are_written_once_and_read_afterwards() -> None:
    marked = {"type": "text", "text": "ox " * 50, "cache_control": {"type": "ephemeral"}}
    first = [user([marked])]
    written = complete(body(first, CLAUDE), CLAUDE)["usage"]
    assert written["cache_read_input_tokens"] == 0
    assert written["cache_creation_input_tokens"] == written["prompt_tokens"]
    later = [*first, {"role": "assistant", "content": "Yes."}, user("And now?")]
    read = complete(body(later, CLAUDE), CLAUDE)["usage"]
    assert read["cache_read_input_tokens"] == written["prompt_tokens"]
    assert read["cache_creation_input_tokens"] == 0


def joined(streamed: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the deltas of a stream together again."""
    message: dict[str, Any] = {"content": ""}
    made: dict[int, dict[str, str]] = {}
    for chunk in streamed:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            for name in ("content", "reasoning", "reasoning_content", "refusal"):
                if delta.get(name):
                    message[name] = message.get(name, "") + delta[name]
            for part in delta.get("tool_calls", ()):
                call = made.setdefault(part["index"], {"name": "", "arguments": ""})
                for name, text in part["function"].items():
                    call[name] += text
    message["calls"] = list(made.values())
    return message


@pytest.mark.parametrize("model", [GPT, CLAUDE, DEEPSEEK, GEMINI])
@pytest.mark.parametrize(
    "reply",
    [
        Reply("An ox walks home."),
        Reply(tool_calls=[("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome"})]),
        Reply("Let me look.", [("get_weather", {"city": "Oslo"})]),
        Reply("Yes.", reasoning="It is so."),
        Reply(refusal="I will not.", finish_reason="content_filter"),
    ],
)
def test_a_stream_says_what_the_completion_says(model: dict[str, Any], reply: Reply) -> None:
    request = body("Hello", model, tools=[WEATHER], stream_options={"include_usage": True})
    whole = answer(request, reply, model)
    streamed = list(chunks(whole, request))
    again, message = joined(streamed), whole["choices"][0]["message"]
    assert again["content"] == (message["content"] or "")
    for name in ("reasoning_content", "refusal"):
        assert again.get(name) == message.get(name)
    made = [call["function"] for call in message.get("tool_calls", ())]
    assert again["calls"] == made
    *_, finish, usage = streamed
    assert finish["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert usage["choices"] == []
    assert usage["usage"] == whole["usage"]
    assert len({chunk["id"] for chunk in streamed}) == 1


@pytest.mark.parametrize("size", [1, 20, 500])
def test_one_word_is_one_chunk(size: int) -> None:
    whole = answer(body("Hello"), Reply(" ".join(["ox"] * size)))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(whole, body("Hello"))]
    assert sum(bool(delta.get("content")) for delta in deltas) == size


def test_reasoning_streams_first_with_null_content() -> None:
    request = body("Why?", DEEPSEEK)
    deltas = [c["choices"][0]["delta"] for c in chunks(complete(request, DEEPSEEK), request)]
    assert deltas[0] == {"role": "assistant", "content": None}
    spoken = next(i for i, delta in enumerate(deltas) if delta.get("content"))
    assert all(delta["content"] is None for delta in deltas[:spoken])
    assert not any("reasoning_content" in delta for delta in deltas[spoken:])


def test_usage_is_streamed_only_when_asked_for() -> None:
    whole = complete(body("Hello"), GPT)
    assert all(chunk["choices"] for chunk in chunks(whole, body("Hello")))
