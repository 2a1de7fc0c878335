"""Every form of content LangChain has, and what goes over the wire for it."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_oxen.messages_out import to_wire
from oxen_inference.chat.families import Policy
from oxen_inference.chat.messages import prepare_messages
from oxen_inference.errors import InvalidInputError
from tests.support.langchain_suites import PDF, PNG, WAV

URL = "https://oxen.test/a"
B64 = base64.b64encode(PNG).decode()
WAV64 = base64.b64encode(WAV).decode()
PDF64 = base64.b64encode(PDF).decode()
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{B64}"}}
IMAGE_AT = {"type": "image_url", "image_url": {"url": URL}}
AUDIO = {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{WAV64}"}}
VIDEO_AT = {"type": "video_url", "video_url": {"url": URL}}
FILE = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF64}"}}
FILE_AT = {"type": "file", "file": {"file_url": URL}}
TEXT = {"type": "text", "text": "hi"}

FORMS: list[tuple[str, Any, Any]] = [
    ("string", "hi", TEXT),
    ("text", {"type": "text", "text": "hi", "index": 0, "id": "x", "annotations": []}, TEXT),
    ("text without a type", {"text": "hi"}, TEXT),
    ("input_text", {"type": "input_text", "text": "hi"}, TEXT),
    ("text-plain, base64", {"type": "text-plain", "base64": base64.b64encode(b"hi").decode()}, TEXT),
    ("Anthropic document of text", {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "hi"}]}}, TEXT),
    ("Anthropic document as a string", {"type": "document", "source": {"type": "content", "content": "hi"}}, TEXT),
    ("v1 image, bytes", {"type": "image", "base64": PNG, "mime_type": "image/png"}, IMAGE),
    ("text-plain", {"type": "text-plain", "text": "hi", "mime_type": "text/plain"}, TEXT),
    ("v0 text file", {"type": "file", "source_type": "text", "text": "hi"}, TEXT),
    ("text file", {"type": "file", "base64": base64.b64encode(b"hi").decode(), "mime_type": "text/csv"}, TEXT),
    ("text file of bytes", {"type": "file", "base64": b"hi", "mime_type": "text/plain"}, TEXT),
    ("text file without a type", {"type": "file", "base64": base64.b64encode(b"hi").decode()}, TEXT),
    ("text file with a name", {"type": "input_file", "filename": "a.csv", "file_data": "data:text/csv;base64," + base64.b64encode(b"hi").decode()}, {"type": "text", "text": "a.csv:\n\nhi"}),
    ("Anthropic document, text with a title", {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}, "title": "Oxen", "context": "a letter"}, {"type": "text", "text": "Oxen\na letter:\n\nhi"}),
    ("text-plain with a title", {"type": "text-plain", "text": "hi", "title": "Oxen"}, {"type": "text", "text": "Oxen:\n\nhi"}),
    ("image by its address alone", {"type": "image", "source": URL}, IMAGE_AT),
    ("document by its address alone", {"type": "document", "source": URL}, FILE_AT),
    ("image_url", {"type": "image_url", "image_url": {"url": URL}}, IMAGE_AT),
    ("image_url, a string", {"type": "image_url", "image_url": URL}, IMAGE_AT),
    ("image_url with detail", {"type": "image_url", "image_url": {"url": URL, "detail": "low"}}, {"type": "image_url", "image_url": {"url": URL, "detail": "low"}}),
    ("v1 image, URL", {"type": "image", "url": URL}, IMAGE_AT),
    ("v1 image, base64", {"type": "image", "base64": B64, "mime_type": "image/png"}, IMAGE),
    ("v1 image, base64, no type", {"type": "image", "base64": B64}, IMAGE),
    ("v0 image, URL", {"type": "image", "source_type": "url", "url": URL}, IMAGE_AT),
    ("v0 image, base64", {"type": "image", "source_type": "base64", "data": B64, "mime_type": "image/png"}, IMAGE),
    ("Anthropic image", {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": B64}}, IMAGE),
    ("Anthropic image, URL", {"type": "image", "source": {"type": "url", "url": URL}}, IMAGE_AT),
    ("input_image", {"type": "input_image", "image_url": URL}, IMAGE_AT),
    ("Google media", {"type": "media", "mime_type": "image/png", "data": B64}, IMAGE),
    ("video_url", {"type": "video_url", "video_url": {"url": URL}}, VIDEO_AT),
    ("v1 video", {"type": "video", "url": URL}, VIDEO_AT),
    ("audio_url", {"type": "audio_url", "audio_url": AUDIO["audio_url"]}, AUDIO),
    ("input_audio", {"type": "input_audio", "input_audio": {"data": WAV64, "format": "wav"}}, AUDIO),
    ("v1 audio", {"type": "audio", "base64": WAV64, "mime_type": "audio/wav"}, AUDIO),
    ("v1 audio, no type", {"type": "audio", "base64": WAV64}, AUDIO),
    ("v0 audio", {"type": "audio", "source_type": "base64", "data": WAV64, "mime_type": "audio/wav"}, AUDIO),
    ("OpenAI file", FILE, FILE),
    ("a file that is an image", {"type": "file", "url": "https://oxen.test/a", "mime_type": "image/png"}, {"type": "image_url", "image_url": {"url": "https://oxen.test/a"}}),
    ("OpenAI file with a name", {"type": "file", "file": {**FILE["file"], "filename": "a.pdf"}}, {"type": "file", "file": {**FILE["file"], "filename": "a.pdf"}}),  # type: ignore[dict-item]
    ("file by URL", FILE_AT, FILE_AT),
    ("v1 file", {"type": "file", "base64": PDF64, "mime_type": "application/pdf"}, FILE),
    ("v1 file, URL", {"type": "file", "url": URL}, FILE_AT),
    ("v0 file", {"type": "file", "source_type": "base64", "data": PDF64, "mime_type": "application/pdf"}, FILE),
    ("v1 file with a name", {"type": "file", "base64": PDF64, "mime_type": "application/pdf", "extras": {"filename": "a.pdf"}}, {"type": "file", "file": {**FILE["file"], "filename": "a.pdf"}}),  # type: ignore[dict-item]
    ("Anthropic document", {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF64}}, FILE),
    ("Anthropic document, URL", {"type": "document", "source": {"type": "url", "url": URL}}, FILE_AT),
    ("Anthropic document, text", {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}}, TEXT),
    ("non_standard", {"type": "non_standard", "value": {"type": "image_url", "image_url": URL}}, IMAGE_AT),
    ("cache mark", {**TEXT, "cache_control": {"type": "ephemeral"}}, {**TEXT, "cache_control": {"type": "ephemeral"}}),
    ("cache mark in extras", {**TEXT, "extras": {"cache_control": {"type": "ephemeral"}}}, {**TEXT, "cache_control": {"type": "ephemeral"}}),
]  # fmt: skip


def sent(*messages: BaseMessage) -> list[dict[str, Any]]:
    before = copy.deepcopy(messages)
    wire = prepare_messages(to_wire(messages), policy=Policy("always", signed_thinking=True))
    assert messages == before
    return wire


@pytest.mark.parametrize(("block", "part"), [f[1:] for f in FORMS], ids=[f[0] for f in FORMS])
def test_form(block: Any, part: dict[str, Any]) -> None:
    assert sent(HumanMessage([block])) == [{"role": "user", "content": [part]}]
    # The same in a tool's result: text in it, media behind it.
    result = sent(ToolMessage([block], tool_call_id="a"))
    if part["type"] == "text":
        assert len(result) == 1
    else:
        assert result[1]["content"][0] == part


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"type": "holograph", "data": "x"}, "holograph"),
        ({"type": "image", "file_id": "file-1"}, "no uploaded files"),
        ({"type": "image"}, "neither a URL nor base64"),
        ({"type": "video", "base64": "AAAA"}, "mime_type"),
        ({"type": "file", "base64": "AAAA", "mime_type": "text/csv"}, "PDF documents only"),
        (
            {"type": "file", "base64": "UEsDBA==", "mime_type": "application/zip"},
            "PDF documents only",
        ),
        ({"type": "text-plain", "base64": "x"}, "not valid base64"),
        ({"type": "text-plain", "base64": "%%%"}, "not valid base64"),
        ({"type": "image", "source": 3}, "neither a URL nor base64"),
        ({"type": "image", "source_type": "url"}, "neither a URL nor base64"),
        ({"type": "input_audio", "input_audio": "x"}, "neither a URL nor base64"),
    ],
)
def test_what_has_no_equivalent_is_refused(block: Any, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        sent(HumanMessage([block]))


def test_roles_and_names() -> None:
    wire = sent(
        SystemMessage([{"type": "text", "text": "Be kind."}], name="boss"),
        ChatMessage("Be brief.", role="developer"),
        HumanMessage("hi", name="ann"),
        AIMessage("hello", name="ox"),
    )
    assert wire == [
        {"role": "system", "content": "Be kind.", "name": "boss"},
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi", "name": "ann"},
        {"role": "assistant", "content": "hello", "name": "ox"},
    ]


CALL = {"name": "weather", "args": {"city": "Paris"}, "id": "a", "type": "tool_call"}
WIRE_CALL = {
    "id": "a",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
}


def test_text_and_calls_go_together() -> None:
    said = AIMessage("Let me look.", tool_calls=[CALL])
    wire = sent(said, ToolMessage("sunny", tool_call_id="a"))
    assert wire[0] == {"role": "assistant", "content": "Let me look.", "tool_calls": [WIRE_CALL]}
    assert wire[1] == {"role": "tool", "tool_call_id": "a", "content": "sunny"}


def test_calls_alone_have_null_content() -> None:
    assert sent(AIMessage("", tool_calls=[CALL]))[0]["content"] is None
    assert sent(AIMessage(""))[0]["content"] == ""


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "So:"}, {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Paris"}}],
        [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "So:"}, {"type": "tool_call", "id": "a", "name": "weather", "args": {"city": "Paris"}}],
        [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "h"}, {"type": "summary_text", "text": "m"}]}, {"type": "text", "text": "So:"}, {"type": "tool_call", "id": "a", "name": "weather", "args": {"city": "Paris"}}],
        [{"type": "reasoning_content", "reasoning_content": {"text": "hm", "signature": "s"}}, {"type": "text", "text": "So:"}, {"type": "tool_call", "id": "a", "name": "weather", "args": {"city": "Paris"}}],
    ],
)  # fmt: skip
@pytest.mark.parametrize("listed", [True, False])
def test_histories_of_other_providers(content: Any, listed: bool) -> None:
    said = AIMessage(content, tool_calls=[CALL] if listed else [])
    (wire,) = sent(said)
    wire.pop("thinking_blocks", None)
    assert [wire] == [
        {
            "role": "assistant",
            "content": "So:",
            "reasoning_content": "hm",
            "tool_calls": [WIRE_CALL],
        }
    ]


def test_a_call_that_was_streamed_keeps_its_arguments() -> None:
    call = {
        "type": "tool_use",
        "id": "a",
        "name": "weather",
        "input": {},
        "partial_json": '{"x": 1}',
    }
    (wire,) = sent(AIMessage([call]))
    assert wire["tool_calls"][0]["function"]["arguments"] == '{"x": 1}'


def test_results_in_a_users_message() -> None:
    content: list[Any] = [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "sunny"}]},
        {"type": "text", "text": "So?"},
    ]
    assert sent(HumanMessage(content)) == [
        {"role": "tool", "tool_call_id": "a", "content": "sunny"},
        {"role": "user", "content": [{"type": "text", "text": "So?"}]},
    ]


def test_unknown_blocks_of_a_result_are_sent_as_json() -> None:
    (wire,) = sent(ToolMessage([{"type": "table", "rows": [1]}], tool_call_id="a"))
    assert wire["content"] == '{"type": "table", "rows": [1]}'


def test_broken_calls_go_back_only_with_their_results() -> None:
    broken = {
        "type": "invalid_tool_call",
        "id": "b",
        "name": "draw",
        "args": '{"pro',
        "error": "cut",
    }
    said = AIMessage("", invalid_tool_calls=[broken])
    assert "tool_calls" not in sent(said)[0]
    wire = sent(said, ToolMessage("Write the arguments again.", tool_call_id="b"))
    assert wire[0]["tool_calls"][0]["function"]["arguments"] == '{"malformed_arguments": "{\\"pro"}'


def test_a_providers_own_additions_go_back_unchanged() -> None:
    extra = {"google": {"thought_signature": "s"}}
    details = [{"type": "reasoning.encrypted", "data": "x"}]
    said = AIMessage(
        "",
        tool_calls=[CALL],
        additional_kwargs={"tool_call_extras": {"a": extra}, "reasoning_details": details},
    )
    (wire,) = sent(said)
    assert wire["tool_calls"] == [{**WIRE_CALL, "extra_content": extra}]
    assert wire["reasoning_details"] == details


def test_a_message_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="RemoveMessage"):
        sent(RemoveMessage(id="x"))


def test_a_text_file_by_its_address_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="send the text itself"):
        sent(HumanMessage([{"type": "text-plain", "url": URL}]))


def test_a_call_of_a_function_is_that_of_a_tool() -> None:
    call = {"name": "count", "arguments": '{"of": "oxen"}'}
    calls = AIMessage("", additional_kwargs={"function_call": call})
    wire = sent(HumanMessage("q"), calls, FunctionMessage("42", name="count"))
    assert [c["function"] for c in wire[1]["tool_calls"]] == [call]
    call_id = wire[1]["tool_calls"][0]["id"]
    assert wire[2] == {"role": "tool", "tool_call_id": call_id, "content": "42"}
    # Some integrations keep both forms of a call.
    both = AIMessage("", tool_calls=[CALL], additional_kwargs={"function_call": call})
    wire = sent(both, FunctionMessage("sunny", name="weather"))
    assert wire[0]["tool_calls"] == [WIRE_CALL]
    assert wire[1] == {"role": "tool", "tool_call_id": "a", "content": "sunny"}
    with pytest.raises(InvalidInputError, match="'count' comes after no call of it"):
        sent(FunctionMessage("42", name="count"))


@pytest.mark.parametrize(
    ("role", "wire"),
    [("human", "user"), ("ai", "assistant"), ("model", "assistant"), ("developer", "system")],
)
def test_a_role_in_the_words_of_others(role: str, wire: str) -> None:
    given = ChatMessage("hi", role=role, name="ox")
    assert sent(given) == [{"role": wire, "content": "hi", "name": "ox"}]


@pytest.mark.parametrize("role", ["critic", "tool"])
def test_a_role_that_the_api_does_not_have_is_refused(role: str) -> None:
    with pytest.raises(InvalidInputError, match=f"cannot have the role '{role}'.*ToolMessage"):
        sent(ChatMessage("hi", role=role))


def test_a_document_of_several_parts() -> None:
    content = [
        {"type": "text", "text": "h"},
        {"type": "image", "source": {"type": "url", "url": URL}},
    ]
    block = {"type": "document", "source": {"type": "content", "content": content}, "title": "Oxen"}
    title, text = {"type": "text", "text": "Oxen:"}, {"type": "text", "text": "h"}
    cached = {**block, "cache_control": {"type": "ephemeral"}}
    assert sent(HumanMessage([block])) == [{"role": "user", "content": [title, text, IMAGE_AT]}]
    assert sent(HumanMessage([cached]))[0]["content"][2]["cache_control"] == {"type": "ephemeral"}
    pdf = {"type": "document", "source": {"type": "url", "url": URL}, "context": "a letter"}
    assert sent(HumanMessage([pdf]))[0]["content"] == [
        {"type": "text", "text": "a letter"},
        FILE_AT,
    ]


def test_empty_texts_are_left_out_and_unknown_blocks_of_an_answer_too() -> None:
    (human,) = sent(HumanMessage(["", "hi"]))
    assert human["content"] == [TEXT]
    said = AIMessage([{"type": "server_tool_use", "id": "x"}, {"type": "text", "text": "hi"}])
    assert [one["content"] for one in sent(said)] == ["hi"]


@pytest.mark.parametrize(
    "block",
    [
        {"text": "hi"},
        {"type": "text-plain", "text": "hi"},
        {"type": "input_text", "text": "hi"},
        {"type": "output_text", "text": "hi"},
        {"type": "refusal", "refusal": "hi"},
        {"type": "non_standard", "value": {"type": "text", "text": "hi"}},
        {"type": "non_standard", "value": {"type": "refusal", "refusal": "hi"}},
    ],
)
def test_an_answer_keeps_its_text_in_every_form(block: Any) -> None:
    own_audio = {"type": "audio", "id": "audio_1"}
    assert sent(AIMessage([block, own_audio, " there"]))[0]["content"] == "hi there"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "reasoning", "reasoning": "hm", "extras": {"signature": "s"}},
        {"type": "reasoning_content", "reasoning_content": {"text": "hm", "signature": "s"}},
    ],
)
def test_signed_thinking_of_another_provider_goes_back(block: Any) -> None:
    hidden = {"type": "redacted_thinking", "data": "x"}
    blocks: list[Any] = [block, hidden, {"type": "non_standard", "value": hidden}]
    (wire,) = sent(AIMessage([*blocks, {"type": "thinking", "thinking": "!"}], tool_calls=[CALL]))
    signed = {"type": "thinking", "thinking": "hm", "signature": "s"}
    assert wire["thinking_blocks"] == [signed, hidden, hidden]
    assert wire["reasoning_content"] == "hm!"
    own = [{"type": "reasoning.text", "text": "hm"}]
    said = AIMessage(blocks, tool_calls=[CALL], additional_kwargs={"reasoning_details": own})
    assert "thinking_blocks" not in sent(said)[0]
    for_gpt = prepare_messages(
        to_wire([said.model_copy(update={"additional_kwargs": {}})]), policy=Policy()
    )
    assert for_gpt[0].keys() == {"role", "content", "tool_calls"}


def test_an_answer_keeps_the_point_up_to_which_it_is_cached() -> None:
    cached = {**TEXT, "cache_control": {"type": "ephemeral"}}
    (wire,) = sent(AIMessage([cached, {"type": "image", "url": URL}]))
    assert wire["content"] == [cached]


def test_results_alone_in_a_users_message_leave_no_empty_one() -> None:
    result = {"type": "tool_result", "tool_use_id": "a", "content": "42"}
    assert [one["role"] for one in sent(HumanMessage([result]))] == ["tool"]
