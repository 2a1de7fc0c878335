"""LlamaIndex's messages and blocks, as they go over the wire. Nothing is sent."""

from __future__ import annotations

import base64
import copy
import io
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.llms.llm import ToolSelection
from pydantic import BaseModel

from llama_index_oxen.messages_out import to_wire
from oxen_inference.chat.families import Policy, policy_for
from oxen_inference.chat.messages import prepare_messages
from oxen_inference.errors import InvalidInputError
from tests.support.small_files import PDF, PNG, WAV

CACHE = CachePoint(cache_control=CacheControl(type="ephemeral"))


def data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def sent(*messages: ChatMessage, policy: Policy | None = None) -> list[dict[str, Any]]:
    return prepare_messages(to_wire(messages), policy=policy or policy_for("gpt-4o"))


def parts(*blocks: Any, role: str = "user") -> list[dict[str, Any]]:
    return sent(ChatMessage(role=role, blocks=list(blocks)))[0]["content"]


def test_text_is_a_string() -> None:
    messages = sent(ChatMessage("hi"), ChatMessage(role="system", content="Be brief."))
    assert messages == [
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "Be brief."},
    ]


@pytest.mark.parametrize(
    ("role", "wire"),
    [
        (MessageRole.DEVELOPER, "developer"),
        (MessageRole.CHATBOT, "assistant"),
        (MessageRole.MODEL, "assistant"),
    ],
)
def test_every_role_has_one_on_the_wire(role: MessageRole, wire: str) -> None:
    assert sent(ChatMessage(role=role, content="x"))[0]["role"] in {wire, "system"}


@pytest.mark.parametrize(
    ("block", "url"),
    [
        (ImageBlock(image=PNG), data_url("image/png", PNG)),
        (ImageBlock(image=base64.b64encode(PNG)), data_url("image/png", PNG)),
        (ImageBlock(image=io.BytesIO(PNG)), data_url("image/png", PNG)),
        (ImageBlock(image=PNG, image_mimetype="image/webp"), data_url("image/png", PNG)),
        (ImageBlock(url="https://e.org/ox.png"), "https://e.org/ox.png"),
        (ImageBlock(url=data_url("image/png", PNG)), data_url("image/png", PNG)),
    ],
)
def test_an_image_from_anywhere(block: ImageBlock, url: str) -> None:
    content = parts(TextBlock(text="What is this?"), block)
    assert content == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]


def test_files_by_path(tmp_path: Path) -> None:
    for name, data in (("ox.png", PNG), ("ox.wav", WAV), ("ox.mp4", b"video"), ("ox.pdf", PDF)):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "ox.md").write_text("# Ox")
    audio, image, video, pdf, unnamed, text = parts(
        ImageBlock(path=tmp_path / "ox.png", detail="low"),
        AudioBlock(path=tmp_path / "ox.wav"),
        VideoBlock(path=tmp_path / "ox.mp4"),
        DocumentBlock(path=tmp_path / "ox.pdf", title="Oxen"),
        DocumentBlock(path=tmp_path / "ox.pdf"),
        DocumentBlock(path=tmp_path / "ox.md", title="Notes"),
    )
    assert image["image_url"] == {"url": data_url("image/png", PNG), "detail": "low"}
    assert audio["audio_url"]["url"] == data_url("audio/wav", WAV)
    assert video["video_url"]["url"] == data_url("video/mp4", b"video")
    assert pdf["file"] == {"file_data": data_url("application/pdf", PDF), "filename": "Oxen"}
    assert unnamed["file"]["filename"] == "ox.pdf"
    assert text == {"type": "text", "text": "Notes:\n\n# Ox"}


def test_other_media() -> None:
    audio, video, pdf = parts(
        AudioBlock(audio=WAV, format="mp3"),
        VideoBlock(url="https://e.org/ox.mp4"),
        DocumentBlock(url="https://e.org/ox.pdf"),
    )
    assert audio["audio_url"]["url"] == data_url("audio/wav", WAV)
    assert video["video_url"]["url"] == "https://e.org/ox.mp4"
    assert pdf["file"]["file_url"] == "https://e.org/ox.pdf"


def test_a_buffer_is_left_as_it_was() -> None:
    buffer = io.BytesIO(PNG)
    buffer.seek(3)
    block = ImageBlock(image=buffer)
    assert parts(block) == parts(block)
    assert buffer.tell() == 3


def test_what_cannot_be_sent_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "ox.png"
    file.write_bytes(PNG)
    gone = ImageBlock(path=file)
    file.unlink()
    refused = [
        (gone, "ox.png cannot be read"),
        (ImageBlock(image=io.BytesIO(b"")), "empty"),
        (DocumentBlock(data=b"PK\x03\x04\xff\xff", document_mimetype="application/zip"), "PDF"),
        (ImageBlock(), "cannot be read"),
    ]
    for block, says in refused:
        with pytest.raises(InvalidInputError, match=says):
            parts(block)


