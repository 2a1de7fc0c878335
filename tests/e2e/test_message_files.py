"""Files in a conversation: what is read, what type it is sent as, and what it counts."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, trim_messages

from langchain_oxen import ChatOxen
from oxen_inference import ConfigurationError, InvalidInputError
from tests.support.scripted_server import ScriptedServer, completion, delta, http, stream
from tests.support.small_files import PDF, PNG

WHOLE, STREAM = http(completion({"content": "ok"})), stream(delta(content="ok"), delta("stop"))


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def sent(block: dict[str, Any], way: str, **options: Any) -> dict[str, Any]:
    """Return the part that a block is sent as."""
    with ScriptedServer(STREAM if "stream" in way else WHOLE) as server:
        model = ChatOxen(model="ox-1", api_key="k", base_url=server.url, cost=False, **options)
        given = [HumanMessage([block])]
        if way == "invoke":
            model.invoke(given)
        elif way == "ainvoke":
            await model.ainvoke(given)
        elif way == "stream":
            list(model.stream(given))
        else:
            _ = [chunk async for chunk in model.astream(given)]
        part: dict[str, Any] = server.requests[0].json["messages"][0]["content"][0]
    assert given == [HumanMessage([block])]
    return part


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_folder_that_may_be_read(way: str, tmp_path: Path) -> None:
    (tmp_path / "ox.jpg").write_bytes(PNG)  # the name is wrong
    (tmp_path / "oxen.pdf").write_bytes(PDF)
    (tmp_path / "oxen.md").write_text("An ox.")
    (tmp_path / "empty.png").touch()
    folder = {"inputs_from": tmp_path}
    image = await sent({"type": "image", "path": "ox.jpg"}, way, **folder)
    assert image["image_url"]["url"] == f"data:image/png;base64,{encoded(PNG)}"
    file = await sent({"type": "file", "path": "oxen.pdf"}, way, **folder)
    assert file["file"] == {
        "file_data": f"data:application/pdf;base64,{encoded(PDF)}",
        "filename": "oxen.pdf",
    }
    text = await sent({"type": "file", "path": "oxen.md"}, way, **folder)
    assert text == {"type": "text", "text": "oxen.md:\n\nAn ox."}
    url = (tmp_path / "ox.jpg").as_uri()
    assert await sent({"type": "image", "url": url}, way, **folder) == image
    for path, why in (
        ("../ox.jpg", "There is no file"),
        ("cow.png", "There is no file"),
        ("empty.png", "is empty"),
    ):
        with pytest.raises(InvalidInputError, match=why):
            await sent({"type": "image", "path": path}, way, **folder)
    with pytest.raises(InvalidInputError, match="inputs_from"):
        await sent({"type": "image", "path": "ox.jpg"}, way)


def test_a_folder_that_does_not_exist_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="inputs_from must be a folder that exists"):
        ChatOxen(model="gpt-4o", api_key="k", inputs_from=tmp_path / "none")


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_an_image_needs_no_type(way: str) -> None:
    for block in (
        {"type": "image", "base64": encoded(PNG)},
        {"type": "image", "source_type": "base64", "data": encoded(PNG)},
    ):
        part = await sent(block, way)
        assert part["image_url"]["url"] == f"data:image/png;base64,{encoded(PNG)}"


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_text_file_in_the_first_standard_form(way: str) -> None:
    for name in ("text", "data"):
        part = await sent({"type": "file", "source_type": "text", name: "an ox"}, way)
        assert part == {"type": "text", "text": "an ox"}
    for block in (
        {"type": "image", "source_type": "url"},
        {"type": "file", "source_type": "base64"},
        {"type": "image", "base64": 3},
        {"type": ["image"]},
    ):
        with pytest.raises(InvalidInputError):
            await sent(block, way)


def test_files_count_by_their_kind_and_not_by_their_letters() -> None:
    model = ChatOxen(model="ox-1", api_key="k", base_url="http://localhost:1/api/ai")
    large = encoded(PDF + b"0" * 3_000_000)
    counts = {
        kind: model.get_num_tokens_from_messages(
            [HumanMessage([{"type": kind, "base64": large, "mime_type": mime}])]
        )
        for kind, mime in (
            ("file", "application/pdf"),
            ("audio", "audio/wav"),
            ("video", "video/mp4"),
            ("image", "image/png"),
        )
    }
    assert all(50 < count < len(large) / 40 for count in counts.values()), counts
    assert model.get_num_tokens("牛は働く。") >= 4
    kept = trim_messages(
        [HumanMessage([{"type": "file", "base64": encoded(PDF * 200), "mime_type": "application/pdf"}])],
        max_tokens=20_000,
        token_counter=model,
    )  # fmt: skip
    assert len(kept) == 1


LARGE = encoded(PNG + b"0" * 75_000)
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": LARGE}}
SHOT = {"type": "input_image", "image_url": "data:image/png;base64," + LARGE}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "x"}, IMAGE]},
        {"type": "non_standard", "value": {"type": "tool_result", "content": [IMAGE]}},
        {"type": "computer_call_output", "call_id": "c", "output": SHOT},
        {"type": "document", "source": {"type": "content", "content": [IMAGE]}},
    ],
)  # fmt: skip
def test_a_file_inside_another_block_counts_as_a_file(block: Any) -> None:
    model = ChatOxen(model="ox-1", api_key="k", base_url="http://localhost:1/api/ai")
    assert 800 < model.get_num_tokens_from_messages([HumanMessage([block])]) < 900
    long = {"type": "tool_result", "tool_use_id": "c", "content": "an ox at dawn, " * 1000}
    assert model.get_num_tokens_from_messages([HumanMessage([long])]) > 3750


@pytest.mark.parametrize(
    "content",
    [
        "",
        [],
        [{"type": "text", "text": "Let me see."}],
        [{"type": "tool_use", "id": "c", "name": "write", "input": {}}],
        [{"type": "tool_use", "id": "c", "name": "write", "input": {"text": "x" * 20_000}}],
        [{"type": "function_call", "call_id": "c", "name": "write", "arguments": "x" * 20_000}],
    ],
)
def test_the_calls_of_a_message_count_once(content: Any) -> None:
    model = ChatOxen(model="ox-1", api_key="k", base_url="http://localhost:1/api/ai")
    call = {"id": "c", "name": "write", "args": {"text": "x" * 20_000}}
    message = AIMessage(content, tool_calls=[call])
    assert 5000 < model.get_num_tokens_from_messages([message]) < 5100
    broken = {"id": "c", "name": "write", "args": "x" * 20_000, "error": None}
    message = AIMessage(content, invalid_tool_calls=[broken])
    assert 5000 < model.get_num_tokens_from_messages([message]) < 5100
