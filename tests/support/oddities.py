"""What upstreams are known to do to a stream, and what must come of it. One row, one oddity."""

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
    sent_back: dict[str, Any] | None = None
    """The fields of reasoning that the next request has in the answer's message."""
    options: dict[str, Any] = field(default_factory=dict)
    is_whole: bool = False
    """Whether it is an answer in one piece, which comes to nothing else when it is asked for."""


def fields_of_reasoning(wire: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields with blocks of reasoning that a single message has, ready for a provider."""
    (sent,) = prepare_messages(wire, policy=Policy(reasoning_blocks="always"))
    return {k: sent[k] for k in ("reasoning_details", "thinking_blocks") if k in sent}


def odd(name: str, *events: Any, **expected: Any) -> Oddity:
    """A stream of these events: dicts as JSON, strings as they are, bytes unchanged."""
    body = b"".join(e if isinstance(e, bytes) else sse(e) for e in events)
    return Oddity(name, (HEAD + body,), **expected)


def whole(name: str, finish: Any = "stop", *, said: Any = None, **expected: Any) -> Oddity:
    """An answer in one piece, whose message has the fields `said`."""
    choice = {"index": 0, "message": {"role": "assistant", **said}, "finish_reason": finish}
    body = http({"id": "c", "model": "ox-1", "choices": [choice]})
    return Oddity(name, (body,), is_whole=True, **{"finish": finish, **expected})


def call(
    index: Any = None, id_: Any = None, name: Any = None, arguments: Any = None, **more: Any
) -> dict[str, Any]:
    """A fragment of a tool call, with only what is given."""
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    fields = {"index": index, "id": id_, "function": function, **more}
    return {k: v for k, v in fields.items() if v is not None}


def calls(*fragments: Any, finish: str | None = None) -> dict[str, Any]:
    return delta(finish, tool_calls=list(fragments))


def image(url: str) -> dict[str, Any]:
    """An image in an answer, as OpenRouter and LiteLLM give it."""
    return {"type": "image_url", "image_url": {"url": url}}


def in_choice(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk whose choice has fields beside an empty delta."""
    choice = {"index": 0, "delta": {}, "finish_reason": finish, **fields}
    return {"id": "chatcmpl-1", "model": "ox-1", "choices": [choice]}


def again(
    delta: dict[str, Any] | None = None, *, finish: str = "stop", **message: Any
) -> dict[str, Any]:
    """The last chunk, with the whole message in it."""
    return in_choice(finish, message=message, delta=delta or {})


NDJSON = "application/x-ndjson"


def lines(*chunks: Any) -> str:
    return "".join(json.dumps(chunk) + "\n" for chunk in chunks)


def usage_chunk(**usage: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "model": "ox-1", "choices": [], "usage": usage}


U = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
HI = delta(content="hi")
PARIS = ("weather", {"city": "Paris"})
ROME = ("weather", {"city": "Rome"})
TWO = (PARIS, ROME)
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
    odd("ordinary", HI, STOP, usage_chunk(**U), DONE, text="hi", usage=(11, 4)),
    # The end
    odd("no [DONE]", HI, STOP, text="hi"),
    odd("no finish reason", HI, DONE, text="hi", finish=None),
    odd("no line end after [DONE]", HI, STOP, b"data: [DONE]", text="hi"),
    odd(
        "nothing after the finish reason but a half event", HI, STOP, b'data: {"id": "ch', text="hi"
    ),
    Oddity("reset after the finish reason", (HEAD + sse(HI, STOP), 0.05, Reset()), text="hi"),
    Oddity(
        "keep-alives for ever after the finish reason",
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
    odd(
        "broken UTF-8",
        HI,
        b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n',
        STOP,
        text="hi\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}",
    ),
    odd("finish reason repeated", HI, STOP, STOP, STOP, DONE, text="hi"),
    odd("empty finish reasons before the real one", delta("", content="hi"), STOP, DONE, text="hi"),
    odd("finish reason beside the usage only", HI, {**STOP, "usage": U}, text="hi", usage=(11, 4)),
    odd("unusual finish reason", HI, delta("end_turn"), DONE, text="hi", finish="end_turn"),
    odd("finish reason null in words", delta("null", content="hi"), delta("null"), STOP, text="hi"),
    odd(
        "finish reason null in words to the end",
        delta("null", content="hi"),
        DONE,
        text="hi",
        finish=None,
    ),
    odd(
        "finish reason as an object",
        HI,
        delta({"type": "length", "length": 4}),
        DONE,
        text="hi",
        finish="length",
    ),
    odd("a null error in the choice", HI, in_choice("stop", error=None), DONE, text="hi"),
    *(
        odd(f"finish reason {reason}", HI, delta(reason), DONE, text="hi", finish=reason)
        for reason in ("length", "content_filter", "max_tokens", "STOP", "sensitive", "other")
    ),
    odd("eos", HI, delta("eos"), text="hi", finish="eos"),
    odd("text after the finish reason", HI, STOP, delta(content="!"), DONE, text="hi!"),
    odd("events after [DONE]", HI, STOP, DONE, delta(content="?"), text="hi"),
    # Usage
    odd(
        "usage in every chunk",
        {**HI, "usage": {**U, "completion_tokens": 1}},
        {**STOP, "usage": U},
        DONE,
        text="hi",
        usage=(11, 4),
    ),
    odd(
        "usage repeated",
        HI,
        STOP,
        usage_chunk(**U),
        usage_chunk(**U),
        DONE,
        text="hi",
        usage=(11, 4),
    ),
    odd(
        "null usage",
        {**HI, "usage": None},
        STOP,
        usage_chunk(**U),
        {**STOP, "usage": None},
        DONE,
        text="hi",
        usage=(11, 4),
    ),
    odd(
        "usage in strings",
        HI,
        STOP,
        usage_chunk(prompt_tokens="11", completion_tokens="4"),
        DONE,
        text="hi",
        usage=(11, 4),
    ),
    odd(
        "usage in two halves",
        usage_chunk(input_tokens=11),
        HI,
        STOP,
        usage_chunk(output_tokens=4),
        DONE,
        text="hi",
        usage=(11, 4),
    ),
    odd(
        "usage inside the choice",
        HI,
        {"choices": [{**STOP["choices"][0], "usage": U}]},
        DONE,
        text="hi",
        usage=(11, 4),
    ),
    odd(
        "usage of zeros behind the real one",
        HI,
        STOP,
        usage_chunk(**U),
        usage_chunk(prompt_tokens=0, completion_tokens=0, total_tokens=0),
        text="hi",
        usage=(11, 4),
    ),
    odd(
        "the choice's index as text, then as a number",
        {"choices": [{"index": "0", "delta": {"content": "h"}}]},
        delta(content="i"),
        STOP,
        text="hi",
    ),
    odd(
        "what is no list of log probabilities",
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
    odd(
        "MiniMax's base_resp in every chunk",
        {**HI, "base_resp": {"status_code": 0, "status_msg": ""}},
        {**STOP, "base_resp": {"status_code": 0, "status_msg": ""}},
        {"choices": None, "base_resp": {"status_code": 0, "status_msg": ""}, "usage": U},
        text="hi",
        usage=(11, 4),
    ),
    odd(
        "usage with a null choices",
        HI,
        STOP,
        {"choices": None, "usage": U},
        DONE,
        text="hi",
        usage=(11, 4),
    ),
    # Chunks
    odd(
        "role only, then null content",
        delta(role="assistant"),
        delta(role="assistant", content=None),
        HI,
        STOP,
        DONE,
        text="hi",
    ),
    odd("null delta", {"choices": [{"index": 0, "delta": None}]}, HI, STOP, DONE, text="hi"),
    odd(
        "empty choices in the middle",
        HI,
        {"choices": []},
        delta(content="!"),
        STOP,
        DONE,
        text="hi!",
    ),
    odd(
        "choices missing in the middle",
        HI,
        {"id": "x", "object": "chat.completion.chunk"},
        STOP,
        DONE,
        text="hi",
    ),
    odd(
        "a byte that is no text",
        b'data: {"choices": [{"delta": {"content": "h\xffi"}}]}\n\n',
        STOP,
        DONE,
        text="h\ufffdi",
    ),
    odd("a null event", HI, "null", STOP, DONE, text="hi"),
    odd(
        "no index, no id, no model",
        {"choices": [{"delta": {"content": "hi"}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        DONE,
        text="hi",
    ),
    odd(
        "a second choice nobody asked for",
        HI,
        {"choices": [{"index": 1, "delta": {"content": "no"}}]},
        STOP,
        DONE,
        text="hi",
    ),
    odd(
        "message instead of delta",
        {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]},
        DONE,
        text="hi",
    ),
    odd(
        "growing messages",
        *({"choices": [{"message": {"content": t}}]} for t in ("h", "hi", "hi!")),
        STOP,
        DONE,
        text="hi!",
    ),
    odd(
        "the whole message again at the end",
        HI,
        {"choices": [{"delta": {}, "message": {"content": "hi"}, "finish_reason": "stop"}]},
        DONE,
        text="hi",
    ),
    *(
        odd(f"at the end the message again: {name}", *events, DONE, text="hi", **expected)
        for name, events, expected in (
            ("in parts", [HI, again(content=[{"type": "text", "text": "hi"}])], {}),
            ("going on", [delta(content="h"), again(content="hi")], {}),
            ("going on in parts", [delta(content="h"), again(content=[{"text": "hi"}])], {}),
            (
                "with a role in the delta",
                [again({"role": "assistant", "content": ""}, content="hi")],
                {},
            ),
            (
                "and silent deltas",
                [HI, again({"role": "assistant", "content": None}, content="hi")],
                {},
            ),
            ("beside a last word", [delta(content="h"), again({"content": "i"}, content="hi")], {}),
            (
                "and reasoning",
                [
                    delta(reasoning="hm "),
                    HI,
                    again(
                        content="hi",
                        reasoning="hm",
                        thinking_blocks=[{"type": "thinking", "thinking": "hm"}],
                    ),
                ],
                {"reasoning": "hm "},
            ),
            (
                "and reasoning that had not been told",
                [HI, again(content="hi", reasoning_content="hm")],
                {"reasoning": "hm"},
            ),
        )
    ),
    odd(
        "at the end the text again, stripped",
        delta(content=" hi\n"),
        again(content="hi"),
        text=" hi\n",
    ),
    odd("at the end the refusal again", delta(refusal="No."), again(refusal="No."), refusal="No."),
    odd(
        "messages in pieces",
        *({"choices": [{"message": {"content": t}}]} for t in ("hi", "!", "?")),
        STOP,
        text="hi!?",
    ),
    *(
        odd(
            f"at the end the calls again: {name}",
            *events,
            again(tool_calls=repeated, finish="tool_calls"),
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
                "with the arguments that had not come",
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
                "with one that had not been told",
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
    odd(
        "at the end the function_call again",
        delta(function_call={"name": "weather", "arguments": _P}),
        again(function_call={"name": "weather", "arguments": _P}, finish="function_call"),
        calls=(PARIS,),
        finish="function_call",
    ),
    odd(
        "content in parts",
        delta(content=[{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]),
        STOP,
        DONE,
        text="hi",
    ),
    odd(
        "text of an older API",
        {"choices": [{"text": "hi", "index": 0, "finish_reason": None}]},
        STOP,
        DONE,
        text="hi",
    ),
    odd("refusal", delta(refusal="I can"), delta(refusal="not."), STOP, DONE, refusal="I cannot."),
    odd("ping event", b'event: ping\ndata: {"type": "ping"}\n\n', HI, STOP, DONE, text="hi"),
    *(
        row
        for urls in (("data:image/png;base64,AA==",), ("https://example.org/a.png", "data:,x"))
        for row in (
            odd(
                f"{len(urls)} images beside text",
                HI,
                *(delta(images=[image(url)]) for url in urls),
                STOP,
                DONE,
                text="hi",
                images=urls,
            ),
            whole(
                f"{len(urls)} images beside text, in one piece",
                said={"content": "hi", "images": [image(url) for url in urls]},
                text="hi",
                images=urls,
            ),
        )
    ),
    whole(
        "an image only", said={"content": None, "images": [image("data:,x")]}, images=("data:,x",)
    ),
    whole(
        "images in an unknown form", said={"content": "hi", "images": [{"b64": "AA"}, 1]}, text="hi"
    ),
    whole("images that are no list", said={"content": "hi", "images": {"a": 1}}, text="hi"),
    *(
        odd(
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
    odd("a field nobody knows", HI, b"retry-after: 5\n\n", STOP, text="hi"),
    odd("heartbeat before anything", b"event: ping\ndata: ping\n\n", HI, STOP, text="hi"),
    odd(
        "events called message",
        b"event: message\n" + sse(HI),
        b"event: message\n" + sse(STOP),
        text="hi",
    ),
    Oddity(
        "empty heartbeats for ever after the finish reason",
        (HEAD + sse(HI, STOP), *([b"data:\n\n", 0.1] * 30)),
        text="hi",
        options={"timeout": 0.3},
    ),
    *(
        odd(f"behind the finish reason: {last}", HI, STOP, last, text="hi")
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
    odd(
        "behind the finish reason an error, then no more",
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
            odd(f"half a character {name}", delta(content=half), STOP, text=made),
            whole(f"half a character {name}, in one piece", said={"content": half}, text=made),
            whole(
                f"half a character {name}, in reasoning and a call",
                "tool_calls",
                said={
                    "content": None,
                    "reasoning": half,
                    "tool_calls": [call(0, "a", "say", f'{{"word": "{half[1:]}!"}}')],
                },
                reasoning=made,
                calls=(("say", {"word": half[1:].replace(half.strip("hi"), "\ufffd") + "!"}),),
            ),
        )
    ),
    odd(
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
    odd(
        "reasoning_content",
        delta(reasoning_content="hm", content=None),
        HI,
        STOP,
        DONE,
        text="hi",
        reasoning="hm",
    ),
    odd("reasoning", delta(reasoning="hm"), HI, STOP, DONE, text="hi", reasoning="hm"),
    odd(
        "both reasoning fields",
        delta(reasoning="hm", reasoning_content="hm"),
        HI,
        STOP,
        DONE,
        text="hi",
        reasoning="hm",
    ),
    odd(
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
    odd(
        "reasoning in details only",
        delta(reasoning_details=[{"type": "reasoning.text", "text": "hm", "index": 0}]),
        HI,
        STOP,
        DONE,
        text="hi",
        reasoning="hm",
    ),
    odd(
        "reasoning as a content part",
        delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]),
        HI,
        STOP,
        DONE,
        text="hi",
        reasoning="hm",
    ),
    odd("reasoning only", delta(reasoning_content="hm"), STOP, DONE, reasoning="hm"),
    *(
        whole(
            f"blocks of reasoning in one piece: {name}",
            "tool_calls",
            said={"content": None, field: blocks, "tool_calls": [call(0, "a", "weather", _P)]},
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
        odd(
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
    odd(
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
    odd(
        "calls as documented",
        calls(call(0, "a", "weather", "")),
        calls(call(0, arguments='{"city": ')),
        calls(call(0, arguments='"Paris"}')),
        CALLED,
        DONE,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    odd(
        "two calls with one id, told apart by their index",
        calls(call(0, "weather", "weather", _P), call(1, "weather", "weather", _R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    odd(
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
        is_whole=True,
    ),
    odd(
        "calls without arguments, index or id",
        calls(call(name="noon")),
        calls(call(name="midnight")),
        CALLED,
        calls=(("noon", {}), ("midnight", {})),
        finish="tool_calls",
    ),
    odd(
        "calls without arguments, index or id, named twice",
        calls(call(name="noon")),
        calls(call(name="noon")),
        calls(call(name="midnight")),
        calls(call(name="midnight")),
        CALLED,
        calls=(("noon", {}), ("midnight", {})),
        finish="tool_calls",
    ),
    odd(
        "a new id and the name again in every fragment",
        calls(call(0, "a", "weather", "")),
        calls(call(0, "b", "weather", _P[:5])),
        calls(call(0, "c", "weather", _P[5:])),
        calls(call(0, "d", "weather", _R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    odd(
        "arguments encoded twice",
        calls(call(0, "a", "weather", json.dumps(_P)[:7])),
        calls(call(0, arguments=json.dumps(_P)[7:])),
        calls(call(1, "b", "weather", json.dumps(_R))),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    odd(
        "arguments encoded twice, and cut off",
        calls(call(0, "a", "weather", json.dumps(_P)[:7])),
        delta("length"),
        invalid=1,
        finish="length",
    ),
    odd(
        "half an object, encoded twice",
        calls(call(0, "a", "weather", json.dumps('{"at": {"city": "Paris"}'))),
        CALLED,
        invalid=1,
        finish="tool_calls",
    ),
    odd(
        "a string for arguments",
        calls(call(0, "a", "weather", '"Paris"')),
        CALLED,
        invalid=1,
        finish="tool_calls",
    ),
    odd(
        "several calls in one chunk",
        calls(call(0, "a", "weather", _P), call(1, "b", "weather", _R)),
        CALLED,
        DONE,
        calls=TWO,
        finish="tool_calls",
    ),
    odd(
        "several fragments in one chunk",
        calls(call(0, "a", "weather", ""), call(0, arguments=_P[:5]), call(0, arguments=_P[5:])),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    odd(
        "null index",
        calls(
            {**call(None, "a", "weather", _P), "index": None},
            {**call(None, "b", "weather", _R), "index": None},
        ),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    odd(
        "no index, one chunk per call",
        calls(call(None, "a", "weather", _P)),
        calls(call(None, "b", "weather", _R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    odd(
        "no index, fragments",
        calls(call(None, "a", "weather", "")),
        calls(call(arguments=_P)),
        calls(call(None, "b", "weather", "")),
        calls(call(arguments=_R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    odd(
        "no index, id on every fragment",
        calls(call(None, "a", "weather", _P[:4])),
        calls(call(None, "b", "weather", _R[:4])),
        calls(call(None, "a", arguments=_P[4:])),
        calls(call(None, "b", arguments=_R[4:])),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    odd(
        "no index, no id, by position",
        calls(call(None, None, "weather", _P[:4]), call(None, None, "weather", _R[:4])),
        calls(call(arguments=_P[4:]), call(arguments=_R[4:])),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    odd(
        "index 0 for all, ids differ",
        calls(call(0, "a", "weather", _P)),
        calls(call(0, "b", "weather", _R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    odd(
        "index 0 for all, in one chunk",
        calls(call(0, "a", "weather", _P), call(0, "b", "weather", _R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    odd(
        "index 0 for all, fragments in turn",
        calls(call(0, "a", "weather", "")),
        calls(call(0, arguments=_P)),
        calls(call(0, "b", "weather", "")),
        calls(call(0, arguments=_R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    odd(
        "index 0 for all, no ids",
        calls(call(0, "", "weather", _P), call(0, "", "weather", _R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    odd(
        "indices from 1",
        calls(call(1, "a", "weather", _P)),
        calls(call(2, "b", "weather", _R)),
        CALLED,
        calls=TWO,
        finish="tool_calls",
    ),
    odd(
        "index as text",
        calls(call("0", "a", "weather", _P[:4])),
        calls(call("0", arguments=_P[4:])),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    odd(
        "id and name on every fragment",
        *(calls(call(0, "a", "weather", part)) for part in ("", _P[:4], _P[4:])),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    odd(
        "a new id on every fragment",
        calls(call(0, "a", "weather", _P[:4])),
        calls(call(0, "x", arguments=_P[4:])),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    odd(
        "empty ids and names on fragments",
        calls(call(0, "a", "weather", _P[:4])),
        calls(call(0, "", "", _P[4:])),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    odd(
        "name in pieces",
        calls(call(0, "a", "wea")),
        calls(call(0, name="ther", arguments="")),
        calls(call(0, arguments=_P)),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    odd(
        "arguments before the name",
        calls(call(0, arguments=_P)),
        calls(call(0, "a", "weather")),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    odd(
        "arguments as an object",
        calls(call(0, "a", "weather", {"city": "Paris"})),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    odd(
        "arguments empty",
        calls(call(0, "a", "now", "")),
        CALLED,
        calls=(("now", {}),),
        finish="tool_calls",
    ),
    odd(
        "arguments missing",
        calls({"index": 0, "id": "a", "function": {"name": "now"}}),
        CALLED,
        calls=(("now", {}),),
        finish="tool_calls",
    ),
    odd(
        "two calls without arguments and ids",
        calls(call(None, None, "now", ""), call(None, None, "then", "")),
        CALLED,
        calls=(("now", {}), ("then", {})),
        finish="tool_calls",
    ),
    odd(
        "arguments null",
        calls(call(0, "a", "now", "null")),
        CALLED,
        calls=(("now", {}),),
        finish="tool_calls",
    ),
    odd(
        "the whole call again at the end",
        calls(call(0, "a", "weather", _P[:4])),
        calls(call(0, arguments=_P[4:])),
        calls(call(0, "a", "weather", _P), finish="tool_calls"),
        DONE,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    odd(
        "a call and text together",
        delta(content="Let me look. ", tool_calls=[call(0, "a", "weather", _P)]),
        CALLED,
        text="Let me look. ",
        calls=(PARIS,),
        finish="tool_calls",
    ),
    odd(
        "null tool_calls beside text",
        delta(content="hi", tool_calls=None),
        delta(content="", tool_calls=[]),
        STOP,
        text="hi",
    ),
    odd(
        "function_call of an older API",
        delta(function_call={"name": "weather", "arguments": ""}),
        delta(function_call={"arguments": _P}),
        delta("function_call"),
        calls=(PARIS,),
        finish="function_call",
    ),
    odd(
        "arguments cut off",
        calls(call(0, "a", "draw", '{"prompt": "an ox in a')),
        delta("length"),
        DONE,
        invalid=1,
        finish="length",
    ),
    odd(
        "arguments that are no JSON",
        calls(call(0, "a", "draw", "an ox, please")),
        CALLED,
        DONE,
        invalid=1,
        finish="tool_calls",
    ),
    odd(
        "arguments cut off after an escape",
        calls(call(0, "a", "draw", '{"prompt": "an ox\\')),
        delta("length"),
        DONE,
        invalid=1,
        finish="length",
    ),
    odd(
        "one call whole, one cut off",
        calls(call(0, "a", "weather", _P), call(1, "b", "weather", '{"city": ["Ro')),
        delta("length"),
        DONE,
        calls=(PARIS,),
        invalid=1,
        finish="length",
    ),
    *(
        odd(
            f"cut off after a tool's name: {reason}",
            calls(call(0, "a", "draw", "")),
            delta(reason),
            DONE,
            invalid=1,
            finish=reason,
        )
        for reason in ("length", "max_tokens", "MAX_TOKENS", "content_filter", None)
    ),
    odd(
        "cut off after the name of a second tool",
        calls(call(0, "a", "weather", _P)),
        calls(call(1, "b", "draw")),
        delta("length"),
        calls=(PARIS,),
        invalid=1,
        finish="length",
    ),
    odd(
        "cut off in a second tool, the first without arguments",
        calls(call(0, "a", "now", "")),
        calls(call(1, "b", "draw", '{"prompt"')),
        delta("length"),
        calls=(("now", {}),),
        invalid=1,
        finish="length",
    ),
    odd(
        "cut off after the arguments",
        calls(call(0, "a", "weather", _P)),
        delta("length"),
        calls=(PARIS,),
        finish="length",
    ),
    *(
        odd(
            f"arguments empty, then {reason}",
            calls(call(0, "a", "now", "")),
            delta(reason),
            calls=(("now", {}),),
            finish=reason,
        )
        for reason in ("stop", "STOP", "tool_calls", "tool_use", "end_turn", "function_call")
    ),
    *(
        whole(
            f"cut off after a tool's name, in one piece: {reason}",
            reason,
            said={"content": None, "tool_calls": [call(0, "a", "draw", "")]},
            invalid=1,
        )
        for reason in ("length", "content_filter", None)
    ),
    *(
        whole(
            f"arguments empty, in one piece, then {reason}",
            reason,
            said={"content": None, "tool_calls": [call(0, "a", "now", arguments)]},
            calls=(("now", {}),),
        )
        for reason, arguments in (("tool_calls", ""), ("stop", None))
    ),
    whole(
        "cut off after a tool's name, Anthropic's empty input in its place",
        "length",
        said={"content": None, "tool_calls": [call(0, "a", "draw", {})]},
        invalid=1,
    ),
    odd(
        "an empty object as arguments, and no finish reason",
        calls(call(0, "a", "now", "{}")),
        DONE,
        calls=(("now", {}),),
        finish=None,
    ),
    *(
        odd(
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
        odd(
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
        whole(
            f"an empty call beside text, in one piece: {name}",
            said={"content": "hi", **empty},
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
        odd(
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
    odd(
        "the whole arguments again in other spaces",
        calls(call(0, "a", "weather", '{"city":')),
        calls(call(0, arguments='"Paris"}')),
        calls(call(0, "a", "weather", {"city": "Paris"})),
        CALLED,
        calls=(PARIS,),
        finish="tool_calls",
    ),
    odd(
        "two calls in one chunk with one index, the first without arguments",
        calls(call(0, "a", "now", ""), call(0, "b", "now", '{"zone": "CET"}')),
        CALLED,
        calls=(("now", {}), ("now", {"zone": "CET"})),
        finish="tool_calls",
    ),
    odd(
        "two calls in one chunk with one index, both without arguments",
        calls(call(0, "a", "now", ""), call(0, "b", "now", "")),
        CALLED,
        calls=(("now", {}), ("now", {})),
        finish="tool_calls",
    ),
    # Bytes
    odd(
        "comments between",
        b": OPENROUTER PROCESSING\n\n",
        HI,
        b": keep-alive\n\n:\n\n",
        STOP,
        DONE,
        text="hi",
    ),
    odd("CRLF", sse(HI, STOP, DONE, newline="\r\n"), text="hi"),
    odd("CR alone", sse(HI, STOP, DONE, newline="\r"), text="hi"),
    odd("byte order mark", b"\xef\xbb\xbf", HI, STOP, DONE, text="hi"),
    odd(
        "no space after the colon",
        b"data:" + json.dumps(HI).encode() + b"\n\n",
        STOP,
        b"data:[DONE]\n\n",
        text="hi",
    ),
    odd(
        "event and id lines", b"event: message\nid: 7\nretry: 10\n" + sse(HI), STOP, DONE, text="hi"
    ),
    odd(
        "one event on many lines",
        b"".join(
            b"data: " + line.encode() + b"\n" for line in json.dumps(HI, indent=1).splitlines()
        )
        + b"\n",
        STOP,
        DONE,
        text="hi",
    ),
    odd("no blank lines between events", sse(HI, STOP, DONE).replace(b"\n\n", b"\n"), text="hi"),
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
        is_whole=True,
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
        is_whole=True,
    ),
    Oddity(
        "a line for each chunk",
        (http(lines(delta(content="h"), delta(content="i"), STOP), content_type=NDJSON),),
        text="hi",
    ),
    Oddity(
        "a line for each chunk, half a one behind the finish reason",
        (http(lines(HI, STOP) + '{"usage": {"pro', content_type=NDJSON),),
        text="hi",
    ),
    Oddity(
        "a line for each chunk, then [DONE]",
        (http(lines(HI) + "[DONE]\n", content_type=NDJSON),),
        text="hi",
        finish=None,
    ),
    *(
        Oddity(
            f"{name} in a header",
            (http(WHOLE_HI, headers=headers),),
            text="hi",
            is_whole=True,
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
    says: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    is_whole: bool = False
    """Whether it is an answer in one piece."""


def fails(name: str, *events: Any, **expected: Any) -> Failure:
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
    {"type": "abort", "message": "gone"},
)
FAILURES = [
    fails("cut off", HI, error="StreamCutOffError", retryable=True, partial="hi"),
    fails(
        "cut off in the middle of an event",
        HI,
        b'data: {"id": "ch',
        error="StreamCutOffError",
        retryable=True,
        partial="hi",
    ),
    fails(
        "cut off in the middle of a call",
        calls(call(0, "a", "weather", '{"ci')),
        error="StreamCutOffError",
        retryable=True,
        partial="",
    ),
    fails("nothing at all", error="StreamCutOffError", retryable=True, partial=""),
    fails("comments only", b": ping\n\n", error="StreamCutOffError", retryable=True, partial=""),
    fails("[DONE] only", DONE, error="APIResponseError", retryable=True),
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
        "stall behind empty heartbeats",
        (HEAD + sse(HI), *([b"data:\n\n", 0.1] * 20)),
        "StreamStalledError",
        True,
        "hi",
        options={"timeout": 0.3},
    ),
    fails(
        "error event in words, its data empty",
        HI,
        b"event: error\ndata:\n\n",
        error="StreamCutOffError",
        retryable=True,
        partial="hi",
    ),
    Failure(
        "stall behind keep-alives",
        (HEAD + sse(HI), *([b": ping\n\n", 0.1] * 20)),
        "StreamStalledError",
        True,
        "hi",
        options={"timeout": 0.3},
    ),
    fails(
        "error object",
        HI,
        {"error": {"message": "upstream timed out", "code": 504}},
        error="InternalServerError",
        retryable=True,
        partial="hi",
        says="upstream timed out",
    ),
    fails(
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
        says="Insufficient credits",
    ),
    fails(
        "error text",
        HI,
        {"error": "Something broke"},
        error="InternalServerError",
        retryable=True,
        partial="hi",
        says="Something broke",
    ),
    fails(
        "error status without words",
        HI,
        {"status": "error", "status_message": "unauthenticated"},
        error="AuthenticationError",
        retryable=False,
        partial="hi",
    ),
    fails(
        "error event",
        HI,
        b'event: error\ndata: {"message": "Overloaded", "code": 529}\n\n',
        error="InternalServerError",
        retryable=True,
        partial="hi",
        says="Overloaded",
    ),
    fails(
        "error event in words",
        HI,
        b"event: error\ndata: upstream is gone\n\n",
        error="InternalServerError",
        retryable=True,
        partial="hi",
        says="upstream is gone",
    ),
    fails(
        "typed error event",
        HI,
        b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n',
        error="InternalServerError",
        retryable=True,
        partial="hi",
    ),
    fails(
        "error without data:",
        HI,
        b'{"error": {"message": "boom"}}\n',
        error="InternalServerError",
        retryable=True,
        partial="hi",
        says="boom",
    ),
    fails(
        "error without data:, on many lines",
        HI,
        json.dumps({"error": {"message": "boom", "code": 503}}, indent=1).encode() + b"\n",
        error="InternalServerError",
        retryable=True,
        partial="hi",
        says="boom",
    ),
    fails(
        "error without data:, on many lines, then [DONE]",
        HI,
        json.dumps({"error": {"message": "boom", "code": 503}}, indent=1).encode() + b"\n\n",
        DONE,
        error="InternalServerError",
        retryable=True,
        partial="hi",
        says="boom",
    ),
    fails(
        "error without data:, cut off",
        HI,
        b'{\n "error": {\n',
        error="StreamCutOffError",
        retryable=True,
        partial="hi",
    ),
    fails(
        "error in an event with a name of its own",
        HI,
        b'event: failure\ndata: {"error": {"message": "boom"}}\n\n',
        error="InternalServerError",
        retryable=True,
        partial="hi",
        says="boom",
    ),
    fails(
        "error object of another server",
        HI,
        {"object": "error", "message": "slow down", "code": 429},
        error="RateLimitError",
        retryable=True,
        partial="hi",
    ),
    fails(
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
            fails(name, HI, body, DONE, error=error, retryable=retryable, partial="hi"),
            Failure(f"{name}, in one piece", (http(body),), error, retryable, is_whole=True),
        )
    ),
    fails(
        "complaint of a framework",
        HI,
        {"detail": "Internal error"},
        error="InternalServerError",
        retryable=True,
        partial="hi",
        says="Internal error",
    ),
    fails(
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
        says="Provider disconnected",
    ),
    fails(
        "finish reason error without words",
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
            fails(
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
                whole("", reason, said={"content": "hi"}).script,
                "InternalServerError",
                True,
                "hi",
                is_whole=True,
            ),
        )
    ),
    *(
        fails(
            f"error in the choice, finish reason {reason}",
            HI,
            in_choice(reason, error={"code": 502, "message": "Provider disconnected"}),
            DONE,
            error="InternalServerError",
            retryable=True,
            partial="hi",
            says="Provider disconnected",
        )
        for reason in (None, "null", "length")
    ),
    fails(
        "finish reason null in words, and no end",
        delta("null", content="hi"),
        delta("null"),
        error="StreamCutOffError",
        retryable=True,
        partial="hi",
    ),
    fails(
        "error first",
        {"error": {"message": "Rate limit reached", "type": "rate_limit_error"}},
        error="RateLimitError",
        retryable=True,
    ),
    fails(
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
    fails(
        "context overflow after text",
        HI,
        {"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}},
        error="ContextOverflowError",
        retryable=False,
        partial="hi",
    ),
    fails(
        "data that is no JSON",
        HI,
        "Internal Server Error",
        error="StreamError",
        retryable=True,
        partial="hi",
        says="Internal Server Error",
    ),
    fails(
        "data that is no JSON first",
        "upstream connect error",
        error="APIResponseError",
        retryable=True,
        says="upstream connect error",
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
        says="502 Bad Gateway",
    ),
    Failure(
        "a line for each chunk, cut off",
        (http(lines(delta(content="h"), delta(content="i")), content_type=NDJSON),),
        "StreamCutOffError",
        True,
        "hi",
    ),
    Failure(
        "one line of many",
        (http(lines(HI), content_type=NDJSON),),
        "StreamCutOffError",
        True,
        "hi",
    ),
    Failure(
        "a line for each chunk, cut off in the middle of one",
        (http(lines(HI) + '{"choices": [{"delta', content_type=NDJSON),),
        "StreamCutOffError",
        True,
        "hi",
    ),
    Failure(
        "plain text in a 200",
        (http("upstream request timeout", content_type="text/plain"),),
        "APIResponseError",
        True,
        says="upstream request timeout",
    ),
    Failure(
        "an event stream that was cut off, where none was asked for",
        (http(sse(HI), content_type="text/event-stream"),),
        "StreamCutOffError",
        True,
        "hi",
        is_whole=True,
    ),
    Failure(
        "error as JSON in a 200",
        (http({"error": {"message": "Model not found: ox-9"}}),),
        "ModelNotFoundError",
        False,
        says="Model not found: ox-9",
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
        says="Bad gateway",
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
