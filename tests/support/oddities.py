"""How upstreams are known to deviate from the format, and the answer or error expected of each."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from oxen_inference.chat.families import Policy
from oxen_inference.chat.messages import prepare_messages
from tests.support.scripted_server import SSE_HEAD as HEAD
from tests.support.scripted_server import Close, Hold, Reset, delta, http, sse

STOP = delta("stop")
CALLED = delta("tool_calls")
DONE = "[DONE]"


@dataclass(frozen=True)
class Oddity:
    name: str
    script: tuple[Any, ...]
    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    invalid: int = 0
    finish: str | None = "stop"
    usage: tuple[int, int] | None = None
    refusal: str | None = None
    images: tuple[str, ...] = ()
    has_images: int = 0
    """How many images the message has as blocks, where they are not in `images`."""
    sent_back: dict[str, Any] | None = None
    """The reasoning fields that the next request has in this answer's message."""
    options: dict[str, Any] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    """Fields that the request has besides its messages."""
    is_complete: bool = False
    """Whether it is a complete answer, so that a call without streaming gets the same."""


def fields_of_reasoning(wire: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields with reasoning blocks of a single message, as they are sent."""
    (sent,) = prepare_messages(wire, policy=Policy(reasoning_blocks="always"))
    return {k: sent[k] for k in ("reasoning_details", "thinking_blocks") if k in sent}


def streamed(name: str, *events: Any, **expected: Any) -> Oddity:
    """A stream of these events: dicts as JSON, strings as they are, bytes unchanged."""
    body = b"".join(e if isinstance(e, bytes) else sse(e) for e in events)
    return Oddity(name, (HEAD + body,), **expected)


def complete(name: str, finish: Any = "stop", *, message: Any = None, **expected: Any) -> Oddity:
    """An answer in one piece, whose message has these fields."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body = http({"id": "c", "model": "ox-1", "choices": [choice]})
    return Oddity(name, (body,), is_complete=True, **{"finish": finish, **expected})


def call(
    index: Any = None, id_: Any = None, name: Any = None, arguments: Any = None, **more: Any
) -> dict[str, Any]:
    """A fragment of a tool call, with only the fields that are given."""
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    fields = {"index": index, "id": id_, "function": function, **more}
    return {k: v for k, v in fields.items() if v is not None}


def calls(*fragments: Any, finish: str | None = None) -> dict[str, Any]:
    return delta(finish, tool_calls=list(fragments))


def image(url: str) -> dict[str, Any]:
    """An image in an answer, as OpenRouter and LiteLLM give it."""
    return {"type": "image_url", "image_url": {"url": url}}


def in_choice(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk whose choice has these fields and an empty delta."""
    choice = {"index": 0, "delta": {}, "finish_reason": finish, **fields}
    return {"id": "chatcmpl-1", "model": "ox-1", "choices": [choice]}


def repeated_message(
    delta: dict[str, Any] | None = None, *, finish: str = "stop", **message: Any
) -> dict[str, Any]:
    """The last chunk, with the whole message in it."""
    return in_choice(finish, message=message, delta=delta or {})


NDJSON = "application/x-ndjson"


def ndjson(*chunks: Any) -> str:
    return "".join(json.dumps(chunk) + "\n" for chunk in chunks)


def usage_chunk(**usage: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "model": "ox-1", "choices": [], "usage": usage}


U = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
HI = delta(content="hi")
PARIS = ("weather", {"city": "Paris"})
ROME = ("weather", {"city": "Rome"})
TWO = (PARIS, ROME)
BRACKETS = "[" * 20_000
NESTED = f'{{"city": {BRACKETS}{"]" * 20_000}}}'
PING = f"event: ping\ndata: {BRACKETS}\n\n".encode()
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
_P, _R = '{"city": "Paris"}', '{"city": "Rome"}'

WHOLE_HI = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
SIGNED = [
    {"type": "thinking", "thinking": "one", "signature": "S1"},
    {"type": "thinking", "thinking": "two", "signature": "S2"},
]
ENCRYPTED = [
    {"type": "reasoning.encrypted", "data": "AAA", "id": "rs_1"},
    {"type": "reasoning.encrypted", "data": "BBB", "id": "rs_2"},
]

ODDITIES = [
    streamed("ordinary", HI, STOP, usage_chunk(**U), DONE, text="hi", usage=(11, 4)),
    # The end
    streamed("no [DONE]", HI, STOP, text="hi"),
    streamed("no finish reason", HI, DONE, text="hi", finish=None),
    streamed("no line end after [DONE]", HI, STOP, b"data: [DONE]", text="hi"),
    streamed(
        "nothing after the finish reason but a half event", HI, STOP, b'data: {"id": "ch', text="hi"
    ),
    Oddity("reset after the finish reason", (HEAD + sse(HI, STOP), 0.05, Reset()), text="hi"),
    Oddity(
        "keep-alives without end after the finish reason",
        (HEAD + sse(HI, STOP), *([b": ping\n\n", 0.1] * 30)),
        text="hi",
        options={"timeout": 0.3},
    ),
    Oddity(
        "silence after the finish reason",
        (HEAD + sse(HI, STOP), Hold()),
        text="hi",
        options={"timeout": 0.3},
    ),
    streamed(
        "broken UTF-8",
        HI,
        b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n',
        STOP,
        text="hi\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}",
    ),
    streamed("finish reason repeated", HI, STOP, STOP, STOP, DONE, text="hi"),
    streamed(
        "empty finish reasons before the real one", delta("", content="hi"), STOP, DONE, text="hi"
    ),
    streamed(
        "finish reason beside the usage only", HI, {**STOP, "usage": U}, text="hi", usage=(11, 4)
    ),
    streamed("unusual finish reason", HI, delta("end_turn"), DONE, text="hi", finish="end_turn"),
    streamed(
        "finish reason null as text", delta("null", content="hi"), delta("null"), STOP, text="hi"
    ),
    streamed(
        "finish reason null as text to the end",
        delta("null", content="hi"),
        DONE,
        text="hi",
        finish=None,
    ),
    streamed(
        "finish reason as an object",
        HI,
        delta({"type": "length", "length": 4}),
        DONE,
        text="hi",
        finish="length",
    ),
    streamed("a null error in the choice", HI, in_choice("stop", error=None), DONE, text="hi"),
    *(
        streamed(f"finish reason {reason}", HI, delta(reason), DONE, text="hi", finish=reason)
        for reason in ("length", "content_filter", "max_tokens", "STOP", "sensitive", "other")
    ),
    streamed("eos", HI, delta("eos"), text="hi", finish="eos"),
    streamed("stop_reason", HI, in_choice(stop_reason="end_turn"), text="hi", finish="end_turn"),
    streamed(
        "vLLM's stop_reason beside the finish reason",
        HI,
        in_choice("stop", stop_reason="</answer>"),
        text="hi",
    ),
    complete(
        "a text that is called a call, although no tool was offered",
        "tool_calls",
        message={"content": "hi"},
        text="hi",
    ),
    complete(
        "an object that is called a call, as it was made by a tool of the server's own",
        "tool_calls",
        message={"content": '{"ox": 1}'},
        text='{"ox": 1}',
        request={"tools": [WEATHER], "response_format": {"type": "json_object"}},
    ),
    streamed("text after the finish reason", HI, STOP, delta(content="!"), DONE, text="hi!"),
    streamed("events after [DONE]", HI, STOP, DONE, delta(content="?"), text="hi"),
    # Usage
    streamed(
        "usage in every chunk",
        {**HI, "usage": {**U, "completion_tokens": 1}},
        {**STOP, "usage": U},
        DONE,
        text="hi",
        usage=(11, 4),
    ),
    streamed(
        "usage repeated",
        HI,
        STOP,
        usage_chunk(**U),
        usage_chunk(**U),
        DONE,
        text="hi",
        usage=(11, 4),
    ),
    streamed(
        "null usage",
        {**HI, "usage": None},
        STOP,
        usage_chunk(**U),
        {**STOP, "usage": None},
        DONE,
        text="hi",
        usage=(11, 4),
    ),
    streamed(
        "usage in strings",
        HI,
        STOP,
        usage_chunk(prompt_tokens="11", completion_tokens="4"),
        DONE,
        text="hi",
        usage=(11, 4),
    ),
    streamed(
        "usage in two halves",
        usage_chunk(input_tokens=11),
        HI,
        STOP,
        usage_chunk(output_tokens=4),
        DONE,
        text="hi",
        usage=(11, 4),
    ),
    streamed(
        "usage inside the choice",
        HI,
        {"choices": [{**STOP["choices"][0], "usage": U}]},
        DONE,
        text="hi",
        usage=(11, 4),
    ),
    streamed(
        "usage of zeros after the real one",
        HI,
        STOP,
        usage_chunk(**U),
        usage_chunk(prompt_tokens=0, completion_tokens=0, total_tokens=0),
        text="hi",
        usage=(11, 4),
    ),
    streamed(
        "usage event by event, with zeros for what an event does not say",
        usage_chunk(prompt_tokens=11, completion_tokens=1, total_tokens=12),
        HI,
        {**STOP, "usage": {"prompt_tokens": 0, "completion_tokens": 4, "total_tokens": 4}},
        text="hi",
        usage=(11, 4),
    ),
    streamed(
        "the choice's index as text, then as a number",
        {"choices": [{"index": "0", "delta": {"content": "h"}}]},
        delta(content="i"),
        STOP,
        text="hi",
    ),
    streamed(
        "malformed log probabilities",
        in_choice(
            delta={"content": "hi"},
            logprobs={
                "content": [
                    None,
                    5,
                    {"token": "hi", "logprob": "much", "bytes": "hi"},
                    {
                        "token": None,
                        "logprob": None,
                        "top_logprobs": [None, {"token": 1, "logprob": -1}],
                    },
                    {"top_logprobs": 7},
                ]
            },
        ),
        STOP,
        text="hi",
    ),
    streamed(
        "MiniMax's base_resp in every chunk",
        {**HI, "base_resp": {"status_code": 0, "status_msg": ""}},
        {**STOP, "base_resp": {"status_code": 0, "status_msg": ""}},
        {"choices": None, "base_resp": {"status_code": 0, "status_msg": ""}, "usage": U},
        text="hi",
        usage=(11, 4),
    ),
    streamed(
        "usage with a null choices",
        HI,
        STOP,
        {"choices": None, "usage": U},
        DONE,
        text="hi",
        usage=(11, 4),
    ),
    # Chunks
    streamed(
        "role only, then null content",
        delta(role="assistant"),
        delta(role="assistant", content=None),
        HI,
        STOP,
        DONE,
        text="hi",
    ),
    streamed("null delta", {"choices": [{"index": 0, "delta": None}]}, HI, STOP, DONE, text="hi"),
    streamed(
        "empty choices in the middle",
        HI,
        {"choices": []},
        delta(content="!"),
        STOP,
        DONE,
        text="hi!",
    ),
    streamed(
        "choices missing in the middle",
        HI,
        {"id": "x", "object": "chat.completion.chunk"},
        STOP,
        DONE,
        text="hi",
    ),
    streamed(
        "an invalid byte",
        b'data: {"choices": [{"delta": {"content": "h\xffi"}}]}\n\n',
        STOP,
        DONE,
        text="h\ufffdi",
    ),
    streamed(
        "what a gateway says of its work",
        {"id": "x", "type": "status", "message": "Searching the web"},
        HI,
        {"id": "x", "object": "chat.completion.chunk", "message": "Still here"},
        STOP,
        DONE,
        text="hi",
    ),
    streamed("a null event", HI, "null", STOP, DONE, text="hi"),
    streamed(
        "no index, no id, no model",
        {"choices": [{"delta": {"content": "hi"}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        DONE,
        text="hi",
    ),
    streamed(
        "a second choice, not requested",
        HI,
        {"choices": [{"index": 1, "delta": {"content": "no"}}]},
        STOP,
        DONE,
        text="hi",
    ),
    streamed(
        "message instead of delta",
        {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]},
        DONE,
        text="hi",
    ),
    streamed(
        "growing messages",
        *({"choices": [{"message": {"content": t}}]} for t in ("h", "hi", "hi!")),
        STOP,
        DONE,
        text="hi!",
    ),
    streamed(
        "the whole message again at the end",
        HI,
        {"choices": [{"delta": {}, "message": {"content": "hi"}, "finish_reason": "stop"}]},
        DONE,
        text="hi",
    ),
    *(
        streamed(f"at the end the message again: {name}", *events, DONE, text="hi", **expected)
        for name, events, expected in (
            ("in parts", [HI, repeated_message(content=[{"type": "text", "text": "hi"}])], {}),
            ("going on", [delta(content="h"), repeated_message(content="hi")], {}),
            (
                "going on in parts",
                [delta(content="h"), repeated_message(content=[{"text": "hi"}])],
                {},
            ),
            (
                "with a role in the delta",
                [repeated_message({"role": "assistant", "content": ""}, content="hi")],
                {},
            ),
            (
                "and empty deltas",
                [HI, repeated_message({"role": "assistant", "content": None}, content="hi")],
                {},
            ),
            (
                "and a last piece of text",
                [delta(content="h"), repeated_message({"content": "i"}, content="hi")],
                {},
            ),
            (
                "and reasoning",
                [
                    delta(reasoning="hm "),
                    HI,
                    repeated_message(
                        content="hi",
                        reasoning="hm",
                        thinking_blocks=[{"type": "thinking", "thinking": "hm"}],
                    ),
                ],
                {"reasoning": "hm "},
            ),
            (
                "and new reasoning",
                [HI, repeated_message(content="hi", reasoning_content="hm")],
                {"reasoning": "hm"},
            ),
        )
    ),
    streamed(
        "at the end the text again, stripped",
        delta(content=" hi\n"),
        repeated_message(content="hi"),
        text=" hi\n",
    ),
    streamed(
        "at the end the refusal again",
        delta(refusal="No."),
        repeated_message(refusal="No."),
        refusal="No.",
    ),
    streamed(
        "messages in pieces",
        *({"choices": [{"message": {"content": t}}]} for t in ("hi", "!", "?")),
        STOP,
        text="hi!?",
    ),
    *(
        streamed(
            f"at the end the calls again: {name}",
            *events,
            repeated_message(tool_calls=repeated, finish="tool_calls"),
            DONE,
            calls=expected,
            finish="tool_calls",
        )
        for name, events, repeated, expected in (
            (
                "no ids",
                [calls(call(0, "a", "weather", _P))],
                [call(None, None, "weather", _P)],
                (PARIS,),
            ),
            (
                "as an object",
                [calls(call(0, "a", "weather", '{"city":"Paris"}'))],
                [call(None, "a", "weather", {"city": "Paris"})],
                (PARIS,),
            ),
            (
                "several",
                [calls(call(0, "a", "weather", _P), call(1, "b", "weather", _R))],
                [call(None, None, "weather", _P), call(None, None, "weather", _R)],
                TWO,
            ),
            (
                "with new arguments",
                [calls(call(0, "a", "weather", ""))],
                [call(None, "a", "weather", _P)],
                (PARIS,),
            ),
            (
                "with their ends",
                [calls(call(0, "a", "weather", _P[:5]))],
                [call(None, "a", "weather", _P)],
                (PARIS,),
            ),
            (
                "with a new one",
                [calls(call(0, "a", "weather", _P))],
                [call(None, "a", "weather", _P), call(None, "b", "weather", _R)],
                TWO,
            ),
            (
                "with one of the upstream's own before it",
                [calls(call(0, "a", "weather", _P))],
                [call(None, "s", "search", "{}"), call(None, "a", "weather", _P)],
                (PARIS,),
            ),
            ("none before", [], [call(None, "a", "weather", _P)], (PARIS,)),
        )
    ),
    streamed(
        "at the end the function_call again",
        delta(function_call={"name": "weather", "arguments": _P}),
        repeated_message(
            function_call={"name": "weather", "arguments": _P}, finish="function_call"
        ),
        calls=(PARIS,),
        finish="function_call",
    ),
    streamed(
        "content in parts",
        delta(content=[{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]),
        STOP,
        DONE,
        text="hi",
    ),
    complete(
        "parts of every kind",
        "tool_use",
        message={
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": {"value": "hi"}},
                {"type": "image", "source": {"type": "url", "url": "https://oxen.ai/ox.png"}},
                {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Paris"}},
            ]
        },
        text="hi",
        reasoning="hm",
        calls=(PARIS,),
        has_images=1,
    ),
    complete(
        "a refusal as a part",
        message={"content": [{"type": "refusal", "refusal": "I cannot."}]},
        refusal="I cannot.",
    ),
    complete("nothing but a filter", "RECITATION", message={"content": None}, refusal=""),
    streamed("numbers as content", delta(content=4), delta(content="2"), STOP, DONE, text="42"),
    streamed("text in place of the delta", in_choice(delta="hi"), STOP, DONE, text="hi"),
    complete(
        "images in several forms",
        message={"content": None, "images": [{"url": "https://oxen.ai/1.png"}, {"b64_json": "AA"}]},
        has_images=2,
    ),
    streamed(
        "text of an older API",
        {"choices": [{"text": "hi", "index": 0, "finish_reason": None}]},
        STOP,
        DONE,
        text="hi",
    ),
    streamed(
        "refusal", delta(refusal="I can"), delta(refusal="not."), STOP, DONE, refusal="I cannot."
    ),
    streamed("ping event", b'event: ping\ndata: {"type": "ping"}\n\n', HI, STOP, DONE, text="hi"),
    *(
        row
        for urls in (("data:image/png;base64,AA==",), ("https://example.org/a.png", "data:,x"))
        for row in (
            streamed(
                f"{len(urls)} images beside text",
                HI,
                *(delta(images=[image(url)]) for url in urls),
                STOP,
                DONE,
                text="hi",
                images=urls,
            ),
            complete(
                f"{len(urls)} images beside text, in one piece",
                message={"content": "hi", "images": [image(url) for url in urls]},
                text="hi",
                images=urls,
            ),
        )
    ),
    complete(
        "an image only",
        message={"content": None, "images": [image("data:,x")]},
        images=("data:,x",),
    ),
    complete(
        "images in an unknown form",
        message={"content": "hi", "images": [{"b64": "AA"}, 1]},
        text="hi",
    ),
    complete("images that are no list", message={"content": "hi", "images": {"a": 1}}, text="hi"),
    *(
        streamed(
            f"heartbeat {beat}", delta(content="h"), beat, delta(content="i"), STOP, DONE, text="hi"
        )
        for beat in (
            b"data:\n\n",
            b"data: \n\n",
            b"data:  \ndata:\n\n",
            b"event: ping\ndata:\n\n",
            b"event: ping\ndata: ping\n\n",
            b'event: ping\ndata: "ping"\n\n',
            b"event: keep-alive\ndata: 1732\n\n",
            b'event: status\ndata: {"message": "thinking"}\n\n',
            b'event: usage\ndata: {"usage": {}}\n\n',
        )
    ),
    streamed("an unknown field", HI, b"retry-after: 5\n\n", STOP, text="hi"),
    streamed("heartbeat before anything", b"event: ping\ndata: ping\n\n", HI, STOP, text="hi"),
    streamed(
        "events called message",
        b"event: message\n" + sse(HI),
        b"event: message\n" + sse(STOP),
        text="hi",
    ),
    Oddity(
        "empty heartbeats without end after the finish reason",
        (HEAD + sse(HI, STOP), *([b"data:\n\n", 0.1] * 30)),
        text="hi",
        options={"timeout": 0.3},
    ),
    *(
        streamed(f"after the finish reason: {last}", HI, STOP, last, text="hi")
        for last in (
            {"error": {"message": "usage failed", "code": 500}},
            {"status": "error", "status_message": "usage failed"},
            in_choice(error={"message": "usage failed"}),
            delta("error"),
            "<html>",
            b"event: error\ndata: gone\n\n",
            b'event: error\ndata: {"message": "gone"}\n\n',
            b'{"error": "gone"}\n',
        )
    ),
    streamed(
        "after the finish reason an error, then no more",
        HI,
        STOP,
        usage_chunk(**U),
        {"error": {"message": "cost failed"}},
        delta(content="?"),
        text="hi",
        usage=(11, 4),
    ),
    *(
        row
        for name, half, made in (
            ("at the end", "hi\ud83d", "hi"),
            ("in the middle", "h\ud83di", "h\ufffdi"),
            ("its second alone", "h\udc02i", "h\ufffdi"),
        )
        for row in (
            streamed(f"half a character {name}", delta(content=half), STOP, text=made),
            complete(
                f"half a character {name}, in one piece", message={"content": half}, text=made
            ),
            complete(
                f"half a character {name}, in reasoning and a call",
                "tool_calls",
                message={
                    "content": None,
                    "reasoning": half,
                    "tool_calls": [call(0, "a", "say", f'{{"word": "{half[1:]}!"}}')],
                },
                reasoning=made,
                calls=(("say", {"word": half[1:].replace(half.strip("hi"), "\ufffd") + "!"}),),
            ),
        )
    ),
    streamed(
        "a character in two halves in every field",
        delta(
            reasoning="\ud83d", refusal="\ud83d", tool_calls=[call(0, "a", "say", '{"w": "\ud83d')]
        ),
        delta(reasoning="\udc02", refusal="\udc02", tool_calls=[call(0, arguments='\udc02"}')]),
        CALLED,
        reasoning="\N{OX}",
        refusal="\N{OX}",
        calls=(("say", {"w": "\N{OX}"}),),
        finish="tool_calls",
    ),
    # Reasoning
    streamed(
        "reasoning_content",
        delta(reasoning_content="hm", content=None),
        HI,
        STOP,
        DONE,
        text="hi",
        reasoning="hm",
    ),
    streamed("reasoning", delta(reasoning="hm"), HI, STOP, DONE, text="hi", reasoning="hm"),
    streamed(
        "both reasoning fields",
        delta(reasoning="hm", reasoning_content="hm"),
        HI,
        STOP,
        DONE,
        text="hi",
        reasoning="hm",
    ),
    streamed(
        "reasoning and its details",
        delta(
            reasoning="hm", reasoning_details=[{"type": "reasoning.text", "text": "hm", "index": 0}]
        ),
        HI,
        STOP,
        DONE,
        text="hi",
        reasoning="hm",
    ),
    streamed(
        "reasoning in details only",
        delta(reasoning_details=[{"type": "reasoning.text", "text": "hm", "index": 0}]),
        HI,
        STOP,
        DONE,
        text="hi",
        reasoning="hm",
    ),
    streamed(
        "reasoning as a content part",
        delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]),
        HI,
        STOP,
        DONE,
        text="hi",
        reasoning="hm",
    ),
    streamed("reasoning only", delta(reasoning_content="hm"), STOP, DONE, reasoning="hm"),
    *(
        complete(
            f"blocks of reasoning in one piece: {name}",
            "tool_calls",
            message={"content": None, field: blocks, "tool_calls": [call(0, "a", "weather", _P)]},
            reasoning=text,
            calls=(PARIS,),
            sent_back={field: blocks},
        )
        for name, field, blocks, text in (
            ("signed", "thinking_blocks", SIGNED, "onetwo"),
            (
                "hidden",
                "thinking_blocks",
                [{"type": "redacted_thinking", "data": d} for d in "AB"],
                "",
            ),
            ("encrypted", "reasoning_details", ENCRYPTED, ""),
            ("alike", "reasoning_details", [{"type": "reasoning.text", "text": "hm"}] * 2, "hmhm"),
        )
    ),
    *(
        streamed(
            f"blocks of reasoning: {name}",
            *(delta(**{field: [fragment]}) for fragment in fragments),
            calls(call(0, "a", "weather", _P)),
            CALLED,
            reasoning=text,
            calls=(PARIS,),
            finish="tool_calls",
            sent_back={field: blocks},
        )
        for name, field, fragments, blocks, text in (
            ("signed", "thinking_blocks", SIGNED, SIGNED, "onetwo"),
            ("encrypted", "reasoning_details", ENCRYPTED, ENCRYPTED, ""),
            (
                "encrypted, all with index 0",
                "reasoning_details",
                [{**block, "index": 0} for block in ENCRYPTED],
                [{**block, "index": 0} for block in ENCRYPTED],
                "",
            ),
            (
                "hidden",
                "thinking_blocks",
                [{"type": "redacted_thinking", "data": d} for d in "AB"],
                [{"type": "redacted_thinking", "data": d} for d in "AB"],
                "",
            ),
            (
                "the text again beside its signature",
                "thinking_blocks",
                [
                    {"type": "thinking", "thinking": "Let ", "signature": ""},
                    {"type": "thinking", "thinking": "me", "signature": ""},
                    {"type": "thinking", "thinking": "Let me", "signature": "S1"},
                    {"type": "thinking", "thinking": "see", "signature": ""},
                    {"type": "thinking", "thinking": "", "signature": "S2"},
                    {"type": "thinking", "thinking": "", "signature": ""},
                ],
                [
                    {"type": "thinking", "thinking": "Let me", "signature": "S1"},
                    {"type": "thinking", "thinking": "see", "signature": "S2"},
                ],
                "Let mesee",
            ),
            (
                "numbered, the signature alone",
                "reasoning_details",
                [
                    {"type": "reasoning.text", "text": "h", "index": 0},
                    {"type": "reasoning.text", "text": "m", "index": 0},
                    {"type": "reasoning.text", "signature": "S1", "index": 0},
                    {"type": "reasoning.text", "text": "so", "index": 1},
                    {"type": "reasoning.text", "signature": "S2", "index": 1},
                ],
                [
                    {"type": "reasoning.text", "text": "hm", "index": 0, "signature": "S1"},
                    {"type": "reasoning.text", "text": "so", "index": 1, "signature": "S2"},
                ],
                "hmso",
            ),
        )
    ),
    streamed(
        "the text again beside its signature, in both fields",
        delta(reasoning_content="h", thinking_blocks=[{"type": "thinking", "thinking": "h"}]),
        delta(reasoning_content="m", thinking_blocks=[{"type": "thinking", "thinking": "m"}]),
        delta(
            reasoning_content="hm",
            thinking_blocks=[{"type": "thinking", "thinking": "hm", "signature": "S"}],
        ),
        HI,
        STOP,
        text="hi",
        reasoning="hm",
    ),
    # Tool calls
    streamed(
        "calls as documented",
        calls(call(0, "a", "weather", "")),
        calls(call(0, arguments='{"city": ')),
        calls(call(0, arguments='"Paris"}')),
        CALLED,
        DONE,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    streamed(
        "two calls with one id and different indices",
        calls(call(0, "weather", "weather", _P), call(1, "weather", "weather", _R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    streamed(
        "two calls with one id, in fragments",
        calls(call(0, "weather", "weather", "")),
        calls(call(0, "weather", arguments=_P)),
        calls(call(1, "weather", "weather", _R[:6])),
        calls(call(1, "weather", arguments=_R[6:])),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    Oddity(
        "two calls with one id, in a whole answer",
        (
            http(
                {
                    "choices": [
                        {
                            "message": {
                                "content": None,
                                "tool_calls": [
                                    call(None, "weather", "weather", _P),
                                    call(None, "weather", "weather", _R),
                                ],
                            },
                            "finish_reason": "tool_calls",
                        }
                    ]
                }
            ),
        ),
        calls=TWO,
        finish="tool_calls",
        is_complete=True,
    ),
    streamed(
        "calls without arguments, index or id",
        calls(call(name="noon")),
        calls(call(name="midnight")),
        CALLED,
        calls=(("noon", {}), ("midnight", {})),
        finish="tool_calls",
    ),
    streamed(
        "calls without arguments, index or id, named twice",
        calls(call(name="noon")),
        calls(call(name="noon")),
        calls(call(name="midnight")),
        calls(call(name="midnight")),
        CALLED,
        calls=(("noon", {}), ("midnight", {})),
        finish="tool_calls",
    ),
    streamed(
        "a new id and the name again in every fragment",
        calls(call(0, "a", "weather", "")),
        calls(call(0, "b", "weather", _P[:5])),
        calls(call(0, "c", "weather", _P[5:])),
        calls(call(0, "d", "weather", _R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    streamed(
        "arguments encoded twice",
        calls(call(0, "a", "weather", json.dumps(_P)[:7])),
        calls(call(0, arguments=json.dumps(_P)[7:])),
        calls(call(1, "b", "weather", json.dumps(_R))),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    streamed(
        "arguments encoded twice, and cut off",
        calls(call(0, "a", "weather", json.dumps(_P)[:7])),
        delta("length"),
        invalid=1,
        finish="length",
    ),
    streamed(
        "half an object, encoded twice",
        calls(call(0, "a", "weather", json.dumps('{"at": {"city": "Paris"}'))),
        CALLED,
        invalid=1,
        finish="tool_calls",
    ),
    streamed(
        "a string for arguments",
        calls(call(0, "a", "weather", '"Paris"')),
        CALLED,
        invalid=1,
        finish="tool_calls",
    ),
    streamed(
        "several calls in one chunk",
        calls(call(0, "a", "weather", _P), call(1, "b", "weather", _R)),
        CALLED,
        DONE,
        calls=TWO,
        finish="tool_calls",
    ),
    streamed(
        "several fragments in one chunk",
        calls(call(0, "a", "weather", ""), call(0, arguments=_P[:5]), call(0, arguments=_P[5:])),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    streamed(
        "null index",
        calls(
            {**call(None, "a", "weather", _P), "index": None},
            {**call(None, "b", "weather", _R), "index": None},
        ),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    streamed(
        "no index, one chunk per call",
        calls(call(None, "a", "weather", _P)),
        calls(call(None, "b", "weather", _R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    streamed(
        "no index, fragments",
        calls(call(None, "a", "weather", "")),
        calls(call(arguments=_P)),
        calls(call(None, "b", "weather", "")),
        calls(call(arguments=_R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    streamed(
        "no index, id on every fragment",
        calls(call(None, "a", "weather", _P[:4])),
        calls(call(None, "b", "weather", _R[:4])),
        calls(call(None, "a", arguments=_P[4:])),
        calls(call(None, "b", arguments=_R[4:])),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    streamed(
        "no index, no id, by position",
        calls(call(None, None, "weather", _P[:4]), call(None, None, "weather", _R[:4])),
        calls(call(arguments=_P[4:]), call(arguments=_R[4:])),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    streamed(
        "index 0 for all, ids differ",
        calls(call(0, "a", "weather", _P)),
        calls(call(0, "b", "weather", _R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    streamed(
        "index 0 for all, in one chunk",
        calls(call(0, "a", "weather", _P), call(0, "b", "weather", _R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    streamed(
        "index 0 for all, fragments in turn",
        calls(call(0, "a", "weather", "")),
        calls(call(0, arguments=_P)),
        calls(call(0, "b", "weather", "")),
        calls(call(0, arguments=_R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    streamed(
        "index 0 for all, no ids",
        calls(call(0, "", "weather", _P), call(0, "", "weather", _R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    streamed(
        "indices from 1",
        calls(call(1, "a", "weather", _P)),
        calls(call(2, "b", "weather", _R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    streamed(
        "index as text",
        calls(call("0", "a", "weather", _P[:4])),
        calls(call("0", arguments=_P[4:])),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    streamed(
        "id and name on every fragment",
        *(calls(call(0, "a", "weather", part)) for part in ("", _P[:4], _P[4:])),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    streamed(
        "a new id on every fragment",
        calls(call(0, "a", "weather", _P[:4])),
        calls(call(0, "x", arguments=_P[4:])),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    streamed(
        "empty ids and names on fragments",
        calls(call(0, "a", "weather", _P[:4])),
        calls(call(0, "", "", _P[4:])),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    streamed(
        "name in pieces",
        calls(call(0, "a", "wea")),
        calls(call(0, name="ther", arguments="")),
        calls(call(0, arguments=_P)),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    streamed(
        "arguments before the name",
        calls(call(0, arguments=_P)),
        calls(call(0, "a", "weather")),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    complete(
        "arguments under another name",
        "tool_calls",
        message={"tool_calls": [{"id": "a", "name": "weather", "input": {"city": "Paris"}}]},
        calls=(PARIS,),
    ),
    complete(
        "arguments under an unknown name",
        "tool_calls",
        message={"tool_calls": [call(id_="a", function={"name": "weather", "of": {"a": 1}})]},
        invalid=1,
    ),
    streamed(
        "arguments as an object",
        calls(call(0, "a", "weather", {"city": "Paris"})),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    streamed(
        "arguments empty",
        calls(call(0, "a", "now", "")),
        CALLED,
        calls=(("now", {}),),
        finish="tool_calls",
    ),
    streamed(
        "arguments missing",
        calls({"index": 0, "id": "a", "function": {"name": "now"}}),
        CALLED,
        calls=(("now", {}),),
        finish="tool_calls",
    ),
    streamed(
        "two calls without arguments and ids",
        calls(call(None, None, "now", ""), call(None, None, "then", "")),
        CALLED,
        calls=(("now", {}), ("then", {})),
        finish="tool_calls",
    ),
    streamed(
        "arguments null",
        calls(call(0, "a", "now", "null")),
        CALLED,
        calls=(("now", {}),),
        finish="tool_calls",
    ),
    streamed(
        "the whole call again at the end",
        calls(call(0, "a", "weather", _P[:4])),
        calls(call(0, arguments=_P[4:])),
        calls(call(0, "a", "weather", _P), finish="tool_calls"),
        DONE,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    streamed(
        "a call and text together",
        delta(content="Let me look. ", tool_calls=[call(0, "a", "weather", _P)]),
        CALLED,
        text="Let me look. ",
        calls=(PARIS,),
        finish="tool_calls",
    ),
    streamed(
        "null tool_calls beside text",
        delta(content="hi", tool_calls=None),
        delta(content="", tool_calls=[]),
        STOP,
        text="hi",
    ),
    streamed(
        "function_call of an older API",
        delta(function_call={"name": "weather", "arguments": ""}),
        delta(function_call={"arguments": _P}),
        delta("function_call"),
        calls=(PARIS,),
        finish="function_call",
    ),
    streamed(
        "arguments cut off",
        calls(call(0, "a", "draw", '{"prompt": "an ox in a')),
        delta("length"),
        DONE,
        invalid=1,
        finish="length",
    ),
    streamed(
        "arguments that are not JSON",
        calls(call(0, "a", "draw", "an ox, please")),
        CALLED,
        DONE,
        invalid=1,
        finish="tool_calls",
    ),
    streamed(
        "arguments cut off after an escape",
        calls(call(0, "a", "draw", '{"prompt": "an ox\\')),
        delta("length"),
        DONE,
        invalid=1,
        finish="length",
    ),
    streamed(
        "one call whole, one cut off",
        calls(call(0, "a", "weather", _P), call(1, "b", "weather", '{"city": ["Ro')),
        delta("length"),
        DONE,
        calls=(PARIS,),
        invalid=1,
        finish="length",
    ),
    *(
        streamed(
            f"cut off after a tool's name: {reason}",
            calls(call(0, "a", "draw", "")),
            delta(reason),
            DONE,
            invalid=1,
            finish=reason,
        )
        for reason in ("length", "max_tokens", "MAX_TOKENS", "content_filter", None)
    ),
    streamed(
        "cut off after the name of a second tool",
        calls(call(0, "a", "weather", _P)),
        calls(call(1, "b", "draw")),
        delta("length"),
        calls=(PARIS,),
        invalid=1,
        finish="length",
    ),
    streamed(
        "cut off in a second tool, the first without arguments",
        calls(call(0, "a", "now", "")),
        calls(call(1, "b", "draw", '{"prompt"')),
        delta("length"),
        calls=(("now", {}),),
        invalid=1,
        finish="length",
    ),
    streamed(
        "cut off after the arguments",
        calls(call(0, "a", "weather", _P)),
        delta("length"),
        calls=(PARIS,),
        finish="length",
    ),
    *(
        streamed(
            f"arguments empty, then {reason}",
            calls(call(0, "a", "now", "")),
            delta(reason),
            calls=(("now", {}),),
            finish=reason,
        )
        for reason in ("stop", "STOP", "tool_calls", "tool_use", "end_turn", "function_call")
    ),
    *(
        complete(
            f"cut off after a tool's name, in one piece: {reason}",
            reason,
            message={"content": None, "tool_calls": [call(0, "a", "draw", "")]},
            invalid=1,
        )
        for reason in ("length", "content_filter", None)
    ),
    *(
        complete(
            f"arguments empty, in one piece, then {reason}",
            reason,
            message={"content": None, "tool_calls": [call(0, "a", "now", arguments)]},
            calls=(("now", {}),),
        )
        for reason, arguments in (("tool_calls", ""), ("stop", None))
    ),
    complete(
        "cut off after a tool's name, Anthropic's empty input in its place",
        "length",
        message={"content": None, "tool_calls": [call(0, "a", "draw", {})]},
        invalid=1,
    ),
    streamed(
        "an empty object as arguments, and no finish reason",
        calls(call(0, "a", "now", "{}")),
        DONE,
        calls=(("now", {}),),
        finish=None,
    ),
    *(
        streamed(
            f"empty calls: {name}",
            *map(calls, fragments),
            CALLED,
            calls=(("now", {}),),
            finish="tool_calls",
        )
        for name, fragments in (
            ("first", [{}, call(0, "a", "now", "{}")]),
            ("first, with an index", [call(0, "", "", ""), call(1, "a", "now", "")]),
            ("first, with an id", [call(0, "a", "", ""), call(1, "b", "now", "")]),
            ("last", [call(0, "a", "now", "{}"), call(1, "", "", "")]),
            ("last, with an id", [call(0, "a", "now", ""), call(1, "b", "", "{}")]),
            (
                "ahead, with an extra",
                [{"index": 0, "extra_content": {"g": 1}}, call(0, "a", "now")],
            ),
            ("a blank for arguments", [call(0, "a", "now", " ")]),
        )
    ),
    *(
        streamed(
            f"an empty call beside text: {empty}",
            delta(content="hi", **{field: empty}),
            STOP,
            text="hi",
        )
        for field, empty in (
            ("function_call", {"name": "", "arguments": ""}),
            ("tool_calls", [{}]),
            (
                "tool_calls",
                [{"id": "", "type": "function", "function": {"name": "", "arguments": "{}"}}],
            ),
            (
                "tool_calls",
                [{"index": 0, "id": "a", "function": {"name": None, "arguments": None}}],
            ),
        )
    ),
    *(
        complete(
            f"an empty call beside text, in one piece: {name}",
            message={"content": "hi", **empty},
            text="hi",
        )
        for name, empty in (
            ("function_call", {"function_call": {"name": "", "arguments": ""}}),
            ("tool_calls", {"tool_calls": [{}]}),
            (
                "with an id",
                {"tool_calls": [{"id": "a", "function": {"name": "", "arguments": ""}}]},
            ),
        )
    ),
    *(
        streamed(
            f"an empty object ahead of the arguments: {name}",
            *map(calls, fragments),
            CALLED,
            calls=(PARIS,),
            finish="tool_calls",
        )
        for name, fragments in (
            ("as text", [call(0, "a", "weather", "{}"), call(0, arguments=_P)]),
            ("as an object", [call(0, "a", "weather", {}), call(0, arguments=_P)]),
            ("in pieces", [call(0, "a", "weather", "{}"), *(call(0, arguments=c) for c in _P)]),
            (
                "and a blank",
                [call(0, "a", "weather", "{}"), call(0, arguments=""), call(0, arguments=_P)],
            ),
        )
    ),
    streamed(
        "arguments of brackets without end",
        calls(call(0, "a", "weather", '{"city": [')),
        calls(call(0, arguments=BRACKETS)),
        delta("length"),
        invalid=1,
        finish="length",
    ),
    streamed(
        "arguments of brackets that are closed, repeated in a message",
        calls(call(0, "a", "weather", NESTED)),
        repeated_message(tool_calls=[call(0, "a", "weather", NESTED)], finish="tool_calls"),
        invalid=1,
        finish="tool_calls",
    ),
    streamed("brackets after the finish reason", HI, STOP, BRACKETS, DONE, text="hi"),
    streamed("a ping of brackets", HI, PING, STOP, DONE, text="hi"),
    streamed(
        "the whole arguments again in other spaces",
        calls(call(0, "a", "weather", '{"city":')),
        calls(call(0, arguments='"Paris"}')),
        calls(call(0, "a", "weather", {"city": "Paris"})),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    streamed(
        "two calls in one chunk with one index, the first without arguments",
        calls(call(0, "a", "now", ""), call(0, "b", "now", '{"zone": "CET"}')),
        CALLED,
        calls=(("now", {}), ("now", {"zone": "CET"})),
        finish="tool_calls",
    ),
    streamed(
        "two calls in one chunk with one index, both without arguments",
        calls(call(0, "a", "now", ""), call(0, "b", "now", "")),
        CALLED,
        calls=(("now", {}), ("now", {})),
        finish="tool_calls",
    ),
    # Bytes
    streamed(
        "comments between",
        b": OPENROUTER PROCESSING\n\n",
        HI,
        b": keep-alive\n\n:\n\n",
        STOP,
        DONE,
        text="hi",
    ),
    streamed("CRLF", sse(HI, STOP, DONE, newline="\r\n"), text="hi"),
    streamed("CR alone", sse(HI, STOP, DONE, newline="\r"), text="hi"),
    streamed("byte order mark", b"\xef\xbb\xbf", HI, STOP, DONE, text="hi"),
    streamed(
        "no space after the colon",
        b"data:" + json.dumps(HI).encode() + b"\n\n",
        STOP,
        b"data:[DONE]\n\n",
        text="hi",
    ),
    streamed(
        "event and id lines", b"event: message\nid: 7\nretry: 10\n" + sse(HI), STOP, DONE, text="hi"
    ),
    streamed(
        "one event on many lines",
        b"".join(
            b"data: " + line.encode() + b"\n" for line in json.dumps(HI, indent=1).splitlines()
        )
        + b"\n",
        STOP,
        DONE,
        text="hi",
    ),
    streamed(
        "no blank lines between events", sse(HI, STOP, DONE).replace(b"\n\n", b"\n"), text="hi"
    ),
    Oddity(
        "events in pieces",
        tuple(
            p
            for byte in (HEAD + sse(delta(content="hí 🐂"), STOP, DONE)).split(b"\xf0")
            for p in (byte, b"\xf0")
        )[:-1],
        text="hí 🐂",
    ),
    Oddity(
        "a completion instead of a stream",
        (
            http(
                {
                    "id": "c",
                    "model": "ox-1",
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": "hi"},
                            "finish_reason": "stop",
                        }
                    ],
                    "usage": U,
                }
            ),
        ),
        text="hi",
        usage=(11, 4),
        is_complete=True,
    ),
    Oddity(
        "a completion called an event stream",
        (
            http(
                {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]},
                content_type="text/event-stream",
            ),
        ),
        text="hi",
    ),
    Oddity(
        "a completion without a finish reason",
        (http({"choices": [{"message": {"content": "hi"}}]}),),
        text="hi",
        finish=None,
        is_complete=True,
    ),
    Oddity(
        "a line for each chunk",
        (http(ndjson(delta(content="h"), delta(content="i"), STOP), content_type=NDJSON),),
        text="hi",
    ),
    Oddity(
        "a line for each chunk, half of one after the finish reason",
        (http(ndjson(HI, STOP) + '{"usage": {"pro', content_type=NDJSON),),
        text="hi",
    ),
    Oddity(
        "a line for each chunk, then [DONE]",
        (http(ndjson(HI) + "[DONE]\n", content_type=NDJSON),),
        text="hi",
        finish=None,
    ),
    *(
        Oddity(
            f"{name} in a header",
            (http(WHOLE_HI, headers=headers),),
            text="hi",
            is_complete=True,
        )
        for name, headers in (
            ("9,000 bytes", ["content-security-policy: " + "x" * 9000]),
            ("60,000 bytes", ["set-cookie: " + "x" * 60000]),
            ("a hundred and more", [f"x-{n}: {n}" for n in range(150)]),
        )
    ),
    Oddity("a stream called JSON", (http(sse(HI, STOP, DONE)),), text="hi"),
]


@dataclass(frozen=True)
class Failure:
    name: str
    script: tuple[Any, ...]
    error: str
    retryable: bool
    partial: str | None = None
    text: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    """Fields that the request has besides its messages."""
    is_complete: bool = False
    """Whether it is an answer in one piece."""


def failing(name: str, *events: Any, **expected: Any) -> Failure:
    body = b"".join(e if isinstance(e, bytes) else sse(e) for e in events)
    return Failure(name, (HEAD + body,), **expected)


FAILED: tuple[Any, ...] = (
    "abort",
    "aborted",
    "ERROR",
    "network_error",
    "insufficient_system_resource",
    "cancelled",
    "failed",
    "MALFORMED_FUNCTION_CALL",
    "function_call_filter: MALFORMED_FUNCTION_CALL",
    "function_call_filter: TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
    {"type": "abort", "message": "gone"},
)
FAILURES = [
    failing("cut off", HI, error="StreamCutOffError", retryable=True, partial="hi"),
    failing(
        "cut off in the middle of an event",
        HI,
        b'data: {"id": "ch',
        error="StreamCutOffError",
        retryable=True,
        partial="hi",
    ),
    failing(
        "cut off in the middle of a call",
        calls(call(0, "a", "weather", '{"ci')),
        error="StreamCutOffError",
        retryable=True,
        partial="",
    ),
    failing(
        "a call that was announced and did not come",
        HI,
        delta("tool_calls"),
        DONE,
        error="APIResponseError",
        retryable=True,
        partial="hi",
        request={"tools": [WEATHER]},
    ),
    failing(
        "a call that is empty",
        calls(call(0)),
        delta("tool_use"),
        error="APIResponseError",
        retryable=True,
        partial="",
    ),
    failing("nothing at all", error="StreamCutOffError", retryable=True, partial=""),
    failing("comments only", b": ping\n\n", error="StreamCutOffError", retryable=True, partial=""),
    failing("[DONE] only", DONE, error="APIResponseError", retryable=True),
    Failure("reset", (HEAD + sse(HI), 0.05, Reset()), "StreamCutOffError", True, "hi"),
    Failure(
        "stall",
        (HEAD + sse(HI), Hold()),
        "StreamStalledError",
        True,
        "hi",
        options={"timeout": 0.3},
    ),
    Failure(
        "stall with empty heartbeats",
        (HEAD + sse(HI), *([b"data:\n\n", 0.1] * 20)),
        "StreamStalledError",
        True,
        "hi",
        options={"timeout": 0.3},
    ),
    failing(
        "error event without data",
        HI,
        b"event: error\ndata:\n\n",
        error="StreamCutOffError",
        retryable=True,
        partial="hi",
    ),
    Failure(
        "stall with keep-alives",
        (HEAD + sse(HI), *([b": ping\n\n", 0.1] * 20)),
        "StreamStalledError",
        True,
        "hi",
        options={"timeout": 0.3},
    ),
    failing(
        "error object",
        HI,
        {"error": {"message": "upstream timed out", "code": 504}},
        error="InternalServerError",
        retryable=True,
        partial="hi",
        text="upstream timed out",
    ),
    failing(
        "error in Oxen's shape",
        HI,
        {
            "error": {
                "type": "insufficient_credits",
                "title": "No credits",
                "detail": "Insufficient credits",
            },
            "status": "error",
            "status_message": "insufficient_credits",
        },
        error="InsufficientCreditsError",
        retryable=False,
        partial="hi",
        text="Insufficient credits",
    ),
    failing(
        "error text",
        HI,
        {"error": "Something broke"},
        error="InternalServerError",
        retryable=True,
        partial="hi",
        text="Something broke",
    ),
    failing(
        "error status without a message",
        HI,
        {"status": "error", "status_message": "unauthenticated"},
        error="AuthenticationError",
        retryable=False,
        partial="hi",
    ),
    failing(
        "error event",
        HI,
        b'event: error\ndata: {"message": "Overloaded", "code": 529}\n\n',
        error="InternalServerError",
        retryable=True,
        partial="hi",
        text="Overloaded",
    ),
    failing(
        "error event with plain text",
        HI,
        b"event: error\ndata: upstream is gone\n\n",
        error="InternalServerError",
        retryable=True,
        partial="hi",
        text="upstream is gone",
    ),
    failing(
        "typed error event",
        HI,
        b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n',
        error="InternalServerError",
        retryable=True,
        partial="hi",
    ),
    failing(
        "error without data:",
        HI,
        b'{"error": {"message": "boom"}}\n',
        error="InternalServerError",
        retryable=True,
        partial="hi",
        text="boom",
    ),
    failing(
        "error without data:, on many lines",
        HI,
        json.dumps({"error": {"message": "boom", "code": 503}}, indent=1).encode() + b"\n",
        error="InternalServerError",
        retryable=True,
        partial="hi",
        text="boom",
    ),
    failing(
        "error without data:, on many lines, then [DONE]",
        HI,
        json.dumps({"error": {"message": "boom", "code": 503}}, indent=1).encode() + b"\n\n",
        DONE,
        error="InternalServerError",
        retryable=True,
        partial="hi",
        text="boom",
    ),
    failing(
        "error without data:, cut off",
        HI,
        b'{\n "error": {\n',
        error="StreamCutOffError",
        retryable=True,
        partial="hi",
    ),
    failing(
        "error in an event with a name of its own",
        HI,
        b'event: failure\ndata: {"error": {"message": "boom"}}\n\n',
        error="InternalServerError",
        retryable=True,
        partial="hi",
        text="boom",
    ),
    failing(
        "error object of another server",
        HI,
        {"object": "error", "message": "slow down", "code": 429},
        error="RateLimitError",
        retryable=True,
        partial="hi",
    ),
    failing(
        "error in a list",
        HI,
        [{"error": {"code": 429, "message": "quota"}}],
        error="RateLimitError",
        retryable=True,
        partial="hi",
    ),
    *(
        row
        for name, body, error, retryable in (
            (
                "MiniMax's error",
                {
                    "id": "x",
                    "choices": None,
                    "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"},
                },
                "InsufficientCreditsError",
                False,
            ),
            (
                "an error beside empty choices",
                {"status": "error", "status_message": "Something broke", "choices": []},
                "InternalServerError",
                True,
            ),
            (
                "DashScope's throttling",
                {
                    "code": "Throttling.RateQuota",
                    "message": "Requests rate limit exceeded",
                    "request_id": "r",
                },
                "RateLimitError",
                True,
            ),
        )
        for row in (
            failing(name, HI, body, DONE, error=error, retryable=retryable, partial="hi"),
            Failure(f"{name}, in one piece", (http(body),), error, retryable, is_complete=True),
        )
    ),
    failing(
        "error of a web framework",
        HI,
        {"detail": "Internal error"},
        error="InternalServerError",
        retryable=True,
        partial="hi",
        text="Internal error",
    ),
    failing(
        "finish reason error",
        HI,
        {
            "choices": [
                {
                    "delta": {},
                    "finish_reason": "error",
                    "error": {"code": 502, "message": "Provider disconnected"},
                }
            ]
        },
        error="InternalServerError",
        retryable=True,
        partial="hi",
        text="Provider disconnected",
    ),
    failing(
        "error inside the delta",
        HI,
        delta(error={"code": 502, "message": "Provider disconnected"}),
        error="InternalServerError",
        retryable=True,
        partial="hi",
        text="Provider disconnected",
    ),
    failing(
        "finish reason error without a message",
        HI,
        delta("error"),
        error="InternalServerError",
        retryable=True,
        partial="hi",
    ),
    *(
        row
        for reason in FAILED
        for row in (
            failing(
                f"finish reason {reason}",
                HI,
                delta(reason),
                DONE,
                error="InternalServerError",
                retryable=True,
                partial="hi",
            ),
            Failure(
                f"finish reason {reason} in one piece",
                complete("", reason, message={"content": "hi"}).script,
                "InternalServerError",
                True,
                "hi",
                is_complete=True,
            ),
        )
    ),
    *(
        failing(
            f"error in the choice, finish reason {reason}",
            HI,
            in_choice(reason, error={"code": 502, "message": "Provider disconnected"}),
            DONE,
            error="InternalServerError",
            retryable=True,
            partial="hi",
            text="Provider disconnected",
        )
        for reason in (None, "null", "length")
    ),
    failing(
        "finish reason null as text, and no end",
        delta("null", content="hi"),
        delta("null"),
        error="StreamCutOffError",
        retryable=True,
        partial="hi",
    ),
    *(
        row
        for name, error in (
            ("and an id", {"id": "req_1", "type": "server_error", "code": 503}),
            ("and a code", {"object": "", "choices": None, "code": "503"}),
            ("and a type", {"type": "overloaded", "usage": None}),
            ("and nothing but an id", {"id": "req_1"}),
        )
        for row in (
            failing(
                f"an error with a message {name}",
                HI,
                {**error, "message": "The model is overloaded"},
                error="InternalServerError",
                retryable=True,
                partial="hi",
                text="The model is overloaded",
            ),
            Failure(
                f"an error with a detail {name} in one piece",
                (http({**error, "detail": "The model is overloaded"}),),
                "InternalServerError",
                True,
                text="The model is overloaded",
                is_complete=True,
            ),
        )
    ),
    failing(
        "error first",
        {"error": {"message": "Rate limit reached", "type": "rate_limit_error"}},
        error="RateLimitError",
        retryable=True,
    ),
    failing(
        "context overflow inside",
        {
            "error": {
                "message": "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
                "code": "context_length_exceeded",
            }
        },
        error="ContextOverflowError",
        retryable=False,
    ),
    failing(
        "context overflow after text",
        HI,
        {"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}},
        error="ContextOverflowError",
        retryable=False,
        partial="hi",
    ),
    failing(
        "data that is not JSON",
        HI,
        "Internal Server Error",
        error="StreamError",
        retryable=True,
        partial="hi",
        text="Internal Server Error",
    ),
    failing(
        "an event of brackets",
        HI,
        NESTED,
        error="StreamError",
        retryable=True,
        partial="hi",
        text="[[[",
    ),
    failing(
        "an event of brackets first",
        NESTED,
        error="APIResponseError",
        retryable=True,
        text="[[[",
    ),
    Failure("an answer of brackets", (http(NESTED),), "APIResponseError", True, is_complete=True),
    failing(
        "data that is not JSON first",
        "upstream connect error",
        error="APIResponseError",
        retryable=True,
        text="upstream connect error",
    ),
    Failure(
        "HTML in a 200",
        (
            http(
                "<html><head><title>502 Bad Gateway</title></head></html>", content_type="text/html"
            ),
        ),
        "APIResponseError",
        True,
        text="502 Bad Gateway",
    ),
    Failure(
        "a line for each chunk, cut off",
        (http(ndjson(delta(content="h"), delta(content="i")), content_type=NDJSON),),
        "StreamCutOffError",
        True,
        "hi",
    ),
    Failure(
        "one line of many",
        (http(ndjson(HI), content_type=NDJSON),),
        "StreamCutOffError",
        True,
        "hi",
    ),
    Failure(
        "a line for each chunk, cut off in the middle of one",
        (http(ndjson(HI) + '{"choices": [{"delta', content_type=NDJSON),),
        "StreamCutOffError",
        True,
        "hi",
    ),
    Failure(
        "plain text in a 200",
        (http("upstream request timeout", content_type="text/plain"),),
        "APIResponseError",
        True,
        text="upstream request timeout",
    ),
    Failure(
        "an event stream that was cut off, not requested",
        (http(sse(HI), content_type="text/event-stream"),),
        "StreamCutOffError",
        True,
        "hi",
        is_complete=True,
    ),
    Failure(
        "error as JSON in a 200",
        (http({"error": {"message": "Model not found: ox-9"}}),),
        "ModelNotFoundError",
        False,
        text="Model not found: ox-9",
    ),
    Failure(
        "empty choices in a 200", (http({"id": "c", "choices": []}),), "APIResponseError", True
    ),
    Failure(
        "empty body in a 200",
        (http("", content_type="text/event-stream"),),
        "StreamCutOffError",
        True,
    ),
    Failure(
        "HTML in a 502",
        (
            http(
                "<html><title>Bad gateway</title></html>",
                status="502 Bad Gateway",
                content_type="text/html",
            ),
        ),
        "InternalServerError",
        True,
        text="Bad gateway",
    ),
    Failure(
        "402",
        (
            http(
                {"error": {"type": "insufficient_credits", "detail": "Insufficient credits"}},
                status="402 Payment Required",
            ),
        ),
        "InsufficientCreditsError",
        False,
    ),
    Failure(
        "529",
        (http({"error": "overloaded"}, status="529 Overloaded"),),
        "InternalServerError",
        True,
    ),
    Failure(
        "408",
        (http({"error": {"message": "timeout"}}, status="408 Request Timeout"),),
        "RequestTimeoutError",
        True,
    ),
    Failure(
        "429",
        (
            http(
                {"error": {"message": "slow"}},
                status="429 Too Many Requests",
                headers=["retry-after: 3"],
            ),
        ),
        "RateLimitError",
        True,
    ),
    Failure(
        "401",
        (
            http(
                {"status": "error", "status_message": "unauthenticated"}, status="401 Unauthorized"
            ),
        ),
        "AuthenticationError",
        False,
    ),
    Failure("reset before an answer", (Reset(),), "APIConnectionError", True),
    Failure("closed before an answer", (Close(),), "APIConnectionError", True),
    Failure("no answer", (Hold(),), "APITimeoutError", True, options={"timeout": 0.3}),
]
