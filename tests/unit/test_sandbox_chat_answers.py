"""What the sandbox's chat models say: prose, JSON, reasoning, usage, and the same as a stream."""

from __future__ import annotations

import base64
import io
import json
import struct
from typing import Any

import pytest
from PIL import Image

from oxen_sandbox.chat_model import complete, stream

from .chat_requests import (
    CLAUDE,
    DEEPSEEK,
    GEMINI,
    GPT,
    IMAGE,
    O_SERIES,
    VIDEO,
    WEATHER,
    answered,
    ask,
    body,
    calls,
    say,
    user,
)

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 640, 360) + b"\x08\x02\0\0\0"


def data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("request_text", "expected"),
    [
        ("Hello!", "How can I help"),
        ("What is 6 * 7?", "6 * 7 = 42"),
        ("What is 6 - 7?", "6 - 7 = -1"),
        ("What is 6 / 4?", "6 / 4 = 1.5"),
        ("What is 6 / 0?", "6 / 0 = inf"),
        ("Say hello world", "hello world"),
        ("Write a poem about a lighthouse", "a lighthouse"),
        ("What is the capital of France?", "capital of France"),
    ],
)
def test_it_answers_in_the_words_of_the_request(request_text: str, expected: str) -> None:
    assert expected in say(request_text)


def test_the_same_request_has_the_same_answer_and_another_id() -> None:
    first, second = (complete(body("Tell me about oxen"), GPT) for _ in range(2))
    assert first["choices"] == second["choices"]
    assert first["id"] != second["id"]


def test_it_remembers_what_the_user_said() -> None:
    history = [
        user("My name is Ada."),
        {"role": "assistant", "content": "Hello Ada."},
        user("What is my name?"),
    ]
    assert say(history) == "Your name is Ada."


@pytest.mark.parametrize("number", [1, 20, 500])
def test_a_number_of_words_can_be_asked_for(number: int) -> None:
    request = body(f"say {number} words", stream=True)
    pieces = [c["choices"][0]["delta"].get("content") for c in stream(request, GPT)]
    assert len("".join(filter(None, pieces)).split()) == number
    assert len(list(filter(None, pieces))) == number  # one word, one chunk


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("GIF", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {"lossless": False}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"icc_profile": b"ox"}),
    ],
)
def test_it_sees_the_size_of_a_picture(form: str, options: dict[str, Any]) -> None:
    file = io.BytesIO()
    Image.new("RGB", (300, 20)).save(file, form, **options)
    url = data_url(f"image/{form.lower()}", file.getvalue())
    image = {"type": "image_url", "image_url": {"url": url}}
    assert f"a {form} image of 300 × 20 pixels" in say([user([image])])


@pytest.mark.parametrize("start", [b"\xff\xd8\xff\xe0\0\x10JFIF", b"GIF89a", b"RIFF\0\0\0\0WEBP"])
def test_a_picture_cut_short_has_no_size(start: bytes) -> None:
    image = {"type": "image_url", "image_url": data_url("image/jpeg", start)}
    assert "a JPEG image (" in say([user([image])])


def test_it_describes_attachments_by_type_and_size() -> None:
    image = {"type": "image_url", "image_url": {"url": data_url("image/png", PNG)}}
    said = say([user([{"type": "text", "text": "What is this?"}, image])])
    assert "PNG image of 640 × 360 pixels" in said
    video = {"type": "video_url", "video_url": {"url": "https://example.com/clip.mp4"}}
    assert "a video at https://example.com/clip.mp4" in say([user([video])], GEMINI)
    pdf = data_url("application/pdf", b"%PDF-1.4 /Type /Page /Type /Pages")
    document = {"type": "file", "file": {"file_data": pdf}}
    assert "PDF document of 1 page" in say([user([document])], CLAUDE)


@pytest.mark.parametrize("stop", ["help", ["nothing", "help"]])
def test_stop_cuts_the_text_before_it(stop: Any) -> None:
    choice = complete(body("Hello", stop=stop), GPT)["choices"][0]
    assert choice["message"]["content"] == "Hello! How can I "
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_token_limit_ends_the_text(name: str) -> None:
    answer = complete(body("say 50 words", **{name: 10}), GPT)
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "length"
    assert len(choice["message"]["content"].split()) == 10
    assert answer["usage"]["completion_tokens"] == 10


