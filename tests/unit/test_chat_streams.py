"""Streams cut and reordered at random: no untyped error, and no token lost or repeated."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_oxen.messages_in import to_chunk, to_message
from oxen_inference.chat import sse as sse_module
from oxen_inference.chat.answer import Delta
from oxen_inference.chat.completions import _read_rest, read_completion
from oxen_inference.chat.normalize import AnswerReader
from oxen_inference.chat.sse import SSEDecoder
from oxen_inference.errors import OxenError, StreamCutOffError, StreamError
from tests.support.scripted_server import delta, sse


def read(pieces: list[bytes]) -> list[Delta]:
    reader, decoder = AnswerReader(), SSEDecoder()
    deltas = []
    for piece in pieces:
        for name, data in decoder.feed(piece):
            deltas.append(reader.read_event(name, data))
    if not reader.done:
        deltas += _read_rest(reader, decoder, decoder.finish())
    deltas.append(reader.finish())
    return [d for d in deltas if d is not None]


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(p % (len(stream) + 1) for p in places), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


texts = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8)
places = st.lists(st.integers(0, 5000), max_size=30)
newlines = st.sampled_from(["\n", "\r\n", "\r"])


@given(texts, places, newlines, st.booleans())
@settings(max_examples=150, deadline=None)
def test_cuts_change_nothing(parts: list[str], cuts: list[int], newline: str, bom: bool) -> None:
    events = [delta(content=text) for text in parts]
    stream = sse(*events, delta("stop"), "[DONE]", newline=newline)
    deltas = read(cut((b"\xef\xbb\xbf" if bom else b"") + stream, cuts))
    assert [d.text for d in deltas if d.text] == parts
    assert deltas[-1].end is not None
    assert deltas[-1].end.text == "".join(parts)


def fragments(calls: list[dict[str, str]], index_of: Any) -> list[list[dict[str, Any]]]:
    """Per call its fragments, in order: the first with id and name, then the arguments."""
    rows = []
    for place, call in enumerate(calls):
        text = json.dumps(call)
        parts = [text[i : i + 5] for i in range(0, len(text), 5)]
        head = {
            "index": index_of(place),
            "id": f"call_{place}",
            "function": {"name": f"tool_{place}", "arguments": ""},
        }
        rows.append(
            [head] + [{"index": index_of(place), "function": {"arguments": p}} for p in parts]
        )
    return rows


arguments = st.dictionaries(st.text(max_size=4), st.text(max_size=8), max_size=3)


@given(st.lists(arguments, min_size=1, max_size=4), st.randoms(use_true_random=False), places)
@settings(max_examples=100, deadline=None)
def test_calls_may_be_interleaved_and_chunked_in_any_way(
    calls: list[dict[str, str]], chance: random.Random, cuts: list[int]
) -> None:
    queues = [row[:] for row in fragments(calls, lambda place: place + 1)]
    starts = [queue.pop(0) for queue in queues]
    chunks: list[list[dict[str, Any]]] = [starts]  # several in one chunk, numbered from 1
    while any(queues):
        queue = chance.choice([q for q in queues if q])
        chunks.append([queue.pop(0)])
        if chance.random() < 0.3:
            chunks[-1] += [q.pop(0) for q in queues if q and q is not queue]
    stream = sse(*(delta(tool_calls=c) for c in chunks), delta("tool_calls"), "[DONE]")
    end = read(cut(stream, cuts))[-1].end
    assert end is not None
    assert [json.loads(c.arguments) for c in end.tool_calls] == calls
    assert [c.id for c in end.tool_calls] == [f"call_{n}" for n in range(len(calls))]


@given(st.lists(arguments, min_size=1, max_size=4), st.sampled_from([lambda _: 0, lambda _: None]))
@settings(max_examples=100, deadline=None)
def test_calls_in_turn_need_no_index(calls: list[dict[str, str]], index_of: Any) -> None:
    chunks = [[fragment] for row in fragments(calls, index_of) for fragment in row]
    stream = sse(*(delta(tool_calls=c) for c in chunks), delta("tool_calls"), "[DONE]")
    end = read([stream])[-1].end
    assert end is not None
    assert [json.loads(c.arguments) for c in end.tool_calls] == calls


@given(texts, places, st.randoms(use_true_random=False), st.integers(0, 4000))
@settings(max_examples=150, deadline=None)
def test_a_damaged_stream_is_a_typed_error_or_an_answer(
    parts: list[str], cuts: list[int], chance: random.Random, end: int
) -> None:
    events = [sse(delta(content=t)) for t in parts] + [sse(delta("stop")), sse("[DONE]")]
    chance.shuffle(events)
    stream = b"".join(events)[:end]
    try:
        deltas = read(cut(stream, cuts))
    except OxenError:
        return
    shown = "".join(d.text for d in deltas)
    assert deltas[-1].end is not None
    assert deltas[-1].end.text == shown
    assert sum(map(len, parts)) >= len(shown)


FULL = delta(
    None,
    role="assistant",
    content=[{"type": "text", "text": "hi"}, {"type": "thinking", "thinking": [{"text": "hm"}]}],
    reasoning="hm",
    reasoning_details=[{"type": "reasoning.text", "text": "hm", "index": 0}],
    refusal="no",
    tool_calls=[
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}, "extra_content": {}}
    ],
)
FULL["usage"] = {
    "prompt_tokens": 1,
    "completion_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 1},
}
FULL["x_groq"] = {"usage": {"prompt_tokens": 1}}
FULL["choices"][0]["logprobs"] = {"content": [{"token": "hi", "logprob": -1.0}]}
FULL["choices"][0]["message"] = {"content": "hi", "function_call": {"name": "f", "arguments": "{}"}}
odd_values = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        10**30,
        1.5,
        float("nan"),
        "",
        "text",
        "error",
        [],
        {},
        [None],
        [[]],
        [{}],
        "null",
        "�",
        {"error": "x"},
        {"text": None},
        {"type": "text", "text": 1},
    ]
)


def spots(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a JSON value with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    found = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], dict | list):
            found += spots(value[key])
    return found


@given(st.lists(st.tuples(st.integers(0, 500), odd_values), min_size=1, max_size=3), st.booleans())
@settings(max_examples=400, deadline=None)
def test_malformed_values_never_raise_untyped_errors(
    changes: list[tuple[int, Any]], no_delta: bool
) -> None:
    chunk = json.loads(json.dumps(FULL))
    if no_delta:
        del chunk["choices"][0]["delta"]
    for place, value in changes:
        everywhere = spots(chunk)
        holder, key = everywhere[place % len(everywhere)]
        holder[key] = copy.deepcopy(value)
    try:
        end = read([sse(json.dumps(FULL), json.dumps(chunk), json.dumps(chunk), "[DONE]")])[-1].end
    except OxenError:
        return
    assert end is not None
    to_chunk(Delta(end=end))
    to_message(end)


@pytest.mark.parametrize("arguments", ["", "{}", '{"a', '{"a": {"b": 1}'])
def test_the_partial_answer_of_a_cut_off_stream_has_no_complete_call(arguments: str) -> None:
    call = {"index": 0, "id": "a", "function": {"name": "pay", "arguments": arguments}}
    with pytest.raises(StreamCutOffError) as caught:
        read([sse(delta(tool_calls=[call]))])
    message = to_message(caught.value.partial)
    assert message.tool_calls == []
    assert [call["name"] for call in message.invalid_tool_calls] == ["pay"]


@pytest.mark.parametrize("depth", [150, 300, 700, 990, 20_000])
def test_deep_values_never_raise_untyped_errors(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    for event in (nested, f'{{"choices": [{{"delta": {{"content": {nested}}}}}]}}'):
        for stream in (sse(event, delta("stop")), event.encode()):
            with contextlib.suppress(OxenError):
                assert read([stream])[-1].end is not None
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    with contextlib.suppress(OxenError):
        assert read_completion({"choices": [{"message": {"content": value}}]}).text


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_random_bytes_never_raise_untyped_errors(noise: bytes) -> None:
    with contextlib.suppress(OxenError):
        read([noise])


@pytest.mark.parametrize("noise", [b'"\x80"', b'{"\xff": 1}\n{', b'{"choices": "\xed\xa0\x80"}'])
def test_bytes_that_are_almost_json_raise_typed_errors(noise: bytes) -> None:
    with pytest.raises(OxenError):
        read([noise])


@pytest.mark.parametrize("length", [1, 3])
def test_surrogate_halves_are_joined(length: int) -> None:
    ox = json.dumps("\N{OX}")[1:-1]
    halves = [f'{{"choices": [{{"delta": {{"content": "{part}"}}}}]}}' for part in (ox[:6], ox[6:])]
    end = read([sse(*halves * length, delta("stop"), "[DONE]")])[-1].end
    assert end is not None
    assert end.text == "\N{OX}" * length


def test_a_line_end_may_be_cut_in_two() -> None:
    stream = sse(delta(content="a"), delta(content="b"), delta("stop"), "[DONE]", newline="\r\n")
    whole = [(d.text, d.end is not None) for d in read([stream])]
    edges = [at + 1 for at in range(len(stream)) if stream[at : at + 2] == b"\r\n"]
    assert [(d.text, d.end is not None) for d in read(cut(stream, edges))] == whole
    assert "".join(text for text, _ in whole) == "ab"
    alone = sse(delta(content="a"), delta("stop"), "[DONE]", newline="\r")
    pieces = [alone[at : at + 1] for at in range(len(alone))]
    assert "".join(d.text for d in read(pieces)) == "a"


def test_an_event_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse_module, "_MAX_EVENT_BYTES", 100_000)
    decoder = SSEDecoder()
    decoder.feed(b"data: ")
    with pytest.raises(StreamError, match="larger than"):
        for _ in range(20):
            decoder.feed(b"x" * 10_000)