def test_a_block_of_a_kind_nobody_knows_is_refused() -> None:
    class HologramBlock(BaseModel):
        block_type: str = "hologram"

    message = ChatMessage(role="user", blocks=[TextBlock(text="Look.")])
    message.blocks.append(HologramBlock())  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="HologramBlock"):
        sent(message)


def test_a_cache_point_marks_what_is_before_it() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    long = TextBlock(text="long")
    assert parts(long, CACHE, TextBlock(text="new")) == [
        {"type": "text", "text": "long", **mark},
        {"type": "text", "text": "new"},
    ]
    assert parts(long, CACHE, role="assistant") == [{"type": "text", "text": "long", **mark}]
    hour = CachePoint(cache_control=CacheControl(type="ephemeral", ttl="1h"))
    assert parts(long, hour)[0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert sent(ChatMessage(role="user", blocks=[CACHE]))[0]["content"] == ""


def test_citations_keep_their_source() -> None:
    source = CitableBlock(title="Oxen", source="p. 3", content="They pull.")
    cited = CitationBlock(
        cited_content="They pull.", source="p. 3", title="Oxen", additional_location_info={}
    )
    assert [p["text"] for p in parts(source)] == ["Source: Oxen (p. 3)", "They pull."]
    assert parts(cited) == "“They pull.” (Oxen, p. 3)"
    for blocks, text in (
        ([TextBlock(text="Yes."), cited], "Yes."),  # as it was said
        ([cited], "“They pull.” (Oxen, p. 3)"),
    ):
        assert sent(ChatMessage(role="assistant", blocks=blocks))[0]["content"] == text


def test_tool_calls_of_every_kind() -> None:
    calls = [
        {"id": "b", "type": "function", "function": {"name": "two", "arguments": '{"x": 1}'}},
        {"id": "c", "function": {"name": "three", "arguments": '{"x": '}},
    ]
    message = ChatMessage(
        role="assistant",
        blocks=[
            ToolCallBlock(tool_call_id="a", tool_name="one", tool_kwargs={"x": [1]}),
            ToolCallBlock(tool_call_id="b", tool_name="two", tool_kwargs='{"x": 1}'),
        ],
        additional_kwargs={"tool_calls": [{**calls[0], "extra_content": {"s": "t"}}, calls[1]]},
    )
    wire = sent(message)[0]
    assert wire["content"] is None
    found = [
        (c["id"], c["function"]["name"], c["function"]["arguments"]) for c in wire["tool_calls"]
    ]
    assert found == [
        ("a", "one", '{"x": [1]}'),
        ("b", "two", '{"x": 1}'),
        ("c", "three", '{"malformed_arguments": "{\\"x\\": "}'),
    ]
    assert wire["tool_calls"][1]["extra_content"] == {"s": "t"}


@pytest.mark.parametrize(
    "call",
    [
        {"type": "tool_use", "id": "a", "name": "one", "input": {"x": 1}},
        {"id": "a", "name": "one", "args": {"x": 1}},
        {"id": "a", "function": {"name": "one", "arguments": {"x": 1}}},
        ToolSelection(tool_id="a", tool_name="one", tool_kwargs={"x": 1}),
        ToolSelection(tool_id="a", tool_name="one", tool_kwargs={"x": 1}).model_dump(),
    ],
)
def test_calls_in_the_forms_of_other_integrations(call: Any) -> None:
    said = ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [call]})
    (wire,) = sent(said)[0]["tool_calls"]
    assert wire == {
        "id": "a",
        "type": "function",
        "function": {"name": "one", "arguments": '{"x": 1}'},
    }


def test_signed_thinking_of_another_integration_goes_back() -> None:
    signed = {"type": "thinking", "signature": "s"}
    hidden = {"type": "redacted_thinking", "data": "x"}
    blocks = [
        ThinkingBlock(content="hm", additional_information=signed),
        ThinkingBlock(additional_information=hidden),
        ThinkingBlock(content="unsigned"),
        ToolCallBlock(tool_call_id="a", tool_name="draw", tool_kwargs={}),
    ]
    history = (ChatMessage("draw"), ChatMessage(role="assistant", blocks=blocks))
    wire = sent(*history, policy=policy_for("claude-sonnet-4-6"))
    assert wire[1]["thinking_blocks"] == [{**signed, "thinking": "hm"}, hidden]
    later = sent(*history, ChatMessage("And?"), policy=policy_for("claude-sonnet-4-6"))
    assert "thinking_blocks" not in later[1]
    assert sent(*history)[1].keys() == {"role", "content", "tool_calls"}


