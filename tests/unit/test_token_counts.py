"""How many tokens the prompt of a request may have, at most."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from oxen_inference.chat.token_counts import media_tokens, most_text_tokens, prompt_tokens

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "x" * 3000}}


def most_prompt_tokens(body: dict[str, Any]) -> int:
    return prompt_tokens(body, most_text_tokens)


def body(content: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


def data_url(size: int) -> str:
    return "data:video/mp4;base64," + base64.b64encode(bytes(size)).decode()


@pytest.mark.parametrize("text", ["an ox " * 500, "牛" * 900, ""])
def test_text_is_rather_over_than_underestimated(text: str) -> None:
    least = len(text) if not text.isascii() else len(text) / 4
    assert most_prompt_tokens(body(text)) >= least
    assert most_prompt_tokens(body([{"type": "text", "text": text}])) >= least


@pytest.mark.parametrize("size", [50_000, 3_000_000, 8_000_000])
def test_a_file_counts_by_its_size_and_not_by_its_letters(size: int) -> None:
    part = {"type": "video_url", "video_url": {"url": data_url(size)}}
    assert most_prompt_tokens(body([part])) == media_tokens("video", size)


def test_a_file_with_a_url_counts_as_one_of_usual_size() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com/ox.png"}}
    assert most_prompt_tokens(body([part])) == media_tokens("image")


def test_tool_calls_and_schemas_count() -> None:
    bare = most_prompt_tokens(body("hi"))
    called = body("hi")
    called["messages"].append({"role": "assistant", "content": None, "tool_calls": [CALL]})
    assert most_prompt_tokens(called) > bare + 700
    assert most_prompt_tokens(body("hi", tools=[{"description": "x" * 3000}])) > bare + 700
    assert most_prompt_tokens(body("hi", response_format={"schema": "x" * 3000})) > bare + 700
