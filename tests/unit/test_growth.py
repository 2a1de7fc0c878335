"""Objects that stream in are read a bounded number of times, and to their end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk

from langchain_oxen import structured
from oxen_inference.chat.growth import Growth

ITEMS = {"items": [{"id": number, "name": f"ox {number}"} for number in range(1600)]}
TEXT = json.dumps(ITEMS)
PARTS = [TEXT[i : i + 12] for i in range(0, len(TEXT), 12)]


def test_a_short_text_is_read_at_each_chunk_and_a_long_one_as_it_grows() -> None:
    growth = Growth()
    assert [growth.is_due(length) for length in (0, 1, 2, 2, 100, 101)] == [
        False, True, True, False, True, True,
    ]  # fmt: skip
    read = [length for length in range(1, 200_000) if Growth.is_due(growth, length)]
    assert sum(read) < 200 * 200_000  # characters: as much as 200 times the whole


def called(part: str, *, name: str | None = None) -> AIMessageChunk:
    call = ToolCallChunk(name=name, args=part, id=None, index=0, type="tool_call_chunk")
    return AIMessageChunk(content="", tool_call_chunks=[call])


def chunks(tool: str | None) -> list[AIMessageChunk]:
    if tool is None:
        return [*(AIMessageChunk(content=p) for p in PARTS), AIMessageChunk(content="", chunk_position="last")]  # fmt: skip
    return [called("", name=tool), *map(called, PARTS), AIMessageChunk(content="", chunk_position="last")]  # fmt: skip


@pytest.mark.parametrize("tool", ["Herd", None])
async def test_a_long_object_arrives_in_steps(tool: str | None, monkeypatch: Any) -> None:
    read = structured.ObjectParser.read_partial
    characters = []

    def counting(parser: Any, text: str) -> Any:
        characters.append(len(text))
        return read(parser, text)

    monkeypatch.setattr(structured.ObjectParser, "read_partial", counting)
    parser = structured.ObjectParser(tool=tool)
    values = list(parser.transform(iter(chunks(tool))))
    assert values[-1] == ITEMS
    assert len(values) > 200
    assert [len(v.get("items", ())) for v in values] == sorted(
        len(v.get("items", ())) for v in values
    )
    assert sum(characters) < 200 * len(TEXT)

    async def source() -> Any:
        for chunk in chunks(tool):
            yield chunk

    assert [value async for value in parser.atransform(source())] == values