def test_the_token_limit_cuts_arguments_as_upstreams_do() -> None:
    request = body("Draw an ox at dawn", tools=[IMAGE], max_tokens=11)
    choice = complete(request, GPT)["choices"][0]
    assert choice["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])


JOKE = {
    "type": "object",
    "properties": {"setup": {"type": "string"}, "punchline": {"type": "string"}},
    "required": ["setup", "punchline"],
}


def test_json_schema_is_obeyed() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "Joke", "schema": JOKE}}
    joke = json.loads(say("Tell me a joke about cats", response_format=wanted))
    assert set(joke) == {"setup", "punchline"}
    assert "cats" in joke["setup"]


@pytest.mark.parametrize(
    ("prompt", "keys"),
    [
        ("Tell me a joke. Return JSON with 'setup' and 'punchline' keys.", {"setup", "punchline"}),
        ("List 3 colors as a JSON array", {"colors"}),
        (f"Tell me a joke. Follow this JSON schema: {json.dumps(JOKE)}", {"setup", "punchline"}),
    ],
)
def test_json_object_follows_the_words(prompt: str, keys: set[str]) -> None:
    made = json.loads(say(prompt, response_format={"type": "json_object"}))
    assert set(made) == keys


def test_json_comes_after_the_tools_it_needs() -> None:
    report = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "summary": {"type": "string"}},
        "required": ["city", "summary"],
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "Report", "schema": report}}
    asked = [user("What is the weather in Oslo?")]
    first = ask(asked, tools=[WEATHER], response_format=wanted)
    assert calls(first) == [("get_weather", {"city": "Oslo"})]
    turns = [*asked, *answered(first, "Snow, -3 degrees")]
    made = json.loads(say(turns, tools=[WEATHER], response_format=wanted))
    assert made["city"] == "Oslo"
    assert "Snow" in made["summary"]


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
    told = [name for name in ("reasoning", "reasoning_content") if message.get(name)]
    assert told == ([field] if field else [])
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


def joined(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the deltas of a stream together again."""
    message: dict[str, Any] = {"content": ""}
    made: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            for name in ("content", "reasoning", "reasoning_content"):
                if delta.get(name):
                    message[name] = message.get(name, "") + delta[name]
            for part in delta.get("tool_calls", ()):
                call = made.setdefault(part["index"], {"name": "", "arguments": ""})
                for name, text in part["function"].items():
                    call[name] += text
    message["calls"] = list(made.values())
    return message


@pytest.mark.parametrize("model", [GPT, CLAUDE, DEEPSEEK, GEMINI])
@pytest.mark.parametrize("words", ["Draw an ox and film it", "Tell me a story about an ox"])
def test_a_stream_says_what_the_completion_says(model: dict[str, Any], words: str) -> None:
    request = body(words, model, tools=[IMAGE, VIDEO], stream_options={"include_usage": True})
    whole = complete(request, model)
    chunks = list(stream(request, model))
    again, message = joined(chunks), whole["choices"][0]["message"]
    assert again["content"] == (message["content"] or "")
    assert again.get("reasoning_content") == message.get("reasoning_content")
    made = [call["function"] for call in message.get("tool_calls", ())]
    assert again["calls"] == made
    *_, finish, usage = chunks
    assert finish["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert usage["choices"] == []
    assert usage["usage"] == whole["usage"]
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_reasoning_streams_first_with_null_content() -> None:
    deltas = [c["choices"][0]["delta"] for c in stream(body("Why?", DEEPSEEK), DEEPSEEK)]
    assert deltas[0] == {"role": "assistant", "content": None}
    spoken = next(i for i, delta in enumerate(deltas) if delta.get("content"))
    assert all(delta["content"] is None for delta in deltas[:spoken])
    assert not any("reasoning_content" in delta for delta in deltas[spoken:])


def test_usage_is_streamed_only_when_asked_for() -> None:
    assert all(chunk["choices"] for chunk in stream(body("Hello"), GPT))