def test_a_call_that_cannot_be_read_is_refused() -> None:
    said = ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": ["weather"]})
    with pytest.raises(InvalidInputError, match="tool call cannot be read: 'weather'"):
        sent(said)


def test_a_image_in_a_tools_result_follows_as_a_users_message() -> None:
    call = ToolCallBlock(tool_call_id="a", tool_name="draw", tool_kwargs={})
    result = ChatMessage(
        role="tool",
        blocks=[TextBlock(text="Drawn."), ImageBlock(image=PNG)],
        additional_kwargs={"tool_call_id": "a"},
    )
    _, tool, shown = sent(ChatMessage(role="assistant", blocks=[call]), result)
    assert tool == {"role": "tool", "tool_call_id": "a", "content": "Drawn."}
    assert shown["role"] == "user"
    assert shown["content"][0]["image_url"]["url"] == data_url("image/png", PNG)


def test_thinking_goes_back_where_the_family_needs_it() -> None:
    details = [{"type": "reasoning.text", "text": "hm", "signature": "s"}]
    thought = ThinkingBlock(content="hm", additional_information={"reasoning_details": details})
    call = ToolCallBlock(tool_call_id="a", tool_name="draw", tool_kwargs={})
    history = (
        ChatMessage("draw"),
        ChatMessage(role="assistant", blocks=[thought, call]),
        ChatMessage(role="tool", content="ok", additional_kwargs={"tool_call_id": "a"}),
    )
    plain = sent(*history)[1]
    assert "reasoning_content" not in plain
    assert plain["reasoning_details"] == details
    assert sent(*history, policy=policy_for("deepseek-v4-pro"))[1]["reasoning_content"] == "hm"


def test_the_callers_history_is_left_as_it_was() -> None:
    history = [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", blocks=[TextBlock(text="x"), CACHE, ImageBlock(image=PNG)]),
        ChatMessage(
            role="assistant",
            blocks=[
                ThinkingBlock(content="hm"),
                ToolCallBlock(tool_call_id="a", tool_name="t", tool_kwargs={"x": 1}),
            ],
            additional_kwargs={
                "tool_calls": [{"id": "a", "function": {"name": "t", "arguments": "{}"}}]
            },
        ),
        ChatMessage(role="tool", content="ok", additional_kwargs={"tool_call_id": "a"}),
    ]
    before = copy.deepcopy(history)
    sent(*history)
    assert history == before


def test_a_call_of_a_function_is_that_of_a_tool() -> None:
    call = {"name": "count", "arguments": '{"of": "oxen"}'}
    answer = ChatMessage(role="function", content="42", additional_kwargs={"name": "count"})
    said = ChatMessage(role="assistant", content="", additional_kwargs={"function_call": call})
    wire = sent(ChatMessage("How many?"), said, answer)
    assert [c["function"] for c in wire[1]["tool_calls"]] == [call]
    call_id = wire[1]["tool_calls"][0]["id"]
    assert wire[2] == {"role": "tool", "tool_call_id": call_id, "content": "42"}
    with pytest.raises(InvalidInputError, match="'count' comes after no call of it"):
        sent(answer)


def test_an_assistant_that_said_nothing_said_so() -> None:
    assert [one["content"] for one in sent(ChatMessage(role="assistant", blocks=[]))] == [""]


def test_a_citation_of_a_image_is_the_image() -> None:
    cited = ImageBlock(url="https://oxen.test/a.png")
    block = CitationBlock(cited_content=cited, source="s", title="t", additional_location_info={})
    assert parts(block) == [{"type": "image_url", "image_url": {"url": "https://oxen.test/a.png"}}]


def test_a_document_of_bytes_that_are_no_text_is_refused() -> None:
    block = DocumentBlock(data=b"\xff\xfe\x00", title="ox.bin", document_mimetype="text/plain")
    with pytest.raises(InvalidInputError, match="unknown encoding"):
        parts(block)


def test_a_document_by_its_address_is_of_the_stated_type() -> None:
    url = "https://oxen.test/a"
    with pytest.raises(InvalidInputError, match="PDF documents only, not text/plain"):
        parts(DocumentBlock(url=url, document_mimetype="text/plain"))
    assert parts(DocumentBlock(url=url, document_mimetype="image/png")) == [
        {"type": "image_url", "image_url": {"url": url}}
    ]


def test_a_text_that_speaks_of_pdfs_is_a_text() -> None:
    block = DocumentBlock(data=b"A file begins with %PDF.", title="a", document_mimetype="text/x")
    assert parts(block) == "a:\n\nA file begins with %PDF."
