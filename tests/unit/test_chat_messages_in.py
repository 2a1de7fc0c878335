"""Answers as LangChain's messages, and what chunks add up to."""

from __future__ import annotations

from decimal import Decimal
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_oxen import messages_in
from langchain_oxen.messages_in import PROVIDER, to_chunk, to_message
from llama_index_oxen.messages_in import to_response
from oxen_inference.chat.answer import Answer, Delta, ToolCall, ToolDelta
from oxen_inference.chat.usage import Usage


def test_the_short_cut_makes_what_the_constructors_make(monkeypatch: pytest.MonkeyPatch) -> None:
    assert messages_in._SHAPE_IS_KNOWN, "this LangChain's chunks have fields the short cut lacks"
    about = {"model_provider": PROVIDER}
    short = to_chunk(Delta(text="hi", reasoning="hm"))
    long = ChatGenerationChunk(
        message=AIMessageChunk(
            content="hi", additional_kwargs={"reasoning_content": "hm"}, response_metadata=about
        )
    )
    assert short == long
    for a, b in ((short, long), (short.message, long.message)):
        assert type(a) is type(b)
        assert a.__dict__.keys() == b.__dict__.keys()
        assert a.__pydantic_fields_set__ == b.__pydantic_fields_set__
        assert a.__pydantic_extra__ == b.__pydantic_extra__
        assert a.model_dump() == b.model_dump()
    assert to_chunk(Delta(text="x")).message.tool_calls is not short.message.tool_calls  # type: ignore[attr-defined]
    monkeypatch.setattr(messages_in, "_SHAPE_IS_KNOWN", False)
    assert to_chunk(Delta(text="hi", reasoning="hm")) == long


END = Answer(
    text="hi",
    reasoning="hm",
    tool_calls=[ToolCall("a", "f", '{"x": 1}')],
    finish_reason="tool_calls",
    usage=Usage(10, 5, 15, cache_read=3, reasoning=2),
    id="chatcmpl-1",
    model="ox-1",
)
DELTAS = [
    Delta(reasoning="h"),
    Delta(reasoning="m"),
    Delta(text="h"),
    Delta(text="i"),
    Delta(tools=[ToolDelta(0, "a", "f")]),
    Delta(tools=[ToolDelta(0, arguments='{"x": ')]),
    Delta(tools=[ToolDelta(0, arguments="1}")]),
]


def whole(deltas: list[Delta], end: Answer) -> Any:
    chunks = [to_chunk(d).message for d in deltas]
    return reduce(add, [*chunks, to_chunk(Delta(end=end)).message])


def test_chunks_add_up_to_the_message() -> None:
    message, total = to_message(END), whole(DELTAS, END)
    for field in (
        "content",
        "additional_kwargs",
        "response_metadata",
        "tool_calls",
        "usage_metadata",
    ):
        assert getattr(total, field) == getattr(message, field), field
    assert total.content_blocks == message.content_blocks


def test_blocks_come_in_the_order_they_were_said() -> None:
    assert [b["type"] for b in to_message(END).content_blocks] == ["reasoning", "text", "tool_call"]


def test_blocks_of_chunks_name_what_they_extend() -> None:
    indices = [b["index"] for d in DELTAS for b in to_chunk(d).message.content_blocks]
    assert indices == ["lc_rs_0"] * 2 + ["lc_txt_0"] * 2 + ["lc_tc_0"] * 3


def test_content_that_is_blocks_already_stays_so() -> None:
    about = {"model_provider": PROVIDER}
    message = AIMessage([{"type": "text", "text": "hi"}], response_metadata=about)
    assert message.content_blocks == [{"type": "text", "text": "hi"}]


def test_usage_details() -> None:
    assert to_message(END).usage_metadata == {
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 15,
        "input_token_details": {"cache_read": 3},
        "output_token_details": {"reasoning": 2},
    }


BROKEN = ['{"a": "b', '{"a": "b\\', '{"a": ["b", {"c": 1', '{"a": 1,', "[1, 2]", "42", "nonsense", '{"a": "]', "{", pytest.param('{"a": ' + "[" * 20_000, id="brackets without end")]  # fmt: skip


@pytest.mark.parametrize("arguments", BROKEN)
def test_broken_arguments_are_never_completed(arguments: str) -> None:
    end = Answer(tool_calls=[ToolCall("a", "pay", arguments)], finish_reason="length")
    for message in (
        to_message(end),
        whole([Delta(tools=[ToolDelta(0, "a", "pay", arguments)])], end),
    ):
        assert message.tool_calls == []
        assert [c["name"] for c in message.invalid_tool_calls] == ["pay"]
        assert message.invalid_tool_calls[0]["args"].startswith(arguments)


@pytest.mark.parametrize("known", ["cost", "cost_estimate"])
def test_what_is_known_of_the_cost_is_said_once(known: str) -> None:
    end = Answer(text="hi", finish_reason="stop", **{known: Decimal("0.0010")})
    for message in (to_message(end), whole([Delta(text="hi")], end)):
        told = {n: v for n, v in message.response_metadata.items() if n.startswith("cost")}
        assert told == {known: "0.0010"}
    raw = to_response(end).raw
    assert raw is not None
    assert {n: v for n, v in raw.items() if n.startswith("cost")} == {known: "0.0010"}
