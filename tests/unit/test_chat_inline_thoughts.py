"""Thoughts that come in the text, before the object that was asked for."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxen_inference.chat.answer import Expected
from oxen_inference.chat.completions import read_completion
from oxen_inference.chat.normalize import AnswerReader
from oxen_inference.chat.reasoning import InlineThoughts, without_thoughts
from tests.support.scripted_server import completion, delta

OBJECT = '{"name": "Łódź </think> 京都"}'
TEXTS = [
    (f"<think>Perhaps {{a}}.</think>\n\n{OBJECT}", OBJECT, "Perhaps {a}."),
    (f"\n<think>\n\n</think>{OBJECT}", OBJECT, ""),
    (f"<thinking>hm < </thinking> {OBJECT}", OBJECT, "hm <"),
    (OBJECT, OBJECT, ""),
    (f"Here: {OBJECT}", f"Here: {OBJECT}", ""),
    ("<think>cut off", "", "cut off"),
    ("<thin", "<thin", ""),
]


@pytest.mark.parametrize(("text", "rest", "thought"), TEXTS)
@given(data=st.data())
def test_any_cut_gives_the_same(data: st.DataObject, text: str, rest: str, thought: str) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8))
    bounds = sorted({0, len(text), *cuts})
    thoughts = InlineThoughts()
    pieces = [thoughts.feed(text[start:end]) for start, end in pairwise(bounds)]
    pieces.append(thoughts.finish())
    assert "".join(piece for piece, _ in pieces) == rest
    assert "".join(piece for _, piece in pieces).strip() == thought


@pytest.mark.parametrize(("text", "rest", "thought"), TEXTS)
@given(data=st.data())
def test_bytes_may_be_cut_inside_a_character(
    data: st.DataObject, text: str, rest: str, thought: str
) -> None:
    from oxen_inference.chat.sse import SSEDecoder

    event = json.dumps(delta("stop", content=text), ensure_ascii=False)
    raw = f"data: {event}\n\ndata: [DONE]\n\n".encode()
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=8))
    reader, decoder = AnswerReader(Expected(is_object=True)), SSEDecoder()
    for start, end in pairwise(sorted({0, len(raw), *cuts})):
        for name, content in decoder.feed(raw[start:end]):
            reader.read_event(name, content)
    answer = reader.finish().end
    assert answer is not None
    assert (answer.text, answer.reasoning.strip()) == (rest, thought)


def test_a_text_that_is_no_object_stays_as_it_is() -> None:
    text = "<think> is a tag"
    assert read_completion(completion({"content": text})).text == text


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (f"It is Bo. {{x}}</think>\n{OBJECT}", OBJECT),
        (OBJECT, OBJECT),
        (f"```json\n{OBJECT}\n```", f"```json\n{OBJECT}\n```"),
        ("no object", "no object"),
    ],
)
def test_thoughts_whose_beginning_is_in_the_prompt(text: str, rest: str) -> None:
    assert without_thoughts(text) == rest
