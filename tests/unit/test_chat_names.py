"""Names and ids in the characters that providers take."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxen_inference.chat.answer import Expected
from oxen_inference.chat.names import NameMap, rename_calls, safe_name
from oxen_inference.chat.normalize import AnswerReader
from tests.support.scripted_server import delta

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
IDS = {
    "common": r"[a-zA-Z0-9_-]{1,40}",
    "mistral": r"[a-zA-Z0-9]{9}",
    "kimi": r"functions\.[\w-]+:\d+",
}
names = st.text(min_size=1, max_size=80) | st.sampled_from(["a.b", "a_b", "a/b", "ab", "x" * 64])


@given(st.lists(names, unique=True))
def test_names_are_taken_differ_and_come_back(given_names: list[str]) -> None:
    mapped = NameMap(given_names)
    sent = [mapped.to_wire(name) for name in given_names]
    assert all(NAME.fullmatch(name) for name in sent)
    assert len(set(sent)) == len(sent)
    assert [mapped.originals.get(name, name) for name in sent] == given_names
    for name in given_names:
        assert not NAME.fullmatch(name) or mapped.to_wire(name) == name


def test_a_name_that_another_tool_has_already() -> None:
    taken = safe_name("a.b")
    mapped = NameMap(["a.b", taken])
    assert mapped.to_wire(taken) == taken
    assert mapped.originals[mapped.to_wire("a.b")] == "a.b"


def test_names_can_be_read_and_are_the_same_in_every_process() -> None:
    assert safe_name("Flug-Assistent Süd").startswith("Flug-Assistent_Sud_")
    code = (
        "from oxen_inference.chat.names import safe_name; print(safe_name('a.b'), safe_name('京'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [safe_name("a.b"), safe_name("京")]


def turns(*groups: list[str]) -> list[dict[str, Any]]:
    """Turns with calls of these ids, and their results in the same order."""
    messages: list[dict[str, Any]] = []
    for group in groups:
        calls = [{"id": i, "type": "function", "function": {"name": "f.g", "arguments": "{}"}} for i in group]  # fmt: skip
        messages.append({"role": "assistant", "tool_calls": calls})
        messages += [{"role": "tool", "tool_call_id": i, "content": "r"} for i in group]
    return messages


def ids(messages: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    called = [call["id"] for m in messages for call in m.get("tool_calls") or ()]
    return called, [m["tool_call_id"] for m in messages if m["role"] == "tool"]


call_ids = st.sampled_from(["", "a", "call_1", "functions.f:0", "functions.f:1", "x" * 41, "x" * 50, "ä", "aB3dE6gH9"])  # fmt: skip


@pytest.mark.parametrize("form", ["common", "mistral", "kimi"])
@given(st.lists(st.lists(call_ids, min_size=1, max_size=3), max_size=4))
def test_every_call_has_an_id_of_its_own_and_its_result_names_it(
    form: Any, groups: list[list[str]]
) -> None:
    messages = turns(*groups)
    rename_calls(messages, NameMap([]), form)
    called, answered = ids(messages)
    assert called == answered
    assert len(set(called)) == len(called)
    assert all(re.fullmatch(IDS[form], one) for one in called)
    # What was sent before stays the same when the conversation goes on.
    shorter = turns(*groups[:-1])
    rename_calls(shorter, NameMap([]), form)
    assert ids(shorter)[0] == called[: len(ids(shorter)[0])]


@pytest.mark.parametrize("streamed", ["{}", "", None])
@given(data=st.data())
def test_a_streamed_name_comes_back_however_it_is_cut(
    streamed: str | None, data: st.DataObject
) -> None:
    originals = NameMap(["calendar.list"]).originals
    (sent,) = originals
    cuts = sorted({0, len(sent), *data.draw(st.lists(st.integers(0, len(sent)), max_size=3))})
    reader = AnswerReader(Expected(tool_names=originals))
    deltas = []
    for number, (start, end) in enumerate(itertools.pairwise(cuts)):
        first = {"id": "c"} if number == 0 else {}
        call = {"index": 0, **first, "function": {"name": sent[start:end], "arguments": ""}}
        deltas.append(reader.read(delta(tool_calls=[call])))
    if streamed is not None:
        call = {"index": 0, "function": {"arguments": streamed}}
        deltas.append(reader.read(delta(tool_calls=[call])))
    reader.read(delta("tool_calls"))
    deltas.append(reader.finish())
    emitted = [tool.name for each in deltas if each for tool in each.tools if tool.name]
    assert emitted == ["calendar.list"]
    assert deltas[-1].end.tool_calls[0].name == "calendar.list"
