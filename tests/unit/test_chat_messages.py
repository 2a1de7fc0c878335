"""The messages both adapters send: order, sizes, attachments of tool results, reasoning."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from oxen_inference.chat.families import Policy, policy_for
from oxen_inference.chat.files import media_part
from oxen_inference.chat.messages import prepare_messages
from oxen_inference.chat.options import check_parameters
from oxen_inference.errors import InvalidInputError

PLAIN = Policy()
IMAGE = media_part("image", "https://oxen.test/ox.png")
TEXT = {"type": "text", "text": "What is it?"}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def data_url(mime: str, size: int) -> str:
    start = b"%PDF-1.7" if mime == "application/pdf" else b""
    return f"data:{mime};base64," + base64.b64encode(start.ljust(size, b"x")).decode()


def labelled_pdf(content: bytes, filename: str | None = None) -> Any:
    url = "data:application/pdf;base64," + base64.b64encode(content).decode()
    return media_part("file", url, filename=filename)


def test_parts_stay_where_the_author_put_them_except_audio() -> None:
    video = media_part("video", "https://oxen.test/ox.mp4")
    audio = media_part("audio", "https://oxen.test/ox.mp3")
    (sent,) = prepare_messages([user(TEXT, IMAGE, "and?", audio, video)], policy=PLAIN)
    assert sent["content"] == [audio, TEXT, IMAGE, {"type": "text", "text": "and?"}, video]


def test_nothing_given_is_changed() -> None:
    given = [
        {"role": "system", "content": [TEXT]},
        user(TEXT, IMAGE),
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "hm",
            "tool_calls": [{"id": "a"}],
        },
        {"role": "tool", "tool_call_id": "a", "content": [TEXT, IMAGE]},
    ]
    before = copy.deepcopy(given)
    prepare_messages(given, policy=PLAIN)
    assert given == before


def test_system_content_is_a_string() -> None:
    parts = [
        {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}},
        "Be brief.",
    ]
    with pytest.warns(UserWarning, match="cache mark of a system message is not sent"):
        sent = prepare_messages([{"role": "system", "content": parts}, user(TEXT)], policy=PLAIN)
    assert sent[0]["content"] == "Be kind.\nBe brief."


@pytest.mark.parametrize("content", [None, "", " \n", [], [{"type": "text", "text": ""}]])
def test_an_empty_system_message_is_left_out(content: Any) -> None:
    sent = prepare_messages([{"role": "system", "content": content}, user(TEXT)], policy=PLAIN)
    assert sent == [user(TEXT)]
    with pytest.raises(InvalidInputError, match="no message to send"):
        prepare_messages([{"role": "system", "content": content}], policy=PLAIN)


def test_a_system_message_with_an_image_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="text only"):
        prepare_messages([{"role": "system", "content": [IMAGE]}], policy=PLAIN)


def test_no_messages_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        prepare_messages([], policy=PLAIN)


@pytest.mark.parametrize("content", [[], [{"type": "text", "text": ""}]])
def test_content_is_never_an_empty_list(content: Any) -> None:
    sent = prepare_messages(
        [{"role": "user", "content": content}, {"role": "assistant", "content": content}],
        policy=PLAIN,
    )
    assert [m["content"] for m in sent] == ["", None]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (media_part("audio", data_url("audio/wav", 20 * 2**20 + 3)), "20 MB"),
        (media_part("file", data_url("application/pdf", 24 * 2**20 + 3)), "24 MB"),
        (
            media_part("file", data_url("application/msword", 10)),
            "PDF documents only, not application/msword",
        ),
        (labelled_pdf(b"a,b\n1,2\n"), "the file is no PDF"),
        (labelled_pdf(b"a,b\n1,2\n", "a.csv"), "a.csv is text/csv"),
        (labelled_pdf(b"x" * 2000 + b"%PDF-1.7", "a.pdf"), "a.pdf is no PDF"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file_id"),
        ({"type": "file", "file": {"file_data": "data:", "file_url": "https://x"}}, "exactly one"),
    ],
)
def test_unsupported_files_are_refused_before_they_are_sent(part: Any, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        prepare_messages([user(part)], policy=PLAIN)


@pytest.mark.parametrize(
    "part",
    [
        media_part("audio", data_url("audio/wav", 20 * 2**20)),
        media_part("file", data_url("application/pdf", 24 * 2**20)),
        media_part("audio", "https://oxen.test/long.wav"),
        labelled_pdf(b"\r\n" * 500 + b"%PDF-1.7", "a.csv"),
        media_part("file", "data:application/pdf,%25PDF-1.7"),
        media_part("file", "https://oxen.test/a.csv"),
    ],
)
def test_the_limits_themselves_are_allowed(part: Any) -> None:
    assert prepare_messages([user(part)], policy=PLAIN)[0]["content"] == [part]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("data:image/jpg;base64,/9j/", "data:image/jpeg;base64,/9j/"),
        ("data:image/png;base64,iVBO", "data:image/png;base64,iVBO"),
    ],
)
def test_an_image_is_sent_as_image_whatever_its_label(given: str, sent: str) -> None:
    for kind in ("image", "file"):
        part = media_part(kind, given)  # type: ignore[arg-type]
        assert part == {"type": "image_url", "image_url": {"url": sent}}


def tool(call_id: str, *parts: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": list(parts)}


def test_images_of_tool_results_follow_all_of_them() -> None:
    other = media_part("image", "https://oxen.test/2.png")
    messages = [tool("a", "drawn", IMAGE), tool("b", other), user(TEXT)]
    first, second, shown, last = prepare_messages(messages, policy=PLAIN)
    assert first["content"] == "drawn"
    assert isinstance(second["content"], str)
    assert second["content"]
    assert shown["role"] == "user"
    assert shown["content"][:2] == [IMAGE, other]
    assert last["content"] == [TEXT]


def test_unknown_parts_of_a_tool_result_are_left_out() -> None:
    (sent,) = prepare_messages([tool("a", "x", {"type": "odd"}, "y")], policy=PLAIN)
    assert sent["content"] == "x\ny"


def test_a_model_without_vision_reads_that_images_were_left_out() -> None:
    sent = prepare_messages([tool("a", "drawn", IMAGE)], policy=PLAIN, takes_images=lambda: False)
    assert len(sent) == 1
    assert "1 attachment" in sent[0]["content"]


def test_cache_marks_stay() -> None:
    marked = {**TEXT, "cache_control": {"type": "ephemeral"}}
    sent = prepare_messages([user(marked), tool("a", marked)], policy=PLAIN)
    assert [m["content"] for m in sent] == [[marked], [marked]]


def with_reasoning(call: bool = True) -> dict[str, Any]:
    message = {
        "role": "assistant",
        "content": "",
        "reasoning_content": "hm",
        "reasoning_details": [{}],
    }
    return {**message, "tool_calls": [{"id": "a"}]} if call else message


@pytest.mark.parametrize(
    ("replay", "kept"),
    [("never", [False, False, False]), ("turn", [False, False, True]), ("always", [True] * 3)],
)
def test_reasoning_goes_back_as_the_policy_says(replay: Any, kept: list[bool]) -> None:
    history = [
        user(TEXT),
        with_reasoning(),
        tool("a", "x"),
        with_reasoning(call=False),
        user(TEXT),
        with_reasoning(),
        tool("a", "y"),
    ]
    policy = Policy(reasoning_text=replay, reasoning_blocks=replay)
    sent = [m for m in prepare_messages(history, policy=policy) if m["role"] == "assistant"]
    assert ["reasoning_content" in m for m in sent] == kept
    assert ["reasoning_details" in m for m in sent] == kept


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("deepseek-v4-pro", "turn"),
        ("deepseek-ai/DeepSeek-R1", "never"),
        ("kimi-k2-thinking", "turn"),
        ("moonshotai/kimi-k2-thinking", "turn"),
        ("moonshotai-kimi-k2-5", "turn"),
        ("minimaxai-minimax-m2", "always"),
        ("not-akimi", "never"),
        ("minimax-m2", "always"),
        ("gpt-4o", "never"),
        ("claude-sonnet-4-6", "never"),
    ],
)
def test_families(model: str, text: str) -> None:
    assert policy_for(model).reasoning_text == text


def test_an_explicit_replay_overrides_the_family() -> None:
    policy = policy_for("deepseek-v4-pro", "never")
    assert (policy.reasoning_text, policy.reasoning_blocks) == ("never", "never")
    assert policy.forces_tools_while_thinking is False


@pytest.mark.parametrize(("body", "words"), [({"model": "m", "n": 2}, "one answer"), ({}, "model")])
def test_parameters_are_checked(body: Any, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        check_parameters(body)
