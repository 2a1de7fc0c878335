"""What an answer says, in the forms that providers and gateways have for it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from langchain_core.messages import ToolMessage

from langchain_oxen.messages_in import to_message
from langchain_oxen.messages_out import to_wire
from llama_index_oxen import messages_in as llama_messages
from llama_index_oxen import messages_out as llama_wire
from oxen_inference.chat.answer import Answer, ToolCall
from oxen_inference.chat.citations import citations_of
from oxen_inference.chat.completions import read_completion
from oxen_inference.chat.finish_reasons import ran_out_of_tokens
from oxen_inference.chat.messages import json_text
from oxen_inference.chat.normalize import AnswerReader
from oxen_inference.chat.tool_calls import read_arguments
from oxen_inference.errors import APIResponseError, InternalServerError, NotFoundError
from tests.support.oddities import in_choice
from tests.support.scripted_server import completion, delta
from tests.support.small_files import PNG

STOP = delta("stop")


def whole(message: Any, finish: str = "stop", **fields: Any) -> Answer:
    """The answer whose message is this one."""
    body = completion(**fields)
    body["choices"] = [{"index": 0, "message": message, "finish_reason": finish}]
    return read_completion(json.loads(json.dumps(body)))


def streamed(*chunks: dict[str, Any]) -> Answer:
    """The answer of a stream of these chunks."""
    reader = AnswerReader()
    deltas = [reader.read_event(None, json.dumps(chunk).encode()) for chunk in chunks]
    deltas.append(reader.finish())
    answer = deltas[-1].end if deltas[-1] else None
    assert answer is not None
    for name in ("text", "reasoning", "refusal"):
        assert "".join(getattr(each, name) for each in deltas if each) == getattr(answer, name)
    return answer


def both(fields: dict[str, Any], finish: str = "stop") -> list[Answer]:
    """The answers of a message with these fields, and of a stream whose delta has them."""
    return [whole(fields, finish), streamed(delta(**fields), delta(finish))]


# Tool calls

NINE = {"a": 9}
FORMS_OF_A_CALL: list[dict[str, Any]] = [
    {"function": {"name": "w", "args": NINE}},
    {"function": {"name": "w", "input": NINE}},
    {"function": {"name": "w", "parameters": NINE}},
    {"function": {"name": "w", "arguments": "", "input": '{"a": 9}'}},
    {"function": {"name": "w", "arguments": None, "params": NINE}},
    {"function": {"name": "w", "arguments": "{}", "input": NINE}},
    {"function": {"name": "w", "arguments": NINE, "parameters": {"type": "object", "properties": {}}}},
    {"function": {"name": "w", "arguments": NINE, "payload": {"b": 1}}},
    {"function": {"name": "w"}, "arguments": '{"a": 9}'},
    {"function": "w", "arguments": NINE},
    {"name": "w", "args": NINE},
    {"type": "tool_use", "name": "w", "input": NINE},
    {"tool_name": "w", "tool_input": NINE},
    {"functionCall": {"name": "w", "args": NINE}},
    {"toolUse": {"toolUseId": "c", "name": "w", "input": NINE}},
]  # fmt: skip


@pytest.mark.parametrize("call", FORMS_OF_A_CALL)
def test_arguments_are_read_under_every_known_name(call: dict[str, Any]) -> None:
    for answer in both({"tool_calls": [{"id": "c", **call}]}, "tool_calls"):
        (read,) = answer.tool_calls
        assert (read.id, read.name, json.loads(read.arguments)) == ("c", "w", NINE)


@pytest.mark.parametrize(
    "function",
    [
        {"name": "w", "payload": NINE},
        {"name": "w", "payload": '{"a": 9}'},
        {"name": "w", "arguments": "", "payload": NINE},
        {"name": "w", "arguments": None, "values": [9]},
    ],
)
def test_a_call_with_arguments_under_an_unknown_name_is_invalid(function: dict[str, Any]) -> None:
    for call in ({"function": function}, function, {"custom": function}):
        for answer in both({"tool_calls": [{"id": "c", **call}, PLAIN]}, "tool_calls"):
            first, second = answer.tool_calls
            assert second.arguments == "{}"
            with pytest.raises(ValueError, match="not valid JSON"):
                read_arguments(first.arguments)


PLAIN = {"id": "d", "function": {"name": "v", "arguments": "{}"}}


@pytest.mark.parametrize(
    "call",
    [
        {"function": {"name": "w"}},
        {"function": {"name": "w", "arguments": ""}},
        {"function": {"name": "w", "parameters": {"type": "object", "properties": {"a": {}}}}},
        {"function": {"name": "w", "description": "Wait."}, "extra_content": {"google": {}}},
        {"name": "w", "input": {}, "caller": {"type": "direct"}},
    ],
)
def test_a_call_without_arguments_stays_one(call: dict[str, Any]) -> None:
    for answer in both({"tool_calls": [{"id": "c", **call}]}, "tool_calls"):
        (read,) = answer.tool_calls
        assert (read.name, read_arguments(read.arguments)) == ("w", {})


@pytest.mark.parametrize("index_of", [float, str, int])
def test_an_index_may_be_a_whole_float_or_text(index_of: Any) -> None:
    pieces = [(0, '{"a"'), (1, '{"b"'), (0, ": 1}"), (1, ": 2}")]
    chunks = [
        delta(tool_calls=[{"index": index_of(i), "function": {"name": f"w{i}", "arguments": text}}])
        for i, text in pieces
    ]
    chunks[1]["choices"][0]["index"] = "0"
    chunks[2]["choices"][0]["index"] = 0.0
    answer = streamed(*chunks, delta("tool_calls"))
    assert [(c.name, c.arguments) for c in answer.tool_calls] == [
        ("w0", '{"a": 1}'),
        ("w1", '{"b": 2}'),
    ]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_no_argument(number: str) -> None:
    arguments = f'{{"a": {number}}}'
    with pytest.raises(ValueError, match=f"{number} is not a value in JSON"):
        read_arguments(arguments)
    answer = Answer(tool_calls=[ToolCall("c", "w", arguments)])
    message = to_message(answer)
    assert message.tool_calls == []
    result = ToolMessage("no", tool_call_id="c")
    for wire in (
        to_wire([message, result]),
        llama_wire.to_wire([llama_messages.to_message(answer)]),
    ):
        sent = wire[0]["tool_calls"][0]["function"]["arguments"]
        assert json.loads(sent, parse_constant=pytest.fail) == {"malformed_arguments": arguments}
    assert json_text({"a": float(number), "text": number}) == f'{{"a": null, "text": "{number}"}}'


# Content

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
CITED = {"type": "url_citation", "url": "https://a.example", "title": "A"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (42, "42"),
        (0, "0"),
        (0.5, "0.5"),
        (True, "true"),
        (False, "false"),
        ({"answer": 42}, '{"answer": 42}'),
        ({"text": "an ox", "score": 1}, '{"text": "an ox", "score": 1}'),
        ([1, 2], "[1, 2]"),
        ([{"name": "é"}], '[{"name": "é"}]'),
        ({"type": "Ox", "name": "Bo"}, '{"type": "Ox", "name": "Bo"}'),
        ({"type": "function", "name": "f"}, '{"type": "function", "name": "f"}'),
        ({"image_url": "u", "title": "Ox"}, '{"image_url": "u", "title": "Ox"}'),
        ([{"image_url": "u", "title": "Ox"}], '[{"image_url": "u", "title": "Ox"}]'),
        (["h", "i"], "hi"),
        (["it is ", 42], "it is 42"),
        ({"type": "text", "text": "hi"}, "hi"),
        ({"text": "hi"}, "hi"),
        ([{"type": "text", "text": {"value": "hi", "annotations": []}}], "hi"),
        ([{"type": "output_text", "text": "hi"}], "hi"),
        ([{"type": "text", "content": "hi"}], "hi"),
        ([{"type": "text", "text": 4}], "4"),
        ([{"text": "hi"}, None], "hi"),
        ({"role": "model", "parts": [{"text": "hi"}]}, "hi"),
        ({}, ""),
        ([], ""),
    ],
)
def test_content_of_any_type_is_text(content: Any, text: str) -> None:
    answers = [*both({"content": content}), whole({"role": "assistant", "content": content})]
    assert [answer.text for answer in answers] == [text] * 3


@pytest.mark.parametrize("message", ["hi", ["hi"], {"text": "hi"}, {"parts": [{"text": "hi"}]}])
def test_a_message_may_be_its_text(message: Any) -> None:
    chunk = delta()
    chunk["choices"][0]["delta"] = message
    assert streamed(chunk, STOP).text == "hi"
    assert whole(message).text == "hi"
    bare = {"index": 0, "finish_reason": "stop", "content": message}
    for choices in ({"0": bare}, bare, [bare], "hi"):
        assert read_completion(completion(choices=choices)).text == "hi"


def test_numbers_in_a_stream_are_its_text() -> None:
    assert streamed(delta(content=4), delta(content="2"), delta(content=0), STOP).text == "420"


@pytest.mark.parametrize("choice", [{"finish_reason": "stop"}, {"message": None}, {"delta": None}])
def test_a_choice_without_a_message_is_no_answer(choice: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 1100, "completion_tokens": 0}
    body = completion(choices=[{"finish_reason": "stop", **choice}], usage=usage)
    with pytest.raises(APIResponseError, match=r"its choice has no message.*'stop'") as caught:
        read_completion(body)
    assert caught.value.partial.usage.input_tokens == 1100


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (IMAGE, {"images": [IMAGE]}),
        ({"image_url": {"url": "https://a.example/i.png"}}, {"images": 1}),
        ({"b64_json": "aGk="}, {"images": 1}),
        ({"type": "image", "source": {"type": "base64", "data": "aGk="}}, {"images": 1}),
        ({"type": "output_image", "image_url": "https://a.example/i.png"}, {"images": 1}),
        ({"inlineData": {"mimeType": "image/png", "data": "aGk="}}, {"images": 1}),
        ({"type": "text", "text": "!", "annotations": [CITED]}, {"annotations": [CITED]}),
        ({"type": "text", "text": {"value": "!", "annotations": [CITED]}}, {"annotations": 1}),
        ({"type": "text", "text": "!", "citations": [CITED]}, {"annotations": [CITED]}),
        ({"type": "output_audio", "audio": {"data": "aGk="}}, {"audio": {"data": "aGk="}}),
        ({"type": "input_audio", "input_audio": {"data": "aGk="}}, {"audio": {"data": "aGk="}}),
        ({"type": "video_url", "video_url": {"url": "https://a.example"}}, {"other_parts": 1}),
    ],
)
def test_parts_that_are_not_text_are_kept(part: dict[str, Any], expected: dict[str, Any]) -> None:
    expected = {name: [part] if value == 1 else value for name, value in expected.items()}
    if expected == {"annotations": [part]}:
        expected = {"annotations": [CITED]}
    text = "ox!" if "text" in part else "ox"
    for answer in both({"content": [{"type": "text", "text": "ox"}, part]}):
        assert answer.text == text
        assert answer.extras == expected


@pytest.mark.parametrize("part", [{"type": "refusal", "refusal": "I cannot."}])
def test_a_refusal_may_be_a_part(part: dict[str, Any]) -> None:
    for answer in both({"content": [part]}):
        assert (answer.text, answer.refusal, answer.refused) == ("", "I cannot.", True)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "tool_use", "id": "c", "name": "w", "input": NINE},
        {"type": "function_call", "call_id": "c", "name": "w", "arguments": '{"a": 9}'},
        {"type": "tool_call", "id": "c", "name": "w", "args": NINE},
        {"functionCall": {"id": "c", "name": "w", "args": NINE}},
        {"toolUse": {"toolUseId": "c", "name": "w", "input": NINE}},
    ],
)
def test_a_call_may_be_a_part(part: dict[str, Any]) -> None:
    for answer in both({"content": [{"type": "text", "text": "ox"}, part]}, "tool_use"):
        assert answer.text == "ox"
        assert answer.tool_calls == [ToolCall("c", "w", '{"a": 9}')]


def test_calls_in_both_forms_are_the_same_calls() -> None:
    part = {"type": "tool_use", "id": "c", "name": "w", "input": NINE}
    call = {"id": "c", "function": {"name": "w", "arguments": '{"a": 9}'}}
    for answer in both({"content": [part], "tool_calls": [call]}, "tool_use"):
        assert answer.tool_calls == [ToolCall("c", "w", '{"a": 9}')]


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning": [{"type": "text", "text": "hm"}]},
        {"reasoning": {"content": "hm", "effort": "low"}},
        {"reasoning_content": [{"type": "summary_text", "text": "h"}, "m"]},
        {"reasoning_content": [{"type": "thinking", "thinking": "hm"}]},
        {"thinking": "hm"},
        {"thinking": {"content": "hm"}},
        {"reasoning_text": "hm"},
        {"reasoning": "hm", "reasoning_content": "hm", "thinking": "hm"},
        {"content": [{"type": "thinking", "thinking": "hm"}, "ox"]},
        {"content": [{"type": "reasoning", "summary": [{"text": "hm"}]}, "ox"]},
        {"content": [{"text": "hm", "thought": True}, {"text": "ox"}]},
        {"content": [{"type": "thinking", "thinking": "hm"}, "ox"], "reasoning_content": "hm"},
    ],
)
def test_reasoning_is_read_in_every_known_form(fields: dict[str, Any]) -> None:
    fields = {"content": "ox", **fields}
    answers = both(fields)
    answers.append(streamed(delta(**fields), in_choice("stop", message=fields)))
    assert [(a.text, a.reasoning) for a in answers] == [("ox", "hm")] * 3


# Sources


@pytest.mark.parametrize(
    "fields",
    [
        {"citations": ["https://a.example"]},
        {"citations": [{"url": "https://a.example"}]},
        {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://a.example"}}]},
        {"annotations": {"type": "url_citation", "url": "https://a.example"}},
        {"search_results": [{"url": "https://a.example"}]},
        {"provider_specific_fields": {"citations": [None, [{"url": "https://a.example"}]]}},
        {"provider_specific_fields": {"citation": {"url": "https://a.example"}}},
    ],
)
def test_sources_in_a_message_are_cited(fields: dict[str, Any]) -> None:
    fields = {"content": "ox", **fields}
    answers = both(fields)
    answers.append(streamed(delta(**fields), delta(**{**fields, "content": ""}), STOP))
    answers.append(streamed(delta(**fields), in_choice("stop", message=fields)))
    for answer in answers:
        cited = citations_of(answer.extras, answer.metadata)
        assert [citation.url for citation in cited] == ["https://a.example"]


def test_a_passage_without_an_address_is_cited() -> None:
    passage = {"type": "char_location", "cited_text": "Oxen pull.", "document_title": "Oxen"}
    for answer in both({"content": [{"type": "text", "text": "ox", "citations": [passage]}]}):
        (cited,) = citations_of(answer.extras, answer.metadata)
        assert (cited.title, cited.cited_text) == ("Oxen", "Oxen pull.")


@pytest.mark.parametrize("name", ["annotations", "images"])
def test_items_of_a_stream_are_collected_once(name: str) -> None:
    first, second = ({"url": f"https://{letter}.example"} for letter in "ab")
    for later in ([second], [first, second], [{**first, "index": 0}, {**second, "index": 1}]):
        answer = streamed(delta(content="ox", **{name: first}), delta("stop", **{name: later}))
        assert [item["url"] for item in answer.extras[name]] == [first["url"], second["url"]]
    in_messages = [in_choice(message={"content": "", name: [each]}) for each in (first, second)]
    assert streamed(*in_messages, STOP).extras[name] == [first, second]
    again = in_choice("stop", message={"content": "ox", name: [second]})
    assert streamed(delta(content="ox", **{name: first}), again).extras[name] == [second]


# The end, and errors


@pytest.mark.parametrize(
    "reason",
    [
        "RECITATION",
        "guardrail_intervened",
        "guardrailIntervened",
        "content-filter",
        "SPII",
        "IMAGE_SAFETY",
        "FinishReason.SAFETY",
        "FINISH_REASON_BLOCKLIST",
        "content_filter: PROHIBITED_CONTENT",
        "content_filter: OTHER",
        "content_filter:SPII",
    ],
)
def test_a_filter_that_left_nothing_is_a_refusal(reason: str) -> None:
    assert [answer.refused for answer in both({"content": None}, reason)] == [True, True]
    assert [answer.refused for answer in both({"content": "ox"}, reason)] == [False, False]
    blocked = [{"index": 0, "finish_reason": reason}]
    for answer in (read_completion(completion(choices=blocked)), streamed({"choices": blocked})):
        assert (answer.refused, answer.finish_reason) == (True, reason)


@pytest.mark.parametrize(
    "reason", ["maxTokens", "FinishReason.MAX_TOKENS", "max-tokens", "length: MAX_TOKENS"]
)
def test_a_token_limit_is_known_in_other_spellings(reason: str) -> None:
    assert ran_out_of_tokens(reason)
    answer = read_completion(completion(choices=[{"index": 0, "finish_reason": reason}]))
    assert (answer.text, answer.refused, answer.finish_reason) == ("", False, reason)


def test_an_error_inside_a_message_is_told() -> None:
    error = {"message": "The provider is gone.", "code": 503}
    for chunk in (
        delta(error=error),
        delta("error", role="assistant", content=None, error=error),
        in_choice(message={"error": error}),
    ):
        with pytest.raises(InternalServerError, match="The provider is gone") as caught:
            streamed(delta(content="ox"), chunk)
        assert caught.value.partial.text == "ox"
    for message in ({"error": error}, {"content": None, "error": error}):
        with pytest.raises(InternalServerError, match="The provider is gone"):
            whole(message)


@pytest.mark.parametrize(("tokens", "counts"), [(1100, True), (0, False)])
def test_an_error_before_any_text_tells_the_usage(tokens: int, counts: bool) -> None:
    usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    error = {"error": {"message": "The provider is gone.", "code": 503}}
    for chunks in ([{"choices": [], "usage": usage}, error], [{**error, "usage": usage}]):
        with pytest.raises(InternalServerError, match="The provider is gone") as caught:
            streamed(*chunks)
        partial = caught.value.partial
        assert partial.usage.input_tokens == tokens if counts else partial is None


@pytest.mark.parametrize("more", [{}, {"error": "resource_not_found"}, {"error": {"type": "x"}}])
def test_the_sentence_of_an_error_is_told_and_not_its_code(more: dict[str, Any]) -> None:
    body = {
        "status": "error",
        "status_message": "resource_not_found",
        "status_description": "There is no such model.",
        **more,
    }
    with pytest.raises(NotFoundError, match=r"^There is no such model\."):
        read_completion(body)
    with pytest.raises(NotFoundError, match=r"^There is no such model\."):
        streamed(delta(content="ox"), body)


# Images


PNG_DATA = base64.b64encode(PNG).decode()
AS_URL = f"data:image/png;base64,{PNG_DATA}"


@pytest.mark.parametrize(
    ("image", "url"),
    [
        ("https://a.example/i.png", "https://a.example/i.png"),
        ({"url": "https://a.example/i.png"}, "https://a.example/i.png"),
        ({"image_url": "https://a.example/i.png"}, "https://a.example/i.png"),
        ({"image_url": {"url": AS_URL}}, AS_URL),
        ({"b64_json": PNG_DATA}, AS_URL),
        ({"data": PNG_DATA, "mime_type": "image/jpeg"}, AS_URL),
        ({"data": AS_URL}, AS_URL),
        ({"b64_json": "aGk=", "mime_type": "image/webp"}, "data:image/webp;base64,aGk="),
        ({"image_url": {"url": "data:image/svg+xml;utf8,<svg/>"}}, "data:image/svg+xml;utf8,<svg/>"),
        ({"url": "data:image/svg+xml,%3Csvg/%3E"}, "data:image/svg+xml,%3Csvg/%3E"),
        (PNG_DATA, AS_URL),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG_DATA}}, AS_URL),
        ({"type": "image", "source": {"type": "url", "url": "https://a.example/"}}, "https://a.example/"),
        ({"inlineData": {"mimeType": "image/png", "data": PNG_DATA}}, AS_URL),
        ({"type": "image_generation_call", "result": PNG_DATA}, AS_URL),
    ],
)  # fmt: skip
def test_an_image_of_any_form_is_one_in_both_frameworks(image: Any, url: str) -> None:
    for answer in both({"content": None, "images": [image]}):
        (shown,) = to_message(answer).content_blocks
        head, _, encoded = url.partition(";base64,")
        expected = {"base64": encoded, "mime_type": head[5:]} if encoded else {"url": url}
        assert shown == {"type": "image", **expected}
        message = llama_messages.to_message(answer)
        (block,) = (block for block in message.blocks if block.block_type == "image")
        assert str(block.url) == url
        assert "other_images" not in message.additional_kwargs
